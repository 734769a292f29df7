"""
The configuration: what can be set, what it means, and what it is when left out.

Frozen values with every default; :mod:`s3proxy.config` reads them from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from attrs import field, frozen

from s3proxy.config_values import Network, split_address
from s3proxy.model import CopyCount, Grant

#: Where bytes go: to the first backend with room, or to the one filled the least.
Strategy = Literal["pack", "spread"]

SSL_MODES: Final = (
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
)


#: The least ``max_buffer_bytes`` of one process: sixteen large transfers.
MIN_BUFFER_BYTES: Final = 16 * 1024**2

#: Oldest version of TLS that is spoken.
TLS_VERSIONS: Final = ("1.2", "1.3")


@frozen
class TlsConfig:
    """
    What TLS clients are shown.

    :ivar cert_file: PEM: the certificate, then those between it and its authority.
    :ivar key_file: PEM, without a pass phrase.
    :ivar min_version: One of :data:`TLS_VERSIONS`.
    """

    cert_file: str
    key_file: str
    min_version: str = "1.2"


@frozen
class RateLimitConfig:
    """
    Requests of one client address.

    :ivar requests_per_sec: What an address may send in the long run.
    :ivar burst: What it may send at once, when it has been silent.
    """

    enabled: bool = False
    requests_per_sec: float = 100.0
    burst: int = 200


@frozen
class ServerConfig:
    """
    The front door.

    :ivar listen_addr: ``host:port``, ``:port`` (every IPv4 address) or
        ``[IPv6]:port``; port 0 takes a free one.
    :ivar virtual_bucket: The bucket of :class:`AuthConfig`'s key and token.
    :ivar max_object_size: The largest accepted body, in bytes.
    :ivar domain: Names of this server below which ``<bucket>.<name>`` is a bucket's
        own host; lower-case. None: the bucket is always in the path.
    :ivar require_signed_payload: Refuse signed requests over plain HTTP whose bodies
        are not signed.
    :ivar tls: None = plain HTTP.
    :ivar trusted_proxies: Whose ``X-Forwarded-For`` is believed.
    :ivar workers: Processes that serve; 1 = the daemon's own.
    :ivar max_connections: Of all clients together.
    :ivar max_connections_per_ip: Of one address that is no trusted proxy's.
    :ivar max_requests: At work at once.
    :ivar max_buffer_bytes: What transfers under way may hold in memory, at worst.
    """

    listen_addr: str = "0.0.0.0:9000"
    virtual_bucket: str = "unified"
    max_object_size: int = 5 * 1024**3
    domain: tuple[str, ...] = ()
    require_signed_payload: bool = False
    tls: TlsConfig | None = None
    trusted_proxies: tuple[Network, ...] = ()
    workers: int = 1
    max_connections: int = 4000
    max_connections_per_ip: int = 1000
    max_requests: int = 1000
    max_buffer_bytes: int = 256 * 1024**2

    @property
    def listen_host(self) -> str:
        """Host of *listen_addr*; ``""`` for every one, IPv6 without brackets."""
        return split_address(self.listen_addr)[0]

    @property
    def listen_port(self) -> int:
        """Port of *listen_addr*."""
        return split_address(self.listen_addr)[1]


@frozen
class AuthConfig:
    """
    What the owner of ``server.virtual_bucket`` must show, and nothing else is theirs.

    :ivar access_key_id: For SigV4; comes with its secret or not at all.
    :ivar token: For the ``X-Proxy-Token`` header.
    """

    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def enabled(self) -> bool:
        """Whether there is a key or a token."""
        return self.access_key_id is not None or self.token is not None


@frozen
class CredentialConfig:
    """
    A key pair beside that of :class:`AuthConfig`.

    :ivar create_buckets: Whether it may make buckets, which are then its own.
    :ivar buckets: What it may do with which configured bucket.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    create_buckets: bool = False
    buckets: Mapping[str, Grant] = field(factory=dict)


@frozen
class DatabaseConfig:
    """
    The ledger's PostgreSQL.

    :ivar host: One or several, parted by commas, as libpq takes them; a directory is
        that of a Unix socket.
    :ivar password: None where the server asks for none.
    :ivar ssl_mode: libpq's ``sslmode``.
    :ivar ssl_root_cert: libpq's ``sslrootcert``: the file of the authority.
    :ivar max_conns: Connections of one process, at most.
    :ivar min_conns: Connections to keep open when idle.
    :ivar max_conn_lifetime_seconds: Age at which a connection is closed and replaced.
    :ivar stale_reads: While the primary is away, reads go on from a standby.
    :ivar stale_reads_limit_seconds: Not from one that is further behind; None: any.
    """

    host: str
    port: int
    database: str
    user: str
    password: str | None = field(repr=False)
    ssl_mode: str = "disable"
    ssl_root_cert: str | None = None
    max_conns: int = 10
    min_conns: int = 5
    max_conn_lifetime_seconds: float = 3600.0
    stale_reads: bool = False
    stale_reads_limit_seconds: float | None = None


