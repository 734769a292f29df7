"""s3proxy.web.auth: who is let in, by which way, and what of the body is held to."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from s3proxy.config_model import AuthConfig, CredentialConfig
from s3proxy.errors import (
    AccessDenied,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidRequest,
    InvalidURI,
    NotImplementedYet,
    S3Error,
    SignatureDoesNotMatch,
)
from s3proxy.model import Grant
from s3proxy.plan.access import Rights
from s3proxy.s3.framing import FORMS
from s3proxy.s3.sigv4 import sign_headers
from s3proxy.web.auth import Authenticator, Identity, check_payload_signed
from s3proxy.web.keyring import Keyring
from tests.s3.signing import Request

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
HASH = hashlib.sha256(b"body").hexdigest()

KEY = AuthConfig(access_key_id="AK", secret_access_key="secret")
TOKEN = AuthConfig(token="let me in")
BOTH = AuthConfig("AK", "secret", "let me in")
OFF = AuthConfig()

GOOD_TOKEN = ("x-proxy-token", "let me in")
BAD_TOKEN = ("x-proxy-token", "let me out")


def signed(
    *, key: str = "AK", secret: str = "secret", payload_hash: str = HASH
) -> list[tuple[str, str]]:
    more = sign_headers(
        "PUT",
        "/unified/k",
        "",
        {"host": "h"},
        access_key_id=key,
        secret_access_key=secret,
        region="us-east-1",
        payload_hash=payload_hash,
        now=NOW,
    )
    return [("host", "h"), *((name.lower(), value) for name, value in more.items())]


OWNER = Rights({"unified": Grant()})


def by_key(sha256: str | None, *, payload_signed: bool = False) -> Identity:
    return Identity(
        True,
        sha256,
        access_key_id="AK",
        payload_signed=payload_signed,
        rights=OWNER,
    )


def unsigned(sha256: str | None, headers: tuple[tuple[str, str], ...] = ()) -> Identity:
    return Identity(False, sha256, headers=headers, rights=OWNER)


def ask(
    auth: AuthConfig, headers: list[tuple[str, str]], target: bytes = b"/unified/k"
) -> Identity:
    authenticator = Authenticator(
        Keyring.of(auth), regions=("us-east-1",), now=lambda: NOW
    )
    return authenticator.authenticate(b"PUT", target, headers)


@pytest.mark.parametrize("auth", [KEY, BOTH])
def test_a_signature_lets_in_and_pins_the_body(auth: AuthConfig) -> None:
    assert ask(auth, signed()) == by_key(HASH, payload_signed=True)
    unsigned_body = signed(payload_hash="UNSIGNED-PAYLOAD")
    assert ask(auth, unsigned_body) == by_key(None)


@pytest.mark.parametrize("auth", [TOKEN, BOTH])
def test_the_token_lets_in(auth: AuthConfig) -> None:
    assert ask(auth, [GOOD_TOKEN]) == unsigned(None)


@pytest.mark.parametrize(
    ("auth", "headers", "error"),
    [
        (KEY, [], AccessDenied),
        (TOKEN, [], AccessDenied),
        (BOTH, [], AccessDenied),
        (TOKEN, [BAD_TOKEN], AccessDenied),
        (TOKEN, [("x-proxy-token", "")], AccessDenied),
        (TOKEN, [("x-proxy-token", "let me in\xe9")], AccessDenied),
        (TOKEN, [GOOD_TOKEN, GOOD_TOKEN], AccessDenied),
        (TOKEN, [GOOD_TOKEN, BAD_TOKEN], AccessDenied),
        (KEY, [GOOD_TOKEN], AccessDenied),
        (TOKEN, signed(), AccessDenied),
        (KEY, signed(secret="wrong"), SignatureDoesNotMatch),
        (KEY, signed(key="other"), InvalidAccessKeyId),
        # A wrong signature never falls through to the token.
        (BOTH, [*signed(secret="wrong")], SignatureDoesNotMatch),
        (BOTH, [*signed(key="other")], InvalidAccessKeyId),
        (BOTH, [("authorization", "Bearer x"), GOOD_TOKEN], InvalidArgument),
        (BOTH, [("authorization", ""), GOOD_TOKEN], AccessDenied),
    ],
)
def test_refusals(
    auth: AuthConfig, headers: list[tuple[str, str]], error: type[S3Error]
) -> None:
    with pytest.raises(error):
        ask(auth, headers)


def test_a_wrong_signature_beside_a_good_token_is_refused() -> None:
    with pytest.raises(S3Error) as why:
        ask(BOTH, [*signed(secret="wrong"), GOOD_TOKEN])
    assert why.value.status == 403


def test_a_way_that_is_not_configured_is_not_looked_at() -> None:
    """SDKs cannot be told not to sign; where only a token counts, they may."""
    assert ask(TOKEN, [*signed(key="any"), GOOD_TOKEN]) == unsigned(HASH)
    assert ask(OFF, signed(key="any")) == unsigned(HASH)


@pytest.mark.parametrize(
    ("auth", "headers"), [(OFF, []), (TOKEN, [GOOD_TOKEN]), (BOTH, [GOOD_TOKEN])]
)
def test_the_body_of_an_unsigned_request_is_held_to_its_hash(
    auth: AuthConfig, headers: list[tuple[str, str]]
) -> None:
    def told(value: str) -> Identity:
        return ask(auth, [*headers, ("x-amz-content-sha256", value)])

    assert told(HASH.upper()).sha256 == HASH
    assert told("UNSIGNED-PAYLOAD").sha256 is None
    with pytest.raises(InvalidArgument):
        told("junk")


@pytest.mark.parametrize("form", FORMS)
def test_framed_bodies(form: str) -> None:
    """Chunks are signed on the head's signature; without one there is no key."""
    identity = ask(KEY, signed(payload_hash=form))
    assert (identity.signed, identity.sha256) == (True, None)
    assert (identity.seed is not None) == FORMS[form].signed
    for auth, headers in [(OFF, []), (TOKEN, [GOOD_TOKEN])]:
        told = [*headers, ("x-amz-content-sha256", form)]
        assert ask(auth, told) == unsigned(None)
    with pytest.raises(SignatureDoesNotMatch):
        ask(KEY, signed(payload_hash=form, secret="other"))


