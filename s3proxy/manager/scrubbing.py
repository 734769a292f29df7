"""
Scrubbing: copies are read back, and a bad one is replaced (protocol, rules 48 and 49).

What is wrong is read twice before it is believed. A bad copy is marked, so that reads
avoid it; it goes once another copy of the part has been read from end to end and is
good, and never before: the last one stays, marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from hashlib import md5
from typing import Protocol

from attrs import define, frozen
from twisted.logger import Logger

from s3proxy.errors import (
    BackendError,
    BackendMismatch,
    BackendMissing,
    BackendRefused,
    S3Error,
)
from s3proxy.manager.ports import Backend
from s3proxy.model import Copy
from s3proxy.plan.replicas import PartToCopy
from s3proxy.plan.scrubbing import ScrubCopy


class Outcome(Enum):
    """What came of one copy."""

    GOOD = "good"
    GONE = "gone"  # it was deleted or moved meanwhile
    UNREAD = "unread"  # the backend does not answer
    BAD = "bad"  # marked, and not replaced yet
    REPLACED = "replaced"


class ScrubLedger(Protocol):
    """``store.scrubbing.PostgresScrubbing``; StoreUnavailable is any method's."""

    async def quarantine(self, copy_id: str, word: str | None) -> bool:
        """A live copy is bad, for this reason; None: it is not. Whether that is new."""
        ...

    async def lose(self, copy_id: str, verified: str | None) -> str:
        """See ``manager.sweeping``; *verified* is a copy that must be live still."""
        ...

    async def learn(self, part_id: str, md5: str) -> None:
        """The MD5 of a part of which nobody knew it."""
        ...

    async def find(self, part_id: str) -> PartToCopy | None:
        """A part of an object, with its live copies; None where it is gone."""
        ...


class Replicas(Protocol):
    """``manager.replicating.Replicas``."""

    async def add(self, part_id: str, factor: int) -> int | None:
        """Make one more copy, where there are fewer than *factor*."""
        ...


@frozen
class _Read:
    """What reading a copy gave: *word* says what is wrong, None: nothing."""

    word: str | None
    count_bytes: int
    md5: str | None = None
    is_unread: bool = False


