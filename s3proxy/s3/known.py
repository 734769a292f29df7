"""
The table of what S3 knows and this server knows.

A subresource or header that S3 has and this server has not is 501 NotImplemented,
never the plain operation: ``DELETE /b/k?tagging`` must not delete the object. What S3
does not have either (``x-id``, a client's own parameters) is ignored, as S3 does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from s3proxy.errors import InvalidArgument, MethodNotAllowed, NotImplementedYet
from s3proxy.s3 import framing, settings
from s3proxy.s3.parameters import OVERRIDES, bad_argument


class Level(Enum):
    """What a target names."""

    SERVICE = "service"
    BUCKET = "bucket"
    OBJECT = "object"


# The subresources of a request: together they say which operation it is.
PLAIN: frozenset[str] = frozenset()
CORS = frozenset({"cors"})
LOCATION = frozenset({"location"})
UPLOADS = frozenset({"uploads"})
UPLOAD = frozenset({"uploadId"})
PART = frozenset({"partNumber"})
PART_OF_UPLOAD = UPLOAD | PART
ACL = frozenset({"acl"})
ATTRIBUTES = frozenset({"attributes"})
DELETE = frozenset({"delete"})
TAGGING = frozenset({"tagging"})
VERSIONS = frozenset({"versions"})
#: A subresource, and no operation of its own: beside some it names an object's version.
VERSION = frozenset({"versionId"})

LISTING = frozenset(
    {"list-type", "prefix", "delimiter", "max-keys", "encoding-type", "fetch-owner"}
    | {"start-after", "continuation-token", "marker"}
)
_LISTING_BUCKETS = frozenset(
    {"prefix", "max-buckets", "continuation-token", "bucket-region"}
)
_LISTING_UPLOADS = frozenset(
    {"prefix", "delimiter", "max-uploads", "encoding-type"}
    | {"key-marker", "upload-id-marker"}
)
_LISTING_VERSIONS = frozenset(
    {"prefix", "delimiter", "max-keys", "encoding-type"}
    | {"key-marker", "version-id-marker"}
)
_LISTING_PARTS = frozenset({"max-parts", "part-number-marker", "encoding-type"})
_READING = frozenset(OVERRIDES) | VERSION
_NONE: frozenset[str] = frozenset()
# What is served: for each set of subresources that is an operation, the parameters that
# it understands. Others' parameters are ignored, as S3 does; a subresource is not.
SERVED: Mapping[tuple[str, Level], Mapping[frozenset[str], frozenset[str]]] = {
    ("GET", Level.SERVICE): {PLAIN: _LISTING_BUCKETS},
    ("GET", Level.BUCKET): {
        PLAIN: LISTING,
        CORS: _NONE,
        LOCATION: _NONE,
        UPLOADS: _LISTING_UPLOADS,
        VERSIONS: _LISTING_VERSIONS,
        ACL: _NONE,
        TAGGING: _NONE,
        **{frozenset({name}): _NONE for name in settings.READABLE},
    },
    ("HEAD", Level.BUCKET): {PLAIN: _NONE},
    ("PUT", Level.BUCKET): {PLAIN: _NONE, ACL: _NONE, CORS: _NONE, TAGGING: _NONE},
    ("POST", Level.BUCKET): {DELETE: _NONE},
    ("DELETE", Level.BUCKET): {
        PLAIN: _NONE,
        CORS: _NONE,
        TAGGING: _NONE,
        **{frozenset({name}): _NONE for name in settings.REMOVABLE},
    },
    ("GET", Level.OBJECT): {
        PLAIN: _READING,
        PART: _READING,
        UPLOAD: _LISTING_PARTS,
        ACL: VERSION,
        ATTRIBUTES: VERSION,
        TAGGING: VERSION,
    },
    ("HEAD", Level.OBJECT): {PLAIN: _READING, PART: _READING},
    ("PUT", Level.OBJECT): {
        PLAIN: _NONE,
        PART_OF_UPLOAD: _NONE,
        ACL: VERSION,
        TAGGING: VERSION,
    },
    ("POST", Level.OBJECT): {UPLOADS: _NONE, UPLOAD: _NONE},
    ("DELETE", Level.OBJECT): {PLAIN: VERSION, UPLOAD: _NONE, TAGGING: VERSION},
}
#: A browser's form: read by ``web.forms``, since its fields say who sent it and what.
FORM = ("POST", Level.BUCKET, PLAIN)
METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})

_SUBRESOURCES = """
    abac accelerate acl analytics annotation attributes cors delete encryption
    intelligent-tiering inventory legal-hold lifecycle location logging
    metadataAnnotationTable metadataConfiguration metadataInventoryTable
    metadataJournalTable metadataTable metrics notification object-lock
    ownershipControls partNumber policy policyStatus publicAccessBlock renameObject
    replication requestPayment restore retention select select-type session tagging
    torrent uploadId uploads versionId versioning versions website
