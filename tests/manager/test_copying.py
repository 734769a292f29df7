"""Copies: of objects and ranges, with their conditions, over everything in memory."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from s3proxy.errors import (
    BackendMissing,
    BackendUnavailable,
    InsufficientStorage,
    InvalidRange,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    S3Error,
    ServiceUnavailable,
    StoreUnavailable,
)
from s3proxy.model import ObjectInfo, WriteConditions
from s3proxy.s3.conditions import ReadConditions
from s3proxy.s3.copies import CopyObject, CopySource, UploadPartCopy
from s3proxy.s3.uploads import AbortMultipartUpload, ListMultipartUploads, ListParts
from tests.manager.upload_stage import FIRST, UploadStage, md5

DATA = b"the bytes of the source"
LARGE = FIRST + b"and more than is kept"
KEPT: dict[str, Any] = {
    "content_type": "text/plain",
    "headers": {"expires": "0"},
    "user_metadata": {"a": "b"},
}
broke_off = BackendUnavailable("one", "broke off")


@pytest.fixture(params=["by the backend", "streamed"])
def stage(request: pytest.FixtureRequest) -> UploadStage:
    """Everything in memory; what a copy is does not depend on who moves its bytes."""
    made = UploadStage()
    for backend in (made.one, made.two):
        backend.makes_copies = request.param == "by the backend"
    return made


async def copy(stage: UploadStage, to: str = "to", **more: Any) -> ObjectInfo:
    """Copy ``from``."""
    op = CopyObject("b", to, CopySource("b", more.pop("source", "from")), **more)
    return await stage.copies.copy(op)


async def no_upload_left(stage: UploadStage) -> None:
    """Nothing is open, nothing is held."""
    page = await stage.uploads.list_uploads(ListMultipartUploads("b"))
    assert (page.uploads, stage.held) == ((), 0)


# Plain sources ---


@pytest.mark.parametrize("data", [b"", b"x", DATA, LARGE])
@ensureDeferred
async def test_a_plain_object(stage: UploadStage, data: bytes) -> None:
    """Its bytes under keys of their own, with all that it had."""
    crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    await stage.put("from", data, checksums={"crc32": crc}, **KEPT)
    source = await stage.objects.head("b", "from")
    info = await copy(stage)
    assert info == await stage.objects.head("b", "to")
    assert (info.etag, info.size_bytes) == (md5(data), len(data))
    assert info.checksums == {"crc32": crc}
    assert (info.content_type, info.headers, info.user_metadata) == (
        source.content_type,
        source.headers,
        source.user_metadata,
    )
    assert await stage.read("to") == data
    assert await stage.objects.head("b", "from") == source
    assert len({row.copy.backend_key for row in stage.ledger.rows.values()}) == 2
    await stage.objects.delete("b", "from")
    assert await stage.read("to") == data


@ensureDeferred
async def test_other_metadata(stage: UploadStage) -> None:
    """All of it is replaced, by nothing where nothing is said."""
    await stage.put("from", DATA, **KEPT)
    info = await copy(stage, replace_metadata=True, user_metadata={"x": "y"})
    assert (info.content_type, info.headers) == (None, {})
    assert info.user_metadata == {"x": "y"}
    assert await stage.read("to") == DATA


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        (ReadConditions(if_match=(md5(DATA),)), True),
        (ReadConditions(if_match=("other",)), False),
        (ReadConditions(if_none_match=("other",)), True),
        (ReadConditions(if_none_match=(md5(DATA),)), False),
        (ReadConditions(if_modified_since=10**10), False),
        (ReadConditions(if_unmodified_since=-1), False),
        (ReadConditions(if_unmodified_since=10**10), True),
        # An ETag that matches counts for more than the time.
        (ReadConditions(if_match=(md5(DATA),), if_unmodified_since=-1), True),
    ],
)
@pytest.mark.parametrize("how", ["copy", "part", "itself"])
@ensureDeferred
async def test_conditions_on_the_source(
    stage: UploadStage, conditions: ReadConditions, holds: bool, how: str
) -> None:
    """Where one does not hold: 412, no backend was called, and nothing is charged."""
    await stage.put("from", DATA)
    upload_id = await stage.create("to")
    calls, rows = stage.calls(), len(stage.ledger.rows)

    async def work() -> object:
        if how == "part":
            source = CopySource("b", "from")
            op = UploadPartCopy("b", "to", upload_id, 1, source, conditions)
            return await stage.copies.copy_part(op)
        to = "from" if how == "itself" else "to"
        return await copy(
            stage, to, source_conditions=conditions, replace_metadata=True
        )

    if holds:
        await work()
        return
    with pytest.raises(PreconditionFailed) as caught:
        await work()
    assert caught.value.fields["Condition"].startswith("x-amz-copy-source-If-")
    assert (stage.calls(), len(stage.ledger.rows)) == (calls, rows)


@pytest.mark.parametrize("bodies", [(DATA,), (DATA, b"second part")])
@ensureDeferred
async def test_conditions_on_the_target(
    stage: UploadStage, bodies: tuple[bytes, ...]
) -> None:
    """Those of a write; what is there stays, and nothing is left over."""
    await stage.upload("from", *bodies)
    await stage.put("to", b"old")
    absent, other = WriteConditions((), ("*",)), WriteConditions(("other",))
    for conditions in (absent, other):
        with pytest.raises(PreconditionFailed):
            await copy(stage, conditions=conditions)
        assert await stage.read("to") == b"old"
        await no_upload_left(stage)
    assert stage.live_bytes() == sum(map(len, bodies)) + 3
    await copy(stage, conditions=WriteConditions((md5(b"old"),)))
    assert await stage.read("to") == b"".join(bodies)
    await copy(stage, "new", conditions=absent)


@ensureDeferred
async def test_a_source_that_is_not_there(stage: UploadStage) -> None:
    """404, whatever is to be done with it."""
    upload_id = await stage.create("to")
    op = UploadPartCopy("b", "to", upload_id, 1, CopySource("b", "from"))
    for work in (
        copy(stage),
        copy(stage, "from", replace_metadata=True),
        stage.copies.copy_part(op),
    ):
        with pytest.raises(NoSuchKey):
            await work
    assert stage.calls() == 0


# To itself ---


@pytest.mark.parametrize("bodies", [(DATA,), (DATA, b"second part"), (b"",)])
@ensureDeferred
async def test_to_itself_no_byte_moves(
    stage: UploadStage, bodies: tuple[bytes, ...]
) -> None:
    """Other metadata and a new time; no backend is called."""
    await stage.upload("from", *bodies, checksums={"crc32": "AAAAAA=="}, **KEPT)
    before = await stage.objects.find("b", "from")
    calls, rows = stage.calls(), dict(stage.ledger.states())
    stage.clock.advance(5)
    info = await copy(
        stage, "from", replace_metadata=True, content_type="image/png", headers={}
    )
    assert (stage.calls(), stage.ledger.states()) == (calls, rows)
    assert info == await stage.objects.head("b", "from")
    assert (info.etag, info.checksums) == (before.info.etag, before.info.checksums)
    assert info.last_modified > before.info.last_modified
    assert (info.content_type, info.headers, info.user_metadata) == (
        *("image/png", {}, {}),
    )
    assert await stage.read("from") == b"".join(bodies)


@ensureDeferred
async def test_to_itself_under_a_condition(stage: UploadStage) -> None:
    """If-Match of the write is held to the object as it is."""
    await stage.put("from", DATA)
    for conditions in (WriteConditions(("other",)), WriteConditions((), ("*",))):
        with pytest.raises(PreconditionFailed):
            await copy(stage, "from", replace_metadata=True, conditions=conditions)
    same = WriteConditions((md5(DATA),))
    await copy(stage, "from", replace_metadata=True, conditions=same)


@ensureDeferred
async def test_to_itself_while_it_is_overwritten(stage: UploadStage) -> None:
    """The key was there all the time, so it is no 404: the new version is changed."""
    await stage.put("from", DATA)
    inner = stage.ledger.replace_metadata  # type: ignore[attr-defined]
    writes = [b"second", b"third"]

    async def replace_metadata(*args: Any) -> Any:
        if writes:
            await stage.put("from", writes.pop(0))
        return await inner(*args)

    stage.ledger.replace_metadata = replace_metadata  # type: ignore[attr-defined]
    info = await copy(stage, "from", replace_metadata=True, user_metadata={"x": "y"})
    assert (info.etag, info.user_metadata) == (md5(b"third"), {"x": "y"})


@ensureDeferred
async def test_to_itself_while_it_is_deleted(stage: UploadStage) -> None:
    """That is a 404."""
    await stage.put("from", DATA)
    inner = stage.ledger.replace_metadata  # type: ignore[attr-defined]

    async def replace_metadata(*args: Any) -> Any:
        await stage.objects.delete("b", "from")
        return await inner(*args)

    stage.ledger.replace_metadata = replace_metadata  # type: ignore[attr-defined]
    with pytest.raises(NoSuchKey):
        await copy(stage, "from", replace_metadata=True)


# Sources of many parts ---


@pytest.mark.parametrize(
    "bodies",
    [
        (b"only",),
        (b"first", b"second", b"third"),
        (LARGE, DATA),
        (b"first", b""),
        (b"",),
    ],
)
@ensureDeferred
async def test_part_by_part(stage: UploadStage, bodies: tuple[bytes, ...]) -> None:
    """The copy has the same parts, ETag and checksums, in bytes of its own."""
    crc = {"crc32": f"MTIzNA==-{len(bodies)}"}
    await stage.upload("from", *bodies, checksums=crc, **KEPT)
    source = await stage.objects.find("b", "from")
    info = await copy(stage)
    stored = await stage.objects.find("b", "to")
    assert stored.info == info
    if any(bodies):
        assert (info.etag, info.checksums) == (source.info.etag, crc)
        assert stored.parts_count == len(bodies)
    assert (info.content_type, info.user_metadata) == ("text/plain", {"a": "b"})
    assert await stage.read("to") == b"".join(bodies)
    await stage.objects.delete("b", "from")
    assert await stage.read("to") == b"".join(bodies)
    assert stage.live_bytes() == sum(map(len, bodies))
    await no_upload_left(stage)


@ensureDeferred
async def test_parts_of_a_copy_go_wherever_there_is_room(stage: UploadStage) -> None:
    """It needs no more room in one place than its largest part; else 507."""
    await stage.upload("from", *[b"0123456789"] * 3)
    stage.ledger.limits.update(one=42, two=21)
    await copy(stage)
    assert (stage.ledger.used_bytes("one"), stage.ledger.used_bytes("two")) == (40, 20)
    with pytest.raises(InsufficientStorage):
        await copy(stage, "another")
    await no_upload_left(stage)
    assert stage.live_bytes() == 60


@pytest.mark.parametrize("call", ["open_get", "read", "open_put", "finish"])
@ensureDeferred
async def test_a_failure_in_the_middle(stage: UploadStage, call: str) -> None:
    """The copy's upload is aborted, and what it held is garbage at once."""
    stage.one.makes_copies = False
    await stage.upload("from", b"first", b"second")
    await stage.put("to", b"old")
    # The first part goes well: of a read it takes two, the second being the end.
    stage.one.fail(call, *[None] * (2 if call == "read" else 1), *[broke_off] * 9)
    stage.two.fail(call, *[BackendUnavailable("two", "broke off")] * 9)
    with pytest.raises(ServiceUnavailable):
        await copy(stage)
    stage.heal()
    assert await stage.read("to") == b"old"
    await no_upload_left(stage)
    assert stage.live_bytes() == len(b"firstsecondold")


