"""A daemon that is asked for a bit of everything."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest
from attrs import frozen
from botocore.exceptions import ClientError

from tests.daemon import BUCKET, Daemon
from tests.servers import PostgresServer, S3Server
from tests.telemetry.pages import Page

MIB = 1024 * 1024
#: Room for the first object and little more: the upload's parts go to "roomy".
QUOTA = 3 * MIB


@frozen
class Scraped:
    """
    A daemon, and where its metrics are.

    :ivar database: The name of its ledger's.
    """

    daemon: Daemon
    database: str
    path: str = "/metrics"

    @property
    def url(self) -> str:
        return f"{self.daemon.endpoint}{self.path}"

    def text(self) -> str:
        """One scrape."""
        with urllib.request.urlopen(self.url, timeout=20) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")
            return str(answer.read().decode())

    def page(self) -> Page:
        return Page(self.text())


@pytest.fixture(scope="package")
def scraped(postgres: PostgresServer, s3server: S3Server) -> Iterator[Scraped]:
    """
    Two backends; an object on the first, one that was copied to the second, an open
    upload there, a delete and requests that are refused.
    """
    database = postgres.create_database()
    backends = [
        s3server.create_bucket("small", quota_bytes=QUOTA),
        s3server.create_bucket("roomy"),
    ]
    with Daemon(
        database,
        backends,
        module="tests.metrics.quick_daemon",
        telemetry={"metrics": {"enabled": True}},
    ) as daemon:
        client = daemon.client()
        client.put_object(Bucket=BUCKET, Key="one", Body=b"1" * 2 * MIB)
        client.put_object(Bucket=BUCKET, Key="two", Body=b"2" * 2 * MIB)
        client.get_object(Bucket=BUCKET, Key="one")["Body"].read()
        client.head_object(Bucket=BUCKET, Key="one")
        client.list_objects_v2(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="three", Body=b"3")
        client.delete_object(Bucket=BUCKET, Key="three")
        upload = client.create_multipart_upload(Bucket=BUCKET, Key="four")
        client.upload_part(
            Bucket=BUCKET,
            Key="four",
            UploadId=upload["UploadId"],
            PartNumber=1,
            Body=b"4" * 5 * MIB,
        )
        with pytest.raises(ClientError):
            client.get_object(Bucket=BUCKET, Key="nothing")
        yield Scraped(daemon, database.database)
    for backend in backends:
        s3server.remove_bucket(backend)
    postgres.drop_database(database)
