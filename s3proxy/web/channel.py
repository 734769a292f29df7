"""
One client's connection: HTTP/1.1 that hands requests on when their headers have come.

Rules kept here:

1. The rest of a body is never parsed as a request. An answer that is complete before
   its request's body either waits for a small rest, or is the connection's last.
2. A connection that is closed under a client that still sends is half-closed first and
   drained for a while, so that the answer is read and not lost to a reset.
3. A request that cannot be parsed gets an S3 error too, and is the last.
4. The next request is looked at when the client has taken the answer to the one before,
   so that answers never pile up.
"""

# mypy: allow-untyped-calls
# (twisted.web.http has few annotations.)

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IHandshakeListener
from twisted.python.failure import Failure
from zope.interface import implementer

from s3proxy.errors import RequestTimeout, S3Error
from s3proxy.web import transports
from s3proxy.web.answer import refusal
from s3proxy.web.request import S3Request
from s3proxy.web.strict import StrictChannel
from s3proxy.web.throttle import Place
from s3proxy.web.watch import log_refusal

if TYPE_CHECKING:
    from s3proxy.web.site import StreamingSite


@implementer(IHandshakeListener)
class S3Channel(StrictChannel):
    """See the module."""

    site: StreamingSite
    place: Place
    requests: list[S3Request]

    _body_paused = False
    _lingering = False
    _spare_call: IDelayedCall | None = None
    _handshake_call: IDelayedCall | None = None
    _header_call: IDelayedCall | None = None
    _rest_call: IDelayedCall | None = None
    _linger_call: IDelayedCall | None = None
    _flush_call: IDelayedCall | None = None
    _stall_call: IDelayedCall | None = None
    _untaken: S3Request | None = None

    # From the network.

    def connectionMade(self) -> None:
        self.limits = self.site.limits
        self.MAX_LENGTH = self.limits.request_line_bytes
        transports.set_buffer(self.transport, self.limits.transport_bytes)
        super().connectionMade()
        self.site.drain.add(self)
        if self.place.is_spare:
            self._spare_call = self.site.clock.callLater(
                self.limits.spare_seconds, self.abort
            )
        if transports.is_tls(self.transport):
            self._handshake_call = self.site.clock.callLater(
                self.limits.header_seconds, self.abort
            )

    def handshakeCompleted(self) -> None:
        """TLS stands: from here on it is as without."""
        _cancel(self._handshake_call)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._dead = True
        for call in (
            self._spare_call,
            self._handshake_call,
            self._header_call,
            self._rest_call,
            self._linger_call,
            self._flush_call,
            self._stall_call,
        ):
            _cancel(call)
        super().connectionLost(reason)
        self.site.drain.discard(self)
        self.site.throttle.leave(self.place)

    def dataReceived(self, data: bytes) -> None:
        if self._rest_call is not None and self._rest_call.active():
            self._rest_call.reset(self.limits.rest_seconds)
        if self._dead:
            return
        super().dataReceived(data)
        self._watch_headers()

    def allHeadersReceived(self) -> None:
        # From here on the body keeps its own time, and the handler has all it needs.
        self._savedTimeOut = self.setTimeout(None)
        super().allHeadersReceived()
        if self.length != 0:
            self.requests[-1].dispatch(self._command, self._path, self._version)

    def _send100Continue(self) -> None:
        # Not yet: a handler that reads the body does.
        self.requests[-1].body.expects = True

    def checkPersistence(self, request: S3Request, version: bytes) -> bool:
        """Whether the connection outlives *request*, as far as its client wishes."""
        options = b",".join(request.requestHeaders.getRawHeaders(b"Connection", []))
        return version == b"HTTP/1.1" and b"close" not in {
            option.strip().lower() for option in options.split(b",")
        }

    # From requests.

    def sendContinue(self) -> None:
        """The client may send its body."""
        super()._send100Continue()

    def pauseBody(self) -> None:
        """Read no more from the client until :meth:`resumeBody`."""
        self._body_paused = True
        self._networkProducer.pauseProducing()

    def resumeBody(self) -> None:
        """Read on."""
        self._body_paused = False
        if not self._waitingForTransport:
            self._networkProducer.resumeProducing()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._body_paused:
            self._networkProducer.pauseProducing()
        if self._untaken is not None:
            _cancel(self._stall_call)
            request, self._untaken = self._untaken, None
            self.requestDone(request)

    def decide_persistence(self, request: S3Request) -> None:
        """An answer's headers are about to go: tell whether it is the last."""
        if self._dead or self.site.drain.draining or self.place.is_spare:
            self.persistent = False
        if not request.body.rest_is_small:
            self.persistent = False
        if not self.persistent:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])

    def await_rest(self) -> None:
        """The answer is complete, and its request's body is not."""
        self._start_rest_calls()
        if not self.persistent:
            self._half_close()

    def requestDone(self, request: S3Request) -> None:
        _cancel(self._rest_call)
        _cancel(self._linger_call)
        self._body_paused = False
        if self.site.drain.draining:
            self.persistent = False
        if self._waitingForTransport and self.persistent:
            self._untaken = request
            self._stall_call = self.site.clock.callLater(
                self.limits.stall_seconds, self.abort
            )
            return
        super().requestDone(request)

    # Ends.

    def refuse(self, error: S3Error) -> None:
        """Answer what cannot be parsed, and parse no more."""
        if self._dead:
            return
        self._dead = True
        request = self.requests[-1] if self.requests else None
        if request is not None and request.dispatched:
            # The body is what is wrong, and the answer is its handler's.
            request.body.fail(error)
            if request.finished:
                self._half_close()
            return
        assert self.transport is not None
        command = getattr(self, "_command", b"")
        if self.site.meter is not None:
            self.site.meter.refused(command, error.status)
        request_id = request.request_id if request else self.site.request_ids()
        resource = getattr(self, "_path", b"").partition(b"?")[0]
        self.transport.write(
            refusal(
                error,
                request_id=request_id,
                resource=resource,
                now=self.site.now(),
                with_body=command != b"HEAD",
            )
        )
        peer = getattr(self.transport.getPeer(), "host", None)
        log_refusal(error, request_id, command, resource, peer)
        self._start_rest_calls()
        self._half_close()

    def abort(self) -> None:
        """Break the connection at once."""
        assert self.transport is not None
        self._dead = True
        self.transport.abortConnection()  # type: ignore[attr-defined]

    def close_if_idle(self) -> None:
        """Close the connection unless a request is at work or on its way."""
        if not self.requests and not self._buffer and not self._lingering:
            self.loseConnection()

    def loseConnection(self) -> None:
        # A client that does not take the last bytes must not hold the connection.
        if self._flush_call is None:
            self._flush_call = self.site.clock.callLater(
                self.limits.flush_seconds, self.abort
            )
        self._networkProducer.unregisterProducer()  # type: ignore[attr-defined]
        transports.close(self.transport)

    def timeoutConnection(self) -> None:
        """The connection has been idle for too long."""
        self.loseConnection()

    def _half_close(self) -> None:
        """Close our side; read and drop what comes until the client closes its own."""
        self._lingering = True
        self.setTimeout(None)
        self._networkProducer.unregisterProducer()  # type: ignore[attr-defined]
        self._networkProducer.resumeProducing()
        transports.half_close(self.transport)

    def _start_rest_calls(self) -> None:
        limits = self.limits
        self._rest_call = self.site.clock.callLater(limits.rest_seconds, self.abort)
        self._linger_call = self.site.clock.callLater(limits.linger_seconds, self.abort)

    def _watch_headers(self) -> None:
        """Time the header section, from its first byte: drips do not stretch it."""
        inside = not self._dead and (
            self._in_headers or bool(self.line_mode and self._buffer)
        )
        if not inside:
            _cancel(self._header_call)
            self._header_call = None
        elif self._header_call is None:
            self._header_call = self.site.clock.callLater(
                self.limits.header_seconds, self.refuse, RequestTimeout()
            )


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
