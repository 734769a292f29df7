"""s3proxy.s3.chunked: what comes out of chunks, and what each wrong one is answered."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import example, given, settings
from hypothesis import strategies as st

from s3proxy import errors
from s3proxy.errors import S3Error
from s3proxy.s3 import checksums, sigv4
from s3proxy.s3.chunk_signatures import StreamingSeed
from s3proxy.s3.chunked import (
    MAX_LINE_BYTES,
    MAX_TRAILER_BYTES,
    MIN_CHUNK_BYTES,
    ChunkDecoder,
)
from s3proxy.s3.framing import FORMS, Framing
from tests.s3.chunking import SEED, SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER, Framer

CRC32 = "x-amz-checksum-crc32"
BIG = bytes(range(256)) * (MIN_CHUNK_BYTES // 256)
#: Chunks of one body; line breaks and what looks like chunks are data.
CHUNKS = (BIG, BIG + b"\r\n0\r\n\r\n", b"0;chunk-signature=\r\n")
BODY = b"".join(CHUNKS)

Cutter = Callable[[bytes], Sequence[bytes]]


def crc32(data: bytes) -> str:
    """As S3 shows it."""
    return base64.b64encode(checksums.digest("crc32", data)).decode()


def framing(form: str, algorithm: str | None = "crc32") -> Framing:
    """What the headers of a body of this form say."""
    return Framing(FORMS[form], algorithm if FORMS[form].has_trailer else None)


def whole(form: str, chunks: Sequence[bytes] = CHUNKS) -> bytes:
    """A right body of this form."""
    has_trailer = FORMS[form].has_trailer
    trailer = (CRC32, crc32(b"".join(chunks))) if has_trailer else None
    return Framer(form).frame(chunks, trailer)


def decode(
    framed: bytes,
    form: str,
    *,
    length: int = len(BODY),
    seed: StreamingSeed | None = SEED,
    cut: Cutter = lambda framed: [framed],
    algorithm: str | None = "crc32",
) -> bytes:
    """Decode all of it."""
    decoder = ChunkDecoder(framing(form, algorithm), length, seed)
    body = b"".join([decoder.feed(piece) for piece in cut(framed)])
    decoder.end()
    if algorithm and FORMS[form].has_trailer:
        assert decoder.trailer_checksums == {"crc32": crc32(body)}
    else:
        assert decoder.trailer_checksums == {}
    return body


def outcome(framed: bytes, form: str, cut: Cutter) -> bytes | type[S3Error]:
    """What comes of it."""
    try:
        return decode(framed, form, cut=cut)
    except S3Error as why:
        return type(why)


def refused(framed: bytes, form: str, **more: object) -> type[S3Error]:
    """How it is refused, whole and byte by byte."""
    got: list[type[S3Error]] = []
    for cut in (lambda f: [f], lambda f: [f[i : i + 1] for i in range(len(f))]):
        with pytest.raises(S3Error) as raised:
            decode(framed, form, cut=cut, **more)  # type: ignore[arg-type]
        got.append(type(raised.value))
    assert got[0] is got[1]
    return got[0]


@pytest.mark.parametrize("form", FORMS)
def test_what_was_framed_comes_out(form: str) -> None:
    """Of one chunk, of many, and of none."""
    for chunks in [CHUNKS, (b"small",), ()]:
        body = b"".join(chunks)
        assert decode(whole(form, chunks), form, length=len(body)) == body


def doc_seed(payload_hash: str, signature: str, **more: str) -> StreamingSeed:
    """Verify the head of the example in the AWS documentation."""
    headers = {
        "content-encoding": "aws-chunked",
        "host": "s3.amazonaws.com",
        "x-amz-content-sha256": payload_hash,
        "x-amz-date": "20130524T000000Z",
        "x-amz-decoded-content-length": "66560",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    verified = sigv4.verify(
        b"PUT",
        b"/examplebucket/chunkObject.txt",
        b"",
        [
            *headers.items(),
            (
                "authorization",
                "AWS4-HMAC-SHA256 "
                "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                f"SignedHeaders={';'.join(sorted(headers))},Signature={signature}",
            ),
        ],
        secret_of={
            "AKIAIOSFODNN7EXAMPLE": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
        }.get,
        regions=["us-east-1"],
        now=datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert verified.sha256 is None
    assert verified.seed is not None
    return verified.seed


def doc_body(signatures: Sequence[str]) -> bytes:
    """The body of the example, up to the end of its zero chunk's line."""
    sizes = (65536, 1024, 0)
    return b"".join(
        b"%x;chunk-signature=%b\r\n" % (size, signature.encode())
        + (b"a" * size + b"\r\n" if size else b"")
        for size, signature in zip(sizes, signatures, strict=True)
    )


