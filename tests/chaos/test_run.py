"""A short run of the whole harness; ``make chaos`` has the long ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.mutations import ROOT

pytestmark = pytest.mark.system


def test_nothing_is_lost(tmp_path: Path) -> None:
    """Half a minute of everything, and the judge's word."""
    command = [sys.executable, "-m", "chaos", "--minutes", "0.5", "--seed", "8"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("seed 8\n")
    assert done.stdout.endswith("\n0 violations\n")
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["verdict"] == "none" and told["seed"] == 8
    assert told["acknowledged_writes"] > 20
    assert told["kill_cycles"] > 0 and told["faults"] > 5
    assert sum(told["backend_requests_broken"].values()) > 0
