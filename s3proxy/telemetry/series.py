"""
Every series of the metrics page: what it is called, what its labels are, what it says.

``docs/metrics.md`` is made of this table, and so is what Prometheus is shown. The first
fifteen are the specification's, the ten after them what its users' dashboards know from
its first implementation; their names, labels and types are settled.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

#: Upper bounds of histograms, in seconds.
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CALL_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
RUN_SECONDS = (1, 5, 10, 30, 60, 120, 300, 600)
STATEMENT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 15)
#: In bytes: 1 KiB to 256 MiB, each four times the one before.
SIZE_BYTES = tuple(1024 * 4**power for power in range(10))

#: How gauges of several worker processes become one: the sum over those that live, the
#: latest to be set, the greatest or least of all, or the greatest of those that live.
Mode = Literal["livesum", "mostrecent", "max", "min", "livemax"]


@frozen
class Series:
    """
    One series.

    :ivar kind: Prometheus' word for its type.
    :ivar buckets: Of a histogram: its upper bounds.
    :ivar mode: Of a gauge.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    text: str
    buckets: tuple[float, ...] = ()
    mode: Mode = "mostrecent"


def _counter(name: str, labels: str, text: str) -> Series:
    return Series(name, "counter", tuple(labels.split()), text)


def _gauge(name: str, labels: str, text: str, mode: Mode = "mostrecent") -> Series:
    return Series(name, "gauge", tuple(labels.split()), text, mode=mode)


def _histogram(name: str, labels: str, text: str, buckets: tuple[float, ...]) -> Series:
    return Series(name, "histogram", tuple(labels.split()), text, buckets)


