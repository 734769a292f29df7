"""
The copies of one body on their way: a stream to each backend that has a claim for it.

All get the same pieces, and the next piece when the slowest has taken this one, so that
no more is held for several than for one. A stream that fails is lost, and its claim is
given up; the others go on while they are as many as are needed (protocol, rule 44).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList

from s3proxy.errors import BackendError, BackendUnavailable, ClaimLost
from s3proxy.manager.leases import Lease
from s3proxy.manager.ports import Backend, MadeCopy, Stored, Upload
from s3proxy.model import Claim, Copy


class GiveUp(Protocol):
    """Ends a claim that does not commit."""

    async def __call__(self, lease: Lease, *, sent: bool, landed: bool) -> None:
        """
        :param sent: Bytes may have gone; else the claim is forgotten.
        :param landed: The body may be stored yet, without an answer.
        """
        ...


class Lost(Exception):
    """
    Fewer streams are left than are needed.

    :ivar backends: Those that failed, of this body.
    """

    def __init__(self, backends: Sequence[str]) -> None:
        super().__init__(", ".join(backends))
        self.backends = tuple(backends)


@define(eq=False)
class Stream:
    """One copy on its way, as far as it has come."""

    lease: Lease
    is_begun: bool = False
    upload: Upload | None = None
    last_bytes_went: bool = False
    stored: Stored | None = None

    @property
    def copy(self) -> Copy:
        """Where it goes."""
        return self.lease.claim.copy

    def left(self, why: BaseException) -> tuple[bool, bool]:
        """After *why*: whether bytes may have gone, and whether all may land yet."""
        if self.stored is not None:
            return True, False
        may_land = why.landed if isinstance(why, BackendError) else True
        if self.upload is not None:
            return True, self.last_bytes_went and may_land
        if not self.is_begun:
            return False, False
        if isinstance(why, BackendError):
            is_nothing = isinstance(why, BackendUnavailable) and not why.landed
            return not is_nothing, why.landed
        # The client left, most likely. An empty body is whole with its headers.
        return True, self.copy.size_bytes == 0


@define(eq=False)
class Streams:
    """
    They hold claims: whatever comes, call :meth:`end`, or commit :attr:`made`.

    :ivar least: So many copies have to be stored.
    :ivar alive: Those that are on their way, or stored.
    :ivar is_open: All that can be opened are: bytes may flow.
    """

    least: int
    alive: list[Stream]
    _backends: Mapping[str, Backend]
    _give_up: GiveUp
    _drop: Callable[[Lease], None]
    _note: Callable[[BackendError], None]
    is_open: bool = False
    _failed: list[str] = field(factory=list)

    @property
    def claims(self) -> list[Claim]:
        """Of those that are alive."""
        return [each.lease.claim for each in self.alive]

    @property
    def made(self) -> list[MadeCopy]:
        """Those that are stored."""
        return [
            MadeCopy(each.lease.claim, each.stored)
            for each in self.alive
            if each.stored is not None
        ]

    async def open(
        self,
        headers: Callable[[Copy], dict[str, str]],
        *,
        sha256: str | None,
        md5: str | None,
    ) -> None:
        """
        Begin a PUT on each backend.

        :param headers: What a copy says of itself.
        :raises Lost: Too few have begun; no byte of the body has gone.
        """

        async def step(stream: Stream) -> None:
            stream.is_begun = True
            copy = stream.copy
            stream.upload = await self._backends[copy.backend_name].open_put(
                copy, headers(copy), sha256=sha256, md5=md5
            )

        await self._each(step)
        self.is_open = True

    async def write(self, data: bytes) -> None:
        """
        Send to all; returns when the slowest may have more.

        :raises Lost: Too few can go on.
        """

        async def step(stream: Stream) -> None:
            assert stream.upload is not None
            stream.lease.check()
            await stream.upload.write(data)

        await self._each(step)

    async def finish(self, data: bytes, *, md5: str) -> None:
        """
        Send the last bytes, and wait for all the answers.

        :raises Lost: Too few have stored it.
        """

        async def step(stream: Stream) -> None:
            assert stream.upload is not None
            stream.lease.check()
            stream.last_bytes_went = True
            stream.stored = await stream.upload.finish(data, md5=md5)

        await self._each(step)

    async def end(self, why: BaseException) -> None:
        """Break off and give up all that are alive, because of *why*."""
        for stream in list(self.alive):
            await self._lose(stream, why)

    def committed(self) -> None:
        """Nobody extends the claims any more."""
        for stream in self.alive:
            self._drop(stream.lease)

    async def _each(self, step: Callable[[Stream], Coroutine[Any, Any, None]]) -> None:
        streams = list(self.alive)
        failures = await _all([step(stream) for stream in streams])
        for why in failures:
            # Whatever else it was (the client left), the caller ends all of them.
            if why is not None and not isinstance(why, BackendError | ClaimLost):
                raise why
        for stream, why in zip(streams, failures, strict=True):
            if why is not None:
                if isinstance(why, BackendError):
                    self._note(why)
                    self._failed.append(why.backend)
                await self._lose(stream, why)
        if len(self.alive) < self.least:
            raise Lost(self._failed)

    async def _lose(self, stream: Stream, why: BaseException) -> None:
        self.alive.remove(stream)
        if stream.upload is not None and stream.stored is None:
            stream.upload.abort()
        sent, landed = stream.left(why)
        await self._give_up(stream.lease, sent=sent, landed=landed)


async def _all(works: Sequence[Awaitable[None]]) -> list[BaseException | None]:
    """Wait for all, and for all to be broken off; what each failed with."""
    if len(works) == 1:
        try:
            await works[0]
        except Exception as why:
            return [why]
        return [None]
    outcomes: list[tuple[bool, Any]] = await DeferredList(
        [Deferred.fromCoroutine(work) for work in works],  # type: ignore[arg-type]
        consumeErrors=True,
    )
    return [None if good else outcome.value for good, outcome in outcomes]
