"""
``twistd s3proxy``: options and subcommands, turned into a service.

Whatever is wrong with the configuration is told here, on the terminal, before twistd
leaves it: one line per problem on standard error, exit code 2.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TextIO

from attrs import evolve
from twisted.application.service import IService
from twisted.python import usage

from s3proxy import __version__
from s3proxy.config import Config, load
from s3proxy.errors import BackendError, ConfigError, S3Error, StoreError
from s3proxy.telemetry.logs import quieten
from s3proxy.telemetry.sinks import LevelGate, choose

DEFAULT_CONFIG = "config.yaml"
#: What is served without any configuration stays on this machine.
FIRST_TRY = 'server: {listen_addr: "127.0.0.1:9000"}'


class _Common(usage.Options):
    """Options that may stand before and after a subcommand."""

    optParameters: ClassVar[list[list[Any]]] = [
        ["config", "c", None, f"Configuration file [default: {DEFAULT_CONFIG}]."],
        ["data-dir", None, None, "Where embedded servers and generated keys live."],
    ]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Take ``-config F`` too, which getopt would read as ``-c onfig F``."""
        given = sys.argv[1:] if options is None else options
        options = [re.sub(r"\A-(config(=|\Z))", r"--\1", option) for option in given]
        super().parseOptions(options)  # type: ignore[no-untyped-call]


class CheckOptions(_Common):
    """``check``: compare the ledger with the backends."""

    optFlags: ClassVar[list[list[Any]]] = [
        ["settled", None, "Want no garbage and no claims left, too."],
    ]
    longdesc = (
        "Compares every row of the ledger with what the backends hold. Exit code 0: "
        "clean; 1: differences, listed; 2: could not be done."
    )


class StatusOptions(_Common):
    """``status``: how full the backends are, and what the jobs did last."""

    longdesc = (
        "Prints what the ledger says of the backends' quotas and of the background "
        "jobs of all processes. No backend is asked. Exit code 0; 2: could not be done."
    )


class _ArgumentOptions(_Common):
    """A command with one argument."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Take options after the argument, too, which getopt would stop at."""
        given = list(sys.argv[1:] if options is None else options)
        if given and not given[0].startswith("-"):
            given.append(given.pop(0))
        super().parseOptions(given)


class _BackendOptions(_ArgumentOptions):
    """A command about one backend, which is its argument."""

    synopsis = "[options] BACKEND"
    backend = ""

    def parseArgs(self, backend: str) -> None:  # type: ignore[override]
        """The backend's name."""
        self.backend = backend


class DrainOptions(_BackendOptions):
    """``drain``: move everything off a backend."""

    optFlags: ClassVar[list[list[Any]]] = [
        ["dry-run", None, "Tell what would go where; change nothing."],
        ["stop", None, "Take it back: the backend is as any other again."],
        ["no-wait", None, "Begin, and do not wait for the end."],
    ]
    longdesc = (
        "From now on nothing is written to BACKEND, and the daemons move what is there "
        "to the others. Shows how far that is; can be broken off and run again. Exit "
        "code 0: nothing is left (or --no-wait, --stop); 1: something holds it up, or "
        "--dry-run found no place for some; 2: could not be done."
    )


class RemoveOptions(_BackendOptions):
    """``remove``: forget an empty backend."""

    longdesc = (
        "Lets the ledger forget BACKEND, of which nothing is left, and which is not in "
        "the configuration any more. Exit code 0: done; 1: something is left, and "
        "told; 2: could not be done."
    )


class DoctorOptions(_BackendOptions):
    """``doctor``: what a backend does."""

    optParameters: ClassVar[list[list[Any]]] = [
        ["profile", None, None, "Whose it is [default: by the endpoint's host]."],
    ]
    longdesc = (
        "Writes, reads and deletes small objects of its own on BACKEND, says what it "
        "does, what that means for s3proxy, and where it differs from what is known of "
        "its provider. Needs no database. Exit code 0: s3proxy can work with it, and "
        "it is as known; 1: it cannot, or it is not; 2: could not be done."
    )


class ExplainOptions(_ArgumentOptions):
    """``explain``: where an object is."""

    synopsis = "[options] KEY"
    key = ""
    optParameters: ClassVar[list[list[Any]]] = [
        ["bucket", None, None, "Bucket that it is in [default: the first]."],
    ]
    longdesc = (
        "Says where the parts of an object and their copies are, and what of it could "
        "be read if a backend died, by the ledger; no backend is asked. A KEY that "
        "begins with - comes last, after --. Exit code 0: all of it can be read; 1: "
        "not all, or there is none; 2: could not be done."
    )

    def parseArgs(self, key: str) -> None:  # type: ignore[override]
        """The object's key."""
        self.key = key


