"""A client that signs, and its request as the server sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import evolve, frozen

from s3proxy.s3 import canonical, sigv4, target
from s3proxy.s3.dates import amz_date

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

    def signed_whole(
        self, *, now: datetime = NOW, payload_hash: str = sigv4.EMPTY_SHA256
    ) -> Request:
        """This request with every header signed, as some SDKs do."""
        timestamp = amz_date(now)
        scope = f"{now:%Y%m%d}/us-east-1/s3/aws4_request"
        request = self.having("x-amz-date", timestamp)
        request = request.having("x-amz-content-sha256", payload_hash)
        values: dict[str, list[str]] = {}
        for name, value in request.headers:
            values.setdefault(name, []).append(value)
        to_sign = canonical.string_to_sign(
            timestamp,
            scope,
            canonical.canonical_request(
                self.method,
                canonical.canonical_path(self.path.encode()),
                canonical.canonical_query(self.query.encode()),
                sorted(values.items()),
                payload_hash,
            ),
        )
        return request.having(
            "authorization",
            f"{canonical.ALGORITHM} Credential={ACCESS_KEY_ID}/{scope}, "
            f"SignedHeaders={';'.join(sorted(values))}, "
            f"Signature={canonical.signature(SECRET, scope, to_sign)}",
        )

    def presigned(
        self,
        *,
        now: datetime = NOW,
        region: str = "us-east-1",
        access_key_id: str = ACCESS_KEY_ID,
        secret: str = SECRET,
        expires: str = "3600",
        payload_hash: str | None = None,
    ) -> Request:
        """
        This request as a presigned URL; all of its headers are signed.

        :param payload_hash: Goes into the query; without it, x-amz-content-sha256
            counts where that is sent.
        """
        values = dict(self.headers)
        scope = f"{now:%Y%m%d}/{region}/s3/aws4_request"
        timestamp = amz_date(now)
        more = {
            "X-Amz-Algorithm": canonical.ALGORITHM,
            "X-Amz-Credential": f"{access_key_id}/{scope}",
            "X-Amz-Date": timestamp,
            "X-Amz-Expires": expires,
            "X-Amz-SignedHeaders": ";".join(sorted(values)),
        }
        if payload_hash is not None:
            more["X-Amz-Content-Sha256"] = payload_hash
        else:
            payload_hash = values.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        query = "&".join([*filter(None, [self.query]), encoded(more)])
        to_sign = canonical.string_to_sign(
            timestamp,
            scope,
            canonical.canonical_request(
                self.method,
                canonical.canonical_path(self.path.encode()),
                canonical.canonical_query(query.encode()),
                [(name, (values[name],)) for name in sorted(values)],
                payload_hash,
            ),
        )
        signature = canonical.signature(secret, scope, to_sign)
        return evolve(self, query=f"{query}&X-Amz-Signature={signature}")

    def with_parameter(self, name: str, value: str | None) -> Request:
        """This request with one parameter set anew, or dropped when *value* is None."""
        pairs = [each for each in self.query.split("&") if each.split("=")[0] != name]
        assert len(pairs) == self.query.count("&"), f"{name} is not in the query"
        added = [] if value is None else [encoded({name: value})]
        return evolve(self, query="&".join([*pairs, *added]))

    def parameter(self, name: str) -> str:
        """A parameter's value."""
        return dict(target.decode_query(self.query.encode()))[name]

    def adding(self, more: str) -> Request:
        """This request with something at the end of its query."""
        return evolve(self, query="&".join(filter(None, [self.query, more])))

    def having(self, name: str, value: str | None) -> Request:
        """This request with one header set, or dropped when *value* is None."""
        rest = tuple((n, v) for n, v in self.headers if n != name)
        return evolve(self, headers=rest if value is None else (*rest, (name, value)))

    def authorized(self, change: Callable[[str], str]) -> Request:
        """This request with its Authorization header changed."""
        return self.having("authorization", change(dict(self.headers)["authorization"]))

    @property
    def target(self) -> str:
        """Path and query, as in a request line."""
        return f"{self.path}?{self.query}" if self.query else self.path

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


def encoded(parameters: Mapping[str, str]) -> str:
    """A query of these."""
    return "&".join(
        [
            f"{canonical.uri_encode(name, slash=True)}="
            f"{canonical.uri_encode(value, slash=True)}"
            for name, value in parameters.items()
        ]
    )
