"""A call's RTCP: RFC 3550 §6.2 to §6.4 and §8.2, on a clock that is a number."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.reception import Stream
from gateway.rtp.reports import FarEnd, Reports, Sent
from gateway.rtp.rtcp import (
    Bye,
    ControlPacket,
    Description,
    Report,
    ReportBlock,
    SenderInfo,
    VoipMetrics,
    ntp,
    parse,
)

OURS, THEIRS = 0x11111111, 0x22222222
WALL = 1_700_000_000.0  # s since 1970, at now = 0
NAME = Description(((OURS, b"call@gateway"),))
NOTHING = Sent(0, 0, 0)


def reports(*dice: float) -> Reports:
    """Reports whose dice fall so, then always in the middle."""
    thrown = iter(dice)
    return Reports(OURS, "call@gateway", 8000, lambda: next(thrown, 0.5), 0.0)


def sent(packets: int) -> Sent:
    return Sent(packets, packets * 160, packets * 160 + 1000)


def stream(expected: int, received: int, *, first: int = 100, ssrc: int = THEIRS) -> Stream:
    return Stream(ssrc, first, expected, received, jitter=40)


def report_at(
    subject: Reports, now: float, out: Sent = NOTHING, came: Stream | None = None
) -> list[ControlPacket]:
    return parse(subject.report(out, came, now, WALL + now))


def block_at(subject: Reports, now: float, came: Stream) -> ReportBlock | None:
    """The one block of the report that is due now, if it has one."""
    report = report_at(subject, now, NOTHING, came)[0]
    assert isinstance(report, Report)
    return report.blocks[0] if report.blocks else None


def answer(subject: Reports, now: float, *, last_sr: int, delay: float, **claims: int) -> None:
    """The peer reports of our stream; 1,000 packets of it were sent."""
    block = ReportBlock(OURS, 0, 0, 0, 0, last_sr, int(delay * 65536))._replace(**claims)
    subject.receive([Report(THEIRS, (block,))], sent(1000), now)


class TestLoopDelay:
    """From our sound's leaving to the arrival of what is said at its hearing."""

    def test_as_assumed_where_they_tell_nothing(self) -> None:
        assert reports().loop_delay(0.06) == 0.06

    def test_the_round_trip_and_their_jitter_buffer(self) -> None:
        subject = reports()
        report_at(subject, 10.0, sent(1000))
        last_sr = ntp(WALL + 10) >> 16 & 0xFFFFFFFF
        answer(subject, 10.75, last_sr=last_sr, delay=0.5)
        assert subject.loop_delay(0.06) == pytest.approx(0.31, abs=1e-4)
        subject.receive([VoipMetrics(OURS, 140, 80)], sent(1000), 11.0)
        assert subject.loop_delay(0.06) == pytest.approx(0.39, abs=1e-4)


class TestInterval:
    """§6.2: 5 s, varied from half to one and a half of it."""

    @pytest.mark.parametrize(("dice", "first"), [(0.0, 1.25), (0.5, 2.5), (0.999, 3.7475)])
    def test_the_first_comes_after_half_of_it(self, dice: float, first: float) -> None:
        assert reports(dice).deadline == pytest.approx(first)

    @pytest.mark.parametrize(("dice", "next_one"), [(0.0, 12.5), (0.5, 15.0), (0.999, 17.495)])
    def test_the_next_ones_after_the_whole(self, dice: float, next_one: float) -> None:
        subject = reports(0.5, dice)
        report_at(subject, 10.0)
        assert subject.deadline == pytest.approx(next_one)


