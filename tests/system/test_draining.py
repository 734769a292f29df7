"""
Draining over a real ledger and backends in memory: everything leaves, whatever is
written and deleted meanwhile, and what cannot leave is told.
"""

from __future__ import annotations

import random
from io import StringIO

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock

from s3proxy.commands import drain
from s3proxy.errors import ConfigError
from s3proxy.jobs.draining import Drainer
from s3proxy.jobs.pacing import Pace
from s3proxy.s3.uploads import CreateMultipartUpload, UploadPart
from s3proxy.store.draining import PostgresDraining
from s3proxy.store.jobs import PostgresJobs
from s3proxy.store.moving import PostgresMoving
from tests.manager.conftest import Pieces
from tests.system.test_pool import LARGE, NAMES, SMALL, Proxy
from tests.system.test_pool import proxy as proxy  # a fixture


def ledger(proxy: Proxy) -> PostgresDraining:
    return PostgresDraining(proxy.pool, 0.0)


def drainer(proxy: Proxy, *, factor: int = 1, process: str = "me") -> Drainer:
    return Drainer(
        ledger(proxy),
        proxy.replicas,
        PostgresJobs(proxy.pool, process),
        Pace(proxy.clock, proxy.clock.seconds),
        lambda size, without: proxy.router.place(size, without).order,
        factor,
        60.0,
    )


def commands(proxy: Proxy, clock: Clock | None = None) -> drain.Pool:
    fills = PostgresMoving(proxy.pool)
    return drain.Pool(
        ledger(proxy), fills, proxy.targets, "pack", 1, clock or proxy.clock
    )


async def told(
    proxy: Proxy, backend: str = "one", *, dry_run: bool = False, stop: bool = False
) -> tuple[int, str]:
    out = StringIO()
    code = await drain.run(
        commands(proxy), backend, dry_run=dry_run, stop=stop, wait=False, out=out
    )
    return code, out.getvalue()


@ensureDeferred
async def test_everything_leaves_and_the_backend_can_be_forgotten(
    proxy: Proxy,
) -> None:
    bodies = {"plain": b"x" * SMALL, "large": b"y" * LARGE, "empty": b""}
    for key, data in bodies.items():
        await proxy.put(key, data, user_metadata={"a": "b"})
    await proxy.put_upload("upload", b"1" * SMALL, b"2" * SMALL)
    await proxy.manifester().round()
    await proxy.settle()
    code, text = await told(proxy, dry_run=True)
    assert code == 0 and "5 copies would move, 2.0 MiB, with 5 GETs" in text
    assert "to two: 5 copies" in text and "1 manifest copies" in text
    assert await ledger(proxy).draining() == []
    assert (await told(proxy))[0] == 0
    await proxy.put("new", b"n")
    assert proxy.copies()["two"] == 1
    done = await drainer(proxy).round()
    assert str(done) == f"5 copies moved, {LARGE + 3 * SMALL} bytes"
    out = StringIO()
    assert await drain.remove(ledger(proxy), "one", configured=["two"], out=out) == 1
    assert "1 manifest copies" in out.getvalue()
    await proxy.manifester().round()
    await proxy.settle()
    assert set(proxy.copies()) == {"two"}
    for key, data in bodies.items():
        assert await proxy.get(key) == data
    assert await proxy.get("upload") == b"1" * SMALL + b"2" * SMALL
    with pytest.raises(ConfigError, match="in the configuration"):
        await drain.remove(ledger(proxy), "one", configured=["one"], out=out)
    assert await drain.remove(ledger(proxy), "one", configured=["two"], out=out) == 0
    with pytest.raises(ConfigError, match="no such backend"):
        await drain.remove(ledger(proxy), "one", configured=[], out=out)
    await proxy.put("later", b"l")
    await proxy.settle()


@ensureDeferred
async def test_what_finds_no_place_stays_and_says_why(proxy: Proxy) -> None:
    for number in range(4):
        await proxy.put(f"k{number}", b"x" * SMALL)
    proxy.limit("two", 2 * SMALL + 10)
    proxy.limit("three", 10)
    code, text = await told(proxy, dry_run=True)
    assert code == 1 and "NO PLACE for 2 copies" in text
    await told(proxy)
    assert "2 stay: no other backend has room" in str(await drainer(proxy).round())
    left = await ledger(proxy).left("one")
    assert left is not None and left.copies == 2
    assert left.word == "2 copies: no other backend has room"
    proxy.limit("three", 0)
    assert "2 copies moved" in str(await drainer(proxy).round())
    left = await ledger(proxy).left("one")
    assert left is not None and (left.word, left.copies) == (None, 0)
    await proxy.settle()