@frozen
class UsageConfig:
    """
    What a backend may be used for in a calendar month, UTC; None: without a limit.

    :ivar class_a: PUT, COPY, POST and LIST calls.
    :ivar class_b: GET and HEAD calls. A DELETE is of no class.
    :ivar egress_bytes: Bytes of objects that come from it.
    :ivar ingress_bytes: Bytes of objects that go to it.
    """

    class_a: int | None = None
    class_b: int | None = None
    egress_bytes: int | None = None
    ingress_bytes: int | None = None

    @property
    def limits(self) -> dict[str, int]:
        """Those that there are, by their names."""
        limits = {
            "class_a": self.class_a,
            "class_b": self.class_b,
            "egress_bytes": self.egress_bytes,
            "ingress_bytes": self.ingress_bytes,
        }
        return {kind: limit for kind, limit in limits.items() if limit is not None}


@frozen
class BackendConfig:
    """
    One bucket of one S3 account.

    :ivar endpoint: Scheme, host and port, lower-case, no default port, no path.
    :ivar quota_bytes: Bytes that may be stored there; 0 = no limit.
    :ivar max_object_size: The largest body that goes there, in bytes; None: any.
    :ivar read_only: Nothing new goes there; what is there is read, and deleted.
    :ivar weight: With ``spread``: one of weight 2 is filled twice as far as one of 1.
    :ivar usage: Budgets for each month.
    :ivar location: Names the storage where the endpoint does not (an embedded server
        whose port changes). Cannot be set in a file.
    """

    name: str
    endpoint: str
    region: str
    bucket: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    force_path_style: bool
    quota_bytes: int
    location: str | None = None
    max_object_size: int | None = None
    read_only: bool = False
    weight: float = 1.0
    usage: UsageConfig = UsageConfig()

    @property
    def identity(self) -> str:
        """What this backend is, whatever its name: *location*, or host and bucket."""
        return self.location or f"{self.endpoint.partition('//')[2]}/{self.bucket}"


@frozen
class MetricsConfig:
    """
    Prometheus metrics.

    :ivar path: Where they are served.
    :ivar listen_addr: A listener of their own; None = beside S3, for every client.
    """

    enabled: bool = False
    path: str = "/metrics"
    listen_addr: str | None = None


@frozen
class TracingConfig:
    """
    OpenTelemetry tracing.

    :ivar endpoint: ``host:port`` of an OTLP/gRPC collector.
    :ivar insecure: Without TLS.
    :ivar sample_rate: Share of requests that are traced, 0 to 1.
    """

    enabled: bool = False
    endpoint: str | None = None
    insecure: bool = False
    sample_rate: float = 1.0


@frozen
class TelemetryConfig:
    """Metrics and tracing."""

    metrics: MetricsConfig = MetricsConfig()
    tracing: TracingConfig = TracingConfig()


#: From the least serious on.
LOG_LEVELS = ("debug", "info", "warn", "error", "critical")


@frozen
class LoggingConfig:
    """
    The log of the daemon.

    :ivar level: The least that is written: debug, info, warn, error or critical.
    :ivar format: ``text`` or ``json``, a line each.
    """

    level: str = "info"
    format: str = "text"


@frozen
class LedgerConfig:
    """
    The ledger's clocks, in seconds.

    :ivar lease_seconds: How long an upload's claim stands without an extension.
    :ivar grace_seconds: How long replaced and deleted bytes stay for readers.
    :ivar late_seconds: When what may have landed late is deleted a second time.
    :ivar collect_interval_seconds: Between two rounds of the collector.
    """

    lease_seconds: float = 600.0
    grace_seconds: float = 60.0
    late_seconds: float = 3600.0
    collect_interval_seconds: float = 10.0


@frozen
class MultipartConfig:
    """
    :ivar max_age_seconds: Age at which an open upload is aborted.
    :ivar cleanup_interval_seconds: Between two looks for such uploads.
    """

    max_age_seconds: float = 24 * 3600.0
    cleanup_interval_seconds: float = 3600.0


