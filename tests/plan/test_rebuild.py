"""What becomes of a key's backend objects, whatever of them there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.model import FoundObject, ObjectInfo
from s3proxy.plan.description import Described
from s3proxy.plan.manifest import Manifest, ManifestPart
from s3proxy.plan.rebuild import FoundCopy, HeldObject, KeyPlan, plan_key

MODIFIED = datetime(2026, 1, 2, tzinfo=UTC)


def copy(
    part: str, ulid: str, *, on: str = "one", size: int = 5, **more: Any
) -> FoundCopy:
    """A backend object; *ulid* is its copy's."""
    fields = {"part_number": 1, "upload_id": None, "is_manifest": False, **more}
    told = Described(
        "me", "b", copy_id=ulid, part_id=part, key="k", user_metadata={}, **fields
    )
    found = FoundObject(f"k~{ulid}", size, "e", "e", MODIFIED)
    return FoundCopy(on, told, found)


def manifest(
    object_id: str, ulid: str, *parts: str, on: str = "one", size: int = 5
) -> FoundCopy:
    """A manifest copy of an upload's object."""
    info = ObjectInfo("b", "k", object_id, size * len(parts), "e-2", None, MODIFIED)
    lines = tuple(
        ManifestPart(n, part, size * (n - 1), size, "e")
        for n, part in enumerate(parts, 1)
    )
    made = copy("", ulid, on=on, part_number=0, is_manifest=True)
    return evolve(made, manifest=Manifest("me", info, lines))


def planned(
    *copies: FoundCopy,
    held: HeldObject | None = None,
    owners: dict[str, str] | None = None,
    taken: dict[tuple[str, str], bool] | None = None,
) -> KeyPlan:
    """The plan."""
    return plan_key("b", "k", copies, held, owners or {}, taken or {})


def live(plan: KeyPlan) -> list[str]:
    """Copy ids of live rows."""
    return sorted(each.copy.told.copy_id for each in plan.rows if each.is_live)


def garbage(plan: KeyPlan) -> list[str]:
    """Copy ids of the others."""
    return sorted(each.copy.told.copy_id for each in plan.rows if not each.is_live)


def test_a_replica_does_not_outlive_a_newer_version() -> None:
    """A copy's own ULID says when it was made, not what of."""
    plan = planned(copy("P1", "1"), copy("P1", "3", on="two"), copy("P2", "2"))
    assert plan.made is not None
    assert plan.made.info.object_id == "P2"
    assert (live(plan), garbage(plan)) == (["2"], ["1", "3"])


def test_the_last_manifest_of_an_object_counts() -> None:
    """Metadata may have been replaced since the first."""
    first, second = manifest("O", "3", "P1"), manifest("O", "4", "P1", on="two")
    plan = planned(second, copy("P1", "1", upload_id="u"), first)
    assert (live(plan), garbage(plan)) == (["1", "4"], ["3"])


@pytest.mark.parametrize(("held", "winner"), [("P1", "P2"), ("P2", "P2"), ("P3", None)])
def test_what_the_ledger_has_counts_too(held: str, winner: str | None) -> None:
    """The newer one stands; the older one is garbage."""
    plan = planned(copy("P2", "2"), held=HeldObject("O", held))
    if held == "P1":
        assert plan.made is not None
        assert plan.made.info.object_id == winner
        assert live(plan) == ["2"]
    else:
        assert plan.made is None
        assert garbage(plan) == ["2"]


def test_a_copy_of_what_the_ledger_has() -> None:
    """It is a further one, unless there is one on that backend."""
    found = [copy("P", "1"), copy("P", "2", on="two"), copy("P", "3", on="two")]
    plan = planned(
        *found,
        held=HeldObject("O", "P"),
        owners={"P": "O"},
        taken={("P", "one"): True},
    )
    assert plan.made is None
    assert (live(plan), garbage(plan)) == (["2"], ["1", "3"])


def test_nothing_old_goes_before_all_of_the_new_is_there() -> None:
    """Neither what was found nor what the ledger has."""
    new = [manifest("Z9", "9", "P5", "P6"), copy("P5", "5", upload_id="u")]
    plan = planned(copy("P1", "1"), *new)
    assert plan.made is not None
    assert plan.made.missing == (2,)
    assert (live(plan), garbage(plan), plan.left) == (["5", "9"], [], 1)
    plan = planned(*new, held=HeldObject("O", "P1"))
    assert (plan.made, plan.rows, plan.left) == (None, [], 2)
    held = HeldObject("Z9", "Z9", missing=frozenset({"P6"}))
    plan = planned(copy("P1", "1"), held=held)
    assert (plan.rows, plan.left) == ([], 1)
    sixth = copy("P6", "6", upload_id="u")
    plan = planned(copy("P1", "1"), sixth, held=held, owners={"P6": "Z9"})
    assert (live(plan), garbage(plan), plan.left) == (["6"], ["1"], 0)


