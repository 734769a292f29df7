"""
A PUT: claim, stream, verify, commit (protocol, rules 5 to 10).

The client's 200 follows a known COMMIT and nothing less. Every way out before it leaves
the claim released (nothing was sent), abandoned (something was), or, where the database
is away, to its lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import define, field
from twisted.logger import Logger

from s3proxy.errors import (
    BackendError,
    BackendFull,
    BackendMissing,
    BackendRefused,
    BackendUnavailable,
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
    Stored,
    Upload,
)
from s3proxy.manager.routing import Router
from s3proxy.manager.writes import ObjectWrite, R, Write
from s3proxy.model import Claim, ObjectInfo
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


@define(eq=False)
class Writer:
    """
    Stores bodies.

    :ivar router: Says which backends are asked for room, in which order.
    :ivar abandoned: Called with a backend's name when something there is to be deleted.
    """

    _ledger: Ledger
    _leases: Leases
    _backends: Mapping[str, Backend]
    _router: Router
    _installation_id: str
    _monotonic: Callable[[], float]
    _abandoned: Callable[[str], None]
    _kept_bytes: int = 0
    _copies: BackendCopies = field(init=False)
    _log = Logger()

    @_copies.default
    def _make_copies(self) -> BackendCopies:
        return BackendCopies(self._backends, self._monotonic)

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
            lease = await self._claim(write, failed)
            try:
                if source is not None:
                    made = await self._let_copy(write, lease, source)
                    if made is not None:
                        return await self._commit(write, lease, made, source.part.md5)
                if keep:
                    if kept is None:
                        kept = await self._read_whole(lease, body, digests)
                    stored = await self._send_kept(write, lease, kept, digests, sha256)
                else:
                    stored = await self._stream(write, lease, body, digests, sha256)
            except _NextBackend as turn:
                failed.append(turn.backend)
                continue
            except _NextClaim:
                source = None
                continue
            return await self._commit(write, lease, stored, digests.md5_hex)

    async def _claim(self, write: Write[R], failed: Sequence[str]) -> Lease:
        size = write.content_length
        placement = self._router.place(size, without=failed)
        is_passing = bool(failed or placement.resting)
        if not placement.order:
            raise _nobody_takes(size, is_passing=is_passing)
        asked = self._monotonic()
        try:
            claim = await write.claim(placement.order)
        except InsufficientStorage:
            if is_passing:
                raise ServiceUnavailable(
                    "The backends that have room take no writes now. Please try again."
                ) from None
            raise
        self._router.charged(claim.copy.backend_name, size)
        return self._leases.hold(claim, asked)

    async def _let_copy(
        self, write: Write[R], lease: Lease, whole: WholePart
    ) -> Stored | None:
        """Ask the claim's backend for a copy; None: the claim is as good as new."""
        target = lease.claim.copy
        source = self._copies.source(whole, target.backend_name)
        if source is None:
            return None
        try:
            lease.check()
            return await self._copies.make(whole, source, target, write.headers(target))
        except BackendError as why:
            if isinstance(why, BackendRefused | BackendMissing) and not why.landed:
                return None
            await self._give_up(lease, sent=why.landed, landed=why.landed)
            if isinstance(why, BackendFull) or not why.landed:
                self._note(why)
                raise _NextBackend(why.backend) from why
            # Its bytes may still land, under that name: streaming takes another one.
            raise _NextClaim from why
        except BaseException:
            await self._give_up(lease, sent=True, landed=True)
            raise

    async def _read_whole(self, lease: Lease, body: Body, digests: Digests) -> bytes:
        pieces = []
        try:
            while data := await body.read():
                digests.update(data)
                pieces.append(data)
            digests.verify()
        except BaseException:
            await self._give_up(lease, sent=False, landed=False)
            raise
        return b"".join(pieces)

    async def _send_kept(
        self,
        write: Write[R],
        lease: Lease,
        data: bytes,
        digests: Digests,
        sha256: str | None,
    ) -> Stored:
        upload = await self._open(write, lease, sha256=sha256, md5=digests.md5_hex)
        try:
            lease.check()
            last = max(len(data) - 1, 0) // PIECE_BYTES * PIECE_BYTES
            for start in range(0, last, PIECE_BYTES):
                await upload.write(data[start : start + PIECE_BYTES])
            lease.check()
            return await upload.finish(data[last:], md5=digests.md5_hex)
        except BackendError as why:
            self._note(why)
            upload.abort()
            await self._give_up(lease, sent=True, landed=why.landed)
            raise _NextBackend(why.backend) from why
        except BaseException:
            upload.abort()
            await self._give_up(lease, sent=True, landed=True)
            raise

    async def _stream(
        self,
        write: Write[R],
        lease: Lease,
        body: Body,
        digests: Digests,
        sha256: str | None,
    ) -> Stored:
        upload = await self._open(write, lease, sha256=sha256, md5=write.content_md5)
        last_bytes_went = False
        try:
            held = b""
            while data := await body.read():
                digests.update(data)
                if held:
                    lease.check()
                    await upload.write(held)
                held = data
            # The last bytes wait for this, so that a wrong body never lands.
            digests.verify()
            lease.check()
            last_bytes_went = True
            return await upload.finish(held, md5=digests.md5_hex)
        except BackendError as why:
            self._note(why)
            upload.abort()
            await self._give_up(lease, sent=True, landed=last_bytes_went and why.landed)
            raise ServiceUnavailable(_TRY_AGAIN) from why
        except ClaimLost as why:
            upload.abort()
            await self._give_up(lease, sent=True, landed=last_bytes_went)
            raise ServiceUnavailable(_TRY_AGAIN) from why
        except BaseException:
            upload.abort()
            await self._give_up(lease, sent=True, landed=last_bytes_went)
            raise

    async def _open(
        self, write: Write[R], lease: Lease, *, sha256: str | None, md5: str | None
    ) -> Upload:
        copy = lease.claim.copy
        try:
            return await self._backends[copy.backend_name].open_put(
                copy, write.headers(copy), sha256=sha256, md5=md5
            )
        except BackendError as why:
            self._note(why)
            sent = not (isinstance(why, BackendUnavailable) and not why.landed)
            await self._give_up(lease, sent=sent, landed=why.landed)
            raise _NextBackend(why.backend) from why
        except BaseException:
            # The client left, most likely. An empty body is whole with its headers.
            await self._give_up(lease, sent=True, landed=write.content_length == 0)
            raise

    async def _commit(
        self, write: Write[R], lease: Lease, stored: Stored, md5: str
    ) -> R:
        claim = lease.claim
        try:
            return await write.commit(claim, md5, stored)
        except S3Error:
            # Refused, and the claim abandoned in the same transaction.
            self._abandoned(claim.copy.backend_name)
            raise
        except ClaimLost as why:
            raise ServiceUnavailable(_TRY_AGAIN) from why
        except OutcomeUnknown as why:
            self._log.warn("commit of {copy}: {why}", copy=claim.copy.copy_id, why=why)
            return await self._settle(write, claim, md5)
        except StoreUnavailable:
            await self._give_up(lease, sent=True, landed=False)
            raise
        finally:
            self._leases.drop(lease)

    async def _settle(self, write: Write[R], claim: Claim, md5: str) -> R:
        state = await self._ledger.settle(claim)
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


def _nobody_takes(size_bytes: int, *, is_passing: bool) -> S3Error:
    """What the client is told where there is no backend to ask."""
    if is_passing:
        return ServiceUnavailable("No backend takes writes now. Please try again.")
    return InsufficientStorage(
        f"No backend takes objects of {size_bytes} bytes: each is read_only or has a "
        "smaller max_object_size. Raise it, or send the object in smaller parts."
    )


class _NextClaim(Exception):
    """What came of this claim is unknown, and the body can still be had."""


class _NextBackend(Exception):
    """This backend failed in time for another to be tried."""

    def __init__(self, backend: str) -> None:
        super().__init__(backend)
        self.backend = backend
