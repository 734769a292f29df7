"""
Sweeping a backend: keys of ours without a row, and live rows without their bytes.

A page is listed first, then looked up (rule 46): whatever is written meanwhile has had
a row since before its first byte. Only what looks ours is asked whose it is; the order
of a listing is nobody's promise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from attrs import define
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger

from s3proxy.errors import (
    BackendError,
    BackendMismatch,
    BackendMissing,
    BackendUnavailable,
)
from s3proxy.manager.patience import all_of
from s3proxy.manager.ports import Backend, BackendKey
from s3proxy.model import Copy
from s3proxy.plan.adoption import unfit_key
from s3proxy.plan.description import read_description
from s3proxy.plan.naming import parse_name
from s3proxy.plan.sweeping import Fault, Known, Orphan, Swept

#: Rows that are looked at, or queued, at once; and HEADs under way.
PAGE, PARALLEL = 1000, 16

_OWNER = "s3proxy-installation"

T = TypeVar("T")


class SweepLedger(Protocol):
    """``store.sweeping.PostgresSweeping``; StoreUnavailable is any method's."""

    async def known(self, backend: str, keys: Sequence[str]) -> Mapping[str, Known]:
        """What the ledger knows of each of these keys."""
        ...

    async def live(self, backend: str, after: str, limit: int) -> Sequence[Copy]:
        """Live copies in order of copy id."""
        ...

    async def queue(self, backend: str, orphans: Sequence[Orphan]) -> Sequence[str]:
        """
        Make garbage of keys that have no row; the ones that have become it.

        None, where something holds that up.
        """
        ...

    async def lose(self, copy_id: str) -> str:
        """
        A live copy without its bytes is one no more.

        :returns: ``lost``; ``last``: it is the only one, and stays; ``rewritten``: a
            manifest is to be written anew; ``upload``: of an open upload, stays;
            ``gone``: it was not live any more.
        """
        ...


class Patience(Protocol):
    """How often a call of a backend is tried."""

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """What *call* gives."""
        ...


async def impatient(call: Callable[[], Awaitable[T]]) -> T:
    """Once: there is another round."""
    return await call()