class WhatIfOptions(_Common):
    """``what-if``: what would be left without some backends."""

    optParameters: ClassVar[list[list[Any]]] = [
        ["bucket", None, None, "Only objects of this bucket [default: all]."],
    ]
    longdesc = (
        "Says how many objects and bytes could be read, would be lost, or would have "
        "too few copies, without some backends, by the ledger; no backend is asked. "
        "Exit code 0: nothing would be lost; 1: something; 2: could not be done."
    )

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.without: list[str] = []

    def opt_without(self, name: str) -> None:
        """Backend that is dead. Repeatable."""
        self.without.append(name)

    def postOptions(self) -> None:
        """:raises UsageError: No backend is named."""
        if not self.without:
            raise usage.UsageError("what-if: --without NAME is required")


class ExportOptions(_Common):
    """``export``: every object as a file."""

    optParameters: ClassVar[list[list[Any]]] = [
        ["to", None, None, "Directory; it is made where it is missing."],
        ["bucket", None, None, "Only objects of this bucket [default: all]."],
        ["prefix", None, "", "Only keys with this prefix."],
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["dry-run", None, "Tell what would be read and written; do neither."],
    ]
    longdesc = (
        "Writes each object to the file BUCKET/KEY below the directory, verified. Can "
        "be broken off and run again: what is there with the same size and hash is "
        "passed over. Exit code 0: every object is there; 1: some are not, and told; "
        "2: could not be done."
    )

    def postOptions(self) -> None:
        """:raises UsageError: There is no directory."""
        if not self["to"]:
            raise usage.UsageError("export: --to DIR is required")


class SweepOptions(_Common):
    """``sweep``: find what is on the backends and not in the ledger."""

    optFlags: ClassVar[list[list[Any]]] = [
        ["delete", None, "Have what is ours and unknown deleted, and rows repaired."],
        ["dry-run", None, "Only tell, which is the default."],
        ["accept-restore", None, "Vouch for the ledger after a restore or failover."],
        ["all", None, "Show every key, not the first 100 of a kind."],
    ]
    longdesc = (
        "Compares what the backends hold with the ledger, and tells what is whose. "
        "Only with --delete are this installation's own unknown keys queued to be "
        "deleted; foreign ones never are. Can be broken off and run again, beside "
        "daemons. Exit code 0: nothing is wrong, or it has been seen to; 1: something "
        "is left, and told; 2: could not be done."
    )

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.backends: list[str] = []

    def opt_backend(self, name: str) -> None:
        """Only backend NAME. Repeatable."""
        self.backends.append(name)

    def postOptions(self) -> None:
        """:raises UsageError: Options do not go together."""
        if self["delete"] and self["dry-run"]:
            raise usage.UsageError("sweep: --delete or --dry-run, not both")
        if self["accept-restore"] and self["dry-run"]:
            raise usage.UsageError("sweep: --accept-restore is no --dry-run")


class BackupOptions(_Common):
    """``backup``: store the ledger on the backends."""

    optFlags: ClassVar[list[list[Any]]] = [
        ["dry-run", None, "Tell how large it would be; store nothing."],
    ]
    longdesc = (
        "Stores the ledger as it is now on two backends, where there are two, and "
        "deletes backups beyond backup.keep. Daemons may run meanwhile. Exit code 0: "
        "done; 1: on fewer backends, or not made and told why; 2: could not be done."
    )


class RestoreOptions(_Common):
    """``restore``: fill an empty ledger from a backup."""

    optParameters: ClassVar[list[list[Any]]] = [
        ["installation", None, None, "Whose backup, where there are several."],
        [
            "backup",
            None,
            None,
            "Its name, as --dry-run tells it [default: the newest].",
        ],
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["dry-run", None, "Find all, and verify the newest; at any time."],
    ]
    longdesc = (
        "Fills an EMPTY database from the newest backup on the backends that is whole, "
        "and tells what to do then. No daemon may run. Can be broken off and run "
        "again. Exit code 0: done; 1: there is no backup, or the database is not "
        "empty; 2: could not be done."
    )


