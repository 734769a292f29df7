"""The table of series: what the specification and its first users rely on is there."""

from __future__ import annotations

import re

import pytest
from prometheus_client import Counter, Gauge, Histogram

from s3proxy.telemetry.metrics import Metrics
from s3proxy.telemetry.reference import page
from s3proxy.telemetry.series import SECTIONS, SERIES
from tests.telemetry.pages import Page
from tools.metrics import PAGE

#: The specification's table, but for long descriptions, and for the version of what
#: this one is written in.
SPECIFIED = """
| `s3proxy_build_info` | Gauge | version, python_version | Build metadata |
| `s3proxy_requests_total` | Counter | method, status_code | HTTP request count |
| `s3proxy_request_duration_seconds` | Histogram | method | Request latency |
| `s3proxy_request_size_bytes` | Histogram | method | Upload sizes |
| `s3proxy_response_size_bytes` | Histogram | method | Download sizes |
| `s3proxy_inflight_requests` | Gauge | method | Currently processing |
| `s3proxy_backend_requests_total` | Counter | operation, backend, status | Calls |
| `s3proxy_backend_duration_seconds` | Histogram | operation, backend | Latency |
| `s3proxy_manager_requests_total` | Counter | operation, backend, status | Calls |
| `s3proxy_manager_duration_seconds` | Histogram | operation, backend | Latency |
| `s3proxy_quota_bytes_used` | Gauge | backend | Current bytes used |
| `s3proxy_quota_bytes_limit` | Gauge | backend | Quota limit |
| `s3proxy_quota_bytes_available` | Gauge | backend | Remaining space |
| `s3proxy_objects_count` | Gauge | backend | Stored object count |
| `s3proxy_active_multipart_uploads` | Gauge | backend | In-progress uploads |
"""
#: What dashboards know from the first implementation, beside those.
INHERITED = """
| `s3proxy_rebalance_objects_moved_total` | Counter | strategy, status |
| `s3proxy_rebalance_bytes_moved_total` | Counter | strategy |
| `s3proxy_rebalance_runs_total` | Counter | strategy, status |
| `s3proxy_rebalance_duration_seconds` | Histogram | strategy |
| `s3proxy_rebalance_skipped_total` | Counter | reason |
| `s3proxy_replication_pending` | Gauge | |
| `s3proxy_replication_copies_created_total` | Counter | |
| `s3proxy_replication_errors_total` | Counter | |
| `s3proxy_replication_duration_seconds` | Histogram | |
| `s3proxy_replication_runs_total` | Counter | status |
"""
_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
#: Upper bounds of its histograms, by the beginning of the name.
BUCKETS = {
    "s3proxy_request_duration": "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60",
    "s3proxy_backend_duration": "0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60 120",
    "s3proxy_manager_duration": "0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 60 120",
    "s3proxy_request_size": " ".join(str(1024 * 4**n) for n in range(10)),
    "s3proxy_response_size": " ".join(str(1024 * 4**n) for n in range(10)),
    "s3proxy_rebalance_duration": "1 5 10 30 60 120 300 600",
    "s3proxy_replication_duration": "1 5 10 30 60 120 300 600",
}


def rows(text: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """Name, type and labels of each row."""
    return [
        (name, kind.lower(), tuple(x.strip() for x in labels.split(",") if x.strip()))
        for name, kind, labels in _ROW.findall(text)
    ]


def made(metrics: Metrics, name: str, kind: str) -> Counter | Gauge | Histogram:
    """The series itself."""
    find = {
        "counter": metrics.counter,
        "gauge": metrics.gauge,
        "histogram": metrics.histogram,
    }
    return find[kind](name)


def test_there_are_as_many_as_there_should_be() -> None:
    assert (len(rows(SPECIFIED)), len(rows(INHERITED))) == (15, 10)
    assert [each.name for each in SERIES[:25]] == [
        name for name, *_ in rows(SPECIFIED) + rows(INHERITED)
    ]
    assert len({each.name for each in SERIES}) == len(SERIES)


def test_every_row_is_shown_as_it_is_specified() -> None:
    """By name, type and exactly these labels, as a parser of the page reads it."""
    metrics = Metrics()
    wanted = rows(SPECIFIED) + rows(INHERITED)
    for name, kind, labels in wanted:
        series = made(metrics, name, kind)
        if labels:
            series = series.labels(**{label: f"some {label}" for label in labels})
        if isinstance(series, Histogram):
            series.observe(1)
    page = Page.of(metrics.shown)
    for name, kind, labels in wanted:
        family = page.families[name.removesuffix("_total")]
        assert family.type == kind
        assert family.documentation
        samples = {each.name for each in family.samples}
        if kind == "histogram":
            assert samples == {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
        else:
            assert samples == {name}
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(labels), name


@pytest.mark.parametrize("prefix", sorted(BUCKETS))
def test_buckets(prefix: str) -> None:
    (series,) = [each for each in SERIES if each.name.startswith(prefix)]
    assert [f"{each:g}" for each in series.buckets] == [
        f"{float(each):g}" for each in BUCKETS[prefix].split()
    ]


def test_build_info() -> None:
    page = Page.of(Metrics().shown)
    assert re.match(r"\d+\.\d+\.\d+", *page.labels("s3proxy_build_info", "version"))
    assert page.total("s3proxy_build_info") == 1


def test_names_are_good_ones() -> None:
    """
    What Prometheus recommends; and no label that it sets by itself, which would come
    out renamed.
    """
    for each in SERIES:
        assert each.name.startswith("s3proxy_")
        assert each.name.endswith("_total") == (each.kind == "counter")
        assert bool(each.buckets) == (each.kind == "histogram")
        assert not {"job", "instance", "le", "pid"} & set(each.labels)
        assert list(each.buckets) == sorted(each.buckets)


def test_the_page_of_the_documentation_is_this_table() -> None:
    """Whoever changes the table runs ``make generate``."""
    assert PAGE.read_text("utf-8") == page()
    assert sum(len(section) for _, section in SECTIONS) == len(SERIES)
