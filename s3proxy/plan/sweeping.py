"""What a sweep has found on a backend, and what may be done about it."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field, frozen

#: A ledger that does not know more than this share of our keys has gone back in time.
SUSPICIOUS_SHARE = 0.01

#: What to do when nothing may be deleted (rule 24).
ADVICE = (
    "If the ledger has lost what came after some time, run s3proxy sync --rebuild "
    "first. Then, or if it has lost nothing, run s3proxy sweep --accept-restore"
)

#: Findings of a kind that are kept; the others are counted, and are another run's.
MOST = 100_000


@frozen
class Known:
    """
    What the ledger knows of a backend's key.

    :ivar copy_id: Its row's; None: it has none.
    :ivar elsewhere: Of a key without a row, where the copy of the ULID in it is.
    """

    copy_id: str | None
    size_bytes: int | None = None
    etag: str | None = None
    state: str | None = None
    is_adopted: bool = False
    elsewhere: str | None = None

    def agrees(self, size_bytes: int, etag: str | None) -> bool:
        """Whether it is a live copy, and what a backend tells of the key is that."""
        return (
            self.state == "live"
            and size_bytes == self.size_bytes
            and (self.etag is None or etag is None or etag == self.etag)
        )


@frozen
class Orphan:
    """
    A key of ours without a row.

    :ivar ulid: In its name.
    :ivar bucket: Of ours, as it tells; "" where it does not. So is *object_key*.
    """

    key: str
    size_bytes: int
    etag: str | None
    version_id: str | None
    ulid: str
    bucket: str = ""
    object_key: str = ""


@frozen
class Fault:
    """
    A live copy that its backend does not have as it was.

    :ivar is_missing: There is nothing under its key; else it is *text*.
    """

    copy_id: str
    key: str
    size_bytes: int
    is_missing: bool
    text: str


@define
class Swept:
    """
    What is on one backend.

    :ivar listed: Keys in all.
    :ivar known: Of ours with a row, in any state.
    :ivar adopted: Keys with a row that ``sync`` took in.
    :ivar orphans: Keys of ours without one; *orphan_count* of them.
    :ivar misplaced: Without a row, but the copy in their name has one elsewhere: where.
    :ivar foreign: Nobody's, or another installation's; *others* of *foreign_count*.
    :ivar faults: Live copies that are gone (*missing_count*) or changed.
    """

    backend: str
    listed: int = 0
    known: int = 0
    adopted: int = 0
    orphans: list[Orphan] = field(factory=list)
    orphan_count: int = 0
    orphan_bytes: int = 0
    misplaced: list[tuple[str, str]] = field(factory=list)
    foreign: list[str] = field(factory=list)
    foreign_count: int = 0
    others: int = 0
    faults: list[Fault] = field(factory=list)
    missing_count: int = 0
    changed_count: int = 0

    def add_orphan(self, orphan: Orphan) -> None:
        """Another key of ours without a row."""
        self.orphan_count += 1
        self.orphan_bytes += orphan.size_bytes
        if len(self.orphans) < MOST:
            self.orphans.append(orphan)

    def add_foreign(self, key: str, *, of_another: bool = False) -> None:
        """Another key that is not ours."""
        self.foreign_count += 1
        self.others += of_another
        if len(self.foreign) < MOST:
            self.foreign.append(key)

    def add_fault(self, fault: Fault) -> None:
        """Another live copy that is not as it was."""
        if fault.is_missing:
            self.missing_count += 1
        else:
            self.changed_count += 1
        if len(self.faults) < MOST:
            self.faults.append(fault)

    @property
    def is_suspicious(self) -> bool:
        """Whether so many keys of ours are unknown that the ledger is to be doubted."""
        ours = self.known + self.orphan_count
        return self.orphan_count > SUSPICIOUS_SHARE * ours

    def __str__(self) -> str:
        return (
            f"{self.backend}: {self.orphan_count} unknown, {self.missing_count} "
            f"missing, {self.changed_count} changed, {self.foreign_count} foreign"
        )


def suspicion(found: Iterable[Swept]) -> str | None:
    """What is to be doubted about the ledger, in words; None: nothing."""
    doubtful = [each for each in found if each.is_suspicious]
    if not doubtful:
        return None
    return "; ".join(
        f"a sweep found {each.orphan_count} keys of ours on {each.backend} that the "
        f"ledger does not know, beside {each.known} that it knows"
        for each in doubtful
    )
