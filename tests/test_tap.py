"""Options, and what twistd makes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from twisted.python import usage

from s3proxy import __version__
from s3proxy.tap import Options, default_data_dir, read_config

ROOT = Path(__file__).parent.parent
CONFIG = "server: {virtual_bucket: mine}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to start in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parse(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Unbuffered output would hide what is not flushed at the end.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def twistd(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = "from twisted.scripts.twistd import run; run()"
    return python("-c", script, *arguments)


# A process whose ``check`` is a command of the test's own.
COMMAND = """
import os, signal, sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.scripts.twistd import run
from s3proxy import tap
from s3proxy.commands.runner import CommandService

log, out, err = Logger(), sys.stdout, sys.stderr

async def work():
{body}

def make_service(options):
    return CommandService("check", work, reactor=reactor, err=err, told=())

tap.makeService = make_service
run()
"""


def run_command(body: str) -> subprocess.CompletedProcess[str]:
    """``twistd s3proxy check``, with the lines of *body* as the command."""
    Path("command.py").write_text(
        COMMAND.format(body=textwrap.indent(textwrap.dedent(body), "    "))
    )
    return python("command.py", "s3proxy", "check")


class TestConfigFile:
    def test_without_any_it_is_a_first_try_on_this_machine_only(self) -> None:
        options = parse()
        assert options.first_try
        assert options.configuration.server.listen_addr == "127.0.0.1:9000"
        assert options.configuration.backends == ()

    def test_config_yaml_is_taken_when_present(self, here: Path) -> None:
        (here / "config.yaml").write_text(CONFIG)
        options = parse()
        assert not options.first_try
        assert options.configuration.server.virtual_bucket == "mine"
        assert options.configuration.server.listen_addr == "0.0.0.0:9000"

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--config", "other.yaml"),
            ("--config=other.yaml",),
            ("-config", "other.yaml"),
            ("-config=other.yaml",),
            ("-c", "other.yaml"),
            ("check", "--config", "other.yaml"),
            ("check", "-config", "other.yaml"),
            ("--config", "none.yaml", "check", "--config", "other.yaml"),
            ("--config", "other.yaml", "check", "--settled"),
            ("sync", "--config", "other.yaml", "--backend", "oci", "--dry-run"),
            ("-config", "other.yaml", "sync", "--backend", "oci", "--prefix", "a/"),
        ],
    )
    def test_ways_to_name_it(self, here: Path, arguments: tuple[str, ...]) -> None:
        (here / "other.yaml").write_text(CONFIG)
        (here / "config.yaml").write_text("server: {virtual_bucket: default}")
        assert parse(*arguments).configuration.server.virtual_bucket == "mine"

    def test_named_and_missing(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            parse("--config", "none.yaml")
        assert caught.value.code == 2
        expected = "none.yaml: cannot be read: No such file or directory\n"
        assert capsys.readouterr().err == expected

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"\xff\xfe\xfa", "config.yaml: cannot be read: it is not UTF-8\n"),
            (b"x: 1", "config.yaml: x: unknown key, want one of auth, backends,"),
            (b"x: [", "config.yaml: not valid YAML at line 1, column 5: "),
        ],
    )
    def test_unreadable(
        self,
        here: Path,
        content: bytes,
        message: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (here / "config.yaml").write_bytes(content)
        with pytest.raises(SystemExit):
            parse()
        assert capsys.readouterr().err.startswith(message)

    def test_dangling_default_is_no_first_try(self, here: Path) -> None:
        """A config.yaml whose target is gone must not start an open demo."""
        (here / "config.yaml").symlink_to("gone.yaml")
        with pytest.raises(SystemExit):
            parse()

    def test_every_problem_on_a_line_with_the_files_name(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (here / "config.yaml").write_text("x: 1\nledger: {lease: 0, y: 1}")
        with pytest.raises(SystemExit):
            parse()
        lines = capsys.readouterr().err.splitlines()
        assert [line.split(":")[:2] for line in lines] == [
            ["config.yaml", " ledger.lease"],
            ["config.yaml", " ledger.y"],
            ["config.yaml", " x"],
        ]

    def test_byte_order_mark(self, here: Path) -> None:
        (here / "config.yaml").write_bytes(b"\xef\xbb\xbf" + CONFIG.encode())
        assert parse().configuration.server.virtual_bucket == "mine"


class TestPaths:
    def test_data_dir_by_default(self) -> None:
        assert default_data_dir({}, 0) == Path("/var/lib/s3proxy")
        assert default_data_dir({"XDG_STATE_HOME": "/x"}, 0) == Path("/var/lib/s3proxy")
        assert default_data_dir({"XDG_STATE_HOME": "/x"}, 7) == Path("/x/s3proxy")
        home = Path.home() / ".local/state/s3proxy"
        assert default_data_dir({}, 7) == home
        assert default_data_dir({"XDG_STATE_HOME": "relative"}, 7) == home

    @pytest.mark.parametrize(
        ("arguments", "directory"),
        [
            ((), "from-file"),
            (("--data-dir", "option"), "option"),
            (("check", "--data-dir", "option"), "option"),
            (("--data-dir", "option", "check"), "option"),
        ],
    )
    def test_data_dir_is_absolute(
        self, here: Path, arguments: tuple[str, ...], directory: str
    ) -> None:
        """twistd changes the directory of a daemon."""
        (here / "config.yaml").write_text("data_dir: from-file")
        assert parse(*arguments).configuration.data_dir == here / directory

    @pytest.mark.parametrize(
        ("given", "kept"), [("ca.pem", "{}/ca.pem"), ("system", "system")]
    )
    def test_certificate_is_absolute(self, here: Path, given: str, kept: str) -> None:
        (here / "c.yaml").write_text(
            f"database: {{host: h, database: d, user: u, ssl_root_cert: {given}}}"
        )
        config, _ = read_config("c.yaml", None, {})
        assert config.database is not None
        assert config.database.ssl_root_cert == kept.format(here)


class TestOptions:
    def test_accept_moved_repeats(self) -> None:
        options = parse("--accept-moved", "a", "--accept-moved=b")
        assert options.accept_moved == {"a", "b"}
        assert parse().accept_moved == frozenset()

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--nonsense",),
            ("extra",),
            ("check", "extra"),
            ("check", "--x"),
            ("sync",),
            ("sync", "--backend", "a", "--backend", "b"),
            ("sync", "--backend", "a", "--installation", "x"),
            ("sync", "--rebuild", "--prefix", "a/"),
            ("sync", "--rebuild", "--bucket", "b"),
            ("sweep", "oci"),
            ("sweep", "--delete", "--dry-run"),
            ("sweep", "--accept-restore", "--dry-run"),
        ],
    )
    def test_usage_errors(self, arguments: tuple[str, ...]) -> None:
        with pytest.raises(usage.UsageError):
            parse(*arguments)

    @pytest.mark.parametrize(
        "order", [("oci", "--dry-run"), ("--dry-run", "oci"), ("oci", "--dry-run")]
    )
    def test_drain(self, order: tuple[str, str]) -> None:
        """Options may stand before and after the name."""
        chosen = parse("drain", *order).subOptions
        assert chosen.backend == "oci" and chosen["dry-run"] and not chosen["stop"]

    @pytest.mark.parametrize(
        ("given", "key"),
        [
            (("a/b", "--bucket", "photos"), "a/b"),
            (("--bucket", "photos", "a/b"), "a/b"),
            (("--bucket", "photos", "--", "-k"), "-k"),
        ],
    )
    def test_explain(self, given: tuple[str, ...], key: str) -> None:
        chosen: Any = parse("explain", *given).subOptions
        assert (chosen.key, chosen["bucket"]) == (key, "photos")

    def test_doctor(self) -> None:
        chosen: Any = parse("doctor", "oci", "--profile", "oci").subOptions
        assert (chosen.backend, chosen["profile"]) == ("oci", "oci")

    def test_export(self) -> None:
        chosen = parse("export", "--to", "d", "--dry-run", "--prefix", "p").subOptions
        assert (chosen["to"], chosen["bucket"], chosen["prefix"]) == ("d", None, "p")
        with pytest.raises(usage.UsageError, match="--to DIR is required"):
            parse("export")

    def test_what_if(self) -> None:
        chosen: Any = parse("what-if", "--without", "a", "--without", "b").subOptions
        assert chosen.without == ["a", "b"]
        with pytest.raises(usage.UsageError, match="--without NAME is required"):
            parse("what-if")

    def test_sweep(self) -> None:
        """Nothing is changed unless that is asked for."""
        chosen = parse("sweep").subOptions
        assert not chosen.backends and not chosen["delete"]
        chosen = parse("sweep", "--backend", "a", "--backend", "b", "--delete")
        assert chosen.subOptions.backends == ["a", "b"]
        assert chosen.subOptions["delete"]

    @pytest.mark.parametrize("wrong", [("drain",), ("drain", "a", "b"), ("remove",)])
    def test_a_command_about_a_backend_wants_one(self, wrong: tuple[str, ...]) -> None:
        with pytest.raises(usage.UsageError):
            parse(*wrong)

    def test_sync(self) -> None:
        """One backend; a rebuild takes any number, of any number of installations."""
        chosen = parse("sync", "--backend", "oci", "--prefix", "photos/").subOptions
        assert (chosen.backends, chosen["prefix"]) == (["oci"], "photos/")
        assert not chosen["dry-run"]
        rebuild = ("sync", "--rebuild", "--backend=a", "--backend", "b", "--dry-run")
        chosen = parse(*rebuild, "--installation", "x").subOptions
        assert (chosen.backends, chosen.installations) == (["a", "b"], ["x"])
        assert chosen["dry-run"]
        assert parse("sync", "--rebuild").subOptions.backends == []

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            parse("--version")
        assert caught.value.code == 0
        assert capsys.readouterr().out == f"s3proxy {__version__}\n"

    def test_help_names_options_and_subcommands(self) -> None:
        text = str(Options())
        for word in ("--config", "--data-dir", "--accept-moved", "check", "sync"):
            assert word in text


class TestTwistdsOwnOptions:
    """A subcommand needs no ``-n``, no ``--pidfile=`` and no ``--logfile``."""

    def parent(self, **given: Any) -> usage.Options:
        options = usage.Options()  # type: ignore[no-untyped-call]
        own = {"nodaemon": False, "pidfile": "twistd.pid", "logger": None}
        options.update({**own, "logfile": None, "syslog": False, **given})
        return options

    def under(self, parent: usage.Options, *arguments: str) -> None:
        options = Options()
        options.parent = parent
        options.parseOptions(list(arguments))

    def test_a_command_stays_in_the_foreground(self) -> None:
        parent = self.parent()
        self.under(parent, "check")
        assert parent["nodaemon"] is True
        assert parent["pidfile"] is None
        assert parent["logger"] == "s3proxy.telemetry.logs.warnings_to_stderr"

    @pytest.mark.parametrize(
        "given", [{"logfile": "x"}, {"syslog": True}, {"logger": "y"}]
    )
    def test_a_log_that_was_asked_for_is_kept(self, given: dict[str, Any]) -> None:
        parent = self.parent(**given)
        self.under(parent, "check")
        assert parent["logger"] == given.get("logger")

    def test_the_daemon_leaves_them_alone(self) -> None:
        """But for the form of its log, where no other was asked for."""
        parent = self.parent()
        self.under(parent)
        assert parent == self.parent(logger="s3proxy.telemetry.sinks.chosen")
        asked = self.parent(logger="y", logfile="x")
        self.under(asked)
        assert asked == self.parent(logger="y", logfile="x")


class TestProcess:
    """The same through twistd itself: streams, exit codes, files left behind."""

    def test_twistd_knows_the_plugin(self) -> None:
        result = twistd("--help")
        assert "s3proxy" in result.stdout
        assert twistd("s3proxy", "--help").returncode == 0

    def test_bad_configuration(self, here: Path) -> None:
        (here / "config.yaml").write_text("backends: [{quota_bytes: 20GB}]")
        for arguments in (["-n", "s3proxy"], ["s3proxy"], ["s3proxy", "check"]):
            result = twistd(*arguments)
            assert (result.returncode, result.stdout) == (2, "")
            lines = result.stderr.splitlines()
            assert all(line.startswith("config.yaml: backends[0].") for line in lines)
            assert "want a whole number of bytes, got '20GB'" in result.stderr
        assert [path.name for path in here.iterdir()] == ["config.yaml"]

    @pytest.mark.parametrize("code", [0, 1, 2])
    def test_exit_code_and_output_of_a_command(self, here: Path, code: int) -> None:
        result = run_command(
            f"out.write('only this\\n'); log.info('not this'); return {code}"
        )
        assert result.returncode == code
        assert result.stdout == "only this\n"
        assert result.stderr == ""
        assert not (here / "twistd.pid").exists()

    def test_warnings_and_tracebacks_go_to_standard_error(self) -> None:
        result = run_command("log.warn('mind this'); raise KeyError('x')")
        assert (result.returncode, result.stdout) == (2, "")
        assert "mind this" in result.stderr
        assert "builtins.KeyError: 'x'" in result.stderr

    def test_a_signal_lets_the_command_clean_up(self) -> None:
        body = """
        try:
            reactor.callLater(0, os.kill, os.getpid(), signal.SIGTERM)
            await Deferred()
        finally:
            await deferLater(reactor, 0.01)
            out.write('clean')
        """
        result = run_command(body)
        assert result.stdout == "clean"
        assert result.stderr == "s3proxy check: stopped before it was done\n"
        assert result.returncode == -signal.SIGTERM
