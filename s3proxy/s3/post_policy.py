"""
The policy of a form: what the holder of a key lets others upload, and until when.

Every field of the form must be covered by a condition, and every condition must hold;
what the policy does not speak of is refused.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from s3proxy.errors import (
    AccessDenied,
    EntityTooLarge,
    EntityTooSmall,
    InvalidPolicyDocument,
)

_EXPIRATION = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
_DIGITS = re.compile(r"\d{1,18}", re.ASCII)
# What the signature is made of cannot be in what it signs.
_UNCOVERED = frozenset({"policy", "x-amz-signature", "signature", "awsaccesskeyid"})
# A checksum grants nothing: it is held against the file that the browser sends, and
# whoever signs the policy cannot know it.
_FREE = ("x-ignore-", "x-amz-checksum-")


@frozen
class Condition:
    """
    :ivar operator: ``eq`` or ``starts-with``.
    :ivar name: Of a field, in lower case.
    :ivar text: As the policy has it.
    """

    operator: str
    name: str
    value: str
    text: str

    def holds(self, fields: Mapping[str, str]) -> bool:
        """Whether the form fulfils it; a field that is not there fulfils nothing."""
        value = fields.get(self.name)
        if value is None:
            return False
        if self.operator == "eq":
            return value == self.value
        # A list of types must be one of types that are all allowed.
        values = value.split(",") if self.name == "content-type" else [value]
        return all(each.strip().startswith(self.value) for each in values)


@frozen
class Policy:
    """
    :ivar least_bytes: Of the file, as is *most_bytes*; from ``content-length-range``.
    """

    expiration: datetime
    conditions: tuple[Condition, ...]
    least_bytes: int = 0
    most_bytes: int | None = None

    def check(self, fields: Mapping[str, str], now: datetime) -> None:
        """
        Hold a form to the policy.

        :param fields: By lower-case name; ``bucket`` is the one that the request names.
        :param now: Aware.
        :raises AccessDenied: It is expired, or does not allow this form (403).
        """
        if now >= self.expiration:
            raise _refusal("Policy expired.")
        for condition in self.conditions:
            if not condition.holds(fields):
                raise _refusal(f"Policy Condition failed: {condition.text}")
        covered = _UNCOVERED.union(condition.name for condition in self.conditions)
        extra = [
            name
            for name in fields
            if name not in covered and not name.startswith(_FREE)
        ]
        if extra:
            raise _refusal(f"Extra input fields: {', '.join(extra)}")

    def check_size(self, size_bytes: int, *, so_far: bool = False) -> None:
        """
        Hold a file to ``content-length-range``.

        :param so_far: More may come.
        :raises EntityTooLarge: Or EntityTooSmall (400).
        """
        if self.most_bytes is not None and size_bytes > self.most_bytes:
            raise EntityTooLarge(
                "Your proposed upload exceeds the maximum allowed size.",
                fields=_sizes(size_bytes, "MaxSizeAllowed", self.most_bytes),
            )
        if not so_far and size_bytes < self.least_bytes:
            raise EntityTooSmall(
                "Your proposed upload is smaller than the minimum allowed size.",
                fields=_sizes(size_bytes, "MinSizeAllowed", self.least_bytes),
            )


def parse(text: str) -> Policy:
    """
    Read a policy, whose signature has been verified.

    :param text: The field's value: base64 of JSON.
    :raises InvalidPolicyDocument: It is no policy (400).
    """
    try:
        document = json.loads(b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid("want the base64 of a JSON document.") from None
    if not isinstance(document, dict):
        raise _invalid("want an object with 'expiration' and 'conditions'.")
    for name in document:
        if name not in ("expiration", "conditions"):
            raise _invalid(f"Unexpected: '{name}'")
    for name in ("expiration", "conditions"):
        if name not in document:
            raise _invalid(f"Policy missing {name}.")
    if not isinstance(document["conditions"], list):
        raise _invalid("'conditions' must be a list.")
    conditions, least_bytes, most_bytes = [], 0, None
    for found in document["conditions"]:
        if _operator(found) == "content-length-range":
            least, most = _range(found)
            least_bytes = max(least_bytes, least)
            most_bytes = most if most_bytes is None else min(most_bytes, most)
        else:
            conditions.append(_condition(found))
    return Policy(
        _expiration(document["expiration"]), tuple(conditions), least_bytes, most_bytes
    )


def _expiration(value: Any) -> datetime:
    if isinstance(value, str) and _EXPIRATION.fullmatch(value):
        try:
            return datetime.fromisoformat(value[:19]).replace(tzinfo=UTC)
        except ValueError:
            pass
    raise _invalid("Invalid 'expiration' value: want YYYY-MM-DDThh:mm:ss.sssZ.")


def _operator(condition: Any) -> str | None:
    """In lower case; None of what is no list that begins with one."""
    if isinstance(condition, list) and condition and isinstance(condition[0], str):
        return condition[0].lower()
    return None


def _condition(found: Any) -> Condition:
    if isinstance(found, dict):
        if len(found) != 1:
            raise _invalid(
                "Invalid Simple-Condition: Simple-Conditions must have exactly one "
                "property specified."
            )
        ((name, value),) = found.items()
        operator, shown = "eq", ["eq", f"${name}", value]
    else:
        operator = _operator(found) or ""
        if operator not in ("eq", "starts-with") or len(found) != 3:
            raise _invalid(f"Invalid condition: {_shown(found)}")
        name, value, shown = found[1], found[2], found
        if not isinstance(name, str) or not name.startswith("$"):
            raise _invalid(f"Invalid condition, want '$' and a name: {_shown(found)}")
        name = name[1:]
    if not isinstance(value, str):
        raise _invalid(f"Invalid condition, want a value in quotes: {_shown(found)}")
    return Condition(operator, name.lower(), value, _shown(shown))


def _range(found: list[Any]) -> tuple[int, int]:
    numbers = [str(number) for number in found[1:] if type(number) in (int, str)]
    if len(found) != 3 or not all(map(_DIGITS.fullmatch, numbers)) or len(numbers) < 2:
        raise _invalid(f"Invalid content-length-range: {_shown(found)}")
    return int(numbers[0]), int(numbers[1])


def _shown(found: Any) -> str:
    return json.dumps(found, ensure_ascii=False)


def _sizes(size_bytes: int, name: str, limit_bytes: int) -> dict[str, str]:
    return {"ProposedSize": str(size_bytes), name: str(limit_bytes)}


def _refusal(why: str) -> AccessDenied:
    return AccessDenied(f"Invalid according to Policy: {why}")


def _invalid(why: str) -> InvalidPolicyDocument:
    return InvalidPolicyDocument(f"Invalid Policy: {why}")
