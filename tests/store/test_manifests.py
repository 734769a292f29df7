"""Pages of uploads and parts, and windows on manifests: the same as by hand."""

from __future__ import annotations

from hashlib import md5

import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pytest_twisted import ensureDeferred

from s3proxy.manager.upload_ports import NewUpload
from s3proxy.model import PartInfo
from s3proxy.store.pool import Pool
from tests.contracts.ledger import BUCKET
from tests.contracts.uploads import World, complete, create, listed, put_part
from tests.store.conftest import Database
from tests.store.test_uploads import MemoryUploadsWorld, postgres_world
from tests.strategies import keys, texts

FEW = "ab/é\ud7ff\ue000\U0010ffff"
reuse = settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def worlds(db: Database, pool: Pool) -> tuple[World, World]:
    """The fake and the real one: every question is put to both."""
    return MemoryUploadsWorld(), postgres_world(db, pool)


@frozen
class Question:
    """
    Open uploads and a question about them.

    :ivar held: Keys; one that comes twice has two uploads.
    """

    held: list[str]
    prefix: str
    delimiter: str
    marker: str
    upload: int
    limit: int


def questions() -> SearchStrategy[Question]:
    """Full of near misses."""
    few = st.text(FEW, min_size=1, max_size=4)
    return st.builds(
        Question,
        held=st.lists(few | few | keys(), max_size=10),
        prefix=st.just("") | st.text(FEW, max_size=2) | texts(max_size=2),
        delimiter=st.sampled_from(["", "", "/", "a", "/a", "b/a", "\U0010ffff"]),
        marker=st.just("") | few,
        upload=st.integers(0, 10),
        limit=st.integers(1, 5),
    )


@reuse
@given(question=questions())
@ensureDeferred
async def test_pages_of_uploads_joined(
    worlds: tuple[World, World], question: Question
) -> None:
    """By key, then by upload, each common prefix once; from the markers on."""
    for world in worlds:
        await check_pages_of_uploads(world, question)


async def check_pages_of_uploads(world: World, question: Question) -> None:
    """With one of them."""
    await world.uploads.expire(-1, 1000)
    made = []
    for key in question.held:
        upload_id = await create(world, key)
        made.append((key, upload_id))
    await world.uploads.create(NewUpload("other", "a", None))
    ended = await create(world, "a")
    await world.uploads.abort(ended, BUCKET, "a")
    key_marker, upload_marker = question.marker, ""
    if question.upload < len(made):
        key_marker, upload_marker = made[question.upload]
    expected = naive_uploads(made, question, key_marker, upload_marker)
    found: list[tuple[str, str]] = []
    while True:
        page = await world.uploads.list_uploads(
            BUCKET,
            question.prefix,
            question.delimiter,
            key_marker,
            upload_marker,
            question.limit,
        )
        here = [(each.key, each.upload_id) for each in page.uploads]
        here += [(prefix, "") for prefix in page.common_prefixes]
        here.sort()
        assert len(here) <= question.limit
        found += here
        if page.next_key_marker is None:
            break
        assert len(here) == question.limit
        assert (page.next_key_marker, page.next_upload_id_marker) == here[-1]
        key_marker, upload_marker = here[-1]
    assert found == expected


def naive_uploads(
    made: list[tuple[str, str]], question: Question, key_marker: str, upload: str
) -> list[tuple[str, str]]:
    """As S3 defines it; common prefixes have no upload."""
    entries: set[tuple[str, str]] = set()
    prefix, delimiter = question.prefix, question.delimiter
    for key, upload_id in made:
        if not key.startswith(prefix):
            continue
        head, cut, _ = key[len(prefix) :].partition(delimiter or "\0")
        entries.add((prefix + head + cut, "") if cut else (key, upload_id))
    return sorted(
        (key, upload_id)
        for key, upload_id in entries
        if key > key_marker or (upload and key == key_marker and upload_id > upload)
    )