@define(eq=False)
class Sweeper:
    """
    Looks at backends, and acts on what it has found.

    :ivar installation_id: What makes a key ours.
    :ivar said: Is called with each page's tally.
    """

    _ledger: SweepLedger
    _backends: Mapping[str, Backend]
    _installation_id: str
    _patience: Patience = impatient
    said: Callable[[Swept], Awaitable[object]] | None = None
    _log = Logger()

    async def look(self, name: str) -> Swept:
        """
        All that is to be said of a backend; nothing is changed.

        :raises BackendError: It cannot be listed or read.
        """
        backend, swept = self._backends[name], Swept(name)
        agreed: set[int] = set()
        token: str | None = None
        while True:
            page, token = await self._page(backend, token)
            await self._look_up(backend, page, swept, agreed)
            await self._say(swept)
            if token is None:
                break
        await self._look_at_rows(backend, swept, agreed)
        return swept

    async def queue(self, swept: Swept) -> tuple[int, int]:
        """Make garbage of the keys of ours without a row: how many, and their bytes."""
        keys = size_bytes = 0
        for at in range(0, len(swept.orphans), PAGE):
            page = swept.orphans[at : at + PAGE]
            done = set(await self._ledger.queue(swept.backend, page))
            keys += len(done)
            size_bytes += sum(each.size_bytes for each in page if each.key in done)
        return keys, size_bytes

    async def repair(self, swept: Swept) -> Counter[str]:
        """
        Have the rows of bytes that are gone count no more, where there is another copy.

        :returns: How many, by the outcomes of :meth:`SweepLedger.lose`.
        """
        outcomes: Counter[str] = Counter()
        for fault in swept.faults:
            if fault.is_missing:
                outcome = await self._ledger.lose(fault.copy_id)
                outcomes[outcome] += 1
                self._log.warn(
                    "{backend}: the bytes of {key!r} are gone; its row: {outcome}",
                    backend=swept.backend,
                    key=fault.key,
                    outcome=outcome,
                )
        return outcomes

    async def _page(
        self, backend: Backend, token: str | None
    ) -> tuple[Sequence[BackendKey], str | None]:
        return await self._patience(lambda: backend.list_page("", token))

    async def _say(self, swept: Swept) -> None:
        if self.said is not None:
            await self.said(swept)

    async def _look_up(
        self,
        backend: Backend,
        page: Sequence[BackendKey],
        swept: Swept,
        agreed: set[int],
    ) -> None:
        # Some listings name a key twice.
        listed = {each.key: each for each in page}
        swept.listed += len(listed)
        for key in [key for key in listed if unfit_key(key) is not None]:
            # No key of ours is like that, and the ledger could not be asked.
            del listed[key]
            swept.add_foreign(key)
        known = await self._ledger.known(backend.name, list(listed)) if listed else {}
        unknown = []
        for key, found in known.items():
            if found.copy_id is None:
                if parse_name(key) is None:
                    swept.add_foreign(key)
                else:
                    unknown.append(key)
                continue
            swept.adopted += found.is_adopted
            swept.known += not found.is_adopted
            if found.agrees(listed[key].size_bytes, listed[key].etag):
                agreed.add(hash(found.copy_id))
        gate = DeferredSemaphore(PARALLEL)

        def ask(key: str) -> Deferred[None]:
            return Deferred.fromCoroutine(self._ask(backend, key, known[key], swept))

        await all_of([gate.run(ask, key) for key in unknown])

    async def _ask(
        self, backend: Backend, key: str, known: Known, swept: Swept
    ) -> None:
        """Whose a key is that is spelt like ours and has no row."""
        try:
            found = await self._patience(lambda: backend.inspect(key))
        except BackendMissing:
            return  # Collected since it was listed.
        except BackendUnavailable:
            raise
        except BackendError:
            # It does not tell, so nobody may say that it is ours.
            swept.add_foreign(key)
            return
        owner = found.user_metadata.get(_OWNER)
        name = parse_name(key)
        if owner != self._installation_id or name is None:
            swept.add_foreign(key, of_another=owner is not None)
            return
        if known.elsewhere is not None:
            swept.misplaced.append((key, known.elsewhere))
            return
        told = read_description(key, found.user_metadata)
        swept.add_orphan(
            Orphan(
                key,
                found.size_bytes,
                found.etag,
                found.version_id,
                name[1],
                told.bucket if told is not None else "",
                told.key if told is not None else "",
            )
        )

    async def _look_at_rows(
        self, backend: Backend, swept: Swept, agreed: set[int]
    ) -> None:
        """Live rows that the listing did not show as they should be."""
        doubtful: dict[str, Copy] = {}
        after = ""
        while rows := await self._ledger.live(backend.name, after, PAGE):
            for row in rows:
                if hash(row.copy_id) not in agreed and await self._fault(backend, row):
                    doubtful[row.copy_id] = row
            after = rows[-1].copy_id
            await self._say(swept)
        # Once more, some time later; and the row may not be live any more.
        copies = list(doubtful.values())
        for at in range(0, len(copies), PAGE):
            page = copies[at : at + PAGE]
            faults = [(row, await self._fault(backend, row)) for row in page]
            now = await self._ledger.known(
                backend.name, [row.backend_key for row in page]
            )
            for row, fault in faults:
                known = now.get(row.backend_key)
                is_live = known is not None and known.state == "live"
                if fault is not None and is_live:
                    swept.add_fault(fault)
            await self._say(swept)

    async def _fault(self, backend: Backend, row: Copy) -> Fault | None:
        """What is wrong with a live copy, as far as its headers tell."""
        fault = (row.copy_id, row.backend_key, row.size_bytes)
        try:
            found = await self._patience(lambda: backend.inspect(row.backend_key))
        except BackendMissing:
            found = None
        if found is not None:
            wanted = Known(row.copy_id, row.size_bytes, row.backend_etag, "live")
            if wanted.agrees(found.size_bytes, found.etag):
                return None
            text = (
                f"has {found.size_bytes} bytes and ETag {found.etag}, its row says "
                f"{row.size_bytes} and {row.backend_etag}"
            )
            return Fault(*fault, is_missing=False, text=text)
        # A HEAD cannot say whether it is the key that is missing, or the bucket.
        end = min(row.size_bytes, 1)
        try:
            download = await self._patience(lambda: backend.open_get(row, 0, end))
        except BackendMissing:
            return Fault(*fault, is_missing=True, text="is not there")
        except BackendMismatch as why:
            return Fault(*fault, is_missing=False, text=why.reason)
        download.abort()
        return None
