"""Single calls of a backend, whatever it answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from s3proxy.backend.answers import ANSWER_BYTES, Answer, collect, unavailable
from s3proxy.backend.limits import Limits, limited
from s3proxy.backend.signing import SigningAgent
from s3proxy.config import BackendConfig
from s3proxy.errors import BackendUnavailable


class ProbeCalls:
    """
    Close it in the end.

    :ivar name: The backend's.
    """

    def __init__(
        self,
        config: BackendConfig,
        *,
        reactor: Any,
        now: Callable[[], datetime],
        limits: Limits,
    ) -> None:
        self.name = config.name
        self._clock = reactor
        self._limits = limits
        self._agent = SigningAgent(
            config, reactor=reactor, clock=reactor, now=now, limits=limits
        )

    async def call(
        self,
        method: str,
        key: str,
        query: dict[str, str] | None = None,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """
        One call, and its answer, be that an error.

        :param key: "" is the bucket itself.
        :param headers: With x-amz-content-sha256, that is what is signed; else
            UNSIGNED-PAYLOAD, where there is a body.
        :raises BackendUnavailable: There was no answer.
        """
        try:
            return await self._call(method, key, query, headers, body)
        except BackendUnavailable:
            # Maybe of a kept connection that was closed there. Twice does no harm.
            return await self._call(method, key, query, headers, body)

    async def _call(
        self,
        method: str,
        key: str,
        query: dict[str, str] | None,
        headers: dict[str, str] | None,
        body: bytes | None,
    ) -> Answer:
        raw = Headers()
        for name, value in (headers or {}).items():
            raw.addRawHeader(name.encode("latin-1"), value.encode("latin-1"))
        url = self._agent.address.url(key, query).encode("ascii")
        sent = None if body is None else _Whole(body)
        try:
            response = await limited(
                self._agent.request(method.encode("ascii"), url, raw, sent),
                self._clock,
                self._limits.headers_seconds,
                "no answer",
            )
            data = await collect(
                response,
                ANSWER_BYTES,
                self._clock,
                self._limits.stall_seconds,
            )
        except CancelledError:
            raise
        except Exception as why:
            raise unavailable(self.name, why) from why
        return Answer(response.code, response.headers, data)

    def copy_source(self, key: str) -> str:
        """What names a key of the bucket as the source of a copy."""
        return self._agent.address.copy_source(key, None)

    async def close(self) -> None:
        """Close idle connections."""
        await self._agent.close()


@implementer(IBodyProducer)
class _Whole:
    """A small body, sent at once."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """All of it is gone."""

    def resumeProducing(self) -> None:
        """All of it is gone."""

    def stopProducing(self) -> None:
        """All of it is gone."""
