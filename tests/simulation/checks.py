"""What is to be true when everything has recovered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from s3proxy.manager.ports import CopyState
from tests.simulation.process import MAX_AGE_SECONDS, Shared


def next_due(shared: Shared) -> float:
    """When the next thing is to be done that the ledger knows of."""
    ledger, now = shared.ledger, shared.clock.seconds()
    times = [row.due_at for row in ledger.rows.values() if row.due_at is not None]
    times += [want.due_at for want in ledger.wants.values()]
    times += [*ledger.replica_due.values(), *ledger.pins.values()]
    times += [
        upload.began_at + MAX_AGE_SECONDS
        for upload in shared.uploads.uploads.values()
        if upload.ended_at is None
    ]
    ahead = [each for each in times if each > now]
    return min(ahead, default=now)


def left_over(shared: Shared) -> list[str]:
    """All that is not as it should be; empty when recovery is through."""
    return [*_rows(shared), *_objects(shared), *_backends(shared)]


def _rows(shared: Shared) -> Iterator[str]:
    for row in shared.ledger.rows.values():
        if row.state is not CopyState.LIVE:
            copy = row.copy
            yield f"row: {copy.backend_key} on {copy.backend_name} is {row.state.value}"
    for upload in shared.uploads.uploads.values():
        if upload.ended_at is None:
            age = shared.clock.seconds() - upload.began_at
            yield f"upload {upload.info.upload_id} is open after {age:g} s"
    if any(until > shared.clock.seconds() for until in shared.ledger.pins.values()):
        yield "somebody reads yet"


def _objects(shared: Shared) -> Iterator[str]:
    ledger = shared.ledger
    known = set()
    is_roomy = _has_room(shared)
    for info in ledger.objects():
        for part in ledger.parts_of(info):
            known |= {copy.copy_id for copy in part.copies}
            if not part.copies:
                yield f"lost: {info.key} has a part without a copy"
            if is_roomy and len(part.copies) != shared.factor:
                yield f"replicas: {info.key} has a part with {len(part.copies)} copies"
        manifests = ledger.manifest_copies(info.object_id)
        known |= {row.copy.copy_id for row in manifests}
        if len(manifests) > 1:
            yield f"manifest: {info.key} has {len(manifests)}"
        if info.object_id in ledger.wants and is_roomy:
            yield f"manifest: that of {info.key} is not written"
    for copy_id, row in ledger.rows.items():
        if row.state is CopyState.LIVE and copy_id not in known:
            yield f"live: {row.copy.backend_key} is nobody's"


def _has_room(shared: Shared) -> bool:
    """Whether every job can do all that it wants to do."""
    ledger = shared.ledger
    taking = set(ledger.limits) - ledger.draining
    return len(taking) >= shared.factor and not any(ledger.limits.values())


def _backends(shared: Shared) -> Iterator[str]:
    ledger = shared.ledger
    md5s = {part_id: part.md5 for part_id, (_, part) in ledger.object_parts().items()}
    for name, backend in shared.backends.items():
        rows = {
            row.copy.backend_key: row
            for row in ledger.rows.values()
            if row.copy.backend_name == name
        }
        for key in sorted(backend.objects.keys() - rows.keys()):
            yield f"orphan: {key} is on {name}, and the ledger knows nothing of it"
        for key, row in rows.items():
            if row.state is not CopyState.LIVE:
                continue
            kept = backend.objects.get(key)
            if kept is None:
                yield f"missing: {key} is live, and not on {name}"
                continue
            if len(kept.data) != row.copy.size_bytes:
                yield f"wrong: {key} on {name} has another length"
            md5 = hashlib.md5(kept.data, usedforsecurity=False).hexdigest()
            if not row.is_manifest and md5 != md5s.get(row.copy.part_id, md5):
                yield f"wrong: {key} on {name} has other bytes"
        if name in ledger.draining and rows and _has_room(shared):
            yield f"drain: {len(rows)} copies are on {name} yet"
        total = sum(len(kept.data) for kept in backend.objects.values())
        if total != ledger.used_bytes(name):
            yield f"counter: {name} holds {total} bytes, not {ledger.used_bytes(name)}"
