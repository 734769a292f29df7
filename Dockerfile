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
# Over http, or https with whatever certificate: that it answers is what counts.
HEALTHCHECK --interval=30s --timeout=10s CMD ["/opt/s3proxy/bin/python", "-c", \
    "import contextlib as c, ssl, sys, urllib.request as r\nfor s in ('http', 'https'):\n with c.suppress(OSError):\n  sys.exit(r.urlopen(s + '://127.0.0.1:9000/health', timeout=4, context=ssl._create_unverified_context()).read() != b'ok')\nsys.exit(1)"]
ENTRYPOINT ["/opt/s3proxy/bin/s3proxy"]
CMD ["--config", "/etc/s3proxy/config.yaml"]
