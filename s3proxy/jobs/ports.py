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


D = TypeVar("D", bound=Due)


class Janitor(Protocol[D]):
    """``store.janitor.Janitor``. Every method may raise StoreUnavailable."""

    async def reap(self, limit: int) -> int:
        """Abandon claims whose lease is over; returns how many."""
        ...

    async def collect(self, backend: str, limit: int) -> list[D]:
        """Take due garbage of *backend*."""
        ...

    async def collected(self, done: list[D]) -> int:
        """Record confirmed deletes; returns how many rows were forgotten."""
        ...

    async def unpin_expired(self) -> None:
        """Forget read pins that nobody renewed."""
        ...
