"""
Who is let in to which buckets: built at start, built anew at a reload.

With :mod:`s3proxy.service`, a composition root: it joins the front door's keyring and
directory with the ledger's table of buckets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from attrs import define
from twisted.logger import Logger

from s3proxy.config import Config
from s3proxy.errors import ConfigError
from s3proxy.plan.catalogue import BUCKET as CATALOGUE
from s3proxy.reload import Act, Applier
from s3proxy.store.registry import Registry
from s3proxy.web.auth import Authenticator
from s3proxy.web.directory import BucketDirectory
from s3proxy.web.keyring import Keyring
from s3proxy.web.ports import BucketsPort

#: What a client may name in its credential scope.
REGIONS = ("us-east-1", "auto")

#: Settings that a reload puts in force here.
_FOLLOWED = (
    "auth",
    "credentials",
    "server.require_signed_payload",
    "server.virtual_bucket",
)

_log = Logger()


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
        """
        What follows a changed configuration. It goes last: once it has prepared, new
        names are the configuration's in the ledger, also if another then objects.
        """
        return Applier(_FOLLOWED, self._prepare)

    async def _prepare(self, config: Config) -> Act:
        if not config.authenticates and not self.authenticator.keyring.is_open:
            # An editor that empties a file before it writes must not open the door.
            raise ConfigError(
                "auth: neither auth nor credentials are there any more, and to turn "
                "authentication off needs a restart"
            )
        keyring = _keyring(config)
        buckets = await _register(config, self._registry)

        def act() -> None:
            self.authenticator.keyring = keyring
            self.authenticator.require_signed_payload = (
                config.server.require_signed_payload
            )
            self.directory.configured = buckets
            self.directory.reserved = config.reserved

        return act


async def open_admission(
    config: Config,
    registry: Registry,
    made: BucketsPort,
    now: Callable[[], datetime],
    *,
    warns: bool = True,
) -> Admission:
    """
    Make sure of the configured buckets, and of who may do what with them.

    :param made: Buckets made at run time.
    :param now: Wall clock, aware.
    :param warns: Whether to tell of open doors and of what nobody can reach.
    :raises BucketTaken: A configured bucket is a client's.
    """
    if warns and not config.authenticates:
        _log.warn(
            "AUTHENTICATION IS OFF: neither auth.access_key_id nor auth.token is "
            "configured, nor credentials, so whoever reaches {address} may read, write "
            "and delete",
            address=config.server.listen_addr,
        )
    authenticator = Authenticator(
        _keyring(config),
        require_signed_payload=config.server.require_signed_payload,
        regions=REGIONS,
        now=now,
    )
    buckets = await _register(config, registry)
    if warns:
        await _warn_of_strays(config, registry)
    directory = BucketDirectory(buckets, made, config.reserved)
    return Admission(authenticator, directory, registry)


def _keyring(config: Config) -> Keyring:
    return Keyring.of(config.auth, config.credentials, config.server.virtual_bucket)


async def _register(config: Config, registry: Registry) -> Mapping[str, datetime]:
    granted = {each.access_key_id: each.buckets for each in config.credentials}

    def may_take(bucket: str, owner: str) -> bool:
        # A slip must not show one client's bucket to another.
        return owner not in granted or bucket in granted[owner]

    registered = await registry.register_buckets(config.buckets, may_take)
    for bucket, owner in registered.taken:
        _log.warn(
            "bucket {bucket} was made at run time by access key {owner}: from now on "
            "the configuration alone says who may do what with it",
            bucket=bucket,
            owner=owner,
        )
    return registered.created


async def _warn_of_strays(config: Config, registry: Registry) -> None:
    keys = {each.access_key_id for each in config.credentials}
    for bucket, owner in await registry.held_buckets():
        if owner is None and bucket not in (*config.buckets, CATALOGUE):
            _log.warn(
                "bucket {bucket} holds objects but is not configured: they are kept, "
                "and nobody can reach them",
                bucket=bucket,
            )
        elif owner is not None and owner not in keys:
            _log.warn(
                "bucket {bucket} holds objects, and was made by access key {owner}, "
                "which is not configured: they are kept, and nobody can reach them",
                bucket=bucket,
                owner=owner,
            )
