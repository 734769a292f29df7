"""Cases 24 to 45 of the security checklist: what is stored is what was signed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence

import pytest
import pytest_twisted
from attrs import define, evolve, field

from s3proxy.s3 import checksums
from s3proxy.s3.canonical import EMPTY_SHA256, signing_key
from s3proxy.s3.chunk_signatures import StreamingSeed
from s3proxy.s3.dates import amz_date
from s3proxy.s3.framing import FORMS as PAYLOADS
from tests.certificates import Authority
from tests.s3.chunking import SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER, Framer
from tests.s3.signing import SECRET, Request
from tests.security.sending import BODY, FORMS, GET, HASH, OLD, PUT, Front, Make, sign
from tests.web.conftest import NOW

MakeFront = Callable[..., Front]

DENIED = (403, "AccessDenied")
WRONG = (403, "SignatureDoesNotMatch")
REQUEST = (400, "InvalidRequest")
ARGUMENT = (400, "InvalidArgument")
INCOMPLETE = (400, "IncompleteBody")
MALFORMED = (400, "MalformedTrailerError")
DIGEST = (400, "BadDigest")
MISMATCH = (400, "XAmzContentSHA256Mismatch")

HASH_HEADER = "x-amz-content-sha256"
OTHER_HASH = hashlib.sha256(b"other").hexdigest()
ECDSA = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"


def told(value: str) -> Make:
    """A PUT whose hash, whatever it is, is signed."""

    def make(form: str) -> Request:
        if form == "presigned":
            return PUT.having(HASH_HEADER, value).presigned(now=NOW)
        return PUT.signed(now=NOW, payload_hash=value)

    return make


def swapped(old: str, new: str) -> Make:
    """A PUT whose hash was another one when it was signed."""
    return lambda form: told(old)(form).having(HASH_HEADER, new)


HASHES = [
    pytest.param(told("UNSIGNED"), *ARGUMENT, id="case-25-token"),
    pytest.param(told("ab" * 31), *ARGUMENT, id="case-25-short"),
    pytest.param(told("xy" * 32), *ARGUMENT, id="case-25-not-hex"),
    pytest.param(told("STREAMING-OTHER"), *ARGUMENT, id="case-25-streaming"),
    pytest.param(swapped(HASH, "UNSIGNED-PAYLOAD"), *WRONG, id="case-27-unsigned"),
    pytest.param(swapped(HASH, OTHER_HASH), *WRONG, id="case-27-hash"),
    pytest.param(swapped(OTHER_HASH, HASH), *WRONG, id="case-27-to-the-bodys"),
    pytest.param(swapped(HASH, UNSIGNED_TRAILER), *WRONG, id="case-27-streaming"),
    pytest.param(told(ECDSA), 501, "NotImplemented", id="case-43-ecdsa"),
    pytest.param(
        told(f"{ECDSA}-TRAILER"), 501, "NotImplemented", id="case-43-ecdsa-trailer"
    ),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("make", "status", "code"), HASHES)
@pytest_twisted.ensureDeferred
async def test_hashes(
    front: Front, make: Make, status: int, code: str, form: str
) -> None:
    """Refused before the body is looked at."""
    await front.refuses(make(form), status, code)


@pytest_twisted.ensureDeferred
async def test_case_24_no_hash(front: Front) -> None:
    """A header's signature must say what it covers; a URL's covers no body then."""
    request = sign(PUT, "header").having(HASH_HEADER, None)
    await front.refuses(request, *REQUEST)
    assert (await front.send(sign(PUT, "presigned"))).status == 200


@pytest.mark.parametrize("form", FORMS)
@pytest_twisted.ensureDeferred
async def test_case_26_another_body(front: Front, form: str) -> None:
    """And case 54: a URL that was signed with a hash is good for that body only."""
    request = told(HASH)(form)
    await front.refuses(request, *MISMATCH, b"another one!!", reached=True)
    assert (await front.send(request)).status == 200


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(told(HASH), id="case-54-header"),
        pytest.param(
            lambda form: PUT.presigned(now=NOW, payload_hash=HASH),
            id="case-54-parameter",
        ),
        pytest.param(
            lambda form: PUT.presigned(now=NOW, payload_hash=HASH.upper()),
            id="case-54-parameter-in-upper-case",
        ),
        pytest.param(
            lambda form: PUT.having(HASH_HEADER, HASH).presigned(
                now=NOW, payload_hash="UNSIGNED-PAYLOAD"
            ),
            id="case-54-header-beside-an-open-parameter",
        ),
        # Not signed, and yet said: the client itself wants it held to.
        pytest.param(
            lambda form: PUT.presigned(now=NOW).having(HASH_HEADER, HASH),
            id="case-54-told",
        ),
    ],
)
@pytest_twisted.ensureDeferred
async def test_case_54_a_url_that_pins_the_body(front: Front, make: Make) -> None:
    """Wherever the hash is."""
    request = make("presigned")
    await front.refuses(request, *MISMATCH, b"another one!!", reached=True)
    assert (await front.send(request)).status == 200


@pytest.mark.parametrize(
    ("parameter", "header"),
    [
        pytest.param(HASH, OTHER_HASH, id="case-54-two-hashes"),
        pytest.param(HASH, "UNSIGNED-PAYLOAD", id="case-54-weakened"),
        pytest.param(HASH, UNSIGNED_TRAILER, id="case-54-framed-instead"),
        pytest.param(None, UNSIGNED_TRAILER, id="case-41-framing-unsigned"),
        pytest.param(None, SIGNED, id="case-41-signed-framing-unsigned"),
        pytest.param(UNSIGNED_TRAILER, None, id="case-41-framing-in-the-url-only"),
        pytest.param(SIGNED, None, id="case-41-signed-framing-in-the-url-only"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_header_never_weakens_what_a_url_pins(
    front: Front, parameter: str | None, header: str | None
) -> None:
    """Nor may chunks be announced where the decoder does not look."""
    request = PUT.presigned(now=NOW, payload_hash=parameter)
    await front.refuses(request.having(HASH_HEADER, header), *ARGUMENT)


@pytest.mark.parametrize("form", FORMS)
@pytest_twisted.ensureDeferred
async def test_case_28_signed_payloads_required(
    make_front: MakeFront, form: str
) -> None:
    """Over plain HTTP, only what covers the body is let in; reads are."""
    front = make_front(require_signed_payload=True)
    await front.refuses(told("UNSIGNED-PAYLOAD")(form), *REQUEST)
    if form == "presigned":
        await front.refuses(sign(PUT, form), *REQUEST)
        unsigned = sign(PUT, form).having(HASH_HEADER, HASH)
        await front.refuses(unsigned, *REQUEST)
    framed = Framed(UNSIGNED_TRAILER, form=form)
    await front.refuses(framed.request(), *REQUEST, framed.body())
    assert (await front.send(sign(GET, form))).status == 200
    assert (await front.send(told(HASH)(form))).status == 200
    for payload in (SIGNED, SIGNED_TRAILER):
        framed = Framed(payload, form=form)
        answer = await front.send(framed.request(), framed.body())
        assert answer.status == 200


class TestOverTls:
    """Nobody on the way can change a body there."""

    @pytest.fixture
    def tls_by(self, authority: Authority) -> Authority:
        return authority

    @pytest.mark.parametrize("form", FORMS)
    @pytest_twisted.ensureDeferred
    async def test_case_28_unsigned_payloads_pass(
        self, make_front: MakeFront, form: str
    ) -> None:
        front = make_front(require_signed_payload=True)
        assert (await front.send(told("UNSIGNED-PAYLOAD")(form))).status == 200
        assert (await front.send(sign(PUT, form))).status == 200
        framed = Framed(UNSIGNED_TRAILER, form=form)
        assert (await front.send(framed.request(), framed.body())).status == 200


@pytest.mark.parametrize("form", FORMS)
@pytest_twisted.ensureDeferred
async def test_case_28_is_off_by_default(front: Front, form: str) -> None:
    """SDKs leave bodies unsigned."""
    assert (await front.send(told("UNSIGNED-PAYLOAD")(form))).status == 200


CHUNKS = (bytes(range(256)) * 32, bytes(range(256)) * 32 + b"\r\n0\r\n", b"end\r\n")
WHOLE = b"".join(CHUNKS)
CRC32 = "x-amz-checksum-crc32"


def crc32(data: bytes) -> str:
    """As S3 shows it."""
    return base64.b64encode(checksums.digest("crc32", data)).decode()


TRAILER = (CRC32, crc32(WHOLE))
PART = "partNumber=7&uploadId=u"


@define
class Framed:
    """
    A PUT with a framed body, signed in either form.

    :ivar length: As declared; None sends no declaration.
    :ivar trailer: What comes after the last chunk.
    :ivar announced: What x-amz-trailer says.
    :ivar change: Is done to the body.
    """

    payload: str
    form: str = "header"
    base: Request = PUT
    secret: str = SECRET
    chunks: Sequence[bytes] = CHUNKS
    length: str | None = str(len(WHOLE))
    trailer: tuple[str, str] | None = TRAILER
    announced: str | None = CRC32
    change: Callable[[bytes], bytes] = field(default=lambda body: body)

    def request(self) -> Request:
        """The head."""
        request = self.base.having("x-amz-decoded-content-length", self.length)
        request = request.having("content-encoding", "gzip,aws-chunked")
        if PAYLOADS[self.payload].has_trailer:
            request = request.having("x-amz-trailer", self.announced)
        if self.form == "presigned":
            request = request.having(HASH_HEADER, self.payload)
            return request.presigned(now=NOW, secret=self.secret)
        return request.signed(now=NOW, secret=self.secret, payload_hash=self.payload)

    def body(self) -> bytes:
        """The chunks, signed on the head's signature where they are."""
        request = self.request()
        if self.form == "presigned":
            signature = request.parameter("X-Amz-Signature")
        else:
            signature = dict(request.headers)["authorization"].rpartition("=")[2]
        scope = f"{NOW:%Y%m%d}/us-east-1/s3/aws4_request"
        seed = StreamingSeed(
            signing_key(self.secret, scope), amz_date(NOW), scope, signature
        )
        trailer = self.trailer if PAYLOADS[self.payload].has_trailer else None
        return self.change(Framer(self.payload, seed).frame(self.chunks, trailer))


