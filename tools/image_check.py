"""
``python -m tools.image_check DIRECTORY``: the image, made and tried without Docker.

As root, on Debian, with debootstrap and ``tools/system-packages.sh``. The Dockerfile's
steps are run below DIRECTORY (see :mod:`tools.image_root`). Then the image's command is
started there, as the image's user and with nothing writable but its state directory and
/tmp, beside a PostgreSQL and an S3 server: its health check must be content, an object
that is put must come back, and SIGTERM must end it well.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import boto3
import yaml
from botocore.config import Config

from s3proxy.config import BackendConfig, DatabaseConfig
from s3proxy.embedded.ports import free_ports
from tests.outside.servers import DATABASE, PASSWORD, USER, DebianPostgres
from tests.servers import S3Server
from tools.image_root import TOP, Image, build, environment, inside, make_base

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 45.0
KEY_ID, SECRET = "KEYOFCHECK", "secret of the check"


def configuration(
    port: int, database: DatabaseConfig, backend: BackendConfig
) -> dict[str, object]:
    """What the daemon in the image is started with."""
    return {
        "server": {"listen_addr": f"127.0.0.1:{port}"},
        "auth": {"access_key_id": KEY_ID, "secret_access_key": SECRET},
        "database": {
            "host": "127.0.0.1",
            "port": database.port,
            "database": DATABASE,
            "user": USER,
            "password": "${DB_PASSWORD}",
        },
        "backends": [
            {
                "name": backend.name,
                "endpoint": backend.endpoint,
                "bucket": backend.bucket,
                "access_key_id": backend.access_key_id,
                "secret_access_key": backend.secret_access_key,
                "force_path_style": True,
                "quota_bytes": 10**9,
            }
        ],
    }


def check(image: Image, port: int) -> None:
    """
    Start the image's command; put an object, and read it.

    :raises RuntimeError: It ended, or is not well in time.
    """
    environ = environment(HEALTH_PORT=str(port), DB_PASSWORD=PASSWORD)
    command = [*image.entrypoint, *image.command]
    daemon = subprocess.Popen(
        inside(image, command, image.user, read_only=True), env=environ
    )
    health = inside(image, image.health, image.user, read_only=True)
    deadline = time.monotonic() + START_SECONDS
    try:
        while subprocess.run(health, env=environ).returncode != 0:
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the image's health check is not content")
            time.sleep(1)
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            config=Config(proxies={}, s3={"addressing_style": "path"}),
        )
        body = bytes(range(256)) * 4096
        client.put_object(Bucket="unified", Key="k", Body=body)
        if client.get_object(Bucket="unified", Key="k")["Body"].read() != body:
            raise RuntimeError("the object came back as another")
        _terminate(daemon)
    finally:
        daemon.kill()
        daemon.wait()


def _terminate(daemon: subprocess.Popen[bytes]) -> None:
    """
    Stop it as an engine does: SIGTERM to the first process in there.

    :raises RuntimeError: It did not end well.
    """
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text()
    os.kill(int(children), signal.SIGTERM)
    if daemon.wait(STOP_SECONDS) != 0:
        raise RuntimeError(f"at SIGTERM it ended with {daemon.returncode}")


def main() -> None:
    """See the module."""
    place = Path(sys.argv[1]).resolve()
    image = build((TOP / "Dockerfile").read_text("utf-8"), make_base(place), place)
    [port] = free_ports(1)
    with DebianPostgres(None) as postgres, S3Server() as s3server:
        postgres.empty()
        document = configuration(
            port, postgres.config(), s3server.create_bucket("checked")
        )
        config = image.root / "etc/s3proxy/config.yaml"
        config.parent.mkdir(exist_ok=True)
        config.write_text(yaml.safe_dump(document), "utf-8")
        check(image, port)
    sys.stdout.write("the image is healthy, and stores and reads an object\n")


if __name__ == "__main__":
    main()
