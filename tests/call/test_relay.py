"""Two parties joined: what one side sends, as the other one gets it."""

from __future__ import annotations

from typing import Any

from gateway.audio.g711 import codec
from gateway.call.downlink import Start
from gateway.call.record import RtpCounts
from gateway.call.relay import HOLD_TIMEOUT, Relay, Side
from gateway.rtp.dtmf import DigitReceiver
from gateway.rtp.packet import Packet, encode, parse
from gateway.rtp.source import SourceRule

from .talk import PCMA, PCMU, PHONE, media

FRAME = 160  # units of 20 ms

TARGET = ("198.51.100.9", 6000)
STRANGER = ("203.0.113.9", 4000)
SOUND = bytes(range(160))


class Pair:
    """A caller (our stream: SSRC 7) and a target (SSRC 8); the caller sends as SSRC 99."""

    def __init__(self, caller: dict[str, Any] | None = None, target: dict[str, Any] | None = None):
        self.now = 100.0
        self.caller = Side(
            media(**(caller or {})), SourceRule("sdp", PHONE), Start(7, 65534, 5000), self.now
        )
        self.target = Side(
            media(**{"remote": TARGET, **(target or {})}),
            SourceRule("sdp", TARGET),
            Start(8, 200, 9000),
            self.now,
        )
        self.relay = Relay(self.caller, self.target, rtp_timeout=30.0)

    def send(self, n: int, **values: Any) -> Packet | None:
        """Frame n of the caller, 20 ms each; what the target gets."""
        self.now = 100.0 + n * 0.02
        sent = Packet(0, (1000 + n) & 0xFFFF, 80_000 + n * FRAME, 99, SOUND)._replace(**values)
        passed = self.relay.pass_on(self.caller, encode(sent), PHONE, self.now)
        return None if passed is None else parse(passed)


def places(packets: list[Packet | None]) -> list[tuple[int, int]]:
    assert all(packets)
    return [(packet.sequence, packet.timestamp) for packet in packets if packet]


class TestStream:
    """RFC 3550 §5.1: one stream of ours towards each side, whatever comes from the other."""

    def test_it_steps_as_the_senders_does(self) -> None:
        pair = Pair()
        packets = [pair.send(n) for n in range(3)]
        assert places(packets) == [(200, 9000), (201, 9160), (202, 9320)]
        assert {packet.ssrc for packet in packets if packet} == {8}
        assert [packet.marker for packet in packets if packet] == [True, False, False]

    def test_what_was_lost_or_overtaken_is_lost_or_overtaken(self) -> None:
        """The listener conceals and orders; we would only add delay."""
        pair = Pair()
        packets = [pair.send(n) for n in (0, 3, 2, 3)]
        assert [place[0] for place in places(packets)] == [200, 203, 202, 203]

    def test_another_stream_goes_on_where_the_first_ended(self) -> None:
        pair = Pair()
        pair.send(0)
        pair.send(1)
        pair.send(50, ssrc=77, sequence=5, timestamp=1)  # implausible until the next one proves it
        packet = pair.send(51, ssrc=77, sequence=6, timestamp=161)
        assert packet
        assert packet.marker
        assert (packet.sequence, packet.ssrc) == (202, 8)
        assert packet.timestamp == 9160 + 50 * FRAME  # a second later

    def test_a_jump_in_the_sequence_is_another_stream(self) -> None:
        pair = Pair()
        pair.send(0)
        pair.send(1, sequence=40_000)
        packet = pair.send(2, sequence=40_001, timestamp=7)
        assert places([packet]) == [(201, 9000 + 2 * FRAME)]

    def test_the_model_may_take_the_stream_back(self) -> None:
        pair = Pair()
        for n in range(5):
            pair.send(n)
        assert pair.target.stand(pair.now + 0.02) == Start(8, 205, 9000 + 5 * FRAME)
        assert pair.caller.stand(100.0) == Start(7, 65534, 5000)  # nothing was passed on

    def test_numbers_wrap(self) -> None:
        pair = Pair()
        sound = [Packet(8, n, 0xFFFFFFF0 + n * FRAME, 55, SOUND) for n in range(4)]
        passed = [pair.relay.pass_on(pair.target, encode(it), TARGET, 100.0) for it in sound]
        packets = [parse(it) for it in passed if it]
        assert [packet.sequence for packet in packets] == [65534, 65535, 0, 1]
        assert [packet.timestamp for packet in packets] == [5000 + n * FRAME for n in range(4)]


