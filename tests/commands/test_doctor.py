"""``doctor``: against real servers, and against one whose answers are spoilt."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.web.http_headers import Headers

from s3proxy.backend.answers import Answer
from s3proxy.backend.limits import Limits
from s3proxy.backend.probe_calls import ProbeCalls
from s3proxy.backend.probing import Probe, other_style
from s3proxy.commands import doctor
from s3proxy.config import BackendConfig, Config
from s3proxy.errors import BackendError, BackendRefused, ConfigError
from s3proxy.foundation import open_patient
from s3proxy.plan.findings import MEANINGS, Finding, Level
from tests.backend.conftest import now
from tests.outside.servers import RcloneServer
from tests.servers import S3Server

MakeBackend = Callable[..., BackendConfig]
Spoil = Callable[[str, str, dict[str, str], Answer], Answer]


async def doctored(
    config: BackendConfig, data_dir: Path, profile: str | None = None
) -> tuple[int, list[str]]:
    """Exit code and lines, from the command's own parts and no database."""
    whole, out = Config(data_dir=data_dir, backends=(config,)), io.StringIO()
    async with open_patient(whole, config.name, reactor=reactor) as patient:
        code = await doctor.run(patient, profile=profile, out=out)
    return code, out.getvalue().splitlines()


@ensureDeferred
async def test_seaweedfs(
    s3server: S3Server, backend_config: MakeBackend, tmp_path: Path
) -> None:
    """It fits, is as known, and nothing of others' is touched."""
    config = backend_config("weed")
    theirs = ["a", "s3proxy-doctor/another/plain", "s3proxy-doctor/x"]
    for key in theirs:
        s3server.client.put_object(Bucket=config.bucket, Key=key, Body=b"theirs")
    code, lines = await doctored(config, tmp_path, "seaweedfs")
    assert code == 0, lines
    assert lines[0] == f"weed: bucket {config.bucket} at {config.endpoint}"
    assert {line[6:].split("  ")[0] for line in lines[1:19]} == MEANINGS.keys()
    assert lines[-2] == "  as known"
    assert not [line for line in lines if line.startswith("BAD")]
    assert s3server.keys(config) == dict.fromkeys(theirs, 6)
    code, lines = await doctored(config, tmp_path)
    assert code == 0 and lines[-1].startswith("no profile: ")
    # Known to be another's, which it is not.
    code, lines = await doctored(config, tmp_path, "b2")
    assert code == 1 and any(
        line.startswith("  DIFFERS: versioning: off, known is on (https://")
        for line in lines
    )


