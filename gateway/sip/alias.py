"""Reuse of a connection for requests the other way: `alias` of a Via (RFC 5923). Pure.

Who connects and says `alias` listens at sent-by's port, too, and takes requests to there by this
connection. That is believed of a host that is known by its address, and over TLS of a name that the
certificate proves (§9.1): else whoever connects first would get what is meant for another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .address import Via
from .grammar import SipError
from .scope import parse_ip

_VIA = re.compile(rb"\r?\n(?:via|v)[ \t]*:[ \t]*([^\r\n,]*)", re.IGNORECASE)
_PORTS = {"TCP": 5060, "TLS": 5061}


def alias(message: bytes) -> tuple[str, int] | None:
    """Where the sender of a request says that it can be reached by its connection (§5)."""
    if message.startswith(b"SIP/2.0 "):
        return None
    found = _VIA.search(message)
    if found is None or b"alias" not in found[1].lower():
        return None
    try:
        via = Via.parse(found[1].decode())
    except (SipError, UnicodeDecodeError):
        return None
    if via.transport not in _PORTS or via.param("alias") is None:
        return None
    return via.host.strip("[]").lower(), via.port or _PORTS[via.transport]


def proven(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Hosts that a checked certificate names (RFC 5922 §7.1), as `SSLObject.getpeercert` has it."""
    kinds = {"DNS", "IP Address"}
    names = (certificate or {}).get("subjectAltName", ())
    return frozenset(_plain(name) for kind, name in names if kind in kinds)


def _plain(name: str) -> str:
    return str(parse_ip(name) or name.lower())