def test_chunks_signed_with_ecdsa_are_refused_by_every_way() -> None:
    payload_hash = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
    with pytest.raises(NotImplementedYet):
        ask(KEY, signed(payload_hash=payload_hash))
    for auth, headers in [(OFF, []), (TOKEN, [GOOD_TOKEN])]:
        with pytest.raises(NotImplementedYet):
            ask(auth, [*headers, ("x-amz-content-sha256", payload_hash)])


def presigned(secret: str = "secret", query: str = "") -> bytes:
    """The target of a presigned PUT."""
    request = Request("PUT", "/unified/k", query, (("host", "h"),)).presigned(
        now=NOW, access_key_id="AK", secret=secret
    )
    return f"{request.path}?{request.query}".encode()


HOST = ("host", "h")


@pytest.mark.parametrize("auth", [KEY, BOTH])
def test_a_presigned_url_lets_in(auth: AuthConfig) -> None:
    """Its parameters that stand for headers come along."""
    assert ask(auth, [HOST], presigned()) == by_key(None)
    with_metadata = presigned(query="x-amz-meta-a=%C3%A9")
    assert ask(auth, [HOST], with_metadata).headers == (("x-amz-meta-a", "\xc3\xa9"),)


def test_a_bad_presigned_url_beside_a_good_token_is_refused() -> None:
    with pytest.raises(SignatureDoesNotMatch):
        ask(BOTH, [HOST, GOOD_TOKEN], presigned(secret="wrong"))


def test_a_presigned_url_where_signatures_do_not_count() -> None:
    """The token lets in or not, and the parameters mean what they mean."""
    target = presigned(secret="any", query="x-amz-meta-a=b")
    meta = (("x-amz-meta-a", "b"),)
    assert ask(OFF, [HOST], target) == unsigned(None, headers=meta)
    got = ask(TOKEN, [HOST, GOOD_TOKEN], target)
    assert got == unsigned(None, headers=meta)
    with pytest.raises(AccessDenied):
        ask(TOKEN, [HOST], target)


SIGV2 = b"/unified/k?AWSAccessKeyId=AK&Signature=s&Expires=1"
SIGV2_HEADER = ("authorization", "AWS AK:s")


