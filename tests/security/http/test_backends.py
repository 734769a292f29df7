"""Cases 95 to 98: backends are not believed, not followed, and not shown."""

from __future__ import annotations

import gzip
import hashlib
import socket
from collections.abc import Iterator

import pytest

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.daemon import Daemon
from tests.security.http import liar as lying
from tests.security.http import raw
from tests.security.http.conftest import KEPT, KEPT_BODY
from tests.security.http.liar import Asked, Liar, answer
from tests.servers import PostgresServer

NEW = b"what a client wants to store"
MD5 = f'ETag: "{hashlib.md5(NEW).hexdigest()}"'
KEPT_MD5 = f'ETag: "{hashlib.md5(KEPT_BODY).hexdigest()}"'
XML_ERROR = b"<?xml version='1.0'?><Error><Code>InternalError</Code></Error>"
ZIPPED = gzip.compress(KEPT_BODY)


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    with Liar() as server:
        yield server


@pytest.fixture(scope="module")
def ground(
    postgres: PostgresServer, liar: Liar
) -> Iterator[tuple[DatabaseConfig, BackendConfig]]:
    database = postgres.create_database()
    yield database, liar.config()
    postgres.drop_database(database)


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A port to which nobody has any reason to connect."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.fixture
def unchanged(unchanged: None, liar: Liar) -> Iterator[None]:
    """The liar is honest again before what it keeps is looked at."""
    yield
    liar.lie = lambda asked: None


def lie_about(liar: Liar, method: str, said: bytes) -> None:
    """Answer so to every request of *method* for an object."""

    def lie(asked: Asked) -> bytes | None:
        return said if asked.method == method else None

    liar.lie = lie


def refused(answer: raw.Answer) -> None:
    """500 or 503, without a word of the backend's."""
    raw.assert_error(
        answer,
        [
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
            (503, "SlowDown"),
        ],
    )
    shown = (answer.head.encode() + answer.body).lower()
    for word in (
        lying.BUCKET,
        lying.ACCESS_KEY,
        lying.SECRET_KEY,
        "canary",
        "liar",
        "evil",
    ):
        assert word.lower().encode() not in shown


def put(daemon: Daemon) -> raw.Answer:
    return raw.send(daemon.port, raw.request("PUT", f"/unified/{KEPT}", body=NEW))


def get(daemon: Daemon) -> raw.Answer:
    return raw.send(daemon.port, raw.request("GET", f"/unified/{KEPT}"))


@pytest.mark.parametrize("method", ["PUT", "GET"])
@pytest.mark.parametrize(
    "status", [pytest.param(n, id=f"case-95-{n}") for n in (301, 302, 303, 307, 308)]
)
@pytest.mark.usefixtures("unchanged")
def test_redirects(
    daemon: Daemon, liar: Liar, trap: socket.socket, status: int, method: str
) -> None:
    """Nobody goes there, least of all with a signature."""
    there = f"Location: http://127.0.0.1:{trap.getsockname()[1]}/evil"
    lie_about(liar, method, answer(status, b"", there))
    refused(put(daemon) if method == "PUT" else get(daemon))


PUTS = [
    pytest.param(answer(200, XML_ERROR), id="case-96-put-error-document"),
    pytest.param(answer(200, XML_ERROR, MD5), id="case-96-put-error-and-etag"),
    pytest.param(answer(200, b"", KEPT_MD5), id="case-96-put-another-etag"),
    pytest.param(answer(200, b"", 'ETag: "abc"')[:20], id="case-96-put-cut"),
    pytest.param(b"", id="case-96-put-no-answer"),
    pytest.param(b"rubbish\r\n\r\n", id="case-96-put-no-http"),
    pytest.param(answer(200, b"x", MD5, length=5), id="case-96-put-short-answer"),
    pytest.param(
        answer(200, b"", MD5, "X: " + "x" * 100_000), id="case-96-put-long-header"
    ),
    pytest.param(answer(200, b"", MD5, "no colon at all"), id="case-96-put-no-header"),
    pytest.param(
        answer(200, b"", MD5, "Content-Length: 7"), id="case-96-put-two-lengths"
    ),
]


@pytest.mark.parametrize("said", PUTS)
@pytest.mark.usefixtures("unchanged")
def test_answers_to_a_put(daemon: Daemon, liar: Liar, said: bytes) -> None:
    """What is no clear success is not acknowledged, and the old object stays."""
    lie_about(liar, "PUT", said)
    refused(put(daemon))


GETS = [
    pytest.param(answer(200, XML_ERROR, KEPT_MD5), id="case-96-get-error-document"),
    pytest.param(answer(200, KEPT_BODY, MD5), id="case-96-get-another-etag"),
    pytest.param(answer(200, KEPT_BODY), id="case-96-get-no-etag"),
    pytest.param(answer(200, KEPT_BODY[:-1], KEPT_MD5), id="case-96-get-shorter"),
    pytest.param(answer(200, KEPT_BODY + b"x", KEPT_MD5), id="case-96-get-longer"),
    pytest.param(
        answer(200, ZIPPED, KEPT_MD5, "Content-Encoding: gzip"), id="case-96-get-gzip"
    ),
    pytest.param(answer(206, KEPT_BODY, KEPT_MD5), id="case-96-get-206"),
    pytest.param(answer(204, b"", KEPT_MD5, length=None), id="case-96-get-204"),
    pytest.param(b"", id="case-96-get-no-answer"),
    pytest.param(b"rubbish\r\n\r\n", id="case-96-get-no-http"),
    pytest.param(
        answer(200, KEPT_BODY, KEPT_MD5, "X: " + "x" * 100_000),
        id="case-96-get-long-header",
    ),
]


