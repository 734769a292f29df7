"""
Who signed the policy of a form: SigV4, and SigV2, with which SDKs still sign forms.

SigV2 is taken here and nowhere else. Of a request it leaves most headers unsigned; of a
form it signs what version 4 signs, the policy, and every field must be in that.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping, Sequence

from s3proxy.errors import (
    InvalidAccessKeyId,
    InvalidArgument,
    SignatureDoesNotMatch,
)
from s3proxy.s3.canonical import ALGORITHM, DUMMY_SECRET, TERMINAL, signature
from s3proxy.s3.dates import parse_amz_date

_V4 = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
_V2 = ("awsaccesskeyid", "signature")


def is_signed(fields: Mapping[str, str]) -> bool:
    """Whether a form has a policy, or part of a signature: then it must have all."""
    return any(name in fields for name in ("policy", *_V4, *_V2))


def verify(
    fields: Mapping[str, str],
    *,
    secret_of: Callable[[str], str | None],
    regions: Sequence[str],
) -> str:
    """
    Verify the signature of a form's policy.

    :param fields: By lower-case name.
    :param secret_of: The secret of an access key, or None for an unknown one.
    :param regions: Regions that a scope may name.
    :returns: The access key id that signed.
    :raises InvalidArgument: A field is missing or wrong, or both versions are there.
    :raises InvalidAccessKeyId: The key is unknown (403).
    :raises SignatureDoesNotMatch: The signature is wrong (403).
    """
    is_v4 = any(name in fields for name in _V4)
    if is_v4 and any(name in fields for name in _V2):
        raise InvalidArgument(
            "Only one auth mechanism allowed: the fields of signature version 4 or "
            "those of version 2, not both."
        )
    for name in ("policy", *(_V4 if is_v4 else _V2)):
        if name not in fields:
            raise missing(name)
    policy = fields["policy"]
    if is_v4:
        access_key_id, scope = _credential(fields, regions)
        sent = fields["x-amz-signature"]
    else:
        access_key_id, scope, sent = fields["awsaccesskeyid"], "", fields["signature"]
    secret = secret_of(access_key_id)
    key = DUMMY_SECRET if secret is None else secret
    expected = signature(key, scope, policy) if is_v4 else _signature_v2(key, policy)
    matches = hmac.compare_digest(expected.encode(), sent.encode())
    if secret is None:
        raise InvalidAccessKeyId(fields={"AWSAccessKeyId": access_key_id})
    if not matches:
        raise SignatureDoesNotMatch(
            fields={"AWSAccessKeyId": access_key_id, "StringToSign": policy}
        )
    return access_key_id


def missing(name: str) -> InvalidArgument:
    """A field that a form must have before its file is not there."""
    return InvalidArgument(
        f"Bucket POST must contain a field named '{name}'.  If it is specified, please "
        "check the order of the fields.",
        fields={"ArgumentName": name, "ArgumentValue": ""},
    )


def _credential(fields: Mapping[str, str], regions: Sequence[str]) -> tuple[str, str]:
    """The access key id, and the scope that the signature is under."""
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise _wrong("x-amz-algorithm", f"want {ALGORITHM}.")
    when = parse_amz_date(fields["x-amz-date"])
    if when is None:
        raise _wrong("x-amz-date", "want YYYYMMDDThhmmssZ.")
    access_key_id, _, scope = fields["x-amz-credential"].partition("/")
    date, _, rest = scope.partition("/")
    if date != fields["x-amz-date"][:8]:
        raise _wrong("x-amz-credential", "its date is not that of x-amz-date.")
    if rest not in [f"{region}/s3/{TERMINAL}" for region in regions]:
        raise _wrong(
            "x-amz-credential",
            f"want <access key>/YYYYMMDD/{regions[0]}/s3/{TERMINAL}.",
        )
    return access_key_id, scope


def _signature_v2(secret: str, policy: str) -> str:
    digest = hmac.digest(secret.encode(), policy.encode(), "sha1")
    return base64.b64encode(digest).decode()


def _wrong(name: str, why: str) -> InvalidArgument:
    return InvalidArgument(
        f"The form's field '{name}' is invalid: {why}", fields={"ArgumentName": name}
    )
