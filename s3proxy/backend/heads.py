"""What the headers of an answer tell of the object that is stored."""

from __future__ import annotations

from twisted.web.http_headers import Headers

from s3proxy.backend.answers import Answer, md5_in, mismatch, version_of
from s3proxy.backend.documents import bare_etag
from s3proxy.backend.response import HIDDEN_ENCODING
from s3proxy.model import FoundObject
from s3proxy.s3.checksums import ALGORITHMS
from s3proxy.s3.dates import parse_http_date

_META = "x-amz-meta-"
_KEPT = (
    "cache-control",
    "content-disposition",
    "content-language",
    "expires",
)
#: Classes of which S3 says InvalidObjectState to a GET until somebody restores it.
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})


def read_head(backend: str, key: str, answer: Answer) -> FoundObject:
    """
    The object that a HEAD's 200 tells of.

    :raises BackendMismatch: It says no length.
    """
    length = answer.header("content-length") or ""
    if not length.isdecimal():
        raise mismatch(backend, f"Content-Length {length!r} of a HEAD")
    told = _told(answer.headers)
    etag = bare_etag(answer.header("etag"))
    modified = told.get("last-modified")
    headers = {name: told[name] for name in _KEPT if name in told}
    # Under its own name treq leaves what it has made of it.
    encoding = told.get(HIDDEN_ENCODING.decode())
    if encoding is not None:
        headers["content-encoding"] = encoding
    checksums = {
        name: told[f"x-amz-checksum-{name}"]
        for name in ALGORITHMS
        if f"x-amz-checksum-{name}" in told
    }
    return FoundObject(
        key=key,
        size_bytes=int(length),
        etag=etag,
        md5=md5_in(answer, etag),
        last_modified=None if modified is None else parse_http_date(modified),
        content_type=told.get("content-type"),
        headers=headers,
        user_metadata={
            name.removeprefix(_META): value
            for name, value in told.items()
            if name.startswith(_META)
        },
        checksums=checksums,
        version_id=version_of(answer),
        is_archived=told.get("x-amz-storage-class") in _ARCHIVES
        and 'ongoing-request="false"' not in told.get("x-amz-restore", ""),
    )


def _told(headers: Headers) -> dict[str, str]:
    """By lower-case name, latin-1 decoded; one that comes twice is joined."""
    return {
        name.decode("latin-1").lower(): b",".join(values).decode("latin-1")
        for name, values in headers.getAllRawHeaders()
    }
