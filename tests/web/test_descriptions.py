"""s3proxy.web.descriptions: attributes, versions, access control, settings."""

from __future__ import annotations

import pytest
import pytest_twisted
from attrs import evolve

from s3proxy.errors import NotConfigured
from s3proxy.s3 import object_documents, settings
from tests.web.conftest import Door

PARTS = "x-amz-object-attributes: ObjectParts, ObjectSize"


@pytest_twisted.ensureDeferred
async def test_attributes(door: Door) -> None:
    info = door.objects.store("unified", "k", b"abcdef")
    door.objects.part_sizes["k"] = (1, 2, 3)
    stored = evolve(info, etag="ab-3"), b"abcdef"
    door.objects.objects["unified", "k"] = stored
    answer = await door.ask(
        "GET",
        "/unified/k?attributes&versionId=null",
        PARTS,
        "x-amz-max-parts: 1",
        "x-amz-part-number-marker: 1",
    )
    assert answer.status == 200
    assert answer.header("last-modified") == "Fri, 20 Nov 2026 10:30:15 GMT"
    assert answer.header("x-amz-version-id") == "null"
    assert b"<PartsCount>3</PartsCount>" in answer.body
    assert b"<NextPartNumberMarker>2</NextPartNumberMarker>" in answer.body
    assert b"<Part><PartNumber>2</PartNumber><Size>2</Size></Part>" in answer.body
    assert door.objects.events == ["attributes k 1 1"]
    answer = await door.ask(
        "GET", "/unified/k?attributes", "x-amz-object-attributes: ETag"
    )
    assert b"<ETag>ab-3</ETag></GetObjectAttributesResponse>" in answer.body
    assert door.objects.events[1:] == ["head k"]


@pytest.mark.parametrize("line", [PARTS, "x-amz-object-attributes: ETag"])
@pytest_twisted.ensureDeferred
async def test_attributes_of_nothing(door: Door, line: str) -> None:
    answer = await door.ask("GET", "/unified/k?attributes", line)
    assert (answer.status, answer.code) == (404, "NoSuchKey")


@pytest_twisted.ensureDeferred
async def test_versions(door: Door) -> None:
    for key in ("a", "b", "c"):
        door.objects.store("unified", key, b"x")
    answer = await door.ask(
        "GET", "/unified?versions&max-keys=1&key-marker=a&version-id-marker=null"
    )
    assert b"<Version><Key>b</Key><VersionId>null</VersionId>" in answer.body
    assert b"<NextKeyMarker>b</NextKeyMarker>" in answer.body
    assert door.objects.events == ["list '' '' 'a' 1"]
    answer = await door.ask("GET", "/unified?versions&max-keys=0")
    assert b"<Version>" not in answer.body
    assert b"<IsTruncated>false</IsTruncated>" in answer.body


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest_twisted.ensureDeferred
async def test_the_null_version_of_an_object(door: Door, method: str) -> None:
    door.objects.store("unified", "k", b"x")
    answer = await door.ask(method, "/unified/k?versionId=null")
    assert (answer.status, answer.header("x-amz-version-id")) == (200, "null")
    answer = await door.ask(method, "/unified/k")
    assert answer.header("x-amz-version-id") is None
    answer = await door.ask(method, "/unified/k?versionId=x")
    assert answer.status == 404


@pytest.mark.parametrize("target", ["/unified?acl", "/unified/k?acl"])
@pytest_twisted.ensureDeferred
async def test_access_control(door: Door, target: str) -> None:
    door.objects.store("unified", "k", b"x")
    answer = await door.ask("GET", target)
    assert (answer.status, answer.body) == (200, object_documents.private_acl())
    for line, body, status in [
        ("x-amz-acl: public-read", b"", 200),
        ("A: b", answer.body, 200),
        ("A: b", answer.body.replace(b"FULL_CONTROL", b"READ"), 501),
        ("A: b", b"", 400),
        ("x-amz-acl: mine", b"", 400),
        ("x-amz-grant-read: id=x", b"", 501),
        ("Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==", answer.body, 400),
    ]:
        assert (await door.ask("PUT", target, line, body=body)).status == status


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest_twisted.ensureDeferred
async def test_access_control_of_nothing(door: Door, method: str) -> None:
    answer = await door.ask(method, "/unified/k?acl", "x-amz-acl: private")
    assert (answer.status, answer.code) == (404, "NoSuchKey")


@pytest.mark.parametrize("name", sorted(settings.READABLE))
@pytest_twisted.ensureDeferred
async def test_settings(door: Door, name: str) -> None:
    answer = await door.ask("GET", f"/unified?{name}")
    assert answer.status == 200 or answer.code == _code(name)
    assert (await door.ask("GET", f"/other?{name}")).code == "NoSuchBucket"
    # Never set, so that nobody takes it for set.
    assert (await door.ask("PUT", f"/unified?{name}", body=b"x")).status == 501
    removed = await door.ask("DELETE", f"/unified?{name}")
    assert removed.status == (204 if name in settings.REMOVABLE else 501)


def _code(name: str) -> str:
    with pytest.raises(NotConfigured) as raised:
        settings.answer(name)
    return raised.value.code
