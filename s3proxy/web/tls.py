"""
TLS in front of the front door, with a certificate that can be exchanged in flight.

Connections keep the certificate that they began with; those that come after a change
get the new one. Clients are offered HTTP/1.1 and nothing else.
"""

# mypy: allow-untyped-calls
# (twisted.protocols.tls has few annotations.)

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL.SSL import Connection, Error
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from s3proxy.config_model import Config, TlsConfig
from s3proxy.errors import ConfigError

_VERSIONS = {"1.2": TLSVersion.TLSv1_2, "1.3": TLSVersion.TLSv1_3}
_Read = tuple[CertificateOptions, x509.Certificate]


def read_certificate(config: TlsConfig) -> _Read:
    """
    Read the files, and see whether they belong together.

    :returns: What connections are made with, and the certificate itself.
    :raises ConfigError: They cannot be used; the text names key, file and reason.
    """
    chain = _certificates(config.cert_file)
    key: Any = _key(config.key_file)
    if _public(key.public_key()) != _public(chain[0].public_key()):
        raise ConfigError(
            f"server.tls.key_file: {config.key_file}: is not the key of the (first) "
            f"certificate in {config.cert_file}"
        )
    try:
        # OpenSSL's own classes, which the annotations ask for, are on their way out.
        options = CertificateOptions(
            privateKey=key,
            certificate=chain[0],  # type: ignore[arg-type]
            extraCertChain=chain[1:],  # type: ignore[arg-type]
            insecurelyLowerMinimumTo=_VERSIONS[config.min_version],
        )
        options.getContext()
    except (Error, TypeError, ValueError) as why:
        raise ConfigError(
            f"server.tls.cert_file: {config.cert_file}: OpenSSL does not take this "
            f"certificate and key: {_reason(why)}"
        ) from None
    return options, chain[0]


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """The certificate that new connections are shown."""

    log = Logger()

    def __init__(self, config: TlsConfig, now: Callable[[], datetime]) -> None:
        """
        :param now: Wall clock, aware.
        :raises ConfigError: See :func:`read_certificate`.
        """
        self._now = now
        self._current = self._read(config)

    def prepare(self, config: Config) -> Callable[[], None]:
        """
        Read the files again, or others.

        :returns: Puts them in force.
        :raises ConfigError: They cannot be used; what is in use stays.
        """
        if config.server.tls is None:
            self.log.warn(
                "server.tls is gone from the configuration: the listener goes on with "
                "TLS until the next start"
            )
            return lambda: None
        read = self._read(config.server.tls)

        def act() -> None:
            self._current = read

        return act

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> Connection:
        """Twisted's own: one connection's state."""
        return self._current.serverConnectionForTLS(protocol)

    def _read(self, config: TlsConfig) -> CertificateOptions:
        options, certificate = read_certificate(config)
        until = certificate.not_valid_after_utc
        told = self.log.warn if until <= self._now() else self.log.info
        told(
            "TLS certificate {file}: serial {serial}, valid until {until}",
            file=config.cert_file,
            serial=f"{certificate.serial_number:x}",
            until=until.isoformat(),
        )
        return options


class TlsFactory(TLSMemoryBIOFactory):
    """TLS around a factory that may refuse a connection."""

    def __init__(
        self, certificates: Certificates, wrapped: IProtocolFactory, clock: IReactorTime
    ) -> None:
        super().__init__(certificates, False, wrapped, clock)

    def buildProtocol(  # type: ignore[override]
        self, addr: IAddress | None
    ) -> TLSMemoryBIOProtocol | None:
        """None where the factory inside gives none: the connection is closed."""
        inner: IProtocol | None = self.wrappedFactory.buildProtocol(addr)
        return None if inner is None else self.protocol(self, inner)


def _certificates(path: str) -> list[x509.Certificate]:
    text = _content("cert_file", path)
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        raise ConfigError(
            f"server.tls.cert_file: {path}: holds no certificate in PEM form "
            "(-----BEGIN CERTIFICATE-----)"
        ) from None


def _key(path: str) -> object:
    text = _content("key_file", path)
    try:
        return serialization.load_pem_private_key(text, None)
    except TypeError:
        reason = "is encrypted; want it without a pass phrase"
    except Exception:
        # ValueError or UnsupportedAlgorithm; the text could hold parts of the key.
        reason = "holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"
    raise ConfigError(f"server.tls.key_file: {path}: {reason}")


def _content(key: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as why:
        raise ConfigError(
            f"server.tls.{key}: {path}: cannot be read: {why.strerror}"
        ) from None


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _reason(why: Exception) -> str:
    """The last words of OpenSSL's list of errors."""
    errors = why.args[0] if why.args else ""
    return str(errors[-1][-1]) if isinstance(errors, list) and errors else str(errors)
