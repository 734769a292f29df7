"""What a subcommand works with: the ledger and the backends, opened for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import frozen

from s3proxy.manager.ports import Backend


class BackendSums(Protocol):
    """``store.checks.BackendSums``."""

    @property
    def name(self) -> str: ...
    @property
    def bytes_used(self) -> int: ...
    @property
    def bytes_limit(self) -> int: ...
    @property
    def bytes_summed(self) -> int: ...
    @property
    def claimed(self) -> int: ...
    @property
    def live(self) -> int: ...
    @property
    def garbage(self) -> int: ...
    @property
    def abandoned(self) -> int: ...


class CopyRow(Protocol):
    """``store.checks.CopyRow``."""

    @property
    def copy_id(self) -> str: ...
    @property
    def backend_key(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def backend_etag(self) -> str | None: ...
    @property
    def state(self) -> str: ...


class Checks(Protocol):
    """``store.checks.Checks``. Every method may raise StoreUnavailable."""

    async def sums(self) -> Sequence[BackendSums]:
        """Every backend's counter and rows."""
        ...

    async def live_page(
        self, backend: str, after: str, limit: int
    ) -> Sequence[CopyRow]:
        """Live copies in order of copy id."""
        ...

    async def rows_of_keys(self, backend: str, keys: list[str]) -> Sequence[CopyRow]:
        """The rows of these backend keys, in any state."""
        ...

    async def broken_objects(self) -> list[str]:
        """What the ledger alone shows to be wrong, a line each."""
        ...

    async def wanted_manifests(self) -> int:
        """How many objects wait for their manifest copy to be written."""
        ...


@frozen
class Context:
    """
    :ivar backends: The configured ones, by name.
    :ivar installation_id: What backend objects of ours carry.
    """

    checks: Checks
    backends: Mapping[str, Backend]
    installation_id: str
