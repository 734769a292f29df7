"""
Reading the configuration.

One :func:`load` turns text and environment into a frozen :class:`Config`, or refuses
with every problem found. Rooms receive the values that they need, never a Config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from s3proxy import config_values as values
from s3proxy.config_credentials import read_credentials
from s3proxy.config_model import (
    LOG_LEVELS,
    MIN_BUFFER_BYTES,
    SSL_MODES,
    TLS_VERSIONS,
    AuthConfig,
    BackendConfig,
    BackupConfig,
    Config,
    CredentialConfig,
    DatabaseConfig,
    LedgerConfig,
    LoggingConfig,
    MetricsConfig,
    MultipartConfig,
    RateLimitConfig,
    RebalanceConfig,
    ReplicationConfig,
    ScrubConfig,
    ServerConfig,
    SweepConfig,
    TelemetryConfig,
    TlsConfig,
    TracingConfig,
    UiConfig,
    UsageConfig,
    reserved_names,
)
from s3proxy.config_parse import Section, parse_yaml
from s3proxy.errors import ConfigError

__all__ = [
    "AuthConfig",
    "BackendConfig",
    "BackupConfig",
    "Config",
    "CredentialConfig",
    "DatabaseConfig",
    "LedgerConfig",
    "LoggingConfig",
    "MetricsConfig",
    "MultipartConfig",
    "RateLimitConfig",
    "RebalanceConfig",
    "ReplicationConfig",
    "ScrubConfig",
    "ServerConfig",
    "SweepConfig",
    "TelemetryConfig",
    "TlsConfig",
    "TracingConfig",
    "UiConfig",
    "UsageConfig",
    "load",
]


def load(text: str, environ: Mapping[str, str], *, default_data_dir: Path) -> Config:
    """
    Read a configuration.

    :param text: YAML; empty text is a configuration with every default.
    :param environ: Where ``${NAME}`` in its strings is looked up.
    :raises ConfigError: One line per problem, each with the path of its key.
    """
    document = parse_yaml(text)
    problems: list[str] = []
    root = Section("", {} if document is None else document, environ, problems)
    telemetry = _telemetry(root.section("telemetry"))
    auth = _auth(root.section("auth"))
    config = Config(
        data_dir=Path(root.get("data_dir", values.path, str(default_data_dir))),
        server=_server(root.section("server"), telemetry.metrics),
        rate_limit=_rate_limit(root.section("rate_limit")),
        auth=auth,
        credentials=read_credentials(
            root.sections("credentials"),
            auth.access_key_id,
            reserved_names(telemetry.metrics.path),
        ),
        database=_database(root.section("database")) if "database" in root else None,
        backends=_backends(root.sections("backends")),
        telemetry=telemetry,
        logging=_logging(root.section("logging")),
        ledger=_ledger(root.section("ledger")),
        multipart=_multipart(root.section("multipart")),
        ui=_ui(root.section("ui")),
        routing_strategy=root.get("routing_strategy", values.strategy, "pack"),
        replication=(
            _replication(root.section("replication")) if "replication" in root else None
        ),
        rebalance=_rebalance(root.section("rebalance")),
        sweep=_sweep(root.section("sweep")),
        scrub=_scrub(root.section("scrub")),
        backup=_backup(root.section("backup")),
    )
    _check_factor(root, config)
    root.finish()
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _server(section: Section, metrics: MetricsConfig) -> ServerConfig:
    default = ServerConfig()
    count = values.whole("a whole number from 1 to 1000000", 1, 1_000_000)
    workers = section.get(
        "workers", values.whole("a whole number from 1 to 64", 1, 64), default.workers
    )
    least = workers * MIN_BUFFER_BYTES
    server = ServerConfig(
        listen_addr=section.get("listen_addr", values.address, default.listen_addr),
        virtual_bucket=section.get(
            "virtual_bucket", values.bucket_name, default.virtual_bucket
        ),
        max_object_size=section.get(
            "max_object_size",
            values.whole("a whole number of bytes, at least 1", 1),
            default.max_object_size,
        ),
        domain=section.get("domain", values.domains, default.domain),
        require_signed_payload=section.get(
            "require_signed_payload", values.boolean, default.require_signed_payload
        ),
        tls=_tls(section.section("tls")) if "tls" in section else None,
        trusted_proxies=section.get(
            "trusted_proxies", values.networks, default.trusted_proxies
        ),
        workers=workers,
        max_connections=section.get("max_connections", count, default.max_connections),
        max_connections_per_ip=section.get(
            "max_connections_per_ip", count, default.max_connections_per_ip
        ),
        max_requests=section.get("max_requests", count, default.max_requests),
        max_buffer_bytes=section.get(
            "max_buffer_bytes",
            values.whole(
                f"a whole number of bytes, at least {least} ({MIN_BUFFER_BYTES} for "
                "each of server.workers)",
                least,
            ),
            max(default.max_buffer_bytes, least),
        ),
    )
    if server.virtual_bucket in reserved_names(metrics.path):
        section.problem("virtual_bucket", "want another name than a path of the server")
    section.finish()
    return server


def _tls(section: Section) -> TlsConfig:
    tls = TlsConfig(
        cert_file=section.get("cert_file", values.path, "", required=True),
        key_file=section.get("key_file", values.path, "", required=True),
        min_version=section.get("min_version", values.one_of(*TLS_VERSIONS), "1.2"),
    )
    section.finish()
    return tls


def _rate_limit(section: Section) -> RateLimitConfig:
    default = RateLimitConfig()
    rate_limit = RateLimitConfig(
        enabled=section.get("enabled", values.boolean, default.enabled),
        requests_per_sec=section.get(
            "requests_per_sec",
            values.number("a number from 0.001 to 1000000", 0.001, 1e6),
            default.requests_per_sec,
        ),
        burst=section.get(
            "burst",
            values.whole("a whole number from 1 to 1000000", 1, 1_000_000),
            default.burst,
        ),
    )
    section.finish()
    return rate_limit


def _auth(section: Section) -> AuthConfig:
    auth = AuthConfig(
        access_key_id=section.get("access_key_id", values.access_key, None),
        secret_access_key=section.get(
            "secret_access_key", values.trimmed, None, secret=True
        ),
        token=section.get("token", values.header_value, None, secret=True),
    )
    for key, other in (
        ("access_key_id", "secret_access_key"),
        ("secret_access_key", "access_key_id"),
    ):
        if other in section and key not in section:
            section.problem(key, f"is missing, and {other} is given: want both or none")
    section.finish()
    return auth


def _database(section: Section) -> DatabaseConfig:
    default = DatabaseConfig("", 5432, "", "", None)
    count = values.whole("a whole number from 1 to 1000", 1, 1000)
    max_conns = section.get("max_conns", count, default.max_conns)
    database = DatabaseConfig(
        host=section.get("host", values.database_hosts, "", required=True),
        port=section.get("port", values.port, default.port),
        database=section.get("database", values.text, "", required=True),
        user=section.get("user", values.text, "", required=True),
        password=section.get("password", values.text, None, secret=True),
        ssl_mode=section.get("ssl_mode", values.one_of(*SSL_MODES), default.ssl_mode),
        ssl_root_cert=section.get("ssl_root_cert", values.path, None),
        max_conns=max_conns,
        min_conns=section.get(
            "min_conns",
            values.whole("a whole number from 0 to max_conns", 0, max_conns),
            min(default.min_conns, max_conns),
        ),
        max_conn_lifetime_seconds=section.get(
            "max_conn_lifetime", values.duration(), default.max_conn_lifetime_seconds
        ),
        stale_reads=section.get("stale_reads", values.boolean, default.stale_reads),
        stale_reads_limit_seconds=section.get(
            "stale_reads_limit",
            values.duration(),
            default.stale_reads_limit_seconds,
        ),
    )
    if database.stale_reads and "," not in database.host:
        section.problem(
            "stale_reads", "is true, and database.host lists no standby: want host,host"
        )
    section.finish()
    return database


def _backends(sections: Sequence[Section]) -> tuple[BackendConfig, ...]:
    backends = tuple(_backend(section) for section in sections)
    names: dict[str, str] = {}
    places: dict[str, str] = {}
    for section, backend in zip(sections, backends, strict=True):
        first = names.setdefault(backend.name, section.path)
        if backend.name and first != section.path:
            section.problem("name", f"want a name of its own, it is that of {first}")
        first = places.setdefault(backend.identity, section.path)
        if backend.endpoint and backend.bucket and first != section.path:
            section.problem(
                "bucket", f"want a place of its own, endpoint and bucket are of {first}"
            )
    return backends


def _backend(section: Section) -> BackendConfig:
    def required(key: str, convert: values.ToText, *, secret: bool = False) -> str:
        return section.get(key, convert, "", required=True, secret=secret)

    path_style = section.get("force_path_style", values.boolean, False)
    backend = BackendConfig(
        name=required("name", values.word),
        endpoint=required("endpoint", values.endpoint),
        region=section.get("region", values.word, "us-east-1"),
        bucket=required(
            "bucket", values.legacy_bucket_name if path_style else values.bucket_name
        ),
        access_key_id=required("access_key_id", values.access_key),
        secret_access_key=required("secret_access_key", values.trimmed, secret=True),
        force_path_style=path_style,
        quota_bytes=section.get(
            "quota_bytes", values.whole("a whole number of bytes"), 0, required=True
        ),
        max_object_size=section.get(
            "max_object_size",
            values.whole("a whole number of bytes, at least 1", 1),
            None,
        ),
        read_only=section.get("read_only", values.boolean, False),
        weight=section.get(
            "weight", values.number("a number from 0.001 to 1000", 0.001, 1000), 1.0
        ),
        usage=_usage(section.section("usage")),
    )
    section.finish()
    return backend


def _usage(section: Section) -> UsageConfig:
    calls = values.whole("a whole number of calls, at least 1", 1)
    size = values.whole("a whole number of bytes, at least 1", 1)
    usage = UsageConfig(
        class_a=section.get("class_a_per_month", calls, None),
        class_b=section.get("class_b_per_month", calls, None),
        egress_bytes=section.get("egress_bytes_per_month", size, None),
        ingress_bytes=section.get("ingress_bytes_per_month", size, None),
    )
    section.finish()
    return usage


def _telemetry(section: Section) -> TelemetryConfig:
    metrics, tracing = section.section("metrics"), section.section("tracing")
    telemetry = TelemetryConfig(
        metrics=MetricsConfig(
            enabled=metrics.get("enabled", values.boolean, False),
            path=metrics.get("path", values.metrics_path, "/metrics"),
            listen_addr=metrics.get("listen_addr", values.address, None),
        ),
        tracing=TracingConfig(
            enabled=tracing.get("enabled", values.boolean, False),
            endpoint=tracing.get("endpoint", values.target, None),
            insecure=tracing.get("insecure", values.boolean, False),
            sample_rate=tracing.get(
                "sample_rate", values.number("a number from 0 to 1", 0, 1), 1.0
            ),
        ),
    )
    if telemetry.tracing.enabled and "endpoint" not in tracing:
        tracing.problem("endpoint", "is missing, and tracing is enabled")
    for each in (metrics, tracing, section):
        each.finish()
    return telemetry


def _logging(section: Section) -> LoggingConfig:
    default = LoggingConfig()
    logging = LoggingConfig(
        level=section.get("level", values.one_of(*LOG_LEVELS), default.level),
        format=section.get("format", values.one_of("text", "json"), default.format),
    )
    section.finish()
    return logging


def _ledger(section: Section) -> LedgerConfig:
    default = LedgerConfig()
    ledger = LedgerConfig(
        lease_seconds=section.get("lease", values.duration(), default.lease_seconds),
        grace_seconds=section.get(
            "grace", values.duration(zero=True), default.grace_seconds
        ),
        late_seconds=section.get(
            "late", values.duration(zero=True), default.late_seconds
        ),
        collect_interval_seconds=section.get(
            "collect_interval", values.duration(), default.collect_interval_seconds
        ),
    )
    section.finish()
    return ledger


def _multipart(section: Section) -> MultipartConfig:
    default = MultipartConfig()
    multipart = MultipartConfig(
        max_age_seconds=section.get(
            "max_age", values.duration(), default.max_age_seconds
        ),
        cleanup_interval_seconds=section.get(
            "cleanup_interval", values.duration(), default.cleanup_interval_seconds
        ),
    )
    section.finish()
    return multipart


def _ui(section: Section) -> UiConfig:
    default = UiConfig()
    ui = UiConfig(
        enabled=section.get("enabled", values.boolean, default.enabled),
        username=section.get("username", values.login_name, default.username),
        password=section.get("password", values.password, None, secret=True),
    )
    if ui.enabled and "password" not in section:
        section.problem("password", "is missing, and ui is enabled")
    section.finish()
    return ui


def _replication(section: Section) -> ReplicationConfig:
    default = ReplicationConfig()
    count = values.whole("a whole number from 1 to 1000", 1, 1000)
    replication = ReplicationConfig(
        factor=section.get("factor", count, default.factor),
        write_quorum=section.get("write_quorum", count, default.write_quorum),
        worker_interval_seconds=section.get(
            "worker_interval", values.duration(), default.worker_interval_seconds
        ),
        batch_size=section.get("batch_size", count, default.batch_size),
    )
    section.finish()
    if replication.write_quorum > replication.factor:
        section.problem(
            "write_quorum",
            f"want at most replication.factor, which is {replication.factor}: what is "
            f"beyond would be removed again; got {replication.write_quorum}",
        )
    return replication


def _check_factor(root: Section, config: Config) -> None:
    replication = config.replication
    if replication is None or not config.backends:
        return
    if replication.factor > len(config.backends):
        root.problem(
            "replication.factor",
            f"want at most {len(config.backends)}, the number of backends: no two "
            f"copies go to one; got {replication.factor}",
        )


def _sweep(section: Section) -> SweepConfig:
    sweep = SweepConfig(
        interval_seconds=section.get("interval", values.duration(), None),
    )
    section.finish()
    return sweep


def _scrub(section: Section) -> ScrubConfig:
    default = ScrubConfig()
    scrub = ScrubConfig(
        enabled=section.get("enabled", values.boolean, default.enabled),
        bytes_per_day=section.get(
            "bytes_per_day",
            values.whole("a whole number of bytes, at least 1048576", 1048576),
            default.bytes_per_day,
        ),
        interval_seconds=section.get(
            "interval", values.duration(), default.interval_seconds
        ),
    )
    section.finish()
    return scrub


def _backup(section: Section) -> BackupConfig:
    default = BackupConfig()
    backup = BackupConfig(
        enabled=section.get("enabled", values.boolean, default.enabled),
        interval_seconds=section.get(
            "interval", values.duration(), default.interval_seconds
        ),
        keep=section.get(
            "keep", values.whole("a whole number from 1 to 1000", 1, 1000), default.keep
        ),
    )
    section.finish()
    return backup


def _rebalance(section: Section) -> RebalanceConfig:
    default = RebalanceConfig()
    rebalance = RebalanceConfig(
        enabled=section.get("enabled", values.boolean, default.enabled),
        strategy=section.get("strategy", values.strategy, default.strategy),
        interval_seconds=section.get(
            "interval", values.duration(), default.interval_seconds
        ),
        batch_size=section.get(
            "batch_size",
            values.whole("a whole number from 1 to 10000", 1, 10_000),
            default.batch_size,
        ),
        threshold=section.get(
            "threshold", values.number("a number from 0 to 1", 0, 1), default.threshold
        ),
        max_bytes_per_second=section.get(
            "max_bytes_per_second",
            values.whole("a whole number of bytes, at least 65536", 65536),
            default.max_bytes_per_second,
        ),
    )
    section.finish()
    return rebalance
