"""Prometheus itself: its linter finds the page good, and its server scrapes it."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import frozen

from s3proxy.embedded.ports import free_ports
from s3proxy.telemetry.series import SERIES
from tests.daemon import BUCKET, ROOT
from tests.metrics.conftest import MIB, Scraped

pytestmark = pytest.mark.system

PROGRAMS = ROOT / ".prometheus/usr/bin"

#: The one name that the linter would have otherwise; it is the specification's.
OBJECTION = (
    "s3proxy_objects_count non-histogram and non-summary metrics should not have "
    '"_count" suffix'
)


def program(name: str) -> str:
    path = PROGRAMS / name
    assert path.exists(), f"{path} is missing: run tools/system-packages.sh"
    return str(path)


@frozen
class Prometheus:
    """A server on loopback, with its data in a directory of its own."""

    url: str

    def ask(self, path: str, **query: str) -> Any:
        """A call of its API."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            document = json.load(answer)
        assert document["status"] == "success"
        return document["data"]

    def value(self, expression: str) -> float | None:
        """An instant vector's one value; None while it is empty."""
        result = self.ask("query", query=expression)["result"]
        assert len(result) < 2, result
        return float(result[0]["value"][1]) if result else None

    def until(self, expression: str, wanted: float) -> None:
        """Ask until it is so."""
        deadline = time.monotonic() + 30
        while (found := self.value(expression)) != wanted:
            assert time.monotonic() < deadline, f"{expression}: {found}, not {wanted}"
            time.sleep(0.1)


@pytest.fixture
def prometheus(scraped: Scraped, tmp_path: Path) -> Iterator[Prometheus]:
    """It scrapes the daemon, and nothing else."""
    (port,) = free_ports(1)
    config = tmp_path / "prometheus.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "500ms"},
                "scrape_configs": [
                    {
                        "job_name": "s3proxy",
                        "metrics_path": scraped.path,
                        "static_configs": [
                            {"targets": [f"127.0.0.1:{scraped.daemon.port}"]}
                        ],
                    }
                ],
            }
        )
    )
    checked = subprocess.run(
        [program("promtool"), "check", "config", str(config)],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "--"),
                program("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                server.ask("targets")
                break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_the_linter(scraped: Scraped) -> None:
    """Of a page with everything on it."""
    text = scraped.text()
    linted = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
    )
    said = [line for line in (linted.stdout + linted.stderr).splitlines() if line]
    assert said == [OBJECTION]


def test_it_scrapes(scraped: Scraped, prometheus: Prometheus) -> None:
    """The target is up, every series is known with its type, and numbers arrive."""
    prometheus.until('up{job="s3proxy"}', 1)
    (target,) = prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    known = prometheus.ask("metadata")
    for each in SERIES:
        (about,) = known[each.name]
        assert about["type"] == each.kind
        assert about["help"] == each.text
    before = prometheus.value('s3proxy_requests_total{method="PUT",status_code="200"}')
    scraped.daemon.client().put_object(Bucket=BUCKET, Key="five", Body=b"5")
    prometheus.until(
        's3proxy_requests_total{method="PUT",status_code="200"}', (before or 0) + 1
    )
    prometheus.until('s3proxy_quota_bytes_used{backend="roomy"}', 7 * MIB)
    # No label of ours is one that Prometheus sets.
    assert prometheus.ask("query", query='count({exported_job!=""})')["result"] == []
    quantile = prometheus.value(
        "histogram_quantile(0.9, sum by (le) (s3proxy_request_duration_seconds_bucket))"
    )
    assert quantile is not None and 0 < quantile < 60
