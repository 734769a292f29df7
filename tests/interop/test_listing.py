"""Lines 34 to 40: listings, and the source of a copy."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from tests.daemon import BUCKET, Daemon
from tests.interop.lines import ask, failure, interop

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def fill(s3: Any, *keys: str, body: bytes = b"x") -> None:
    """Store objects."""
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=body)


def keys_of(page: dict[str, Any], name: str = "Contents") -> list[str]:
    """The keys of a page."""
    return [each["Key"] for each in page.get(name, [])]


def prefixes_of(page: dict[str, Any]) -> list[str]:
    """Its common prefixes."""
    return [each["Prefix"] for each in page.get("CommonPrefixes", [])]


LISTINGS = [
    ("list_objects", "Contents"),
    ("list_objects_v2", "Contents"),
    ("list_object_versions", "Versions"),
]


@interop(34, "utf8-byte-order-over-all-backends")
def test_order(s3: Any, prefix: str) -> None:
    """As bytes: no locale, and no UTF-16, in which U+1F600 is before U+FF5E."""
    names = ["a", "B", "_", "a b", "a-b", "a/b", "aa", "é", "z", "\uff5e", "\U0001f600"]
    keys = [prefix + name for name in names]
    fill(s3, *keys[::2])
    fill(s3, *keys[1::2])
    expected = sorted(keys, key=str.encode)
    for call, name in LISTINGS:
        pages = s3.get_paginator(call).paginate(
            Bucket=BUCKET, Prefix=prefix, PaginationConfig={"PageSize": 3}
        )
        assert [key for page in pages for key in keys_of(page, name)] == expected


ODD = ["a b", "a+b", "a%25", "a&b", "a<b>", "a\x01b", "a\nb", "é", "q\"'"]
QUERIES = ["list-type=2", "x-id=1", "versions", "uploads"]


@pytest.mark.parametrize("query", QUERIES)
@interop(35, "encoding-type-url")
def test_url_encoding(daemon: Daemon, prefix: str, query: str) -> None:
    """Keys, prefixes and delimiters, on every listing."""
    prefix = f"{prefix}{query}/é /"
    keys = [prefix + name for name in [*ODD, "z/1"]]
    verb, form = ("POST", "?uploads") if query == "uploads" else ("PUT", "")
    made = [ask(daemon, verb, f"/{BUCKET}/{quote(key)}{form}") for key in keys]
    assert [answer.status for answer in made] == [200] * len(keys)
    asked = f"/{BUCKET}?{query}&encoding-type=url&delimiter=%2F&prefix={quote(prefix)}"
    answer = ask(daemon, "GET", asked)
    assert answer.status == 200
    root = ElementTree.fromstring(answer.body)
    assert root.findtext(f"{S3}EncodingType") == "url"
    shown = [each.text for each in root.iter(f"{S3}Key")]
    assert shown == [quote(key) for key in sorted(keys[:-1], key=str.encode)]
    (common,) = root.iter(f"{S3}CommonPrefixes")
    assert common.findtext(f"{S3}Prefix") == quote(prefix + "z/")
    # Open uploads would stay for other tests to find.
    for key, each in zip(keys, made, strict=True):
        for upload_id in re.findall(rb"<UploadId>(.+)</UploadId>", each.body):
            target = f"/{BUCKET}/{quote(key)}?uploadId={upload_id.decode()}"
            assert ask(daemon, "DELETE", target).status == 204


@pytest.mark.parametrize("query", QUERIES[:3])
@interop(35, "without-it-escaped-and-character-references")
def test_xml_escapes(s3: Any, daemon: Daemon, prefix: str, query: str) -> None:
    """``& < >`` as entities; what XML cannot carry as references, as S3 writes it."""
    prefix = f"{prefix}{query}/"
    fill(s3, *[prefix + name for name in ODD])
    answer = ask(daemon, "GET", f"/{BUCKET}?{query}&prefix={quote(prefix)}")
    shown = re.findall(rb"<Key>(.*?)</Key>", answer.body, re.DOTALL)
    names = [each.decode().removeprefix(prefix) for each in shown]
    assert names == [
        *("a&#x1;b", "a&#xa;b", "a b", "a%25", "a&amp;b", "a+b", "a&lt;b&gt;"),
        *("q&quot;&apos;", "é"),
    ]


@interop(36, "start-after-and-token-together")
def test_token_and_start_after(s3: Any, prefix: str) -> None:
    """The token counts, and both are told back; it is opaque, and none is guessed."""
    keys = [f"{prefix}{name}" for name in "abcde"]
    fill(s3, *keys)
    asked = {"Bucket": BUCKET, "Prefix": prefix, "StartAfter": keys[0], "MaxKeys": 2}
    page = s3.list_objects_v2(**asked)
    assert keys_of(page) == keys[1:3]
    token = page["NextContinuationToken"]
    assert keys[2] not in token
    page = s3.list_objects_v2(**asked, ContinuationToken=token)
    assert keys_of(page) == keys[3:]
    assert (page["StartAfter"], page["ContinuationToken"]) == (keys[0], token)
    assert not page["IsTruncated"] and "NextContinuationToken" not in page
    for forged in (keys[2], token[:-1], ""):
        assert failure(s3.list_objects_v2, **asked, ContinuationToken=forged) == (
            400,
            "InvalidArgument",
        )


@interop(36, "next-marker-only-with-delimiter")
def test_next_marker(s3: Any, prefix: str) -> None:
    """Without one, the last key is the marker."""
    fill(s3, *[f"{prefix}{name}" for name in ("a/1", "a/2", "b/1", "c")])
    asked = {"Bucket": BUCKET, "Prefix": prefix, "MaxKeys": 1}
    page = s3.list_objects(**asked)
    assert page["IsTruncated"] and "NextMarker" not in page
    page = s3.list_objects(**asked, Delimiter="/")
    assert page["NextMarker"] == f"{prefix}a/"
    page = s3.list_objects(**asked, Delimiter="/", Marker=page["NextMarker"])
    assert prefixes_of(page) == [f"{prefix}b/"]


@interop(36, "pages-of-only-common-prefixes")
def test_only_prefixes(s3: Any, prefix: str) -> None:
    """A page has no key, and the next one is found from it."""
    fill(s3, *[f"{prefix}{n}/{m}" for n in range(5) for m in range(3)])
    pages = list(
        s3.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET,
            Prefix=prefix,
            Delimiter="/",
            PaginationConfig={"PageSize": 2},
        )
    )
    assert [page["KeyCount"] for page in pages] == [2, 2, 1]
    assert [keys_of(page) for page in pages] == [[], [], []]
    found = [each for page in pages for each in prefixes_of(page)]
    assert found == [f"{prefix}{n}/" for n in range(5)]


@interop(36, "an-empty-page-after-a-token")
def test_an_empty_page(s3: Any, prefix: str) -> None:
    """What was left has been deleted meanwhile: the end, not an error."""
    keys = [f"{prefix}{name}" for name in "ab"]
    fill(s3, *keys)
    page = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix, MaxKeys=1)
    s3.delete_object(Bucket=BUCKET, Key=keys[1])
    page = s3.list_objects_v2(
        Bucket=BUCKET, Prefix=prefix, ContinuationToken=page["NextContinuationToken"]
    )
    assert (page["KeyCount"], page["IsTruncated"]) == (0, False)


@interop(37, "max-keys")
def test_max_keys(s3: Any, daemon: Daemon, prefix: str) -> None:
    """0 is an empty page and no truncated one; over 1000 is 1000, as it is told."""
    fill(s3, f"{prefix}a", f"{prefix}b")
    for call, name in LISTINGS:
        page = getattr(s3, call)(Bucket=BUCKET, Prefix=prefix, MaxKeys=0)
        assert (keys_of(page, name), page["IsTruncated"]) == ([], False)
        page = getattr(s3, call)(Bucket=BUCKET, Prefix=prefix, MaxKeys=5000)
        assert len(keys_of(page, name)) == 2
        assert page["MaxKeys"] == 1000
    for wrong in ("-1", "x", "", "1.0"):
        answer = ask(daemon, "GET", f"/{BUCKET}?max-keys={wrong}")
        assert answer.status == 400
        assert b"<Code>InvalidArgument</Code>" in answer.body


@pytest.mark.parametrize(
    ("beneath", "delimiter", "keys", "prefixes"),
    [
        ("", "--", ["a-b", "b"], ["a--", "c--"]),
        ("", "é", ["a--1", "a--2", "a-b", "b", "c--"], []),
        ("a-", "-", ["a-b"], ["a--"]),
        ("a--", "--", ["a--1", "a--2"], []),
        ("c", "c", ["c--"], []),
        ("", "", ["a--1", "a--2", "a-b", "b", "c--"], []),
    ],
)
@interop(37, "delimiters")
def test_delimiters(
    s3: Any,
    prefix: str,
    beneath: str,
    delimiter: str,
    keys: list[str],
    prefixes: list[str],
) -> None:
    """Of several characters, the end of the prefix itself, and the empty one."""
    fill(s3, *[prefix + name for name in ("a--1", "a--2", "a-b", "b", "c--")])
    asked = {"Bucket": BUCKET, "Prefix": prefix + beneath, "Delimiter": delimiter}
    for call, name in LISTINGS:
        page = getattr(s3, call)(**asked)
        assert keys_of(page, name) == [prefix + each for each in keys]
        assert prefixes_of(page) == [prefix + each for each in prefixes]


@interop(37, "prefix-is-the-delimiter")
def test_prefix_is_the_delimiter(s3: Any) -> None:
    """It is not looked for within itself."""
    fill(s3, "~1", "~2~3")
    page = s3.list_objects_v2(Bucket=BUCKET, Prefix="~", Delimiter="~")
    assert (keys_of(page), prefixes_of(page)) == (["~1"], ["~2~"])
    for key in ("~1", "~2~3"):
        s3.delete_object(Bucket=BUCKET, Key=key)


@interop(38, "keys-that-would-collide-as-files")
def test_keys_that_collide(s3: Any, prefix: str) -> None:
    """``a``, ``a/`` and ``a/b`` are three objects, and so are empty segments."""
    keys = [
        prefix + name for name in ("a", "a/", "a/b", "a//b", "/", ".", "..", "a/..")
    ]
    for key in keys:
        fill(s3, key, body=key.encode())
    for key in keys:
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == key.encode()
    page = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    assert keys_of(page) == sorted(keys)
    s3.delete_object(Bucket=BUCKET, Key=f"{prefix}a/")
    page = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}a")
    assert keys_of(page) == [prefix + n for n in ("a", "a/..", "a//b", "a/b")]


@interop(38, "the-key-slash")
def test_the_key_slash(daemon: Daemon, s3: Any) -> None:
    """A key like others, whose URL is the bucket's with two slashes."""
    assert ask(daemon, "PUT", f"/{BUCKET}//", body=b"x").status == 200
    assert ask(daemon, "GET", f"/{BUCKET}//").body == b"x"
    assert keys_of(s3.list_objects_v2(Bucket=BUCKET, Prefix="/")) == ["/"]
    assert ask(daemon, "DELETE", f"/{BUCKET}//").status == 204


