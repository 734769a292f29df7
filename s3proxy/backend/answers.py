"""A backend's answers: collected with a cap, and read as one of our errors."""

from __future__ import annotations

import re
from typing import Any
from typing import Protocol as Shape

from attrs import frozen
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from s3proxy.backend.documents import parse_error
from s3proxy.backend.limits import Signal
from s3proxy.errors import (
    BackendBusy,
    BackendError,
    BackendFull,
    BackendMismatch,
    BackendMissing,
    BackendPassing,
    BackendRefused,
    BackendThrottled,
    BackendUnavailable,
)
from s3proxy.manager.ports import Stored

#: An answer that is read for what it says, not for its bytes, is cut at this.
ANSWER_BYTES = 64 * 1024
REASON_CHARACTERS = 200

# SeaweedFS over its bucket quota is not here: it answers a plain 500 InternalError,
# which BackendUnavailable says, and both make the manager go to the next backend.
_FULL = frozenset(
    {
        "EntityTooLargeForQuota",
        "InsufficientCapacity",
        "InsufficientStorage",
        "InsufficientStorageSpace",
        "QuotaExceeded",
        "StorageQuotaExceeded",
        "XMinioAdminBucketQuotaExceeded",
        "XMinioStorageFull",
    }
)
# 4xx codes that another try may mend: a kept connection that went stale, a conflict.
_PASSING = frozenset({"OperationAborted", "RequestTimeout"})
# It works, and says "not so fast".
_THROTTLED = frozenset(
    {
        "RequestLimitExceeded",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)
_MD5 = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)
_UNPRINTABLE = re.compile(r"[^ -~]+")
# Some providers repeat the Authorization header in what they say is wrong with it.
_SIGNATURE = re.compile(r"[0-9a-fA-F]{64}")

#: How a body ends well. Without a length, the connection's end is all there is.
WELL_ENDED = (ResponseDone, PotentialDataLoss)


class Response(Shape):
    """What is needed of Twisted's responses and of treq's."""

    code: int
    headers: Headers
    length: int | str

    def deliverBody(self, protocol: IProtocol) -> None:
        """Deliver the body to *protocol*, whose transport has an abortConnection."""
        ...


@frozen
class Answer:
    """
    An answer, read to its end.

    :ivar body: Cut at the cap that was given.
    """

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name, latin-1 decoded."""
        return header(self.headers, name)

    @property
    def is_error(self) -> bool:
        """No 2xx, or a 2xx whose body is an error document, as S3 has some."""
        return not 200 <= self.status < 300 or parse_error(self.body) is not None


def header(headers: Headers, name: str) -> str | None:
    """The first header of that name, latin-1 decoded."""
    values = headers.getRawHeaders(name.encode())
    return values[0].decode("latin-1") if values else None


async def collect(
    response: Response, cap: int, clock: IReactorTime, stall_seconds: float
) -> bytes:
    """
    The answer's body, cut at *cap* bytes: the connection is dropped then.

    :raises Stalled: Nothing came for *stall_seconds*.
    :raises Exception: The connection was lost before the end.
    """
    collector = _Collector(cap, Signal(clock))
    response.deliverBody(collector)
    try:
        while not collector.ended:
            await collector.arrived.wait(stall_seconds, "no more of the answer came")
    finally:
        collector.abort()
    if collector.failure is not None:
        collector.failure.raiseException()
    return bytes(collector.data)


def error_of(backend: str, answer: Answer, *, landed: bool = True) -> BackendError:
    """
    The error that an answer other than a success stands for.

    :param landed: Whether a complete body may be stored there all the same.
    """
    status = answer.status
    code, message = parse_error(answer.body) or ("", "")
    reason = f"{status} {code}: {message}" if code or message else f"{status}"
    reason = _SIGNATURE.sub("***", _UNPRINTABLE.sub(" ", reason))
    reason = reason[:REASON_CHARACTERS]
    kind: type[BackendError]
    if status == 507 or code in _FULL:
        kind = BackendFull
    elif status == 404 and code == "NoSuchKey":
        kind = BackendMissing
    elif status == 501:
        kind = BackendRefused
    elif status == 429 or code in _THROTTLED:
        return BackendThrottled(
            backend,
            reason,
            landed=landed,
            retry_after_seconds=_retry_after(answer),
        )
    elif status >= 500 or status < 300:
        kind = BackendUnavailable
    elif code in _PASSING:
        kind = BackendPassing
    else:
        # A redirect is refused like a 4xx: addresses come from the configuration.
        kind = BackendRefused
    return kind(backend, reason, landed=landed)


def _retry_after(answer: Answer) -> float | None:
    """The header's seconds; its other form, a date, needs a clock that we may lack."""
    value = (answer.header("retry-after") or "").strip()
    return float(value) if value.isascii() and value.isdecimal() else None


def unavailable(
    backend: str, why: BaseException | None, *, landed: bool = True
) -> BackendUnavailable:
    """The error for a connection that could not be made, broke or stalled."""
    if isinstance(why, BackendBusy):
        return why  # There was none to make: see backend.budget.
    causes = [cause.value for cause in getattr(why, "reasons", ())] or [why]
    text = ", ".join(f"{type(cause).__name__}: {cause}" for cause in causes)
    reason = _UNPRINTABLE.sub(" ", text)[:REASON_CHARACTERS]
    return BackendUnavailable(backend, reason, landed=landed)


def mismatch(backend: str, reason: str) -> BackendMismatch:
    """The error for an answer that is not that of the bytes sent or recorded."""
    reason = _UNPRINTABLE.sub(" ", reason)[:REASON_CHARACTERS]
    return BackendMismatch(backend, reason)


def md5_in(answer: Answer, etag: str | None) -> str | None:
    """
    The MD5 that an ETag is; None where it is another thing.

    :param etag: The answer's, wherever it stood, without quotes.
    """
    encryption = answer.header("x-amz-server-side-encryption") or ""
    if (
        etag is None
        or _MD5.fullmatch(etag) is None
        or encryption.startswith("aws:kms")
        or answer.header("x-amz-server-side-encryption-customer-algorithm") is not None
    ):
        return None
    return etag.lower()


def version_of(answer: Answer) -> str | None:
    """The version that the answer names; a bucket that keeps none says null."""
    version = answer.header("x-amz-version-id")
    return None if version == "null" else version


def stored(backend: str, answer: Answer, etag: str | None, md5: str) -> Stored:
    """
    What a backend has stored, by its answer to a PUT.

    :param etag: The answer's, wherever it stood.
    :param md5: Of the bytes that were meant, in hex.
    :raises BackendMismatch: The ETag is an MD5, and not *md5*.
    """
    if md5_in(answer, etag) not in (None, md5):
        raise mismatch(backend, f"ETag {etag} for bytes of MD5 {md5}")
    return Stored(etag, version_of(answer))


class _Collector(Protocol):
    """Keeps up to *cap* bytes of a body."""

    transport: Any = None

    def __init__(self, cap: int, arrived: Signal) -> None:
        self.data = bytearray()
        self.arrived = arrived
        self.ended = False
        self.failure: Failure | None = None
        self._cap = cap

    def dataReceived(self, data: bytes) -> None:
        self.data += data[: self._cap - len(self.data)]
        if len(self.data) == self._cap:
            self.ended = True
        self.arrived.fire()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.ended and not isinstance(reason.value, WELL_ENDED):
            self.failure = reason
        self.ended = True
        self.transport = None
        self.arrived.fire()

    def abort(self) -> None:
        """Drop the connection where the body has not come to its end."""
        if self.transport is not None:
            self.transport.abortConnection()
