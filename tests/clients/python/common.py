"""
What the programs here have in common: where the server is, and who they are.

Each program is a user's own, over one library: it runs in that library's virtual
environment, with nothing of this project beside it. Its first argument says what to do.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from typing import BinaryIO
from urllib.parse import urlsplit

ENDPOINT = os.environ["S3_ENDPOINT"]
BUCKET = os.environ["S3_BUCKET"]
KEY_ID = os.environ["AWS_ACCESS_KEY_ID"]
SECRET = os.environ["AWS_SECRET_ACCESS_KEY"]
REGION = os.environ["AWS_DEFAULT_REGION"]
#: Whom to trust; None over plain HTTP.
CA_FILE = os.environ.get("AWS_CA_BUNDLE")

SCHEME = urlsplit(ENDPOINT).scheme
#: With the port.
HOST = urlsplit(ENDPOINT).netloc


def say(lines: Iterable[str]) -> None:
    """One a line."""
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())


def save(source: BinaryIO, path: str) -> None:
    """A stream into a file."""
    with open(path, "wb") as file:
        shutil.copyfileobj(source, file)


def main(*verbs: Callable[..., None]) -> None:
    """Do what the command line says: the name of a function, and its arguments."""
    named = {verb.__name__: verb for verb in verbs}
    named[sys.argv[1]](*sys.argv[2:])
