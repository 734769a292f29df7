"""How far a long command has come: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from typing import TextIO

from attrs import define
from twisted.internet.interfaces import IReactorTime

_BAR = 20
_CLEAR = "\r\x1b[K"


@define(eq=False)
class Progress:
    """
    Writes to *out*, which is a terminal or not.

    How many objects there are nobody knows before the end of the listing, so the bar
    moves to and fro.
    """

    out: TextIO
    clock: IReactorTime
    _began: float = -1.0
    _steps: int = 0
    _is_bar_shown: bool = False

    def page(self, done: int, text: str) -> None:
        """
        Another page is done.

        :param done: Objects so far, of which the rate is made.
        """
        now = self.clock.seconds()
        if self._began < 0:
            self._began = now
        seconds = now - self._began
        rate = f", {done / seconds:,.0f}/s" if seconds > 0 else ""
        if not self.out.isatty():
            self.out.write(f"{text}{rate}\n")
            self.out.flush()
            return
        self._steps += 1
        place = self._steps % (2 * _BAR - 2)
        place = min(place, 2 * _BAR - 2 - place)
        bar = " " * place + "=" + " " * (_BAR - 1 - place)
        self.out.write(f"{_CLEAR}[{bar}] {text}{rate}")
        self.out.flush()
        self._is_bar_shown = True

    def start(self) -> None:
        """From now on time counts."""
        self._began = self.clock.seconds()

    def line(self, text: str) -> None:
        """A line that stays."""
        if self._is_bar_shown:
            self.out.write(_CLEAR)
            self._is_bar_shown = False
        self.out.write(f"{text}\n")


def size_text(size_bytes: int) -> str:
    """Bytes as people read them, exact where they are few."""
    size = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"
