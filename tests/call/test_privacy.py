"""What leaves and what is heard, as it was agreed: plain, SDES, DTLS-SRTP, and changes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.call.privacy import Privacy
from gateway.rtp.dtls import PATIENCE, Identity
from gateway.rtp.packet import Packet, RtpError, encode
from gateway.sdp.crypto import Crypto
from gateway.sdp.fingerprint import Fingerprint, Peer, Role
from gateway.sdp.security import Dtls, Sdes

OURS, THEIRS = (Identity(datetime(2026, 11, 21, tzinfo=UTC)) for _ in range(2))
REPORT = bytes.fromhex("80c9000100000001")


def packet(sequence: int) -> bytes:
    return encode(Packet(0, sequence, 160 * sequence, 1, bytes(160)))


def line(letter: bytes, suite: str = "AES_CM_128_HMAC_SHA1_80") -> Crypto:
    return Crypto(1, suite, letter * 30)


def sdes(ours: bytes, theirs: bytes) -> tuple[Sdes, Sdes]:
    """As each side sees it."""
    return Sdes(line(ours), line(theirs)), Sdes(line(theirs), line(ours))


def dtls(role: Role, peer: Identity, association: int = 1) -> Dtls:
    return Dtls(role, Peer((Fingerprint(*peer.fingerprint),), "actpass", None), association)


def pair() -> tuple[Privacy, Privacy]:
    return Privacy(OURS), Privacy(THEIRS)


def carry(a: Privacy, b: Privacy, datagrams: list[bytes], now: float = 0.0) -> None:
    """What a sends, and all that comes of it."""
    while datagrams:
        datagrams = [answer for it in datagrams for answer in b.shake(it, now)]
        a, b = b, a


def talk(a: Privacy, b: Privacy, sequence: int) -> bool:
    """Whether each hears the other, and nobody else does."""
    for one, other in ((a, b), (b, a)):
        sent, report = one.seal(packet(sequence)), one.seal_rtcp(REPORT)
        if sent is None or report is None or sent == packet(sequence):
            return False
        if other.open(sent) != packet(sequence) or other.open_rtcp(report) != REPORT:
            return False
    return True


class TestPlain:
    def test_all_passes_as_it_is(self) -> None:
        privacy = Privacy()
        assert privacy.agree(None, 0.0) == []
        assert privacy.ready
        assert privacy.seal(packet(1)) == privacy.open(packet(1)) == packet(1)
        assert privacy.seal_rtcp(REPORT) == privacy.open_rtcp(REPORT) == REPORT
        assert (privacy.suite, privacy.deadline, privacy.failure) == (None, None, None)
        assert (privacy.failed, privacy.replayed) == (0, 0)

    def test_a_handshake_that_nobody_asked_for(self) -> None:
        privacy = Privacy(OURS)
        assert privacy.shake(b"\x16\xfe\xfd" + bytes(50), 0.0) == []
        assert privacy.handle_timer(0.0) == []


class TestSdes:
    def test_both_ways(self) -> None:
        a, b = pair()
        for privacy, security in zip((a, b), sdes(b"a", b"b"), strict=True):
            assert privacy.agree(security, 0.0) == []
        assert talk(a, b, 1)
        assert a.suite == "AES_CM_128_HMAC_SHA1_80"

    def test_forgeries_are_counted_and_no_more(self) -> None:
        a, b = pair()
        for privacy, security in zip((a, b), sdes(b"a", b"b"), strict=True):
            privacy.agree(security, 0.0)
        for _ in range(500):  # a call was ended by 100 of them: CVE-2021-41105
            with pytest.raises(RtpError):
                b.open(packet(2) + bytes(10))
        sent = a.seal(packet(2))
        assert sent is not None
        b.open(sent)
        with pytest.raises(RtpError):
            b.open(sent)
        assert (b.failed, b.replayed) == (500, 1)
        assert talk(a, b, 3)

    def test_what_may_not_leave(self) -> None:
        """A number twice, and what is no packet at all."""
        a, _ = pair()
        a.agree(sdes(b"a", b"b")[0], 0.0)
        assert a.seal(packet(1)) is not None
        assert a.seal(packet(1)) is None
        assert a.seal_rtcp(b"") is None

    def test_the_same_keys_go_on_and_others_begin(self) -> None:
        a, b = pair()
        for sequence in (1, 2):
            for privacy, security in zip((a, b), sdes(b"a", b"b"), strict=True):
                privacy.agree(security, 0.0)
            assert talk(a, b, sequence)
        assert a.seal(packet(2)) is None
        for privacy, security in zip((a, b), sdes(b"c", b"d"), strict=True):
            privacy.agree(security, 0.0)
        assert talk(a, b, 2)

    def test_back_to_plain(self) -> None:
        a, _ = pair()
        a.agree(sdes(b"a", b"b")[0], 0.0)
        a.agree(None, 0.0)
        assert a.seal(packet(1)) == packet(1)

    def test_a_plain_spell_begins_no_key_anew(self) -> None:
        """The same key from its beginning would give away what it hid (RFC 3711 §9.1)."""
        a, _ = pair()
        a.agree(sdes(b"a", b"b")[0], 0.0)
        first = a.seal(packet(1))
        a.agree(None, 1.0)
        assert a.suite is None
        assert a.open(packet(1)) == packet(1)
        a.agree(sdes(b"a", b"b")[0], 2.0)
        assert first is not None
        assert a.seal(packet(1)) is None
        assert a.seal(packet(2)) is not None

    def test_another_party_has_keys_of_her_own(self) -> None:
        a, b = pair()
        for privacy, security in zip((a, b), sdes(b"a", b"b"), strict=True):
            privacy.agree(security, 0.0)
        with pytest.raises(RtpError):
            a.open(packet(1))
        a.forget()
        assert not a.ready
        assert a.seal(packet(2)) is None
        assert a.seal_rtcp(REPORT) is None
        with pytest.raises(RtpError):
            a.open(packet(1))
        a.agree(sdes(b"c", b"d")[0], 1.0)
        assert a.failed == 1
        b.forget()
        b.agree(sdes(b"c", b"d")[1], 1.0)
        assert talk(a, b, 1)


class TestDtls:
    def test_nothing_in_the_clear_before_there_are_keys(self) -> None:
        a, b = pair()
        hello = a.agree(dtls("active", THEIRS), 0.0)
        assert b.agree(dtls("passive", OURS), 0.0) == []
        for privacy in (a, b):
            assert not privacy.ready
            assert privacy.seal(packet(1)) is None
            assert privacy.seal_rtcp(REPORT) is None
            for opened in (privacy.open, privacy.open_rtcp):
                with pytest.raises(RtpError, match="no key yet"):
                    opened(packet(1))
        assert a.deadline == 0.25
        assert a.handle_timer(0.25) == hello
        carry(a, b, hello, 0.3)
        assert talk(a, b, 1)
        assert a.ready
        assert b.deadline is None
        assert a.failure is None

    def test_an_association_that_goes_on(self) -> None:
        a, b = pair()
        b.agree(dtls("passive", OURS), 0.0)
        carry(a, b, a.agree(dtls("active", THEIRS), 0.0))
        assert a.agree(dtls("active", THEIRS), 1.0) == []
        assert b.agree(dtls("passive", OURS), 1.0) == []
        assert talk(a, b, 1)

    def test_a_new_one_leaves_the_former_keys_meanwhile(self) -> None:
        a, b = pair()
        for privacy, security in zip((a, b), sdes(b"a", b"b"), strict=True):
            privacy.agree(security, 0.0)
        hello = a.agree(dtls("active", THEIRS), 1.0)
        b.agree(dtls("passive", OURS), 1.0)
        assert talk(a, b, 1)
        carry(a, b, hello, 1.0)
        assert talk(a, b, 2)
        assert a.suite == "AEAD_AES_128_GCM"
        b.agree(dtls("passive", OURS, 2), 2.0)
        carry(a, b, a.agree(dtls("active", THEIRS, 2), 2.0), 2.0)
        assert talk(a, b, 2)

    def test_a_number_counts_for_one_party_only(self) -> None:
        """Each SIP call counts its associations from 1."""
        a, b = pair()
        assert not a.shakes
        b.agree(dtls("passive", OURS), 0.0)
        carry(a, b, a.agree(dtls("active", THEIRS), 0.0))
        assert a.shakes
        a.forget()
        b.forget()
        b.agree(dtls("passive", OURS), 1.0)
        hello = a.agree(dtls("active", THEIRS), 1.0)
        assert hello
        carry(a, b, hello, 1.0)
        assert talk(a, b, 1)

    def test_after_a_plain_spell_nothing_leaves_under_the_former_keys(self) -> None:
        """The peer has thrown them away, and would hear noise."""
        a, _ = pair()
        a.agree(sdes(b"a", b"b")[0], 0.0)
        a.agree(None, 1.0)
        a.agree(dtls("active", THEIRS), 2.0)
        assert not a.ready

    def test_why_there_are_none(self) -> None:
        a, _ = pair()
        a.agree(dtls("active", THEIRS), 0.0)
        while a.deadline:
            a.handle_timer(a.deadline)
        assert a.failure == "no answer"
        assert a.handle_timer(PATIENCE + 1) == []
        assert a.seal(packet(1)) is None

    def test_without_an_identity(self) -> None:
        with pytest.raises(ValueError, match="certificate"):
            Privacy().agree(dtls("active", THEIRS), 0.0)
