"""
What Prometheus is shown, as far as queries can name it: series and their labels.

They are those of s3proxy's own table, and what the client library tells of a process.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from s3proxy.telemetry.series import SERIES

#: What Prometheus adds to each sample, and its own series for each target.
TARGET: Final = frozenset({"job", "instance"})


def facts() -> list[tuple[str, str, frozenset[str]]]:
    """Name, type and labels of each of s3proxy's series."""
    return [(each.name, each.kind, frozenset(each.labels)) for each in SERIES]


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
