"""s3proxy.web.addresses: whom a request comes from, by whose word."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3proxy.web.addresses import address_of, client_of, group_of, is_trusted

TRUSTED = tuple(ipaddress.ip_network(x) for x in ("10.0.0.0/8", "::1", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # Nobody is believed who is not trusted.
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("192.0.2.1", [], "192.0.2.1"),
        # A trusted one is.
        ("10.1.2.3", ["198.51.100.7"], "198.51.100.7"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("::1", ["198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.1.2.3", ["198.51.100.7"], "198.51.100.7"),
        # What the client wrote itself stands to the left, and is not looked at.
        ("10.1.2.3", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("10.1.2.3", ["10.9.9.9, 198.51.100.7"], "198.51.100.7"),
        ("10.1.2.3", ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        # A chain of trusted ones.
        ("10.1.2.3", ["198.51.100.7, 10.0.0.1,10.0.0.2"], "198.51.100.7"),
        ("10.1.2.3", ["198.51.100.7", "10.0.0.1", "fd00::1"], "198.51.100.7"),
        ("10.1.2.3", ["10.0.0.1"], "10.0.0.1"),
        # Rubbish ends the walk at the last whom somebody vouched for.
        ("10.1.2.3", ["198.51.100.7, unknown"], "10.1.2.3"),
        ("10.1.2.3", ["198.51.100.7, rubbish, 10.0.0.1"], "10.0.0.1"),
        ("10.1.2.3", [""], "10.1.2.3"),
        ("10.1.2.3", [",,,"], "10.1.2.3"),
        # Forms that proxies write.
        ("10.1.2.3", ["198.51.100.7:443"], "198.51.100.7"),
        ("10.1.2.3", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("10.1.2.3", ["[2001:db8::7]"], "2001:db8::7"),
        ("10.1.2.3", ["2001:db8::7"], "2001:db8::7"),
        ("10.1.2.3", ["::ffff:198.51.100.7"], "198.51.100.7"),
    ],
)
def test_client(peer: str, forwarded: list[str], client: str) -> None:
    found = address_of(peer)
    assert found is not None
    assert str(client_of(found, forwarded, TRUSTED)) == client


@given(st.ip_addresses(), st.lists(st.text(max_size=30), max_size=5))
def test_a_stranger_never_chooses_its_address(
    peer: ipaddress.IPv4Address | ipaddress.IPv6Address, forwarded: list[str]
) -> None:
    """Whatever it writes."""
    if not is_trusted(peer, TRUSTED):
        assert client_of(peer, forwarded, TRUSTED) == peer


@given(
    st.ip_addresses(v=4).filter(lambda ip: not is_trusted(ip, TRUSTED)),
    st.lists(st.text("0123456789.:abcdef, []", max_size=40), max_size=4),
)
def test_what_stands_to_the_left_changes_nothing(
    client: ipaddress.IPv4Address, written: list[str]
) -> None:
    """The proxy appends, in a line of its own or in the last one."""
    proxy = ipaddress.ip_address("10.0.0.1")
    assert client_of(proxy, [*written, str(client)], TRUSTED) == client
    *first, last = [*written, ""]
    assert client_of(proxy, [*first, f"{last}, {client}"], TRUSTED) == client


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_group(text: str, group: str) -> None:
    """IPv6 gives each household a network; one address of it is as good as another."""
    address = address_of(text)
    assert address is not None
    assert group_of(address) == group


@pytest.mark.parametrize("text", ["", "unknown", "1.2.3", "1.2.3.4.5", "a::b::c", "é"])
def test_no_address(text: str) -> None:
    assert address_of(text) is None
