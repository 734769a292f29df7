"""
``drain`` and ``remove``: empty a backend, then forget it.

``drain`` only says so in the ledger, and watches: the daemons do the work, any of them,
with their own breakers and pace, and go on after a restart. So it can be broken off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TextIO

from attrs import define, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from s3proxy.errors import ConfigError
from s3proxy.plan.drainage import Drainage
from s3proxy.plan.placement import Fill, Strategy, Target
from s3proxy.plan.rebalance import Candidate
from s3proxy.wording import size, span

#: Between two looks, and between two lines where there is no terminal.
LOOK_SECONDS, LINE_SECONDS = 2.0, 10.0

#: After which somebody should be at work.
IDLE_SECONDS = 60.0

_BAR = 20
_CLEAR = "\r\x1b[K"
_PAGE = 1000


class Left(Protocol):
    """``store.draining.Left``."""

    @property
    def since(self) -> datetime | None: ...
    @property
    def word(self) -> str | None: ...
    @property
    def copies(self) -> int: ...
    @property
    def bytes_count(self) -> int: ...
    @property
    def uploads(self) -> int: ...
    @property
    def manifests(self) -> int: ...
    @property
    def claims(self) -> int: ...
    @property
    def leaving(self) -> int: ...


class Ledger(Protocol):
    """``store.draining.PostgresDraining``; StoreUnavailable is any method's."""

    async def start(self, backend: str) -> bool:
        """Nothing goes there from now on; whether the ledger knows it."""
        ...

    async def stop(self, backend: str) -> bool:
        """It is as any other again; whether it was being drained."""
        ...

    async def left(self, backend: str) -> Left | None:
        """What it holds; None: the ledger does not know it."""
        ...

    async def candidates(
        self, backend: str, after: str, limit: int
    ) -> Sequence[Candidate]:
        """Live copies of objects' parts there, in order of copy id."""
        ...

    async def remove(self, backend: str) -> bool:
        """Forget it, if it holds nothing; whether that was done."""
        ...


class Fills(Protocol):
    """``store.moving.PostgresMoving``."""

    async def fills(self) -> Mapping[str, Fill]:
        """How full the backends are."""
        ...


@frozen
class Pool:
    """
    The backends as configured.

    :ivar factor: ``replication.factor``; 1 without it.
    """

    ledger: Ledger
    fills: Fills
    targets: Sequence[Target]
    strategy: Strategy
    factor: int
    clock: IReactorTime


async def run(
    pool: Pool, backend: str, *, dry_run: bool, stop: bool, wait: bool, out: TextIO
) -> int:
    """
    Begin to drain a backend, and show how far that is.

    :param dry_run: Only tell what would go where.
    :param stop: Take it back instead.
    :param wait: Until nothing is left.
    :returns: 0 where nothing is left, or it was only begun; 1 where something holds it
        up, which is told: it goes on as soon as it can.
    :raises ConfigError: There is no such backend.
    """
    left = await pool.ledger.left(backend)
    if left is None or backend not in {each.name for each in pool.targets}:
        names = ", ".join(each.name for each in pool.targets)
        raise ConfigError(f"drain {backend}: not configured, want one of {names}")
    if stop:
        was = await pool.ledger.stop(backend)
        out.write(f"{backend} is no longer being drained\n" if was else "it was not\n")
        return 0
    if dry_run:
        return await _preview(pool, backend, left, out)
    await pool.ledger.start(backend)
    if not wait:
        out.write(f"{backend} is being drained; s3proxy status shows how far it is\n")
        return 0
    return await _Watch(pool, backend, out).run()


async def remove(
    ledger: Ledger, backend: str, *, configured: Collection[str], out: TextIO
) -> int:
    """
    Forget a backend of which no row is left.

    :returns: 0; 1 where something is left, which is told.
    :raises ConfigError: There is no such backend, or it is configured.
    """
    left = await ledger.left(backend)
    if left is None:
        raise ConfigError(f"remove {backend}: the ledger knows no such backend")
    if backend in configured:
        raise ConfigError(
            f"remove {backend}: it is in the configuration, and the next start would "
            "enter it again. Take it out of the file and restart the daemons first"
        )
    if await ledger.remove(backend):
        out.write(f"{backend} is forgotten\n")
        return 0
    out.write(f"{backend} stays, it holds {_held(left)}; drain it first\n")
    return 1