@define(eq=False)
class Scrubber:
    """
    Reads one copy after another.

    :ivar factor: ``replication.factor``.
    """

    _ledger: ScrubLedger
    _backends: Mapping[str, Backend]
    _replicas: Replicas
    _factor: int
    _log = Logger()

    async def check(self, scrubbed: ScrubCopy) -> tuple[Outcome, int]:
        """
        Read a copy, and see to it where it is bad.

        :returns: What came of it; and its bytes that were read, which are to be paid.
        """
        copy = scrubbed.copy
        first = await self._read(copy, scrubbed.wanted_md5)
        count_bytes = first.count_bytes
        if first.word is None and not first.is_unread:
            await self._is_good(scrubbed, first)
            return Outcome.GOOD, count_bytes
        again = await self._read(copy, scrubbed.wanted_md5)
        count_bytes += again.count_bytes
        if again.is_unread or first.is_unread:
            return Outcome.UNREAD, count_bytes
        if again.word is None:
            self._log.warn(
                "copy {copy} on {backend} was read wrong once, and right after that: "
                "{why}",
                copy=copy.copy_id,
                backend=copy.backend_name,
                why=first.word,
            )
            await self._is_good(scrubbed, again)
            return Outcome.GOOD, count_bytes
        outcome, more_bytes = await self._is_bad(scrubbed, again.word)
        return outcome, count_bytes + more_bytes

    async def mend(self, scrubbed: ScrubCopy) -> tuple[Outcome, int]:
        """Replace a copy that is marked, where another one proves good; as above."""
        copy = scrubbed.copy
        part = await self._ledger.find(copy.part_id)
        if part is None:
            return Outcome.GONE, 0
        copies, count_bytes = part.part.copies, 0
        for other in copies:
            if other.copy_id == copy.copy_id or other.is_quarantined:
                continue
            found = await self._read(other, part.md5)
            count_bytes += found.count_bytes
            if found.word is not None:
                found = await self._read(other, part.md5)
                count_bytes += found.count_bytes
            if found.word is not None:
                # Marked at once, or it would be read for this with every round.
                await self._mark(other, found.word)
            if found.is_unread or found.word is not None:
                continue
            outcome = await self._ledger.lose(copy.copy_id, other.copy_id)
            if outcome != "lost":
                is_last = outcome == "last"
                return Outcome.BAD if is_last else Outcome.GONE, count_bytes
            self._log.warn(
                "{backend}: the bad copy {key!r} is garbage now; {other} is good",
                backend=copy.backend_name,
                key=copy.backend_key,
                other=other.copy_id,
            )
            await self._replace(copy.part_id, max(self._factor, len(copies)))
            return Outcome.REPLACED, count_bytes
        return Outcome.BAD, count_bytes

    async def _replace(self, part_id: str, factor: int) -> None:
        try:
            await self._replicas.add(part_id, factor)
        except S3Error as why:
            # With too few copies it is replication's, which tries for ever.
            self._log.warn(
                "part {part}: no copy made in the bad one's place: {why}",
                part=part_id,
                why=why,
            )

    async def _is_good(self, scrubbed: ScrubCopy, read: _Read) -> None:
        copy = scrubbed.copy
        if copy.is_quarantined and await self._ledger.quarantine(copy.copy_id, None):
            self._log.warn(
                "copy {copy} on {backend} is good after all",
                copy=copy.copy_id,
                backend=copy.backend_name,
            )
        if not scrubbed.is_manifest and scrubbed.md5 is None and read.md5 is not None:
            await self._ledger.learn(copy.part_id, read.md5)

    async def _is_bad(self, scrubbed: ScrubCopy, word: str) -> tuple[Outcome, int]:
        copy = scrubbed.copy
        if scrubbed.is_manifest:
            outcome = await self._ledger.lose(copy.copy_id, None)
            self._log.error(
                "{backend}: the manifest copy {key!r} {word}; it is written anew",
                backend=copy.backend_name,
                key=copy.backend_key,
                word=word,
            )
            is_wanted = outcome == "rewritten"
            return Outcome.REPLACED if is_wanted else Outcome.GONE, 0
        if not await self._mark(copy, word) and not copy.is_quarantined:
            return Outcome.GONE, 0
        return await self.mend(scrubbed)

    async def _mark(self, copy: Copy, word: str) -> bool:
        """Whether that is new."""
        is_new = await self._ledger.quarantine(copy.copy_id, word)
        if is_new:
            self._log.error(
                "{backend}: the copy {key!r} {word}: it is read no more where there is "
                "another",
                backend=copy.backend_name,
                key=copy.backend_key,
                word=word,
            )
        return is_new

    async def _read(self, copy: Copy, wanted: str | None) -> _Read:
        """From end to end."""
        backend = self._backends.get(copy.backend_name)
        if backend is None:
            return _Read(None, 0, is_unread=True)
        count_bytes, digest = 0, md5(usedforsecurity=False)
        try:
            download = await backend.open_get(copy, 0, copy.size_bytes)
            try:
                while data := await download.read():
                    count_bytes += len(data)
                    digest.update(data)
            finally:
                download.abort()
        except BackendMissing:
            return _Read("is not there", count_bytes)
        except BackendMismatch as why:
            return _Read(f"is not what was stored: {why.reason}", count_bytes)
        except BackendRefused as why:
            # Its bucket is gone, say, or its key may not read: that says nothing of it.
            self._log.warn("copy {copy} not read: {why}", copy=copy.copy_id, why=why)
            return _Read(None, count_bytes, is_unread=True)
        except BackendError:
            return _Read(None, count_bytes, is_unread=True)
        found = digest.hexdigest()
        if wanted is not None and found != wanted:
            return _Read(f"has MD5 {found} and not {wanted}", count_bytes)
        return _Read(None, count_bytes, found)
