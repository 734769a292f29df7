"""
A backend's own CopyObject: what it is asked, and whether it has done it.

Its 200 may come before it knows the result, and its ETag alone proves nothing. A
backend that does not know the call may take it for a PUT of no bytes. So what it made
is looked at before it counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from s3proxy.backend.answers import Answer, error_of, mismatch, stored
from s3proxy.backend.documents import parse_copied
from s3proxy.errors import BackendMissing, BackendRefused
from s3proxy.manager.ports import BackendKey, Stored
from s3proxy.model import Copy
from s3proxy.plan.description import PART_ID


def copy_headers(source: str) -> dict[str, str]:
    """What makes a PUT a copy of *source*, with none of its metadata."""
    return {"x-amz-copy-source": source, "x-amz-metadata-directive": "REPLACE"}


def copied(backend: str, answer: Answer, md5: str) -> Stored:
    """
    What a backend says that it has copied.

    :raises BackendError: It says that it has not: ``landed`` is false where it refused
        the call. Or it says something else, or names the MD5 of other bytes.
    """
    if answer.status != 200 or answer.is_error:
        error = error_of(backend, answer)
        if isinstance(error, BackendRefused | BackendMissing):
            raise type(error)(backend, error.reason, landed=False)
        raise error
    try:
        etag = parse_copied(answer.body)
    except ValueError as why:
        raise mismatch(backend, f"no answer to a copy: {why}") from why
    return stored(backend, answer, etag, md5)


def checked(
    backend: str,
    made: Stored,
    found: BackendKey,
    metadata: Mapping[str, str],
    target: Copy,
    headers: Mapping[str, str],
    md5: str,
) -> Stored:
    """
    What is there under the target's key, which has to be what was meant.

    :param found: What a HEAD said, with *metadata*.
    :param headers: What the copy was to have.
    :raises BackendMismatch: It is something else.
    """
    if found.size_bytes != target.size_bytes:
        raise mismatch(
            backend, f"a copy of {found.size_bytes} bytes, not {target.size_bytes}"
        )
    if found.etag not in (None, made.etag, md5):
        raise mismatch(backend, f"a copy's ETag {found.etag}, not {made.etag}")
    # A backend may keep no metadata; the source's would lead a rebuild astray.
    part_id = metadata.get(PART_ID.removeprefix("x-amz-meta-"))
    if part_id not in (None, headers.get(PART_ID)):
        raise mismatch(backend, "a copy with the metadata of its source")
    # What a GET will name is what is kept.
    return evolve(made, etag=found.etag or made.etag)
