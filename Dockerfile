# The daemon without embedded parts: it needs a configuration with a database and
# backends, at /etc/s3proxy/config.yaml.
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/s3proxy \
    && /opt/s3proxy/bin/pip install --no-cache-dir --prefer-binary .

FROM python:3.12-slim
RUN useradd --system --home-dir /var/lib/s3proxy --create-home s3proxy
COPY --from=build /opt/s3proxy /opt/s3proxy
USER s3proxy
WORKDIR /var/lib/s3proxy
EXPOSE 9000
HEALTHCHECK --interval=30s --timeout=5s CMD ["/opt/s3proxy/bin/python", "-c", \
    "import urllib.request as r; assert r.urlopen('http://127.0.0.1:9000/health', timeout=4).read() == b'ok'"]
ENTRYPOINT ["/opt/s3proxy/bin/s3proxy"]
CMD ["--config", "/etc/s3proxy/config.yaml"]
