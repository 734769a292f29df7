"""
What Prometheus is shown, as far as queries can name it: series and their labels.

The first two groups are settled by the specification and by what its users' dashboards
know. Once ``s3proxy.telemetry`` has a table of its series, :data:`FACTS` is that table.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.parser import text_string_to_metric_families

#: Name, type, labels.
FACTS: Final = """
s3proxy_build_info                            gauge      version python_version
s3proxy_requests_total                        counter    method status_code
s3proxy_request_duration_seconds              histogram  method
s3proxy_request_size_bytes                    histogram  method
s3proxy_response_size_bytes                   histogram  method
s3proxy_inflight_requests                     gauge      method
s3proxy_backend_requests_total                counter    operation backend status
s3proxy_backend_duration_seconds              histogram  operation backend
s3proxy_manager_requests_total                counter    operation backend status
s3proxy_manager_duration_seconds              histogram  operation backend
s3proxy_quota_bytes_used                      gauge      backend
s3proxy_quota_bytes_limit                     gauge      backend
s3proxy_quota_bytes_available                 gauge      backend
s3proxy_objects_count                         gauge      backend
s3proxy_active_multipart_uploads              gauge      backend

s3proxy_rebalance_objects_moved_total         counter    strategy status
s3proxy_rebalance_bytes_moved_total           counter    strategy
s3proxy_rebalance_runs_total                  counter    strategy status
s3proxy_rebalance_duration_seconds            histogram  strategy
s3proxy_rebalance_skipped_total               counter    reason
s3proxy_replication_pending                   gauge
s3proxy_replication_copies_created_total      counter
s3proxy_replication_errors_total              counter
s3proxy_replication_duration_seconds          histogram
s3proxy_replication_runs_total                counter    status

s3proxy_broken_answers_total                  counter    method by
s3proxy_client_connections                    gauge
s3proxy_transfer_buffer_bytes                 gauge
s3proxy_backend_errors_total                  counter    operation backend kind
s3proxy_breaker_state                         gauge      backend calls
s3proxy_breaker_opened_total                  counter    backend calls
s3proxy_ledger_copies                         gauge      backend state
s3proxy_ledger_bytes                          gauge      backend state
s3proxy_ledger_late_copies                    gauge      backend state
s3proxy_ledger_wanted_manifests               gauge
s3proxy_ledger_read_pins                      gauge
s3proxy_ledger_last_refresh_timestamp_seconds gauge
s3proxy_ledger_last_count_timestamp_seconds   gauge
s3proxy_ledger_refresh_failures_total         counter
s3proxy_ledger_statements_total               counter    statement status
s3proxy_ledger_statement_duration_seconds     histogram  statement
s3proxy_database_connections                  gauge      state
s3proxy_database_connections_limit            gauge
s3proxy_database_waiting                      gauge
s3proxy_task_runs_total                       counter    task status
s3proxy_task_duration_seconds                 histogram  task
s3proxy_task_last_success_timestamp_seconds   gauge      task
"""

#: What Prometheus adds to each sample, and its own series for each target.
TARGET: Final = frozenset({"job", "instance"})


def facts() -> list[tuple[str, str, frozenset[str]]]:
    """Name, type and labels of each of s3proxy's series."""
    rows = [line.split() for line in FACTS.splitlines() if line]
    return [(name, kind, frozenset(labels)) for name, kind, *labels in rows]


def samples() -> dict[str, frozenset[str]]:
    """Every name that a query may ask for, with the labels that it has."""
    found = {"up": TARGET}
    for name, kind, labels in facts():
        if kind == "histogram":
            found[f"{name}_bucket"] = labels | TARGET | {"le"}
            found[f"{name}_sum"] = found[f"{name}_count"] = labels | TARGET
        else:
            found[name] = labels | TARGET
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    page = generate_latest(registry).decode()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, TARGET | frozenset(sample.labels))
    return found
