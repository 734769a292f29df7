"""The verifier's answers to each case of a wrong signature, and the AWS vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from attrs import evolve

from s3proxy import errors
from s3proxy.errors import S3Error
from s3proxy.s3 import canonical, sigv4
from s3proxy.s3.framing import FORMS
from tests.s3.signing import ACCESS_KEY_ID, NOW, SECRET, Request

PUT = Request("PUT", headers=(("host", "h"), ("x-amz-meta-a", "b")))
PRESIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2Fb&X-Amz-Date=x"
    "&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
)
EXAMPLE = "AKIAIOSFODNN7EXAMPLE"
EXAMPLE_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EXAMPLE_NOW = datetime(2013, 5, 24, tzinfo=UTC)


def vector(
    method: str, path: str, query: str, signature: str, body: bytes, **headers: str
) -> Request:
    """One of the S3 documentation's examples, as it says to send it."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()} | {
        "host": "examplebucket.s3.amazonaws.com",
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": "20130524T000000Z",
    }
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={EXAMPLE}/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={';'.join(sorted(sent))},Signature={signature}"
    )
    headers_sent = (*sent.items(), ("authorization", authorization))
    return Request(method, path, query, headers_sent)


VECTORS = [
    vector(
        "GET",
        "/test.txt",
        "",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        b"",
        range="bytes=0-9",
    ),
    vector(
        "PUT",
        "/test$file.text",
        "",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        b"Welcome to Amazon S3.",
        date="Fri, 24 May 2013 00:00:00 GMT",
        x_amz_storage_class="REDUCED_REDUNDANCY",
    ),
    vector(
        "GET",
        "/",
        "lifecycle",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        b"",
    ),
    vector(
        "GET",
        "/",
        "max-keys=2&prefix=J",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        b"",
    ),
]


@pytest.mark.parametrize("request_", VECTORS, ids=lambda r: f"{r.path}?{r.query}")
def test_the_documentation_examples_verify(request_: Request) -> None:
    """The signatures printed in the S3 documentation are accepted."""
    secrets = {EXAMPLE: EXAMPLE_SECRET}
    verified = request_.verify(secret_of=secrets.get, now=EXAMPLE_NOW)
    assert verified.access_key_id == EXAMPLE


def test_the_documented_presigned_url_verifies() -> None:
    """The signature printed in the S3 documentation, for a day and not longer."""
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        f"&X-Amz-Credential={EXAMPLE}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    host = ("host", "examplebucket.s3.amazonaws.com")
    request = Request("GET", "/test.txt", query, (host,))
    secrets = {EXAMPLE: EXAMPLE_SECRET}
    until = EXAMPLE_NOW + timedelta(days=1)
    verified = request.verify(secret_of=secrets.get, now=until)
    assert verified == sigv4.Verified(EXAMPLE, sigv4.UNSIGNED_PAYLOAD)
    with pytest.raises(errors.AccessDenied, match="expired"):
        request.verify(secret_of=secrets.get, now=until + timedelta(seconds=1))


def test_the_signer_agrees_with_the_documentation() -> None:
    """Our own signer gives the documented signature of GET Bucket (List Objects)."""
    headers = sigv4.sign_headers(
        "GET",
        "/",
        "prefix=J&max-keys=2",
        {"Host": "examplebucket.s3.amazonaws.com", "Accept-Encoding": "identity"},
        access_key_id=EXAMPLE,
        secret_access_key=EXAMPLE_SECRET,
        region="us-east-1",
        payload_hash=sigv4.EMPTY_SHA256,
        now=EXAMPLE_NOW,
    )
    assert headers == {
        "x-amz-date": "20130524T000000Z",
        "x-amz-content-sha256": sigv4.EMPTY_SHA256,
        "authorization": (
            f"AWS4-HMAC-SHA256 Credential={EXAMPLE}/20130524/us-east-1/s3/aws4_request,"
            " SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
            " Signature="
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        ),
    }