class TestSending:
    def test_a_sender_report_with_our_name(self) -> None:
        """§6.1: a report and the CNAME in each compound; §6.4.1."""
        subject = reports()
        assert report_at(subject, 2.5, sent(125)) == [
            Report(OURS, (), SenderInfo(ntp(WALL + 2.5), 21_000, 125, 20_000)),
            NAME,
        ]

    def test_an_empty_receiver_report_before_anything_was_sent(self) -> None:
        """§6.4.2."""
        assert report_at(reports(), 2.5) == [Report(OURS), NAME]

    def test_a_sender_that_fell_silent_becomes_a_receiver(self) -> None:
        """§6.4: SR where something was sent since the report before the last; else RR."""
        subject = reports()
        kinds = [
            isinstance(report := report_at(subject, 5.0 * n, sent(packets))[0], Report)
            and report.sender is not None
            for n, packets in enumerate([0, 10, 10, 10, 11])
        ]
        assert kinds == [False, True, True, False, True]

    def test_counts_wrap(self) -> None:
        [report, _] = report_at(reports(), 1.0, Sent(1 << 32, (1 << 32) + 5, (1 << 32) + 7))
        assert isinstance(report, Report)
        assert report.sender is not None
        assert report.sender[1:] == (7, 0, 5)

    def test_a_goodbye(self) -> None:
        """§6.3.7, §6.6: at the end of a compound."""
        subject = reports()
        data = subject.bye(sent(3), None, 9.0, WALL + 9)
        assert data is not None
        info = SenderInfo(ntp(WALL + 9), 1480, 3, 480)
        assert parse(data) == [Report(OURS, (), info), NAME, Bye((OURS,))]

    def test_no_goodbye_of_somebody_unknown(self) -> None:
        """§6.3.7: who never sent a packet must not."""
        subject = reports()
        assert subject.bye(NOTHING, None, 9.0, WALL) is None
        report_at(subject, 9.0)
        assert subject.bye(NOTHING, None, 9.0, WALL) is not None


class TestReceiving:
    """Blocks: §6.4.1 and A.3."""

    def test_what_was_lost(self) -> None:
        subject = reports()
        assert block_at(subject, 2.5, stream(100, 80)) == ReportBlock(THEIRS, 51, 20, 199, 40, 0, 0)
        # 10 more, all of them received: the fraction is of the interval, the number of all
        assert block_at(subject, 7.5, stream(110, 90)) == ReportBlock(THEIRS, 0, 20, 209, 40, 0, 0)

    def test_duplicates_are_no_negative_fraction(self) -> None:
        """A.3: the fraction is 0 then, the number negative."""
        block = block_at(reports(), 2.5, stream(100, 103))
        assert block is not None
        assert (block.fraction, block.lost) == (0, -3)

    def test_nearly_all_lost(self) -> None:
        block = block_at(reports(), 2.5, stream(1000, 1))
        assert block is not None
        assert (block.fraction, block.lost) == (255, 999)

    @pytest.mark.parametrize(
        ("expected", "received", "lost"),
        [(9_000_000, 1, 0x7FFFFF), (1, 9_000_000, -0x800000)],
    )
    def test_the_number_has_24_bits(self, expected: int, received: int, lost: int) -> None:
        block = block_at(reports(), 2.5, stream(expected, received))
        assert block is not None
        assert block.lost == lost

    def test_no_block_of_who_was_silent(self) -> None:
        """§6.4: only of sources heard since the last report."""
        subject = reports()
        assert block_at(subject, 2.5, stream(10, 10)) is not None
        assert block_at(subject, 7.5, stream(10, 10)) is None
        assert block_at(subject, 12.5, stream(11, 11)) is not None

    @pytest.mark.parametrize("change", [{"ssrc": 5}, {"first": 7}])
    def test_another_stream_is_another_account(self, change: dict[str, int]) -> None:
        """Another SSRC, or a restart of the same (A.1)."""
        subject = reports()
        block_at(subject, 2.5, stream(100, 100))
        block = block_at(subject, 7.5, stream(120, 60, **change))
        assert block is not None
        assert (block.fraction, block.lost) == (128, 60)

    def test_a_restart_that_looks_like_the_same(self) -> None:
        subject = reports()
        block_at(subject, 2.5, stream(100, 100))
        assert block_at(subject, 7.5, stream(110, 50)) is None
        assert block_at(subject, 9.5, stream(111, 51)) is not None

    def test_their_last_report_and_how_long_ago_it_came(self) -> None:
        """LSR and DLSR."""
        subject = reports()
        info = SenderInfo(0x83AA7E80_40000000, 0, 0, 0)
        subject.receive([Report(THEIRS, (), info)], NOTHING, 1.0)
        block = block_at(subject, 2.5, stream(10, 10))
        assert block is not None
        assert (block.last_sr, block.delay) == (0x7E804000, 0x18000)
        block = block_at(subject, 1e9, stream(20, 20))
        assert block is not None
        assert block.delay == 0xFFFFFFFF

    def test_a_report_of_somebody_else_says_nothing_of_the_stream(self) -> None:
        subject = reports()
        info = SenderInfo(1 << 40, 0, 0, 0)
        subject.receive([Report(0x99, (), info)], NOTHING, 1.0)
        assert block_at(subject, 2.5, stream(10, 10)) == ReportBlock(THEIRS, 0, 0, 109, 40, 0, 0)

    @pytest.mark.parametrize(("gone", "known"), [(THEIRS, False), (0x99, True)])
    def test_a_goodbye_takes_an_ssrc_and_nothing_else(self, gone: int, known: bool) -> None:
        """§6.6; anybody could forge it, so no call ends by it."""
        subject = reports()
        subject.receive([Bye((THEIRS,))], NOTHING, 0.5)
        subject.receive([Report(THEIRS, (), SenderInfo(1 << 40, 0, 0, 0))], NOTHING, 1.0)
        subject.receive([Bye((gone,))], NOTHING, 1.5)
        block = block_at(subject, 2.5, stream(10, 10))
        assert block is not None
        assert (block.last_sr != 0) is known


