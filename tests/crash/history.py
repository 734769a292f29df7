"""What clients were told, and so what they may find."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import define, field
from botocore.exceptions import ClientError, EndpointConnectionError, HTTPClientError

from tests.daemon import BUCKET

_random = random.Random(7)


def body(size: int) -> bytes:
    """Bytes that no other body has."""
    return _random.randbytes(size)


def read(client: Any, key: str) -> bytes | None:
    """The object, compared with its ETag, or None."""
    try:
        answer = client.get_object(Bucket=BUCKET, Key=key)
    except client.exceptions.NoSuchKey:
        return None
    data: bytes = answer["Body"].read()
    etag = answer["ETag"].strip('"')
    # Of an object of many parts it is no MD5; Complete has compared its parts'.
    assert "-" in etag or etag == hashlib.md5(data).hexdigest()
    return data


@define(eq=False)
class Write:
    """
    A PUT or DELETE as its client saw it.

    :ivar body: None for a DELETE.
    :ivar end: When it could no longer take effect; None while it may.
    :ivar owner: The daemon that had it.
    """

    key: str
    body: bytes | None
    begin: int
    end: int | None = None
    is_acknowledged: bool = False
    owner: object = None


@define(eq=False)
class History:
    """
    A write may be what stands in the end unless a write that was acknowledged began
    after it was over. One without an answer, or with a 5xx, may have happened, and may
    happen yet until its daemon is known to be dead.

    :ivar unknown: How many writes were left without a 200 or a refusal.
    """

    writes: list[Write] = field(factory=list)
    unknown: int = 0
    _clock: Iterator[int] = field(factory=itertools.count)

    def put(
        self, client: Any, key: str, data: bytes, *, owner: object = None, **more: Any
    ) -> int | None:
        """
        PUT; returns the status, or None where there was no answer.

        :raises EndpointConnectionError: Nobody was there; it did not happen.
        """
        return self._write(
            Write(key, data, next(self._clock), owner=owner),
            lambda: client.put_object(Bucket=BUCKET, Key=key, Body=data, **more),
        )

    def delete(self, client: Any, key: str, *, owner: object = None) -> int | None:
        """DELETE; as :meth:`put`."""
        return self._write(
            Write(key, None, next(self._clock), owner=owner),
            lambda: client.delete_object(Bucket=BUCKET, Key=key),
        )

    def copy(
        self, client: Any, key: str, source: str, data: bytes, **more: Any
    ) -> int | None:
        """CopyObject of *source*, which holds *data*; as :meth:`put`."""
        place = {"Bucket": BUCKET, "Key": source}
        return self._write(
            Write(key, data, next(self._clock)),
            lambda: client.copy_object(
                Bucket=BUCKET, Key=key, CopySource=place, **more
            ),
        )

    def delete_many(self, client: Any, keys: Sequence[str]) -> int | None:
        """DeleteObjects; as :meth:`put`."""
        begin = next(self._clock)
        return self._write_all(
            [Write(key, None, begin) for key in keys],
            lambda: client.delete_objects(
                Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]}
            ),
        )

    def complete(
        self, client: Any, key: str, data: bytes, upload_id: str, parts: Any
    ) -> int | None:
        """CompleteMultipartUpload of *data*; as :meth:`put`."""
        return self._write(
            Write(key, data, next(self._clock)),
            lambda: client.complete_multipart_upload(
                Bucket=BUCKET,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
            ),
        )

    def taken_in(self, key: str, data: bytes) -> None:
        """``sync`` has found it on a backend: as good as a PUT just now."""
        begin, end = next(self._clock), next(self._clock)
        self.writes.append(Write(key, data, begin, end, is_acknowledged=True))

    def over(self, owner: object = None) -> None:
        """No write that *owner* had can still take effect: it is dead."""
        for each in tuple(self.writes):
            if each.end is None and each.owner is owner:
                each.end = next(self._clock)

    def possible(self, key: str) -> list[bytes | None]:
        """What may be there now; None is nothing."""
        mine = [each for each in tuple(self.writes) if each.key == key]
        last = max((each.begin for each in mine if each.is_acknowledged), default=-1)
        return [
            each.body
            for each in [Write(key, None, -1, end=-1), *mine]
            if each.end is None or each.end >= last
        ]

    def check(self, client: Any, prefix: str) -> None:
        """Every key holds one of the values that it may hold, whole; LIST agrees."""
        found: set[str] = set()
        for key in sorted({each.key for each in self.writes}):
            data = read(client, key)
            assert data in self.possible(key), self._describe(key, data)
            if data is not None:
                found.add(key)
        answer = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        assert {each["Key"] for each in answer.get("Contents", ())} == found

    def _write(self, write: Write, call: Callable[[], Any]) -> int | None:
        return self._write_all([write], call)

    def _write_all(
        self, writes: Sequence[Write], call: Callable[[], Any]
    ) -> int | None:
        self.writes += writes
        status: int | None = None
        try:
            answer = call()
        except EndpointConnectionError:
            self._undo(writes)
            raise
        except HTTPClientError:
            self.unknown += 1
        except ClientError as why:
            status = int(why.response["ResponseMetadata"]["HTTPStatusCode"])
            # 4xx and "no room" are told before anything has changed.
            if status < 500 or status == 507:
                self._undo(writes)
            else:
                self.unknown += 1
        else:
            status = int(answer["ResponseMetadata"]["HTTPStatusCode"])
            end = next(self._clock)
            for write in writes:
                write.is_acknowledged, write.end = True, end
        return status

    def _undo(self, writes: Sequence[Write]) -> None:
        for write in writes:
            self.writes.remove(write)

    def _describe(self, key: str, data: bytes | None) -> str:
        def name(value: bytes | None) -> str:
            return "nothing" if value is None else f"{value[:6].hex()}({len(value)})"

        lines = [f"{key} is {name(data)}"]
        lines += [
            f"{each.begin} to {each.end}: {name(each.body)}"
            + (" acknowledged" if each.is_acknowledged else "")
            for each in self.writes
            if each.key == key
        ]
        return "\n".join(lines)
