"""Backends over the network: their calls, and bodies piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field

from s3proxy.errors import BackendMismatch, BackendMissing, BackendUnavailable
from s3proxy.manager.ports import BackendKey, Stored
from s3proxy.model import Copy, FoundObject
from tests.fakes.backend import MemoryBackend
from tests.simulation.faults import Fate
from tests.simulation.owner import Owner
from tests.simulation.remote_ledger import Promises
from tests.simulation.scheduler import Scheduler, at_once

#: So many bytes of a download come at a time.
PIECE_BYTES = 150


@define(eq=False)
class RemoteBackend:
    """:class:`s3proxy.manager.ports.Backend`, at the other end of a connection."""

    _inner: MemoryBackend
    _owner: Owner
    _scheduler: Scheduler
    _promises: Promises

    @property
    def name(self) -> str:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        return self._inner.name

    async def open_put(
        self,
        copy: Copy,
        headers: dict[str, str],
        *,
        sha256: str | None,
        md5: str | None,
    ) -> RemoteUpload:
        """See :class:`~s3proxy.manager.ports.Backend`."""
        await self.call(f"PUT {copy.backend_key}", lambda: None, landed=False)
        return RemoteUpload(self, copy, dict(headers))

    async def open_get(self, copy: Copy, start: int, end: int) -> RemoteDownload:
        """See :class:`~s3proxy.manager.ports.Backend`."""

        def do() -> bytes:
            try:
                download = at_once(self._inner.open_get(copy, start, end))
            except BackendMissing:
                self._promises.missing(copy)
                raise
            return download._data

        data: bytes = await self.call(f"GET {copy.backend_key} {start}-{end}", do)
        return RemoteDownload(self, data)

    async def copy(
        self, source: Copy, target: Copy, headers: dict[str, str], *, md5: str
    ) -> Stored:
        """See :class:`~s3proxy.manager.ports.Backend`."""

        def do() -> Stored:
            return at_once(self._inner.copy(source, target, headers, md5=md5))

        words = f"COPY {source.backend_key} to {target.backend_key}"
        stored: Stored = await self.call(words, do, is_put=True)
        return stored

    async def delete(self, backend_key: str, version_id: str | None) -> None:
        """See :class:`~s3proxy.manager.ports.Backend`."""

        def do() -> None:
            at_once(self._inner.delete(backend_key, version_id))

        await self.call(f"DELETE {backend_key}", do)

    async def head(self, backend_key: str) -> tuple[BackendKey, dict[str, str]]:
        """See :class:`~s3proxy.manager.ports.Backend`."""

        def do() -> tuple[BackendKey, dict[str, str]]:
            return at_once(self._inner.head(backend_key))

        found: tuple[BackendKey, dict[str, str]] = await self.call(
            f"HEAD {backend_key}", do
        )
        return found

    async def delete_unchanged(
        self,
        backend_key: str,
        version_id: str | None,
        size_bytes: int,
        etag: str | None,
    ) -> bool:
        """Nothing is adopted here."""
        raise NotImplementedError

    async def inspect(self, backend_key: str) -> FoundObject:
        """Likewise."""
        raise NotImplementedError

    async def list_page(
        self, prefix: str, token: str | None
    ) -> tuple[list[BackendKey], str | None]:
        """Likewise."""
        raise NotImplementedError

    async def call(
        self,
        words: str,
        do: Callable[[], Any],
        *,
        is_put: bool = False,
        landed: bool = True,
    ) -> Any:
        """
        :param landed: Whether the whole body may be there where the answer is not.
        """
        scheduler = self._scheduler
        fate = scheduler.weather.of_backend(scheduler.random, is_put=is_put)
        if fate is Fate.CORRUPT:
            fate = Fate.DONE

            def corrupt(do: Callable[[], Any] = do) -> Any:
                self._inner.corrupt()
                return do()

            do, words = corrupt, f"{words} [corrupt]"

        def error(fate: Fate) -> Exception:
            may_land = landed and fate is not Fate.REFUSED
            return BackendUnavailable(self.name, fate.value, landed=may_land)

        return await scheduler.call(
            self._owner, f"{self.name} {words}", do, fate, error
        )


@define(eq=False)
class RemoteUpload:
    """A PUT under way: its backend sees it when it is whole."""

    _backend: RemoteBackend
    _copy: Copy
    _headers: dict[str, str]
    _data: bytearray = field(factory=bytearray)
    _is_aborted: bool = False

    async def write(self, data: bytes) -> None:
        """See :class:`~s3proxy.manager.ports.Upload`."""
        self._check()
        words = f"{self._copy.backend_key}: {len(data)} bytes"
        await self._backend.call(words, lambda: None, landed=False)
        self._data += data

    async def finish(self, data: bytes, *, md5: str) -> Stored:
        """See :class:`~s3proxy.manager.ports.Upload`."""
        self._check()
        whole = bytes(self._data) + data
        if len(whole) != self._copy.size_bytes:
            raise ValueError("another length than announced")

        def do() -> Stored:
            stored = self._backend._inner.land(self._copy, self._headers, whole)
            if stored.etag != md5:
                raise BackendMismatch(self._backend.name, "another ETag")
            return stored

        stored: Stored = await self._backend.call(
            f"{self._copy.backend_key}: the last of {len(whole)} bytes",
            do,
            is_put=True,
        )
        return stored

    def abort(self) -> None:
        """See :class:`~s3proxy.manager.ports.Upload`."""
        self._is_aborted = True

    def _check(self) -> None:
        if self._is_aborted:
            raise BackendUnavailable(self._backend.name, "aborted")


@define(eq=False)
class RemoteDownload:
    """A GET under way: its backend goes on with what it has opened."""

    _backend: RemoteBackend
    _left: bytes
    _is_aborted: bool = False

    async def read(self) -> bytes:
        """See :class:`~s3proxy.manager.ports.Download`."""
        if self._is_aborted:
            raise BackendUnavailable(self._backend.name, "aborted")
        if not self._left:
            return b""
        await self._backend.call(f"{len(self._left)} bytes to come", lambda: None)
        piece, self._left = self._left[:PIECE_BYTES], self._left[PIECE_BYTES:]
        return piece

    def abort(self) -> None:
        """See :class:`~s3proxy.manager.ports.Download`."""
        self._is_aborted = True
