"""
Which bucket a Host header names: the virtual-host style of S3.

Only the routing asks: a signature covers the host and the path as they were sent.
"""

from __future__ import annotations

from collections.abc import Sequence


def bucket_of(host: str, domains: Sequence[str]) -> str:
    """
    The bucket of ``<bucket>.<domain>``; "" for path style, which all else is.

    A host that is a domain itself is path style, though it may end in another domain;
    of several that it ends in, the longest counts. A bucket's name may have dots.

    :param host: As sent: in any case, maybe with a port.
    :param domains: In lower case, without ports.
    """
    if not domains:
        return ""
    name, colon, port = host.strip().rpartition(":")
    if not colon or not port.isdecimal():
        name = host.strip()
    name = name.lower().removesuffix(".")
    if name in domains:
        return ""
    buckets = [
        name.removesuffix(f".{domain}")
        for domain in domains
        if name.endswith(f".{domain}")
    ]
    return min(buckets, key=len, default="")
