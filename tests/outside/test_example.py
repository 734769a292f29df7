"""The specification's example, on an outside PostgreSQL and outside S3 servers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from s3proxy.config import BackendConfig
from tests.daemon import BUCKET
from tests.outside.conftest import EXAMPLE, Example
from tests.outside.servers import USER, Authority, DebianPostgres

pytestmark = pytest.mark.system


def paths(document: Any, at: str = "") -> set[str]:
    """Where every value is."""
    if isinstance(document, dict):
        return {x for k, v in document.items() for x in paths(v, f"{at}.{k}")}
    if isinstance(document, list):
        return {x for v in document for x in paths(v, f"{at}[]")}
    return {at}


def serve(daemon: Example) -> None:
    """It stores on both backends, reads, lists and deletes, and ends up clean."""
    client = daemon.client()
    bodies = {f"ä b/{n}": bytes([n]) * 700_000 for n in range(2)}
    for key, body in bodies.items():
        client.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata={"n": key[-1]})
    for key, body in bodies.items():
        found = client.get_object(Bucket=BUCKET, Key=key)
        assert found["Body"].read() == body
        assert found["Metadata"] == {"n": key[-1]}
        part = client.get_object(Bucket=BUCKET, Key=key, Range="bytes=5-9")
        assert part["Body"].read() == body[5:10]
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix="ä b/")["Contents"]
    assert [each["Key"] for each in listed] == list(bodies)
    assert daemon.health()
    for key in bodies:
        client.delete_object(Bucket=BUCKET, Key=key)


def test_every_key_of_the_example_is_in_the_file(
    tls: DebianPostgres, backends: list[BackendConfig]
) -> None:
    """Nothing was left out to make it start."""
    with Example(tls, backends) as daemon:
        used = paths(yaml.safe_load(daemon.config.read_text()))
    extra = {f".ledger.{n}" for n in ("lease", "grace", "late", "collect_interval")}
    assert used - extra == paths(yaml.safe_load(EXAMPLE))


def test_require(tls: DebianPostgres, backends: list[BackendConfig]) -> None:
    """``ssl_mode: require``: it serves from two kinds of backends, all encrypted."""
    with Example(tls, backends, ssl_mode="require") as daemon:
        serve(daemon)
        sessions = tls.sessions()
        assert sessions
        assert all(sessions)
        daemon.wait_clean()
        daemon.terminate()


def test_verify_full(
    tls: DebianPostgres, authority: Authority, backends: list[BackendConfig]
) -> None:
    """``ssl_mode: verify-full`` with the right authority and the right name."""
    root = str(authority.certificate)
    with Example(tls, backends, ssl_mode="verify-full", ssl_root_cert=root) as daemon:
        serve(daemon)
        assert all(tls.sessions())
        daemon.wait_clean()
        daemon.terminate()


def refused(daemon: Example) -> str:
    """It does not start; the one line that says why."""
    with ExitStack() as stack:
        stack.push(daemon)
        with pytest.raises(AssertionError, match="does not serve"):
            daemon.start()
        assert daemon.wait() == 1
        said = daemon.log.read_text()
    assert "Traceback" not in said
    [line] = [each for each in said.splitlines() if "cannot start" in each]
    assert "Unhandled" not in said
    return line + said.partition(line)[2]


def test_another_authority(
    tls: DebianPostgres, stranger: Authority, backends: list[BackendConfig]
) -> None:
    """A certificate of somebody else's: no start, and it says so."""
    root = str(stranger.certificate)
    said = refused(Example(tls, backends, ssl_mode="verify-full", ssl_root_cert=root))
    assert "certificate verify failed" in said
    assert "ssl_mode verify-full" in said


def test_another_name(
    tls: DebianPostgres, authority: Authority, backends: list[BackendConfig]
) -> None:
    """The certificate is for "localhost" alone; verify-ca does not mind the name."""
    root = str(authority.certificate)
    asked = {"host": "127.0.0.1", "ssl_root_cert": root}
    said = refused(Example(tls, backends, ssl_mode="verify-full", **asked))
    assert "does not match host name" in said, said
    with Example(tls, backends, ssl_mode="verify-ca", **asked) as daemon:
        daemon.terminate()


def test_no_tls_there(plain: DebianPostgres, backends: list[BackendConfig]) -> None:
    """A server without TLS is refused where TLS is required, and else taken."""
    said = refused(Example(plain, backends, ssl_mode="require"))
    assert "server does not support SSL" in said
    assert f"at localhost:{plain.port} as user '{USER}'" in said
    with Example(plain, backends, ssl_mode="disable") as daemon:
        assert plain.sessions()
        assert not any(plain.sessions())
        daemon.terminate()


def test_tls_wanted_there(tls: DebianPostgres, backends: list[BackendConfig]) -> None:
    """A server that takes nothing but TLS, asked without."""
    said = refused(Example(tls, backends, ssl_mode="disable"))
    assert "no encryption" in said


def test_a_wrong_password(tls: DebianPostgres, backends: list[BackendConfig]) -> None:
    """It is told, and not shown."""
    said = refused(Example(tls, backends, password="a wrong one"))
    assert "password authentication failed" in said
    assert "a wrong one" not in said


def test_a_missing_root_certificate(
    tls: DebianPostgres, backends: list[BackendConfig]
) -> None:
    """verify-full with a file that is not there."""
    asked = {"ssl_mode": "verify-full", "ssl_root_cert": "/nowhere/ca.crt"}
    assert "/nowhere/ca.crt" in refused(Example(tls, backends, **asked))


def test_nobody_there(plain: DebianPostgres, backends: list[BackendConfig]) -> None:
    """No server at that port."""
    said = refused(Example(plain, backends, port=1, ssl_mode="disable"))
    assert "cannot reach database 's3proxy' at localhost:1" in said
