"""The innermost agent: signs what it sends, byte for byte, to one endpoint only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IProtocol, IReactorTime, IStreamClientEndpoint
from twisted.web._newclient import HTTP11ClientProtocol, Request, RequestNotSent
from twisted.web.client import (
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import (
    IAgent,
    IBodyProducer,
    IClientRequest,
    IPolicyForHTTPS,
    IResponse,
)
from zope.interface import implementer

from s3proxy.backend.limits import Limits, limited
from s3proxy.config import BackendConfig
from s3proxy.s3.sigv4 import sign_headers, uri_encode

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
#: Where an answer's Content-Encoding goes, out of the sight of treq, which would unzip.
HIDDEN_ENCODING = b"x-s3proxy-content-encoding"


class Address:
    """Where a backend's bucket is, path-style or virtual-host style."""

    def __init__(self, config: BackendConfig) -> None:
        parts = urlsplit(config.endpoint)
        assert parts.hostname is not None
        prefix = "" if config.force_path_style else f"{config.bucket}."
        self.is_tls = parts.scheme == "https"
        self.host = prefix + parts.hostname
        self.port = parts.port or (443 if self.is_tls else 80)
        self.netloc = prefix + parts.netloc
        self._origin = f"{parts.scheme}://{self.netloc}"
        self._root = f"/{config.bucket}" if config.force_path_style else ""

    def url(self, key: str = "", query: dict[str, str] | None = None) -> str:
        """
        The URL of a key, or of the bucket itself, encoded by the AWS rule.

        :param query: Decoded names and values.
        """
        path = f"{self._root}/{uri_encode(key, slash=False)}" if key else self._root
        pairs = [
            f"{uri_encode(name, slash=True)}={uri_encode(value, slash=True)}"
            for name, value in sorted((query or {}).items())
        ]
        return f"{self._origin}{path or '/'}" + (f"?{'&'.join(pairs)}" if pairs else "")


