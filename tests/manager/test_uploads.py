"""Uploads as the front door sees them, over everything in memory."""

from __future__ import annotations

import base64
import zlib
from hashlib import md5 as md5_of

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from s3proxy.errors import (
    BackendUnavailable,
    BadDigest,
    EntityTooSmall,
    InsufficientStorage,
    InvalidPart,
    InvalidPartOrder,
    MalformedXML,
    NoSuchUpload,
    OutcomeUnknown,
    PreconditionFailed,
    ServiceUnavailable,
    StoreUnavailable,
)
from s3proxy.manager.reading import AHEAD_BYTES
from s3proxy.model import Completed, CompletedPart, PartInfo, WriteConditions
from s3proxy.plan.description import INSTALLATION, PART_NUMBER, UPLOAD_ID
from s3proxy.s3.uploads import (
    AbortMultipartUpload,
    CompleteMultipartUpload,
    ListMultipartUploads,
    ListParts,
    UploadPart,
)
from tests.manager.conftest import Pieces
from tests.manager.upload_stage import FIRST, MIB, UploadStage, md5

SMALL = b"the last part"
away = BackendUnavailable("one", "no connection", landed=False)


@pytest.fixture
def stage() -> UploadStage:
    """Everything in memory."""
    return UploadStage()


# Parts ---


@ensureDeferred
async def test_from_create_to_get(stage: UploadStage) -> None:
    """What goes in as parts comes out as one object."""
    upload_id = await stage.create(
        content_type="text/plain",
        headers={"expires": "0"},
        user_metadata={"a": "b"},
    )
    last = await stage.put_part(upload_id, 7, SMALL)
    first = await stage.put_part(upload_id, 2, FIRST)
    assert (first.etag, first.size_bytes) == (md5(FIRST), 5 * MIB)
    done = await stage.complete(upload_id, [first, last])
    digests = bytes.fromhex(first.etag) + bytes.fromhex(last.etag)
    assert done == Completed(f"{md5(digests)}-2")
    info = await stage.objects.head("b", "k")
    assert (info.etag, info.content_type) == (done.etag, "text/plain")
    assert (info.headers, info.user_metadata) == ({"expires": "0"}, {"a": "b"})
    assert await stage.read("k") == FIRST + SMALL
    assert stage.held == 0


@ensureDeferred
async def test_a_checksum_from_the_trailer(stage: UploadStage) -> None:
    """It is the part's, like one from a header."""
    upload_id = await stage.create()
    body = Pieces(SMALL).then(crc32="AAAAAA==")
    op = UploadPart("b", "k", upload_id, 7, len(SMALL))
    part = await stage.uploads.put_part(op, body, sha256=None)
    assert part.checksums == {"crc32": "AAAAAA=="}
    page = await stage.uploads.list_parts(ListParts("b", "k", upload_id))
    assert [each.checksums for each in page.parts] == [part.checksums]


@ensureDeferred
async def test_ranges_over_part_boundaries(stage: UploadStage) -> None:
    """Only the backend objects that hold the bytes are asked, each for its share."""
    whole = b"0123456789abcdefghijABCDE"
    await stage.upload("k", whole[:10], whole[10:20], whole[20:])
    for start, end in ((0, 25), (9, 11), (10, 20), (19, 25), (24, 25), (5, 21)):
        stage.one.gets.clear()
        assert await stage.read("k", start, end) == whole[start:end]
        edges = ((0, 10), (10, 20), (20, 25))
        assert len(stage.one.gets) == sum(a < end and start < b for a, b in edges)


@ensureDeferred
async def test_a_part_describes_itself(stage: UploadStage) -> None:
    """So that a lost ledger can be rebuilt; the client's own go with the object."""
    upload_id = await stage.create(user_metadata={"a": "b"}, content_type="text/plain")
    await stage.put_part(upload_id, 12, SMALL)
    ((copy, headers, _, sent_md5),) = stage.one.puts
    assert headers[INSTALLATION] == "installation"
    assert (headers[PART_NUMBER], headers[UPLOAD_ID]) == ("12", upload_id)
    assert not any(name in headers for name in ("content-type", "x-amz-meta-a"))
    assert copy.backend_key.endswith(".00012")
    assert sent_md5 == md5(SMALL)


