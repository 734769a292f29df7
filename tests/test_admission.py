"""s3proxy.admission: what an operator is told of buckets and of an open door."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from s3proxy.admission import Admission, open_admission
from s3proxy.errors import ConfigError
from s3proxy.store.registry import BucketTaken, Registered
from tests.config_documents import read
from tests.web.fakes import FakeBuckets

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
ALICE = {"access_key_id": "alice", "secret_access_key": "of alice"}
BOB = {"access_key_id": "bob", "secret_access_key": "of bob"}


class FakeRegistry:
    """The table of buckets, as ``store.registry.Registry`` shows it."""

    def __init__(self, made: dict[str, str], held: dict[str, str | None]) -> None:
        self.made, self.held = made, held

    async def register_buckets(
        self, names: Collection[str], may_take: Callable[[str, str], bool]
    ) -> Registered:
        taken = [(name, self.made[name]) for name in names if name in self.made]
        if not all(may_take(*each) for each in taken):
            raise BucketTaken("taken")
        return Registered(dict.fromkeys(names, NOW), taken)

    async def held_buckets(self) -> list[tuple[str, str | None]]:
        return list(self.held.items())


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    lines: list[str] = []

    def note(event: LogEvent) -> None:
        lines.append(str(formatEvent(event)))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)


async def admission(
    document: dict[str, Any],
    made: dict[str, str] | None = None,
    held: dict[str, str | None] | None = None,
) -> Admission:
    registry: Any = FakeRegistry(made or {}, held or {})
    return await open_admission(read(document), registry, FakeBuckets(), lambda: NOW)


@ensureDeferred
async def test_case_22_an_open_door_is_told_loudly(warnings: list[str]) -> None:
    opened = await admission({})
    [line] = warnings
    assert line.startswith("AUTHENTICATION IS OFF")
    assert "0.0.0.0:9000" in line
    assert opened.authenticator.keyring.is_open
    warnings.clear()
    for document in ({"auth": {"token": "t"}}, {"credentials": [ALICE]}):
        assert not (await admission(document)).authenticator.keyring.is_open
    assert warnings == []


@ensureDeferred
async def test_case_22_a_reload_does_not_open_the_door() -> None:
    closed = await admission({"credentials": [ALICE]})
    with pytest.raises(ConfigError, match="needs a restart"):
        await closed.applier.prepare(read({}))
    # Nothing acts before it is told to; an open door may be closed, and stay open.
    act = await closed.applier.prepare(read({"auth": {"token": "t"}}))
    assert closed.authenticator.keyring.has_keys
    act()
    assert not closed.authenticator.keyring.has_keys
    opened = await admission({})
    (await opened.applier.prepare(read({})))()
    assert opened.authenticator.keyring.is_open
    (await opened.applier.prepare(read({"auth": {"token": "t"}})))()
    assert not opened.authenticator.keyring.is_open


@ensureDeferred
async def test_a_reload_brings_buckets_and_their_names() -> None:
    served = await admission({"credentials": [ALICE]})
    assert list(served.directory.configured) == ["unified"]
    new = read(
        {
            "server": {"virtual_bucket": "main"},
            "credentials": [{**ALICE, "buckets": {"photos": {}}}],
            "telemetry": {"metrics": {"path": "/numbers/all"}},
        }
    )
    (await served.applier.prepare(new))()
    assert set(served.directory.configured) == {"main", "photos"}
    assert set(served.directory.reserved) == {"health", "numbers"}


@ensureDeferred
async def test_objects_that_nobody_can_reach(warnings: list[str]) -> None:
    document = {"credentials": [{**ALICE, "buckets": {"photos": {}}}]}
    held = {
        "older": None,
        "photos": None,
        "unified": None,
        "mine": "alice",
        "lost": "carol",
    }
    await admission(document, held=held)
    assert [line.split(":")[0] for line in warnings] == [
        "bucket older holds objects but is not configured",
        "bucket lost holds objects, and was made by access key carol, which is not "
        "configured",
    ]


@pytest.mark.parametrize(
    ("credentials", "is_taken"),
    [
        # Its maker is somebody else, who would lose it.
        ([{**ALICE, "buckets": {"mine": {}}}, BOB], False),
        # It is shared with its maker.
        (
            [
                {**ALICE, "buckets": {"mine": {}}},
                {**BOB, "buckets": {"mine": {"mode": "ro"}}},
            ],
            True,
        ),
        # Its maker is gone.
        ([{**ALICE, "buckets": {"mine": {}}}], True),
    ],
)
@ensureDeferred
async def test_a_clients_bucket_in_the_configuration(
    warnings: list[str], credentials: list[dict[str, Any]], is_taken: bool
) -> None:
    document = {"credentials": credentials}
    if is_taken:
        served = await admission(document, {"mine": "bob"})
        assert "mine" in served.directory.configured
        [line] = warnings
        assert "made at run time by access key bob" in line
    else:
        with pytest.raises(BucketTaken):
            await admission(document, {"mine": "bob"})
