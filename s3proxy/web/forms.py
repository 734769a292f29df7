"""
Uploads by browsers' forms: read as far as the file, let in or refused, and then stored
by the same steps as any PUT.

The size must be known before a byte is sent to a backend. A small file is kept until it
is whole. A larger one is taken to be the form's last field, as it is with browsers and
libraries that follow S3's rules; where that proves wrong nothing is stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from attrs import define, evolve

from s3proxy.errors import (
    AccessDenied,
    InvalidArgument,
    InvalidRequest,
    MalformedPOSTRequest,
    NotImplementedYet,
    PreconditionFailed,
)
from s3proxy.manager.ports import Body
from s3proxy.s3 import hosts, known, parameters, post_object, post_policy
from s3proxy.s3.canonical import UNSIGNED_PAYLOAD, uri_encode
from s3proxy.s3.form_data import FormReader, is_form
from s3proxy.s3.object_operations import PutObject
from s3proxy.s3.operation import locate
from s3proxy.s3.post_object import PostObject
from s3proxy.web.answer import Answer
from s3proxy.web.auth import Authenticator, Identity
from s3proxy.web.body import CHUNK_BYTES

#: A file is kept where at most so much of the form is still to come.
KEPT_BYTES = 8 * 1024 * 1024

#: Of all forms of this process; beyond it smaller files stream, too.
KEPT_TOTAL_BYTES = 32 * 1024 * 1024

CarryOut = Callable[[PutObject, Body, Identity], Awaitable[Answer]]
SentHeaders = Sequence[tuple[str, str]]

_NO_LIMITS = post_policy.Policy(datetime.max, ())


@define(eq=False)
class Forms:
    """
    :ivar now: Wall clock, aware.
    :ivar domains: Below which a Host header names a bucket.
    """

    _authenticator: Authenticator
    _now: Callable[[], datetime]
    _domains: Sequence[str]
    _kept_bytes: int = 0

    def is_form(self, method: bytes, raw_target: bytes, headers: SentHeaders) -> bool:
        """
        Whether a request is PostObject, so that its fields say who sent it.

        :raises PreconditionFailed: It is, but has no form (412).
        """
        if method != b"POST":
            return False
        where = locate(raw_target, headers, self._domains)
        names = known.SUBRESOURCES.intersection(name for name, _ in where.query)
        if not where.bucket or where.key or names:
            return False
        kinds = [value for name, value in headers if name == "content-type"]
        if len(kinds) != 1 or not is_form(kinds[0]):
            raise PreconditionFailed(
                fields={
                    "Condition": "Bucket POST must be of the enclosure-type "
                    "multipart/form-data"
                }
            )
        return True

    async def post(
        self,
        raw_target: bytes,
        headers: SentHeaders,
        body: Body,
        carry_out: CarryOut,
    ) -> Answer:
        """
        Read the fields, authenticate, and have the file stored.

        :param carry_out: Checks what *identity* may do, and stores.
        :raises AccessDenied: Nothing lets it in, or its policy does not allow it.
        :raises MalformedPOSTRequest: The body is no form; or InvalidArgument,
            InvalidPolicyDocument, EntityTooLarge, EntityTooSmall and what a PUT raises.
        """
        sent = parameters.fold(headers)
        _check_headers(sent)
        where = locate(raw_target, headers, self._domains)
        length = parameters.content_length(sent)
        reader = FormReader(sent["content-type"])
        first = await _read_fields(reader, body)
        fields = reader.fields
        identity = self._authenticator.authenticate_form(fields, headers)
        fields = post_object.name_file(fields, reader.filename)
        if fields.setdefault("bucket", where.bucket) != where.bucket:
            raise AccessDenied(
                "The form's field 'bucket' is not the bucket that the request names."
            )
        policy = _NO_LIMITS
        if identity.signed:
            policy = post_policy.parse(fields["policy"])
            policy.check(fields, self._now())
        post = post_object.read(where.bucket, fields)
        file = _File(body, reader, first, policy)
        answer = await self._store(post, file, length, identity, carry_out)
        by_host = hosts.bucket_of(sent.get("host", ""), self._domains)
        path = f"/{post.put.key}" if by_host else f"/{where.bucket}/{post.put.key}"
        return _answer(post, answer, uri_encode(path, slash=False))

    async def _store(
        self,
        post: PostObject,
        file: _File,
        length: int,
        identity: Identity,
        carry_out: CarryOut,
    ) -> Answer:
        assert file.reader.file_at is not None
        rest = length - file.reader.file_at
        if rest > KEPT_BYTES or self._kept_bytes + rest > KEPT_TOTAL_BYTES:
            size = file.reader.size_of(length)
            if size is not None:
                file.policy.check_size(size)
                op = evolve(post.put, content_length=size)
                return await carry_out(op, _StreamedFile(file, size), identity)
        self._kept_bytes += rest
        try:
            kept = await file.whole()
            file.policy.check_size(len(kept))
            op = evolve(post.put, content_length=len(kept))
            return await carry_out(op, _KeptFile(kept), identity)
        finally:
            self._kept_bytes -= rest


@define(eq=False)
class _File:
    """
    The file of a form as it comes.

    :ivar first: What of it came with the fields.
    """

    body: Body
    reader: FormReader
    first: bytes
    policy: post_policy.Policy

    async def read(self) -> bytes:
        """
        The next bytes; ``b""`` at the file's end.

        :raises MalformedPOSTRequest: The body ends before the file does.
        """
        data, self.first = self.first, b""
        while not data and not self.reader.ended:
            piece = await self.body.read()
            if not piece:
                self.reader.end()
            data = self.reader.feed(piece)
        return data

    async def whole(self) -> bytearray:
        """All of it; EntityTooLarge as soon as it is."""
        # One run of bytes: pieces may be tiny, and then weigh more than they hold.
        kept = bytearray()
        while data := await self.read():
            kept += data
            self.policy.check_size(len(kept), so_far=True)
        return kept


@define(eq=False)
class _StreamedFile:
    """Matches :class:`s3proxy.manager.ports.Body`; its size was assumed."""

    trailer_checksums: ClassVar[Mapping[str, str]] = {}

    _file: _File
    _size: int
    _came: int = 0

    async def read(self) -> bytes:
        """
        See :class:`s3proxy.manager.ports.Body`.

        :raises MalformedPOSTRequest: The file has another size.
        """
        data = await self._file.read()
        self._came += len(data)
        if self._came > self._size or (not data and self._came < self._size):
            raise MalformedPOSTRequest(
                "The file of a large form must be its last field, and the form must "
                "end with its boundary, '--' and one line end: nothing was stored."
            )
        return data


@define(eq=False)
class _KeptFile:
    """Matches :class:`s3proxy.manager.ports.Body`."""

    trailer_checksums: ClassVar[Mapping[str, str]] = {}

    _kept: bytearray
    _read_bytes: int = 0

    async def read(self) -> bytes:
        """See :class:`s3proxy.manager.ports.Body`."""
        start = self._read_bytes
        self._read_bytes += CHUNK_BYTES
        return bytes(self._kept[start : self._read_bytes])


async def _read_fields(reader: FormReader, body: Body) -> bytes:
    """Read up to the file; returns what of it came along."""
    first = b""
    while reader.file_at is None:
        data = await body.read()
        if not data:
            reader.end()
        first = reader.feed(data)
    return first


def _check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that would mean something if this were a PUT."""
    if headers.get("authorization", "").startswith("AWS"):
        raise InvalidArgument(
            "Only one auth mechanism allowed: a form is signed in its fields, not in "
            "the Authorization header."
        )
    for name in ("if-match", "if-none-match"):
        if name in headers:
            raise NotImplementedYet(f"A form with '{name}' is not implemented here.")
    told = headers.get("x-amz-content-sha256", UNSIGNED_PAYLOAD)
    if "content-md5" in headers or told != UNSIGNED_PAYLOAD:
        raise InvalidRequest(
            "A form's digests are those of its file, and are fields: Content-MD5 or "
            "x-amz-checksum-*."
        )
    known.check_headers(headers)


def _answer(post: PostObject, stored: Answer, location: str) -> Answer:
    """What the browser gets, from what a PUT would have got."""
    etag = dict(stored.headers)["ETag"]
    if post.redirect is not None:
        to = ("Location", post.redirect_to(etag))
        return Answer(303, (*stored.headers, to), length=0)
    headers = (*stored.headers, ("Location", location))
    if post.status == 201:
        body = post_object.response(post, location, etag)
        return Answer.document(body, status=201, headers=headers)
    return Answer(post.status, headers, length=0 if post.status == 200 else None)
