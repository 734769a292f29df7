"""
Scrubbing over a real ledger and backends in memory: a flipped byte is found and the
copy replaced from a good one, the last copy stays, and the budget holds.
"""

from __future__ import annotations

from io import StringIO

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from s3proxy.commands import status
from s3proxy.errors import BackendRefused, BackendUnavailable, ServiceUnavailable
from s3proxy.jobs.scrubbing import NAME, Scrub
from s3proxy.manager.scrubbing import Scrubber
from s3proxy.model import FoundObject
from s3proxy.plan.adoption import Adopted
from s3proxy.store.adoption import Adoption
from s3proxy.store.checks import Checks
from s3proxy.store.jobs import PostgresJobs
from s3proxy.store.numbers import PostgresNumbers
from s3proxy.store.replicas import PostgresReplicas
from s3proxy.store.scrubbing import PostgresScrubbing
from s3proxy.store.status import Status
from tests.fakes.backend import Kept
from tests.system.test_pool import NAMES, SMALL, Proxy
from tests.system.test_pool import proxy as proxy  # a fixture

DAY = 86400.0
MUCH = 1 << 40


def laps(proxy: Proxy, bytes_per_day: int = MUCH) -> PostgresScrubbing:
    parts = PostgresReplicas(proxy.pool, 600.0, 0.0, 60.0)
    return PostgresScrubbing(proxy.pool, parts, 0.0, bytes_per_day, 600.0)


def scrub(proxy: Proxy, bytes_per_day: int = MUCH, *, factor: int = 2) -> Scrub:
    ledger = laps(proxy, bytes_per_day)
    scrubber = Scrubber(ledger, proxy.guarded, proxy.replicas, factor)
    jobs = PostgresJobs(proxy.pool, "me")
    return Scrub(ledger, scrubber, NAMES, jobs, 60.0, proxy.told)


def flip(proxy: Proxy, on: str, key: str) -> str:
    """A byte on a backend, which does not notice; the backend's key."""
    objects = proxy.backends[on].objects
    [found] = [each for each in objects if each.startswith(f"{key}~")]
    kept = objects[found]
    objects[found] = evolve(kept, data=bytes([kept.data[0] ^ 1]) + kept.data[1:])
    return found


def quarantined(proxy: Proxy) -> list[str]:
    rows = proxy.sql(
        "SELECT backend_key FROM object_locations WHERE quarantined_at IS NOT NULL "
        "AND state = 'live'"
    )
    return [str(key) for (key,) in rows]


def a_day_passes(proxy: Proxy) -> None:
    proxy.sql("UPDATE scrubs SET lap_began_at = lap_began_at - interval '1 day'")
    proxy.sql(
        "UPDATE installation SET scrub_paid_until = scrub_paid_until - interval '1 day'"
    )


@ensureDeferred
async def test_a_flipped_byte_is_found_and_replaced(proxy: Proxy) -> None:
    """From a copy that was read first; objects, parts of uploads, empty ones."""
    for key in ("a", "b", "c"):
        await proxy.put(key, key.encode() * SMALL)
    await proxy.put("empty", b"")
    await proxy.put_upload("upload", b"1" * SMALL, b"2" * SMALL)
    await proxy.replicator(2).round()
    assert str(await scrub(proxy).round()) == f"12 copies read, {10 * SMALL} bytes"
    a_day_passes(proxy)
    bad = flip(proxy, "one", "b")
    with capturedLogs() as logs:
        done = await scrub(proxy).round()
    # The bad one was read twice; the other one, which is good; and the new one.
    assert str(done) == (
        f"13 copies read, {13 * SMALL} bytes; 1 were bad, and are replaced"
    )
    told = [str(e["word"]) for e in logs if "word" in e]
    assert len(told) == 1 and told[0].startswith("has MD5")
    assert proxy.copies() == {"one": 6, "two": 6} and quarantined(proxy) == []
    assert proxy.copies(live=False) == {"one": 1}
    await proxy.settle()
    assert bad not in proxy.backends["one"].objects
    for key in ("a", "b", "c"):
        assert await proxy.get(key) == key.encode() * SMALL
    a_day_passes(proxy)
    assert (await scrub(proxy).round()) is not None
    assert proxy.told.scrubs[-1].bad == proxy.told.scrubs[-1].replaced == 0


@ensureDeferred
async def test_the_last_copy_stays_and_is_told(proxy: Proxy) -> None:
    """Quarantined, and read for want of another; then replaced once there is one."""
    await proxy.put("k", b"x" * SMALL)
    bad = flip(proxy, "one", "k")
    done = await scrub(proxy).round()
    assert "1 are BAD and without a good copy" in str(done)
    assert quarantined(proxy) == [bad] and proxy.copies() == {"one": 1}
    assert (await proxy.get("k"))[1:] == b"x" * (SMALL - 1)
    [line] = await Checks(proxy.pool).broken_objects()
    assert line.startswith(f"one: quarantined: {bad!r} of b/k has MD5")
    out = StringIO()
    await status.run(Status(proxy.pool), configured=NAMES, factor=1, out=out)
    assert "1 copies are known to be BAD: see s3proxy check\n" in out.getvalue()
    assert await PostgresNumbers(proxy.pool).quarantined() == {"one": 1}
    # Nothing is made of it, and nothing is moved.
    assert str(await proxy.replicator(2).round()).startswith("0 copies made, 0 failed")
    assert (await scrub(proxy).round()) is not None
    assert proxy.copies() == {"one": 1}
    # Somebody has mended the backend.
    flip(proxy, "one", "k")
    a_day_passes(proxy)
    await scrub(proxy).round()
    assert quarantined(proxy) == []
    assert await Checks(proxy.pool).broken_objects() == []
    await proxy.settle()