"""
SUBRESOURCES = frozenset(_SUBRESOURCES.split())

# Headers that change what an operation means. A name that ends in "-" is a prefix.
_REFUSED_HEADERS = (
    "x-amz-bypass-governance-retention",
    "x-amz-copy-source",
    "x-amz-copy-source-",
    "x-amz-expected-bucket-owner",
    "x-amz-grant-",
    "x-amz-if-match-",
    "x-amz-metadata-directive",
    "x-amz-mfa",
    "x-amz-object-lock-",
    "x-amz-rename-source",
    "x-amz-rename-source-",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-",
    "x-amz-source-expected-bucket-owner",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
    # Those of a body in a form that must be decoded before it is stored.
    *sorted(framing.HEADERS),
)
_REFUSED_EXACT = frozenset(name for name in _REFUSED_HEADERS if name[-1] != "-")
_REFUSED_PREFIXES = tuple(name for name in _REFUSED_HEADERS if name[-1] == "-")
# Accepted with the one value that means what is done anyway.
_ONLY_VALUES = {
    "x-amz-bucket-object-lock-enabled": "false",
    "x-amz-storage-class": "standard",
    "x-amz-tagging-directive": "copy",
}
# Programs send one with every upload: accepted, and nobody is let in by it.
_CANNED_ACLS = frozenset(
    {"private", "public-read", "public-read-write", "authenticated-read"}
    | {"aws-exec-read", "bucket-owner-read", "bucket-owner-full-control"}
    | {"log-delivery-write"}
)
_SOURCE_HEADERS = frozenset(
    {"x-amz-copy-source"}
    | {"x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match"}
    | {"x-amz-copy-source-if-modified-since", "x-amz-copy-source-if-unmodified-since"}
)
# Of those refused elsewhere, what copies take.
COPY_HEADERS = _SOURCE_HEADERS | {
    "x-amz-metadata-directive",
    "x-amz-tagging",
    "x-amz-tagging-directive",
}
COPY_PART_HEADERS = _SOURCE_HEADERS | {"x-amz-copy-source-range"}
#: What makes an object may give it tags.
TAGGING_HEADERS = frozenset({"x-amz-tagging"})
#: An upload's metadata are its own whatever a directive says: s3fs-fuse sends one
#: before it copies parts.
UPLOAD_HEADERS = TAGGING_HEADERS | {"x-amz-metadata-directive"}
#: Nothing is locked, so there is nothing to bypass.
DELETE_HEADERS = frozenset({"x-amz-bypass-governance-retention"})


def check_served(
    method: str, level: Level, parameters: Sequence[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """
    Let through what :data:`SERVED` knows.

    :param parameters: The names in the query.
    :returns: The subresources, and the parameters that their operation understands.
    :raises NotImplementedYet: S3 has this operation or subresource.
    :raises InvalidArgument: Subresources that are no operation together.
    :raises MethodNotAllowed: S3 has not either.
    """
    forms = SERVED.get((method, level), {})
    form = SUBRESOURCES.intersection(parameters)
    if form in forms:
        return form, forms[form]
    versionless = form - VERSION
    if forms.get(versionless, _NONE) >= VERSION:
        return versionless, forms[versionless]
    if method not in METHODS:
        raise _not_allowed(method, level)
    for name in sorted(form.difference(*forms)):
        raise NotImplementedYet(
            f"{method} with the subresource '{name}' is not implemented here."
        )
    if form:
        names = "', '".join(sorted(form))
        raise InvalidArgument(f"There is no {method} with just '{names}'.")
    raise _not_allowed(method, level)


def check_headers(headers: Mapping[str, str], taken: frozenset[str] = _NONE) -> None:
    """
    Let through headers that change nothing, or that the operation understands.

    :param headers: By lower-case name.
    :param taken: Names that would be refused, but for this operation.
    :raises NotImplementedYet: One would change the meaning of the operation.
    :raises InvalidArgument: ``x-amz-acl`` is none of S3's.
    """
    if headers.get("x-amz-acl", "private").strip() not in _CANNED_ACLS:
        raise bad_argument("x-amz-acl", "There is no such canned access control list.")
    for name, value in headers.items():
        if name in taken:
            continue
        if name in _REFUSED_EXACT or name.startswith(_REFUSED_PREFIXES):
            raise NotImplementedYet(f"The header '{name}' is not implemented here.")
        only = _ONLY_VALUES.get(name)
        if only is not None and value.strip().lower() != only:
            raise NotImplementedYet(
                f"The header '{name}' is implemented for the value '{only}' only."
            )


def _not_allowed(method: str, level: Level) -> MethodNotAllowed:
    return MethodNotAllowed(fields={"Method": method, "ResourceType": level.name})
