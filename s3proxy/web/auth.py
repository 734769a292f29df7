"""Who may come in, from a request's headers alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from attrs import define, field, frozen

from s3proxy.errors import AccessDenied, InvalidRequest
from s3proxy.model import Grant
from s3proxy.plan.access import Rights
from s3proxy.s3 import authorization, form_signatures, presigned, sigv4, target
from s3proxy.s3.chunk_signatures import StreamingSeed
from s3proxy.s3.markup import OWNER
from s3proxy.web.keyring import Keyring

_TOKEN_HEADER = "x-proxy-token"
_HASH_HEADER = "x-amz-content-sha256"


@frozen
class Identity:
    """
    Who sent a request.

    :ivar signed: By SigV4: every header and parameter is the key holder's own.
    :ivar sha256: What the body's SHA-256 must be, in hex; None when it was not told.
    :ivar seed: What the signatures of the body's chunks build on, where it has them.
    :ivar payload_signed: The signature covers the body too.
    :ivar headers: To be read beside the request's own: a presigned URL's parameters.
    :ivar access_key_id: Whose key signed it; None for the token, and for nobody.
    :ivar rights: What they may do; nothing, unless it is said.
    :ivar grant: What of that is of the operation's bucket: the gate tells it.
    :ivar bucket_owner: Whose that bucket is, as documents name them; the gate tells it.
    """

    signed: bool
    sha256: str | None
    seed: StreamingSeed | None = None
    access_key_id: str | None = None
    payload_signed: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    rights: Rights = field(factory=Rights)
    grant: Grant | None = None
    bucket_owner: str = OWNER


@define(eq=False)
class Authenticator:
    """
    Tries the configured ways in the specification's order: SigV4, then the token.

    A wrong signature never falls through to the token. With neither configured, every
    request is let in. A way that is not configured is not looked at.

    :ivar keyring: Whom to let in; a reload replaces it.
    :ivar require_signed_payload: Of signed requests; see :func:`check_payload_signed`.
        A reload sets it.
    :ivar regions: Regions that a signature's scope may name.
    :ivar now: Wall clock, aware.
    """

    keyring: Keyring
    require_signed_payload: bool = field(default=False, kw_only=True)
    _regions: Sequence[str] = field(kw_only=True)
    _now: Callable[[], datetime] = field(kw_only=True)

    def authenticate(
        self, method: bytes, raw_target: bytes, headers: Sequence[tuple[str, str]]
    ) -> Identity:
        """
        Let a request in, or refuse it.

        :param headers: Lower-case names, latin-1 decoded values, in wire order.
        :raises AccessDenied: It shows nothing, or a wrong token.
        :raises NotImplementedYet: Chunks signed with ECDSA.
        :raises S3Error: What :func:`s3proxy.s3.sigv4.verify` raises.
        """
        raw_path, raw_query = target.split(raw_target)
        keyring = self.keyring
        if keyring.has_keys and sigv4.is_signed(headers, raw_query):
            verified = sigv4.verify(
                method,
                raw_path,
                raw_query,
                headers,
                secret_of=keyring.secret_of,
                regions=self._regions,
                now=self._now(),
            )
            return Identity(
                True,
                verified.sha256,
                verified.seed,
                verified.access_key_id,
                payload_signed=verified.payload_signed,
                headers=verified.headers,
                rights=keyring.rights_of(verified.access_key_id),
            )
        if not keyring.is_open:
            _check_token(keyring, headers, raw_query)
        return Identity(
            False,
            _told_sha256(headers),
            headers=_told_headers(headers, raw_query),
            rights=keyring.owner,
        )

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
        keyring = self.keyring
        if keyring.has_keys and form_signatures.is_signed(fields):
            access_key_id = form_signatures.verify(
                fields, secret_of=keyring.secret_of, regions=self._regions
            )
            return Identity(
                True,
                None,
                access_key_id=access_key_id,
                rights=keyring.rights_of(access_key_id),
            )
        if not keyring.is_open:
            _check_token(keyring, headers, b"")
        return Identity(False, None, rights=keyring.owner)


def _check_token(
    keyring: Keyring, headers: Sequence[tuple[str, str]], raw_query: bytes
) -> None:
    sent = [value for name, value in headers if name == _TOKEN_HEADER]
    if len(sent) == 1 and keyring.is_token(sent[0]):
        return
    shown = [value for name, value in headers if name == "authorization"]
    if len(sent) != 1 and authorization.is_sigv2(shown, target.decode_query(raw_query)):
        raise authorization.unsupported("signature version 2")
    raise AccessDenied


def check_payload_signed(
    identity: Identity, *, encrypted: bool, bodiless: bool
) -> None:
    """
    ``server.require_signed_payload``: refuse a body that a middleman could have made.

    Those who show a token, or nothing, sign no request either: it is not about them.

    :param encrypted: The request came over TLS.
    :param bodiless: There is no body to sign.
    :raises InvalidRequest: The request is signed, and its body is not (400).
    """
    if identity.signed and not (identity.payload_signed or encrypted or bodiless):
        raise InvalidRequest(
            "An unsigned payload is not accepted over plain HTTP here: use https, or "
            "sign the body (x-amz-content-sha256 with its hash, or signed chunks)."
        )


def _told_headers(
    headers: Sequence[tuple[str, str]], raw_query: bytes
) -> tuple[tuple[str, str], ...]:
    """A presigned URL means the same where its signature does not count."""
    query = target.decode_query(raw_query) if raw_query else ()
    if not authorization.is_presigned(query):
        return ()
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return presigned.headers_in(query, values)


def _told_sha256(headers: Sequence[tuple[str, str]]) -> str | None:
    """The hash that an unsigned request gives all the same; it is held to it."""
    if not any(name == _HASH_HEADER for name, _ in headers):
        return None
    return sigv4.sha256_of(sigv4.payload_hash(headers))