def test_the_documented_example() -> None:
    """AWS's own, of a signed body."""
    seed = doc_seed(
        SIGNED,
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        content_length="66824",
    )
    framed = doc_body(
        [
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ]
    )
    framed += b"\r\n"
    assert len(framed) == 66824
    assert decode(framed, SIGNED, length=66560, seed=seed) == b"a" * 66560


def test_the_documented_example_with_a_trailer() -> None:
    """AWS's own, with a checksum after the body."""
    seed = doc_seed(
        SIGNED_TRAILER,
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        x_amz_trailer="x-amz-checksum-crc32c",
    )
    framed = doc_body(
        [
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ]
    )
    framed += (
        b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
        b"x-amz-trailer-signature:"
        b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
    )
    assert len(framed) == 66946
    decoder = ChunkDecoder(framing(SIGNED_TRAILER, "crc32c"), 66560, seed)
    assert decoder.feed(framed) == b"a" * 66560
    decoder.end()
    assert decoder.trailer_checksums == {"crc32c": "sOO8/Q=="}


def test_what_botocore_frames() -> None:
    """As boto3 and the AWS CLI send over https."""
    source = AwsChunkedWrapper(
        io.BytesIO(BODY),
        checksum_cls=Crc32Checksum,
        checksum_name=CRC32,
        chunk_size=9000,
    )
    framed = b"".join(iter(source.read, b""))
    assert decode(framed, UNSIGNED_TRAILER) == BODY


@pytest.mark.parametrize("form", [SIGNED_TRAILER, UNSIGNED_TRAILER])
@pytest.mark.parametrize("before", [b"", b"\r\n", b"\r\n\r\n"])
@pytest.mark.parametrize("after", [b"\r\n", b"\n\r\n"])
def test_blank_lines_around_the_trailer(form: str, before: bytes, after: bytes) -> None:
    """Clients differ in them: minio-go ends a field by LF, and a blank line follows."""
    framer = Framer(form)
    framed = b"".join(map(framer.chunk, [*CHUNKS, b""])) + before
    framed += f"{CRC32}:{crc32(BODY)}".encode() + after
    if FORMS[form].signed:
        framed += framer.signature(CRC32, crc32(BODY))
    assert decode(framed + b"\r\n", form) == BODY


def test_a_trailer_form_without_a_trailer() -> None:
    """Nothing is announced, and nothing comes."""
    framed = Framer(UNSIGNED_TRAILER).frame(CHUNKS)
    assert decode(framed, UNSIGNED_TRAILER, algorithm=None) == BODY


def test_a_body_that_cannot_be_verified() -> None:
    """Without a key, signatures are read over; a trailer's checksum still counts."""
    assert decode(whole(SIGNED), SIGNED, seed=None) == BODY
    framed = whole(SIGNED_TRAILER)
    assert decode(framed, SIGNED_TRAILER, seed=None) == BODY
    forged = framed.replace(crc32(BODY).encode(), b"AAAAAA==")
    assert refused(forged, SIGNED_TRAILER, seed=None) is errors.BadDigest


def with_signature(number: int, change: Callable[[bytes], bytes]) -> bytes:
    """A signed body with its *number*-th signature changed."""
    mark = b";chunk-signature="
    pieces = whole(SIGNED).split(mark)
    # The data of the last chunk looks like the head of one.
    at = number if number < 4 else 5
    pieces[at] = change(pieces[at][:64]) + pieces[at][64:]
    return mark.join(pieces)


