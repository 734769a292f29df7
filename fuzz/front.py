"""The whole front door: bytes of a connection in, answers out, no network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from random import Random

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from s3proxy.config_model import AuthConfig, ServerConfig
from s3proxy.errors import S3Error
from s3proxy.web.assembly import Rooms, make_site
from s3proxy.web.auth import Authenticator
from s3proxy.web.directory import BucketDirectory
from s3proxy.web.keyring import Keyring
from tests.s3.signing import ACCESS_KEY_ID, NOW, SECRET, Request
from tests.web.fakes import (
    FakeBuckets,
    FakeBucketTags,
    FakeCopies,
    FakeCors,
    FakeObjects,
    FakeUploads,
)

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n")
_BODY = b"some bytes"


@implementer(ITCPTransport)
class Transport(StringTransport):
    """A connection's other side, which takes everything at once."""

    def abortConnection(self) -> None:
        self.loseConnection()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """It sends at once anyway."""

    def loseWriteConnection(self) -> None:
        """Our side says no more; the client's goes on."""

    def unregisterProducer(self) -> None:
        # A real one does not mind when there is none.
        self.producer = None


def bytes_of(request: Request, body: bytes = b"") -> bytes:
    """As it goes over the wire."""
    lines = [f"{request.method} {request.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _seeds() -> Sequence[bytes]:
    host = (("host", "h"),)
    get = Request("GET", "/unified/k", "", host)
    put = Request("PUT", "/unified/new", "", (*host, ("x-amz-meta-a", "b")))
    page = Request("GET", "/unified", "list-type=2&prefix=k&max-keys=2", host)
    complete = Request("POST", "/unified/k", "uploadId=u", host)
    part = Request("PUT", "/unified/k", "partNumber=1&uploadId=u", host)
    document = (
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>"
        b"</CompleteMultipartUpload>"
    )
    unsigned = {"payload_hash": "UNSIGNED-PAYLOAD"}
    framed = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    chunked = (
        b"PUT /unified/new HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n"
        b"x-amz-decoded-content-length: 5\r\nx-amz-trailer: x-amz-checksum-crc32\r\n"
        b"x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n\r\n"
        + b"%x\r\n%b\r\n0\r\n\r\n"
        % (len(framed), framed)
    )
    return [
        bytes_of(get.presigned()) + bytes_of(get.signed()),
        bytes_of(put.signed(**unsigned), _BODY),
        bytes_of(put.presigned(), _BODY),
        bytes_of(page.signed()),
        bytes_of(part, _BODY) + bytes_of(complete, document),
        chunked + bytes_of(get.having("range", "bytes=1-2")),
        b"HEAD /unified/k HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\n\r\n",
        b"GET /health HTTP/1.0\r\nhost: h\r\nconnection: keep-alive\r\n\r\n",
    ]


class Front:
    """
    A front door with one object; half of the time, everybody is let in.

    :ivar seeds: Whole connections.
    :ivar words: Of HTTP.
    """

    words = (
        *(
            b"GET ",
            b"PUT ",
            b"HEAD ",
            b"DELETE ",
            b"POST ",
            b" HTTP/1.1\r\n",
            b"\r\n\r\n",
        ),
        *(b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b"host: h\r\n"),
        *(
            b"connection: close\r\n",
            b"expect: 100-continue\r\n",
            b"range: bytes=0-1\r\n",
        ),
        *(b"x-amz-copy-source: /unified/k\r\n", b"authorization: AWS4-HMAC-SHA256 "),
        *(b"?uploads", b"?acl", b"/unified/k", b"/health", b"if-match: *\r\n"),
    )

    def __init__(self) -> None:
        self.seeds = _seeds()
        self._failures: list[LogEvent] = []

    def run(self, data: bytes, number: int, random: Random) -> None:
        """
        Send it, in pieces, and hang up.

        :raises AssertionError: A 500, or a traceback in the log.
        :raises S3Error: The first answer was an error of S3's.
        """
        clock = Clock()
        site = self._site(clock, open_to_all=random.random() < 0.5)
        channel = site.buildProtocol(None)
        transport = Transport()
        edges = [
            0,
            *sorted(random.randrange(len(data) + 1) for _ in range(3)),
            len(data),
        ]
        globalLogPublisher.addObserver(self._note)
        try:
            channel.makeConnection(transport)
            for start, end in pairwise(edges):
                channel.dataReceived(data[start:end])
            clock.pump([0.1, 120.0])
            channel.connectionLost(Failure(ConnectionDone()))
            clock.pump([120.0, 120.0])
        finally:
            globalLogPublisher.removeObserver(self._note)
        if self._failures:
            failure, self._failures = self._failures[0], []
            raise AssertionError(failure["log_failure"].getTraceback())
        statuses = _STATUS.findall(transport.value())
        assert b"500" not in statuses, transport.value()
        assert site.drain.in_flight == 0
        if not statuses or statuses[0] >= b"400":
            raise S3Error

    def _note(self, event: LogEvent) -> None:
        if "log_failure" in event:
            self._failures.append(event)

    def _site(self, clock: Clock, *, open_to_all: bool):  # type: ignore[no-untyped-def]
        objects = FakeObjects()
        objects.store("unified", "k", _BODY)
        auth = AuthConfig() if open_to_all else AuthConfig(ACCESS_KEY_ID, SECRET)
        created = {"unified": datetime(2026, 1, 2, tzinfo=UTC)}
        rooms = Rooms(
            objects,
            FakeUploads(),
            FakeCopies(),
            FakeBucketTags(),
            FakeCors(),
            BucketDirectory(created, FakeBuckets(), {"health"}),
        )
        keyring = Keyring.of(auth)
        return make_site(
            rooms,
            Authenticator(keyring, regions=("us-east-1",), now=lambda: NOW),
            server=ServerConfig(),
            clock=clock,
            now=lambda: NOW,
            request_ids=lambda: "0" * 16,
        )
