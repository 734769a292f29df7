"""Cases 60 to 79 on a real daemon: requests that are wrong, unusual or large."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.security.http import raw
from tests.security.http.conftest import KEPT, KEPT_BODY
from tests.system import memory
from tests.system.wire import Client

Send = Callable[..., raw.Answer]
GIB = 1024**3

BAD = (400, "InvalidRequest")
URI = (400, "InvalidURI")
UNKNOWN = (501, "NotImplemented")
TOO_LARGE = (400, "EntityTooLarge")
HEADERS = (400, "RequestHeaderSectionTooLarge")

PUT = f"PUT /unified/{KEPT} HTTP/1.1\r\nHost: localhost\r\n{raw.SIGNED}\r\n"
GET = f"GET /unified/{KEPT} HTTP/1.1\r\n{raw.SIGNED}\r\n"
# What a server in front or behind might take for a request of its own.
SMUGGLED = raw.request("DELETE", f"/unified/{KEPT}").decode()
CHUNKED = "Transfer-Encoding: chunked\r\n"

# Id, request, answer. None of them may be followed by another request.
REFUSED: list[tuple[str, str, tuple[int, str]]] = [
    (
        "case-60-cl-te",
        f"{PUT}Content-Length: 5\r\n{CHUNKED}\r\n0\r\n\r\n{SMUGGLED}",
        BAD,
    ),
    (
        "case-60-te-cl",
        f"{PUT}{CHUNKED}Content-Length: 5\r\n\r\n0\r\n\r\n{SMUGGLED}",
        BAD,
    ),
    ("case-60-te-te", f"{PUT}{CHUNKED}{CHUNKED}\r\n0\r\n\r\n{SMUGGLED}", BAD),
    ("case-60-cl-cl", f"{PUT}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", BAD),
    (
        "case-60-cl-cl-other",
        f"{PUT}Content-Length: 5\r\nContent-Length: 6\r\n\r\nh",
        BAD,
    ),
    ("case-60-cl-plus", f"{PUT}Content-Length: +5\r\n\r\nhello", BAD),
    ("case-60-cl-minus", f"{PUT}Content-Length: -5\r\n\r\nhello", BAD),
    ("case-60-cl-list", f"{PUT}Content-Length: 5,5\r\n\r\nhello", BAD),
    ("case-60-cl-hex", f"{PUT}Content-Length: 0x5\r\n\r\nhello", BAD),
    ("case-60-cl-space", f"{PUT}Content-Length: 5 5\r\n\r\nhello", BAD),
    ("case-60-cl-empty", f"{PUT}Content-Length:\r\n\r\nhello", BAD),
    (
        "case-60-cl-digits-of-another-script",
        f"{PUT}Content-Length: \xb2\r\n\r\nhe",
        BAD,
    ),
    (
        "case-60-te-xchunked",
        f"{PUT}Transfer-Encoding: xchunked\r\n\r\n{SMUGGLED}",
        UNKNOWN,
    ),
    (
        "case-60-te-list",
        f"{PUT}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        UNKNOWN,
    ),
    (
        "case-60-te-quoted",
        f'{PUT}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
        UNKNOWN,
    ),
    ("case-60-te-tab", f"{PUT}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", UNKNOWN),
    (
        "case-60-te-name-space",
        f"{PUT}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        BAD,
    ),
    ("case-60-te-1.0", PUT.replace("1.1", "1.0") + f"{CHUNKED}\r\n0\r\n\r\n", BAD),
    ("case-60-obs-fold", f"{PUT}X: a\r\n b\r\nContent-Length: 0\r\n\r\n", BAD),
    ("case-60-bare-cr", f"{PUT}X: a\rContent-Length: 0\r\n\r\n", BAD),
    ("case-60-bare-lf", f"{PUT}X: a\nContent-Length: 0\r\n\r\n", BAD),
    ("case-60-nul", f"{PUT}X: a\0b\r\nContent-Length: 0\r\n\r\n", BAD),
    ("case-61-te-identity", f"{PUT}Transfer-Encoding: identity\r\n\r\n{SMUGGLED}", BAD),
    ("case-61-two-hosts", f"{GET}Host: a\r\nHost: b\r\n\r\n", BAD),
    ("case-61-host-twice", f"{GET}Host: a\r\nHost: a\r\n\r\n", BAD),
    ("case-61-no-host", f"{GET}\r\n", BAD),
    ("case-61-no-host-1.0", GET.replace("1.1", "1.0") + "\r\n", BAD),
    (
        "case-61-absolute-form",
        GET.replace("GET /", "GET http://evil/") + "Host: localhost\r\n\r\n",
        URI,
    ),
    (
        "case-61-authority-form",
        "GET localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        URI,
    ),
    ("case-61-asterisk-form", "GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", URI),
    ("case-62-no-length", f"{PUT}\r\n", (411, "MissingContentLength")),
    ("case-62-chunked", f"{PUT}{CHUNKED}\r\n0\r\n\r\n", (411, "MissingContentLength")),
    ("case-63-over-5-GiB", f"{PUT}Content-Length: {5 * GIB + 1}\r\n\r\n", TOO_LARGE),
    ("case-63-over-63-bits", f"{PUT}Content-Length: {2**63}\r\n\r\n", TOO_LARGE),
    ("case-63-10^26", f"{PUT}Content-Length: {10**26}\r\n\r\n", TOO_LARGE),
    ("case-63-5000-digits", f"{PUT}Content-Length: {'9' * 5000}\r\n\r\n", TOO_LARGE),
    ("case-65-one-header", f"{GET}Host: h\r\nX: {'a' * 8200}\r\n\r\n", HEADERS),
    ("case-65-no-line-end", f"{GET}Host: h\r\nX: {'a' * 70_000}", HEADERS),
    ("case-65-many-headers", f"{GET}Host: h\r\n" + "X: a\r\n" * 2000 + "\r\n", HEADERS),
    ("case-65-many-small", f"{GET}Host: h\r\n" + "a:\r\n" * 301 + "\r\n", HEADERS),
    ("case-65-request-line", f"GET /{'k' * 20_000} HTTP/1.1\r\nHost: h\r\n\r\n", URI),
    (
        "case-66-metadata",
        f"{PUT}x-amz-meta-a: {'m' * 2048}\r\nContent-Length: 1\r\n\r\nx",
        (400, "MetadataTooLarge"),
    ),
    *(
        (
            f"case-70-{verb.lower()}",
            f"{verb} /unified/{KEPT} HTTP/1.1\r\nHost: h\r\n{raw.SIGNED}\r\n\r\n",
            (405, "MethodNotAllowed"),
        )
        for verb in ("TRACE", "PATCH", "LOCK", "PROPFIND", "BREW", "get")
    ),
    (
        "case-70-connect",
        "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n",
        (405, "MethodNotAllowed"),
    ),
    ("case-73-no-version", "GET /\r\nHost: h\r\n\r\n", BAD),
    ("case-73-http-2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
    ("case-73-no-http", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", BAD),
    ("case-73-bad-method", "G(T / HTTP/1.1\r\nHost: h\r\n\r\n", BAD),
    ("case-73-no-colon", f"{GET}Host: h\r\nnonsense\r\n\r\n", BAD),
    (
        "case-74-key-1025",
        raw.request("PUT", "/unified/" + "k" * 1025, body=b"x").decode(),
        (400, "KeyTooLongError"),
    ),
    (
        "case-74-key-1026-escaped",
        raw.request("PUT", "/unified/" + "%C3%A9" * 513, body=b"x").decode(),
        (400, "KeyTooLongError"),
    ),
    *(
        (
            f"case-75-{name}",
            raw.request(verb, f"/unified/{path}").decode("latin-1"),
            URI,
        )
        for name, path in (
            ("ff", "%FF"),
            ("surrogate", "%ED%A0%80"),
            ("overlong", "%C0%AF"),
            ("raw-byte", "\xb0"),
            ("broken-escape", "%4"),
            ("no-hex", "%zz"),
            ("in-query", "?prefix=%FF"),
        )
        for verb in ("GET", "DELETE")
    ),
    ("case-76-key", raw.request("GET", "/unified/a%00b").decode(), URI),
    ("case-76-bucket", raw.request("GET", "/uni%00fied").decode(), URI),
    ("case-76-query", raw.request("GET", "/unified?prefix=a%00").decode(), URI),
]


# What was not understood to its end is the connection's last request.
CLOSES = tuple(
    f"case-{name}"
    for name in (
        "60-",
        "61-te",
        "62-chunked",
        "63-",
        "65-one",
        "65-no",
        "65-many",
        "73",
    )
)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [pytest.param(*each, id=each[0]) for each in REFUSED],
)
@pytest.mark.usefixtures("unchanged")
def test_refused(send: Send, name: str, text: str, expected: tuple[int, str]) -> None:
    """The error is S3's, and nothing that follows in its bytes is a request."""
    answer = send(text.encode("latin-1"))
    raw.assert_error(answer, [expected])
    if name.startswith(CLOSES):
        assert answer.is_last


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((), id="case-67-unsigned"),
        pytest.param(("X-Proxy-Token: wrong",), id="case-67-wrong-token"),
        pytest.param(("Authorization: AWS4-HMAC-SHA256 x",), id="case-67-malformed"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_no_100_continue_for_strangers(daemon: Daemon, lines: tuple[str, ...]) -> None:
    """The first thing that comes is the refusal."""
    head = raw.request(
        "PUT",
        f"/unified/{KEPT}",
        "Expect: 100-continue",
        *lines,
        length=5 * GIB,
        token=False,
    )
    answer = raw.send(daemon.port, head)
    assert answer.status in (400, 403)
    assert answer.is_last


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("chunked", [False, True], ids=["case-68", "case-68-chunked"])
def test_5_gib_of_a_stranger(daemon: Daemon, chunked: bool) -> None:
    """403 at once, though it sends on; nothing is kept on disk or in memory."""
    before = memory.resident_bytes(daemon.pid)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {5 * GIB}"
    began = time.monotonic()
    with raw.connect(daemon.port) as connection:
        connection.sendall(raw.request("PUT", "/unified/k", length, token=False))
        block = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        sent = 0
        try:
            while sent < 64 * 1024**2:
                connection.sendall(block)
                sent += len(block)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = raw.receive(connection)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert answer.is_last
    assert time.monotonic() - began < 10
    assert memory.resident_bytes(daemon.pid) - before < 4 * 1024**2
    assert not _deleted_files(daemon.pid)


def _deleted_files(pid: int) -> list[str]:
    """Temporary files of a process: those without a name, too."""
    links = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(each.readlink()))
        except FileNotFoundError:
            continue
    return [x for x in links if x.endswith("(deleted)") or "/tmp/tmp" in x]