def signature_part(text: str) -> Request:
    """A signed PUT with another value of Signature."""
    return PUT.signed().authorized(lambda a: a[: a.rindex("=") + 1] + text)


def good_signature() -> str:
    """The Signature of a signed PUT."""
    return dict(PUT.signed().headers)["authorization"].rpartition("=")[2]


def swapped(old: str, new: str) -> Request:
    """A signed PUT with a part of its Authorization header replaced."""

    def change(authorization: str) -> str:
        assert old in authorization
        return authorization.replace(old, new)

    return PUT.signed().authorized(change)


SCOPE = f"{ACCESS_KEY_ID}/20260524/us-east-1/s3/aws4_request"
SIGNED = "host;x-amz-content-sha256;x-amz-date;x-amz-meta-a"
MALFORMED = errors.AuthorizationHeaderMalformed
WRONG = errors.SignatureDoesNotMatch

# Number in the security checklist, request, expected error.
CASES: list[tuple[str, Request, type[S3Error]]] = [
    ("1 unsigned", PUT, errors.AccessDenied),
    ("1 empty", PUT.having("authorization", ""), errors.AccessDenied),
    ("2 garbage", PUT.having("authorization", "garbage"), errors.InvalidArgument),
    ("3 basic", PUT.having("authorization", "Basic Zm9v"), errors.InvalidArgument),
    ("3 lower case", swapped("AWS4-HMAC", "aws4-hmac"), errors.InvalidArgument),
    ("4 sigv4a", swapped("HMAC-SHA256", "ECDSA-P256-SHA256"), errors.InvalidRequest),
    ("3 two", evolve(PUT, headers=PUT.signed().headers * 2), errors.InvalidArgument),
    ("4 sigv2", PUT.having("authorization", "AWS ak:sig"), errors.InvalidRequest),
    (
        "4 sigv2 query",
        evolve(PUT, query="AWSAccessKeyId=a&Signature=b&Expires=1"),
        errors.InvalidRequest,
    ),
    ("5 nothing", PUT.having("authorization", "AWS4-HMAC-SHA256 ,"), MALFORMED),
    ("5 no credential", swapped(f"Credential={SCOPE}, ", ""), MALFORMED),
    ("5 no headers", swapped(f"SignedHeaders={SIGNED}, ", ""), MALFORMED),
    ("5 no signature", swapped(f", Signature={good_signature()}", ""), MALFORMED),
    ("5 no equals", swapped("Credential=", "Credential"), MALFORMED),
    ("5 other part", swapped(", Signature", ", Extra=1, Signature"), MALFORMED),
    ("5 twice", swapped(", Signature", f", Credential={SCOPE}, Signature"), MALFORMED),
    ("6 four parts", swapped("/us-east-1", ""), MALFORMED),
    ("6 six parts", swapped(ACCESS_KEY_ID, "a/b"), MALFORMED),
    ("6 no key", swapped(ACCESS_KEY_ID, ""), MALFORMED),
    ("7 terminal", swapped("aws4_request", "aws4"), MALFORMED),
    ("7 service", swapped("/s3/", "/ec2/"), MALFORMED),
    ("7 date form", swapped("/20260524/", "/2026-05-24/"), MALFORMED),
    (
        "7 date digits",
        swapped("/20260524/", "/2026052\xb2/"),
        MALFORMED,
    ),
    ("8 region", swapped("us-east-1", "eu-west-9"), MALFORMED),
    ("8 no region", swapped("us-east-1", ""), MALFORMED),
    ("9 scope date", swapped("/20260524/", "/20260523/"), MALFORMED),
    ("10 no date", PUT.signed().having("x-amz-date", None), errors.AccessDenied),
    ("10 bad date", PUT.signed().having("x-amz-date", "today"), errors.AccessDenied),
    (
        "10 no such date",
        PUT.signed().having("x-amz-date", "20260231T000000Z"),
        errors.AccessDenied,
    ),
    (
        "10 bad amz date beside a good Date",
        PUT.signed()
        .having("x-amz-date", "now")
        .having("date", "Sun, 24 May 2026 12:00:00 GMT"),
        errors.AccessDenied,
    ),
    (
        "11 past",
        PUT.signed(now=NOW - timedelta(seconds=901)),
        errors.RequestTimeTooSkewed,
    ),
    (
        "11 future",
        PUT.signed(now=NOW + timedelta(seconds=901)),
        errors.RequestTimeTooSkewed,
    ),
    (
        "12 unknown key",
        PUT.signed(access_key_id="AKIDNOBODY"),
        errors.InvalidAccessKeyId,
    ),
    ("13 wrong secret", PUT.signed(secret="other"), WRONG),
    ("13 truncated", signature_part(good_signature()[:-1]), WRONG),
    ("13 longer", signature_part(good_signature() + "0"), WRONG),
    ("13 empty", signature_part(""), WRONG),
    ("13 upper case", signature_part(good_signature().upper()), WRONG),
    ("13 not ascii", signature_part("é" * 64), WRONG),
    ("14 host", swapped("host;", ""), errors.AccessDenied),
    ("15 metadata", PUT.signed().having("x-amz-meta-b", "1"), errors.AccessDenied),
    (
        "15 copy source",
        PUT.signed().having("x-amz-copy-source", "/b/k"),
        errors.AccessDenied,
    ),
    ("15 date", swapped("x-amz-date;", ""), errors.AccessDenied),
    ("16 absent", PUT.signed().having("x-amz-meta-a", None), WRONG),
    ("17 repeated", swapped("host;", "host;host;"), MALFORMED),
    (
        "17 unsorted",
        swapped("host;x-amz-content-sha256", "x-amz-content-sha256;host"),
        MALFORMED,
    ),
    ("17 upper case", swapped("host;", "Host;"), MALFORMED),
    ("17 empty name", swapped("=host;", "=;host;"), MALFORMED),
    (
        "18 header and query",
        evolve(PUT.signed(), query=PRESIGNED),
        errors.InvalidArgument,
    ),
    (
        "18 bearer and query",
        evolve(PUT.having("authorization", "Bearer x"), query=PRESIGNED),
        errors.AuthorizationQueryParametersError,
    ),
    ("19 method", evolve(PUT.signed(), method="DELETE"), WRONG),
    ("19 path", evolve(PUT.signed(), path="/unified/kez"), WRONG),
    ("19 path slash", evolve(PUT.signed(), path="/unified//key"), WRONG),
    ("19 path dots", evolve(PUT.signed(), path="/unified/./key"), WRONG),
    ("19 query", evolve(PUT.signed(), query="acl"), WRONG),
    ("19 host", PUT.signed().having("host", "other"), WRONG),
    ("19 header", PUT.signed().having("x-amz-meta-a", "c"), WRONG),
    (
        "24 no hash",
        PUT.signed().having("x-amz-content-sha256", None),
        errors.InvalidRequest,
    ),
    (
        "24 two hashes",
        evolve(
            PUT.signed(),
            headers=(
                *PUT.signed().headers,
                ("x-amz-content-sha256", sigv4.EMPTY_SHA256),
            ),
        ),
        errors.InvalidRequest,
    ),
    ("25 no token", PUT.signed(payload_hash="UNSIGNED"), errors.InvalidArgument),
    ("25 short", PUT.signed(payload_hash="ab" * 31), errors.InvalidArgument),
    ("25 not hex", PUT.signed(payload_hash="xy" * 32), errors.InvalidArgument),
    (
        "27 hash swapped",
        PUT.signed().having("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        WRONG,
    ),
    *(
        (
            f"streaming {kind}",
            PUT.signed(payload_hash=f"STREAMING-{kind}"),
            errors.NotImplementedYet,
        )
        for kind in (
            "AWS4-ECDSA-P256-SHA256-PAYLOAD",
            "AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
        )
    ),
    *(
        (f"41 forged {form}", PUT.signed(payload_hash=form, secret="other"), WRONG)
        for form in FORMS
    ),
    *(
        (
            f"41 {form} put in",
            PUT.signed().having("x-amz-content-sha256", form),
            WRONG,
        )
        for form in FORMS
    ),
    ("43 unknown", PUT.signed(payload_hash="STREAMING-X"), errors.InvalidArgument),
    ("%FF", evolve(PUT.signed(), path="/unified/%FF"), errors.InvalidURI),
]


@pytest.mark.parametrize(
    ("case", "request_", "error"), CASES, ids=[case for case, _, _ in CASES]
)
def test_each_wrong_request_has_its_error(
    case: str, request_: Request, error: type[S3Error]
) -> None:
    """The cases of the security checklist, with exactly the errors it asks for."""
    with pytest.raises(S3Error) as raised:
        request_.verify()
    assert type(raised.value) is error


def test_a_good_request_verifies() -> None:
    """The request that the cases above spoil is good."""
    verified = PUT.signed().verify()
    assert verified == sigv4.Verified(ACCESS_KEY_ID, sigv4.EMPTY_SHA256)
    assert verified.sha256 == sigv4.EMPTY_SHA256


def test_an_unsigned_payload_pins_no_hash() -> None:
    """UNSIGNED-PAYLOAD is accepted, and there is then nothing to compare with."""
    verified = PUT.signed(payload_hash=sigv4.UNSIGNED_PAYLOAD).verify()
    assert (verified.payload_hash, verified.sha256) == ("UNSIGNED-PAYLOAD", None)


def test_a_hash_in_upper_case_is_the_same_hash() -> None:
    """It is signed as sent, and compared in lower case."""
    verified = PUT.signed(payload_hash="AB" * 32).verify()
    assert verified.sha256 == "ab" * 32


@pytest.mark.parametrize("seconds", [-900, -899, 0, 899, 900])
def test_fifteen_minutes_of_skew_pass(seconds: int) -> None:
    """A clock may be off by up to fifteen minutes, either way."""
    assert PUT.signed(now=NOW + timedelta(seconds=seconds)).verify()


@pytest.mark.parametrize("region", ["us-east-1", "auto", "home-1"])
def test_every_configured_region_is_good(region: str) -> None:
    """Any region of the caller's set may be in the scope."""
    assert PUT.signed(region=region).verify()


def test_a_date_header_serves_without_x_amz_date() -> None:
    """Clients may date a request with Date alone; the signature covers its time."""
    headers = (
        ("date", "Sun, 24 May 2026 12:00:00 GMT"),
        ("host", "h"),
        ("x-amz-content-sha256", sigv4.EMPTY_SHA256),
    )
    scope = "20260524/us-east-1/s3/aws4_request"
    request = canonical.canonical_request(
        "GET", "/b", "", [(n, (v,)) for n, v in headers], sigv4.EMPTY_SHA256
    )
    to_sign = canonical.string_to_sign("20260524T120000Z", scope, request)
    signature = canonical.signature(SECRET, scope, to_sign)
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/{scope}, "
        f"SignedHeaders=date;host;x-amz-content-sha256, Signature={signature}"
    )
    sent = Request("GET", "/b", "", (*headers, ("authorization", authorization)))
    assert sent.verify()
    with pytest.raises(errors.SignatureDoesNotMatch):
        sent.having("date", "Sun, 24 May 2026 12:00:01 GMT").verify()


