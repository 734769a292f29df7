"""What was done and told, by all clients together; and reads, with whose bytes came."""

from __future__ import annotations

import re
import time
from itertools import count

from attrs import define, field

from chaos.bodies import BLOCK_BYTES, Content, differs
from chaos.client import Answer, Client
from chaos.history import Event, Kind
from tests.system.wire import parse_listing

#: Few enough for clients to meet.
KEYS = tuple(f"k{number:02}" for number in range(30))


@define(eq=False)
class Record:
    """
    :ivar events: What happened, in the order of its end.
    :ivar contents: Of every write but copies, by its number.
    :ivar etags: The one that was last seen at each key, by anybody.
    """

    events: list[Event] = field(factory=list)
    contents: dict[int, Content] = field(factory=dict)
    etags: dict[str, str] = field(factory=dict)
    _writes: count[int] = field(factory=lambda: count(1))

    def new_write(self) -> int:
        """A number that no other write has."""
        return next(self._writes)

    def new(self, kind: Kind, key: str, client: int, size: int | None) -> Event:
        """
        A write that has not begun.

        :param size: Of its body; None where that is another's.
        """
        event = Event(kind, key, 0.0, client=client, write=self.new_write())
        if size is not None:
            assert event.write is not None
            event.size, event.content = size, event.write if size else 0
            self.contents[event.write] = Content(event.write, size)
        return event

    def settled(self) -> None:
        """Nothing that began before can still take effect."""
        now = time.monotonic()
        self.events.append(Event("settled", "", now, now))

    async def read_all(self, port: int) -> list[str]:
        """Every key, and LIST, from one daemon; returns what could not be read."""
        client, failures = Client(), []
        for key in KEYS:
            answer = await self.get(client, port, key)
            if answer.status not in (200, 404) or not answer.is_whole:
                failures.append(f"GET {key} is {answer.status or 'not answered'}")
        if (status := await self.list(client, port)) != 200:
            failures.append(f"LIST is {status or 'not answered'}")
        client.close()
        return failures

    async def get(
        self,
        client: Client,
        port: int,
        key: str,
        *,
        wanted: tuple[int, int] | None = None,
        cut: int | None = None,
        number: int = 0,
    ) -> Answer:
        """
        Read a key, and write down what came.

        :param wanted: First and last byte, where it is a range.
        :param cut: After so many bytes the client leaves.
        """
        event = Event("get", key, time.monotonic(), client=number)
        headers = {} if wanted is None else {"range": f"bytes={wanted[0]}-{wanted[1]}"}
        answer = await client.request(port, "GET", key, headers=headers, cut=cut)
        event.end, event.status = time.monotonic(), answer.status
        if answer.status in (200, 206):
            self._look(event, answer, wanted)
            self.etags[key] = event.etag
        self.events.append(event)
        return answer

    async def list(self, client: Client, port: int, number: int = 0) -> int:
        """Read the list of all keys; returns the status."""
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

    def _look(
        self, event: Event, answer: Answer, wanted: tuple[int, int] | None
    ) -> None:
        """Whose bytes are these?"""
        event.etag = answer.etag
        event.write = int(answer.headers.get("x-amz-meta-write", -1))
        length = int(answer.headers["content-length"])
        start, event.size = 0, length
        if answer.status == 206 and wanted is not None:
            told = answer.headers["content-range"]
            found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", told)
            assert found is not None, told
            start, event.size = int(found[1]), int(found[3])
            if (start, int(found[2])) != (wanted[0], min(wanted[1], event.size - 1)):
                event.problem = f"{told} for {wanted}"
        if answer.is_whole and len(answer.body) != length:
            event.problem = f"{len(answer.body)} bytes of {length}"
        if not event.size:
            event.content = 0
            return
        written = self.contents.get(event.write)
        at = -start % BLOCK_BYTES
        name = answer.body[at : at + 10]
        if name.isdigit() and len(name) == 10:
            event.content = int(name)
        elif written is not None:
            event.content = written.write
        if event.content is not None and not event.problem:
            content = Content(event.content, event.size)
            event.problem = differs(answer.body, content, start)
