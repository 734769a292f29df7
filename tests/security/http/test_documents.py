"""Cases 81 to 89 on a real daemon: documents, parameters, and what is not served."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from attrs import frozen

from s3proxy.errors import MalformedXML
from s3proxy.s3 import completion
from tests.daemon import Daemon
from tests.security.http import raw
from tests.security.http.conftest import KEPT, KEPT_BODY
from tests.system.wire import Client, encode_query

Send = Callable[..., raw.Answer]
MIB = 1024 * 1024
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"

_PART = "<Part><PartNumber>1</PartNumber><ETag>&x;</ETag></Part>"
_LIST = f"<CompleteMultipartUpload>{_PART}</CompleteMultipartUpload>"


def bomb(levels: int) -> str:
    """Entities that would grow to 10 to the *levels*."""
    entities = ['<!ENTITY x0 "lol">']
    for n in range(1, levels):
        entities.append(f'<!ENTITY x{n} "{f"&x{n - 1};" * 10}">')
    entities.append(f'<!ENTITY x "&x{levels - 1};">')
    return f"<!DOCTYPE CompleteMultipartUpload [{''.join(entities)}]>{_LIST}"


HOSTILE = [
    pytest.param("<!DOCTYPE CompleteMultipartUpload>" + _LIST, id="case-81-dtd"),
    pytest.param(bomb(12), id="case-81-bomb"),
    pytest.param(
        f'<!DOCTYPE a [<!ENTITY x "{"x" * 50_000}">]>'
        + _LIST.replace("&x;", "&x;" * 10_000),
        id="case-81-quadratic",
    ),
    pytest.param(
        f'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>{_LIST}',
        id="case-81-external",
    ),
    pytest.param(
        f'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:1/x"> %x;]>{_LIST}',
        id="case-81-parameter-entity",
    ),
    pytest.param(
        f'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/x.dtd">{_LIST}',
        id="case-81-external-dtd",
    ),
    pytest.param(_LIST, id="case-81-unknown-entity"),
    pytest.param("<a>" * 100_000, id="case-82-deep"),
    pytest.param("", id="case-82-empty"),
    pytest.param("<CompleteMultipartUpload/>", id="case-84-no-parts"),
    pytest.param("{}", id="case-82-json"),
    pytest.param("<Delete/>", id="case-82-another-document"),
    pytest.param(_LIST.replace("&x;", ""), id="case-82-no-etag"),
    pytest.param(
        _LIST.replace("&x;", "e").replace(">1<", ">one<"), id="case-82-number-a-word"
    ),
    pytest.param(
        _LIST.replace("&x;", "e").replace(">1<", ">0<"), id="case-82-number-0"
    ),
    pytest.param(
        _LIST.replace("&x;", "e").replace(">1<", ">10001<"), id="case-82-number-10001"
    ),
    pytest.param(
        _LIST.replace("&x;", "e").replace(">1<", f">{'9' * 5000}<"),
        id="case-82-number-of-5000-digits",
    ),
    pytest.param(_LIST.replace("&x;", "e")[:-5], id="case-82-cut"),
    pytest.param('<?xml version="1.0" encoding="rot13"?>' + _LIST, id="case-82-coding"),
    pytest.param(_LIST.replace("&x;", "\x01"), id="case-82-control-character"),
]


@frozen
class Upload:
    """An open upload of one part."""

    client: Client
    key: str
    upload_id: str
    etag: str

    @property
    def target(self) -> str:
        return f"/unified/{self.key}?uploadId={quote(self.upload_id)}"

    def complete(self, *parts: tuple[int, str]) -> tuple[int, str]:
        listed = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>"
            for n, etag in parts
        )
        document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
        answer = self.client.request(
            "POST", self.key, document.encode(), query={"uploadId": self.upload_id}
        )
        return answer.status, answer.code or answer.body.decode()

    def put(self, number: int, body: bytes) -> str:
        query = {"uploadId": self.upload_id, "partNumber": str(number)}
        answer = self.client.request("PUT", self.key, body, query=query)
        assert answer.status == 200, answer.body
        return answer.etag


@pytest.fixture
def upload(daemon: Daemon) -> Iterator[Upload]:
    """Aborted at the end, if it is still there."""
    with Client(daemon.port) as client:
        answer = client.request("POST", "upload", query={"uploads": ""})
        found = re.search(rb"<UploadId>(.+)</UploadId>", answer.body)
        assert found is not None
        made = Upload(client, "upload", found[1].decode(), "")
        yield Upload(client, "upload", made.upload_id, made.put(1, b"part one"))
        client.request("DELETE", "upload", query={"uploadId": made.upload_id})


@pytest.mark.parametrize("document", HOSTILE)
def test_documents_that_are_none(send: Send, upload: Upload, document: str) -> None:
    """MalformedXML, at once, and the upload is as it was."""
    body = document.encode("utf-8")
    answer = send(raw.request("POST", upload.target, body=body, length=len(body)))
    raw.assert_error(answer, [(400, "MalformedXML")])
    assert upload.complete((1, upload.etag))[0] == 200


@pytest.mark.parametrize("document", HOSTILE[:7])
def test_they_take_no_time(document: str) -> None:
    """Case 81: 50 ms each, of the parser's own time."""
    began = time.process_time()
    with pytest.raises(MalformedXML):
        completion.parse(document.encode())
    assert time.process_time() - began < 0.05


