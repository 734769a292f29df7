"""
The daemon with trip wires: run as ``python -m tests.crash.breaking`` for ``s3proxy``.

The product knows nothing of this. Its methods are wrapped here; at a point that is
armed the process ends by SIGKILL, or stops by SIGSTOP, at once and without a word.

A point is armed while the daemon runs: the file that ``ENVIRONMENT`` names then holds
``POINT ACTION``. It is removed before the action, so that a point goes off once.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from s3proxy.backend.client import S3Backend
from s3proxy.backend.upload import S3Upload
from s3proxy.cli import main
from s3proxy.commands.export_tree import Tree
from s3proxy.store.adoption import Adoption
from s3proxy.store.catalogue import Catalogues
from s3proxy.store.connection import QuietConnection
from s3proxy.store.janitor import Janitor
from s3proxy.store.ledger import PostgresLedger
from s3proxy.store.manifests import PostgresManifests
from s3proxy.store.rebuild import Rebuild
from s3proxy.store.replicas import PostgresReplicas
from s3proxy.store.scrubbing import PostgresScrubbing
from s3proxy.store.sweeping import PostgresSweeping
from s3proxy.store.uploads import PostgresUploads
from s3proxy.web.app import App
from tests.crash.statements import Statements

ENVIRONMENT = "S3PROXY_TESTS_TRIP_WIRE"

#: How many keys the pages of backends' listings have, where it is set.
PAGE_ENVIRONMENT = "S3PROXY_TESTS_PAGE"

ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

#: Methods, and what they are called here: each has a point before and one after it.
STEPS: tuple[tuple[type[Any], str, str], ...] = (
    (PostgresLedger, "claim_copies", "claim"),
    (PostgresLedger, "commit_copies", "commit"),
    (PostgresLedger, "settle", "settle"),
    (PostgresLedger, "release", "release"),
    (PostgresLedger, "abandon", "abandon"),
    (PostgresLedger, "delete", "delete"),
    (PostgresLedger, "delete_many", "delete_many"),
    (PostgresUploads, "claim_part_copies", "claim_part"),
    (PostgresUploads, "commit_part_copies", "commit_part"),
    (PostgresUploads, "complete", "complete"),
    (PostgresUploads, "abort", "abort"),
    (PostgresUploads, "expire", "expire"),
    (PostgresManifests, "take", "manifest_take"),
    (PostgresManifests, "claim", "manifest_claim"),
    (PostgresManifests, "commit", "manifest_commit"),
    (PostgresReplicas, "take", "replica_take"),
    (PostgresReplicas, "claim", "replica_claim"),
    (PostgresReplicas, "commit", "replica_commit"),
    (PostgresReplicas, "trim", "replica_trim"),
    (Janitor, "reap", "reap"),
    (Janitor, "collect", "collect"),
    (Janitor, "collect_adopted", "collect_adopted"),
    (Janitor, "collected", "collected"),
    (Janitor, "let_go", "let_go"),
    (PostgresScrubbing, "quarantine", "scrub_quarantine"),
    (PostgresScrubbing, "note", "scrub_note"),
    (PostgresSweeping, "known", "sweep_known"),
    (PostgresSweeping, "queue", "sweep_queue"),
    (PostgresSweeping, "lose", "sweep_lose"),
    (Catalogues, "dump", "backup_dump"),
    (Catalogues, "old", "backup_old"),
    (Catalogues, "load", "restore"),
    (S3Backend, "open_put", "open_put"),
    (S3Backend, "copy", "copy"),
    (S3Backend, "delete", "backend_delete"),
    (S3Backend, "list_page", "list_page"),
    (S3Backend, "inspect", "inspect"),
    (S3Backend, "delete_unchanged", "delete_unchanged"),
    (Adoption, "adopt", "adopt"),
    (Rebuild, "note", "rebuild_note"),
    (Rebuild, "become", "rebuild_become"),
    (Rebuild, "apply", "rebuild"),
    (S3Upload, "write", "write"),
    (S3Upload, "finish", "finish"),
    (App, "_send", "answer"),
    (Tree, "keep", "export_keep"),
)

#: Statements, and the point at which they have gone to the server, unanswered.
SENT = {
    "FROM ledger_claim_copies(": "claim.sent",
    "FROM ledger_commit_copies(": "commit.sent",
    "SELECT ledger_delete_if(": "delete.sent",
    "SELECT ledger_delete_many(": "delete_many.sent",
    "FROM ledger_commit_part_copies(": "commit_part.sent",
    "FROM ledger_complete(": "complete.sent",
    "SELECT ledger_abort(": "abort.sent",
    "SELECT ledger_expire_uploads(": "expire.sent",
    "SELECT ledger_commit_manifest(": "manifest_commit.sent",
    "FROM ledger_claim_replica(": "replica_claim.sent",
    "SELECT ledger_commit_replica(": "replica_commit.sent",
    "SELECT ledger_trim_copies(": "replica_trim.sent",
    "SELECT ledger_collected(": "collected.sent",
    "FROM ledger_adopt(": "adopt.sent",
    "FROM ledger_rebuild(": "rebuild.sent",
    "FROM ledger_sweep(": "sweep_queue.sent",
    "SELECT ledger_lose_copy(": "lose.sent",
    "SELECT ledger_quarantine(": "scrub_quarantine.sent",
    "SELECT ledger_note_scrub(": "scrub_note.sent",
    "json_populate_recordset(NULL::object_parts": "restore.sent",
}

#: What rounds of jobs begin with.
ROUNDS = {
    "reap",
    "collect",
    "collect_adopted",
    "expire",
    "manifest_take",
    "replica_take",
    "replica_trim",
}

POINTS = frozenset(
    {f"{step}.{when}" for _, _, step in STEPS for when in ("before", "after")}
    | set(SENT.values())
)


def reached(point: str) -> None:
    """Do what the file says, if it says it of *point*."""
    order = Path(os.environ[ENVIRONMENT])
    try:
        armed, action = order.read_text().split()
    except FileNotFoundError:
        return
    if armed == point:
        order.unlink()
        os.kill(os.getpid(), ACTIONS[action])


def _wire(owner: type[Any], method: str, step: str) -> None:
    inner: Callable[..., Awaitable[Any]] = getattr(owner, method)

    async def outer(self: Any, *args: Any, **kwargs: Any) -> Any:
        reached(f"{step}.before")
        result = await inner(self, *args, **kwargs)
        # A round of a job that found nothing is not the one that is meant.
        if step not in ROUNDS or result:
            reached(f"{step}.after")
        return result

    setattr(owner, method, outer)


def _wire_statements(connection: Any) -> None:
    inner = connection.rows_of
    spoken: WeakKeyDictionary[Any, Statements] = WeakKeyDictionary()

    def outer(self: Any, sql: str, *args: Any, **kwargs: Any) -> Any:
        # libpq hands a statement to the kernel before this returns.
        answer = inner(self, sql, *args, **kwargs)
        text = spoken.setdefault(self, Statements()).text_of(sql)
        for words, point in SENT.items():
            if words in text:
                reached(point)
        return answer

    connection.rows_of = outer


def _shorten_pages(keys: str) -> None:
    inner = S3Backend._call

    async def outer(self: Any, method: str, key: str, query: Any = None, **more: Any):
        if query and "list-type" in query:
            query = {**query, "max-keys": keys}
        return await inner(self, method, key, query, **more)

    S3Backend._call = outer  # type: ignore[method-assign]


def wire() -> None:
    """Put the trip wires into this process."""
    if PAGE_ENVIRONMENT in os.environ:
        _shorten_pages(os.environ[PAGE_ENVIRONMENT])
    for each in STEPS:
        _wire(*each)
    _wire_statements(QuietConnection)


def _wire_workers() -> None:
    """And into the workers that this process starts, where it has such."""
    with contextlib.suppress(ModuleNotFoundError):
        master: Any = import_module("s3proxy.master")
        before = "from s3proxy.worker import main"
        assert before in master._BOOTSTRAP
        wiring = f"from {__spec__.name} import wire; wire(); {before}"
        master._BOOTSTRAP = master._BOOTSTRAP.replace(before, wiring)


if __name__ == "__main__":
    wire()
    _wire_workers()
    main()
