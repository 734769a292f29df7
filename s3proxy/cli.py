"""The console script: ``s3proxy …`` is ``twistd -n --pidfile= s3proxy …``."""

from __future__ import annotations

import sys

from twisted.scripts.twistd import run


def main() -> None:
    """Hand over to twistd, in the foreground and without a pid file."""
    sys.argv[1:1] = ["-n", "--pidfile=", "s3proxy"]
    run()  # type: ignore[no-untyped-call]
