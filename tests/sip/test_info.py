"""Digits in INFO, as switches and phones send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.info import DTMF_TYPES, PLAIN, RELAY, digits, plain, relay

KEYS = "0123456789*#ABCD"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"Signal=5\r\nDuration=160\r\n", ["5"]),
        (b"Signal= 1\r\nDuration= 160", ["1"]),  # Cisco
        (b"Signal=*\nDuration=250\n", ["*"]),
        (b"signal = #", ["#"]),
        (b"Duration=100\r\nSignal=d\r\n", ["D"]),
        (b"Signal=10\r\n", ["*"]),
        (b"Signal=11\r\n", ["#"]),
        (b"Signal=15\r\n", ["D"]),
        (b"Signal=1\r\nSignal=2\r\n", ["1", "2"]),
        (b"Signal=16\r\n", []),  # hook flash
        (b"Signal=\r\n5\r\n", []),
        (b"Signal=555\r\n", []),
        ("Signal=５".encode(), []),
        (b"X-Signal=5\r\n", []),
        (b"5", []),
        (b"", []),
        (b"\xff\x00", []),
    ],
)
def test_relay(body: bytes, found: list[str]) -> None:
    """application/dtmf-relay: names and values, in any order and with blanks anywhere."""
    assert digits("application/dtmf-relay", body) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"5", ["5"]),
        (b" #\r\n", ["#"]),
        (b"10", ["*"]),
        (b"Signal=7\r\nDuration=160", ["7"]),
        (b"\r\n5", []),
        (b"123", []),
        (b"", []),
    ],
)
def test_plain(body: bytes, found: list[str]) -> None:
    """application/dtmf: the digit alone; some send the other format under this name."""
    assert digits("application/dtmf", body) == found


def test_another_type() -> None:
    assert digits("text/plain", b"Signal=5") == []


def test_very_many() -> None:
    """One INFO is not a way to keep us busy."""
    assert len(digits(RELAY, b"Signal=5\n" * 1000)) == 32


def test_written() -> None:
    assert relay("#") == (RELAY, b"Signal=#\r\nDuration=160\r\n")
    assert relay("1", 250) == (RELAY, b"Signal=1\r\nDuration=250\r\n")
    assert plain("*") == (PLAIN, b"*\r\n")


@pytest.mark.parametrize("digit", ["", "12", "x", "d", "\r\n", "５"])
def test_no_digit(digit: str) -> None:
    for write in (relay, plain):
        with pytest.raises(ValueError, match="not a digit"):
            write(digit)


@given(st.sampled_from(KEYS))
def test_both_ways(digit: str) -> None:
    for content_type, body in (relay(digit), plain(digit)):
        assert digits(content_type, body) == [digit]


@given(st.sampled_from(DTMF_TYPES), st.binary(max_size=60))
def test_any_body(content_type: str, body: bytes) -> None:
    assert set(digits(content_type, body)) <= set(KEYS)
