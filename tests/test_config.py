"""The configuration: what is taken, and what stands for what is left out."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from s3proxy.config import (
    AuthConfig,
    BackendConfig,
    Config,
    DatabaseConfig,
    LedgerConfig,
    MetricsConfig,
    RateLimitConfig,
    RebalanceConfig,
    ReplicationConfig,
    ServerConfig,
    TelemetryConfig,
    TlsConfig,
    TracingConfig,
)
from tests.config_documents import BACKEND, DATABASE, HERE, OTHER, read

ROOT = Path(__file__).parent.parent
EXAMPLE = (ROOT / "config.example.yaml").read_text("utf-8")

# The example of the specification, word for word.
SPEC = """
server:
  listen_addr: "0.0.0.0:9000"
  virtual_bucket: "unified"

auth:
  access_key_id: "YOUR_ACCESS_KEY"
  secret_access_key: "YOUR_SECRET_KEY"
  token: "optional-legacy-token"

database:
  host: "localhost"
  port: 5432
  database: "s3proxy"
  user: "s3proxy"
  password: "secret"
  ssl_mode: "require"    # require for production

backends:
  - name: "oci"
    endpoint: "https://namespace.compat.objectstorage.region.oraclecloud.com"
    region: "us-phoenix-1"
    bucket: "my-bucket"
    access_key_id: "backend-access-key"
    secret_access_key: "backend-secret-key"
    force_path_style: true    # required for OCI, MinIO, B2
    quota_bytes: 21474836480  # 20 GB

telemetry:
  metrics:
    enabled: true
    path: "/metrics"
  tracing:
    enabled: true
    endpoint: "tempo.service.consul:4317"
    insecure: true
    sample_rate: 1.0
"""


def test_example_of_the_specification() -> None:
    """Every key of the specification's example works exactly."""
    assert read(SPEC) == Config(
        data_dir=HERE,
        server=ServerConfig("0.0.0.0:9000", "unified"),
        auth=AuthConfig("YOUR_ACCESS_KEY", "YOUR_SECRET_KEY", "optional-legacy-token"),
        database=DatabaseConfig(
            "localhost", 5432, "s3proxy", "s3proxy", "secret", "require"
        ),
        backends=(
            BackendConfig(
                "oci",
                "https://namespace.compat.objectstorage.region.oraclecloud.com",
                "us-phoenix-1",
                "my-bucket",
                "backend-access-key",
                "backend-secret-key",
                True,
                21474836480,
            ),
        ),
        telemetry=TelemetryConfig(
            MetricsConfig(True, "/metrics"),
            TracingConfig(True, "tempo.service.consul:4317", True, 1.0),
        ),
    )


def test_defaults() -> None:
    """What is left out has these values; the embedded parts stand in for servers."""
    config = read("")
    assert config == read("{}") == Config(data_dir=HERE)
    assert config.server == ServerConfig("0.0.0.0:9000", "unified", 5 * 1024**3)
    assert (config.server.listen_host, config.server.listen_port) == ("0.0.0.0", 9000)
    assert not config.auth.enabled
    assert config.database is None
    assert config.backends == ()
    assert config.ledger == LedgerConfig(600.0, 60.0, 3600.0, 10.0)
    assert config.telemetry.metrics == MetricsConfig(False, "/metrics")
    assert config.telemetry.tracing == TracingConfig(False, None, False, 1.0)
    database = read({"database": DATABASE}).database
    assert database == DatabaseConfig(
        "db", 5432, "d", "u", None, "disable", None, 10, 5, 3600.0
    )
    backend = read({"backends": [BACKEND]}).backends[0]
    assert backend.region == "us-east-1"
    assert backend.force_path_style is False


def test_example_file_names_every_key() -> None:
    """config.example.yaml loads, and has every field of every class."""
    config = read(EXAMPLE)
    document = yaml.safe_load(EXAMPLE)
    sections: list[tuple[Any, dict[str, Any]]] = [
        (config, document),
        (config.server, document["server"]),
        (config.server.tls, document["server"]["tls"]),
        (config.rate_limit, document["rate_limit"]),
        (config.auth, document["auth"]),
        (config.credentials[0], document["credentials"][0]),
        (config.database, document["database"]),
        (config.backends[0], document["backends"][0]),
        (config.telemetry, document["telemetry"]),
        (config.telemetry.metrics, document["telemetry"]["metrics"]),
        (config.telemetry.tracing, document["telemetry"]["tracing"]),
        (config.ledger, document["ledger"]),
        (config.replication, document["replication"]),
        (config.rebalance, document["rebalance"]),
        (config.sweep, document["sweep"]),
        (config.scrub, document["scrub"]),
        (config.backup, document["backup"]),
    ]
    for value, keys in sections:
        fields = {
            field.name.removesuffix("_seconds") for field in attrs.fields(type(value))
        }
        assert fields - {"location"} == set(keys)


