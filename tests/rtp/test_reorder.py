"""Packets in order and missing time named: what passes, what waits, and that time is exact."""

from __future__ import annotations

import random

import pytest

from gateway.rtp.packet import Packet, timestamp_delta
from gateway.rtp.reorder import Gap, Reorder

FRAME = 160  # timestamp units in 20 ms


def sound(n: int, *, first: int = 0, start: int = 0, frame: int = FRAME, ssrc: int = 1) -> Packet:
    """The n-th packet of a stream that begins with sequence `first` and timestamp `start`."""
    timestamp = (start + n * frame) & 0xFFFFFFFF
    return Packet(0, (first + n) & 0xFFFF, timestamp, ssrc, bytes(frame))


def push(reorder: Reorder, *packets: Packet, now: float = 0.0) -> list[Packet | Gap]:
    """Push packets of sound at one moment; everything that comes out."""
    return [out for packet in packets for out in reorder.push(packet, len(packet.payload), now)]


def counts(reorder: Reorder) -> tuple[int, int, int]:
    return reorder.lost, reorder.late, reorder.duplicates


class TestOrder:
    def test_what_is_next_passes_at_once(self) -> None:
        reorder = Reorder(8000)
        for n in range(5):
            assert reorder.push(sound(n), FRAME, n * 0.02) == [sound(n)]
            assert reorder.deadline is None

    def test_a_packet_behind_a_hole_waits_for_the_missing_one(self) -> None:
        reorder = Reorder(8000)
        push(reorder, sound(0))
        assert reorder.push(sound(2), FRAME, 0.03) == []
        assert reorder.deadline == pytest.approx(0.09)
        assert reorder.push(sound(1), FRAME, 0.05) == [sound(1), sound(2)]
        assert reorder.deadline is None
        assert counts(reorder) == (0, 0, 0)

    def test_a_hole_is_given_up_after_60_ms(self) -> None:
        reorder = Reorder(8000)
        push(reorder, sound(0))
        assert reorder.push(sound(2), FRAME, 1.0) == []
        assert reorder.handle_timer(1.059) == []
        assert reorder.handle_timer(1.06) == [Gap(160, 160, lost=True), sound(2)]
        assert reorder.deadline is None
        assert counts(reorder) == (1, 0, 0)
        assert reorder.bursts == 1

    def test_or_by_the_packet_that_comes_then(self) -> None:
        """Whoever asks for the time may ask later."""
        reorder = Reorder(8000)
        push(reorder, sound(0))
        assert reorder.push(sound(2), FRAME, 0.040) == []
        assert reorder.push(sound(3), FRAME, 0.101) == [
            Gap(160, 160, lost=True), sound(2), sound(3)
        ]  # fmt: skip

    def test_a_burst_that_comes_at_once_is_sorted(self) -> None:
        """No time has passed, so 40 ms of later sound prove nothing, also where 20 are the hold."""
        path = Path()
        path.overtaken(31.0, 0.0)
        assert path.reorder.hold == 0.02
        n = path.next
        later = [sound(n + 1), sound(n + 2), sound(n)]
        assert push(path.reorder, *later, now=32.0) == [sound(n), sound(n + 1), sound(n + 2)]

    def test_a_hole_is_given_up_behind_60_ms_of_sound(self) -> None:
        reorder = Reorder(8000)
        assert push(reorder, *(sound(n) for n in (0, 2, 3))) == [sound(0)]
        assert push(reorder, sound(4)) == [Gap(160, 160, lost=True), sound(2), sound(3), sound(4)]

    def test_long_packets_wait_for_one_more(self) -> None:
        """With 60 ms in a packet the first one behind a hole would leave no time to sort."""
        reorder = Reorder(8000)
        assert push(reorder, *(sound(n, frame=480) for n in (0, 2))) == [sound(0, frame=480)]
        assert push(reorder, sound(1, frame=480)) == [sound(1, frame=480), sound(2, frame=480)]

    def test_the_second_hole_has_its_own_time(self) -> None:
        reorder = Reorder(8000)
        push(reorder, sound(0))
        reorder.push(sound(2), FRAME, 0.00)
        reorder.push(sound(4), FRAME, 0.03)
        assert reorder.handle_timer(0.06) == [Gap(160, 160, lost=True), sound(2)]
        assert reorder.deadline == pytest.approx(0.09)
        assert reorder.handle_timer(0.09) == [Gap(480, 160, lost=True), sound(4)]
        assert reorder.bursts == 2

    def test_one_late_call_gives_up_all_that_is_due(self) -> None:
        reorder = Reorder(8000)
        push(reorder, sound(0), sound(2), sound(4))
        assert reorder.handle_timer(9.0) == [
            Gap(160, 160, lost=True), sound(2), Gap(480, 160, lost=True), sound(4)
        ]  # fmt: skip

    def test_a_late_packet_is_dropped_and_is_no_longer_lost(self) -> None:
        reorder = Reorder(8000)
        push(reorder, sound(0), sound(2))
        reorder.handle_timer(1.0)
        assert push(reorder, sound(1)) == []
        assert counts(reorder) == (0, 1, 0)
        assert push(reorder, sound(1)) == []
        assert counts(reorder) == (0, 1, 1)

    def test_duplicates_are_dropped(self) -> None:
        """Of what was delivered, and of what waits."""
        reorder = Reorder(8000)
        assert push(reorder, sound(0), sound(0), sound(2), sound(2)) == [sound(0)]
        assert push(reorder, sound(1), sound(1)) == [sound(1), sound(2)]
        assert counts(reorder) == (0, 0, 3)

    def test_packets_without_sound_cannot_pile_up(self) -> None:
        reorder = Reorder(8000)
        push(reorder, sound(0))
        for n in range(2, 200):
            reorder.push(sound(n, frame=0), 0, 0.0)
        assert reorder.deadline is None
        assert reorder.lost == 1


