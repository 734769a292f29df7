"""What libpq is told: the configuration as connection arguments, names resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer

from s3proxy.config import DatabaseConfig

# Server-side limits. The first two end what would hold others up; an idle transaction
# is never ours to have, so one that is there belongs to a session that has died.
_OPTIONS = (
    "-c statement_timeout={statement}ms -c lock_timeout={lock}ms "
    "-c idle_in_transaction_session_timeout=30s -c client_min_messages=warning"
)


def connection_arguments(
    config: DatabaseConfig, *, statement_timeout_seconds: float = 15.0
) -> dict[str, Any]:
    """
    :param statement_timeout_seconds: The server ends a statement after this; the pool
        closes the connection a little later.
    """
    milliseconds = int(statement_timeout_seconds * 900)
    arguments: dict[str, Any] = {
        "host": config.host,
        "port": str(config.port),
        "dbname": config.database,
        "user": config.user,
        "sslmode": config.ssl_mode,
        "application_name": "s3proxy",
        "target_session_attrs": "read-write",
        "client_encoding": "UTF8",
        "options": _OPTIONS.format(statement=milliseconds, lock=milliseconds),
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "30000",
    }
    if config.password:
        arguments["password"] = config.password
    if config.ssl_root_cert:
        arguments["sslrootcert"] = config.ssl_root_cert
    return arguments


async def resolved(arguments: Mapping[str, Any], reactor: Any) -> dict[str, Any]:
    """
    Add ``hostaddr``: libpq's own look-up would hold up the whole process.

    ``host`` stays, since it is what a certificate is compared with. A list of hosts
    becomes a list of as many addresses; sockets in it stand as they are.

    :raises OSError: A name has no address.
    """
    hosts = str(arguments.get("host") or "").split(",")
    if any(not host or host.startswith(("/", "@")) for host in hosts):
        return dict(arguments)
    addresses = [await _first_address(host, reactor) for host in hosts]
    return {**arguments, "hostaddr": ",".join(addresses)}


@implementer(IResolutionReceiver)
class _Receiver:
    def __init__(self) -> None:
        self.addresses: list[Any] = []
        self.done: Deferred[list[Any]] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Part of IResolutionReceiver."""

    def addressResolved(self, address: IAddress) -> None:
        """Part of IResolutionReceiver."""
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        """Part of IResolutionReceiver."""
        self.done.callback(self.addresses)


async def _first_address(host: str, reactor: Any) -> str:
    receiver = _Receiver()
    reactor.nameResolver.resolveHostName(receiver, host)
    addresses = await receiver.done
    if not addresses:
        raise OSError(f"could not resolve the database host {host!r}")
    return str(addresses[0].host)
