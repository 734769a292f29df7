"""A manifest copy is written as any body is, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from s3proxy.errors import (
    BackendRefused,
    BackendUnavailable,
    ClaimLost,
    InsufficientStorage,
    OutcomeUnknown,
    ServiceUnavailable,
    StoreError,
    StoreUnavailable,
)
from s3proxy.manager.manifesting import Manifests
from s3proxy.manager.writing import KEPT_BYTES
from s3proxy.model import ObjectInfo
from s3proxy.plan.manifest import Manifest, ManifestPart, WantedManifest, decode
from s3proxy.s3.operation import PutObject
from tests.fakes.manifests import MemoryManifests
from tests.manager.conftest import LEASE_SECONDS, Pieces, Stage

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
INFO = ObjectInfo(
    "b",
    "dir/k",
    "object",
    30,
    "e-2",
    "text/plain",
    WHEN,
    {"expires": "0"},
    tags={"tag": "t"},
)
PARTS = (ManifestPart(1, "p", 0, 10, "m"), ManifestPart(2, "q", 10, 20, "n"))


class Scene:
    """The stage of this room, and what writes manifests on it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.ledger = MemoryManifests(stage.ledger)
        self.manifests = Manifests(self.ledger, stage.writer, "installation")

    def want(self, info: ObjectInfo = INFO) -> WantedManifest:
        """An object of two parts wants its manifest."""
        return self.ledger.want(info, *PARTS)


@pytest.fixture
def scene(stage: Stage) -> Scene:
    """Everything in memory."""
    return Scene(stage)


@ensureDeferred
async def test_what_is_written(scene: Scene) -> None:
    """All that the ledger knows, under a key that tells what it is."""
    wanted = scene.want()
    assert await scene.manifests.take(10) == [wanted]
    assert await scene.manifests.write(wanted)
    ((key, kept),) = scene.stage.one.objects.items()
    ((copy, headers, _sha256, sent_md5),) = scene.stage.one.puts
    assert key == f"dir/k~{copy.copy_id}.manifest"
    assert decode(kept.data) == Manifest("installation", INFO, PARTS)
    assert sent_md5 == kept.etag
    assert headers["x-amz-meta-s3proxy-kind"] == "manifest"
    assert headers["x-amz-meta-s3proxy-object-id"] == "object"
    (row,) = scene.stage.ledger.rows.values()
    assert row.copy.size_bytes == len(kept.data)
    assert (row.copy.backend_etag, row.object_id) == (kept.etag, "object")
    assert scene.stage.rows() == [("one", "live", False)]
    assert scene.stage.held == 0


@ensureDeferred
async def test_one_that_is_too_large_to_keep(scene: Scene) -> None:
    """It is streamed."""
    info = evolve(INFO, headers={"x": "y" * KEPT_BYTES})
    assert await scene.manifests.write(scene.want(info))
    ((_, kept),) = scene.stage.one.objects.items()
    assert decode(kept.data).info == info
    assert scene.stage.one.calls["write"] > 1


@ensureDeferred
async def test_an_object_that_is_gone(scene: Scene) -> None:
    """Its parts are not there any more: nothing is claimed."""
    wanted = scene.want()
    scene.ledger.current.clear()
    assert not await scene.manifests.write(wanted)
    assert (scene.stage.rows(), scene.stage.one.calls) == ([], {})


@ensureDeferred
async def test_an_object_that_changed_before_the_claim(scene: Scene) -> None:
    """Nothing is charged or sent."""
    wanted = scene.want()
    scene.want()
    assert not await scene.manifests.write(wanted)
    assert (scene.stage.rows(), scene.stage.one.calls) == ([], {})


@ensureDeferred
async def test_an_object_that_changes_meanwhile(scene: Scene) -> None:
    """What was sent is deleted."""
    wanted = scene.want()
    go_on = scene.stage.one.hold("finish")
    work = Deferred.fromCoroutine(scene.manifests.write(wanted))
    newer = scene.want()
    go_on()
    assert not await work
    assert scene.stage.rows() == [("one", "abandoned", False)]
    assert (scene.stage.abandoned, scene.stage.held) == (["one"], 0)
    assert await scene.manifests.write(newer)


