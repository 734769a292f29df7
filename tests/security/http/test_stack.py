"""
What the stack does by default (3.2 of the checklist) and what others got wrong (the
[http] and [stack] lines of the interoperability list), where no case's test has it.
"""

from __future__ import annotations

import gzip
import http.client
import re
from collections.abc import Callable

import pytest

from tests.daemon import TOKEN, Daemon
from tests.security.http import raw
from tests.security.http.conftest import KEPT
from tests.system import memory
from tests.system.wire import Client

Send = Callable[..., raw.Answer]
MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("target", "key"),
    [
        pytest.param("/unified//lead", "/lead", id="stack-62-leading-slash"),
        pytest.param("/unified/a//b", "a//b", id="stack-62-double-slash"),
        pytest.param("/unified/a/", "a/", id="stack-62-trailing-slash"),
        pytest.param("/unified/a;b=c", "a;b=c", id="stack-60-semicolon"),
        pytest.param("/unified/a+b", "a+b", id="stack-64-plus"),
        pytest.param("/unified/*('!)", "*('!)", id="stack-64-bare-characters"),
        pytest.param("/unified/%2a%28", "*(", id="stack-64-lower-case-escapes"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_paths_reach_the_backend_whole(daemon: Daemon, target: str, key: str) -> None:
    """No redirect, nothing merged: stored and listed under the very key."""
    answer = raw.send(daemon.port, raw.request("PUT", target, body=b"x"))
    assert answer.status == 200
    with Client(daemon.port) as client:
        assert sorted(client.keys()) == sorted([KEPT, key])
    assert raw.send(daemon.port, raw.request("GET", target)).body == b"x"
    assert raw.send(daemon.port, raw.request("DELETE", target)).status == 204


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param("?uploads", 200, id="stack-60-no-value"),
        pytest.param("?uploads=", 200, id="stack-60-empty-value"),
        pytest.param("?prefix=a;b&uploads", 200, id="stack-60-semicolon"),
        pytest.param("?location", 200, id="stack-60-location"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_names_without_values(send: Send, query: str, status: int) -> None:
    """They are names all the same: another document than the plain listing."""
    answer = send(raw.request("GET", f"/unified{query}"))
    assert answer.status == status
    assert b"<ListBucketResult" not in answer.body


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("application/x-www-form-urlencoded", id="stack-61-urlencoded"),
        pytest.param("multipart/form-data; boundary=x", id="stack-61-multipart"),
        pytest.param("multipart/form-data", id="stack-61-no-boundary"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_forms_are_bodies_like_others(daemon: Daemon, kind: str) -> None:
    """Nothing is parsed into memory, in a POST or a PUT."""
    before = memory.resident_bytes(daemon.pid)
    line = f"Content-Type: {kind}"
    with raw.connect(daemon.port) as connection:
        connection.sendall(
            raw.request("POST", "/unified/k?uploadId=x", line, length=64 * MIB)
        )
        try:
            for _ in range(16):
                connection.sendall(b"a=b&" * (MIB // 4))
        except (BrokenPipeError, ConnectionResetError):
            pass
        raw.assert_error(raw.receive(connection), [(400, "MalformedXML")])
    body = b"a=b&c=d"
    put = raw.request("PUT", "/unified/form", line, body=body)
    assert raw.send(daemon.port, put).status == 200
    got = raw.send(daemon.port, raw.request("GET", "/unified/form"))
    assert (got.body, got.header("content-type")) == (body, kind)
    raw.send(daemon.port, raw.request("DELETE", "/unified/form"))
    assert memory.resident_bytes(daemon.pid) - before < 12 * MIB


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        pytest.param((), (400, "BadRequest"), id="interop-33-unsigned"),
        pytest.param(
            ("Origin: http://example.com", "Access-Control-Request-Method: PUT"),
            (403, "AccessForbidden"),
            id="interop-33-preflight",
        ),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_options(send: Send, lines: tuple[str, ...], error: tuple[int, str]) -> None:
    """Of a bucket without CORS, a preflight is refused, as S3 does; nobody signs it."""
    answer = send(raw.request("OPTIONS", f"/unified/{KEPT}", *lines, token=False))
    raw.assert_error(answer, [error])
    assert answer.header("access-control-allow-origin") is None


@pytest.mark.parametrize("case", [pytest.param(32, id="interop-32")])
@pytest.mark.usefixtures("unchanged")
def test_gzip_is_returned_as_it_was_sent(daemon: Daemon, case: int) -> None:
    """Byte for byte, by GET and by range, with the length that HEAD tells."""
    body = gzip.compress(b"text " * 10_000)
    url = "/unified/zipped"
    put = raw.request("PUT", url, "Content-Encoding: gzip", body=body)
    assert raw.send(daemon.port, put).status == 200
    got = raw.send(daemon.port, raw.request("GET", url, "Accept-Encoding: gzip"))
    assert (got.body, got.header("content-encoding")) == (body, "gzip")
    plain = raw.send(daemon.port, raw.request("GET", url))
    assert (plain.body, plain.header("content-encoding")) == (body, "gzip")
    part = raw.send(daemon.port, raw.request("GET", url, "Range: bytes=3-9"))
    assert part.body == body[3:10]
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
    connection.request("HEAD", url, headers={"X-Proxy-Token": TOKEN})
    assert connection.getresponse().getheader("content-length") == str(len(body))
    connection.close()
    raw.send(daemon.port, raw.request("DELETE", url))


@pytest.mark.parametrize("case", [pytest.param(28, id="interop-28")])
@pytest.mark.usefixtures("unchanged")
def test_nothing_is_something(daemon: Daemon, case: int) -> None:
    """Empty objects and parts, on one connection; a range of nothing is 416."""
    with Client(daemon.port) as client:
        assert (
            client.request("PUT", "empty", b"", {"Content-Length": "0"}).status == 200
        )
        sock = client.connection.sock
        got = client.get("empty")
        assert (got.status, got.body) == (200, b"")
        assert client.get("empty", Range="bytes=0-").status == 416
        assert client.get("empty", Range="bytes=0-0").code == "InvalidRange"
        made = client.request("POST", "empty-part", query={"uploads": ""})
        found = re.search(rb"<UploadId>(.+)</UploadId>", made.body)
        assert found is not None
        upload = {"uploadId": found[1].decode()}
        part = client.request(
            "PUT",
            "empty-part",
            b"",
            {"Content-Length": "0"},
            query={**upload, "partNumber": "1"},
        )
        assert part.status == 200
        document = (
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
            f"<ETag>{part.etag}</ETag></Part></CompleteMultipartUpload>"
        )
        done = client.request("POST", "empty-part", document.encode(), query=upload)
        assert done.status == 200 and b"<ETag>" in done.body
        assert client.get("empty-part").body == b""
        for key in ("empty", "empty-part"):
            assert client.request("DELETE", key).status == 204
        assert client.connection.sock is sock, "the connection was not kept"


@pytest.mark.parametrize("case", [pytest.param(29, id="interop-29")])
@pytest.mark.usefixtures("unchanged")
def test_metadata(daemon: Daemon, case: int) -> None:
    """Names in lower case, bytes that are not ASCII as they came."""
    url = "/unified/meta"
    lines = ("X-Amz-Meta-MiXeD: V", "x-amz-meta-utf8: \xc3\xa9", "x-amz-meta-l: \xe9")
    assert (
        raw.send(daemon.port, raw.request("PUT", url, *lines, body=b"x")).status == 200
    )
    got = raw.send(daemon.port, raw.request("GET", url))
    assert "\r\nx-amz-meta-mixed: V\r\n" in f"{got.head}\r\n"
    assert got.header("x-amz-meta-utf8") == "\xc3\xa9"
    assert got.header("x-amz-meta-l") == "\xe9"
    assert got.header("content-type") == "binary/octet-stream"
    raw.send(daemon.port, raw.request("DELETE", url))


@pytest.mark.parametrize("case", [pytest.param(23, id="interop-23")])
@pytest.mark.usefixtures("unchanged")
def test_a_connection_is_kept(daemon: Daemon, case: int) -> None:
    """After 200, 206, 304, 404, 412, 416, an empty PUT and a DELETE."""
    steps = [
        ("GET", KEPT, {}, 200),
        ("GET", KEPT, {"Range": "bytes=0-1"}, 206),
        ("GET", KEPT, {"If-None-Match": "*"}, 304),
        ("HEAD", KEPT, {}, 200),
        ("HEAD", "none", {}, 404),
        ("GET", "none", {}, 404),
        ("GET", KEPT, {"If-Match": "nope"}, 412),
        ("GET", KEPT, {"Range": "bytes=999-"}, 416),
        ("PUT", "e", {"Content-Length": "0"}, 200),
        ("DELETE", "e", {}, 204),
        ("GET", KEPT, {"X-Proxy-Token": "wrong"}, 403),
        ("GET", KEPT, {}, 200),
    ]
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
    connection.connect()
    first = connection.sock
    for method, key, headers, status in steps:
        sent = {"X-Proxy-Token": TOKEN, **headers}
        connection.request(method, f"/unified/{key}", headers=sent)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == status
        assert connection.sock is first
        if method == "HEAD" or status in (204, 304):
            assert body == b""
    connection.close()
