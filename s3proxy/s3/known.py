"""
The table of what S3 knows and this server knows.

A subresource or header that S3 has and this server has not is 501 NotImplemented,
never the plain operation: ``DELETE /b/k?tagging`` must not delete the object. What S3
does not have either (``x-id``, a client's own parameters) is ignored, as S3 does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from s3proxy.errors import MethodNotAllowed, NotImplementedYet
from s3proxy.s3.parameters import OVERRIDES


class Level(Enum):
    """What a target names."""

    SERVICE = "service"
    BUCKET = "bucket"
    OBJECT = "object"


LISTING = frozenset(
    {"list-type", "prefix", "delimiter", "max-keys", "encoding-type", "fetch-owner"}
    | {"start-after", "continuation-token", "marker"}
)
# What is served, and the parameters that each understands. The listing's parameters
# are ignored elsewhere, as S3 does; a subresource is not.
SERVED: Mapping[tuple[str, Level], frozenset[str]] = {
    ("GET", Level.SERVICE): frozenset({"prefix"}),
    ("GET", Level.BUCKET): LISTING | {"location"},
    ("HEAD", Level.BUCKET): frozenset(),
    ("PUT", Level.BUCKET): frozenset(),
    ("GET", Level.OBJECT): frozenset(OVERRIDES),
    ("HEAD", Level.OBJECT): frozenset(OVERRIDES),
    ("PUT", Level.OBJECT): frozenset(),
    ("DELETE", Level.OBJECT): frozenset(),
}
# Whole operations that S3 has under these methods and that are not served.
UNSERVED: Mapping[tuple[str, Level], str] = {
    ("DELETE", Level.BUCKET): "DeleteBucket",
}
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
    "x-amz-tagging-directive",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
    # A body in a form that must be decoded before it is stored.
    "x-amz-decoded-content-length",
    "x-amz-trailer",
)
_REFUSED_EXACT = frozenset(name for name in _REFUSED_HEADERS if name[-1] != "-")
_REFUSED_PREFIXES = tuple(name for name in _REFUSED_HEADERS if name[-1] == "-")
# Accepted with the one value that means what is done anyway.
_ONLY_VALUES = {"x-amz-acl": "private", "x-amz-storage-class": "standard"}


def check_served(
    method: str, level: Level, parameters: Sequence[str]
) -> frozenset[str]:
    """
    Let through what :data:`SERVED` knows.

    :param parameters: The names in the query.
    :returns: The parameters that the operation understands.
    :raises NotImplementedYet: S3 has this operation or subresource.
    :raises MethodNotAllowed: S3 has not either.
    """
    served = SERVED.get((method, level))
    if method in METHODS:
        for name in parameters:
            if name in SUBRESOURCES and (served is None or name not in served):
                raise NotImplementedYet(
                    f"{method} with the subresource '{name}' is not implemented here."
                )
    if served is not None:
        return served
    operation = UNSERVED.get((method, level))
    if operation is not None:
        raise NotImplementedYet(f"{operation} is not implemented here.")
    raise MethodNotAllowed(fields={"Method": method, "ResourceType": level.name})


def check_headers(headers: Mapping[str, str]) -> None:
    """
    Let through headers that change nothing, or that the operations understand.

    :param headers: By lower-case name.
    :raises NotImplementedYet: One would change the meaning of the operation.
    """
    for name, value in headers.items():
        if name in _REFUSED_EXACT or name.startswith(_REFUSED_PREFIXES):
            raise NotImplementedYet(f"The header '{name}' is not implemented here.")
        only = _ONLY_VALUES.get(name)
        if only is not None and value.strip().lower() != only:
            raise NotImplementedYet(
                f"The header '{name}' is implemented for the value '{only}' only."
            )