def signature_of_chunk(number: int) -> Callable[[bytes], bytes]:
    """Spoil one chunk's signature."""

    def change(body: bytes) -> bytes:
        mark = b";chunk-signature="
        pieces = body.split(mark)
        digit = b"0" if pieces[number][:1] != b"0" else b"1"
        pieces[number] = digit + pieces[number][1:]
        return mark.join(pieces)

    return change


def replace(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Spoil what is certainly there, once."""

    def change(body: bytes) -> bytes:
        assert old in body
        return body.replace(old, new, 1)

    return change


def head_of(number: int) -> tuple[int, int]:
    """Where a chunk of a signed body begins and ends, without signatures' bytes."""
    sizes = [len(chunk) for chunk in CHUNKS]
    heads = [len(b"%x;chunk-signature=" % size) + 64 + 2 for size in sizes]
    ends = [0]
    for size, head in zip(sizes, heads, strict=True):
        ends.append(ends[-1] + head + size + 2)
    return ends[number], ends[number + 1]


def chunk_swapped(body: bytes) -> bytes:
    """The first two chunks in the other order."""
    (_, first), (_, second) = head_of(0), head_of(1)
    return body[first:second] + body[:first] + body[second:]


def of(payload: str, **more: object) -> Callable[[str], Framed]:
    """A framed PUT, in a form."""
    return lambda form: Framed(payload, form=form, **more)  # type: ignore[arg-type]


BODIES = [
    pytest.param(of(SIGNED, change=signature_of_chunk(1)), *WRONG, id="case-29-first"),
    pytest.param(of(SIGNED, change=signature_of_chunk(2)), *WRONG, id="case-29-middle"),
    pytest.param(of(SIGNED, change=signature_of_chunk(3)), *WRONG, id="case-29-last"),
    pytest.param(of(SIGNED, change=signature_of_chunk(4)), *WRONG, id="case-29-zero"),
    pytest.param(
        of(SIGNED_TRAILER, change=signature_of_chunk(1)), *WRONG, id="case-29-trailer"
    ),
    pytest.param(
        of(SIGNED, change=replace(b"\x05", b"\x06")), *WRONG, id="case-29-data"
    ),
    pytest.param(
        of(SIGNED, change=lambda body: body[: head_of(2)[1]]),
        *INCOMPLETE,
        id="case-30-no-zero-chunk",
    ),
    pytest.param(
        of(SIGNED, change=lambda body: body[:5000]), *INCOMPLETE, id="case-30-early"
    ),
    pytest.param(of(SIGNED, change=lambda body: b""), *INCOMPLETE, id="case-30-empty"),
    pytest.param(
        of(UNSIGNED_TRAILER, change=lambda body: body[:5000]),
        *INCOMPLETE,
        id="case-30-unsigned",
    ),
    pytest.param(
        of(SIGNED, change=replace(b";chunk-signature=", b";chunk=")),
        *INCOMPLETE,
        id="case-31-extension",
    ),
    pytest.param(
        of(SIGNED, change=lambda body: body[:40] + body[41:]),
        *INCOMPLETE,
        id="case-31-short-signature",
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, change=replace(b"2000\r\n", b"2000\n")),
        *INCOMPLETE,
        id="case-31-no-cr",
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, change=replace(b"\r\n2005\r\n", b"2005\r\n")),
        *INCOMPLETE,
        id="case-31-no-break-after-data",
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, change=replace(b"2000\r\n", b"2001\r\n")),
        *INCOMPLETE,
        id="case-32-larger-than-the-data",
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, change=replace(b"2000\r\n", b"ffffff\r\n")),
        *INCOMPLETE,
        id="case-32-larger-than-the-body",
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, change=replace(b"2000\r\n", b"8000000000000000\r\n")),
        *INCOMPLETE,
        id="case-33-64-bits",
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, change=replace(b"2000\r\n", b"f" * 2000 + b"\r\n")),
        *INCOMPLETE,
        id="case-33-long-line",
    ),
    pytest.param(
        of(SIGNED, chunks=(WHOLE[:8191], WHOLE[8191:])),
        400,
        "InvalidChunkSizeError",
        id="case-34-signed",
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, chunks=(WHOLE[:10], WHOLE[10:])),
        400,
        "InvalidChunkSizeError",
        id="case-34-unsigned",
    ),
    pytest.param(
        of(SIGNED, length=str(len(WHOLE) - 1)), *INCOMPLETE, id="case-36-too-small"
    ),
    pytest.param(
        of(SIGNED, length=str(len(WHOLE) + 1)), *INCOMPLETE, id="case-36-too-large"
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, length=str(len(WHOLE) + 1)),
        *INCOMPLETE,
        id="case-36-too-large-unsigned",
    ),
    pytest.param(of(SIGNED, change=chunk_swapped), *WRONG, id="case-37-swapped"),
    pytest.param(of(UNSIGNED_TRAILER, trailer=None), *MALFORMED, id="case-38-absent"),
    pytest.param(
        of(UNSIGNED_TRAILER, announced=None), *MALFORMED, id="case-38-not-announced"
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, trailer=("x-amz-checksum-sha1", "AA==")),
        *MALFORMED,
        id="case-38-another",
    ),
    pytest.param(
        of(SIGNED_TRAILER, announced=None),
        *MALFORMED,
        id="case-38-not-announced-signed",
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, trailer=(CRC32, "AAAAAA==")), *DIGEST, id="case-39-wrong"
    ),
    pytest.param(
        of(SIGNED_TRAILER, trailer=(CRC32, "AAAAAA==")),
        *DIGEST,
        id="case-39-wrong-signed",
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, trailer=(CRC32, "no base64")),
        *REQUEST,
        id="case-39-no-base64",
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, trailer=(CRC32, "")), *REQUEST, id="interop-13-no-value"
    ),
    pytest.param(
        of(
            SIGNED_TRAILER,
            change=replace(b"trailer-signature:", b"trailer-signature:0"),
        ),
        *WRONG,
        id="case-40-wrong",
    ),
    pytest.param(
        of(
            SIGNED_TRAILER,
            change=lambda body: body[: body.index(b"x-amz-trailer-sig")] + b"\r\n",
        ),
        *WRONG,
        id="case-40-absent",
    ),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("query", ["", PART])
