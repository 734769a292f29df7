"""s3proxy.web.gate: buckets that exist and are granted, or are not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from s3proxy.errors import AccessDenied, NoSuchBucket
from s3proxy.model import Grant
from s3proxy.plan.access import NEEDS, Need, Rights
from s3proxy.s3.operation import CopySource
from s3proxy.web.auth import Identity
from s3proxy.web.directory import BucketDirectory
from s3proxy.web.gate import Gate
from tests.plan.test_access import OPERATIONS, make
from tests.web.fakes import FakeBuckets

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PHOTOS = Rights({"photos": Grant()})
ON_BUCKETS = [
    each for each in OPERATIONS if NEEDS[each].name not in ("NOTHING", "CREATE")
]
COPIES = [each for each in OPERATIONS if each.__name__.endswith(("CopyObject", "Copy"))]


@pytest.fixture
def gate() -> Gate:
    names = ("photos", "music", "unified")
    made = FakeBuckets({"mine": "alice"})
    return Gate(BucketDirectory(dict.fromkeys(names, CREATED), made, ()))


async def admit(gate: Gate, op: object, rights: Rights) -> Identity:
    return await gate.admit(op, Identity(True, None, rights=rights))


@pytest.mark.parametrize("kind", ON_BUCKETS)
@ensureDeferred
async def test_case_80_a_bucket_that_is_not_there(gate: Gate, kind: Any) -> None:
    """It is told apart from one that is not granted, but by nobody from outside."""
    with pytest.raises(NoSuchBucket) as caught:
        await admit(gate, make(kind, bucket="other"), PHOTOS)
    assert caught.value.fields == {"BucketName": "other"}


@pytest.mark.parametrize("kind", ON_BUCKETS)
@ensureDeferred
async def test_a_bucket_that_is_not_granted(gate: Gate, kind: Any) -> None:
    for rights in (PHOTOS, Rights()):
        with pytest.raises(AccessDenied):
            await admit(gate, make(kind, bucket="music"), rights)


@pytest.mark.parametrize("kind", ON_BUCKETS)
@ensureDeferred
async def test_what_is_granted_goes_through(gate: Gate, kind: Any) -> None:
    op = make(kind, bucket="photos", source=CopySource("photos", "k"))
    identity = await admit(gate, op, PHOTOS)
    assert identity == Identity(True, None, rights=PHOTOS, grant=Grant())


@pytest.mark.parametrize("kind", ON_BUCKETS)
@pytest.mark.parametrize("may_create", [True, False])
@ensureDeferred
async def test_a_bucket_that_was_made_is_its_creators_alone(
    gate: Gate, kind: Any, may_create: bool
) -> None:
    op = make(kind, bucket="mine", source=CopySource("mine", "k"))
    alice = Rights(PHOTOS.grants, "alice", may_create)
    assert (await admit(gate, op, alice)).grant == Grant()
    # A grant is of a configured bucket, whatever it names.
    for rights in (Rights({"mine": Grant()}), Rights({}, "bob", True), Rights()):
        with pytest.raises(AccessDenied):
            await admit(gate, op, rights)


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize(
    ("bucket", "key", "error"),
    [
        ("photos", "k", None),
        ("music", "a/k", None),
        ("music", "k", AccessDenied),
        ("music", "a", AccessDenied),
        ("unified", "k", AccessDenied),
        ("mine", "k", AccessDenied),
        ("other", "k", NoSuchBucket),
    ],
)
@ensureDeferred
async def test_case_90_a_source_is_read(
    gate: Gate, kind: Any, bucket: str, key: str, error: type[Exception] | None
) -> None:
    rights = Rights({"photos": Grant(), "music": Grant(False, "a/")})
    op = make(kind, bucket="photos", source=CopySource(bucket, key))
    if error is None:
        await admit(gate, op, rights)
    else:
        with pytest.raises(error):
            await admit(gate, op, rights)


@ensureDeferred
async def test_the_target_of_a_copy_is_written(gate: Gate) -> None:
    rights = Rights({"photos": Grant(), "music": Grant(False)})
    for kind in COPIES:
        op = make(kind, bucket="music", source=CopySource("photos", "k"))
        with pytest.raises(AccessDenied):
            await admit(gate, op, rights)


@ensureDeferred
async def test_what_needs_no_bucket(gate: Gate) -> None:
    for kind in OPERATIONS:
        if NEEDS[kind] in (Need.NOTHING, Need.CREATE):
            identity = await admit(gate, make(kind), PHOTOS)
            assert identity.grant is None


@ensureDeferred
async def test_an_operation_of_nobodys_table(gate: Gate) -> None:
    with pytest.raises(AccessDenied):
        await admit(gate, object(), PHOTOS)