def test_example_file_tells_the_defaults() -> None:
    """What config.example.yaml says about the ledger's defaults is so."""
    assert read(EXAMPLE).ledger == LedgerConfig()
    server = read(EXAMPLE).server
    kept = attrs.evolve(server, domain=(), tls=None, trusted_proxies=())
    assert kept == ServerConfig()
    assert read(EXAMPLE).rate_limit == RateLimitConfig()


def test_secrets_are_not_in_the_repr() -> None:
    text = repr(read(SPEC))
    for secret in ("YOUR_SECRET_KEY", "optional-legacy", "'secret'", "backend-secret"):
        assert secret not in text


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("0.0.0.0:9000", "0.0.0.0", 9000),
        (":9000", "", 9000),
        ("[::1]:9000", "::1", 9000),
        ("[::]:0", "::", 0),
        ("localhost:65535", "localhost", 65535),
        ("my-host.example.com:80", "my-host.example.com", 80),
    ],
)
def test_listen_addresses(address: str, host: str, port: int) -> None:
    server = read({"server": {"listen_addr": address}}).server
    assert (server.listen_host, server.listen_port) == (host, port)


def test_tls() -> None:
    given = {"cert_file": "c.pem", "key_file": "k.pem"}
    assert read({"server": {"tls": given}}).server.tls == TlsConfig("c.pem", "k.pem")
    newest = read({"server": {"tls": {**given, "min_version": "1.3"}}}).server.tls
    assert newest == TlsConfig("c.pem", "k.pem", "1.3")
    assert read({}).server.tls is None


def test_trusted_proxies() -> None:
    given = ["10.0.0.0/8", "::1", "192.168.1.7"]
    server = read({"server": {"trusted_proxies": given}}).server
    assert [str(each) for each in server.trusted_proxies] == [
        "10.0.0.0/8",
        "::1/128",
        "192.168.1.7/32",
    ]


def test_many_workers_raise_the_default_of_buffers() -> None:
    """So that each has its least."""
    assert read({"server": {"workers": 8}}).server.max_buffer_bytes == 256 * 1024**2
    assert read({"server": {"workers": 64}}).server.max_buffer_bytes == 1024**3


def test_a_rate_below_one() -> None:
    limit = read({"rate_limit": {"enabled": True, "requests_per_sec": 0.5}}).rate_limit
    assert limit == RateLimitConfig(True, 0.5, 200)


@pytest.mark.parametrize(
    ("given_domain", "kept"),
    [
        ("s3.example.com", ("s3.example.com",)),
        ("S3.Example.COM", ("s3.example.com",)),
        ("localhost", ("localhost",)),
        (["s3.example.com", "s3.lan"], ("s3.example.com", "s3.lan")),
    ],
)
def test_domains(given_domain: object, kept: tuple[str, ...]) -> None:
    assert read({"server": {"domain": given_domain}}).server.domain == kept


@pytest.mark.parametrize(
    ("given_url", "kept"),
    [
        ("https://S3.Example.COM/", "https://s3.example.com"),
        ("https://s3.example.com:443", "https://s3.example.com"),
        ("http://s3.example.com:80", "http://s3.example.com"),
        ("http://s3.example.com:443", "http://s3.example.com:443"),
        ("HTTP://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://[::1]:9000/", "http://[::1]:9000"),
        ("http://[0:0::1]", "http://[::1]"),
        ("http://under_score.local", "http://under_score.local"),
    ],
)
def test_endpoints(given_url: str, kept: str) -> None:
    config = read({"backends": [{**BACKEND, "endpoint": given_url}]})
    assert config.backends[0].endpoint == kept


def test_identity_is_endpoint_and_bucket_not_name() -> None:
    """Names and schemes do not matter; a location set in code stands for both."""
    backend = read({"backends": [BACKEND]}).backends[0]
    assert backend.identity == "127.0.0.1:9001/first"
    renamed = read({"backends": [{**BACKEND, "name": "x"}]}).backends[0]
    assert renamed.identity == backend.identity
    assert attrs.evolve(backend, location="embedded:a").identity == "embedded:a"


