"""Long reads pin: overwritten bytes stay as long as somebody needs them (design §1)."""

from __future__ import annotations

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from s3proxy.errors import StoreError
from s3proxy.manager.ports import Ledger
from s3proxy.observe import reading


@define(eq=False)
class Pin:
    """
    Keeps one object's bytes, from half of the grace on that the ledger gives them.

    :ivar grace_seconds: ``ledger.grace``.
    """

    object_id: str
    _ledger: Ledger
    _clock: IReactorTime
    _grace_seconds: float
    _call: IDelayedCall | None = None
    _log = Logger()

    def start(self) -> None:
        """From now on, until :meth:`stop`."""
        self._call = self._clock.callLater(self._grace_seconds / 2, self._pin)

    def stop(self) -> None:
        """What is pinned now stays so for one more grace. Calling it twice is fine."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _pin(self) -> None:
        self.start()

        async def pin() -> None:
            try:
                # A standby takes no pins: of what is read there (protocol, rule 50),
                # they are the primary's as soon as that is back.
                with reading(None):
                    await self._ledger.pin(self.object_id)
            except StoreError as why:
                self._log.warn("read not pinned: {why}", why=why)

        Deferred.fromCoroutine(pin())
