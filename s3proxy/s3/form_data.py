"""
A browser's form as it arrives: fields first, then the bytes of one file.

The parser underneath neither reads nor keeps anything. Up to the file it is fed line by
line, so that it is known at which byte of the body the file begins: the length of the
file follows from that, and nobody has to keep it to know its size.
"""

from __future__ import annotations

from typing import NoReturn

import multipart

from s3proxy.errors import (
    InvalidArgument,
    MalformedPOSTRequest,
    MaxPostPreDataLengthExceeded,
)

#: Names and values of all fields together, as S3 has it.
MAX_FIELD_BYTES = 20 * 1024
MAX_FIELDS = 100

# Of everything before the file, with the lines around fields.
_MAX_HEAD_BYTES = 64 * 1024
_FILE = "file"


def is_form(content_type: str) -> bool:
    """Whether a Content-Type is that of a browser's form with a file."""
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


class FormReader:
    """
    :ivar fields: Those before the file: names in lower case, since policies and S3
        compare them so, and values.
    :ivar file_at: Offset of the file's first byte in the body; None until it is known.
    :ivar filename: As the browser calls it, without a path.
    :ivar declared_size: What the file's part says of its size in bytes, if it does.
    :ivar ended: The whole file has come. What follows it is not looked at.
    """

    def __init__(self, content_type: str) -> None:
        """
        :param content_type: The request's.
        :raises MalformedPOSTRequest: It names no boundary.
        """
        _, options = multipart.parse_options_header(content_type)
        boundary = options.get("boundary", "")
        self.fields: dict[str, str] = {}
        self.file_at: int | None = None
        self.filename = ""
        self.declared_size: int | None = None
        self.ended = False
        self._fed_bytes = 0
        self._field_bytes = 0
        self._name: str | None = None
        self._value: list[bytes] = []
        # As browsers and libraries write it: a line's end, and two dashes around it.
        self._ending_bytes = len(f"\r\n--{boundary}--\r\n".encode())
        try:
            self._parser = multipart.PushMultipartParser(
                boundary, max_segment_count=MAX_FIELDS + 1, strict=True
            )
        except multipart.MultipartError as why:
            raise _malformed(why) from why

    def feed(self, data: bytes) -> bytes:
        """
        Take the next bytes of the body; give back those that are the file's.

        Not to be called again once :attr:`ended`.

        :raises MalformedPOSTRequest: This is no form; or
            MaxPostPreDataLengthExceeded, InvalidArgument for a field sent twice.
        """
        try:
            if self.file_at is None:
                data = self._feed_fields(data)
            return self._feed_file(data) if data else b""
        except multipart.MultipartError as why:
            raise _malformed(why) from why

    def end(self) -> NoReturn:
        """
        The body is over, and there was no file, or not the whole of it.

        :raises MalformedPOSTRequest: It was cut.
        :raises InvalidArgument: It has no file.
        """
        try:
            self._parser.close()
        except multipart.MultipartError as why:
            raise _malformed(why) from why
        raise InvalidArgument(
            "POST requires exactly one file upload per request.",
            fields={"ArgumentName": _FILE, "ArgumentValue": "0"},
        )

    def size_of(self, content_length: int) -> int | None:
        """
        The size of the file in bytes, by its part's own word, or else if it is the
        form's last part and the form ends as usual. None where it cannot be so.

        :param content_length: Of the whole body.
        """
        assert self.file_at is not None
        rest = content_length - self.file_at
        size = self.declared_size
        if size is None:
            size = rest - self._ending_bytes
        return size if 0 <= size < rest else None

    def _feed_fields(self, data: bytes) -> bytes:
        """Take whole lines until the file begins; returns what is left."""
        start = 0
        while start < len(data) and self.file_at is None:
            end = data.find(b"\n", start) + 1 or len(data)
            line, start = data[start:end], end
            self._fed_bytes += len(line)
            if self._fed_bytes > _MAX_HEAD_BYTES:
                raise MaxPostPreDataLengthExceeded()
            for event in self._parser.parse(line):
                self._take(event)
        return data[start:]

    def _take(self, event: multipart.MultipartSegment | bytes | None) -> None:
        if isinstance(event, multipart.MultipartSegment):
            self._begin(event)
        elif event is None:
            self._end_field()
        else:
            self._count(len(event))
            self._value.append(bytes(event))

    def _begin(self, segment: multipart.MultipartSegment) -> None:
        """A part's own headers have come."""
        encoding = segment.header("Content-Transfer-Encoding", "binary")
        if encoding.strip().lower() not in ("binary", "8bit", "7bit"):
            raise MalformedPOSTRequest(
                "The body of your POST request has a Content-Transfer-Encoding, which "
                "forms do not have."
            )
        name = (segment.name or "").lower()
        if name == _FILE:
            self.file_at = self._fed_bytes
            self.filename = _last_segment(segment.filename or "")
            declared = segment.header("Content-Length")
            self.declared_size = None if declared is None else int(declared)
            return
        if name in self.fields:
            raise InvalidArgument(
                f"The form has the field '{name}' more than once.",
                fields={"ArgumentName": name},
            )
        self._count(len(name.encode()))
        self._name, self._value = name, []

    def _end_field(self) -> None:
        assert self._name is not None
        try:
            self.fields[self._name] = b"".join(self._value).decode()
        except UnicodeDecodeError:
            raise MalformedPOSTRequest(
                f"The form's field '{self._name}' is not UTF-8."
            ) from None

    def _count(self, size_bytes: int) -> None:
        self._field_bytes += size_bytes
        if self._field_bytes > MAX_FIELD_BYTES:
            raise MaxPostPreDataLengthExceeded()

    def _feed_file(self, data: bytes) -> bytes:
        pieces = []
        for event in self._parser.parse(data):
            if event is None:
                self.ended = True
                # What comes after the file is not looked at, as at S3.
                break
            pieces.append(bytes(event))
        return b"".join(pieces)


def _last_segment(path: str) -> str:
    """Some clients send the whole path."""
    return path.rpartition("/")[2].rpartition("\\")[2]


def _malformed(why: multipart.MultipartError) -> MalformedPOSTRequest:
    return MalformedPOSTRequest(
        f"The body of your POST request is not well-formed multipart/form-data: {why}."
    )
