"""Several daemons that keep their numbers in one directory show one page."""

from __future__ import annotations

from pathlib import Path

from s3proxy.config import DatabaseConfig
from s3proxy.telemetry.series import SERIES
from tests.daemon import BUCKET, Daemon
from tests.metrics.conftest import Scraped
from tests.metrics.test_scrape import wait_for
from tests.servers import S3Server


def test_any_of_them_shows_all(
    database: DatabaseConfig, s3server: S3Server, tmp_path: Path
) -> None:
    """What each has counted, added up; what the ledger holds, once."""
    backend = s3server.create_bucket("b1")
    shared = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    sections = {
        "module": "tests.metrics.quick_daemon",
        "telemetry": {"metrics": {"enabled": True}},
    }
    one, two = (Daemon(database, [backend], **sections) for _ in range(2))
    try:
        one.start(shared)
        two.start(shared)
        for number, daemon in enumerate((one, two, two)):
            key = f"k{number}"
            daemon.client().put_object(Bucket=BUCKET, Key=key, Body=b"12345")
        put = {"method": "PUT", "status_code": "200"}
        for daemon in (one, two):
            page = wait_for(
                Scraped(daemon, ""),
                lambda page: page.value("s3proxy_objects_count", backend="b1") == 3,
            )
            assert page.value("s3proxy_requests_total", **put) == 3
            assert page.value("s3proxy_quota_bytes_used", backend="b1") == 15
            assert page.value("s3proxy_inflight_requests", method="PUT") == 0
            assert page.total("s3proxy_build_info") == 1
            assert page.value("s3proxy_workers") == 2
            assert page.value("s3proxy_database_connections_limit") == 20
            wrote = {"operation": "PutObject", "backend": "b1", "status": "success"}
            assert page.value("s3proxy_backend_requests_total", **wrote) == 3
            assert page.total("process_resident_memory_bytes") > 8e7
            shown = {each.name.removesuffix("_total") for each in SERIES}
            # Those with labels are shown from the first time that they count.
            assert shown - set(page.families) <= {"s3proxy_broken_answers"} | {
                "s3proxy_backend_errors",
                "s3proxy_stale_reads",
                "s3proxy_sweep_keys",
                "s3proxy_usage",
                "s3proxy_usage_limit",
            }
        two.kill()
        page = Scraped(one, "").page()
        assert page.value("s3proxy_requests_total", **put) == 3
    finally:
        for daemon in (one, two):
            daemon.__exit__(None, None, None)
        s3server.remove_bucket(backend)
