"""
What rooms tell of their work, and how they know for whom they do it.

A room is given one of these Protocols. Telemetry listens; :data:`NOBODY` does not. A
listener is quick and never fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Any, Protocol, TypeVar

from attrs import define, frozen

T = TypeVar("T")


class Outcome(Enum):
    """
    How something ended.

    ``refused`` is an answer of one that works (a 4xx); ``aborted`` was given up by
    whoever had asked for it.
    """

    SUCCESS = "success"
    REFUSED = "refused"
    ERROR = "error"
    ABORTED = "aborted"


@define(eq=False)
class Passage:
    """
    One request's way through the rooms.

    :ivar backend: The one that its bytes are on, as far as is known; the latest tried.
    """

    backend: str | None = None


#: The request that is being worked for; None in jobs and at start.
current: ContextVar[Passage | None] = ContextVar("current", default=None)


def note_backend(name: str) -> None:
    """The request that is being worked for is turned to this backend for bytes."""
    passage = current.get()
    if passage is not None:
        passage.backend = name


class View(Protocol):
    """
    The ledger as a standby of the database has it (``store.standbys.StandbyView``).

    :ivar was_read: Whether a statement was answered from it.
    """

    was_read: bool

    @property
    def behind(self) -> str:
        """What was committed so many seconds ago is in it; or ``unknown``."""
        ...

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a statement that reads; fails as one of the primary's does."""
        ...


_view: ContextVar[View | None] = ContextVar("view", default=None)


@contextmanager
def reading(view: View | None) -> Iterator[None]:
    """All of the ledger's statements in this block go to *view*; None: the primary."""
    before = _view.set(view)
    try:
        yield
    finally:
        _view.reset(before)


def current_view() -> View | None:
    """What stands for the ledger here; None: the primary, as nearly always."""
    return _view.get()


class BackendWatch(Protocol):
    """Listens to calls of backends."""

    def called(
        self,
        backend: str,
        operation: str,
        seconds: float | None,
        why: BaseException | None,
    ) -> None:
        """
        A call has ended.

        :param operation: As S3 names it.
        :param seconds: How long the backend took; None: it was not the backend's time.
        :param why: What it failed with; None: it did not.
        """
        ...

    def opened(self, backend: str, calls: str) -> None:
        """
        A breaker has opened: the backend is left alone for a while.

        :param calls: Which calls are not made, ``write`` or ``read``.
        """
        ...


class StatementWatch(Protocol):
    """Listens to statements of the ledger."""

    async def statement(self, name: str, work: Awaitable[T]) -> T:
        """Await the statement; its result, or its failure, is passed on."""
        ...


class RoundWatch(Protocol):
    """Listens to the rounds of jobs."""

    async def round(self, job: str, work: Awaitable[T]) -> T:
        """Await a round; its result, or its failure, is passed on."""
        ...


class _Nobody:
    """Every listener, and none of them listens."""

    def called(
        self,
        backend: str,
        operation: str,
        seconds: float | None,
        why: BaseException | None,
    ) -> None:
        """See :class:`BackendWatch`."""

    def opened(self, backend: str, calls: str) -> None:
        """See :class:`BackendWatch`."""

    async def statement(self, name: str, work: Awaitable[T]) -> T:
        """See :class:`StatementWatch`."""
        return await work

    async def round(self, job: str, work: Awaitable[T]) -> T:
        """See :class:`RoundWatch`."""
        return await work


NOBODY = _Nobody()


@frozen
class Quota:
    """How full a backend is; *limit_bytes* 0 is no limit."""

    backend: str
    used_bytes: int
    limit_bytes: int


@frozen
class Unsettled:
    """
    Copies of a backend that are not live.

    :ivar state: ``claimed``, ``garbage`` or ``abandoned``.
    :ivar late_count: Claims whose lease is over, or copies whose delete has been tried
        more than once.
    """

    backend: str
    state: str
    count: int
    size_bytes: int
    late_count: int


@frozen
class Counts:
    """
    What takes long to count.

    :ivar objects: For each backend, those of which it holds a byte.
    :ivar uploads: Likewise, uploads that are open.
    """

    objects: dict[str, int]
    uploads: dict[str, int]


class Numbers(Protocol):
    """What the ledger knows (``store.numbers.PostgresNumbers``): StoreUnavailable."""

    async def quotas(self) -> list[Quota]:
        """Every backend that the ledger knows."""
        ...

    async def unsettled(self) -> list[Unsettled]:
        """Copies that are not live, by backend and state."""
        ...

    async def waiting(self) -> tuple[int, int]:
        """Objects whose manifest copy is to be written; long reads under way."""
        ...

    async def held(self) -> str | None:
        """Why nothing may be deleted; None where all is well."""
        ...

    async def usage(self) -> list[tuple[str, str, int]]:
        """Backend, kind, and what was used of it this month."""
        ...

    async def quarantined(self) -> dict[str, int]:
        """Copies that are known to be bad, by backend."""
        ...

    async def counts(self) -> Counts:
        """Looks at every copy."""
        ...
