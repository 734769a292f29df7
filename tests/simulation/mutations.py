"""
Rules taken away, one at a time, to see that the simulation notices. Those that
schema.sql keeps are taken from the ledger in memory, which stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import evolve, frozen

from s3proxy.errors import ServiceUnavailable
from s3proxy.jobs.collecting import Collector
from s3proxy.manager.ports import CopyState, MadeCopy
from s3proxy.manager.writing import _TRY_AGAIN, Writer
from tests.fakes.ledger import MemoryDue, MemoryLedger, Row

_collect = MemoryLedger.collect
_batch = Collector._batch


def _take_all(ledger: MemoryLedger, made: Sequence[MadeCopy], least: int) -> list[Row]:
    found = [(ledger.rows.get(each.claim.copy.copy_id), each) for each in made]
    rows = []
    for row, each in found:
        if row is not None:
            row.copy = evolve(row.copy, backend_etag=each.stored.etag)
            rows.append(row)
    return rows


async def _collect_at_once(
    ledger: MemoryLedger, backend: str, limit: int
) -> list[MemoryDue]:
    for row in ledger.rows.values():
        if row.state is CopyState.GARBAGE and not row.attempts:
            row.due_at = ledger._now()
    pins, ledger.pins = ledger.pins, {}
    try:
        return await _collect(ledger, backend, limit)
    finally:
        ledger.pins = pins


async def _promise(writer: Any, write: Any, claims: Any, md5: str) -> Any:
    if await writer._ledger.settle(*claims) in (CopyState.LIVE, CopyState.GARBAGE):
        return write.settled(md5)
    raise ServiceUnavailable(_TRY_AGAIN)


async def _believe(writer: Any, write: Any, claims: object, md5: str) -> Any:
    return write.settled(md5)


def _abandon_once(ledger: MemoryLedger, row: Row, *, delete_twice: bool) -> None:
    row.state, row.due_at = CopyState.ABANDONED, ledger._now()


async def _forget_first(collector: Any, backend: Any, due: Any, delete: Any) -> int:
    count: int = await collector._janitor.collected(due)
    await _batch(collector, backend, due, delete)
    return count


@frozen
class Mutation:
    """
    A rule that is not kept.

    :ivar words: What is wrong.
    :ivar instead: What stands in place of *kind*'s *method*.
    """

    words: str
    kind: type
    method: str
    instead: Callable[..., Any]


MUTATIONS = {
    "unclaimed": Mutation(
        "A commit does not ask whether its claim is claimed yet (rule 9).",
        MemoryLedger,
        "_stored",
        _take_all,
    ),
    "no-grace": Mutation(
        "The collector takes garbage before its grace, and whatever is pinned.",
        MemoryLedger,
        "collect",
        _collect_at_once,
    ),
    "believe": Mutation(
        "A commit of unknown outcome is taken for done (rule 10).",
        Writer,
        "_settle",
        _believe,
    ),
    "promise": Mutation(
        "After a lost commit whose claim is gone, the old object is said to be there. "
        "The product did that; the simulation found it.",
        Writer,
        "_settle",
        _promise,
    ),
    "delete-once": Mutation(
        "What was given up is not deleted again after ledger.late (rule 22).",
        MemoryLedger,
        "_abandon",
        _abandon_once,
    ),
    "forget-first": Mutation(
        "The collector forgets a row, and deletes its bytes after that (rule 20).",
        Collector,
        "_batch",
        _forget_first,
    ),
}


@contextmanager
def broken(name: str) -> Iterator[None]:
    """For as long as the block runs."""
    mutation = MUTATIONS[name]
    was = getattr(mutation.kind, mutation.method)
    setattr(mutation.kind, mutation.method, mutation.instead)
    try:
        yield
    finally:
        setattr(mutation.kind, mutation.method, was)