@ensureDeferred
async def test_a_part_is_verified(stage: UploadStage) -> None:
    """Whatever the client promised; what is right comes back with the part."""
    upload_id = await stage.create()
    crc = base64.b64encode(zlib.crc32(SMALL).to_bytes(4, "big")).decode()
    part = await stage.put_part(upload_id, 1, SMALL, checksums={"crc32": crc})
    assert part.checksums == {"crc32": crc}
    for wrong in (
        {"checksums": {"crc32": "AAAAAA=="}},
        {"content_md5": "0" * 32},
    ):
        with pytest.raises(BadDigest):
            await stage.put_part(upload_id, 1, SMALL, **wrong)
    page = await stage.uploads.list_parts(ListParts("b", "k", upload_id))
    assert page.parts == (part,)


@ensureDeferred
async def test_a_part_of_no_upload(stage: UploadStage) -> None:
    """Refused before a byte of its body is read, and nothing is charged."""
    body = Pieces(SMALL)
    op = UploadPart("b", "k", "unknown", 1, len(SMALL))
    with pytest.raises(NoSuchUpload):
        await stage.uploads.put_part(op, body, sha256=None)
    assert (body.reads, stage.calls(), stage.ledger.rows) == (0, 0, {})


@ensureDeferred
async def test_a_part_that_comes_too_late(stage: UploadStage) -> None:
    """Its upload is aborted while its bytes flow: 404, and they are deleted."""
    upload_id = await stage.create()
    held: Deferred[bytes] = Deferred()
    op = UploadPart("b", "k", upload_id, 1, len(SMALL))
    work = Deferred.fromCoroutine(stage.uploads.put_part(op, Pieces(held), sha256=None))
    await stage.uploads.abort(AbortMultipartUpload("b", "k", upload_id))
    held.callback(SMALL)
    with pytest.raises(NoSuchUpload):
        await work
    assert stage.rows() == [("one", "abandoned", False)]
    assert (stage.abandoned, stage.held) == (["one"], 0)


@ensureDeferred
async def test_parts_go_wherever_there_is_room(stage: UploadStage) -> None:
    """An object may be larger than the room left on each backend; 507 beyond that."""
    stage.ledger.limits.update(one=25, two=15)
    upload_id = await stage.create()
    bodies = [bytes([65 + number]) * 10 for number in range(3)]
    for number, data in enumerate(bodies, 1):
        await stage.put_part(upload_id, number, data)
    with pytest.raises(InsufficientStorage):
        await stage.put_part(upload_id, 4, b"0123456789")
    assert (stage.ledger.used_bytes("one"), stage.ledger.used_bytes("two")) == (20, 10)
    page = await stage.uploads.list_parts(ListParts("b", "k", upload_id))
    await stage.upload_ledger.complete(
        upload_id,
        "b",
        "k",
        [CompletedPart(each.part_number, each.etag) for each in page.parts],
        WriteConditions(),
        least_part_bytes=0,
    )
    assert await stage.read("k") == b"".join(bodies)


@ensureDeferred
async def test_another_backend_takes_a_part(stage: UploadStage) -> None:
    """As with a plain PUT, while the body is kept."""
    upload_id = await stage.create()
    stage.one.is_down = True
    part = await stage.put_part(upload_id, 1, SMALL)
    assert part.etag == md5(SMALL)
    assert stage.rows() == [("two", "live", False)]


