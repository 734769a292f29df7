"""The operations as the front door calls them, from the ledger alone."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred

from s3proxy.errors import NoSuchKey, PreconditionFailed, StoreUnavailable
from s3proxy.model import Deleted, Doomed
from s3proxy.s3.operation import PutObject
from tests.manager.conftest import Pieces, Stage


async def put(stage: Stage, key: str, data: bytes = b"data") -> None:
    """Store an object."""
    operation = PutObject("b", key, len(data))
    await stage.objects.put(operation, Pieces(data), sha256=None)
    stage.one.calls.clear()


@ensureDeferred
async def test_put_and_read(stage: Stage) -> None:
    """What went in comes out."""
    await put(stage, "k", b"some data")
    found = await stage.objects.find("b", "k")
    reader = await stage.objects.open(found, 5, 9)
    assert await reader.read() == b"data"
    assert await reader.read() == b""
    assert found.info == await stage.objects.head("b", "k")


@ensureDeferred
async def test_absent(stage: Stage) -> None:
    """404 that names the key; a delete is fine."""
    for call in (stage.objects.find, stage.objects.head):
        with pytest.raises(NoSuchKey) as caught:
            await call("b", "no such")
        assert caught.value.fields == {"Key": "no such"}
    await stage.objects.delete("b", "no such")


@ensureDeferred
async def test_part_range(stage: Stage) -> None:
    """A part's place, or 404 without the object."""
    await put(stage, "k")
    assert (await stage.objects.part_range("b", "k", 1)).found == (0, 4)
    with pytest.raises(NoSuchKey):
        await stage.objects.part_range("b", "no such", 1)


@ensureDeferred
async def test_no_backend_is_called(stage: Stage) -> None:
    """HEAD, LIST, deletions, tags and attributes are the ledger's."""
    for key in ("a", "b/1", "b/2"):
        await put(stage, key)
    page = await stage.objects.list_objects("b", "", "/", "", 2)
    assert [each.key for each in page.contents] == ["a"]
    assert (page.common_prefixes, page.is_truncated) == (("b/",), False)
    await stage.objects.head("b", "a")
    await stage.objects.delete("b", "a")
    with pytest.raises(NoSuchKey):
        await stage.objects.head("b", "a")
    await stage.objects.replace_tags("b", "b/1", {"a": "b"})
    assert (await stage.objects.attributes("b", "b/1", 0, 1)).info.tags == {"a": "b"}
    doomed = [Doomed("b/2"), Doomed("b/1"), Doomed("a")]
    results = await stage.objects.delete_many("b", doomed)
    assert results == (Deleted.DELETED, Deleted.DELETED, Deleted.ABSENT)
    assert await stage.objects.delete_many("b", []) == ()
    assert (stage.one.calls, stage.two.calls) == ({}, {})


@ensureDeferred
async def test_deletions_on_a_condition(stage: Stage) -> None:
    """412 where the object is another, 404 where there has to be one."""
    await put(stage, "k")
    with pytest.raises(PreconditionFailed):
        await stage.objects.delete("b", "k", ["no such"])
    await stage.objects.delete("b", "k", ["*"])
    for condition in (["*"], ["no such"]):
        with pytest.raises(NoSuchKey):
            await stage.objects.delete("b", "k", condition)
    await stage.objects.delete("b", "k")


@ensureDeferred
async def test_tags_of_nothing(stage: Stage) -> None:
    """404, as for everything that is asked of no object."""
    with pytest.raises(NoSuchKey):
        await stage.objects.replace_tags("b", "k", {})
    with pytest.raises(NoSuchKey):
        await stage.objects.attributes("b", "k", 0, 1)


@ensureDeferred
async def test_without_the_ledger(stage: Stage) -> None:
    """StoreUnavailable, a 503, and no guess."""
    await put(stage, "k")
    stage.ledger.failure = StoreUnavailable("away")
    for call in (stage.objects.find, stage.objects.head, stage.objects.delete):
        with pytest.raises(StoreUnavailable):
            await call("b", "k")
    assert stage.one.calls == {}