@pytest.mark.parametrize(
    "declared", [pytest.param(True, id="case-82"), pytest.param(False, id="case-82-te")]
)
def test_a_document_that_is_too_large(
    daemon: Daemon, upload: Upload, declared: bool
) -> None:
    """It is refused before all of it is there."""
    line = f"Content-Length: {10 * MIB}" if declared else "Transfer-Encoding: chunked"
    piece = _LIST.replace("&x;", "e").encode() + b" " * 65536
    if not declared:
        piece = b"%x\r\n%b\r\n" % (len(piece), piece)
    with raw.connect(daemon.port) as connection:
        connection.sendall(raw.request("POST", upload.target, line))
        try:
            for _ in range(100):
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = raw.receive(connection)
    raw.assert_error(answer, [(400, "MalformedXML")])
    assert upload.complete((1, upload.etag))[0] == 200


def test_complete(upload: Upload) -> None:
    """Case 84: each mistake has its error; done again, it is the same answer."""
    second = upload.put(2, b"part two")
    assert upload.complete((1, "0" * 32)) == (400, "InvalidPart")
    assert upload.complete((3, second)) == (400, "InvalidPart")
    assert upload.complete((2, second), (1, upload.etag)) == (400, "InvalidPartOrder")
    assert upload.complete((1, upload.etag), (1, upload.etag)) == (
        400,
        "InvalidPartOrder",
    )
    assert upload.complete((1, upload.etag), (2, second)) == (400, "EntityTooSmall")
    done = upload.complete((2, second))
    assert done[0] == 200
    assert upload.complete((2, second)) == done
    assert upload.client.get("upload").body == b"part two"
    assert upload.client.request("DELETE", "upload").status == 204


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, id=f"case-86-{name}")
        for name, number in (
            ("0", "0"),
            ("10001", "10001"),
            ("x", "x"),
            ("minus", "-1"),
            ("plus", "%2B1"),
            ("empty", ""),
            ("half", "1.5"),
            ("5000-digits", "9" * 5000),
            ("other-script", "%D9%A1"),
        )
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_part_numbers(send: Send, number: str) -> None:
    for target in (
        f"/unified/k?uploadId=u&partNumber={number}",
        f"/unified/{KEPT}?uploadId=u&partNumber={number}",
    ):
        answer = send(raw.request("PUT", target, body=b"x"))
        raw.assert_error(answer, [(400, "InvalidArgument")])
    answer = send(raw.request("GET", f"/unified/{KEPT}?partNumber={number}"))
    raw.assert_error(answer, [(400, "InvalidArgument")])


ODD_KEYS = [
    pytest.param(key, id=f"case-87-{name}")
    for name, key in (
        ("markup", "<&>\"'"),
        ("cdata", "]]><![CDATA["),
        ("element", "</Key><Key>x"),
        ("newline", "a\nb\r\nc"),
        ("escape", "\x1b[31m"),
        ("controls", "\x01\x02\x1f\x7f"),
        ("c1", "\x85\x9f"),
        ("no-character", "￾￿"),
        ("astral", "\U0001f40d"),
        ("blanks", "  a  b  "),
        ("percent", "%41 + %"),
    )
]