@pytest.mark.parametrize("said", GETS)
@pytest.mark.usefixtures("unchanged")
def test_answers_to_a_get(daemon: Daemon, liar: Liar, said: bytes) -> None:
    """What is seen before a byte has gone to the client is an error like others."""
    lie_about(liar, "GET", said)
    refused(get(daemon))


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            answer(200, KEPT_BODY[:9], KEPT_MD5, length=len(KEPT_BODY)),
            id="case-96-get-cut",
        ),
        pytest.param(
            answer(200, KEPT_BODY[:9], KEPT_MD5, length=None),
            id="case-96-get-cut-without-length",
        ),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_a_body_that_is_cut(daemon: Daemon, liar: Liar, said: bytes) -> None:
    """An error, or a connection that breaks: never a short answer that looks whole."""
    lie_about(liar, "GET", said)
    with raw.connect(daemon.port) as connection:
        request = raw.request("GET", f"/unified/{KEPT}", "Connection: close")
        connection.sendall(request)
        try:
            came = raw.receive_all(connection)
        except ConnectionResetError:
            return
    head, _, body = came.partition(b"\r\n\r\n")
    if b" 200 " in head.split(b"\r\n")[0]:
        assert f"content-length: {len(KEPT_BODY)}".encode() in head.lower()
        assert len(body) < len(KEPT_BODY)


@pytest.mark.usefixtures("unchanged")
def test_junk_headers_are_not_handed_on(daemon: Daemon, liar: Liar) -> None:
    """Case 96: what an object's answer says comes from the ledger."""
    junk = ("Set-Cookie: evil=1", "X-Amz-Meta-Evil: 1", "Server: evil", "X-Evil: 1")
    junk += tuple(f"X-Evil-{n}: 1" for n in range(2000))
    lie_about(liar, "GET", answer(200, KEPT_BODY, KEPT_MD5, *junk))
    got = get(daemon)
    assert (got.status, got.body) == (200, KEPT_BODY)
    assert "evil" not in got.head.lower()


ECHO = (
    f"<?xml version='1.0'?><Error><Code>%s</Code><Message>{lying.SECRET_KEY}</Message>"
    f"<BucketName>{lying.BUCKET}</BucketName><Host>evil-host-canary</Host>"
    f"<AWSAccessKeyId>{lying.ACCESS_KEY}</AWSAccessKeyId></Error>"
)


@pytest.mark.parametrize("method", ["PUT", "GET"])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        pytest.param(400, "InvalidRequest", id="case-97-400"),
        pytest.param(401, "Unauthorized", id="case-97-401"),
        pytest.param(403, "SignatureDoesNotMatch", id="case-97-403"),
        pytest.param(404, "NoSuchBucket", id="case-97-404-bucket"),
        pytest.param(404, "NoSuchKey", id="case-97-404-key"),
        pytest.param(409, "OperationAborted", id="case-97-409"),
        pytest.param(429, "SlowDown", id="case-97-429"),
        pytest.param(500, "InternalError", id="case-97-500"),
        pytest.param(503, "SlowDown", id="case-97-503"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_errors_are_not_shown(
    daemon: Daemon, liar: Liar, status: int, code: str, method: str
) -> None:
    lie_about(liar, method, answer(status, (ECHO % code).encode()))
    refused(put(daemon) if method == "PUT" else get(daemon))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("Host: 127.0.0.1:{port}", id="case-98-host"),
        pytest.param("X-Forwarded-Host: 127.0.0.1:{port}", id="case-98-forwarded"),
        pytest.param("X-Forwarded-For: 127.0.0.1:{port}", id="case-98-forwarded-for"),
        pytest.param("X-Original-URL: http://127.0.0.1:{port}/", id="case-98-original"),
        pytest.param("Referer: http://127.0.0.1:{port}/", id="case-98-referer"),
        pytest.param(
            "x-amz-copy-source: http://127.0.0.1:{port}/unified/k", id="case-98-copy"
        ),
        pytest.param("x-amz-copy-source: //127.0.0.1:{port}/k", id="case-98-copy-rel"),
        pytest.param(
            "x-amz-website-redirect-location: http://127.0.0.1:{port}/",
            id="case-98-website",
        ),
    ],
)
def test_addresses_come_from_the_configuration(
    daemon: Daemon, liar: Liar, trap: socket.socket, line: str
) -> None:
    """Whatever a client writes, requests go to configured backends only."""
    line = line.format(port=trap.getsockname()[1])
    lines = [line] if not line.startswith("Host") else []
    first = [f"PUT /unified/other HTTP/1.1\r\n{raw.SIGNED}"]
    if not lines:
        text = "\r\n".join([*first, line, "Content-Length: 1", "", "x"])
    else:
        text = "\r\n".join(
            [*first, "Host: localhost", line, "Content-Length: 1", "", "x"]
        )
    before = len(liar.asked)
    raw.send(daemon.port, text.encode())
    raw.send(daemon.port, raw.request("DELETE", "/unified/other"))
    for asked in liar.asked[before:]:
        assert asked.headers["host"] == f"127.0.0.1:{liar.port}"
        assert str(trap.getsockname()[1]) not in str(asked)