@pytest.mark.parametrize(
    ("auth", "headers", "target"),
    [
        (KEY, [], SIGV2),
        (BOTH, [GOOD_TOKEN], SIGV2),
        (TOKEN, [], SIGV2),
        (KEY, [SIGV2_HEADER], b"/unified/k"),
        (BOTH, [SIGV2_HEADER, GOOD_TOKEN], b"/unified/k"),
        (TOKEN, [SIGV2_HEADER], b"/unified/k"),
    ],
)
def test_signature_version_2_is_refused_by_name(
    auth: AuthConfig, headers: list[tuple[str, str]], target: bytes
) -> None:
    """And not with a bare Access Denied, which would send people after their keys."""
    with pytest.raises(InvalidRequest, match="signature version 2"):
        ask(auth, headers, target)


@pytest.mark.parametrize(
    ("identity", "encrypted", "bodiless", "refused"),
    [
        (Identity(True, None), False, False, True),
        # Told, and not signed: a middleman changes both.
        (Identity(True, HASH), False, False, True),
        (Identity(True, HASH, payload_signed=True), False, False, False),
        (Identity(True, None), True, False, False),
        (Identity(True, None), False, True, False),
        (Identity(False, None), False, False, False),
    ],
)
def test_signed_payloads_can_be_required(
    identity: Identity, encrypted: bool, bodiless: bool, refused: bool
) -> None:
    if not refused:
        check_payload_signed(identity, encrypted=encrypted, bodiless=bodiless)
        return
    with pytest.raises(InvalidRequest, match="https"):
        check_payload_signed(identity, encrypted=encrypted, bodiless=bodiless)


@pytest.mark.parametrize("target", [b"http://evil/b/k", b"*", b"h:443"])
def test_a_target_must_be_a_path(target: bytes) -> None:
    with pytest.raises(InvalidURI):
        ask(OFF, [], target)


def test_every_key_has_rights_of_its_own() -> None:
    """The owner has the virtual bucket, whole; the others what they are given."""
    share = {"unified": Grant(False, "shared/"), "photos": Grant()}
    credentials = [CredentialConfig("alice", "of alice", False, share)]
    keyring = Keyring.of(BOTH, credentials, "unified")
    authenticator = Authenticator(keyring, regions=("us-east-1",), now=lambda: NOW)

    def told(headers: list[tuple[str, str]]) -> Identity:
        return authenticator.authenticate(b"PUT", b"/unified/k", headers)

    assert told(signed()) == by_key(HASH, payload_signed=True)
    assert told([GOOD_TOKEN]) == unsigned(None)
    alice = told(signed(key="alice", secret="of alice"))
    assert (alice.access_key_id, alice.rights) == (
        "alice",
        Rights(share, "alice"),
    )
    with pytest.raises(SignatureDoesNotMatch):
        told(signed(key="alice", secret="secret"))
    with pytest.raises(SignatureDoesNotMatch):
        told(signed(key="AK", secret="of alice"))
    # A reload acts on the next request.
    authenticator.keyring = Keyring.of(OFF, [CredentialConfig("alice", "new")])
    assert told(signed(key="alice", secret="new")).rights == Rights({}, "alice")
    with pytest.raises(SignatureDoesNotMatch):
        told(signed(key="alice", secret="of alice"))
    with pytest.raises(InvalidAccessKeyId):
        told(signed())
    with pytest.raises(AccessDenied):
        told([GOOD_TOKEN])


def test_credentials_alone_are_authentication() -> None:
    keyring = Keyring.of(OFF, [CredentialConfig("alice", "of alice")])
    authenticator = Authenticator(keyring, regions=("us-east-1",), now=lambda: NOW)
    for headers in ([], [GOOD_TOKEN], [("x-proxy-token", "")]):
        with pytest.raises(AccessDenied):
            authenticator.authenticate(b"GET", b"/", headers)


def test_secrets_are_not_shown() -> None:
    auth = AuthConfig("AK", "canary", "let me in")
    keyring = Keyring.of(auth, [CredentialConfig("alice", "canary")])
    shown = repr(Authenticator(keyring, regions=("us-east-1",), now=lambda: NOW))
    assert "canary" not in shown
    assert "let me in" not in shown
