"""Exactly these bytes to a real daemon, and what comes back."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from xml.etree import ElementTree

from attrs import frozen

from tests.daemon import TOKEN

#: Bounds waits for things that happen at once.
PATIENCE_SECONDS = 20
SIGNED = f"X-Proxy-Token: {TOKEN}"


@frozen
class Answer:
    """
    :ivar head: Status line and headers, as they came.
    :ivar body: As long as its Content-Length says.
    :ivar is_last: The daemon closed the connection after it.
    """

    head: str
    body: bytes
    is_last: bool

    @property
    def status(self) -> int:
        return int(self.head.split(" ")[1])

    @property
    def code(self) -> str:
        """The S3 error code; "" without a document."""
        if not self.body.startswith(b"<?xml"):
            return ""
        return ElementTree.fromstring(self.body).findtext("Code") or ""

    def header(self, name: str) -> str | None:
        found = re.findall(rf"(?im)^{re.escape(name)}: *(.*?)\r?$", self.head)
        assert len(found) < 2, f"{name} is there {len(found)} times"
        return found[0] if found else None


def request(
    method: str,
    target: str,
    *lines: str,
    body: bytes = b"",
    length: int | None = None,
    token: bool = True,
) -> bytes:
    """
    A request with Host, and of a client that may do everything.

    :param length: Content-Length, where it is not the body's.
    """
    head = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    if token:
        head.append(SIGNED)
    head.extend(lines)
    if body or length is not None:
        head.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)


def send(port: int, *pieces: bytes) -> Answer:
    """Send, and read one answer; a piece that nobody takes any more is left."""
    with connect(port) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return receive(connection)


def receive(connection: socket.socket) -> Answer:
    """The next answer, and whether it is the last: that is known when it says so."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection, data)
    raw, _, body = data.partition(b"\r\n\r\n")
    head = raw.decode("latin-1")
    length = re.search(r"(?im)^content-length: *(\d+)", head)
    status = int(head.split(" ")[1])
    wanted = int(length[1]) if length and status not in (204, 304) else 0
    while len(body) < wanted:
        body += _more(connection, body)
    closes = re.search(r"(?im)^connection: *close", head) is not None
    if closes:
        assert len(body) == wanted
        assert connection.recv(1) == b"", "told to be the last, and was not"
    return Answer(head, body, closes)


def receive_all(connection: socket.socket) -> bytes:
    """Everything until the daemon closes."""
    pieces: list[bytes] = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def _more(connection: socket.socket, so_far: bytes) -> bytes:
    piece = connection.recv(65536)
    assert piece, f"cut after {so_far[:500]!r}"
    return piece


def assert_error(answer: Answer, allowed: Iterable[tuple[int, str]]) -> None:
    """An S3 error as every one is: XML, dated, named, and without a banner."""
    assert (answer.status, answer.code) in set(allowed), (answer.head, answer.body)
    assert answer.header("content-type") == "application/xml"
    assert answer.header("server") is None
    assert answer.header("date")
    root = ElementTree.fromstring(answer.body)
    assert root.tag == "Error"
    assert root.findtext("RequestId") == answer.header("x-amz-request-id")
    assert root.findtext("Message")
    for word in (b"Traceback", b"twisted", b"klein", b"werkzeug", b".py", b"<html"):
        assert word.lower() not in answer.body.lower()
