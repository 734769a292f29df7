"""
``sync --rebuild``: the ledger again, from what backends' objects tell of themselves.

First every object of ours without a row is looked at, on all backends, and noted in
the database; then it is taken in key by key, each page of keys in one transaction. A
process that dies leaves whole pages; another run begins anew, and passes over what has
rows.

What was deleted, or never committed, and was still on a backend when the ledger was
lost, cannot be told from what was live: it comes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TextIO

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredSemaphore

from s3proxy.commands.context import Context
from s3proxy.commands.progress import Progress, size_text
from s3proxy.commands.sync import PARALLEL
from s3proxy.errors import BackendError, BackendMissing, BackendUnavailable, ConfigError
from s3proxy.manager.patience import all_of, patiently
from s3proxy.manager.ports import Backend
from s3proxy.model import Copy, FoundObject
from s3proxy.plan.adoption import unfit, unfit_key
from s3proxy.plan.catalogue import BUCKET as CATALOGUE
from s3proxy.plan.description import read_description
from s3proxy.plan.manifest import Manifest, ManifestError, decode
from s3proxy.plan.naming import looks_ours
from s3proxy.plan.rebuild import FoundCopy, KeyPlan, plan_key

#: More than a manifest of 10,000 parts takes.
MANIFEST_BYTES = 8 * 1024 * 1024

Key = tuple[str, str]


async def run(
    context: Context,
    *,
    backends: Sequence[str],
    installations: Sequence[str],
    dry_run: bool,
    out: TextIO,
) -> int:
    """
    Rebuild, and print progress, every problem and a summary to *out*.

    :param backends: Names; all that are configured where it is empty.
    :param installations: Whose objects; where it is empty, the ledger's own, or those
        of the only one that there is when the ledger is empty. An empty ledger becomes
        that of the first.
    :param dry_run: Only tell. What was found is noted in a table of its own.
    :returns: 0 where all was put together, 1 where something could not be.
    :raises ConfigError: There is no such backend, or it must be said whose objects.
    :raises BackendError: A backend cannot be listed or read; or StoreUnavailable.
    """
    for name in backends:
        if name not in context.backends:
            names = ", ".join(context.backends)
            raise ConfigError(f"--backend {name}: not configured, want some of {names}")
    chosen = list(backends or context.backends)
    progress = Progress(out, context.clock)
    rebuild = _Rebuild(context, chosen, list(installations), dry_run, progress)
    await context.rebuild.forget(chosen)
    try:
        return await rebuild.run()
    finally:
        await context.rebuild.forget(chosen)


@define(eq=False)
class _Rebuild:
    """One run."""

    _context: Context
    _names: list[str]
    _installations: list[str]
    _is_dry: bool
    _progress: Progress
    _counts: Counter[str] = field(factory=Counter)
    _buckets: Counter[str] = field(factory=Counter)

    async def run(self) -> int:
        self._progress.start()
        for name in self._names:
            await self._scan(self._context.backends[name])
        self._installations = await self._choose()
        after: Key = ("", "")
        while keys := await self._context.rebuild.keys(
            self._installations, self._names, after
        ):
            await self._take(keys)
            after = keys[-1]
            self._tell_keys()
        self._tell_summary()
        return 1 if self._counts["problems"] else 0

    # What is there.

    async def _scan(self, backend: Backend) -> None:
        token: str | None = None
        while True:
            # Bound now: the call may be made more than once.
            page, token = await patiently(
                self._context.clock,
                lambda token=token: backend.list_page("", token),  # type: ignore[misc]
            )
            keys = {each.key for each in page}
            self._counts["listed"] += len(keys)
            ours = [key for key in keys if looks_ours(key) and not unfit_key(key)]
            rows = await self._context.checks.rows_of_keys(backend.name, ours)
            known = {row.backend_key for row in rows}
            self._counts["known"] += len(known)
            await self._note(backend, [key for key in ours if key not in known])
            self._progress.page(
                self._counts["listed"],
                f"{backend.name}: {self._counts['listed']:,} listed, "
                f"{self._counts['found']:,} to be taken in, {len(known):,} of this "
                "page known",
            )
            if token is None:
                return

    async def _note(self, backend: Backend, keys: Sequence[str]) -> None:
        gate = DeferredSemaphore(PARALLEL)

        def look(key: str) -> Deferred[FoundCopy | None]:
            return Deferred.fromCoroutine(self._look(backend, key))

        looked_at = await all_of([gate.run(look, key) for key in keys])
        found = [each for each in looked_at if each is not None]
        self._counts["found"] += len(found)
        if found:
            await self._context.rebuild.note(found)

    async def _look(self, backend: Backend, key: str) -> FoundCopy | None:
        """What a backend object tells, where it is ours and can be told."""
        reason = manifest = None
        try:
            found = await patiently(self._context.clock, lambda: backend.inspect(key))
            told = read_description(key, found.user_metadata)
            if told is None:
                return None
            reason = unfit(found)
            if reason is None and told.is_manifest:
                manifest = await patiently(
                    self._context.clock, lambda: _read_manifest(backend, found)
                )
                if (manifest.info.bucket, manifest.info.key) != (told.bucket, told.key):
                    reason = "it is the manifest of another key"
        except BackendMissing:
            return None
        except BackendUnavailable:
            raise
        except (BackendError, ManifestError) as why:
            self._problem(f"{backend.name}: {key!r}: it cannot be read: {why}")
            return None
        if reason is not None:
            self._problem(f"{backend.name}: {key!r}: {reason}")
            return None
        return FoundCopy(backend.name, told, found, manifest)

    # Whose it is.

    async def _choose(self) -> list[str]:
        rebuild = self._context.rebuild
        found = await rebuild.installations(self._names)
        own = self._context.installation_id
        wanted = self._installations
        if not wanted:
            others = [each for each in found if each != own]
            if own not in found and len(others) == 1 and await rebuild.is_empty():
                wanted = others
            elif own in found or not others:
                wanted = [own]
            else:
                lines = ", ".join(
                    f"{each} ({found[each]:,} objects)" for each in others
                )
                raise ConfigError(
                    "the ledger is another installation's than the objects: say with "
                    f"--installation which to take in, of {lines}"
                )
        if wanted[0] != own and not self._is_dry:
            own = await rebuild.become(wanted[0])
            if own == wanted[0]:
                self._progress.line(
                    f"this ledger is installation {own} from now on: restart daemons"
                )
        chosen = list(dict.fromkeys([*wanted, own]))
        for each, count in found.items():
            word = "taking in" if each in chosen else "passing over"
            self._progress.line(
                f"installation {each}: {word} {count:,} backend objects"
            )
        return chosen

    # What it makes.

    async def _take(self, keys: Sequence[Key]) -> None:
        left = list(keys)
        for is_last in (False, False, True):
            if not left:
                return
            plans = await self._plan(left)
            if self._is_dry:
                outcomes = dict.fromkeys([(p.bucket, p.key) for p in plans], "done")
            else:
                outcomes = dict(await self._context.rebuild.apply(plans))
            left = []
            for plan in plans:
                outcome = outcomes[plan.bucket, plan.key]
                if outcome == "again" and not is_last:
                    left.append((plan.bucket, plan.key))
                else:
                    self._tell(plan, outcome)

    async def _plan(self, keys: Sequence[Key]) -> list[KeyPlan]:
        rebuild = self._context.rebuild
        copies = await rebuild.copies(self._installations, self._names, keys)
        held = await rebuild.held(keys)
        part_ids = _part_ids([each for found in copies.values() for each in found])
        owners, taken = await rebuild.owners(part_ids), await rebuild.taken(part_ids)
        return [
            plan_key(*key, found, held.get(key), owners, taken)
            for key, found in copies.items()
        ]

    def _tell(self, plan: KeyPlan, outcome: str) -> None:
        name = f"{plan.bucket}/{plan.key!r}"
        counts = self._counts
        if outcome != "done":
            reason = {
                "again": "the key is being written just now; rebuild again",
                "clash": "a part of it belongs to another object",
                "no_bucket": "its bucket has been deleted by whoever made it",
            }[outcome]
            self._problem(f"{name}: {reason}")
            counts["left"] += len(plan.rows)
            return
        for problem in plan.problems:
            self._problem(f"{name}: {problem}")
        counts["left"] += plan.left
        counts["live"] += sum(each.is_live for each in plan.rows)
        counts["garbage"] += sum(not each.is_live for each in plan.rows)
        counts["uploads"] += len(plan.uploads)
        if plan.made is not None:
            counts["objects"] += 1
            counts["bytes"] += plan.made.info.size_bytes
            self._buckets[plan.bucket] += 1

    def _problem(self, text: str) -> None:
        self._counts["problems"] += 1
        self._progress.line(text)

    def _tell_keys(self) -> None:
        counts = self._counts
        self._progress.page(
            counts["objects"],
            f"{counts['objects']:,} objects ({size_text(counts['bytes'])})",
        )

    def _tell_summary(self) -> None:
        counts, tell = self._counts, self._progress.line
        for bucket, count in sorted(self._buckets.items()):
            is_seen = bucket in self._context.buckets or bucket == CATALOGUE
            hidden = "" if is_seen else ", which is not configured"
            tell(f"bucket {bucket}: {count:,} objects{hidden}")
        verb = "would rebuild" if self._is_dry else "rebuilt"
        tell(
            f"{verb} {counts['objects']:,} objects, {counts['bytes']:,} bytes; "
            f"{counts['live']:,} copies are live, {counts['garbage']:,} superseded; "
            f"{counts['uploads']:,} uploads unfinished; {counts['known']:,} backend "
            f"objects were known, {counts['left']:,} are left as they are"
        )


async def _read_manifest(backend: Backend, found: FoundObject) -> Manifest:
    if found.size_bytes > MANIFEST_BYTES:
        raise ManifestError(f"{found.size_bytes} bytes are too many")
    copy = Copy(
        "", "", backend.name, found.key, found.size_bytes, found.etag, found.version_id
    )
    download = await backend.open_get(copy, 0, found.size_bytes)
    data = bytearray()
    while piece := await download.read():
        data += piece
    return decode(bytes(data))


def _part_ids(copies: Collection[FoundCopy]) -> set[str]:
    ids = {each.told.part_id for each in copies if each.told.part_id}
    for each in copies:
        if each.manifest is not None:
            ids |= {part.part_id for part in each.manifest.parts}
    return ids
