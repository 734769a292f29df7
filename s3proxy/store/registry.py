"""What the ledger knows of backends and buckets, brought in line at start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from attrs import define, frozen

from s3proxy.errors import StoreError
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided


class BackendMoved(StoreError):
    """A configured backend is not where the ledger has its bytes; says what to do."""


@frozen
class BackendEntry:
    """A backend as configured: where it is, and how much may go there (0: no limit)."""

    name: str
    location: str
    bytes_limit: int


class BucketTaken(StoreError):
    """A configured bucket belongs to a client that made it; says what to do."""


@frozen
class Registered:
    """
    Configured buckets.

    :ivar created: When each was made.
    :ivar taken: Those that were made at run time, and whose they were until now.
    """

    created: Mapping[str, datetime]
    taken: Sequence[tuple[str, str]]


@define(eq=False)
class Registry:
    """Reads and writes ``backend_quotas`` and ``buckets``."""

    pool: Pool

    async def register(
        self, backends: Collection[BackendEntry], accept_moved: Collection[str]
    ) -> None:
        """
        Record limits, and locations at first use.

        :param accept_moved: Names whose move or absence the operator vouches for.
        :raises BackendMoved: A location differs from the recorded one, or a backend
            that still has rows is not configured.
        """
        await self.check(backends, accept_moved)
        for each in backends:
            await run_decided(
                self.pool,
                "put_backend",
                name=each.name,
                location=each.location,
                bytes_limit=each.bytes_limit,
            )

    async def check(
        self, backends: Collection[BackendEntry], accept_moved: Collection[str]
    ) -> None:
        """As :meth:`register`, but nothing is recorded."""
        problems = []
        configured: Mapping[str, BackendEntry] = {each.name: each for each in backends}
        for name, location, _limit, _used, has_rows in await run_decided(
            self.pool, "backend_rows"
        ):
            entry = configured.get(name)
            if name in accept_moved:
                continue
            if entry is None and has_rows:
                problems.append(
                    f"backend {name} ({location}) still has rows in the ledger but is "
                    f"not configured: add it again, or pass --accept-moved {name} if "
                    "its bytes are to stay unreachable"
                )
            elif entry and location and entry.location != location and has_rows:
                problems.append(
                    f"backend {name} is at {entry.location}, but its bytes were "
                    f"written to {location}: mend the configuration, or pass "
                    f"--accept-moved {name} if you have moved the bytes there"
                )
        if problems:
            raise BackendMoved("; ".join(problems))

    async def register_buckets(
        self, names: Collection[str], may_take: Callable[[str, str], bool]
    ) -> Registered:
        """
        Make sure of configured buckets.

        :param may_take: Called with the name of one that was made at run time, and its
            owner: whether it becomes one of the configuration's, with its objects.
        :raises BucketTaken: It may not; nothing has been changed.
        """
        wanted = sorted(names)
        taken = [
            (name, owner)
            for name, _, owner in await run_decided(
                self.pool, "bucket_rows", names=wanted
            )
            if owner is not None
        ]
        problems = [each for each in taken if not may_take(*each)]
        if problems:
            raise BucketTaken(
                "\n".join(
                    f"bucket {name} was made at run time by access key {owner}, and is "
                    "that one's: choose another name, or name it in the buckets of "
                    f"{owner}, too, if it is to be shared"
                    for name, owner in problems
                )
            )
        await run_decided(self.pool, "put_buckets", names=wanted)
        for name, owner in taken:
            await run_decided(self.pool, "take_bucket", bucket=name, owner=owner)
        rows = await run_decided(self.pool, "bucket_rows", names=wanted)
        return Registered({name: made for name, made, _ in rows}, taken)

    async def names(self) -> list[str]:
        """Every bucket that there is, made at run time or configured."""
        return [name for (name,) in await run_decided(self.pool, "bucket_names")]

    async def held_buckets(self) -> list[tuple[str, str | None]]:
        """Buckets that hold objects; with their owners, if they were made so."""
        return [
            (name, owner)
            for name, owner in await run_decided(self.pool, "held_buckets")
        ]

    async def installation_id(self) -> str:
        """Which installation this database is."""
        ((found,),) = await run_decided(self.pool, "installation_id")
        return str(found)