class TestTime:
    def test_both_numbers_wrap(self) -> None:
        """A stream that begins at 65,500 and 2^32 - 800."""
        reorder = Reorder(8000)
        start = (1 << 32) - 800
        packets = [sound(n, first=65_500, start=start) for n in range(100)]
        assert push(reorder, *packets[:34], *packets[35:80]) == [
            *packets[:34],
            Gap(packets[34].timestamp, 160, lost=True),
            *packets[35:80],
        ]
        assert push(reorder, *packets[80:]) == packets[80:]

    def test_a_gap_over_the_wrap(self) -> None:
        reorder = Reorder(8000)
        start = (1 << 32) - 160
        packets = [sound(n, first=65_535, start=start) for n in range(5)]
        assert push(reorder, packets[0], *packets[2:]) == [
            packets[0],
            Gap(0, 160, lost=True),
            *packets[2:],
        ]

    @pytest.mark.parametrize("marker", [False, True])
    def test_silence_that_was_not_sent(self, marker: bool) -> None:
        """The timestamp jumped and the sequence did not: nothing is lost."""
        reorder = Reorder(8000)
        push(reorder, sound(0))
        after = Packet(0, 1, 160 + 1600, 1, bytes(FRAME), marker)
        assert push(reorder, after) == [Gap(160, 1600, lost=False), after]
        assert counts(reorder) == (0, 0, 0)

    def test_packets_of_any_length(self) -> None:
        """ptime may change in mid-call."""
        reorder = Reorder(8000)
        packets = [
            Packet(0, 0, 0, 1, bytes(160)),
            Packet(0, 1, 160, 1, bytes(240)),
            Packet(0, 2, 400, 1, bytes(80)),
            Packet(0, 4, 640, 1, bytes(480)),
            Packet(0, 5, 1120, 1, bytes(160)),
        ]
        assert push(reorder, *packets) == [*packets[:3], Gap(480, 160, lost=True), *packets[3:]]

    def test_half_a_second_is_the_longest_gap(self) -> None:
        reorder = Reorder(8000)
        push(reorder, sound(0))
        after = Packet(0, 1, 160 + 4000, 1, bytes(FRAME))
        assert push(reorder, after) == [Gap(160, 4000, lost=False), after]
        later = Packet(0, 2, after.timestamp + 160 + 4001, 1, bytes(FRAME))
        assert push(reorder, later) == [later]
        assert push(reorder, sound(0, first=3, start=later.timestamp + 160)) != []

    @pytest.mark.parametrize(
        ("passed", "confirmed"),
        [(60.02, True), (60.3, True), (59.75, True), (60.4, False), (59.6, False), (0.02, False)],
    )
    def test_a_longer_pause_is_one_where_the_clock_confirms_it(
        self, passed: float, confirmed: bool
    ) -> None:
        """A minute on mute, up to 1,000 ppm and 200 ms of jitter off; else it was set anew."""
        reorder = Reorder(8000)
        reorder.push(sound(0), FRAME, 5.0)
        after = Packet(0, 1, 160 + 480_000, 1, bytes(FRAME))
        gap = [Gap(160, 480_000, lost=False)] if confirmed else []
        assert reorder.push(after, FRAME, 5.0 + passed) == [*gap, after]

    def test_so_is_a_longer_loss(self) -> None:
        reorder = Reorder(8000)
        reorder.push(sound(0), FRAME, 5.0)
        reorder.push(sound(101), FRAME, 7.02)
        assert reorder.push(sound(102), FRAME, 7.04) == []
        assert reorder.push(sound(103), FRAME, 7.06) == [
            Gap(160, 16_000, lost=True), sound(101), sound(102), sound(103)
        ]  # fmt: skip

    def test_a_timestamp_that_goes_back_is_a_new_beginning(self) -> None:
        reorder = Reorder(8000)
        push(reorder, sound(100, first=-100))
        again = [sound(0, first=1), sound(1, first=1)]
        assert push(reorder, *again) == again

    def test_lost_digits_leave_no_hole_in_the_sound(self) -> None:
        """The sequence jumped, the timestamp did not; and the next gap is judged afresh."""
        reorder = Reorder(8000)
        push(reorder, sound(0))
        resumed = [sound(1, first=3), sound(2, first=3), sound(3, first=3)]
        assert push(reorder, *resumed) == resumed
        after = Packet(0, 7, 640 + 80, 1, bytes(FRAME))
        assert push(reorder, after) == [Gap(640, 80, lost=False), after]
        assert reorder.lost == 3


