"""
``make generate``: bring the tables of ``docs/configuration.md`` up to date.

The words are the page's own: the text around the tables, and the second cell of each
row, a key's meaning. All other cells are written from what the configuration's reader
and model have. A key without a row gets one, with the model's words for its meaning; a
row without a key goes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import attrs

from tools.configuration_keys import Key, keys

PAGE: Final = Path(__file__).parents[1] / "docs/configuration.md"

HEAD: Final = (
    "| key | meaning | takes | without it | a change acts |\n|---|---|---|---|---|\n"
)
_TABLE = re.compile(r"^\| key \|.*\n\|[-|]+\|\n((?:\|.*\n)*)", re.MULTILINE)
#: A key, and what its row has after it, if there is one.
_Row = tuple[Key, list[str]]
_CELLS = re.compile(r"(?<!\\)\|")
#: Where tables of new sections go: before this.
_LAST: Final = "## Data directory"

_SHORT: Final = (
    (re.compile(r"^text in quotes, not empty, .*"), "text"),
    (re.compile(r" such as 500ms, .*"), ""),
)


def page(text: str, known: Iterable[Key]) -> str:
    """
    *text* with its tables brought up to date.

    :raises LookupError: A key has no meaning, neither here nor in the model.
    """
    left = {key.path: key for key in known}
    homes = _homes(text, left)
    new = [key for key in left.values() if key.path not in homes]
    count = 0

    def table(match: re.Match[str]) -> str:
        nonlocal count
        at, count = count, count + 1
        rows = [_cells(line) for line in match[1].splitlines()]
        found = [(left[path], cells) for path, *cells in rows if path in left]
        for key in [key for key in new if _home(key.section, homes) == at]:
            new.remove(key)
            after = [
                n for n, (one, _) in enumerate(found) if one.section == key.section
            ]
            found.insert(max(after, default=len(found) - 1) + 1, (key, []))
        return _table(found)

    text = _TABLE.sub(table, text)
    for section in dict.fromkeys(_top(key) for key in new):
        rows: list[_Row] = [(key, []) for key in new if _top(key) == section]
        before, last, after = text.partition(f"{_LAST}\n")
        title = section.replace("_", " ").capitalize()
        text = f"{before}## {title}\n\n{_table(rows)}\n{last}{after}"
    return text


def _homes(text: str, known: Iterable[str]) -> dict[str, int]:
    """Which table, of those in the page, has a key."""
    return {
        path: at
        for at, match in enumerate(_TABLE.finditer(text))
        for path, *_ in map(_cells, match[1].splitlines())
        if path in set(known)
    }


def _home(section: str, homes: dict[str, int]) -> int | None:
    """The table of the keys beside; where there are none, of those around."""
    while section:
        inside = [at for path, at in homes.items() if path.startswith(f"{section}.")]
        if inside:
            return max(inside)
        section = section.rpartition(".")[0]
    return None


def _top(key: Key) -> str:
    return key.path.split(".")[0].removesuffix("[]")


def _cells(line: str) -> list[str]:
    """Of a row: the key without its quotes, then the other cells."""
    key, *rest = (cell.strip() for cell in _CELLS.split(line)[1:-1])
    return [key.strip("`"), *rest]


def _table(rows: Iterable[_Row]) -> str:
    return HEAD + "".join(_row(key, cells) for key, cells in rows)


def _row(key: Key, cells: list[str]) -> str:
    """
    :param cells: After the key, as they are: the meaning, and last but one, or last in
        a row that was written by hand, what stands for the key.
    """
    meaning = (cells[0] if cells else "") or key.meaning
    if not meaning:
        raise LookupError(
            f"docs/configuration.md: {key.path} has no meaning: write it into the "
            "second cell of its row, or as an :ivar in the docstring of its class in "
            "s3proxy/config_model.py"
        )
    said = (cells[2] if len(cells) >= 4 else cells[1]) if len(cells) >= 2 else ""
    row = [f"`{key.path}`", meaning, _takes(key.want), _without(key, said)]
    row.append("at SIGHUP" if key.reloadable else "at a restart")
    return f"| {' | '.join(row)} |\n"


def _takes(want: str) -> str:
    for pattern, short in _SHORT:
        want = pattern.sub(short, want)
    return want.replace("|", "\\|")


def _without(key: Key, said: str) -> str:
    """The default, or where the model has none to show, what the page says."""
    value = key.default
    if key.required:
        return "required"
    unsaid: tuple[object, ...] = (None, (), {}, "", attrs.NOTHING)
    if value in unsaid or isinstance(value, Path):
        return said or "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return _number(key, value)
    return f"`{value}`"


def _number(key: Key, value: float) -> str:
    if key.want.startswith("a duration"):
        return _unit(value, ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")), "")
    if value >= 1024 and ("bytes" in key.want or "size" in key.path):
        scaled = _unit(value, ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")), " ")
        return f"{value} ({scaled})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _unit(value: float, units: Iterable[tuple[int, str]], between: str) -> str:
    """*value* in the largest unit of which it is a whole number."""
    for size, name in units:
        if value >= size and value % size == 0:
            return f"{value / size:g}{between}{name}"
    return f"{value:g}{between}s" if not between else f"{value:g} bytes"


def main(known: Callable[[], list[Key]] = keys) -> int:
    """Returns the exit code: 1 when a key has no meaning."""
    try:
        text = page(PAGE.read_text("utf-8"), known())
    except LookupError as why:
        sys.stderr.write(f"{why}\n")
        return 1
    PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
