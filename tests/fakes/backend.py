"""A backend in memory, with faults to switch on."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from hashlib import md5 as md5_of
from itertools import count

from attrs import define, field
from twisted.internet.defer import Deferred

from s3proxy.errors import (
    BackendError,
    BackendMismatch,
    BackendMissing,
    BackendRefused,
    BackendUnavailable,
)
from s3proxy.manager.ports import BackendKey, Stored
from s3proxy.model import Copy, FoundObject

CHUNK_BYTES = 64 * 1024


@define
class Kept:
    """An object that the fake holds."""

    data: bytes
    headers: dict[str, str]
    etag: str
    version_id: str | None = None


class MemoryBackend:
    """
    Matches :class:`s3proxy.manager.ports.Backend`.

    Faults by name of the call: ``open_put``, ``write``, ``finish``, ``open_get``,
    ``read``, ``copy``, ``delete``, ``delete_unchanged``, ``head``, ``inspect``,
    ``list_page``.

    :ivar objects: What is stored, by backend key; a test may change it.
    :ivar calls: How often each call was made.
    :ivar is_down: Every new call fails as if no connection could be made.
    :ivar makes_copies: Whether it knows CopyObject.
    :ivar is_versioned: PUTs answer with a version id.
    :ivar late: Bodies whose PUT failed with ``land_late``: call one to let it land.
    :ivar page_size: Keys of a page of the listing.
    :ivar modified: When everything was stored.
    """

    modified = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __init__(self, name: str, *, is_versioned: bool = False) -> None:
        self.name = name
        self.objects: dict[str, Kept] = {}
        self.calls: Counter[str] = Counter()
        self.is_down = False
        self.makes_copies = True
        self.is_versioned = is_versioned
        self.late: list[Callable[[], object]] = []
        self.page_size = 1000
        self._faults: dict[str, deque[BackendError | None]] = {}
        self._held: dict[str, Deferred[None]] = {}
        self._reached: dict[str, Deferred[None]] = {}
        self._corrupt = 0
        self._land_late = 0
        self._versions = count(1)

    # Faults.

    def fail(self, call: str, *errors: BackendError | None) -> None:
        """The next calls end with these errors, one each; None lets one pass."""
        self._faults.setdefault(call, deque()).extend(errors)

    def hold(self, call: str) -> Callable[[], None]:
        """The next such call hangs, until what is returned is called."""
        held = self._held[call] = Deferred()
        return lambda: held.callback(None)

    def forget(self, call: str) -> None:
        """No call of that name hangs that has not begun."""
        self._held.pop(call, None)

    def reached(self, call: str) -> Deferred[None]:
        """Fires when the next such call begins."""
        return self._reached.setdefault(call, Deferred())

    def corrupt(self, times: int = 1) -> None:
        """The next finished PUTs and copies store other bytes, as their ETag shows."""
        self._corrupt += times

    def land_late(self, times: int = 1) -> None:
        """The next finished PUTs and copies fail; each lands when :attr:`late` says."""
        self._land_late += times

    async def enter(self, call: str) -> None:
        """Count a call and let its faults act."""
        self.calls[call] += 1
        reached = self._reached.pop(call, None)
        if reached is not None:
            reached.callback(None)
        held = self._held.pop(call, None)
        if held is not None:
            await held
        faults = self._faults.get(call)
        error = faults.popleft() if faults else None
        if error is not None:
            raise error
        if self.is_down and call not in ("write", "finish", "read"):
            raise BackendUnavailable(self.name, "down", landed=False)

    # The port.

    async def open_put(
        self,
        copy: Copy,
        headers: dict[str, str],
        *,
        sha256: str | None,
        md5: str | None,
    ) -> MemoryUpload:
        """Begin a PUT."""
        await self.enter("open_put")
        return MemoryUpload(self, copy, dict(headers))

    async def open_get(self, copy: Copy, start: int, end: int) -> MemoryDownload:
        """Begin a GET."""
        await self.enter("open_get")
        kept = self.objects.get(copy.backend_key)
        if kept is None:
            raise BackendMissing(self.name, "404 NoSuchKey")
        if len(kept.data) != copy.size_bytes:
            raise BackendMismatch(self.name, "another length")
        if copy.backend_etag is not None and copy.backend_etag != kept.etag:
            raise BackendMismatch(self.name, "another ETag")
        return MemoryDownload(self, kept.data[start:end])

    async def copy(
        self, source: Copy, target: Copy, headers: dict[str, str], *, md5: str
    ) -> Stored:
        """Copy a key to another one."""
        await self.enter("copy")
        if not self.makes_copies:
            raise BackendRefused(self.name, "501 NotImplemented", landed=False)
        kept = self.objects.get(source.backend_key)
        if kept is None:
            raise BackendMissing(self.name, "404 NoSuchKey", landed=False)
        stored = self.land(target, dict(headers), kept.data)
        if stored.etag != md5:
            raise BackendMismatch(self.name, "another ETag")
        return stored

    async def delete(self, backend_key: str, version_id: str | None) -> None:
        """Delete."""
        await self.enter("delete")
        self.objects.pop(backend_key, None)

    async def head(self, backend_key: str) -> tuple[BackendKey, dict[str, str]]:
        """Size, ETag and user metadata."""
        await self.enter("head")
        kept = self.objects.get(backend_key)
        if kept is None:
            raise BackendMissing(self.name, "404")
        prefix = "x-amz-meta-"
        metadata = {
            name.lower().removeprefix(prefix): value
            for name, value in kept.headers.items()
            if name.lower().startswith(prefix)
        }
        return self._entry(backend_key), metadata

    async def inspect(self, backend_key: str) -> FoundObject:
        """All that is kept."""
        await self.enter("inspect")
        kept = self.objects.get(backend_key)
        if kept is None:
            raise BackendMissing(self.name, "404")
        told = {name.lower(): value for name, value in kept.headers.items()}
        prefix = "x-amz-meta-"
        names = ("cache-control", "content-encoding", "content-language", "expires")
        return FoundObject(
            key=backend_key,
            size_bytes=len(kept.data),
            etag=kept.etag,
            md5=None if "-" in kept.etag else kept.etag,
            last_modified=self.modified,
            content_type=told.get("content-type"),
            headers={name: told[name] for name in names if name in told},
            user_metadata={
                name.removeprefix(prefix): value
                for name, value in told.items()
                if name.startswith(prefix)
            },
            version_id=kept.version_id,
        )

    async def delete_unchanged(
        self,
        backend_key: str,
        version_id: str | None,
        size_bytes: int,
        etag: str | None,
    ) -> bool:
        """Compare, and delete."""
        await self.enter("delete_unchanged")
        kept = self.objects.get(backend_key)
        if kept is not None and (len(kept.data), kept.etag) != (size_bytes, etag):
            return False
        self.objects.pop(backend_key, None)
        return True

    async def list_page(
        self, prefix: str, token: str | None
    ) -> tuple[list[BackendKey], str | None]:
        """A page of the keys."""
        await self.enter("list_page")
        keys = sorted(
            key
            for key in self.objects
            if key.startswith(prefix) and (token is None or key > token)
        )
        page = keys[: self.page_size]
        more = page[-1] if len(keys) > len(page) else None
        return [self._entry(key) for key in page], more

    async def versioned(self) -> bool:
        """Whether the bucket keeps versions."""
        return self.is_versioned

    async def close(self) -> None:
        """Nothing is open."""

    # For the upload.

    def land(self, copy: Copy, headers: dict[str, str], data: bytes) -> Stored:
        """
        The body is whole.

        :raises BackendMismatch: It was corrupted.
        :raises BackendUnavailable: It is to land late.
        """
        if self._corrupt:
            self._corrupt -= 1
            self._keep(copy, headers, b"\0" * len(data) + b"\0")
            raise BackendMismatch(self.name, "another ETag")
        if self._land_late:
            self._land_late -= 1
            self.late.append(partial(self._keep, copy, headers, data))
            raise BackendUnavailable(self.name, "no answer", landed=True)
        kept = self._keep(copy, headers, data)
        return Stored(kept.etag, kept.version_id)

    def _keep(self, copy: Copy, headers: dict[str, str], data: bytes) -> Kept:
        version = f"v{next(self._versions)}" if self.is_versioned else None
        kept = Kept(data, headers, md5_of(data).hexdigest(), version)
        self.objects[copy.backend_key] = kept
        return kept

    def _entry(self, key: str) -> BackendKey:
        kept = self.objects[key]
        return BackendKey(key, len(kept.data), kept.etag)


@define
class MemoryUpload:
    """Matches :class:`s3proxy.manager.ports.Upload`."""

    _backend: MemoryBackend
    _copy: Copy
    _headers: dict[str, str]
    _data: bytearray = field(factory=bytearray)
    _is_aborted: bool = False

    async def write(self, data: bytes) -> None:
        """Send."""
        await self._enter("write", landed=False)
        self._data += data

    async def finish(self, data: bytes, *, md5: str) -> Stored:
        """Send the last bytes."""
        if len(self._data) + len(data) != self._copy.size_bytes:
            raise ValueError("another length than announced")
        await self._enter("finish", landed=True)
        self._data += data
        stored = self._backend.land(self._copy, self._headers, bytes(self._data))
        if stored.etag != md5:
            raise BackendMismatch(self._backend.name, "another ETag")
        return stored

    def abort(self) -> None:
        """Give up."""
        self._is_aborted = True

    async def _enter(self, call: str, *, landed: bool) -> None:
        if self._is_aborted:
            raise BackendUnavailable(self._backend.name, "aborted", landed=landed)
        await self._backend.enter(call)


@define
class MemoryDownload:
    """Matches :class:`s3proxy.manager.ports.Download`."""

    _backend: MemoryBackend
    _data: bytes
    _offset: int = 0
    is_aborted: bool = False

    async def read(self) -> bytes:
        """The next bytes."""
        if self.is_aborted:
            raise BackendUnavailable(self._backend.name, "aborted")
        await self._backend.enter("read")
        chunk = self._data[self._offset : self._offset + CHUNK_BYTES]
        self._offset += len(chunk)
        return chunk

    def abort(self) -> None:
        """Give up."""
        self.is_aborted = self.is_aborted or self._offset < len(self._data)
