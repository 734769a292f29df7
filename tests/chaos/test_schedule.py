"""What goes wrong follows from the seed; broken builds are really broken."""

from __future__ import annotations

import ast
import shutil
from itertools import islice
from pathlib import Path

import pytest

from chaos.mutations import MUTATIONS, ROOT, Change, apply
from chaos.operations import UNCHANGED
from chaos.schedule import LANES, POINTS, WEIGHTS, faults
from tests.crash import breaking


@pytest.mark.parametrize("lane", LANES, ids=lambda lane: f"{lane[0]}-{lane[1]}")
def test_a_schedule_can_be_had_again(lane: tuple[str, int]) -> None:
    """From its seed; another seed has another; every fault has its turn."""
    first = list(islice(faults(1, lane), 400))  # type: ignore[arg-type]
    assert first == list(islice(faults(1, lane), 400))  # type: ignore[arg-type]
    assert first != list(islice(faults(2, lane), 400))  # type: ignore[arg-type]
    assert {each.name for each in first} == set(WEIGHTS[lane[0]])  # type: ignore[index]


def test_every_point_is_one() -> None:
    """Of the daemon with trip wires."""
    assert set(POINTS) <= breaking.POINTS
    named = {
        each.point for each in islice(faults(1, ("daemon", 0)), 2000) if each.point
    }
    assert named == set(POINTS)


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_fit_the_sources(name: str, tmp_path: Path) -> None:
    """Each text is found, and what comes of it is still a program."""
    changes = MUTATIONS[name].changes
    for path in {each.path for each in changes}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tmp_path / path)
    for change in changes:
        apply(tmp_path, change)
        text = (tmp_path / change.path).read_text()
        assert text != (ROOT / change.path).read_text()
        if change.path.endswith(".py"):
            ast.parse(text)


def test_a_mutation_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    """Else a run would show that a build which is not broken is good."""
    (tmp_path / "f").write_text("one")
    with pytest.raises(ValueError, match="found 0 times"):
        apply(tmp_path, Change("f", "two", "three"))
    assert (tmp_path / "f").read_text() == "one"


def test_what_a_503_promises_is_what_the_product_says() -> None:
    """The load takes its word for it."""
    assert UNCHANGED.decode() in (ROOT / "s3proxy/manager/writing.py").read_text()
