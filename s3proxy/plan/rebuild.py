"""
What a lost ledger held of a key, from what the backends' objects tell of themselves.

The rules, for one key at a time, once all of its backend objects are known:

- A manifest and the copies of its parts are one version; so is a plain object's copy,
  with its like on other backends. The version with the highest ULID is the object: the
  part's of a plain object, the object's own of one that an upload made.
- What is older becomes garbage, but only when all of the highest is there.
- Parts that no manifest names are an upload's that was not completed, or whose manifest
  was not written: kept, as an open upload, for a person to complete or to abort.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from attrs import define, evolve, field, frozen

from s3proxy.model import FoundObject, ObjectInfo
from s3proxy.plan.description import Described
from s3proxy.plan.manifest import Manifest, ManifestPart


@frozen
class FoundCopy:
    """
    A backend object of ours, without a row.

    :ivar manifest: What a manifest copy holds; None of any other.
    """

    backend_name: str
    told: Described
    found: FoundObject
    manifest: Manifest | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Which part it is a copy of, and where."""
        return self.told.part_id, self.backend_name


@frozen
class HeldObject:
    """
    What the ledger has of the key.

    :ivar ulid: The version's, as the rules above have it.
    :ivar is_adopted: Its bytes are a natural key's, which ULIDs say nothing of.
    :ivar missing: Ids of its parts of which there is no live copy.
    """

    object_id: str
    ulid: str
    is_adopted: bool = False
    missing: frozenset[str] = frozenset()


@frozen
class Row:
    """A row for a found copy: live, or garbage."""

    copy: FoundCopy
    is_live: bool
    object_id: str | None = None


@frozen
class RebuiltObject:
    """An object to be put into the ledger; *missing* are part numbers without bytes."""

    info: ObjectInfo
    tags: Mapping[str, str]
    parts: tuple[ManifestPart, ...]
    missing: tuple[int, ...] = ()


@define
class KeyPlan:
    """
    What is to be done with one key.

    :ivar seen: The object that the ledger had when this was decided.
    :ivar made: The object that it gets; None where it keeps what it has.
    :ivar uploads: Copies of parts by upload id and part number.
    :ivar problems: What could not be done, in words.
    :ivar left: How many backend objects stay without a row.
    """

    bucket: str
    key: str
    seen: str | None
    made: RebuiltObject | None = None
    rows: list[Row] = field(factory=list)
    uploads: dict[str, dict[int, list[FoundCopy]]] = field(factory=dict)
    problems: list[str] = field(factory=list)
    left: int = 0


@frozen
class _Version:
    ulid: str
    made: RebuiltObject


def version_ulid(object_id: str, etag: str, part_id: str) -> str:
    """What a version is compared by."""
    return object_id if "-" in etag else part_id


def plan_key(
    bucket: str,
    key: str,
    copies: Sequence[FoundCopy],
    held: HeldObject | None,
    owners: Mapping[str, str],
    taken: Mapping[tuple[str, str], bool],
) -> KeyPlan:
    """
    Decide.

    :param copies: Of this key, without a row.
    :param held: What the ledger has of the key.
    :param owners: Object ids by part id, where the ledger has the part.
    :param taken: Parts and backends of which the ledger has a copy, and whether it is
        live and not only claimed.
    """
    plan = KeyPlan(bucket, key, held.object_id if held else None)
    if held is not None and held.is_adopted:
        plan.problems.append(
            f"{len(copies)} backend objects tell of it, but the ledger has another "
            "object there, which sync took in: delete that, and rebuild again"
        )
        plan.left = len(copies)
        return plan
    _Planner(plan, copies, held, owners, taken).decide()
    return plan


