"""What is sent is what is signed, to where the configuration says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import PrivateCertificate, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.http_headers import Headers

from s3proxy.backend.client import S3Backend
from s3proxy.backend.limits import Limits
from s3proxy.backend.signing import EMPTY_SHA256, SigningAgent
from s3proxy.backend.upload import S3Upload
from s3proxy.config import BackendConfig
from s3proxy.errors import BackendUnavailable
from s3proxy.s3.sigv4 import verify
from s3proxy.s3.target import split
from tests.backend.conftest import now, until
from tests.contracts.backend import get, make_copy
from tests.faults import Received, Reply, Stub, http

ODD_KEYS = ["a b+c", "%25", "~/x", "é/日", "a//b", "../a/./b", "?x=y", "a;b=c", "a/"]


def check(request: Received) -> str:
    """Verify a request's signature as a server would; its payload hash."""
    path, query = split(request.target.encode())
    return verify(
        request.method.encode(),
        path,
        query,
        list(request.headers.items()),
        secret_of={"key": "secret"}.get,
        regions=["us-east-1"],
        now=now(),
    ).payload_hash


@pytest.mark.parametrize("key", ODD_KEYS)
@ensureDeferred
async def test_signatures(stub: Stub, scripted: S3Backend, key: str) -> None:
    """Every kind of call carries a signature over exactly what arrives."""
    ok = Reply(http(200, b"hello"))
    stub.replies = [Reply(http(200)), ok, ok, ok, ok, Reply(http(200, length=5))]
    copy = evolve(make_copy(key, 5), version_id="v&1")
    headers = {"x-amz-meta-a": "\xe9  b ", "content-type": "text/plain; a=b"}
    upload = await scripted.open_put(copy, headers, sha256=None, md5=None)
    await upload.finish(b"hello", md5="")
    assert await get(scripted, copy) == b"hello"
    assert await (await scripted.open_get(make_copy(key, 5), 0, 5)).read() == b"hello"
    await scripted.delete(key, "v&1")
    with pytest.raises(BackendUnavailable):
        await scripted.list_page(key, "token+/=")
    await scripted.head(key)
    hashes = [check(request) for request in stub.received]
    assert hashes == ["UNSIGNED-PAYLOAD", *[EMPTY_SHA256] * 5]
    for request in stub.received:
        assert request.headers["accept-encoding"] == "identity"
        assert "accept-encoding" not in request.headers["authorization"]


@ensureDeferred
async def test_the_host_of_a_uri_is_not_looked_at(
    reactor: Any, stub: Stub, stub_config: BackendConfig
) -> None:
    """Requests go where the configuration says, with their target as it is."""
    agent = SigningAgent(
        stub_config, reactor=reactor, clock=reactor, now=now, limits=Limits()
    )
    stub.replies = [Reply(http(204, length=None))]
    response = await agent.request(
        b"DELETE", b"http://elsewhere:1//a//b?c=%20", Headers({"accept-encoding": "x"})
    )
    assert response.code == 204
    (request,) = stub.received
    assert request.target == "//a//b?c=%20"
    assert request.headers["host"] == f"127.0.0.1:{stub.port}"
    assert request.headers["accept-encoding"] == "identity"
    check(request)
    await agent.close()


class _Impatient(Protocol):
    """Aborts at the first byte, and says when the body has come to its end."""

    transport: Any = None

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended

    def dataReceived(self, data: bytes) -> None:
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended()


@ensureDeferred
async def test_an_aborted_connection_is_not_taken_again(
    reactor: Any, stub: Stub, scripted: S3Backend
) -> None:
    """Aborted at its last byte, a connection is in the pool until it is closed."""
    stub.replies = [Reply(http(200, b"hello")), Reply(http(200))]
    response = await scripted._agent.request(b"GET", b"http://h/bucket/key")
    opened: list[Deferred[S3Upload]] = []
    copy = make_copy("key", 1)

    def put() -> None:
        opened.append(
            Deferred.fromCoroutine(scripted.open_put(copy, {}, sha256=None, md5=None))
        )

    response.deliverBody(_Impatient(put))
    await until(reactor, lambda: len(opened) == 1)
    upload = await opened[0]
    await upload.finish(b"x", md5="")
    assert stub.connections == 2


def self_signed() -> PrivateCertificate:
    """A certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    return PrivateCertificate.loadPEM(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )


@ensureDeferred
async def test_tls(reactor: Any, stub_config: BackendConfig) -> None:
    """A trusted certificate is needed; a stalled body is given up at once."""
    certificate = self_signed()
    stub = Stub(reactor)
    stub.start(tls=certificate.options())
    config = evolve(stub_config, endpoint=f"https://127.0.0.1:{stub.port}")
    trusting = S3Backend(
        config,
        reactor=reactor,
        now=now,
        context_factory=BrowserLikePolicyForHTTPS(
            trustRootFromCertificates([certificate])
        ),
    )
    wary = S3Backend(config, reactor=reactor, now=now)
    try:
        stub.replies = [Reply(http(200, b"hello")), Reply(http(200, b"h", length=9))]
        assert await get(trusting, make_copy("key", 5)) == b"hello"
        with pytest.raises(BackendUnavailable):
            await wary.open_get(make_copy("key", 5), 0, 5)
        download = await trusting.open_get(make_copy("key", 9), 0, 9)
        assert await download.read() == b"h"
        download.abort()
        await stub.until(lambda: not stub.open)
    finally:
        await trusting.close()
        await wary.close()
        await stub.stop()