@reuse
@given(
    numbers=st.sets(st.integers(1, 10_000) | st.integers(1, 6), max_size=8),
    after=st.integers(0, 10) | st.integers(0, 10_000),
    limit=st.integers(1, 4),
)
@ensureDeferred
async def test_pages_of_parts_joined(
    worlds: tuple[World, World], numbers: set[int], after: int, limit: int
) -> None:
    """By number, from the marker on."""
    for world in worlds:
        await check_pages_of_parts(world, numbers, after, limit)


async def check_pages_of_parts(
    world: World, numbers: set[int], after: int, limit: int
) -> None:
    """With one of them."""
    world.set_limit("one", 0)
    upload_id = await create(world)
    made = {n: (await put_part(world, upload_id, n))[1] for n in numbers}
    found: list[PartInfo] = []
    marker, more = after, True
    while more:
        parts, more = await world.uploads.list_parts(upload_id, marker, limit)
        assert len(parts) == limit or not more
        found += parts
        marker = parts[-1].part_number if parts else marker
    assert found == [made[number] for number in sorted(numbers) if number > after]
    await world.uploads.abort(upload_id, BUCKET, "k")


@reuse
@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    cut=st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted),
)
@ensureDeferred
async def test_windows_on_a_manifest(
    worlds: tuple[World, World], sizes: list[int], cut: list[int]
) -> None:
    """The parts that hold the bytes asked for; each part's place, by its number."""
    for world in worlds:
        await check_windows(world, sizes, cut)


async def check_windows(world: World, sizes: list[int], cut: list[int]) -> None:
    """With one of them."""
    world.set_limit("one", 0)
    upload_id = await create(world)
    parts = [
        (await put_part(world, upload_id, 3 * number, size))[1]
        for number, size in enumerate(sizes, 1)
    ]
    done = await complete(world, upload_id, listed(*parts))
    digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    assert done.etag == f"{md5(digests).hexdigest()}-{len(parts)}"
    stored = await world.ledger.find(BUCKET, "k")
    assert stored is not None
    assert (stored.info.size_bytes, stored.parts_count) == (sum(sizes), len(sizes))
    start, end = cut
    window = await world.ledger.parts(stored.info.object_id, start, end)
    places = [
        (part.part_number, place)
        for part in window
        for place in range(part.offset_bytes, part.offset_bytes + part.size_bytes)
        if start <= place < end
    ]
    bytes_by_part = [
        (part.part_number, part.part_number)
        for part in parts
        for _ in range(part.size_bytes)
    ]
    assert places == [
        (number, place)
        for place, (number, _) in enumerate(bytes_by_part)
        if start <= place < end
    ]
    for number in range(1, len(sizes) + 2):
        found = await world.ledger.part_range(BUCKET, "k", number)
        assert found is not None
        first = sum(sizes[: number - 1])
        assert found.parts_count == len(sizes)
        assert found.found == (
            (first, first + sizes[number - 1]) if number <= len(sizes) else None
        )


@ensureDeferred
async def test_a_part_without_a_copy(db: Database, pool: Pool) -> None:
    """It is found all the same, with no copy: the read says so, and not "no key"."""
    world = postgres_world(db, pool)
    world.set_limit("one", 0)
    upload_id = await create(world)
    parts = [(await put_part(world, upload_id, n))[1] for n in (1, 2)]
    await complete(world, upload_id, listed(*parts))
    stored = await world.ledger.find(BUCKET, "k")
    assert stored is not None
    (first,) = stored.parts
    lost = {"id": first.copies[0].copy_id}
    db.sql("DELETE FROM object_locations WHERE copy_id = %(id)s", lost)
    again = await world.ledger.find(BUCKET, "k")
    assert again is not None
    assert [part.copies for part in again.parts] == [()]
    window = await world.ledger.parts(again.info.object_id, 0, 20)
    assert [len(part.copies) for part in window] == [0, 1]
    await world.ledger.delete(BUCKET, "k")
