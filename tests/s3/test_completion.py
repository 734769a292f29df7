"""The list of CompleteMultipartUpload: exactly what was meant, or MalformedXML."""

from __future__ import annotations

import base64
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3proxy.errors import InvalidPartOrder, MalformedXML
from s3proxy.model import CompletedPart
from s3proxy.s3 import completion
from s3proxy.s3.checksums import ALGORITHMS
from tests import strategies

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
ONE = "<Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>"


def wrap(inner: str, attributes: str = "") -> bytes:
    """A document around parts."""
    tag = "CompleteMultipartUpload"
    return f"<{tag} {attributes}>{inner}</{tag}>".encode()


def written(part: CompletedPart, quotation: str = "") -> str:
    """A part as clients write it."""
    checksums = "".join(
        f"<Checksum{name.upper()}>{value}</Checksum{name.upper()}>"
        for name, value in part.checksums.items()
    )
    etag = f"{quotation}{escape(part.etag)}{quotation}"
    return (
        f"<Part>\n  <ETag>{etag}</ETag>{checksums}<Odd><ETag>x</ETag></Odd>"
        f"<PartNumber> {part.part_number} </PartNumber></Part>\n"
    )


CHECKSUMS = st.fixed_dictionaries(
    {},
    optional={
        name: st.binary(min_size=size, max_size=size).map(
            lambda raw: base64.b64encode(raw).decode()
        )
        for name, size in ALGORITHMS.items()
    },
)
PARTS = st.dictionaries(
    st.integers(1, 10000),
    st.tuples(st.from_regex(r"[0-9a-f&<>é]{1,32}", fullmatch=True), CHECKSUMS),
    min_size=1,
    max_size=6,
).map(
    lambda found: [
        CompletedPart(number, etag, checksums)
        for number, (etag, checksums) in sorted(found.items())
    ]
)


@given(
    PARTS, st.sampled_from(["", '"', "&quot;", "&#34;"]), st.sampled_from([XMLNS, ""])
)
def test_what_is_written_is_read(
    parts: list[CompletedPart], quotation: str, namespace: str
) -> None:
    """Quoted or not, in the namespace or not, with unknown elements between."""
    inner = "".join([written(part, quotation) for part in parts])
    assert completion.parse(wrap(inner, namespace)) == tuple(parts)


@pytest.mark.parametrize(
    "document",
    [
        b"<?xml version='1.0' encoding='UTF-8'?>\n" + wrap(ONE),
        wrap(ONE).decode().encode("utf-16"),
        b"\xef\xbb\xbf" + wrap(ONE),
        wrap(f"<!-- x --><?x y?>{ONE}<Unknown><Part/></Unknown>"),
        wrap(ONE.replace("<ETag>e", "<ETag><![CDATA[e]]>")),
        wrap(ONE, 'xmlns="urn:other"'),
    ],
)
def test_forms_of_the_same_list(document: bytes) -> None:
    """Whatever XML allows."""
    assert completion.parse(document) == (CompletedPart(1, "e"),)


MALFORMED = [
    b"",
    b" ",
    b"\0",
    b"not xml",
    b"<a/>",
    b"{}",
    wrap(""),
    wrap(ONE)[:-1],
    wrap(ONE) + b"<a/>",
    wrap(ONE) + wrap(ONE),
    b"<CompleteMultipartUploadResult>" + ONE.encode() + b"</a>",
    b"<Other>" + ONE.encode() + b"</Other>",
    b"<a>" + wrap(ONE) + b"</a>",
    b"<?xml version='1.0' encoding='x-unknown'?>" + wrap(ONE),
    b"<?xml version='1.0' encoding='utf-7'?>" + wrap(ONE),
    wrap("<Part/>"),
    wrap(f"<Parts>{ONE}</Parts>"),
    *(
        wrap(f"<Part><PartNumber>{text}</PartNumber><ETag>e</ETag></Part>")
        for text in (
            *("", "0", "-1", "+1", "1.0", "10001", "x", "1 2", "\u0661", "0x1"),
            *("1" * 5000, "<a>1</a>", "1<a/>"),
        )
    ),
    wrap("<Part><PartNumber>1</PartNumber></Part>"),
    wrap("<Part><ETag>e</ETag></Part>"),
    wrap('<Part><PartNumber>1</PartNumber><ETag>""</ETag></Part>'),
    wrap(ONE.replace("<ETag>e</ETag>", "<ETag>e</ETag><ETag>f</ETag>")),
    wrap(ONE.replace("<ETag>", "<PartNumber>1</PartNumber><ETag>")),
    wrap(ONE.replace("<ETag>", "<ChecksumCRC32>AAAA</ChecksumCRC32><ETag>")),
    wrap(ONE.replace("<ETag>", "<ChecksumSHA1></ChecksumSHA1><ETag>")),
    b"<!DOCTYPE a>" + wrap(ONE),
    b"<!DOCTYPE a [<!ENTITY e 'x'>]>" + wrap(ONE.replace(">e<", ">&e;<")),
    b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'>" + wrap(ONE),
    wrap(ONE.replace(">e<", ">&e;<")),
    wrap("<a>" * 99_999 + "</a>" * 99_999 + ONE),
    wrap(ONE + "<a>" * 16 + "</a>" * 16),
    wrap(ONE + "<a/>" * 100_000),
    wrap(ONE + " " * completion.MAX_BYTES),
]


@pytest.mark.parametrize("document", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed(document: bytes) -> None:
    """One answer for all, and nothing is fetched or expanded."""
    with pytest.raises(MalformedXML):
        completion.parse(document)


@given(strategies.payloads())
@settings(max_examples=50)
def test_any_bytes_are_refused(document: bytes) -> None:
    """Never another failure."""
    with pytest.raises(MalformedXML):
        completion.parse(document)


@pytest.mark.parametrize("numbers", [(1, 1), (2, 1), (1, 3, 2), (1, 2, 2)])
def test_out_of_order(numbers: tuple[int, ...]) -> None:
    """Its own error, as clients know it."""
    inner = "".join([ONE.replace(">1<", f">{number}<") for number in numbers])
    with pytest.raises(InvalidPartOrder):
        completion.parse(wrap(inner))


def test_as_many_as_there_can_be() -> None:
    """10,000 parts with every checksum fit; one more does not."""
    values = {
        name: base64.b64encode(bytes(size)).decode()
        for name, size in ALGORITHMS.items()
    }
    parts = [CompletedPart(n, "0" * 32, values) for n in range(1, 10001)]
    one = written(parts[0], "&quot;").replace("<Odd><ETag>x</ETag></Odd>", "")
    documents = [one.replace(" 1 ", str(n)) for n in range(1, 10001)]
    assert completion.parse(wrap("".join(documents))) == tuple(parts)
    with pytest.raises(MalformedXML):
        completion.parse(wrap("".join([*documents, documents[-1]])))
