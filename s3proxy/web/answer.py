"""Answers as values, and the one place where errors become XML."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from http import HTTPStatus
from typing import Protocol

from attrs import frozen

from s3proxy.errors import S3Error
from s3proxy.s3 import documents
from s3proxy.s3.dates import http_date

Headers = tuple[tuple[str, str], ...]


class Reader(Protocol):
    """An object's bytes under way (``manager.reading.ObjectReader``)."""

    async def read(self) -> bytes:
        """
        The next bytes; ``b""`` at the end.

        :raises BackendError: No copy can go on.
        """
        ...

    def abort(self) -> None:
        """Stop reading; not called during a read. After the end it is fine."""
        ...


@frozen
class Answer:
    """
    What a handler answers.

    :ivar headers: Values are latin-1 decoded, as header bytes go.
    :ivar body: The whole body, where there is no *stream*.
    :ivar length: Content-Length; None for statuses that have none (204, 304).
    """

    status: int
    headers: Headers = ()
    body: bytes = b""
    length: int | None = None
    stream: Reader | None = None

    @classmethod
    def text(cls, body: bytes, kind: str = "text/plain; charset=utf-8") -> Answer:
        """What is no S3 document."""
        return cls(200, (("Content-Type", kind),), body, len(body))

    @classmethod
    def document(
        cls, body: bytes, *, status: int = 200, headers: Headers = ()
    ) -> Answer:
        """An XML document."""
        kind = ("Content-Type", documents.CONTENT_TYPE)
        return cls(status, (kind, *headers), body, len(body))

    @classmethod
    def error(cls, error: S3Error, *, request_id: str, resource: bytes) -> Answer:
        """
        An error document; the answer to a HEAD leaves the body away, not the headers.

        :param resource: The raw path.
        """
        headers = dict(error.headers)
        if error.status == 503:
            headers.setdefault("Retry-After", "1")
        body = documents.error(
            error, resource=resource.decode("latin-1"), request_id=request_id
        )
        return cls.document(body, status=error.status, headers=tuple(headers.items()))


@frozen
class Later:
    """
    An answer that may take long; ``web.patience`` says what its client gets meanwhile.

    The request's body has been read by now: what follows fails for other reasons.

    :ivar begin: Starts the work; called once. Its answer is an XML document.
    """

    begin: Callable[[], Awaitable[Answer]]


def refusal(
    error: S3Error,
    *,
    request_id: str,
    resource: bytes,
    now: datetime,
    with_body: bool,
) -> bytes:
    """A whole HTTP answer to what could not be parsed; the last of its connection."""
    answer = Answer.error(error, request_id=request_id, resource=resource)
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        f"Date: {http_date(now)}",
        f"x-amz-request-id: {request_id}",
        *[f"{name}: {value}" for name, value in answer.headers],
        f"Content-Length: {answer.length}",
        "Connection: close",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1") + (answer.body if with_body else b"")
