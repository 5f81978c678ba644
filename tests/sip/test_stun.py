"""RFC 8489 binding requests, as RFC 5626 §4.4.2 has them on the SIP port."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.stun import MAGIC_COOKIE, answer

TRANSACTION = bytes(range(12))
SOURCE = ("192.0.2.1", 32853)


def message(attributes: bytes = b"", kind: bytes = b"\x00\x01", length: int | None = None) -> bytes:
    size = len(attributes) if length is None else length
    return kind + size.to_bytes(2) + MAGIC_COOKIE + TRANSACTION + attributes


def attribute(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2) + len(value).to_bytes(2) + value + b"\0" * (-len(value) % 4)


def fingerprinted(attributes: bytes = b"") -> bytes:
    before = message(attributes, length=len(attributes) + 8)
    return before + attribute(0x8028, (zlib.crc32(before) ^ 0x5354554E).to_bytes(4))


def test_ipv4() -> None:
    """The source, hidden behind the cookie (§14.2); the address and port of RFC 5769 §2.2."""
    assert answer(message(), SOURCE) == message(
        bytes.fromhex("0020 0008 0001 a147 e112a643"), kind=b"\x01\x01"
    )


def test_ipv6() -> None:
    """Of IPv6, behind cookie and transaction; an interface is no part of the address."""
    for host in ("fe80::1", "fe80::1%eth0"):
        response = answer(message(), (host, 1))
        assert response is not None
        assert response[20:28] == bytes.fromhex("0020 0014 0002 2113")
        hidden = bytes.fromhex("fe80") + bytes(13) + b"\x01"
        assert response[28:] == bytes(
            a ^ b for a, b in zip(hidden, MAGIC_COOKIE + TRANSACTION, strict=True)
        )


def test_ipv4_in_ipv6() -> None:
    """On a socket of both families the peer is told its IPv4 address."""
    assert answer(message(), ("::ffff:192.0.2.1", 32853)) == answer(message(), SOURCE)


def test_fingerprint() -> None:
    """Asked with one, answered with one (§7.3); what is in front of it may be passed over."""
    response = answer(fingerprinted(attribute(0x8022, b"phone")), SOURCE)
    assert response is not None
    assert response[:4] == b"\x01\x01\x00\x14"
    assert response[-8:-4] == b"\x80\x28\x00\x04"
    assert int.from_bytes(response[-4:]) == zlib.crc32(response[:-8]) ^ 0x5354554E


def test_optional_attributes() -> None:
    """Those from 0x8000 on may be passed over (§14)."""
    assert answer(message(attribute(0x8022, b"phone")), SOURCE) == answer(message(), SOURCE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        message()[:19],
        message(kind=b"\x01\x01"),  # a response
        message(kind=b"\x00\x11"),  # an indication
        message().replace(MAGIC_COOKIE, b"\x21\x12\xa4\x43"),
        message(length=4),
        message(b"\0\0\0\0", length=0),
        message(b"\x80\x22"),
        message(b"\x80\x22\x00\x05abcd"),
        message(attribute(0x0006, b"user")),  # it asks for more than the address
        message(attribute(0x0003, b"\0\0\0\2")),
        fingerprinted()[:-1] + b"\0",
        fingerprinted()[:-1],
        message(attribute(0x8028, b"")),
    ],
)
def test_silence(data: bytes) -> None:
    assert answer(data, SOURCE) is None


def test_fingerprint_is_last() -> None:
    inner = fingerprinted()[20:]
    assert answer(message(inner + attribute(0x8022, b"")), SOURCE) is None


def test_a_source_without_address() -> None:
    assert answer(message(), ("not an address", 1)) is None


@given(st.binary(max_size=100))
def test_any_bytes(attributes: bytes) -> None:
    """Nothing raises, and with the headers of UDP and IP no answer is twice as long."""
    for data in (attributes, message(attributes), fingerprinted(attributes)):
        for source, headers in ((SOURCE, 28), (("2001:db8::1", 5060), 48)):
            response = answer(data, source)
            assert response is None or len(response) + headers < 2 * (len(data) + headers)
