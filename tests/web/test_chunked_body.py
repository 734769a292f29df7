"""Framed bodies over a real connection: what is stored, and what is refused when."""

from __future__ import annotations

import base64

import pytest
import pytest_twisted
from attrs import define, field

from s3proxy.config_model import AuthConfig
from s3proxy.errors import SignatureDoesNotMatch
from s3proxy.s3 import checksums, sigv4
from s3proxy.s3.canonical import signing_key
from s3proxy.s3.chunk_signatures import StreamingSeed
from s3proxy.s3.framing import FORMS, Framing
from s3proxy.s3.operation import PutObject
from s3proxy.web.auth import Identity
from s3proxy.web.body import RequestBody
from s3proxy.web.chunked_body import unframed
from tests.s3.chunking import SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER, Framer
from tests.web.conftest import NOW, Door, MakeDoor
from tests.web.wire import Response, Wire

KEY = AuthConfig(access_key_id="AK", secret_access_key="secret")
TOKEN = AuthConfig(token="let me in")
OFF = AuthConfig()
CHUNKS = [bytes(range(256)) * 400, b"\r\n0\r\n\r\n"]
BODY = b"".join(CHUNKS)
PUT = "/unified/k"
PART = "/unified/k?partNumber=7&uploadId=u"
CRC32 = base64.b64encode(checksums.digest("crc32", BODY)).decode()
TRAILER = ("x-amz-checksum-crc32", CRC32)


@define
class Upload:
    """A PUT with a framed body."""

    form: str
    target: str = PUT
    secret: str = "secret"
    chunks: list[bytes] = field(factory=lambda: list(CHUNKS))
    length: int = len(BODY)
    trailer: tuple[str, str] = TRAILER
    lines: tuple[str, ...] = ()

    def headers(self) -> dict[str, str]:
        """What is signed."""
        headers = {"host": "h", "x-amz-decoded-content-length": str(self.length)}
        if FORMS[self.form].has_trailer:
            headers["x-amz-trailer"] = self.trailer[0]
        return headers

    def bytes(self) -> tuple[bytes, bytes]:
        """Head and body, signed."""
        path, _, query = self.target.partition("?")
        headers = self.headers()
        headers |= sigv4.sign_headers(
            "PUT",
            path,
            query,
            headers,
            access_key_id="AK",
            secret_access_key=self.secret,
            region="us-east-1",
            payload_hash=self.form,
            now=NOW,
        )
        scope = f"{NOW:%Y%m%d}/us-east-1/s3/aws4_request"
        seed = StreamingSeed(
            signing_key(self.secret, scope),
            headers["x-amz-date"],
            scope,
            headers["authorization"].rpartition("=")[2],
        )
        trailer = self.trailer if FORMS[self.form].has_trailer else None
        body = Framer(self.form, seed).frame(self.chunks, trailer)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        lines += [*self.lines, f"Content-Length: {len(body)}"]
        head = "\r\n".join([f"PUT {self.target} HTTP/1.1", *lines, "", ""])
        return head.encode(), body


async def send(door: Door, upload: Upload) -> Response:
    """One upload on a connection of its own."""
    wire = await door.connect()
    wire.send(b"".join(upload.bytes()))
    answer = await wire.response()
    wire.close()
    return answer


def stored(door: Door, target: str) -> bytes:
    """What became of it."""
    return door.objects.data("k") if target == PUT else door.uploads.parts[7]


@pytest.mark.parametrize("auth", [KEY, TOKEN, OFF])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", [PUT, PART])
@pytest_twisted.ensureDeferred
async def test_the_decoded_bytes_are_stored(
    make_door: MakeDoor, auth: AuthConfig, form: str, target: str
) -> None:
    """However the client is let in; a trailer's checksum is given back."""
    door = make_door(auth=auth)
    answer = await send(door, Upload(form, target, lines=("x-proxy-token: let me in",)))
    assert answer.status == 200
    assert stored(door, target) == BODY
    expected = CRC32 if FORMS[form].has_trailer else None
    assert answer.header("x-amz-checksum-crc32") == expected


