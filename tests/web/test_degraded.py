"""s3proxy.web.degraded: when a request is answered from a standby, and how it shows."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, field
from pytest_twisted import ensureDeferred

from s3proxy.errors import NoSuchKey, StoreUnavailable
from s3proxy.observe import current_view, reading
from s3proxy.plan import access
from s3proxy.telemetry.trail import Trail
from s3proxy.web.degraded import READS, Degraded, check_readable

AWAY = StoreUnavailable("the primary is away")


@define(eq=False)
class OldView:
    """A standby; reading it is told to it."""

    behind: str = "7"
    was_read: bool = False

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        self.was_read = True
        return []


@define(eq=False)
class Ground:
    """
    A request, and the ledger that it reads.

    :ivar primary: What reading the primary ends in; "" where it answers.
    :ivar seen: What each reading was of.
    :ivar asked: How often a standby was asked for.
    """

    primary: Exception | None = None
    standby: Exception | None = None
    view_found: OldView | None = field(factory=OldView)
    suspects: bool = False
    seen: list[str] = field(factory=list)
    asked: int = 0
    counted: list[str] = field(factory=list)
    trail: Trail = field(factory=lambda: Trail("R1", operation="GetObject"))

    async def view(self) -> OldView | None:
        self.asked += 1
        return self.view_found

    async def work(self) -> str:
        view = current_view()
        if view is None:
            self.seen.append("primary")
            if self.primary is not None:
                raise self.primary
            return "new"
        self.seen.append("standby")
        await view.query("SELECT 1")
        if self.standby is not None:
            raise self.standby
        return "old"

    async def ask(self, method: bytes = b"GET") -> str:
        degraded = Degraded(self, self.counted.append)
        request: Any = SimpleNamespace(method=method, trail=self.trail)
        try:
            return await degraded.over(request, self.work)
        finally:
            assert current_view() is None


@pytest.mark.parametrize("why", [None, NoSuchKey()])
@ensureDeferred
async def test_the_primary_answers(why: Exception | None) -> None:
    """Whatever it says, nobody asks for a standby."""
    ground = Ground(primary=why)
    if why is None:
        assert await ground.ask() == "new"
    else:
        with pytest.raises(NoSuchKey):
            await ground.ask()
    assert (ground.seen, ground.asked, ground.trail.stale) == (["primary"], 0, "")


@pytest.mark.parametrize("suspects", [False, True])
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
@ensureDeferred
async def test_the_primary_is_away(suspects: bool, method: bytes) -> None:
    """The standby answers, and it shows. Known to be away, the primary is spared."""
    ground = Ground(primary=AWAY, suspects=suspects)
    assert await ground.ask(method) == "old"
    assert ground.seen == (["standby"] if suspects else ["primary", "standby"])
    assert ground.asked == 1
    assert ground.trail.stale == "7"
    assert ground.counted == ["GetObject"]


@pytest.mark.parametrize("method", [b"PUT", b"POST", b"DELETE", b"PATCH"])
@pytest.mark.parametrize("suspects", [False, True])
@ensureDeferred
async def test_what_may_write_is_tried_once(suspects: bool, method: bytes) -> None:
    """On the primary; its body could not be read again, either."""
    ground = Ground(primary=AWAY, suspects=suspects)
    with pytest.raises(StoreUnavailable):
        await ground.ask(method)
    assert (ground.seen, ground.asked) == (["primary"], 0)


@ensureDeferred
async def test_a_failure_while_the_primary_answers() -> None:
    """Asked again it answers, or no standby is fit: the failure stands."""
    ground = Ground(primary=AWAY, view_found=None)
    with pytest.raises(StoreUnavailable):
        await ground.ask()
    assert (ground.seen, ground.asked, ground.trail.stale) == (["primary"], 1, "")


@ensureDeferred
async def test_the_primary_is_back() -> None:
    """It was away, and answers when asked."""
    ground = Ground(suspects=True, view_found=None)
    assert await ground.ask() == "new"
    assert (ground.seen, ground.trail.stale) == (["primary"], "")


@pytest.mark.parametrize("why", [NoSuchKey(), StoreUnavailable("gone, too")])
@ensureDeferred
async def test_an_error_from_a_standby_is_marked(why: Exception) -> None:
    """A 404 most of all: the key may be there by now."""
    ground = Ground(primary=AWAY, standby=why)
    with pytest.raises(type(why)):
        await ground.ask()
    assert ground.trail.stale == "7"


@ensureDeferred
async def test_what_reads_no_ledger_is_not_marked() -> None:
    """HEAD of a bucket of the configuration, say."""
    ground = Ground(suspects=True)

    async def work() -> str:
        return "known by heart"

    request: Any = SimpleNamespace(method=b"HEAD", trail=ground.trail)
    degraded = Degraded(ground, ground.counted.append)
    assert await degraded.over(request, work) == "known by heart"
    assert (ground.trail.stale, ground.counted) == ("", [])


@ensureDeferred
async def test_without_standbys() -> None:
    """As it has always been."""
    ground = Ground(primary=AWAY)
    request: Any = SimpleNamespace(method=b"GET", trail=ground.trail)
    with pytest.raises(StoreUnavailable):
        await Degraded().over(request, ground.work)


@pytest.mark.parametrize("kind", access.NEEDS, ids=lambda kind: kind.__name__)
def test_which_operations_go_on(kind: type[object]) -> None:
    """What writes never does; on the primary everything does."""
    op = object.__new__(kind)
    check_readable(op)
    with reading(OldView()):
        if kind in READS:
            check_readable(op)
            reads = (access.Need.NOTHING, access.Need.SEE)
            assert access.NEEDS[kind] in (*reads, access.Need.LIST, access.Need.READ)
        else:
            with pytest.raises(StoreUnavailable, match=kind.__name__):
                check_readable(op)
