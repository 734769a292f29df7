"""s3proxy.workers.crew: who is started, when, and what all of them are told."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from s3proxy.config import Config
from s3proxy.errors import ConfigError
from s3proxy.reload import Act
from s3proxy.workers.crew import PREPARE_SECONDS, Crew, CrewFailed
from s3proxy.workers.process import Listener
from tests.config_documents import read

OLD, NEW = read({}), read({"auth": {"token": "canary"}})


class FakeWorker:
    """Notes what it is told; the test says what comes back."""

    def __init__(self, number: int, pid: int, config: Config, crew: Listener) -> None:
        self.number, self.pid, self.config = number, pid, config
        self.told: list[str] = []
        self._crew = crew
        self._offered: dict[int, Config] = {}
        self._asked: dict[int, Deferred[tuple[str, ...] | None]] = {}
        self.acting: Deferred[None] = Deferred()

    def prepare(self, serial: int, config: Config) -> Deferred[tuple[str, ...] | None]:
        self.told.append("prepare")
        self._offered[serial] = config
        self._asked[serial] = Deferred()
        return self._asked[serial]

    def act(self, serial: int) -> Deferred[None]:
        self.told.append("act")
        self.config = self._offered[serial]
        return self.acting

    def drop(self, serial: int) -> None:
        self.told.append("drop")

    def stop(self) -> None:
        self.told.append("stop")

    def kill(self) -> None:
        self.told.append("kill")
        self.end("by SIGKILL")

    def serve(self) -> None:
        self._crew.serves(self.number, ("auth",))

    def answer(self, *problems: str) -> None:
        for each in self._asked.values():
            if not each.called:
                each.callback(problems)

    def end(self, how: str = "by SIGKILL") -> None:
        for each in self._asked.values():
            if not each.called:
                each.callback(None)
        self._crew.ended(self.number, self.pid, how)


class Stage:
    """A crew over fakes; ``workers[n]`` is the last one of that number."""

    def __init__(self, size: int = 2) -> None:
        self.clock = Clock()
        self.config = OLD
        self.spawned: list[FakeWorker] = []
        self.buried: list[int] = []
        self.fault: OSError | None = None
        self.crew = Crew(size, self._spawn, self.buried.append, self.clock)

    def _spawn(self, number: int, crew: Listener) -> FakeWorker:
        if self.fault is not None:
            raise self.fault
        made = FakeWorker(number, 100 + len(self.spawned), self.config, crew)
        self.spawned.append(made)
        return made

    def __getitem__(self, number: int) -> FakeWorker:
        return [each for each in self.spawned if each.number == number][-1]

    def start(self) -> None:
        starting = run(self.crew.start)
        for each in tuple(self.spawned):
            assert not starting.called
            each.serve()
        assert starting.called

    def reload(self) -> Deferred[Act]:
        return run(self.crew.prepare, NEW)

    def act(self, ready: Deferred[Act]) -> Deferred[None]:
        """As the master does."""
        self.config = NEW
        acting: Any = result(ready)()
        return Deferred.fromCoroutine(acting)


def run(call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    return Deferred.fromCoroutine(call(*arguments))


def result(deferred: Deferred[Any]) -> Any:
    """What it has; raises what it failed with."""
    got: list[Any] = []
    deferred.addBoth(got.append)
    assert got, "nothing yet"
    if hasattr(got[0], "raiseException"):
        got[0].raiseException()
    return got[0]


def test_all_serve_before_the_start_is_over() -> None:
    stage = Stage(3)
    stage.start()
    assert [each.number for each in stage.spawned] == [1, 2, 3]
    assert stage.crew.settings == ("auth",)


def test_one_that_does_not_come_up_ends_the_start() -> None:
    stage = Stage()
    starting = run(stage.crew.start)
    stage[1].serve()
    stage[2].end("with exit code 1")
    with pytest.raises(CrewFailed, match=r"worker 2 .* has ended with exit code 1"):
        result(starting)
    stopping = run(stage.crew.stop, 30)
    assert stage[1].told == ["stop"] and not stopping.called
    stage[1].end("with exit code 0")
    assert stopping.called
    stage.clock.advance(100)
    assert len(stage.spawned) == 2


def test_one_that_dies_is_followed_by_another() -> None:
    """The others are not touched; what it has measured is buried."""
    stage = Stage()
    stage.start()
    dead = stage[2]
    dead.end()
    assert stage.buried == [dead.pid]
    assert len(stage.spawned) == 2
    stage.clock.advance(0.5)
    assert stage[2] is not dead
    assert stage[1].told == []


def test_the_wait_grows_until_one_has_lasted() -> None:
    stage = Stage()
    stage.start()
    waits = []
    for _ in range(9):
        stage[1].end()
        before, began = len(stage.spawned), stage.clock.seconds()
        while len(stage.spawned) == before:
            stage.clock.advance(0.5)
        waits.append(stage.clock.seconds() - began)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    stage.clock.advance(31)
    stage[1].end()
    before = len(stage.spawned)
    stage.clock.advance(0.5)
    assert len(stage.spawned) == before + 1


def test_one_that_cannot_be_started_is_tried_again() -> None:
    stage = Stage()
    stage.start()
    stage[1].end()
    stage.fault = OSError(errno.ENOMEM, "no memory")
    stage.clock.advance(0.5)
    stage.fault = None
    stage.clock.advance(1)
    assert len(stage.spawned) == 3


# Reloads.


def test_nobody_acts_before_all_are_ready() -> None:
    stage = Stage()
    stage.start()
    ready = stage.reload()
    stage[1].answer()
    assert not ready.called
    stage[2].answer()
    assert [stage[n].told for n in (1, 2)] == [["prepare"]] * 2
    acting = stage.act(ready)
    assert stage[1].config == stage[2].config == NEW
    stage[1].acting.callback(None)
    assert not acting.called
    stage[2].acting.callback(None)
    assert acting.called
    assert not stage.clock.getDelayedCalls()


def test_the_end_of_an_act_is_not_waited_for_for_ever() -> None:
    stage = Stage()
    stage.start()
    ready = stage.reload()
    stage[1].answer()
    stage[2].answer()
    acting = stage.act(ready)
    stage[1].acting.callback(None)
    stage.clock.advance(PREPARE_SECONDS)
    assert acting.called
    stage[2].acting.callback(None)


def test_one_objection_and_all_forget_it() -> None:
    """What several say the same is told once."""
    stage = Stage(3)
    stage.start()
    ready = stage.reload()
    stage[1].answer()
    stage[2].answer("auth: is wrong", "x: too")
    stage[3].answer("auth: is wrong")
    with pytest.raises(ConfigError) as caught:
        result(ready)
    assert str(caught.value).splitlines() == ["auth: is wrong", "x: too"]
    assert all(each.told == ["prepare", "drop"] for each in stage.spawned)
    assert all(each.config == OLD for each in stage.spawned)


def test_one_that_is_stuck_holds_it_back_for_so_long() -> None:
    stage = Stage()
    stage.start()
    ready = stage.reload()
    stage[1].answer()
    stage.clock.advance(PREPARE_SECONDS)
    with pytest.raises(ConfigError, match="worker 2 has not answered for 60 seconds"):
        result(ready)
    stage[2].answer()  # Too late, and no harm.
    assert stage[1].told == stage[2].told == ["prepare", "drop"]


def test_one_that_dies_over_it_objects_to_nothing() -> None:
    """And the next one, which waits until it is over, begins with what came of it."""
    stage = Stage()
    stage.start()
    ready = stage.reload()
    stage[1].end()
    stage.clock.advance(10)
    assert len(stage.spawned) == 2
    stage[2].answer()
    stage.act(ready)
    assert len(stage.spawned) == 3
    assert stage[1].config == stage[2].config == NEW


def test_after_a_refused_one_the_next_begins_with_the_old() -> None:
    stage = Stage()
    stage.start()
    ready = stage.reload()
    stage[1].end()
    stage.clock.advance(10)
    stage[2].answer("no")
    with pytest.raises(ConfigError):
        result(ready)
    assert stage[1].config == OLD and len(stage.spawned) == 3


# The end.


def test_a_stop_waits_for_all_and_starts_nobody() -> None:
    stage = Stage(3)
    stage.start()
    stage[3].end()
    stopping = run(stage.crew.stop, 30)
    stage[1].end("with exit code 0")
    assert not stopping.called
    stage[2].end("with exit code 0")
    assert stopping.called
    stage.clock.advance(100)
    assert len(stage.spawned) == 3
    assert "kill" not in stage[1].told + stage[2].told
    assert not stage.clock.getDelayedCalls()


def test_one_that_does_not_serve_yet_is_not_waited_for() -> None:
    stage = Stage()
    stage.start()
    stage[2].end()
    stage.clock.advance(0.5)
    stopping = run(stage.crew.stop, 30)
    assert (stage[1].told, stage[2].told) == (["stop"], ["kill"])
    stage[1].end("with exit code 0")
    assert stopping.called


def test_one_that_does_not_end_is_killed() -> None:
    stage = Stage()
    stage.start()
    stopping = run(stage.crew.stop, 30)
    stage[1].end("with exit code 0")
    stage.clock.advance(30)
    assert stage[2].told == ["stop", "kill"]
    assert stopping.called
