"""Tells twistd that there is a ``s3proxy`` to run."""

from twisted.application.service import ServiceMaker

s3proxy = ServiceMaker(  # type: ignore[no-untyped-call]
    "s3proxy",
    "s3proxy.tap",
    "One S3 endpoint in front of many S3-compatible backends.",
    "s3proxy",
)
