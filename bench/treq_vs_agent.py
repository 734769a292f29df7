"""
What treq costs above the agent that signs, per small GET.

Both fetch 4 KiB from the same server process, which answers with ready bytes, in turns
within one run. ``python -m bench.treq_vs_agent [SECONDS]`` prints requests per second
of each and their ratio.

2026-11-22, 2 cores, Python 3.11, Twisted 26.10, treq 26.7: agent 9150/s, treq 5400/s,
ratio 0.53 to 0.60: far more than the 20 % above which a hot path goes past treq.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from s3proxy.backend.answers import collect
from s3proxy.backend.limits import Limits
from s3proxy.backend.signing import SigningAgent
from s3proxy.config import BackendConfig

BODY_BYTES = 4096
CONCURRENCY = 16
ROUNDS = 3

SERVER = f"""
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Length: {BODY_BYTES}\\r\\n\\r\\n"
ANSWER = HEAD + bytes({BODY_BYTES})
class Ready(Protocol):
    def dataReceived(self, data):
        self.transport.write(ANSWER * data.count(b"\\r\\n\\r\\n"))
port = reactor.listenTCP(0, Factory.forProtocol(Ready), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
"""


async def rate(
    get: Callable[[], Awaitable[Any]], reactor: Any, seconds: float
) -> float:
    """Requests per second of *get*, several at once."""
    start = time.perf_counter()
    done = 0

    async def work() -> None:
        nonlocal done
        while time.perf_counter() - start < seconds:
            body = await collect(await get(), 1 << 20, reactor, 60)
            assert len(body) == BODY_BYTES
            done += 1

    await gatherResults([Deferred.fromCoroutine(work()) for _ in range(CONCURRENCY)])
    return done / (time.perf_counter() - start)


async def run(reactor: Any, port: int, seconds: float) -> None:
    """Measure, and print one line a round."""
    config = BackendConfig(
        name="b",
        endpoint=f"http://127.0.0.1:{port}",
        region="us-east-1",
        bucket="bucket",
        access_key_id="key",
        secret_access_key="secret",
        force_path_style=True,
        quota_bytes=0,
    )
    agent = SigningAgent(
        config,
        reactor=reactor,
        clock=reactor,
        now=lambda: datetime.now(UTC),
        limits=Limits(),
    )
    client = HTTPClient(agent)
    url = agent.address.url("key")
    parsed = EncodedURL.from_text(url)
    try:
        for _ in range(ROUNDS):
            straight = await rate(
                lambda: agent.request(b"GET", url.encode()), reactor, seconds
            )
            through = await rate(
                lambda: client.request(
                    "GET", parsed, unbuffered=True, allow_redirects=False
                ),
                reactor,
                seconds,
            )
            sys.stdout.write(
                f"agent {straight:.0f}/s, treq {through:.0f}/s, "
                f"treq/agent {through / straight:.2f}\n"
            )
    finally:
        await agent.close()


def main() -> None:
    """Start the server, measure, stop it."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
    assert server.stdout is not None
    port = int(server.stdout.readline())
    try:
        react(lambda reactor: Deferred.fromCoroutine(run(reactor, port, seconds)))
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