@ensureDeferred
async def test_reads_avoid_it_and_it_goes_when_the_other_can_be_read(
    proxy: Proxy,
) -> None:
    await proxy.put("k", b"x" * SMALL)
    await proxy.replicator(2).round()
    bad = flip(proxy, "one", "k")
    two = proxy.backends["two"]
    two.fail("open_get", *[BackendRefused("two", "403")] * 2)
    await scrub(proxy).round()
    assert quarantined(proxy) == [bad] and proxy.copies() == {"one": 1, "two": 1}
    assert await proxy.get("k") == b"x" * SMALL
    two.fail("open_get", BackendUnavailable("two", "away"))
    with pytest.raises(ServiceUnavailable):
        await proxy.get("k")
    # It is not counted: the pool makes another good one, and removes no good one.
    proxy.due()
    assert (await proxy.replicator(2).round()).made == 1
    assert proxy.copies() == {"one": 1, "two": 1, "three": 1}
    assert (await proxy.replicator(1).round()).removed == 2
    assert quarantined(proxy) == [] and await proxy.get("k") == b"x" * SMALL
    await proxy.settle()


@ensureDeferred
async def test_what_is_quarantined_is_mended_before_its_turn(proxy: Proxy) -> None:
    await proxy.put("k", b"x" * SMALL)
    await proxy.replicator(2).round()
    bad = flip(proxy, "one", "k")
    two = proxy.backends["two"]
    two.fail("open_get", *[BackendRefused("two", "403")] * 3)
    await scrub(proxy).round()
    assert quarantined(proxy) == [bad]
    proxy.sql("UPDATE installation SET suspicion = 'a reason'")
    await scrub(proxy).round()
    assert quarantined(proxy) == [bad]
    proxy.sql("UPDATE installation SET suspicion = NULL")
    assert "1 were bad, and are replaced" in str(await scrub(proxy).round())
    assert proxy.copies() == {"one": 1, "two": 1} and quarantined(proxy) == []
    await proxy.settle()


@ensureDeferred
async def test_both_are_bad(proxy: Proxy) -> None:
    """None goes: who knows which of them is worth more."""
    await proxy.put("k", b"x" * SMALL)
    await proxy.replicator(2).round()
    flip(proxy, "one", "k")
    flip(proxy, "two", "k")
    job = scrub(proxy)
    await job.round()
    assert len(quarantined(proxy)) == 2
    calls = proxy.backends["two"].calls["open_get"]
    await job.round()
    assert proxy.backends["two"].calls["open_get"] == calls
    a_day_passes(proxy)
    await job.round()
    assert len(quarantined(proxy)) == 2 and proxy.copies() == {"one": 1, "two": 1}


@ensureDeferred
async def test_the_copy_that_was_read_must_be_there_still(proxy: Proxy) -> None:
    """It may have been moved since, and another one be left that nobody has read."""
    await proxy.put("k", b"x" * SMALL)
    await proxy.replicator(2).round()
    proxy.due()
    await proxy.replicator(3).round()
    copies = dict(proxy.sql("SELECT backend_name, copy_id FROM object_locations"))
    assert await laps(proxy).lose(copies["two"], None) == "lost"
    assert await laps(proxy).lose(copies["one"], copies["two"]) == "last"
    assert await laps(proxy).lose(copies["one"], copies["three"]) == "lost"
    assert await laps(proxy).lose(copies["three"], None) == "last"
    await proxy.settle()


@ensureDeferred
async def test_missing_bytes_and_manifests(proxy: Proxy) -> None:
    await proxy.put("k", b"x" * SMALL)
    await proxy.put_upload("upload", b"1" * SMALL)
    await proxy.manifester().round()
    await proxy.replicator(2).round()
    objects = proxy.backends["one"].objects
    [key] = [key for key in objects if key.startswith("k~")]
    [manifest] = [key for key in objects if key.endswith(".manifest")]
    del objects[key]
    objects[manifest] = evolve(objects[manifest], data=b"?" * 10)
    assert "2 were bad, and are replaced" in str(await scrub(proxy).round())
    await proxy.manifester().round()
    await proxy.settle()
    assert proxy.copies() == {"one": 3, "two": 2}
    assert await Checks(proxy.pool).broken_objects() == []