@pytest.mark.parametrize("call", ["claim_part", "commit_part", "complete"])
@ensureDeferred
async def test_the_ledger_goes_away_in_the_middle(
    stage: UploadStage, call: str
) -> None:
    """503; where it is back in time the upload is aborted, else the job does it."""
    await stage.upload("from", b"first", b"second")
    stage.ledger.fail(call, StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await copy(stage)
    await no_upload_left(stage)
    stage.ledger.fail(call, StoreUnavailable("away"))
    stage.ledger.fail("abort", StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await copy(stage)
    page = await stage.uploads.list_uploads(ListMultipartUploads("b"))
    (left,) = page.uploads
    await stage.uploads.abort(AbortMultipartUpload("b", left.key, left.upload_id))


@ensureDeferred
async def test_a_client_that_leaves(stage: UploadStage) -> None:
    """The upload is aborted then, too."""
    stage.one.makes_copies = False
    await stage.upload("from", b"first", b"second")
    stage.one.hold("finish")
    work = Deferred.fromCoroutine(copy(stage))
    assert not work.called
    work.cancel()
    with pytest.raises(Exception):  # noqa: B017
        await work
    await no_upload_left(stage)
    assert stage.live_bytes() == len(b"firstsecond")


@pytest.mark.parametrize("data", [DATA, LARGE])
@ensureDeferred
async def test_a_source_that_cannot_be_read_on(stage: UploadStage, data: bytes) -> None:
    """503, whether it is kept or streamed; the copy leaves nothing behind."""
    stage.one.makes_copies = False
    await stage.put("from", data)
    await stage.put("to", b"old")
    stage.one.fail("read", *[None] * (data is LARGE), *[broke_off] * 9)
    with pytest.raises(ServiceUnavailable):
        await copy(stage)
    stage.heal()
    assert await stage.read("to") == b"old"
    assert stage.live_bytes() == len(data) + 3
    assert stage.held == 0


@ensureDeferred
async def test_a_source_whose_bytes_are_gone(stage: UploadStage) -> None:
    """What a GET would say: an S3 error, and nothing is left."""
    stage.one.makes_copies = False
    await stage.put("from", DATA)
    stage.one.fail("open_get", *[BackendMissing("one", "404")] * 9)
    with pytest.raises(S3Error) as caught:
        await copy(stage)
    assert caught.value.status == 500
    assert stage.live_bytes() == len(DATA)


@ensureDeferred
async def test_a_source_that_is_overwritten_at_once(stage: UploadStage) -> None:
    """Between its row and its manifest: try again."""
    await stage.upload("from", b"first", b"second")
    inner = stage.ledger.find

    async def find(bucket: str, key: str) -> Any:
        found = await inner(bucket, key)
        if key == "from":
            await stage.put("from", b"new")
        return found

    stage.ledger.find = find  # type: ignore[method-assign]
    with pytest.raises(ServiceUnavailable):
        await copy(stage)
    await no_upload_left(stage)
    with pytest.raises(NoSuchKey):
        await stage.objects.head("b", "to")


# Parts from ranges ---


@pytest.mark.parametrize(
    ("source_range", "expected"),
    [
        (None, b"0123456789abcdefghij"),
        ((0, 1), b"0"),
        ((8, 12), b"89ab"),
        ((10, 20), b"abcdefghij"),
        ((0, 20), b"0123456789abcdefghij"),
    ],
)
@ensureDeferred
async def test_a_part_from_a_range(
    stage: UploadStage, source_range: tuple[int, int] | None, expected: bytes
) -> None:
    """Over the source's part boundaries, too."""
    await stage.upload("from", b"0123456789", b"abcdefghij")
    upload_id = await stage.create("to")
    op = UploadPartCopy(
        "b", "to", upload_id, 4, CopySource("b", "from"), source_range=source_range
    )
    part = await stage.copies.copy_part(op)
    assert (part.part_number, part.etag) == (4, md5(expected))
    page = await stage.uploads.list_parts(ListParts("b", "to", upload_id))
    assert page.parts == (part,)
    await stage.complete(upload_id, [part], "to")
    assert await stage.read("to") == expected


@ensureDeferred
async def test_a_part_from_an_empty_object(stage: UploadStage) -> None:
    """It is an empty part."""
    await stage.put("from", b"")
    upload_id = await stage.create("to")
    op = UploadPartCopy("b", "to", upload_id, 1, CopySource("b", "from"))
    part = await stage.copies.copy_part(op)
    assert (part.size_bytes, part.etag) == (0, md5(b""))


@ensureDeferred
async def test_parts_that_are_refused(stage: UploadStage) -> None:
    """A range past the end; an upload that is not there, or another's."""
    await stage.put("from", DATA)
    upload_id = await stage.create("to")
    source, size = CopySource("b", "from"), len(DATA)
    for op, error in (
        (
            UploadPartCopy("b", "to", upload_id, 1, source, source_range=(0, size + 1)),
            InvalidRange,
        ),
        (UploadPartCopy("b", "to", "unknown", 1, source), NoSuchUpload),
        (UploadPartCopy("b", "other", upload_id, 1, source), NoSuchUpload),
    ):
        with pytest.raises(error):
            await stage.copies.copy_part(op)
    assert stage.one.gets == []
    page = await stage.uploads.list_parts(ListParts("b", "to", upload_id))
    assert page.parts == ()
