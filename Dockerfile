# The daemon without embedded parts: it needs a configuration with a database and
# backends, at /etc/s3proxy/config.yaml, readable by user 10001.
#
#   make build                                  one image, for this machine
#   make push IMAGE=registry.example.com/s3-proxy:1   for amd64 and arm64, and pushed
#   docker run --read-only --tmpfs /tmp --tmpfs /var/lib/s3proxy -p 9000:9000 \
#     -v ./config.yaml:/etc/s3proxy/config.yaml:ro --env-file secrets.env s3proxy
#
# deploy/compose has it with a PostgreSQL.

FROM python:3.12-slim AS build
WORKDIR /src
COPY setup.py pyproject.toml MANIFEST.in README.md LICENSE schema.sql ./
COPY twisted twisted
COPY s3proxy s3proxy
# Every dependency has wheels for both architectures, or is plain Python: no compiler.
RUN python3 -m venv /opt/s3proxy \
    && /opt/s3proxy/bin/pip install --no-cache-dir --prefer-binary .
# twistd keeps a list of its plugins beside them, where the daemon must not write.
RUN /opt/s3proxy/bin/python -c \
    "from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))"

FROM python:3.12-slim
LABEL org.opencontainers.image.title="s3proxy" \
      org.opencontainers.image.description="One S3 endpoint in front of many S3 backends" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 s3proxy \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/s3proxy \
        --create-home --shell /usr/sbin/nologin s3proxy
COPY --from=build /opt/s3proxy /opt/s3proxy
COPY deploy/docker/health.py /opt/s3proxy/health.py
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/s3proxy
EXPOSE 9000 9100
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["/opt/s3proxy/bin/python", "/opt/s3proxy/health.py"]
ENTRYPOINT ["/opt/s3proxy/bin/s3proxy"]
CMD ["--config", "/etc/s3proxy/config.yaml"]