@ensureDeferred
async def test_a_backend_breaks_off_a_large_part(stage: UploadStage) -> None:
    """503: the client sends the part again, and it is one part."""
    upload_id = await stage.create()
    stage.one.fail("write", away)
    with pytest.raises(ServiceUnavailable):
        await stage.put_part(upload_id, 1, FIRST)
    part = await stage.put_part(upload_id, 1, FIRST)
    page = await stage.uploads.list_parts(ListParts("b", "k", upload_id))
    assert page.parts == (part,)
    assert stage.live_bytes() == len(FIRST)


@pytest.mark.parametrize("stands", [True, False])
@ensureDeferred
async def test_a_commit_of_unknown_outcome(stage: UploadStage, stands: bool) -> None:
    """Rule 10: 200 where the part is there, else 503 and it is given up."""
    upload_id = await stage.create()
    inner = stage.upload_ledger.commit_part_copies

    async def commit_part(*args: object) -> object:
        if stands:
            await inner(*args)  # type: ignore[arg-type]
        raise OutcomeUnknown("lost")

    stage.upload_ledger.commit_part_copies = commit_part  # type: ignore[method-assign,assignment]
    if stands:
        part = await stage.put_part(upload_id, 3, SMALL)
        assert (part.part_number, part.etag) == (3, md5(SMALL))
    else:
        with pytest.raises(ServiceUnavailable):
            await stage.put_part(upload_id, 3, SMALL)
    page = await stage.uploads.list_parts(ListParts("b", "k", upload_id))
    assert [each.part_number for each in page.parts] == ([3] if stands else [])
    assert stage.held == 0


# Complete ---


@ensureDeferred
async def test_complete_calls_no_backend(stage: UploadStage) -> None:
    """Nor does abort, nor any list."""
    upload_id, other = await stage.create(), await stage.create()
    part = await stage.put_part(upload_id, 1, SMALL)
    await stage.put_part(other, 1, SMALL)
    before = stage.calls()
    await stage.uploads.list_parts(ListParts("b", "k", upload_id))
    await stage.uploads.list_uploads(ListMultipartUploads("b"))
    await stage.complete(upload_id, [part])
    await stage.uploads.abort(AbortMultipartUpload("b", "k", other))
    assert stage.calls() == before


@pytest.mark.parametrize(
    ("numbers", "error"),
    [
        ((), MalformedXML),
        ((2, 1), InvalidPartOrder),
        ((1, 1), InvalidPartOrder),
        ((1, 3, 2), InvalidPartOrder),
        ((1, 9), InvalidPart),
        ((2, 3), EntityTooSmall),
    ],
)
@ensureDeferred
async def test_lists_that_are_refused(
    stage: UploadStage, numbers: tuple[int, ...], error: type[Exception]
) -> None:
    """And the upload can still be completed."""
    upload_id = await stage.create()
    parts = {
        number: await stage.put_part(upload_id, number, data)
        for number, data in ((1, FIRST), (2, b"small"), (3, b"last"))
    }
    nobody = PartInfo(9, md5(b"?"), 0, {}, parts[1].last_modified)
    with pytest.raises(error):
        await stage.complete(upload_id, [parts.get(n, nobody) for n in numbers])
    await stage.complete(upload_id, [parts[1], parts[3]])
    assert await stage.read("k") == FIRST + b"last"


@ensureDeferred
async def test_conditions(stage: UploadStage) -> None:
    """They go along to the transaction."""
    upload_id = await stage.create()
    part = await stage.put_part(upload_id, 1, SMALL)
    await stage.put("k", b"old")
    absent = WriteConditions(if_none_match=("*",))
    with pytest.raises(PreconditionFailed):
        await stage.complete(upload_id, [part], conditions=absent)
    same = WriteConditions(if_match=(md5(b"old"),))
    await stage.complete(upload_id, [part], conditions=same)


