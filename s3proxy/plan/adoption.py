"""What ``sync`` may take in of a backend's bucket, and what becomes of each object."""

from __future__ import annotations

from enum import Enum

from s3proxy.model import FoundObject

#: Where the software that this one follows kept the parts of open uploads.
TEMPORARIES = "__multipart/"

#: Bytes of UTF-8 that a key has at the most.
KEY_BYTES = 1024


class Adopted(Enum):
    """What adopting one object did, or would do (``ledger_adoption``)."""

    IMPORTED = "imported"
    COPIED = "copied"
    KNOWN = "known"
    DIFFERS = "differs"
    SEVERAL = "several"
    DOUBLED = "doubled"
    AGAIN = "again"
    NO_BUCKET = "no_bucket"


#: Of those that are conflicts: what is the matter.
CONFLICTS = {
    Adopted.DIFFERS: "the bucket has another object of this key, with another size or "
    "ETag; delete one of the two",
    Adopted.SEVERAL: "the bucket has an object of this key that is stored in parts; "
    "delete one of the two",
    Adopted.DOUBLED: "the bucket has this object, and on this backend already, under "
    "another key; this one is not needed",
    Adopted.AGAIN: "the key is being written just now; run sync again",
    Adopted.NO_BUCKET: "the bucket has been deleted by whoever made it",
}


def unfit_key(key: str) -> str | None:
    """Why an object of this backend key cannot be taken in; None where it can."""
    size = len(key.encode("utf-8", "surrogatepass"))
    if size > KEY_BYTES:
        return f"its key has {size} bytes, and {KEY_BYTES} is the most"
    if "\0" in key:
        return "its key holds a NUL"
    return None


def unfit(found: FoundObject) -> str | None:
    """Why an object cannot be taken in as it is; None where it can."""
    if not found.etag:
        return "the backend tells no ETag, so a change could not be seen"
    if found.last_modified is None:
        return "the backend tells no Last-Modified"
    if found.is_archived:
        return "it is archived and cannot be read: restore it, then run sync again"
    texts = (found.content_type or "", *found.headers.values())
    if any("\0" in text for text in (*texts, *found.user_metadata.values())):
        return "a header of it holds a NUL"
    return None