class TestFarEnd:
    """What they report of ours."""

    def test_loss_and_jitter(self) -> None:
        subject = reports()
        assert subject.far_end is None
        answer(subject, 3.0, last_sr=0, delay=0, fraction=64, lost=100, jitter=80)
        assert subject.far_end == FarEnd(fraction=0.25, loss=0.1, jitter_ms=10.0)
        assert subject.round_trip is None

    @pytest.mark.parametrize(
        ("claims", "seen"),
        [
            ({"lost": -5}, FarEnd(0, 0, 0)),
            ({"lost": 0x7FFFFF, "fraction": 255}, FarEnd(255 / 256, 1.0, 0)),
            ({"jitter": 0xFFFFFFFF}, FarEnd(0, 0, 1000.0)),
        ],
    )
    def test_lies_are_bounded(self, claims: dict[str, int], seen: FarEnd) -> None:
        subject = reports()
        answer(subject, 3.0, last_sr=0, delay=0, **claims)
        assert subject.far_end == seen

    def test_lost_of_nothing(self) -> None:
        subject = reports()
        block = ReportBlock(OURS, 255, 9, 0, 0, 0, 0)
        subject.receive([Report(THEIRS, (block,))], NOTHING, 3.0)
        assert subject.far_end == FarEnd(255 / 256, 0.0, 0.0)

    def test_of_another_ssrc_it_is_not_about_us(self) -> None:
        subject = reports()
        answer(subject, 3.0, last_sr=0, delay=0, ssrc=0x99, lost=7)
        assert subject.far_end is None

    @pytest.mark.parametrize(
        ("end_system", "buffer", "told"), [(120, 60, 120), (0, 60, 60), (0xFFFF, 0, 1000)]
    )
    def test_the_delay_up_to_the_ear(self, end_system: int, buffer: int, told: int) -> None:
        """RFC 3611 §4.7."""
        subject = reports()
        subject.receive([VoipMetrics(0x99, 5, 5)], NOTHING, 1.0)
        assert subject.playout_delay_ms is None
        subject.receive([VoipMetrics(OURS, end_system, buffer)], NOTHING, 1.0)
        assert subject.playout_delay_ms == told


def asked(subject: Reports, now: float) -> int:
    """Send a sender report; what `last_sr` will say of it."""
    [report, _] = report_at(subject, now, sent(int(now * 50) + 1))
    assert isinstance(report, Report)
    assert report.sender is not None
    return report.sender.ntp >> 16 & 0xFFFFFFFF


