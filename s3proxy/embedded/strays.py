"""
Servers that an earlier run of ours left behind.

The kernel tells a server when its parent dies (``binaries.child_prefix``), but it may
still be stopping when we start again, and not every system can do this.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from signal import Signals

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

log = Logger()

POLL_SECONDS = 0.05


def is_running(pid: int) -> bool:
    """Whether there is a process of this number, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def runs_on(pid: int, marker: str) -> bool:
    """
    Whether process *pid* runs with the argument *marker*; a zombie does not run.

    Where there is no /proc, an argument that holds *marker* is enough: to spare a
    server that is ours would be worse.
    """
    if Path("/proc/self/cmdline").exists():
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return os.fsencode(marker) in raw.split(b"\0")
    shown = subprocess.run(
        ["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True
    )
    return marker in shown.stdout


async def end_stray(
    clock: IReactorTime,
    pid: int,
    marker: str,
    number: Signals,
    *,
    kill_after_seconds: float | None,
) -> bool:
    """
    End process *pid* if it is the server of ours that runs on *marker*.

    Returns when it is gone.

    :param marker: An argument that only our server has: its data directory.
    :param number: The signal that makes it stop in order.
    :param kill_after_seconds: Patience before SIGKILL; None is for ever.
    :returns: Whether it was ours; false when the number is free or belongs to
        another process, which is left alone.
    """
    if not runs_on(pid, marker):
        return False
    log.warn("ending process {pid}, left by an earlier run", pid=pid)
    _send(pid, number)
    waited_seconds = 0.0
    while runs_on(pid, marker):
        await deferLater(clock, POLL_SECONDS)
        waited_seconds += POLL_SECONDS
        if kill_after_seconds is not None and waited_seconds >= kill_after_seconds:
            _send(pid, Signals.SIGKILL)
    return True


def _send(pid: int, number: Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
