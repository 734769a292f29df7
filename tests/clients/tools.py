"""
Clients of S3 behind one face: put, list, get and delete files.

Each runs as its user would run it, with nothing of this machine's own configuration;
its multipart uploads are switched off, or left as they are in the classes named so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from boto3.s3.transfer import TransferConfig

from tests.boto import boto_client
from tests.daemon import BUCKET, KEY_ID, ROOT, SECRET

GIB = 1024**3
REGION = "us-east-1"


def program(name: str, environment: str = "") -> str:
    """
    A client that ``make test-system`` installs, or ``make clients``.

    :param environment: Which virtual environment: the end of its name.
    :raises AssertionError: It is not there: a failure, nothing is left out silently.
    """
    path = ROOT / f".venv-clients{environment}/bin/{name}"
    script = "client-packages.sh" if environment else "system-packages.sh"
    assert path.exists(), f"{path} is missing: run tools/{script}"
    return str(path)


def rclone() -> str:
    """The program that a wheel of the suite brings."""
    return str(Path(sys.executable).with_name("rclone"))


class Tool(ABC):
    """
    :param home: An empty directory, for configuration.
    :param ca_file: Whom to trust, of an endpoint with https.
    """

    #: Its name in the README's table.
    client: ClassVar[str]
    #: The marker of what installs it; None for what the whole suite has.
    installed_by: ClassVar[str | None] = None
    #: For one command, on a busy machine.
    seconds: ClassVar[float] = 120

    def __init__(self, endpoint: str, home: Path, ca_file: Path | None = None) -> None:
        self.endpoint = endpoint
        self.home = home
        self.ca_file = ca_file
        kept = {n: v for n, v in os.environ.items() if not n.startswith("AWS_")}
        self.environment = {
            **kept,
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
        }
        if ca_file is not None:
            self.environment["AWS_CA_BUNDLE"] = str(ca_file)
            self.environment["RCLONE_CA_CERT"] = str(ca_file)
            self.environment["SSL_CERT_FILE"] = str(ca_file)
            self.environment["NODE_EXTRA_CA_CERTS"] = str(ca_file)

    def run(self, *command: str, fails: bool | None = False) -> str:
        """Run to the end, well or not (None: either); what it printed, wherever to."""
        result = subprocess.run(
            command,
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=self.seconds,
        )
        said = f"{' '.join(command)}\n{result.stdout}"
        assert fails is None or (result.returncode != 0) is fails, said
        return result.stdout

    @abstractmethod
    def put(self, path: Path, key: str) -> str:
        """Upload a file in one PUT."""

    @abstractmethod
    def keys(self, prefix: str) -> set[str]:
        """Every key that begins with *prefix*."""

    @abstractmethod
    def get(self, key: str, path: Path) -> str:
        """Download into a file that is not there yet."""

    @abstractmethod
    def delete(self, key: str) -> str:
        """Delete one object."""


class Aws(Tool):
    """The ``aws`` command."""

    client = "aws cli"
    installed_by = "system"
    is_multipart: ClassVar[bool] = False

    def __init__(self, endpoint: str, home: Path, ca_file: Path | None = None) -> None:
        super().__init__(endpoint, home, ca_file)
        if not self.is_multipart:
            self.aws("configure", "set", "default.s3.multipart_threshold", "1GB")

    def aws(self, *arguments: str, fails: bool = False) -> str:
        """``aws …``, against the endpoint."""
        aws = (program("aws"), "--endpoint-url", self.endpoint)
        return self.run(*aws, *arguments, fails=fails)

    def put(self, path: Path, key: str) -> str:
        return self.aws("s3", "cp", "--no-progress", str(path), f"s3://{BUCKET}/{key}")

    def keys(self, prefix: str) -> set[str]:
        lines = self.aws("s3", "ls", "--recursive", f"s3://{BUCKET}/{prefix}")
        return {line.split(None, 3)[3] for line in lines.splitlines()}

    def get(self, key: str, path: Path) -> str:
        return self.aws("s3", "cp", "--no-progress", f"s3://{BUCKET}/{key}", str(path))

    def delete(self, key: str) -> str:
        return self.aws("s3", "rm", f"s3://{BUCKET}/{key}")

    def api(self, call: str, *arguments: str) -> Any:
        """``aws s3api …``, its answer read."""
        text = self.aws("s3api", call, "--bucket", BUCKET, *arguments)
        return json.loads(text) if text.strip() else None


class AwsMultipart(Aws):
    """With 8 MiB parts, as it comes."""

    is_multipart = True
    seconds = 600

    def copy(self, key: str, to: str) -> str:
        """On the server, part by part. (Version 2 would ask for its tags, too.)"""
        source, target = (f"s3://{BUCKET}/{each}" for each in (key, to))
        return self.aws("s3", "cp", "--no-progress", source, target)


class Boto3(Tool):
    """boto3 as it is made without any setting: no ``Config`` at all."""

    client = "boto3"

    def __init__(self, endpoint: str, home: Path, ca_file: Path | None = None) -> None:
        super().__init__(endpoint, home, ca_file)
        self.client = boto_client(
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            verify=str(ca_file) if ca_file is not None else None,
        )

    def put(self, path: Path, key: str) -> str:
        with path.open("rb") as body:
            answer = self.client.put_object(Bucket=BUCKET, Key=key, Body=body)
        return str(answer)

    def keys(self, prefix: str) -> set[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=prefix
        )
        return {each["Key"] for page in pages for each in page.get("Contents", ())}

    def get(self, key: str, path: Path) -> str:
        answer = self.client.get_object(Bucket=BUCKET, Key=key)
        with path.open("wb") as body:
            shutil.copyfileobj(answer["Body"], body)
        return str(answer)

    def delete(self, key: str) -> str:
        return str(self.client.delete_object(Bucket=BUCKET, Key=key))


class Boto3Transfer(Boto3):
    """Its managed transfers: the download takes ranges, ten at a time."""

    config = TransferConfig(multipart_threshold=GIB)

    def put(self, path: Path, key: str) -> str:
        self.client.upload_file(str(path), BUCKET, key, Config=self.config)
        return ""

    def get(self, key: str, path: Path) -> str:
        self.client.download_file(BUCKET, key, str(path))
        return ""


class S3cmd(Tool):
    """``s3cmd``"""

    client = "s3cmd"
    installed_by = "system"
    put_options: ClassVar[tuple[str, ...]] = ("--disable-multipart",)

    def __init__(self, endpoint: str, home: Path, ca_file: Path | None = None) -> None:
        super().__init__(endpoint, home, ca_file)
        scheme, _, host = endpoint.partition("://")
        self._config = home / "s3cfg"
        self._config.write_text(
            f"[default]\naccess_key = {KEY_ID}\nsecret_key = {SECRET}\n"
            f"host_base = {host}\nhost_bucket = {host}\n"
            f"use_https = {scheme == 'https'}\n"
            + (f"ca_certs_file = {ca_file}\n" if ca_file is not None else "")
        )

    def s3cmd(self, *arguments: str, fails: bool = False) -> str:
        """``s3cmd …``, against the endpoint."""
        s3cmd = (program("s3cmd"), "-c", str(self._config), "--no-progress")
        return self.run(*s3cmd, *arguments, fails=fails)

    def put(self, path: Path, key: str) -> str:
        target = f"s3://{BUCKET}/{key}"
        return self.s3cmd("put", *self.put_options, str(path), target)

    def keys(self, prefix: str) -> set[str]:
        lines = self.s3cmd("ls", "--recursive", f"s3://{BUCKET}/{prefix}").splitlines()
        bucket = f"s3://{BUCKET}/"
        return {line.split(None, 3)[3].removeprefix(bucket) for line in lines}

    def get(self, key: str, path: Path) -> str:
        return self.s3cmd("get", f"s3://{BUCKET}/{key}", str(path))

    def delete(self, key: str) -> str:
        return self.s3cmd("del", f"s3://{BUCKET}/{key}")


class S3cmdMultipart(S3cmd):
    """With 15 MiB parts, as it comes."""

    put_options = ()

    def copy(self, key: str, to: str) -> str:
        """On the server."""
        return self.s3cmd("cp", f"s3://{BUCKET}/{key}", f"s3://{BUCKET}/{to}")


class Rclone(Tool):
    """``rclone`` with the remote ``p``, of no particular provider."""

    client = "rclone"

    cutoff: ClassVar[tuple[str, ...]] = ("--s3-upload-cutoff", "5G")

    def __init__(self, endpoint: str, home: Path, ca_file: Path | None = None) -> None:
        super().__init__(endpoint, home, ca_file)
        self._config = home / "rclone.conf"
        self._config.write_text(
            "[p]\ntype = s3\nprovider = Other\n"
            f"access_key_id = {KEY_ID}\nsecret_access_key = {SECRET}\n"
            f"endpoint = {endpoint}\nregion = {REGION}\n"
        )

    def rclone(self, *arguments: str, fails: bool = False) -> str:
        """``rclone …``; an error is told at the first try."""
        once = ("--retries", "1", "--low-level-retries", "1")
        config = ("--config", str(self._config))
        return self.run(rclone(), *config, *once, *self.cutoff, *arguments, fails=fails)

    def put(self, path: Path, key: str) -> str:
        # ``copy`` names a directory; the file keeps its name.
        folder, _, name = f"/{key}".rpartition("/")
        source = self.home / "to-copy" / name
        source.parent.mkdir(exist_ok=True)
        source.hardlink_to(path)
        try:
            return self.rclone("copy", str(source), f"p:{BUCKET}{folder}")
        finally:
            source.unlink()

    def keys(self, prefix: str) -> set[str]:
        found = self.rclone("lsf", "--recursive", "--files-only", f"p:{BUCKET}")
        return {key for key in found.splitlines() if key.startswith(prefix)}

    def get(self, key: str, path: Path) -> str:
        into = path.with_name(f"{path.name}.d")
        said = self.rclone("copy", f"p:{BUCKET}/{key}", str(into))
        (into / key.rpartition("/")[2]).rename(path)
        return said

    def delete(self, key: str) -> str:
        return self.rclone("deletefile", f"p:{BUCKET}/{key}")


class RcloneMultipart(Rclone):
    """With 5 MiB parts from 200 MiB on, as it comes."""

    cutoff = ()
    seconds = 600

    def copy(self, key: str, to: str) -> str:
        """On the server."""
        return self.rclone("copyto", f"p:{BUCKET}/{key}", f"p:{BUCKET}/{to}")


TOOLS: Sequence[type[Tool]] = (Aws, Boto3, Boto3Transfer, S3cmd, Rclone)