class TestRoundTrip:
    """§6.4.1: now - LSR - DLSR."""

    def test_it_is_what_the_peer_did_not_keep(self) -> None:
        subject = reports()
        last_sr = asked(subject, 10.0)
        answer(subject, 11.08, last_sr=last_sr, delay=1.0)
        assert subject.round_trip == pytest.approx(0.08, abs=1e-4)

    def test_a_wall_clock_that_is_set_does_not_matter(self) -> None:
        subject = reports()
        data = subject.report(sent(5), None, 10.0, WALL)
        subject.report(sent(6), None, 15.0, WALL - 3600)
        [report, _] = parse(data)
        assert isinstance(report, Report)
        assert report.sender is not None
        answer(subject, 16.0, last_sr=report.sender.ntp >> 16 & 0xFFFFFFFF, delay=5.9)
        assert subject.round_trip == pytest.approx(0.1, abs=1e-4)

    @pytest.mark.parametrize(
        ("delay", "trip"), [(1.01, 0.0), (1.2, None), (60_000.0, None), (0.0, 1.0)]
    )
    def test_what_cannot_be_is_not_believed(self, delay: float, trip: float | None) -> None:
        """Kept for longer than it took: a little is the clocks', more is a lie."""
        subject = reports()
        answer(subject, 11.0, last_sr=asked(subject, 10.0), delay=delay)
        assert subject.round_trip == (None if trip is None else pytest.approx(trip))

    def test_nor_one_of_many_seconds(self) -> None:
        subject = reports()
        answer(subject, 15.1, last_sr=asked(subject, 10.0), delay=0.0)
        assert subject.round_trip is None

    def test_nor_one_to_a_report_that_was_not_sent(self) -> None:
        subject = reports()
        last_sr = asked(subject, 10.0)
        answer(subject, 11.0, last_sr=last_sr + 1, delay=0.5)
        assert subject.round_trip is None

    def test_nor_one_to_a_report_of_long_ago(self) -> None:
        subject = reports()
        stamps = [asked(subject, 10.0 + 5 * n) for n in range(5)]
        answer(subject, 30.1, last_sr=stamps[0], delay=20.0)
        assert subject.round_trip is None
        answer(subject, 30.1, last_sr=stamps[1], delay=15.0)
        assert subject.round_trip == pytest.approx(0.1, abs=1e-3)

    def test_the_median_of_the_last_five_counts(self) -> None:
        subject = reports()
        last_sr = asked(subject, 10.0)
        for trip in (0.9, 0.9, 0.05, 0.05, 0.05, 0.06, 0.8):
            answer(subject, 12.0, last_sr=last_sr, delay=2.0 - trip)
        assert subject.round_trip == pytest.approx(0.05, abs=1e-3)


class TestConflict:
    """§8.2."""

    def test_their_ssrc_is_ours(self) -> None:
        """Goodbye to the old one, once; then another, which counts anew."""
        subject = reports(0.5, 0.5, 0.25)
        mine = stream(10, 10, ssrc=OURS)
        [report, name, bye] = report_at(subject, 2.5, sent(125), mine)
        assert report == Report(OURS, (), SenderInfo(ntp(WALL + 2.5), 21_000, 125, 20_000))
        assert (name, bye) == (NAME, Bye((OURS,)))
        assert subject.ssrc == 0x51111111
        [report, name] = report_at(subject, 7.5, sent(375), stream(20, 20, ssrc=OURS))
        assert isinstance(report, Report)
        assert (report.ssrc, report.sender) == (
            0x51111111,
            SenderInfo(ntp(WALL + 7.5), 61_000, 250, 40_000),
        )
        assert [block.ssrc for block in report.blocks] == [OURS]
        assert subject.conflicts == 1

    def test_a_mirror_moves_us_only_once(self) -> None:
        subject = reports()
        for n in range(5):
            report_at(subject, 5.0 * n, sent(n), stream(10 * n + 1, 10 * n + 1, ssrc=subject.ssrc))
        assert subject.conflicts == 5
        assert len(report_at(subject, 30.0, sent(9))) == 2  # and no goodbye

    def test_our_own_report_tells_nothing(self) -> None:
        subject = reports()
        block = ReportBlock(OURS, 255, 9, 0, 0, 0, 0)
        own: list[ControlPacket] = [
            Report(OURS, (block,), SenderInfo(1 << 40, 0, 0, 0)),
            VoipMetrics(OURS, 9, 9),
        ]
        subject.receive(own, sent(9), 1.0)
        assert (subject.far_end, subject.playout_delay_ms, subject.conflicts) == (None, None, 1)

    @pytest.mark.parametrize("dice", [0.0, 0.5, 1 - 2**-53])
    def test_the_new_one_is_another(self, dice: float) -> None:
        subject = reports(0.5, 0.5, dice)
        report_at(subject, 2.5, NOTHING, stream(1, 1, ssrc=OURS))
        assert subject.ssrc != OURS
        assert 0 <= subject.ssrc < 1 << 32


