"""
Log events on their way from a worker to the master's log.

They travel as JSON, one a line, and become events again: so they are formatted,
filtered and written where twistd's options say, by one process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from attrs import asdict
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    eventAsJSON,
    eventFromJSON,
)
from zope.interface import implementer

from s3proxy.telemetry.trail import Trail, current

_SAID = "failure_said"

_log = Logger()


@implementer(ILogObserver)
class Sender:
    """
    An observer that writes to a pipe, whole lines only, also from several threads.

    It waits where the pipe is full, so that nothing is lost when the process ends.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = Lock()

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        failure = event.get("log_failure")
        if failure is not None:
            # An exception has no form in JSON; what it says has.
            event = {**event, _SAID: failure.getErrorMessage()}
        access = event.get("access")
        if isinstance(access, Trail):
            event = {**event, "access": asdict(access)}
        elif (request := current()) is not None:
            event = {**event, "request_id": request.request_id}
            if request.trace_id:
                event["trace_id"] = request.trace_id
        data = eventAsJSON(event).encode(errors="backslashreplace") + b"\n"
        # Where the master is gone there is nobody to tell.
        with self._lock, suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]


def relay(number: int, line: bytes, publish: Callable[[LogEvent], None]) -> None:
    """
    Publish an event of worker *number*, which its text names.

    :ivar line: Without its end. One that is no event is logged as it is.
    """
    try:
        event: object = eventFromJSON(line.decode())
    except (ValueError, KeyError, TypeError):
        event = None
    if not isinstance(event, dict):
        relay_text(number, line)
        return
    if _SAID in event and event.get("log_failure") is not None:
        event["log_failure"].value = event.pop(_SAID)
    if isinstance(event.get("access"), dict):
        with suppress(TypeError):
            event["access"] = Trail(**event["access"])
    level = event.get("log_level")
    system = event.get("log_system")
    if system in (None, "-"):
        name = getattr(level, "name", "-")
        system = f"{event.get('log_namespace', '-')}#{name}"
    event["log_system"] = f"worker {number}, {system}"
    event["worker"] = number
    publish(event)


def relay_text(number: int, line: bytes) -> None:
    """What a worker wrote past its log: a dying interpreter, a library in C."""
    _log.warn(
        "worker {worker}: {line}",
        worker=number,
        line=line.decode(errors="backslashreplace").rstrip("\r"),
    )
