"""
``explain`` and ``what-if``: where bytes are, and what is left when a backend dies.

All of it is the ledger's word; no backend is asked, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TextIO

from attrs import frozen

from s3proxy.commands.progress import Progress
from s3proxy.errors import ConfigError
from s3proxy.model import ObjectInfo
from s3proxy.plan.whereabouts import CopyAt, Losses, PartAt, Toll
from s3proxy.wording import size

_PARTS_PAGE = 1000
OBJECTS_PAGE = 1000


class Whereabouts(Protocol):
    """``store.whereabouts.Whereabouts``; StoreUnavailable is any method's."""

    async def head(self, bucket: str, key: str) -> ObjectInfo | None:
        """An object; None: there is none."""
        ...

    async def parts(self, object_id: str, after: int, limit: int) -> Sequence[PartAt]:
        """Its parts after part number *after*, with their copies in any state."""
        ...

    async def manifests(self, object_id: str) -> tuple[bool, Sequence[CopyAt]]:
        """Whether a manifest copy is to be written, and those that there are."""
        ...

    async def losses(
        self,
        bucket: str | None,
        configured: Collection[str],
        without: Collection[str],
        factor: int,
        after: tuple[str, str],
        limit: int,
    ) -> tuple[Losses, tuple[str, str] | None]:
        """What would be left of the next objects, and where that page ended."""
        ...


@frozen
class Pool:
    """
    The backends, and what the ledger says of them.

    :ivar configured: Those of the configuration, in order.
    :ivar known: Those that the ledger knows, configured or not.
    :ivar draining: Those that are being emptied.
    :ivar buckets: Those that clients can see.
    :ivar factor: ``replication.factor``; 1 without it.
    """

    whereabouts: Whereabouts
    configured: Sequence[str]
    known: Collection[str]
    draining: Collection[str]
    buckets: Collection[str]
    factor: int

    @property
    def names(self) -> list[str]:
        """All backends, the configured ones first."""
        return list(dict.fromkeys([*self.configured, *sorted(self.known)]))

    def check_bucket(self, command: str, bucket: str) -> None:
        """:raises ConfigError: There is no such bucket."""
        if bucket not in self.buckets:
            names = ", ".join(sorted(self.buckets))
            raise ConfigError(
                f"{command}: --bucket {bucket}: there is none, want one of {names}"
            )

    def note(self, backend: str) -> str:
        """What there is to say of a backend, after its name."""
        notes = []
        if backend not in self.configured:
            notes.append("NOT CONFIGURED: cannot be read")
        if backend in self.draining:
            notes.append("being drained")
        return f" ({', '.join(notes)})" if notes else ""


async def explain(pool: Pool, key: str, *, bucket: str, out: TextIO) -> int:
    """
    Say where an object is.

    :returns: 0 where all of it can be read, by the ledger; else 1.
    :raises ConfigError: There is no such bucket.
    """
    pool.check_bucket("explain", bucket)
    info = await pool.whereabouts.head(bucket, key)
    if info is None:
        out.write(f"{bucket}: there is no object {key!r}\n")
        return 1
    out.write(
        f"{bucket}: {key!r}: {size(info.size_bytes)} ({info.size_bytes:,} bytes), "
        f"ETag {info.etag}, of {info.last_modified:%Y-%m-%d %H:%M:%S} UTC\n"
    )
    toll = Toll(pool.configured)
    after = 0
    while page := await pool.whereabouts.parts(info.object_id, after, _PARTS_PAGE):
        for part in page:
            toll.add(part)
            _print_part(pool, part, out)
        after = page[-1].part_number
    if not toll.parts:
        out.write("  it was overwritten or deleted meanwhile: run this again\n")
        return 1
    is_due, manifests = await pool.whereabouts.manifests(info.object_id)
    _print_manifests(pool, is_due, manifests, out)
    _print_toll(pool, toll, manifests, out)
    return 1 if toll.gone_parts else 0


def _print_part(pool: Pool, part: PartAt, out: TextIO) -> None:
    end = part.offset_bytes + part.size_bytes
    text = f"bytes {part.offset_bytes:,} to {end - 1:,}" if part.size_bytes else "empty"
    out.write(f"  part {part.part_number}: {text}\n")
    for copy in part.copies:
        out.write(f"    {_line(pool, copy)}\n")
    if not part.copies:
        out.write("    NO COPY: see s3proxy check\n")