@ensureDeferred
async def test_copies_beyond_the_factor_go_and_the_last_ones_move(proxy: Proxy) -> None:
    await proxy.put("two copies", b"x" * SMALL)
    await proxy.replicator(2).round()
    await proxy.put("one copy", b"y" * SMALL)
    assert proxy.copies() == {"one": 2, "two": 1}
    await told(proxy)
    done = await drainer(proxy, factor=1).round()
    assert "1 removed that were beyond the factor" in str(done)
    assert proxy.copies() == {"two": 2}
    assert await proxy.get("two copies") == b"x" * SMALL
    await proxy.settle()


@ensureDeferred
async def test_every_other_backend_has_a_copy_already(proxy: Proxy) -> None:
    await proxy.put("k", b"x" * SMALL)
    for _ in range(2):
        proxy.due()
        await proxy.replicator(3).round()
    await told(proxy)
    done = await drainer(proxy, factor=3).round()
    assert "1 stay: no other backend takes them now" in str(done)
    assert proxy.copies() == {"one": 1, "two": 1, "three": 1}


@ensureDeferred
async def test_taken_back_it_takes_writes_again(proxy: Proxy) -> None:
    await told(proxy)
    assert "no longer" in (await told(proxy, stop=True))[1]
    assert "it was not" in (await told(proxy, stop=True))[1]
    await proxy.put("k", b"x")
    assert proxy.copies() == {"one": 1}
    with pytest.raises(ConfigError, match="want one of one, two, three"):
        await told(proxy, "four")


@ensureDeferred
async def test_no_claim_is_made_there_for_a_quorum_either(proxy: Proxy) -> None:
    await told(proxy, "two")
    [(places,)] = proxy.sql("SELECT ledger_place_copies(%s, 1, 2, 3)", (list(NAMES),))
    assert places == ["one", "three"]
    await told(proxy, "three")
    [(places,)] = proxy.sql("SELECT ledger_place_copies(%s, 1, 2, 3)", (list(NAMES),))
    assert places is None


@ensureDeferred
async def test_parts_of_open_uploads_stay_and_are_told(proxy: Proxy) -> None:
    upload = await proxy.uploads.create(CreateMultipartUpload("b", "k"))
    op = UploadPart("b", "k", upload, 1, SMALL)
    await proxy.uploads.put_part(op, Pieces(b"p" * SMALL), sha256=None)
    assert "1 parts of open uploads stay" in (await told(proxy, dry_run=True))[1]
    await told(proxy)
    await drainer(proxy).round()
    out = StringIO()
    assert await drain.remove(ledger(proxy), "one", configured=[], out=out) == 1
    assert "1 parts of open uploads" in out.getvalue()


@ensureDeferred
async def test_it_is_watched_until_nothing_is_left(proxy: Proxy) -> None:
    """Its own clock: the watcher looks again and again while others work."""
    for number in range(3):
        await proxy.put(f"k{number}", b"x" * SMALL)
    clock, out = Clock(), StringIO()
    watch = Deferred.fromCoroutine(
        drain.run(
            commands(proxy, clock), "one", dry_run=False, stop=False, wait=True, out=out
        )
    )

    async def look() -> None:
        while not watch.called and not clock.getDelayedCalls():
            await ledger(proxy).draining()

    await look()
    assert "0% moved, 2.9 KiB left" in out.getvalue()
    clock.advance(61)
    await look()
    clock.advance(61)
    await look()
    assert "is a daemon running?" in out.getvalue()
    await drainer(proxy).round()
    await proxy.settle()
    clock.advance(2)
    assert await watch == 0
    assert "nothing is left on one" in out.getvalue()


@ensureDeferred
async def test_a_storm_of_writes_while_two_drain(proxy: Proxy) -> None:
    """Overwrites and deletes while two processes drain one after another backend."""
    dice, kept = random.Random(9), {}
    for number in range(30):
        kept[f"k{number}"] = data = dice.randbytes(dice.randrange(2 * SMALL))
        await proxy.put(f"k{number}", data)
    await told(proxy)

    async def storm(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(40):
            key = f"k{seed}-{dice.randrange(6)}"
            if dice.random() < 0.3:
                await proxy.objects.delete("b", key, [])
                kept.pop(key, None)
            else:
                data = dice.randbytes(dice.randrange(2 * SMALL))
                await proxy.put(key, data)
                kept[key] = data

    async def work(name: str) -> None:
        for _ in range(4):
            await drainer(proxy, process=name).round()

    works = [storm(1), storm(2), work("a"), work("b")]
    done = await DeferredList([Deferred.fromCoroutine(each) for each in works])
    assert all(good for good, _ in done), done
    await drainer(proxy).round()
    await proxy.settle()
    assert set(proxy.copies()) == {"two"}
    for key, data in kept.items():
        assert await proxy.get(key) == data