class SyncOptions(_Common):
    """``sync``: take objects of a backend's bucket into the ledger."""

    optParameters: ClassVar[list[list[Any]]] = [
        ["prefix", None, "", "Only keys with this prefix."],
        ["bucket", None, None, "Bucket in which they appear [default: the first]."],
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["dry-run", None, "Tell what would be taken in; write nothing."],
        ["rebuild", None, "Rebuild a lost ledger from this proxy's own objects."],
    ]
    longdesc = (
        "Takes the objects of a backend's bucket in where they are; no byte moves. "
        "With --rebuild, takes in those that this proxy has stored, on all backends or "
        "the named ones. Can be broken off and run again, and a daemon may run "
        "meanwhile. Exit code 0: all taken in; 1: conflicts or objects that cannot be; "
        "2: could not be done."
    )

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.backends: list[str] = []
        self.installations: list[str] = []

    def opt_backend(self, name: str) -> None:
        """Backend whose objects are taken in. Repeatable with --rebuild."""
        self.backends.append(name)

    def opt_installation(self, installation_id: str) -> None:
        """Whose objects --rebuild takes in. Repeatable."""
        self.installations.append(installation_id)

    def postOptions(self) -> None:
        """:raises UsageError: Options are missing, or do not go together."""
        if self["rebuild"]:
            if self["prefix"] or self["bucket"]:
                raise usage.UsageError("sync: --rebuild takes no --prefix or --bucket")
        elif len(self.backends) != 1:
            raise usage.UsageError("sync: --backend NAME is required, once")
        elif self.installations:
            raise usage.UsageError("sync: --installation goes with --rebuild")


