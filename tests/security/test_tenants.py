"""
Two tenants of one daemon: no operation brings one to the other's bytes.

Every operation that there is, is asked for by bob, of what is alice's: a bucket that is
hers, her prefix of a bucket that both have a part of, and a bucket that she made. It is
refused, tells nothing, and changes nothing.
"""

from __future__ import annotations

import hashlib
import http.client
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from attrs import field, frozen

from s3proxy.config import DatabaseConfig
from s3proxy.s3 import operation as s3
from s3proxy.s3.sigv4 import sign_headers, uri_encode
from s3proxy.web.assembly import Rooms, make_handlers
from s3proxy.web.cors import Cors
from tests.daemon import SHORT_LEDGER, TOKEN, Daemon
from tests.servers import PostgresServer, S3Server

ALICE, BOB, CAROL = ("alice", "of alice"), ("bob", "of bob"), ("carol", "of carol")
CREDENTIALS = [
    {
        "access_key_id": "alice",
        "secret_access_key": "of alice",
        "create_buckets": True,
        "buckets": {"alices": {}, "shared": {"prefix": "a/"}},
    },
    {
        "access_key_id": "bob",
        "secret_access_key": "of bob",
        "create_buckets": True,
        "buckets": {"bobs": {}, "shared": {"prefix": "b/"}},
    },
    {
        "access_key_id": "carol",
        "secret_access_key": "of carol",
        "buckets": {"alices": {"mode": "ro"}, "shared": {"mode": "ro"}},
    },
]
SECRET_BYTES = b"what alice wrote"
DELETION = b"<Delete><Object><Key>%b</Key></Object></Delete>"
RULES = (
    b"<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod>"
    b"<AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>"
)
TAGGING = (
    b"<Tagging><TagSet><Tag><Key>of</Key><Value>bob</Value></Tag></TagSet></Tagging>"
)
#: Where alice's things are: bucket and the beginning of their keys.
SPACES = [("alices", ""), ("shared", "a/"), ("alices-own", "")]
COMPLETION = (
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"
    + hashlib.md5(SECRET_BYTES).hexdigest().encode()
    + b"</ETag></Part></CompleteMultipartUpload>"
)
#: Tables that no refused request may change.
TABLES = (
    "buckets",
    "objects",
    "object_parts",
    "multipart_uploads",
    "multipart_parts",
    "object_locations",
)


@frozen
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        found = re.search(rb"<Code>(\w+)</Code>", self.body)
        return found[1].decode() if found else ""


@frozen
class Ask:
    """A request; *query* as it is sent."""

    method: str
    bucket: str
    key: str = ""
    query: str = ""
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""


@frozen
class Scene:
    """
    :ivar uploads: By space: the id of an upload of alice's with one part.
    :ivar bobs_upload: Of ``bobs/k``.
    """

    daemon: Daemon
    server: PostgresServer
    database: DatabaseConfig
    uploads: dict[tuple[str, str], str]
    bobs_upload: str

    def ask(self, who: tuple[str, str] | None, ask: Ask) -> Answer:
        """Send it, signed by *who*, or with the token."""
        path = f"/{ask.bucket}"
        if ask.key:
            path += f"/{uri_encode(ask.key, slash=False)}"
        host = f"127.0.0.1:{self.daemon.port}"
        headers = {"host": host, **ask.headers}
        if who is None:
            headers["x-proxy-token"] = TOKEN
        else:
            headers |= sign_headers(
                ask.method,
                path,
                ask.query,
                headers,
                access_key_id=who[0],
                secret_access_key=who[1],
                region="us-east-1",
                payload_hash=hashlib.sha256(ask.body).hexdigest(),
                now=datetime.now(UTC),
            )
        connection = http.client.HTTPConnection(host, timeout=60)
        try:
            url = f"{path}?{ask.query}" if ask.query else path
            connection.request(ask.method, url, ask.body or None, headers)
            response = connection.getresponse()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()

    def rows(self) -> list[tuple[Any, ...]]:
        """All that the ledger has, but for claims' leases."""
        connection = self.server.connect(self.database.database)
        try:
            with connection.cursor() as cursor:
                found: list[tuple[Any, ...]] = []
                for table in TABLES:
                    cursor.execute(f"SELECT t::text FROM {table} t ORDER BY 1")
                    found += cursor.fetchall()
                return found
        finally:
            connection.close()


