"""s3proxy.front: listeners by the configuration, and another configuration for them."""

from __future__ import annotations

import resource
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import yaml
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from s3proxy import front as front_module
from s3proxy.config import (
    Config,
    MetricsConfig,
    RateLimitConfig,
    ServerConfig,
    TelemetryConfig,
)
from s3proxy.errors import ConfigError, TooManyRequests
from s3proxy.front import Front
from s3proxy.web.metrics_site import make_metrics_site
from s3proxy.web.site import StreamingSite
from tests.certificates import Authority
from tests.daemon import ROOT

Open = Callable[..., tuple[Front, int]]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def site_for(front: Front) -> StreamingSite:
    """Any site will do: one that says ok to /health."""
    assert front.registry is not None
    return make_metrics_site(front.registry, "/numbers", clock=reactor, now=now)


def make_config(**server: Any) -> Config:
    metrics = MetricsConfig(enabled=True)
    return Config(
        Path("/nowhere"),
        server=ServerConfig(listen_addr="127.0.0.1:0", **server),
        telemetry=TelemetryConfig(metrics=metrics),
    )


@pytest_twisted.async_yield_fixture
async def opened() -> AsyncIterator[Open]:
    """``opened(config)``: a front, and the port of its site."""
    fronts = []

    def make(config: Config) -> tuple[Front, int]:
        front = Front(config, reactor=reactor, now=now)
        fronts.append(front)
        address: Any = front.open(site_for(front)).getHost()
        return front, address.port

    yield make
    for front in fronts:
        await front.close()


async def reload(front: Front, config: Config) -> None:
    """Put another configuration in force, as SIGHUP does."""
    (await front.applier.prepare(config))()


async def fetch(url: str, authority: Authority | None = None) -> bytes:
    context = None
    if authority is not None:
        context = ssl.create_default_context(cafile=str(authority.ca_file))

    def run() -> bytes:
        request = urllib.request.Request(url, headers={"Connection": "close"})
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            data: bytes = answer.read()
            return data

    data: bytes = await deferToThread(run)
    return data


@pytest_twisted.ensureDeferred
async def test_plain(opened: Open) -> None:
    _, port = opened(make_config())
    assert await fetch(f"http://127.0.0.1:{port}/health") == b"ok"


@pytest_twisted.ensureDeferred
async def test_tls(opened: Open, authority: Authority) -> None:
    front, port = opened(make_config(tls=authority.issue("one").config()))
    assert await fetch(f"https://localhost:{port}/health", authority) == b"ok"
    await reload(front, make_config(tls=authority.issue("two").config()))
    assert await fetch(f"https://localhost:{port}/health", authority) == b"ok"


@pytest_twisted.ensureDeferred
async def test_whether_tls_is_spoken_waits_for_a_start(
    opened: Open, authority: Authority, logged: list[LogEvent]
) -> None:
    plain, port = opened(make_config())
    await reload(plain, make_config(tls=authority.issue().config()))
    assert await fetch(f"http://127.0.0.1:{port}/health") == b"ok"
    [line] = [x for x in logged if x.get("log_level") is LogLevel.warn]
    assert "until the next start" in str(formatEvent(line))


@pytest_twisted.ensureDeferred
async def test_rates_and_caps_are_taken_over(opened: Open) -> None:
    front, _ = opened(make_config())
    front.throttle.admit("192.0.2.1", [], 1)
    await reload(front, evolve(make_config(), rate_limit=RateLimitConfig(True, 0.1, 1)))
    front.throttle.admit("192.0.2.1", [], 1)
    with pytest.raises(TooManyRequests):
        front.throttle.admit("192.0.2.1", [], 1)
    await reload(front, make_config(max_connections=1))
    front.throttle.admit("192.0.2.1", [], 1)
    first, second = (front.throttle.enter("192.0.2.1") for _ in range(2))
    assert first is not None and second is not None
    assert (first.is_spare, second.is_spare) == (False, True)


