"""twistd's own part: the background, pid file, log file, what a failure says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.boto import boto_client
from tests.daemon import KEY_ID, ROOT, SECRET

CONFIG = {
    "server": {"listen_addr": "127.0.0.1:0"},
    "auth": {"access_key_id": KEY_ID, "secret_access_key": SECRET},
    "data_dir": "data",
}
#: Nobody listens on port 1.
NOWHERE = {
    "database": {"host": "127.0.0.1", "port": 1, "database": "d", "user": "nobody"}
}


@pytest.fixture
def here() -> Iterator[Path]:
    """A directory that embedded servers can enter; whoever is left there is ended."""
    made = Path(tempfile.mkdtemp(prefix="s3p-twistd-", dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((made / "pid").read_text()), signal.SIGKILL)
    shutil.rmtree(made, ignore_errors=True)


def twistd(here: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``twistd OPTIONS s3proxy --config …``, in the directory *here*, to its end."""
    return subprocess.run(
        [
            *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()"),
            *("--pidfile", "pid", *options, "s3proxy", "--config", "config.yaml"),
        ],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def wait_for(condition: Callable[[], object], log: Path) -> None:
    """Another process gets there, within a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def test_in_the_background(here: Path) -> None:
    """
    It leaves the terminal, serves from embedded parts, ends when its pid file says
    whom to end, and takes the file and the embedded servers along.
    """
    (here / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    started = twistd(here, "--logfile", "log")
    assert started.returncode == 0, started.stderr
    assert started.stdout + started.stderr == ""
    log, pid_file = here / "log", here / "pid"
    wait_for(lambda: "serving bucket" in log.read_text(), log)
    pid = int(pid_file.read_text())
    assert os.getsid(pid) != os.getsid(0)

    found = re.search(r"serving bucket unified on (\S+) from", log.read_text())
    assert found is not None
    client = boto_client(
        endpoint_url=f"http://{found[1]}",
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
    )
    client.put_object(Bucket="unified", Key="k", Body=b"bytes")
    assert client.get_object(Bucket="unified", Key="k")["Body"].read() == b"bytes"
    # A relative data_dir is where it was started.
    assert (here / "data").is_dir()

    second = twistd(here, "--logfile", "other-log")
    assert second.returncode != 0
    assert str(pid) in second.stdout + second.stderr
    assert urllib.request.urlopen(f"http://{found[1]}/health").read() == b"ok"

    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not pid_file.exists(), log)
    wait_for(lambda: not alive(pid), log)
    assert "Traceback" not in log.read_text()
    assert not list((here / "data").rglob("postmaster.pid"))


def alive(pid: int) -> bool:
    """Whether there is such a process; a dead one may wait for whoever adopted it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_database_that_is_not_there(here: Path) -> None:
    """In the foreground: exit code 1, one line that says what was tried, no trace."""
    (here / "config.yaml").write_text(yaml.safe_dump(CONFIG | NOWHERE))
    failed = twistd(here, "--nodaemon")
    assert failed.returncode == 1
    said = failed.stdout + failed.stderr
    assert (
        "s3proxy cannot start: cannot reach database 'd' at 127.0.0.1:1 as user "
        "'nobody', ssl_mode disable: " in said
    )
    assert "Traceback" not in said
    assert not (here / "pid").exists()


def test_a_database_that_is_not_there_in_the_background(here: Path) -> None:
    """The log says it, and nothing is left behind."""
    (here / "config.yaml").write_text(yaml.safe_dump(CONFIG | NOWHERE))
    assert twistd(here, "--logfile", "log").returncode == 0
    log = here / "log"
    wait_for(lambda: log.exists() and "Server Shut Down" in log.read_text(), log)
    assert "s3proxy cannot start: cannot reach database 'd'" in log.read_text()
    wait_for(lambda: not (here / "pid").exists(), log)
