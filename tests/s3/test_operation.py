"""What each request becomes, and what is refused by which error."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import botocore.config
import botocore.session
import pytest
from attrs import evolve
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from hypothesis import given
from hypothesis import strategies as st

from s3proxy import errors
from s3proxy.errors import S3Error
from s3proxy.model import WriteConditions
from s3proxy.s3 import known, sigv4, tokens
from s3proxy.s3 import operation as op
from s3proxy.s3.canonical import uri_encode
from s3proxy.s3.known import SERVED, SUBRESOURCES, Level
from tests import strategies
from tests.s3.signing import ACCESS_KEY_ID, SECRET

TOKEN = tokens.encode("some/place")
KEY = {"Bucket": "unified", "Key": "k"}
UPLOAD = KEY | {"UploadId": "u/+ é"}
PART = UPLOAD | {"PartNumber": 7}
NULL = {"VersionId": "null"}
TAGS = {"Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}
WANTED = {"ObjectAttributes": ["ETag", "ObjectParts"], "MaxParts": 5}
SOURCE = {"Bucket": "unified", "Key": "a b+é?versionId=x%2F//..", "VersionId": "null"}


def parse(
    method: str, target: str, headers: dict[str, str] | None = None
) -> op.Operation:
    """A PUT has an empty body here unless it says otherwise."""
    sent = {"content-length": "0"} if method == "PUT" else {}
    return op.parse(
        method.encode(), target.encode(), list((sent | (headers or {})).items())
    )


def put(**headers: str) -> op.PutObject:
    """Parse a PUT with these headers (``_`` for ``-``)."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    parsed = parse("PUT", "/b/k", sent)
    assert isinstance(parsed, op.PutObject)
    return parsed


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/", op.ListBuckets()),
        (
            "GET",
            f"/?prefix=u&max-buckets=5&continuation-token={TOKEN}&bucket-region=r",
            op.ListBuckets("u", 5, TOKEN, "r"),
        ),
        ("GET", "/?max-buckets=10001", op.ListBuckets(max_buckets=10_000)),
        ("DELETE", "/b", op.DeleteBucket("b")),
        ("DELETE", "/b/?x-id=DeleteBucket", op.DeleteBucket("b")),
        ("GET", "/b?cors", op.GetBucketCors("b")),
        ("DELETE", "/b/?cors=", op.DeleteBucketCors("b")),
        ("HEAD", "/b", op.HeadBucket("b")),
        ("HEAD", "/b/", op.HeadBucket("b")),
        ("GET", "/b?location", op.GetBucketLocation("b")),
        ("GET", "/b", op.ListObjects("b")),
        (
            "GET",
            "/b?prefix=p%2F&delimiter=%2F&marker=m&max-keys=7&encoding-type=url",
            op.ListObjects("b", "p/", "/", 7, "m", "url"),
        ),
        ("GET", "/b/?list-type=2", op.ListObjectsV2("b")),
        (
            "GET",
            "/b?list-type=2&prefix=a+b&delimiter=-x-&max-keys=1001&start-after=s"
            f"&continuation-token={TOKEN}&fetch-owner=true&encoding-type=url",
            op.ListObjectsV2("b", "a b", "-x-", 1000, "s", TOKEN, "url", True),
        ),
        ("GET", "/b?list-type=2&max-keys=0", op.ListObjectsV2("b", max_keys=0)),
        (
            "GET",
            f"/b?list-type=2&max-keys={'9' * 5000}",
            op.ListObjectsV2("b", max_keys=1000),
        ),
        ("GET", "/b/k?x-id=GetObject", op.GetObject("b", "k")),
        (
            "GET",
            "/b/k?response-content-type=a%2Fb&response-expires=never",
            op.GetObject(
                "b", "k", overrides={"content-type": "a/b", "expires": "never"}
            ),
        ),
        (
            "GET",
            "/b/k?response-content-disposition=%C3%A9",
            op.GetObject("b", "k", overrides={"content-disposition": "Ã©"}),
        ),
        ("PUT", "/b", op.CreateBucket("b")),
        ("PUT", "/b/?x-id=CreateBucket", op.CreateBucket("b")),
        ("HEAD", "/b/k", op.HeadObject("b", "k")),
        ("PUT", "/b/k?x-id=PutObject", op.PutObject("b", "k", 0)),
        ("DELETE", "/b/k?x-id=DeleteObject", op.DeleteObject("b", "k")),
        # What S3 does not know either changes nothing; nor do a listing's parameters.
        ("DELETE", "/b/k?foo=1&prefix=x", op.DeleteObject("b", "k")),
        # Signatures in the query are the verifier's to refuse.
        ("GET", "/b/k?X-Amz-Signature=00&X-Amz-Expires=1", op.GetObject("b", "k")),
        ("GET", "/b/k?AWSAccessKeyId=a&Signature=b", op.GetObject("b", "k")),
        # Names that mean something to this server are keys and buckets like others.
        ("GET", "/metrics/health", op.GetObject("metrics", "health")),
        ("GET", "/b/../c", op.GetObject("b", "../c")),
        ("GET", "/b/k?versionId=null", op.GetObject("b", "k", version_id="null")),
        ("HEAD", "/b/k?versionId=null", op.HeadObject("b", "k", version_id="null")),
        ("DELETE", "/b/k?versionId=null", op.DeleteObject("b", "k", (), "null")),
        ("GET", "/b/k?tagging", op.GetObjectTagging("b", "k")),
        ("DELETE", "/b/k?tagging", op.DeleteObjectTagging("b", "k")),
        ("GET", "/b?versions", op.ListObjectVersions("b")),
        (
            "GET",
            "/b?versions&prefix=p&delimiter=%2F&max-keys=7&key-marker=k"
            "&version-id-marker=null&encoding-type=url",
            op.ListObjectVersions("b", "p", "/", 7, "k", "null", "url"),
        ),
        ("GET", "/b?acl", op.GetBucketAcl("b")),
        ("GET", "/b?versioning", op.GetBucketSetting("b", "versioning")),
        ("DELETE", "/b?policy", op.DeleteBucketSetting("b", "policy")),
    ],
)
def test_operations(method: str, target: str, expected: op.Operation) -> None:
    """Method and target become a value."""
    assert parse(method, target) == expected


