"""Forms as browsers send them, and their policies, signed as clients do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tests.s3.signing import ACCESS_KEY_ID, SECRET

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
DATE = "20261122T120000Z"
Fields = Sequence[tuple[str, str]]


def form(
    fields: Fields,
    file: bytes | None = b"bytes of the file",
    *,
    filename: str = "cat.jpg",
    after: Fields = (),
    ending: str = "--\r\n",
) -> bytes:
    """The body of a form: fields, a file unless it is None, and fields after it."""
    disposition = "Content-Disposition: form-data; name="

    def part(name: str, value: str) -> bytes:
        return f'--{BOUNDARY}\r\n{disposition}"{name}"\r\n\r\n{value}\r\n'.encode()

    pieces = [part(*field) for field in fields]
    if file is not None:
        head = (
            f'--{BOUNDARY}\r\n{disposition}"file"; filename="{filename}"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        pieces += [head.encode(), file, b"\r\n"]
    pieces += [part(*field) for field in after]
    return b"".join([*pieces, f"--{BOUNDARY}{ending}".encode()])


def encode(document: Any) -> str:
    """A policy as its field has it."""
    return base64.b64encode(json.dumps(document).encode()).decode()


def policy(
    *conditions: Any, bucket: str = "unified", until: str = "2026-11-22T12:01:00.000Z"
) -> str:
    """A policy of the bucket, for a minute."""
    return encode(
        {"expiration": until, "conditions": [{"bucket": bucket}, *conditions]}
    )


def signed_v4(
    fields: Fields,
    *conditions: Any,
    secret: str = SECRET,
    access_key_id: str = ACCESS_KEY_ID,
    region: str = "us-east-1",
    **more: str,
) -> list[tuple[str, str]]:
    """*fields*, with a policy of these conditions and its signature before them."""
    scope = f"{DATE[:8]}/{region}/s3/aws4_request"
    own = [
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", f"{access_key_id}/{scope}"),
        ("x-amz-date", DATE),
    ]
    text = policy(*conditions, *[{name: value} for name, value in own], **more)
    key = f"AWS4{secret}".encode()
    for step in scope.split("/"):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return [*own, ("policy", text), ("x-amz-signature", signature), *fields]


def signed_v2(
    fields: Fields,
    *conditions: Any,
    secret: str = SECRET,
    access_key_id: str = ACCESS_KEY_ID,
    **more: str,
) -> list[tuple[str, str]]:
    """Likewise, with version 2."""
    text = policy(*conditions, **more)
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()
    return [
        ("AWSAccessKeyId", access_key_id),
        ("policy", text),
        ("signature", base64.b64encode(digest).decode()),
        *fields,
    ]
