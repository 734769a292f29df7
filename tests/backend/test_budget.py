"""s3proxy.backend.budget, and what the client pays for."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from s3proxy.backend.budget import Allowance, Budget
from s3proxy.backend.client import S3Backend
from s3proxy.backend.guarded import GuardedBackend, Health
from s3proxy.config import BackendConfig
from s3proxy.errors import (
    BackendBusy,
    BackendMismatch,
    BackendRefused,
    BackendSpent,
    StoreUnavailable,
)
from s3proxy.plan.placement import Standing
from s3proxy.plan.usage import Grant, Kind, class_of
from tests.backend.conftest import now
from tests.contracts.backend import make_copy, read_all
from tests.faults import Reply, Stub, error, http

DECEMBER = date(2026, 12, 1)


class MemoryUsage:
    """The account, in memory; months of 1000 seconds."""

    def __init__(self) -> None:
        self.used: Counter[tuple[Kind, date | None]] = Counter()
        self.month = DECEMBER
        self.asked = 0
        self.is_away = False
        self.gate: Deferred[None] | None = None

    async def reserve(
        self, backend: str, kind: Kind, least: int, most: int, limit: int
    ) -> Grant:
        """See UsageLedger."""
        self.asked += 1
        if self.gate is not None:
            await self.gate
        if self.is_away:
            raise StoreUnavailable("away")
        room = max(limit - self.used[kind, self.month], 0)
        granted = 0 if room < least else min(most, room)
        self.used[kind, self.month] += granted
        return Grant(granted, room - granted, self.month, 1000.0)

    async def add(
        self, backend: str, kind: Kind, month: date | None, amount: int
    ) -> None:
        """See UsageLedger."""
        self.used[kind, month or self.month] += amount


@pytest.fixture
def usage() -> MemoryUsage:
    """Nothing used."""
    return MemoryUsage()


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"PUT", b"/b/k", "class_a"),
        (b"POST", b"/b/k", "class_a"),
        (b"GET", b"/b/?list-type=2&prefix=", "class_a"),
        (b"GET", b"/b/list-type=2", "class_b"),
        (b"HEAD", b"/b/k", "class_b"),
        (b"GET", b"/b/k?versionId=1", "class_b"),
        (b"DELETE", b"/b/k", None),
    ],
)
def test_classes(method: bytes, target: bytes, expected: Kind | None) -> None:
    """As S3 providers have them."""
    assert class_of(method, target) == expected


@ensureDeferred
async def test_a_new_month_begins_anew(usage: MemoryUsage, clock: Clock) -> None:
    """What is left of the old one stays there, refunds too."""
    allowance = Allowance("b", "class_a", 50, usage, clock.seconds)
    refund = await allowance.take(40)
    clock.advance(1000)
    usage.month = january = date(2027, 1, 1)
    await allowance.take(50)
    refund(5)
    with pytest.raises(BackendSpent):
        await allowance.take(1)
    await allowance.settle(everything=True)
    assert dict(usage.used) == {
        ("class_a", DECEMBER): 35,
        ("class_a", january): 50,
    }


@ensureDeferred
async def test_the_database_is_not_asked_again_at_once(
    usage: MemoryUsage, clock: Clock
) -> None:
    """Another process may return what it has: after a while it is asked."""
    usage.used["class_a", DECEMBER] = 50
    allowance = Allowance("b", "class_a", 50, usage, clock.seconds)
    for _ in range(3):
        with pytest.raises(BackendSpent):
            await allowance.take(1)
    assert usage.asked == 1 and not allowance.allows(1)
    usage.used["class_a", DECEMBER] = 49
    clock.advance(5)
    assert allowance.allows(1)
    await allowance.take(1)


@ensureDeferred
async def test_who_goes_away_while_it_is_asked(
    usage: MemoryUsage, clock: Clock
) -> None:
    """What is granted is for those that come after."""
    usage.gate = Deferred()
    allowance = Allowance("b", "class_a", 50, usage, clock.seconds)
    gone = Deferred.fromCoroutine(allowance.take(1))
    waits = Deferred.fromCoroutine(allowance.take(1))
    gone.addErrback(lambda _: None)
    gone.cancel()
    usage.gate.callback(None)
    await waits
    await allowance.take(49)
    assert usage.asked == 1


@ensureDeferred
async def test_without_the_database(usage: MemoryUsage, clock: Clock) -> None:
    """What is reserved can be used; nothing else is, and deletes are counted later."""
    allowance = Allowance("b", "class_a", 50, usage, clock.seconds)
    usage.is_away = True
    with pytest.raises(BackendBusy, match="cannot be looked up") as told:
        await allowance.take(1)
    assert not told.value.landed and not isinstance(told.value, BackendSpent)
    allowance.owe(2)
    usage.is_away = False
    await allowance.settle(everything=False)
    assert usage.used["class_a", DECEMBER] == 2


@async_yield_fixture
async def paid(
    reactor: Any, stub_config: BackendConfig, clock: Clock, usage: MemoryUsage
) -> AsyncIterator[S3Backend]:
    """A client of the stub whose every kind has a limit of 10."""
    limits = dict.fromkeys(("class_a", "class_b", "egress_bytes", "ingress_bytes"), 10)
    backend = S3Backend(
        stub_config,
        reactor=reactor,
        now=now,
        clock=clock,
        budget=Budget.of("b", limits, usage, clock.seconds),
    )
    yield backend
    await backend.close()


async def used(backend: S3Backend, usage: MemoryUsage) -> dict[str, int]:
    """Once it is told."""
    await backend._budget.settle(everything=True)
    return {kind: amount for (kind, _), amount in usage.used.items() if amount}


@ensureDeferred
async def test_what_calls_cost(stub: Stub, paid: S3Backend, usage: MemoryUsage) -> None:
    """A PUT, a GET of some bytes, a HEAD and a DELETE."""
    stub.replies = [Reply(http(200))]
    upload = await paid.open_put(make_copy("k", 4), {}, sha256=None, md5=None)
    await upload.finish(b"1234", md5="")
    assert await used(paid, usage) == {"class_a": 1, "ingress_bytes": 4}
    stub.replies += [Reply(http(200, b"1234"))]
    assert await read_all(await paid.open_get(make_copy("k", 4), 0, 4)) == b"1234"
    stub.replies += [Reply(error(503, "Busy")), Reply(http(404, length=None))]
    with pytest.raises(Exception, match="503"):
        await paid.open_get(make_copy("k", 4), 0, 4)
    with pytest.raises(Exception, match="404"):
        await paid.head("k")
    stub.replies += [Reply(http(204, length=None))]
    await paid.delete("k", None)
    assert await used(paid, usage) == {
        "class_a": 1,
        "ingress_bytes": 4,
        "class_b": 3,
        "egress_bytes": 4,
    }


@ensureDeferred
async def test_what_is_not_sent_is_given_back(
    stub: Stub, paid: S3Backend, usage: MemoryUsage
) -> None:
    """A PUT that ends early has cost the bytes that went."""
    upload = await paid.open_put(make_copy("k", 9), {}, sha256=None, md5=None)
    await upload.write(b"123")
    upload.abort()
    assert await used(paid, usage) == {"class_a": 1, "ingress_bytes": 3}


@ensureDeferred
async def test_nothing_is_sent_beyond_the_budget(
    stub: Stub, paid: S3Backend, usage: MemoryUsage
) -> None:
    """Nothing landed, and the backend is none the worse for it; deletes go on."""
    with pytest.raises(BackendSpent) as told:
        await paid.open_put(make_copy("k", 11), {}, sha256=None, md5=None)
    assert not told.value.landed
    with pytest.raises(BackendSpent):
        await paid.open_get(make_copy("k", 11), 0, 11)
    usage.used["class_b", DECEMBER] = usage.used["class_a", DECEMBER] = 10
    with pytest.raises(BackendSpent):
        await paid.head("k")
    with pytest.raises(BackendSpent) as told:
        await paid.open_put(make_copy("k", 1), {}, sha256=None, md5=None)
    assert not told.value.landed and not paid.is_failing
    assert stub.received == []
    stub.replies = [
        Reply(http(200, length=5, headers={"etag": '"e"'})),
        Reply(http(204, length=None)),
    ]
    assert await paid.delete_unchanged("k", None, 5, "e")
    assert [each.method for each in stub.received] == ["HEAD", "DELETE"]
    assert "x-s3proxy-paid" not in stub.received[0].headers
    assert (await used(paid, usage))["class_b"] == 11


def test_health_goes_round_a_spent_backend(usage: MemoryUsage, clock: Clock) -> None:
    """Placement by size, reads by whether anything may be read."""
    budget = Budget.of("b", {"class_b": 0, "ingress_bytes": 10}, usage, clock.seconds)
    for allowance in budget._allowances.values():
        allowance._take_in(Grant(0, allowance.limit, DECEMBER, 1000.0))
    inner: Any = type("Inner", (), {"name": "b"})()
    guarded = GuardedBackend(inner, clock, clock.seconds)
    health = Health({"b": guarded}, {"b": budget})
    assert not health.is_spent("b", 10) and health.is_spent("b", 11)
    assert health.of_reads("b")[0] is Standing.RESTING
    assert health.of_writes("b") is Standing.READY
    budget.owe("ingress_bytes", 11)
    assert health.of_writes("b") is Standing.RESTING
    assert Health({"b": guarded}).of_reads("b")[0] is Standing.READY


@ensureDeferred
async def test_a_second_try_is_another_call(
    stub: Stub, paid: S3Backend, usage: MemoryUsage
) -> None:
    """A kept connection turns out to be closed: the call goes again, and counts."""
    stub.replies = [
        Reply(http(200, b"1234"), then="end_at_next"),
        Reply(http(200, b"1234")),
    ]
    for _ in range(2):
        assert await read_all(await paid.open_get(make_copy("k", 4), 0, 4)) == b"1234"
    assert await used(paid, usage) == {"class_b": 3, "egress_bytes": 8}


@ensureDeferred
async def test_a_copy_is_looked_at_with_what_was_paid_before(
    stub: Stub, paid: S3Backend, usage: MemoryUsage, clock: Clock
) -> None:
    """It is not made where that could not be paid; refused, it costs its own call."""
    source, target = make_copy("k", 4), make_copy("t", 4)
    stub.replies = [Reply(error(501, "NotImplemented"))]
    with pytest.raises(BackendRefused):
        await paid.copy(source, target, {}, md5="")
    assert await used(paid, usage) == {"class_a": 1}
    usage.used["class_b", DECEMBER] = 10
    with pytest.raises(BackendSpent):
        await paid.copy(source, target, {}, md5="")
    usage.used["class_b", DECEMBER] = 9
    clock.advance(5)
    stub.replies = [
        Reply(http(200, b'<CopyObjectResult><ETag>"e"</ETag></CopyObjectResult>')),
        Reply(http(200, length=4, headers={"etag": '"e"'})),
    ]
    with suppress(BackendMismatch):
        await paid.copy(source, target, {}, md5="")
    assert [each.method for each in stub.received] == ["PUT", "PUT", "HEAD"]
    assert await used(paid, usage) == {"class_a": 2, "class_b": 10}
