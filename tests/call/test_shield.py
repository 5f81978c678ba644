"""What passes one media port: sealed, opened, refused, and the turns of handshakes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from gateway.call.shield import INBOX, STEPS, Handshakes, Shield
from gateway.rtp.dtls import Identity
from gateway.rtp.packet import Packet, encode
from gateway.rtp.port import RtpPort
from gateway.rtp.source import SourceRule
from gateway.sdp.crypto import Crypto
from gateway.sdp.fingerprint import Fingerprint, Peer, Role
from gateway.sdp.security import Dtls, Sdes

PEER = ("192.0.2.7", 4000)
ELSEWHERE = ("203.0.113.66", 4000)
LINES = [Crypto(1, "AES_CM_128_HMAC_SHA1_80", bytes([n]) * 30) for n in (1, 2)]
OURS, THEIRS = (Identity(datetime(2027, 1, 1, tzinfo=UTC)) for _ in range(2))
REPORT = bytes.fromhex("80c90001 00001234")
HELLO = b"\x16\xfe\xff" + bytes(60)


class Port:
    """What left: (datagram, target), RTCP's own port apart."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Any]] = []
        self.controls: list[tuple[bytes, Any]] = []

    def send(self, data: bytes, target: Any) -> bool:
        self.sent.append((data, target))
        return True

    def send_control(self, data: bytes, target: Any) -> bool:
        self.controls.append((data, target))
        return True

    def take(self) -> list[bytes]:
        """The datagrams that left since the last time."""
        taken, self.sent = [data for data, _ in self.sent], []
        return taken


def packet(sequence: int) -> bytes:
    return encode(Packet(8, sequence, 160 * sequence, 0x1234, bytes(160)))


def rule() -> SourceRule:
    return SourceRule("learn", PEER)


def shield(**options: Any) -> tuple[Shield, Port]:
    port = Port()
    return Shield(cast(RtpPort, port), **options), port


def by_dtls(role: Role, peer: Identity, association: int = 1) -> Dtls:
    return Dtls(role, Peer((Fingerprint(*peer.fingerprint),), "actpass", None), association)


def pair() -> tuple[Shield, Port, Shield, Port]:
    """Two that agreed on keys in the signalling."""
    (a, one), (b, other) = shield(), shield()
    a.agree(Sdes(*LINES), rule(), 0.0)
    b.agree(Sdes(*LINES[::-1]), rule(), 0.0)
    return a, one, b, other


class TestPackets:
    def test_nothing_leaves_plain_where_keys_cannot_be_had(self) -> None:
        """DTLS without a certificate of ours is a mistake of ours: it must not open the port."""
        it, _ = shield()
        assert it.plain
        with pytest.raises(ValueError, match="certificate"):
            it.agree(by_dtls("active", THEIRS), rule(), 0.0)
        assert not it.plain
        assert not it.ready

    def test_plain_until_something_else_is_agreed(self) -> None:
        it, port = shield()
        it.send(packet(1), PEER)
        it.send_control(REPORT, PEER, mux=True)
        it.send_control(REPORT, PEER, mux=False)
        assert it.ready
        assert port.sent == [(packet(1), PEER), (REPORT, PEER)]
        assert port.controls == [(REPORT, PEER)]
        for data in (packet(2), REPORT, HELLO, b""):
            assert it.open(data, ELSEWHERE) == data

    def test_sealed_and_opened(self) -> None:
        a, one, b, _ = pair()
        a.send(packet(1), PEER)
        a.send_control(REPORT, PEER, mux=True)
        a.send_control(REPORT, PEER, mux=False)
        sound, report = one.take()
        assert b.open(sound, PEER) == packet(1)
        assert b.open(report, PEER) == REPORT
        ((report, _),) = one.controls
        assert b.open(report, PEER) == REPORT
        assert a.suite == b.suite == LINES[0].suite
        assert set(a.irregularities().values()) == {0}

    def test_what_does_not_authenticate_is_counted(self) -> None:
        a, one, b, _ = pair()
        a.send(packet(1), PEER)
        (sound,) = one.take()
        for data in (packet(1), REPORT, b"", b"\x80", sound[:-1] + b"\0"):
            assert b.open(data, PEER) is None
        assert b.open(sound, PEER) == packet(1)
        assert b.open(sound, PEER) is None
        counts = b.irregularities()
        assert counts["srtp_replayed"] == 1
        assert counts["srtp_failed"] == 5

    def test_no_number_twice(self) -> None:
        """RFC 3711 §9.1: a relay may be given one twice."""
        a, one, _, _ = pair()
        a.send(packet(1), PEER)
        a.send(packet(1), PEER)
        a.send_control(b"", PEER, mux=True)
        assert len(one.sent) == 1
        assert a.irregularities()["srtp_unsent"] == 2

    def test_a_locked_source_spares_the_arithmetic(self) -> None:
        a, one, b, _ = pair()
        source = rule()
        b.agree(Sdes(*LINES[::-1]), source, 0.0)
        source.accept(Packet(8, 1, 0, 1, b""), PEER, 0.0)
        a.send(packet(2), PEER)
        (sound,) = one.take()
        assert b.open(sound, ELSEWHERE) is None
        assert (source.rejected, b.irregularities()["srtp_failed"]) == (1, 0)
        assert b.open(sound, PEER) == packet(2)

    def test_another_party_gets_nothing_before_it_is_agreed_how(self) -> None:
        a, one, b, _ = pair()
        a.open(packet(1), PEER)
        b.send(packet(1), PEER)
        a.forget()
        assert not a.ready
        a.send(packet(1), PEER)
        assert one.sent == []
        assert a.open(packet(1), PEER) is None
        assert a.irregularities() == {
            "srtp_failed": 1,
            "srtp_replayed": 0,
            "srtp_early": 1,
            "srtp_unsent": 1,
            "dtls_from_elsewhere": 0,
        }
        a.agree(None, rule(), 1.0)
        a.send(packet(1), PEER)
        assert one.take() == [packet(1)]
        assert a.suite is None


