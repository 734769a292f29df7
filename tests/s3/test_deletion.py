"""DeleteObject's conditions, and the list of DeleteObjects."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3proxy import errors
from s3proxy.errors import MalformedXML, S3Error
from s3proxy.model import Doomed
from s3proxy.s3 import deletion, framing
from s3proxy.s3 import operation as op
from s3proxy.s3.deletion import Deletion, Entry
from s3proxy.s3.framing import Framing
from s3proxy.s3.markup import escape
from s3proxy.s3.sent_document import SentDocument
from tests.strategies import xml_texts

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
MD5 = b64encode(hashlib.md5(b"x").digest()).decode()
TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def wrap(*inner: str) -> bytes:
    """A document around elements."""
    return f"<Delete {NAMESPACE}>{''.join(inner)}</Delete>".encode()


def entry(key: str, more: str = "") -> str:
    """A line."""
    return f"<Object><Key>{escape(key)}</Key>{more}</Object>"


def ask(method: str, target: str, **headers: str) -> Any:
    """Parse a request with these headers (``_`` for ``-``)."""
    sent = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return op.parse(method.encode(), target.encode(), sent)


KEYS = xml_texts(1).filter(lambda key: len(key.encode()) <= 1024)


@settings(max_examples=200)
@given(st.lists(KEYS, min_size=1, max_size=20), st.booleans())
def test_any_keys(keys: list[str], quiet: bool) -> None:
    """In their order, as often as they are there, blanks and all."""
    document = wrap(f"<Quiet>{str(quiet).lower()}</Quiet>", *map(entry, keys))
    assert deletion.parse(document) == Deletion(
        tuple(Entry(Doomed(key)) for key in keys), quiet
    )


def test_1000_keys_are_taken_and_1001_are_not() -> None:
    """However long they are; one more takes all of them away [security 83]."""
    keys = [f"{number:04}" + "&" * 300 for number in range(1000)]
    parsed = deletion.parse(wrap(*map(entry, keys)))
    assert [each.doomed.key for each in parsed.entries] == keys
    with pytest.raises(MalformedXML):
        deletion.parse(wrap(*map(entry, [*keys, "one more"])))


def test_an_entry_with_everything() -> None:
    """The null version is the object; the ETag may be quoted."""
    more = "<VersionId>null</VersionId><ETag>&quot;ab&quot;</ETag>"
    (found,) = deletion.parse(wrap(entry("k", more))).entries
    assert found == Entry(Doomed("k", "ab"), "null")
    (found,) = deletion.parse(wrap(entry("k", "<ETag>*</ETag>"))).entries
    assert found == Entry(Doomed("k", "*"))
    (found,) = deletion.parse(wrap(entry("k", "<VersionId/>"))).entries
    assert found == Entry(Doomed("k"))


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (entry("k" * 1025), errors.KeyTooLongError),
        (entry("é" * 513), errors.KeyTooLongError),
        (entry("k", "<VersionId>3</VersionId>"), errors.NoSuchVersion),
        (entry("k", "<Size>3</Size>"), errors.NotImplementedYet),
        (
            entry("k", "<LastModifiedTime>2026</LastModifiedTime>"),
            errors.NotImplementedYet,
        ),
    ],
)
def test_what_is_wrong_with_one_key(line: str, error: type[S3Error]) -> None:
    """Is said of that key; it is not deleted, and the others are."""
    first, second = deletion.parse(wrap(line, entry("other"))).entries
    assert type(first.refused) is error
    assert second == Entry(Doomed("other"))


@pytest.mark.parametrize(
    "document",
    [
        wrap(),
        wrap("<Quiet>true</Quiet>"),
        wrap("<Quiet>maybe</Quiet>", entry("k")),
        wrap("<Quiet>true</Quiet><Quiet>true</Quiet>", entry("k")),
        wrap("<Object/>"),
        wrap("<Object><Key/></Object>"),
        wrap("<Object><Key>a</Key><Key>b</Key></Object>"),
        wrap("<Object><Key>a<b/></Key></Object>"),
        wrap(entry("k", "<ETag/>")),
        wrap(entry("k", "<ETag>a, b</ETag>")),
        # A condition that nobody here knows of must not be passed over.
        wrap(entry("k", "<IfColour>blue</IfColour>")),
        wrap(entry("k"), "<Loud>true</Loud>"),
    ],
)
def test_no_such_document(document: bytes) -> None:
    """Nothing is deleted of a list that is not understood."""
    with pytest.raises(MalformedXML):
        deletion.parse(document)


@pytest.mark.parametrize(
    ("headers", "document"),
    [
        ({"content_md5": MD5}, SentDocument(hashlib.md5(b"x").hexdigest())),
        (
            {"x_amz_checksum_crc32": "AAAAAA=="},
            SentDocument(None, {"crc32": "AAAAAA=="}),
        ),
        (
            {
                "x_amz_checksum_sha1": "2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
                "x_amz_sdk_checksum_algorithm": "SHA1",
                "x_amz_bypass_governance_retention": "true",
            },
            SentDocument(None, {"sha1": "2jmj7l5rSw0yVb/vlWAYkK/YBwk="}),
        ),
        (
            {
                "x_amz_content_sha256": TRAILER,
                "x_amz_trailer": "x-amz-checksum-crc32c",
                "x_amz_decoded_content_length": "12",
                "content_length": "90",
                "content_encoding": "aws-chunked",
            },
            SentDocument(None, {}, Framing(framing.FORMS[TRAILER], "crc32c"), 12),
        ),
    ],
)
def test_a_digest(headers: dict[str, str], document: SentDocument) -> None:
    """Any of S3's, as a header or announced for the trailer [interop 21]."""
    assert ask("POST", "/b?delete", **headers) == op.DeleteObjects("b", document)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, errors.InvalidRequest),
        # A proxy may have changed the body before it was signed.
        ({"x_amz_content_sha256": "0" * 64}, errors.InvalidRequest),
        ({"x_amz_sdk_checksum_algorithm": "CRC32"}, errors.InvalidRequest),
        ({"content_md5": ""}, errors.InvalidDigest),
        ({"content_md5": "YWJj"}, errors.InvalidDigest),
        (
            {
                "x_amz_content_sha256": TRAILER,
                "x_amz_decoded_content_length": "12",
                "content_length": "90",
            },
            errors.InvalidRequest,
        ),
    ],
)
def test_no_digest(headers: dict[str, str], error: type[S3Error]) -> None:
    """Is refused before the body is read [security 83, interop 21]."""
    with pytest.raises(S3Error) as raised:
        ask("POST", "/b?delete", **headers)
    assert type(raised.value) is error


def test_conditions() -> None:
    """If-Match is a list, as everywhere."""
    assert ask("DELETE", "/b/k", if_match='"a", b') == op.DeleteObject(
        "b", "k", ("a", "b")
    )
    assert ask("DELETE", "/b/k", if_match="*").if_match == ("*",)
    bypass = ask("DELETE", "/b/k", x_amz_bypass_governance_retention="true")
    assert bypass == op.DeleteObject("b", "k")