class TestPayload:
    def test_one_codec_on_both_sides_is_untouched(self) -> None:
        """With the number that the other side has for it."""
        dynamic = PCMU.__class__("PCMU", 96, 8000)
        pair = Pair(target={"codec": dynamic, "accepted": {96: dynamic}})
        packet = pair.send(0)
        assert packet
        assert (packet.payload_type, packet.payload) == (96, SOUND)

    def test_two_codecs_are_translated(self) -> None:
        pair = Pair(target={"codec": PCMA, "accepted": {8: PCMA}})
        packet = pair.send(0)
        assert packet
        assert packet.payload_type == 8
        assert packet.payload == codec("PCMA").encode(codec("PCMU").decode(SOUND))

    def test_a_digit_gets_the_other_sides_number(self) -> None:
        """RFC 4733 §2.1: its packets keep one timestamp."""
        pair = Pair(target={"event_payload_type": 96})
        pair.send(0)
        start = 80_000 + FRAME
        event = bytes([5, 10, 0, 160])
        packets = [
            pair.send(n, payload_type=101, timestamp=start, payload=event, marker=n == 1)
            for n in range(1, 8)
        ]
        assert {packet.payload_type for packet in packets if packet} == {96}
        assert {packet.payload for packet in packets if packet} == {event}
        assert places(packets) == [(200 + n, 9160) for n in range(1, 8)]
        assert [packet.marker for packet in packets if packet] == [True] + 6 * [False]
        assert places([pair.send(8)]) == [(208, 9000 + 8 * FRAME)]

    def test_what_the_other_side_does_not_know_leaves_no_hole(self) -> None:
        pair = Pair(target={"event_payload_type": None})
        pair.send(0)
        assert pair.send(1, payload_type=101) is None
        assert pair.send(2, payload_type=13) is None  # comfort noise
        assert places([pair.send(3)]) == [(201, 9000 + 3 * FRAME)]

    def test_a_digit_at_another_clock_is_dropped(self) -> None:
        packet = Pair(target={"event_clock_rate": 48000}).send(
            0, payload_type=101, payload=b"\x05\x8a\x01\x40"
        )
        assert packet
        assert packet.payload == b"\x05\x8a\x07\x80"  # 320 units are 1,920 there

    def test_a_long_key_at_a_faster_clock_goes_on_in_segments(self) -> None:
        """RFC 4733 §2.5.1.3: 2 s are more than a duration at 48 kHz can say."""
        pair = Pair(target={"event_clock_rate": 48000})
        keys, digits = DigitReceiver(48000, 8000), []
        for n in range(1, 101):
            payload = bytes([5, (n == 100) << 7 | 10]) + (FRAME * n).to_bytes(2, "big")
            packet = pair.send(n, payload_type=101, timestamp=80_160, payload=payload)
            assert packet
            digits += keys.receive(packet, pair.now)
        assert [(it.digit, it.ended, it.duration_ms) for it in digits] == [
            ("5", False, 20),
            ("5", True, 2000),
        ]


class TestDirection:
    """RFC 3264 §8.4: each side is held and resumed for itself."""

    def test_nothing_goes_to_who_is_on_hold(self) -> None:
        pair = Pair()
        pair.send(0)
        pair.target.renegotiate(media(remote=TARGET, sending=False), pair.now)
        assert [pair.send(n) for n in range(1, 100)] == 99 * [None]
        pair.target.renegotiate(media(remote=TARGET), pair.now)
        packet = pair.send(100)
        assert packet
        assert packet.marker
        assert places([packet]) == [(201, 9000 + 100 * FRAME)]  # no loss, and no time is missing

    def test_nothing_is_taken_from_who_only_listens(self) -> None:
        pair = Pair()
        pair.send(0)
        pair.caller.renegotiate(media(receiving=False), pair.now)
        assert pair.send(1) is None
        pair.caller.renegotiate(media(), pair.now)
        assert places([pair.send(2)]) == [(201, 9000 + 2 * FRAME)]

    def test_nothing_goes_nowhere(self) -> None:
        pair = Pair()
        pair.target.source.resignal(None)
        assert pair.send(0) is None

    def test_the_media_may_move(self) -> None:
        pair = Pair()
        moved = ("192.0.2.7", 4444)
        pair.caller.renegotiate(media(remote=moved), pair.now)
        assert pair.caller.source.target == moved
        assert pair.caller.media.remote == moved


class TestSource:
    def test_only_the_party_is_heard(self) -> None:
        pair = Pair()
        sound = encode(Packet(0, 1, 1, 1, SOUND))
        for data, source in ((sound, STRANGER), (b"no RTP", PHONE)):
            assert pair.relay.pass_on(pair.caller, data, source, 100.0) is None
        assert pair.relay.pass_on(pair.caller, b"\x80\xc8\x00\x00", PHONE, 100.0) is None  # RTCP
        assert pair.caller.ignored == 2
        assert pair.caller.reception.received == 0

    def test_packets_are_counted(self) -> None:
        pair = Pair()
        for n in (0, 1, 3):
            pair.send(n)
        assert (pair.caller.reception.received, pair.caller.reception.lost) == (3, 1)
        assert (pair.target.sent, pair.caller.sent) == (3, 0)
        assert pair.caller.counts() == RtpCounts(sent=0, received=3, lost=1)


class TestSilence:
    def test_the_side_that_is_silent_longest_is_given_up(self) -> None:
        pair = Pair()
        pair.send(500)
        assert pair.relay.silent_at == 100 + 30  # the target said nothing yet
        pair.relay.pass_on(pair.target, encode(Packet(8, 1, 1, 1, SOUND)), TARGET, 140.0)
        assert pair.relay.silent_at == 110 + 30

    def test_a_side_on_hold_may_be_silent(self) -> None:
        pair = Pair()
        for side, remote in ((pair.caller, PHONE), (pair.target, TARGET)):
            side.renegotiate(media(remote=remote, sending=False), 200.0)
        assert pair.relay.silent_at == 200 + HOLD_TIMEOUT

    def test_none_is_given_up_where_that_is_not_wanted(self) -> None:
        pair = Pair()
        assert Relay(pair.caller, pair.target, rtp_timeout=0).silent_at is None


def test_each_side_has_another() -> None:
    pair = Pair()
    assert pair.relay.other(pair.caller) is pair.target
    assert pair.relay.other(pair.target) is pair.caller