@given(strategies.keys(), st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]))
def test_every_operation_names_the_key_exactly(key: str, method: str) -> None:
    """No key leaves its bucket or becomes another one."""
    parsed: Any = parse(method, f"/unified/{uri_encode(key, slash=False)}")
    assert (parsed.bucket, parsed.key) == ("unified", key)


REFUSED: list[tuple[str, str, type[S3Error]]] = [
    ("GET", "/?max-buckets=0", errors.InvalidArgument),
    ("GET", "/?max-buckets=x", errors.InvalidArgument),
    ("GET", "/?continuation-token=x", errors.InvalidArgument),
    ("POST", "/b?delete", errors.InvalidRequest),
    ("PUT", "/b/k?partNumber=1&uploadId=x&tagging", errors.InvalidArgument),
    ("HEAD", "/b/k?uploadId=x", errors.NotImplementedYet),
    ("DELETE", "/b/k?uploads", errors.NotImplementedYet),
    ("DELETE", "/b?uploads", errors.NotImplementedYet),
    ("POST", "/b?uploads", errors.NotImplementedYet),
    # Half of an operation is none, and never the plain one.
    ("PUT", "/b/k?partNumber=1", errors.InvalidArgument),
    ("PUT", "/b/k?uploadId=x", errors.InvalidArgument),
    ("POST", "/b/k?uploads&uploadId=x", errors.InvalidArgument),
    ("GET", "/b/k?partNumber=1&uploadId=x", errors.InvalidArgument),
    ("GET", "/b?uploads&location", errors.InvalidArgument),
    ("DELETE", "/b/k?uploadId=x&uploadId=y", errors.InvalidArgument),
    # Objects have one version.
    ("GET", "/b/k?versionId=x", errors.NoSuchVersion),
    ("HEAD", "/b/k?partNumber=1&versionId=x", errors.NoSuchVersion),
    ("GET", "/b/k?versionId=", errors.InvalidArgument),
    ("DELETE", "/b/k?versionId=NULL", errors.NoSuchVersion),
    ("GET", "/b/k?tagging&versionId=x", errors.NoSuchVersion),
    ("GET", "/b/k?acl&versionId=x", errors.NoSuchVersion),
    ("PUT", "/b/k?versionId=null", errors.NotImplementedYet),
    ("DELETE", "/b/k?uploadId=x&versionId=null", errors.NotImplementedYet),
    ("GET", "/b?versions&version-id-marker=null", errors.InvalidArgument),
    ("GET", "/b?versions&max-keys=x", errors.InvalidArgument),
    ("GET", "/b/k?attributes", errors.InvalidArgument),
    ("PUT", "/b?versioning", errors.NotImplementedYet),
    ("PUT", "/b?policy", errors.NotImplementedYet),
    ("DELETE", "/b?versioning", errors.NotImplementedYet),
    ("PUT", "/b/k?location", errors.NotImplementedYet),
    ("POST", "/b/k", errors.MethodNotAllowed),
    ("POST", "/b", errors.MethodNotAllowed),
    ("POST", "/", errors.MethodNotAllowed),
    ("HEAD", "/", errors.MethodNotAllowed),
    ("DELETE", "/", errors.MethodNotAllowed),
    ("PUT", "/", errors.MethodNotAllowed),
    ("TRACE", "/b/k", errors.MethodNotAllowed),
    ("CONNECT", "/b/k", errors.MethodNotAllowed),
    ("PATCH", "/b/k?acl", errors.MethodNotAllowed),
    ("get", "/b/k", errors.MethodNotAllowed),
    ("GET", "/b?max-keys=x", errors.InvalidArgument),
    ("GET", "/b?max-keys=-1", errors.InvalidArgument),
    ("GET", "/b?max-keys=", errors.InvalidArgument),
    ("GET", "/b?list-type=2&max-keys=%D9%A1", errors.InvalidArgument),
    ("GET", "/b?list-type=2&encoding-type=base64", errors.InvalidArgument),
    ("GET", "/b?encoding-type=", errors.InvalidArgument),
    ("GET", "/b?list-type=3", errors.InvalidArgument),
    ("GET", "/b?list-type=2&continuation-token=", errors.InvalidArgument),
    ("GET", "/b?list-type=2&continuation-token=zzz", errors.InvalidArgument),
    ("GET", "/b?prefix=a&prefix=b", errors.InvalidArgument),
    ("GET", "/b/k?response-expires=a%0D%0AX:b", errors.InvalidArgument),
    ("GET", "http://evil/b/k", errors.InvalidURI),
    ("GET", "/b/%00", errors.InvalidURI),
]


