"""What one client does: each operation, and what it was told of it."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Sequence
from random import Random
from xml.etree import ElementTree

from attrs import define

from chaos.bodies import BLOCK_BYTES, Content, body
from chaos.client import Answer, Client
from chaos.history import Event, Kind
from chaos.record import KEYS, Record
from tests.daemon import BUCKET

MIB = 1024 * 1024
PART_BYTES = 5 * MIB

#: How often each operation is chosen.
WEIGHTS = {
    "put": 24,
    "put_absent": 6,
    "put_match": 8,
    "put_leave": 3,
    "get": 26,
    "get_range": 9,
    "get_leave": 2,
    "list": 4,
    "delete": 8,
    "copy": 7,
    "multipart": 3,
}

#: What some answers with status 503 promise of the object that is there.
UNCHANGED = b"The old one, if any, is unchanged."

#: Before Complete is asked again.
AGAIN_SECONDS = 0.5


def headers_of(event: Event) -> dict[str, str]:
    """What a write sends along: its number, its condition."""
    sent = {}
    if event.write is not None and event.kind != "complete":
        sent["x-amz-meta-write"] = str(event.write)
    if event.condition == "absent":
        sent["if-none-match"] = "*"
    elif event.condition:
        sent["if-match"] = f'"{event.condition}"'
    return sent


def is_nothing(answer: Answer) -> bool:
    """Whether it says that nothing has changed, though its status does not."""
    return not answer.is_sent or UNCHANGED in answer.body


def whole_etag(etags: Sequence[str]) -> str:
    """Of an object of such parts."""
    joined = b"".join(bytes.fromhex(etag) for etag in etags)
    md5 = hashlib.md5(joined, usedforsecurity=False).hexdigest()
    return f"{md5}-{len(etags)}"


def completion(etags: Sequence[str]) -> bytes:
    """The document that completes an upload."""
    root = ElementTree.Element("CompleteMultipartUpload")
    for number, etag in enumerate(etags, 1):
        part = ElementTree.SubElement(root, "Part")
        ElementTree.SubElement(part, "PartNumber").text = str(number)
        ElementTree.SubElement(part, "ETag").text = f'"{etag}"'
    return ElementTree.tostring(root)


@define(eq=False)
class Turn:
    """
    One operation of one client; each method is one, and returns the last status.

    :ivar ports: Where daemons listen; *port* is the one that is asked first.
    """

    record: Record
    ports: Callable[[], Sequence[int]]
    client: Client
    number: int
    random: Random
    port: int

    def _key(self) -> str:
        # Some keys are wanted by all.
        return KEYS[int(len(KEYS) * self.random.random() ** 2)]

    def _size(self) -> int:
        which = self.random.random()
        if which < 0.03:
            return 0
        if which < 0.6:
            return self.random.randint(BLOCK_BYTES, 4000)
        if which < 0.95:
            return self.random.randint(4000, 80_000)
        return self.random.randint(MIB, 2 * MIB)

    def _new(self, kind: Kind, key: str, size: int | None) -> Event:
        return self.record.new(kind, key, self.number, size)

    async def _write(
        self,
        event: Event,
        method: str,
        data: bytes = b"",
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> Answer:
        """Send a write, and write down what came of it."""
        sent = {**(headers or {}), **headers_of(event)}
        is_first = not event.begin
        event.begin = event.begin or time.monotonic()
        answer = await self.client.request(
            self.port, method, event.key, data, sent, query, cut=cut
        )
        event.is_void = cut is not None or (is_first and is_nothing(answer))
        event.status = answer.status if answer.is_whole else 0
        if event.status:
            event.end = time.monotonic()
        return answer

    async def put(
        self, condition: str = "", *, key: str = "", leave: bool = False
    ) -> int:
        """A PUT, also over what is there."""
        size = self._size()
        event = self._new("put", key or self._key(), size)
        event.condition = condition
        data = body(Content(event.write or 0, size))
        event.etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        cut = self.random.randrange(size) if leave and size else None
        answer = await self._write(event, "PUT", data, cut=cut)
        self.record.events.append(event)
        if event.is_done:
            self.record.etags[event.key] = event.etag
            if answer.etag != event.etag:
                event.problem = f"ETag {answer.etag} for {event.etag}"
        return event.status

    async def put_absent(self) -> int:
        """If-None-Match: *."""
        return await self.put("absent")

    async def put_match(self) -> int:
        """If-Match with an ETag that somebody saw; of whatever key, now and then."""
        known = list(self.record.etags.values())
        if not known:
            return await self.put()
        key = self._key()
        etag = self.record.etags.get(key) or self.random.choice(known)
        return await self.put(etag, key=key)

    async def put_leave(self) -> int:
        """A client that goes away in the middle of its body."""
        return await self.put(leave=True)

    async def get(self) -> int:
        """The whole object."""
        answer = await self.record.get(
            self.client, self.port, self._key(), number=self.number
        )
        return answer.status

    async def get_range(self) -> int:
        """Some of it."""
        start = int(self.random.random() ** 3 * 40_000)
        end = start + self.random.randint(2 * BLOCK_BYTES, 60_000)
        answer = await self.record.get(
            self.client, self.port, self._key(), wanted=(start, end), number=self.number
        )
        return answer.status

    async def get_leave(self) -> int:
        """A client that goes away in the middle of the answer."""
        answer = await self.record.get(
            self.client,
            self.port,
            self._key(),
            cut=self.random.randint(1, 50_000),
            number=self.number,
        )
        return answer.status

    async def list(self) -> int:
        """All keys."""
        return await self.record.list(self.client, self.port, self.number)

    async def delete(self) -> int:
        """A DELETE."""
        event = Event("delete", self._key(), 0.0, client=self.number)
        await self._write(event, "DELETE")
        self.record.events.append(event)
        return event.status

    async def copy(self) -> int:
        """A copy to another key, or to itself, under new metadata."""
        event = self._new("copy", self._key(), None)
        event.source = self._key()
        headers = {
            "x-amz-copy-source": f"/{BUCKET}/{event.source}",
            "x-amz-metadata-directive": "REPLACE",
        }
        answer = await self._write(event, "PUT", headers=headers)
        if event.is_done:
            event.etag = answer.etag
        self.record.events.append(event)
        return event.status

    async def multipart(self) -> int:
        """Create, parts, Complete; Complete again where its outcome is unknown."""
        is_large = self.random.random() < 0.15
        sizes = [PART_BYTES] * is_large + [self.random.randint(BLOCK_BYTES, 90_000)]
        event = self._new("complete", self._key(), sum(sizes))
        answer = await self.client.request(
            self.port,
            "POST",
            event.key,
            headers={"x-amz-meta-write": str(event.write)},
            query={"uploads": ""},
        )
        found = re.search(rb"<UploadId>([^<]+)", answer.body)
        if answer.status != 200 or found is None:
            return answer.status
        upload_id = found[1].decode()
        etags, at = [], 0
        for number, size in enumerate(sizes, 1):
            data = body(Content(event.write or 0, sum(sizes)), at, at + size)
            at += size
            answer = await self.client.request(
                self.port,
                "PUT",
                event.key,
                data,
                query={"partNumber": str(number), "uploadId": upload_id},
            )
            if answer.status != 200:
                return answer.status
            etags.append(hashlib.md5(data, usedforsecurity=False).hexdigest())
        await self._complete(event, upload_id, etags)
        return event.status

    async def _complete(
        self, event: Event, upload_id: str, etags: Sequence[str]
    ) -> None:
        event.etag = whole_etag(etags)
        document = completion(etags)
        for attempt in range(3):
            await self._write(event, "POST", document, query={"uploadId": upload_id})
            if event.is_refused and attempt:
                # That this one was refused (it was late) says nothing of the first.
                event.status, event.end = 0, None
                break
            if event.is_done or event.is_refused:
                break
            # Nobody has it for certain now, whatever becomes of the next attempt.
            await asyncio.sleep(AGAIN_SECONDS)
            ports = self.ports()
            self.port = self.random.choice(ports) if ports else self.port
        self.record.events.append(event)
