"""
An object's bytes, part by part, each verified before the next one is read.

A part whose bytes are not what was recorded is read again, from each of its copies, and
so is one that broke off. What an object was when it was found is read, or nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import md5
from typing import Protocol

from attrs import define, evolve, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from s3proxy.errors import BackendError, BackendMissing, BackendUnavailable
from s3proxy.manager.part_reading import PartReader
from s3proxy.manager.patience import patiently
from s3proxy.manager.pinning import Pin
from s3proxy.manager.ports import Backend, Ledger
from s3proxy.model import ObjectInfo, Part
from s3proxy.plan.exporting import Check, check_of
from s3proxy.s3.checksums import running, shown

_PIECE = 1024 * 1024
#: How often an object is found anew that is overwritten or moved while it is read.
_TRIES = 5


class Unreadable(Exception):
    """An object cannot be had now; the text says why."""


class Sink(Protocol):
    """``export_tree.Draft``."""

    def write(self, data: bytes) -> None:
        """More bytes."""
        ...

    def back_to(self, offset: int) -> None:
        """Forget what was written from *offset* on."""
        ...


@frozen
class Found:
    """An object as it is now, with all its parts."""

    info: ObjectInfo
    parts: tuple[Part, ...]

    def checks(self) -> list[Check | None]:
        """How each part can be verified."""
        is_only = len(self.parts) == 1
        return [check_of(self.info, part, is_only=is_only) for part in self.parts]

    @property
    def is_verifiable(self) -> bool:
        """Whether every byte can be."""
        return all(self.checks())


@define(eq=False)
class Reading:
    """
    :ivar grace_seconds: ``ledger.grace``.
    :ivar heard: Is told how many bytes have come.
    """

    _ledger: Ledger
    _backends: Mapping[str, Backend]
    _clock: IReactorTime
    _grace_seconds: float
    _heard: Callable[[int], None]
    _given_up: set[str] = field(factory=set)

    async def find(self, bucket: str, key: str) -> Found | None:
        """An object with all its parts; None: there is none."""
        for _ in range(_TRIES):
            stored = await self._ledger.find(bucket, key)
            if stored is None:
                return None
            parts = stored.parts
            if stored.parts_count > len(parts):
                parts = await self._ledger.parts(
                    stored.info.object_id, 0, stored.info.size_bytes
                )
            if sum(part.size_bytes for part in parts) == stored.info.size_bytes:
                return Found(stored.info, parts)
        raise Unreadable("its parts do not make it up: see s3proxy check")

    async def into(self, found: Found, sink: Sink) -> Found | None:
        """
        Read all of it.

        :returns: What was read, which may be a newer version; None: it was deleted.
        :raises Unreadable: Some part cannot be had, or is not what was recorded.
        """
        for _ in range(_TRIES):
            pin = Pin(
                found.info.object_id, self._ledger, self._clock, self._grace_seconds
            )
            pin.start()
            sink.back_to(0)
            try:
                for part, check in zip(found.parts, found.checks(), strict=True):
                    await self._part(part, check, sink)
                return found
            except BackendMissing as why:
                # Overwritten or moved since it was found, if it is as it should be.
                now = await self.find(found.info.bucket, found.info.key)
                if now is None:
                    return None
                if now == found:
                    raise Unreadable(f"its bytes are gone: {why}") from why
                found = now
            except BackendError as why:
                raise Unreadable(str(why)) from why
            finally:
                pin.stop()
        raise Unreadable("it is overwritten again and again; run this again")

    async def is_in(self, found: Found, fd: int) -> bool:
        """Whether a file has all its bytes; without a hash, by size and time."""
        there = os.fstat(fd)
        if there.st_size != found.info.size_bytes:
            return False
        if not found.is_verifiable:
            return int(there.st_mtime) == int(found.info.last_modified.timestamp())
        for part, check in zip(found.parts, found.checks(), strict=True):
            assert check is not None
            if not await self._has(fd, part, check):
                return False
        return True

    async def _has(self, fd: int, part: Part, check: Check) -> bool:
        digest, at = _Digest(check), part.offset_bytes
        end = at + part.size_bytes
        while at < end:
            piece = os.pread(fd, min(_PIECE, end - at), at)
            if not piece:
                return False
            digest.update(piece)
            at += len(piece)
            # Reads of others go on meanwhile.
            await deferLater(self._clock, 0)
        return digest.is_good

    async def _part(self, part: Part, check: Check | None, sink: Sink) -> None:
        if not part.size_bytes:
            return
        copies = [each for each in part.copies if each.backend_name in self._backends]
        if not copies:
            names = ", ".join(each.backend_name for each in part.copies) or "none"
            raise Unreadable(
                f"part {part.part_number} has no copy on a configured backend (on: "
                f"{names})"
            )
        last: BackendError | None = None
        # All of them first, each of which may go on where another breaks off.
        for some in [copies, *([each] for each in copies)]:
            attempt = evolve(part, copies=tuple(some))
            try:
                if await self._patiently(attempt, check, sink):
                    return
            except BackendError as why:
                if len(some) == len(copies):
                    raise
                last = why
        if last is not None:
            raise last
        raise Unreadable(
            f"part {part.part_number}: on {', '.join(c.backend_name for c in copies)} "
            "are other bytes than were stored: their hash is another"
        )

    async def _patiently(self, part: Part, check: Check | None, sink: Sink) -> bool:
        names = {each.backend_name for each in part.copies}
        if names <= self._given_up:
            return await self._read(part, check, sink)
        try:
            good = await patiently(self._clock, lambda: self._read(part, check, sink))
        except BackendUnavailable:
            # The next ones do not wait for them as long.
            self._given_up |= names
            raise
        self._given_up -= names
        return good

    async def _read(self, part: Part, check: Check | None, sink: Sink) -> bool:
        """Whether the bytes, which are in *sink* now, are the right ones."""
        sink.back_to(part.offset_bytes)
        digest = _Digest(check)
        reader = PartReader(part, 0, part.size_bytes, self._backends)
        try:
            while data := await reader.read():
                digest.update(data)
                sink.write(data)
                self._heard(len(data))
        finally:
            reader.abort()
        return digest.is_good


class _Digest:
    """A hash under way, and what it has to be."""

    def __init__(self, check: Check | None) -> None:
        self._check = check
        self._md5 = md5(usedforsecurity=False)
        is_md5 = check is None or check.algorithm == "md5"
        self._other = None if is_md5 or check is None else running(check.algorithm)

    def update(self, data: bytes) -> None:
        """The next bytes."""
        (self._other or self._md5).update(data)

    @property
    def is_good(self) -> bool:
        """Whether they are the right ones, as far as anybody knows."""
        if self._check is None:
            return True
        if self._other is not None:
            return shown(self._other) == self._check.value
        return self._md5.hexdigest() == self._check.value


def first_copies(parts: Sequence[Part], backends: Mapping[str, Backend]) -> list[str]:
    """The backend that each part that has bytes is read from first, if one has it."""
    found = []
    for part in parts:
        names = [
            each.backend_name for each in part.copies if each.backend_name in backends
        ]
        if part.size_bytes and names:
            found.append(names[0])
    return found
