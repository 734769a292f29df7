"""What a configuration is refused for: the path of the key, and no secret."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.config_documents import BACKEND, DATABASE, OTHER, problems, read

# Section, keys put into it, and how the message begins: path, what it wants.
REFUSALS: list[tuple[str, dict[str, Any], str, str]] = [
    ("", {"sever": {}}, "sever", "unknown key, want one of auth, backends,"),
    ("", {"server": None}, "server", "want keys with values, got nothing"),
    ("", {"server": ["x"]}, "server", "want keys with values, got a list"),
    ("", {"auth": "hidden"}, "auth", "want keys with values, got text"),
    ("", {"backends": None}, "backends", "want a list of at least one, got nothing"),
    (
        "",
        {"backends": []},
        "backends",
        "want a list of at least one, got an empty list",
    ),
    ("", {"backends": {}}, "backends", "want a list of at least one, got keys with"),
    ("", {"backends": ["x"]}, "backends[0]", "want keys with values, got text"),
    ("replication", {"factor": 3}, "replication.factor", "want at most 2, the number"),
    (
        "replication",
        {"factor": 1, "write_quorum": 2},
        "replication.write_quorum",
        "want at most replication.factor, which is 1",
    ),
    ("replication", {"factor": 0}, "replication.factor", "want a whole number from 1"),
    ("rebalance", {"threshold": 2}, "rebalance.threshold", "want a number from 0 to 1"),
    (
        "rebalance",
        {"max_bytes_per_second": 1},
        "rebalance.max_bytes_per_second",
        "want a",
    ),
    ("", {"routing_strategy": "fair"}, "routing_strategy", "want one of pack, spread"),
    ("", {"data_dir": ""}, "data_dir", "want text in quotes, not empty"),
    ("", {"data_dir": "~/x"}, "data_dir", "want a path without ~ (${HOME} is"),
    ("server", {"port": 1}, "server.port", "unknown key, want one of domain,"),
    ("server", {"listen_addr": 9000}, "server.listen_addr", 'want "host:port"'),
    ("server", {"virtual_bucket": "Up"}, "server.virtual_bucket", "want a bucket name"),
    ("server", {"virtual_bucket": "a"}, "server.virtual_bucket", "want a bucket name"),
    ("server", {"virtual_bucket": "a..b"}, "server.virtual_bucket", "want a bucket"),
    ("server", {"virtual_bucket": "a/bc"}, "server.virtual_bucket", "want a bucket"),
    ("server", {"virtual_bucket": "1.2.3.4"}, "server.virtual_bucket", "want a bucket"),
    ("server", {"virtual_bucket": "-abc"}, "server.virtual_bucket", "want a bucket"),
    ("server", {"virtual_bucket": "a" * 64}, "server.virtual_bucket", "want a bucket"),
    ("server", {"virtual_bucket": "health"}, "server.virtual_bucket", "want another"),
    ("server", {"virtual_bucket": "metrics"}, "server.virtual_bucket", "want another"),
    (
        "server",
        {"require_signed_payload": "yes"},
        "server.require_signed_payload",
        "want true or false",
    ),
    ("server", {"max_object_size": 0}, "server.max_object_size", "want a whole number"),
    ("server", {"max_object_size": True}, "server.max_object_size", "want a whole"),
    ("server", {"max_object_size": 1.5}, "server.max_object_size", "want a whole"),
    ("server", {"max_object_size": 2**63}, "server.max_object_size", "want a whole"),
    ("server", {"tls": None}, "server.tls", "want keys with values, got nothing"),
    ("server", {"tls": {"key_file": "k"}}, "server.tls.cert_file", "is missing"),
    ("server", {"tls": {"cert_file": "c"}}, "server.tls.key_file", "is missing"),
    (
        "server",
        {"tls": {"cert_file": "c", "key_file": "k", "min_version": 1.2}},
        "server.tls.min_version",
        "want one of 1.2, 1.3",
    ),
    (
        "server",
        {"tls": {"cert_file": "c", "key_file": "k", "pass": "x"}},
        "server.tls.pass",
        "unknown key, want one of cert_file,",
    ),
    *(
        ("server", {"trusted_proxies": value}, "server.trusted_proxies", "want a list")
        for value in ("10.0.0.0/8", ["10.0.0.1/8"], ["proxy"], [7], {"a": "b"}, None)
    ),
    *(
        ("server", {key: value}, f"server.{key}", "want a whole number from 1")
        for key in ("max_connections", "max_connections_per_ip", "max_requests")
        for value in (0, -1, 1.5, "many", 10**7)
    ),
    (
        "server",
        {"max_buffer_bytes": 1024},
        "server.max_buffer_bytes",
        "want a whole number of bytes, at least 16777216",
    ),
    *(
        ("server", {"workers": value}, "server.workers", "want a whole number from 1")
        for value in (0, 65, 1.5, "two", None)
    ),
    (
        "server",
        {"workers": 3, "max_buffer_bytes": 3 * 16777216 - 1},
        "server.max_buffer_bytes",
        "want a whole number of bytes, at least 50331648 (16777216 for each of",
    ),
    ("", {"rate_limit": []}, "rate_limit", "want keys with values, got a list"),
    ("", {"rate_limit": {"enabled": 1}}, "rate_limit.enabled", "want true or false"),
    ("", {"rate_limit": {"burst": 0}}, "rate_limit.burst", "want a whole number from"),
    *(
        (
            "",
            {"rate_limit": {"requests_per_sec": value}},
            "rate_limit.requests_per_sec",
            "want a number from 0.001",
        )
        for value in (0, -1, "fast", float("inf"), float("nan"))
    ),
    (
        "",
        {"telemetry": {"metrics": {"listen_addr": 9100}}},
        "telemetry.metrics.listen_addr",
        'want "host:port"',
    ),
    ("server", {"domain": ""}, "server.domain", "want the name of this server,"),
    ("server", {"domain": []}, "server.domain", "want the name of this server,"),
    ("server", {"domain": [1]}, "server.domain", "want the name of this server,"),
    ("server", {"domain": "a.b:9000"}, "server.domain", "want the name of this"),
    ("server", {"domain": "*.a.b"}, "server.domain", "want the name of this server"),
    ("server", {"domain": "a.b."}, "server.domain", "want the name of this server,"),
    ("server", {"domain": "127.0.0.1"}, "server.domain", "want the name of this"),
    ("server", {"domain": ["a.b", "A.b"]}, "server.domain", "want the name of this"),
    ("auth", {"token": ""}, "auth.token", "want text in quotes, not empty"),
    ("auth", {"token": " x"}, "auth.token", "want text without blanks at its ends"),
    ("auth", {"token": "é"}, "auth.token", "want text in ASCII, got text"),
    ("auth", {"token": 17}, "auth.token", "want text in quotes, not empty"),
    (
        "auth",
        {"access_key_id": "x"},
        "auth.secret_access_key",
        "is missing, and access",
    ),
    (
        "auth",
        {"secret_access_key": "x"},
        "auth.access_key_id",
        "is missing, and secret",
    ),
    ("database", {"host": ""}, "database.host", "want host names, addresses or"),
    ("database", {"host": "a,,b"}, "database.host", "want host names, addresses or"),
    ("database", {"host": "db:5432"}, "database.host", "want host names, addresses or"),
    ("database", {"host": "postgres://u:hidden@h"}, "database.host", "want host names"),
    ("database", {"port": 0}, "database.port", "want a port number from 1 to 65535"),
    (
        "database",
        {"port": 65536},
        "database.port",
        "want a port number from 1 to 65535",
    ),
    ("database", {"port": "5432"}, "database.port", "want a port number from 1 to"),
    ("database", {"user": None}, "database.user", "want text in quotes, not empty"),
    ("database", {"database": "a\nb"}, "database.database", "want text in quotes"),
    ("database", {"password": ""}, "database.password", "want text in quotes, not"),
    ("database", {"password": "hidden\n"}, "database.password", "want text in quotes"),
    ("database", {"password": 12345}, "database.password", "want text in quotes, not"),
    ("database", {"ssl_mode": "on"}, "database.ssl_mode", "want one of disable, allow"),
    ("database", {"ssl_root_cert": "~/a"}, "database.ssl_root_cert", "want a path"),
    ("database", {"max_conns": 0}, "database.max_conns", "want a whole number from 1"),
    ("database", {"min_conns": 11}, "database.min_conns", "want a whole number from 0"),
    (
        "database",
        {"stale_reads": True},
        "database.stale_reads",
        "is true, and database.host lists no standby: want host,host",
    ),
    ("database", {"max_conn_lifetime": 0}, "database.max_conn_lifetime", "want a dur"),
    ("database", {"pool": 1}, "database.pool", "unknown key, want one of database,"),
    ("backend", {"name": ""}, "backends[1].name", "want 1 to 63 letters, digits"),
    ("backend", {"name": "a b"}, "backends[1].name", "want 1 to 63 letters, digits"),
    ("backend", {"name": 7}, "backends[1].name", "want 1 to 63 letters, digits"),
    ("backend", {"name": "one"}, "backends[1].name", "want a name of its own, it is"),
    ("backend", {"region": ""}, "backends[1].region", "want 1 to 63 letters, digits"),
    (
        "backend",
        {"region": "a/b"},
        "backends[1].region",
        "want 1 to 63 letters, digits",
    ),
    ("backend", {"bucket": "first"}, "backends[1].bucket", "want a place of its own"),
    ("backend", {"bucket": "Big"}, "backends[1].bucket", "want a bucket name: 3 to 63"),
    ("backend", {"access_key_id": ""}, "backends[1].access_key_id", "want text in"),
    ("backend", {"access_key_id": "a/b"}, "backends[1].access_key_id", "want visible"),
    (
        "backend",
        {"secret_access_key": ""},
        "backends[1].secret_access_key",
        "want text",
    ),
    ("backend", {"secret_access_key": 5}, "backends[1].secret_access_key", "want text"),
    (
        "backend",
        {"force_path_style": "true"},
        "backends[1].force_path_style",
        "want tr",
    ),
    (
        "backend",
        {"force_path_style": 1},
        "backends[1].force_path_style",
        "want true or",
    ),
    ("backend", {"quota_bytes": -1}, "backends[1].quota_bytes", "want a whole number"),
    ("backend", {"quota_bytes": 1e9}, "backends[1].quota_bytes", "want a whole number"),
    ("backend", {"location": "x"}, "backends[1].location", "unknown key, want one of"),
    ("telemetry", {"metric": {}}, "telemetry.metric", "unknown key, want one of"),
    ("metrics", {"enabled": "yes"}, "telemetry.metrics.enabled", "want true or false"),
    ("metrics", {"path": "metrics"}, "telemetry.metrics.path", "want a path such as"),
    ("metrics", {"path": "/health"}, "telemetry.metrics.path", "want a path such as"),
    (
        "metrics",
        {"path": "/unified"},
        "server.virtual_bucket",
        "want another name than",
    ),
    ("metrics", {"port": 1}, "telemetry.metrics.port", "unknown key, want one of"),
    (
        "tracing",
        {"enabled": True},
        "telemetry.tracing.endpoint",
        "is missing, and trac",
    ),
    (
        "tracing",
        {"endpoint": ":4317"},
        "telemetry.tracing.endpoint",
        'want "host:port"',
    ),
    ("tracing", {"endpoint": "h:0"}, "telemetry.tracing.endpoint", 'want "host:port"'),
    ("tracing", {"insecure": None}, "telemetry.tracing.insecure", "want true or false"),
    (
        "tracing",
        {"sample_rate": 2},
        "telemetry.tracing.sample_rate",
        "want a number fr",
    ),
    (
        "tracing",
        {"sample_rate": True},
        "telemetry.tracing.sample_rate",
        "want a number",
    ),
    ("ledger", {"lease": 0}, "ledger.lease", "want a duration greater than 0 such as"),
    ("ledger", {"lease": "10 m"}, "ledger.lease", "want a duration greater than 0"),
    ("ledger", {"lease": "ten"}, "ledger.lease", "want a duration greater than 0"),
    ("ledger", {"lease": True}, "ledger.lease", "want a duration greater than 0"),
    ("ledger", {"grace": -1}, "ledger.grace", "want a duration of 0 or more such as"),
    ("ledger", {"late": "400d"}, "ledger.late", "want a duration of 0 or more such as"),
    (
        "ledger",
        {"collect_interval": "0s"},
        "ledger.collect_interval",
        "want a duration",
    ),
    ("sweep", {"interval": 0}, "sweep.interval", "want a duration"),
    ("backup", {"interval": 0}, "backup.interval", "want a duration"),
    ("backup", {"keep": 0}, "backup.keep", "want a whole number from 1 to 1000"),
    ("scrub", {"bytes_per_day": 1}, "scrub.bytes_per_day", "want a whole number of"),
    ("ledger", {"rent": "1m"}, "ledger.rent", "unknown key, want one of collect_"),
]


@pytest.mark.parametrize(("section", "keys", "path", "want"), REFUSALS)
def test_refusals(section: str, keys: dict[str, Any], path: str, want: str) -> None:
    """One wrong key in a right document gives one line: its path, what it wants."""
    document: dict[str, Any] = {
        "database": dict(DATABASE),
        "backends": [dict(BACKEND), dict(OTHER)],
        "telemetry": {"metrics": {}, "tracing": {}},
        "server": {},
        "auth": {},
        "ledger": {},
        "replication": {},
        "rebalance": {},
        "sweep": {},
        "scrub": {},
        "backup": {},
    }
    read(copy.deepcopy(document))
    at = {
        "": document,
        "backend": document["backends"][1],
        **document["telemetry"],
    }.get(section)
    (at if at is not None else document[section]).update(keys)
    [line] = problems(document)
    assert line.startswith(f"{path}: {want}")
    assert "hidden" not in line


@pytest.mark.parametrize("key", ["host", "database", "user"])
def test_what_a_database_needs(key: str) -> None:
    section = {name: value for name, value in DATABASE.items() if name != key}
    assert problems({"database": section}) == [f"database.{key}: is missing"]


@pytest.mark.parametrize("key", sorted(BACKEND))
def test_what_a_backend_needs(key: str) -> None:
    section = {name: value for name, value in BACKEND.items() if name != key}
    assert problems({"backends": [section]}) == [f"backends[0].{key}: is missing"]


def test_message_of_the_style_guide() -> None:
    backends = [BACKEND, {**OTHER, "quota_bytes": "20GB"}]
    assert problems({"backends": backends}) == [
        "backends[1].quota_bytes: want a whole number of bytes, got '20GB'"
    ]


@pytest.mark.parametrize(
    "address",
    [
        "9000",
        "host",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "::1:9000",
        "[::1]",
        "[1.2.3.4]:9",
        "a b:9",
        "http://h:9",
        "h:9/x",
        "[::g]:9",
        "h:0x9",
        "h:123456",
    ],
)
def test_bad_listen_addresses(address: str) -> None:
    [line] = problems({"server": {"listen_addr": address}})
    assert line.startswith('server.listen_addr: want "host:port", ":port" or ')
    assert line.endswith(f"got {address!r}")


@pytest.mark.parametrize(
    "url",
    [
        "s3.example.com",
        "ftp://h",
        "http://",
        "http://h/path",
        "http://h?x",
        "http://h#",
        "http://h:0",
        "http://h:99999",
        "http://h:x",
        "http://a b",
        "http://h\\x",
        "x:",
        "http://[::1",
        "http://-h",
        "http://h..x",
        "https:///b",
        "http://é.example",
    ],
)
def test_bad_endpoints(url: str) -> None:
    [line] = problems({"backends": [{**BACKEND, "endpoint": url}]})
    assert line.startswith("backends[0].endpoint: want a URL of scheme, host and port")


def test_password_in_an_endpoint_is_not_repeated() -> None:
    url = "https://user:hunter2@s3.example.com"
    [line] = problems({"backends": [{**BACKEND, "endpoint": url}]})
    assert "hunter2" not in line


def test_all_problems_at_once() -> None:
    lines = problems({"server": {"listen_addr": 1}, "ledger": {"lease": 0}, "x": 1})
    assert [line.partition(":")[0] for line in lines] == [
        "server.listen_addr",
        "ledger.lease",
        "x",
    ]


def test_same_place_in_two_spellings() -> None:
    """Two names for one bucket would count its room twice."""
    again = {**BACKEND, "name": "two", "endpoint": "HTTP://127.0.0.1:9001/"}
    [line] = problems({"backends": [BACKEND, again]})
    assert line.startswith("backends[1].bucket: want a place of its own")


def test_sections_that_may_be_absent_are_named_too() -> None:
    """A slip in the name of one that the reader would have passed over."""
    assert ", data_dir, database, " in problems({"databse": {}})[0]
    assert ", require_signed_payload, tls, " in problems({"server": {"tsl": {}}})[0]
