"""
CPU, memory and files of the processes.

The client library knows them of the process that is asked. Of several processes the
page must be the sum, whichever is asked: so each one notes its own share.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, ProcessCollector


def process_collector() -> ProcessCollector:
    """What the system knows of this process."""
    return ProcessCollector(registry=None)


class ProcessShare:
    """This process's share of ``process_*``."""

    def __init__(self) -> None:
        self._collector = process_collector()
        self._cpu = Counter(
            "process_cpu_seconds_total",
            "CPU time of all processes, in seconds.",
            registry=None,
        )
        self._gauges = {
            name: Gauge(name, text, registry=None, multiprocess_mode="livesum")
            for name, text in (
                ("process_virtual_memory_bytes", "Virtual memory of all processes."),
                ("process_resident_memory_bytes", "Resident memory of all processes."),
                ("process_open_fds", "Open files of all processes."),
            )
        }
        self._gauges["process_max_fds"] = Gauge(
            "process_max_fds",
            "How many open files each process may have.",
            registry=None,
            multiprocess_mode="livemin",
        )
        self._gauges["process_start_time_seconds"] = Gauge(
            "process_start_time_seconds",
            "When the process that has run longest was started.",
            registry=None,
            multiprocess_mode="livemin",
        )
        self._cpu_seconds = 0.0

    def sample(self) -> None:
        """Look, and note it."""
        for metric in self._collector.collect():
            for sample in metric.samples:
                if sample.name in self._gauges:
                    self._gauges[sample.name].set(sample.value)
                elif sample.name == "process_cpu_seconds_total":
                    self._cpu.inc(max(sample.value - self._cpu_seconds, 0.0))
                    self._cpu_seconds = sample.value
