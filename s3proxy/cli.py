"""The console script: ``s3proxy …`` is ``twistd -n --pidfile= s3proxy …``."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Hand over to twistd, in the foreground and without a pid file."""
    # What is loaded now stays; to look for garbage among it would take a tenth of the
    # start. makeService, which loads the last of it, ends this.
    gc.disable()
    from twisted.scripts.twistd import run

    sys.argv[1:1] = ["-n", "--pidfile=", "s3proxy"]
    run()  # type: ignore[no-untyped-call]