@pytest.mark.parametrize("target", [PUT, PART])
@pytest.mark.parametrize(
    ("upload", "status", "code"),
    [
        (Upload(SIGNED, secret="other"), 403, "SignatureDoesNotMatch"),
        (Upload(UNSIGNED_TRAILER, secret="other"), 403, "SignatureDoesNotMatch"),
        (Upload(SIGNED, length=len(BODY) - 1), 400, "IncompleteBody"),
        (Upload(SIGNED, length=len(BODY) + 1), 400, "IncompleteBody"),
        (Upload(UNSIGNED_TRAILER, length=len(BODY) + 1), 400, "IncompleteBody"),
        (
            Upload(SIGNED, chunks=[BODY[:100], BODY[100:]]),
            400,
            "InvalidChunkSizeError",
        ),
        (
            Upload(SIGNED_TRAILER, trailer=(TRAILER[0], "AAAAAA==")),
            400,
            "BadDigest",
        ),
        (
            Upload(UNSIGNED_TRAILER, trailer=(TRAILER[0], "AAAAAA==")),
            400,
            "BadDigest",
        ),
        (Upload(UNSIGNED_TRAILER, trailer=(TRAILER[0], "")), 400, "InvalidRequest"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_nothing_wrong_is_stored(
    make_door: MakeDoor, upload: Upload, status: int, code: str, target: str
) -> None:
    """Neither object nor part."""
    door = make_door(auth=KEY)
    upload.target = target
    answer = await send(door, upload)
    assert (answer.status, answer.code) == (status, code)
    assert door.objects.objects == {}
    assert door.uploads.parts == {}


@pytest.mark.parametrize("at", [200, -5])
@pytest_twisted.ensureDeferred
async def test_a_changed_byte(make_door: MakeDoor, at: int) -> None:
    """Of data, or of the last signature."""
    door = make_door(auth=KEY)
    head, body = Upload(SIGNED).bytes()
    changed = bytearray(body)
    changed[at] ^= 1
    wire = await door.connect()
    wire.send(head + changed)
    answer = await wire.response()
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
    assert door.objects.objects == {}


@pytest.mark.parametrize("form", FORMS)
@pytest_twisted.ensureDeferred
async def test_a_framed_body_that_ends_early(make_door: MakeDoor, form: str) -> None:
    """Though as long as Content-Length says."""
    door = make_door(auth=KEY)
    head, body = Upload(form).bytes()
    cut = len(body) - len(body) // 4
    wire = await door.connect()
    wire.send(head.replace(b": %d\r\n\r\n" % len(body), b": %d\r\n\r\n" % cut))
    wire.send(body[:cut])
    answer = await wire.response()
    assert (answer.status, answer.code) == (400, "IncompleteBody")
    assert door.objects.objects == {}


async def continued(door: Door, upload: Upload) -> tuple[Wire, bytes, Response]:
    """Send the head, and wait for an answer."""
    upload.lines = ("Expect: 100-continue",)
    head, body = upload.bytes()
    wire = await door.connect()
    wire.send(head)
    return wire, body, await wire.response()


@pytest_twisted.ensureDeferred
async def test_100_continue(make_door: MakeDoor) -> None:
    """A right head gets it, a forged one does not."""
    door = make_door(auth=KEY)
    wire, body, answer = await continued(door, Upload(SIGNED))
    assert answer.status == 100
    wire.send(body)
    assert (await wire.response()).status == 200
    assert door.objects.data("k") == BODY
    _, _, answer = await continued(door, Upload(SIGNED, secret="other"))
    assert answer.status == 403


@pytest_twisted.ensureDeferred
async def test_chunks_in_chunks(make_door: MakeDoor) -> None:
    """boto3 sends a body so over https: it has no Content-Length."""
    door = make_door(auth=KEY)
    head, body = Upload(UNSIGNED_TRAILER).bytes()
    length = b"Content-Length: %d\r\n" % len(body)
    assert length in head
    wire = await door.connect()
    wire.send(head.replace(length, b"Transfer-Encoding: chunked\r\n"))
    for start in range(0, len(body), 10_000):
        piece = body[start : start + 10_000]
        wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    wire.send(b"0\r\n\r\n")
    assert (await wire.response()).status == 200
    assert door.objects.data("k") == BODY


@pytest.mark.parametrize("form", [SIGNED, SIGNED_TRAILER])
def test_signed_chunks_never_go_unverified(form: str) -> None:
    """A signed request without a seed is refused, whoever made it."""
    op = PutObject("unified", "k", 1, framing=Framing(FORMS[form]))
    body = RequestBody(1, None, None, None)  # type: ignore[arg-type]
    with pytest.raises(SignatureDoesNotMatch):
        unframed(op, body, Identity(True, None))


@pytest_twisted.ensureDeferred
async def test_too_large(make_door: MakeDoor) -> None:
    """It is the decoded length that counts, before the body comes."""
    door = make_door(auth=KEY, max_object_size=len(BODY))
    assert (await send(door, Upload(SIGNED))).status == 200
    upload = Upload(SIGNED, chunks=[*CHUNKS[:1], b"x" * 10], length=len(BODY) + 1)
    _, _, answer = await continued(door, upload)
    assert (answer.status, answer.code) == (400, "EntityTooLarge")