@pytest_twisted.ensureDeferred
async def test_metrics_on_a_listener_of_their_own(
    opened: Open, logged: list[LogEvent]
) -> None:
    metrics = MetricsConfig(True, "/internal/numbers", "127.0.0.1:0")
    config = evolve(make_config(), telemetry=TelemetryConfig(metrics=metrics))
    front, _ = opened(config)
    assert front.metrics_path is None
    [told] = [x for x in logged if "metrics on" in str(formatEvent(x))]
    page = await fetch(f"http://127.0.0.1:{told['port']}/internal/numbers")
    assert b"process_open_fds" in page


def test_where_metrics_are() -> None:
    """Beside S3 unless they have a listener; nowhere unless enabled."""
    config = make_config()
    assert Front(config, reactor=reactor, now=now).metrics_path == "/metrics"
    off = evolve(config, telemetry=TelemetryConfig())
    front = Front(off, reactor=reactor, now=now)
    assert front.metrics_path is None and front.registry is None


@pytest_twisted.ensureDeferred
async def test_an_address_that_is_taken(opened: Open) -> None:
    """Of either listener; nothing is left open."""
    _, port = opened(make_config())
    metrics = MetricsConfig(True, "/metrics", f"127.0.0.1:{port}")
    with pytest.raises(CannotListenError):
        opened(evolve(make_config(), telemetry=TelemetryConfig(metrics=metrics)))


def test_a_certificate_that_cannot_be_used(authority: Authority) -> None:
    tls = evolve(authority.issue().config(), key_file="/nowhere/key.pem")
    where = r"^server\.tls\.key_file: /nowhere/key\.pem: cannot be read: "
    with pytest.raises(ConfigError, match=where):
        Front(make_config(tls=tls), reactor=reactor, now=now)


@pytest.mark.parametrize(
    ("limits", "wanted", "is_told"),
    [
        ((1024, 524_288), (8500, 524_288), False),
        ((1024, 4096), (4096, 4096), True),
        ((1_000_000, 1_000_000), None, False),
        ((1024, resource.RLIM_INFINITY), (8500, resource.RLIM_INFINITY), False),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None, False),
    ],
)
@pytest_twisted.ensureDeferred
async def test_open_files(
    opened: Open,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[LogEvent],
    limits: tuple[int, int],
    wanted: tuple[int, int] | None,
    is_told: bool,
) -> None:
    """The limit is raised as far as it may be; the rest is told."""
    asked: list[tuple[int, int]] = []

    class Resource:
        RLIM_INFINITY = resource.RLIM_INFINITY
        RLIMIT_NOFILE = resource.RLIMIT_NOFILE

        def getrlimit(self, what: int) -> tuple[int, int]:
            return limits

        def setrlimit(self, what: int, to: tuple[int, int]) -> None:
            asked.append(to)

    monkeypatch.setattr(front_module, "resource", Resource())
    opened(make_config())
    assert asked == ([wanted] if wanted is not None else [])
    told = [x for x in logged if x.get("log_level") is LogLevel.warn]
    assert len(told) == is_told
    if told:
        assert "4096 open files are allowed (ulimit -n)" in str(formatEvent(told[0]))


def test_a_start_with_a_bad_certificate(tmp_path: Path, authority: Authority) -> None:
    """One line that says which file, why and where it is configured; exit code 1."""
    one, two = authority.issue("one"), authority.issue("two")
    tls = {"cert_file": str(one.cert_file), "key_file": str(two.key_file)}
    config = tmp_path / "config.yaml"
    config.write_text(
        yaml.safe_dump({"data_dir": str(tmp_path / "data"), "server": {"tls": tls}})
    )
    started = subprocess.run(
        [sys.executable, "-m", "s3proxy", "--config", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert started.returncode == 1
    said = started.stdout + started.stderr
    assert (
        f"s3proxy cannot start: server.tls.key_file: {two.key_file}: is not the key of "
        f"the (first) certificate in {one.cert_file}"
    ) in said
    assert "Traceback" not in said
    assert not (tmp_path / "data").exists()