@ensureDeferred
async def test_no_room(scene: Scene) -> None:
    """Nothing is charged; on the next backend there may be some."""
    wanted = scene.want()
    scene.stage.ledger.limits = {"one": 10, "two": 10}
    with pytest.raises(InsufficientStorage):
        await scene.manifests.write(wanted)
    assert scene.stage.rows() == []
    scene.stage.ledger.limits["two"] = 10_000
    assert await scene.manifests.write(wanted)
    assert scene.stage.rows() == [("two", "live", False)]


@ensureDeferred
async def test_a_backend_that_fails(scene: Scene) -> None:
    """Another one takes it; where none does, it is for the next time."""
    wanted = scene.want()
    away = BackendUnavailable("one", "reset", landed=True)
    scene.stage.one.fail("finish", away, away)
    scene.stage.two.fail("open_put", BackendRefused("two", "403", landed=False))
    with pytest.raises(ServiceUnavailable):
        await scene.manifests.write(wanted)
    assert await scene.manifests.write(wanted)
    assert [row[:2] for row in scene.stage.rows()][-1] == ("two", "live")
    assert scene.stage.held == 0


@ensureDeferred
async def test_other_bytes_arrived(scene: Scene) -> None:
    """It is verified as everything is."""
    scene.stage.one.corrupt()
    assert await scene.manifests.write(scene.want())
    assert scene.stage.rows() == [("one", "abandoned", True), ("two", "live", False)]


@ensureDeferred
async def test_its_lease_is_extended(scene: Scene) -> None:
    """By the same job as any other claim's; one that is over ends the write."""
    wanted = scene.want()
    go_on = scene.stage.one.hold("open_put")
    work = Deferred.fromCoroutine(scene.manifests.write(wanted))
    scene.stage.clock.advance(LEASE_SECONDS * 0.9)
    await scene.stage.leases.extend()
    scene.stage.clock.advance(LEASE_SECONDS * 0.9)
    go_on()
    assert await work


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (StoreUnavailable("away"), StoreUnavailable),
        (ClaimLost("reaped"), ServiceUnavailable),
        (OutcomeUnknown("broken"), ServiceUnavailable),
    ],
)
@ensureDeferred
async def test_a_commit_that_fails(
    scene: Scene, why: StoreError, told: type[Exception]
) -> None:
    """It is not live, and it is wanted still."""
    wanted = scene.want()
    scene.stage.ledger.fail("commit_manifest", why)
    with pytest.raises(told):
        await scene.manifests.write(wanted)
    assert "live" not in [row[1] for row in scene.stage.rows()]
    assert scene.stage.held == 0
    assert await scene.manifests.write(wanted)


@pytest.mark.parametrize(
    ("more", "needs_manifest"),
    [
        ({}, False),
        ({"content_type": "text/plain", "user_metadata": {"who": "me"}}, False),
        ({"headers": {"cache-control": "no-cache"}}, True),
        ({"user_metadata": {"who": "caf\xe9"}}, True),
    ],
)
@ensureDeferred
async def test_which_put_needs_a_manifest(
    stage: Stage, more: dict[str, object], needs_manifest: bool
) -> None:
    """One whose backend object does not tell all of it."""
    commit, told = stage.ledger.commit_copies, []

    async def note(made, new, *rest):  # type: ignore[no-untyped-def]
        told.append(new.needs_manifest)
        return await commit(made, new, *rest)

    stage.ledger.commit_copies = note  # type: ignore[method-assign]
    op = PutObject("b", "k", 1, **more)  # type: ignore[arg-type]
    await stage.writer.put(op, Pieces(b"x"), sha256=None)
    assert told == [needs_manifest]
