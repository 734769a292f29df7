"""The operations by name: what the page says is what is done."""

from __future__ import annotations

import botocore.session
import pytest

from s3proxy.errors import InvalidArgument, NotImplementedYet
from s3proxy.s3 import known
from s3proxy.s3.catalogue import OPERATIONS, Known, page
from s3proxy.s3.known import SERVED, SUBRESOURCES, Level
from tools.operations import PAGE

#: Of S3's, no requests to a bucket's address, or with names of older forms beside.
ELSEWHERE = {
    *("ListDirectoryBuckets", "WriteGetObjectResponse"),
    *("GetBucketLifecycle", "PutBucketLifecycle"),
    *("GetBucketNotification", "PutBucketNotification"),
}
LEVELS = {"/": Level.SERVICE, "/{Bucket}": Level.BUCKET}


def test_the_page_is_this_table() -> None:
    """Whoever changes the table runs ``make generate``."""
    assert PAGE.read_text("utf-8") == page()


def test_everything_served_has_a_name() -> None:
    """So the page leaves nothing out."""
    named = {(each.method, each.level, each.form) for each in OPERATIONS}
    for (method, level), forms in SERVED.items():
        assert {(method, level, form) for form in forms} <= named


def test_every_subresource_has_a_name() -> None:
    """But for the version, which is no operation's own."""
    named = frozenset[str]().union(*[each.form for each in OPERATIONS])
    assert named | {"versionId"} == SUBRESOURCES | {"select-type"}


def test_names_are_those_of_the_sdks() -> None:
    """Each with its method, level and subresources as in botocore's model of S3."""
    model = botocore.session.get_session().get_service_model("s3")
    by_name: dict[str, list[Known]] = {}
    for each in OPERATIONS:
        by_name.setdefault(each.name, []).append(each)
    assert set(model.operation_names) - ELSEWHERE <= set(by_name)
    for name in set(by_name) - {"PostObject"}:
        http = model.operation_model(name).http
        path, _, query = http["requestUri"].partition("?")
        pairs = {pair.partition("=")[0] for pair in query.split("&")} - {""}
        for each in by_name[name]:
            assert each.method == http["method"]
            assert each.level is LEVELS.get(path, Level.OBJECT)
            assert pairs - {"list-type"} <= each.form
            assert each.form - pairs <= {"uploadId", "partNumber"}


@pytest.mark.parametrize(
    "refused",
    [each for each in OPERATIONS if not each.is_served],
    ids=lambda each: each.name,
)
def test_what_the_page_calls_refused(refused: Known) -> None:
    """Is so, by the check that every request goes through."""
    with pytest.raises((NotImplementedYet, InvalidArgument)) as raised:
        known.check_served(refused.method, refused.level, sorted(refused.form))
    assert isinstance(raised.value, NotImplementedYet)
