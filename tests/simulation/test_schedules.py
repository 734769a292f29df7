"""Schedules that seeds make: none may show a violation, and broken rules must."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.daemon import ROOT
from tests.simulation.__main__ import main
from tests.simulation.mutations import MUTATIONS, broken
from tests.simulation.running import Outcome, command, run

#: Some 7 s of CPU. `make simulate` runs as many as one likes.
SEEDS = 220

#: Seeds that show a broken rule soon, so that the suite is not held up. What changes
#: the order of calls makes other schedules of them: then the search goes on from 0,
#: which takes a few seconds more, and here is something to bring up to date.
SOON = {"unclaimed": 17, "no-grace": 71, "believe": 12, "delete-once": 59}
WITHIN = 600

#: Shown by one seed of hundreds: tests/manager/test_writing.py has it.
RARE = {"promise"}


def test_no_schedule_shows_a_violation() -> None:
    """A seed that does is a test case: the message says what replays it."""
    for seed in range(SEEDS):
        found = run(seed).violations
        assert not found, "\n".join([*found, command(seed)])


def test_a_seed_is_one_schedule() -> None:
    """In this process and in another one, whose hashes of texts differ."""
    here = [f"{seed} {run(seed).digest}" for seed in range(3)]
    assert here == [f"{seed} {run(seed).digest}" for seed in range(3)]
    assert len({line.split()[1] for line in here}) == 3
    there = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seeds", "3", "--digests"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.splitlines()[:3] == here


@pytest.mark.parametrize("name", sorted(MUTATIONS.keys() - RARE))
def test_a_broken_rule_is_found(name: str) -> None:
    """By what clients see, or by what is left behind."""
    with broken(name):
        found = (run(seed).violations for seed in (SOON.get(name, 7), *range(WITHIN)))
        assert any(found), f"{MUTATIONS[name].words} Nobody noticed."


def test_a_failing_seed_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what replays it, and exit code 1."""

    def fail(seed: int) -> Outcome:
        return Outcome(seed, ["lost at k"] if seed == 5 else [], ["a line"], 3)

    monkeypatch.setattr("tests.simulation.__main__.run", fail)
    assert main(["--start", "4", "--seeds", "3", "--mutation", "believe"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[:3] == ["seed 5:", "  lost at k", f"  {command(5)} --mutation believe"]
    assert told[3].startswith("3 schedules, 9 operations, 3 steps: 1 failed; ")
    assert main(["--start", "6", "--seeds", "1"]) == 0
