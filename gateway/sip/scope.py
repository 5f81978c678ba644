"""How far an IP address is known: on this machine, in a private network, everywhere. Pure.

RFC 1918, RFC 4193 (private), RFC 3927, RFC 4291 §2.5.6 (link), RFC 6598 (between a provider's NAT
and its customers). By hand: what the ipaddress module calls private is wider, and documentation's
addresses are in it.
"""

from __future__ import annotations

import ipaddress
from typing import Final, Literal

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Scope = Literal["loopback", "link", "private", "shared", "global"]

_NETWORKS: Final[dict[Scope, tuple[str, ...]]] = {
    "loopback": ("127.0.0.0/8", "::1/128"),
    "link": ("169.254.0.0/16", "fe80::/10"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    "shared": ("100.64.0.0/10",),
}
_SCOPES: Final = {
    ipaddress.ip_network(net): scope for scope, nets in _NETWORKS.items() for net in nets
}
# this network, multicast and reserved; and the same of IPv6
_NOWHERE: Final = [
    ipaddress.ip_network(net) for net in ("0.0.0.0/8", "224.0.0.0/3", "::/128", "ff00::/8")
]


def parse_ip(host: str) -> Ip | None:
    """An address, one of IPv4 in IPv6 as what it is; None for a name.

    Brackets are left out, and the interface that a link-local one has on this machine (RFC 4007).
    """
    try:
        ip = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def scope_of(ip: Ip) -> Scope:
    """The widest network in which this address means the same machine."""
    return next((scope for net, scope in _SCOPES.items() if ip in net), "global")


def is_nowhere(ip: Ip) -> bool:
    """No single machine has this address: multicast, reserved, unspecified."""
    return any(ip in net for net in _NOWHERE)


def is_hidden(ours: str, peer: str) -> bool:
    """Is `peer` a public address, to which our address `ours` means nothing?

    Names and what is not known yet (0.0.0.0) are not judged.
    """
    own, other = parse_ip(ours), parse_ip(peer)
    if own is None or other is None or is_nowhere(own) or is_nowhere(other):
        return False
    return scope_of(other) == "global" and scope_of(own) != "global"
