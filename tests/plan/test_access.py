"""plan.access: the table of operations, and what a grant allows."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import attrs
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.errors import AccessDenied
from s3proxy.model import Grant
from s3proxy.plan import access
from s3proxy.plan.access import NEEDS, Need
from s3proxy.s3 import operation
from s3proxy.s3.operation import CopySource, Operation
from s3proxy.s3.sent_document import SentDocument
from tests.strategies import keys, texts

OPERATIONS = get_args(Operation)
WRITES = {each for each, need in NEEDS.items() if need is Need.WRITE}
#: What is needed to make one, beside bucket, key and prefix.
MORE: dict[str, Any] = {
    "upload_id": "u",
    "part_number": 1,
    "content_length": 0,
    "source": CopySource("other", "k"),
    "document": SentDocument(),
    "is_canned": True,
    "name": "policy",
    "wanted": frozenset({"ETag"}),
}


def make(kind: type[Any], **given: object) -> Any:
    """An operation of that type."""
    fields = {field.name for field in attrs.fields(kind)}
    values = {"bucket": "b", "key": "k", **MORE, **given}
    return kind(**{name: value for name, value in values.items() if name in fields})


def is_denied(op: object, grant: Grant) -> bool:
    try:
        access.check(op, grant)
    except AccessDenied:
        return True
    return False


def test_every_operation_that_the_parser_can_make_has_its_place() -> None:
    """A new operation is denied until somebody decides what it needs."""
    assert set(OPERATIONS) == set(NEEDS)
    made = set(OPERATIONS)
    readers = [*operation._READERS.values()]
    readers += [reader for reader, _ in operation._COPIES.values()]
    for reader in readers:
        function = getattr(reader, "func", reader)
        if function is not reader:
            assert reader.args[0] in made  # type: ignore[attr-defined]
            continue
        returned = get_type_hints(function)["return"]
        assert set(get_args(returned) or (returned,)) <= made


def test_what_is_not_in_the_table_is_denied() -> None:
    @frozen
    class Rename:
        bucket: str
        key: str

    with pytest.raises(AccessDenied):
        access.need_of(Rename("b", "k"))
    assert is_denied(Rename("b", "k"), Grant())


def test_what_changes_anything_is_a_write() -> None:
    """Whatever has a body's length, a source or an upload's end is not for reading."""
    reading = {Need.NOTHING, Need.SEE, Need.LIST, Need.READ}
    names = {each.__name__ for each in OPERATIONS if NEEDS[each] in reading}
    assert all(name.startswith(("List", "Head", "Get")) for name in names)
    assert not any(
        each.__name__.startswith(("List", "Head", "Get"))
        for each in OPERATIONS
        if NEEDS[each] not in reading
    )


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_whole_writable_grant_allows_all_but_making_buckets(kind: type) -> None:
    denied = NEEDS[kind] in (Need.NOTHING, Need.CREATE)
    assert is_denied(make(kind), Grant()) == denied


@pytest.mark.parametrize("kind", sorted(WRITES, key=lambda each: each.__name__))
@pytest.mark.parametrize("prefix", ["", "k"])
def test_read_only_refuses_every_write(kind: type, prefix: str) -> None:
    with pytest.raises(AccessDenied, match="may only read"):
        access.check(make(kind), Grant(False, prefix))


@given(st.sampled_from(OPERATIONS), texts(1), keys())
def test_a_prefix_confines_keys_and_listings(kind: type, prefix: str, key: str) -> None:
    op = make(kind, key=key, prefix=key)
    match NEEDS[kind]:
        case Need.READ | Need.WRITE | Need.LIST:
            assert is_denied(op, Grant(True, prefix)) == (not key.startswith(prefix))
            assert not is_denied(
                make(kind, key=prefix + key, prefix=prefix + key), Grant(True, prefix)
            )
        case Need.SEE:
            assert not is_denied(op, Grant(True, prefix))
        case Need.ADMIN:
            assert is_denied(op, Grant(True, prefix))


@given(st.sampled_from(OPERATIONS), keys(), st.booleans(), texts())
def test_less_is_never_more(kind: type, key: str, writable: bool, prefix: str) -> None:
    """What a narrower grant allows, a wider one allows, too."""
    op = make(kind, key=key, prefix=key)
    if not is_denied(op, Grant(writable, prefix)) and NEEDS[kind] is not Need.CREATE:
        assert not is_denied(op, Grant(True, ""))
        assert not is_denied(op, Grant(writable, prefix[:-1]))


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_listing_of_all_is_not_within_a_prefix(kind: type) -> None:
    if NEEDS[kind] is Need.LIST:
        assert is_denied(make(kind, prefix=""), Grant(True, "a/"))
        assert is_denied(make(kind, prefix="a"), Grant(True, "a/"))
        assert not is_denied(make(kind, prefix="a/"), Grant(True, "a/"))


def test_a_source_is_read() -> None:
    access.check_source("a/k", Grant(False, "a/"))
    with pytest.raises(AccessDenied):
        access.check_source("b/k", Grant(True, "a/"))