@pytest.mark.parametrize(("make", "status", "code"), BODIES)
@pytest_twisted.ensureDeferred
async def test_framed_bodies(
    front: Front,
    make: Callable[[str], Framed],
    status: int,
    code: str,
    query: str,
    form: str,
) -> None:
    """Of an object, and of a part."""
    framed = evolve(make(form), base=evolve(PUT, query=query))
    await front.refuses(framed.request(), status, code, framed.body(), reached=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("query", ["", PART])
@pytest.mark.parametrize("payload", sorted(PAYLOADS))
@pytest_twisted.ensureDeferred
async def test_right_bodies(front: Front, payload: str, query: str, form: str) -> None:
    """What the cases spoil is good; and case 42: the framing leaves no trace."""
    framed = Framed(payload, form, evolve(PUT, query=query))
    answer = await front.send(framed.request(), framed.body())
    assert answer.status == 200, answer.body
    if query:
        assert front.door.uploads.parts == {7: WHOLE}
        return
    assert front.door.objects.data("k") == WHOLE
    read = await front.send(sign(GET, form))
    assert (read.body, read.header("content-encoding")) == (WHOLE, "gzip")


HEADS = [
    pytest.param(
        of(SIGNED, length=None), 411, "MissingContentLength", id="case-35-absent"
    ),
    pytest.param(
        of(SIGNED, length="many"), 411, "MissingContentLength", id="case-35-no-number"
    ),
    pytest.param(
        of(SIGNED, length="-1"), 411, "MissingContentLength", id="case-35-negative"
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, announced="x-amz-meta-a"),
        *REQUEST,
        id="case-38-no-checksum",
    ),
    pytest.param(of(SIGNED, secret="other"), *WRONG, id="case-41-forged-signed"),
    pytest.param(
        of(SIGNED_TRAILER, secret="other"), *WRONG, id="case-41-forged-signed-trailer"
    ),
    pytest.param(
        of(UNSIGNED_TRAILER, secret="other"), *WRONG, id="case-41-forged-unsigned"
    ),
    *(
        pytest.param(
            of(payload, base=evolve(PUT, method=method, path=path, query=query)),
            *REQUEST,
            id=f"case-41-{payload}-{method}-{path}?{query}",
        )
        for payload in sorted(PAYLOADS)
        for method, path, query in [
            ("GET", "/unified/k", ""),
            ("DELETE", "/unified/k", ""),
            ("POST", "/unified/k", "uploads"),
            ("POST", "/unified/k", "uploadId=u"),
            ("PUT", "/unified", ""),
            ("GET", "/unified", ""),
        ]
    ),
    pytest.param(
        lambda form: Framed(
            UNSIGNED_TRAILER, form, PUT.having("x-amz-copy-source", "/unified/k")
        ),
        *REQUEST,
        id="case-41-copy",
    ),
    pytest.param(
        lambda form: Framed(
            UNSIGNED_TRAILER, form, PUT.having("x-amz-checksum-crc32", TRAILER[1])
        ),
        *REQUEST,
        id="case-45-header-and-trailer",
    ),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("make", "status", "code"), HEADS)
