"""s3proxy.web.tls: certificates, their exchange in flight, and what TLS is spoken."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

import pytest
import pytest_twisted
from cryptography.hazmat.primitives import serialization
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, LogLevel, formatEvent

from s3proxy.config import Config, ServerConfig, TlsConfig
from s3proxy.errors import ConfigError
from s3proxy.web.limits import Limits
from s3proxy.web.tls import Certificates, TlsFactory, read_certificate
from tests.certificates import Authority, Issued
from tests.web.conftest import NOW, Door, MakeDoor
from tests.web.wire import connect, request

MISSING = "No such file or directory"


@pytest.fixture
def tls_by(authority: Authority) -> Authority:
    return authority


def encrypted(issued: Issued, directory: Path) -> Path:
    key = serialization.load_pem_private_key(issued.key_file.read_bytes(), None)
    path = directory / "encrypted.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"phrase"),
        )
    )
    return path


@pytest.fixture
def bad(
    authority: Authority, tmp_path: Path
) -> Callable[[str], tuple[TlsConfig, str, str]]:
    """``bad(what)``: files that cannot be used, whose key is wrong, and why."""
    good, other = authority.issue("good"), authority.issue("other")
    junk = tmp_path / "junk.pem"
    junk.write_text("-----BEGIN PRIVATE KEY-----\nnot base64 canary\n")
    empty = tmp_path / "empty.pem"
    empty.touch()
    cert, key = str(good.cert_file), str(good.key_file)
    gone = str(tmp_path / "gone.pem")
    cases = {
        "cert missing": (TlsConfig(gone, key), "cert_file", MISSING),
        "key missing": (TlsConfig(cert, gone), "key_file", MISSING),
        "cert a directory": (
            TlsConfig(str(tmp_path), key),
            "cert_file",
            "Is a directory",
        ),
        "cert not PEM": (TlsConfig(str(junk), key), "cert_file", "no certificate"),
        "cert empty": (TlsConfig(str(empty), key), "cert_file", "no certificate"),
        "key not PEM": (TlsConfig(cert, str(junk)), "key_file", "no private key"),
        "key a certificate": (TlsConfig(cert, cert), "key_file", "no private key"),
        "key encrypted": (
            TlsConfig(cert, str(encrypted(good, tmp_path))),
            "key_file",
            "encrypted",
        ),
        "key of another": (
            TlsConfig(cert, str(other.key_file)),
            "key_file",
            "is not the key of",
        ),
    }
    return cases.__getitem__


BAD = (
    "cert missing",
    "key missing",
    "cert a directory",
    "cert not PEM",
    "cert empty",
    "key not PEM",
    "key a certificate",
    "key encrypted",
    "key of another",
)


@pytest.mark.parametrize("what", BAD)
def test_files_that_cannot_be_used(
    bad: Callable[[str], tuple[TlsConfig, str, str]], what: str
) -> None:
    """The message names the key, the file and the reason, and quotes nothing."""
    config, key, reason = bad(what)
    with pytest.raises(ConfigError) as caught:
        read_certificate(config)
    text = str(caught.value)
    assert text.startswith(f"server.tls.{key}: {getattr(config, key)}: ")
    assert reason in text
    assert "canary" not in text and "\n" not in text


def test_an_expired_certificate_is_warned_of(
    authority: Authority, logged: list[LogEvent]
) -> None:
    """It is used all the same: a server that does not start helps nobody."""
    Certificates(authority.issue("expired", days=-1).config(), _now)
    [event] = logged
    assert event["log_level"] is LogLevel.warn
    assert "valid until" in str(formatEvent(event))


def _now() -> datetime:
    return datetime.now().astimezone()


class Exchange:
    """A door whose certificate can be exchanged."""

    def __init__(self, door: Door, certificates: Certificates, port: int) -> None:
        self.door = door
        self.certificates = certificates
        self.port = port

    async def serial(self) -> int:
        """Of the certificate that a new connection is shown."""
        assert self.door.ca is not None
        wire = await connect(self.port, self.door.ca)
        self.door.wires.append(wire)
        shown = wire.transport.getPeerCertificate().to_cryptography()
        wire.close()
        return int(shown.serial_number)


@pytest_twisted.async_yield_fixture
async def exchange(
    make_door: MakeDoor, authority: Authority
) -> AsyncIterator[Exchange]:
    door = make_door()
    certificates = Certificates(authority.issue("first").config(), lambda: NOW)
    factory = TlsFactory(certificates, door.site, reactor)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    yield Exchange(door, certificates, port.getHost().port)
    await port.stopListening()


def configured(tls: TlsConfig | None) -> Config:
    return Config(Path("/nowhere"), server=ServerConfig(tls=tls))


@pytest_twisted.ensureDeferred
async def test_a_new_certificate_is_for_new_connections(
    exchange: Exchange, authority: Authority
) -> None:
    """Those that are there go on, also in the middle of a request."""
    first = await exchange.serial()
    wire = await connect(exchange.port, exchange.door.ca)
    exchange.door.wires.append(wire)
    whole = request("PUT", "/unified/k", body=b"data")
    wire.send(whole[:-2])
    # The same files, with another content: as a renewal leaves them.
    renewed = authority.issue("first")
    exchange.certificates.prepare(configured(renewed.config()))()
    assert await exchange.serial() == renewed.serial != first
    wire.send(whole[-2:])
    assert (await wire.response()).status == 200
    wire.send(request("GET", "/unified/k"))
    assert (await wire.response()).body == b"data"


@pytest.mark.parametrize("what", BAD)
@pytest_twisted.ensureDeferred
async def test_a_bad_new_certificate_changes_nothing(
    exchange: Exchange,
    bad: Callable[[str], tuple[TlsConfig, str, str]],
    what: str,
) -> None:
    """It is told, and the one in use stays."""
    first = await exchange.serial()
    config, key, reason = bad(what)
    with pytest.raises(ConfigError) as refused:
        exchange.certificates.prepare(configured(config))
    line = str(refused.value)
    assert f"server.tls.{key}" in line and reason in line
    assert await exchange.serial() == first


@pytest_twisted.ensureDeferred
async def test_without_the_section_the_certificate_stays(
    exchange: Exchange, logged: list[LogEvent]
) -> None:
    first = await exchange.serial()
    logged.clear()
    exchange.certificates.prepare(configured(None))()
    assert "next start" in str(formatEvent(logged[0]))
    assert await exchange.serial() == first


def shake_hands(door: Door, **options: object) -> ssl.SSLSocket:
    """A connection by another implementation, Python's own; closed by the caller."""
    context = ssl.create_default_context(cadata=(door.ca or b"").decode())
    for name, value in options.items():
        if name == "alpn":
            context.set_alpn_protocols(list(value))  # type: ignore[call-overload]
        else:
            setattr(context, name, value)
    raw = socket.create_connection(("127.0.0.1", door.port), timeout=20)
    try:
        return context.wrap_socket(raw, server_hostname="localhost")
    except BaseException:
        raw.close()
        raise


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["h2", "http/1.1"], "http/1.1"),
        (["http/1.1"], "http/1.1"),
        ([], None),
    ],
)
@pytest_twisted.ensureDeferred
async def test_http_1_1_is_what_is_agreed_on(
    door: Door, offered: list[str], chosen: str | None
) -> None:
    def run() -> str | None:
        with shake_hands(door, alpn=offered) as connection:
            return connection.selected_alpn_protocol()

    assert await deferToThread(run) == chosen