@pytest.mark.parametrize(("method", "target", "error"), REFUSED)
def test_refused(method: str, target: str, error: type[S3Error]) -> None:
    """What is not served says why, by S3's own codes."""
    with pytest.raises(S3Error) as raised:
        parse(method, target)
    assert type(raised.value) is error


@cache
def sdk() -> botocore.session.Session:
    """One for all: each reads S3's description. Without the machine's own file."""
    session = botocore.session.get_session()
    session.set_config_variable("config_file", "/dev/null")
    return session


def botocore_subresources() -> Iterator[str]:
    """Every subresource in botocore's model of S3."""
    model = sdk().get_service_model("s3")
    for name in model.operation_names:
        uri = model.operation_model(name).http["requestUri"]
        for pair in filter(None, uri.partition("?")[2].split("&")):
            yield pair.partition("=")[0]


def test_every_subresource_of_botocore_is_known() -> None:
    """What the SDKs can ask for is served or refused, never taken for the plain one."""
    understood: frozenset[str] = frozenset()
    for forms in SERVED.values():
        understood = understood.union(*forms.values())
    assert set(botocore_subresources()) <= SUBRESOURCES | understood


@pytest.mark.parametrize("subresource", sorted(SUBRESOURCES))
def test_no_subresource_falls_through(subresource: str) -> None:
    """``DELETE /b/k?tagging`` and its like never reach the object, however written."""
    escaped = f"%{ord(subresource[0]):02X}{subresource[1:]}"
    queries = [
        subresource,
        f"{subresource}=",
        f"{subresource}=1",
        f"x-id=a&{subresource}",
        escaped,
    ]
    levels = {"/b": Level.BUCKET, "/b/k": Level.OBJECT}
    for method, path, query in product(
        ["GET", "HEAD", "PUT", "DELETE", "POST"], levels, queries
    ):
        forms = SERVED.get((method, levels[path]), {})
        if frozenset({subresource}) in forms:
            continue
        if subresource in forms.get(known.PLAIN, ()):
            continue  # A version of the object: the null one is the object.
        with pytest.raises(
            (errors.NotImplementedYet, errors.InvalidArgument)
        ) as raised:
            parse(method, f"{path}?{query}")
        assert f"'{subresource}'" in raised.value.message
        half = any(subresource in form for form in forms)
        assert isinstance(raised.value, errors.InvalidArgument) is half


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-copy-source-range", "bytes=0-1"),
        ("x-amz-copy-source-if-match", "abc"),
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-tagging-directive", "REPLACE"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-server-side-encryption-customer-key", "x"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-website-redirect-location", "/x"),
        ("x-amz-grant-read", "id=x"),
        ("x-amz-write-offset-bytes", "5"),
        ("x-amz-storage-class", "GLACIER"),
        ("x-amz-expected-bucket-owner", "1"),
        ("x-amz-checksum-sha512", "x"),
        ("x-amz-sdk-checksum-algorithm", "XXHASH64"),
        ("x-amz-content-sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"),
        ("content-encoding", "gzip, AWS-chunked"),
        ("x-amz-decoded-content-length", "1"),
        ("x-amz-trailer", "x-amz-checksum-xxhash64"),
    ],
)
def test_headers_that_change_the_meaning_of_a_put(name: str, value: str) -> None:
    """A header that would have to be obeyed and is not: 501, not a plain PUT."""
    with pytest.raises(errors.NotImplementedYet):
        parse("PUT", "/b/k", {name: value})