@pytest_twisted.ensureDeferred
async def test_heads_of_framed_bodies(
    front: Front, make: Callable[[str], Framed], status: int, code: str, form: str
) -> None:
    """Refused before a byte of the body counts."""
    framed = make(form)
    body = framed.body() if framed.base.method in ("PUT", "POST") else b""
    await front.refuses(framed.request(), status, code, body)


@pytest.mark.parametrize("form", FORMS)
@pytest_twisted.ensureDeferred
async def test_case_37_replayed(front: Front, form: str) -> None:
    """A right chunk, sent in the place of the next of its size."""
    same = (CHUNKS[0], CHUNKS[0][::-1], b"end")
    framed = Framed(SIGNED, form, chunks=same, length=str(sum(map(len, same))))
    first = head_of(0)[1]
    body = framed.body()
    replayed = body[:first] + body[:first] + body[2 * first :]
    await front.refuses(framed.request(), *WRONG, replayed, reached=True)
    assert (await front.send(framed.request(), body)).status == 200


@pytest.mark.parametrize("form", FORMS)
@pytest_twisted.ensureDeferred
async def test_case_42_codings(front: Front, form: str) -> None:
    """aws-chunked alone leaves nothing; other codings stay, in their order."""
    request = PUT.having("content-encoding", "aws-chunked, aws-chunked")
    if form == "header":
        request = request.signed(now=NOW, payload_hash=HASH)
    else:
        request = request.presigned(now=NOW, payload_hash=HASH)
        request = request.having(HASH_HEADER, HASH)
    assert (await front.send(request)).status == 200
    read = await front.send(sign(GET, form))
    assert (read.body, read.header("content-encoding")) == (BODY, None)


