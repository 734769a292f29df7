"""Policies of forms: what they allow, and that nothing else goes through."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.errors import (
    AccessDenied,
    EntityTooLarge,
    EntityTooSmall,
    InvalidPolicyDocument,
)
from s3proxy.s3 import post_policy
from tests.s3.forms import NOW, encode, policy

FIELDS = {"bucket": "unified", "key": "user/cat.jpg", "policy": "…", "signature": "…"}


def check(fields: dict[str, str], *conditions: Any) -> None:
    post_policy.parse(policy(*conditions)).check(fields, NOW)


KEY = ["starts-with", "$key", "user/"]


@pytest.mark.parametrize(
    ("more", "conditions"),
    [
        ({}, [KEY]),
        ({}, [["EQ", "$Key", "user/cat.jpg"]]),
        ({}, [{"KEY": "user/cat.jpg"}]),
        ({"acl": "private"}, [KEY, {"aCl": "private"}]),
        ({"x-amz-meta-a": "é$"}, [KEY, ["eq", "$x-amz-meta-a", "é$"]]),
        ({"x-amz-meta-a": "anything"}, [KEY, ["starts-with", "$x-amz-meta-a", ""]]),
        ({"x-amz-meta-a": ""}, [KEY, ["starts-with", "$x-amz-meta-a", ""]]),
        ({"x-ignore-a": "anything"}, [KEY]),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, [KEY]),
        (
            {"content-type": "image/png, image/gif"},
            [KEY, ["starts-with", "$Content-Type", "image/"]],
        ),
    ],
)
def test_allowed(more: dict[str, str], conditions: list[Any]) -> None:
    check(FIELDS | more, *conditions)


@pytest.mark.parametrize(
    ("more", "conditions", "why"),
    [
        ({}, [], "Extra input fields: key"),
        ({"acl": "private"}, [KEY], "Extra input fields: acl"),
        ({"x-amz-algorithm": "x"}, [KEY], "Extra input fields: x-amz-algorithm"),
        ({"submit": "Upload"}, [KEY], "Extra input fields: submit"),
        (
            {"key": "other/cat.jpg"},
            [KEY],
            r'failed: \["starts-with", "\$key", "user/"\]',
        ),
        ({"key": "User/cat.jpg"}, [KEY], "Policy Condition failed"),
        ({"bucket": "other"}, [KEY], r'failed: \["eq", "\$bucket", "unified"\]'),
        ({}, [KEY, {"acl": "private"}], "Policy Condition failed"),
        ({}, [KEY, ["starts-with", "$x-amz-meta-a", ""]], "Policy Condition failed"),
        ({"x-amz-meta-a": "a"}, [KEY, ["eq", "$x-amz-meta-a", ""]], "Condition failed"),
        (
            {"x-amz-meta-a": "b"},
            [KEY, ["eq", "$x-amz-meta-a", "B"]],
            "Condition failed",
        ),
        # Every one must hold, of conditions for one field too.
        ({}, [KEY, {"key": "user/dog.jpg"}], "Policy Condition failed"),
        (
            {"content-type": "image/png,text/html"},
            [KEY, ["starts-with", "$Content-Type", "image/"]],
            "Policy Condition failed",
        ),
    ],
)
def test_refused(more: dict[str, str], conditions: list[Any], why: str) -> None:
    with pytest.raises(AccessDenied, match=f"^Invalid according to Policy: .*{why}"):
        check(FIELDS | more, *conditions)


NAMES = st.sampled_from(["key", "acl", "content-type", "x-amz-meta-a", "x-amz-meta-b"])
VALUES = st.text("ab/é", max_size=4)


@given(
    st.dictionaries(NAMES, VALUES, min_size=1),
    st.data(),
    st.booleans(),
)
def test_a_form_with_one_difference_is_refused(
    fields: dict[str, str], data: st.DataObject, exact: bool
) -> None:
    """What is covered passes; a changed, added or missing field does not."""
    conditions = [
        {name: value} if exact else ["eq", f"${name.upper()}", value]
        for name, value in fields.items()
    ]
    right = fields | {"bucket": "unified"}
    check(right, *conditions)
    name = data.draw(st.sampled_from(sorted(right)))
    for wrong in (
        right | {name: right[name] + "x"},
        right | {"added": ""},
        {each: value for each, value in right.items() if each != name},
    ):
        with pytest.raises(AccessDenied):
            check(wrong, *conditions)


def test_an_expired_policy() -> None:
    parsed = post_policy.parse(policy(KEY, until="2026-11-22T12:00:00Z"))
    parsed.check(FIELDS, NOW - timedelta(seconds=1))
    with pytest.raises(AccessDenied, match=r"Invalid according to Policy: Policy exp"):
        parsed.check(FIELDS, NOW)


def test_the_size_of_the_file() -> None:
    sized = post_policy.parse(
        policy(["content-length-range", 5, "20"], ["content-length-range", 0, 10])
    )
    for size in (5, 10):
        sized.check_size(size)
    with pytest.raises(EntityTooSmall) as small:
        sized.check_size(4)
    assert small.value.fields == {"ProposedSize": "4", "MinSizeAllowed": "5"}
    sized.check_size(4, so_far=True)
    with pytest.raises(EntityTooLarge) as large:
        sized.check_size(11, so_far=True)
    assert large.value.fields == {"ProposedSize": "11", "MaxSizeAllowed": "10"}
    post_policy.parse(policy()).check_size(10**15)


UNTIL = "2026-11-22T12:01:00Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "%%%",
        "bm8ganNvbg==",
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"[" * 15000).decode(),
        encode([]),
        encode({"conditions": []}),
        encode({"expiration": UNTIL}),
        encode({"EXPIRATION": UNTIL, "conditions": []}),
        encode({"expiration": UNTIL, "CONDITIONS": []}),
        encode({"expiration": UNTIL, "conditions": [], "more": 1}),
        encode({"expiration": UNTIL, "conditions": {}}),
        encode({"expiration": "2026-11-22 12:01:00+00:00", "conditions": []}),
        encode({"expiration": "2026-11-31T12:01:00Z", "conditions": []}),
        encode({"expiration": 1, "conditions": []}),
        *[
            policy(condition)
            for condition in (
                {},
                {"a": "b", "c": "d"},
                {"a": 1},
                "key",
                [],
                [1, "$key", "v"],
                ["ends-with", "$key", "v"],
                ["eq", "key", "v"],
                ["eq", 1, "v"],
                ["eq", "$key"],
                ["eq", "$key", "v", "w"],
                ["eq", "$key", None],
                ["content-length-range", 0],
                ["content-length-range", -1, 0],
                ["content-length-range", 0, 1.5],
                ["content-length-range", True, 1],
                ["content-length-range", 0, 1, 2],
            )
        ],
    ],
)
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(InvalidPolicyDocument):
        post_policy.parse(text)