@ensureDeferred
async def test_a_fault_that_passes_marks_nothing(proxy: Proxy) -> None:
    """A wrong answer that is right when it is asked again; a backend that is away."""
    await proxy.put("k", b"x" * SMALL)
    one = proxy.backends["one"]
    real = one.open_get
    looks = []

    async def wrong_once(copy: object, start: int, end: int) -> object:
        looks.append(copy)
        if len(looks) == 1:
            flip(proxy, "one", "k")
        download = await real(copy, start, end)  # type: ignore[arg-type]
        if len(looks) == 1:
            flip(proxy, "one", "k")
        return download

    one.open_get = wrong_once  # type: ignore[method-assign, assignment]
    assert str(await scrub(proxy).round()) == f"1 copies read, {2 * SMALL} bytes"
    assert len(looks) == 2 and quarantined(proxy) == []
    one.open_get = real  # type: ignore[method-assign]
    a_day_passes(proxy)
    await proxy.put("second", b"y" * SMALL)
    one.fail("open_get", *[BackendUnavailable("one", "away")] * 2)
    assert str(await scrub(proxy).round()) == (
        "0 copies read, 0 bytes; 1 could not be read"
    )
    # It has not been passed over.
    assert str(await scrub(proxy).round()) == f"2 copies read, {2 * SMALL} bytes"


@ensureDeferred
async def test_one_that_can_never_be_read_holds_up_the_others_for_a_while(
    proxy: Proxy,
) -> None:
    await proxy.put("k", b"x" * SMALL)
    await proxy.put("second", b"y" * SMALL)
    one, job = proxy.backends["one"], scrub(proxy)
    one.fail("open_get", *[BackendRefused("one", "403")] * 6)
    done = [str(await job.round()) for _ in range(3)]
    assert done[:2] == ["0 copies read, 0 bytes; 1 could not be read"] * 2
    assert done[2] == f"1 copies read, {SMALL} bytes; 1 could not be read"


@ensureDeferred
async def test_the_budget_holds_over_restarts(proxy: Proxy) -> None:
    """Also where the last copy was too large; what is too much is paid off."""
    for number in range(20):
        await proxy.put(f"k{number}", b"x" * SMALL)
    budget = 5 * SMALL
    read = 0
    for _ in range(4):
        done = await scrub(proxy, budget).round()
        assert not isinstance(done, str)
        read += done.bytes_count
        # A quarter of a day.
        proxy.sql(
            "UPDATE installation "
            "SET scrub_paid_until = scrub_paid_until - interval '6 hours'"
        )
    assert 3 * SMALL <= read <= budget + SMALL
    # The longest ago first: nobody has been read twice, and a new one is the last.
    await proxy.put("new", b"n" * SMALL)
    for _ in range(30):
        a_day_passes(proxy)
        await scrub(proxy, budget).round()
        if not proxy.sql("SELECT 1 FROM scrubs WHERE after_copy_id <> ''"):
            break
    assert proxy.backends["one"].calls["open_get"] == 21
    [(copies, size)] = proxy.sql("SELECT lap_copies, lap_bytes FROM scrubs")
    assert (copies, size) == (21, 21 * SMALL)


@ensureDeferred
async def test_no_copy_is_read_twice_a_day(proxy: Proxy) -> None:
    await proxy.put("k", b"x" * SMALL)
    for _ in range(3):
        await scrub(proxy).round()
    assert proxy.backends["one"].calls["open_get"] == 1
    jobs = PostgresJobs(proxy.pool, "other")
    assert await jobs.take(NAME, 60.0)
    assert await scrub(proxy).round() == "another process is at it"


@ensureDeferred
async def test_what_sync_took_in_without_an_md5_gets_one(proxy: Proxy) -> None:
    data = b"x" * SMALL
    proxy.backends["one"].objects["taken"] = Kept(data, {}, "etag-2")
    found = FoundObject("taken", SMALL, "etag-2", None, proxy.backends["one"].modified)
    done = await Adoption(proxy.pool).adopt("one", "b", [found])
    assert done == {"taken": Adopted.IMPORTED}
    await scrub(proxy).round()
    [(md5,)] = proxy.sql("SELECT md5 FROM object_parts")
    assert len(md5) == 32
    proxy.backends["one"].objects["taken"] = Kept(b"y" * SMALL, {}, "etag-2")
    a_day_passes(proxy)
    assert "1 are BAD" in str(await scrub(proxy).round())
    proxy.backends["one"].objects["taken"] = Kept(data, {}, "etag-3")
    a_day_passes(proxy)
    assert "1 are BAD" in str(await scrub(proxy).round())


@ensureDeferred
async def test_it_was_moved_or_deleted_meanwhile(proxy: Proxy) -> None:
    """A copy that is not live any more is nobody's fault."""
    await proxy.put("k", b"x" * SMALL)
    one = proxy.backends["one"]
    go_on = one.hold("open_get")
    reached = one.reached("open_get")
    work = Deferred.fromCoroutine(scrub(proxy).round())
    await reached
    await proxy.objects.delete("b", "k", [])
    await proxy.settle()
    go_on()
    assert str(await work) == "1 copies read, 0 bytes"
