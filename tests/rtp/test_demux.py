"""What came to a media port: RFC 7983 §7, RFC 5761 §4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.demux import kind_of


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (0, "stun"),
        (3, "stun"),
        (4, "other"),
        (16, "other"),  # ZRTP
        (19, "other"),
        (20, "dtls"),
        (63, "dtls"),
        (64, "other"),  # TURN
        (127, "other"),
        (128, "rtp"),
        (191, "rtp"),
        (192, "other"),
        (255, "other"),
    ],
)
def test_the_first_byte(first: int, kind: str) -> None:
    assert kind_of(bytes([first]) + bytes(20)) == kind
    assert kind_of(bytes([first])) == kind


@pytest.mark.parametrize("second", [192, 200, 201, 223])
def test_rtcp_among_rtp(second: int) -> None:
    assert kind_of(bytes([0x80, second])) == "rtcp"
    assert kind_of(bytes([0x16, second])) == "dtls"


@given(st.binary())
def test_anything(data: bytes) -> None:
    assert kind_of(data) in ("rtp", "rtcp", "dtls", "stun", "other")
    assert kind_of(b"") == "other"
