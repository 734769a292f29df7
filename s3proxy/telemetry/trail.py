"""
What is known of the request at work.

It travels in a context variable: every coroutine that a request's handler awaits, or
starts as a Deferred, sees the request's own trail, however requests interleave.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import Context, ContextVar
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred

from s3proxy.telemetry.logs import escape

T = TypeVar("T")

#: Nobody was there to be answered (nginx's number): the client left before a byte.
CLIENT_CLOSED_REQUEST = 499


@define(eq=False)
class Trail:
    """
    One request, for its line in the log.

    Empty text and None mean that it is not known: a request that is refused early has
    no operation, and no key that somebody has vouched for.

    :ivar path: Of the target, as sent, without the query, where signatures are.
    :ivar access_key_id: Whose key it was, once the signature has been verified.
    :ivar error: The code of the S3 error that was answered.
    :ivar backends: Those that were called for it, each once, in order.
    :ivar trace_id: 32 hex digits: the client's own, where it sent one.
    :ivar stale: Of one that was answered from a standby of the database: by how many
        seconds that is behind, or ``unknown``.
    :ivar outcome: ``complete``, ``client gone`` or ``broken off``.
    """

    request_id: str
    method: str = ""
    path: str = ""
    operation: str = ""
    bucket: str = ""
    key: str = ""
    access_key_id: str = ""
    error: str = ""
    trace_id: str = ""
    client: str = ""
    stale: str = ""
    outcome: str = ""
    status: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    seconds: float = 0.0
    backends: list[str] = field(factory=list)

    def note(self, operation: object, access_key_id: str | None) -> None:
        """What is asked for, and by whom, is known now."""
        self.operation = type(operation).__name__
        self.bucket = getattr(operation, "bucket", "")
        self.key = getattr(operation, "key", "")
        self.access_key_id = access_key_id or ""

    def fields(self) -> dict[str, Any]:
        """For a line of JSON; what is not known is left out."""
        known: dict[str, Any] = {
            "request_id": self.request_id,
            "trace_id": self.trace_id,
            "client": self.client,
            "access_key_id": self.access_key_id,
            "method": self.method,
            "operation": self.operation,
            "bucket": self.bucket,
            "key": self.key,
            # Beside a key it would say the same again.
            "path": "" if self.operation else self.path,
            "error": self.error,
            "stale": self.stale,
            "backends": self.backends,
        }
        found = {name: value for name, value in known.items() if value}
        return found | {
            "status": self.status,
            "bytes_in": self.received_bytes,
            "bytes_out": self.sent_bytes,
            "duration_ms": round(self.seconds * 1000, 3),
            "outcome": self.outcome,
        }

    def __str__(self) -> str:
        """
        One line of text: ``name=value``, "-" for what is not known.

        What a client has chosen is quoted, with what does not print escaped, so that
        it can neither end its value nor the line.
        """
        where = (
            f"bucket={_quoted(self.bucket)} key={_quoted(self.key)}"
            if self.operation
            else f"path={_quoted(self.path)}"
        )
        return (
            f"{self.operation or '-'} {where} status={self.status} "
            f"in={self.received_bytes} out={self.sent_bytes} "
            f"ms={self.seconds * 1000:.3f} backend={','.join(self.backends) or '-'} "
            f"request={self.request_id} trace={self.trace_id or '-'} "
            f"access_key={_quoted(self.access_key_id)} "
            f"client={self.client or '-'} method={escape(self.method) or '-'} "
            f"error={self.error or '-'} stale={self.stale or '-'} "
            f"outcome={self.outcome.replace(' ', '-')}"
        )


_current: ContextVar[Trail | None] = ContextVar("s3proxy.trail", default=None)


def enter(trail: Trail) -> None:
    """From here on, this coroutine and what it starts are at work for a request."""
    _current.set(trail)


def current() -> Trail | None:
    """The request at work; None for jobs and the like."""
    return _current.get()


def note_backend(name: str) -> None:
    """A backend is called, for whatever request is at work."""
    trail = _current.get()
    if trail is not None and name not in trail.backends:
        trail.backends.append(name)


def detached(work: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Run what belongs to no request, though one may have caused it."""
    return Context().run(Deferred.fromCoroutine, work)


def _quoted(text: str) -> str:
    if not text:
        return "-"
    # A backslash is two by now, so an escaped quotation mark is no other text.
    escaped = escape(text).replace('"', '\\"')
    return f'"{escaped}"'
