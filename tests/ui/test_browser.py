"""The pages of a real daemon in headless Chromium, on a desk and on a phone."""

from __future__ import annotations

import re
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.daemon import BUCKET, Daemon
from tests.servers import PostgresServer, S3Server

pytestmark = pytest.mark.system

PASSWORD = "status-page-password"
MIB = 1024**2


@pytest.fixture(scope="module")
def daemon(postgres: PostgresServer, s3server: S3Server) -> Iterator[Daemon]:
    """Two backends, the first nearly full; an upload under way; a few keys."""
    backends = [
        s3server.create_bucket("nearly-full", quota_bytes=10 * MIB),
        s3server.create_bucket("roomy", quota_bytes=100 * MIB),
    ]
    ui = {"enabled": True, "password": PASSWORD}
    with Daemon(postgres.create_database(), backends, ui=ui) as daemon:
        s3 = daemon.client()
        for number in range(3):
            key = f"photos/2026/{number} <b>bold.jpg"
            s3.put_object(Bucket=BUCKET, Key=key, Body=bytes(3 * MIB))
        s3.put_object(Bucket=BUCKET, Key="readme.txt", Body=b"hello")
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="backup.tar")
        s3.upload_part(
            Bucket=BUCKET,
            Key="backup.tar",
            UploadId=upload["UploadId"],
            PartNumber=1,
            Body=bytes(5 * MIB),
        )
        wait_for_traffic(daemon)
        yield daemon


def wait_for_traffic(daemon: Daemon) -> None:
    """Until the daemon has written down what it counted, which it does now and then."""
    login = urllib3.make_headers(basic_auth=f"admin:{PASSWORD}")
    for _ in range(300):
        shown = urllib3.request("GET", f"{daemon.endpoint}/ui", headers=login)
        if re.search(rb"[1-9]\d* requests, ", shown.data):
            return
        time.sleep(0.1)
    raise AssertionError("no traffic was written down")


def chromium(tmp_path: Path, *arguments: str) -> str:
    """Run it once; returns what it printed."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    done = subprocess.run(
        ["chromium", *flags, f"--user-data-dir={tmp_path}/profile", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def page(daemon: Daemon, path: str) -> str:
    return f"http://admin:{PASSWORD}@127.0.0.1:{daemon.port}{path}"


def test_the_overview(daemon: Daemon, tmp_path: Path) -> None:
    dom = chromium(tmp_path, "--dump-dom", page(daemon, "/ui"))
    text = re.sub(r"<[^>]+>", " ", dom)
    assert "nearly-full" in text and "9.0 MiB of 10.0 MiB (90%)" in text
    assert "roomy" in text and "5.0 MiB of 100.0 MiB (5%)" in text
    assert "backup.tar" in text and "collect garbage on roomy" in text
    assert re.search(r"[1-9]\d* requests, 0 answered 4xx, 0 answered 5xx", text)


def test_the_browser_of_buckets(daemon: Daemon, tmp_path: Path) -> None:
    dom = chromium(tmp_path, "--dump-dom", page(daemon, f"/ui/browse?bucket={BUCKET}"))
    assert "readme.txt" in dom and "photos/" in dom
    dom = chromium(
        tmp_path,
        "--dump-dom",
        page(daemon, f"/ui/browse?bucket={BUCKET}&prefix=photos/2026/"),
    )
    assert "0 &lt;b&gt;bold.jpg" in dom and "<b>" not in dom


@pytest.mark.parametrize(("width", "height"), [(1200, 1000), (390, 1600)])
def test_a_picture_of_it(
    daemon: Daemon, tmp_path: Path, width: int, height: int
) -> None:
    """The picture is for people to look at; here it is not blank and has the bars."""
    picture = tmp_path / "page.png"
    chromium(
        tmp_path,
        f"--screenshot={picture}",
        f"--window-size={width},{height}",
        page(daemon, "/ui"),
    )
    data = picture.read_bytes()
    assert struct.unpack(">II", data[16:24]) == (width, height)
    assert len(data) > 15_000


def test_a_stranger_gets_the_login(daemon: Daemon, tmp_path: Path) -> None:
    where = f"http://127.0.0.1:{daemon.port}/ui"
    dom = chromium(tmp_path, "--dump-dom", where)
    assert "nearly-full" not in dom
