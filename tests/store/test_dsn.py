"""What libpq is told."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IResolutionReceiver

from s3proxy.config import DatabaseConfig
from s3proxy.store.dsn import connection_arguments, resolved


def config(**more: Any) -> DatabaseConfig:
    """A configuration, with some of it replaced."""
    base: dict[str, Any] = {
        "host": "db.example",
        "port": 5433,
        "database": "ledger",
        "user": "me",
        "password": "pass word'",
    }
    return DatabaseConfig(**{**base, **more})


def test_arguments() -> None:
    """Everything of the configuration, a primary, and limits of the server's own."""
    found = connection_arguments(config(ssl_mode="verify-full", ssl_root_cert="/ca"))
    assert (found["host"], found["port"], found["dbname"]) == (
        "db.example",
        "5433",
        "ledger",
    )
    assert (found["user"], found["password"]) == ("me", "pass word'")
    assert (found["sslmode"], found["sslrootcert"]) == ("verify-full", "/ca")
    assert found["target_session_attrs"] == "read-write"
    assert "statement_timeout=13500ms" in found["options"]
    assert "lock_timeout=13500ms" in found["options"]


def test_left_out() -> None:
    """No password and no certificate are not the same as empty ones."""
    found = connection_arguments(config(password=""), statement_timeout_seconds=2)
    assert "password" not in found
    assert "sslrootcert" not in found
    assert "statement_timeout=1800ms" in found["options"]


class Names:
    """A reactor that knows some names."""

    def __init__(self, known: dict[str, list[str]]) -> None:
        self.known = known
        self.nameResolver = self

    def resolveHostName(self, receiver: IResolutionReceiver, host: str) -> None:
        receiver.resolutionBegan(None)  # type: ignore[arg-type]
        for each in self.known.get(host, []):
            kind = IPv6Address if ":" in each else IPv4Address
            receiver.addressResolved(kind("TCP", each, 0))
        receiver.resolutionComplete()


NAMES = Names({"a": ["192.0.2.1", "192.0.2.2"], "b": ["2001:db8::1"]})


@pytest.mark.parametrize(
    ("host", "hostaddr"),
    [
        ("a", "192.0.2.1"),
        ("a,b", "192.0.2.1,2001:db8::1"),
        ("/run/postgresql", None),
        ("@abstract", None),
        ("", None),
        ("a,/run/postgresql", None),
    ],
)
@ensureDeferred
async def test_resolved(host: str, hostaddr: str | None) -> None:
    """Names become addresses beside them; sockets stand as they are."""
    arguments = {"host": host, "user": "me"}
    found = await resolved(arguments, NAMES)
    assert found.pop("hostaddr", None) == hostaddr
    assert found == arguments


@ensureDeferred
async def test_an_unknown_name() -> None:
    """It is told, and nobody is called."""
    with pytest.raises(OSError, match="'nowhere'"):
        await resolved({"host": "a,nowhere"}, NAMES)