def test_two_of_them_agree() -> None:
    """An hour between two ends: 40 ms each way, 5 % lost one way, nothing the other."""
    one = Reports(1, "one", 8000, lambda: 0.3, 0.0)
    two = Reports(2, "two", 8000, lambda: 0.7, 0.0)
    on_the_way: list[tuple[float, Reports, bytes]] = []
    while (now := min(one.deadline, two.deadline)) < 3600:
        on_the_way.sort(key=lambda item: item[0])
        while on_the_way and on_the_way[0][0] <= now:
            at, end, data = on_the_way.pop(0)
            end.receive(parse(data), sent(int(at * 50)), at)
        me, other = (one, two) if one.deadline <= two.deadline else (two, one)
        packets = int(now * 50)
        came = packets * 19 // 20 if me is two else packets
        data = me.report(sent(packets), Stream(other.ssrc, 0, packets, came, 8), now, WALL + now)
        on_the_way.append((now + 0.04, other, data))
    for end, loss in ((one, 0.05), (two, 0.0)):
        assert end.round_trip == pytest.approx(0.08, abs=1e-3)
        assert end.far_end is not None
        assert end.far_end.loss == pytest.approx(loss, abs=2e-3)
        assert end.far_end.fraction == pytest.approx(loss, abs=2e-2)
        assert end.far_end.jitter_ms == 1.0


WORDS = st.integers(0, (1 << 32) - 1) | st.sampled_from([OURS, THEIRS, 0])
STAMPS = st.integers(0, (1 << 64) - 1)
CLAIMS = st.builds(
    ReportBlock, WORDS, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), *[WORDS] * 4
)
LIES: list[Callable[[st.SearchStrategy[int]], st.SearchStrategy[ControlPacket]]] = [
    lambda word: st.builds(Report, word, st.lists(CLAIMS, max_size=3).map(tuple)),
    lambda word: st.builds(
        Report,
        word,
        st.just(()),
        st.builds(SenderInfo, st.integers(0, (1 << 64) - 1), word, word, word),
    ),
    lambda word: st.builds(Bye, st.lists(word, max_size=3).map(tuple)),
    lambda word: st.builds(VoipMetrics, word, st.integers(0, 65535), st.integers(0, 65535)),
]


@given(st.lists(st.lists(st.one_of([lie(WORDS) for lie in LIES]), max_size=4), max_size=8))
def test_whatever_is_claimed_stays_within_its_bounds(datagrams: list[list[ControlPacket]]) -> None:
    subject = reports()
    for n, packets in enumerate(datagrams):
        asked(subject, 2.0 * n)
        subject.receive(packets, sent(100 * n), 2.0 * n + 0.5)
        parse(subject.report(sent(100 * n), stream(100 * n + 1, 90 * n), 2.0 * n + 1, WALL))
        assert subject.round_trip is None or 0 <= subject.round_trip <= 5
        assert subject.playout_delay_ms is None or 0 <= subject.playout_delay_ms <= 1000
        if far := subject.far_end:
            assert 0 <= far.fraction < 1
            assert 0 <= far.loss <= 1
            assert 0 <= far.jitter_ms <= 1000
