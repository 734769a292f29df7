"""What a daemon has done is on its page, and what its ledger holds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from s3proxy.store.statements import statements
from s3proxy.telemetry.series import SERIES
from tests.metrics.conftest import MIB, QUOTA, Scraped
from tests.servers import PostgresServer
from tests.telemetry.pages import Page


def wait_for(scraped: Scraped, holds: Callable[[Page], bool]) -> Page:
    """Scrape until it holds; gauges of the ledger are read every 0.2 s here."""
    deadline = time.monotonic() + 20
    while not holds(page := scraped.page()):
        assert time.monotonic() < deadline, page.text
        time.sleep(0.05)
    return page


def test_every_series_is_there(scraped: Scraped) -> None:
    """Also those that have counted nothing, by name and type."""
    page = scraped.page()
    for each in SERIES:
        assert page.families[each.name.removesuffix("_total")].type == each.kind
    assert page.total("process_resident_memory_bytes") > 10 * MIB
    assert page.value("s3proxy_workers") == 1


def test_requests_and_operations(scraped: Scraped) -> None:
    """Each counted once; a scrape counts as nothing, and nothing is in flight."""
    page = scraped.page()
    for method, status, count in (
        ("PUT", "200", 4),
        ("GET", "200", 2),
        ("GET", "404", 1),
        ("HEAD", "200", 1),
        ("POST", "200", 1),
        ("DELETE", "204", 1),
    ):
        name = "s3proxy_requests_total"
        assert page.value(name, method=method, status_code=status) == count
    assert page.total("s3proxy_requests_total") == 10
    assert page.total("s3proxy_request_duration_seconds_count") == 10
    assert page.total("s3proxy_inflight_requests") == 0
    for operation, backend, status in (
        ("PutObject", "small", "success"),
        ("PutObject", "roomy", "success"),
        ("UploadPart", "roomy", "success"),
        ("GetObject", "small", "success"),
        ("GetObject", "-", "refused"),
        ("HeadObject", "-", "success"),
        ("ListObjectsV2", "-", "success"),
        ("CreateMultipartUpload", "-", "success"),
        ("DeleteObject", "-", "success"),
    ):
        by = {"operation": operation, "backend": backend, "status": status}
        count = page.value("s3proxy_manager_requests_total", **by)
        assert count == (2 if (operation, backend) == ("PutObject", "small") else 1)
    sent = page.value("s3proxy_request_size_bytes_sum", method="PUT")
    # boto3 frames bodies, with a checksum behind them.
    assert 9 * MIB < (sent or 0) < 9 * MIB + 100_000
    got = page.value("s3proxy_response_size_bytes_sum", method="GET")
    assert 2 * MIB < (got or 0) < 2 * MIB + 5000


def test_backends(scraped: Scraped) -> None:
    """What was sent where; the object that was deleted goes from its backend, too."""
    calls = "s3proxy_backend_requests_total"
    gone = {"operation": "DeleteObject", "backend": "small", "status": "success"}
    page = wait_for(scraped, lambda page: page.value(calls, **gone) == 1)
    for operation, backend, count in (
        ("PutObject", "small", 2),
        ("PutObject", "roomy", 2),
        ("GetObject", "small", 1),
        ("GetObject", "roomy", 0),
    ):
        by = {"operation": operation, "backend": backend}
        assert page.value(calls, **by, status="success") == count
        assert page.value(calls, **by, status="error") == 0
        seconds = page.value("s3proxy_backend_duration_seconds_count", **by)
        assert (seconds or 0) == count
    assert page.total("s3proxy_backend_errors_total") == 0


def test_quotas_objects_and_uploads(scraped: Scraped) -> None:
    """As in the ledger, once what was deleted has gone."""
    used = "s3proxy_quota_bytes_used"
    uploading = "s3proxy_active_multipart_uploads"
    # Quotas are looked at often, and what takes long to count is counted after them.
    page = wait_for(
        scraped,
        lambda page: (
            page.value(used, backend="small") == 2 * MIB
            and page.value(uploading, backend="roomy") == 1
        ),
    )
    assert page.value(used, backend="roomy") == 7 * MIB
    assert page.value("s3proxy_quota_bytes_limit", backend="small") == QUOTA
    left = "s3proxy_quota_bytes_available"
    assert page.value(left, backend="small") == QUOTA - 2 * MIB
    assert page.value(left, backend="roomy") == math.inf
    for backend, objects, uploads in (("small", 1, 0), ("roomy", 1, 1)):
        assert page.value("s3proxy_objects_count", backend=backend) == objects
        assert page.value(uploading, backend=backend) == uploads
    assert page.total("s3proxy_ledger_copies") == 0
    at = page.value("s3proxy_ledger_last_refresh_timestamp_seconds")
    assert abs(time.time() - (at or 0)) < 30


def test_ledger_and_jobs(scraped: Scraped) -> None:
    """Statements by their names; the jobs that there are; connections in use."""
    page = wait_for(
        scraped,
        lambda page: page.total("s3proxy_task_runs_total", task="reap claims") > 0,
    )
    total = "s3proxy_ledger_statements_total"
    for statement, count in (("claim", 3), ("claim_part", 1), ("commit", 3)):
        assert page.value(total, statement=statement, status="success") == count
    assert page.labels(total, "statement") <= {*statements(), "other"}
    tasks = page.labels("s3proxy_task_runs_total", "task")
    assert {"extend leases", "collect garbage on roomy", "refresh metrics"} <= tasks
    assert page.total("s3proxy_task_runs_total", status="error") == 0
    assert page.total("s3proxy_database_connections") >= 1
    assert page.value("s3proxy_database_connections_limit") == 10
    assert page.value("s3proxy_client_connections") >= 1


def test_a_database_that_is_away_hides_nothing(
    scraped: Scraped, postgres: PostgresServer
) -> None:
    """The scrape is answered with what was, and says that it is old."""
    failures = "s3proxy_ledger_refresh_failures_total"
    assert scraped.page().value(failures) == 0
    name = scraped.database
    postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{name}'"
        )
        page = wait_for(scraped, lambda page: (page.value(failures) or 0) >= 2)
        last = "s3proxy_ledger_last_refresh_timestamp_seconds"
        assert page.value("s3proxy_quota_bytes_used", backend="roomy") == 7 * MIB
        assert page.value(last) == scraped.page().value(last)
    finally:
        postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    stale = page.value(last) or 0
    wait_for(scraped, lambda page: (page.value(last) or 0) > stale)