def store(scene: Scene, who: tuple[str, str], bucket: str, key: str) -> str:
    """An object, and an upload with a part, whose id comes back."""
    assert scene.ask(who, Ask("PUT", bucket, key, body=SECRET_BYTES)).status == 200
    made = scene.ask(who, Ask("POST", bucket, key, "uploads="))
    found = re.search(rb"<UploadId>(\w+)</UploadId>", made.body)
    assert found is not None, made.body
    upload_id = found[1].decode()
    part = f"partNumber=1&uploadId={upload_id}"
    sent = scene.ask(who, Ask("PUT", bucket, key, part, body=SECRET_BYTES))
    assert sent.status == 200, sent.body
    return upload_id


@pytest.fixture(scope="module")
def scene(postgres: PostgresServer, s3server: S3Server) -> Iterator[Scene]:
    database = postgres.create_database()
    backend = s3server.create_bucket("one")
    # Nothing is collected between two looks; a deleted name waits longer than a test.
    times = {**SHORT_LEDGER, "collect_interval": "10m", "late": "10m"}
    with Daemon(database, [backend], ledger=times) as daemon:
        daemon.configure(credentials=CREDENTIALS)
        daemon.hang_up()
        made = Scene(daemon, postgres, database, {}, "")
        assert made.ask(ALICE, Ask("PUT", "alices-own")).status == 200
        for bucket, prefix in SPACES:
            made.uploads[bucket, prefix] = store(made, ALICE, bucket, f"{prefix}k")
        bobs = store(made, BOB, "bobs", "k")
        yield Scene(daemon, postgres, database, made.uploads, bobs)
        daemon.wait_clean(settled=False)
    postgres.drop_database(database)
    s3server.remove_bucket(backend)


def requests(
    bucket: str, prefix: str, upload_id: str, bobs_upload: str
) -> dict[type[object], list[Ask]]:
    """Of every operation, what brings it to alice's object and upload."""
    key = f"{prefix}k"
    source = {"x-amz-copy-source": f"/{bucket}/{key}"}
    mine = {"x-amz-copy-source": "/bobs/k"}
    of_upload, part = f"uploadId={upload_id}", f"partNumber=1&uploadId={upload_id}"
    my_part = f"partNumber=2&uploadId={bobs_upload}"
    asked = uri_encode(prefix, slash=True)
    body = b"what bob wrote"
    doomed = DELETION % key.encode()
    return {
        s3.HeadBucket: [Ask("HEAD", bucket)],
        s3.GetBucketLocation: [Ask("GET", bucket, query="location=")],
        s3.CreateBucket: [Ask("PUT", bucket)],
        s3.DeleteBucket: [Ask("DELETE", bucket)],
        s3.ListObjects: [
            Ask("GET", bucket),
            Ask("GET", bucket, query=f"prefix={asked}"),
        ],
        s3.ListObjectsV2: [
            Ask("GET", bucket, query="list-type=2"),
            Ask("GET", bucket, query=f"list-type=2&prefix={asked}"),
            Ask("GET", bucket, query="delimiter=%2F&list-type=2"),
            Ask("GET", bucket, query="list-type=2&prefix=&start-after=b%2F"),
        ],
        s3.ListMultipartUploads: [
            Ask("GET", bucket, query="uploads="),
            Ask("GET", bucket, query=f"prefix={asked}&uploads="),
        ],
        s3.GetObject: [
            Ask("GET", bucket, key),
            Ask("GET", bucket, key, "partNumber=1"),
            Ask("GET", bucket, f"b/../{key}")
            if bucket == "alices"
            else Ask("GET", bucket, key, headers={"range": "bytes=0-0"}),
        ],
        s3.HeadObject: [Ask("HEAD", bucket, key), Ask("HEAD", bucket, "no such key")],
        s3.PutObject: [Ask("PUT", bucket, key, body=body)],
        s3.DeleteObject: [Ask("DELETE", bucket, key)],
        s3.CopyObject: [
            Ask("PUT", "bobs", "stolen", headers=source),
            Ask("PUT", bucket, key, headers=mine),
            Ask("PUT", bucket, f"{key}2", headers=source),
            Ask(
                "PUT",
                bucket,
                key,
                headers={**source, "x-amz-metadata-directive": "REPLACE"},
            ),
        ],
        s3.CreateMultipartUpload: [Ask("POST", bucket, key, "uploads=")],
        s3.UploadPart: [Ask("PUT", bucket, key, part, body=body)],
        s3.UploadPartCopy: [
            Ask("PUT", "bobs", "k", my_part, source),
            Ask("PUT", bucket, key, part, mine),
            Ask("PUT", bucket, key, part, source),
        ],
        s3.CompleteMultipartUpload: [
            Ask("POST", bucket, key, of_upload, body=COMPLETION)
        ],
        s3.AbortMultipartUpload: [Ask("DELETE", bucket, key, of_upload)],
        s3.ListParts: [Ask("GET", bucket, key, of_upload)],
        s3.DeleteObjects: [Ask("POST", bucket, "", "delete=", md5(doomed), doomed)],
        s3.ListObjectVersions: [
            Ask("GET", bucket, query="versions="),
            Ask("GET", bucket, query=f"prefix={asked}&versions="),
        ],
        s3.GetObjectAttributes: [
            Ask("GET", bucket, key, "attributes=", {"x-amz-object-attributes": "ETag"})
        ],
        s3.GetObjectTagging: [Ask("GET", bucket, key, "tagging=")],
        s3.PutObjectTagging: [
            Ask("PUT", bucket, key, "tagging=", md5(TAGGING), TAGGING)
        ],
        s3.DeleteObjectTagging: [Ask("DELETE", bucket, key, "tagging=")],
        s3.GetBucketTagging: [Ask("GET", bucket, query="tagging=")],
        s3.PutBucketTagging: [
            Ask("PUT", bucket, "", "tagging=", md5(TAGGING), TAGGING)
        ],
        s3.DeleteBucketTagging: [Ask("DELETE", bucket, query="tagging=")],
        s3.GetBucketCors: [Ask("GET", bucket, query="cors=")],
        s3.PutBucketCors: [Ask("PUT", bucket, "", "cors=", md5(RULES), RULES)],
        s3.DeleteBucketCors: [Ask("DELETE", bucket, query="cors=")],
        s3.GetBucketAcl: [Ask("GET", bucket, query="acl=")],
        s3.PutBucketAcl: [Ask("PUT", bucket, "", "acl=", {"x-amz-acl": "private"})],
        s3.GetObjectAcl: [Ask("GET", bucket, key, "acl=")],
        s3.PutObjectAcl: [Ask("PUT", bucket, key, "acl=", {"x-amz-acl": "private"})],
        s3.GetBucketSetting: [Ask("GET", bucket, query="policy=")],
        s3.DeleteBucketSetting: [Ask("DELETE", bucket, query="policy=")],
    }