@implementer(IAgent)
class SigningAgent:
    """
    Sends signed requests to one endpoint, over connections that are kept.

    It stands in the place of :class:`twisted.web.client.Agent`, which parses the URI
    and puts it together again: here the target goes out as it came in, so what is
    signed is what is sent. The host of a URI is not looked at, a redirect is not
    followed: all goes where the configuration says.

    A call without a body whose kept connection turns out to be closed goes again on
    another one. A PUT never does: its first bytes are gone.
    """

    def __init__(
        self,
        config: BackendConfig,
        *,
        reactor: Any,
        clock: IReactorTime,
        now: Callable[[], datetime],
        limits: Limits,
        context_factory: IPolicyForHTTPS | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._now = now
        self._limits = limits
        self.address = address = Address(config)
        self._endpoint = _endpoint(reactor, address, limits.connect_seconds)
        if address.is_tls:
            policy = context_factory
            if policy is None:
                policy = BrowserLikePolicyForHTTPS()  # type: ignore[no-untyped-call]
            creator = policy.creatorForNetloc(address.host.encode(), address.port)
            self._endpoint = wrapClientTLS(creator, self._endpoint)
        self._pool = HTTPConnectionPool(reactor)  # type: ignore[no-untyped-call]
        self._pool.maxPersistentPerHost = limits.kept_connections
        # Declared as a whole number there; it goes to callLater.
        self._pool.cachedConnectionTimeout = limits.kept_seconds  # type: ignore[assignment]
        # Done here: Twisted's own way hides the connection that is to be aborted.
        self._pool.retryAutomatically = False
        self._used: WeakSet[HTTP11ClientProtocol] = WeakSet()

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """
        Sign and send.

        :param uri: Absolute; encoded as it shall be sent.
        :param headers: x-amz-content-sha256 among them is what is signed; else the hash
            of no body, or UNSIGNED-PAYLOAD with a body.
        :returns: An :class:`AbortableResponse`. Cancelling aborts the connection.
        """
        target = b"/" + uri.split(b"/", 3)[3]
        return Deferred.fromCoroutine(
            self._send(method, target, headers or Headers(), bodyProducer)
        )

    async def close(self) -> None:
        """Close the connections that are kept idle."""
        await self._pool.closeCachedConnections()  # type: ignore[no-untyped-call]

    async def _send(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: IBodyProducer | None,
    ) -> AbortableResponse:
        request = Request(  # type: ignore[no-untyped-call]
            method,
            target,
            self._signed(method, target, headers, body),
            body,
            persistent=True,
        )
        while True:
            connection = await limited(
                self._pool.getConnection("backend", self._endpoint),
                self._clock,
                self._limits.connect_seconds,
                "no connection",
            )
            was_kept = connection in self._used
            self._used.add(connection)
            try:
                response = await connection.request(request)
            except (
                RequestNotSent,
                RequestTransmissionFailed,
                ResponseNeverReceived,
            ) as why:
                # Each turn uses a kept connection up; the last one is on a new one.
                if was_kept and body is None and not _cancelled(why):
                    continue
                raise
            return AbortableResponse(response, connection)

    def _signed(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: IBodyProducer | None,
    ) -> Headers:
        path, _, query = target.decode("ascii").partition("?")
        plain = {
            name.decode("latin-1").lower(): ",".join(
                value.decode("latin-1") for value in values
            )
            for name, values in headers.getAllRawHeaders()
        }
        plain["host"] = self.address.netloc
        # Not signed (Google's gateway changes it), and said, so that no server zips.
        plain["accept-encoding"] = "identity"
        payload_hash = plain.pop(
            "x-amz-content-sha256", EMPTY_SHA256 if body is None else UNSIGNED_PAYLOAD
        )
        plain |= sign_headers(
            method.decode("ascii"),
            path,
            query,
            plain,
            access_key_id=self._config.access_key_id,
            secret_access_key=self._config.secret_access_key,
            region=self._config.region,
            payload_hash=payload_hash,
            now=self._now(),
        )
        return Headers(
            {
                name.encode("latin-1"): [value.encode("latin-1")]
                for name, value in plain.items()
            }
        )


@implementer(IResponse)
class AbortableResponse:
    """
    A response whose connection can be aborted, by itself or by its body's transport.

    Deliver its body as soon as it is there: while nobody took it, its connection may
    already serve another request, and an abort would hit that one.
    """

    def __init__(self, original: Any, connection: Any) -> None:
        self._original = original
        self._connection = connection
        self._is_over = False
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
        """Drop the connection, unless the exchange is over and it serves another."""
        # In that state the answer is over but the request's body is not.
        if self._is_over and (
            self._connection.state != "TRANSMITTING_AFTER_RECEIVING_RESPONSE"
        ):
            return
        self._connection.transport.abortConnection()

    def ended(self) -> None:
        """The body came to its end."""
        self._is_over = True


class _Relay:
    """Hands a body on to a protocol, and the protocol a transport with an abort."""

    def __init__(self, protocol: Any, response: AbortableResponse) -> None:
        self._protocol = protocol
        self._response = response
        self.dataReceived = protocol.dataReceived

    def makeConnection(self, transport: Any) -> None:
        self._protocol.makeConnection(_BodyTransport(transport, self._response))

    def connectionLost(self, reason: Any) -> None:
        self._response.ended()
        self._protocol.connectionLost(reason)


class _BodyTransport:
    """What a protocol may do to the connection that its body comes from."""

    disconnecting = False

    def __init__(self, transport: Any, response: AbortableResponse) -> None:
        self.pauseProducing = transport.pauseProducing
        self.resumeProducing = transport.resumeProducing
        self.stopProducing = transport.stopProducing
        self.loseConnection = transport.loseConnection
        self.abortConnection = response.abort


def _endpoint(reactor: Any, address: Address, seconds: float) -> IStreamClientEndpoint:
    # A plain address needs no resolver, and a refusal is told at once: the endpoint for
    # names waits 0.3 s for a further address to try.
    kind: Any = HostnameEndpoint
    if isIPAddress(address.host):
        kind = TCP4ClientEndpoint
    elif isIPv6Address(address.host):
        kind = TCP6ClientEndpoint
    endpoint: IStreamClientEndpoint = kind(
        reactor, address.host, address.port, timeout=seconds
    )
    return endpoint


def _cancelled(why: Exception) -> bool:
    return any(reason.check(CancelledError) for reason in getattr(why, "reasons", ()))
