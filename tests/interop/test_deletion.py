"""Lines 21 and 48: DeleteObjects."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from s3proxy.s3 import checksums
from tests.daemon import BUCKET, Daemon
from tests.interop.lines import ask, failure, interop

#: What keys may have in them and still be told in XML.
ODD = ["a b", "a+b", "a%25", "a&b", "<a>", "a]]>b", "é", "日本語/🙂", "'\"", "a\nb\tc"]


def list_of(*keys: str) -> bytes:
    """A document."""
    inner = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    return f"<Delete>{inner}</Delete>".encode()


BODY = list_of("none")
DIGESTS = {
    "content-md5": b64encode(hashlib.md5(BODY).digest()).decode(),
    **{
        f"x-amz-checksum-{name}": b64encode(checksums.digest(name, BODY)).decode()
        for name in checksums.ALGORITHMS
    },
}


@pytest.mark.parametrize("header", DIGESTS)
@interop(21, "any-digest-is-accepted-and-verified")
def test_digests(daemon: Daemon, header: str) -> None:
    """The right one, and not a wrong one, nor one that is none."""
    target = f"/{BUCKET}?delete"
    right = DIGESTS[header]
    assert ask(daemon, "POST", target, {header: right}, BODY).status == 200
    answer = ask(daemon, "POST", target, {header: right}, BODY + b" ")
    assert (answer.status, b"<Code>BadDigest</Code>" in answer.body) == (400, True)
    for wrong in ("", "x", right[:-4]):
        answer = ask(daemon, "POST", target, {header: wrong}, BODY)
        assert answer.status == 400
        if header == "content-md5":
            assert b"<Code>InvalidDigest</Code>" in answer.body


@interop(21, "one-is-demanded")
def test_a_digest_is_demanded(daemon: Daemon) -> None:
    """The signature's own hash is none."""
    answer = ask(daemon, "POST", f"/{BUCKET}?delete", {}, BODY)
    assert answer.status == 400
    assert b"<Code>InvalidRequest</Code>" in answer.body
    assert b"Missing required header" in answer.body


@interop(48, "1000-keys-in-one-request")
def test_1000_keys(s3: Any, prefix: str) -> None:
    """All told, and gone; those that were not there too."""
    keys = [f"{prefix}{n:03}" for n in range(1000)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=BUCKET, Key=key), keys[::3]))
    listed = {"Objects": [{"Key": key} for key in keys]}
    answer = s3.delete_objects(Bucket=BUCKET, Delete=listed)
    assert [each["Key"] for each in answer["Deleted"]] == keys
    assert "Errors" not in answer
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["KeyCount"] == 0
    listed = {"Objects": [{"Key": key} for key in [*keys, "one more"]]}
    assert failure(s3.delete_objects, Bucket=BUCKET, Delete=listed) == (
        400,
        "MalformedXML",
    )


@interop(48, "quiet-tells-errors-only")
def test_quiet(s3: Any, prefix: str) -> None:
    """Per key: the version, the ETag, the length."""
    for name in "abc":
        s3.put_object(Bucket=BUCKET, Key=prefix + name, Body=b"x")
    etag = hashlib.md5(b"x").hexdigest()
    objects = [
        {"Key": f"{prefix}a", "VersionId": "null"},
        {"Key": f"{prefix}b", "VersionId": "3"},
        {"Key": f"{prefix}b", "ETag": "0" * 32},
        {"Key": f"{prefix}c", "ETag": f'"{etag}"'},
        {"Key": f"{prefix}none"},
        {"Key": "k" * 1025},
    ]
    answer = s3.delete_objects(
        Bucket=BUCKET, Delete={"Objects": objects, "Quiet": True}
    )
    assert "Deleted" not in answer
    assert [each["Code"] for each in answer["Errors"]] == [
        *("NoSuchVersion", "PreconditionFailed", "KeyTooLongError")
    ]
    page = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    assert [each["Key"] for each in page["Contents"]] == [f"{prefix}b"]


@interop(48, "odd-keys")
def test_odd_keys(s3: Any, prefix: str) -> None:
    """What was put under a key goes by the same key, and nothing else does."""
    keys = [prefix + name for name in ODD]
    for key in [*keys, f"{prefix}kept"]:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    listed = {"Objects": [{"Key": key} for key in keys]}
    answer = s3.delete_objects(Bucket=BUCKET, Delete=listed)
    assert [each["Key"] for each in answer["Deleted"]] == keys
    page = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    assert [each["Key"] for each in page["Contents"]] == [f"{prefix}kept"]


@interop(48, "no-keys-is-malformed")
def test_no_keys(daemon: Daemon) -> None:
    """As S3 has it."""
    for body in (list_of(), b"", b"<Delete", b"<Other/>"):
        digest = b64encode(hashlib.md5(body).digest()).decode()
        answer = ask(daemon, "POST", f"/{BUCKET}?delete", {"content-md5": digest}, body)
        assert (answer.status, b"<Code>MalformedXML</Code>" in answer.body) == (
            400,
            True,
        )
