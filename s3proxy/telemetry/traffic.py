"""How many requests there were, until somebody writes it down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import define, field

#: Writes counts down: requests, and those of them answered 4xx and 5xx.
Add = Callable[[int, int, int], Awaitable[None]]


@define(eq=False)
class Tally:
    """Counted in this process; :meth:`write_down` is a job's round."""

    _add: Add
    _requests: int = field(default=0, init=False)
    _client_errors: int = field(default=0, init=False)
    _server_errors: int = field(default=0, init=False)

    def note(self, status: int) -> None:
        """
        A request was answered.

        :param status: Of its answer.
        """
        self._requests += 1
        self._client_errors += 400 <= status < 500
        self._server_errors += status >= 500

    async def write_down(self) -> str:
        """
        Hand over what was counted; where that fails it is kept for the next time.

        :returns: What was done, for the table of jobs.
        """
        counts = (self._requests, self._client_errors, self._server_errors)
        if not counts[0]:
            return "no requests"
        self._requests = self._client_errors = self._server_errors = 0
        try:
            await self._add(*counts)
        except BaseException:
            self._requests += counts[0]
            self._client_errors += counts[1]
            self._server_errors += counts[2]
            raise
        return f"{counts[0]} requests"
