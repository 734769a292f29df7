"""Schedules that seeds make: none may show a violation, and broken rules must."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.daemon import ROOT
from tests.simulation.__main__ import main
from tests.simulation.mutations import MUTATIONS, broken
from tests.simulation.running import command, run

#: Some 6 s of CPU. `make simulate` runs as many as one likes.
SEEDS = 160

#: Where the search for a broken rule begins, so that it takes a second: docs/
#: reliability.md says how many seeds each takes from 0 on.
BEGIN = {
    "unclaimed": 8,
    "no-grace": 62,
    "believe": 4,
    "delete-once": 52,
    "promise": 955,
}
WITHIN = 20


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


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_broken_rule_is_found(name: str) -> None:
    """Within a few seeds, by what clients see or by what is left behind."""
    begin = BEGIN.get(name, 0)
    with broken(name):
        found = (run(seed).violations for seed in range(begin, begin + WITHIN))
        assert any(found), f"{MUTATIONS[name].words} Nobody noticed."


def test_a_failing_seed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """With what replays it, and exit code 1."""
    name = "forget-first"
    assert main(["--mutation", name, "--start", "0", "--seeds", "10"]) == 1
    told = capsys.readouterr().out
    assert f"--seeds 1 --trace --mutation {name}" in told
    assert told.splitlines()[-1].startswith("10 schedules, ")
