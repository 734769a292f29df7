"""
Whatever is uploaded in whatever way, the bucket is a dictionary.

Twice: the manager over a real PostgreSQL and backends in memory, which is quick enough
for thousands of steps with tiny parts; and the whole daemon, through its front door,
where S3's 5 MiB make each step dear, so that there are few.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import md5
from typing import Any, ClassVar

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import DataObject
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from s3proxy.config import BackendConfig, DatabaseConfig
from s3proxy.errors import (
    BackendUnavailable,
    NoSuchKey,
    NoSuchUpload,
    ServiceUnavailable,
)
from s3proxy.jobs.collecting import Collector
from s3proxy.jobs.expiring import Expirer
from s3proxy.manager.copying import Copies
from s3proxy.manager.leases import Leases
from s3proxy.manager.objects import Objects
from s3proxy.manager.routing import Router
from s3proxy.manager.uploads import Uploads
from s3proxy.manager.writing import Writer
from s3proxy.model import Completed, CompletedPart, WriteConditions
from s3proxy.plan.placement import Target
from s3proxy.s3.copies import CopyObject, CopySource, UploadPartCopy
from s3proxy.s3.operation import PutObject
from s3proxy.s3.uploads import (
    AbortMultipartUpload,
    CreateMultipartUpload,
    ListMultipartUploads,
    ListParts,
    UploadPart,
)
from s3proxy.store.dsn import connection_arguments
from s3proxy.store.janitor import Janitor
from s3proxy.store.pool import Pool
from s3proxy.store.schema import schema_text
from s3proxy.store.statements import statements
from tests.blocking import blocking, wait
from tests.daemon import SHORT_LEDGER, Daemon
from tests.effort import efforts
from tests.fakes.backend import MemoryBackend
from tests.one_copy import PostgresLedger, PostgresUploads
from tests.servers import PostgresServer
from tests.system.wire import Client, make_body

BUCKET = "b"
KEYS = ("k", "a/b", "a//b")
LIMITS = {"small": 600, "big": 0}
GRACE_SECONDS, LEASE_SECONDS, LATE_SECONDS = 60.0, 600.0, 3600.0
ANY = WriteConditions()


class Whole:
    """A body that comes in one piece."""

    trailer_checksums: ClassVar[dict[str, str]] = {}

    def __init__(self, data: bytes) -> None:
        self._left = data

    async def read(self) -> bytes:
        """See :class:`s3proxy.manager.ports.Body`."""
        data, self._left = self._left, b""
        return data


def digest(data: bytes) -> str:
    """In hex."""
    return md5(data).hexdigest()


def whole_etag(parts: list[bytes]) -> str:
    """The ETag of an object of these parts."""
    digests = b"".join(md5(data).digest() for data in parts)
    return f"{digest(digests)}-{len(parts)}"


class Proxy:
    """A process without a front door, over a real ledger and backends in memory."""

    def __init__(self, server: PostgresServer, config: DatabaseConfig) -> None:
        self.connection = server.connect(config.database)
        self.sql(schema_text())
        for name, limit in LIMITS.items():
            self.sql(
                "INSERT INTO backend_quotas (backend_name, bytes_limit) "
                f"VALUES ('{name}', {limit})"
            )
        arguments = connection_arguments(config, statement_timeout_seconds=30.0)
        self.pool = Pool(arguments, reactor)
        self.ledger = PostgresLedger(self.pool, LEASE_SECONDS, GRACE_SECONDS)
        self.backends = {name: MemoryBackend(name) for name in LIMITS}
        leases = Leases(self.ledger, reactor.seconds)
        writer = Writer(
            self.ledger,
            leases,
            self.backends,
            Router([Target(name) for name in LIMITS]),
            "installation",
            reactor.seconds,
            lambda backend: None,
        )
        self.objects = Objects(
            self.ledger, self.backends, writer, reactor, GRACE_SECONDS
        )
        self.upload_ledger = PostgresUploads(self.pool, LEASE_SECONDS, GRACE_SECONDS)
        self.uploads = Uploads(self.upload_ledger, writer, "installation")
        # What it keeps in mind, that no fault be waited out.
        self.copied_by_backends = writer._copies._not_before
        self.copies = Copies(
            self.objects, self.ledger, self.upload_ledger, writer, "installation"
        )
        janitor = Janitor(self.pool, 0.0, LATE_SECONDS)
        self.collector = Collector(janitor, self.backends, lambda: False)
        self.expirer = Expirer(self.upload_ledger, 3600.0)

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """One statement, past everything."""
        with self.connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description is not None else []

    def clear(self) -> None:
        """Nothing was ever there."""
        for table in (
            *("read_pins", "multipart_parts", "multipart_uploads"),
            *("object_parts", "objects", "object_locations"),
        ):
            self.sql(f"DELETE FROM {table}")
        for backend in self.backends.values():
            backend.objects.clear()

    def pass_time(self) -> None:
        """Every lease and every wait in the ledger is over."""
        self.sql(
            "UPDATE object_locations SET due_at = due_at - interval '1 day'; "
            "UPDATE read_pins SET until = until - interval '1 day'"
        )

    def close(self) -> None:
        """Let go of the database."""
        self.pool.close()
        self.connection.close()


@define
class Upload:
    """An open upload, as its client knows it."""

    key: str
    parts: dict[int, bytes] = field(factory=dict)
    is_open: bool = True
    done: Completed | None = None
    metadata: dict[str, str] = field(factory=dict)


@define
class Held:
    """An object: its parts, and whether it was uploaded so."""

    parts: list[bytes]
    is_plain: bool
    metadata: dict[str, str] = field(factory=dict)

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.parts)

    @property
    def etag(self) -> str:
        """What every answer must say."""
        return digest(self.body) if self.is_plain else whole_etag(self.parts)


class Bucket(RuleBasedStateMachine):
    """One bucket, one client, two dicts."""

    proxy: Proxy

    def __init__(self) -> None:
        super().__init__()
        self.proxy.clear()
        self.model: dict[str, Held] = {}
        self.uploads: dict[str, Upload] = {}
        self.count = 0

    def body(self, size: int) -> bytes:
        self.count += 1
        return make_body(self.count, size)

    # Objects.

    @rule(key=st.sampled_from(KEYS), size=st.integers(0, 150))
    def put(self, key: str, size: int) -> None:
        data = self.body(size)
        metadata = {"n": str(self.count)}
        op = PutObject(BUCKET, key, size, user_metadata=metadata)
        info = wait(self.proxy.objects.put(op, Whole(data), sha256=None))
        assert info.etag == digest(data)
        self.model[key] = Held([data], True, metadata)

    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: str) -> None:
        wait(self.proxy.objects.delete(BUCKET, key))
        self.model.pop(key, None)

    @rule(
        source=st.sampled_from(KEYS),
        key=st.sampled_from(KEYS),
        replace=st.booleans(),
        fault=st.sampled_from(["", "", "put", "refused", "lost", "late"]),
    )
    def copy(self, source: str, key: str, replace: bool, fault: str) -> None:
        replace = replace or source == key
        metadata = {"n": f"copy {self.count}"} if replace else {}
        op = CopyObject(
            BUCKET,
            key,
            CopySource(BUCKET, source),
            replace_metadata=replace,
            user_metadata=metadata,
        )
        held = self.model.get(source)
        backends = self.proxy.backends.values()
        puts = sum(each.calls["open_put"] for each in backends)
        for each in backends:
            no_answer = BackendUnavailable(each.name, "no answer")
            each.makes_copies = fault not in ("put", "refused")
            if fault == "put":
                each.fail("open_put", None, *[no_answer] * 9)
            elif fault == "lost":
                each.fail("copy", None, no_answer)
            elif fault == "late":
                each.land_late()
        try:
            info = wait(self.proxy.copies.copy(op))
        except NoSuchKey:
            assert held is None
        except ServiceUnavailable:
            # A late landing may be met by a body that is streamed, too.
            assert fault in ("put", "late") and held is not None
            assert source != key
        else:
            assert held is not None
            if source == key:
                assert puts == sum(each.calls["open_put"] for each in backends)
            assert info.size_bytes == len(held.body)
            plain = held.is_plain or not held.body
            self.model[key] = Held(
                held.parts, plain, metadata if replace else held.metadata
            )
            if source == key:
                self.model[key].is_plain = held.is_plain
            assert info.etag == self.model[key].etag
        finally:
            for each in backends:
                each._faults.clear()
                each.makes_copies = True
                each.land_late(-each._land_late)
                for land in each.late:
                    land()
                each.late.clear()
            self.proxy.copied_by_backends.clear()

    # Uploads.

    @rule(key=st.sampled_from(KEYS))
    def create(self, key: str) -> None:
        self.count += 1
        metadata = {"n": f"upload {self.count}"}
        op = CreateMultipartUpload(BUCKET, key, user_metadata=metadata)
        self.uploads[wait(self.proxy.uploads.create(op))] = Upload(
            key, metadata=metadata
        )

    @precondition(lambda self: self.uploads)
    @rule(data=st.data(), number=st.integers(1, 4), size=st.integers(0, 200))
    def put_part(self, data: DataObject, number: int, size: int) -> None:
        upload_id, upload = self.draw(data)
        body = self.body(size)
        op = UploadPart(BUCKET, upload.key, upload_id, number, size)
        work = self.proxy.uploads.put_part(op, Whole(body), sha256=None)
        try:
            part = wait(work)
        except NoSuchUpload:
            assert not upload.is_open
        else:
            assert upload.is_open
            assert part.etag == digest(body)
            upload.parts[number] = body

    @precondition(lambda self: self.uploads and self.model)
    @rule(data=st.data(), number=st.integers(1, 4))
    def copy_part(self, data: DataObject, number: int) -> None:
        upload_id, upload = self.draw(data)
        source = data.draw(st.sampled_from(sorted(self.model)))
        body = self.model[source].body
        run = None
        if body:
            first = data.draw(st.integers(0, len(body) - 1))
            run = first, data.draw(st.integers(first + 1, len(body)))
        op = UploadPartCopy(
            BUCKET,
            upload.key,
            upload_id,
            number,
            CopySource(BUCKET, source),
            source_range=run,
        )
        try:
            part = wait(self.proxy.copies.copy_part(op))
        except NoSuchUpload:
            assert not upload.is_open
        else:
            assert upload.is_open
            upload.parts[number] = body[run[0] : run[1]] if run else b""
            assert part.etag == digest(upload.parts[number])

    @precondition(lambda self: self.uploads)
    @rule(data=st.data())
    def complete(self, data: DataObject) -> None:
        upload_id, upload = self.draw(data)
        numbers = data.draw(
            st.lists(
                st.sampled_from(sorted(upload.parts) or [1]), unique=True, min_size=1
            ).map(sorted)
        )
        # Past the manager, whose parts must have 5 MiB.
        work = self.proxy.upload_ledger.complete(
            upload_id,
            BUCKET,
            upload.key,
            [CompletedPart(n, digest(upload.parts.get(n, b""))) for n in numbers],
            ANY,
            least_part_bytes=0,
        )
        if upload.done is not None:
            assert wait(work) == upload.done
            return
        if not upload.is_open or not upload.parts:
            try:
                wait(work)
            except Exception as why:
                told = type(why).__name__
            assert told == ("InvalidPart" if upload.is_open else "NoSuchUpload")
            return
        upload.done = wait(work)
        upload.is_open = False
        parts = [upload.parts[number] for number in numbers]
        assert upload.done.etag == whole_etag(parts)
        self.model[upload.key] = Held(parts, False, upload.metadata)
        upload.parts = {}

    @precondition(lambda self: self.uploads)
    @rule(data=st.data())
    def abort(self, data: DataObject) -> None:
        upload_id, upload = self.draw(data)
        op = AbortMultipartUpload(BUCKET, upload.key, upload_id)
        try:
            wait(self.proxy.uploads.abort(op))
        except NoSuchUpload:
            assert not upload.is_open
        else:
            assert upload.is_open
            upload.is_open, upload.parts = False, {}

    @rule(all_of_them=st.booleans())
    def expire(self, all_of_them: bool) -> None:
        open_ones = [each for each in self.uploads.values() if each.is_open]
        if all_of_them:
            self.proxy.sql(
                "UPDATE multipart_uploads SET created_at = now() - interval '1 day'"
            )
            for each in open_ones:
                each.is_open, each.parts = False, {}
        count = wait(self.proxy.expirer.round())
        assert count == (len(open_ones) if all_of_them else 0)

    @rule(late=st.booleans())
    def collect(self, late: bool) -> None:
        if late:
            self.proxy.pass_time()
        wait(self.proxy.collector.round())

    # Reads.

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def read_range(self, data: DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        body = self.model[key].body
        start = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(start, len(body)))
        if start < end:
            assert self.read(key, start, end) == body[start:end]

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        text = statements()
        for name, used, limit, summed, *_ in self.proxy.sql(text["sums"]):
            assert used == summed, name
            assert not limit or used <= limit, name
        assert self.proxy.sql(text["unreadable_objects"]) == []
        assert self.proxy.sql(text["strays"]) == []
        page = wait(self.proxy.objects.list_objects(BUCKET, "", "", "", 1000))
        assert {each.key: each.etag for each in page.contents} == {
            key: held.etag for key, held in self.model.items()
        }
        uploads = wait(self.proxy.uploads.list_uploads(ListMultipartUploads(BUCKET)))
        assert {each.upload_id for each in uploads.uploads} == {
            upload_id for upload_id, each in self.uploads.items() if each.is_open
        }

    def teardown(self) -> None:
        """Every byte is what it should be, and there is none too many."""
        for key, held in self.model.items():
            info = wait(self.proxy.objects.head(BUCKET, key))
            assert info.user_metadata == held.metadata
            assert self.read(key, 0, len(held.body)) == held.body
        kept = [part for held in self.model.values() for part in held.parts]
        for upload_id, upload in self.uploads.items():
            if upload.is_open:
                op = ListParts(BUCKET, upload.key, upload_id)
                page = wait(self.proxy.uploads.list_parts(op))
                assert {each.part_number: each.etag for each in page.parts} == {
                    number: digest(part) for number, part in upload.parts.items()
                }
                kept += upload.parts.values()
        for _ in range(3):
            self.proxy.pass_time()
            wait(self.proxy.collector.round())
        stored = [
            each.data
            for backend in self.proxy.backends.values()
            for each in backend.objects.values()
        ]
        # A copy of an empty object has no parts that are empty.
        assert sorted(filter(None, stored)) == sorted(filter(None, kept))

    # Within.

    def draw(self, data: DataObject) -> tuple[str, Upload]:
        ids = [each for each, upload in self.uploads.items() if upload.is_open]
        if not ids or data.draw(st.integers(0, 5)) == 0:
            ids = list(self.uploads)
        upload_id = data.draw(st.sampled_from(ids))
        return upload_id, self.uploads[upload_id]

    def read(self, key: str, start: int, end: int) -> bytes:
        async def read() -> bytes:
            stored = await self.proxy.objects.find(BUCKET, key)
            reader = await self.proxy.objects.open(stored, start, end)
            data = b""
            while piece := await reader.read():
                data += piece
            return data

        found: bytes = wait(read())
        return found


@efforts(few=10, many=80)
@ensureDeferred
async def test_the_manager_over_a_real_ledger(
    postgres: PostgresServer, database: DatabaseConfig, effort: int
) -> None:
    """Multipart, PUT, copy, DELETE and expiry, in any order."""

    class Here(Bucket):
        proxy = Proxy(postgres, database)

    how = settings(max_examples=effort, stateful_step_count=40)
    try:
        await blocking(lambda: run_state_machine_as_test(Here, settings=how))
    finally:
        Here.proxy.close()


# Through the front door ---

MIB = 1024 * 1024
#: Bodies of the front door's machine: large ones may be followed by another part.
LARGE, TINY = 5 * MIB, 1000


class FrontDoor(RuleBasedStateMachine):
    """One key, one daemon."""

    client: Client

    def __init__(self) -> None:
        super().__init__()
        self.client.request("DELETE", "k")
        self.held: Held | None = None
        self.uploads: dict[str, Upload] = {}
        self.count = 0

    def body(self, size: int) -> bytes:
        self.count += 1
        return (make_body(self.count, MIB) * 5)[:size]

    @rule()
    def create(self) -> None:
        answer = self.client.request("POST", "k", query={"uploads": ""})
        assert answer.status == 200, answer.body
        found = re.search(rb"<UploadId>([^<]+)</UploadId>", answer.body)
        assert found is not None
        self.uploads[found[1].decode()] = Upload("k")

    @precondition(lambda self: self.uploads)
    @rule(
        data=st.data(),
        number=st.integers(1, 3),
        size=st.sampled_from([LARGE, TINY, TINY]),
    )
    def put_part(self, data: DataObject, number: int, size: int) -> None:
        upload_id = data.draw(st.sampled_from(sorted(self.uploads)))
        body = self.body(size)
        query = {"partNumber": str(number), "uploadId": upload_id}
        answer = self.client.request("PUT", "k", body, query=query)
        if not self.uploads[upload_id].is_open:
            assert (answer.status, answer.code) == (404, "NoSuchUpload")
            return
        assert (answer.status, answer.etag) == (200, digest(body))
        self.uploads[upload_id].parts[number] = body

    @precondition(lambda self: any(each.parts for each in self.uploads.values()))
    @rule(data=st.data())
    def complete(self, data: DataObject) -> None:
        ids = [each for each, upload in self.uploads.items() if upload.parts]
        upload_id = data.draw(st.sampled_from(sorted(ids)))
        upload = self.uploads[upload_id]
        numbers = data.draw(
            st.lists(
                st.sampled_from(sorted(upload.parts)), unique=True, min_size=1
            ).map(sorted)
        )
        parts = [upload.parts[number] for number in numbers]
        answer = self.send_complete(upload_id, numbers, parts)
        if any(len(part) < LARGE for part in parts[:-1]):
            assert (answer.status, answer.code) == (400, "EntityTooSmall")
            return
        self.check_completed(answer, whole_etag(parts))
        self.check_completed(
            self.send_complete(upload_id, numbers, parts), whole_etag(parts)
        )
        self.held = Held(parts, False)
        upload.is_open, upload.parts = False, {}

    @precondition(lambda self: self.uploads)
    @rule(data=st.data())
    def abort(self, data: DataObject) -> None:
        upload_id = data.draw(st.sampled_from(sorted(self.uploads)))
        upload = self.uploads[upload_id]
        answer = self.client.request("DELETE", "k", query={"uploadId": upload_id})
        assert answer.status == (204 if upload.is_open else 404)
        upload.is_open, upload.parts = False, {}

    @rule(size=st.sampled_from([0, TINY]))
    def put(self, size: int) -> None:
        body = self.body(size)
        assert self.client.put("k", body).status == 200
        self.held = Held([body], True)

    @rule()
    def delete(self) -> None:
        assert self.client.request("DELETE", "k").status == 204
        self.held = None

    @rule()
    def copy_there_and_back(self) -> None:
        sent = {"x-amz-copy-source": "unified/k"}
        answer = self.client.request("PUT", "copy", headers=sent)
        if self.held is None:
            assert (answer.status, answer.code) == (404, "NoSuchKey")
            return
        assert answer.status == 200, answer.body
        assert b"<Error>" not in answer.body
        found = self.client.get("copy")
        assert (found.body, found.etag) == (self.held.body, self.held.etag)
        assert self.client.request("DELETE", "copy").status == 204

    @rule(data=st.data())
    def read(self, data: DataObject) -> None:
        if self.held is None:
            assert self.client.get("k").status == 404
            return
        body = self.held.body
        answer = self.client.get("k")
        assert (answer.status, answer.etag) == (200, self.held.etag)
        assert answer.body == body
        if not body:
            return
        edges = [0, len(body) - 1, len(self.held.parts[0])]
        first = data.draw(st.sampled_from([each for each in edges if each < len(body)]))
        last = min(first + data.draw(st.integers(0, 3000)), len(body) - 1)
        answer = self.client.get("k", range=f"bytes={first}-{last}")
        assert (answer.status, answer.body) == (206, body[first : last + 1])
        count = len(self.held.parts)
        for number in range(1, count + 1):
            query = {"partNumber": str(number)}
            answer = self.client.request("GET", "k", query=query)
            assert answer.body == self.held.parts[number - 1]

    def teardown(self) -> None:
        for upload_id, upload in self.uploads.items():
            if upload.is_open:
                query = {"uploadId": upload_id}
                assert self.client.request("DELETE", "k", query=query).status == 204
        if self.held is not None:
            assert self.client.get("k").body == self.held.body

    def send_complete(
        self, upload_id: str, numbers: list[int], parts: list[bytes]
    ) -> Any:
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{digest(part)}</ETag></Part>"
            for number, part in zip(numbers, parts, strict=True)
        )
        document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
        return self.client.request(
            "POST", "k", document.encode(), query={"uploadId": upload_id}
        )

    def check_completed(self, answer: Any, etag: str) -> None:
        assert answer.status == 200, answer.body
        assert etag.encode() in answer.body, answer.body


@efforts(few=8, many=60)
def test_the_daemon(
    database: DatabaseConfig,
    backend_config: Callable[..., BackendConfig],
    effort: int,
) -> None:
    """The same through the front door, and then ``check``: not a byte is left over."""
    backends = [backend_config("small", quota_bytes=12 * MIB), backend_config("big")]
    times = {**SHORT_LEDGER, "lease": "5s"}
    with (
        Daemon(database, backends, ledger=times) as daemon,
        Client(daemon.port) as client,
    ):

        class Here(FrontDoor):
            pass

        Here.client = client
        how = settings(max_examples=effort, stateful_step_count=20)
        run_state_machine_as_test(Here, settings=how)
        assert client.request("DELETE", "k").status == 204
        daemon.wait_clean()
