"""A PUT to a backend, fed as its bytes come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from s3proxy.backend.answers import (
    ANSWER_BYTES,
    Answer,
    collect,
    error_of,
    mismatch,
    stored,
    unavailable,
)
from s3proxy.backend.documents import bare_etag
from s3proxy.backend.limits import Limits, Signal, Stalled
from s3proxy.backend.response import AbortableResponse
from s3proxy.errors import BackendError, BackendUnavailable
from s3proxy.manager.ports import Stored


@implementer(IBodyProducer)
class S3Upload:
    """
    One PUT under way; matches :class:`s3proxy.manager.ports.Upload`.

    Twisted sees a body producer: it says when the connection takes bytes. The manager
    sees a session: it writes when it has bytes. Whatever goes wrong is kept in
    ``_broken`` and told by the next call.

    A body may be stored from the moment when its last byte was handed over: errors say
    ``landed`` from there on, whatever the answer, and not before. An empty body has
    come with the headers, so its request waits for :meth:`finish`.

    :ivar length: Of the whole body; Twisted sends it as Content-Length.
    """

    def __init__(
        self,
        backend: str,
        length: int,
        request: Callable[[IBodyProducer], Deferred[Any]],
        *,
        clock: IReactorTime,
        soon: Callable[[Callable[[], None]], object],
        limits: Limits,
        release: Callable[[], None],
    ) -> None:
        """
        :param request: Sends the request with the body that it is given.
        :param soon: Calls a callable in the reactor's next turn.
        :param release: Gives the place among the concurrent calls back; called once.
        """
        self.length = length
        self._backend = backend
        self._send = request
        self._clock = clock
        self._soon = soon
        self._limits = limits
        self._release: Callable[[], None] | None = release
        self._event = Signal(clock)
        self._consumer: IConsumer | None = None
        self._is_paused = False
        self._handed_over = 0
        self._is_complete = False
        self._request: Deferred[Any] | None = None
        self._response: AbortableResponse | None = None
        self._produced: Deferred[None] = Deferred()
        self._answer: Answer | None = None
        self._broken: BackendError | None = None

    # What the manager calls.

    async def write(self, data: bytes) -> None:
        """
        Send; returns when more may come.

        :raises BackendError: The backend answered early, broke off or stalled.
        """
        self._raise_broken()
        if self._handed_over + len(data) > self.length:
            raise self._wrong_length(data)
        self._hand_over(data)
        while self._is_paused and self._answer is None:
            await self._wait(self._limits.stall_seconds, "no byte taken")
            self._raise_broken()

    async def finish(self, data: bytes, *, md5: str) -> Stored:
        """
        Send the last bytes (maybe none) and wait for the answer.

        :param md5: Of the whole body, in hex.
        :raises BackendError: ``landed`` says whether the body may be stored.
        :raises BackendMismatch: The answer's ETag is an MD5 and not *md5*.
        """
        self._raise_broken()
        if self._handed_over + len(data) != self.length:
            raise self._wrong_length(data)
        if not self.length:
            await self._start()
        self._hand_over(data)
        while self._is_paused and self._answer is None:
            await self._wait(self._limits.stall_seconds, "no byte taken")
            self._raise_broken()
        self._produced.callback(None)
        while self._answer is None:
            await self._wait(self._limits.headers_seconds, "no answer")
            self._raise_broken()
        self._give_back()
        return self._stored(self._answer, md5)

    def abort(self) -> None:
        """Break the connection short of Content-Length, so that nothing lands."""
        if self._release is not None:
            self._break(
                BackendUnavailable(
                    self._backend, "given up here", landed=self._is_complete
                )
            )

    @property
    def unsent_bytes(self) -> int:
        """What was not handed over to a connection."""
        return self.length - self._handed_over

    # What the client calls.

    async def open(self) -> None:
        """
        Wait until the connection is made and the headers are written.

        :raises BackendUnavailable: No connection was made; ``landed`` is false.
        """
        if self.length:
            await self._start()

    # What Twisted calls.

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """The connection is there and takes bytes."""
        self._consumer = consumer
        self._is_complete = not self.length
        # Not at once: the request must be whole before anybody may abort it.
        self._soon(self._event.fire)
        return self._produced

    def pauseProducing(self) -> None:
        """The connection's buffer is full."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """The connection's buffer is empty."""
        self._is_paused = False
        self._event.fire()

    def stopProducing(self) -> None:
        """The connection is lost: the request's Deferred tells it, and why."""

    # Within.

    async def _start(self) -> None:
        self._request = self._send(self)
        self._request.addCallbacks(self._answered, self._failed)
        # Already, where no call may be made.
        self._raise_broken()
        while self._consumer is None:
            # The agent has a limit of its own on every step up to there.
            await self._wait(self._limits.headers_seconds, "no connection")
            self._raise_broken()

    def _hand_over(self, data: bytes) -> None:
        if not data:
            return
        self._handed_over += len(data)
        self._is_complete = self._handed_over == self.length
        assert self._consumer is not None
        self._consumer.write(data)

    def _wrong_length(self, data: bytes) -> ValueError:
        """A bug of the caller's: nothing may land."""
        self.abort()
        got = self._handed_over + len(data)
        return ValueError(f"{got} bytes for a body of {self.length}")

    def _answered(self, response: AbortableResponse) -> None:
        self._response = response
        Deferred.fromCoroutine(self._read(response))

    async def _read(self, response: AbortableResponse) -> None:
        """Read an answer to its end; one to half a body ends the upload."""
        try:
            body = await collect(
                response, ANSWER_BYTES, self._clock, self._limits.stall_seconds
            )
        except Exception as why:
            self._break(unavailable(self._backend, why, landed=self._is_complete))
            return
        answer = Answer(response.code, response.headers, body)
        if self._is_complete:
            self._answer = answer
            self._event.fire()
        elif answer.is_error:
            self._break(error_of(self._backend, answer, landed=False))
        else:
            self._break(mismatch(self._backend, f"{answer.status} to half a body"))

    def _failed(self, reason: Failure) -> None:
        self._break(unavailable(self._backend, reason.value, landed=self._is_complete))

    def _stored(self, answer: Answer, md5: str) -> Stored:
        if answer.is_error:
            raise error_of(self._backend, answer)
        return stored(self._backend, answer, bare_etag(answer.header("etag")), md5)

    async def _wait(self, seconds: float, what: str) -> None:
        try:
            await self._event.wait(seconds, what)
        except Stalled as why:
            self._break(unavailable(self._backend, why, landed=self._is_complete))
        except CancelledError:
            self.abort()
            raise

    def _raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _break(self, error: BackendError) -> None:
        """Keep the first error, drop the connection, wake whoever waits."""
        if self._broken is not None:
            return
        self._broken = error
        if self._response is not None:
            self._response.abort()
        elif self._request is not None:
            self._request.cancel()
        self._give_back()
        self._event.fire()

    def _give_back(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()
