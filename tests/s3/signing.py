"""A client that signs, and its request as the server sees it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from attrs import evolve, frozen

from s3proxy.s3 import sigv4

ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGIONS = ("us-east-1", "auto", "home-1")
NOW = datetime(2026, 5, 24, 12, 0, 0, tzinfo=UTC)


@frozen
class Request:
    """What goes over the wire; header names lower-case."""

    method: str = "GET"
    path: str = "/unified/key"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = (("host", "localhost:9000"),)

    def signed(
        self,
        *,
        now: datetime = NOW,
        region: str = "us-east-1",
        access_key_id: str = ACCESS_KEY_ID,
        secret: str = SECRET,
        payload_hash: str = sigv4.EMPTY_SHA256,
    ) -> Request:
        """This request with our signer's headers added."""
        added = sigv4.sign_headers(
            self.method,
            self.path,
            self.query,
            dict(self.headers),
            access_key_id=access_key_id,
            secret_access_key=secret,
            region=region,
            payload_hash=payload_hash,
            now=now,
        )
        return evolve(self, headers=(*self.headers, *added.items()))

    def having(self, name: str, value: str | None) -> Request:
        """This request with one header set, or dropped when *value* is None."""
        rest = tuple((n, v) for n, v in self.headers if n != name)
        return evolve(self, headers=rest if value is None else (*rest, (name, value)))

    def authorized(self, change: Callable[[str], str]) -> Request:
        """This request with its Authorization header changed."""
        return self.having("authorization", change(dict(self.headers)["authorization"]))

    def verify(self, **changes: Any) -> sigv4.Verified:
        """Let the server verify it."""
        arguments: dict[str, Any] = {
            "secret_of": {ACCESS_KEY_ID: SECRET}.get,
            "regions": REGIONS,
            "now": NOW,
        }
        return sigv4.verify(
            self.method.encode(),
            self.path.encode(),
            self.query.encode(),
            self.headers,
            **(arguments | changes),
        )
