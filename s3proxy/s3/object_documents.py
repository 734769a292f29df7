"""The XML of versions, attributes, tags, grants and deletions, as UTF-8 bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from s3proxy.errors import S3Error
from s3proxy.model import ListPage, ObjectAttributes, ObjectInfo
from s3proxy.s3.attributes import GetObjectAttributes
from s3proxy.s3.checksums import type_of
from s3proxy.s3.dates import rfc3339
from s3proxy.s3.deletion import Deletion, Entry
from s3proxy.s3.markup import NAMESPACE, OWNER, document, element, escape, namer, person
from s3proxy.s3.parameters import NULL_VERSION
from s3proxy.s3.versions import ListObjectVersions

_XSI = "http://www.w3.org/2001/XMLSchema-instance"


def versions(
    operation: ListObjectVersions, page: ListPage, owner: str = OWNER
) -> bytes:
    """
    The answer to ListObjectVersions: each object as its only version.

    :param owner: Of the bucket, and so of what is in it.
    """
    shown = person(owner)
    name = namer(operation.encoding_type)
    more = page.next_after is not None
    ends_with_key = bool(page.contents) and page.contents[-1].key == page.next_after
    return _result(
        "ListVersionsResult",
        element("Name", operation.bucket),
        f"<Prefix>{name(operation.prefix)}</Prefix>",
        f"<KeyMarker>{name(operation.key_marker)}</KeyMarker>",
        element("VersionIdMarker", operation.version_id_marker),
        f"<NextKeyMarker>{name(page.next_after or '')}</NextKeyMarker>" if more else "",
        element("NextVersionIdMarker", NULL_VERSION) if ends_with_key else "",
        f"<MaxKeys>{operation.max_keys}</MaxKeys>",
        f"<Delimiter>{name(operation.delimiter)}</Delimiter>"
        if operation.delimiter
        else "",
        element("IsTruncated", "true" if more else "false"),
        element("EncodingType", operation.encoding_type)
        if operation.encoding_type
        else "",
        *[_version(info, name, shown) for info in page.contents],
        *[
            f"<CommonPrefixes><Prefix>{name(prefix)}</Prefix></CommonPrefixes>"
            for prefix in page.common_prefixes
        ],
    )


def attributes(operation: GetObjectAttributes, found: ObjectAttributes) -> bytes:
    """The answer to GetObjectAttributes; parts are told of multipart uploads only."""
    info, wanted = found.info, operation.wanted
    shown = []
    if "ETag" in wanted:
        shown.append(element("ETag", info.etag))
    if "Checksum" in wanted and info.checksums:
        kinds = [type_of(value) for value in info.checksums.values()]
        shown.append(
            f"<Checksum>{_checksums(info.checksums)}"
            f"{element('ChecksumType', kinds[0])}</Checksum>"
        )
    if "ObjectParts" in wanted and "-" in info.etag:
        shown.append(f"<ObjectParts>{_parts(operation, found)}</ObjectParts>")
    if "StorageClass" in wanted:
        shown.append(element("StorageClass", "STANDARD"))
    if "ObjectSize" in wanted:
        shown.append(element("ObjectSize", str(info.size_bytes)))
    return _result("GetObjectAttributesResponse", *shown)


def tagging(tags: Mapping[str, str]) -> bytes:
    """The answer to GetObjectTagging and GetBucketTagging, by key."""
    shown = "".join(
        f"<Tag>{element('Key', key)}{element('Value', tags[key])}</Tag>"
        for key in sorted(tags)
    )
    return _result("Tagging", f"<TagSet>{shown}</TagSet>")


def private_acl(owner: str = OWNER) -> bytes:
    """The answer to GetObjectAcl and GetBucketAcl; *owner* is the bucket's."""
    shown = person(owner)
    return _result(
        "AccessControlPolicy",
        f"<Owner>{shown}</Owner><AccessControlList><Grant>",
        f'<Grantee xmlns:xsi="{_XSI}" xsi:type="CanonicalUser">{shown}</Grantee>',
        "<Permission>FULL_CONTROL</Permission></Grant></AccessControlList>",
    )


def deleted(deletion: Deletion, failures: Sequence[S3Error | None]) -> bytes:
    """
    The answer to DeleteObjects.

    :param failures: Beside the entries; None for a key that is gone.
    """
    return _result(
        "DeleteResult", *_outcomes(deletion.entries, failures, deletion.quiet)
    )


def _outcomes(
    entries: Sequence[Entry], failures: Sequence[S3Error | None], quiet: bool
) -> Iterable[str]:
    for entry, failure in zip(entries, failures, strict=True):
        which = element("Key", entry.doomed.key)
        if entry.version_id is not None:
            which += element("VersionId", entry.version_id)
        if failure is not None:
            code, message = element("Code", failure.code), failure.message
            yield f"<Error>{which}{code}{element('Message', message)}</Error>"
        elif not quiet:
            yield f"<Deleted>{which}</Deleted>"


def _version(info: ObjectInfo, name: Callable[[str], str], owner: str) -> str:
    return (
        f"<Version><Key>{name(info.key)}</Key><VersionId>{NULL_VERSION}</VersionId>"
        f"<IsLatest>true</IsLatest>"
        f"<LastModified>{rfc3339(info.last_modified)}</LastModified>"
        f"<ETag>&quot;{escape(info.etag)}&quot;</ETag><Size>{info.size_bytes}</Size>"
        f"<Owner>{owner}</Owner><StorageClass>STANDARD</StorageClass></Version>"
    )


def _parts(operation: GetObjectAttributes, found: ObjectAttributes) -> str:
    last = found.parts[-1].part_number if found.parts else 0
    parts = "".join(
        f"<Part><PartNumber>{part.part_number}</PartNumber>"
        f"<Size>{part.size_bytes}</Size>{_checksums(part.checksums)}</Part>"
        for part in found.parts
    )
    more = "true" if found.next_marker is not None else "false"
    return (
        f"<PartsCount>{found.parts_count}</PartsCount>"
        f"<PartNumberMarker>{operation.part_number_marker}</PartNumberMarker>"
        f"<NextPartNumberMarker>{last}</NextPartNumberMarker>"
        f"<MaxParts>{operation.max_parts}</MaxParts>"
        f"<IsTruncated>{more}</IsTruncated>{parts}"
    )


def _checksums(checksums: Mapping[str, str]) -> str:
    return "".join(
        element(f"Checksum{name.upper()}", text) for name, text in checksums.items()
    )


def _result(tag: str, *inner: str) -> bytes:
    return document(f"<{tag}{NAMESPACE}>{''.join(inner)}</{tag}>")