class TestDigits:
    def test_they_keep_the_sequence_and_not_the_time(self) -> None:
        """RFC 4733 §2.1: an event's packets all have the timestamp of its start."""
        reorder = Reorder(8000)
        push(reorder, sound(0))
        for n in range(1, 9):
            event = Packet(101, n, 160, 1, bytes(4))
            assert reorder.push(event, 0, n * 0.02) == []
            assert reorder.deadline is None
        after = Packet(0, 9, 160 + 8 * 160, 1, bytes(FRAME))
        assert reorder.push(after, FRAME, 0.18) == [Gap(160, 8 * 160, lost=False), after]

    def test_a_call_may_begin_with_them(self) -> None:
        reorder = Reorder(8000)
        assert reorder.push(Packet(101, 7, 5, 1, bytes(4)), 0, 0.0) == []
        assert push(reorder, sound(8, start=999)) == [sound(8, start=999)]

    def test_they_close_holes_and_open_them(self) -> None:
        reorder = Reorder(8000)
        push(reorder, sound(0))
        assert reorder.push(Packet(101, 2, 160, 1, bytes(4)), 0, 0.0) == []
        assert push(reorder, Packet(0, 3, 480, 1, bytes(FRAME))) == []
        assert reorder.push(Packet(101, 1, 160, 1, bytes(4)), 0, 0.0) == [
            Gap(160, 320, lost=False),
            Packet(0, 3, 480, 1, bytes(FRAME)),
        ]

    def test_lost_behind_a_digit(self) -> None:
        """What is lost next to a digit may have been sound: the gap is lost."""
        reorder = Reorder(8000)
        push(reorder, sound(0))
        reorder.push(Packet(101, 2, 160, 1, bytes(4)), 0, 0.0)
        assert reorder.handle_timer(0.06) == []
        after = Packet(0, 3, 480, 1, bytes(FRAME))
        assert push(reorder, after) == [Gap(160, 320, lost=True), after]


class TestRestart:
    def test_another_ssrc(self) -> None:
        """What waits is said, then the new stream, without a gap between."""
        reorder = Reorder(8000)
        other = sound(0, first=9000, start=123_456, ssrc=2)
        assert push(reorder, sound(0), sound(2), other) == [
            sound(0),
            Gap(160, 160, lost=True),
            sound(2),
            other,
        ]
        assert reorder.deadline is None
        assert push(reorder, sound(1, first=9000, start=123_456, ssrc=2)) != []

    @pytest.mark.parametrize("sequence", [3001, 20_000, 65_536 - 100])
    def test_a_jump_in_sequence(self, sequence: int) -> None:
        """RFC 3550 A.1: 3,000 ahead or more than 100 behind."""
        reorder = Reorder(8000)
        push(reorder, sound(0))
        again = sound(0, first=sequence, start=77)
        assert push(reorder, again) == [again]
        assert counts(reorder) == (0, 0, 0)

    def test_a_long_loss_is_a_new_beginning_in_time(self) -> None:
        """Two seconds without a network: counted as lost, not filled."""
        reorder = Reorder(8000)
        push(reorder, sound(0))
        resumed = [sound(n) for n in range(200, 204)]
        assert push(reorder, *resumed) == resumed
        assert reorder.lost == 199
        # those just before may still come, those long before are duplicates to us
        assert push(reorder, sound(199), sound(150)) == []
        assert counts(reorder) == (197, 2, 0)


