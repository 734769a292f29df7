"""
Every key of the configuration, as its reader and its model have it.

The reader is asked, by documents that cannot be right: it names the keys that it knows,
what each wants, and which are missing. So a key that is added there is found here.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final

import attrs
import yaml
from attrs import frozen

import s3proxy
from s3proxy.config import Config, load
from s3proxy.errors import ConfigError

EXAMPLE: Final = Path(__file__).parents[1] / "config.example.yaml"

_TOP: Final = Path(s3proxy.__file__).parent

#: Fits no key; in YAML it has no quotes, so that it is a date and no text.
_UNFIT: Final = date(2001, 1, 1)
#: A key that there is not.
_NOWHERE: Final = "nowhere"

_UNKNOWN = re.compile(r"unknown key, want one of (.*)")
_WANT = re.compile(rf"want (.*), got (?:{_UNFIT}|a date .*)")
_SECTION, _LIST = "keys with values", "a list of at least one"

#: Wraps the value of a section into the document that has it there.
_Wrap = Callable[[object], object]


@frozen
class Key:
    """
    One setting.

    :ivar path: ``server.tls.cert_file``, ``backends[].name``; what can have any name is
        called ``name``.
    :ivar want: What the reader wants, in its own words: ``true or false``.
    :ivar required: It must be there, where its section is.
    :ivar default: What stands for it; :data:`attrs.NOTHING` where the model does not
        tell.
    :ivar meaning: Of the model's ``:ivar``; ``""`` where there is none.
    :ivar reloadable: Whether SIGHUP puts a change in force.
    """

    path: str
    want: str
    required: bool
    default: object
    meaning: str
    reloadable: bool

    @property
    def section(self) -> str:
        """All of the path but its last name; ``""`` at the top."""
        return self.path.rpartition(".")[0]


def keys() -> list[Key]:
    """Every key, in the order of the alphabet."""
    found = sorted(_walk("", lambda value: value))
    model = _model({path: required for path, _, required in found})
    followed = reloadable()
    return [
        Key(
            path=path,
            want=want,
            required=required,
            default=attrs.NOTHING if required else _value(model, path),
            meaning=_meaning(model, path),
            reloadable=any(
                f"{path}.".replace("[]", "").startswith(f"{each}.") for each in followed
            ),
        )
        for path, want, required in found
    ]


def _walk(path: str, wrap: _Wrap) -> Iterator[tuple[str, str, bool]]:
    """Path, what is wanted, and whether it is required, of every key below *path*."""
    said = _problems(wrap({_NOWHERE: 1}))
    known = _UNKNOWN.fullmatch(said.get(_join(path, _NOWHERE), ""))
    if known is None:
        # Any name will do: what is below each is a section.
        yield path, "names, each with keys", False
        yield from _walk(f"{path}.name", lambda value: wrap({"name": value}))
        return
    names = known[1].split(", ")
    unfit = _problems(wrap(dict.fromkeys(names, _UNFIT)))
    missing = _problems(wrap({}))
    for name in names:
        here = _join(path, name)
        match = _WANT.fullmatch(unfit.get(here, ""))
        if match is None:
            raise LookupError(f"{here}: the reader does not say what it wants")
        want = match[1]
        if want == _SECTION:
            yield from _walk(here, lambda value, name=name: wrap({name: value}))
        elif want == _LIST:
            inner = lambda value, name=name: wrap({name: [value]})  # noqa: E731
            yield from _walk(f"{here}[]", inner)
        else:
            yield here, want, missing.get(here) == "is missing"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _problems(document: object) -> dict[str, str]:
    """What the reader says first, by path; positions in lists are left out."""
    try:
        _load(document)
    except ConfigError as why:
        first: dict[str, str] = {}
        for line in str(why).splitlines():
            path, _, said = line.partition(": ")
            first.setdefault(path.replace("[0]", "[]"), said)
        return first
    return {}


def _load(document: object) -> Config:
    # The directory that a start would choose is told in words, not by a default.
    return load(yaml.safe_dump(document), {}, default_data_dir=Path())


def _model(required: dict[str, bool]) -> Config:
    """
    A configuration in which every section is there, and every default in force.

    What must be there is the example's.
    """

    def only_required(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            inner = {
                name: only_required(each, _join(path, name))
                for name, each in value.items()
                if required.get(_join(path, name)) is not False
            }
            return inner
        if isinstance(value, list) and f"{path}[]" in sections:
            return [only_required(value[0], f"{path}[]")]
        return value

    sections = {path.rpartition(".")[0] for path in required}
    return _load(only_required(yaml.safe_load(EXAMPLE.read_text("utf-8")), ""))


def _value(model: Config, path: str) -> object:
    """What the model has at *path*; NOTHING where it has another name, or an item's."""
    holder, name = _holder(model, path)
    for each in (name, f"{name}_seconds"):
        if attrs.has(type(holder)) and hasattr(holder, each):
            return getattr(holder, each)
    return attrs.NOTHING


def _holder(model: Config, path: str) -> tuple[object, str]:
    *steps, name = path.split(".")
    holder: Any = model
    for step in steps:
        holder = getattr(holder, step.removesuffix("[]"), None)
        if step.endswith("[]") and holder:
            holder = holder[0]
    return holder, name


def _meaning(model: Config, path: str) -> str:
    """What the ``:ivar`` of the class says, in one line."""
    holder, name = _holder(model, path)
    text = inspect.cleandoc(type(holder).__doc__ or "")
    match = re.search(
        rf"^:ivar {name}(?:_seconds)?:\s*(.*?)(?=^:|\Z)", text, re.M | re.S
    )
    if match is None:
        return ""
    said = " ".join(match[1].split()).replace("``", "`")
    return re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", said)


@cache
def reloadable() -> tuple[str, ...]:
    """
    Paths that SIGHUP puts in force, with all below them.

    They are the first argument of every ``Applier(…)`` of the package: a tuple in the
    call, or a constant of its module. One that is given the ``settings`` of others adds
    none of its own.
    """
    found: list[str] = []
    for file in sorted(_TOP.rglob("*.py")):
        text = file.read_text("utf-8")
        if "Applier" not in text:
            continue
        for call in ast.walk(ast.parse(text)):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in (
                "Applier",
                "Applier.of",
            ):
                found += settings_of(file, call)
    return tuple(sorted(found))


def settings_of(file: Path, call: ast.Call) -> tuple[str, ...]:
    """
    What the ``Applier(…)`` of a call in *file* follows by itself.

    :raises LookupError: It cannot be read off the call.
    """
    first = call.args[0] if call.args else None
    if isinstance(first, ast.Tuple):
        return tuple(ast.literal_eval(first))
    if isinstance(first, ast.Name):
        name = ".".join(file.relative_to(_TOP.parent).with_suffix("").parts)
        return tuple(getattr(importlib.import_module(name), first.id))
    if isinstance(first, ast.Attribute) and first.attr == "settings":
        return ()
    raise LookupError(
        f"{file}:{call.lineno}: the settings of an Applier must be a tuple in the "
        "call, or a constant of the module: docs/configuration.md tells them"
    )