def test_errors_tell_what_a_client_needs() -> None:
    """SDKs mend their clock and region from these fields; people read the others."""
    with pytest.raises(errors.RequestTimeTooSkewed) as skewed:
        PUT.signed(now=NOW - timedelta(hours=1)).verify()
    assert skewed.value.fields == {
        "RequestTime": "20260524T110000Z",
        "ServerTime": "2026-05-24T12:00:00.000Z",
        "MaxAllowedSkewMilliseconds": "900000",
    }
    with pytest.raises(errors.AuthorizationHeaderMalformed) as wrong_region:
        PUT.signed(region="mars-1").verify()
    assert wrong_region.value.fields == {"Region": "us-east-1"}
    with pytest.raises(errors.AccessDenied) as unsigned:
        PUT.signed().having("x-amz-acl", "private").verify()
    assert unsigned.value.fields == {"HeadersNotSigned": "x-amz-acl"}
    with pytest.raises(errors.SignatureDoesNotMatch) as absent:
        PUT.signed().having("x-amz-meta-a", None).verify()
    assert "x-amz-meta-a" in absent.value.message


def test_no_error_tells_the_right_signature_or_the_secret() -> None:
    """What is sent back must not help to forge the next request."""
    with pytest.raises(errors.SignatureDoesNotMatch) as raised:
        PUT.signed(secret="other").verify()
    told = f"{raised.value.message} {raised.value.fields}"
    assert good_signature() not in told
    assert SECRET not in told


