"""The rooms import downward only; the pure ones touch no reactor, clock or dice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PACKAGE = TOP / "s3proxy"

#: What a room may import of the package, beside itself. Modules at the top of the
#: package are rooms of their own, but that ``config_…`` is ``config``.
BASE = frozenset({"errors", "model", "observe"})
LANGUAGE = BASE | {"s3", "plan"}
PORTS = frozenset({"manager.ports", "manager.upload_ports"})
ALLOWED: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "model": frozenset(),
    "observe": frozenset(),
    "config": BASE,
    "s3": BASE,
    "plan": BASE | {"s3"},
    "manager": LANGUAGE,
    "telemetry": BASE | {"config"},
    # These two match the manager's Protocols by shape, and never know each other.
    "store": LANGUAGE | PORTS | {"config"},
    "backend": LANGUAGE | PORTS | {"config", "telemetry"},
    "embedded": BASE | {"config", "s3"},
    "web": LANGUAGE | {"manager", "config", "telemetry"},
    "jobs": LANGUAGE | {"manager", "telemetry"},
    "commands": LANGUAGE | {"manager", "config", "telemetry", "wording"},
    "ui": LANGUAGE | {"web", "config", "telemetry", "wording"},
    "wording": frozenset(),
    "banner": BASE | {"config"},
    "reload": BASE | {"config"},
    "workers": BASE | {"config", "reload", "telemetry"},
    "lifecycle": BASE | {"commands", "embedded", "reload", "workers"},
    "front": BASE | {"config", "reload", "telemetry", "web"},
}
#: The composition roots, which know all rooms.
ROOTS = {
    "service",
    "foundation",
    "background",
    "pages",
    "admission",
    "metering",
    "traced",
    "tap",
    "cli",
    "__init__",
    "__main__",
    "master",
    "worker",
}

PURE = {"s3", "plan", "model", "observe", "errors", "config"}
IMPURE = {
    "twisted",
    "klein",
    "treq",
    "txpostgres",
    "psycopg2",
    "zope",
    "time",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "asyncio",
}
#: Who may import the global reactor.
REACTOR = {"service", "worker", "tap", "cli"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """A file's room: its folder, or its own name at the top of the package."""
    name = path.relative_to(PACKAGE).with_suffix("").parts[0]
    return "config" if name.startswith("config_") else name


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax."""
    return ast.parse(path.read_text("utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """
    Every module that a file imports, dotted; ``from a import b`` gives ``a.b``.

    Imports inside functions and for type checkers only count like the others.
    """
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dynamic(path: Path) -> Iterator[int]:
    """Lines that import by name, past the eyes of this test."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("__import__", "import_module", "importlib.import_module"):
                yield node.lineno


def permits(room: str, imported: str) -> bool:
    """Whether *room* may import ``s3proxy.`` + *imported*."""
    if imported.startswith("config_"):
        imported = "config"
    return any(
        imported == each or imported.startswith(f"{each}.")
        for each in ALLOWED[room] | {room}
    )


def test_there_is_something_to_read() -> None:
    """A test that finds no modules proves nothing."""
    assert len(MODULES) > 30
    assert "twisted.internet.reactor" in set(imports(PACKAGE / "tap.py")) | set(
        imports(PACKAGE / "service.py")
    ) | set(imports(PACKAGE / "cli.py"))


def test_every_room_is_known() -> None:
    """A new room is given its place here."""
    assert {room_of(path) for path in MODULES} - ROOTS <= ALLOWED.keys()


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if room_of(path) not in ROOTS],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_imports_go_down(path: Path) -> None:
    """Only what the room's line above names, and the package itself for its version."""
    room = room_of(path)
    if room not in ALLOWED:
        pytest.skip("see test_every_room_is_known")
    wrong = [
        name
        for name in imports(path)
        if name.startswith("s3proxy.")
        and name != "s3proxy.__version__"
        and not permits(room, name.removeprefix("s3proxy."))
    ]
    assert not wrong, f"{room} may not import {wrong}"
    assert not list(dynamic(path))


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if room_of(path) in PURE],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_pure_rooms(path: Path) -> None:
    """The same arguments give the same answer: no reactor, clock, dice or network."""
    wrong = [name for name in imports(path) if name.split(".")[0] in IMPURE]
    assert not wrong
    clocks = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today")
    ]
    assert not clocks, f"{path}: reads the clock at lines {clocks}"


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if room_of(path) not in REACTOR],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_the_global_reactor_is_for_the_roots(path: Path) -> None:
    """Everybody else is given a reactor, or a clock."""
    assert "twisted.internet.reactor" not in set(imports(path))


@pytest.mark.parametrize("room", ["web", "manager", "jobs", "store", "backend"])
def test_time_is_injected(room: str) -> None:
    """No room below the roots sleeps or reads the time by itself."""
    for path in sorted((PACKAGE / room).rglob("*.py")):
        assert not {"time.sleep", "time.time", "time.monotonic"} & set(imports(path))
        assert "time" not in set(imports(path)), path


def test_the_rule_can_fail() -> None:
    """The test above says no where it should."""
    assert permits("store", "manager.ports.Ledger")
    assert not permits("store", "manager.writing.Writer")
    assert not permits("store", "backend.client")
    assert not permits("s3", "plan.naming")
    assert not permits("web", "store.pool")
    assert not permits("manager", "manager_of_something_else")
