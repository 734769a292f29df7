"""What comes from outside stays inside one log line."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel

from s3proxy.telemetry.logs import escape, warnings_to_stderr


@given(st.text(st.characters()))
def test_one_printable_line(text: str) -> None:
    escaped = escape(text)
    assert escaped.isprintable()
    assert escaped.encode("utf-8").decode("utf-8") == escaped


@given(st.text(st.characters()))
def test_no_two_texts_look_the_same(text: str) -> None:
    """What is written can be read back."""
    parts = escape(text).split("\\\\")
    assert "\\".join(_unescape(part) for part in parts) == text


def _unescape(part: str) -> str:
    named = {"n": "\n", "r": "\r", "t": "\t"}
    text, at = "", 0
    while at < len(part):
        if part[at] != "\\":
            text, at = text + part[at], at + 1
        elif part[at + 1] in named:
            text, at = text + named[part[at + 1]], at + 2
        else:
            digits = {"x": 2, "u": 4, "U": 8}[part[at + 1]]
            text += chr(int(part[at + 2 : at + 2 + digits], 16))
            at += 2 + digits
    return text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("photos/a b/é.jpg", "photos/a b/é.jpg"),
        ("a\nb\r\x1b[31m", "a\\nb\\r\\x1b[31m"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("a\\nb", "a\\\\nb"),
        ("\udcff", "\\udcff"),
    ],
)
def test_examples(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def test_only_warnings_go_to_standard_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    log = Logger(observer=warnings_to_stderr())
    for level in (LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.critical):
        log.emit(level, "at {name}", name=level.name)
    lines = stream.getvalue().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["warn", "critical"]
