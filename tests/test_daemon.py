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