def other(signature: bytes) -> bytes:
    """Another one."""
    return signature[:-1] + (b"0" if signature[-1:] != b"0" else b"1")


FIRST, SECOND = (Framer(SIGNED).chunk(each) for each in (BIG, BIG))
DOES_NOT_MATCH = errors.SignatureDoesNotMatch
WRONG = [
    *(
        (
            f"29 signature {number}",
            with_signature(number, other),
            SIGNED,
            DOES_NOT_MATCH,
        )
        for number in (1, 2, 3, 4)
    ),
    ("13 upper case", with_signature(1, bytes.upper), SIGNED, DOES_NOT_MATCH),
    ("29 data", whole(SIGNED).replace(b"\x05", b"\x06", 1), SIGNED, DOES_NOT_MATCH),
    ("30 no zero chunk", whole(SIGNED).partition(b"\r\n0;")[0], SIGNED, None),
    ("30 nothing", b"", SIGNED, None),
    ("30 no last line break", whole(SIGNED)[:-2], SIGNED, None),
    ("30 half of it", whole(SIGNED)[:-1], SIGNED, None),
    ("30 unsigned", whole(UNSIGNED_TRAILER)[:-2], UNSIGNED_TRAILER, None),
    ("31 short signature", with_signature(1, lambda s: s[:-1]), SIGNED, None),
    ("31 no signature", with_signature(1, lambda s: b""), SIGNED, None),
    ("31 no extension", whole(UNSIGNED_TRAILER), SIGNED, None),
    ("31 one too many", whole(SIGNED), UNSIGNED_TRAILER, None),
    ("31 no size", b";chunk-signature=" + b"0" * 64 + b"\r\n", SIGNED, None),
    ("31 no number", b"g\r\n", UNSIGNED_TRAILER, None),
    ("31 negative", b"-1\r\n", UNSIGNED_TRAILER, None),
    ("31 prefixed", b"0x1\r\n", UNSIGNED_TRAILER, None),
    ("31 underscore", b"1_0\r\n", UNSIGNED_TRAILER, None),
    ("31 bare LF", b"5\n" + BODY, UNSIGNED_TRAILER, None),
    (
        "31 no break",
        whole(UNSIGNED_TRAILER).replace(b"\r\n2", b"2"),
        UNSIGNED_TRAILER,
        None,
    ),
    ("32 larger than the data", b"5\r\nabc\r\n0\r\n\r\n", UNSIGNED_TRAILER, None),
    ("32 larger than the body", b"%x\r\n" % (len(BODY) + 1), UNSIGNED_TRAILER, None),
    ("33 over 63 bits", b"8000000000000000\r\n", UNSIGNED_TRAILER, None),
    ("33 endless size", b"f" * 1000 + b"\r\n", UNSIGNED_TRAILER, None),
    ("33 long line", b"0" * (MAX_LINE_BYTES + 1), UNSIGNED_TRAILER, None),
    ("33 long whole line", b"0" * MAX_LINE_BYTES + b"1\r\n", UNSIGNED_TRAILER, None),
    (
        "34 small chunk",
        Framer(UNSIGNED_TRAILER).frame([BIG[1:], BODY[len(BIG) - 1 :]]),
        UNSIGNED_TRAILER,
        errors.InvalidChunkSizeError,
    ),
    ("36 too small", Framer(SIGNED).frame(CHUNKS[:2]), SIGNED, None),
    ("36 too large", Framer(SIGNED).frame([*CHUNKS[:2], BIG]), SIGNED, None),
    ("37 swapped", SECOND + FIRST, SIGNED, DOES_NOT_MATCH),
    ("37 replayed", FIRST + FIRST, SIGNED, DOES_NOT_MATCH),
    ("37 left out", whole(SIGNED)[len(FIRST) :], SIGNED, DOES_NOT_MATCH),
    ("data after the end", whole(SIGNED) + b"x\r\n\r\n", SIGNED, None),
    ("blank lines for ever", whole(SIGNED) + b"\r\n" * MAX_TRAILER_BYTES, SIGNED, None),
]