@pytest.mark.parametrize(
    "host", ["db", "db1,db2", "10.0.0.1", "::1", "/run/postgresql"]
)
def test_database_hosts(host: str) -> None:
    config = read({"database": {**DATABASE, "host": host}})
    assert config.database is not None
    assert config.database.host == host


def test_blanks_between_database_hosts_are_dropped() -> None:
    config = read({"database": {**DATABASE, "host": "db1, db2 ,db3"}})
    assert config.database is not None
    assert config.database.host == "db1,db2,db3"


def test_fewer_connections_than_the_default_minimum() -> None:
    config = read({"database": {**DATABASE, "max_conns": 3}})
    assert config.database is not None
    assert (config.database.max_conns, config.database.min_conns) == (3, 3)


def test_legacy_bucket_names_go_with_path_style() -> None:
    named = {**BACKEND, "bucket": "My_Bucket", "force_path_style": True}
    assert read({"backends": [named]}).backends[0].bucket == "My_Bucket"


def test_token_alone_is_authentication() -> None:
    auth = read({"auth": {"token": "t"}}).auth
    assert auth == AuthConfig(None, None, "t")
    assert auth.enabled
    assert not read({"auth": {}}).auth.enabled


def test_routing() -> None:
    """Of each backend, and of all."""
    one = {**BACKEND, "max_object_size": 5, "read_only": True, "weight": 2}
    config = read({"backends": [one, OTHER], "routing_strategy": "spread"})
    first, second = config.backends
    assert (first.max_object_size, first.read_only, first.weight) == (5, True, 2.0)
    assert (second.max_object_size, second.read_only, second.weight) == (None, False, 1)
    assert config.routing_strategy == "spread"
    assert read("{}").routing_strategy == "pack"


def test_replication_and_rebalance() -> None:
    """Left out, read, and their defaults."""
    assert read("{}").replication is None
    assert read("{}").rebalance == RebalanceConfig(False, "pack", 21600.0, 100, 0.1)
    config = read(
        {
            "backends": [BACKEND, OTHER],
            "replication": {"factor": 2, "write_quorum": 2},
            "rebalance": {"enabled": True, "strategy": "spread"},
        }
    )
    assert config.replication == ReplicationConfig(2, 2, 300.0, 50)
    assert (config.rebalance.enabled, config.rebalance.strategy) == (True, "spread")


def test_no_quota_is_zero() -> None:
    config = read({"backends": [{**BACKEND, "quota_bytes": 0}]})
    assert config.backends[0].quota_bytes == 0


def test_anchors_and_merges_work() -> None:
    config = read(
        """
        backends:
          - &one {name: one, endpoint: "http://h", bucket: aaa, access_key_id: k,
                  secret_access_key: s, quota_bytes: 1}
          - &two {<<: *one, name: two, bucket: bbb}
          - {<<: *two, name: three, bucket: ccc}
        """
    )
    assert [backend.bucket for backend in config.backends] == ["aaa", "bbb", "ccc"]


def test_the_documentation_names_every_key() -> None:
    """docs/configuration.md has a row for each key of config.example.yaml."""
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    rows = set(re.findall(r"^\| `([a-z_.\[\]]+)`", page, re.MULTILINE))

    def paths(value: dict[str, Any], prefix: str = "") -> set[str]:
        found: set[str] = set()
        for key, inner in value.items():
            if key == "buckets":
                found.add(f"{prefix}{key}")
                for keys in inner.values():
                    found |= paths(keys, f"{prefix}{key}.name.")
            elif isinstance(inner, dict):
                found |= paths(inner, f"{prefix}{key}.")
            elif isinstance(inner, list) and isinstance(inner[0], dict):
                found |= paths(inner[0], f"{prefix}{key}[].")
            else:
                found.add(f"{prefix}{key}")
        return found

    assert rows == paths(yaml.safe_load(EXAMPLE))


@pytest.mark.parametrize(
    "module",
    ["config", "config_credentials", "config_model", "config_parse", "config_values"],
)
def test_pure(module: str) -> None:
    """Reading a configuration needs no reactor, clock or network."""
    tree = ast.parse((ROOT / "s3proxy" / f"{module}.py").read_text())
    roots = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not roots & {
        "twisted",
        "klein",
        "treq",
        "txpostgres",
        "time",
        "random",
        "os",
    }
