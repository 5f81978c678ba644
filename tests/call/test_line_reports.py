"""What a line says and hears by RTCP: from whom it is believed, where ours goes, what is judged."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from gateway.audio.playout import Part, Playout
from gateway.call.downlink import Start
from gateway.call.line import Line
from gateway.call.record import RtpCounts
from gateway.rtp import rtcp
from gateway.rtp.packet import Packet, encode
from gateway.rtp.packet import parse as parse_rtp
from gateway.rtp.reports import Reports
from gateway.rtp.rtcp import Bye, Description, Report, ReportBlock, SenderInfo
from gateway.rtp.source import SourceRule
from gateway.sdp.formats import CODECS, Wishes
from gateway.sdp.negotiation import Media
from gateway.sdp.rtcp import Control

from .talk import PHONE, media

OURS, THEIRS = 7, 0xCAFE
APART = ("192.0.2.7", 4001)  # where the phone wants RTCP that has a port of its own
STRANGER = ("203.0.113.9", 4000)
BEGAN = 100.0
EPOCH = 1_800_000_000.0 - BEGAN
TICK = 0.02


class Bench:
    """A line with RTCP, a phone that speaks, and time; a report is due after 2.5 s, then each 5."""

    def __init__(self, control: Control = Control(mux=True), **values: object) -> None:  # noqa: B008
        self.now = BEGAN
        self.sequence = 500
        self.reports = Reports(OURS, "call@gateway", 8000, lambda: 0.5, self.now)
        self.line = Line(
            media(control=control, **values),
            Playout(8000),
            model_rate=8000,
            source=SourceRule("learn", PHONE),
            start=Start(OURS, 100, 1000),
            now=self.now,
            reports=self.reports,
            epoch=EPOCH,
        )
        self.line.downlink.prepare()

    def talk(self, ticks: int, *, losing: int = 0, ssrc: int = THEIRS) -> None:
        """Both sides speak; of theirs each packet with a multiple of `losing` is lost."""
        for _ in range(ticks):
            self.now = round(self.now + TICK, 6)
            self.line.downlink.sent(self.now)
            self.line.downlink.prepare()
            self.sequence += 1
            if losing and self.sequence % losing == 0:
                continue
            packet = Packet(0, self.sequence, self.sequence * 160, ssrc, bytes(160))
            self.line.receive(encode(packet), PHONE, self.now)
            self.line.hear(self.now)

    def due(self) -> list[rtcp.ControlPacket]:
        """The report that is due now."""
        told = self.line.report(self.now)
        assert told
        return rtcp.parse(told)

    def told(self, *packets: Report | Bye, source: tuple[str, int] = PHONE) -> None:
        """RTCP of the peer's comes."""
        assert self.line.receive(rtcp.encode(packets), source, self.now) == []