def _print_manifests(
    pool: Pool, is_due: bool, manifests: Sequence[CopyAt], out: TextIO
) -> None:
    if is_due:
        out.write("  manifest copy: to be written by a daemon\n")
    elif not manifests:
        out.write("  manifest copy: none; the parts' own metadata tell all\n")
    for copy in manifests:
        out.write(f"  manifest copy:\n    {_line(pool, copy)}\n")


def _line(pool: Pool, copy: CopyAt) -> str:
    adopted = ", taken in by sync" if copy.is_adopted else ""
    return (
        f"{copy.state}, {size(copy.size_bytes)}{adopted}, on {copy.backend}"
        f"{pool.note(copy.backend)}: {copy.backend_key!r}"
    )


def _print_toll(
    pool: Pool, toll: Toll, manifests: Sequence[CopyAt], out: TextIO
) -> None:
    if toll.gone_parts:
        out.write(
            f"  NOT READABLE NOW: {_share(toll, toll.gone_parts, toll.gone_bytes)}\n"
        )
    out.write("  if one backend dies:\n")
    for name in pool.configured:
        count = toll.lost_parts[name]
        text = "nothing is lost"
        if count:
            text = f"LOST: {_share(toll, count, toll.lost_bytes[name])}"
            if count + toll.gone_parts < toll.parts:
                text += "; ranges of the rest can be read"
        if any(each.backend == name for each in manifests):
            text += "; the manifest copy goes with it"
        out.write(f"    {name}: {text}\n")


def _share(toll: Toll, parts: int, bytes_count: int) -> str:
    if parts == toll.parts:
        return "the whole object"
    whole = size(toll.size_bytes)
    return f"{parts} of {toll.parts} parts, {size(bytes_count)} of {whole}"


async def what_if(
    pool: Pool,
    without: Sequence[str],
    *,
    bucket: str | None,
    progress: Progress,
    out: TextIO,
    page: int = OBJECTS_PAGE,
) -> int:
    """
    Say what would be left without some backends.

    :param bucket: None: of all of them.
    :param page: How many objects a statement looks at.
    :returns: 0 where everything could be read yet, by the ledger; else 1.
    :raises ConfigError: There is no such backend or bucket.
    """
    for name in without:
        if name not in pool.names:
            names = ", ".join(pool.names)
            raise ConfigError(
                f"what-if: --without {name}: there is none, want one of {names}"
            )
    if bucket is not None:
        pool.check_bucket("what-if", bucket)
    sums, after = Losses(), ("", "")
    progress.start()
    while True:
        losses, last = await pool.whereabouts.losses(
            bucket, pool.configured, without, pool.factor, after, page
        )
        if last is None:
            break
        sums.add(losses)
        after = last
        if out.isatty():
            progress.page(sums.objects, f"{sums.objects:,} objects looked at")
    left = [name for name in pool.configured if name not in without]
    progress.line(
        f"without {', '.join(without)}, with {', '.join(left) or 'no backend'}:"
    )
    for line in _lines(sums, pool.factor):
        progress.line(f"  {line}")
    return 1 if sums.lost_objects else 0


def _lines(sums: Losses, factor: int) -> list[str]:
    lines = [
        f"all:      {sums.objects:,} objects, {size(sums.size_bytes)}",
        f"readable: {sums.whole_objects:,} objects whole; "
        f"{size(sums.readable_bytes)} in all",
        f"LOST:     {sums.lost_objects:,} objects, of which "
        f"{size(sums.lost_bytes)} are gone"
        if sums.lost_objects
        else "lost:     nothing",
    ]
    if sums.gone_objects:
        lines.append(
            f"          {sums.gone_objects:,} of these objects cannot be read whole "
            "now either"
        )
    if factor > 1:
        lines.append(
            f"too few:  {sums.few_objects:,} of the readable objects, "
            f"{size(sums.few_bytes)}, have fewer than {factor} copies"
        )
    if sums.bare_objects:
        lines.append(
            f"bare:     {sums.bare_objects:,} of the readable objects lose their "
            "manifest copy: only the ledger knows how their parts make them"
        )
    return lines