@pytest.mark.parametrize(
    "name",
    [
        *("if-none-match", "if-modified-since", "if-unmodified-since"),
        *("x-amz-if-match-size", "x-amz-if-match-last-modified-time"),
    ],
)
def test_conditional_deletes_are_refused(name: str) -> None:
    """A DELETE never forgets its condition."""
    with pytest.raises(errors.NotImplementedYet):
        parse("DELETE", "/b/k", {name: '"abc"'})


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"content-length": None}, errors.MissingContentLength),
        ({"transfer-encoding": "chunked"}, errors.MissingContentLength),
        ({"content-length": "5,5"}, errors.InvalidArgument),
        ({"content-length": "+5"}, errors.InvalidArgument),
        ({"content-length": "-5"}, errors.InvalidArgument),
        ({"content-length": ""}, errors.InvalidArgument),
        ({"content-length": "1" + "0" * 26}, errors.EntityTooLarge),
        ({"content-length": "9" * 5000}, errors.EntityTooLarge),
        ({"content-md5": ""}, errors.InvalidDigest),
        ({"content-md5": "YWJj"}, errors.InvalidDigest),
        ({"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=!"}, errors.InvalidDigest),
        ({"content-md5": "d41d8cd98f00b204e9800998ecf8427e"}, errors.InvalidDigest),
        ({"x-amz-checksum-crc32": "AAAAAA"}, errors.BadDigest),
        ({"x-amz-checksum-crc32": "é"}, errors.BadDigest),
        ({"x-amz-checksum-crc32": "AAAAAAAA"}, errors.BadDigest),
        ({"x-amz-checksum-crc64nvme": "AAAAAA=="}, errors.BadDigest),
        ({"x-amz-checksum-sha256": ""}, errors.BadDigest),
        (
            {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="},
            errors.InvalidRequest,
        ),
        ({"x-amz-sdk-checksum-algorithm": "CRC16"}, errors.InvalidRequest),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, errors.InvalidRequest),
        ({"x-amz-meta-a": "v" * 2048}, errors.MetadataTooLarge),
        ({"x-amz-meta-a": "a\0b"}, errors.InvalidArgument),
        ({"content-type": "a\r\nx: b"}, errors.InvalidArgument),
        ({"if-match": "a\0b"}, errors.InvalidArgument),
        ({"x-amz-meta-a b": "1"}, errors.InvalidArgument),
        ({"x-amz-meta-é": "1"}, errors.InvalidArgument),
        ({f"x-amz-meta-{i:04}": "v" * 16 for i in range(103)}, errors.MetadataTooLarge),
    ],
)
def test_bad_headers_of_a_put(
    headers: dict[str, str | None], error: type[S3Error]
) -> None:
    """Each with its error, before a byte of the body is read."""
    sent = [
        (n, v) for n, v in ({"content-length": "0"} | headers).items() if v is not None
    ]
    with pytest.raises(S3Error) as raised:
        op.parse(b"PUT", b"/b/k", sent)
    assert type(raised.value) is error