@pytest.mark.parametrize("form", FORMS)
@pytest_twisted.ensureDeferred
async def test_case_43_framing_that_nothing_explains(front: Front, form: str) -> None:
    """It would be stored as if it were the object."""
    request = sign(PUT.having("content-encoding", "aws-chunked"), form)
    if form == "presigned":
        await front.refuses(request, 501, "NotImplemented")
    sized = PUT.having("x-amz-decoded-content-length", "5")
    await front.refuses(sign(sized, form), 501, "NotImplemented")


def md5(data: bytes) -> str:
    """As Content-MD5 has it."""
    return base64.b64encode(hashlib.md5(data).digest()).decode()


INVALID = (400, "InvalidDigest")
DIGESTS = [
    pytest.param({"content-md5": md5(BODY)[:-5]}, *INVALID, False, id="case-44-short"),
    pytest.param({"content-md5": ""}, *INVALID, False, id="case-44-empty"),
    pytest.param({"content-md5": "?" * 24}, *INVALID, False, id="case-44-no-base64"),
    pytest.param({"content-md5": md5(b"other")}, *DIGEST, True, id="case-44-mismatch"),
    *(
        pytest.param(
            {
                f"x-amz-checksum-{name}": base64.b64encode(
                    checksums.digest(name, b"other")
                ).decode()
            },
            *DIGEST,
            True,
            id=f"case-45-wrong-{name}",
        )
        for name in checksums.ALGORITHMS
    ),
    # As ceph/s3-tests has it; see docs/decisions.md.
    pytest.param(
        {"x-amz-checksum-sha256": "bad"}, *DIGEST, False, id="case-45-malformed"
    ),
    pytest.param(
        {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "A" * 27 + "="},
        *REQUEST,
        False,
        id="case-45-two",
    ),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("headers", "status", "code", "reached"), DIGESTS)
