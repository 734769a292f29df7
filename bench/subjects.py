"""
What is compared, each a real process over the same SeaweedFS: the bare server, s3proxy
over two buckets of it, and ``rclone serve s3`` over a union of the same two buckets.

While one is measured the others are stopped (SIGSTOP), so that nothing that they do in
the background (s3proxy deletes garbage a minute later) is charged to another.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import define, frozen

from bench.loader import Target
from s3proxy.config import BackendConfig
from tests.daemon import BUCKET, KEY_ID, SECRET, Daemon
from tests.servers import PostgresServer, S3Server

RCLONE_KEYS = ("rclonekey", "rclone-secret-of-the-bench")
QUOTA_BYTES = 1 << 40

#: PostgreSQL as a user has it: a commit is on the disk when it says so.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


@frozen
class Subject:
    """
    One of those that are compared.

    :ivar pid: Whose memory is its own.
    :ivar helper_pid: A second process that it cannot do without, with its children.
    """

    name: str
    target: Target
    pid: int
    helper_pid: int | None = None
    can_stop: bool = True


@define
class Stage:
    """Every subject, started."""

    subjects: list[Subject]
    backend_pid: int

    def cpu_seconds(self, subject: Subject) -> float:
        """CPU time so far of all that serves *subject*: itself, helpers, backend."""
        family = {subject.pid, self.backend_pid}
        if subject.helper_pid is not None:
            family |= {subject.helper_pid, *_children(subject.helper_pid)}
        return sum(map(cpu_seconds, family))

    @contextlib.contextmanager
    def only(self, subject: Subject) -> Iterator[None]:
        """Let no other subject run."""
        others = [each for each in self.subjects if each is not subject]
        try:
            for each in others:
                if each.can_stop:
                    os.kill(each.pid, signal.SIGSTOP)
            yield
        finally:
            for each in others:
                if each.can_stop:
                    os.kill(each.pid, signal.SIGCONT)


@contextlib.contextmanager
def stage(names: Sequence[str]) -> Iterator[Stage]:
    """Start the backends and the subjects in *names*, and stop them in the end."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(S3Server())
        bare, *pair = [
            server.create_bucket(name, quota_bytes=QUOTA_BYTES)
            for name in ("bare", "first", "second")
        ]
        subjects = []
        if "bare" in names:
            target = Target(
                server.endpoint, bare.bucket, bare.access_key_id, bare.secret_access_key
            )
            subjects.append(Subject("bare", target, server.pid, can_stop=False))
        if "s3proxy" in names:
            database = stack.enter_context(PostgresServer(DURABLE))
            # No ledger times: the defaults.
            daemon = stack.enter_context(
                Daemon(database.create_database(), pair, ledger={})
            )
            target = Target(daemon.endpoint, BUCKET, KEY_ID, SECRET)
            subjects.append(Subject("s3proxy", target, daemon.pid, database.pid))
        if "rclone" in names:
            for each in pair:  # its buckets are the union's directories
                server.client.put_object(Bucket=each.bucket, Key=f"{BUCKET}/.keep")
            endpoint, pid = stack.enter_context(_rclone(pair))
            subjects.append(
                Subject("rclone", Target(endpoint, BUCKET, *RCLONE_KEYS), pid)
            )
        yield Stage(subjects, server.pid)


@contextlib.contextmanager
def _rclone(backends: Sequence[BackendConfig]) -> Iterator[tuple[str, int]]:
    """
    ``rclone serve s3`` over a union that fills the first backend first, as s3proxy
    does.

    ``no_check_bucket`` and ``--use-server-modtime`` spare it calls to the backend.
    """
    directory = Path(tempfile.mkdtemp(prefix="s3p-rclone-", dir="/var/tmp"))
    sections = [
        "\n".join(
            [
                f"[{each.name}]",
                "type = s3",
                "provider = SeaweedFS",
                f"access_key_id = {each.access_key_id}",
                f"secret_access_key = {each.secret_access_key}",
                f"endpoint = {each.endpoint}",
                f"region = {each.region}",
                "force_path_style = true",
                "no_check_bucket = true",
            ]
        )
        for each in backends
    ]
    upstreams = " ".join(f"{each.name}:{each.bucket}" for each in backends)
    sections.append(
        f"[both]\ntype = union\nupstreams = {upstreams}\n"
        "action_policy = epall\ncreate_policy = ff\nsearch_policy = ff"
    )
    config = directory / "rclone.conf"
    config.write_text("\n\n".join([*sections, ""]))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = (directory / "log").open("wb")
    process = subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *(str(Path(sys.executable).with_name("rclone")), "serve", "s3"),
            *("--config", str(config), "--addr", f"127.0.0.1:{port}"),
            *("--auth-key", ",".join(RCLONE_KEYS), "--vfs-cache-mode", "off"),
            *("--use-server-modtime", "both:"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, "HOME": str(directory)},
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            if process.poll() is not None or time.monotonic() > deadline:
                text = (directory / "log").read_text(errors="replace")
                raise AssertionError(f"rclone does not serve:\n{text}")
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.kill()
        process.wait()
        log.close()
        shutil.rmtree(directory, ignore_errors=True)


def forget_peak(pid: int) -> None:
    """Let the peak of a process's memory begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mib(pid: int) -> float:
    """The peak of a process's resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no VmHWM of {pid}")


def family_mib(pid: int) -> float:
    """The memory of a process and its children now, shared pages counted once."""
    total = 0
    for each in (pid, *_children(pid)):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
            total += sum(
                int(line.split()[1])
                for line in text.splitlines()
                if line.startswith("Pss:")
            )
    return total / 1024


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(each) for each in text.split()]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process; 0 when it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