class Path:
    """A stream of which now and then a packet is overtaken."""

    def __init__(self) -> None:
        self.reorder = Reorder(8000)
        self.next = 0
        self.go(1, 0.0)

    def go(self, packets: int, now: float) -> None:
        push(self.reorder, *(sound(self.next + n) for n in range(packets)), now=now)
        self.next += packets

    def overtaken(self, now: float, by: float) -> bool:
        """One packet comes `by` later than the next one; whether it could still be used."""
        late, self.next = sound(self.next), self.next + 1
        self.go(1, now)
        self.reorder.handle_timer(now + by)
        used = late in push(self.reorder, late, now=now + by)
        self.go(1, now + by)
        return used


class TestHold:
    """60 ms; 20 where that is enough, 100 where it is not."""

    def test_it_is_60_ms_at_first(self) -> None:
        path = Path()
        assert path.overtaken(1, 0.05)
        assert not path.overtaken(2, 0.065)

    def test_it_is_20_ms_after_30_s_that_needed_no_more(self) -> None:
        path = Path()
        assert path.overtaken(29.0, 0.015)
        assert path.reorder.hold == 0.06
        assert not path.overtaken(30.1, 0.025)

    def test_and_60_again_after_the_first_that_needs_it(self) -> None:
        path = Path()
        assert [path.overtaken(now, 0.05) for now in (31, 32, 33)] == [False, True, True]
        assert path.reorder.hold == 0.06
        assert counts(path.reorder) == (0, 1, 0)

    def test_it_stays_while_it_is_of_use(self) -> None:
        path = Path()
        assert all(path.overtaken(20.0 * n, 0.05) for n in range(1, 10))
        assert all(path.overtaken(180.0 + 10.0 * n, 0.01) for n in range(1, 4))
        assert path.reorder.hold == 0.06
        path.overtaken(220.0, 0.01)
        assert path.reorder.hold == 0.02

    def test_three_that_came_too_late_for_it_make_100_ms(self) -> None:
        path = Path()
        assert [path.overtaken(now, 0.09) for now in (1, 2, 3, 4)] == [False, False, False, True]
        assert path.reorder.hold == 0.1
        assert counts(path.reorder) == (0, 3, 0)
        assert not any(path.overtaken(now, 0.1) for now in (5, 6, 7))
        assert path.reorder.hold == 0.1
        path.overtaken(38.0, 0.01)
        assert path.reorder.hold == 0.02

    def test_three_in_a_longer_time_do_not(self) -> None:
        path = Path()
        assert not any(path.overtaken(now, 0.09) for now in (1.0, 6.0, 11.1, 16.2, 21.3))
        assert path.reorder.hold == 0.06

    def test_nor_do_those_that_no_hold_would_save(self) -> None:
        path = Path()
        assert not any(path.overtaken(now, 0.15) for now in (1, 2, 3, 4, 5))
        assert path.reorder.hold == 0.06
        assert path.reorder.late == 5

    def test_another_stream_comes_by_the_same_path(self) -> None:
        path = Path()
        assert not any(path.overtaken(now, 0.09) for now in (1, 2, 3))
        push(path.reorder, sound(0, ssrc=2))
        assert path.reorder.hold == 0.1

    def test_in_order_it_holds_nothing(self) -> None:
        path = Path()
        assert not any(path.overtaken(now, 0.09) for now in (1, 2, 3))
        for n in range(100):
            path.go(1, 4.0 + n * 0.02)
            assert path.reorder.deadline is None

    @pytest.mark.parametrize(("spread", "unused"), [(0.01, 0.001), (0.02, 0.003), (0.05, 0.08)])
    def test_a_path_that_reorders(self, spread: float, unused: float) -> None:
        """Delays that deviate by 10, 20 and 50 ms, each packet's by itself. With 20 ms for good
        0.6, 10 and 28 % would come too late, with 60 ms 0, 1.7 and 16 %."""
        dice = random.Random(5)
        shape = 0.05 / spread
        arrivals = sorted(
            (n * 0.02 + dice.gammavariate(shape**2, spread / shape), n) for n in range(6000)
        )
        reorder = Reorder(8000)
        for now, n in arrivals:
            reorder.handle_timer(now)
            reorder.push(sound(n), FRAME, now)
        assert reorder.late / len(arrivals) < unused