@pytest.mark.parametrize("key", ODD_KEYS)
@pytest.mark.usefixtures("unchanged")
def test_odd_keys_in_documents(daemon: Daemon, key: str) -> None:
    """Listed as they are with ``encoding-type=url``; without, the document parses."""
    with Client(daemon.port) as client:
        assert client.put(key, b"x").status == 200
        assert sorted(client.keys()) == sorted([KEPT, key])
        for version in ({}, {"list-type": "2"}):
            page = client.request("GET", query={**version, "prefix": key})
            document = page.body.decode()
            # XML 1.0 has no reference to a control character; S3 writes them all the
            # same, and whoever cares asks for encoding-type=url.
            plain = re.sub(r"&#x([01]?[0-9a-f]|7f|fff[ef]);", "?", document)
            root = ElementTree.fromstring(plain)
            assert len(root.findall(f"{NAMESPACE}Contents")) == 1
        assert client.get(key).body == b"x"
        assert client.request("DELETE", key).status == 204
        error = client.get(key)
        assert error.code == "NoSuchKey"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        pytest.param({"max-keys": "x"}, "InvalidArgument", id="case-88-max-keys-x"),
        pytest.param({"max-keys": "-1"}, "InvalidArgument", id="case-88-max-keys-1"),
        pytest.param({"max-keys": "1.5"}, "InvalidArgument", id="case-88-max-keys-1.5"),
        pytest.param({"max-keys": ""}, "InvalidArgument", id="case-88-max-keys-empty"),
        pytest.param(
            {"list-type": "2", "continuation-token": "forged"},
            "InvalidArgument",
            id="case-88-token",
        ),
        pytest.param(
            {"list-type": "2", "continuation-token": "' or 1=1 --"},
            "InvalidArgument",
            id="case-88-token-injection",
        ),
        pytest.param({"list-type": "3"}, "InvalidArgument", id="case-88-list-type"),
        pytest.param({"encoding-type": "x"}, "InvalidArgument", id="case-88-encoding"),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_bad_listings(send: Send, query: dict[str, str], code: str) -> None:
    answer = send(raw.request("GET", f"/unified?{encode_query(query)}"))
    raw.assert_error(answer, [(400, code)])


def test_prefixes_are_literal(daemon: Daemon) -> None:
    """Case 88: what means something to LIKE, or to a regular expression, does not."""
    keys = ["a%b", "a_b", "a\\b", "axb", "a.b", "a'b", "a*b"]
    with Client(daemon.port) as client:
        for key in keys:
            client.put(key, b"x")
        for key in keys:
            page = client.list_page(prefix=key[:2])
            assert list(page.contents) == [key]
            page = client.list_page(prefix=key[:2], delimiter="b")
            assert page.common_prefixes == [key]
        for key in keys:
            client.request("DELETE", key)
        for many in ("0", "1000000"):
            answer = client.request("GET", query={"max-keys": many})
            assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "target", "lines"),
    [
        *(
            pytest.param(method, f"/unified/{KEPT}?{sub}", (), id=f"case-89-{n}-{sub}")
            for n, method in enumerate(("PUT", "DELETE", "POST"))
            for sub in ("legal-hold", "retention", "torrent", "restore")
        ),
        *(
            pytest.param("PUT", f"/unified?{sub}", (), id=f"case-89-bucket-0-{sub}")
            for sub in ("policy", "lifecycle", "website", "replication", "object-lock")
        ),
        *(
            pytest.param(method, f"/unified?{sub}", (), id=f"case-89-bucket-{n}-{sub}")
            for n, method in ((1, "DELETE"), (2, "GET"))
            for sub in ("analytics", "inventory", "metrics", "intelligent-tiering")
        ),
        *(
            pytest.param(
                "PUT",
                f"/unified/{KEPT}",
                (f"{name}: {value}", "Content-Length: 0"),
                id=f"case-89-header-{name.removeprefix('x-amz-')}",
            )
            for name, value in (
                ("x-amz-object-lock-mode", "COMPLIANCE"),
                ("x-amz-object-lock-legal-hold", "ON"),
                ("x-amz-server-side-encryption", "aws:kms"),
                ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
                ("x-amz-website-redirect-location", "/evil"),
                ("x-amz-grant-full-control", "id=x"),
                ("x-amz-write-offset-bytes", "1"),
                ("x-amz-storage-class", "GLACIER"),
                ("x-amz-rename-source", "/unified/x"),
            )
        ),
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_what_is_not_served(
    send: Send, method: str, target: str, lines: tuple[str, ...]
) -> None:
    """501, or an error of the request; never the plain operation."""
    answer = send(raw.request(method, target, *lines))
    raw.assert_error(
        answer,
        [(501, "NotImplemented"), (400, "InvalidArgument"), (405, "MethodNotAllowed")],
    )


def test_the_object_was_there_all_the_time(send: Send) -> None:
    assert send(raw.request("GET", f"/unified/{KEPT}")).body == KEPT_BODY