@ensureDeferred
async def test_without_the_ledger(stage: UploadStage) -> None:
    """Each operation says so."""
    upload_id = await stage.create()
    part = await stage.put_part(upload_id, 1, SMALL)
    stage.ledger.failure = StoreUnavailable("away")
    complete = CompleteMultipartUpload("b", "k", upload_id)
    listed = [CompletedPart(1, part.etag)]
    for work in (
        stage.create(),
        stage.put_part(upload_id, 2, SMALL),
        stage.uploads.complete(complete, listed),
        stage.uploads.abort(AbortMultipartUpload("b", "k", upload_id)),
        stage.uploads.list_parts(ListParts("b", "k", upload_id)),
        stage.uploads.list_uploads(ListMultipartUploads("b")),
    ):
        with pytest.raises(StoreUnavailable):
            await work
    stage.ledger.failure = None
    await stage.uploads.complete(complete, listed)


# Lists ---


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@ensureDeferred
async def test_pages_of_parts(stage: UploadStage, size: int) -> None:
    """Joined they are all parts, in order; the last page says that it is the last."""
    upload_id = await stage.create(
        checksum_algorithm="CRC32", checksum_type="COMPOSITE"
    )
    numbers = [1, 3, 4, 10, 9999, 10_000]
    parts = [await stage.put_part(upload_id, n, b"x" * n) for n in reversed(numbers)]
    found: list[PartInfo] = []
    marker: int | None = 0
    while marker is not None:
        page = await stage.uploads.list_parts(
            ListParts("b", "k", upload_id, size, marker)
        )
        assert page.upload.checksum_algorithm == "CRC32"
        assert len(page.parts) <= size
        found += page.parts
        marker = page.next_marker
        assert marker in (None, found[-1].part_number)
    assert found == list(reversed(parts))


@ensureDeferred
async def test_pages_of_nothing(stage: UploadStage) -> None:
    """Where none are asked for, none come, and there is no next page."""
    upload_id = await stage.create()
    await stage.put_part(upload_id, 1, SMALL)
    page = await stage.uploads.list_parts(ListParts("b", "k", upload_id, 0))
    assert (page.parts, page.next_marker) == ((), None)
    with pytest.raises(NoSuchUpload):
        await stage.uploads.list_parts(ListParts("b", "k", "unknown", 0))
    uploads = await stage.uploads.list_uploads(ListMultipartUploads("b", max_uploads=0))
    assert (uploads.uploads, uploads.next_key_marker) == ((), None)


# Reading ---


@ensureDeferred
async def test_the_next_part_is_opened_ahead(stage: UploadStage) -> None:
    """Before the current one ends, and no sooner than that."""
    large = FIRST + b"x" * (AHEAD_BYTES // 2)
    await stage.upload("k", large, SMALL, SMALL)
    stored = await stage.objects.find("b", "k")
    reader = await stage.objects.open(stored, 0, stored.info.size_bytes)
    seen, opened_at = 0, None
    while piece := await reader.read():
        seen += len(piece)
        if opened_at is None and len(stage.one.gets) == 2:
            opened_at = seen
    assert seen == len(large) + 2 * len(SMALL)
    assert opened_at is not None
    assert len(large) - opened_at <= AHEAD_BYTES < len(large) - opened_at + 65536
    assert len(stage.one.gets) == 3


@ensureDeferred
async def test_overwritten_before_the_window_is_read(stage: UploadStage) -> None:
    """Between the row and its manifest: another try finds the new version."""
    await stage.upload("k", b"one", b"two")
    stored = await stage.objects.find("b", "k")
    await stage.put("k", b"new")
    with pytest.raises(ServiceUnavailable):
        await stage.objects.open(stored, 0, 6)
    assert await stage.read("k") == b"new"


@ensureDeferred
async def test_overwritten_during_the_read(stage: UploadStage) -> None:
    """The read goes on to the end of the old version: its bytes have grace."""
    await stage.upload("k", FIRST, b"two", b"three")
    stored = await stage.objects.find("b", "k")
    reader = await stage.objects.open(stored, 0, stored.info.size_bytes)
    data = await reader.read()
    await stage.upload("k", b"new")
    while piece := await reader.read():
        data += piece
    assert md5_of(data).hexdigest() == md5(FIRST + b"twothree")
    assert await stage.read("k") == b"new"
