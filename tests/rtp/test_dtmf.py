"""Digits by RFC 4733: each once whatever is lost, and their tone known."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.dtmf import DIGITS, Digit, DigitReceiver, DigitSender, retimed
from gateway.rtp.packet import Packet

START = 16_000


def block(code: int, duration: int, *, end: bool = False) -> bytes:
    return struct.pack("!BBH", code, 0x8A if end else 0x0A, duration)


def event(
    code: int = 5,
    duration: int = 160,
    *,
    end: bool = False,
    at: int = START,
    ssrc: int = 1,
    marker: bool = False,
) -> Packet:
    return Packet(101, 0, at & 0xFFFFFFFF, ssrc, block(code, duration, end=end), marker)


def press(code: int = 5, *, at: int = START, steps: int = 5) -> list[Packet]:
    """A key of steps x 20 ms, as a phone sends it: the last packet three times."""
    durations = [160 * (n + 1) for n in range(steps)]
    packets = [event(code, duration, at=at, marker=n == 0) for n, duration in enumerate(durations)]
    return packets[:-1] + [event(code, durations[-1], end=True, at=at)] * 3


def heard(receiver: DigitReceiver, packets: list[Packet], now: float = 0.0) -> list[Digit]:
    """What comes of packets 20 ms apart, and of the silence behind them."""
    out = []
    for n, packet in enumerate(packets):
        out += receiver.handle_timer(now + n * 0.02)
        out += receiver.receive(packet, now + n * 0.02)
    return out + receiver.handle_timer(now + len(packets) * 0.02 + 1.0)


def begun(digits: list[Digit]) -> str:
    return "".join(digit.digit for digit in digits if not digit.ended)


def receiver() -> DigitReceiver:
    return DigitReceiver(8000, 8000)


class TestOneDigit:
    def test_it_begins_at_its_first_packet_and_ends_at_the_end_bit(self) -> None:
        keys = receiver()
        packets = press()
        assert keys.receive(packets[0], 0.0) == [Digit("5", START, 20, ended=False)]
        for packet in packets[1:4]:
            assert keys.receive(packet, 0.02) == []
        assert keys.receive(packets[4], 0.08) == [Digit("5", START, 100, ended=True)]
        assert keys.deadline is None
        assert heard(keys, packets[5:]) == []

    def test_every_key(self) -> None:
        """§3.2: 0 to 9, star, pound, A to D."""
        keys = receiver()
        packets = [p for code in range(16) for p in press(code, at=START + code * 2000)]
        assert begun(heard(keys, packets)) == DIGITS

    @pytest.mark.parametrize("code", [16, 17, 36, 255])
    def test_what_is_no_key_is_passed_over(self, code: int) -> None:
        """16 is flash; the fax tones come after it."""
        assert heard(receiver(), press(code)) == []

    @pytest.mark.parametrize("lost", range(7))
    def test_any_one_packet_may_be_lost(self, lost: int) -> None:
        """The marker's, or the first end's."""
        packets = press()
        del packets[lost]
        assert heard(receiver(), packets) == [
            Digit("5", START, 40 if lost == 0 else 20, ended=False),
            Digit("5", START, 100, ended=True),
        ]

    @pytest.mark.parametrize("kept", range(7))
    def test_any_one_packet_is_enough(self, kept: int) -> None:
        digits = heard(receiver(), [press()[kept]])
        assert [(digit.digit, digit.ended) for digit in digits] == [("5", False), ("5", True)]

    def test_an_end_that_is_lost_comes_by_the_clock(self) -> None:
        """150 ms without a packet."""
        keys = receiver()
        for n, packet in enumerate(press()[:3]):
            keys.receive(packet, n * 0.02)
        assert keys.deadline == pytest.approx(0.19)
        assert keys.handle_timer(0.18) == []
        assert keys.handle_timer(0.19) == [Digit("5", START, 60, ended=True)]
        assert keys.deadline is None
        # and what still comes of it is no second one
        assert keys.receive(press()[3], 0.3) == []
        assert keys.handle_timer(1.0) == []
        assert keys.receive(press()[4], 1.1) == []
        assert keys.deadline is None

    def test_an_end_that_is_lost_comes_with_the_next_digit(self) -> None:
        keys = receiver()
        keys.receive(event(1), 0.0)
        assert keys.receive(event(2, at=START + 800), 0.1) == [
            Digit("1", START, 20, ended=True),
            Digit("2", START + 800, 20, ended=False),
        ]

    def test_the_same_key_twice_is_two_digits(self) -> None:
        packets = press(7) + press(7, at=START + 1600)
        assert begun(heard(receiver(), packets)) == "77"

    def test_the_order_of_packets_does_not_matter(self) -> None:
        packets = press()
        for seed in range(20):
            random.Random(seed).shuffle(packets)
            assert begun(heard(receiver(), packets)) == "5"

    def test_a_copy_of_an_ended_digit_is_late_not_new(self) -> None:
        first, second = press(1), press(2, at=START + 1600)
        digits = heard(receiver(), [*first[:6], *second[:2], first[6], first[0], *second[2:]])
        assert begun(digits) == "12"


class TestClock:
    def test_the_timestamp_wraps(self) -> None:
        """ "late" is judged modulo 2^32."""
        at = (1 << 32) - 800
        keys = receiver()
        digits = heard(keys, press(1, at=at) + press(2, at=at + 1600) + press(1, at=at))
        assert digits[2] == Digit("2", 800, 20, ended=False)
        assert begun(digits) == "12"

    def test_a_clock_set_anew_is_no_late_copy(self) -> None:
        """More than 5 s back."""
        assert begun(heard(receiver(), press(1, at=90_000) + press(2, at=49_000))) == "12"

    def test_another_ssrc_has_another_clock(self) -> None:
        keys = receiver()
        keys.receive(event(1), 0.0)
        assert keys.receive(event(1, ssrc=2), 0.02) == [
            Digit("1", START, 20, ended=True),
            Digit("1", START, 20, ended=False),
        ]

    def test_durations_follow_the_clock_rate(self) -> None:
        keys = DigitReceiver(48_000, 8000)
        assert heard(keys, [event(1, 4800, end=True)])[1] == Digit("1", START, 100, ended=True)


class TestLongPress:
    """§2.5.1.3: beyond 65,535 a press goes on under a new timestamp, without a marker."""

    def test_segments_are_one_digit(self) -> None:
        keys = receiver()
        packets = [event(9, duration) for duration in range(160, 0x10000, 160)]
        packets += [event(9, 0xFFFF)]
        second = START + 0xFFFF
        packets += [event(9, duration, at=second) for duration in range(160, 0x10000, 160)]
        packets += [event(9, 0xFFFF, at=second)]
        third = second + 0xFFFF
        packets += [event(9, 160, at=third), event(9, 320, at=third, end=True)]
        assert heard(keys, packets) == [
            Digit("9", START, 20, ended=False),
            Digit("9", START, (2 * 0xFFFF + 320) // 8, ended=True),
        ]

    def test_the_last_packets_of_a_segment_may_be_lost(self) -> None:
        packets = [event(9, 160), event(9, 320), event(9, 160, at=START + 0xFFFF)]
        assert begun(heard(receiver(), packets)) == "9"

    def test_a_late_packet_of_an_earlier_segment(self) -> None:
        packets = [event(9, 0xFFFF), event(9, 160, at=START + 0xFFFF), event(9, 0xFFFF)]
        assert begun(heard(receiver(), packets)) == "9"

    def test_another_key_there_is_another_digit(self) -> None:
        packets = [event(9, 0xFFFF), event(8, 160, at=START + 0xFFFF)]
        assert begun(heard(receiver(), packets)) == "98"

    def test_a_key_that_ended_does_not_go_on(self) -> None:
        packets = [event(9, 800, end=True), event(9, 160, at=START + 800)]
        assert begun(heard(receiver(), packets)) == "99"

    def test_a_timestamp_that_creeps_with_the_press_is_one_digit(self) -> None:
        """Not allowed, and seen: it stays within what the press lasted."""
        packets = [event(9, 160 * (n + 1), at=START + 160 * n) for n in range(5)]
        assert begun(heard(receiver(), packets)) == "9"

    def test_sixteen_bits_that_wrap_in_place(self) -> None:
        """As some do instead of segmenting."""
        packets = [event(9, 65_440), event(9, 64), event(9, 1000, end=True)]
        assert heard(receiver(), packets)[-1] == Digit("9", START, (65_536 + 1000) // 8, ended=True)


@pytest.mark.parametrize("longest", [0xFFFF, 64_320, 960 * 62])
class TestLongPressAt48kHz:
    """There a segment is 1.37 s at most; some senders end it with a whole packet before that."""

    def press(self, longest: int, seconds: float = 5.0) -> list[Packet]:
        """One packet each 20 ms, the last three times."""
        packets, before = [], 0
        steps = round(seconds * 50)
        for step in range(1, steps + 1):
            duration = 960 * step - before
            if duration > longest:
                packets.append(event(4, longest, at=START + before))
                before += longest
                duration -= longest
            packets.append(event(4, duration, at=START + before, end=step == steps))
        return packets + packets[-1:] * 2

    def test_it_is_one_digit(self, longest: int) -> None:
        digits = heard(DigitReceiver(48_000, 48_000), self.press(longest))
        assert [(it.digit, it.ended) for it in digits] == [("4", False), ("4", True)]
        assert digits[1].duration_ms == 5000

    @pytest.mark.parametrize("loss", [0.05, 0.2])
    def test_whatever_is_lost(self, longest: int, loss: float) -> None:
        for seed in range(100):
            dice = random.Random(seed)
            packets = [it for it in self.press(longest) if dice.random() > loss]
            assert begun(heard(DigitReceiver(48_000, 48_000), packets)) == "4"

    def test_the_same_key_again_is_another_digit(self, longest: int) -> None:
        """1.3 s after the first began, of which no end came."""
        first = [event(4, 960 * step) for step in range(1, 5)]
        again = [event(4, 960 * step, at=START + longest - 1) for step in range(1, 6)]
        keys = DigitReceiver(48_000, 48_000)
        digits = heard(keys, first) + heard(keys, again, now=1.3)
        assert begun(digits) == "44"


class TestPayload:
    def test_several_events_in_one_packet_follow_each_other(self) -> None:
        """§2.1: each begins where the one before ended."""
        payload = block(1, 800, end=True) + block(2, 800, end=True) + block(3, 160)
        digits = receiver().receive(Packet(101, 0, START, 1, payload), 0.0)
        assert [(digit.digit, digit.timestamp, digit.ended) for digit in digits] == [
            ("1", START, False),
            ("1", START, True),
            ("2", START + 800, False),
            ("2", START + 800, True),
            ("3", START + 1600, False),
        ]

    @pytest.mark.parametrize("rest", [b"", b"\0", b"\0\0\0", b"\0\0\0\0"])
    def test_what_is_left_over_is_no_event(self, rest: bytes) -> None:
        packet = Packet(101, 0, START, 1, block(1, 160) + rest)
        assert begun(receiver().receive(packet, 0.0)) == "1"

    @pytest.mark.parametrize("payload", [b"", b"\5", b"\5\x0a\0"])
    def test_too_short_is_nothing(self, payload: bytes) -> None:
        assert receiver().receive(Packet(101, 0, START, 1, payload), 0.0) == []

    def test_a_packet_full_of_events_is_cut_short(self) -> None:
        packet = Packet(101, 0, START, 1, block(1, 800, end=True) * 300)
        assert begun(receiver().receive(packet, 0.0)) == "1111"


class TestLoss:
    """The rates of the table for a 100 ms key: only a key of which nothing came is missed."""

    def missed(self, *, loss: float, burst: int) -> float:
        dice = random.Random(5)
        total, wrong, losing = 3000, 0, 0
        keys = receiver()
        got = ""
        expected = ""
        for n in range(total):
            code = n % 10
            arrived = []
            for packet in press(code, at=START + n * 1600):
                if not losing and dice.random() < loss / burst:
                    losing = burst
                if losing:
                    losing -= 1
                else:
                    arrived.append(packet)
            got += begun(heard(keys, arrived, now=n * 2.0))
            expected += DIGITS[code] if arrived else ""
            wrong += not arrived
        assert got == expected  # every digit of which a packet came, once
        return wrong / total

    def test_random(self) -> None:
        assert self.missed(loss=0.05, burst=1) == 0
        assert self.missed(loss=0.20, burst=1) < 0.001

    def test_in_bursts_of_three(self) -> None:
        assert self.missed(loss=0.05, burst=3) < 0.001
        assert self.missed(loss=0.20, burst=3) < 0.002


class TestTone:
    def test_audio_beside_an_event_is_covered_to_40_ms_behind_it(self) -> None:
        keys = receiver()
        assert not keys.covers(START, 160, 0.0)
        for packet in press():
            keys.receive(packet, 0.0)
        assert not keys.covers(START - 160, 160, 0.0)
        assert keys.covers(START - 159, 160, 0.0)
        assert keys.covers(START + 640, 160, 0.0)
        assert keys.covers(START + 800 + 319, 160, 0.0)
        assert not keys.covers(START + 800 + 320, 160, 0.0)

    def test_an_event_that_has_not_ended_goes_on(self) -> None:
        keys = receiver()
        keys.receive(event(), 0.0)
        assert keys.covers(START + 1000, 160, 0.1)
        keys.handle_timer(0.15)
        assert not keys.covers(START + 1000, 160, 0.15)
        keys.receive(event(5, 1120), 0.2)  # it does go on, after a burst of loss
        assert keys.covers(START + 2000, 160, 0.2)
        assert keys.handle_timer(0.4) == []
        assert not keys.covers(START + 2000, 160, 0.4)

    def test_over_the_wrap(self) -> None:
        keys = receiver()
        for packet in press(at=(1 << 32) - 400):
            keys.receive(packet, 0.0)
        assert keys.covers((1 << 32) - 160, 160, 0.0)
        assert keys.covers(400, 160, 0.0)
        assert not keys.covers(800, 160, 0.0)

    def test_events_of_the_past_are_forgotten(self) -> None:
        keys = receiver()
        for packet in press():
            keys.receive(packet, 0.0)
        assert not keys.covers(START + 30_000, 160, 4.0)
        assert not keys.covers(START, 160, 4.0)

    def test_two_digits_close_together(self) -> None:
        keys = receiver()
        for packet in press(1) + press(2, at=START + 1440):
            keys.receive(packet, 0.0)
        assert keys.covers(START + 1000, 160, 0.0)
        assert not keys.covers(START + 1120, 160, 0.0)
        assert keys.covers(START + 1440, 160, 0.0)

    def test_with_two_clocks_the_arrival_counts(self) -> None:
        """Events at 48 kHz beside audio at 8 kHz: their timestamps have nothing in common."""
        keys = DigitReceiver(48_000, 8000)
        packets = press()
        assert not keys.covers(0, 160, 0.0)
        keys.receive(packets[0], 1.0)
        assert keys.covers(123, 160, 1.1)
        keys.receive(packets[-1], 1.1)
        assert keys.covers(123, 160, 1.13)
        assert not keys.covers(123, 160, 1.15)


class TestSender:
    def sent(self, digits: str, ticks: int, *, rate: int = 8000, ptime: int = 20) -> list[Packet]:
        """The event packets of so many ticks, in a stream at sequence 10, timestamp 5000."""
        sender = DigitSender(101, rate, ptime=ptime)
        sender.push(digits)
        step = rate * ptime // 1000
        packets = [sender.next_packet(10 + n, 5000 + n * step, 7) for n in range(ticks)]
        assert not sender.busy
        return [packet for packet in packets if packet]

    def test_a_digit(self) -> None:
        """§2.5.1: marker on the first, one timestamp, growing duration, three ends."""
        assert self.sent("5", 12) == [
            Packet(101, 10, 5000, 7, block(5, 160), True),
            Packet(101, 11, 5000, 7, block(5, 320)),
            Packet(101, 12, 5000, 7, block(5, 480)),
            Packet(101, 13, 5000, 7, block(5, 640)),
            Packet(101, 14, 5000, 7, block(5, 800, end=True)),
            Packet(101, 15, 5000, 7, block(5, 800, end=True)),
            Packet(101, 16, 5000, 7, block(5, 800, end=True)),
        ]

    def test_several_digits_with_a_pause_between(self) -> None:
        packets = self.sent("1#d", 36)
        assert [(p.sequence, p.timestamp) for p in packets if p.marker] == [
            (10, 5000),
            (22, 5000 + 12 * 160),
            (34, 5000 + 24 * 160),
        ]
        assert begun(heard(receiver(), packets)) == "1#D"

    def test_other_clocks_and_packet_times(self) -> None:
        packets = self.sent("1", 12, rate=48_000, ptime=60)
        assert [packet.payload for packet in packets] == [block(1, 2880, end=True)] * 3

    def test_what_is_no_key_is_our_mistake(self) -> None:
        with pytest.raises(ValueError, match="not found"):
            DigitSender(101, 8000).push("12x")

    def test_nothing_to_send(self) -> None:
        sender = DigitSender(101, 8000)
        assert not sender.busy
        assert sender.next_packet(1, 2, 3) is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, (1 << 32) - 1) | st.integers(0, 2000),
            st.binary(max_size=12),
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_whatever_comes_every_begin_has_one_end(packets: list[tuple[int, bytes, bool]]) -> None:
    keys = receiver()
    digits = []
    for n, (timestamp, payload, other) in enumerate(packets):
        digits += keys.receive(Packet(101, n, timestamp, int(other), payload), n * 0.02)
        keys.covers(timestamp, 160, n * 0.02)
    digits += keys.handle_timer(100.0)
    assert [digit.ended for digit in digits] == [False, True] * (len(digits) // 2)
    assert [d.timestamp for d in digits[::2]] == [d.timestamp for d in digits[1::2]]


@pytest.mark.parametrize(
    ("payload", "clock_rate", "wanted", "there"),
    [
        (b"\x05\x8a\x01\x40", 8000, 48000, b"\x05\x8a\x07\x80"),
        (b"\x05\x8a\x07\x80", 48000, 8000, b"\x05\x8a\x01\x40"),
        (b"\x05\x8a\xff\xff", 48000, 8000, b"\x05\x8a\x2a\xaa"),
        (b"\x05\x8a\x01", 8000, 48000, b"\x05\x8a\x01"),
        (b"\x05\x8a\x01\x40more", 8000, 8000, b"\x05\x8a\x01\x40more"),
    ],
)
def test_at_another_clock(payload: bytes, clock_rate: int, wanted: int, there: bytes) -> None:
    """§2.1: a duration is in units of its stream's clock."""
    assert retimed(payload, clock_rate, wanted) == (there, 0)


def test_a_long_press_at_a_faster_clock_is_segments() -> None:
    """§2.5.1.3: each says its longest duration, without E; the next begins where it ended."""
    ends = []
    keys = DigitReceiver(48_000, 48_000)
    digits = []
    for step in range(1, 401):  # 8 s
        last = step == 400
        payload, later = retimed(block(7, 160 * step, end=last), 8000, 48_000)
        duration = int.from_bytes(payload[2:], "big")
        if duration == 0xFFFF:
            ends.append(later)
            assert not payload[1] & 0x80
        else:
            assert later + duration == 960 * step
        packet = Packet(101, step, START + later, 1, payload)
        digits += keys.receive(packet, step * 0.02)
    assert sorted(set(ends)) == [0xFFFF * n for n in range(5)]
    assert [(it.digit, it.ended, it.duration_ms) for it in digits] == [
        ("7", False, 20),
        ("7", True, 8000),
    ]
