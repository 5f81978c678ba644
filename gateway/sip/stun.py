"""A STUN binding request on the SIP port, and its answer (RFC 8489; RFC 5626 §4.4.2).

Pure. That is how phones keep their NAT open over UDP, and see whether it has given them another
address. `answer` is all there is: a value for a sound binding request, silence for everything else.
Left out on purpose: credentials, which the keep-alive does not use (RFC 5626 §8); error responses,
for a request that asks for more than the address; clients of RFC 3489, which know no magic cookie.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from .event import Address
from .scope import parse_ip

MAGIC_COOKIE: Final = b"\x21\x12\xa4\x42"

_REQUEST: Final = b"\x00\x01"  # binding, §18.1
_SUCCESS: Final = b"\x01\x01"
_HEADER: Final = 20  # bytes
_XOR_MAPPED_ADDRESS: Final = 0x0020
_FINGERPRINT: Final = 0x8028
_OPTIONAL: Final = 0x8000  # from here on an attribute may be passed over, §14
_FINGERPRINT_XOR: Final = 0x5354554E


def answer(data: bytes, source: Address) -> bytes | None:
    """The response to a binding request from `source`; None where there is nothing to answer.

    With a fingerprint if the request has one (§7.3, §14.7). With IP and UDP headers it is less than
    twice as long as the shortest request.
    """
    if data[:2] != _REQUEST or data[4:8] != MAGIC_COOKIE or len(data) < _HEADER:
        return None
    attributes = _attributes(data)
    address = _xor_mapped_address(source, data[4:20])
    if attributes is None or address is None:
        return None
    response = _message(data[8:20], address)
    return _with_fingerprint(response) if _FINGERPRINT in attributes else response


def _attributes(data: bytes) -> set[int] | None:
    """The types of all attributes (§5, §14); None where the message is broken or asks for more."""
    if int.from_bytes(data[2:4]) != len(data) - _HEADER:
        return None
    found = set()
    for at, kind, size in _walk(data):
        if at + 4 + size > len(data) or _FINGERPRINT in found or kind < _OPTIONAL:
            return None  # a fingerprint is the last one
        if kind == _FINGERPRINT and data[at:] != _fingerprint(data[:at]):
            return None
        found.add(kind)
    return found


def _walk(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each attribute begins, its type, and the length of its value without padding."""
    at = _HEADER
    while at < len(data):
        size = int.from_bytes(data[at + 2 : at + 4])
        yield at, int.from_bytes(data[at : at + 2]), size
        at += 4 + (size + 3) // 4 * 4


def _xor_mapped_address(source: Address, pattern: bytes) -> bytes | None:
    """The attribute of §14.2: who asks, as we see it. `pattern`: cookie and transaction."""
    ip = parse_ip(source[0].partition("%")[0])  # a link-local one has its interface
    if ip is None:
        return None
    family = b"\x00\x01" if ip.version == 4 else b"\x00\x02"
    hidden = _xor(source[1].to_bytes(2) + ip.packed, pattern[:2] + pattern)
    value = family + hidden
    return _XOR_MAPPED_ADDRESS.to_bytes(2) + len(value).to_bytes(2) + value


def _xor(value: bytes, pattern: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(value, pattern, strict=False))


def _message(transaction: bytes, attributes: bytes) -> bytes:
    return _SUCCESS + len(attributes).to_bytes(2) + MAGIC_COOKIE + transaction + attributes


def _with_fingerprint(message: bytes) -> bytes:
    """The length of the header counts the fingerprint before it is computed (§14.7)."""
    longer = message[:2] + (len(message) - _HEADER + 8).to_bytes(2) + message[4:]
    return longer + _fingerprint(longer)


def _fingerprint(before: bytes) -> bytes:
    value = zlib.crc32(before) ^ _FINGERPRINT_XOR
    return _FINGERPRINT.to_bytes(2) + b"\x00\x04" + value.to_bytes(4)
