"""Clients that write and read the same few keys, all at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from attrs import define, field

from chaos.client import Client
from chaos.operations import WEIGHTS, Turn
from chaos.record import Record

#: After a refusal for want of a server, as a client does.
PAUSE_SECONDS = 0.05


@define(eq=False)
class Load:
    """
    :ivar seed: What each client does follows from it, as far as answers let it.
    :ivar ports: Where the daemons listen now.
    :ivar counts: Requests, by operation and status.
    :ivar answers: How many of them were answered.
    """

    seed: int
    ports: Callable[[], Sequence[int]]
    record: Record = field(factory=Record)
    counts: Counter[str] = field(factory=Counter)
    answers: int = 0
    _over: asyncio.Event = field(factory=asyncio.Event)
    _epoch: int = 0

    async def run(self, clients: int, seconds: float) -> None:
        """Keep it up for so long; returns when every client has its last answer."""
        self._over.clear()
        self._epoch += 1
        async with asyncio.TaskGroup() as working:
            for number in range(clients):
                working.create_task(self._work(number))
            await asyncio.sleep(seconds)
            self._over.set()

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
            port = random.choice(ports)
            turn = Turn(self.record, self.ports, client, number, random, port)
            work: Callable[[], Awaitable[int]] = getattr(turn, name)
            status = await work()
            self.counts[f"{name} {status}"] += 1
            self.answers += status != 0
            if status == 0 or status >= 500:
                await asyncio.sleep(PAUSE_SECONDS * (1 + random.random()))
        client.close()
