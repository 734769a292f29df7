"""
HTTP/1.1 as strictly as S3 needs it: what two parsers could read in two ways is refused.

Each refusal has its S3 error; answering it is the subclass's part.
"""

# mypy: allow-untyped-calls
# (twisted.web.http has few annotations.)

from __future__ import annotations

from twisted.web import http
from twisted.web.http_headers import Headers

from s3proxy.errors import (
    EntityTooLarge,
    InvalidRequest,
    InvalidURI,
    NotImplementedYet,
    RequestHeaderSectionTooLarge,
    S3Error,
)
from s3proxy.web.limits import Limits

# Digits of any length that a signed 64-bit number holds.
_LENGTH_DIGITS = 18


class StrictChannel(http.HTTPChannel):
    """
    The parser's side of a connection.

    :ivar _in_headers: Between a request line and the end of its headers.
    :ivar _dead: What still comes is thrown away: it cannot be parsed.
    """

    limits: Limits
    # The limits are smaller and are checked first.
    totalHeadersSize = 1024 * 1024
    maxHeaders = 1024 * 1024

    _dead = False
    _in_headers = False
    _header_bytes = 0
    _cause: S3Error | None = None

    def refuse(self, error: S3Error) -> None:
        """Answer what cannot be parsed, and parse no more."""
        raise NotImplementedError

    def lineReceived(self, line: bytes) -> None:
        if self._dead:
            return
        if not self._in_headers:
            self._in_headers = bool(line)
        else:
            self._header_bytes += len(line) + 2
            if self._header_bytes > self.limits.header_section_bytes:
                self.refuse(RequestHeaderSectionTooLarge())
                return
            if line.startswith((b" ", b"\t")):
                self.refuse(InvalidRequest("A header is folded over several lines."))
                return
        super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        if not self._dead:
            super().rawDataReceived(data)

    def lineLengthExceeded(self, line: bytes) -> None:
        if self._in_headers:
            self.refuse(RequestHeaderSectionTooLarge())
        else:
            self.refuse(InvalidURI("The request line is too long."))

    def headerReceived(self, line: bytes) -> bool:
        if self._receivedHeaderCount >= self.limits.headers:
            self.refuse(RequestHeaderSectionTooLarge("There are too many headers."))
            return False
        return bool(super().headerReceived(line))

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:
        if header == b"Content-Length":
            self._cause = InvalidRequest("Content-Length is wrong, or given twice.")
            if data.isdigit() and len(data.lstrip(b"0")) > _LENGTH_DIGITS:
                self.refuse(EntityTooLarge())
                return False
        elif header == b"Transfer-Encoding":
            self._cause = InvalidRequest(
                "Transfer-Encoding cannot be given twice or beside Content-Length."
            )
            coding = data.lower()
            if coding == b"identity" or self._version != b"HTTP/1.1":
                self.refuse(InvalidRequest("Transfer-Encoding is not allowed so."))
                return False
            if coding != b"chunked":
                self.refuse(
                    NotImplementedYet("The only Transfer-Encoding served is chunked.")
                )
                return False
        return bool(super()._maybeChooseTransferDecoder(header, data))

    def allHeadersReceived(self) -> None:
        self._in_headers = False
        self._header_bytes = 0
        self._cause = None
        super().allHeadersReceived()

    def _respondToBadRequestAndDisconnect(self) -> None:
        cause, self._cause = self._cause, None
        self.refuse(cause or InvalidRequest("The request cannot be parsed."))

    def writeHeaders(
        self, version: bytes, code: bytes, reason: bytes, headers: Headers
    ) -> None:
        """
        Write an answer's head, S3's own headers in lower case.

        SDKs hand the names of user metadata on as they come, and S3 sends them so.
        """
        lines = [b"%b %b %b\r\n" % (version, code, reason)]
        for name, values in headers.getAllRawHeaders():
            if name.startswith(b"X-Amz-"):
                name = name.lower()
            lines.extend([b"%b: %b\r\n" % (name, value) for value in values])
        lines.append(b"\r\n")
        assert self.transport is not None
        self.transport.write(b"".join(lines))
