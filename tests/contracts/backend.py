"""What :class:`s3proxy.manager.ports.Backend` promises."""

from __future__ import annotations

from hashlib import md5, sha256
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from s3proxy.errors import BackendMismatch, BackendMissing
from s3proxy.manager.ports import Backend, Download, Stored
from s3proxy.model import Copy

PIECE_BYTES = 64 * 1024
PATTERN = bytes(range(256)) * 4 + b"\n"


def make_copy(
    key: str, size_bytes: int, etag: str | None = None, backend: str = "b"
) -> Copy:
    """A copy as the ledger would name it, but for its ids."""
    return Copy("0", "0", backend, key, size_bytes, etag)


def sample(size_bytes: int) -> bytes:
    """Bytes that do not repeat at any power of two."""
    return (PATTERN * (size_bytes // len(PATTERN) + 1))[:size_bytes]


async def put(
    backend: Backend, key: str, data: bytes, headers: dict[str, str] | None = None
) -> Copy:
    """Store *data* in pieces, and name the copy."""
    copy = make_copy(key, len(data), backend=backend.name)
    upload = await backend.open_put(copy, headers or {}, sha256=None, md5=None)
    rest = data
    while len(rest) > PIECE_BYTES:
        await upload.write(rest[:PIECE_BYTES])
        rest = rest[PIECE_BYTES:]
    stored = await upload.finish(rest, md5=md5(data).hexdigest())
    return make_copy(key, len(data), stored.etag, backend.name)


async def read_all(download: Download) -> bytes:
    """Read to the end."""
    pieces = []
    while piece := await download.read():
        pieces.append(piece)
    return b"".join(pieces)


async def get(backend: Backend, copy: Copy) -> bytes:
    """The whole of a copy."""
    return await read_all(await backend.open_get(copy, 0, copy.size_bytes))


class BackendContract:
    """Subclass it and give it a ``backend`` fixture over an empty bucket."""

    @pytest.mark.parametrize(
        "size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 1_000_000], ids=str
    )
    @ensureDeferred
    async def test_what_was_put_is_got(self, backend: Backend, size: int) -> None:
        """Bytes come back as they went, and the ETag of a plain PUT is their MD5."""
        data = sample(size)
        copy = await put(backend, "some/key~01ABC", data)
        assert copy.backend_etag == md5(data).hexdigest()
        assert await get(backend, copy) == data

    @ensureDeferred
    async def test_known_hashes_are_taken(self, backend: Backend) -> None:
        """A body whose SHA-256 and MD5 are known before it goes is stored as well."""
        data = sample(1000)
        copy = make_copy("key", len(data), backend=backend.name)
        upload = await backend.open_put(
            copy, {}, sha256=sha256(data).hexdigest(), md5=md5(data).hexdigest()
        )
        await upload.finish(data, md5=md5(data).hexdigest())
        assert await get(backend, copy) == data

    @pytest.mark.parametrize(
        ("start", "end"), [(0, 1), (0, 299_999), (1, 300_000), (70_000, 70_001)]
    )
    @ensureDeferred
    async def test_ranges(self, backend: Backend, start: int, end: int) -> None:
        """A range is read without the bytes around it."""
        data = sample(300_000)
        copy = await put(backend, "key", data)
        download = await backend.open_get(copy, start, end)
        assert await read_all(download) == data[start:end]
        assert await download.read() == b""

    @ensureDeferred
    async def test_a_missing_key(self, backend: Backend) -> None:
        """What is not there is BackendMissing, for GET and HEAD alike."""
        with pytest.raises(BackendMissing):
            await backend.open_get(make_copy("absent", 5), 0, 5)
        with pytest.raises(BackendMissing):
            await backend.head("absent")

    @ensureDeferred
    async def test_what_is_not_as_recorded(self, backend: Backend) -> None:
        """Another ETag or another length is BackendMismatch before the first byte."""
        copy = await put(backend, "key", b"hello")
        other = make_copy("key", 5, md5(b"hallo").hexdigest())
        with pytest.raises(BackendMismatch):
            await backend.open_get(other, 0, 5)
        longer = make_copy("key", 6, copy.backend_etag)
        with pytest.raises(BackendMismatch):
            await backend.open_get(longer, 0, 6)
        shorter = make_copy("key", 4, copy.backend_etag)
        with pytest.raises(BackendMismatch):
            await backend.open_get(shorter, 1, 3)

    @pytest.mark.parametrize("size", [1, 1_000_000], ids=str)
    @ensureDeferred
    async def test_copy(self, backend: Backend, size: int) -> None:
        """The copy has the source's bytes, and says of itself what it was told to."""
        data = sample(size)
        told = {"content-type": "text/x-old", "x-amz-meta-old": "1"}
        told["x-amz-meta-s3proxy-part-id"] = "source"
        source = await put(backend, "from/ä +%25&.txt~01", data, told)
        target = make_copy("to/ü%2F+b.txt~02", size, backend=backend.name)
        new = {"content-type": "text/x-new", "x-amz-meta-new": "2"}
        new["x-amz-meta-s3proxy-part-id"] = "target"
        stored = await backend.copy(source, target, new, md5=md5(data).hexdigest())
        assert stored == Stored(md5(data).hexdigest())
        await backend.delete(source.backend_key, None)
        made = make_copy(target.backend_key, size, stored.etag)
        assert await get(backend, made) == data
        found, metadata = await backend.head(target.backend_key)
        assert (found.size_bytes, found.etag) == (size, stored.etag)
        assert metadata == {"new": "2", "s3proxy-part-id": "target"}

    @ensureDeferred
    async def test_copy_of_a_missing_key(self, backend: Backend) -> None:
        """BackendMissing, and nothing will be there."""
        target = make_copy("to", 5, backend=backend.name)
        with pytest.raises(BackendMissing) as caught:
            await backend.copy(make_copy("absent", 5), target, {}, md5="0" * 32)
        assert not caught.value.landed
        with pytest.raises(BackendMissing):
            await backend.head("to")

    @ensureDeferred
    async def test_copy_of_other_bytes(self, backend: Backend) -> None:
        """An ETag that is not the MD5 is BackendMismatch, and something is stored."""
        source = await put(backend, "from", b"hello")
        target = make_copy("to", 5, backend=backend.name)
        with pytest.raises(BackendMismatch) as caught:
            await backend.copy(source, target, {}, md5=md5(b"hallo").hexdigest())
        assert caught.value.landed

    @ensureDeferred
    async def test_delete(self, backend: Backend) -> None:
        """A deleted key is gone; deleting it again is fine."""
        await put(backend, "key", b"hello")
        await backend.delete("key", None)
        with pytest.raises(BackendMissing):
            await backend.head("key")
        await backend.delete("key", None)

    @ensureDeferred
    async def test_head(self, backend: Backend) -> None:
        """HEAD tells size, ETag and the user metadata that went with the PUT."""
        headers = {"content-type": "text/plain", "x-amz-meta-s3proxy-key": "a b+c"}
        copy = await put(backend, "key", b"hello", headers)
        found, metadata = await backend.head("key")
        assert (found.key, found.size_bytes) == ("key", 5)
        assert found.etag == copy.backend_etag
        assert metadata == {"s3proxy-key": "a b+c"}

    @ensureDeferred
    async def test_inspect(self, backend: Backend) -> None:
        """Everything that was stored with an object comes back."""
        kept = {
            "cache-control": "no-cache",
            "content-encoding": "gzip",
            "content-language": "de",
            "expires": "Wed, 21 Oct 2015 07:28:00 GMT",
        }
        headers = {"content-type": "text/plain", "x-amz-meta-who": "me", **kept}
        await put(backend, "key", b"hello", headers)
        found = await backend.inspect("key")
        assert (found.key, found.size_bytes) == ("key", 5)
        assert found.etag == found.md5 == md5(b"hello").hexdigest()
        assert found.content_type == "text/plain"
        assert (found.headers, found.user_metadata) == (kept, {"who": "me"})
        assert found.last_modified is not None
        assert not found.is_archived
        with pytest.raises(BackendMissing):
            await backend.inspect("absent")

    @ensureDeferred
    async def test_delete_unchanged(self, backend: Backend) -> None:
        """What is as it was is deleted; what has become another stays."""
        copy = await put(backend, "key", b"hello")
        await put(backend, "key", b"hallo")
        assert not await backend.delete_unchanged("key", None, 5, copy.backend_etag)
        copy = make_copy("key", 5, md5(b"hallo").hexdigest(), backend.name)
        assert await get(backend, copy) == b"hallo"
        assert await backend.delete_unchanged("key", None, 5, copy.backend_etag)
        with pytest.raises(BackendMissing):
            await backend.head("key")
        assert await backend.delete_unchanged("key", None, 5, copy.backend_etag)

    @ensureDeferred
    async def test_list(self, backend: Backend) -> None:
        """Every key under a prefix is listed, with its size and ETag."""
        for key in ("p/a", "p/b c+d", "q"):
            await put(backend, key, key.encode())
        keys, token = await backend.list_page("p/", None)
        assert token is None
        assert {(entry.key, entry.size_bytes, entry.etag) for entry in keys} == {
            (key, len(key), md5(key.encode()).hexdigest()) for key in ("p/a", "p/b c+d")
        }
        assert len((await backend.list_page("", None))[0]) == 3
        assert await backend.list_page("none", None) == ([], None)

    @pytest.mark.parametrize(
        "key",
        [
            "with space/a+b",
            "100%25/%2F%2",
            "ünï/日本語/\U0001f600",
            "~/01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "a!b'c(d)e*f;g:h@i&j=k$l,m?n#o[p]q",
            '"quoted" <xml> & pipe|caret^{}`',
        ],
    )
    @ensureDeferred
    async def test_odd_keys(self, backend: Backend, key: str) -> None:
        """Any key comes back from a listing as it went, and names the same bytes."""
        copy = await put(backend, key, b"hello", {"x-amz-meta-m": "v"})
        keys, _ = await backend.list_page("", None)
        assert [entry.key for entry in keys] == [key]
        assert await get(backend, copy) == b"hello"
        assert (await backend.head(key))[1] == {"m": "v"}
        assert len((await backend.list_page(key[:5], None))[0]) == 1
        await backend.delete(key, None)
        assert await backend.list_page("", None) == ([], None)

    @pytest.mark.parametrize(
        ("size", "sent"), [(0, 0), (1, 0), (PIECE_BYTES * 2, PIECE_BYTES)]
    )
    @ensureDeferred
    async def test_an_aborted_put_stores_nothing(
        self, backend: Backend, size: int, sent: int
    ) -> None:
        """A PUT given up before its last byte leaves the key as it was."""
        await put(backend, "key", b"before")
        copy = make_copy("key", size)
        upload = await backend.open_put(copy, {}, sha256=None, md5=None)
        if sent:
            await upload.write(sample(sent))
        upload.abort()
        upload.abort()
        assert (await backend.head("key"))[0].size_bytes == 6

    @ensureDeferred
    async def test_a_body_of_another_length(self, backend: Backend) -> None:
        """Finishing short of what was announced is a bug here, and stores nothing."""
        copy = make_copy("key", 10)
        upload = await backend.open_put(copy, {}, sha256=None, md5=None)
        with pytest.raises(ValueError, match=r"length|bytes"):
            await upload.finish(b"123", md5=md5(b"123").hexdigest())
        with pytest.raises(BackendMissing):
            await backend.head("key")

    @ensureDeferred
    async def test_bytes_that_are_not_the_ones_meant(self, backend: Backend) -> None:
        """An ETag that is not our MD5 is BackendMismatch, and something is stored."""
        copy = make_copy("key", 5)
        upload = await backend.open_put(copy, {}, sha256=None, md5=None)
        with pytest.raises(BackendMismatch) as caught:
            await upload.finish(b"hello", md5=md5(b"other").hexdigest())
        assert caught.value.landed

    @ensureDeferred
    async def test_an_aborted_get(self, backend: Backend) -> None:
        """A GET can be given up at any point, its end included, more than once."""
        copy = await put(backend, "key", sample(1_000_000))
        for reads in (0, 1, 1000):
            download = await backend.open_get(copy, 0, copy.size_bytes)
            for _ in range(reads):
                await download.read()
            download.abort()
            download.abort()
        assert await get(backend, copy) == sample(1_000_000)

    @ensureDeferred
    async def test_not_versioned(self, backend: Any) -> None:
        """A plain bucket keeps no versions."""
        assert await backend.versioned() is False
