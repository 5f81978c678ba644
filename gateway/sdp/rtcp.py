"""Where RTCP goes, as offer and answer settle it: RFC 5761, RFC 3605, RFC 5506 §5. Pure.

On RTP's own ports where both sides say `rtcp-mux`; else to the port that `rtcp` names, or the one
after RTP's (RFC 3550 §11). We offer both `rtcp-mux` and `rtcp-rsize`, and repeat in an answer what
the offer has of them. Our own port needs no `rtcp`: it is always the next.

Left out on purpose: `rtcp-mux-only` (RFC 8858; who says it says `rtcp-mux` too), `rtcp-fb` and
`rtcp-xr` (nothing of theirs is sent), bandwidths of RTCP (`b=RS`, `b=RR`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .description import Attribute, MediaDescription

Address = tuple[str, int]

MUX: Attribute = ("rtcp-mux", None)
REDUCED: Attribute = ("rtcp-rsize", None)
OFFERED: tuple[Attribute, ...] = (MUX, REDUCED)

_RTCP = re.compile(r"([0-9]{1,5})(?: +IN +(IP[46]) +([!-~]{1,255}))? *", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Control:
    """How RTCP goes, seen from us."""

    remote: Address | None = None  # where ours goes; None: nowhere now
    mux: bool = False  # over the ports of RTP, both ways
    reduced: bool = False  # packets other than compounds may come, RFC 5506


NOWHERE = Control()


def answered(offer: MediaDescription) -> tuple[Attribute, ...]:
    """What our answer says of RTCP: as much as the offer does. RFC 5761 §5.1.1."""
    return tuple(name for name in OFFERED if name in offer.attributes)


def control(
    theirs: MediaDescription, remote: Address | None, ours: Sequence[Attribute] = OFFERED
) -> Control:
    """What was agreed with a medium of the peer's whose RTP goes to `remote`.

    `ours` are the attributes of our medium; the default fits where ours is the answer.
    """
    mux, reduced = (name in theirs.attributes and name in ours for name in OFFERED)
    if remote is None or mux:
        return Control(remote, mux, reduced)
    return Control(_separate(theirs.value("rtcp"), remote), mux, reduced)


def _separate(value: str | None, remote: Address) -> Address | None:
    """What `rtcp` says, as far as it makes sense (RFC 3605 §2.1); else the next port."""
    host, port = remote[0], remote[1] + 1
    if value is not None and (match := _RTCP.fullmatch(value)) and 0 < int(match[1]) <= 65535:
        port = int(match[1])
        if match[3] is not None and _like(match[3], host):
            host = str(ipaddress.ip_address(match[3]))
    return (host, port) if port <= 65535 else None


def _like(text: str, host: str) -> bool:
    """Whether this is one host's address, of the same IP version."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    odd = address.is_multicast or address.is_unspecified or text == "255.255.255.255" or "%" in text
    return not odd and (address.version == 6) == (":" in host)
