"""
Builds that are broken on purpose, to see that the harness notices.

Each is a change of the sources' text, applied to a copy of them; the checkout is left
alone. A text that is not there any more is an error: nothing would be broken.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

ROOT = Path(__file__).parents[1]
_PARTS = ("s3proxy", "tests", "twisted", "schema.sql", "setup.py", "README.md")


@frozen
class Change:
    """A text of a file, and what stands there instead; *count* times."""

    path: str
    old: str
    new: str
    count: int = 1


@frozen
class Mutation:
    """
    A broken build.

    :ivar words: What is wrong with it, and so what is to be expected.
    """

    words: str
    changes: tuple[Change, ...]


MUTATIONS = {
    "commit-first": Mutation(
        "A PUT is committed before its upload has been verified: 200 for bytes that "
        "a backend has refused or lost.",
        (
            Change(
                "s3proxy/manager/streams.py",
                "            stream.stored = await stream.upload.finish("
                "data, md5=md5)\n",
                "            Deferred.fromCoroutine(\n"
                "                stream.upload.finish(data, md5=md5)\n"
                "            ).addErrback(lambda _: None)\n"
                "            stream.stored = Stored(None, None)\n",
            ),
        ),
    ),
    "forget-first": Mutation(
        "The collector forgets a row and deletes its bytes after that: whatever dies "
        "or fails in between leaves bytes that nobody knows of.",
        (
            Change(
                "s3proxy/jobs/collecting.py",
                "        gate = DeferredSemaphore(PARALLEL)\n",
                "        count = await self._janitor.collected(due)\n"
                "        gate = DeferredSemaphore(PARALLEL)\n",
            ),
            Change(
                "s3proxy/jobs/collecting.py",
                "        count = await self._janitor.collected(done) if done else 0\n",
                "",
            ),
        ),
    ),
    "delete-once": Mutation(
        "What was given up is deleted once, and not again after ledger.late: a PUT "
        "that lands in between stays for ever.",
        (
            Change(
                "schema.sql",
                "           AND l.state = 'abandoned' AND l.delete_twice),\n",
                "           AND false),\n",
            ),
            Change(
                "schema.sql",
                "AND l.state IN ('garbage', 'abandoned') AND NOT l.delete_twice\n",
                "AND l.state IN ('garbage', 'abandoned')\n",
            ),
        ),
    ),
}


@contextmanager
def broken(name: str) -> Iterator[Path]:
    """A copy of the sources with one mutation, for as long as the block runs."""
    with TemporaryDirectory(prefix="s3p-broken-", dir="/var/tmp") as directory:
        target = Path(directory)
        for part in _PARTS:
            source = ROOT / part
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, target / part, ignore=ignored)
            else:
                shutil.copyfile(source, target / part)
        # The servers of the tests run under accounts of their own, some of them.
        target.chmod(0o755)
        for change in MUTATIONS[name].changes:
            apply(target, change)
        yield target


def apply(target: Path, change: Change) -> None:
    """:raises ValueError: The text is not there, or not that often."""
    path = target / change.path
    text = path.read_text()
    if (found := text.count(change.old)) != change.count:
        raise ValueError(f"{change.path}: found {found} times: {change.old!r}")
    path.write_text(text.replace(change.old, change.new))
