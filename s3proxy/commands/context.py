"""What a subcommand works with: the ledger and the backends, opened for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from s3proxy.manager.ports import Backend
from s3proxy.model import FoundObject
from s3proxy.plan.adoption import Adopted


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
    @property
    def is_adopted(self) -> bool: ...


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


class Adoption(Protocol):
    """``store.adoption.Adoption``. Every method may raise StoreUnavailable."""

    async def adopt(
        self, backend: str, bucket: str, page: Sequence[FoundObject]
    ) -> Mapping[str, Adopted]:
        """
        Take objects in where they are, all in one transaction; none replaces another.

        Adopting again what is adopted changes nothing.

        :param page: Of different keys.
        :returns: What was done, by key.
        """
        ...

    async def preview(
        self, backend: str, bucket: str, page: Sequence[FoundObject]
    ) -> Mapping[str, Adopted]:
        """What :meth:`adopt` would do; nothing is changed."""
        ...


@frozen
class Context:
    """
    :ivar backends: The configured ones, by name.
    :ivar installation_id: What backend objects of ours carry.
    :ivar buckets: Those that clients can see.
    :ivar clock: To wait by, and to tell how fast it goes.
    """

    checks: Checks
    adoption: Adoption
    backends: Mapping[str, Backend]
    installation_id: str
    buckets: Collection[str]
    clock: IReactorTime
