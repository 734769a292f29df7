"""
The embedded servers of one data directory, shared by the processes that use it.

Of the processes on one data directory, the one that holds its lock owns the servers;
the others use them, by what the owner wrote to the state file. When the owner ends, one
of the others takes over: nobody's servers go away for longer than a restart.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from attrs import asdict, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from s3proxy.config import BackendConfig, DatabaseConfig, UsageConfig
from s3proxy.embedded import binaries
from s3proxy.embedded.errors import EmbeddedError
from s3proxy.embedded.files import prepare_data_dir, read_json, write_private
from s3proxy.embedded.lock import DirectoryLock
from s3proxy.embedded.postgres import EmbeddedPostgres
from s3proxy.embedded.s3server import EmbeddedS3
from s3proxy.embedded.strays import is_running
from s3proxy.embedded.supervisor import EmbeddedReactor

log = Logger()

POLL_SECONDS = 0.1
# A first start of the owner takes a few seconds; a recovery of its database longer.
PATIENCE_SECONDS = 60.0


@frozen
class EmbeddedParts:
    """
    How to reach what was asked for.

    :ivar database: None where no PostgreSQL was.
    :ivar backends: In order of preference; empty where no S3 server was.
    """

    database: DatabaseConfig | None
    backends: tuple[BackendConfig, ...]


class Embedded:
    """
    PostgreSQL, an S3 server, both or none, between :meth:`start` and :meth:`stop`.

    :param want_postgres: The configuration names no database.
    :param want_s3: The configuration names no backends.
    :param connections: What PostgreSQL lets in at once.
    """

    def __init__(
        self,
        data_dir: Path,
        reactor: EmbeddedReactor,
        *,
        want_postgres: bool,
        want_s3: bool,
        connections: int = 50,
    ) -> None:
        self._data_dir = data_dir
        self._reactor = reactor
        settings = {"max_connections": str(connections)}
        self._postgres = (
            EmbeddedPostgres(data_dir, reactor, settings=settings)
            if want_postgres
            else None
        )
        self._s3 = EmbeddedS3(data_dir, reactor) if want_s3 else None
        self._lock = DirectoryLock(data_dir / "lock")
        self._state_file = data_dir / "state.json"
        self._is_owner = False
        self._taking_over: Deferred[None] | None = None

    async def start(self) -> EmbeddedParts:
        """
        Start the servers, or find those that another process runs.

        :raises EmbeddedError: They cannot be started or used; nothing is left running.
        """
        if self._postgres is None and self._s3 is None:
            return EmbeddedParts(None, ())
        prepare_data_dir(self._data_dir, binaries.account())
        given_up = self._reactor.seconds() + PATIENCE_SECONDS
        while not self._lock.acquire():
            parts = self._running_parts()
            if parts is not None:
                self._taking_over = Deferred.fromCoroutine(self._take_over(parts))
                return parts
            if self._reactor.seconds() > given_up:
                raise EmbeddedError(
                    f"another s3proxy uses data_dir {self._data_dir} and has not come "
                    f"up in {PATIENCE_SECONDS:.0f} seconds; see its log"
                )
            await deferLater(self._reactor, POLL_SECONDS)
        return await self._own()

    async def stop(self) -> None:
        """Stop what we own; leave another process's servers alone."""
        if self._taking_over is not None:
            taking_over, self._taking_over = self._taking_over, None
            taking_over.cancel()
            await taking_over
        if self._is_owner:
            await self._disown()

    async def _own(self) -> EmbeddedParts:
        """We hold the lock: start the servers and tell the others."""
        self._is_owner = True
        try:
            self._state_file.unlink(missing_ok=True)
            database = await self._postgres.start() if self._postgres else None
            backends = await self._s3.start() if self._s3 else ()
            parts = EmbeddedParts(database, backends)
            state = {"pid": os.getpid(), **asdict(parts)}
            write_private(self._state_file, json.dumps(state, indent=2))
        except BaseException:
            await self._disown()
            raise
        return parts

    async def _disown(self) -> None:
        self._is_owner = False
        self._state_file.unlink(missing_ok=True)
        try:
            if self._s3 is not None:
                await self._s3.stop()
            if self._postgres is not None:
                await self._postgres.stop()
        finally:
            self._lock.release()

    async def _take_over(self, parts: EmbeddedParts) -> None:
        try:
            while not self._lock.acquire():
                await deferLater(self._reactor, POLL_SECONDS)
            log.info("the owner of the embedded servers has ended; they are ours now")
            if await self._own() != parts:
                log.error(
                    "the embedded servers are at another address than before: this "
                    "process must be started again"
                )
        except CancelledError:
            return
        except EmbeddedError as why:
            log.error("{why}", why=why)

    def _running_parts(self) -> EmbeddedParts | None:
        """
        What the owner offers; None when it has not come up yet.

        :raises EmbeddedError: It runs without a server that we need.
        """
        state = read_json(self._state_file)
        # An owner that was killed leaves its file.
        if state is None or not is_running(state["pid"]):
            return None
        for wanted, offered, section in (
            (self._postgres, state["database"], "database"),
            (self._s3, state["backends"], "backends"),
        ):
            if wanted is not None and not offered:
                raise EmbeddedError(
                    f"the s3proxy that uses data_dir {self._data_dir} (process "
                    f"{state['pid']}) has {section} in its configuration, and this one "
                    "has not: give both the same configuration, or another data_dir"
                )
        return EmbeddedParts(
            _database(state) if self._postgres else None,
            _backends(state) if self._s3 else (),
        )


def _database(state: dict[str, Any]) -> DatabaseConfig:
    return DatabaseConfig(**state["database"])


def _backends(state: dict[str, Any]) -> tuple[BackendConfig, ...]:
    return tuple(
        BackendConfig(**{**each, "usage": UsageConfig(**each.get("usage", {}))})
        for each in state["backends"]
    )
