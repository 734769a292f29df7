"""
Reading from a standby of the database while its primary is away (protocol, rule 50).

What a standby has may be old, so that it is read only after the primary has failed to
answer a question that was put to it after the request began.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg2
from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from s3proxy.errors import StoreError
from s3proxy.store.connection import Row
from s3proxy.store.hosts import connect_any, each_host, first_line
from s3proxy.store.pool import Pool
from s3proxy.store.statements import statements

#: A server has so long to answer a question, where it has failed before.
ANSWER_SECONDS = 2.0
#: Between two complaints that there is nothing to read.
QUIET_SECONDS = 30.0

# A server that refuses a connection in words answers; but for these, which say that it
# is starting, stopping, or no server for anybody.
_FATAL, _AWAY = "FATAL:", "the database system is"


def standby_arguments(arguments: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """
    How to reach each listed server by itself, by its host.

    :param arguments: The primary's. What a standby is, is asked of it each time: a
        session outlives its promotion.
    """
    plain = {k: v for k, v in arguments.items() if k != "target_session_attrs"}
    return {each["host"]: each for each in each_host(plain)}


@define(eq=False)
class StandbyView:
    """
    One standby, for one request; see :class:`s3proxy.observe.View`.

    :ivar behind_seconds: All that was committed so long ago is there; None: nobody
        knows, since it has replayed nothing since its start.
    """

    _pool: Pool
    behind_seconds: int | None
    was_read: bool = False

    @property
    def behind(self) -> str:
        """See :class:`s3proxy.observe.View`."""
        return "unknown" if self.behind_seconds is None else str(self.behind_seconds)

    async def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[Row]:
        """See :class:`s3proxy.observe.View`. A standby refuses to write."""
        rows = await self._pool.query(sql, parameters)
        self.was_read = True
        return rows


@frozen
class _Found:
    host: str
    behind_seconds: int | None
    replayed: int


@frozen
class _Unfit:
    host: str
    why: str


@define(eq=False)
class Standbys:
    """
    :ivar primary: Every other statement's.
    :ivar pools: Of each listed server, the primary's too, by host; empty at first.
    :ivar limit_seconds: One that is further behind is not read; None: any.
    """

    primary: Pool
    pools: Mapping[str, Pool]
    installation_id: str
    limit_seconds: float | None = None
    _waiting: list[Deferred[bool]] = field(factory=list)
    _is_asking: bool = False
    _chosen: str | None = None
    _told_host: str | None = None
    _complained_seconds: float | None = None
    _log = Logger()

    @property
    def suspects(self) -> bool:
        """Whether the primary has not answered anybody since it last failed to."""
        return self.primary.heard_seconds is None

    async def view(self) -> StandbyView | None:
        """
        What a request that has begun by now may read in the primary's place.

        :returns: None where the primary answers, or no standby can be read.
        """
        if await self._primary_answers():
            return None
        refusals: dict[str, str] = {}
        view = await self._find(refusals)
        if view is None:
            self._complain(refusals)
        elif self._told_host != self._chosen:
            self._told_host = self._chosen
            self._log.warn(
                "the database's primary is away: reads go on from the standby "
                "{host}, behind by {behind} s at most, and say so; writes are refused",
                host=self._chosen,
                behind=view.behind,
            )
        return view

    async def is_readable(self) -> bool:
        """Whether reads would go on, if the primary were away."""
        return await self._find({}) is not None

    async def _find(self, refusals: dict[str, str]) -> StandbyView | None:
        """
        A standby that can be read, whether or not it may be.

        It is the same one as long as that can be, so that nobody's time runs backwards;
        at first, the one that has replayed most.
        """
        found: list[_Found] = []
        if self._chosen is not None:
            found = await self._look([self._chosen], refusals)
        if not found:
            found = await self._look(self.pools, refusals)
        if not found:
            self._chosen = None
            return None
        best = max(found, key=lambda each: each.replayed)
        self._chosen = best.host
        return StandbyView(self.pools[best.host], best.behind_seconds)

    async def trim(self) -> None:
        """
        Close what has not been used for long, of the primary's, too.

        To be called now and then: it is noticed here, too, that the primary is back.
        """
        if not self.suspects:
            self._note_back()
        for pool in (self.primary, *self.pools.values()):
            await pool.trim()

    def close(self) -> None:
        """Close the standbys' connections."""
        for pool in self.pools.values():
            pool.close()

    # The primary.

    async def _primary_answers(self) -> bool:
        """Ask now; who comes while a question is under way shares the next one."""
        turn: Deferred[bool] = Deferred()
        self._waiting.append(turn)
        if not self._is_asking:
            Deferred.fromCoroutine(self._ask())
        return await turn

    async def _ask(self) -> None:
        self._is_asking = True
        try:
            while self._waiting:
                turns, self._waiting = self._waiting, []
                answers = await self._answers()
                for each in turns:
                    each.callback(answers)
        finally:
            self._is_asking = False

    async def _answers(self) -> bool:
        pool = self.primary
        try:
            connection = await connect_any(pool.arguments, pool.reactor, ANSWER_SECONDS)
        except Exception as why:
            # Whatever it was: no connection, and so no answer, unless in words.
            return _FATAL in (text := str(why)) and _AWAY not in text
        connection.close()
        pool.note_answer()
        self._note_back()
        return True

    def _note_back(self) -> None:
        if self._told_host is not None:
            self._log.info("the database's primary answers again")
        self._told_host = self._chosen = self._complained_seconds = None

    # The standbys.

    async def _look(
        self, hosts: Iterable[str], refusals: dict[str, str]
    ) -> list[_Found]:
        """Ask all of them at once; those that can be read."""
        found = []
        for answer in [Deferred.fromCoroutine(self._inspect(host)) for host in hosts]:
            each = await answer
            if isinstance(each, _Found):
                found.append(each)
            else:
                refusals[each.host] = each.why
        return found

    async def _inspect(self, host: str) -> _Found | _Unfit:
        try:
            rows = await self.pools[host].query(
                statements()["standby"], timeout_seconds=ANSWER_SECONDS
            )
        except (StoreError, psycopg2.Error) as why:
            return _Unfit(host, first_line(why))
        ((is_standby, installation_id, behind_seconds, replayed),) = rows
        if not is_standby:
            # The primary, or promoted a moment ago: the next question will find it.
            return _Unfit(host, "it is no standby")
        if installation_id != self.installation_id:
            other = f"it holds another installation's ledger, {installation_id}"
            return _Unfit(host, other)
        if behind_seconds is not None:
            # Clocks of two machines are never quite the same.
            behind_seconds = max(behind_seconds, 0)
        limit = self.limit_seconds
        if limit is not None and (behind_seconds is None or behind_seconds > limit):
            known = "unknown" if behind_seconds is None else f"{behind_seconds} s"
            return _Unfit(
                host,
                f"it is behind by {known}, and database.stale_reads_limit is "
                f"{limit:g} s",
            )
        return _Found(host, behind_seconds, replayed)

    def _complain(self, refusals: Mapping[str, str]) -> None:
        now = self.primary.reactor.seconds()
        last = self._complained_seconds
        if last is not None and now - last < QUIET_SECONDS:
            return
        self._complained_seconds = now
        self._told_host = None
        self._log.warn(
            "the database's primary is away, and no standby can be read: {reasons}",
            reasons="; ".join(f"{host}: {why}" for host, why in refusals.items()),
        )