def noise(seconds: float) -> str:
    """Loud and quiet by turns, as the model says it (8 kHz)."""
    rng = np.random.default_rng(3)
    sound = rng.normal(0, 3000, round(8000 * seconds)).cumsum()
    sound = 8000 * np.sin(sound / 9000) * (np.arange(len(sound)) // 1600 % 2)
    return base64.b64encode(sound.astype("<i2").tobytes()).decode()


def block(**values: int) -> ReportBlock:
    return ReportBlock(OURS, 0, 0, 0, 0, 0, 0)._replace(**values)


class TestReport:
    def test_it_comes_when_it_is_due(self) -> None:
        """RFC 3550 §6.2: what we sent, by RTP's clock and the wall's, and what we heard."""
        bench = Bench()
        bench.talk(124)
        assert bench.line.report(bench.now) is None
        bench.talk(1)
        report, name = bench.due()
        assert isinstance(report, Report)
        assert name == Description(((OURS, b"call@gateway"),))
        assert report.sender == SenderInfo(
            rtcp.ntp(EPOCH + bench.now), 1000 + 126 * 160, 125, 125 * 160
        )
        (heard,) = report.blocks
        assert (heard.ssrc, heard.lost, heard.highest) == (THEIRS, 0, 625)
        assert bench.line.report(bench.now) is None  # once

    def test_a_line_without_rtcp_says_nothing(self) -> None:
        line = Line(
            media(),
            Playout(8000),
            model_rate=8000,
            source=SourceRule("learn", PHONE),
            start=Start(OURS, 100, 1000),
            now=BEGAN,
        )
        assert (line.report(BEGAN + 60), line.farewell(BEGAN + 60)) == (None, None)
        line.receive(rtcp.encode([Report(THEIRS)]), PHONE, BEGAN)
        assert line.ignored == 0

    def test_in_a_conflict_we_take_another_ssrc(self) -> None:
        """§8.2: the phone's is ours, by chance; what we send next has the new one."""
        bench = Bench()
        bench.talk(125, ssrc=OURS)
        assert bench.due()[-1] == Bye((OURS,))
        bench.talk(2, ssrc=OURS)
        (packet,) = bench.line.downlink.packets
        assert parse_rtp(packet).ssrc == bench.reports.ssrc != OURS

    def test_a_goodbye(self) -> None:
        """§6.6: the stream is over."""
        bench = Bench()
        bench.talk(3)
        last = bench.line.farewell(bench.now)
        assert last
        assert rtcp.parse(last)[-1] == Bye((OURS,))

    def test_none_where_nothing_was_ever_sent(self) -> None:
        bench = Bench()
        assert bench.line.farewell(bench.now) is None

    def test_packets_that_others_sent_meanwhile_are_the_streams(self) -> None:
        """One SSRC for the whole call, whoever speaks in it."""
        bench = Bench()
        bench.talk(25)
        bench.line.rejoin(Start(OURS, 400, 50_000), RtpCounts(sent=200), bench.now)
        bench.talk(100)
        report = bench.due()[0]
        assert isinstance(report, Report)
        assert report.sender
        assert report.sender.packets == 324  # the one that was prepared is left out

    def test_packets_that_others_received_meanwhile_are_not_lost(self) -> None:
        bench = Bench()
        bench.talk(25)
        bench.sequence += 200
        bench.line.rejoin(Start(OURS, 400, 50_000), RtpCounts(received=200), bench.now)
        bench.talk(100)
        report = bench.due()[0]
        assert isinstance(report, Report)
        assert [(block.fraction, block.lost) for block in report.blocks] == [(0, 0)]
        assert report.blocks[0].highest == bench.sequence

    def test_another_clock_is_that_of_their_jitter(self) -> None:
        bench = Bench()
        opus = CODECS["OPUS"]
        bench.line.renegotiate(media(codec=opus, accepted={111: opus}), bench.now)
        assert bench.reports.clock_rate == 48_000


class TestTarget:
    """Where ours goes."""

    @pytest.mark.parametrize(
        ("control", "target"),
        [
            (Control(mux=True), PHONE),
            (Control(remote=APART), APART),
            (Control(), None),
        ],
    )
    def test_by_what_was_agreed(self, control: Control, target: tuple[str, int] | None) -> None:
        """RFC 5761 §5.1.1, RFC 3605."""
        assert Bench(control).line.control_target == target

    def test_with_the_media_that_move(self) -> None:
        bench = Bench()
        moved = ("192.0.2.8", 6000)
        bench.line.renegotiate(media(remote=moved, control=Control(mux=True)), bench.now)
        assert bench.line.control_target == moved

    def test_nowhere_on_hold(self) -> None:
        bench = Bench()
        bench.line.renegotiate(media(remote=None, sending=False), bench.now)
        assert bench.line.control_target is None


class TestReading:
    """Theirs: a claim, of whoever may speak."""

    def test_of_the_caller_it_is_believed(self) -> None:
        bench = Bench()
        bench.talk(200)
        bench.told(Report(THEIRS, (block(fraction=64, lost=50, jitter=80),)))
        far_end = bench.reports.far_end
        assert far_end
        assert (far_end.fraction, far_end.loss, far_end.jitter_ms) == (0.25, 0.25, 10.0)

    def test_what_is_lost_is_repeated_in_the_packets_that_follow(self) -> None:
        """By Opus, the more of it the more is lost: RFC 7587 §3.3."""
        opus = CODECS["OPUS"]
        sizes = []
        for fraction in (0, 100):
            bench = Bench()
            wanted = media(codec=opus, accepted={111: opus}, wishes=Wishes(fec=True))
            bench.line.renegotiate(wanted, bench.now)
            bench.talk(10)
            bench.told(Report(THEIRS, (block(fraction=fraction),)))
            bench.line.playout.push(Part("resp", "item", 0), noise(4.0))
            before = bench.line.downlink.octets_sent
            bench.talk(150)
            sizes.append(bench.line.downlink.octets_sent - before)
        assert sizes[0] != sizes[1]

    @pytest.mark.parametrize("source", [STRANGER, APART])
    def test_of_nobody_else(self, source: tuple[str, int]) -> None:
        """One port for both: another port of her host is no place for it."""
        bench = Bench()
        bench.talk(10)
        bench.told(Report(THEIRS, (block(lost=5),)), source=source)
        assert bench.reports.far_end is None

    def test_of_nobody_before_it_is_known_who_speaks(self) -> None:
        bench = Bench()
        bench.told(Report(THEIRS, (block(lost=5),)))
        assert bench.reports.far_end is None

    def test_at_its_own_port(self) -> None:
        bench = Bench(Control(remote=APART))
        bench.talk(10)
        bench.told(Report(THEIRS, (block(lost=5),)), source=APART)
        assert bench.reports.far_end

    def test_a_round_trip(self) -> None:
        """§6.4.1: from our report to theirs, without what it kept ours."""
        bench = Bench()
        bench.talk(125)
        report = bench.due()[0]
        assert isinstance(report, Report)
        assert report.sender
        bench.talk(50)  # 1 s
        last_sr = report.sender.ntp >> 16 & 0xFFFFFFFF
        bench.told(Report(THEIRS, (block(last_sr=last_sr, delay=int(0.88 * 65536)),)))
        assert bench.line.counts().round_trip_ms == pytest.approx(120, abs=1)

    @pytest.mark.parametrize(
        "data", [b"\x80\xc8\x00\x09" + bytes(8), b"\x9f\xc9\x00\x01\0\0\0\0", b"\x80\xc8\x00"]
    )
    def test_what_is_broken_is_counted(self, data: bytes) -> None:
        bench = Bench()
        bench.talk(3)
        bench.line.receive(data, PHONE, bench.now)
        assert bench.line.ignored == 1

    def test_it_is_no_sound(self) -> None:
        """A phone that sends reports and nothing else is as good as gone."""
        bench = Bench()
        bench.talk(3)
        last = bench.line.last_packet_at
        bench.now += 5
        bench.told(Report(THEIRS))
        assert bench.line.last_packet_at == last

    def test_a_goodbye_ends_nothing(self) -> None:
        bench = Bench()
        bench.talk(3)
        bench.told(Report(THEIRS), Bye((THEIRS, OURS)))
        bench.talk(3)
        assert bench.line.counts().received == 6
        assert bench.line.downlink.packets


class TestJudgement:
    """The MOS of ITU-T G.107, of the worse way; 4.4 is the best there is."""

    def test_nothing_was_heard(self) -> None:
        assert Bench().line.counts().mos is None

    def test_a_clean_call(self) -> None:
        bench = Bench()
        bench.talk(500)
        assert bench.line.counts().mos == pytest.approx(4.38, abs=0.03)

    def test_what_was_lost_on_its_way_to_us(self) -> None:
        clean, bench = Bench(), Bench()
        clean.talk(505)
        bench.talk(505, losing=10)
        told = bench.line.counts()
        assert (told.lost, clean.line.counts().lost) == (50, 0)
        assert told.mos is not None
        assert 2.0 < told.mos < 3.5

    def test_what_they_say_was_lost_on_its_way_to_them(self) -> None:
        bench = Bench()
        bench.talk(500)
        bench.told(Report(THEIRS, (block(lost=50),)))
        told = bench.line.counts().mos
        assert told is not None
        assert 2.0 < told < 3.5

    @pytest.mark.parametrize("lost", [-0x800000, 0x7FFFFF])
    def test_a_lie_is_within_the_scale(self, lost: int) -> None:
        bench = Bench()
        bench.talk(500)
        bench.told(Report(THEIRS, (block(lost=lost, fraction=255, jitter=2**32 - 1),)))
        told = bench.line.counts().mos
        assert told is not None
        assert 1.0 <= told <= 4.5

    @pytest.mark.parametrize("name", CODECS)
    def test_any_codec_is_judged(self, name: str) -> None:
        bench = Bench()
        bench.talk(10)
        codec = CODECS[name]
        agreed: Media = media(codec=codec, accepted={codec.payload_type: codec})
        bench.line.renegotiate(agreed, bench.now)
        assert bench.line.counts().mos