@pytest.mark.parametrize(
    ("framed", "form", "error"),
    [row[1:] for row in WRONG],
    ids=[row[0] for row in WRONG],
)
def test_wrong_chunks(framed: bytes, form: str, error: type[S3Error] | None) -> None:
    """The cases of the security checklist."""
    algorithm = None if error is errors.InvalidChunkSizeError else "crc32"
    expected = error or errors.IncompleteBody
    assert refused(framed, form, algorithm=algorithm) is expected


def trailed(*lines: str, form: str = UNSIGNED_TRAILER) -> bytes:
    """A body with this trailer."""
    chunks = b"".join(map(Framer(form).chunk, [*CHUNKS, b""]))
    return chunks + "".join([f"{line}\r\n" for line in [*lines, ""]]).encode("latin-1")


RIGHT = f"{CRC32}:{crc32(BODY)}"
MALFORMED = errors.MalformedTrailerError
SIGNATURE = "x-amz-trailer-signature:" + "0" * 64


@pytest.mark.parametrize(
    ("framed", "form", "error"),
    [
        (trailed(), UNSIGNED_TRAILER, MALFORMED),
        (trailed(RIGHT, "x-amz-checksum-sha1:AA=="), UNSIGNED_TRAILER, MALFORMED),
        (trailed("x-amz-checksum-crc32c:AAAAAA=="), UNSIGNED_TRAILER, MALFORMED),
        (trailed(RIGHT, RIGHT), UNSIGNED_TRAILER, MALFORMED),
        (trailed(CRC32), UNSIGNED_TRAILER, MALFORMED),
        (trailed(":x"), UNSIGNED_TRAILER, MALFORMED),
        (trailed(RIGHT, SIGNATURE), UNSIGNED_TRAILER, MALFORMED),
        (trailed("x" * MAX_LINE_BYTES), UNSIGNED_TRAILER, MALFORMED),
        (trailed(*[f"{n}:{'x' * 999}" for n in range(5)]), UNSIGNED_TRAILER, MALFORMED),
        (trailed(f"{CRC32}:AAAAAA=="), UNSIGNED_TRAILER, errors.BadDigest),
        (trailed(f"{CRC32}:"), UNSIGNED_TRAILER, errors.InvalidRequest),
        (trailed(f"{CRC32}:?"), UNSIGNED_TRAILER, errors.InvalidRequest),
        (trailed(f"{CRC32}:AAAA"), UNSIGNED_TRAILER, errors.InvalidRequest),
        (trailed(f"{CRC32}:\xe9"), UNSIGNED_TRAILER, errors.InvalidRequest),
        (trailed(RIGHT)[:-2], UNSIGNED_TRAILER, errors.IncompleteBody),
        (trailed(RIGHT)[:-4], UNSIGNED_TRAILER, errors.IncompleteBody),
        (trailed(RIGHT, form=SIGNED_TRAILER), SIGNED_TRAILER, DOES_NOT_MATCH),
        (
            trailed(RIGHT, SIGNATURE, form=SIGNED_TRAILER),
            SIGNED_TRAILER,
            DOES_NOT_MATCH,
        ),
        (trailed(SIGNATURE, form=SIGNED_TRAILER), SIGNED_TRAILER, MALFORMED),
        (trailed(SIGNATURE, RIGHT, form=SIGNED_TRAILER), SIGNED_TRAILER, MALFORMED),
        (
            whole(SIGNED_TRAILER).replace(crc32(BODY).encode(), b"AAAAAA=="),
            SIGNED_TRAILER,
            DOES_NOT_MATCH,
        ),
        (
            Framer(SIGNED_TRAILER).frame(CHUNKS, (CRC32, "AAAAAA==")),
            SIGNED_TRAILER,
            errors.BadDigest,
        ),
        (trailed(RIGHT, form=SIGNED), SIGNED, errors.IncompleteBody),
    ],
)
def test_wrong_trailers(framed: bytes, form: str, error: type[S3Error]) -> None:
    """Cases 38 to 40 of the security checklist."""
    assert refused(framed, form) is error


