"""The daemon as a process: it serves, survives a kill, and ends when it is told to."""

from __future__ import annotations

import signal
from collections.abc import Callable

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.daemon import BUCKET, Daemon


def test_objects_survive_a_kill_and_a_clean_stop(
    database: DatabaseConfig, backend_config: Callable[..., BackendConfig]
) -> None:
    """What was acknowledged is there after SIGKILL, and after SIGTERM."""
    backends = [backend_config(name, quota_bytes=10**9) for name in ("a", "b")]
    with Daemon(database, backends) as daemon:
        client = daemon.client()
        for size in range(5):
            client.put_object(Bucket=BUCKET, Key="k", Body=b"x" * size)
        daemon.wait_clean()
        daemon.kill()
        daemon.start()
        found = daemon.client().get_object(Bucket=BUCKET, Key="k")
        assert found["Body"].read() == b"xxxx"
        # twistd ends by the signal that it was sent, once all has been stopped.
        assert daemon.terminate() in (0, -signal.SIGTERM)
        daemon.start()
        found = daemon.client().get_object(Bucket=BUCKET, Key="k")
        assert found["Body"].read() == b"xxxx"
        daemon.wait_clean()


def test_status(
    database: DatabaseConfig, backend_config: Callable[..., BackendConfig]
) -> None:
    """Quotas and jobs, while a daemon runs; one above its limit is told so."""
    backends = [backend_config("a", quota_bytes=10**6), backend_config("b")]
    with Daemon(database, backends, ledger={"collect_interval": "50ms"}) as daemon:
        daemon.client().put_object(Bucket=BUCKET, Key="k", Body=b"x" * 500_000)
        lines: list[str] = []
        for _ in range(100):
            result = daemon.run("status")
            assert (result.returncode, result.stderr) == (0, "")
            lines = result.stdout.splitlines()
            if any(line.startswith("collect garbage on b") for line in lines):
                break
        assert lines[0] == "a  [##########..........] 488.3 KiB of 976.6 KiB, 50%"
        assert lines[1] == "b  0 bytes"
        assert any(line.startswith("reap claims ") for line in lines)
        daemon.kill()
        config = daemon.config.read_text()
        daemon.config.write_text(config.replace("1000000", "1000"))
        daemon.start()
        first = daemon.run("status").stdout.splitlines()[0]
        assert "ABOVE ITS LIMIT by 487.3 KiB: nothing is placed there" in first