def md5(document: bytes) -> dict[str, str]:
    return {"content-md5": b64encode(hashlib.md5(document).digest()).decode()}


#: What a tenant may do with a bucket that it has a part of, and that shows no key.
HARMLESS = {
    s3.HeadBucket,
    s3.GetBucketAcl,
    s3.GetBucketCors,
    s3.GetBucketLocation,
    s3.GetBucketSetting,
    s3.GetBucketTagging,
}
#: What shows only what is one's own.
OWN = {s3.ListBuckets}


REFUSED = {(403, "AccessDenied"), (409, "BucketAlreadyOwnedByYou")}


def test_every_operation_is_tried() -> None:
    """A new operation is tried here, too, before it is served."""
    tried = set(requests("b", "", "u", "u")) | OWN
    assert tried == set(get_args(s3.Operation))
    nothing: Any = None
    rooms = Rooms(*[nothing] * 6)
    assert tried == set(make_handlers(rooms, Cors(nothing, ()), 0, ""))


def asks(space: tuple[str, str]) -> Sequence[type[object]]:
    return list(requests(*space, "u", "u"))


@pytest.mark.parametrize("who", [BOB, None], ids=["bob", "the token"])
@pytest.mark.parametrize(
    ("space", "kind"),
    [
        pytest.param(space, kind, id=f"{kind.__name__}-{space[0]}")
        for space in SPACES
        for kind in asks(space)
    ],
)
def test_case_90_no_operation_reaches_another_tenant(
    scene: Scene,
    space: tuple[str, str],
    kind: type[object],
    who: tuple[str, str] | None,
) -> None:
    before = scene.rows()
    for ask in requests(*space, scene.uploads[space], scene.bobs_upload)[kind]:
        answer = scene.ask(who, ask)
        has_part = who is BOB and ask.bucket == "shared"
        if has_part and kind in HARMLESS:
            assert answer.status == 200 or answer.code.startswith("NoSuch")
        elif has_part and kind is s3.DeleteObjects:
            # The list is read first, and every key of it refused.
            assert (answer.status, answer.code) == (200, "AccessDenied")
        elif who is BOB and kind is s3.CreateBucket:
            code = "BucketAlreadyOwnedByYou" if has_part else "BucketAlreadyExists"
            assert (answer.status, answer.code) == (409, code)
        else:
            assert answer.status == 403, (ask, answer)
            assert ask.method == "HEAD" or answer.code == "AccessDenied"
        assert SECRET_BYTES not in answer.body
        assert hashlib.md5(SECRET_BYTES).hexdigest() not in str(answer)
    assert scene.rows() == before


