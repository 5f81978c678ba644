"""What came to a media port, by its first bytes: RFC 7983 §7, RFC 5761 §4. Pure.

STUN, ZRTP, DTLS, TURN channels, RTP and RTCP may share one port. Nothing is parsed here, so
whatever is named may still turn out to be none.
"""

from __future__ import annotations

from typing import Literal

from .packet import is_rtcp

Kind = Literal["rtp", "rtcp", "dtls", "stun", "other"]


def kind_of(data: bytes) -> Kind:
    """What a datagram says it is; `other` is nobody's, an empty one and ZRTP included."""
    first = data[0] if data else 255
    if 128 <= first <= 191:
        return "rtcp" if is_rtcp(data) else "rtp"
    if 20 <= first <= 63:
        return "dtls"
    return "stun" if first <= 3 else "other"