def test_random_access_keys_leave_nothing_behind() -> None:
    """Signing keys are kept for known access keys only, and not for ever."""
    PUT.signed().verify()
    random = Random(7)
    for _ in range(300):
        name = f"{random.getrandbits(64):x}"
        header = PUT.signed().authorized(lambda a, n=name: a.replace(ACCESS_KEY_ID, n))
        for stranger in (header, PUT.presigned(access_key_id=name)):
            with pytest.raises(errors.InvalidAccessKeyId):
                stranger.verify()
    info = canonical.signing_key.cache_info()
    assert info.maxsize is not None and info.currsize <= info.maxsize <= 1000
    before = info.misses
    PUT.signed().verify()
    assert canonical.signing_key.cache_info().misses == before


@pytest.mark.parametrize("sign", [Request.signed, Request.presigned])
def test_an_unknown_key_costs_the_same_work(sign: Callable[..., Request]) -> None:
    """A key that does not exist is answered after a signature was computed for it."""
    known, unknown = sign(PUT), sign(PUT, access_key_id="AKIDNOBODY")
    with pytest.raises(errors.InvalidAccessKeyId):
        unknown.verify()
    calls = canonical.signing_key.cache_info().hits
    with pytest.raises(errors.InvalidAccessKeyId):
        unknown.verify()
    known.verify()
    assert canonical.signing_key.cache_info().hits == calls + 2


