"""
A circuit breaker: when to leave a backend alone, and when to try it again.

::

    closed ──(failures in a row)──▶ open ──(its wait is over)──▶ half-open
       ▲                             ▲                              │
       └──────(the probe succeeds)───┼──────────(it fails)──────────┘

What counts as a failure is the caller's word. Time is given in, so that this is a
state machine and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from attrs import define, field, frozen

from s3proxy.plan.placement import Standing


class State(Enum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@frozen
class Patience:
    """
    How much a backend is forgiven.

    :ivar failures: So many in a row open the breaker.
    :ivar first_wait_seconds: From there to the first probe; doubled by each that fails.
    :ivar longest_wait_seconds: And never longer than this.
    :ivar probe_seconds: A probe that says nothing for so long makes way for another.
    :ivar doubt_seconds: For so long after a failure others are asked before it.
    :ivar first_pause_seconds: After a first "slow down" that names no time; doubled by
        each that follows.
    :ivar longest_pause_seconds: Whatever time it names.
    """

    failures: int = 5
    first_wait_seconds: float = 5.0
    longest_wait_seconds: float = 60.0
    probe_seconds: float = 30.0
    doubt_seconds: float = 30.0
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 30.0


@define(eq=False)
class Breaker:
    """
    One breaker. A call is begun with :meth:`enter`, and ends with one verdict at most.

    :ivar state: As of the last call; :meth:`standing` says what holds now.
    """

    _now: Callable[[], float]
    _patience: Patience = field(factory=Patience)
    _on_open: Callable[[], None] = lambda: None
    state: State = State.CLOSED
    # Changes with the state: what a call says that began before is not heard any more.
    _era: int = 0
    _failures: int = 0
    _wait_seconds: float = 0.0
    # Open: when the first probe may go. Half-open: when the next one may.
    _probe_at: float = 0.0
    _doubt_until: float = float("-inf")
    _pause_seconds: float = 0.0
    _paused_until: float = float("-inf")

    def standing(self) -> Standing:
        """Whether a call would be let through now, and whether to prefer others."""
        now = self._now()
        if self.state is not State.CLOSED and now < self._probe_at:
            return Standing.RESTING
        if self.state is State.CLOSED and now < self._paused_until:
            return Standing.RESTING
        return Standing.DOUBTFUL if now < self._doubt_until else Standing.READY

    def pause_seconds(self) -> float:
        """How long the backend wants to be left alone yet, while it works; else 0."""
        if self.state is not State.CLOSED:
            return 0.0
        return max(self._paused_until - self._now(), 0.0)

    def enter(self) -> int | None:
        """
        Begin a call.

        :returns: What its verdict is to be given with; None: it must not be made.
        """
        if self.standing() is Standing.RESTING:
            return None
        if self.state is not State.CLOSED:
            # The probe. Its era is its own: the verdict of an earlier one is late.
            self.state = State.HALF_OPEN
            self._probe_at = self._now() + self._patience.probe_seconds
            self._era += 1
        return self._era

    def succeeded(self, era: int) -> None:
        """The backend did what it was asked to."""
        if era == self._era:
            self._close()
            self._doubt_until = float("-inf")
            self._pause_seconds = 0.0

    def answered(self, era: int) -> None:
        """It said no, as one that works says it (a 4xx): prefer others for a while."""
        if era == self._era:
            self._close()
            self._doubt()

    def throttled(self, era: int, retry_after_seconds: float | None) -> None:
        """It works, and wants to be asked less often."""
        if era != self._era:
            return
        self._close()
        self._doubt()
        limits, now = self._patience, self._now()
        if now >= self._paused_until:
            # Calls that were under way together say it together: doubled once.
            self._pause_seconds = min(
                max(2 * self._pause_seconds, limits.first_pause_seconds),
                limits.longest_pause_seconds,
            )
        wanted = max(self._pause_seconds, retry_after_seconds or 0.0)
        pause = min(wanted, limits.longest_pause_seconds)
        self._paused_until = max(self._paused_until, now + pause)

    def failed(self, era: int) -> None:
        """No answer, a broken one, or that it is broken."""
        if era != self._era:
            return
        self._doubt()
        self._failures += 1
        if self.state is State.HALF_OPEN:
            self._open(2 * self._wait_seconds)
        elif self._failures >= self._patience.failures:
            self._open(self._patience.first_wait_seconds)

    def dropped(self, era: int) -> None:
        """The call was given up here: it says nothing of the backend."""
        if era == self._era and self.state is State.HALF_OPEN:
            self._probe_at = self._now()

    def _open(self, wait_seconds: float) -> None:
        self.state = State.OPEN
        self._era += 1
        self._on_open()
        self._wait_seconds = min(wait_seconds, self._patience.longest_wait_seconds)
        self._probe_at = self._now() + self._wait_seconds

    def _close(self) -> None:
        self._failures = 0
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._era += 1
            self._paused_until = float("-inf")

    def _doubt(self) -> None:
        self._doubt_until = self._now() + self._patience.doubt_seconds
