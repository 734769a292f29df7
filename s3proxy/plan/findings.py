"""What a probe can find out about a backend, and what it means for s3proxy."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import frozen


class Level(Enum):
    """How a finding bears on s3proxy."""

    FIT = "ok"
    NOTE = "note"
    BAD = "BAD"


@frozen
class Finding:
    """
    :ivar topic: What was looked at, a key of :data:`MEANINGS`.
    :ivar value: What was found, one of that topic's.
    :ivar detail: What was seen, for a person; may be empty.
    """

    topic: str
    value: str
    detail: str = ""

    @property
    def level(self) -> Level:
        """Whether s3proxy minds."""
        return MEANINGS[self.topic][self.value][0]

    @property
    def meaning(self) -> str:
        """What it means for s3proxy."""
        return MEANINGS[self.topic][self.value][1]


_FIT, _NOTE, _BAD = Level.FIT, Level.NOTE, Level.BAD

#: By topic, in the order in which they are told, and value.
MEANINGS: Mapping[str, Mapping[str, tuple[Level, str]]] = {
    "addressing": {
        "both": (_FIT, "force_path_style may be true or false"),
        "as configured": (_FIT, "force_path_style has to stay as it is"),
    },
    "clock": {
        "right": (_FIT, "signatures are valid"),
        "off": (_NOTE, "signatures are valid yet; past 15 minutes every call fails"),
        "untold": (_NOTE, "its answers have no Date that could be compared"),
    },
    "unsigned payload": {
        "yes": (_FIT, "bodies stream; their hashes are known only at their end"),
        "no": (_BAD, "no large body can be written: s3proxy streams them unsigned"),
    },
    "empty body": {
        "yes": (_FIT, "empty objects are stored"),
        "no": (_BAD, "empty objects cannot be stored"),
    },
    "ETag": {
        "MD5": (_FIT, "every write is verified by the answer to it"),
        "other": (_NOTE, "writes are not verified by their ETag"),
        "none": (_NOTE, "writes are not verified by their ETag, and reads not either"),
        "wrong MD5": (_BAD, "looks like an MD5 and is not: every write would fail"),
    },
    "Content-MD5": {
        "verified": (_FIT, "small bodies are verified before they are stored"),
        "ignored": (_NOTE, "a wrong body is noticed by the ETag only"),
        "refused": (_BAD, "small bodies cannot be written: s3proxy sends it with them"),
    },
    "checksum headers": {
        "verified": (_FIT, "not used for writes; sync takes checksums in"),
        "ignored": (_FIT, "not used for writes; sync takes none in"),
        "refused": (_FIT, "not used for writes; sync asks again without them"),
    },
    "conditional PUT": {
        "yes": (_FIT, "not used: a key is written once, ever"),
        "ignored": (_FIT, "not used: a key is written once, ever"),
        "refused": (_FIT, "not used: a key is written once, ever"),
    },
    "ranges": {
        "yes": (_FIT, "ranges are read, and reads go on where they broke off"),
        "no": (_BAD, "ranges cannot be read"),
    },
    "metadata": {
        "kept": (_FIT, "sync --rebuild can make a lost ledger of what is stored"),
        "lost": (_NOTE, "sync --rebuild cannot: back the database up"),
        "less than 2 KiB": (
            _NOTE,
            "objects with much user metadata, 2 KiB with s3proxy's own, are refused",
        ),
        "refused": (_BAD, "nothing can be written: s3proxy sends metadata with all"),
    },
    "metadata names": {
        "kept": (_FIT, "found again, whatever case they were sent in"),
        "lost": (_NOTE, "see metadata"),
    },
    "keys": {
        "all": (_FIT, "sync can take in what is called so"),
        "usual": (
            _FIT,
            "s3proxy stores the odd ones under other names; sync may not find some",
        ),
        "few": (_BAD, "objects with such keys cannot be stored, or are mixed up"),
    },
    "copy": {
        "yes": (_FIT, "copies within the backend move no bytes through s3proxy"),
        "no": (_NOTE, "copies go through s3proxy"),
    },
    "deleting what is not there": {
        "succeeds": (_FIT, "what is deleted twice is deleted"),
        "NoSuchKey": (_FIT, "taken for a success"),
        "fails": (_BAD, "deletes could not be confirmed, and would go on for ever"),
    },
    "listing": {
        "complete": (_FIT, "sync and check see everything"),
        "incomplete": (_BAD, "sync and check would miss keys"),
    },
    "listing order": {
        "by bytes": (_FIT, "as S3 has it"),
        "other": (_FIT, "nothing relies on it"),
    },
    "versioning": {
        "off": (_FIT, "what is deleted is gone"),
        "on": (
            _NOTE,
            "deleted by version; where a write's answer was lost, its bytes stay: turn "
            "versioning off, or let old versions expire",
        ),
    },
    "cleaning up": {
        "done": (_FIT, "nothing is left of the probe"),
        "left": (_BAD, "keys of the probe are there yet: delete them"),
    },
}