async def _preview(pool: Pool, backend: str, left: Left, out: TextIO) -> int:
    plan = Drainage.of(
        backend, pool.targets, await pool.fills.fills(), pool.strategy, pool.factor
    )
    after = ""
    while page := await pool.ledger.candidates(backend, after, _PAGE):
        for copy in page:
            plan.add(copy)
        after = page[-1].copy_id
    moving = plan.copies.total()
    out.write(
        f"{backend}: {moving} copies would move, {size(plan.bytes_count.total())}, "
        f"with {moving} GETs and {moving + plan.beyond} DELETEs there\n"
    )
    for name, count in sorted(plan.copies.items()):
        text = f"{count} copies, {size(plan.bytes_count[name])}, {count} PUTs"
        out.write(f"  to {name}: {text}\n")
    if plan.beyond:
        out.write(f"  {plan.beyond} copies would go: there are enough others\n")
    if left.manifests:
        out.write(f"  {left.manifests} manifest copies would be written elsewhere\n")
    if left.uploads:
        out.write(f"  {left.uploads} parts of open uploads stay until those end\n")
    if plan.stuck:
        out.write(
            f"  NO PLACE for {plan.stuck} copies, {size(plan.stuck_bytes)}: the others "
            "are full, read-only, or have a copy already\n"
        )
        return 1
    return 0


def _held(left: Left) -> str:
    kinds = Counter(
        {
            "copies of objects": left.copies,
            "parts of open uploads": left.uploads,
            "manifest copies": left.manifests,
            "claims": left.claims,
            "copies that are to be deleted": left.leaving,
        }
    )
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)


@define(eq=False)
class _Watch:
    """Until nothing is left, or nothing moves."""

    _pool: Pool
    _backend: str
    _out: TextIO
    _first: int = -1
    _began: float = 0.0
    _moved_at: float = 0.0
    _told_at: float = float("-inf")
    _last: tuple[int, ...] = ()

    async def run(self) -> int:
        clock = self._pool.clock
        self._began = self._moved_at = clock.seconds()
        while True:
            left = await self._pool.ledger.left(self._backend)
            if left is None or left.since is None:
                self._line("another command has ended the drain")
                return 1
            counts = (
                left.copies,
                left.uploads,
                left.manifests,
                left.claims,
                left.leaving,
            )
            if not any(counts):
                self._line(
                    f"nothing is left on {self._backend}: take it out of the "
                    f"configuration, restart the daemons, then run s3proxy remove "
                    f"{self._backend}"
                )
                return 0
            if counts != self._last:
                self._last, self._moved_at = counts, clock.seconds()
            idle = clock.seconds() - self._moved_at
            if left.word and idle > 3 * LOOK_SECONDS:
                self._line(
                    f"{self._backend} holds {_held(left)} still. {left.word}. It goes "
                    "on by itself when that has changed"
                )
                return 1
            self._show(left, idle)
            await deferLater(clock, LOOK_SECONDS)

    def _show(self, left: Left, idle: float) -> None:
        if self._first < 0:
            self._first = left.bytes_count
        now = self._pool.clock.seconds()
        done = max(self._first - left.bytes_count, 0)
        share = done / self._first if self._first else 1.0
        text = f"{share:.0%} moved, {size(left.bytes_count)} left"
        if done and left.bytes_count:
            rest = left.bytes_count * (now - self._began) / done
            text += f", about {span(rest)} to go"
        if not left.copies:
            text = f"all objects moved; {_held(left)} left"
        if idle > IDLE_SECONDS:
            text += f"; nothing has changed for {span(idle)}: is a daemon running?"
        if self._out.isatty():
            bar = "#" * round(share * _BAR)
            self._out.write(f"{_CLEAR}[{bar.ljust(_BAR, '.')}] {text}")
        elif now - self._told_at >= LINE_SECONDS:
            self._told_at = now
            self._out.write(f"{text}\n")
        self._out.flush()

    def _line(self, text: str) -> None:
        if self._out.isatty():
            self._out.write(_CLEAR)
        self._out.write(f"{text}\n")