#: By the section of ``docs/metrics.md``.
SECTIONS: tuple[tuple[str, tuple[Series, ...]], ...] = (
    (
        "Of the specification",
        (
            _gauge(
                "s3proxy_build_info",
                "version python_version",
                "Build metadata; always 1.",
                "max",
            ),
            _counter(
                "s3proxy_requests_total",
                "method status_code",
                "Requests that have been answered, but for /health and the metrics. "
                "499: the client left before its answer began.",
            ),
            _histogram(
                "s3proxy_request_duration_seconds",
                "method",
                "From a request's headers to the end of its answer.",
                REQUEST_SECONDS,
            ),
            _histogram(
                "s3proxy_request_size_bytes",
                "method",
                "What came as the body of a PUT or POST, as framed by the client.",
                SIZE_BYTES,
            ),
            _histogram(
                "s3proxy_response_size_bytes",
                "method",
                "What was sent as an answer's body.",
                SIZE_BYTES,
            ),
            _gauge(
                "s3proxy_inflight_requests",
                "method",
                "Requests that are being worked for now.",
                "livesum",
            ),
            _counter(
                "s3proxy_backend_requests_total",
                "operation backend status",
                "Calls of backends. aborted: given up here, mostly since a client "
                "left or its body was wrong.",
            ),
            _histogram(
                "s3proxy_backend_duration_seconds",
                "operation backend",
                "How long calls of backends took: a GetObject up to the answer's "
                "headers, a PutObject with the wait for the client's bytes.",
                CALL_SECONDS,
            ),
            _counter(
                "s3proxy_manager_requests_total",
                "operation backend status",
                "Operations that were let through to the manager. refused: a 4xx. "
                "backend: where the bytes are; - where none was asked.",
            ),
            _histogram(
                "s3proxy_manager_duration_seconds",
                "operation backend",
                "How long operations took; a GetObject until its first bytes can be "
                "sent.",
                CALL_SECONDS,
            ),
            _gauge(
                "s3proxy_quota_bytes_used",
                "backend",
                "Bytes that the ledger has on the backend, in every state.",
            ),
            _gauge(
                "s3proxy_quota_bytes_limit",
                "backend",
                "The backend's quota; +Inf where it has none.",
            ),
            _gauge(
                "s3proxy_quota_bytes_available",
                "backend",
                "What is left of the quota; +Inf where there is none.",
            ),
            _gauge(
                "s3proxy_objects_count",
                "backend",
                "Objects of which the backend holds a copy, or a copy of a part.",
            ),
            _gauge(
                "s3proxy_active_multipart_uploads",
                "backend",
                "Open uploads of which the backend holds a part.",
            ),
        ),
    ),
    (
        "Rebalancing and replication",
        (
            _counter(
                "s3proxy_rebalance_objects_moved_total",
                "strategy status",
                "Copies that the rebalancer moved, or could not move.",
            ),
            _counter(
                "s3proxy_rebalance_bytes_moved_total",
                "strategy",
                "Bytes that the rebalancer moved.",
            ),
            _counter(
                "s3proxy_rebalance_runs_total", "strategy status", "Runs that ended."
            ),
            _histogram(
                "s3proxy_rebalance_duration_seconds",
                "strategy",
                "How long runs of the rebalancer took.",
                RUN_SECONDS,
            ),
            _counter(
                "s3proxy_rebalance_skipped_total",
                "reason",
                "Runs in which nothing was to be done: threshold (backends are filled "
                "evenly enough), empty_plan (no copy may be moved).",
            ),
            _gauge(
                "s3proxy_replication_pending",
                "",
                "Parts with fewer copies than replication.factor; 0 when none is left.",
            ),
            _counter("s3proxy_replication_copies_created_total", "", "Copies made."),
            _counter("s3proxy_replication_errors_total", "", "Copies that failed."),
            _histogram(
                "s3proxy_replication_duration_seconds",
                "",
                "How long runs of the replicator took.",
                RUN_SECONDS,
            ),
            _counter("s3proxy_replication_runs_total", "status", "Runs that ended."),
        ),
    ),
    (
        "Sweeps",
        (
            _gauge(
                "s3proxy_sweep_keys",
                "backend kind",
                "What the last scheduled sweep of this daemon found. unknown: keys "
                "of ours without a row; missing: live copies without their bytes; "
                "changed: live copies with another size or ETag; foreign: others' "
                "keys.",
            ),
        ),
    ),
    (
        "Scrubbing",
        (
            _counter(
                "s3proxy_scrub_copies_total",
                "outcome",
                "Copies that were read back. good; bad: marked, since no other copy "
                "is known to be good; replaced: they were bad; unread: the backend did "
                "not answer.",
            ),
            _counter("s3proxy_scrub_bytes_total", "", "Bytes that were read for it."),
            _gauge(
                "s3proxy_quarantined_copies",
                "backend",
                "Copies that are known to be bad and not yet replaced; s3proxy check "
                "names them.",
            ),
        ),
    ),
    (
        "Usage budgets",
        (
            _gauge(
                "s3proxy_usage",
                "backend kind",
                "What was used of a backend's budget this month, or is reserved by a "
                "process: class_a, class_b (calls), egress_bytes, ingress_bytes.",
            ),
            _gauge(
                "s3proxy_usage_limit",
                "backend kind",
                "How much of it there is, where there is a limit.",
            ),
        ),
    ),
    (
        "Clients and processes",
        (
            _counter(
                "s3proxy_broken_answers_total",
                "method by",
                "Answers that were not sent whole. client: it left or read nothing; "
                "server: no backend could go on, or a bug.",
            ),
            _gauge("s3proxy_workers", "", "Worker processes that serve.", "livesum"),
            _gauge(
                "s3proxy_client_connections",
                "",
                "Connections of clients that are open.",
                "livesum",
            ),
            _gauge(
                "s3proxy_transfer_buffer_bytes",
                "",
                "What transfers under way may hold; see server.max_buffer_bytes.",
                "livesum",
            ),
        ),
    ),
    (
        "Backends",
        (
            _counter(
                "s3proxy_backend_errors_total",
                "operation backend kind",
                "Failed calls of backends by what they met: unavailable, refused, "
                "full, missing, mismatch and so on. missing and mismatch of a "
                "GetObject are bytes that are not what the ledger says.",
            ),
            _gauge(
                "s3proxy_breaker_state",
                "backend calls",
                "0: closed, 1: half open (one call tries), 2: open (none is made); the "
                "worst of the worker processes.",
                "livemax",
            ),
            _counter(
                "s3proxy_breaker_opened_total",
                "backend calls",
                "How often a breaker opened; calls: write or read.",
            ),
        ),
    ),
    (
        "Ledger and database",
        (
            _gauge(
                "s3proxy_ledger_copies",
                "backend state",
                "Copies that are claimed (an upload is under way), garbage or "
                "abandoned (to be deleted).",
            ),
            _gauge(
                "s3proxy_ledger_bytes",
                "backend state",
                "The bytes of those copies; they are part of the bytes used.",
            ),
            _gauge(
                "s3proxy_ledger_late_copies",
                "backend state",
                "Claims past their lease, and copies whose delete has been tried more "
                "than twice: more than a few for long mean that something is wrong.",
            ),
            _gauge(
                "s3proxy_ledger_wanted_manifests",
                "",
                "Objects whose manifest copy is yet to be written.",
            ),
            _gauge(
                "s3proxy_ledger_read_pins",
                "",
                "Long reads for which overwritten bytes are kept.",
            ),
            _gauge(
                "s3proxy_ledger_held",
                "",
                "1: nothing is deleted on any backend, since the database was "
                "restored, a standby took over, or a sweep found too many unknown "
                "keys; `sweep --accept-restore` ends it.",
            ),
            _gauge(
                "s3proxy_ledger_last_refresh_timestamp_seconds",
                "",
                "When the gauges of this section, of quotas and of replication were "
                "read from PostgreSQL last; past a minute or two they are stale.",
            ),
            _gauge(
                "s3proxy_ledger_last_count_timestamp_seconds",
                "",
                "Likewise of objects and uploads, which are counted less often where "
                "counting takes long.",
            ),
            _counter(
                "s3proxy_ledger_refresh_failures_total",
                "",
                "Refreshes of those gauges that failed.",
            ),
            _counter(
                "s3proxy_ledger_statements_total",
                "statement status",
                "Statements sent to PostgreSQL. refused: the server said no; "
                "unavailable: it did not happen; unknown: the connection broke.",
            ),
            _histogram(
                "s3proxy_ledger_statement_duration_seconds",
                "statement",
                "How long they took, with the wait for a connection.",
                STATEMENT_SECONDS,
            ),
            _counter(
                "s3proxy_stale_reads_total",
                "operation",
                "Answers that were looked up in a standby, since the database's "
                "primary was away (database.stale_reads). Its statements are counted "
                "with the others, its connections are not.",
            ),
            _gauge(
                "s3proxy_database_connections",
                "state",
                "Connections to PostgreSQL, idle or busy.",
                "livesum",
            ),
            _gauge(
                "s3proxy_database_connections_limit",
                "",
                "How many there may be (database.max_conns of each process).",
                "livesum",
            ),
            _gauge(
                "s3proxy_database_waiting",
                "",
                "Statements that wait for a connection.",
                "livesum",
            ),
        ),
    ),
    (
        "Jobs",
        (
            _counter("s3proxy_task_runs_total", "task status", "Rounds that ended."),
            _histogram(
                "s3proxy_task_duration_seconds",
                "task",
                "How long rounds took.",
                REQUEST_SECONDS,
            ),
            _gauge(
                "s3proxy_task_last_success_timestamp_seconds",
                "task",
                "When a round ended well last, in any worker process.",
                "max",
            ),
        ),
    ),
)
SERIES = tuple(each for _, section in SECTIONS for each in section)