@frozen
class ReplicationConfig:
    """
    How many copies there are of each part of each object.

    :ivar factor: So many, each on another backend.
    :ivar write_quorum: So many of them have to be stored before a client is told that
        its write is done. With 1 a body goes to one backend, with more to as many as
        *factor* says at once.
    :ivar worker_interval_seconds: Between two rounds that make missing copies and
        remove those beyond.
    :ivar batch_size: Parts that are taken at once.
    """

    factor: int = 1
    write_quorum: int = 1
    worker_interval_seconds: float = 300.0
    batch_size: int = 50

    @property
    def count(self) -> CopyCount:
        """To how many backends a body goes."""
        if self.write_quorum == 1:
            return CopyCount()
        return CopyCount(self.write_quorum, self.factor)


@frozen
class RebalanceConfig:
    """
    Moves of copies between backends.

    :ivar strategy: ``pack``: towards the first backends of the list; ``spread``:
        towards the ones that are filled the least.
    :ivar interval_seconds: Between two rounds.
    :ivar batch_size: Moves that are planned at once.
    :ivar threshold: ``spread``: the difference between the fullest and the emptiest
        backend, as shares of their quotas, that is left alone. ``pack``: the share of a
        quota that is left free.
    :ivar max_bytes_per_second: All moves together; None: as fast as it goes.
    """

    enabled: bool = False
    strategy: Strategy = "pack"
    interval_seconds: float = 6 * 3600.0
    batch_size: int = 100
    threshold: float = 0.1
    max_bytes_per_second: int | None = None


@frozen
class SweepConfig:
    """
    Looking for what is on the backends and not in the ledger.

    :ivar interval_seconds: Between two sweeps that only report; None: there are none.
    """

    interval_seconds: float | None = None


@frozen
class ScrubConfig:
    """
    Reading copies back, to see whether they are still what they were.

    :ivar bytes_per_day: No more than that is read on a day, of all backends and by all
        processes together, and of the last copy what is too much is saved later.
    :ivar interval_seconds: Between two rounds.
    """

    enabled: bool = False
    bytes_per_day: int = 10 * 1024**3
    interval_seconds: float = 600.0


@frozen
class BackupConfig:
    """
    Copies of the ledger on the backends.

    :ivar enabled: Whether daemons make them.
    :ivar interval_seconds: Between two.
    :ivar keep: So many stay; older ones are deleted once a new one is there.
    """

    enabled: bool = False
    interval_seconds: float = 86400.0
    keep: int = 7


@frozen
class UiConfig:
    """
    The status page at ``/ui``.

    :ivar username: For its own login.
    :ivar password: None only where it is not enabled.
    """

    enabled: bool = False
    username: str = "admin"
    password: str | None = field(default=None, repr=False)


@frozen
class Config:
    """
    Everything.

    :ivar database: None = the embedded PostgreSQL.
    :ivar backends: In order of preference; empty = the embedded ones.
    :ivar routing_strategy: ``pack``: the first with room; ``spread``: the least full.
    :ivar replication: None = one copy of new parts, and what has more keeps them.
    :ivar data_dir: Where the embedded servers and generated keys live.
    """

    data_dir: Path
    server: ServerConfig = ServerConfig()
    rate_limit: RateLimitConfig = RateLimitConfig()
    auth: AuthConfig = AuthConfig()
    credentials: tuple[CredentialConfig, ...] = ()
    database: DatabaseConfig | None = None
    backends: tuple[BackendConfig, ...] = ()
    telemetry: TelemetryConfig = TelemetryConfig()
    logging: LoggingConfig = LoggingConfig()
    ledger: LedgerConfig = LedgerConfig()
    multipart: MultipartConfig = MultipartConfig()
    ui: UiConfig = UiConfig()
    routing_strategy: Strategy = "pack"
    replication: ReplicationConfig | None = None
    rebalance: RebalanceConfig = RebalanceConfig()
    sweep: SweepConfig = SweepConfig()
    scrub: ScrubConfig = ScrubConfig()
    backup: BackupConfig = BackupConfig()

    @property
    def authenticates(self) -> bool:
        """Whether clients must authenticate: false lets anybody in."""
        return self.auth.enabled or bool(self.credentials)

    @property
    def buckets(self) -> tuple[str, ...]:
        """Every bucket that is named, each once; the virtual bucket first."""
        named = [name for each in self.credentials for name in each.buckets]
        return tuple(dict.fromkeys([self.server.virtual_bucket, *named]))

    @property
    def reserved(self) -> frozenset[str]:
        """Names that no bucket may have: first segments of the server's own paths."""
        return reserved_names(self.telemetry.metrics.path)


def reserved_names(metrics_path: str) -> frozenset[str]:
    """First segments of the server's own paths."""
    return frozenset({"health", metrics_path.split("/")[1]})
