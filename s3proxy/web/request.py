"""One request: dispatched when its headers have come; its handler pulls its body."""

# mypy: allow-untyped-calls
# (twisted.web.http has few annotations.)

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http_headers import Headers
from twisted.web.iweb import INonQueuedRequestFactory
from zope.interface import provider

from s3proxy.errors import ClientGone
from s3proxy.s3 import documents, markup
from s3proxy.s3.dates import http_date
from s3proxy.telemetry.trail import Trail
from s3proxy.web.answer import Answer
from s3proxy.web.body import RequestBody

if TYPE_CHECKING:
    from s3proxy.web.channel import S3Channel
    from s3proxy.web.site import StreamingSite

#: Of an answer that was looked up in a standby: by how much that is behind.
STALE_HEADER = b"x-s3proxy-stale"

_DECLARATION = markup.DECLARATION.encode()


@provider(INonQueuedRequestFactory)
class S3Request(server.Request):
    """
    A request whose handler starts before its body has come.

    :ivar request_id: Names it in its answer and in the log.
    :ivar trail: What is known of it, for its line in the log.
    :ivar body: The body, from the moment the headers are complete.
    :ivar route: What the router gets to see; b"" = S3.
    :ivar dispatched: A handler has been started.
    :ivar on_gone: Called once when the client is gone.
    :ivar more_headers: What every answer has, an error too.
    :ivar kept_alive: A 200 was sent before its answer was known: the status can change
        no more, the document can.
    """

    # An object without a type is binary/octet-stream; nothing else is guessed.
    defaultContentType = None
    site: StreamingSite
    channel: S3Channel | None  # type: ignore[assignment]
    body: RequestBody
    route = b""
    dispatched = False
    on_gone: Callable[[], None] | None = None
    kept_alive = False
    more_headers: tuple[tuple[str, str], ...] = ()
    _broken = False

    def __init__(self, channel: S3Channel) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self.site = channel.site
        self.request_id = channel.site.request_ids()
        self.trail = Trail(self.request_id)

    # What the channel calls, in this order.

    def parseCookies(self) -> None:
        """S3 has no cookies."""

    def gotLength(self, length: int | None) -> None:
        """The headers have come; *length* is None for a chunked body."""
        assert self.channel is not None
        self.body = RequestBody(
            length,
            self.channel,
            self.site.clock,
            self.site.limits,
            ended=length == 0,
        )

    def dispatch(self, method: bytes, target: bytes, version: bytes) -> None:
        """Start the handler."""
        self.dispatched = True
        self.method, self.uri, self.clientproto = method, target, version
        self.path = target.partition(b"?")[0]
        self.args = {}
        self.process()

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body has come."""
        self.body.feed(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The whole request has come."""
        if not self.dispatched:
            self.dispatch(command, path, version)
            return
        # Looked at first, since the end may be what lets the handler finish.
        answered = self.finished and not self.gone
        self.body.end()
        if answered:
            super()._cleanup()

    def connectionLost(self, reason: Failure) -> None:
        """The client is gone, before the answer was complete."""
        super().connectionLost(reason)
        # Absent when the connection broke inside the headers.
        if hasattr(self, "body"):
            self.body.fail(ClientGone())
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone()

    # Towards the handlers.

    def process(self) -> None:
        """Hand the request to the application."""
        # The router sees one of a few constants; the application reads the raw target.
        self.prepath = []
        host = self.requestHeaders.getRawHeaders(b"host", [b""])[0]
        self.route = self.site.route_of(self.method, self.uri, host)
        self.postpath = [self.route]
        self.site.resource.render(self)

    def getRequestHostname(self) -> bytes:
        """A constant: the router has no use for what clients put into Host."""
        return b"s3proxy"

    @property
    def encrypted(self) -> bool:
        """Whether it came over TLS."""
        return bool(self.isSecure())

    @property
    def is_spare(self) -> bool:
        """Whether it came over a connection past the cap."""
        return self.channel is not None and self.channel.place.is_spare

    @property
    def gone(self) -> bool:
        """Whether there is nobody to answer any more."""
        return bool(self._disconnected) or self._broken

    @property
    def client_left(self) -> bool:
        """Whether the connection was lost before the answer was complete."""
        return bool(self._disconnected)

    @property
    def was_broken_off(self) -> bool:
        """Whether it is we who broke the connection, in the middle of an answer."""
        return self._broken and not self._disconnected

    def set_head(self, answer: Answer) -> None:
        """Set status and headers, in place of any set before; the next write sends."""
        self.setResponseCode(answer.status)
        headers = self.responseHeaders = Headers()
        headers.addRawHeader(b"Date", http_date(self.site.now()).encode())
        headers.addRawHeader(b"x-amz-request-id", self.request_id.encode())
        for name, value in (*answer.headers, *self.more_headers):
            headers.addRawHeader(name.encode("latin-1"), value.encode("latin-1"))
        if self.trail.stale:
            headers.addRawHeader(STALE_HEADER, self.trail.stale.encode("ascii"))
        if answer.length is not None:
            headers.addRawHeader(b"Content-Length", b"%d" % answer.length)

    def write_answer(self, answer: Answer) -> None:
        """Write an answer whose body is at hand."""
        if self.kept_alive:
            self.write(answer.body.removeprefix(_DECLARATION))
        else:
            self.set_head(answer)
            self.write(answer.body)

    def keep_alive(self) -> None:
        """
        Write what is true of any answer to come: at first the head of a 200 with an
        XML document, then a blank each time.
        """
        if self.gone:
            return
        if self.kept_alive:
            self.write(b" ")
            return
        self.kept_alive = True
        self.set_head(Answer(200, (("Content-Type", documents.CONTENT_TYPE),)))
        self.write(_DECLARATION)

    def write(self, data: bytes) -> None:
        """Write a piece of the answer; the first one writes the headers."""
        if not self.startedWriting and self.channel is not None:
            self.channel.decide_persistence(self)
        super().write(data)

    def finish(self) -> None:
        """
        The answer is complete. Where there is nobody to answer, nothing happens.

        The next request is looked at once the rest of this one's body has come.
        """
        if not self.gone:
            super().finish()

    def break_off(self) -> None:
        """Break the connection, so that a cut answer never looks like a whole one."""
        channel = getattr(self, "channel", None)
        if channel is not None and not self.finished:
            self._broken = True
            channel.abort()

    def _cleanup(self) -> None:
        if self.body.ended:
            super()._cleanup()
            return
        # What is still to come of the body must never be read as a request.
        assert self.channel is not None
        self.body.discard()
        self.channel.await_rest()
