"""URLs of keys: percent-encoded once, the way that AWS signs them."""

from __future__ import annotations

from attrs import evolve
from hyperlink import EncodedURL
from hypothesis import given

from s3proxy.backend.address import Address
from s3proxy.config import BackendConfig
from s3proxy.s3.target import decode_path
from tests import strategies

CONFIG = BackendConfig(
    name="b",
    endpoint="https://s3.example.org:9000",
    region="us-east-1",
    bucket="buck.et",
    access_key_id="key",
    secret_access_key="secret",
    force_path_style=True,
    quota_bytes=0,
)


@given(strategies.keys())
def test_a_key_in_a_url(key: str) -> None:
    """A key's URL names that key, and treq would not change a byte of it."""
    url = Address(CONFIG).url(key, {"versionId": key})
    prefix = "https://s3.example.org:9000/buck.et/"
    assert url.startswith(prefix)
    path, _, query = url.removeprefix(prefix).partition("?")
    assert decode_path(path.encode()) == key
    assert decode_path(query.encode()) == f"versionId={key}"
    assert EncodedURL.from_text(url).to_uri().to_text() == url


def test_styles_of_addresses() -> None:
    """Path-style has the bucket in the path, virtual-host style in the host."""
    virtual = Address(evolve(CONFIG, force_path_style=False))
    assert virtual.url("/a//b") == "https://buck.et.s3.example.org:9000//a//b"
    assert virtual.url() == "https://buck.et.s3.example.org:9000/"
    assert virtual.url("", {"b": "2", "a": ""}).endswith(":9000/?a=&b=2")
    assert (virtual.host, virtual.port) == ("buck.et.s3.example.org", 9000)
    assert Address(CONFIG).url() == "https://s3.example.org:9000/buck.et"
    plain = Address(evolve(CONFIG, endpoint="http://[::1]"))
    assert (plain.host, plain.port, plain.netloc) == ("::1", 80, "[::1]")
    assert not plain.is_tls
    assert Address(evolve(CONFIG, endpoint="https://h")).port == 443
