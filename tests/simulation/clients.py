"""What clients do, and what they are told: one coroutine for each operation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import urlencode

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from chaos.bodies import BLOCK_BYTES, Content, body
from chaos.client import Answer
from chaos.history import Event
from chaos.operations import completion, headers_of, is_nothing, whole_etag
from chaos.record import Record
from tests.simulation.process import BUCKET, Process
from tests.simulation.scheduler import Scheduler
from tests.simulation.wire import Wire, request
from tests.system.wire import parse_listing

KEYS = ("a", "b", "dir/c")

#: How often each operation is chosen.
WEIGHTS = {
    "put": 20,
    "put_absent": 6,
    "put_match": 6,
    "put_leave": 3,
    "get": 20,
    "get_range": 6,
    "list": 4,
    "delete": 10,
    "copy": 8,
    "multipart": 8,
}


def some_of(weights: Mapping[str, int], random: Random) -> dict[str, int]:
    """Some operations are left out, some come often: those meet more often."""
    kept = {name: each * random.choice((0, 1, 4)) for name, each in weights.items()}
    return {**kept, "put": max(kept["put"], weights["put"])}


@define(eq=False)
class Clients:
    """
    All of them.

    :ivar processes: Those that can be asked.
    :ivar weights: How often each operation is chosen.
    :ivar wires: Requests under way.
    :ivar failures: Answers that no client can make sense of.
    """

    scheduler: Scheduler
    record: Record
    processes: Callable[[], Sequence[Process]]
    weights: Mapping[str, int]
    keys: Sequence[str]
    wires: list[Wire] = field(factory=list)
    failures: list[str] = field(factory=list)
    running: int = 0

    @property
    def random(self) -> Random:
        """The schedule's."""
        return self.scheduler.random

    def start(self, number: int) -> None:
        """Some client begins some operation."""
        names, weights = zip(*self.weights.items(), strict=True)
        (name,) = self.random.choices(names, weights)
        self.run(getattr(self, name)(number), f"client {number}: {name}")

    def run(self, work: Coroutine[Any, Any, None], words: str) -> Deferred[None]:
        """Begin that one."""
        self.scheduler.note(words)
        self.running += 1
        doing = Deferred.fromCoroutine(work)

        def ended(result: object) -> object:
            self.running -= 1
            if isinstance(result, Failure):
                self.failures.append(f"{words}: {result.getTraceback()}")
                return None
            return result

        doing.addBoth(ended)
        return doing

    # Operations ---

    async def put(
        self, number: int, condition: str = "", *, key: str = "", leave: bool = False
    ) -> None:
        """A PUT, also over what is there."""
        size = self._size()
        event = self.record.new("put", key or self._key(), number, size)
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

    async def put_absent(self, number: int) -> None:
        """If-None-Match: *."""
        await self.put(number, "absent")

    async def put_match(self, number: int) -> None:
        """If-Match with an ETag that somebody saw."""
        key = self._key()
        await self.put(number, self.record.etags.get(key, ""), key=key)

    async def put_leave(self, number: int) -> None:
        """A client that goes away in the middle of its body."""
        await self.put(number, leave=True)

    async def get(self, number: int, *, key: str = "", process: Any = None) -> Answer:
        """The whole object."""
        return await self._get(number, key or self._key(), None, process)

    async def get_range(self, number: int) -> None:
        """Some of it."""
        start = self.random.randrange(300)
        end = start + self.random.randint(2 * BLOCK_BYTES, 400)
        await self._get(number, self._key(), (start, end))

    async def list(self, number: int, *, process: Any = None) -> Answer:
        """All keys."""
        event = Event("list", "", self._now(), client=number)
        query = {"list-type": "2", "encoding-type": "url"}
        answer = await self._ask("GET", "", query=query, process=process)
        event.end, event.status = self._now(), answer.status
        if event.is_done:
            page = parse_listing(answer.body)
            event.listed = {key: etag for key, (etag, _) in page.contents.items()}
            self.record.events.append(event)
        return answer

    async def delete(self, number: int) -> None:
        """A DELETE."""
        event = Event("delete", self._key(), 0.0, client=number)
        await self._write(event, "DELETE")
        self.record.events.append(event)

    async def copy(self, number: int) -> None:
        """A copy to another key, or to itself, under new metadata."""
        event = self.record.new("copy", self._key(), number, None)
        event.source = self._key()
        headers = {
            "x-amz-copy-source": f"/{BUCKET}/{event.source}",
            "x-amz-metadata-directive": "REPLACE",
        }
        answer = await self._write(event, "PUT", headers=headers)
        if event.is_done:
            event.etag = answer.etag
        self.record.events.append(event)

    async def multipart(self, number: int) -> None:
        """Create, parts, some of them twice, Complete; or it is left, or aborted."""
        sizes = [self._size() for _ in range(self.random.randint(1, 3))]
        event = self.record.new("complete", self._key(), number, sum(sizes))
        answer = await self._ask(
            "POST",
            event.key,
            headers={"x-amz-meta-write": str(event.write)},
            query={"uploads": ""},
        )
        found = re.search(rb"<UploadId>([^<]+)", answer.body)
        if answer.status != 200 or found is None:
            return
        upload_id, etags, at = found[1].decode(), [], 0
        for part_number, size in enumerate(sizes, 1):
            data = body(Content(event.write or 0, sum(sizes)), at, at + size)
            at += size
            query = {"partNumber": str(part_number), "uploadId": upload_id}
            answer = await self._ask("PUT", event.key, data, query=query)
            if answer.status != 200 or self.random.random() < 0.1:
                answer = await self._ask("PUT", event.key, data, query=query)
            if answer.status != 200:
                return
            etags.append(hashlib.md5(data, usedforsecurity=False).hexdigest())
        if self.random.random() < 0.1:
            await self._ask("DELETE", event.key, query={"uploadId": upload_id})
            return
        event.etag = whole_etag(etags)
        document = completion(etags)
        for attempt in range(2):
            await self._write(event, "POST", document, query={"uploadId": upload_id})
            if event.is_refused and attempt:
                # That this one was refused (it was late) says nothing of the first.
                event.status, event.end = 0, None
                break
            if event.is_done or event.is_refused:
                break
        self.record.events.append(event)

    # Inside ---

    def _now(self) -> float:
        self.scheduler.now += 1
        return float(self.scheduler.now)

    def _key(self) -> str:
        return self.random.choice(self.keys)

    def _size(self) -> int:
        return self.random.choice((0, 64, 100, 300, 500))

    async def _write(
        self,
        event: Event,
        method: str,
        data: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        cut: int | None = None,
    ) -> Answer:
        """Send a write, and write down what came of it."""
        sent = {**(headers or {}), **headers_of(event)}
        is_first = not event.begin
        event.begin = event.begin or self._now()
        answer = await self._ask(method, event.key, data, sent, query, cut=cut)
        event.is_void = cut is not None or (is_first and is_nothing(answer))
        event.status = answer.status if answer.is_whole else 0
        if event.status:
            event.end = self._now()
        return answer

    async def _get(
        self,
        number: int,
        key: str,
        wanted: tuple[int, int] | None,
        process: Process | None = None,
    ) -> Answer:
        event = Event("get", key, self._now(), client=number)
        headers = {} if wanted is None else {"range": f"bytes={wanted[0]}-{wanted[1]}"}
        answer = await self._ask("GET", key, headers=headers, process=process)
        event.end, event.status = self._now(), answer.status
        if answer.status in (200, 206):
            self.record._look(event, answer, wanted)
            self.record.etags[key] = event.etag
        self.record.events.append(event)
        return answer

    async def _ask(
        self,
        method: str,
        key: str,
        data: bytes = b"",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        *,
        cut: int | None = None,
        process: Process | None = None,
    ) -> Answer:
        there = [process] if process is not None else self.processes()
        if not there:
            return Answer(0, is_sent=False)
        chosen = self.random.choice(there)
        came: Deferred[Answer] = Deferred()

        def done(answer: Answer) -> None:
            self.wires.remove(wire)
            self.scheduler.note(f"client is told {answer.status or 'nothing'}")
            came.callback(answer)

        wire = Wire(self.scheduler, chosen, done, cut)
        self.wires.append(wire)
        path = f"/{BUCKET}/{key}" if key else f"/{BUCKET}"
        path += f"?{urlencode(query)}" if query else ""
        wire.send(request(method, path, headers or {}, data), data)
        return await came
