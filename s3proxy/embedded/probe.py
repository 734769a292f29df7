"""Signed requests to the embedded S3 server, to see whether it is ready."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from s3proxy.s3.sigv4 import sign_headers

#: A bucket and an object of its own, so that the backends' buckets hold no other's.
PROBE_BUCKET = "ready"
PROBE_PATH = f"/{PROBE_BUCKET}/ready"
CONNECT_SECONDS = 2.0
OK, CONFLICT = 200, 409


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
        self._agent: Any = Agent(  # type: ignore[no-untyped-call]
            reactor, connectTimeout=CONNECT_SECONDS
        )
        self._endpoint = endpoint
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key
        self._region = region

    async def accepts_writes(self, buckets: Iterable[str]) -> bool:
        """
        Make *buckets* where they do not exist, and store an object.

        :returns: Whether all of it worked; if not, it may a little later.
        """
        for bucket in (PROBE_BUCKET, *buckets):
            # 409: it is there already.
            if await self._put(f"/{bucket}") not in (OK, CONFLICT):
                return False
        return await self._put(PROBE_PATH) == OK

    async def _put(self, path: str) -> int | None:
        """PUT nothing to *path*; the answer's status, or None where there was none."""
        headers = {"host": urlsplit(self._endpoint).netloc}
        headers |= sign_headers(
            "PUT",
            path,
            "",
            headers,
            access_key_id=self._access_key_id,
            secret_access_key=self._secret_access_key,
            region=self._region,
            payload_hash=sha256(b"").hexdigest(),
            now=datetime.now(UTC),
        )
        try:
            response = await self._agent.request(
                b"PUT",
                f"{self._endpoint}{path}".encode(),
                Headers({name: [value] for name, value in headers.items()}),
            )
            ended = Deferred[None]()
            response.deliverBody(_Discard(ended))
            await ended
        except CancelledError:
            raise
        except Exception:
            # Whatever it is, the server is not ready: its process is watched elsewhere.
            return None
        return int(response.code)


class _Discard(Protocol):
    """Twisted's own readBody warns about its own Agent."""

    def __init__(self, ended: Deferred[None]) -> None:
        self._ended = ended

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._ended.callback(None)
