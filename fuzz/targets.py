"""What is fuzzed: each parser by itself, and the front door as a whole."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from random import Random

from fuzz.front import Front
from fuzz.running import Target
from s3proxy.backend import documents
from s3proxy.errors import S3Error
from s3proxy.s3 import (
    access_lists,
    bucket_configuration,
    completion,
    cors_documents,
    deletion,
    operation,
    post_policy,
    ranges,
    sigv4,
    tagging,
    target,
    tokens,
)
from s3proxy.s3.chunked import ChunkDecoder
from s3proxy.s3.form_data import FormReader
from s3proxy.s3.framing import FORMS, Framing
from tests.s3.chunking import SEED, Framer
from tests.s3.signing import ACCESS_KEY_ID, NOW, REGIONS, SECRET, Request
from tests.s3.test_chunked import CHUNKS, crc32

PUT = Request("PUT", "/unified/k", "", (("host", "h"), ("x-amz-meta-a", "b c")))
ODD_KEY = Request(
    "GET", "/unified/a%20b//%C3%A9+~", "prefix=a%2Fb&uploads", (("host", "h"),)
)
SECRETS = {ACCESS_KEY_ID: SECRET}
HEADERS = tuple(
    name.encode()
    for name in (
        *("authorization", "x-amz-date", "date", "host", "x-amz-content-sha256"),
        *("x-amz-security-token", "x-amz-meta-a", "AWS4-HMAC-SHA256", "Credential="),
        *("SignedHeaders=", "Signature=", "AWS ", "Bearer ", "aws4_request", "s3"),
        *("UNSIGNED-PAYLOAD", "AWS4-ECDSA-P256-SHA256", *FORMS, "20260524T120000Z"),
    )
)
PARAMETERS = tuple(
    name.encode()
    for name in (
        *("X-Amz-Algorithm=", "X-Amz-Credential=", "X-Amz-Date=", "X-Amz-Expires="),
        *("X-Amz-SignedHeaders=", "X-Amz-Signature=", "X-Amz-Content-Sha256="),
        *("X-Amz-Security-Token=", "x-amz-meta-a=", "AWSAccessKeyId=", "Signature="),
        *("&", "=", "UNSIGNED-PAYLOAD", "host;x-amz-meta-a", "604800", "-1", *FORMS),
    )
)
SUBRESOURCES = tuple(
    name.encode()
    for name in (
        *("uploads", "uploadId=", "partNumber=", "list-type=2", "prefix=", "max-keys="),
        *("continuation-token=", "encoding-type=url", "delimiter=", "marker=", "acl"),
        *("response-content-type=", "key-marker=", "max-parts=", "location", "delete"),
    )
)
OPERATION_HEADERS = tuple(
    f"{line}\r\n".encode()
    for line in (
        "range: bytes=0-9",
        'if-match: "abc", W/"d", *',
        "if-none-match: *",
        "if-modified-since: Sun, 24 May 2026 12:00:00 GMT",
        "content-length: 10",
        "content-md5: 1B2M2Y8AsgTpgAmY7PhCfg==",
        "x-amz-checksum-crc32: AAAAAA==",
        "x-amz-checksum-algorithm: CRC32",
        "x-amz-checksum-type: FULL_OBJECT",
        "x-amz-sdk-checksum-algorithm: sha256",
        "x-amz-copy-source: /unified/a%20b?versionId=1",
        "x-amz-copy-source-range: bytes=0-9",
        "x-amz-copy-source-if-match: x",
        "x-amz-metadata-directive: REPLACE",
        "x-amz-decoded-content-length: 5",
        "x-amz-trailer: x-amz-checksum-crc32c",
        "content-encoding: gzip,aws-chunked",
        "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-meta-a: b",
        "x-amz-mp-object-size: 7",
        "x-amz-tagging: a=b",
        "transfer-encoding: chunked",
    )
)
OPERATIONS = (
    b'GET /unified/k\r\nrange: bytes=0-9\r\nif-none-match: W/"a", "b"\r\n'
    b"if-modified-since: Sun, 24 May 2026 12:00:00 GMT\r\nx-amz-checksum-mode: ENABLED",
    b"POST /unified/k?uploads\r\nx-amz-checksum-algorithm: CRC32\r\n"
    b"x-amz-checksum-type: FULL_OBJECT",
    b"PUT /unified/k?partNumber=1&uploadId=u\r\ncontent-length: 5\r\n"
    b"content-md5: 1B2M2Y8AsgTpgAmY7PhCfg==\r\nx-amz-checksum-crc32: AAAAAA==",
    b"GET /unified?list-type=2&max-keys=5&prefix=a&encoding-type=url\r\n",
    b"PUT /unified/c\r\nx-amz-copy-source: /unified/a%20b\r\ncontent-length: 0\r\n"
    b"x-amz-metadata-directive: REPLACE\r\nx-amz-copy-source-if-match: x",
    b"PUT /unified/c?partNumber=1&uploadId=u\r\nx-amz-copy-source: unified/a\r\n"
    b"x-amz-copy-source-range: bytes=0-9\r\ncontent-length: 0",
    b"PUT /unified/k\r\nx-amz-decoded-content-length: 5\r\ncontent-length: 99\r\n"
    b"x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n"
    b"x-amz-trailer: x-amz-checksum-crc32c\r\ncontent-encoding: gzip,aws-chunked",
)
COMPLETE = (
    b'<?xml version="1.0" encoding="UTF-8"?><CompleteMultipartUpload xmlns='
    b'"http://s3.amazonaws.com/doc/2006-03-01/"><Part><PartNumber>1</PartNumber>'
    b"<ETag>&quot;abc&quot;</ETag><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part><Part>"
    b"<ETag>def</ETag><PartNumber>2</PartNumber></Part></CompleteMultipartUpload>"
)
OWNED = (
    b"<AccessControlPolicy><Owner><ID>me</ID></Owner><AccessControlList><Grant>"
    b'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    b'xsi:type="CanonicalUser">'
    b"<ID>me</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>"
    b"</AccessControlList></AccessControlPolicy>"
)
#: Right ones, and what reads them.
DOCUMENTS: tuple[tuple[bytes, Callable[[bytes], object]], ...] = (
    (COMPLETE, completion.parse),
    (
        b"<Delete><Quiet>true</Quiet><Object><Key>a</Key><ETag>x</ETag></Object>"
        b"<Object><Key>b</Key><VersionId>null</VersionId></Object></Delete>",
        deletion.parse,
    ),
    (
        b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
        lambda data: tagging.parse(data, tagging.MAX_OBJECT_TAGS),
    ),
    (OWNED, lambda data: access_lists.check(data, "me")),
    (
        b"<CORSConfiguration><CORSRule><ID>i</ID><AllowedOrigin>http://*.a</AllowedOrigin>"
        b"<AllowedMethod>GET</AllowedMethod><AllowedHeader>x-*</AllowedHeader>"
        b"<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>9</MaxAgeSeconds></CORSRule>"
        b"</CORSConfiguration>",
        cors_documents.parse,
    ),
    (
        b"<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint>"
        b"</CreateBucketConfiguration>",
        lambda data: bucket_configuration.check(data, ("us-east-1",)),
    ),
)
FORM_TYPE = "multipart/form-data; boundary=xyz"
FORM = (
    b'--xyz\r\nContent-Disposition: form-data; name="key"\r\n\r\na/${filename}\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nsome\r\n--xy bytes\r\n--xyz--\r\n"
)
POLICY = (
    b'{"expiration": "2100-01-01T00:00:00Z", "conditions": [{"bucket": "unified"}, '
    b'["starts-with", "$key", "a/"], ["content-length-range", 0, 10]]}'
)
LISTING = (
    b"<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a%2Bb</Key>"
    b"<Size>3</Size><ETag>&quot;x&quot;</ETag></Contents><EncodingType>url</EncodingType>"
    b"<NextContinuationToken>t</NextContinuationToken></ListBucketResult>"
)
XML_WORDS = (
    *(
        b"<Part>",
        b"</Part>",
        b"<PartNumber>",
        b"<ETag>",
        b"&lt;",
        b"&#0;",
        b"&#x1F4A9;",
    ),
    *(b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"<![CDATA[", b"]]>", b"<!--", b"-->"),
    *(
        b"<?xml version='1.0' encoding='utf-16'?>",
        b"encoding='x'",
        b"<a>",
        b"<a",
        b"'>",
    ),
)


def head_of(request: Request) -> bytes:
    """A request's headers, a line each."""
    return b"".join(f"{n}: {v}\r\n".encode("latin-1") for n, v in request.headers)


