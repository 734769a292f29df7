"""
Where the daemon's log goes: twistd's places, in the configured form and from a level.

twistd chooses the place by its own options (``--logfile``, ``--syslog``, standard
output with ``-n``), and so it stays. It knows one form, and no levels: so here is its
choice again, with both. Whoever gives ``--logger`` gets every event, as ever.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO, cast

from attrs import define, field
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LegacyLogObserverWrapper,
    LogEvent,
    LogLevel,
    formatEvent,
    formatEventAsClassicLogText,
    formatTime,
)
from twisted.python.logfile import LogFile
from zope.interface import directlyProvides, implementer

from s3proxy.config_model import LOG_LEVELS, LoggingConfig
from s3proxy.telemetry import trail

#: Calls its argument in the reactor, soon: the reactor is not there yet.
Soon = Callable[[Callable[[], object]], object]
Format = Callable[[LogEvent], str | None]


@define(eq=False)
class LevelGate:
    """
    What is written at all; it can be changed at any time.

    :ivar admitted: Levels.
    """

    admitted: frozenset[Any] = field(factory=frozenset)

    @classmethod
    def of(cls, level: str) -> LevelGate:
        """One that lets *level* through, and what is more serious."""
        gate = cls()
        gate.set(level)
        return gate

    def set(self, level: str) -> None:
        """Let *level* through from now on, and what is more serious."""
        self.admitted = frozenset(
            LogLevel.levelWithName(name)
            for name in LOG_LEVELS[LOG_LEVELS.index(level) :]
        )


@implementer(ILogObserver)
@define(eq=False)
class Gated:
    """An observer behind a gate."""

    _inner: ILogObserver
    _gate: LevelGate

    def __call__(self, event: LogEvent) -> None:
        """What has no level is Twisted's own, of old, and passes."""
        level = event.get("log_level")
        if level is None or level in self._gate.admitted:
            self._inner(event)


def as_text(event: LogEvent) -> str | None:
    """Twisted's line: ``2026-11-25T12:00:00+0000 [s3proxy.access#info] …``."""
    access = event.get("access")
    if not isinstance(access, trail.Trail):
        return formatEventAsClassicLogText(event)
    # The same, in a third of the time: there is one for each request.
    when, level = _second(int(event["log_time"])), event["log_level"].name
    return f"{when} [{event['log_namespace']}#{level}] {access}\n"


@lru_cache(maxsize=2)
def _second(when: int) -> str:
    return formatTime(when)


def as_json(event: LogEvent) -> str | None:
    """
    One line, an object; ASCII, so that whatever a text holds, it stays a line.

    Only what is named here gets in: an event may carry anything.
    """
    level = event.get("log_level")
    when = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    line: dict[str, Any] = {
        "time": when.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": level.name if level is not None else "info",
        "logger": event.get("log_namespace", ""),
        "message": "request",
    }
    if "worker" in event:
        line["worker"] = event["worker"]
    access = event.get("access")
    if isinstance(access, trail.Trail):
        line |= access.fields()
    else:
        line["message"] = formatEvent(event)
        line |= _request_of(event)
    failure = event.get("log_failure")
    if failure is not None:
        line["exception"] = failure.getTraceback()
    return json.dumps(line, separators=(",", ":")) + "\n"


def _request_of(event: LogEvent) -> dict[str, str]:
    """Which request it is about: the one at work, or, of a worker's, what it says."""
    request = trail.current()
    if request is None:
        names = ("request_id", "trace_id")
        return {name: str(event[name]) for name in names if event.get(name)}
    found = {"request_id": request.request_id, "trace_id": request.trace_id}
    return {name: value for name, value in found.items() if value}


FORMATS: Mapping[str, Format] = {"text": as_text, "json": as_json}


def make_observer(
    twistd: Mapping[str, Any], logging: LoggingConfig, gate: LevelGate, soon: Soon
) -> ILogObserver:
    """
    :param twistd: Its options.
    :param soon: For SIGUSR1, which begins a new file.
    :raises SystemExit: A daemon shall log to standard output, which it has not.
    """
    make = FORMATS[logging.format]
    observer: ILogObserver
    if twistd.get("syslog"):
        observer = _to_syslog(twistd.get("prefix") or "", logging.format)
    else:
        observer = FileLogObserver(_file(twistd, soon), make)
    return Gated(observer, gate)


def _file(twistd: Mapping[str, Any], soon: Soon) -> TextIO:
    """twistd's rules, to the letter: its log is where it has always been."""
    name, in_front = twistd.get("logfile"), twistd.get("nodaemon")
    if name == "-" and not in_front:
        sys.exit("Daemons cannot log to stdout, exiting!")
    if name == "-" or (in_front and not name):
        return sys.stdout
    file = LogFile.fromFullPath(name or "twistd.log")  # type: ignore[no-untyped-call]
    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda *_: soon(file.rotate))
    return cast(TextIO, file)


def _to_syslog(prefix: str, form: str) -> ILogObserver:
    from syslog import LOG_ALERT, LOG_CRIT, LOG_DEBUG, LOG_ERR, LOG_INFO, LOG_WARNING

    from twisted.python.syslog import SyslogObserver

    syslog = SyslogObserver(prefix)  # type: ignore[no-untyped-call]
    if form == "text":
        emit: Any = syslog.emit
        wrapped: ILogObserver = LegacyLogObserverWrapper(emit)
        return wrapped
    priorities = {
        LogLevel.debug: LOG_DEBUG,
        LogLevel.info: LOG_INFO,
        LogLevel.warn: LOG_WARNING,
        LogLevel.error: LOG_ERR,
        LogLevel.critical: LOG_CRIT,
    }

    def observe(event: LogEvent) -> None:
        text = as_json(event)
        priority = priorities.get(event.get("log_level"), LOG_INFO)
        if event.get("log_failure") is not None:
            priority = LOG_ALERT
        syslog.syslog(priority, (text or "").rstrip("\n"))

    directlyProvides(observe, ILogObserver)
    return cast(ILogObserver, observe)


_chosen: Callable[[], ILogObserver] | None = None


def choose(
    twistd: MutableMapping[str, Any], logging: LoggingConfig, soon: Soon
) -> LevelGate:
    """
    Have twistd log as configured, unless it was given a ``--logger``.

    To be called while its options are parsed: it takes an observer by name only, so
    what is chosen waits here.

    :param twistd: Its options.
    :param soon: See :func:`make_observer`.
    :returns: What changes the level later.
    """
    global _chosen
    gate = LevelGate.of(logging.level)
    if not twistd.get("logger"):
        _chosen = lambda: make_observer(twistd, logging, gate, soon)  # noqa: E731
        twistd["logger"] = "s3proxy.telemetry.sinks.chosen"
    return gate


def chosen() -> ILogObserver:
    """What :func:`choose` chose; twistd calls it when logging begins."""
    assert _chosen is not None
    return _chosen()
