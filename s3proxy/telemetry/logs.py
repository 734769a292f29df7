"""
Logs are twistd's: lines of text, by its own ``--logfile``, ``--syslog``, ``--logger``.

What is here keeps a line one line, and keeps a subcommand's log off its output.
"""

from __future__ import annotations

import sys

from twisted.internet.protocol import Factory
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    textFileLogObserver,
)


def quieten() -> None:
    """Leave out Twisted's two lines for each connection to a backend."""
    Factory.noisy = False


def escape(text: str) -> str:
    r"""
    Make text from outside (a key, a header) safe inside one log line.

    What does not print (line ends, control and direction characters, lone surrogates)
    becomes ``\n``, ``\x1b``, ``\u202e`` …, and a backslash two, so that no two texts
    look the same.
    """
    return "".join(
        char
        if char.isprintable() and char != "\\"
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def warnings_to_stderr() -> ILogObserver:
    """
    An observer for ``twistd --logger``: warnings and worse, to standard error.

    Subcommands use it where no other log is asked for.
    """
    return FilteringLogObserver(
        textFileLogObserver(sys.stderr),
        [LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)],
    )
