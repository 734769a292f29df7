"""curl: what goes over the wire when an upload is accepted, and when it is refused."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen

from s3proxy.config import BackendConfig, DatabaseConfig
from tests.daemon import KEY_ID, SECRET, TOKEN, Daemon

pytestmark = pytest.mark.system

SIGNED = "aws:amz:us-east-1:s3"
UNSIGNED_PAYLOAD = ("-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD")


@frozen
class Outcome:
    """
    :ivar sent: Bytes of body that curl sent.
    :ivar connects: Connections that were opened, for each URL.
    :ivar said: What went over the wire, headers of both directions.
    """

    status: list[int]
    sent: list[int]
    connects: list[int]
    said: str


def curl(*arguments: str, secret: str | None = SECRET) -> Outcome:
    """
    Run curl to the end.

    :param secret: Signs; None sends no signature.
    """
    program = shutil.which("curl")
    assert program is not None, "curl is missing: run tools/system-packages.sh"
    signed = ["--aws-sigv4", SIGNED, "--user", f"{KEY_ID}:{secret}"]
    shown = ["-w", "\n%{http_code} %{size_upload} %{num_connects} outcome\n"]
    result = subprocess.run(
        [program, "-q", "-sS", "-v", *(signed if secret else []), *shown, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    lines = [x.split() for x in result.stdout.splitlines() if x.endswith(" outcome")]
    status, sent, connects = ([int(line[n]) for line in lines] for n in range(3))
    return Outcome(status, sent, connects, result.stdout + result.stderr)


def test_a_big_upload_is_asked_for(daemon: Daemon, big: Path) -> None:
    """100 Continue, the body, 200."""
    url = f"{daemon.endpoint}/unified/curl/big"
    outcome = curl("-T", str(big), *UNSIGNED_PAYLOAD, url)
    assert "> Expect: 100-continue" in outcome.said
    assert "< HTTP/1.1 100 Continue" in outcome.said
    assert (outcome.status, outcome.sent) == ([200], [big.stat().st_size])
    assert curl("-X", "DELETE", *UNSIGNED_PAYLOAD, url).status == [204]


def test_no_byte_of_a_refused_upload_is_asked_for(daemon: Daemon, big: Path) -> None:
    """A wrong secret: 403 in place of 100 Continue."""
    url = f"{daemon.endpoint}/unified/curl/refused"
    outcome = curl("-T", str(big), *UNSIGNED_PAYLOAD, url, secret="wrong")
    assert "100 Continue" not in outcome.said
    assert "<Code>SignatureDoesNotMatch</Code>" in outcome.said
    assert (outcome.status, outcome.sent) == ([403], [0])


def test_a_refused_upload_that_does_not_wait(daemon: Daemon, big: Path) -> None:
    """It sends its body unasked, and gets its answer all the same."""
    url = f"{daemon.endpoint}/unified/curl/unasked"
    # With a token: this curl would sign the header that it then leaves out.
    unasked = ("-T", str(big), "-H", "Expect:", url)
    wrong = curl(*unasked, "-H", "X-Proxy-Token: wrong", secret=None)
    assert wrong.status == [403]
    assert wrong.sent[0] < big.stat().st_size
    right = curl(*unasked, "-H", f"X-Proxy-Token: {TOKEN}", secret=None)
    assert (right.status, right.sent) == ([200], [big.stat().st_size])
    assert "100 Continue" not in right.said
    assert curl("-X", "DELETE", *UNSIGNED_PAYLOAD, url).status == [204]


def test_no_room(
    database: DatabaseConfig, backend_config: Callable[..., BackendConfig], big: Path
) -> None:
    """507 before a byte is sent."""
    backends = [backend_config("a", quota_bytes=2**20)]
    with Daemon(database, backends) as daemon:
        url = f"{daemon.endpoint}/unified/k"
        outcome = curl("-T", str(big), *UNSIGNED_PAYLOAD, url)
        assert (outcome.status, outcome.sent) == ([507], [0])
        assert "100 Continue" not in outcome.said
        daemon.wait_clean()


def test_a_failed_condition(daemon: Daemon, small: Path, big: Path) -> None:
    """412 before a byte is sent, and the object is as it was."""
    url = f"{daemon.endpoint}/unified/curl/condition"
    assert curl("-T", str(small), *UNSIGNED_PAYLOAD, url).status == [200]
    only_new = ("-H", "If-None-Match: *")
    outcome = curl("-T", str(big), *only_new, *UNSIGNED_PAYLOAD, url)
    assert (outcome.status, outcome.sent) == ([412], [0])
    assert "a few bytes" in curl(*UNSIGNED_PAYLOAD, url).said
    assert curl("-X", "DELETE", *UNSIGNED_PAYLOAD, url).status == [204]


def test_one_connection_for_many_requests(daemon: Daemon, small: Path) -> None:
    """Uploads, downloads and errors leave the connection open for the next."""
    token = ("-H", f"X-Proxy-Token: {TOKEN}")
    url = f"{daemon.endpoint}/unified/curl/kept"
    outcome = curl(
        *("-T", str(small), *token, url),
        *("--next", "-sSv", *token, "-w", "\n%{http_code} 0 %{num_connects} outcome\n"),
        *(url, f"{daemon.endpoint}/unified/curl/missing", f"{daemon.endpoint}/health"),
        *("--next", "-sSv", *token, "-w", "\n%{http_code} 0 %{num_connects} outcome\n"),
        *("-X", "DELETE", url),
        secret=None,
    )
    assert outcome.status == [200, 200, 404, 200, 204]
    assert outcome.connects == [1, 0, 0, 0, 0]


def test_a_bucket_in_the_host_name(daemon: Daemon, small: Path) -> None:
    """curl signs the host that it was told, port and all."""
    url = f"http://unified.localhost:{daemon.port}/curl/host"
    assert curl("-T", str(small), *UNSIGNED_PAYLOAD, url).status == [200]
    by_path = f"{daemon.endpoint}/unified/curl/host"
    assert "a few bytes" in curl(*UNSIGNED_PAYLOAD, by_path).said
    assert "<Name>unified</Name>" in (
        curl(*UNSIGNED_PAYLOAD, f"http://localhost:{daemon.port}/").said
    )
    assert curl("-X", "DELETE", *UNSIGNED_PAYLOAD, url).status == [204]


def test_a_form(daemon: Daemon, small: Path, big: Path) -> None:
    """A small and a large file; a stranger's form is refused before its file is."""
    url = f"{daemon.endpoint}/unified"
    key = ("-F", "key=curl/form/${filename}", "-F", "Content-Type=text/plain")
    for file in (small, big):
        upload = (*key, "-F", f"file=@{file}", url)
        token = ("-H", f"X-Proxy-Token: {TOKEN}")
        assert curl(*token, *upload, secret=None).status == [204]
        stored = f"{url}/curl/form/{file.name}"
        head = curl("-I", *UNSIGNED_PAYLOAD, stored)
        assert f"Content-Length: {file.stat().st_size}" in head.said
        assert "Content-Type: text/plain" in head.said
        assert curl("-X", "DELETE", *UNSIGNED_PAYLOAD, stored).status == [204]
    outcome = curl(*upload, secret=None)
    assert outcome.status == [403]
    assert outcome.sent[0] < big.stat().st_size
