"""
What Prometheus is shown: the series of the table, alive.

With ``PROMETHEUS_MULTIPROC_DIR`` in the environment every process writes its numbers to
files there, and what any of them shows is the sum over all. The client library decides
so when it is imported for the first time, so that the variable must be set before.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    values,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from twisted.logger import Logger

from s3proxy import __version__
from s3proxy.errors import ConfigError
from s3proxy.telemetry.process import ProcessShare, process_collector
from s3proxy.telemetry.series import SERIES, Series

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

# A second series beside each counter, of when the process started: which is known.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """
    Every series, and the page of them.

    :ivar shown: What the page is made of.
    :ivar is_shared: This process is one of several that are shown together.
    :ivar monotonic: Seconds, for durations.
    :ivar now: Seconds since 1970.
    """

    log = Logger()

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """:raises ConfigError: The directory for several processes cannot be used."""
        self.monotonic = monotonic
        self.now = now
        self.shown = CollectorRegistry()
        self.is_shared = bool(values.ValueClass._multiprocess)
        folder = environ.get(_VARIABLE)
        if folder is not None and not os.path.isdir(folder):
            raise ConfigError(f"{_VARIABLE}: {folder!r} is no directory")
        if folder is not None and not self.is_shared:
            raise ConfigError(
                f"{_VARIABLE} was set after prometheus_client had been imported: this "
                "process would show its own numbers as those of all"
            )
        self._samples: list[Callable[[], None]] = []
        self.shown.register(_Sampling(self.sample))
        registry = None if self.is_shared else self.shown
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for each in SERIES:
            self._make(each, registry)
        if self.is_shared:
            MultiProcessCollector(self.shown, folder)  # type: ignore[no-untyped-call]
            self.on_sample(ProcessShare().sample)
        else:
            self.shown.register(process_collector())
        self.gauge("s3proxy_build_info").labels(
            __version__, platform.python_version()
        ).set(1)

    def counter(self, name: str) -> Counter:
        """A counter of the table."""
        return self._counters[name]

    def gauge(self, name: str) -> Gauge:
        """A gauge of the table."""
        return self._gauges[name]

    def histogram(self, name: str) -> Histogram:
        """A histogram of the table."""
        return self._histograms[name]

    def on_sample(self, look: Callable[[], None]) -> None:
        """
        Call *look* to set gauges of what is only there to be looked at.

        Before each scrape; where the scrape may be another process's, it is the job of
        whoever has a clock to call :meth:`sample` every few seconds.
        """
        self._samples.append(look)

    def sample(self) -> None:
        """Have every look; one that fails is logged and hides no other."""
        for look in self._samples:
            try:
                look()
            except Exception:
                self.log.failure("a gauge was not set; the others are")

    def _make(self, series: Series, registry: CollectorRegistry | None) -> None:
        name, text, labels = series.name, series.text, series.labels
        if series.kind == "counter":
            self._counters[name] = Counter(name, text, labels, registry=registry)
        elif series.kind == "gauge":
            self._gauges[name] = Gauge(
                name, text, labels, registry=registry, multiprocess_mode=series.mode
            )
        else:
            self._histograms[name] = Histogram(
                name, text, labels, registry=registry, buckets=series.buckets
            )


class _Sampling(Collector):
    """Nothing to show: what it does is done before the others are asked."""

    def __init__(self, sample: Callable[[], None]) -> None:
        self._sample = sample

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        self._sample()
        return ()
