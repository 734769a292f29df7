"""
``/health/ready``: whether this process can serve, and what is out of order.

503 means that no request can be served here: the database does not answer, or the
process is stopping. All else is 200: with a backend away, what lies on the others is
served, and every other process would see the same backend away, so that taking this one
out of service would help nobody.

It costs no backend call, and at most one statement a second, however many ask.
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

#: By the answer to "is it failing?".
_WORDS = {None: "unknown", False: "ok", True: "failing"}


@define(eq=False)
class Readiness:
    """
    :ivar ask: Asks the database something small.
    :ivar heard: When it last answered, by the clock; None: not since it failed.
    :ivar backends: Of each, whether its latest call failed; None before the first.
    :ivar jobs: Of each, whether its latest round failed.
    """

    _ask: Callable[[], Awaitable[object]]
    _heard: Callable[[], float | None]
    _backends: Callable[[], Mapping[str, bool | None]]
    _jobs: Callable[[], Mapping[str, bool]]
    _clock: IReactorTime
    _asking: list[Deferred[bool]] | None = None
    _found: tuple[float, bool] | None = None

    async def report(self, *, draining: bool, detailed: bool = False) -> Answer:
        """
        :param draining: The process is stopping.
        :param detailed: Name backends and jobs; else they are counted. Names are not
            for strangers.
        """
        backends, jobs = self._backends(), self._jobs()
        answers = await self._database_answers()
        status = "ready"
        if True in backends.values() or True in jobs.values():
            status = "degraded"
        if draining or not answers:
            status = "unavailable"
        said: dict[str, Any] = {
            "status": status,
            "database": "ok" if answers else "unreachable",
            "stopping": draining,
            "backends": _told(backends, detailed),
            "jobs": _told(jobs, detailed),
        }
        body = json.dumps(said).encode() + b"\n"
        headers = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
        return Answer(503 if status == "unavailable" else 200, headers, body, len(body))

    async def _database_answers(self) -> bool:
        now = self._clock.seconds()
        heard = self._heard()
        if heard is not None and now - heard < FRESH_SECONDS:
            return True
        if self._found is not None and now - self._found[0] < HOLD_SECONDS:
            return self._found[1]
        if self._asking is not None:
            waiting: Deferred[bool] = Deferred()
            self._asking.append(waiting)
            return await waiting
        self._asking = []
        answers = False
        try:
            await Deferred.fromCoroutine(self._once()).addTimeout(
                ANSWER_SECONDS, self._clock
            )
            answers = True
        except Exception as why:
            if not isinstance(why, StoreError | TimeoutError):
                raise
        finally:
            others, self._asking = self._asking, None
            self._found = self._clock.seconds(), answers
            for each in others:
                each.callback(answers)
        return answers

    async def _once(self) -> None:
        await self._ask()


def _told(failing: Mapping[str, bool | None], detailed: bool) -> dict[str, Any]:
    if detailed:
        return {name: _WORDS[each] for name, each in failing.items()}
    return dict(Counter(_WORDS[each] for each in failing.values()))
