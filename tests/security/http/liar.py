"""A backend that keeps objects in memory, and lies when it is told to."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from attrs import frozen

from s3proxy.config import BackendConfig

ACCESS_KEY, SECRET_KEY = "AKIABACKENDCANARY", "backend-secret-canary"
BUCKET = "bucket-canary"


@frozen
class Asked:
    """A request as the backend got it."""

    method: str
    key: str
    headers: dict[str, str]
    body: bytes


#: Bytes of a whole answer; None = answer honestly.
Lie = Callable[[Asked], bytes | None]


def answer(
    status: int,
    body: bytes = b"",
    *lines: str,
    length: int | None = -1,
) -> bytes:
    """
    :param length: Content-Length; -1 for the body's own, None for no such header.
    """
    head = [f"HTTP/1.1 {status} Said", *lines]
    if length is not None:
        head.append(f"Content-Length: {len(body) if length == -1 else length}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


class Liar:
    """
    :ivar lie: Asked first.
    :ivar asked: Every request, in order.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.asked: list[Asked] = []
        self.lie: Lie = lambda asked: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def config(self, name: str = "liar") -> BackendConfig:
        return BackendConfig(
            name=name,
            endpoint=f"http://127.0.0.1:{self.port}",
            region="us-east-1",
            bucket=BUCKET,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            force_path_style=True,
            quota_bytes=2**30,
        )

    def honest(self, asked: Asked, query: dict[str, list[str]]) -> bytes:
        """What an S3 server says."""
        if not asked.key:
            return self._of_the_bucket(query)
        if asked.method == "PUT":
            kept = {n: v for n, v in asked.headers.items() if n.startswith("x-amz-m")}
            self.objects[asked.key] = asked.body, kept
            return answer(200, b"", _etag(asked.body))
        if asked.method == "DELETE":
            self.objects.pop(asked.key, None)
            return answer(204, length=None)
        if asked.key not in self.objects:
            return answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        body, kept = self.objects[asked.key]
        lines = [_etag(body), *[f"{name}: {value}" for name, value in kept.items()]]
        if asked.method == "HEAD":
            return answer(200, b"", *lines, length=len(body))
        return answer(200, body, *lines)

    def _of_the_bucket(self, query: dict[str, list[str]]) -> bytes:
        if "versioning" in query:
            return answer(200, b"<VersioningConfiguration/>")
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(body)}</Size>"
            f'<ETag>"{hashlib.md5(body).hexdigest()}"</ETag></Contents>'
            for key, (body, _) in sorted(self.objects.items())
        )
        page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}"
        return answer(200, f"{page}</ListBucketResult>".encode())


def _etag(body: bytes) -> str:
    return f'ETag: "{hashlib.md5(body).hexdigest()}"'


def _handler(liar: Liar) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            target = urlsplit(self.path)
            asked = Asked(
                self.command,
                unquote(target.path).removeprefix(f"/{BUCKET}").removeprefix("/"),
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(int(self.headers.get("content-length", 0))),
            )
            liar.asked.append(asked)
            said = liar.lie(asked) if asked.key else None
            if said is None:
                query = parse_qs(target.query, keep_blank_values=True)
                said = liar.honest(asked, query)
            else:
                # Who lies may have left the other side in the middle of an answer.
                self.close_connection = True
            self.wfile.write(said)

        do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = _any

        def log_message(self, format: str, *args: object) -> None:
            """The tests look at what was asked, not at lines."""

    return Handler
