"""
How a connection is closed, over TCP and over TLS.

Twisted's TLS transport passes on what it does not know to the TCP one below it: a
half-close would cut TLS off in the middle, without its own last word, and a buffer size
would reach nobody. What differs is here.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ISSLTransport, ITCPTransport


def is_tls(transport: Any) -> bool:
    """Whether TLS lies between."""
    return bool(ISSLTransport.providedBy(transport))


def set_buffer(transport: Any, size: int) -> None:
    """
    Set how many bytes are received at a time, and buffered before a producer is paused.
    """
    _lowest(transport).bufferSize = size


def half_close(transport: Any) -> None:
    """
    Say that nothing more is sent, once what was written has gone; go on receiving.

    Of TLS this is its own close, after which it receives until the client's; of a
    transport that knows no halves, a whole close.
    """
    if not is_tls(transport) and ITCPTransport.providedBy(transport):
        transport.loseWriteConnection()
    else:
        transport.loseConnection()


def close(transport: Any) -> None:
    """
    Close once what was written has gone.

    TLS's last word is sent and not waited for: an idle client would not answer it.
    """
    transport.loseConnection()
    if is_tls(transport):
        _lowest(transport).loseConnection()


def _lowest(transport: Any) -> Any:
    return transport.transport if is_tls(transport) else transport
