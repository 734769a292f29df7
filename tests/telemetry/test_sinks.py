"""Where the log goes, in which form, and from which level."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    formatEventAsClassicLogText,
)
from twisted.python.failure import Failure

from s3proxy.config_model import LOG_LEVELS, LoggingConfig
from s3proxy.telemetry import sinks, trail
from s3proxy.telemetry.sinks import LevelGate, as_json, as_text, choose, make_observer
from s3proxy.telemetry.trail import Trail

JSON, TEXT = LoggingConfig(format="json"), LoggingConfig()


def soon(call: Callable[[], object]) -> None:
    call()


@pytest.fixture(autouse=True)
def usr1() -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGUSR1, before)


def logger(
    twistd: dict[str, Any],
    logging: LoggingConfig = TEXT,
    gate: LevelGate | None = None,
) -> Logger:
    gate = gate or LevelGate.of(logging.level)
    return Logger("a.b", observer=make_observer(twistd, logging, gate, soon))


def test_the_levels_are_twisteds() -> None:
    assert tuple(level.name for level in LogLevel.iterconstants()) == LOG_LEVELS


@pytest.mark.parametrize("level", LOG_LEVELS)
def test_levels(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    """From the configured one on, and from another one once it is changed."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    gate = LevelGate.of(level)
    log = logger({"nodaemon": True}, gate=gate)

    def written() -> list[str]:
        out.seek(0)
        out.truncate()
        for each in LogLevel.iterconstants():
            log.emit(each, "at {name}", name=each.name)
        return [line.rpartition(" ")[2] for line in out.getvalue().splitlines()]

    assert tuple(written()) == LOG_LEVELS[LOG_LEVELS.index(level) :]
    gate.set("error")
    assert written() == ["error", "critical"]


def test_a_file_that_begins_anew(tmp_path: Path) -> None:
    """As twistd has it: SIGUSR1 moves the log aside."""
    file = tmp_path / "log"
    log = logger({"logfile": str(file)})
    log.info("first")
    os.kill(os.getpid(), signal.SIGUSR1)
    log.info("second")
    assert "second" in file.read_text() and "first" not in file.read_text()
    assert "[a.b#info] first" in (tmp_path / "log.1").read_text()


def test_a_daemon_has_no_standard_output() -> None:
    with pytest.raises(SystemExit, match="Daemons cannot log to stdout"):
        logger({"logfile": "-"})


def test_a_requests_line_is_twisteds_too() -> None:
    """Made by a short cut, it is what Twisted would have made."""
    lines: list[str] = []

    def note(event: LogEvent) -> None:
        lines.extend((as_text(event) or "", formatEventAsClassicLogText(event) or ""))

    log = Logger("s3proxy.access", observer=note)  # type: ignore[arg-type]
    log.info("{access}", access=Trail("R1", path="/a\nb", outcome="complete"))
    short, long = lines
    assert short == long and "[s3proxy.access#info] - path=" in short


def test_lines_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    log = logger({"nodaemon": True, "logfile": "-"}, JSON)
    log.warn("key {key}", key="a\n\u202e\ud800é", secret="canary")
    found = Trail("R1", trace_id="f" * 32, status=200, outcome="complete")
    log.info("{access}", access=found)
    try:
        raise RuntimeError("a\nb")
    except RuntimeError:
        log.failure("it failed")
    text = out.getvalue()
    assert text.isascii() and "canary" not in text
    first, second, third = map(json.loads, text.splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "warn",
        "logger": "a.b",
        "message": "key a\n\u202e\ud800é",
    }
    assert second["request_id"] == "R1" and second["status"] == 200
    assert second["message"] == "request"
    assert third["level"] == "critical" and third["message"] == "it failed"
    assert "RuntimeError: a\nb" in third["exception"]


def test_what_is_logged_for_a_request_names_it() -> None:
    from contextvars import copy_context

    def within() -> str | None:
        trail.enter(Trail("R1", trace_id="e" * 32))
        return as_json({"log_format": "x", "log_level": LogLevel.info})

    line = json.loads(copy_context().run(within) or "")
    assert (line["request_id"], line["trace_id"]) == ("R1", "e" * 32)
    assert "request_id" not in json.loads(as_json({"log_format": "x"}) or "")


@pytest.mark.parametrize("form", ["text", "json"])
def test_syslog(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    sent: list[tuple[int, str]] = []
    monkeypatch.setattr("twisted.python.syslog.SyslogObserver.openlog", print)
    monkeypatch.setattr(
        "twisted.python.syslog.SyslogObserver.syslog",
        lambda _, priority, text: sent.append((priority, text)),
    )
    log = logger({"syslog": True, "prefix": "s3proxy"}, LoggingConfig(format=form))
    log.debug("no")
    log.warn("yes")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.failure("failed", failure=Failure())
    (_, text), *rest = sent
    if form == "json":
        assert json.loads(text)["message"] == "yes"
        assert [priority for priority, _ in sent] == [4, 1]
        assert "ValueError: two\nlines" in json.loads(rest[0][1])["exception"]
    else:
        assert text == "[-] yes"
        assert all("\n" not in each for _, each in sent)


def test_an_operators_own_logger_stays() -> None:
    own = {"logger": "somewhere.else"}
    choose(own, JSON, soon)
    assert own == {"logger": "somewhere.else"}
    ours: dict[str, Any] = {"nodaemon": True}
    gate = choose(ours, LoggingConfig("warn"), soon)
    assert ours["logger"] == f"{sinks.__name__}.chosen"
    assert LogLevel.info not in gate.admitted
    assert ILogObserver.providedBy(sinks.chosen())
