"""XML from strangers: nothing but the one expected shape gets through."""

from __future__ import annotations

import contextlib
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.backend.documents import (
    bare_etag,
    parse_error,
    parse_page,
    parse_versioning,
)

BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    b"<Error><Code>&b;</Code></Error>"
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<Error><Code>A</Code><Message>b</Message></Error>", ("A", "b")),
        (b"<Error xmlns='urn:x'><Code>A</Code></Error>", ("A", "")),
        (b"<?xml version='1.0'?>\n<Error/>", ("", "")),
        (b"<Other><Code>A</Code></Other>", None),
        (b"<Error><Code>A</Code>", None),
        (b"", None),
        (b"\xff\xfe\x00", None),
        (b"<?xml version='1.0' encoding='nonsense'?><Error/>", None),
        (BOMB, None),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><Error/>', ("", "")),
    ],
)
def test_errors(body: bytes, expected: tuple[str, str] | None) -> None:
    """Code and message, whatever the namespace; None for what is no error document."""
    assert parse_error(body) == expected


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    """No answer makes anything but the one failure that callers know."""
    parse_error(body)
    for parse in (parse_page, parse_versioning):
        with contextlib.suppress(ValueError):
            parse(body)


@given(
    st.text(
        st.characters(
            codec="utf-8",
            exclude_categories=["Cc", "Cs"],
            exclude_characters="\ufffe\uffff",
        ),
        min_size=1,
    )
)
def test_plain_keys(key: str) -> None:
    """Where a backend passes over encoding-type, its keys are taken as they are."""
    body = (
        f"<ListBucketResult><Contents><Key>{escape(key)}</Key><Size>1</Size>"
        "</Contents></ListBucketResult>"
    )
    (entry,) = parse_page(body.encode()).keys
    assert (entry.key, entry.size_bytes, entry.etag) == (key, 1, None)


@pytest.mark.parametrize(
    ("header", "expected"),
    [('"a"', "a"), ('W/"a"', "a"), ("a", "a"), ('""', None), ("", None), (None, None)],
)
def test_etags(header: str | None, expected: str | None) -> None:
    """Quotes and the mark of weakness are not part of an ETag."""
    assert bare_etag(header) == expected
