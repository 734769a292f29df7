"""What the pages show, matched by shape: they ask the ledger, and no backend."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from s3proxy.model import ListPage
from s3proxy.plan.overview import BackendFill, JobRow
from s3proxy.plan.usage import Used


class Status(Protocol):
    """``store.status.Status``; StoreUnavailable is any method's."""

    async def backends(self) -> Sequence[BackendFill]:
        """Every backend that the ledger knows, by name."""
        ...

    async def jobs(self) -> Sequence[JobRow]:
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
