"""
What verifying a signature costs, per request.

``python -m bench.verify [SECONDS]`` verifies one request of each kind again and again,
as the front door does (``Authenticator.authenticate``), and prints microseconds per
request: the best and the median of several rounds. Beside them the same machine's cost
of one SHA-256 of 1 KiB, and of botocore signing a request, to judge the figures by.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from s3proxy.config_model import AuthConfig
from s3proxy.web.auth import Authenticator

ROUNDS = 7
ENDPOINT = "http://127.0.0.1:9000"
KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEY = (Credentials(KEY_ID, SECRET), "s3", "us-east-1")

Headers = list[tuple[str, str]]


def sign(method: str, target: str, *, in_query: bool = False) -> AWSRequest:
    """A request as boto3 sends it."""
    request = AWSRequest(method=method, url=ENDPOINT + target, data=b"")
    if not in_query:
        request.headers.add_header("Content-Type", "application/octet-stream")
        request.headers.add_header("x-amz-checksum-crc32", "AAAAAA==")
        request.headers.add_header("x-amz-sdk-checksum-algorithm", "CRC32")
    (S3SigV4QueryAuth if in_query else S3SigV4Auth)(*KEY).add_auth(request)
    return request


def received(request: AWSRequest) -> tuple[bytes, bytes, Headers]:
    """Method, target and headers, as the front door has them."""
    parts = urlsplit(request.prepare().url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    more = {
        "accept-encoding": "identity",
        "user-agent": "Boto3/1.44.8 md/Botocore#1.44.8 ua/2.1 os/linux",
        "amz-sdk-invocation-id": "0f8fad5b-d9cb-469f-a165-70867728950e",
        "amz-sdk-request": "attempt=1",
        "content-length": "0",
    }
    headers = [("host", parts.netloc), *more.items()]
    headers += [(name.lower(), value) for name, value in request.headers.items()]
    return request.method.encode(), target.encode(), headers


def cost(work: Callable[[], object], seconds: float) -> tuple[float, float]:
    """The least and the median of several rounds, in microseconds per call."""
    rounds = []
    for _ in range(ROUNDS):
        calls, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds / ROUNDS:
            for _ in range(100):
                work()
            calls += 100
        rounds.append(spent / calls * 1e6)
    return min(rounds), statistics.median(rounds)


def main() -> None:
    """Print a table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    authenticator = Authenticator(
        AuthConfig(KEY_ID, SECRET),
        regions=("us-east-1",),
        now=lambda: datetime.now(UTC),
    )
    key = "/unified/photos/2026/a%20picture%20of%20a%20cat.jpg"
    listing = "/unified?list-type=2&prefix=photos%2F2026%2F&delimiter=%2F&max-keys=1000"
    requests = {
        "header, PUT": sign("PUT", key),
        "header, GET": sign("GET", key),
        "header, LIST": sign("GET", listing),
        "presigned, GET": sign("GET", key, in_query=True),
        "presigned, PUT": sign("PUT", key, in_query=True),
    }
    work: Mapping[str, Callable[[], object]] = {
        **{
            name: partial(authenticator.authenticate, *received(request))
            for name, request in requests.items()
        },
        "(SHA-256 of 1 KiB)": lambda: hashlib.sha256(b"x" * 1024).digest(),
        "(botocore signs the PUT)": lambda: sign("PUT", key),
    }
    for name, each in work.items():
        least, median = cost(each, seconds)
        sys.stdout.write(
            f"{name:26} {least:6.1f} µs at best, {median:6.1f} in the median\n"
        )


if __name__ == "__main__":
    main()
