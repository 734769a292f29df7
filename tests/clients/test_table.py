"""The README's table of clients cannot lie: what the plugin makes of a run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.clients import table
from tests.clients.table import CLIENTS, Row
from tests.daemon import ROOT

RAN = {"restic": Row(["backup", "restore"], {"passed"})}
TOLD = {"restic": ["Debian", "0.1", "backup; restore", "passed", "2026-01-01"]}


def test_a_table_is_read_as_it_is_written() -> None:
    shown = table._BEGIN + table.render(TOLD) + table._END
    assert table.shown(f"before\n{shown}after") == TOLD


@pytest.mark.parametrize(
    ("row", "ran", "same"),
    [
        (Row(["backup", "restore"], {"passed"}), True, True),
        (Row(["backup"], {"passed"}), True, False),
        (Row(["backup"], set()), False, False),
        (Row(["backup", "restore"], set()), False, True),
        (Row(["backup", "restore"], {"passed", "failed"}), True, False),
        (Row(["backup", "restore"], {"not run: no /dev/fuse"}), True, True),
    ],
)
def test_differences_are_found(row: Row, ran: bool, same: bool) -> None:
    assert (table.differences({"restic": row}, TOLD, ran=ran) == []) is same


def test_rows_without_a_test_are_found() -> None:
    assert table.differences({"restic": RAN["restic"]}, {}) != []
    [line] = table.differences(RAN, {**TOLD, "mc": ["", "", "", "", ""]})
    assert line.startswith("mc: ")
    assert table.differences({"restic": Row()}, TOLD) != []


@pytest.mark.system
def test_the_readme_says_what_the_tests_do() -> None:
    """Of every client, without running it."""
    plugin = ("-p", "tests.clients.table", "-p", "no:cacheprovider")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, "--collect-only", "tests/clients"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout[-5000:]
    told = table.shown(table.README.read_text())
    assert list(told) == list(CLIENTS)
    assert {row[3] for row in told.values()} == {"passed"}
