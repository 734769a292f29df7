"""Where a backend's bucket is."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
)
from twisted.internet.interfaces import IStreamClientEndpoint

from s3proxy.config import BackendConfig
from s3proxy.s3.sigv4 import uri_encode


class Address:
    """
    A bucket's place, path-style or virtual-host style.

    :ivar netloc: As the Host header has it.
    """

    def __init__(self, config: BackendConfig) -> None:
        parts = urlsplit(config.endpoint)
        assert parts.hostname is not None
        prefix = "" if config.force_path_style else f"{config.bucket}."
        self.is_tls = parts.scheme == "https"
        self.host = prefix + parts.hostname
        self.port = parts.port or (443 if self.is_tls else 80)
        self.netloc = prefix + parts.netloc
        self._bucket = config.bucket
        self._origin = f"{parts.scheme}://{self.netloc}"
        self._root = f"/{config.bucket}" if config.force_path_style else ""

    def url(self, key: str = "", query: dict[str, str] | None = None) -> str:
        """
        The URL of a key, or of the bucket itself, encoded by the AWS rule.

        :param query: Decoded names and values.
        """
        path = f"{self._root}/{uri_encode(key, slash=False)}" if key else self._root
        pairs = [
            f"{uri_encode(name, slash=True)}={uri_encode(value, slash=True)}"
            for name, value in sorted((query or {}).items())
        ]
        return f"{self._origin}{path or '/'}" + (f"?{'&'.join(pairs)}" if pairs else "")

    def copy_source(self, key: str, version_id: str | None) -> str:
        """What names a key of this bucket in ``x-amz-copy-source``, encoded alike."""
        version = "" if version_id is None else uri_encode(version_id, slash=True)
        source = f"{self._bucket}/{uri_encode(key, slash=False)}"
        return f"{source}?versionId={version}" if version else source

    def endpoint(self, reactor: Any, seconds: float) -> IStreamClientEndpoint:
        """
        A TCP connection to the host.

        :param seconds: For one attempt to connect.
        """
        # A plain address needs no resolver, and a refusal is told at once: the endpoint
        # for names waits 0.3 s for a further address to try.
        kind: Any = HostnameEndpoint
        if isIPAddress(self.host):
            kind = TCP4ClientEndpoint
        elif isIPv6Address(self.host):
            kind = TCP6ClientEndpoint
        endpoint: IStreamClientEndpoint = kind(
            reactor, self.host, self.port, timeout=seconds
        )
        return endpoint
