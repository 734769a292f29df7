"""What one client may take of this process: bytes and seconds."""

from __future__ import annotations

from attrs import frozen


@frozen
class Limits:
    """
    The front door's limits. All times are of silence or slowness, none of a transfer.

    :ivar request_line_bytes: Longest request line; a 1024-byte key escaped fits.
    :ivar header_section_bytes: All header lines of a request together, as S3 has it.
    :ivar headers: Header lines of a request.
    :ivar header_seconds: From a request's first byte to the end of its headers; before
        that, TLS's beginning may take as long.
    :ivar spare_seconds: Likewise, and from its beginning, of a connection past the cap.
    :ivar idle_seconds: A kept connection without a request; longer than the idle time
        of clients' pools, so that they close first.
    :ivar body_idle_seconds: Wait for the next bytes of a body.
    :ivar body_credit_seconds: All waits for one body together, before
        *body_bytes_per_second* counts: a client that sends a byte now and then is cut.
    :ivar body_bytes_per_second: Each such number of bytes buys one more second.
    :ivar queue_high_bytes: Received and unread bytes at which the client is paused.
    :ivar queue_low_bytes: Where it may go on.
    :ivar transport_bytes: Received at a time, and buffered of an answer before its
        source is paused. Twisted's own 64 KiB cost large transfers a third more CPU.
    :ivar rest_bytes: An unread body rest up to this is discarded, and the connection
        kept; a larger one costs the client its connection.
    :ivar rest_seconds: Silence that ends the wait for such a rest.
    :ivar linger_seconds: How long a rest may come in after the answer, in all.
    :ivar stall_seconds: How long a client may leave an answer unread.
    :ivar flush_seconds: How long a closing connection may take its last bytes.
    :ivar patience_seconds: How long a copy or a Complete may take before its client is
        sent the 200, and blanks, that keep the connection from looking dead.
    :ivar beat_seconds: Between such blanks; under what proxies take for dead.
    """

    request_line_bytes: int = 16 * 1024
    header_section_bytes: int = 8 * 1024
    headers: int = 300
    header_seconds: float = 30.0
    spare_seconds: float = 5.0
    idle_seconds: float = 120.0
    body_idle_seconds: float = 30.0
    body_credit_seconds: float = 60.0
    body_bytes_per_second: int = 1024
    queue_high_bytes: int = 256 * 1024
    queue_low_bytes: int = 64 * 1024
    transport_bytes: int = 256 * 1024
    rest_bytes: int = 1024 * 1024
    rest_seconds: float = 5.0
    linger_seconds: float = 30.0
    stall_seconds: float = 300.0
    flush_seconds: float = 60.0
    patience_seconds: float = 10.0
    beat_seconds: float = 5.0
