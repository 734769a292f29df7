"""
A PUT: claim, stream, verify, commit (protocol, rules 5 to 10).

The client's 200 follows a known COMMIT and nothing less. Every way out before it leaves
the claim released (nothing was sent), abandoned (something was), or, where the database
is away, to its lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import define, evolve, field
from twisted.logger import Logger

from s3proxy.errors import (
    BackendError,
    BackendFull,
    BackendMissing,
    BackendRefused,
    BackendSpent,
    ClaimLost,
    InsufficientStorage,
    OutcomeUnknown,
    S3Error,
    ServiceUnavailable,
    StoreError,
    StoreUnavailable,
)
from s3proxy.manager.backend_copies import BackendCopies, WholePart
from s3proxy.manager.leases import Lease, Leases
from s3proxy.manager.ports import (
    Backend,
    Body,
    CopyState,
    Ledger,
)
from s3proxy.manager.routing import Router
from s3proxy.manager.streams import Lost, Stream, Streams
from s3proxy.manager.writes import ObjectWrite, R, Write
from s3proxy.model import Claim, CopyCount, ObjectInfo
from s3proxy.s3.checksums import Digests
from s3proxy.s3.operation import PutObject

#: A body of at most this many bytes is read whole and verified before a backend is
#: called, so that another backend can take it when the first one fails.
KEPT_BYTES = 1024 * 1024

#: Bodies kept at one time, in this process; beyond it small ones stream, too.
KEPT_TOTAL_BYTES = 32 * 1024 * 1024

#: What is handed to a backend's connection at a time, so that it shows progress.
PIECE_BYTES = 64 * 1024

_TRY_AGAIN = "The object could not be stored. The old one, if any, is unchanged."
_NOT_KNOWN = "It is not known whether the object was stored. Please try again."


@define(eq=False)
class Writer:
    """
    Stores bodies.

    :ivar router: Says which backends are asked for room, in which order.
    :ivar abandoned: Called with a backend's name when something there is to be deleted.
    :ivar count: To how many backends a body goes at once.
    """

    _ledger: Ledger
    _leases: Leases
    _backends: Mapping[str, Backend]
    _router: Router
    _installation_id: str
    _monotonic: Callable[[], float]
    _abandoned: Callable[[str], None]
    _count: CopyCount = field(factory=CopyCount)
    _kept_bytes: int = 0
    _copies: BackendCopies = field(init=False)
    _log = Logger()

    @_copies.default
    def _make_copies(self) -> BackendCopies:
        return BackendCopies(self._backends, self._monotonic)

    def to(self, count: CopyCount) -> Writer:
        """One like this that stores on so many backends at once."""
        return evolve(self, count=count, kept_bytes=0)

    async def put(self, op: PutObject, body: Body, *, sha256: str | None) -> ObjectInfo:
        """
        Store a body as an object; see :meth:`store`.

        :raises PreconditionFailed: 412, before the body or, racing, at the commit.
        """
        write = ObjectWrite(op, body, self._ledger, self._installation_id)
        return await self.store(write, body, sha256=sha256)

    async def store(
        self,
        write: Write[R],
        body: Body,
        *,
        sha256: str | None,
        source: WholePart | None = None,
    ) -> R:
        """
        Store *body* as what *write* says.

        :param sha256: What the client signed as the body's SHA-256, in hex, or None.
        :param source: A part that has the same bytes: where the claim is on a backend
            that has it, the body is not read.
        :raises InsufficientStorage: 507, before a byte of the body is read.
        :raises ServiceUnavailable: 503: a backend failed once the body was flowing, or
            every backend did before.
        """
        size = write.content_length
        if size > KEPT_BYTES or self._kept_bytes + size > KEPT_TOTAL_BYTES:
            return await self._store(write, body, sha256, source, keep=False)
        self._kept_bytes += size
        try:
            return await self._store(write, body, sha256, source, keep=True)
        finally:
            self._kept_bytes -= size

    async def _store(
        self,
        write: Write[R],
        body: Body,
        sha256: str | None,
        source: WholePart | None,
        *,
        keep: bool,
    ) -> R:
        digests = Digests(write.content_md5, sha256, write.checksums)
        kept: bytes | None = None
        failed: list[str] = []
        while True:
            streams = await self._claim(write, failed)
            copied: str | None = None
            try:
                if source is not None and await self._let_copy(write, streams, source):
                    copied = source.part.md5
                elif keep:
                    if kept is None:
                        kept = await _read_whole(body, digests)
                    await _send_kept(write, streams, kept, digests, sha256)
                else:
                    await _stream(write, streams, body, digests, sha256)
            except Lost as lost:
                await streams.end(lost)
                # What has been read of a large body cannot be had again.
                if not lost.backends or (streams.is_open and not keep):
                    raise ServiceUnavailable(_TRY_AGAIN) from lost
                failed += lost.backends
                continue
            except _NextClaim:
                source = None
                continue
            except BaseException as why:
                await streams.end(why)
                raise
            return await self._commit(write, streams, copied or digests.md5_hex)

    async def _claim(self, write: Write[R], failed: Sequence[str]) -> Streams:
        size = write.content_length
        count = self._count if write.goes_to_several else CopyCount()
        placement = self._router.place(size, without=failed)
        spent = placement.spent
        is_passing = bool(set(failed) - set(spent) or placement.resting)
        if len(placement.order) < count.least:
            raise _too_few_take(
                size, count.least, is_passing=is_passing, is_spent=bool(spent)
            )
        asked = self._monotonic()
        try:
            claims = await write.claim(placement.order, count)
        except InsufficientStorage:
            if is_passing:
                raise ServiceUnavailable(
                    "The backends that have room take no writes now. Please try again."
                ) from None
            if spent:
                raise _spent(size) from None
            raise
        for claim in claims:
            self._router.charged(claim.copy.backend_name, size)
        return Streams(
            count.least,
            [Stream(self._leases.hold(claim, asked)) for claim in claims],
            self._backends,
            self._give_up,
            self._leases.drop,
            self._note,
        )

    async def _let_copy(
        self, write: Write[R], streams: Streams, whole: WholePart
    ) -> bool:
        """
        Ask the claim's backend for a copy; False: the claim is as good as new.

        Not where there are several claims: what the other backends need comes by here.
        """
        if len(streams.alive) > 1:
            return False
        (stream,) = streams.alive
        target = stream.copy
        source = self._copies.source(whole, target.backend_name)
        if source is None:
            return False
        try:
            stream.lease.check()
            stream.stored = await self._copies.make(
                whole, source, target, write.headers(target)
            )
        except BackendError as why:
            kinds = BackendRefused | BackendMissing | BackendSpent
            if isinstance(why, kinds) and not why.landed:
                return False
            streams.alive.clear()
            await self._give_up(stream.lease, sent=why.landed, landed=why.landed)
            if isinstance(why, BackendFull) or not why.landed:
                self._note(why)
                raise Lost([why.backend]) from why
            # Its bytes may still land, under that name: streaming takes another one.
            raise _NextClaim from why
        except BaseException:
            streams.alive.clear()
            await self._give_up(stream.lease, sent=True, landed=True)
            raise
        return True

    async def _commit(self, write: Write[R], streams: Streams, md5: str) -> R:
        try:
            return await write.commit(streams.made, md5, streams.least)
        except S3Error:
            # Refused, and the claims abandoned in the same transaction.
            for claim in streams.claims:
                self._abandoned(claim.copy.backend_name)
            raise
        except ClaimLost as why:
            # Of several some may be ours yet.
            if len(streams.alive) > 1:
                await streams.end(why)
            raise ServiceUnavailable(_TRY_AGAIN) from why
        except OutcomeUnknown as why:
            names = ", ".join(claim.copy.copy_id for claim in streams.claims)
            self._log.warn("commit of {copies}: {why}", copies=names, why=why)
            return await self._settle(write, streams.claims, md5)
        except StoreUnavailable as why:
            await streams.end(why)
            raise
        finally:
            streams.committed()

    async def _settle(self, write: Write[R], claims: Sequence[Claim], md5: str) -> R:
        state = await self._ledger.settle(*claims)
        if state is None:
            # Collected and forgotten: reaped before, or committed and overwritten.
            raise ServiceUnavailable(_NOT_KNOWN)
        if state not in (CopyState.LIVE, CopyState.GARBAGE):
            raise ServiceUnavailable(_TRY_AGAIN)
        return write.settled(md5)

    def _note(self, why: BackendError) -> None:
        self._log.warn("PUT: {why}", why=why)

    async def _give_up(self, lease: Lease, *, sent: bool, landed: bool) -> None:
        self._leases.drop(lease)
        claim = lease.claim
        try:
            if sent:
                await self._ledger.abandon(claim, landed=landed)
                self._abandoned(claim.copy.backend_name)
            else:
                await self._ledger.release(claim)
        except StoreError as why:
            # Its lease will run out, and the reaper does the same.
            self._log.warn("claim {copy} left: {why}", copy=claim.copy.copy_id, why=why)


async def _read_whole(body: Body, digests: Digests) -> bytes:
    pieces = []
    while data := await body.read():
        digests.update(data)
        pieces.append(data)
    digests.verify()
    return b"".join(pieces)


async def _send_kept(
    write: Write[R],
    streams: Streams,
    data: bytes,
    digests: Digests,
    sha256: str | None,
) -> None:
    await streams.open(write.headers, sha256=sha256, md5=digests.md5_hex)
    last = max(len(data) - 1, 0) // PIECE_BYTES * PIECE_BYTES
    for start in range(0, last, PIECE_BYTES):
        await streams.write(data[start : start + PIECE_BYTES])
    await streams.finish(data[last:], md5=digests.md5_hex)


async def _stream(
    write: Write[R],
    streams: Streams,
    body: Body,
    digests: Digests,
    sha256: str | None,
) -> None:
    await streams.open(write.headers, sha256=sha256, md5=write.content_md5)
    held = b""
    while data := await body.read():
        digests.update(data)
        if held:
            await streams.write(held)
        held = data
    # The last bytes wait for this, so that a wrong body never lands.
    digests.verify()
    await streams.finish(held, md5=digests.md5_hex)


def _too_few_take(
    size_bytes: int, least: int, *, is_passing: bool, is_spent: bool
) -> S3Error:
    """What the client is told where there are too few backends to ask."""
    few = "No backend" if least == 1 else f"Fewer than {least} backends"
    if is_passing:
        return ServiceUnavailable(
            f"{few} take{'s' * (least == 1)} writes now. Please try again."
        )
    if is_spent:
        return _spent(size_bytes)
    return InsufficientStorage(
        f"{few} take objects of {size_bytes} bytes: each other is read_only or has a "
        "smaller max_object_size. Raise it, or send the object in smaller parts."
    )


def _spent(size_bytes: int) -> InsufficientStorage:
    return InsufficientStorage(
        f"No backend takes an object of {size_bytes} bytes: the usage budgets of this "
        "month do not allow it, and where they do there is no room. They begin anew on "
        "the first of the month, UTC; raise backends[].usage to store it before."
    )


class _NextClaim(Exception):
    """What came of this claim is unknown, and the body can still be had."""