def test_a_put_with_everything() -> None:
    """Each header lands in its field."""
    assert put(
        content_length="0012",
        x_amz_tagging="a=b+c&d",
        content_md5="1B2M2Y8AsgTpgAmY7PhCfg==",
        content_type="text/plain",
        content_encoding="gzip",
        cache_control="no-cache",
        expires="0",
        content_disposition="",
        x_amz_checksum_crc32="AAAAAA==",
        x_amz_checksum_type="FULL_OBJECT",
        x_amz_sdk_checksum_algorithm="crc32",
        x_amz_meta_one="1",
        x_amz_acl="private",
        x_amz_storage_class="STANDARD",
        x_amz_content_sha256="UNSIGNED-PAYLOAD",
        if_none_match="*",
        if_match='"abc", W/"d,e",fgh',
        user_agent="x",
    ) == op.PutObject(
        "b",
        "k",
        12,
        content_md5="d41d8cd98f00b204e9800998ecf8427e",
        checksums={"crc32": "AAAAAA=="},
        content_type="text/plain",
        headers={
            "content-encoding": "gzip",
            "cache-control": "no-cache",
            "expires": "0",
        },
        user_metadata={"one": "1"},
        conditions=WriteConditions(("abc", "d,e", "fgh"), ("*",)),
        tags={"a": "b c", "d": ""},
    )


def test_metadata_is_limited_by_names_and_values() -> None:
    """2048 bytes pass, prefix not counted; bytes are bytes, whatever they encode."""
    assert put(x_amz_meta_abcd="é" * 2044).user_metadata == {"abcd": "é" * 2044}
    with pytest.raises(errors.MetadataTooLarge):
        put(x_amz_meta_abcde="v" * 2044)


def test_repeated_headers_are_joined() -> None:
    """As RFC 9110 has it, and as the signature has them."""
    headers = [("content-length", "0"), ("x-amz-meta-a", "1"), ("x-amz-meta-a", "2")]
    parsed = op.parse(b"PUT", b"/b/k", headers)
    assert isinstance(parsed, op.PutObject)
    assert parsed.user_metadata == {"a": "1,2"}


