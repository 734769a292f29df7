"""The innermost agent: signs what it sends, byte for byte, to one endpoint only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any
from weakref import WeakSet

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol, Request, RequestNotSent
from twisted.web.client import (
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from s3proxy.backend.address import Address
from s3proxy.backend.budget import Budget, Payment
from s3proxy.backend.limits import Limits, limited
from s3proxy.backend.response import AbortableResponse
from s3proxy.config import BackendConfig
from s3proxy.errors import BackendBusy
from s3proxy.plan.usage import class_of
from s3proxy.s3.signer import sign_headers
from s3proxy.telemetry.trail import note_backend

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
#: A request's header that says that its call is paid for.
PAID = "x-s3proxy-paid"
#: Received at a time; Twisted's own 64 KiB cost large transfers a third more CPU.
RECEIVE_BYTES = 256 * 1024


@implementer(IAgent)
class SigningAgent:
    """
    Sends signed requests to one endpoint, over connections that are kept.

    It stands in the place of :class:`twisted.web.client.Agent`, which parses the URI
    and puts it together again: here the target goes out as it came in, so what is
    signed is what is sent. The host of a URI is not looked at, a redirect is not
    followed: all goes where the configuration says.

    A call without a body whose kept connection turns out to be closed goes again on
    another one. A PUT never does: its first bytes are gone, or, where it is a copy, it
    may be at work all the same and land after the second one.

    Each request that goes out is paid for from the backend's budget, and is not sent
    where that is used up. What has a header :data:`PAID` is paid for, but not a second
    try of it; the header does not go out.

    :ivar is_failing: Whether the latest call failed, by the backend's doing; None where
        there was none yet.
    """

    is_failing: bool | None = None

    def __init__(
        self,
        config: BackendConfig,
        *,
        reactor: Any,
        clock: IReactorTime,
        now: Callable[[], datetime],
        limits: Limits,
        context_factory: IPolicyForHTTPS | None = None,
        budget: Budget | None = None,
    ) -> None:
        """:param budget: None, where nothing is counted."""
        self._config = config
        self._budget = budget
        self._clock = clock
        self._now = now
        self._limits = limits
        self.address = address = Address(config)
        self._endpoint = address.endpoint(reactor, limits.connect_seconds)
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
        self._aborted: WeakSet[HTTP11ClientProtocol] = WeakSet()

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
        note_backend(self._config.name)
        target = b"/" + uri.split(b"/", 3)[3]
        return Deferred.fromCoroutine(
            self._send(method, target, headers or Headers(), bodyProducer)
        ).addBoth(self._note)

    async def close(self) -> None:
        """Close the connections that are kept idle."""
        await self._pool.closeCachedConnections()  # type: ignore[no-untyped-call]

    def _note(self, result: Any) -> Any:
        """Remember how it went, where that says something of the backend."""
        if not isinstance(result, Failure):
            # 401 and 403: our own keys are good for nothing there.
            self.is_failing = result.code >= 500 or result.code in (401, 403)
        elif not (
            isinstance(
                result.value, CancelledError | RequestGenerationFailed | BackendBusy
            )
            or _cancelled(result.value)
        ):
            self.is_failing = True
        return result

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
        pay: Payment | None = None
        if self._budget is not None and (kind := class_of(method, target)) is not None:
            pay = Payment(self._budget, kind, is_paid=headers.hasHeader(PAID))
        while True:
            if pay is not None:
                await pay.once()
            try:
                connection = await limited(
                    self._pool.getConnection("backend", self._endpoint),
                    self._clock,
                    self._limits.connect_seconds,
                    "no connection",
                )
            except BaseException:
                if pay is not None:
                    pay.back()
                raise
            if connection in self._aborted:
                if pay is not None:
                    pay.back()
                continue
            was_kept = connection in self._used
            self._used.add(connection)
            if not was_kept:
                connection.transport.bufferSize = RECEIVE_BYTES  # type: ignore[union-attr]
            try:
                response = await connection.request(request)
            except (
                RequestNotSent,
                RequestTransmissionFailed,
                ResponseNeverReceived,
            ) as why:
                # Each turn uses a kept connection up; the last one is on a new one.
                if was_kept and _may_go_again(method, body) and not _cancelled(why):
                    continue
                raise
            return AbortableResponse(response, connection, self._aborted)

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
        plain.pop(PAID, None)
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
        signed = Headers()
        for name, value in plain.items():
            signed.addRawHeader(name.encode("latin-1"), value.encode("latin-1"))
        return signed


def _may_go_again(method: bytes, body: IBodyProducer | None) -> bool:
    return body is None and method != b"PUT"


def _cancelled(why: BaseException | None) -> bool:
    return any(reason.check(CancelledError) for reason in getattr(why, "reasons", ()))
