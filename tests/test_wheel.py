"""The wheel, installed away from the checkout, is all that it takes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.daemon import BUCKET, ROOT, Daemon

# Building wants setuptools from a registry.
pytestmark = pytest.mark.system

SOURCES = [
    *("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"),
    *("schema.sql", "s3proxy", "twisted"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves things beside what it builds."""
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, copy / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copyfile(source, copy / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", "w", "."],
        cwd=copy,
        check=True,
    )
    [made] = (copy / "w").glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The ``bin`` of an environment with the wheel; what it depends on is the suite's.

    A ``.pth`` of this environment, such as an editable s3proxy's, is not read there.
    """
    place = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(place, with_pip=False)
    python = place / "bin/python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(python), "install"),
            *("--quiet", "--no-deps", "--no-index", str(wheel)),
        ],
        check=True,
    )
    [packages] = place.glob("lib/python*/site-packages")
    (packages / "suite.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def run(bin_dir: Path, *command: str) -> str:
    """Run a program of that environment from a directory that has nothing in it."""
    empty = bin_dir.parent / "empty"
    empty.mkdir(exist_ok=True)
    result = subprocess.run(
        [str(bin_dir / command[0]), *command[1:]],
        cwd=empty,
        env={"PATH": "/usr/bin:/bin", "HOME": str(empty)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_what_it_carries(wheel: Path) -> None:
    """Modules, schema, every query, the plugin, the licence, and nothing else."""
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {
        str(path.relative_to(ROOT))
        for pattern in ("*.py", "*.sql", "*.css")
        for path in (ROOT / "s3proxy").rglob(pattern)
    }
    wanted |= {"s3proxy/schema.sql", "twisted/plugins/s3proxy_plugin.py"}
    assert names >= wanted
    rest = {name for name in names - wanted if ".dist-info/" not in name}
    assert rest <= {"s3proxy/py.typed"}
    assert any(name.endswith("LICENSE") for name in names)


def test_it_is_the_one_that_runs(installed: Path) -> None:
    """Not the checkout's modules; and its schema and queries can be read."""
    said = run(
        installed,
        "python",
        "-c",
        "import s3proxy; from s3proxy.store import schema, statements; "
        "print(s3proxy.__file__)",
    )
    assert Path(said.strip()).is_relative_to(installed.parent)


def test_twistd_has_the_plugin(installed: Path) -> None:
    """``twistd --help`` lists it, and its own help has the subcommands."""
    twistd = ("python", "-c", "from twisted.scripts.twistd import run; run()")
    assert " s3proxy " in run(installed, *twistd, "--help")
    said = run(installed, *twistd, "s3proxy", "--help")
    assert " check " in said
    assert "--config" in said
    assert run(installed, "s3proxy", "--version").startswith("s3proxy ")


class Installed(Daemon):
    """The console script of an environment, in a directory of no consequence."""

    bin_dir: Path

    def _command(self, arguments: list[str], module: str | None = None) -> list[str]:
        command = super()._command(arguments, module)
        options = command[command.index("--config") :]
        return [
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *("env", "-u", "PYTHONPATH", "-C", "/"),
            *(str(self.bin_dir / "s3proxy"), *options),
        ]


def test_it_serves(
    installed: Path,
    database: DatabaseConfig,
    backend_config: Callable[..., BackendConfig],
) -> None:
    """The schema is applied, an object is stored and read, ``check`` is clean."""
    daemon = Installed(database, [backend_config("a", quota_bytes=10**9)])
    daemon.bin_dir = installed
    with daemon:
        client = daemon.client()
        client.put_object(Bucket=BUCKET, Key="k", Body=b"bytes")
        assert client.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"bytes"
        daemon.wait_clean()
        daemon.terminate()
