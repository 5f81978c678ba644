"""What a phone sends under keys of SDES or DTLS, read by another one: RFC 3711."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.rtp.dtls import Identity
from gateway.rtp.packet import Packet, RtpError, encode
from gateway.sdp.crypto import Crypto
from gateway.sdp.fingerprint import Fingerprint, Peer
from gateway.sdp.security import Dtls, Keying, Sdes
from gateway.simulator.scrambler import Scrambler, Secrecy

PACKET = encode(Packet(8, 7, 1600, 0x1234, bytes(160)))
REPORT = bytes.fromhex("80c90001 00001234")
SUITE = "AES_CM_128_HMAC_SHA1_80"
LINE = Crypto(1, SUITE, bytes(range(30)))
OTHER = Crypto(1, SUITE, bytes(30))


def test_until_something_is_agreed_all_is_plain() -> None:
    scrambler = Scrambler(None)
    assert scrambler.ready
    assert scrambler.suite is None
    assert scrambler.seal(PACKET) == scrambler.open(PACKET) == PACKET
    assert scrambler.seal_rtcp(REPORT) == scrambler.open_rtcp(REPORT) == REPORT
    assert scrambler.shake(b"x", 0.0) == scrambler.handle_timer(0.0) == []


def test_keys_of_the_signalling_protect_both_ways() -> None:
    one, other = Scrambler(None), Scrambler(None)
    assert one.agree(Sdes(LINE, OTHER), 0.0) == []
    other.agree(Sdes(OTHER, LINE), 0.0)
    assert one.suite == SUITE
    assert other.open(one.seal(PACKET)) == PACKET
    assert one.open_rtcp(other.seal_rtcp(REPORT)) == REPORT
    with pytest.raises(RtpError):
        other.open(PACKET)


def test_a_handshake_gives_keys() -> None:
    now = datetime.now(UTC)
    identities = [Identity(now), Identity(now)]
    one, other = (Scrambler(it) for it in identities)
    prints = [Peer((Fingerprint(*it.fingerprint),), "actpass", None) for it in identities]
    other.agree(Dtls("passive", prints[0], 1), 0.0)
    flight = one.agree(Dtls("active", prints[1], 1), 0.0)
    assert flight
    assert one.agree(Dtls("active", prints[1], 1), 0.1) == []  # the same association
    assert not one.ready
    with pytest.raises(RtpError):
        one.open(PACKET)
    with pytest.raises(RtpError):
        one.open_rtcp(REPORT)
    ends = [other, one]
    while flight:
        flight = [out for data in flight for out in ends[0].shake(data, 0.2)]
        ends.reverse()
    assert other.open(one.seal(PACKET)) == PACKET
    assert one.suite == other.suite
    assert one.handle_timer(9.0) == []


def test_a_phone_may_insist_on_its_role() -> None:
    offer = b"v=0\r\na=setup:actpass\r\n"
    assert Secrecy().offered(offer) == offer
    insisting = Secrecy(Keying("required", random=bytes), role="passive")
    assert insisting.offered(offer) == b"v=0\r\na=setup:passive\r\n"
