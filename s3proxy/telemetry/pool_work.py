"""Replication and rebalancing, counted round by round."""

from __future__ import annotations

from typing import Protocol

from s3proxy.telemetry.metrics import Metrics

STRATEGIES = ("pack", "spread")


class Round(Protocol):
    """What is known of any round."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...

    @property
    def is_good(self) -> bool:
        """Whether it came to its end."""
        ...

    @property
    def failed(self) -> int:
        """Copies with which it did not succeed."""
        ...


class ReplicationRound(Round, Protocol):
    """A round of replication."""

    @property
    def made(self) -> int:
        """Copies made."""
        ...

    @property
    def pending(self) -> int | None:
        """Parts with too few copies after it; None where nobody knows."""
        ...


class RebalanceRound(Round, Protocol):
    """A round of rebalancing."""

    @property
    def strategy(self) -> str:
        """By what it moves."""
        ...

    @property
    def moved(self) -> int:
        """Copies moved."""
        ...

    @property
    def bytes_moved(self) -> int:
        """Their bytes."""
        ...

    @property
    def skipped(self) -> str | None:
        """Why nothing was to be moved; None where something was."""
        ...


class SweepRound(Protocol):
    """A backend, swept."""

    @property
    def backend(self) -> str:
        """Which."""
        ...

    @property
    def unknown(self) -> int:
        """Keys of ours without a row."""
        ...

    @property
    def missing(self) -> int:
        """Live copies without their bytes."""
        ...

    @property
    def changed(self) -> int:
        """Live copies with other bytes."""
        ...

    @property
    def foreign(self) -> int:
        """Keys of others."""
        ...


class ScrubRound(Protocol):
    """A round of scrubbing."""

    @property
    def read(self) -> int:
        """Copies read."""
        ...

    @property
    def bytes_read(self) -> int:
        """Their bytes."""
        ...

    @property
    def bad(self) -> int:
        """Copies that are bad, and not replaced."""
        ...

    @property
    def replaced(self) -> int:
        """Copies that were bad."""
        ...

    @property
    def unread(self) -> int:
        """Copies that could not be read."""
        ...


class PoolWork:
    """Is told of each round of this process as it ends."""

    def __init__(self, metrics: Metrics) -> None:
        self._made = metrics.counter("s3proxy_replication_copies_created_total")
        self._not_made = metrics.counter("s3proxy_replication_errors_total")
        self._replicated = metrics.counter("s3proxy_replication_runs_total")
        self._replication = metrics.histogram("s3proxy_replication_duration_seconds")
        self._pending = metrics.gauge("s3proxy_replication_pending")
        self._moved = metrics.counter("s3proxy_rebalance_objects_moved_total")
        self._bytes = metrics.counter("s3proxy_rebalance_bytes_moved_total")
        self._rebalanced = metrics.counter("s3proxy_rebalance_runs_total")
        self._rebalance = metrics.histogram("s3proxy_rebalance_duration_seconds")
        self._skipped = metrics.counter("s3proxy_rebalance_skipped_total")
        self._swept = metrics.gauge("s3proxy_sweep_keys")
        self._scrubbed = metrics.counter("s3proxy_scrub_copies_total")
        self._scrubbed_bytes = metrics.counter("s3proxy_scrub_bytes_total")
        # All that there can be is 0 from the start.
        for strategy in STRATEGIES:
            self._bytes.labels(strategy)
            self._rebalance.labels(strategy)
            for is_good in (True, False):
                self._moved.labels(strategy, _status(is_good))
                self._rebalanced.labels(strategy, _status(is_good))
        for is_good in (True, False):
            self._replicated.labels(_status(is_good))
        for outcome in ("good", "bad", "replaced", "unread"):
            self._scrubbed.labels(outcome)
        for reason in ("threshold", "empty_plan"):
            self._skipped.labels(reason)

    def replicated(self, done: ReplicationRound) -> None:
        """Copies were made, or could not be."""
        self._replicated.labels(_status(done.is_good)).inc()
        self._replication.observe(done.seconds)
        self._made.inc(done.made)
        self._not_made.inc(done.failed)
        if done.pending is not None:
            self._pending.set(done.pending)

    def rebalanced(self, done: RebalanceRound) -> None:
        """Copies were moved, or could not be; or there was nothing to move."""
        self._rebalanced.labels(done.strategy, _status(done.is_good)).inc()
        self._rebalance.labels(done.strategy).observe(done.seconds)
        self._moved.labels(done.strategy, _status(True)).inc(done.moved)
        self._moved.labels(done.strategy, _status(False)).inc(done.failed)
        self._bytes.labels(done.strategy).inc(done.bytes_moved)
        if done.skipped is not None:
            self._skipped.labels(done.skipped).inc()

    def swept(self, done: SweepRound) -> None:
        """A backend was looked at."""
        for kind, count in (
            ("unknown", done.unknown),
            ("missing", done.missing),
            ("changed", done.changed),
            ("foreign", done.foreign),
        ):
            self._swept.labels(done.backend, kind).set(count)

    def scrubbed(self, done: ScrubRound) -> None:
        """Copies were read back."""
        good = max(done.read - done.bad - done.replaced, 0)
        self._scrubbed.labels("good").inc(good)
        self._scrubbed.labels("bad").inc(done.bad)
        self._scrubbed.labels("replaced").inc(done.replaced)
        self._scrubbed.labels("unread").inc(done.unread)
        self._scrubbed_bytes.inc(done.bytes_read)


def _status(is_good: bool) -> str:
    return "success" if is_good else "error"