@interop(38, "1024-bytes-and-no-more")
def test_long_keys(s3: Any, prefix: str) -> None:
    """Counted in bytes of UTF-8."""
    for filler in ("k", "é", "/"):
        key = prefix + filler * ((1024 - len(prefix)) // len(filler.encode()))
        key += "k" * (1024 - len(key.encode()))
        fill(s3, key)
        assert keys_of(s3.list_objects_v2(Bucket=BUCKET, Prefix=key)) == [key]
        assert failure(s3.put_object, Bucket=BUCKET, Key=f"{key}k") == (
            400,
            "KeyTooLongError",
        )
        s3.delete_object(Bucket=BUCKET, Key=key)


@interop(39, "owner-region-and-times")
def test_owner_region_and_times(s3: Any, daemon: Daemon, prefix: str) -> None:
    """The owner where it is asked for; UTC with milliseconds; where the bucket is."""
    fill(s3, f"{prefix}k")
    asked = f"/{BUCKET}?list-type=2&prefix={quote(prefix)}"
    answer = ask(daemon, "GET", asked)
    assert b"<Owner>" not in answer.body
    assert answer.headers["x-amz-bucket-region"] == "us-east-1"
    assert re.search(
        rb"<LastModified>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z</LastModified>",
        answer.body,
    )
    answer = ask(daemon, "GET", f"{asked}&fetch-owner=true")
    assert re.search(rb"<Owner><ID>.+</ID>", answer.body)
    assert ask(daemon, "HEAD", f"/{BUCKET}").headers["x-amz-bucket-region"]
    modified = s3.head_object(Bucket=BUCKET, Key=f"{prefix}k")["LastModified"]
    (entry,) = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    assert entry["LastModified"].replace(microsecond=0) == modified


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("{b}/{p}a%2525", "a%25"),
        ("{b}/{p}a+b", "a+b"),
        ("/{b}/{p}a%20b", "a b"),
        ("%2F{b}%2F{p}a%2Fb", "a/b"),
        ("{b}/{p}k%3FversionId=x", "k?versionId=x"),
        ("{b}/{p}k?versionId=null", "k"),
    ],
)
@interop(40, "copy-source-decoded-once")
def test_copy_sources(
    s3: Any, daemon: Daemon, prefix: str, source: str, key: str
) -> None:
    """With a slash before it or not; the version is not the key's."""
    fill(s3, prefix + key, body=key.encode())
    target = f"/{BUCKET}/{prefix}copy"
    sent = {"x-amz-copy-source": source.format(b=BUCKET, p=prefix)}
    answer = ask(daemon, "PUT", target, sent)
    assert answer.status == 200, answer.body
    assert ask(daemon, "GET", target).body == key.encode()


