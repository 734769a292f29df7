"""What Prometheus is shown."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector


def make_registry() -> CollectorRegistry:
    """A registry with what the system knows of this process: CPU, memory, files."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry
