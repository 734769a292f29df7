"""What pages in browsers do, by the clients that their authors use beside them."""

from __future__ import annotations

import random
import socket
from typing import Any

import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from s3proxy.web.forms import KEPT_BYTES
from tests.boto import boto_client
from tests.daemon import BUCKET, KEY_ID, SECRET, Daemon

ORIGIN = "https://app.example.com"
HTTP = urllib3.PoolManager()


def client(endpoint: str, **config: Any) -> Any:
    """boto3, as it is without any option but these."""
    return boto_client(
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names below localhost are this machine, as with many resolvers."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        below = isinstance(host, str) and host.endswith(".localhost")
        return resolve("127.0.0.1" if below else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.usefixtures("names")
@pytest.mark.did("boto3", "buckets in host names")
def test_boto3_with_buckets_in_host_names(daemon: Daemon) -> None:
    s3 = client(f"http://localhost:{daemon.port}", s3={"addressing_style": "virtual"})
    urls: list[str] = []
    s3.meta.events.register(
        "before-send.s3", lambda request, **_: urls.append(request.url)
    )
    key = "virtual/ä b//../c+d%2F"
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"bytes")
    assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"bytes"
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="virtual/")["Contents"]
    assert [each["Key"] for each in listed] == [key]
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    part = {"Bucket": BUCKET, "Key": key, "UploadId": upload}
    s3.upload_part(**part, PartNumber=1, Body=b"part")
    s3.abort_multipart_upload(**part)
    source = {"Bucket": BUCKET, "Key": key}
    # What path style could not reach is a key like others here.
    s3.copy_object(Bucket=BUCKET, Key="health", CopySource=source)
    assert s3.get_object(Bucket=BUCKET, Key="health")["Body"].read() == b"bytes"
    assert all(url.startswith(f"http://{BUCKET}.localhost:") for url in urls)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.get_object(Bucket="other", Key=key)
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == [BUCKET]
    by_path = client(daemon.endpoint, s3={"addressing_style": "path"})
    assert by_path.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"bytes"
    for each in (key, "health"):
        s3.delete_object(Bucket=BUCKET, Key=each)


@pytest.mark.parametrize("version", [None, "s3v4"])
@pytest.mark.did("boto3", "presigned forms")
def test_a_presigned_form(daemon: Daemon, version: str | None) -> None:
    """boto3 signs forms with version 2 unless told otherwise."""
    s3 = client(daemon.endpoint, signature_version=version)
    form = s3.generate_presigned_post(
        BUCKET,
        "forms/${filename}",
        Fields={"Content-Type": "image/jpeg", "success_action_status": "201"},
        Conditions=[
            ["starts-with", "$Content-Type", "image/"],
            {"success_action_status": "201"},
            ["content-length-range", 1, 1000],
        ],
    )
    assert ("x-amz-signature" in form["fields"]) == (version == "s3v4")

    def post(file: bytes, **changed: str) -> Any:
        fields = form["fields"] | changed | {"file": ("ä.jpg", file)}
        return HTTP.request("POST", form["url"], fields=fields)

    answer = post(b"bytes", **{"Content-Type": "image/png"})
    assert answer.status == 201, answer.data
    assert b"<Key>forms/\xc3\xa4.jpg</Key>" in answer.data
    found = s3.get_object(Bucket=BUCKET, Key="forms/ä.jpg")
    assert (found["ContentType"], found["Body"].read()) == ("image/png", b"bytes")
    assert found["ETag"] == answer.headers["ETag"]
    for refused in (
        post(b"x" * 1001),
        post(b""),
        post(b"bytes", key="elsewhere/x"),
        post(b"bytes", **{"Content-Type": "text/html"}),
        post(b"bytes", policy=form["fields"]["policy"][:-4]),
        post(b"bytes", acl="private"),
    ):
        assert refused.status in (400, 403), refused.data
    s3.delete_object(Bucket=BUCKET, Key="forms/ä.jpg")


def test_a_large_form(daemon: Daemon) -> None:
    """It streams: the file is over what is kept."""
    big = random.Random(1).randbytes(KEPT_BYTES + 4 * 2**20 + 1)
    s3 = client(daemon.endpoint)
    form = s3.generate_presigned_post(BUCKET, "forms/big")
    fields = form["fields"] | {"file": ("big", big)}
    answer = HTTP.request("POST", form["url"], fields=fields)
    assert answer.status == 204, answer.data
    found = s3.get_object(Bucket=BUCKET, Key="forms/big")
    assert found["Body"].read() == big
    # A field after the file: the size cannot be known, and nothing is stored.
    fields["submit"] = "Upload"
    answer = HTTP.request("POST", form["url"], fields=fields)
    assert answer.status == 400, answer.data
    s3.delete_object(Bucket=BUCKET, Key="forms/big")


@pytest.mark.did("boto3", "CORS rules")
def test_cross_origin_rules(daemon: Daemon) -> None:
    """boto3 sets them; a page may then do what they say, with a presigned form too."""
    s3 = client(daemon.endpoint)
    with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=BUCKET)
    rules = [
        {
            "ID": "app",
            "AllowedOrigins": [ORIGIN, "https://*.example.org"],
            "AllowedMethods": ["GET", "PUT", "POST"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag", "x-amz-request-id"],
            "MaxAgeSeconds": 600,
        },
        {"AllowedOrigins": ["*"], "AllowedMethods": ["HEAD"]},
    ]
    s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": rules})
    assert s3.get_bucket_cors(Bucket=BUCKET)["CORSRules"] == rules
    url = f"{daemon.endpoint}/{BUCKET}/cors"
    asks = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type,x-amz-date",
    }
    told = HTTP.request("OPTIONS", url, headers=asks)
    assert told.status == 200, told.data
    assert told.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert told.headers["Access-Control-Allow-Headers"] == "content-type, x-amz-date"
    assert told.headers["Access-Control-Max-Age"] == "600"
    refused = HTTP.request(
        "OPTIONS", url, headers=asks | {"Origin": "https://evil.net"}
    )
    assert (refused.status, b"AccessForbidden" in refused.data) == (403, True)
    form = s3.generate_presigned_post(BUCKET, "cors")
    fields = form["fields"] | {"file": ("x", b"bytes")}
    from_page = {"Origin": ORIGIN}
    stored = HTTP.request("POST", form["url"], fields=fields, headers=from_page)
    assert stored.status == 204
    assert stored.headers["Access-Control-Allow-Origin"] == ORIGIN
    unsigned = HTTP.request("GET", url, headers=from_page)
    assert unsigned.status == 403
    assert unsigned.headers["Access-Control-Allow-Origin"] == ORIGIN
    s3.delete_bucket_cors(Bucket=BUCKET)
    s3.delete_object(Bucket=BUCKET, Key="cors")
    told = HTTP.request("OPTIONS", f"{daemon.endpoint}/{BUCKET}/cors", headers=asks)
    assert (told.status, b"not enabled" in told.data) == (403, True)
