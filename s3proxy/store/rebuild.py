"""What a rebuild notes down, asks of the ledger, and changes there."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import asdict, define

from s3proxy.model import FoundObject
from s3proxy.plan.description import Described
from s3proxy.plan.manifest import decode, encode
from s3proxy.plan.rebuild import (
    FoundCopy,
    HeldObject,
    KeyPlan,
    Row,
    version_ulid,
)
from s3proxy.store.ledger import interval
from s3proxy.store.pool import Pool
from s3proxy.store.running import run_decided

#: Keys of a page, and backend objects of it where keys have many parts.
KEYS, COPIES = 200, 20_000

Key = tuple[str, str]


@define(eq=False)
class Rebuild:
    """
    ``commands.context.Rebuild`` over PostgreSQL.

    :ivar grace_seconds: After which what is superseded is deleted.
    """

    pool: Pool
    grace_seconds: float

    async def forget(self, backends: Collection[str]) -> None:
        """See :class:`~s3proxy.commands.context.Rebuild`."""
        await run_decided(self.pool, "forget_found", backends=list(backends))

    async def note(self, page: Sequence[FoundCopy]) -> None:
        """See :class:`~s3proxy.commands.context.Rebuild`."""
        lines = [
            {
                "backend_name": each.backend_name,
                "backend_key": each.found.key,
                "installation_id": each.told.installation_id,
                "bucket": each.told.bucket,
                "object_key": each.told.key,
                "entry": _entry(each),
            }
            for each in page
        ]
        await run_decided(self.pool, "note_found", page=json.dumps(lines))

    async def installations(self, backends: Collection[str]) -> dict[str, int]:
        """See :class:`~s3proxy.commands.context.Rebuild`."""
        rows = await run_decided(
            self.pool, "found_installations", backends=list(backends)
        )
        return {str(name): int(count) for name, count in rows}

    async def is_empty(self) -> bool:
        """See :class:`~s3proxy.commands.context.Rebuild`."""
        ((found,),) = await run_decided(self.pool, "is_empty")
        return bool(found)

    async def become(self, installation_id: str) -> str:
        """See :class:`~s3proxy.commands.context.Rebuild`."""
        ((found,),) = await run_decided(
            self.pool, "take_installation", installation_id=installation_id
        )
        return str(found)

    async def keys(
        self, installations: Collection[str], backends: Collection[str], after: Key
    ) -> list[Key]:
        """See :class:`~s3proxy.commands.context.Rebuild`."""
        rows = await run_decided(
            self.pool,
            "found_keys",
            installations=list(installations),
            backends=list(backends),
            after_bucket=after[0],
            after_key=after[1],
            limit=KEYS,
        )
        keys: list[Key] = []
        total = 0
        for bucket, key, count in rows:
            total += count
            if keys and total > COPIES:
                break
            keys.append((bucket, key))
        return keys

    async def copies(
        self,
        installations: Collection[str],
        backends: Collection[str],
        keys: Sequence[Key],
    ) -> dict[Key, list[FoundCopy]]:
        """See :class:`~s3proxy.commands.context.Rebuild`."""
        found: dict[Key, list[FoundCopy]] = {}
        for bucket, key, entry in await run_decided(
            self.pool,
            "found_entries",
            installations=list(installations),
            backends=list(backends),
            **_columns(keys),
        ):
            found.setdefault((bucket, key), []).append(_copy(entry))
        return found

    async def held(self, keys: Sequence[Key]) -> dict[Key, HeldObject]:
        """See :class:`~s3proxy.commands.context.Rebuild`."""
        rows = await run_decided(self.pool, "held_objects", **_columns(keys))
        return {
            (bucket, key): HeldObject(
                object_id,
                version_ulid(object_id, etag, part_id or ""),
                is_adopted,
                frozenset(missing),
            )
            for bucket, key, object_id, etag, part_id, is_adopted, missing in rows
        }

    async def owners(self, part_ids: Collection[str]) -> dict[str, str]:
        """See :class:`~s3proxy.commands.context.Rebuild`."""
        rows = await run_decided(self.pool, "held_parts", part_ids=list(part_ids))
        return dict(rows)

    async def taken(self, part_ids: Collection[str]) -> dict[tuple[str, str], bool]:
        """See :class:`~s3proxy.commands.context.Rebuild`."""
        rows = await run_decided(self.pool, "held_copies", part_ids=list(part_ids))
        return {(part_id, backend): is_live for part_id, backend, is_live in rows}

    async def apply(self, plans: Sequence[KeyPlan]) -> dict[Key, str]:
        """See :class:`~s3proxy.commands.context.Rebuild`."""
        rows = await run_decided(
            self.pool,
            "rebuild",
            page=json.dumps([_plan(each) for each in plans]),
            grace=interval(self.grace_seconds),
        )
        return {(bucket, key): outcome for bucket, key, outcome in rows}


def _columns(keys: Sequence[Key]) -> dict[str, list[str]]:
    return {"buckets": [b for b, _ in keys], "object_keys": [k for _, k in keys]}


def _entry(copy: FoundCopy) -> dict[str, Any]:
    found = asdict(copy.found)
    modified = copy.found.last_modified
    found["last_modified"] = None if modified is None else modified.isoformat()
    manifest = None if copy.manifest is None else encode(copy.manifest).decode()
    return {
        "backend_name": copy.backend_name,
        "told": asdict(copy.told),
        "found": found,
        "manifest": manifest,
    }


def _copy(entry: Mapping[str, Any]) -> FoundCopy:
    found = dict(entry["found"])
    modified = found["last_modified"]
    found["last_modified"] = modified and datetime.fromisoformat(modified)
    return FoundCopy(
        entry["backend_name"],
        Described(**entry["told"]),
        FoundObject(**found),
        None if entry["manifest"] is None else decode(entry["manifest"].encode()),
    )


def _plan(plan: KeyPlan) -> dict[str, Any]:
    made = plan.made
    line: dict[str, Any] = {
        "bucket": plan.bucket,
        "key": plan.key,
        "seen": plan.seen,
        "object": None,
        "parts": [],
        "copies": [_row(each) for each in plan.rows],
        "uploads": [
            {
                "upload_id": upload_id,
                "parts": [
                    {
                        "part_number": number,
                        "part_id": copies[0].told.part_id,
                        "md5": copies[0].found.md5,
                        "size_bytes": copies[0].found.size_bytes,
                        "copies": [_row(Row(each, True)) for each in copies],
                    }
                    for number, copies in parts.items()
                ],
            }
            for upload_id, parts in plan.uploads.items()
        ],
    }
    if made is not None:
        info = made.info
        line["object"] = {
            "object_id": info.object_id,
            "size_bytes": info.size_bytes,
            "etag": info.etag,
            "content_type": info.content_type,
            "headers": dict(info.headers),
            "user_metadata": dict(info.user_metadata),
            "tags": dict(made.tags),
            "checksums": dict(info.checksums),
            "last_modified": info.last_modified.isoformat(),
        }
        line["parts"] = [asdict(each) for each in made.parts]
    return line


def _row(row: Row) -> dict[str, Any]:
    told, found = row.copy.told, row.copy.found
    return {
        "copy_id": told.copy_id or None,
        "part_id": told.part_id or None,
        "backend_name": row.copy.backend_name,
        "backend_key": found.key,
        "size_bytes": found.size_bytes,
        "state": "live" if row.is_live else "garbage",
        "etag": found.etag,
        "version_id": found.version_id,
        "object_id": row.object_id,
        "is_manifest": told.is_manifest,
    }