def test_listing_buckets_shows_ones_own(scene: Scene) -> None:
    def names(who: tuple[str, str] | None) -> list[str]:
        answer = scene.ask(who, Ask("GET", ""))
        assert answer.status == 200
        return [n.decode() for n in re.findall(rb"<Name>([^<]*)</Name>", answer.body)]

    assert names(ALICE) == ["alices", "alices-own", "shared"]
    assert names(BOB) == ["bobs", "shared"]
    assert names(CAROL) == ["alices", "shared"]
    assert names(None) == ["unified"]


@pytest.mark.parametrize("space", SPACES, ids=[space[0] for space in SPACES])
@pytest.mark.parametrize(
    "kind",
    [
        s3.UploadPart,
        s3.UploadPartCopy,
        s3.CompleteMultipartUpload,
        s3.AbortMultipartUpload,
        s3.ListParts,
    ],
)
def test_case_85_an_upload_id_of_another_tenant(
    scene: Scene, space: tuple[str, str], kind: type[object]
) -> None:
    """Used with a bucket and key of one's own, it is no upload at all."""
    before = scene.rows()
    upload_id = scene.uploads[space]
    for bucket, key in (("bobs", "k"), ("shared", "b/k"), ("bobs", f"{space[1]}k")):
        for ask in requests(bucket, "", upload_id, upload_id)[kind]:
            headers = ask.headers and {"x-amz-copy-source": "/bobs/k"}
            mine = Ask(ask.method, bucket, key, ask.query, headers, ask.body)
            answer = scene.ask(BOB, mine)
            assert (answer.status, answer.code) == (404, "NoSuchUpload"), ask
            assert SECRET_BYTES not in answer.body
    # A claim that was refused leaves nothing either.
    assert scene.rows() == before


