"""
Who is let in to which buckets: built at start, built anew at a reload.

With :mod:`s3proxy.service`, a composition root: it joins the front door's keyring and
directory with the ledger's table of buckets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from attrs import define
from twisted.logger import Logger

from s3proxy.config import Config
from s3proxy.errors import ConfigError
from s3proxy.reload import Act, Applier
from s3proxy.store.registry import Registry
from s3proxy.web.auth import Authenticator
from s3proxy.web.directory import BucketDirectory
from s3proxy.web.keyring import Keyring

#: What a client may name in its credential scope.
REGIONS = ("us-east-1", "auto")


@define(eq=False)
class Admission:
    """
    :ivar authenticator: Of the front door.
    :ivar directory: Of the front door, too.
    """

    authenticator: Authenticator
    directory: BucketDirectory
    _registry: Registry

    @property
    def applier(self) -> Applier:
        """What follows a changed configuration."""
        return Applier(("auth", "credentials", "server.virtual_bucket"), self._prepare)

    async def _prepare(self, config: Config) -> Act:
        if not config.authenticates and not self.authenticator.keyring.is_open:
            # An editor that empties a file before it writes must not open the door.
            raise ConfigError(
                "auth: neither auth nor credentials are there any more, and to turn "
                "authentication off needs a restart"
            )
        keyring = _keyring(config)
        buckets = await self._registry.register_buckets(config.buckets)

        def act() -> None:
            self.authenticator.keyring = keyring
            self.directory.configured = buckets

        return act


async def open_admission(
    config: Config, registry: Registry, now: Callable[[], datetime], log: Logger
) -> Admission:
    """
    Make sure of the configured buckets, and of who may do what with them.

    :param log: Is told of buckets that nobody can reach, and of an open door.
    """
    if not config.authenticates:
        log.warn(
            "AUTHENTICATION IS OFF: neither auth.access_key_id nor auth.token is "
            "configured, nor credentials, so whoever reaches {address} may read, write "
            "and delete",
            address=config.server.listen_addr,
        )
    authenticator = Authenticator(_keyring(config), regions=REGIONS, now=now)
    directory = BucketDirectory(await registry.register_buckets(config.buckets))
    await _warn_of_strays(registry, config.buckets, log)
    return Admission(authenticator, directory, registry)


def _keyring(config: Config) -> Keyring:
    return Keyring.of(config.auth, config.credentials, config.server.virtual_bucket)


async def _warn_of_strays(
    registry: Registry, configured: Sequence[str], log: Logger
) -> None:
    for stray in await registry.stray_buckets(configured):
        log.warn(
            "bucket {stray} holds objects but is not configured: they are kept, and "
            "nobody can reach them",
            stray=stray,
        )