def headers_of(data: bytes) -> list[tuple[str, str]]:
    """What a server makes of such lines."""
    headers = []
    for line in data.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            # The front door lets names of ASCII through, and no other.
            text = name.strip().lower().decode("ascii", "ignore")
            headers.append((text, value.strip(b" \t").decode("latin-1")))
    return headers


def authorization(data: bytes, number: int, random: Random) -> None:
    """The Authorization header and those beside it."""
    verify(b"PUT", b"/unified/k", b"", headers_of(data))


def presigned(data: bytes, number: int, random: Random) -> None:
    """The query of a presigned URL."""
    host = [("host", "h"), ("x-amz-meta-a", "b c")]
    verify(b"PUT", b"/unified/k", data.replace(b"#", b""), host)


def verify(
    method: bytes, path: bytes, query: bytes, headers: Sequence[tuple[str, str]]
) -> None:
    """Verify, and see that nothing but what was signed comes through."""
    got = sigv4.verify(
        method,
        path,
        query,
        headers,
        secret_of=SECRETS.get,
        regions=REGIONS,
        now=NOW,
    )
    assert got.access_key_id == ACCESS_KEY_ID


def framed_bodies() -> Sequence[bytes]:
    """A right body of each form."""
    body = b"".join(CHUNKS)
    return [
        Framer(form).frame(
            CHUNKS,
            ("x-amz-checksum-crc32", crc32(body)) if FORMS[form].has_trailer else None,
        )
        for form in FORMS
    ]


