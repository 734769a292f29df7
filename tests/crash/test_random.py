"""Two daemons under load, killed at moments that nobody chose."""

from __future__ import annotations

import os
import random
import secrets
import sys
import threading
from contextlib import ExitStack
from typing import Any

from attrs import define, field
from botocore.exceptions import BotoCoreError, ClientError

from tests.crash.ground import PATIENCE_SECONDS, BreakableDaemon, Ground, Grounds
from tests.crash.history import body, read
from tests.daemon import SHORT_LEDGER
from tests.effort import efforts

WORKERS = 4
SIZES = (0, 1, 5_000, 70_000, 1_100_000, 2_000_000)


@define(eq=False)
class Load:
    """
    Clients that write, read and delete: each its own keys, and some that all share.

    :ivar clients: One of each daemon, replaced at its restart.
    :ivar done: Counts operations that had an answer.
    :ivar bodies: What was ever sent to a key.
    """

    ground: Ground
    seed: int
    clients: list[Any]
    done: threading.Semaphore = field(factory=lambda: threading.Semaphore(0))
    stop: threading.Event = field(factory=threading.Event)
    bodies: dict[str, set[bytes | None]] = field(factory=dict)

    def work(self, number: int) -> None:
        """One client, until it is told to stop."""
        chosen = random.Random(f"{self.seed}/{number}")
        prefix = self.ground.prefix
        own = [f"{prefix}own-{number}/{each}" for each in range(2)]
        shared = [f"{prefix}shared/{each}" for each in range(2)]
        while not self.stop.is_set():
            key = chosen.choice([*own, *own, *shared])
            owner = chosen.randrange(2)
            what = chosen.choice(("put", "put", "get", "get", "delete"))
            data = body(chosen.choice(SIZES)) if what == "put" else b""
            try:
                self._once(what, key, data, owner, key in own)
            except (BotoCoreError, ClientError):
                # A read that was broken off, or nobody was there: for a while.
                self.stop.wait(0.01)
                continue
            self.done.release()

    def wait(self, count: int) -> None:
        """Until so many more operations had an answer."""
        for _ in range(count):
            assert self.done.acquire(timeout=PATIENCE_SECONDS)

    def _once(self, what: str, key: str, data: bytes, owner: int, is_own: bool) -> None:
        history, client = self.ground.history, self.clients[owner]
        sent = self.bodies.setdefault(key, {None})
        if what == "put":
            sent.add(data)
            history.put(client, key, data, owner=owner)
        elif what == "delete":
            history.delete(client, key, owner=owner)
        else:
            found = read(client, key)
            # Never a mix; and of one's own keys, never what was overwritten.
            assert found in (history.possible(key) if is_own else sent), key


@efforts(few=4, many=24)
def test_random_kills(grounds: Grounds, effort: int) -> None:
    """What was acknowledged is there, whoever dies; and all the rest is cleaned up."""
    rounds = int(os.environ.get("CRASH_ROUNDS") or effort)
    seed = int(os.environ.get("CRASH_SEED") or secrets.randbits(32))
    sys.stderr.write(f"CRASH_SEED={seed}\n")
    chosen = random.Random(seed)
    with ExitStack() as stack:
        ground: Ground = grounds.make(stack, {"a": 0, "b": 0}, ledger=SHORT_LEDGER)
        daemons = [
            ground.daemon,
            stack.enter_context(
                BreakableDaemon(ground.database, ground.backends, ledger=SHORT_LEDGER)
            ),
        ]
        load = Load(ground, seed, [each.client() for each in daemons])
        stack.callback(load.stop.set)
        working = [ground.later(load.work, number) for number in range(WORKERS)]
        for number in range(rounds):
            load.wait(chosen.randint(5, 25))
            # All of them die now and then.
            dying = [0, 1] if number % 4 == 3 else [chosen.randrange(2)]
            for which in dying:
                daemons[which].kill()
            for which in dying:
                ground.history.over(which)
                daemons[which].start()
                load.clients[which] = daemons[which].client()
        load.wait(10)
        load.stop.set()
        for each in working:
            each.result()
        assert sum(each.is_acknowledged for each in ground.history.writes) > rounds
        for owner in range(2):
            ground.history.over(owner)
        ground.verify(*daemons)
