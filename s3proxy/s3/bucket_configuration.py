"""The body of CreateBucket: where the new bucket is to be."""

from __future__ import annotations

import re
from collections.abc import Collection
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]

from s3proxy.errors import (
    IllegalLocationConstraintException,
    InvalidLocationConstraint,
    MalformedXML,
)

#: Of the document.
MAX_BYTES = 64 * 1024

_ROOT = "CreateBucketConfiguration"
# The form of S3's own regions: one of these is somewhere else, another name nowhere.
_REGION = re.compile(r"EU|[a-z]{2,3}(-[a-z]+)+-[0-9]{1,2}")


def check(document: bytes, regions: Collection[str]) -> None:
    """
    Hold what is said of a new bucket to what there is: one region.

    Nothing need be said. Elements other than the region (tags …) would be broken
    promises, so they are refused.

    :param regions: Names of this one.
    :raises MalformedXML: It is no such document.
    :raises InvalidLocationConstraint: There is no such region; or
        IllegalLocationConstraintException, it is not this one.
    """
    if not document.strip():
        return
    if len(document) > MAX_BYTES:
        raise MalformedXML()
    try:
        root = fromstring(document, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as why:
        # The last two: encodings that are declared and unknown.
        raise MalformedXML() from why
    if _name(root.tag) != _ROOT:
        raise MalformedXML()
    found = list(root)
    if not found:
        return
    if len(found) > 1 or _name(found[0].tag) != "LocationConstraint" or len(found[0]):
        raise MalformedXML()
    region = (found[0].text or "").strip()
    if not region or region in regions:
        return
    if _REGION.fullmatch(region):
        raise IllegalLocationConstraintException(
            f"The {region} location constraint is incompatible for the region specific "
            "endpoint this request was sent to."
        )
    raise InvalidLocationConstraint(fields={"LocationConstraint": region})


def _name(tag: str) -> str:
    return tag.rpartition("}")[2]