def chunks(data: bytes, number: int, random: Random) -> None:
    """The decoder: whole and in pieces, it gives the same."""
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(9)))
    edges = [0, *cuts, len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    whole, parted = decoded(number, [data]), decoded(number, pieces)
    assert whole == parted, f"cut at {cuts}: {parted!r:.200} instead of {whole!r:.200}"
    if isinstance(whole, type):
        raise S3Error
    form = list(FORMS)[number]
    assert not FORMS[form].signed or whole == b"".join(CHUNKS)


def decoded(number: int, pieces: Sequence[bytes]) -> bytes | type[S3Error]:
    """The body, or how it is refused."""
    form = list(FORMS.values())[number]
    framing = Framing(form, "crc32" if form.has_trailer else None)
    decoder = ChunkDecoder(framing, len(b"".join(CHUNKS)), SEED)
    try:
        body = b"".join([decoder.feed(piece) for piece in pieces])
        decoder.end()
    except S3Error as why:
        return type(why)
    return body


def targets_of_requests(data: bytes, number: int, random: Random) -> None:
    """The request target, which routing and signature share."""
    found = target.parse(data)
    assert len(found.key.encode()) <= target.MAX_KEY_BYTES
    assert "/" not in found.bucket


def operations(data: bytes, number: int, random: Random) -> None:
    """Target and headers, as an operation: conditions, copies, checksums and all."""
    line, _, head = data.partition(b"\r\n")
    method, _, sent = line.partition(b" ")
    operation.parse(method, sent, headers_of(head))


def xml(data: bytes, number: int, random: Random) -> None:
    """Clients' documents, each by the parser of its kind."""
    _, parse = DOCUMENTS[number]
    parse(data)


def forms(data: bytes, number: int, random: Random) -> None:
    """
    A browser's form, in pieces: however it is cut, the same comes out, or nothing.

    Of two things that are wrong with a form, the cut decides which is told.
    """

    def read(pieces: Sequence[bytes]) -> tuple[dict[str, str], bytes] | None:
        file = b""
        try:
            reader = FormReader(FORM_TYPE)
            for piece in pieces:
                if not reader.ended:
                    file += reader.feed(piece)
            if not reader.ended:
                reader.end()
        except S3Error:
            return None
        return reader.fields, file

    cuts = sorted(random.randrange(len(data) + 1) for _ in range(3))
    edges = [0, *cuts, len(data)]
    whole = read([data])
    assert read([data[a:b] for a, b in pairwise(edges)]) == whole
    if whole is None:
        raise S3Error


def policies(data: bytes, number: int, random: Random) -> None:
    """The policy of a form, held against a form's fields."""
    policy = post_policy.parse(b64encode(data).decode())
    policy.check({"key": "a/b", "bucket": "unified", "policy": ""}, NOW)


def backend_xml(data: bytes, number: int, random: Random) -> None:
    """Backends' documents: anything wrong is a ValueError there."""
    if documents.parse_error(data) is not None:
        return
    try:
        documents.parse_page(data)
    except ValueError:
        raise S3Error from None


def range_headers(data: bytes, number: int, random: Random) -> None:
    """``Range`` and that of copies, against objects of several sizes."""
    text = data.decode("latin-1")
    sizes, refused = (0, 1, 10, 5 * 2**40), 0
    for size in sizes:
        try:
            found = ranges.resolve(text, size)
        except S3Error:
            refused += 1
        else:
            assert found is None or 0 <= found[0] < found[1] <= size
    with suppress(S3Error):
        start, end = ranges.parse_copy(text) or (0, 1)
        assert 0 <= start < end
    if refused == len(sizes):
        raise S3Error


def continuation(data: bytes, number: int, random: Random) -> None:
    """Continuation tokens."""
    tokens.decode(data.decode("latin-1"))


def targets() -> Mapping[str, Target]:
    """By name."""
    front = Front()
    return {
        "authorization": Target(
            [
                head_of(PUT.signed()),
                head_of(PUT.signed(payload_hash=next(iter(FORMS)))),
                head_of(PUT.signed_whole()),
            ],
            authorization,
            HEADERS,
            1.5,
        ),
        "presigned": Target(
            [
                PUT.presigned().query.encode(),
                PUT.presigned(payload_hash="ab" * 32).query.encode(),
                PUT.adding("x-amz-meta-b=c&uploads").presigned().query.encode(),
            ],
            presigned,
            PARAMETERS,
            1.5,
        ),
        "chunks": Target(
            framed_bodies(),
            chunks,
            (b"2000\r\n", b";chunk-signature=", b"x-amz-trailer-signature:"),
            1.5,
        ),
        "target": Target(
            [
                ODD_KEY.target.encode(),
                b"/",
                b"/unified/" + b"k" * 1024,
                b"/unified?a=b&c",
            ],
            targets_of_requests,
            SUBRESOURCES,
        ),
        "operation": Target(
            OPERATIONS,
            operations,
            SUBRESOURCES + OPERATION_HEADERS + (b"GET ", b"PUT ", b"POST ", b"DELETE "),
            1.5,
        ),
        "xml": Target([document for document, _ in DOCUMENTS], xml, XML_WORDS, 2.0),
        "form": Target(
            [FORM],
            forms,
            (b"--xyz", b"\r\n", b"--xyz--\r\n", b'name="', b"Content-Disposition: "),
        ),
        "policy": Target(
            [POLICY],
            policies,
            (b"[", b"]", b"{", b"}", b'"eq"', b'"$key"', b"null", b"1e999", b"\\u0000"),
            0.5,
        ),
        "backend-xml": Target(
            [LISTING, b"<Error><Code>a</Code><Message>b</Message></Error>"],
            backend_xml,
            XML_WORDS,
            0.5,
        ),
        "range": Target(
            [b"bytes=0-9", b"bytes=-5", b"bytes=5-", b"bytes=0-1,3-4"],
            range_headers,
            (b"bytes=", b"-", b","),
            0.5,
        ),
        "token": Target([tokens.encode("a/b").encode()], continuation, (), 0.5),
        "front": Target(front.seeds, front.run, front.words, 0.5),
    }
