"""
One worker's share of what the configuration allows the daemon.

Each counts for itself, so what all may take together is divided, and rounded up.
"""

from __future__ import annotations

from attrs import evolve

from s3proxy.config_model import Config


def share_of(config: Config, workers: int) -> Config:
    """
    What one of *workers* goes by.

    The rate limit is not divided: the workers keep one account of it.
    """
    server = config.server
    return evolve(
        config,
        server=evolve(
            server,
            max_connections=_share(server.max_connections, workers),
            max_connections_per_ip=_share(server.max_connections_per_ip, workers),
            max_requests=_share(server.max_requests, workers),
            max_buffer_bytes=_share(server.max_buffer_bytes, workers),
        ),
    )


def _share(whole: int, workers: int) -> int:
    return -(-whole // workers)
