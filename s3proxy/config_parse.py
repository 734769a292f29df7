"""
Reading YAML strictly: one document, ``${VAR}`` expansion, sections and their keys.

Every problem is collected with the path of its key, so that one start shows them all.
What a secret holds, and what an environment variable holds, is never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import yaml

from s3proxy.errors import ConfigError

T = TypeVar("T")

_VARIABLE = re.compile(r"\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Unfit(Exception):
    """A value is not what its key wants; the text says what would be: ``want …``."""


class Expanded(str):
    """Text that came, wholly or in part, from the environment."""


def parse_yaml(text: str) -> object:
    """
    The one document of *text*, as plain values.

    :raises ConfigError: It is no YAML, or a mapping has a key twice. The message
        gives line and column and no quotation, which could be of a secret.
    """
    try:
        return yaml.load(text, _StrictLoader)
    except yaml.MarkedYAMLError as why:
        mark = why.problem_mark or why.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = re.sub(r"(['\"]).*\1", "…", why.problem or "cannot be read")
        raise ConfigError(f"not valid YAML{where}: {problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError("not valid YAML: a value cannot be read") from None


class _StrictLoader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys; here the second one is an error."""

    def compose_mapping_node(self, anchor: dict[str, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[object] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.composer.ComposerError(
                        problem=f"key {key.value} is given twice",
                        problem_mark=key.start_mark,
                    )
                seen.add(key.value)
        return node


def expand(text: str, environ: Mapping[str, str]) -> str:
    """
    Replace each ``${NAME}`` by the variable's value, once: values are not expanded.

    :returns: :class:`Expanded` when there was something to replace.
    :raises Unfit: A variable is not set, or ``${`` does not begin a ``${NAME}``.
    """

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        if not match[0].endswith("}") or not _NAME.fullmatch(name):
            raise Unfit(
                "want ${NAME} where ${ is written (text that holds ${ itself can come "
                "from a variable)"
            )
        if name not in environ:
            raise Unfit(f"the environment variable {name} is not set")
        return environ[name]

    expanded = _VARIABLE.sub(value_of, text)
    return Expanded(expanded) if _VARIABLE.search(text) else text


class Section:
    """
    One mapping of the document.

    Getters note a problem and return their default, or a placeholder where the key is
    required: call :meth:`finish` last, and raise if *problems* is not empty.

    :param path: Of this mapping: ``""`` for the document, ``backends[1]``.
    """

    def __init__(
        self, path: str, value: object, environ: Mapping[str, str], problems: list[str]
    ) -> None:
        self.path = path
        self.environ = environ
        self.problems = problems
        self._known: list[str] = []
        self._values: Mapping[object, object] = {}
        self._readable = isinstance(value, dict)
        if isinstance(value, dict):
            self._values = value
        else:
            self.problem("", f"want keys with values, got {_kind(value)}")

    def __contains__(self, key: str) -> bool:
        # Who asks knows the key, also where it is absent and nothing is read.
        self._known.append(key)
        return key in self._values

    def problem(self, key: str, text: str) -> None:
        """Note what is wrong with *key* (``""``: with this mapping)."""
        path = f"{self.path}.{key}" if self.path and key else self.path or key
        self.problems.append(f"{path}: {text}" if path else text)

    def get(
        self,
        key: str,
        convert: Callable[[object], T],
        default: T,
        *,
        required: bool = False,
        secret: bool = False,
    ) -> T:
        """
        The converted value of *key*, or *default*.

        :param convert: Raises :class:`Unfit` for a value that it does not take.
        :param required: The key must be there; *default* is then a placeholder.
        :param secret: A problem's text tells only the kind of the value.
        """
        self._known.append(key)
        if key not in self._values:
            if required and self._readable:
                self.problem(key, "is missing")
            return default
        raw = self._values[key]
        try:
            value = expand(raw, self.environ) if isinstance(raw, str) else raw
        except Unfit as why:
            self.problem(key, str(why))
            return default
        try:
            return convert(value)
        except Unfit as why:
            self.problem(key, f"{why}, got {_shown(raw, value, secret)}")
            return default

    def section(self, key: str) -> Section:
        """The mapping under *key*; an empty one where the key is absent."""
        self._known.append(key)
        return Section(
            f"{self.path}.{key}" if self.path else key,
            self._values.get(key, {}),
            self.environ,
            self.problems,
        )

    def sections(self, key: str) -> list[Section]:
        """The mappings of the list under *key*; none where the key is absent."""
        self._known.append(key)
        if key not in self._values:
            return []
        values = self._values[key]
        if not isinstance(values, list) or not values:
            got = "an empty list" if values == [] else _kind(values)
            self.problem(key, f"want a list of at least one, got {got}")
            return []
        return [
            Section(f"{key}[{at}]", value, self.environ, self.problems)
            for at, value in enumerate(values)
        ]

    def named(self, key: str) -> list[tuple[str, Section]]:
        """
        The mappings under *key*, each under a name that is free; none where it is
        absent. Names that are no text are noted as problems.
        """
        within = self.section(key)
        found = []
        for name, value in within._values.items():
            if not isinstance(name, str):
                within.problem(str(name), "want the name as text: put it in quotes")
            elif value is None:
                within.problem(name, "want keys with values, or {} for none of them")
            else:
                path = f"{within.path}.{name}"
                found.append((name, Section(path, value, self.environ, self.problems)))
        return found

    def finish(self) -> None:
        """Note every key that no getter asked for."""
        for key in self._values:
            if key not in self._known:
                known = ", ".join(sorted(set(self._known)))
                name = key if isinstance(key, str) and key.isidentifier() else repr(key)
                self.problem(name, f"unknown key, want one of {known}")


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing (leave the key out instead)"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case "":
            return "empty text"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "keys with values"
    return "a date or other YAML value (put it in quotes)"


def _shown(raw: object, value: object, secret: bool) -> str:
    if isinstance(value, Expanded):
        return f"{_kind(str(value))} from {_variables(str(raw))}"
    if secret or value is None or isinstance(value, (list, dict)):
        return _kind(value)
    if isinstance(value, str) and "@" in value:
        return "text with an @"  # a URL may have a password before it
    shown = repr(value) if isinstance(value, str) else str(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"


def _variables(raw: str) -> str:
    return ", ".join(f"${{{match[1]}}}" for match in _VARIABLE.finditer(raw))
