"""Who may come in, from a request's headers alone."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from attrs import field, frozen

from s3proxy.config_model import AuthConfig
from s3proxy.errors import AccessDenied, NotImplementedYet
from s3proxy.s3 import form_signatures, sigv4, target
from s3proxy.s3.chunk_signatures import StreamingSeed

_TOKEN_HEADER = "x-proxy-token"
_HASH_HEADER = "x-amz-content-sha256"


@frozen
class Identity:
    """
    Who sent a request.

    :ivar signed: By SigV4: every header and parameter is the key holder's own.
    :ivar sha256: What the body's SHA-256 must be, in hex; None when it was not told.
    :ivar seed: What the signatures of the body's chunks build on, where it has them.
    """

    signed: bool
    sha256: str | None
    seed: StreamingSeed | None = None


@frozen
class Authenticator:
    """
    Tries the configured ways in the specification's order: SigV4, then the token.

    A wrong signature never falls through to the token. With neither configured, every
    request is let in. A way that is not configured is not looked at.

    :ivar regions: Regions that a signature's scope may name.
    :ivar now: Wall clock, aware.
    """

    _auth: AuthConfig
    _regions: Sequence[str] = field(kw_only=True)
    _now: Callable[[], datetime] = field(kw_only=True)

    def authenticate(
        self, method: bytes, raw_target: bytes, headers: Sequence[tuple[str, str]]
    ) -> Identity:
        """
        Let a request in, or refuse it.

        :param headers: Lower-case names, latin-1 decoded values, in wire order.
        :raises AccessDenied: It shows nothing, or a wrong token.
        :raises NotImplementedYet: A presigned URL, or chunks signed with ECDSA.
        :raises S3Error: What :func:`s3proxy.s3.sigv4.verify` raises.
        """
        raw_path, raw_query = target.split(raw_target)
        signed = any(name == "authorization" for name, _ in headers)
        if signed and self._auth.access_key_id is not None:
            verified = sigv4.verify(
                method,
                raw_path,
                raw_query,
                headers,
                secret_of=self._secret_of,
                regions=self._regions,
                now=self._now(),
            )
            return Identity(True, verified.sha256, verified.seed)
        if raw_query:
            _refuse_presigned(raw_query)
        if self._auth.enabled:
            self._check_token(headers)
        return Identity(False, _told_sha256(headers))

    def authenticate_form(
        self, fields: Mapping[str, str], headers: Sequence[tuple[str, str]]
    ) -> Identity:
        """
        Let a form in by the signature of its policy, or refuse it.

        What the policy allows is for the caller to check.

        :param fields: Of the form, by lower-case name.
        :param headers: As of :meth:`authenticate`.
        :raises AccessDenied: It shows nothing, or a wrong token.
        :raises S3Error: What :func:`s3proxy.s3.form_signatures.verify` raises.
        """
        if self._auth.access_key_id is not None and form_signatures.is_signed(fields):
            form_signatures.verify(
                fields, secret_of=self._secret_of, regions=self._regions
            )
            return Identity(True, None)
        if self._auth.enabled:
            self._check_token(headers)
        return Identity(False, None)

    def _secret_of(self, access_key_id: str) -> str | None:
        if access_key_id != self._auth.access_key_id:
            return None
        return self._auth.secret_access_key

    def _check_token(self, headers: Sequence[tuple[str, str]]) -> None:
        sent = [value for name, value in headers if name == _TOKEN_HEADER]
        token = self._auth.token
        if token is None or len(sent) != 1:
            raise AccessDenied
        if not hmac.compare_digest(sent[0].encode("latin-1"), token.encode()):
            raise AccessDenied


def _refuse_presigned(raw_query: bytes) -> None:
    names = {name.lower() for name, _ in target.decode_query(raw_query)}
    if not names.isdisjoint({"x-amz-signature", "x-amz-algorithm"}):
        raise NotImplementedYet(
            "Presigned URLs are not served here yet: sign with an Authorization header."
        )


def _told_sha256(headers: Sequence[tuple[str, str]]) -> str | None:
    """The hash that an unsigned request gives all the same; it is held to it."""
    if not any(name == _HASH_HEADER for name, _ in headers):
        return None
    return sigv4.sha256_of(sigv4.payload_hash(headers))