class Ends:
    """Two ends of a handshake, and the turns of all."""

    def __init__(self) -> None:
        self.turns = Handshakes()
        self.errors: list[Exception] = []
        self.a, self.one = shield(identity=OURS, handshakes=self.turns, broke=self.errors.append)
        self.b, self.other = shield(identity=THEIRS, handshakes=self.turns)

    def shake(self, now: float) -> None:
        """Carry datagrams until there are none."""
        while True:
            sent = [(self.b, it) for it in self.one.take()]
            sent += [(self.a, it) for it in self.other.take()]
            if not sent:
                return
            for end, data in sent:
                assert end.open(data, PEER) is None
            self.turns.tick(now)


class TestHandshake:
    def test_keys_by_dtls(self) -> None:
        ends = Ends()
        a, b = ends.a, ends.b
        b.agree(by_dtls("passive", OURS), rule(), 0.0)
        a.agree(by_dtls("active", THEIRS), rule(), 0.0)
        assert ends.one.sent[0][1] == PEER
        assert not a.ready
        assert a.open(packet(1), PEER) is None
        ends.shake(0.1)
        assert a.ready
        assert b.ready
        a.send(packet(1), PEER)
        (sound,) = ends.one.take()
        assert b.open(sound, PEER) == packet(1)
        assert a.irregularities()["srtp_early"] == 1
        assert not a.due(99.0)

    def test_no_reports_where_a_second_handshake_would_be_needed(self) -> None:
        ends = Ends()
        ends.b.agree(by_dtls("passive", OURS), rule(), 0.0)
        ends.a.agree(by_dtls("active", THEIRS), rule(), 0.0)
        ends.shake(0.1)
        ends.a.send_control(REPORT, PEER, mux=False)
        assert ends.one.controls == []
        ends.a.send_control(REPORT, PEER, mux=True)
        assert ends.b.open(ends.one.take()[0], PEER) == REPORT

    def test_what_got_no_answer_is_repeated_and_given_up(self) -> None:
        ends = Ends()
        ends.a.agree(by_dtls("active", THEIRS), rule(), 0.0)
        (hello,) = ends.one.take()
        ends.turns.tick(0.2)
        assert ends.one.sent == []
        ends.turns.tick(0.25)
        assert ends.one.take() == [hello]
        now = 0.25
        while ends.a.failure is None:
            now += 0.02
            ends.turns.tick(now)
        assert now == pytest.approx(30.0, abs=0.1)
        assert ends.a.failure == "no answer"

    def test_a_peer_that_wants_no_sound_now_is_told_nothing(self) -> None:
        it, port = shield(identity=OURS)
        it.agree(by_dtls("active", THEIRS), SourceRule("learn", None), 0.0)
        assert port.sent == []

    def test_only_from_where_the_peer_may_be(self) -> None:
        ends = Ends()
        ends.b.agree(by_dtls("passive", OURS), rule(), 0.0)
        ends.a.agree(by_dtls("active", THEIRS), rule(), 0.0)
        (hello,) = ends.one.take()
        for _ in range(100):
            assert ends.b.open(hello, ELSEWHERE) is None
        assert not ends.b.due(0.1)
        assert ends.b.irregularities()["dtls_from_elsewhere"] == 100
        behind_nat = (PEER[0], 61000)
        ends.b.open(hello, behind_nat)
        ends.turns.tick(0.1)
        assert {target for _, target in ends.other.sent} == {behind_nat}

    def test_a_flood_has_its_turn_and_no_more(self) -> None:
        """Of each only so much waits, and a tick takes so many steps, one call after another."""
        turns = Handshakes()
        many = [shield(identity=OURS, handshakes=turns) for _ in range(3)]
        for it, _ in many:
            it.agree(by_dtls("passive", THEIRS), rule(), 0.0)
            for _ in range(100):
                it.open(HELLO, PEER)
        ticks = 0
        while any(it.due(0.1) for it, _ in many):
            turns.tick(0.1)
            ticks += 1
        assert ticks == 3 * INBOX / STEPS

    def test_a_call_that_is_over_has_no_turn(self) -> None:
        ends = Ends()
        ends.a.agree(by_dtls("active", THEIRS), rule(), 0.0)
        ends.one.take()
        ends.a.close()
        ends.a.close()
        ends.turns.tick(1.0)
        assert ends.one.sent == []

    def test_what_it_refused_is_told_when_it_is_over(self) -> None:
        """Once, though a call that goes on with somebody else may be closed twice."""
        ends = Ends()
        ends.a.agree(by_dtls("active", THEIRS), rule(), 0.0)
        for closed in range(1, 3):
            ends.a.open(packet(1), PEER)
            ends.a.open(HELLO, ELSEWHERE)
            ends.a.close()
            ends.a.close()
            told = {"srtp_early": closed, "dtls_from_elsewhere": closed}
            assert ends.turns.refused == told

    def test_a_mistake_of_ours_ends_one_call_only(self) -> None:
        ends = Ends()
        ends.a.agree(by_dtls("active", THEIRS), rule(), 0.0)
        ends.b.agree(by_dtls("active", OURS), rule(), 0.0)
        ends.other.take()

        def broken(data: bytes, target: Any) -> bool:
            raise RuntimeError("a bug")

        ends.one.send = broken  # type: ignore[method-assign] # a bug
        ends.turns.tick(0.3)
        assert [str(error) for error in ends.errors] == ["a bug"]
        assert ends.other.sent