class Options(_Common):
    """
    Everything after ``twistd s3proxy``.

    :ivar configuration: As read, after parsing.
    :ivar first_try: There is no configuration file at all.
    :ivar reread: Reads the configuration again; None where there is no file.
    :ivar accept_moved: Backends whose new location is accepted.
    :ivar log_gate: Changes the daemon's log level; None where twistd logs by itself.
    """

    synopsis = "Usage: twistd [twistd options] s3proxy [options] [subcommand]"
    longdesc = (
        "One S3 endpoint in front of many S3-compatible backends. Without a "
        "subcommand, serves. Without a configuration file, serves on "
        "127.0.0.1:9000 from an embedded PostgreSQL and two embedded backends."
    )
    subCommands: ClassVar[list[tuple[str, None, type[_Common], str]]] = [
        ("check", None, CheckOptions, "Compare the ledger with the backends."),
        ("status", None, StatusOptions, "Show quotas and background jobs."),
        ("sync", None, SyncOptions, "Take in the objects of a backend's bucket."),
        ("drain", None, DrainOptions, "Move everything off a backend."),
        ("sweep", None, SweepOptions, "Find what the ledger does not know."),
        ("remove", None, RemoveOptions, "Forget a backend that is empty."),
        ("explain", None, ExplainOptions, "Show where an object is."),
        ("what-if", None, WhatIfOptions, "Show what is left without a backend."),
        ("doctor", None, DoctorOptions, "Find out what a backend does."),
        ("backup", None, BackupOptions, "Store the ledger on the backends."),
        ("restore", None, RestoreOptions, "Fill an empty ledger from a backup."),
        ("export", None, ExportOptions, "Write every object to a file."),
    ]

    configuration: Config
    first_try: bool
    reread: Callable[[], Config] | None
    log_gate: LevelGate | None = None

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.accept_moved: frozenset[str] = frozenset()

    def opt_accept_moved(self, name: str) -> None:
        """Accept that backend NAME is at another location now, or gone. Repeatable."""
        self.accept_moved |= {name}

    def opt_version(self) -> None:
        """Print the version and exit."""
        sys.stdout.write(f"s3proxy {__version__}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """:raises SystemExit: The configuration is wrong; standard error says how."""
        sub = self.subOptions if self.subCommand else {}
        if self.subCommand and self.parent is not None:
            _foreground(self.parent)
        name = sub.get("config") or self["config"]
        data_dir = sub.get("data-dir") or self["data-dir"]
        directory = os.getcwd()
        try:
            self.configuration, self.first_try = read_config(
                name, data_dir, os.environ, directory
            )
        except ConfigError as why:
            sys.stderr.write(f"{why}\n")
            raise SystemExit(2) from None
        if self.parent is not None and not self.subCommand:
            logging = self.configuration.logging
            self.log_gate = choose(self.parent, logging, _in_reactor)
        path = os.path.join(directory, name or DEFAULT_CONFIG)
        self.reread = None
        if not self.first_try:
            self.reread = lambda: read_config(path, data_dir, os.environ, directory)[0]


def _in_reactor(call: Callable[[], object]) -> None:
    from twisted.internet import reactor

    reactor.callFromThread(call)  # type: ignore[attr-defined]


def _foreground(twistd: usage.Options) -> None:
    """Set twistd's own options for a command: no daemon, no pid file, a quiet log."""
    twistd["nodaemon"] = True
    twistd["pidfile"] = None
    if not (twistd["logger"] or twistd["logfile"] or twistd.get("syslog")):
        twistd["logger"] = "s3proxy.telemetry.logs.warnings_to_stderr"


def default_data_dir(environ: Mapping[str, str], uid: int) -> Path:
    """Where state lives by default: a place that root's children can enter, or ours."""
    if uid == 0:
        return Path("/var/lib/s3proxy")
    state = environ.get("XDG_STATE_HOME", "")
    # The XDG specification tells to ignore a relative path.
    base = Path(state) if state.startswith("/") else Path.home() / ".local/state"
    return base / "s3proxy"


def read_config(
    name: str | None,
    data_dir: str | None,
    environ: Mapping[str, str],
    directory: str = "",
) -> tuple[Config, bool]:
    """
    The configuration, and whether there is no file at all.

    Relative paths become absolute now: a daemon changes its directory.

    :param name: The file's; None takes ``config.yaml`` where there is one.
    :param data_dir: Stands above the file's.
    :param directory: Of the start, where it is another than the present one.
    :raises ConfigError: Every line begins with the file's name.
    """
    path = name if name is not None else DEFAULT_CONFIG
    first_try = name is None and not os.path.lexists(path)
    try:
        text = FIRST_TRY if first_try else Path(path).read_text("utf-8-sig")
        config = load(
            text, environ, default_data_dir=default_data_dir(environ, os.getuid())
        )
    except OSError as why:
        raise ConfigError(f"{path}: cannot be read: {why.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: cannot be read: it is not UTF-8") from None
    except ConfigError as why:
        lines = str(why).splitlines()
        raise ConfigError("\n".join(f"{path}: {line}" for line in lines)) from None

    def absolute(path: str | Path) -> str:
        return os.path.abspath(os.path.join(directory, path))

    config = evolve(config, data_dir=Path(absolute(data_dir or config.data_dir)))
    database = config.database
    if database is not None and database.ssl_root_cert not in (None, "system"):
        certificate = absolute(str(database.ssl_root_cert))
        config = evolve(config, database=evolve(database, ssl_root_cert=certificate))
    return config, first_try


def makeService(options: Options) -> IService:
    """What twistd runs: the daemon, or one command."""
    from twisted.internet import reactor

    quieten()
    if options.subCommand:
        gc.enable()
        # Once logging begins, sys.stdout is part of the log.
        return make_command(options, reactor=reactor, out=sys.stdout, err=sys.stderr)
    from s3proxy.service import make_service

    gc.enable()  # The console script has put it off.
    return make_service(
        options.configuration,
        reactor=reactor,
        accept_moved=options.accept_moved,
        first_try=options.first_try,
        reread=options.reread,
        log_gate=options.log_gate,
    )


def make_command(
    options: Options, *, reactor: Any, out: TextIO, err: TextIO
) -> IService:
    """The service that runs the chosen subcommand and then ends the process."""
    from s3proxy.commands import runner
    from s3proxy.embedded.errors import EmbeddedError

    chosen = options.subOptions

    async def run_check() -> int:
        from s3proxy.commands import check
        from s3proxy.foundation import open_context

        async with open_context(options.configuration, reactor=reactor) as context:
            return await check.run(context, settled=bool(chosen["settled"]), out=out)

    async def run_status() -> int:
        from s3proxy.commands import status
        from s3proxy.foundation import open_status, usage_limits

        config = options.configuration
        replication = config.replication
        async with open_status(config, reactor=reactor) as (asked, names):
            return await status.run(
                asked,
                configured=names,
                factor=1 if replication is None else replication.factor,
                out=out,
                limits=usage_limits(config.backends),
            )

    async def run_sync() -> int:
        from s3proxy.commands import rebuild, sync
        from s3proxy.foundation import open_context

        config, is_dry = options.configuration, bool(chosen["dry-run"])
        opened = open_context(config, reactor=reactor, writes=not is_dry)
        async with opened as context:
            if chosen["rebuild"]:
                return await rebuild.run(
                    context,
                    backends=chosen.backends,
                    installations=chosen.installations,
                    dry_run=is_dry,
                    out=out,
                )
            return await sync.run(
                context,
                backend=chosen.backends[0],
                bucket=chosen["bucket"] or config.server.virtual_bucket,
                prefix=chosen["prefix"],
                dry_run=is_dry,
                out=out,
            )

    async def run_drain() -> int:
        from s3proxy.commands import drain
        from s3proxy.foundation import open_drain

        async with open_drain(options.configuration, reactor=reactor) as (pool, _):
            return await drain.run(
                pool,
                chosen.backend,
                dry_run=bool(chosen["dry-run"]),
                stop=bool(chosen["stop"]),
                wait=not chosen["no-wait"],
                out=out,
            )

    async def run_remove() -> int:
        from s3proxy.commands import drain
        from s3proxy.foundation import open_drain

        async with open_drain(options.configuration, reactor=reactor) as (pool, names):
            return await drain.remove(
                pool.ledger, chosen.backend, configured=names, out=out
            )

    async def run_explain() -> int:
        from s3proxy.commands import explain
        from s3proxy.foundation import open_whereabouts

        config = options.configuration
        bucket = chosen["bucket"] or config.server.virtual_bucket
        async with open_whereabouts(config, reactor=reactor) as pool:
            return await explain.explain(pool, chosen.key, bucket=bucket, out=out)

    async def run_what_if() -> int:
        from s3proxy.commands import explain
        from s3proxy.commands.progress import Progress
        from s3proxy.foundation import open_whereabouts

        async with open_whereabouts(options.configuration, reactor=reactor) as pool:
            return await explain.what_if(
                pool,
                chosen.without,
                bucket=chosen["bucket"],
                progress=Progress(out, reactor),
                out=out,
            )

    async def run_doctor() -> int:
        from s3proxy.commands import doctor
        from s3proxy.foundation import open_patient

        config, backend = options.configuration, chosen.backend
        async with open_patient(config, backend, reactor=reactor) as patient:
            return await doctor.run(patient, profile=chosen["profile"], out=out)

    async def run_export() -> int:
        from s3proxy.commands import export
        from s3proxy.foundation import open_export

        async with open_export(options.configuration, reactor=reactor) as source:
            return await export.run(
                source,
                to=chosen["to"],
                bucket=chosen["bucket"],
                prefix=chosen["prefix"],
                dry_run=bool(chosen["dry-run"]),
                out=out,
            )

    async def run_sweep() -> int:
        from s3proxy.commands import sweep
        from s3proxy.foundation import open_sweep

        delete = bool(chosen["delete"])
        opened = open_sweep(options.configuration, reactor=reactor, writes=delete)
        async with opened as pool:
            return await sweep.run(
                pool,
                backends=chosen.backends,
                delete=delete,
                accept_restore=bool(chosen["accept-restore"]),
                show_all=bool(chosen["all"]),
                out=out,
            )

    async def run_backup() -> int:
        from s3proxy.commands import backup
        from s3proxy.foundation import open_backup

        is_dry = bool(chosen["dry-run"])
        opened = open_backup(options.configuration, reactor=reactor, writes=not is_dry)
        async with opened as backups:
            return await backup.run(backups, dry_run=is_dry, out=out)

    async def run_restore() -> int:
        from s3proxy.commands import restore
        from s3proxy.foundation import open_restore

        async with open_restore(options.configuration, reactor=reactor) as pool:
            return await restore.run(
                pool,
                installation=chosen["installation"],
                backup=chosen["backup"],
                dry_run=bool(chosen["dry-run"]),
                out=out,
            )

    name = str(options.subCommand)
    commands = {
        "check": run_check,
        "status": run_status,
        "sync": run_sync,
        "drain": run_drain,
        "sweep": run_sweep,
        "remove": run_remove,
        "explain": run_explain,
        "what-if": run_what_if,
        "doctor": run_doctor,
        "export": run_export,
        "backup": run_backup,
        "restore": run_restore,
    }
    return runner.CommandService(
        name,
        commands[name],
        reactor=reactor,
        err=err,
        told=(BackendError, ConfigError, EmbeddedError, S3Error, StoreError),
    )
