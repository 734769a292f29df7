"""The fuzzer: a short run of it, and that it finds what there is to find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from fuzz.running import Run, Target
from fuzz.targets import targets

ROOT = Path(__file__).parents[1]
TARGETS = targets()


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_errors_of_s3s(name: str) -> None:
    """Case 100 of the security checklist; ``make fuzz`` tries more."""
    run = Run.of({name: TARGETS[name]}, seed=100)
    run.inputs(400)
    assert run.findings == []
    tally = run.tallies[name]
    assert tally.inputs == 400


def test_every_seed_is_right() -> None:
    """What is changed at random was good before."""
    for target in TARGETS.values():
        for number, seed in enumerate(target.seeds):
            target.run(seed, number, Random(1))


def brittle(data: bytes, number: int, random: Random) -> None:
    """Falls over what is not ASCII."""
    data.decode("ascii")


def test_what_is_found_can_be_had_again() -> None:
    """From seed, target and number."""
    run = Run.of({"brittle": Target([b"abc"], brittle)}, seed=7)
    run.inputs(1000)
    assert run.findings
    first = run.findings[0]
    assert "UnicodeDecodeError" in first.trace
    again = Run.of({"brittle": Target([b"abc"], brittle)}, seed=7)
    assert again.one("brittle", first.index) == first.data
    assert [each.data for each in again.findings] == [first.data]


def test_the_command() -> None:
    """It prints counts, and how to repeat the run."""
    command = [sys.executable, "-m", "fuzz", "--inputs", "40", "--seed", "3"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("seed 3\n")
    assert done.stdout.endswith("0 findings\n")
    replay = [*command[:3], "--seed", "3", "--replay", "range:1"]
    done = subprocess.run(
        replay, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "range:1: b'" in done.stdout
