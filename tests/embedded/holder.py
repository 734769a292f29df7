"""
A process that runs the embedded servers of a data directory until it is told to stop.

``python -m tests.embedded.holder DATA_DIR`` prints one line of JSON when they serve.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from attrs import asdict
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from s3proxy.embedded.runtime import Embedded


async def hold(clock: Any, data_dir: str) -> None:
    """Serve until SIGTERM, which ``react`` turns into a stop of the reactor."""
    embedded = Embedded(Path(data_dir), clock, want_postgres=True, want_s3=True)
    parts = await embedded.start()
    clock.addSystemEventTrigger(
        "before", "shutdown", lambda: Deferred.fromCoroutine(embedded.stop())
    )
    sys.stdout.write(json.dumps(asdict(parts)) + "\n")
    sys.stdout.flush()
    await Deferred()


if __name__ == "__main__":
    react(lambda clock: Deferred.fromCoroutine(hold(reactor, sys.argv[1])))