def test_a_get_with_everything() -> None:
    """Range and conditions are kept; a date that is none is as if absent."""
    headers = {
        "range": "bytes=0-1",
        "if-match": "abc",
        "if-none-match": 'W/"x"',
        "if-modified-since": "Sun, 06 Nov 1994 08:49:37 GMT",
        "if-unmodified-since": "yesterday",
        "if-range": '"abc"',
        "x-amz-checksum-mode": "enabled",
    }
    assert parse("GET", "/b/k", headers) == op.GetObject(
        "b",
        "k",
        range_header="bytes=0-1",
        conditions=op.ReadConditions(("abc",), ("x",), 784111777, None, '"abc"'),
        checksum_mode=True,
    )


def test_where_a_page_begins() -> None:
    """The token counts before start-after, and a marker is its own place."""
    listing = op.ListObjectsV2("b", start_after="s")
    assert listing.after == "s"
    assert evolve(listing, continuation_token=TOKEN).after == "some/place"
    assert op.ListObjects("b", marker="m").after == "m"


def test_levels_cover_what_is_served() -> None:
    """Every served operation has a reader: none answers with a KeyError."""
    paths = {Level.SERVICE: "/", Level.BUCKET: "/b", Level.OBJECT: "/b/k"}
    demanded = {
        "x-amz-checksum-crc32": "AAAAAA==",
        "x-amz-object-attributes": "ETag",
    }
    for (method, level), forms in SERVED.items():
        for form in forms:
            query = "&".join(f"{name}=1" for name in sorted(form))
            assert parse(method, f"{paths[level]}?{query}", demanded)


