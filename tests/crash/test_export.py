"""``export`` that is killed, beside a daemon that goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from s3proxy.commands.export import PARALLEL
from tests.crash.breaking import ENVIRONMENT
from tests.crash.ground import SMALL, Ground
from tests.crash.history import body


def export(ground: Ground, to: Path, *, point: str = "") -> str:
    """Run it; it dies when it gets to *point*. What it printed."""
    daemon = ground.daemon
    order = daemon.directory / "trip-wire-of-export"
    order.unlink(missing_ok=True)
    if point:
        order.write_text(f"{point} kill")
    done = daemon.run(
        "export",
        *("--to", str(to), "--bucket", "unified", "--prefix", ground.prefix),
        environment={ENVIRONMENT: str(order)},
    )
    assert done.returncode == (-signal.SIGKILL if point else 0), done.stderr
    return done.stdout


def files(to: Path) -> dict[str, bytes]:
    """What is there under objects' own names."""
    return {
        str(path.relative_to(to / "unified")): path.read_bytes()
        for path in (to / "unified").rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    "point",
    [
        "export_keep.after",
        pytest.param("export_keep.before", marks=pytest.mark.system),
    ],
)
def test_killed_and_gone_on_with(ground: Ground, tmp_path: Path, point: str) -> None:
    """Under a name there is a whole object or none; the next run does the rest."""
    bodies = {}
    for number in range(12):
        key, data = f"{ground.prefix}{number}", body(SMALL + number)
        assert ground.history.put(ground.client, key, data) == 200
        bodies[key] = data
    export(ground, tmp_path, point=point)
    first = files(tmp_path)
    if point == "export_keep.before":
        assert not first and os.listdir(tmp_path / ".s3proxy-export/tmp")
    else:
        # With it, maybe others that were under way.
        assert 1 <= len(first) <= PARALLEL
    assert first.items() <= bodies.items()
    out = export(ground, tmp_path)
    assert f"exported {12 - len(first)} objects" in out
    assert f"passed over {len(first)} that are there; problems 0" in out
    assert files(tmp_path) == bodies
    assert not os.listdir(tmp_path / ".s3proxy-export/tmp")
    ground.verify()


@pytest.mark.system
def test_the_other_commands(ground: Ground) -> None:
    """As a person calls them."""
    assert ground.put(body(SMALL)) == 200
    daemon = ground.daemon
    explained = daemon.run("explain", ground.key)
    assert explained.returncode == 0 and "live, 9.8 KiB, on a: " in explained.stdout
    asked = daemon.run("what-if", "--without", "a", "--bucket", "unified")
    assert asked.returncode == 1 and "readable: 0 objects whole" in asked.stdout
    probed = daemon.run("doctor", "a", "--profile", "seaweedfs")
    assert probed.returncode == 0 and "as known" in probed.stdout, probed
    ground.verify()
