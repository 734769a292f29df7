"""s3proxy.web.readiness: which state is which status, and what asking costs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from s3proxy.errors import StoreUnavailable
from s3proxy.web.answer import Answer
from s3proxy.web.readiness import (
    ANSWER_SECONDS,
    FRESH_SECONDS,
    HOLD_SECONDS,
    Readiness,
)


@define(eq=False)
class Ground:
    """
    :ivar asked: Questions to the database, to be answered by the test.
    """

    clock: Clock = field(factory=Clock)
    heard: float | None = None
    backends: dict[str, bool | None] = field(factory=lambda: {"a": False, "b": None})
    jobs: dict[str, bool] = field(factory=lambda: {"reap": False})
    asked: list[Deferred[None]] = field(factory=list)
    readiness: Readiness = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.readiness = Readiness(
            self.ask,
            lambda: self.heard,
            lambda: self.backends,
            lambda: self.jobs,
            self.clock,
        )

    async def ask(self) -> None:
        self.asked.append(Deferred())
        await self.asked[-1]

    def report(self, **how: Any) -> Deferred[Answer]:
        return Deferred.fromCoroutine(
            self.readiness.report(**{"draining": False, **how})
        )


def said(report: Deferred[Answer]) -> tuple[int, dict[str, Any]]:
    found: list[Answer] = []
    report.addCallback(found.append)
    (answer,) = found
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize(
    ("backends", "jobs", "draining", "status"),
    [
        ({"a": False, "b": None}, {"x": False}, False, (200, "ready")),
        ({}, {}, False, (200, "ready")),
        ({"a": True, "b": False}, {"x": False}, False, (200, "degraded")),
        ({"a": True}, {"x": False}, False, (200, "degraded")),
        ({"a": False}, {"x": True, "y": False}, False, (200, "degraded")),
        ({"a": False}, {"x": False}, True, (503, "unavailable")),
    ],
)
def test_states(
    backends: dict[str, bool | None],
    jobs: dict[str, bool],
    draining: bool,
    status: tuple[int, str],
) -> None:
    ground = Ground(heard=0.0, backends=backends, jobs=jobs)
    code, told = said(ground.report(draining=draining))
    assert (code, told["status"]) == status
    assert not ground.asked


def test_names_are_for_the_operator() -> None:
    ground = Ground(heard=0.0)
    assert said(ground.report(detailed=True))[1] == {
        "status": "ready",
        "database": "ok",
        "stopping": False,
        "backends": {"a": "ok", "b": "unknown"},
        "jobs": {"reap": "ok"},
    }
    told = said(ground.report())[1]
    assert told["backends"] == {"ok": 1, "unknown": 1} and told["jobs"] == {"ok": 1}


def test_many_askers_are_one_question() -> None:
    ground = Ground(heard=0.0)
    ground.clock.advance(FRESH_SECONDS)
    reports = [ground.report() for _ in range(3)]
    (question,) = ground.asked
    question.callback(None)
    assert [said(each)[0] for each in reports] == [200, 200, 200]
    assert said(ground.report())[0] == 200 and len(ground.asked) == 1
    ground.clock.advance(HOLD_SECONDS)
    ground.report()
    assert len(ground.asked) == 2


def test_a_database_that_is_away() -> None:
    ground = Ground()
    report = ground.report()
    ground.asked[0].errback(StoreUnavailable("gone"))
    code, told = said(report)
    assert (code, told["database"]) == (503, "unreachable")
    # Back, and heard of by somebody else: no second is waited.
    ground.heard = ground.clock.seconds()
    assert said(ground.report())[0] == 200


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (True, (200, "degraded", "standby")),
        (False, (503, "unavailable", "unreachable")),
        (StoreUnavailable("gone"), (503, "unavailable", "unreachable")),
        (None, (503, "unavailable", "unreachable")),
    ],
)
def test_a_standby_that_reads_go_on_from(
    found: bool | Exception | None, expected: tuple[int, str, str]
) -> None:
    """It is asked for only when the primary has not answered; None: it says nothing."""
    ground = Ground()
    looks: list[Deferred[bool]] = []

    async def has_standby() -> bool:
        looks.append(Deferred())
        return await looks[-1]

    ground.readiness = Readiness(
        ground.ask,
        lambda: ground.heard,
        lambda: ground.backends,
        lambda: ground.jobs,
        ground.clock,
        has_standby,
    )
    report = ground.report()
    assert not looks
    ground.asked[0].errback(StoreUnavailable("gone"))
    if found is None:
        ground.clock.advance(ANSWER_SECONDS)
    elif isinstance(found, Exception):
        looks[0].errback(found)
    else:
        looks[0].callback(found)
    code, told = said(report)
    assert (code, told["status"], told["database"]) == expected
    ground.heard = ground.clock.seconds()
    assert said(ground.report())[1]["status"] == "ready"


def test_a_database_that_says_nothing() -> None:
    ground = Ground()
    reports = [ground.report(), ground.report()]
    ground.clock.advance(ANSWER_SECONDS)
    assert [said(each)[0] for each in reports] == [503, 503]
    assert not ground.clock.getDelayedCalls()
