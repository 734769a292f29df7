"""Which client a request came from, and what counts as one client."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from s3proxy.config_values import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What one household or machine is commonly given.
_IPV6_PREFIX = 64


def address_of(text: str) -> Address | None:
    """An address, IPv4 where it is one in IPv6's clothes; None = it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def group_of(address: Address) -> str:
    """Who an address is counted as: itself, and of IPv6 its network of 64 bits."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))


def is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    """Whether one of the networks has it."""
    return any(address in network for network in trusted)


def client_of(
    peer: Address, forwarded: Sequence[str], trusted: Sequence[Network]
) -> Address:
    """
    The client, as far as somebody trusted vouches for it.

    Each proxy appends who spoke to it, so the list is read from its right end: the
    first address that is no proxy's is the client, whatever stands before it.

    :param peer: The other end of the connection.
    :param forwarded: ``X-Forwarded-For``, one value a header line, in their order.
    """
    client = peer
    hops = [hop.strip() for line in forwarded for hop in line.split(",")]
    while hops and is_trusted(client, trusted):
        address = _hop(hops.pop())
        if address is None:
            break
        client = address
    return client


def _hop(text: str) -> Address | None:
    """Some proxies write a port as well: ``1.2.3.4:5``, ``[::1]:5``."""
    if text.startswith("["):
        return address_of(text[1:].partition("]")[0])
    if text.count(":") == 1:
        text = text.partition(":")[0]
    return address_of(text)
