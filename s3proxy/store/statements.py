"""
The statements of ``queries/*.sql``, by name.

Each begins with a line ``-- name: NAME`` and goes on to the next such line or the end
of its file. Parameters are psycopg2's ``%(name)s``.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_PARAMETER = re.compile(r"%\((\w+)\)s")


@cache
def statements() -> dict[str, str]:
    """Every statement by its name; a name that is used twice raises ValueError."""
    found: dict[str, str] = {}
    folder = resources.files("s3proxy.store") / "queries"
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if not entry.name.endswith(".sql"):
            continue
        _, *pairs = _NAME.split(entry.read_text("utf-8"))
        for name, text in zip(pairs[::2], pairs[1::2], strict=True):
            if name in found:
                raise ValueError(f"queries/{entry.name}: {name} is there twice")
            found[name] = text.strip()
    return found


@cache
def name_of(sql: str) -> str:
    """A statement's name; ``other`` where the text is none of them as it stands."""
    return {text: name for name, text in statements().items()}.get(sql, "other")


@cache
def positional(sql: str) -> tuple[str, str]:
    """
    A statement as ``PREPARE`` takes it, and the arguments of its ``EXECUTE``.

    :returns: The text with ``$1`` … in place of the parameters, and the parameters in
        that order, in brackets, as psycopg2 takes them; "" when there are none.
    """
    names = list(dict.fromkeys(_PARAMETER.findall(sql)))
    text = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", sql)
    places = ", ".join(f"%({name})s" for name in names)
    return text.replace("%%", "%"), f"({places})" if places else ""
