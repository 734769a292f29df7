"""
Manifest copies of what changed (protocol, rules 30 and 31).

Safe in several processes at once: the ledger hands each object to one worker for a
while, and of two manifests of one change one is committed.
"""

from __future__ import annotations

from typing import Any, Protocol

from attrs import define
from twisted.internet.defer import CancelledError, DeferredList, DeferredSemaphore
from twisted.logger import Logger

from s3proxy.errors import InsufficientStorage, S3Error, StoreError
from s3proxy.plan.manifest import WantedManifest

#: Objects taken at once, and how many manifests are under way at once.
BATCH = 64
PARALLEL = 8

#: Batches of one round: a stop waits for the end of the round.
ROUND_BATCHES = 16


class Manifests(Protocol):
    """``manager.manifesting.Manifests``."""

    async def take(self, limit: int) -> list[WantedManifest]:
        """Objects that nobody else is given for a while."""
        ...

    async def write(self, wanted: WantedManifest) -> bool:
        """Write one; whether it was still wanted."""
        ...


@define(eq=False)
class Manifester:
    """What is not written now is taken again later, by any process."""

    _manifests: Manifests
    _is_full: bool = False
    _log = Logger()

    async def round(self) -> int:
        """Write what is wanted; returns how many manifests were written."""
        written = 0
        for _ in range(ROUND_BATCHES):
            taken = await self._manifests.take(BATCH)
            gate = DeferredSemaphore(PARALLEL)
            outcomes: list[tuple[bool, Any]] = await DeferredList(
                [gate.run(self._write, each) for each in taken], consumeErrors=True
            )
            for good, outcome in outcomes:
                if not good:
                    outcome.raiseException()
            count = sum(outcome is True for _, outcome in outcomes)
            written += count
            # Where nothing could be done the rest would fare no better.
            if len(taken) < BATCH or not count:
                break
        return written

    async def _write(self, wanted: WantedManifest) -> bool:
        key = f"{wanted.info.bucket}/{wanted.info.key}"
        try:
            written = await self._manifests.write(wanted)
        except InsufficientStorage as why:
            if not self._is_full:
                self._is_full = True
                self._log.warn(
                    "{key}: its manifest is not written: {why} It is tried again "
                    "until there is room; others that wait are not named",
                    key=key,
                    why=why,
                )
            return False
        except S3Error as why:
            self._log.warn("{key}: manifest not written: {why}", key=key, why=why)
            return False
        except (CancelledError, StoreError):
            raise
        except Exception:
            # One object must not hold up the others.
            self._log.failure("{key}: manifest not written", key=key)
            return False
        self._is_full = self._is_full and not written
        return written
