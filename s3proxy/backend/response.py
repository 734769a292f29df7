"""A response that can be told to drop its connection, and that treq will not unzip."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from twisted.internet.interfaces import IProtocol
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web.http_headers import Headers
from twisted.web.iweb import IClientRequest, IResponse
from zope.interface import implementer

#: Where an answer's Content-Encoding goes, out of the sight of treq, which would unzip.
HIDDEN_ENCODING = b"x-s3proxy-content-encoding"


@implementer(IResponse)
class AbortableResponse:
    """
    A response whose connection can be aborted, by itself or by its body's transport.

    Deliver its body as soon as it is there, and abort only while the body has not come
    to its end or the request's own is not sent: after that the connection may serve
    another request, and an abort would hit that one.
    """

    def __init__(
        self,
        original: Any,
        connection: Any,
        aborted: WeakSet[HTTP11ClientProtocol],
    ) -> None:
        """
        :param aborted: Where an aborted connection is noted: it takes a turn of the
            reactor to close, and the pool may be given it meanwhile.
        """
        self._original = original
        self._aborted = aborted
        self._connection = connection
        self.version: tuple[str, int, int] = original.version
        self.code: int = original.code
        self.phrase: bytes = original.phrase
        self.headers: Headers = original.headers
        self.length: int | str = original.length
        self.request: IClientRequest = original.request
        self.previousResponse: IResponse | None = None
        encoding = self.headers.getRawHeaders(b"content-encoding")
        if encoding is not None:
            self.headers.setRawHeaders(HIDDEN_ENCODING, encoding)
            self.headers.removeHeader(b"content-encoding")

    def setPreviousResponse(self, response: IResponse) -> None:
        """Nothing here follows redirects; part of the interface."""
        self.previousResponse = response

    def deliverBody(self, protocol: IProtocol) -> None:
        """Deliver to *protocol*, whose transport has an abortConnection."""
        self._original.deliverBody(_Relay(protocol, self))

    def abort(self) -> None:
        """Drop the connection at once, whatever is still in its buffers."""
        self._aborted.add(self._connection)
        self._connection.transport.abortConnection()


class _Relay:
    """Hands a body on to a protocol, and the protocol a transport with an abort."""

    def __init__(self, protocol: Any, response: AbortableResponse) -> None:
        self._protocol = protocol
        self._response = response
        self.dataReceived = protocol.dataReceived
        self.connectionLost = protocol.connectionLost

    def makeConnection(self, transport: Any) -> None:
        self._protocol.makeConnection(_BodyTransport(transport, self._response))


class _BodyTransport:
    """What a protocol may do to the connection that its body comes from."""

    disconnecting = False

    def __init__(self, transport: Any, response: AbortableResponse) -> None:
        self.pauseProducing = transport.pauseProducing
        self.resumeProducing = transport.resumeProducing
        self.stopProducing = transport.stopProducing
        self.loseConnection = transport.loseConnection
        self.abortConnection = response.abort
