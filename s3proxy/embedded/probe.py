"""Signed requests to the embedded S3 server, to see whether it is ready."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from s3proxy.s3.signer import sign_headers

#: A bucket and an object of its own, so that the backends' buckets hold no other's.
PROBE_BUCKET = "ready"
PROBE_PATH = f"/{PROBE_BUCKET}/ready"
#: Not empty: only then has the server to find a volume for it.
PROBE_BODY = b"ready"
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0
OK, NOT_FOUND, CONFLICT = 200, 404, 409


class Probe:
    """One server, one account."""

    def __init__(
        self,
        reactor: Any,
        endpoint: str,
        access_key_id: str,
        secret_access_key: str,
        region: str,
    ) -> None:
        self._reactor = reactor
        self._agent: Any = Agent(  # type: ignore[no-untyped-call]
            reactor, connectTimeout=CONNECT_SECONDS
        )
        self._endpoint = endpoint
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key
        self._region = region

    async def is_ready(self, buckets: Iterable[str]) -> bool:
        """
        Make *buckets* where they do not exist, and read and store an object.

        Reading what an earlier run stored comes first: after a start the server knows
        its volumes only a little later, and answers 500 until then.

        :returns: Whether all of it worked; if not, it may a little later.
        """
        for bucket in (PROBE_BUCKET, *buckets):
            # 409: it is there already.
            if await self._send("PUT", f"/{bucket}") not in (OK, CONFLICT):
                return False
        return (
            await self._send("GET", PROBE_PATH) in (OK, NOT_FOUND)
            and await self._send("PUT", PROBE_PATH, PROBE_BODY) == OK
            and await self._send("GET", PROBE_PATH) == OK
        )

    async def _send(self, method: str, path: str, body: bytes = b"") -> int | None:
        """Send a request; the answer's status, or None where no whole answer came."""
        headers = {"host": urlsplit(self._endpoint).netloc}
        headers |= sign_headers(
            method,
            path,
            "",
            headers,
            access_key_id=self._access_key_id,
            secret_access_key=self._secret_access_key,
            region=self._region,
            payload_hash=sha256(body).hexdigest(),
            now=datetime.now(UTC),
        )
        asking: Deferred[int] = self._agent.request(
            method.encode(),
            f"{self._endpoint}{path}".encode(),
            Headers({name: [value] for name, value in headers.items()}),
            FileBodyProducer(BytesIO(body)) if body else None,  # type: ignore[no-untyped-call]
        ).addCallback(_read_to_end)
        asking.addTimeout(ANSWER_SECONDS, self._reactor)
        # Of its own, since Agent may wrap a cancellation in errors of its making. And
        # whatever fails, the server is not ready: its process is watched elsewhere.
        answer = Deferred[int | None]()
        asking.addCallbacks(answer.callback, lambda _why: answer.callback(None))
        return await answer


def _read_to_end(response: IResponse) -> Deferred[int]:
    """:returns: Fires with the status once the body is over."""
    ended = Deferred[None]()
    response.deliverBody(_Discard(ended))  # type: ignore[no-untyped-call]
    return ended.addCallback(lambda _nothing: int(response.code))


class _Discard(Protocol):
    """Twisted's own readBody warns about its own Agent."""

    def __init__(self, ended: Deferred[None]) -> None:
        self._ended = ended

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._ended.callback(None)
