"""The body of CreateBucket: where the new bucket is to be."""

from __future__ import annotations

import re
from collections.abc import Collection

from s3proxy.errors import (
    IllegalLocationConstraintException,
    InvalidLocationConstraint,
)
from s3proxy.s3 import safe_xml

#: Of the document.
MAX_BYTES = 64 * 1024

_ROOT = "CreateBucketConfiguration"
_MAX_ELEMENTS = 2
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
    root = safe_xml.parse(
        document, _ROOT, max_bytes=MAX_BYTES, max_elements=_MAX_ELEMENTS
    )
    root.only("LocationConstraint")
    region = (root.value("LocationConstraint") or "").strip()
    if not region or region in regions:
        return
    if _REGION.fullmatch(region):
        raise IllegalLocationConstraintException(
            f"The {region} location constraint is incompatible for the region specific "
            "endpoint this request was sent to."
        )
    raise InvalidLocationConstraint(fields={"LocationConstraint": region})
