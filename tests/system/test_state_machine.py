"""
Whatever requests come in whatever order, the bucket is a dictionary.

The real daemon over a real database and two real backends, the first of which is small
enough to be full now and then, against a dict.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

import psycopg2
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import DataObject

from s3proxy.config import BackendConfig, DatabaseConfig
from s3proxy.s3.markup import escape
from tests.daemon import SHORT_LEDGER, Daemon
from tests.effort import efforts
from tests.strategies import NOT_XML
from tests.system.model import (
    KIB,
    LARGE_SIZES,
    MIB,
    Held,
    any_keys,
    bodies,
    expected_list,
    kept_headers,
    metadata,
    right_digests,
)
from tests.system.wire import Answer, Client, make_body, md5, open_put

SMALL_QUOTA = 8 * MIB
OLD_DATE = "Thu, 01 Jan 2015 00:00:00 GMT"


class Bucket(RuleBasedStateMachine):
    """One bucket, one client, one dict."""

    client: Client
    daemon: Daemon
    ledger: Any

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, Held] = {}

    # Writes.

    @rule(
        key=any_keys(),
        body=bodies(),
        kept=kept_headers(),
        extra=metadata(),
        digest=st.none() | st.sampled_from(sorted(right_digests(b""))),
        signed=st.booleans(),
    )
    def put(
        self,
        key: str,
        body: bytes,
        kept: dict[str, str],
        extra: dict[str, str],
        digest: str | None,
        signed: bool,
    ) -> None:
        sent = {**kept, **extra}
        if digest is not None:
            sent[digest] = right_digests(body)[digest]
        answer = self.send("PUT", key, body, sent, signed=signed)
        assert answer.status == 200, answer.body
        self.stored(answer, key, body, sent)

    @rule(key=any_keys(), body=bodies(), how=st.sampled_from(["absent", "any"]))
    def put_by_existence(self, key: str, body: bytes, how: str) -> None:
        sent = {"if-none-match": "*"} if how == "absent" else {"if-match": "*"}
        answer = self.send("PUT", key, body, sent)
        if (key in self.model) == (how == "any"):
            assert answer.status == 200, answer.body
            self.stored(answer, key, body, {})
        elif how == "any":
            assert answer.status == 404, answer.body
            assert answer.code == "NoSuchKey"
        else:
            assert answer.status == 412, answer.body
            assert answer.code == "PreconditionFailed"

    @rule(key=any_keys(), body=bodies(), other=bodies())
    def put_if_match(self, key: str, body: bytes, other: bytes) -> None:
        right = self.model.get(key)
        wrong = self.send("PUT", key, body, {"if-match": f'"{md5(b"?" + other)}"'})
        assert wrong.status == (404 if right is None else 412), wrong.body
        if right is not None:
            answer = self.send("PUT", key, body, {"if-match": f'"{right.etag}"'})
            assert answer.status == 200, answer.body
            self.stored(answer, key, body, {})

    @rule(
        key=any_keys(),
        body=bodies(),
        digest=st.sampled_from(sorted(right_digests(b""))),
        signed=st.booleans(),
    )
    def put_wrong(self, key: str, body: bytes, digest: str, signed: bool) -> None:
        sent = {digest: right_digests(body + b"x")[digest]}
        answer = self.send("PUT", key, body, sent, signed=signed)
        assert answer.status == 400, answer.body
        assert answer.code in ("BadDigest", "XAmzContentSHA256Mismatch")

    @rule(
        key=any_keys(),
        size=st.sampled_from((4 * KIB, 200 * KIB, *LARGE_SIZES)),
        part=st.floats(0, 0.999),
        hard=st.booleans(),
    )
    def put_cut(self, key: str, size: int, part: float, hard: bool) -> None:
        body = make_body(1, size)
        with open_put(self.daemon.port, key, size) as connection:
            connection.sendall(body[: int(size * part)])
            if hard:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    @rule(key=any_keys())
    def delete(self, key: str) -> None:
        assert self.send("DELETE", key).status == 204
        self.model.pop(key, None)

    @rule(key=any_keys())
    def delete_if_match(self, key: str) -> None:
        right = self.model.get(key)
        wrong = self.send("DELETE", key, headers={"if-match": f'"{md5(b"?")}"'})
        assert wrong.status == (404 if right is None else 412), wrong.body
        if right is not None:
            answer = self.send("DELETE", key, headers={"if-match": f'"{right.etag}"'})
            assert answer.status == 204, answer.body
            del self.model[key]

    @rule(keys=st.lists(any_keys(), min_size=1, max_size=6))
    def delete_many(self, keys: list[str]) -> None:
        # What XML cannot carry cannot be asked for.
        told = [key for key in keys if NOT_XML.search(key) is None]
        listed = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in told)
        body = f"<Delete>{listed}</Delete>".encode()
        digest = {"content-md5": right_digests(body)["content-md5"]}
        answer = self.client.request("POST", "", body, digest, query={"delete": ""})
        assert answer.status == (200 if told else 400), answer.body
        for key in told:
            self.model.pop(key, None)

    # Reads.

    @rule(key=any_keys(), method=st.sampled_from(["GET", "HEAD"]), signed=st.booleans())
    def read_any(self, key: str, method: str, signed: bool) -> None:
        answer = self.send(method, key, signed=signed)
        if key in self.model:
            self.check_whole(method, answer, self.model[key])
        else:
            assert answer.status == 404
            assert answer.code == ("NoSuchKey" if method == "GET" else "")

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def read_held(self, data: DataObject) -> None:
        key, held = self.draw_held(data)
        self.check_whole("HEAD", self.send("HEAD", key), held)
        self.check_whole("GET", self.send("GET", key), held)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def read_range(self, data: DataObject) -> None:
        key, held = self.draw_held(data)
        size = len(held.body)
        places = st.integers(0, size + 2) | st.sampled_from([0, 64 * KIB, 2 * MIB])
        first = data.draw(places)
        last = data.draw(places.map(lambda place: first + place))
        kind = data.draw(st.sampled_from(["first-last", "first-", "-count"]))
        wanted = {
            "first-last": (f"{first}-{last}", held.body[first : last + 1]),
            "first-": (f"{first}-", held.body[first:]),
            "-count": (
                f"-{first}",
                held.body[max(size - first, 0) :] if first else b"",
            ),
        }
        text, expected = wanted[kind]
        answer = self.send("GET", key, headers={"range": f"bytes={text}"})
        if not expected:
            assert answer.status == 416, (answer, text)
            assert answer.headers["content-range"] == f"bytes */{size}"
            return
        start = max(size - first, 0) if kind == "-count" else first
        assert answer.status == 206, (answer, text)
        assert answer.headers["content-range"] == (
            f"bytes {start}-{start + len(expected) - 1}/{size}"
        )
        assert answer.body == expected

    @precondition(lambda self: self.model)
    @rule(data=st.data(), method=st.sampled_from(["GET", "HEAD"]))
    def read_conditional(self, data: DataObject, method: str) -> None:
        key, held = self.draw_held(data)
        modified = self.send("HEAD", key).headers["last-modified"]
        right, wrong = f'"{held.etag}"', f'"{md5(b"?")}"'
        for header, value, status in (
            ("if-match", right, 200),
            ("if-match", wrong, 412),
            ("if-none-match", right, 304),
            ("if-none-match", wrong, 200),
            ("if-modified-since", modified, 304),
            ("if-modified-since", OLD_DATE, 200),
            ("if-unmodified-since", modified, 200),
            ("if-unmodified-since", OLD_DATE, 412),
        ):
            answer = self.send(method, key, headers={header: value})
            assert answer.status == status, (header, value)
            if status == 200:
                self.check_whole(method, answer, held)
            elif status == 304:
                assert answer.etag == held.etag
                assert answer.body == b""

    @rule(data=st.data(), page=st.sampled_from([1, 2, 3, 1000]))
    def list_all(self, data: DataObject, page: int) -> None:
        held = st.sampled_from(sorted(self.model) or [""])
        cuts = st.builds(lambda key, end: key[:end], held, st.integers(0, 4))
        prefix = data.draw(st.just("") | cuts, "prefix")
        after = data.draw(st.just("") | cuts | any_keys(), "start-after")
        delimiter = data.draw(st.sampled_from(["", "/", "//", "b"]), "delimiter")
        found: list[tuple[str, tuple[str, int] | None]] = []
        token = None
        while True:
            got = self.client.list_page(
                prefix=prefix,
                delimiter=delimiter,
                max_keys=page,
                start_after=after,
                token=token,
            )
            here = [*got.contents.items(), *((p, None) for p in got.common_prefixes)]
            assert len(here) <= page
            found += sorted(here, key=lambda entry: entry[0].encode())
            token = got.next_token
            if token is None:
                break
            assert len(here) == page
        assert found == expected_list(self.model, prefix, delimiter, after)

    def teardown(self) -> None:
        """All that is left is what the model says; then it goes."""
        want = {key: (held.etag, len(held.body)) for key, held in self.model.items()}
        assert self.client.keys() == want
        for key, held in self.model.items():
            self.check_whole("GET", self.send("GET", key), held)
            assert self.send("DELETE", key).status == 204
        assert self.client.keys() == {}
        with self.ledger.cursor() as cursor:
            cursor.execute(
                "SELECT q.backend_name, q.bytes_used, q.bytes_limit,"
                " coalesce((SELECT sum(l.size_bytes) FROM object_locations l"
                " WHERE l.backend_name = q.backend_name), 0) FROM backend_quotas q"
            )
            for name, used, limit, total in cursor.fetchall():
                assert used == total, name
                assert not limit or used <= limit, name

    # Within.

    def send(
        self,
        method: str,
        key: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        signed: bool = False,
    ) -> Answer:
        return self.client.request(method, key, body, headers, signed=signed)

    def stored(
        self, answer: Answer, key: str, body: bytes, headers: Mapping[str, str]
    ) -> None:
        kept = {
            name: value
            for name, value in headers.items()
            if name.startswith(("x-amz-meta-", "content-", "cache-", "expires"))
            and name != "content-md5"
        }
        self.model[key] = held = Held(body, kept)
        assert answer.etag == held.etag

    def draw_held(self, data: DataObject) -> tuple[str, Held]:
        key = data.draw(st.sampled_from(sorted(self.model)), "key")
        return key, self.model[key]

    def check_whole(self, method: str, answer: Answer, held: Held) -> None:
        assert answer.status == 200, answer.body[:500]
        assert answer.etag == held.etag
        assert answer.headers["content-length"] == str(len(held.body))
        assert answer.body == (held.body if method == "GET" else b"")
        told = {
            name: value
            for name, value in answer.headers.items()
            if name.startswith(("x-amz-meta-", "content-", "cache-", "expires"))
            and name != "content-length"
        }
        assert told == {"content-type": "binary/octet-stream", **held.headers}


@efforts(few=10, many=80)
def test_the_bucket_is_a_dictionary(
    database: DatabaseConfig,
    backend_config: Callable[..., BackendConfig],
    effort: int,
) -> None:
    """Random sequences of requests, then the whole bucket, then ``check``."""
    backends = [backend_config("small", quota_bytes=SMALL_QUOTA), backend_config("big")]
    ledger = psycopg2.connect(
        host=database.host,
        port=database.port,
        dbname=database.database,
        user=database.user,
    )
    ledger.autocommit = True
    # Long enough for the busiest machine: a lost lease would be a 503.
    times = {**SHORT_LEDGER, "lease": "5s"}
    with (
        Daemon(database, backends, ledger=times) as daemon,
        Client(daemon.port) as client,
    ):

        class Here(Bucket):
            pass

        Here.client, Here.daemon, Here.ledger = client, daemon, ledger
        try:
            run_state_machine_as_test(
                Here, settings=settings(max_examples=effort, stateful_step_count=25)
            )
        finally:
            ledger.close()
        daemon.wait_clean()