@interop(40, "copy-source-of-no-such-version")
def test_copy_of_a_version(s3: Any, daemon: Daemon, prefix: str) -> None:
    """Objects have one."""
    fill(s3, f"{prefix}k")
    for version, code in (("x", b"NoSuchVersion"), ("", b"InvalidArgument")):
        sent = {"x-amz-copy-source": f"{BUCKET}/{prefix}k?versionId={version}"}
        answer = ask(daemon, "PUT", f"/{BUCKET}/{prefix}copy", sent)
        assert b"<Code>%b</Code>" % code in answer.body


@interop(40, "copy-to-itself-needs-replace")
def test_copy_to_itself(s3: Any, prefix: str) -> None:
    """Where nothing would change it is a mistake; with REPLACE metadata change."""
    key = f"{prefix}k"
    fill(s3, key, body=b"abc")
    asked = {"Bucket": BUCKET, "Key": key, "CopySource": {"Bucket": BUCKET, "Key": key}}
    assert failure(s3.copy_object, **asked) == (400, "InvalidRequest")
    s3.copy_object(**asked, MetadataDirective="REPLACE", Metadata={"a": "b"})
    found = s3.get_object(Bucket=BUCKET, Key=key)
    assert (found["Metadata"], found["Body"].read()) == ({"a": "b"}, b"abc")