def test_405_says_what_is_allowed(send: Send) -> None:
    """Case 70."""
    answer = send(raw.request("TRACE", "/unified/k"))
    assert set((answer.header("allow") or "").split(", ")) == {
        "DELETE", "GET", "HEAD", "POST", "PUT",
    }  # fmt: skip


@pytest.mark.parametrize("count", [2, 40], ids=["case-71-two", "case-71-many"])
def test_pipelined(daemon: Daemon, count: int) -> None:
    """Answers come in the order of the requests, good and bad, slow and fast."""
    targets = [f"/unified/{KEPT}", "/unified/none", "/health", "/other/k"]
    wanted = [200, 404, 200, 404]
    with raw.connect(daemon.port) as connection:
        connection.sendall(
            b"".join(raw.request("GET", targets[n % 4]) for n in range(count))
        )
        rest = b""
        for n in range(count):
            while b"\r\n\r\n" not in rest:
                rest += connection.recv(65536)
            head, _, rest = rest.partition(b"\r\n\r\n")
            assert int(head.split()[1]) == wanted[n % 4]
            length = int(head.lower().split(b"content-length: ")[1].split()[0])
            while len(rest) < length:
                rest += connection.recv(65536)
            rest = rest[length:]


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(100, id="case-72-small"),
        pytest.param(3 * 1024**2, id="case-72-large"),
        pytest.param(48 * 1024**2, id="case-72-huge"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_an_early_error_is_readable(daemon: Daemon, size: int) -> None:
    """By a client that sends all before it reads, and the rest is no request."""
    body = SMUGGLED.encode().ljust(size, b"x")
    put = raw.request("PUT", f"/other/{KEPT}", body=body)
    with raw.connect(daemon.port) as connection:
        connection.sendall(put)
        answer = raw.receive(connection)
    assert (answer.status, answer.code) == (404, "NoSuchBucket")
    assert answer.is_last is (size > 1024**2)


def test_no_banner_anywhere(send: Send) -> None:
    """Case 73: of good answers neither."""
    for method, target in [
        ("GET", "/health"),
        ("GET", "/"),
        ("GET", f"/unified/{KEPT}"),
        ("HEAD", f"/unified/{KEPT}"),
        ("GET", "/unified"),
        ("DELETE", "/unified/none"),
    ]:
        with_close = raw.request(method, target, "Connection: close")
        if method == "HEAD":
            continue
        head = send(with_close).head.lower()
        for word in ("server:", "twisted", "python", "klein", "x-powered-by"):
            assert word not in head


@pytest.mark.parametrize(
    ("path", "key"),
    [
        pytest.param("k" * 1024, "k" * 1024, id="case-74-1024"),
        pytest.param("%C3%A9" * 512, "é" * 512, id="case-74-1024-escaped"),
        pytest.param("../x", "../x", id="case-77-parent"),
        pytest.param("a/../b", "a/../b", id="case-77-inner"),
        pytest.param("..", "..", id="case-77-only"),
        pytest.param(".", ".", id="case-77-dot"),
        pytest.param("%2E%2E/x2", "../x2", id="case-77-escaped"),
        pytest.param("..%2Fx3", "../x3", id="case-77-escaped-slash"),
        pytest.param("../../etc/passwd", "../../etc/passwd", id="case-77-deep"),
        pytest.param("..\\x", "..\\x", id="case-77-backslash"),
        pytest.param("__multipart/u/1", "__multipart/u/1", id="case-78-multipart"),
        pytest.param("kept~01J", "kept~01J", id="case-78-our-suffix"),
        pytest.param(
            "kept~01JDR2Q5V6W7X8Y9ZABCDEFGHJ.manifest",
            "kept~01JDR2Q5V6W7X8Y9ZABCDEFGHJ.manifest",
            id="case-78-our-manifest",
        ),
        pytest.param("~/01JDR2Q5V6", "~/01JDR2Q5V6", id="case-78-our-folder"),
        pytest.param("metrics", "metrics", id="case-79-metrics"),
        pytest.param("health", "health", id="case-79-health"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_keys_are_what_they_are(daemon: Daemon, path: str, key: str) -> None:
    """Stored, listed and read under exactly that name, and deleted again."""
    target = f"/unified/{path}"
    put = raw.send(daemon.port, raw.request("PUT", target, body=path.encode()))
    assert put.status == 200
    with Client(daemon.port) as client:
        assert sorted(client.keys()) == sorted([KEPT, key])
    assert raw.send(daemon.port, raw.request("GET", target)).body == path.encode()
    assert raw.send(daemon.port, raw.request("DELETE", target)).status == 204
    assert raw.send(daemon.port, raw.request("GET", target)).status == 404


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        pytest.param("GET", "/health", 200, id="case-79-health"),
        pytest.param("GET", "/health/k", 404, id="case-79-health-as-a-bucket"),
        pytest.param("GET", "/health?prefix=x", 404, id="case-79-health-listing"),
        pytest.param("GET", "/metrics", 404, id="case-79-metrics-when-off"),
        pytest.param("GET", "/../health", 404, id="case-77-not-normalised"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_own_paths_and_buckets(
    send: Send, method: str, target: str, status: int
) -> None:
    assert send(raw.request(method, target)).status == status


@pytest.mark.usefixtures("unchanged")
def test_no_bucket_is_made_of_an_own_path(send: Send) -> None:
    """Case 79."""
    assert send(raw.request("PUT", "/health")).status >= 400
    assert send(raw.request("GET", "/health")).body == b"ok"


@pytest.mark.parametrize(
    ("line", "status", "body"),
    [
        pytest.param("bytes=31-", 206, KEPT_BODY[31:], id="case-91-last-byte"),
        pytest.param("bytes=32-", 416, None, id="case-91-at-the-end"),
        pytest.param("bytes=99999999999999999999-", 416, None, id="case-91-overflow"),
        pytest.param(f"bytes={'9' * 5000}-", 416, None, id="case-91-5000-digits"),
        pytest.param(f"bytes=0-{2**64}", 206, KEPT_BODY, id="case-91-end-overflow"),
        pytest.param(f"bytes=-{2**64}", 206, KEPT_BODY, id="case-91-suffix-overflow"),
        pytest.param("bytes=-0", 416, None, id="case-91-no-suffix"),
        pytest.param("bytes=0-0,2-3", 200, KEPT_BODY, id="case-91-several"),
        pytest.param(
            "bytes=" + ",".join(f"{n}-{n}" for n in range(1000)),
            200,
            KEPT_BODY,
            id="case-91-a-thousand",
        ),
        pytest.param("bytes=5-2", 200, KEPT_BODY, id="case-91-backwards"),
        pytest.param("bytes=a-b", 200, KEPT_BODY, id="case-91-letters"),
        pytest.param("lines=1-2", 200, KEPT_BODY, id="case-91-other-unit"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_ranges(send: Send, line: str, status: int, body: bytes | None) -> None:
    answer = send(raw.request("GET", f"/unified/{KEPT}", f"Range: {line}"))
    assert answer.status == status
    if body is None:
        raw.assert_error(answer, [(416, "InvalidRange")])
        assert answer.header("content-range") == f"bytes */{len(KEPT_BODY)}"
    else:
        assert answer.body == body


@pytest.mark.usefixtures("unchanged")
def test_metadata_of_2_kib_pass(daemon: Daemon) -> None:
    """Case 66: the limit is inclusive, of names and values together."""
    line = f"x-amz-meta-a: {'m' * 2047}"
    put = raw.send(daemon.port, raw.request("PUT", "/unified/m", line, body=b"x"))
    assert put.status == 200
    got = raw.send(daemon.port, raw.request("GET", "/unified/m"))
    assert got.header("x-amz-meta-a") == "m" * 2047
    assert raw.send(daemon.port, raw.request("DELETE", "/unified/m")).status == 204


@pytest.mark.usefixtures("unchanged")
def test_headers_of_just_under_8_kib_pass(send: Send) -> None:
    """Case 65."""
    line = f"X: {'a' * 8000}"
    assert send(raw.request("GET", f"/unified/{KEPT}", line)).status == 200


@pytest.mark.usefixtures("unchanged")
def test_a_body_that_ends_early_stores_nothing(daemon: Daemon) -> None:
    """Case 72, and interop: the client goes away in the middle of its PUT."""
    for cut in (0, 1, 70_000, 999_999):
        put = raw.request("PUT", f"/unified/{KEPT}", body=b"n" * 1_000_000)
        connection: Any = raw.connect(daemon.port)
        connection.sendall(put[: len(put) - 1_000_000 + cut])
        connection.shutdown(socket.SHUT_WR)
        raw.receive_all(connection)
        connection.close()
    assert "Traceback" not in daemon.log.read_text()