def test_payload_hash_without_a_signature() -> None:
    """Where no signature is asked for, the header is still read by the same rules."""
    header = "x-amz-content-sha256"
    assert sigv4.payload_hash([(header, "AB" * 32)]) == "ab" * 32
    with pytest.raises(errors.InvalidRequest):
        sigv4.payload_hash([])
    with pytest.raises(errors.NotImplementedYet):
        sigv4.payload_hash([(header, "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")])
    for form in FORMS:
        assert sigv4.payload_hash([(header, form)]) == form
        assert sigv4.sha256_of(form) is None


@pytest.mark.parametrize("form", FORMS)
def test_signed_chunks_have_a_seed(form: str) -> None:
    """The verified signature of the head; and no other request has one."""
    request = PUT.signed(payload_hash=form)
    verified = request.verify()
    assert (verified.payload_hash, verified.sha256) == (form, None)
    if not FORMS[form].signed:
        assert verified.seed is None
        return
    assert verified.seed is not None
    assert dict(request.headers)["authorization"].endswith(verified.seed.signature)
    assert verified.seed.scope == "20260524/us-east-1/s3/aws4_request"
    assert verified.seed.timestamp == dict(request.headers)["x-amz-date"]
    assert "signing_key" not in repr(verified)
    assert PUT.signed().verify().seed is None
