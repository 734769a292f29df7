"""
``sync``: take the objects of a backend's bucket into the ledger, where they are.

Page by page: the listing first, then what the ledger knows of its keys, then a HEAD of
each of the others, then one transaction for the page. A process that dies leaves whole
pages; another run passes over what is known, without a HEAD, and goes on.

A daemon may run meanwhile. What it writes has a row before its bytes are sent, so it is
known; what it deletes keeps a row until the backend has confirmed that, and what was
taken in by sync keeps one for ``ledger.late`` after it. So nothing deleted comes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredSemaphore

from s3proxy.commands.context import Context, CopyRow
from s3proxy.commands.progress import Progress, size_text
from s3proxy.errors import BackendError, BackendMissing, BackendUnavailable, ConfigError
from s3proxy.manager.patience import all_of, patiently
from s3proxy.manager.ports import Backend, BackendKey
from s3proxy.model import FoundObject
from s3proxy.plan.adoption import (
    CONFLICTS,
    TEMPORARIES,
    Adopted,
    unfit,
    unfit_key,
)
from s3proxy.plan.naming import looks_ours

#: HEADs under way at once.
PARALLEL = 32


@define
class _Tally:
    """What became of the objects so far."""

    counts: Counter[str] = field(factory=Counter)
    imported_bytes: int = 0
    problems: int = 0


async def run(
    context: Context,
    *,
    backend: str,
    bucket: str,
    prefix: str,
    dry_run: bool,
    out: TextIO,
) -> int:
    """
    Take in, and print progress, every problem and a summary to *out*.

    :param backend: The configured name of the one whose objects are taken in.
    :param bucket: Of ours, in which they appear.
    :param prefix: Only keys that begin so.
    :param dry_run: Only tell; nothing is written.
    :returns: 0 where all is taken in, 1 with conflicts or objects that cannot be.
    :raises ConfigError: There is no such backend or bucket.
    :raises BackendError: The backend cannot be listed or read; or StoreUnavailable.
        What was taken in before stays, and another run goes on.
    """
    if backend not in context.backends:
        names = ", ".join(context.backends)
        raise ConfigError(f"--backend {backend}: not configured, want one of {names}")
    if bucket not in context.buckets:
        names = ", ".join(sorted(context.buckets))
        raise ConfigError(f"--bucket {bucket}: there is none, want one of {names}")
    progress = Progress(out, context.clock)
    sync = _Sync(
        context, context.backends[backend], bucket, prefix, dry_run, progress, _Tally()
    )
    return await sync.run()


@define(eq=False)
class _Sync:
    """One run."""

    _context: Context
    _backend: Backend
    _bucket: str
    _prefix: str
    _is_dry: bool
    _progress: Progress
    _tally: _Tally

    async def run(self) -> int:
        token: str | None = None
        self._progress.start()
        while True:
            page, token = await self._list(token)
            # Some listings name a key twice; one transaction must not.
            await self._take_page({each.key: each for each in page})
            self._tell_page()
            if token is None:
                break
        await self._tell_summary()
        return 1 if self._tally.problems else 0

    async def _list(self, token: str | None) -> tuple[Sequence[BackendKey], str | None]:
        return await patiently(
            self._context.clock, lambda: self._backend.list_page(self._prefix, token)
        )

    async def _take_page(self, page: dict[str, BackendKey]) -> None:
        self._tally.counts["listed"] += len(page)
        fit = {}
        for key, listed in page.items():
            reason = unfit_key(key)
            if key.startswith(TEMPORARIES):
                self._tally.counts["temporary"] += 1
            elif reason is not None:
                self._problem("unfit", key, reason)
            else:
                fit[key] = listed
        rows = {row.backend_key: row for row in await self._rows(list(fit))}
        for key, row in rows.items():
            await self._known(fit[key], row)
        found = await self._inspect([key for key in fit if key not in rows])
        await self._adopt(found)

    async def _rows(self, keys: list[str]) -> Sequence[CopyRow]:
        if not keys:
            return ()
        return await self._context.checks.rows_of_keys(self._backend.name, keys)

    async def _known(self, listed: BackendKey, row: CopyRow) -> None:
        """A key with a row: ours, taken in before, or deleted and not yet collected."""
        if not row.is_adopted:
            self._tally.counts["ours"] += 1
        elif row.state != "live":
            self._tally.counts["deleted"] += 1
        elif _agrees(listed, row) or await self._agrees_now(row):
            self._tally.counts["skipped"] += 1
        else:
            self._problem(
                "conflict",
                listed.key,
                "it was taken in before and has changed on the backend since; delete "
                "it here, and run sync again",
            )

    async def _agrees_now(self, row: CopyRow) -> bool:
        """The listing may be older than the row: look once more, at both."""
        try:
            found = await patiently(
                self._context.clock, lambda: self._backend.inspect(row.backend_key)
            )
        except BackendMissing:
            found = None
        if found is not None and _agrees(found, row):
            return True
        now = await self._rows([row.backend_key])
        return not now or now[0].state != "live"

    async def _inspect(self, keys: Sequence[str]) -> list[FoundObject]:
        """What can be taken in of these keys, which the ledger does not know."""
        gate = DeferredSemaphore(PARALLEL)

        def look(key: str) -> Deferred[FoundObject | None]:
            return Deferred.fromCoroutine(self._inspect_one(key))

        found = await all_of([gate.run(look, key) for key in keys])
        return [each for each in found if each is not None]

    async def _inspect_one(self, key: str) -> FoundObject | None:
        """What a HEAD shows, where it can be taken in."""
        try:
            found = await patiently(
                self._context.clock, lambda: self._backend.inspect(key)
            )
        except BackendMissing:
            if "\ufffd" in key:
                self._problem("unfit", key, "its key seems to be no UTF-8")
            else:
                self._tally.counts["gone"] += 1
            return None
        except BackendUnavailable:
            raise
        except BackendError as why:
            self._problem("unfit", key, f"it cannot be read: {why}")
            return None
        owner = found.user_metadata.get("s3proxy-installation")
        if looks_ours(key) and owner is not None:
            is_ours = owner == self._context.installation_id
            self._tally.counts["orphan" if is_ours else "of another"] += 1
            return None
        reason = unfit(found)
        if reason is not None:
            self._problem("unfit", key, reason)
            return None
        return found

    async def _adopt(self, found: list[FoundObject]) -> None:
        adoption = self._context.adoption
        call = adoption.preview if self._is_dry else adoption.adopt
        left = {each.key: each for each in found}
        for is_last in (False, False, True):
            if not left:
                return
            outcomes = await call(
                self._backend.name, self._bucket, tuple(left.values())
            )
            for key, outcome in outcomes.items():
                if outcome is not Adopted.AGAIN or is_last:
                    self._adopted(left.pop(key), outcome)

    def _adopted(self, found: FoundObject, outcome: Adopted) -> None:
        if outcome in CONFLICTS:
            self._problem("conflict", found.key, CONFLICTS[outcome])
        elif outcome is Adopted.KNOWN:
            # By another sync, since its row was looked for.
            self._tally.counts["skipped"] += 1
        else:
            self._tally.counts[outcome.value] += 1
            self._tally.imported_bytes += found.size_bytes

    def _problem(self, kind: str, key: str, reason: str) -> None:
        self._tally.counts[kind] += 1
        self._tally.problems += 1
        words = {"conflict": "conflict", "unfit": "not taken in"}[kind]
        self._progress.line(f"{self._backend.name}: {words}: {key!r}: {reason}")

    def _tell_page(self) -> None:
        counts = self._tally.counts
        verb = "would import" if self._is_dry else "imported"
        self._progress.page(
            counts["listed"],
            f"{self._backend.name}: {counts['listed']:,} listed, {verb} "
            f"{counts['imported'] + counts['copied']:,} "
            f"({size_text(self._tally.imported_bytes)}), skipped "
            f"{counts['skipped']:,}, conflicts {counts['conflict']:,}",
        )

    async def _tell_summary(self) -> None:
        counts, tell = self._tally.counts, self._progress.line
        for name, text in _PASSED_OVER.items():
            if counts[name]:
                tell(f"{self._backend.name}: passed over {counts[name]:,} {text}")
        sums = {each.name: each for each in await self._context.checks.sums()}
        mine = sums.get(self._backend.name)
        if mine is not None and 0 < mine.bytes_limit < mine.bytes_used:
            tell(
                f"{self._backend.name}: holds {mine.bytes_used:,} bytes, over its "
                f"quota_bytes of {mine.bytes_limit:,}: nothing more is placed there"
            )
        verb = "would import" if self._is_dry else "imported"
        tell(
            f"{self._backend.name}: {verb} {counts['imported'] + counts['copied']:,} "
            f"objects ({counts['copied']:,} of them as further copies), "
            f"{self._tally.imported_bytes:,} bytes; skipped {counts['skipped']:,}, "
            f"conflicts {counts['conflict']:,}, not taken in {counts['unfit']:,}"
        )


_PASSED_OVER = {
    "ours": "backend objects of this installation",
    "orphan": "of this installation that the ledger does not know: see sync --rebuild",
    "of another": "of other installations: see sync --rebuild --installation",
    "temporary": f"temporaries ({TEMPORARIES}…)",
    "deleted": "that are deleted here and not yet collected",
    "gone": "that were gone when they were looked at",
}


def _agrees(found: BackendKey | FoundObject, row: CopyRow) -> bool:
    return (found.size_bytes, found.etag) == (row.size_bytes, row.backend_etag)