@pytest.mark.parametrize(
    ("call", "arguments", "expected"),
    [
        ("list_buckets", {}, op.ListBuckets),
        ("head_bucket", {"Bucket": "unified"}, op.HeadBucket),
        ("get_bucket_location", {"Bucket": "unified"}, op.GetBucketLocation),
        ("get_bucket_cors", {"Bucket": "unified"}, op.GetBucketCors),
        ("delete_bucket_cors", {"Bucket": "unified"}, op.DeleteBucketCors),
        (
            "put_bucket_cors",
            {"Bucket": "unified", "CORSConfiguration": {"CORSRules": []}},
            op.PutBucketCors,
        ),
        ("list_objects", {"Bucket": "unified", "Delimiter": "/"}, op.ListObjects),
        ("list_objects_v2", {"Bucket": "unified", "Prefix": "é ~"}, op.ListObjectsV2),
        (
            "put_object",
            {
                "Bucket": "unified",
                "Key": "a b/é//..",
                "Body": b"abc",
                "Metadata": {"one": "1"},
            },
            op.PutObject,
        ),
        *(
            (
                "put_object",
                {
                    "Bucket": "unified",
                    "Key": "k",
                    "Body": b"abc",
                    "ChecksumAlgorithm": algorithm,
                },
                op.PutObject,
            )
            for algorithm in ("CRC32C", "CRC64NVME", "SHA1", "SHA256")
        ),
        (
            "get_object",
            {"Bucket": "unified", "Key": "k", "Range": "bytes=1-"},
            op.GetObject,
        ),
        ("head_object", {"Bucket": "unified", "Key": "k"}, op.HeadObject),
        ("delete_object", {"Bucket": "unified", "Key": "k"}, op.DeleteObject),
        ("create_multipart_upload", KEY, op.CreateMultipartUpload),
        ("upload_part", PART | {"Body": b"abc"}, op.UploadPart),
        (
            "complete_multipart_upload",
            UPLOAD | {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": "e"}]}},
            op.CompleteMultipartUpload,
        ),
        ("abort_multipart_upload", UPLOAD, op.AbortMultipartUpload),
        ("list_parts", UPLOAD, op.ListParts),
        ("list_multipart_uploads", {"Bucket": "unified"}, op.ListMultipartUploads),
        (
            "delete_objects",
            {"Bucket": "unified", "Delete": {"Objects": [{"Key": "k"}]}},
            op.DeleteObjects,
        ),
        ("get_object_attributes", KEY | WANTED, op.GetObjectAttributes),
        ("get_object_tagging", KEY | NULL, op.GetObjectTagging),
        ("put_object_tagging", KEY | TAGS, op.PutObjectTagging),
        ("delete_object_tagging", KEY, op.DeleteObjectTagging),
        ("get_bucket_tagging", {"Bucket": "unified"}, op.GetBucketTagging),
        ("put_bucket_tagging", {"Bucket": "unified"} | TAGS, op.PutBucketTagging),
        ("delete_bucket_tagging", {"Bucket": "unified"}, op.DeleteBucketTagging),
        ("get_bucket_acl", {"Bucket": "unified"}, op.GetBucketAcl),
        ("get_object_acl", KEY | NULL, op.GetObjectAcl),
        ("put_bucket_acl", {"Bucket": "unified", "ACL": "private"}, op.PutBucketAcl),
        ("put_object_acl", KEY | {"ACL": "public-read"}, op.PutObjectAcl),
        ("list_object_versions", {"Bucket": "unified"}, op.ListObjectVersions),
        ("get_bucket_versioning", {"Bucket": "unified"}, op.GetBucketSetting),
        ("delete_bucket_policy", {"Bucket": "unified"}, op.DeleteBucketSetting),
        ("get_object", KEY | NULL, op.GetObject),
        ("head_object", KEY | NULL, op.HeadObject),
        ("delete_object", KEY | NULL | {"IfMatch": "*"}, op.DeleteObject),
        ("copy_object", KEY | {"CopySource": "unified/a?b"}, op.CopyObject),
        ("copy_object", KEY | {"CopySource": SOURCE}, op.CopyObject),
        ("upload_part_copy", PART | {"CopySource": SOURCE}, op.UploadPartCopy),
    ],
)
def test_what_an_sdk_sends_by_default(
    call: str, arguments: dict[str, Any], expected: type[op.Operation]
) -> None:
    """The SDK's own requests over HTTP verify, and become what was called."""
    client = sdk().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )
    sent: list[AWSPreparedRequest] = []

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, {}, FakeRaw())

    client.meta.events.register("before-send.s3", answer)
    getattr(client, call)(**arguments)
    parts = urlsplit(sent[0].url)
    by_name = {
        name.lower(): value if isinstance(value, str) else value.decode("latin-1")
        for name, value in sent[0].headers.items()
    }
    headers = list(({"host": parts.netloc} | by_name).items())
    raw_target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    operation = op.parse(sent[0].method.encode(), raw_target.encode(), headers)
    parsed: Any = operation
    assert type(operation) is expected
    assert sigv4.verify(
        sent[0].method.encode(),
        parts.path.encode(),
        parts.query.encode(),
        headers,
        secret_of={ACCESS_KEY_ID: SECRET}.get,
        regions=["us-east-1"],
        now=datetime.now(UTC),
    )
    if arguments.get("VersionId") == "null":
        assert parsed.version_id == "null"
    if isinstance(operation, op.DeleteObjects):
        assert list(parsed.document.checksums) == ["crc32"]
    if isinstance(operation, op.PutObject):
        assert parsed.key == arguments["Key"]
        assert parsed.content_length == 3
        algorithm = arguments.get("ChecksumAlgorithm", "CRC32").lower()
        assert list(parsed.checksums) == [algorithm]
        assert parsed.user_metadata == arguments.get("Metadata", {})
    if "UploadId" in arguments:
        assert parsed.upload_id == arguments["UploadId"]
    if arguments.get("CopySource") is SOURCE:
        assert parsed.source == op.CopySource("unified", SOURCE["Key"])


class FakeRaw:
    """An answer's body, as botocore reads it."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """An empty document."""
        return iter([b"<Empty/>"])
