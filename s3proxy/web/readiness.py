"""
``/health/ready``: whether this process can serve, and what is out of order.

503 means that no request can be served here: the database does not answer, nor a
standby that reads may go on from, or the process is stopping. All else is 200: with a
backend away, what lies on the others is served, and every other process would see the
same backend away, so that taking this one out of service would help nobody.

It costs no backend call, and at most one question a second, however many ask.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from s3proxy.errors import StoreError
from s3proxy.web.answer import Answer

#: A database that has answered anybody so lately is not asked again.
FRESH_SECONDS = 5.0
#: One that has to be asked may take so long; probes wait for a second, mostly.
ANSWER_SECONDS = 0.8
#: What was found by asking holds for so long.
HOLD_SECONDS = 1.0

#: What is said of the database.
_OK, _STANDBY, _UNREACHABLE = "ok", "standby", "unreachable"

#: By the answer to "is it failing?".
_WORDS = {None: "unknown", False: "ok", True: "failing"}


@define(eq=False)
class Readiness:
    """
    :ivar ask: Asks the database something small.
    :ivar heard: When it last answered, by the clock; None: not since it failed.
    :ivar backends: Of each, whether its latest call failed; None before the first.
    :ivar jobs: Of each, whether its latest round failed.
    :ivar has_standby: Whether there is one that reads go on from; None: they may not.
    """

    _ask: Callable[[], Awaitable[object]]
    _heard: Callable[[], float | None]
    _backends: Callable[[], Mapping[str, bool | None]]
    _jobs: Callable[[], Mapping[str, bool]]
    _clock: IReactorTime
    _has_standby: Callable[[], Awaitable[bool]] | None = None
    _asking: list[Deferred[str]] | None = None
    _found: tuple[float, str] | None = None

    async def report(self, *, draining: bool, detailed: bool = False) -> Answer:
        """
        :param draining: The process is stopping.
        :param detailed: Name backends and jobs; else they are counted. Names are not
            for strangers.
        """
        backends, jobs = self._backends(), self._jobs()
        database = await self._database()
        status = "ready"
        if database != _OK or True in backends.values() or True in jobs.values():
            status = "degraded"
        if draining or database == _UNREACHABLE:
            status = "unavailable"
        said: dict[str, Any] = {
            "status": status,
            "database": database,
            "stopping": draining,
            "backends": _told(backends, detailed),
            "jobs": _told(jobs, detailed),
        }
        body = json.dumps(said).encode() + b"\n"
        headers = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
        return Answer(503 if status == "unavailable" else 200, headers, body, len(body))

    async def _database(self) -> str:
        """What can be had of it."""
        now = self._clock.seconds()
        heard = self._heard()
        if heard is not None and now - heard < FRESH_SECONDS:
            return _OK
        if self._found is not None and now - self._found[0] < HOLD_SECONDS:
            return self._found[1]
        if self._asking is not None:
            waiting: Deferred[str] = Deferred()
            self._asking.append(waiting)
            return await waiting
        self._asking = []
        found = _UNREACHABLE
        try:
            if await self._succeeds(self._ask):
                found = _OK
            elif self._has_standby and await self._succeeds(self._has_standby):
                found = _STANDBY
        finally:
            others, self._asking = self._asking, None
            self._found = self._clock.seconds(), found
            for each in others:
                each.callback(found)
        return found

    async def _succeeds(self, question: Callable[[], Awaitable[object]]) -> bool:
        """Whether there is an answer in time that is not no."""

        async def once() -> object:
            return await question()

        try:
            answer: Deferred[object] = Deferred.fromCoroutine(once())
            return await answer.addTimeout(ANSWER_SECONDS, self._clock) is not False
        except Exception as why:
            if not isinstance(why, StoreError | TimeoutError):
                raise
            return False


def _told(failing: Mapping[str, bool | None], detailed: bool) -> dict[str, Any]:
    if detailed:
        return {name: _WORDS[each] for name, each in failing.items()}
    return dict(Counter(_WORDS[each] for each in failing.values()))
