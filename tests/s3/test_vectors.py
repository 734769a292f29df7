"""
AWS's own test suite of Signature Version 4, as far as it applies to S3.

``vectors/sigv4.json`` has the requests and signatures of the suite that the AWS SDKs
share (awslabs/aws-c-auth, ``tests/aws-signing-test-suite/v4``): name, form, method,
target, headers, payload hash, signature. Left out are the cases whose paths are
normalised, which S3 does not do, folded headers, and a session token that is put into
the query after it was signed. They are of a service "service", so this is about what is
signed and not about the verifier, which takes "s3" only.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from s3proxy.s3 import canonical, target

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SCOPE = "20150830/us-east-1/service/aws4_request"
Vector = tuple[str, str, str, str, list[tuple[str, str]], str, str]
VECTORS: list[Vector] = json.loads(
    (Path(__file__).parent / "vectors/sigv4.json").read_text("ascii")
)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v[0]}-{v[1]}")
def test_the_signature_is_aws_own(vector: Vector) -> None:
    """The canonical request, the string to sign and the key: all of it is in there."""
    _, form, method, sent, headers, payload_hash, signature = vector
    raw_path, raw_query = target.split(sent.encode())
    query = [
        pair for pair in target.decode_query(raw_query) if pair[0] != "X-Amz-Signature"
    ]
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value.encode().decode("latin-1"))
    if form == "query":
        signed = dict(query)["X-Amz-SignedHeaders"]
    else:
        found = re.search("SignedHeaders=([^,]*)", values["authorization"][0])
        assert found is not None
        signed = found[1]
    request = canonical.canonical_request(
        method,
        canonical.canonical_path(raw_path),
        canonical.canonical_pairs(query),
        [(name, values[name]) for name in signed.split(";")],
        payload_hash,
    )
    to_sign = canonical.string_to_sign("20150830T123600Z", SCOPE, request)
    assert canonical.signature(SECRET, SCOPE, to_sign) == signature


def test_the_suite_is_there() -> None:
    """Both forms of it."""
    assert len(VECTORS) == 59
    assert {form for _, form, *_ in VECTORS} == {"header", "query"}
