"""What the jobs need of the ledger, as a Protocol matched by shape."""

from __future__ import annotations

from typing import Protocol, TypeVar


class Due(Protocol):
    """A backend object to delete (``store.janitor.Due``)."""

    @property
    def copy_id(self) -> str:
        """The row."""
        ...

    @property
    def backend_key(self) -> str:
        """The key to delete."""
        ...

    @property
    def version_id(self) -> str | None:
        """The version to delete, on a versioned backend."""
        ...

    @property
    def size_bytes(self) -> int:
        """Of what sync took in: its key may hold something else by now."""
        ...

    @property
    def backend_etag(self) -> str | None:
        """Likewise."""
        ...


D = TypeVar("D", bound=Due)


class Janitor(Protocol[D]):
    """``store.janitor.Janitor``. Every method may raise StoreUnavailable."""

    async def reap(self, limit: int) -> int:
        """Abandon claims whose lease is over; returns how many."""
        ...

    async def collect(self, backend: str, limit: int) -> list[D]:
        """Take due garbage of *backend*."""
        ...

    async def collect_adopted(self, backend: str, limit: int) -> list[D]:
        """Take due garbage of *backend* among what sync took in, which is apart."""
        ...

    async def collected(self, done: list[D]) -> int:
        """Record confirmed deletes; returns how many rows are done with."""
        ...

    async def let_go(self, changed: list[D]) -> int:
        """Forget adopted copies whose key holds something else; returns how many."""
        ...

    async def held(self) -> str | None:
        """Why nothing may be deleted (rule 24); None where all is well."""
        ...

    async def unpin_expired(self) -> None:
        """Forget read pins that nobody renewed."""
        ...
