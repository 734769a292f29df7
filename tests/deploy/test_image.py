"""The image: what its Dockerfile must say, and its health check, without an engine."""

from __future__ import annotations

import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon import ROOT
from tests.deploy.test_files import DOCKERFILE, of

HEALTH = ROOT / "deploy/docker/health.py"


def test_it_runs_as_nobody_of_importance() -> None:
    """By number, since Kubernetes cannot look a name up; and last of all users."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", of("USER"))
    names = [name for name, _ in DOCKERFILE]
    last_stage = names[len(names) - names[::-1].index("FROM") :]
    assert "USER" in last_stage
    assert "RUN" not in last_stage[last_stage.index("USER") :]


def test_what_builds_is_left_behind() -> None:
    """Two stages, both of one base, which is of one version of Python."""
    bases = [argument.partition(" AS ")[0] for x, argument in DOCKERFILE if x == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim", bases[0])
    [copied] = [x for _, x in DOCKERFILE if x.startswith("--from=")]
    assert copied == "--from=build /opt/s3proxy /opt/s3proxy"


def test_no_architecture_is_named() -> None:
    """So that it can be built for each."""
    assert not re.search(r"amd64|x86|arm64|aarch64", str(DOCKERFILE))


def test_it_stops_as_the_daemon_does() -> None:
    assert of("STOPSIGNAL") == "SIGTERM"
    # Without a shell before it, the daemon is what gets the signal.
    assert of("ENTRYPOINT").startswith("[")
    assert of("CMD").startswith("[")


def test_what_is_copied_is_there_and_sent() -> None:
    """In the checkout; and ``.dockerignore`` lets it through."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    sent = [line[1:] for line in lines if line.startswith("!")]
    for name, argument in DOCKERFILE:
        if name == "COPY" and not argument.startswith("--from="):
            *sources, _ = argument.split()
            for source in sources:
                assert (ROOT / source).exists()
                assert any(f"{source}/".startswith(f"{each}/") for each in sent)


@contextmanager
def server(status: int, body: bytes) -> Iterator[int]:
    """Answers every GET so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        yield made.server_port
        made.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "well"),
    [(200, b"ok", True), (200, b"not ok", False), (503, b"ok", False)],
)
def test_the_health_check(status: int, body: bytes, well: bool) -> None:
    with server(status, body) as port:
        environ = {**os.environ, "HEALTH_PORT": str(port)}
        ran = subprocess.run([sys.executable, HEALTH], env=environ, capture_output=True)
    assert (ran.returncode == 0) is well
    assert ran.stderr == b""


@pytest.mark.system
def test_hadolint() -> None:
    tool = Path(sys.executable).with_name("hadolint")
    ran = subprocess.run(
        [tool, ROOT / "Dockerfile"], capture_output=True, text=True, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stdout
