"""
A plain HTTP client of the daemon, one connection each, and bodies to send with it.

boto3 would hide what these tests look at: which answer came, on which connection, and
whether it broke off.
"""

from __future__ import annotations

import hashlib
import http.client
import random
import re
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from urllib.parse import unquote
from xml.etree import ElementTree

from attrs import field, frozen

from s3proxy.s3.sigv4 import sign_headers, uri_encode
from tests.daemon import BUCKET, KEY_ID, SECRET, TOKEN

_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_POOL = random.Random(1).randbytes(5 * 1024 * 1024)


def make_body(seed: int, size: int) -> bytes:
    """*size* bytes (up to 4 MiB) that differ from those of every other seed."""
    start = seed * 61 % (1024 * 1024)
    return _POOL[start : start + size]


def md5(data: bytes) -> str:
    """The ETag of a plain PUT."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def poll(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait for something that happens in another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(0.02)


class Broken(Exception):
    """The connection was refused, or ended before the answer did."""


@frozen
class Answer:
    """What came back, whole; header names in lower case."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def code(self) -> str:
        """The S3 error code, or ""."""
        found = re.search(rb"<Code>(\w+)</Code>", self.body[:2000])
        return found[1].decode() if found else ""

    @property
    def etag(self) -> str:
        """Without its quotes."""
        return self.headers["etag"].strip('"')


@frozen
class Listing:
    """One page: keys with (ETag, size), and common prefixes."""

    contents: dict[str, tuple[str, int]]
    common_prefixes: list[str]
    next_token: str | None


class Client:
    """Requests one after the other, over a connection that is kept."""

    def __init__(self, port: int, *, timeout: float = 60.0) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()

    def request(
        self,
        method: str,
        key: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        signed: bool = False,
    ) -> Answer:
        """
        One request, and its whole answer.

        :param signed: With SigV4 and the body's hash, where *headers* have no other.
        :raises Broken: There was none, or not all of it.
        """
        path, raw_query = target(key), encode_query(query or {})
        sent = {"host": f"127.0.0.1:{self.connection.port}", **(headers or {})}
        if signed:
            sent |= _signature(method, path, raw_query, sent, body)
        else:
            sent["x-proxy-token"] = TOKEN
        url = f"{path}?{raw_query}" if raw_query else path
        try:
            self.connection.request(method, url, body or None, sent)
            response = self.connection.getresponse()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
        except (OSError, http.client.HTTPException) as why:
            self.connection.close()
            raise Broken(f"{method} {key}: {why!r}") from why

    def get(self, key: str, **headers: str) -> Answer:
        """GET."""
        return self.request("GET", key, headers=headers)

    def put(self, key: str, body: bytes, **headers: str) -> Answer:
        """PUT."""
        return self.request("PUT", key, body, headers)

    def list_page(
        self,
        *,
        prefix: str = "",
        delimiter: str = "",
        max_keys: int = 1000,
        start_after: str = "",
        token: str | None = None,
    ) -> Listing:
        """One page of ListObjectsV2."""
        query = {
            "list-type": "2",
            "encoding-type": "url",
            "prefix": prefix,
            "delimiter": delimiter,
            "max-keys": str(max_keys),
            "start-after": start_after,
        }
        if token is not None:
            query["continuation-token"] = token
        answer = self.request("GET", query=query)
        assert answer.status == 200, answer.body
        return parse_listing(answer.body)

    def keys(self) -> dict[str, tuple[str, int]]:
        """Every key of the bucket with its ETag and size."""
        found: dict[str, tuple[str, int]] = {}
        token = None
        while True:
            page = self.list_page(token=token)
            found |= page.contents
            token = page.next_token
            if token is None:
                return found


def target(key: str) -> str:
    """The path of a key; of the bucket itself for ""."""
    return f"/{BUCKET}/{uri_encode(key, slash=False)}" if key else f"/{BUCKET}"


def encode_query(query: Mapping[str, str]) -> str:
    """The query as it is sent and signed."""
    return "&".join(
        f"{uri_encode(name, slash=True)}={uri_encode(value, slash=True)}"
        for name, value in sorted(query.items())
    )


def parse_listing(document: bytes) -> Listing:
    """Read a page that was asked for with ``encoding-type=url``."""
    root = ElementTree.fromstring(document)

    def text(element: ElementTree.Element, name: str) -> str:
        return element.findtext(_NAMESPACE + name) or ""

    truncated = text(root, "IsTruncated") == "true"
    token = root.findtext(f"{_NAMESPACE}NextContinuationToken")
    assert truncated == (token is not None)
    contents = {
        unquote(text(entry, "Key")): (
            text(entry, "ETag").strip('"'),
            int(text(entry, "Size")),
        )
        for entry in root.iter(f"{_NAMESPACE}Contents")
    }
    prefixes = [
        unquote(text(entry, "Prefix"))
        for entry in root.iter(f"{_NAMESPACE}CommonPrefixes")
    ]
    assert int(text(root, "KeyCount")) == len(contents) + len(prefixes)
    return Listing(contents, prefixes, token)


def open_put(
    port: int, key: str, length: int, *, is_begun: bool = False
) -> socket.socket:
    """
    Begin a PUT on a connection of its own; the body is the caller's to send.

    :param is_begun: Return when the daemon is at work on it and asks for the body.
    """
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    expect = "Expect: 100-continue\r\n" if is_begun else ""
    connection.sendall(
        f"PUT {target(key)} HTTP/1.1\r\nHost: localhost\r\nX-Proxy-Token: {TOKEN}\r\n"
        f"{expect}Content-Length: {length}\r\n\r\n".encode()
    )
    wanted = b"HTTP/1.1 100 Continue\r\n\r\n" if is_begun else b""
    while wanted:
        got = connection.recv(len(wanted))
        assert got and wanted.startswith(got), got
        wanted = wanted[len(got) :]
    return connection


def open_get(port: int, key: str, *, buffer_bytes: int = 0) -> socket.socket:
    """
    Ask for a key on a connection of its own; the answer is the caller's to read.

    :param buffer_bytes: What the kernel takes before that; 0 for as much as it likes,
        which may be 32 MiB.
    """
    connection = socket.socket()
    connection.settimeout(60)
    if buffer_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    connection.connect(("127.0.0.1", port))
    connection.sendall(
        f"GET {target(key)} HTTP/1.1\r\nHost: localhost\r\n"
        f"X-Proxy-Token: {TOKEN}\r\n\r\n".encode()
    )
    return connection


def _signature(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> dict[str, str]:
    return sign_headers(
        method,
        path,
        query,
        headers,
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        region="us-east-1",
        payload_hash=headers.get(
            "x-amz-content-sha256", hashlib.sha256(body).hexdigest()
        ),
        now=datetime.now(UTC),
    )
