"""What the pages show, matched by shape: they ask the ledger, and no backend."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from s3proxy.model import ListPage
from s3proxy.plan.usage import Used


class Fill(Protocol):
    """``store.status.BackendFill``: bytes of one backend."""

    @property
    def name(self) -> str: ...
    @property
    def used_bytes(self) -> int: ...
    @property
    def limit_bytes(self) -> int: ...
    @property
    def leaving_bytes(self) -> int: ...
    @property
    def claimed_bytes(self) -> int: ...
    @property
    def is_draining(self) -> bool: ...


class JobDone(Protocol):
    """``store.jobs.JobRow``: what a kind of work did last."""

    @property
    def name(self) -> str: ...
    @property
    def process(self) -> str | None: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def is_good(self) -> bool | None: ...
    @property
    def result(self) -> str | None: ...
    @property
    def next_run_at(self) -> datetime | None: ...
    @property
    def taken_by(self) -> str | None: ...
    @property
    def now(self) -> datetime: ...


class Status(Protocol):
    """``store.status.Status``; StoreUnavailable is any method's."""

    async def backends(self) -> Sequence[Fill]:
        """Every backend that the ledger knows, by name."""
        ...

    async def jobs(self) -> Sequence[JobDone]:
        """By name."""
        ...

    async def under_replicated(self, factor: int) -> tuple[int, int]:
        """Parts with fewer live copies than that, and those of them without any."""
        ...

    async def usage(self) -> Sequence[Used]:
        """What was used of this month's budgets."""
        ...


class OpenUpload(Protocol):
    """``store.overview.OpenUpload``: an upload under way."""

    @property
    def bucket(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def parts(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...


class Minute(Protocol):
    """``store.traffic.Minute``: requests of one minute."""

    @property
    def at(self) -> datetime: ...
    @property
    def requests(self) -> int: ...
    @property
    def client_errors(self) -> int: ...
    @property
    def server_errors(self) -> int: ...


class Overview(Protocol):
    """``store.overview.Overview``; StoreUnavailable is any method's."""

    async def uploads(self, limit: int) -> tuple[int, Sequence[OpenUpload]]:
        """How many are open, and the oldest of them."""
        ...

    async def buckets(self) -> Sequence[str]:
        """Every bucket, by name."""
        ...


class Traffic(Protocol):
    """``store.traffic.Traffic``."""

    async def last_hour(self) -> Sequence[Minute]:
        """Sixty minutes, the oldest first; StoreUnavailable."""
        ...


class Lister(Protocol):
    """``manager.objects.Objects``."""

    async def list_objects(
        self, bucket: str, prefix: str, delimiter: str, after: str, limit: int
    ) -> ListPage:
        """One page of keys and common prefixes after *after*; NoSuchBucket."""
        ...
