"""s3.bucket_configuration: what a client may say of a bucket that it makes."""

from __future__ import annotations

import pytest

from s3proxy.errors import (
    IllegalLocationConstraintException,
    InvalidLocationConstraint,
    MalformedXML,
    S3Error,
)
from s3proxy.s3.bucket_configuration import MAX_BYTES, check

REGIONS = ("us-east-1",)
SPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def constraint(region: str) -> bytes:
    return (
        f"<CreateBucketConfiguration {SPACE}><LocationConstraint>{region}"
        "</LocationConstraint></CreateBucketConfiguration>"
    ).encode()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b" \r\n",
        b"<CreateBucketConfiguration/>",
        f"<CreateBucketConfiguration {SPACE}/>".encode(),
        constraint("us-east-1"),
        constraint(" us-east-1\n"),
        constraint(""),
        b"<CreateBucketConfiguration><LocationConstraint>us-east-1"
        b"</LocationConstraint></CreateBucketConfiguration>",
    ],
)
def test_this_region_or_none(document: bytes) -> None:
    check(document, REGIONS)


@pytest.mark.parametrize(
    ("region", "error"),
    [
        ("eu-west-1", IllegalLocationConstraintException),
        ("us-gov-east-1", IllegalLocationConstraintException),
        ("EU", IllegalLocationConstraintException),
        ("default", InvalidLocationConstraint),
        ("us-east-1;eu-west-1", InvalidLocationConstraint),
        ("&lt;b&gt;", InvalidLocationConstraint),
    ],
)
def test_another_region(region: str, error: type[S3Error]) -> None:
    with pytest.raises(error):
        check(constraint(region), REGIONS)


BOMB = b"""<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>
<CreateBucketConfiguration>&b;</CreateBucketConfiguration>"""
EXTERNAL = b"""<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<CreateBucketConfiguration><LocationConstraint>&a;</LocationConstraint>
</CreateBucketConfiguration>"""


@pytest.mark.parametrize(
    "document",
    [
        b"x",
        b"<CreateBucketConfiguration>",
        b"<Other/>",
        BOMB,
        EXTERNAL,
        b'<?xml version="1.0" encoding="nonsense"?><CreateBucketConfiguration/>',
        constraint("us-east-1<a/>"),
        constraint("us-east-1</LocationConstraint><LocationConstraint>us-east-1"),
        # What is asked for and not done would be a broken promise.
        b"<CreateBucketConfiguration><Bucket><Type>Directory</Type></Bucket>"
        b"</CreateBucketConfiguration>",
        b"<CreateBucketConfiguration><Tags><Tag/></Tags></CreateBucketConfiguration>",
        b"<CreateBucketConfiguration>" + b" " * MAX_BYTES,
    ],
)
def test_case_81_and_82_other_documents(document: bytes) -> None:
    with pytest.raises(MalformedXML):
        check(document, REGIONS)