@pytest_twisted.ensureDeferred
async def test_digests(
    front: Front,
    headers: dict[str, str],
    status: int,
    code: str,
    reached: bool,
    form: str,
) -> None:
    """Those that the client sends beside the signature."""
    request = evolve(PUT, headers=(*PUT.headers, *headers.items()))
    await front.refuses(sign(request, form), status, code, reached=reached)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", ["ENABLED", "enabled"])
@pytest.mark.parametrize("algorithm", sorted(checksums.ALGORITHMS))
@pytest_twisted.ensureDeferred
async def test_checksums_are_given_back(
    front: Front, algorithm: str, mode: str, form: str
) -> None:
    """Interop line 19: to those who ask, and never beside a range."""
    name = f"x-amz-checksum-{algorithm}"
    value = base64.b64encode(checksums.digest(algorithm, BODY)).decode()
    stored = await front.send(sign(PUT.having(name, value), form))
    assert (stored.status, stored.header(name)) == (200, value)
    asking = GET.having("x-amz-checksum-mode", mode)
    for method in ("GET", "HEAD"):
        answer = await front.send(sign(evolve(asking, method=method), form))
        assert answer.header(name) == value
        assert answer.header("x-amz-checksum-type") == "FULL_OBJECT"
        ranged = evolve(asking, method=method).having("range", "bytes=0-3")
        answer = await front.send(sign(ranged, form))
        assert (answer.status, answer.header(name)) == (206, None)
        plain = await front.send(sign(evolve(GET, method=method), form))
        assert plain.header(name) is None


def test_the_bodies_are_what_they_are_taken_for() -> None:
    """The constants of this module."""
    framed = Framed(SIGNED)
    assert framed.body()[: head_of(0)[1]].endswith(CHUNKS[0] + b"\r\n")
    assert hashlib.sha256(b"").hexdigest() == EMPTY_SHA256
    assert len({OLD, BODY}) == 2
