"""What the wheel carries, so that it works where there is no checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]


def test_build_carries_all_that_is_read_at_run_time(tmp_path: Path) -> None:
    """Modules, queries, schema and plugin are in; ``twisted`` is made no package."""
    pytest.importorskip("setuptools", reason="Python 3.12 and later bring none")
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)],
        cwd=TOP,
        check=True,
    )
    built = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    source = TOP / "s3proxy"
    wanted = {
        str(path.relative_to(TOP))
        for suffix in ("py", "sql", "css", "typed")
        for path in source.rglob(f"*.{suffix}")
    }
    assert built == wanted | {
        "s3proxy/schema.sql",
        "twisted/plugins/s3proxy_plugin.py",
    }