def test_a_trailer_that_was_not_announced() -> None:
    """It is refused, however right it is."""
    assert refused(trailed(RIGHT), UNSIGNED_TRAILER, algorithm=None) is MALFORMED


def test_a_wrong_chunk_keeps_its_last_bytes_back() -> None:
    """What is wrong is known before the chunk's data is whole outside."""
    decoder = ChunkDecoder(framing(SIGNED), len(BODY), SEED)
    framed = with_signature(1, other)
    head = framed.index(b"\r\n") + 2
    assert decoder.feed(framed[: head + len(BIG) - 1]) == BIG[:-1]
    with pytest.raises(DOES_NOT_MATCH):
        decoder.feed(framed[head + len(BIG) - 1 : head + len(BIG)])


def test_an_error_stays() -> None:
    """Whatever else comes, right or not."""
    decoder = ChunkDecoder(framing(SIGNED), len(BODY), SEED)
    for _ in range(2):
        with pytest.raises(DOES_NOT_MATCH):
            decoder.feed(with_signature(1, other))
        with pytest.raises(DOES_NOT_MATCH):
            decoder.end()


def test_memory_is_bounded() -> None:
    """Between two calls, at most a line is kept."""
    decoder = ChunkDecoder(framing(UNSIGNED_TRAILER), 2**40, None)
    decoder.feed(b"%x\r\n" % 2**40)
    for _ in range(64):
        assert decoder.feed(BIG) == BIG
        assert decoder._rest == b""
    assert decoder._trailer == {}


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, str]:
    """Right ones, and ones with a byte changed, gone or added."""
    form = draw(st.sampled_from(sorted(FORMS)))
    framed = bytearray(whole(form))
    if draw(st.booleans()):
        at = draw(
            st.one_of(
                st.integers(0, 100),
                st.integers(len(BIG), len(BIG) + 200),
                st.integers(len(framed) - 250, len(framed) - 1),
            )
        )
        new = draw(st.sampled_from([b"", b"\n", b"\r\n", b":", b"0", b"f", b"\xff"]))
        framed[at : at + draw(st.integers(0, 2))] = new
    if draw(st.booleans()):
        del framed[draw(st.integers(0, len(framed))) :]
    return bytes(framed), form


@settings(max_examples=300, deadline=None)
@given(bodies(), st.lists(st.integers(0, 30_000), max_size=12), st.booleans())
@example((whole(SIGNED), SIGNED), [], True)
@example((whole(SIGNED_TRAILER), SIGNED_TRAILER), [], True)
@example((whole(UNSIGNED_TRAILER), UNSIGNED_TRAILER), [], True)
def test_any_cut_of_the_input_gives_the_same(
    body: tuple[bytes, str], cuts: list[int], bytewise: bool
) -> None:
    """Output or error, and never another exception."""
    framed, form = body
    edges = [0, *sorted(cuts), len(framed)]

    def cut(framed: bytes) -> list[bytes]:
        if bytewise:
            return [framed[i : i + 1] for i in range(len(framed))]
        return [framed[a:b] for a, b in pairwise(edges)]

    got = outcome(framed, form, cut)
    assert got == outcome(framed, form, lambda framed: [framed])
    # Nothing but the body that was framed ever comes out of a signed one.
    assert got == BODY or isinstance(got, type) or form == UNSIGNED_TRAILER


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=3000), st.sampled_from(sorted(FORMS)))
def test_junk(junk: bytes, form: str) -> None:
    """It is refused by an error of S3's."""
    assert isinstance(outcome(junk, form, lambda framed: [framed]), type)


def test_the_test_client_is_right() -> None:
    """A checksum by other means than the product's."""
    assert crc32(BODY) == base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()
