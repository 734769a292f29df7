"""Differential: what botocore signs is accepted, and not a byte else."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import evolve
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode, percent_encode_sequence
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from s3proxy.errors import S3Error
from s3proxy.s3 import target
from tests import strategies
from tests.s3.signing import ACCESS_KEY_ID, SECRET, Request

KEY = Credentials(ACCESS_KEY_ID, SECRET), "s3", "us-east-1"
SIGNERS = {"header": S3SigV4Auth(*KEY), "presigned": S3SigV4QueryAuth(*KEY)}
FORMS = st.sampled_from(sorted(SIGNERS))
#: In the profile "big", ten thousand.
BULK = max(500, settings.default.max_examples)
HEADER_TEXTS = st.text(st.sampled_from('aB, "~'), max_size=20) | st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20
)


def signed_by_botocore(
    key: str,
    query: list[tuple[str, str]],
    *,
    method: str = "GET",
    headers: list[tuple[str, str]] | None = None,
    body: bytes = b"",
    subresource: str = "",
    form: str = "header",
) -> Request:
    """Build, sign and take apart a request as botocore sends it."""
    path = "/unified/" + percent_encode(key, safe="/~")
    sent = "&".join(filter(None, [subresource, percent_encode_sequence(query)]))
    url = f"http://localhost:9000{path}" + (f"?{sent}" if sent else "")
    request = AWSRequest(method=method, url=url, data=body)
    for name, value in headers or []:
        request.headers.add_header(name, value)
    SIGNERS[form].add_auth(request)
    parts = urlsplit(request.prepare().url)
    # Not the prepared headers: those have lost the repeats.
    wire = [(name.lower(), value) for name, value in request.headers.items()]
    return Request(method, parts.path, parts.query, (("host", parts.netloc), *wire))


def sent_by_botocore(query: list[tuple[str, str]], form: str) -> list[tuple[str, str]]:
    """What it sends of a query: of repeats, a presigned URL has the first only."""
    if form == "header":
        return query
    first: dict[str, str] = {}
    for name, value in query:
        first.setdefault(name, value)
    return list(first.items())


def now() -> datetime:
    """botocore signs by the real clock."""
    return datetime.now(UTC)


@settings(max_examples=max(300, settings.default.max_examples))
@given(
    strategies.keys(),
    strategies.queries(),
    st.lists(
        st.tuples(st.sampled_from(["x-amz-meta-a", "x-amz-meta-b"]), HEADER_TEXTS),
        max_size=3,
    ),
    strategies.payloads(64),
    st.sampled_from(["", "uploads", "acl"]),
    FORMS,
)
def test_botocore_is_accepted(
    key: str,
    query: list[tuple[str, str]],
    headers: list[tuple[str, str]],
    body: bytes,
    subresource: str,
    form: str,
) -> None:
    """Keys, queries, valueless names, spaced and repeated headers: all verify."""
    request = signed_by_botocore(
        key,
        query,
        method="PUT",
        headers=headers,
        # Into a URL, this signer would put the body.
        body=body if form == "header" else b"",
        subresource=subresource,
        form=form,
    )
    assert request.verify(now=now()).access_key_id == ACCESS_KEY_ID
    routed = target.parse(request.target.encode())
    assert (routed.bucket, routed.key) == ("unified", key)
    wanted = [(subresource, ""), *query] if subresource else query
    sent = sent_by_botocore(wanted, form)
    assert list(routed.query)[: len(sent)] == sent


@pytest.mark.parametrize("form", SIGNERS)
def test_many_random_requests_are_accepted(form: str) -> None:
    """As above, in bulk: random keys and queries."""
    random = Random(20260524)
    alphabet = (
        "".join(map(chr, range(1, 0x100))) + "日本語🪣e\u0301\u2028\ufeff /%+&=?~"
    )

    def text(longest: int) -> str:
        return "".join(random.choices(alphabet, k=random.randint(1, longest)))

    for _ in range(BULK):
        key = text(40)
        query = [(text(6), text(12)) for _ in range(random.randint(0, 3))]
        request = signed_by_botocore(key, query, form=form)
        assert request.verify(now=now())
        routed = target.parse(request.target.encode())
        sent = sent_by_botocore(query, form)
        assert (routed.key, list(routed.query)[: len(sent)]) == (key, sent)


@settings(max_examples=max(300, settings.default.max_examples))
@given(
    strategies.keys(),
    strategies.queries(),
    st.integers(0, 10_000),
    st.integers(0, 7),
    st.sampled_from(["method", "path", "query", "header", "authorization"]),
    FORMS,
)
def test_one_flipped_bit_is_refused(
    key: str,
    query: list[tuple[str, str]],
    position: int,
    bit: int,
    where: str,
    form: str,
) -> None:
    """Wherever a bit flips, the request is refused or still means the same."""
    meta = [("x-amz-meta-a", "some value")]
    signed = signed_by_botocore(key, query, headers=meta, form=form)
    assume(where != "authorization" or form == "header")

    def flip(text: str) -> str:
        assume(text)
        raw = bytearray(text.encode("latin-1"))
        raw[position % len(raw)] ^= 1 << bit
        # The request line is ASCII on this side of the socket.
        assume(where not in ("method", "path", "query") or max(raw) < 0x80)
        return raw.decode("latin-1")

    if where in ("method", "path", "query"):
        change: dict[str, Any] = {where: flip(getattr(signed, where))}
        flipped = evolve(signed, **change)
    else:
        name = "x-amz-meta-a" if where == "header" else "authorization"
        flipped = signed.having(name, flip(dict(signed.headers)[name]))
    try:
        flipped.verify(now=now())
    except S3Error:
        return
    assert _meaning(flipped) == _meaning(signed)


def _meaning(request: Request) -> object:
    return (
        request.method,
        target.decode_path(request.path.encode()),
        sorted(target.decode_query(request.query.encode())),
        {n: v.split() for n, v in request.headers if n != "authorization"},
    )
