"""
A backend whose calls are told to a listener: what they were, how long they took, and
how they ended.

A call here may be more than one request: a copy is looked at afterwards, and a key that
is not ours alone before it is deleted. What a breaker does not let through is no call:
this is to be below it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError

from s3proxy.errors import BackendError
from s3proxy.manager.ports import Backend, BackendKey, Download, Stored, Upload
from s3proxy.model import Copy, FoundObject
from s3proxy.observe import BackendWatch, note_backend

T = TypeVar("T")


class Account(Backend, Protocol):
    """A backend as the daemon opens and closes it (``backend.client.S3Backend``)."""

    @property
    def is_failing(self) -> bool | None:
        """How the latest call went; None where there was none yet."""
        ...

    async def versioned(self) -> bool:
        """Whether the bucket keeps versions; no, where the backend does not say."""
        ...

    async def close(self) -> None:
        """Close idle connections; calls under way are not touched."""
        ...


@define(eq=False)
class MeasuredBackend:
    """
    Matches :class:`Account` over another one.

    :ivar monotonic: Seconds.
    """

    _inner: Account
    _watch: BackendWatch
    _monotonic: Callable[[], float]
    name: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.name = self._inner.name

    async def open_put(
        self,
        copy: Copy,
        headers: dict[str, str],
        *,
        sha256: str | None,
        md5: str | None,
    ) -> Upload:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        note_backend(self.name)
        call = self._begin("PutObject")
        try:
            upload = await self._inner.open_put(copy, headers, sha256=sha256, md5=md5)
        except BaseException as why:
            call.end(why)
            raise
        return _Upload(upload, call)

    async def open_get(self, copy: Copy, start: int, end: int) -> Download:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        note_backend(self.name)
        call = self._begin("GetObject")
        try:
            download = await self._inner.open_get(copy, start, end)
        except BaseException as why:
            call.end(why)
            raise
        call.stop()
        return _Download(download, call)

    async def copy(
        self, source: Copy, target: Copy, headers: dict[str, str], *, md5: str
    ) -> Stored:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        note_backend(self.name)
        work = self._inner.copy(source, target, headers, md5=md5)
        return await self._whole("CopyObject", work)

    async def delete(self, backend_key: str, version_id: str | None) -> None:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        work = self._inner.delete(backend_key, version_id)
        await self._whole("DeleteObject", work)

    async def delete_unchanged(
        self,
        backend_key: str,
        version_id: str | None,
        size_bytes: int,
        etag: str | None,
    ) -> bool:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        work = self._inner.delete_unchanged(backend_key, version_id, size_bytes, etag)
        return await self._whole("DeleteObject", work)

    async def inspect(self, backend_key: str) -> FoundObject:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        return await self._whole("HeadObject", self._inner.inspect(backend_key))

    async def head(self, backend_key: str) -> tuple[BackendKey, dict[str, str]]:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        return await self._whole("HeadObject", self._inner.head(backend_key))

    async def list_page(
        self, prefix: str, token: str | None
    ) -> tuple[list[BackendKey], str | None]:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        work = self._inner.list_page(prefix, token)
        return await self._whole("ListObjectsV2", work)

    @property
    def is_failing(self) -> bool | None:
        """See :class:`Account`."""
        return self._inner.is_failing

    async def versioned(self) -> bool:
        """See :class:`Account`; it never fails."""
        return await self._inner.versioned()

    async def close(self) -> None:
        """See :class:`Account`."""
        await self._inner.close()

    def _begin(self, operation: str) -> _Call:
        return _Call(
            self.name, operation, self._watch, self._monotonic, self._monotonic()
        )

    async def _whole(self, operation: str, work: Awaitable[T]) -> T:
        call = self._begin(operation)
        try:
            result = await work
        except BaseException as why:
            call.end(why)
            raise
        call.end(None)
        return result


@define(eq=False)
class _Call:
    """One call; its end is told once."""

    _backend: str
    _operation: str
    _watch: BackendWatch
    _monotonic: Callable[[], float]
    _began: float
    _seconds: float | None = None
    _is_told: bool = False

    def stop(self) -> None:
        """What comes from here on is not the backend's time alone."""
        self._seconds = self._monotonic() - self._began

    def end(self, why: BaseException | None) -> None:
        """It has ended so, and no other way."""
        if self._is_told:
            return
        self._is_told = True
        seconds = self._seconds
        # How long something took that was given up here says nothing of the backend.
        if seconds is None and not isinstance(why, CancelledError):
            seconds = self._monotonic() - self._began
        self._watch.called(self._backend, self._operation, seconds, why)


@define(eq=False)
class _Upload:
    """Matches :class:`s3proxy.manager.ports.Upload`."""

    _inner: Upload
    _call: _Call

    async def write(self, data: bytes) -> None:
        try:
            await self._inner.write(data)
        except BackendError as why:
            self._call.end(why)
            raise

    async def finish(self, data: bytes, *, md5: str) -> Stored:
        try:
            stored = await self._inner.finish(data, md5=md5)
        except BaseException as why:
            self._call.end(why)
            raise
        self._call.end(None)
        return stored

    def abort(self) -> None:
        self._call.end(CancelledError())
        self._inner.abort()


@define(eq=False)
class _Download:
    """Matches :class:`s3proxy.manager.ports.Download`."""

    _inner: Download
    _call: _Call

    async def read(self) -> bytes:
        try:
            data = await self._inner.read()
        except BackendError as why:
            self._call.end(why)
            raise
        if not data:
            self._call.end(None)
        return data

    def abort(self) -> None:
        self._call.end(CancelledError())
        self._inner.abort()
