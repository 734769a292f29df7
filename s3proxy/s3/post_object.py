"""PostObject: the fields of a browser's form, read as a PutObject and an answer."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from attrs import evolve, frozen

from s3proxy.errors import InvalidArgument, KeyTooLongError
from s3proxy.s3 import known, object_operations, parameters, tagging
from s3proxy.s3.form_signatures import missing
from s3proxy.s3.markup import document, element
from s3proxy.s3.object_operations import PutObject
from s3proxy.s3.request import Request
from s3proxy.s3.target import MAX_KEY_BYTES

_FILENAME = "${filename}"
_STATUSES = ("200", "201")
_DEFAULT_STATUS = 204
# Fields that are headers of a PUT, beside those that begin with x-amz-.
_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "expires",
)
# Of the form, not of the object.
_OF_THE_FORM = frozenset(
    {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"}
    | {"x-amz-security-token"}
)


@frozen
class PostObject:
    """
    ``POST /{bucket}``

    :ivar put: What is stored; its content_length is 0 until the file's size is known.
    :ivar redirect: Where the browser is sent afterwards; None: it gets *status*.
    """

    put: PutObject
    status: int
    redirect: str | None

    def redirect_to(self, etag: str) -> str:
        """
        The URL to which the browser is sent; only where there is one.

        :param etag: In quotes.
        """
        assert self.redirect is not None
        told = urlencode({"bucket": self.put.bucket, "key": self.put.key, "etag": etag})
        parts = urlsplit(self.redirect)
        query = f"{parts.query}&{told}" if parts.query else told
        return parts._replace(query=query).geturl()


def name_file(fields: Mapping[str, str], filename: str) -> dict[str, str]:
    """
    The fields with the file's name in the key where ``${filename}`` stands for it.

    That is what a policy is held against, too.

    :raises InvalidArgument: The form has no key.
    """
    if "key" not in fields:
        raise missing("key")
    return {**fields, "key": fields["key"].replace(_FILENAME, filename)}


def read(bucket: str, fields: Mapping[str, str]) -> PostObject:
    """
    Read a form's fields.

    :param fields: By lower-case name, as :func:`name_file` returns them.
    :raises InvalidArgument: The key, or a value, cannot be one; or KeyTooLongError,
        MetadataTooLarge, InvalidDigest, InvalidRequest, and what a bad ``tagging``
        document raises.
    :raises NotImplementedYet: A field asks for what is not served here.
    """
    key = fields["key"]
    size = len(key.encode())
    if not key or "\0" in key:
        raise InvalidArgument(
            "The form's key must have a length greater than 0, and no NUL character.",
            fields={"ArgumentName": "key"},
        )
    if size > MAX_KEY_BYTES:
        raise KeyTooLongError(
            fields={"Size": str(size), "MaxSizeAllowed": str(MAX_KEY_BYTES)}
        )
    headers = _headers(fields)
    known.check_headers(headers)
    put = object_operations.put_object(Request(bucket, key, {}, headers))
    if "tagging" in fields:
        tags = tagging.parse(fields["tagging"].encode(), tagging.MAX_OBJECT_TAGS)
        put = evolve(put, tags=tags)
    status = fields.get("success_action_status", "")
    return PostObject(
        put,
        int(status) if status in _STATUSES else _DEFAULT_STATUS,
        _redirect(fields.get("success_action_redirect", fields.get("redirect", ""))),
    )


def response(post: PostObject, location: str, etag: str) -> bytes:
    """
    The document that ``success_action_status`` 201 asks for.

    :param location: The object's, as a reference below the server.
    :param etag: In quotes.
    """
    return document(
        "<PostResponse>"
        + element("Location", location)
        + element("Bucket", post.put.bucket)
        + element("Key", post.put.key)
        + element("ETag", etag)
        + "</PostResponse>"
    )


def _headers(fields: Mapping[str, str]) -> dict[str, str]:
    """The headers that a PUT of the same object would have."""
    sent = [
        # Header values are latin-1 decoded everywhere, whatever their bytes.
        (name, value.encode().decode("latin-1"))
        for name, value in fields.items()
        if name in _HEADERS or (name.startswith("x-amz-") and name not in _OF_THE_FORM)
    ]
    if "acl" in fields:
        sent.append(("x-amz-acl", fields["acl"].encode().decode("latin-1")))
    return {"content-length": "0", **parameters.fold(sent)}


def _redirect(url: str) -> str | None:
    """A URL that a browser can be sent to; S3 ignores what is none."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None