@ensureDeferred
async def test_a_versioned_bucket(
    s3server: S3Server, backend_config: MakeBackend, tmp_path: Path
) -> None:
    """Every version that was written goes, too."""
    config = backend_config("weed")
    s3server.client.put_bucket_versioning(
        Bucket=config.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    code, lines = await doctored(config, tmp_path)
    assert code == 0 and any("versioning" in line and " on: " in line for line in lines)
    assert s3server.keys(config) == {}
    left = s3server.client.list_object_versions(Bucket=config.bucket)
    assert not left.get("Versions"), [each["Key"] for each in left["Versions"]]
    assert not left.get("DeleteMarkers"), left["DeleteMarkers"]


@ensureDeferred
async def test_a_versioned_bucket_that_ignores_much(
    s3server: S3Server, backend_config: MakeBackend
) -> None:
    """What should have been refused and was not has written versions, too."""
    config = backend_config("weed")
    s3server.client.put_bucket_versioning(
        Bucket=config.bucket, VersioningConfiguration={"Status": "Enabled"}
    )

    class Careless(Spoilt):
        async def call(self, method: str, key: str, *more: Any, **named: Any) -> Answer:
            sent = named.pop("headers", None) or {}
            odd = {"content-md5", "if-none-match", "x-amz-checksum-sha256"}
            kept = {name: value for name, value in sent.items() if name not in odd}
            return await super().call(method, key, *more, headers=kept, **named)

    calls = Careless(config, lambda _m, _k, _s, answer: answer)
    findings = {
        each.topic: each.value for each in await Probe(calls, None, "p/", now).run()
    }
    await calls.close()
    assert findings["conditional PUT"] == findings["Content-MD5"] == "ignored"
    left = s3server.client.list_object_versions(Bucket=config.bucket)
    assert not left.get("Versions") and not left.get("DeleteMarkers"), left


@pytest.mark.system
@ensureDeferred
async def test_rclone(tmp_path: Path) -> None:
    """Another kind of S3, which is as known."""
    with RcloneServer("bucket") as server:
        code, lines = await doctored(server.backend("box"), tmp_path, "rclone")
    assert code == 0, lines
    assert lines[-2] == "  as known"


@ensureDeferred
async def test_what_cannot_be_done(backend_config: MakeBackend, tmp_path: Path) -> None:
    """Wrong names, wrong keys, nobody there: told, and nothing hangs."""
    config = backend_config("weed")
    with pytest.raises(ConfigError, match="--profile x: there is none, want one of oc"):
        await doctored(config, tmp_path, "x")
    whole = Config(data_dir=tmp_path, backends=(config,))
    with pytest.raises(ConfigError, match="doctor x: not configured, want one of weed"):
        async with open_patient(whole, "x", reactor=reactor):
            pass
    with pytest.raises(BackendRefused, match="a plain PUT: 403 SignatureDoesNotMatch"):
        await doctored(evolve(config, secret_access_key="wrong"), tmp_path)
    with pytest.raises(BackendError, match="ConnectionRefused"):
        await doctored(evolve(config, endpoint="http://127.0.0.1:1"), tmp_path)


class Spoilt(ProbeCalls):
    """A real server, whose answers are changed on their way."""

    def __init__(self, config: BackendConfig, spoil: Spoil) -> None:
        super().__init__(config, reactor=reactor, now=now, limits=Limits())
        self._spoil = spoil

    async def call(self, method: str, key: str, *more: Any, **named: Any) -> Answer:
        answer = await super().call(method, key, *more, **named)
        sent = named.get("headers") or {}
        return self._spoil(method, key, sent, answer)


def refused(answer: Answer, status: int = 400) -> Answer:
    body = b"<Error><Code>Nope</Code><Message>never\x1b[1m</Message></Error>"
    return evolve(answer, status=status, body=body.replace(b"\x1b", b" "))


def with_header(answer: Answer, name: str, value: str | None) -> Answer:
    headers = Headers(dict(answer.headers.getAllRawHeaders()))
    if value is None:
        headers.removeHeader(name)
    else:
        headers.setRawHeaders(name, [value])
    return evolve(answer, headers=headers)


def _without_etag(_m: str, _k: str, _s: dict[str, str], answer: Answer) -> Answer:
    return with_header(answer, "etag", None)


def _random_etag(_m: str, _k: str, _s: dict[str, str], answer: Answer) -> Answer:
    return with_header(answer, "etag", f'"{"0" * 32}"')


def _other_etag(_m: str, _k: str, _s: dict[str, str], answer: Answer) -> Answer:
    return with_header(answer, "etag", '"CKih16GjycICEAE="')


def _no_unsigned(_m: str, key: str, sent: dict[str, str], answer: Answer) -> Answer:
    return refused(answer) if key.endswith("/unsigned") else answer


def _no_empty(_m: str, key: str, sent: dict[str, str], answer: Answer) -> Answer:
    return refused(answer, 411) if key.endswith("/empty") else answer


def _no_md5(_m: str, _k: str, sent: dict[str, str], answer: Answer) -> Answer:
    return refused(answer) if "content-md5" in sent else answer


def _any_checksum(_m: str, _k: str, sent: dict[str, str], answer: Answer) -> Answer:
    return evolve(answer, status=200, body=b"") if "content-md5" in sent else answer


def _no_ranges(method: str, _k: str, sent: dict[str, str], answer: Answer) -> Answer:
    return evolve(answer, body=b"all of it") if "range" in sent else answer


def _no_metadata(_m: str, key: str, _s: dict[str, str], answer: Answer) -> Answer:
    return with_header(answer, "x-amz-meta-s3proxy-3", None)


def _little_metadata(_m: str, _k: str, sent: dict[str, str], answer: Answer) -> Answer:
    size = sum(len(value) for name, value in sent.items() if "-meta-" in name)
    return refused(answer) if size > 1024 else answer


def _none_at_all(_m: str, _k: str, sent: dict[str, str], answer: Answer) -> Answer:
    return refused(answer) if any("-meta-" in name for name in sent) else answer


def _mixes_keys(method: str, key: str, _s: dict[str, str], answer: Answer) -> Answer:
    is_it = method == "GET" and key.endswith("/a+b")
    return evolve(answer, body=b"of 'a b'") if is_it else answer


def _no_copy(_m: str, _k: str, sent: dict[str, str], answer: Answer) -> Answer:
    return refused(answer, 501) if "x-amz-copy-source" in sent else answer


def _copies_nothing(method: str, key: str, _s: dict[str, str], a: Answer) -> Answer:
    return evolve(a, body=b"") if method == "GET" and key.endswith("/copy") else a


def _no_delete(_m: str, key: str, _s: dict[str, str], answer: Answer) -> Answer:
    return refused(answer, 403) if key.endswith("/never-was") else answer


def _missing(_m: str, key: str, _s: dict[str, str], answer: Answer) -> Answer:
    body = b"<Error><Code>NoSuchKey</Code></Error>"
    it = evolve(answer, status=404, body=body)
    return it if key.endswith("/never-was") else answer


def _loses_keys(_m: str, _k: str, _s: dict[str, str], answer: Answer) -> Answer:
    start = answer.body.find(b"<Contents>")
    end = answer.body.find(b"</Contents>") + len(b"</Contents>")
    is_page = b"list/" in answer.body and answer.body.count(b"<Contents>") == 2
    return (
        evolve(answer, body=answer.body[:start] + answer.body[end:])
        if is_page
        else answer
    )


def _late(_m: str, _k: str, _s: dict[str, str], answer: Answer) -> Answer:
    return with_header(answer, "date", "Wed, 21 Oct 2015 07:28:00 GMT")


@pytest.mark.parametrize(
    ("spoil", "topic", "value"),
    [
        (_without_etag, "ETag", "none"),
        (_random_etag, "ETag", "wrong MD5"),
        (_other_etag, "ETag", "other"),
        (_no_unsigned, "unsigned payload", "no"),
        (_no_empty, "empty body", "no"),
        (_no_md5, "Content-MD5", "refused"),
        (_any_checksum, "Content-MD5", "ignored"),
        (_no_ranges, "ranges", "no"),
        (_no_metadata, "metadata", "lost"),
        (_little_metadata, "metadata", "less than 2 KiB"),
        (_none_at_all, "metadata", "refused"),
        (_mixes_keys, "keys", "few"),
        (_no_copy, "copy", "no"),
        (_copies_nothing, "copy", "no"),
        (_no_delete, "deleting what is not there", "fails"),
        (_missing, "deleting what is not there", "NoSuchKey"),
        (_loses_keys, "listing", "incomplete"),
        (_late, "clock", "off"),
    ],
)
@ensureDeferred
async def test_what_is_wrong_is_found(
    shared_backend: BackendConfig, spoil: Spoil, topic: str, value: str
) -> None:
    """Each fault by itself, and nothing else but what follows from it."""
    calls = Spoilt(shared_backend, spoil)
    findings = await Probe(calls, None, "p/", now).run()
    await calls.close()
    found = {each.topic: each for each in findings}
    assert found[topic].value == value
    bad = {each.topic for each in findings if each.level is Level.BAD}
    assert bad == ({topic} if found[topic].level is Level.BAD else set())
    assert found["cleaning up"] == Finding("cleaning up", "done")


@pytest.fixture(scope="module")
def shared_backend(s3server: S3Server) -> BackendConfig:
    """One bucket for all of them: each cleans up."""
    return s3server.create_bucket("spoilt")


@ensureDeferred
async def test_it_cleans_up_whatever_comes(shared_backend: BackendConfig) -> None:
    """A connection that is lost in the middle; and what cannot be deleted is told."""
    made: list[str] = []

    def lose(method: str, key: str, _s: dict[str, str], answer: Answer) -> Answer:
        if method == "PUT":
            made.append(key)
            if len(made) == 9:
                raise BackendError("spoilt", "lost")
        return answer

    calls = Spoilt(shared_backend, lose)
    with pytest.raises(BackendError, match="lost"):
        await Probe(calls, None, "p/", now).run()
    listed = await Probe(calls, None, "p/", now)._list_all()
    assert listed == ([], "") and len(made) == 9

    class Stuck(Spoilt):
        async def call(self, method: str, key: str, *more: Any, **named: Any) -> Answer:
            if method == "DELETE" and key == "p/plain":
                raise BackendError("spoilt", "no")
            return await super().call(method, key, *more, **named)

    stuck = Stuck(shared_backend, lambda _m, _k, _s, answer: answer)
    findings = await Probe(stuck, None, "p/", now).run()
    assert findings[-1] == Finding("cleaning up", "left", "p/plain")
    await calls.call("DELETE", "p/plain")
    await calls.close()
    await stuck.close()


def test_styles() -> None:
    """A bucket's name goes before a host's name, and not before an address."""
    assert other_style("s3.example.com")
    assert not other_style("127.0.0.1") and not other_style("::1")
