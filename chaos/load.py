"""Clients that write and read the same few keys, and write down what they were told."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from random import Random
from xml.etree import ElementTree

from attrs import define, field

from chaos.bodies import BLOCK_BYTES, Content, body, differs
from chaos.client import Answer, Client
from chaos.history import Event
from tests.daemon import BUCKET
from tests.system.wire import parse_listing

KEYS = tuple(f"k{number:02}" for number in range(30))
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

#: After a refusal for want of a server, as a client does.
PAUSE_SECONDS = 0.05


@define(eq=False)
class Load:
    """
    :ivar seed: What each client does follows from it, as far as answers let it.
    :ivar ports: Where the daemons listen now.
    :ivar events: What happened, in the order of its end.
    :ivar counts: Requests, by operation and status.
    :ivar answers: How many of them were answered.
    """

    seed: int
    ports: Callable[[], Sequence[int]]
    events: list[Event] = field(factory=list)
    counts: Counter[str] = field(factory=Counter)
    answers: int = 0
    _writes: count[int] = field(factory=lambda: count(1))
    _contents: dict[int, Content] = field(factory=dict)
    _etags: dict[str, str] = field(factory=dict)
    _over: asyncio.Event = field(factory=asyncio.Event)
    _epoch: int = 0

    async def run(self, clients: int, seconds: float) -> None:
        """Keep it up for so long; returns when every client has its last answer."""
        self._over.clear()
        self._epoch += 1
        working = [asyncio.create_task(self._work(n)) for n in range(clients)]
        try:
            await asyncio.sleep(seconds)
        finally:
            self._over.set()
        await asyncio.gather(*working)

    def settled(self) -> None:
        """Nothing that began before can still take effect."""
        now = time.monotonic()
        self.events.append(Event("settled", "", now, now))

    async def read_all(self, port: int) -> list[str]:
        """Every key, and LIST, from one daemon; returns what could not be read."""
        client, failures = Client(), []
        for key in KEYS:
            status = (await self._get(client, port, key)).status
            if status not in (200, 404):
                failures.append(f"GET {key} is {status or 'not answered'}")
        if (status := await self._list(client, port)) != 200:
            failures.append(f"LIST is {status or 'not answered'}")
        client.close()
        return failures

    async def _work(self, number: int) -> None:
        random = Random(f"{self.seed}/{self._epoch}/{number}")
        client = Client(is_signing=number % 4 == 0)
        names, weights = list(WEIGHTS), list(WEIGHTS.values())
        while not self._over.is_set():
            ports = self.ports()
            if not ports:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            name = random.choices(names, weights)[0]
            turn = _Turn(self, client, number, random, random.choice(ports))
            work: Callable[[], Awaitable[int]] = getattr(turn, name)
            status = await work()
            self.counts[f"{name} {status}"] += 1
            self.answers += status != 0
            if status == 0 or status >= 500:
                await asyncio.sleep(PAUSE_SECONDS * (1 + random.random()))
        client.close()

    async def _get(
        self,
        client: Client,
        port: int,
        key: str,
        *,
        range_: tuple[int, int] | None = None,
        cut: int | None = None,
        number: int = 0,
    ) -> Answer:
        event = Event("get", key, time.monotonic(), client=number)
        headers = {} if range_ is None else {"range": f"bytes={range_[0]}-{range_[1]}"}
        answer = await client.request(port, "GET", key, headers=headers, cut=cut)
        event.end, event.status = time.monotonic(), answer.status
        if answer.status in (200, 206):
            self._look(event, answer, cut is None)
            self._etags[key] = event.etag
        self.events.append(event)
        return answer

    def _look(self, event: Event, answer: Answer, is_patient: bool) -> None:
        """Whose bytes are these?"""
        event.etag = answer.etag
        event.write = int(answer.headers.get("x-amz-meta-write", -1))
        start, size = 0, int(answer.headers["content-length"])
        if answer.status == 206:
            found = re.fullmatch(
                r"bytes (\d+)-(\d+)/(\d+)", answer.headers["content-range"]
            )
            assert found is not None, answer.headers
            start, size = int(found[1]), int(found[3])
        elif answer.is_whole and len(answer.body) != size:
            event.problem = f"{len(answer.body)} bytes of {size}"
        event.size = size
        if not size:
            event.content = 0
            return
        written = self._contents.get(event.write)
        at = -start % BLOCK_BYTES
        name = answer.body[at : at + 10]
        if name.isdigit() and len(name) == 10:
            event.content = int(name)
        elif written is not None:
            event.content = written.write
        if event.content is not None and not event.problem:
            event.problem = differs(answer.body, Content(event.content, size), start)

    async def _list(self, client: Client, port: int, number: int = 0) -> int:
        event = Event("list", "", time.monotonic(), client=number)
        query = {"list-type": "2", "encoding-type": "url", "max-keys": "1000"}
        answer = await client.request(port, "GET", query=query)
        event.end = time.monotonic()
        if answer.status == 200 and answer.is_whole:
            event.status = 200
            page = parse_listing(answer.body)
            event.listed = {key: etag for key, (etag, _) in page.contents.items()}
            self.events.append(event)
            return 200
        return answer.status if answer.is_whole else 0


@define(eq=False)
class _Turn:
    """One operation of one client."""

    load: Load
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

    def _new(self, kind: str, key: str, size: int | None) -> Event:
        write = next(self.load._writes)
        event = Event("put", key, 0.0, client=self.number, write=write)
        event.kind = kind  # type: ignore[assignment]
        if size is not None:
            event.size, event.content = size, write if size else 0
            self.load._contents[write] = Content(write, size)
        return event

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
        sent = {**(headers or {})}
        if event.write is not None and event.kind != "complete":
            sent["x-amz-meta-write"] = str(event.write)
        if event.condition == "absent":
            sent["if-none-match"] = "*"
        elif event.condition:
            sent["if-match"] = f'"{event.condition}"'
        is_first = not event.begin
        event.begin = event.begin or time.monotonic()
        answer = await self.client.request(
            self.port, method, event.key, data, sent, query, cut=cut
        )
        event.is_void = cut is not None or (
            is_first and (not answer.is_sent or UNCHANGED in answer.body)
        )
        event.status = answer.status if answer.is_whole else 0
        if event.status:
            event.end = time.monotonic()
        return answer

    async def put(self, condition: str = "", *, leave: bool = False) -> int:
        """A PUT, also over what is there."""
        size = self._size()
        event = self._new("put", self._key(), size)
        event.condition = condition
        data = body(Content(event.write or 0, size))
        event.etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        cut = self.random.randrange(size) if leave and size else None
        answer = await self._write(event, "PUT", data, cut=cut)
        self.load.events.append(event)
        if event.is_done:
            self.load._etags[event.key] = event.etag
            if answer.etag != event.etag:
                event.problem = f"ETag {answer.etag} for {event.etag}"
        return event.status

    async def put_absent(self) -> int:
        """If-None-Match: *."""
        return await self.put("absent")

    async def put_match(self) -> int:
        """If-Match with an ETag that somebody saw; of whatever key, now and then."""
        known = list(self.load._etags.values())
        if not known:
            return await self.put()
        size = self._size()
        event = self._new("put", self._key(), size)
        event.condition = self.load._etags.get(event.key) or self.random.choice(known)
        data = body(Content(event.write or 0, size))
        event.etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        await self._write(event, "PUT", data)
        self.load.events.append(event)
        if event.is_done:
            self.load._etags[event.key] = event.etag
        return event.status

    async def put_leave(self) -> int:
        """A client that goes away in the middle of its body."""
        return await self.put(leave=True)

    async def get(self) -> int:
        """The whole object."""
        answer = await self.load._get(
            self.client, self.port, self._key(), number=self.number
        )
        return answer.status

    async def get_range(self) -> int:
        """Some of it."""
        start = int(self.random.random() ** 3 * 40_000)
        end = start + self.random.randint(2 * BLOCK_BYTES, 60_000)
        answer = await self.load._get(
            self.client, self.port, self._key(), range_=(start, end), number=self.number
        )
        return answer.status

    async def get_leave(self) -> int:
        """A client that goes away in the middle of the answer."""
        answer = await self.load._get(
            self.client,
            self.port,
            self._key(),
            cut=self.random.randint(1, 50_000),
            number=self.number,
        )
        return answer.status

    async def list(self) -> int:
        """All keys."""
        return await self.load._list(self.client, self.port, self.number)

    async def delete(self) -> int:
        """A DELETE."""
        event = Event("delete", self._key(), 0.0, client=self.number)
        await self._write(event, "DELETE")
        self.load.events.append(event)
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
        self.load.events.append(event)
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
        joined = b"".join(bytes.fromhex(etag) for etag in etags)
        md5 = hashlib.md5(joined, usedforsecurity=False).hexdigest()
        event.etag = f"{md5}-{len(etags)}"
        root = ElementTree.Element("CompleteMultipartUpload")
        for number, etag in enumerate(etags, 1):
            part = ElementTree.SubElement(root, "Part")
            ElementTree.SubElement(part, "PartNumber").text = str(number)
            ElementTree.SubElement(part, "ETag").text = f'"{etag}"'
        document = ElementTree.tostring(root)
        for _ in range(3):
            await self._write(event, "POST", document, query={"uploadId": upload_id})
            if event.is_done or event.is_refused:
                break
            # Nobody has it for certain now, whatever becomes of the next attempt.
            await asyncio.sleep(PAUSE_SECONDS * 10)
            ports = self.load.ports()
            self.port = self.random.choice(ports) if ports else self.port
        self.load.events.append(event)
