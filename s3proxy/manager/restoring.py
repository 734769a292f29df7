"""
Finding a catalogue on the backends, without a ledger, by listing (protocol, rule 52).

What a backend object says of itself tells whose catalogue it is. The newest comes
first; what is cut off, or has been changed, is passed over for another copy of it, then
for an older one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import IO, TypeVar

from attrs import define, frozen
from twisted.internet.interfaces import IReactorTime

from s3proxy.errors import BackendError, BackendMissing
from s3proxy.manager.patience import patiently
from s3proxy.manager.ports import Backend, BackendKey
from s3proxy.model import Copy
from s3proxy.plan.catalogue import BUCKET, PREFIX, CatalogueError, Header, verify
from s3proxy.plan.description import read_description
from s3proxy.plan.naming import parse_name

T = TypeVar("T")


@frozen
class Candidate:
    """
    A backend object that says it is a catalogue.

    :ivar key: What the catalogue is called; later ones have later names.
    """

    backend_name: str
    key: str
    backend_key: str
    size_bytes: int
    installation_id: str


@frozen
class Verified:
    """A catalogue that has been read from end to end, and is as it was written."""

    candidate: Candidate
    header: Header
    counts: Mapping[str, int]


@define(eq=False)
class Search:
    """
    :ivar told: Gets a line for whatever is passed over.
    """

    _backends: Mapping[str, Backend]
    _clock: IReactorTime
    _told: Callable[[str], object]

    async def candidates(self) -> list[Candidate]:
        """
        All that there are, the newest first; each in the order of the backends.

        :raises BackendError: No backend can be listed.
        """
        found: list[Candidate] = []
        failures: list[BackendError] = []
        for name, backend in self._backends.items():
            try:
                found += await self._of(backend)
            except BackendError as why:
                failures.append(why)
                self._told(
                    f"WARNING: {name}: could not be searched: {why}. What is newer "
                    "there is not used"
                )
        if failures and len(failures) == len(self._backends):
            raise failures[0]
        # Stable: of one catalogue, the first backend's copy comes first.
        return sorted(found, key=lambda each: each.key, reverse=True)

    async def newest(
        self, candidates: Sequence[Candidate], file: IO[bytes]
    ) -> Verified | None:
        """
        The first of *candidates* that is whole; it is in *file* then.

        :returns: None: none of them is.
        """
        for each in candidates:
            place = f"{each.key} on {each.backend_name}"
            try:
                # Bound now: the call may be made more than once.
                await self._patiently(lambda each=each: self._fetch(each, file))  # type: ignore[misc]
                header, counts = verify(file)
            except (BackendError, CatalogueError) as why:
                self._told(f"{place}: refused: {why}")
                continue
            if (header.installation_id, header.key) != (each.installation_id, each.key):
                self._told(f"{place}: refused: it holds {header.key} of another")
                continue
            return Verified(each, header, counts)
        return None

    async def _of(self, backend: Backend) -> list[Candidate]:
        found = []
        token: str | None = None
        while True:
            page, token = await self._page(backend, token)
            for listed in page:
                candidate = await self._look(backend, listed)
                if candidate is not None:
                    found.append(candidate)
            if token is None:
                return found

    async def _page(
        self, backend: Backend, token: str | None
    ) -> tuple[Sequence[BackendKey], str | None]:
        return await self._patiently(lambda: backend.list_page(PREFIX, token))

    async def _look(self, backend: Backend, listed: BackendKey) -> Candidate | None:
        if parse_name(listed.key) is None:
            return None
        try:
            found = await self._patiently(lambda: backend.inspect(listed.key))
        except BackendMissing:
            return None
        told = read_description(listed.key, found.user_metadata)
        # A client's object may have such a name, but not in such a bucket.
        if told is None or told.bucket != BUCKET or told.is_manifest:
            return None
        return Candidate(
            backend.name, told.key, listed.key, found.size_bytes, told.installation_id
        )

    async def _fetch(self, candidate: Candidate, file: IO[bytes]) -> None:
        file.seek(0)
        file.truncate()
        size = candidate.size_bytes
        copy = Copy("", "", candidate.backend_name, candidate.backend_key, size)
        backend = self._backends[candidate.backend_name]
        download = await backend.open_get(copy, 0, size)
        try:
            while data := await download.read():
                file.write(data)
        finally:
            download.abort()

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        return await patiently(self._clock, call)