@pytest_twisted.ensureDeferred
async def test_who_speaks_only_http_2_is_refused(door: Door) -> None:
    """In the handshake: it would not understand an answer."""

    def run() -> None:
        with pytest.raises(ssl.SSLError):
            shake_hands(door, alpn=["h2"])

    await deferToThread(run)


@pytest.mark.parametrize(
    ("version", "is_spoken"),
    [
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
@pytest_twisted.ensureDeferred
async def test_versions(door: Door, version: ssl.TLSVersion, is_spoken: bool) -> None:
    def run() -> bool:
        try:
            with shake_hands(
                door,
                minimum_version=version,
                maximum_version=version,
            ) as connection:
                connection.sendall(request("GET", "/health", "Connection: close"))
                return b"200 OK" in connection.recv(100)
        except (ssl.SSLError, ConnectionError):
            return False

    assert await deferToThread(run) is is_spoken


@pytest_twisted.ensureDeferred
async def test_1_3_only(exchange: Exchange, authority: Authority) -> None:
    issued = authority.issue("newest")
    exchange.certificates.prepare(configured(issued.config(min_version="1.3")))()
    door = exchange.door

    def run() -> str | None:
        door.port = exchange.port
        with pytest.raises(ssl.SSLError):
            shake_hands(door, maximum_version=ssl.TLSVersion.TLSv1_2)
        with shake_hands(door) as connection:
            return connection.version()

    assert await deferToThread(run) == "TLSv1.3"


@pytest_twisted.ensureDeferred
async def test_plain_http_is_closed_and_logs_nothing(
    door: Door, logged: list[LogEvent]
) -> None:
    logged.clear()
    wire = await connect(door.port)
    door.wires.append(wire)
    wire.send(request("GET", "/health"))
    assert b"HTTP" not in await wire.end()
    await door.until(lambda: not door.site.drain._connections)
    assert all(event["log_level"] is LogLevel.info for event in logged)


@pytest_twisted.ensureDeferred
async def test_a_handshake_that_never_ends_loses_its_slot(
    make_door: MakeDoor,
) -> None:
    """Drips do not stretch it."""
    door = make_door(limits=Limits(header_seconds=30))
    wire = await connect(door.port)
    door.wires.append(wire)
    for byte in (b"\x16", b"\x03", b"\x01"):
        wire.send(byte)
        await door.until(lambda: door.site.drain._connections)
        door.clock.advance(9)
    assert not wire.ended
    door.clock.advance(4)
    await wire.until(lambda: wire.ended)


@pytest_twisted.ensureDeferred
async def test_an_idle_client_does_not_hold_a_stop_up(door: Door) -> None:
    """TLS's last word is not waited for."""
    wire = await door.connect()
    wire.send(request("GET", "/health"))
    await wire.response()
    wire.pause()
    assert await door.site.drain.drain(0) == 0
    assert not door.site.drain._connections
    wire.resume()
    await wire.end()
