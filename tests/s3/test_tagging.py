"""Tags: every way in which they come, and S3's rules for them."""

from __future__ import annotations

from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy import errors
from s3proxy.errors import InvalidTag, S3Error
from s3proxy.s3 import object_documents, tagging
from s3proxy.s3.markup import escape


def document(*tags: tuple[str, str]) -> bytes:
    """A Tagging document."""
    inner = "".join(
        f"<Tag><Key>{escape(key)}</Key><Value>{escape(value)}</Value></Tag>"
        for key, value in tags
    )
    return f"<Tagging><TagSet>{inner}</TagSet></Tagging>".encode()


def header(*tags: tuple[str, str]) -> dict[str, str]:
    """An x-amz-tagging header."""
    text = "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in tags)
    return {tagging.HEADER: text}


PLAIN = st.text(
    st.characters(categories=["L", "N", "Z"]) | st.sampled_from("+-=._:/@"),
    max_size=20,
)
TAGS = st.dictionaries(
    PLAIN.filter(lambda key: key and not key.startswith("aws:")), PLAIN, max_size=10
)


@given(TAGS)
def test_any_tags(tags: dict[str, str]) -> None:
    """Come through a document, through a header, and back."""
    sent = list(tags.items())
    assert tagging.parse(document(*sent), 10) == tags
    assert tagging.parse_header(header(*sent)) == tags
    assert tagging.parse(object_documents.tagging(tags), 10) == tags


def test_answers_are_in_order() -> None:
    """The ledger keeps none, so the order of the keys is one that stays."""
    shown = object_documents.tagging({"b": "1", "a": "2", "aa": "3"}).decode()
    assert [part[0:2] for part in shown.split("<Key>")[1:]] == ["a<", "aa", "b<"]


@pytest.mark.parametrize(
    ("sent", "tags"),
    [
        ("", {}),
        ("foo=bar&bar", {"foo": "bar", "bar": ""}),
        ("a=b=c&&", {"a": "b=c"}),
        ("a+b=c%20d", {"a b": "c d"}),
        ("%C3%A9=%2B", {"é": "+"}),
    ],
)
def test_headers(sent: str, tags: dict[str, str]) -> None:
    """As the query of a URL."""
    assert tagging.parse_header({tagging.HEADER: sent}) == tags


LONGEST = ("k" * 128, "v" * 256)
WRONG = [
    (("", "v"),),
    (("k" * 129, "v"),),
    (("k", "v" * 257),),
    (("aws:k", "v"),),
    (("k\n", "v"),),
    (("k", "<"),),
    (("k", "🪣"),),
    tuple((f"k{number}", "v") for number in range(11)),
]


@pytest.mark.parametrize("tags", WRONG, ids=range(len(WRONG)))
def test_rules(tags: tuple[tuple[str, str], ...]) -> None:
    """The longest of each pass, and one more does not, whichever way they come."""
    with pytest.raises(InvalidTag):
        tagging.parse(document(*tags), tagging.MAX_OBJECT_TAGS)
    with pytest.raises(InvalidTag):
        tagging.parse_header(header(*tags))


def test_the_longest() -> None:
    """Characters are counted, not bytes."""
    for tag in (LONGEST, ("é" * 128, "日" * 256)):
        assert tagging.parse(document(tag), 10) == dict([tag])
        assert tagging.parse_header(header(tag)) == dict([tag])
    fifty = [(f"k{number}", "v" * 256) for number in range(50)]
    assert len(tagging.parse(document(*fifty), tagging.MAX_BUCKET_TAGS)) == 50
    with pytest.raises(InvalidTag):
        tagging.parse(document(*fifty, ("one", "more")), tagging.MAX_BUCKET_TAGS)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ("a=b&a=c", errors.InvalidArgument),
        ("a=%zz", errors.InvalidArgument),
        ("a=%FF", errors.InvalidArgument),
        ("a=%00", errors.InvalidArgument),
    ],
)
def test_bad_headers(sent: str, error: type[S3Error]) -> None:
    """What cannot be decoded, and a key that is there twice."""
    with pytest.raises(error):
        tagging.parse_header({tagging.HEADER: sent})


@pytest.mark.parametrize(
    "sent",
    [
        b"<Tagging/>",
        b"<Tagging><TagSet/><TagSet/></Tagging>",
        b"<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet><Tag><Value>v</Value></Tag></TagSet></Tagging>",
        b"<Tagging><TagSet><Odd/></TagSet></Tagging>",
        b"<Tagging><TagSet/><Odd/></Tagging>",
        b"<TagSet/>",
    ],
)
def test_no_such_document(sent: bytes) -> None:
    """Nothing is guessed."""
    with pytest.raises(errors.MalformedXML):
        tagging.parse(sent, 10)


def test_a_key_twice() -> None:
    """S3's own words for it."""
    with pytest.raises(InvalidTag, match="same key"):
        tagging.parse(document(("k", "1"), ("k", "1")), 10)
