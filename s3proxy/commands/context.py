"""What a subcommand works with: the ledger and the backends, opened for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from s3proxy.manager.ports import Backend
from s3proxy.model import FoundObject
from s3proxy.plan.adoption import Adopted
from s3proxy.plan.rebuild import FoundCopy, HeldObject, KeyPlan


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


class Rebuild(Protocol):
    """``store.rebuild.Rebuild``. Every method may raise StoreUnavailable."""

    async def forget(self, backends: Collection[str]) -> None:
        """Nothing is noted of these backends."""
        ...

    async def note(self, page: Sequence[FoundCopy]) -> None:
        """Note what was found; again does no harm."""
        ...

    async def installations(self, backends: Collection[str]) -> Mapping[str, int]:
        """How many of the noted ones each installation has, most first."""
        ...

    async def is_empty(self) -> bool:
        """Whether the ledger knows of no byte."""
        ...

    async def become(self, installation_id: str) -> str:
        """Make an empty ledger that installation's; whose it is then."""
        ...

    async def keys(
        self,
        installations: Collection[str],
        backends: Collection[str],
        after: tuple[str, str],
    ) -> Sequence[tuple[str, str]]:
        """The next buckets and keys of which something is noted, in order."""
        ...

    async def copies(
        self,
        installations: Collection[str],
        backends: Collection[str],
        keys: Sequence[tuple[str, str]],
    ) -> Mapping[tuple[str, str], Sequence[FoundCopy]]:
        """What is noted of them and has no row now."""
        ...

    async def held(
        self, keys: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], HeldObject]:
        """The objects that the ledger has of these keys."""
        ...

    async def owners(self, part_ids: Collection[str]) -> Mapping[str, str]:
        """Object ids by part id, for those parts that objects have."""
        ...

    async def taken(self, part_ids: Collection[str]) -> Mapping[tuple[str, str], bool]:
        """Parts and backends with a claimed or live copy; whether it is live."""
        ...

    async def apply(self, plans: Sequence[KeyPlan]) -> Mapping[tuple[str, str], str]:
        """
        Carry plans out, all in one transaction.

        :returns: ``done``, ``again`` where the ledger has another object by now,
            ``clash`` where a part is another object's, or ``no_bucket`` where the
            bucket is deleted; those three change nothing.
        """
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
    rebuild: Rebuild
    backends: Mapping[str, Backend]
    installation_id: str
    buckets: Collection[str]
    clock: IReactorTime
