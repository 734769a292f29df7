"""The S3 server behind the default backends: two buckets of one SeaweedFS."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from signal import Signals

from attrs import asdict, evolve, frozen
from twisted.internet.task import deferLater
from twisted.logger import Logger

from s3proxy.config import BackendConfig
from s3proxy.embedded import binaries, commandlines
from s3proxy.embedded.commandlines import WeedPorts
from s3proxy.embedded.errors import EmbeddedError
from s3proxy.embedded.files import (
    own_directory,
    prepare_data_dir,
    read_json,
    write_private,
)
from s3proxy.embedded.keys import new_key_pair
from s3proxy.embedded.ports import all_free, free_weed_ports
from s3proxy.embedded.probe import Probe
from s3proxy.embedded.strays import end_stray
from s3proxy.embedded.supervisor import (
    POLL_SECONDS,
    Child,
    EmbeddedReactor,
    Supervisor,
    spawn,
)

log = Logger()

LOG_NAME = "s3server.log"
REGION = "us-east-1"
BACKENDS = {"local-a": "pool-a", "local-b": "pool-b"}
START_SECONDS = 60.0
START_TRIES = 5
# It mostly takes 2 s, and sometimes far longer after heavy reading; what it has
# acknowledged survives a SIGKILL.
STOP_SECONDS = 5.0
GIB = 1024**3
LARGEST_QUOTA_BYTES = 10 * GIB
SMALLEST_QUOTA_BYTES = GIB // 4


@frozen
class Identity:
    """
    What is settled at the first start and kept.

    :ivar storage_id: Names the stored data. The ports may change between starts, so
        the ledger knows the backends by this and not by their endpoint.
    """

    storage_id: str
    access_key_id: str
    secret_access_key: str
    ports: WeedPorts
    quotas: dict[str, int]

    def ports_are_free(self) -> bool:
        """Whether nobody listens on any of the ports now."""
        return all_free(asdict(self.ports).values())


def default_quota(free_bytes: int) -> int:
    """
    The limit of each of two buckets on a disk with *free_bytes*: 10 GiB, or on a small
    disk what leaves a fifth of it free, in quarters of a GiB and never under one.
    """
    share = free_bytes * 2 // 5 // SMALLEST_QUOTA_BYTES * SMALLEST_QUOTA_BYTES
    return max(SMALLEST_QUOTA_BYTES, min(LARGEST_QUOTA_BYTES, share))


class EmbeddedS3:
    """
    One S3 server below *data_dir*, on loopback, as our direct child.

    :param quotas: Bytes for each of the backends ``local-a`` and ``local-b``; None
        chooses by the free disk at the first start, and keeps that.
    """

    name = "S3 server"

    def __init__(
        self,
        data_dir: Path,
        reactor: EmbeddedReactor,
        *,
        quotas: Mapping[str, int] | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._reactor = reactor
        self._quotas = quotas
        self._home = data_dir / "s3"
        self._data = self._home / "data"
        self._config = self._home / "s3.json"
        self._identity_file = data_dir / "s3server.json"
        self._pid_file = data_dir / "s3server.pid"
        self._supervisor = Supervisor(self, reactor)
        self._prefix: list[str] = []
        self._program = Path()
        self._identity: Identity | None = None

    async def start(self) -> tuple[BackendConfig, ...]:
        """
        Start it, making its keys and buckets where they do not exist.

        :returns: The backends, in order.
        :raises EmbeddedError: It cannot be started; the text says what mends it.
        """
        who = binaries.account()
        prepare_data_dir(self._data_dir, who)
        own_directory(self._home, who)
        own_directory(self._data, who)
        self._prefix = binaries.child_prefix(who, "TERM")
        self._program = binaries.reachable_weed(self._data_dir, who)
        await self._end_stray()
        identity = self._load_identity()
        write_private(
            self._config,
            commandlines.weed_identities(
                identity.access_key_id, identity.secret_access_key
            ),
            who,
        )
        return self._backends(await self._start_on_free_ports(identity))

    async def stop(self) -> None:
        """Stop it and wait until it has ended."""
        await self._supervisor.stop()
        self._sweep_up()

    async def launch(self) -> Child:
        """See :class:`~s3proxy.embedded.supervisor.Program`."""
        assert self._identity is not None
        self._sweep_up()
        child = spawn(
            self._reactor,
            [
                *self._prefix,
                *commandlines.weed_mini(
                    self._program, self._data, self._config, self._identity.ports
                ),
            ],
            directory=self._home,
            log_path=self._data_dir / LOG_NAME,
            environment=commandlines.WEED_ENVIRONMENT,
        )
        try:
            write_private(self._pid_file, f"{child.pid}\n")
            await self._wait_ready(child)
        except BaseException:
            child.signal(Signals.SIGKILL)
            await child.wait()
            raise
        return child

    async def end(self, child: Child) -> None:
        """See :class:`~s3proxy.embedded.supervisor.Program`."""
        child.signal(Signals.SIGCONT)
        child.signal(Signals.SIGTERM)
        impatient = self._reactor.callLater(STOP_SECONDS, child.signal, Signals.SIGKILL)
        await child.wait()
        if impatient.active():
            impatient.cancel()

    async def _start_on_free_ports(self, identity: Identity) -> Identity:
        """
        Start it on the ports of before, or on others where one of those is taken.

        A port may be taken between our look and its start: it ends then.
        """
        for _attempt in range(START_TRIES):
            if not identity.ports_are_free():
                ports = free_weed_ports()
                identity = evolve(identity, ports=ports)
            self._keep(identity)
            try:
                await self._supervisor.start()
            except EmbeddedError:
                if identity.ports_are_free():
                    raise
            else:
                return identity
        raise EmbeddedError(
            "the embedded S3 server finds no free ports on 127.0.0.1; see what listens "
            "there, or configure backends"
        )

    async def _wait_ready(self, child: Child) -> None:
        """It answers before its parts know each other: a GET and a PUT must work."""
        assert self._identity is not None
        probe = Probe(
            self._reactor,
            self._endpoint(self._identity),
            self._identity.access_key_id,
            self._identity.secret_access_key,
            REGION,
        )
        given_up = self._reactor.seconds() + START_SECONDS
        while not await probe.is_ready(BACKENDS.values()):
            if not child.is_running or self._reactor.seconds() > given_up:
                raise EmbeddedError(
                    "the embedded S3 server does not start; its last words (more in "
                    f"{self._data_dir / LOG_NAME}):\n{child.last_words}"
                )
            await deferLater(self._reactor, POLL_SECONDS)

    async def _end_stray(self) -> None:
        with suppress(FileNotFoundError, ValueError):
            await end_stray(
                self._reactor,
                int(self._pid_file.read_text()),
                commandlines.weed_marker(self._data),
                Signals.SIGTERM,
                kill_after_seconds=STOP_SECONDS,
            )

    def _sweep_up(self) -> None:
        if self._identity is not None:
            for litter in commandlines.weed_litter(self._identity.ports):
                with suppress(OSError):
                    litter.unlink(missing_ok=True)

    def _load_identity(self) -> Identity:
        kept = read_json(self._identity_file)
        if kept is None:
            key_id, secret = new_key_pair()
            quota_bytes = default_quota(shutil.disk_usage(self._data).free)
            identity = Identity(
                storage_id=uuid.uuid4().hex,
                access_key_id=key_id,
                secret_access_key=secret,
                ports=free_weed_ports(),
                quotas=dict.fromkeys(BACKENDS, quota_bytes),
            )
        else:
            try:
                identity = Identity(**{**kept, "ports": WeedPorts(**kept["ports"])})
            except (KeyError, TypeError) as why:
                raise EmbeddedError(
                    f"{self._identity_file} is damaged ({why}): restore it from a copy"
                ) from why
        if self._quotas is not None:
            identity = evolve(identity, quotas={**identity.quotas, **self._quotas})
        return identity

    def _keep(self, identity: Identity) -> None:
        self._identity = identity
        write_private(self._identity_file, json.dumps(asdict(identity), indent=2))

    def _backends(self, identity: Identity) -> tuple[BackendConfig, ...]:
        return tuple(
            BackendConfig(
                name=name,
                endpoint=self._endpoint(identity),
                region=REGION,
                bucket=bucket,
                access_key_id=identity.access_key_id,
                secret_access_key=identity.secret_access_key,
                force_path_style=True,
                quota_bytes=identity.quotas[name],
                location=f"embedded:{identity.storage_id}/{bucket}",
            )
            for name, bucket in BACKENDS.items()
        )

    @staticmethod
    def _endpoint(identity: Identity) -> str:
        return f"http://127.0.0.1:{identity.ports.s3}"