class TestClockRate:
    """RFC 7160: the payload type changes, and the clock with it."""

    def test_time_goes_on_from_the_new_timestamp(self) -> None:
        reorder = Reorder(8000)
        assert push(reorder, sound(0), sound(2)) == [sound(0)]
        assert reorder.retime(48_000) == [Gap(160, 160, lost=True), sound(2)]
        wide = Packet(96, 3, 77_000, 1, bytes(80))
        assert reorder.push(wide, 960, 0.06) == [wide]
        after = Packet(96, 4, 77_000 + 960 + 24_000, 1, bytes(80))
        assert reorder.push(after, 960, 0.6) == [Gap(77_960, 24_000, lost=False), after]

    def test_a_full_hold_is_counted_by_it(self) -> None:
        reorder = Reorder(8000)
        push(reorder, sound(0))
        reorder.retime(48_000)
        wide = [Packet(96, n, n * 960, 1, bytes(80)) for n in range(1, 7)]
        assert reorder.push(wide[0], 960, 0.0) == [wide[0]]
        assert [len(reorder.push(packet, 960, 0.0)) for packet in wide[2:]] == [0, 0, 4, 1]


@pytest.mark.parametrize("skew", [-1e-3, 1e-4, 1e-3])
def test_an_hour_on_another_clock(skew: float) -> None:
    """Up to 1,000 ppm: the timestamps count, not the arrivals, so nothing adds up."""
    reorder = Reorder(8000)
    heard = 0
    for n in range(180_000):
        if n % 100 != 50:
            for item in reorder.push(sound(n), FRAME, n * 0.02 * (1 + skew)):
                heard += item.samples if isinstance(item, Gap) else FRAME
    assert heard == 180_000 * FRAME
    assert (reorder.hold, reorder.bursts, counts(reorder)) == (0.02, 1800, (1800, 0, 0))


@pytest.mark.parametrize("seed", range(20))
def test_time_is_exact_whatever_the_network_does(seed: int) -> None:
    """Loss in bursts, reordering, duplicates, digits, silence suppression, changing ptime.

    In order, no packet twice, and from the first sample to the last nothing is added or missing.
    """
    dice = random.Random(seed)
    sequence, timestamp = dice.randrange(1 << 16), dice.randrange(1 << 32)
    sent: list[tuple[Packet, int]] = []
    frame = FRAME
    while len(sent) < 3000:
        what = dice.random()
        if what < 0.01:  # a digit in the place of sound
            steps = dice.randrange(3, 8)
            for _ in range(steps):
                sent.append((Packet(101, sequence & 0xFFFF, timestamp, 1, bytes(4)), 0))
                sequence += 1
            timestamp = (timestamp + steps * FRAME) & 0xFFFFFFFF
        elif what < 0.02:
            timestamp = (timestamp + dice.randrange(1, 2000)) & 0xFFFFFFFF
        elif what < 0.03:
            frame = dice.choice([80, 160, 240, 480])
        else:
            packet = Packet(0, sequence & 0xFFFF, timestamp, 1, bytes(frame))
            sent.append((packet, frame))
            sequence, timestamp = sequence + 1, (timestamp + frame) & 0xFFFFFFFF
    arrivals: list[tuple[float, Packet, int]] = []
    losing = 0
    for n, (packet, samples) in enumerate(sent):
        losing = dice.randrange(1, 4) if not losing and dice.random() < 0.03 else max(0, losing - 1)
        copies = 0 if losing and 0 < n < len(sent) - 1 else 2 if dice.random() < 0.05 else 1
        for _ in range(copies):
            delay = dice.choice([0, 0, 0, 0.01, 0.03, 0.05]) if n else 0.0
            arrivals.append((n * 0.02 + delay, packet, samples))
    arrivals.sort(key=lambda arrival: arrival[0])

    reorder = Reorder(8000)
    heard: list[Packet | Gap] = []
    for now, packet, samples in arrivals:
        heard += reorder.handle_timer(now)
        heard += reorder.push(packet, samples, now)
    heard += reorder.handle_timer(1e9)

    at: int | None = None
    for item in heard:
        samples = item.samples if isinstance(item, Gap) else len(item.payload)
        assert samples > 0
        if at is not None:
            assert timestamp_delta(item.timestamp, at) == 0
        at = (item.timestamp + samples) & 0xFFFFFFFF
    packets = [item for item in heard if isinstance(item, Packet)]
    assert len(packets) == len({packet.sequence for packet in packets})
    arrived = {packet.sequence for _, packet, _ in arrivals}
    missed = arrived - {packet.sequence for packet in packets if packet.payload}
    assert len(missed - {p.sequence for _, p, samples in arrivals if not samples}) <= reorder.late
    assert reorder.lost == len(sent) - len(arrived)
    assert reorder.duplicates + reorder.late >= len(arrivals) - len(arrived)
