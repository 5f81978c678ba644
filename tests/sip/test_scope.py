"""RFC 1918, 3927, 4193, 6598: which addresses mean the same machine to whom."""

from __future__ import annotations

import pytest

from gateway.sip.scope import Scope, is_hidden, is_nowhere, parse_ip, scope_of


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("127.0.0.1", "loopback"),
        ("[::1]", "loopback"),
        ("169.254.1.1", "link"),
        ("fe80::1", "link"),
        ("fe80::1%eth0", "link"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("172.17.0.1", "private"),  # Docker's bridge
        ("172.31.255.255", "private"),
        ("172.32.0.1", "global"),
        ("192.168.1.1", "private"),
        ("fd00::1", "private"),
        ("100.64.0.1", "shared"),
        ("100.128.0.1", "global"),
        ("192.0.2.9", "global"),
        ("2001:db8::1", "global"),
        ("::ffff:10.0.0.1", "private"),  # IPv4 in IPv6 is IPv4
    ],
)
def test_scope(host: str, scope: Scope) -> None:
    ip = parse_ip(host)
    assert ip
    assert scope_of(ip) == scope
    assert not is_nowhere(ip)


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.1.75", "255.255.255.255", "::", "[ff02::5]"])
def test_nowhere(host: str) -> None:
    """
    Nobody is there, or nobody in particular.
    """
    ip = parse_ip(host)
    assert ip
    assert is_nowhere(ip)


@pytest.mark.parametrize("host", ["", "pbx.example", "1.2.3", "１.2.3.4", "10.0.0.1:5060"])
def test_no_address(host: str) -> None:
    assert parse_ip(host) is None


@pytest.mark.parametrize(
    ("ours", "peer", "hidden"),
    [
        ("10.0.0.5", "192.0.2.10", True),
        ("172.17.0.1", "192.0.2.10", True),
        ("127.0.0.1", "192.0.2.10", True),
        ("100.64.0.5", "192.0.2.10", True),
        ("[fe80::1]", "2001:db8::1", True),
        ("203.0.113.5", "192.0.2.10", False),
        ("10.0.0.5", "10.9.9.9", False),
        ("192.168.0.5", "10.9.9.9", False),  # two private networks may be joined
        ("127.0.0.1", "127.0.0.1", False),
        ("0.0.0.0", "192.0.2.10", False),
        ("gw.example", "192.0.2.10", False),
        ("10.0.0.5", "sip.example", False),
    ],
)
def test_hidden(ours: str, peer: str, hidden: bool) -> None:
    """
    A public peer cannot reach an address of our own network.
    """
    assert is_hidden(ours, peer) is hidden
