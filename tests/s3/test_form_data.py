"""The form reader: however the network cuts a form, fields and file are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.errors import (
    InvalidArgument,
    MalformedPOSTRequest,
    MaxPostPreDataLengthExceeded,
    S3Error,
)
from s3proxy.s3 import form_data
from s3proxy.s3.form_data import FormReader
from tests import strategies
from tests.s3.forms import BOUNDARY, CONTENT_TYPE, form

FIELDS = [("key", "a/${filename}"), ("Content-Type", "image/jpeg"), ("X", "é\r\n--x")]


def read(*pieces: bytes, content_type: str = CONTENT_TYPE) -> tuple[FormReader, bytes]:
    """Feed a form up to the end of its file, or of the pieces."""
    reader, file = FormReader(content_type), []
    for piece in pieces:
        if not reader.ended:
            file.append(reader.feed(piece))
    return reader, b"".join(file)


# With pieces of the boundary in it, whole and not.
TRICKY = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b"--", b"\r\n--", BOUNDARY[:-1].encode()])
    | st.binary(max_size=20),
    max_size=8,
).map(b"".join)


@given(TRICKY, strategies.cut_points(), st.booleans(), st.booleans())
def test_no_cut_changes_a_form(
    file: bytes, points: list[int], more: bool, line_first: bool
) -> None:
    after = [("submit", "Upload")] if more else []
    body = form(FIELDS, file, after=after)
    if line_first:
        body = b"\r\n" + body
    for pieces in (strategies.cut(body, points), [bytes([byte]) for byte in body]):
        reader, found = read(*pieces)
        assert found == file
        assert reader.ended
        assert reader.fields == {name.lower(): value for name, value in FIELDS}
        assert reader.filename == "cat.jpg"
        assert reader.file_at is not None
        assert body[reader.file_at :].startswith(file + b"\r\n--")
        if not more:
            assert reader.size_of(len(body)) == len(file)


@given(TRICKY, st.integers(0, 400))
def test_a_form_that_is_cut_has_no_end(file: bytes, kept: int) -> None:
    body = form(FIELDS[:1], file)[:-4]
    reader, _ = read(body[: min(kept, len(body))])
    assert not reader.ended
    with pytest.raises(MalformedPOSTRequest, match="Unexpected end"):
        reader.end()


def test_a_form_without_a_file() -> None:
    reader, _ = read(form(FIELDS, None))
    with pytest.raises(InvalidArgument, match="exactly one file") as why:
        reader.end()
    assert why.value.fields["ArgumentName"] == "file"


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("cat.jpg", "cat.jpg"),
        ("", ""),
        ("C:\\photos\\cat.jpg", "cat.jpg"),
        ("/home/me/cat.jpg", "cat.jpg"),
        ("日本 %22x%22.jpg", '日本 "x".jpg'),
        ("../../etc/passwd", "passwd"),
    ],
)
def test_file_names(sent: str, name: str) -> None:
    assert read(form([], filename=sent))[0].filename == name


def test_a_part_that_tells_its_size() -> None:
    body = form([], b"12345", after=[("submit", "x")]).replace(
        b"Content-Type: image", b"Content-Length: 5\r\nContent-Type: image"
    )
    reader, file = read(body)
    assert (file, reader.size_of(len(body))) == (b"12345", 5)
    wrong = body.replace(b"Content-Length: 5", b"Content-Length: 6")
    with pytest.raises(MalformedPOSTRequest, match="size does not match"):
        read(wrong)
    huge = body.replace(b"Content-Length: 5", b"Content-Length: 9999")
    reader = FormReader(CONTENT_TYPE)
    reader.feed(huge[: huge.index(b"12345")])
    assert reader.size_of(len(huge)) is None


def one_field(head: str, value: bytes = b"v") -> bytes:
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + value + b"\r\n"


KEY = 'Content-Disposition: form-data; name="key"'


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"key=value&file=x" * 10, MalformedPOSTRequest),
        (b"x" * 100_000, MaxPostPreDataLengthExceeded),
        (one_field("X: y") + form([]), MalformedPOSTRequest),
        (one_field("Content-Disposition: form-data") + form([]), MalformedPOSTRequest),
        (one_field("Content-Disposition: attachment; name=x"), MalformedPOSTRequest),
        (one_field(KEY, b"\xff") + form([]), MalformedPOSTRequest),
        (
            one_field(f"{KEY}\r\nContent-Transfer-Encoding: base64"),
            MalformedPOSTRequest,
        ),
        (f"--{BOUNDARY}x\r\n{KEY}\r\n\r\n".encode(), MalformedPOSTRequest),
        (form([("Key", "a"), ("key", "b")]), InvalidArgument),
        (
            form([("key", "k" * form_data.MAX_FIELD_BYTES)]),
            MaxPostPreDataLengthExceeded,
        ),
        (form([("k" * 5000, "")]), MalformedPOSTRequest),
        (form([(f"k{n}", "") for n in range(101)]), MalformedPOSTRequest),
        (
            one_field(f"{KEY}\r\nX: {'y' * 4000}") * 20 + form([]),
            InvalidArgument,  # The key again.
        ),
        (
            b"".join(
                one_field(f'{KEY[:-1]}{n}"\r\nX: {"y" * 4000}') for n in range(20)
            ),
            MaxPostPreDataLengthExceeded,
        ),
    ],
)
def test_what_is_refused(body: bytes, error: type[S3Error]) -> None:
    with pytest.raises(error):
        read(body)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "b" * 2000,
    ],
)
def test_boundaries_that_are_none(content_type: str) -> None:
    with pytest.raises(MalformedPOSTRequest):
        FormReader(content_type)


def test_a_boundary_in_quotes() -> None:
    kind = f'Multipart/Form-Data; charset=utf-8; boundary="{BOUNDARY}"'
    assert form_data.is_form(kind)
    assert not form_data.is_form("application/x-www-form-urlencoded")
    assert read(form(FIELDS, b"f"), content_type=kind)[1] == b"f"
