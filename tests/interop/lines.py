"""What the tests of this room share."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import frozen
from botocore.exceptions import ClientError

from s3proxy.s3 import sigv4
from tests.daemon import KEY_ID, SECRET, Daemon


def interop(number: int, what: str) -> pytest.MarkDecorator:
    """The test is for this line of the checklist; its id says so."""
    return pytest.mark.parametrize("line", [f"interop-{number}-{what}"], indirect=True)


@frozen
class Answer:
    """What came back; names of headers are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    daemon: Daemon,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """A signed request whose target and headers are sent as they are."""
    path, _, query = target.partition("?")
    sent = {"host": f"127.0.0.1:{daemon.port}", **(headers or {})}
    sent |= sigv4.sign_headers(
        method,
        path,
        query,
        sent,
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        region="us-east-1",
        payload_hash="UNSIGNED-PAYLOAD",
        now=datetime.now(UTC),
    )
    wire = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    try:
        wire.request(method, target, body, sent)
        answer = wire.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, named, answer.read())
    finally:
        wire.close()


def failure(call: Any, **arguments: Any) -> tuple[int, str]:
    """Status and code of a call that fails."""
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    said = raised.value.response
    return said["ResponseMetadata"]["HTTPStatusCode"], said["Error"]["Code"]