def test_another_size_is_no_copy() -> None:
    """It is told, and left: it may be all that there is."""
    plan = planned(manifest("O", "9", "P"), copy("P", "1", size=4, upload_id="u"))
    assert plan.made is not None
    assert plan.made.missing == (1,)
    assert (live(plan), plan.left) == (["9"], 1)
    assert any("has 4 bytes, of 5" in each for each in plan.problems)


def test_a_part_of_another_object() -> None:
    """A person copied a backend object under another name: nothing is taken away."""
    plan = planned(copy("P", "1"), owners={"P": "of another key"})
    assert (plan.made, plan.rows, plan.left) == (None, [], 1)


def test_an_id_is_used_once() -> None:
    """A person copied it to another backend: it gets an id of its own."""
    plan = planned(copy("P", "1"), copy("P", "1", on="two"))
    assert live(plan) == ["", "1"]


def test_an_upload_without_its_manifest() -> None:
    """The last of each number; what was sent before is garbage."""
    parts = [
        copy("P1", "1", upload_id="u", part_number=1),
        copy("P2", "2", upload_id="u", part_number=2),
        copy("P3", "3", upload_id="u", part_number=1),
        copy("P9", "9", upload_id="v", part_number=1),
    ]
    plan = planned(*parts)
    uploads = {
        upload_id: {n: [each.told.part_id for each in found] for n, found in by.items()}
        for upload_id, by in plan.uploads.items()
    }
    assert uploads == {"u": {1: ["P3"], 2: ["P2"]}, "v": {1: ["P9"]}}
    assert garbage(plan) == ["1"]
    assert len(plan.problems) == 2


def test_parts_that_complete_left_out() -> None:
    """Of an upload whose manifest is there they are garbage, and no upload."""
    plan = planned(
        manifest("O", "9", "P1"),
        copy("P1", "1", upload_id="u"),
        copy("P2", "2", upload_id="u", part_number=2),
    )
    assert (live(plan), garbage(plan), plan.uploads) == (["1", "9"], ["2"], {})


_ids = st.sampled_from([f"P{n}" for n in range(6)])
_ulids = st.integers(0, 10**6).map("{:07}".format)
_places = st.sampled_from(["one", "two"])
_plains = st.builds(
    lambda part, ulid, on: copy(part, ulid, on=on), _ids, _ulids, _places
)
_parts = st.builds(
    lambda part, ulid, on, upload: copy(
        "U" + part, ulid, on=on, upload_id=upload, part_number=int(part[1]) + 1
    ),
    _ids,
    _ulids,
    _places,
    st.sampled_from(["u", "v"]),
)
_manifests = st.builds(
    lambda n, ulid, parts, on: manifest(
        f"O{n}", ulid, *("U" + p for p in parts), on=on
    ),
    st.sampled_from("AQZ"),
    _ulids,
    st.lists(_ids, min_size=1, max_size=3, unique=True),
    _places,
)


@given(st.lists(_plains | _parts | _manifests, max_size=12), st.none() | _ids)
def test_every_copy_is_accounted_for(
    found: Sequence[FoundCopy], held: str | None
) -> None:
    """
    Whatever was found, each copy gets one row at the most, the rest is counted; no part
    is live twice on a backend; and what is live is the object's, or an upload's.
    """
    plan = planned(*found, held=None if held is None else HeldObject("H", held))
    rows = [each.copy for each in plan.rows]
    kept = [
        each
        for by in plan.uploads.values()
        for each_of in by.values()
        for each in each_of
    ]
    assert len(rows) + len(kept) + plan.left == len(found)
    alive = [each.copy for each in plan.rows if each.is_live] + kept
    places = Counter(each.place for each in alive if each.manifest is None)
    assert all(count == 1 for count in places.values())
    if plan.made is not None:
        parts = {each.part_id for each in plan.made.parts}
        for each in plan.rows:
            if each.is_live and each.copy.manifest is None:
                assert each.copy.told.part_id in parts
        if plan.made.missing:
            # Nothing of another version is thrown away.
            assert all(
                each.is_live
                or each.copy.told.part_id in parts
                or each.copy.told.upload_id is not None
                or each.copy.manifest is not None
                for each in plan.rows
            )
    ids = [each.told.copy_id for each in (*rows, *kept) if each.told.copy_id]
    assert len(ids) == len(set(ids))