@pytest.mark.parametrize(
    "who", [ALICE, CAROL, None], ids=["alice", "carol", "the token"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_case_80_another_bucket(
    scene: Scene, method: str, who: tuple[str, str] | None
) -> None:
    """404 for those who have authenticated; a stranger is told nothing."""
    for bucket in ("nobodys", "health", "UP"):
        answer = scene.ask(who, Ask(method, bucket, "k"))
        assert answer.status == 404
        assert method == "HEAD" or answer.code == "NoSuchBucket"
        stranger = scene.ask(("alice", "guessed"), Ask(method, bucket, "k"))
        assert stranger.status == 403
        known = scene.ask(("alice", "guessed"), Ask(method, "alices", "k"))
        assert (known.status, known.code) == (stranger.status, stranger.code)


@pytest.mark.parametrize("space", SPACES[:2], ids=["alices", "shared"])
def test_read_only_reads_and_writes_nothing(
    scene: Scene, space: tuple[str, str]
) -> None:
    before = scene.rows()
    reading = {
        s3.HeadBucket,
        s3.GetBucketLocation,
        s3.ListObjects,
        s3.ListObjectsV2,
        s3.ListMultipartUploads,
        s3.ListParts,
        s3.HeadObject,
        s3.GetObject,
        s3.GetObjectAcl,
        s3.GetObjectAttributes,
        s3.GetObjectTagging,
        s3.GetBucketAcl,
        s3.GetBucketCors,
        s3.GetBucketSetting,
        s3.GetBucketTagging,
        s3.ListObjectVersions,
    }
    bucket, prefix = space
    table = requests(*space, scene.uploads[space], scene.bobs_upload)
    for kind, each in table.items():
        for ask in each:
            answer = scene.ask(CAROL, ask)
            if kind in reading:
                assert answer.status in (200, 206, 404), (kind, answer)
            else:
                assert (answer.status, answer.code) in REFUSED, (kind, answer)
    assert scene.rows() == before
    got = scene.ask(CAROL, Ask("GET", bucket, f"{prefix}k"))
    assert got.body == SECRET_BYTES


def test_what_is_granted_works(scene: Scene) -> None:
    """The prefix confines, and within it all goes on."""
    key = "b/deep/k"
    assert scene.ask(BOB, Ask("PUT", "shared", key, body=b"mine")).status == 200
    listed = scene.ask(BOB, Ask("GET", "shared", query="list-type=2&prefix=b%2Fd"))
    assert b"<Key>b/deep/k</Key>" in listed.body
    copied = scene.ask(
        BOB, Ask("PUT", "bobs", "copy", headers={"x-amz-copy-source": f"/shared/{key}"})
    )
    assert copied.status == 200, copied.body
    assert scene.ask(BOB, Ask("GET", "bobs", "copy")).body == b"mine"
    for bucket, name in (("shared", key), ("bobs", "copy")):
        assert scene.ask(BOB, Ask("DELETE", bucket, name)).status == 204


def test_a_bucket_of_ones_own(scene: Scene) -> None:
    """Made, written, copied from, refused while it holds something, deleted, gone."""
    own = "bobs-own"
    assert scene.ask(BOB, Ask("PUT", own)).status == 200
    assert scene.ask(CAROL, Ask("PUT", "carols-own")).code == "AccessDenied"
    upload_id = store(scene, BOB, own, "k")
    source = {"x-amz-copy-source": f"/{own}/k"}
    assert scene.ask(BOB, Ask("PUT", "bobs", "c", headers=source)).status == 200
    assert scene.ask(ALICE, Ask("PUT", "alices", "c", headers=source)).status == 403
    assert scene.ask(BOB, Ask("DELETE", own)).code == "BucketNotEmpty"
    assert scene.ask(BOB, Ask("DELETE", own, "k")).status == 204
    # The open upload goes with the bucket.
    assert scene.ask(BOB, Ask("DELETE", own)).status == 204
    part = Ask("PUT", own, "k", f"partNumber=2&uploadId={upload_id}", body=b"x")
    for ask in (Ask("GET", own), Ask("PUT", own, "k", body=b"x"), part):
        assert scene.ask(BOB, ask).code == "NoSuchBucket"
    # Another cannot have the name at once: what bob has begun must have ended.
    assert scene.ask(ALICE, Ask("PUT", own)).code == "OperationAborted"
    assert scene.ask(BOB, Ask("PUT", own)).status == 200
    assert scene.ask(BOB, part).code == "NoSuchUpload"
    assert scene.ask(BOB, Ask("DELETE", own)).status == 204
    assert scene.ask(BOB, Ask("DELETE", "bobs", "c")).status == 204


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", (400, "InvalidArgument")),
        ("/", (400, "InvalidArgument")),
        ("bobs", (400, "InvalidArgument")),
        ("bobs/", (400, "InvalidArgument")),
        ("/bobs/%FF", (400, "InvalidArgument")),
        # ".." is a key like any other, so nothing leads out of a bucket or a prefix.
        ("bobs/../alices/k", (404, "NoSuchKey")),
        ("bobs/%2E%2E/alices/k", (404, "NoSuchKey")),
        ("bobs%2F..%2Falices/k", (404, "NoSuchKey")),
        ("bobs/%252E%252E/alices/k", (404, "NoSuchKey")),
        ("shared/b/../a/k", (404, "NoSuchKey")),
        ("../alices/k", (404, "NoSuchBucket")),
        ("//alices/k", (400, "InvalidArgument")),
        ("shared//a/k", (403, "AccessDenied")),
        ("shared/a%2Fk", (403, "AccessDenied")),
        ("alices%2Fk", (403, "AccessDenied")),
        ("/alices/k?versionId=null", (403, "AccessDenied")),
    ],
)
@pytest.mark.parametrize("what", ["object", "part"])
def test_case_90_sources_that_would_lead_elsewhere(
    scene: Scene, source: str, expected: tuple[int, str], what: str
) -> None:
    before = scene.rows()
    headers = {"x-amz-copy-source": source}
    ask = Ask("PUT", "bobs", "stolen", headers=headers)
    if what == "part":
        part = f"partNumber=2&uploadId={scene.bobs_upload}"
        ask = Ask("PUT", "bobs", "k", part, headers)
    answer = scene.ask(BOB, ask)
    assert (answer.status, answer.code) == expected
    assert scene.rows() == before
