"""The XML of multipart uploads and of copies, as UTF-8 bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from s3proxy.model import (
    Completed,
    ObjectInfo,
    PartInfo,
    PartPage,
    UploadInfo,
    UploadPage,
)
from s3proxy.s3.canonical import uri_encode
from s3proxy.s3.checksums import type_of
from s3proxy.s3.dates import rfc3339
from s3proxy.s3.markup import NAMESPACE, OWNER, document, element, escape, namer, person
from s3proxy.s3.uploads import (
    CompleteMultipartUpload,
    CreateMultipartUpload,
    ListMultipartUploads,
    ListParts,
)


def created(operation: CreateMultipartUpload, upload_id: str) -> bytes:
    """The answer to CreateMultipartUpload."""
    return _result(
        "InitiateMultipartUploadResult",
        element("Bucket", operation.bucket),
        element("Key", operation.key),
        element("UploadId", upload_id),
    )


def completed(operation: CompleteMultipartUpload, result: Completed) -> bytes:
    """
    The answer to CompleteMultipartUpload.

    Its Location is a path: under which scheme and name clients reach the server is not
    known behind a proxy.
    """
    where = f"/{operation.bucket}/{operation.key}"
    return _result(
        "CompleteMultipartUploadResult",
        element("Location", uri_encode(where, slash=False)),
        element("Bucket", operation.bucket),
        element("Key", operation.key),
        _etag(result.etag),
        _checksums(result.checksums),
        _checksum_type(result.checksums),
    )


def copied(info: ObjectInfo) -> bytes:
    """The answer to CopyObject."""
    return _result(
        "CopyObjectResult",
        _copy(info.last_modified, info.etag, info.checksums),
        _checksum_type(info.checksums),
    )


def part_copied(part: PartInfo) -> bytes:
    """The answer to UploadPartCopy."""
    return _result(
        "CopyPartResult", _copy(part.last_modified, part.etag, part.checksums)
    )


def list_parts(operation: ListParts, page: PartPage, owner: str = OWNER) -> bytes:
    """The answer to ListParts; *owner* is the bucket's."""
    following = "" if page.next_marker is None else str(page.next_marker)
    return _result(
        "ListPartsResult",
        element("Bucket", operation.bucket),
        f"<Key>{namer(operation.encoding_type)(operation.key)}</Key>",
        element("UploadId", operation.upload_id),
        _people(owner),
        f"<PartNumberMarker>{operation.part_number_marker}</PartNumberMarker>",
        _optional("NextPartNumberMarker", following),
        f"<MaxParts>{operation.max_parts}</MaxParts>",
        _truncated(page.next_marker is not None),
        _optional("EncodingType", operation.encoding_type),
        _announced(page.upload),
        *[_part(part) for part in page.parts],
    )


def list_uploads(
    operation: ListMultipartUploads, page: UploadPage, owner: str = OWNER
) -> bytes:
    """The answer to ListMultipartUploads; *owner* is the bucket's."""
    people = _people(owner)
    name = namer(operation.encoding_type)
    more = page.next_key_marker is not None
    following = f"<NextKeyMarker>{name(page.next_key_marker or '')}</NextKeyMarker>"
    return _result(
        "ListMultipartUploadsResult",
        element("Bucket", operation.bucket),
        f"<KeyMarker>{name(operation.key_marker)}</KeyMarker>",
        element("UploadIdMarker", operation.upload_id_marker),
        following if more else "",
        # Where the page ends with a common prefix there is no upload to name.
        element("NextUploadIdMarker", page.next_upload_id_marker or "") if more else "",
        f"<Prefix>{name(operation.prefix)}</Prefix>",
        f"<Delimiter>{name(operation.delimiter)}</Delimiter>"
        if operation.delimiter
        else "",
        f"<MaxUploads>{operation.max_uploads}</MaxUploads>",
        _truncated(more),
        _optional("EncodingType", operation.encoding_type),
        *[_upload(upload, name(upload.key), people) for upload in page.uploads],
        *[
            f"<CommonPrefixes><Prefix>{name(prefix)}</Prefix></CommonPrefixes>"
            for prefix in page.common_prefixes
        ],
    )


def _people(owner: str) -> str:
    """Who began an upload is not kept: whoever writes into a bucket does it for it."""
    shown = person(owner)
    return (
        f"<Initiator>{shown}</Initiator><Owner>{shown}</Owner>"
        "<StorageClass>STANDARD</StorageClass>"
    )


def _result(tag: str, *inner: str) -> bytes:
    return document(f"<{tag}{NAMESPACE}>{''.join(inner)}</{tag}>")


def _copy(when: datetime, etag: str, checksums: Mapping[str, str]) -> str:
    return (
        f"<LastModified>{rfc3339(when)}</LastModified>{_etag(etag)}"
        f"{_checksums(checksums)}"
    )


def _part(part: PartInfo) -> str:
    return (
        f"<Part><PartNumber>{part.part_number}</PartNumber>"
        f"<LastModified>{rfc3339(part.last_modified)}</LastModified>"
        f"{_etag(part.etag)}<Size>{part.size_bytes}</Size>"
        f"{_checksums(part.checksums)}</Part>"
    )


def _upload(upload: UploadInfo, key: str, people: str) -> str:
    return (
        f"<Upload><Key>{key}</Key>{element('UploadId', upload.upload_id)}{people}"
        f"<Initiated>{rfc3339(upload.initiated)}</Initiated>{_announced(upload)}"
        "</Upload>"
    )


def _announced(upload: UploadInfo) -> str:
    return _optional("ChecksumAlgorithm", upload.checksum_algorithm) + _optional(
        "ChecksumType", upload.checksum_type
    )


def _etag(etag: str) -> str:
    return f"<ETag>&quot;{escape(etag)}&quot;</ETag>"


def _checksums(checksums: Mapping[str, str]) -> str:
    return "".join(
        [element(f"Checksum{name.upper()}", text) for name, text in checksums.items()]
    )


def _checksum_type(checksums: Mapping[str, str]) -> str:
    kinds = [type_of(value) for value in checksums.values()]
    return element("ChecksumType", kinds[0]) if kinds else ""


def _truncated(more: bool) -> str:
    return element("IsTruncated", "true" if more else "false")


def _optional(tag: str, text: str | None) -> str:
    return element(tag, text) if text else ""