class _Planner:
    """One key's."""

    def __init__(
        self,
        plan: KeyPlan,
        copies: Sequence[FoundCopy],
        held: HeldObject | None,
        owners: Mapping[str, str],
        taken: Mapping[tuple[str, str], bool],
    ) -> None:
        self.plan, self.held, self.owners = plan, held, owners
        self.used = set(taken)
        self.live_parts = {
            part_id for (part_id, _), is_live in taken.items() if is_live
        }
        self.manifests: dict[str, list[FoundCopy]] = defaultdict(list)
        self.copies: dict[str, list[FoundCopy]] = defaultdict(list)
        for each in sorted(copies, key=lambda one: one.told.copy_id):
            if each.manifest is not None:
                self.manifests[each.manifest.info.object_id].append(each)
            else:
                self.copies[each.told.part_id].append(each)

    def decide(self) -> None:
        """Fill the plan."""
        versions = sorted(self._versions(), key=lambda one: one.ulid, reverse=True)
        best = versions[0] if versions else None
        if best is not None and (self.held is None or best.ulid > self.held.ulid):
            self._take(best, versions[1:])
        else:
            self._keep_held(versions)
        self._uploads()
        self._no_id_twice()

    def _versions(self) -> Iterable[_Version]:
        named = set()
        for object_id, found in self.manifests.items():
            manifest = found[-1].manifest
            assert manifest is not None
            named |= {each.part_id for each in manifest.parts}
            info = manifest.info
            ulid = version_ulid(object_id, info.etag, manifest.parts[0].part_id)
            missing = tuple(
                each.part_number for each in manifest.parts if not self._is_there(each)
            )
            yield _Version(
                ulid, RebuiltObject(info, info.tags, manifest.parts, missing)
            )
        for part_id, copies in self.copies.items():
            if part_id not in named and copies[0].told.upload_id is None:
                yield _Version(part_id, _plain(copies[0]))

    def _is_there(self, part: ManifestPart) -> bool:
        return part.part_id in self.live_parts or any(
            each.found.size_bytes == part.size_bytes
            for each in self.copies.get(part.part_id, ())
        )

    def _take(self, best: _Version, older: Sequence[_Version]) -> None:
        """The best is what the key holds from now on, if it can be had."""
        made, plan = best.made, self.plan
        if any(
            self.owners.get(each.part_id, made.info.object_id) != made.info.object_id
            for each in made.parts
        ):
            plan.problems.append("a part of it belongs to another object")
            self._leave([best, *older])
            return
        if made.missing:
            numbers = ", ".join(map(str, made.missing[:10]))
            more = ", …" if len(made.missing) > 10 else ""
            plan.problems.append(
                f"unfinished: {len(made.missing)} of its {len(made.parts)} parts "
                f"({numbers}{more}) are on no backend that was looked at"
            )
            if self.held is not None:
                self._leave([best, *older])
                return
            # What is older may be all that there is: it is not touched.
            self._leave(older)
        plan.made = made
        for part in made.parts:
            self._live(part)
        self._manifest_rows(made.info.object_id)
        if not made.missing:
            self._supersede(older)

    def _keep_held(self, versions: Sequence[_Version]) -> None:
        assert self.held is not None or not versions
        if self.held is None:
            return
        missing = set(self.held.missing)
        for part_id in list(self.copies):
            if self.owners.get(part_id) == self.held.object_id:
                missing.discard(part_id)
                for each in self.copies.pop(part_id):
                    self.plan.rows.append(Row(each, each.place not in self.used))
                    self.used.add(each.place)
        if missing:
            self._leave(versions)
        else:
            self._supersede(versions)

    def _live(self, part: ManifestPart) -> None:
        """Its copies: one on each backend, and only those of its size."""
        for each in self.copies.pop(part.part_id, ()):
            if each.found.size_bytes != part.size_bytes:
                self.plan.left += 1
                self.plan.problems.append(
                    f"{each.found.key!r} on {each.backend_name} has "
                    f"{each.found.size_bytes} bytes, of {part.size_bytes}"
                )
            else:
                self.plan.rows.append(Row(each, each.place not in self.used))
                self.used.add(each.place)

    def _manifest_rows(self, object_id: str) -> None:
        """The newest one is live."""
        found = self.manifests.pop(object_id, [])
        self.plan.rows += [Row(each, False) for each in found[:-1]]
        self.plan.rows += [Row(each, True, object_id) for each in found[-1:]]

    def _supersede(self, versions: Sequence[_Version]) -> None:
        for version in versions:
            for part in version.made.parts:
                if self.owners.get(part.part_id) in (None, version.made.info.object_id):
                    found = self.copies.pop(part.part_id, ())
                    self.plan.rows += [Row(each, False) for each in found]
            found = self.manifests.pop(version.made.info.object_id, ())
            self.plan.rows += [Row(each, False) for each in found]

    def _leave(self, versions: Sequence[_Version]) -> None:
        for version in versions:
            for part in version.made.parts:
                self.plan.left += len(self.copies.pop(part.part_id, ()))
            self.plan.left += len(self.manifests.pop(version.made.info.object_id, ()))

    def _uploads(self) -> None:
        """Parts that no version has."""
        completed = {
            each.copy.told.upload_id
            for each in self.plan.rows
            if each.copy.told.upload_id
        }
        uploads: dict[str, list[FoundCopy]] = defaultdict(list)
        for copies in self.copies.values():
            for each in copies:
                if each.told.upload_id in completed:
                    self.plan.rows.append(Row(each, False))
                elif each.told.upload_id is None or each.found.md5 is None:
                    self.plan.left += 1
                    self.plan.problems.append(
                        f"{each.found.key!r} on {each.backend_name} cannot be placed"
                    )
                else:
                    uploads[each.told.upload_id].append(each)
        for upload_id, found in sorted(uploads.items()):
            self._unfinished(upload_id, found)

    def _unfinished(self, upload_id: str, found: Sequence[FoundCopy]) -> None:
        last: dict[int, str] = {}
        for each in found:
            number = each.told.part_number
            last[number] = max(last.get(number, ""), each.told.part_id)
        parts: dict[int, list[FoundCopy]] = defaultdict(list)
        for each in found:
            number = each.told.part_number
            if each.told.part_id == last[number] and each.place not in self.used:
                self.used.add(each.place)
                parts[number].append(each)
            else:
                self.plan.rows.append(Row(each, False))
        self.plan.uploads[upload_id] = dict(sorted(parts.items()))
        total = sum(copies[0].found.size_bytes for copies in parts.values())
        self.plan.problems.append(
            f"unfinished: upload {upload_id} has {len(parts)} parts of {total:,} bytes "
            "and no manifest: complete it or abort it"
        )

    def _no_id_twice(self) -> None:
        """A person may have copied a backend object: then two tell one id."""
        seen: set[str] = set()

        def unique(copy: FoundCopy) -> FoundCopy:
            if copy.told.copy_id in seen:
                return evolve(copy, told=evolve(copy.told, copy_id=""))
            seen.add(copy.told.copy_id)
            return copy

        self.plan.rows = [
            evolve(each, copy=unique(each.copy)) for each in self.plan.rows
        ]
        self.plan.uploads = {
            upload_id: {
                number: [unique(each) for each in copies]
                for number, copies in parts.items()
            }
            for upload_id, parts in self.plan.uploads.items()
        }


def _plain(copy: FoundCopy) -> RebuiltObject:
    """What a plain object's only copy tells."""
    found, told = copy.found, copy.told
    assert found.last_modified is not None
    etag = found.md5 or found.etag or ""
    modified: datetime = found.last_modified
    info = ObjectInfo(
        bucket=told.bucket,
        key=told.key,
        object_id=told.part_id,
        size_bytes=found.size_bytes,
        etag=etag,
        content_type=found.content_type,
        last_modified=modified,
        headers=found.headers,
        user_metadata=told.user_metadata,
        checksums=told.checksums or found.checksums,
    )
    part = ManifestPart(1, told.part_id, 0, found.size_bytes, found.md5 or "")
    return RebuiltObject(info, {}, (part,))
