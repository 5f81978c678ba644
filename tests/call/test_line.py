"""The caller's end: what the model hears of the packets that came, and what the caller is sent.

Frames are told apart by their loudness: frame n is 160 samples of value LEVELS[n], which both
G.711 laws keep, and the model listens at 8 kHz here, where nothing is resampled.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from gateway.audio.frame import Samples
from gateway.audio.g711 import codec
from gateway.audio.playout import Part, Playout
from gateway.audio.tone import DIGITS, RING_BACK, samples
from gateway.call.digits import Digits
from gateway.call.downlink import Start
from gateway.call.line import Line
from gateway.call.record import RtpCounts
from gateway.call.uplink import HOLD_SILENCE, STOPPED
from gateway.rtp.packet import Packet, encode, parse
from gateway.rtp.source import SourceRule

from .talk import PCMA, PCMU, PHONE, media

ULAW, ALAW = codec("PCMU"), codec("PCMA")
FRAME = 160  # samples of 20 ms
STRANGER = ("203.0.113.9", 4000)
TICK = 0.02
# The value of frame n; mu-law keeps each.
LEVELS = [int(ULAW.decode(bytes([0x80 + n]))[0]) for n in range(60)]
SSRC = 0xCAFE


def frame(n: int) -> bytes:
    return bytes([0x80 + n]) * FRAME


def rtp(
    sequence: int,
    timestamp: int,
    payload: bytes,
    payload_type: int = 0,
    *,
    ssrc: int = SSRC,
) -> bytes:
    return encode(
        Packet(payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc, payload, False)
    )


class Caller:
    """A line and the phone at its other end, which sends a frame every 20 ms."""

    def __init__(self, *, sequence: int = 500, timestamp: int = 80_000, **values: Any) -> None:
        self.now = 100.0
        values = {"model_rate": 8000, "now": self.now, "source": SourceRule("sdp", PHONE), **values}
        self.line = Line(media(), Playout(8000), start=Start(7, 100, 1000), **values)
        self.sequence = sequence
        self.timestamp = timestamp

    def packet(self, n: int, payload: bytes | None = None, payload_type: int = 0) -> bytes:
        """Frame n, at its place in the stream."""
        place = self.sequence + n, self.timestamp + n * FRAME
        return rtp(*place, frame(n) if payload is None else payload, payload_type)

    def say(self, *frames: int) -> None:
        """Let these frames arrive, 20 ms apart."""
        for n in frames:
            self.now += TICK
            assert self.line.receive(self.packet(n), PHONE, self.now) == []

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def hears(self) -> list[int | str]:
        """What the model hears now: numbers of frames, "-" for 20 ms of silence."""
        return read(self.line.hear(self.now))

    def press(self, code: int, sequence: int, timestamp: int, duration: int, end: int = 0) -> bytes:
        payload = bytes([code, end << 7 | 10]) + duration.to_bytes(2, "big")
        return rtp(self.sequence + sequence, self.timestamp + timestamp, payload, 101)


def read(samples: Samples) -> list[int | str]:
    """Frames of 20 ms by their number; "-" is silence, "~" a frame that is not whole."""
    assert len(samples) % FRAME == 0
    return [name(piece) for piece in samples.reshape(-1, FRAME)]


def name(piece: Samples) -> int | str:
    values = set(piece.tolist())
    if values == {0}:
        return "-"
    (value,) = values if len(values) == 1 else (None,)
    return LEVELS.index(value) if value in LEVELS else "~"


class Recorded:
    """Both tracks of a recording."""

    def __init__(self) -> None:
        self.of_caller: list[Samples] = []
        self.of_model: list[Samples] = []

    def caller(self, samples: Samples, rate: int) -> None:
        self.of_caller.append(samples)

    def model(self, samples: Samples, rate: int) -> None:
        self.of_model.append(samples)


def sound(tracks: Iterable[Samples]) -> list[int | str]:
    return read(np.concatenate(list(tracks)))


class TestOrder:
    """The caller's packets, in the order in which she spoke."""

    def test_packets_are_heard_at_once(self) -> None:
        caller = Caller()
        caller.say(0, 1)
        assert caller.hears() == [0, 1]
        assert caller.hears() == []

    def test_the_model_hears_at_its_own_rate(self) -> None:
        caller = Caller(model_rate=24000)
        caller.say(0, 1, 2)
        assert len(caller.line.hear(caller.now)) == 3 * 480

    def test_packets_that_overtake_each_other_are_put_in_order(self) -> None:
        caller = Caller()
        caller.say(0, 2)
        assert caller.hears() == [0]
        caller.say(1)
        assert caller.hears() == [1, 2]

    def test_copies_are_heard_once(self) -> None:
        caller = Caller()
        caller.say(0, 0, 1, 0, 1)
        assert caller.hears() == [0, 1]
        assert caller.line.counts().received == 5
        assert caller.line.counts().lost == 0

    @pytest.mark.parametrize(("sequence", "timestamp"), [(65_534, 80_000), (500, 2**32 - 320)])
    def test_sequence_and_timestamp_wrap(self, sequence: int, timestamp: int) -> None:
        """F15, RFC 3550 §5.1: both are modular."""
        caller = Caller(sequence=sequence, timestamp=timestamp)
        caller.say(0, 1, 3, 2, 4)
        assert caller.hears() == [0, 1, 2, 3, 4]
        caller.say(6, 7, 8)
        assert caller.hears()[1:] == [6, 7, 8]
        assert caller.line.counts().lost == 1

    def test_another_ssrc_goes_on_at_once(self) -> None:
        """No gap between two streams of one source."""
        caller = Caller()
        caller.say(0)
        for n in (1, 2, 3):
            data = rtp(9000 + n, 5_000_000 + n * FRAME, frame(n), ssrc=0xBEEF)
            caller.line.receive(data, PHONE, caller.now + n * TICK)
        assert caller.hears() == [0, 2, 3]  # the first has to prove itself: rtp/source.py


class TestGaps:
    """Time that has no packet is filled by the timestamps, and never twice."""

    def test_a_lost_packet_is_concealed(self) -> None:
        """By the waveform; 60 ms of later sound decide that it is lost."""
        caller = Caller()
        caller.say(0, 2, 3)
        assert caller.hears() == [0]
        caller.say(4)
        assert caller.hears() == ["~", 2, 3, 4]
        assert caller.line.counts().lost == 1

    def test_a_lost_packet_is_given_up_after_60_ms(self) -> None:
        caller = Caller()
        caller.say(0, 2)
        caller.wait(0.06)
        assert caller.hears() == [0, "~", 2]

    def test_a_long_loss_fades_to_silence(self) -> None:
        caller = Caller()
        caller.say(10)
        caller.wait(0.1)
        caller.say(16, 17, 18)
        heard = caller.line.hear(caller.now).reshape(-1, FRAME)
        assert [name(piece) for piece in heard[[0, 6, 7, 8]]] == [10, 16, 17, 18]
        levels = np.abs(heard[1:6].astype(int)).mean(axis=1)
        assert levels[2] < levels[0] / 2 < levels[4]  # out of the one end, and into the other

    def test_what_was_not_sent_is_silence(self) -> None:
        """The sequence goes on, the timestamp jumped: silence suppression, RFC 3551 §4.1."""
        caller = Caller()
        caller.say(0)
        caller.line.receive(
            rtp(caller.sequence + 1, caller.timestamp + 4 * FRAME, frame(4)), PHONE, caller.now
        )
        assert caller.hears() == [0, "-", "-", "-", 4]

    def test_more_than_half_a_second_is_a_new_beginning(self) -> None:
        caller = Caller()
        caller.say(0, 40, 41, 42)
        caller.hears()
        caller.say(43)
        assert caller.hears() == [43]

    def test_a_packet_that_comes_after_all_is_not_heard(self) -> None:
        caller = Caller()
        caller.say(0, 2, 3, 4)
        caller.hears()
        caller.say(1)
        assert caller.hears() == []
        assert caller.line.counts().late == 1
        assert caller.line.counts().lost == 0


class TestClock:
    """A stream that stops is filled by the clock, so that a turn always ends."""

    def test_a_short_pause_is_not_filled(self) -> None:
        """Packets may only be late: a hole in a word would be worse than the wait."""
        caller = Caller()
        caller.say(0)
        caller.wait(STOPPED - 0.001)
        assert caller.hears() == [0]

    def test_a_stopped_stream_is_silence_from_its_end_on(self) -> None:
        caller = Caller()
        caller.say(0)
        caller.wait(STOPPED + TICK + 0.001)
        assert caller.hears() == [0, *"-" * 11]
        caller.wait(0.04)
        assert caller.hears() == ["-", "-"]

    def test_nothing_is_filled_for_less_than_a_frame(self) -> None:
        caller = Caller()
        caller.say(0)
        caller.wait(STOPPED + 0.001)
        caller.hears()
        caller.wait(0.01)
        assert caller.hears() == []

    def test_a_call_that_never_speaks_is_silence_from_the_answer_on(self) -> None:
        caller = Caller()
        caller.wait(1.001)
        assert caller.hears() == [*"-" * 50]

    @pytest.mark.parametrize("lost", [True, False])
    def test_time_that_the_clock_filled_is_not_filled_again(self, lost: bool) -> None:
        """Whether the packets between were lost or never sent."""
        caller = Caller()
        caller.say(0)
        caller.wait(0.301)
        filled = caller.hears()
        assert filled == [0, *"-" * 15]
        for n in (20, 21, 22, 23):
            sequence = caller.sequence + (n if lost else n - 19)
            data = rtp(sequence, caller.timestamp + n * FRAME, frame(n))
            caller.wait(TICK)
            caller.line.receive(data, PHONE, caller.now)
        # frames 1 to 19 were missing, of which the clock had filled fifteen
        heard = caller.hears()
        assert len(heard) == 4 + 4
        assert heard[4:] == [20, 21, 22, 23]

    def test_what_the_clock_filled_too_much_ends_with_the_next_packet(self) -> None:
        """Packets that were only late are heard after the silence; nothing is dropped for it."""
        caller = Caller()
        caller.say(0)
        caller.wait(0.301)
        caller.hears()
        caller.say(1, 2, 4, 5, 6)
        assert caller.hears() == [1, 2, "~", 4, 5, 6]

    def test_packets_that_wait_for_one_that_is_missing_are_no_silence(self) -> None:
        """The stream has not stopped: it is only put in order."""
        caller = Caller()
        caller.say(0)
        caller.wait(STOPPED - 2 * TICK)
        caller.say(12)
        caller.wait(0.05)
        assert caller.hears() == [0]

    def test_empty_packets_are_no_sound(self) -> None:
        caller = Caller()
        caller.say(0)
        for n in range(1, 20):
            caller.wait(TICK)
            caller.line.receive(caller.packet(n, b""), PHONE, caller.now)
        assert caller.line.last_packet_at == caller.now
        caller.wait(0.001)
        assert caller.hears() == [0, *"-" * 19]


class TestDigits:
    """RFC 4733 events: told once, and their tone kept from the model."""

    def test_a_key_that_is_down_while_the_session_changes_is_one(self) -> None:
        """Another list of payload types, as after a transfer, does not begin it anew."""
        caller = Caller()
        events = {101: 8000, 110: 48000}
        caller.line.renegotiate(media(events=events), caller.now)
        caller.say(0, 1)
        pressed = caller.line.receive(caller.press(5, 2, 2 * FRAME, 160), PHONE, caller.now)
        caller.line.renegotiate(media(events={101: 8000}), caller.now)
        for n in range(2, 5):
            packet = caller.press(5, n + 1, 2 * FRAME, 160 * n, end=n == 4)
            pressed += caller.line.receive(packet, PHONE, caller.now)
        assert pressed == ["5"]

    def test_a_key_is_told_once(self) -> None:
        caller = Caller()
        told = [
            caller.line.receive(caller.press(4, n, 0, 160 * (n + 1), end), PHONE, caller.now)
            for n, end in [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 1)]
        ]
        assert told == [["4"], [], [], [], [], []]

    def test_events_have_no_time_of_their_own(self) -> None:
        """The gap that they leave in the audio is silence, not a loss."""
        caller = Caller()
        caller.say(0)
        for n in range(1, 6):
            caller.line.receive(caller.press(4, n, FRAME, 160 * n, n == 5), PHONE, caller.now)
        caller.say(6, 7)
        assert caller.hears() == [0, *"-" * 5, "-", "-"]  # 40 ms after it may hold its tone, too
        caller.say(8, 9)
        assert caller.hears() == [8, 9]
        assert caller.line.counts().lost == 0

    def test_the_tone_beside_an_event_is_silenced(self) -> None:
        """Some phones send the tone as audio, too, and one that began before the event was sent."""
        caller = Caller()
        caller.say(0, 1)
        assert caller.hears() == [0, 1]
        caller.line.receive(caller.press(4, 2, 2 * FRAME, 160), PHONE, caller.now)
        for n in (3, 4):
            data = rtp(caller.sequence + n, caller.timestamp + (n - 1) * FRAME, frame(n))
            caller.line.receive(data, PHONE, caller.now)
        assert caller.hears() == ["-", "-"]

    def test_a_hole_in_a_tone_is_not_concealed_with_it(self) -> None:
        caller = Caller()
        caller.say(0)
        caller.line.receive(caller.press(4, 1, FRAME, 800), PHONE, caller.now)
        caller.say(4, 5, 6)
        assert caller.hears() == [0, *"-" * 6]

    def test_a_key_whose_end_was_lost_is_up_again_after_150_ms(self) -> None:
        """Else the caller would not be heard any more."""
        caller = Caller()
        caller.say(0)
        caller.line.receive(caller.press(4, 1, FRAME, 160), PHONE, caller.now)
        caller.wait(0.15)
        assert caller.hears() == [0]
        for n in (12, 13, 14):
            data = rtp(caller.sequence + n - 10, caller.timestamp + n * FRAME, frame(n))
            caller.line.receive(data, PHONE, caller.now)
        assert caller.hears()[-3:] == [12, 13, 14]

    def test_events_at_another_clock(self) -> None:
        """A re-INVITE may change it; the digit after it is told all the same."""
        caller = Caller()
        caller.line.receive(caller.press(4, 0, 0, 160), PHONE, caller.now)
        caller.line.renegotiate(media(event_clock_rate=48000), caller.now)
        caller.wait(1)
        assert caller.line.receive(caller.press(4, 1, 0, 960), PHONE, caller.now) == ["4"]

    def test_without_telephone_event_nothing_is_a_digit(self) -> None:
        caller = Caller()
        caller.line.renegotiate(media(event_payload_type=None), caller.now)
        assert caller.line.receive(caller.press(4, 0, 0, 160), PHONE, caller.now) == []
        assert caller.line.ignored == 1


class TestDoor:
    """Who is heard, and what is thrown away."""

    def test_a_stranger_is_not_heard(self) -> None:
        caller = Caller()
        caller.say(0)
        caller.line.receive(caller.packet(1), STRANGER, caller.now)
        assert caller.hears() == [0]
        assert caller.line.ignored == 1
        assert caller.line.source.rejected == 1

    @pytest.mark.parametrize("data", [b"", b"\x80", b"\x00" * 40, b"\x8f\x00" + bytes(10)])
    def test_what_is_no_rtp_is_counted(self, data: bytes) -> None:
        caller = Caller()
        assert caller.line.receive(data, PHONE, 200.0) == []
        assert caller.line.ignored == 1
        assert caller.line.last_packet_at == 100.0

    def test_rtcp_is_not_sound(self) -> None:
        """RFC 5761: told apart by its packet type."""
        caller = Caller()
        assert caller.line.receive(b"\x80\xc8\x00\x01" + bytes(4), PHONE, 200.0) == []
        assert caller.line.ignored == 0
        assert caller.line.last_packet_at == 100.0

    def test_what_was_not_agreed_keeps_its_place_and_is_not_heard(self) -> None:
        """Unknown types are counted; they are no loss."""
        caller = Caller()
        caller.say(0)
        caller.line.receive(caller.packet(1, frame(1), 95), PHONE, caller.now)
        caller.line.receive(caller.packet(2, frame(2), 96), PHONE, caller.now)
        caller.say(3)
        assert caller.hears() == [0, "-", "-", 3]
        assert caller.line.ignored == 2
        assert caller.line.counts().lost == 0

    def test_media_that_move_are_followed(self) -> None:
        """The new address is the target at once, and the only one that is heard."""
        caller = Caller()
        caller.say(0)
        moved = ("192.0.2.8", 6000)
        caller.line.renegotiate(media(remote=moved), caller.now)
        assert caller.line.source.target == moved
        caller.line.receive(caller.packet(1), PHONE, caller.now)
        caller.line.receive(caller.packet(1), moved, caller.now)
        assert caller.hears() == [0, 1]
        assert caller.line.ignored == 1

    def test_any_codec_that_was_agreed_is_understood(self) -> None:
        """Both laws, frame by frame."""
        caller = Caller()
        a_law = ALAW.encode(np.full(FRAME, LEVELS[1], np.int16))
        caller.say(0)
        caller.line.receive(caller.packet(1, a_law, 8), PHONE, caller.now)
        caller.say(2)
        heard = caller.line.hear(caller.now).reshape(-1, FRAME)
        assert heard[0, 0] == LEVELS[0]
        assert heard[1, 0] == ALAW.decode(a_law)[0]
        assert heard[2, 0] == LEVELS[2]

    def test_packets_of_any_length_are_heard(self) -> None:
        caller = Caller()
        for n, size in enumerate([80, 240, 160]):
            at = sum([80, 240, 160][:n])
            data = rtp(500 + n, 80_000 + at, bytes([0x85]) * size)
            caller.line.receive(data, PHONE, caller.now)
        assert caller.hears() == [5, 5, 5]

    def test_a_deaf_line_gives_silence_of_the_same_length(self) -> None:
        caller = Caller()
        caller.line.uplink.deaf = True
        caller.say(0, 1)
        assert caller.hears() == ["-", "-"]
        caller.line.uplink.deaf = False
        caller.say(2)
        assert caller.hears() == [2]


class TestHold:
    """RFC 3264 §8.4: on hold the caller hears nothing and is not heard."""

    def hold(self, caller: Caller, **values: Any) -> None:
        caller.line.renegotiate(media(sending=False, **values), caller.now)

    def test_the_model_hears_silence_for_a_moment_and_then_nothing(self) -> None:
        caller = Caller()
        caller.say(0)
        assert caller.hears() == [0]
        self.hold(caller)
        assert caller.line.on_hold
        heard: list[int | str] = []
        for n in range(1, 250):
            caller.say(n % 60)  # music
            heard += caller.hears()
        assert set(heard) == {"-"}
        assert len(heard) * TICK == pytest.approx(HOLD_SILENCE, abs=0.1)

    def test_what_comes_after_it_is_heard_again(self) -> None:
        caller = Caller()
        self.hold(caller)
        caller.say(1, 2, 3)
        caller.wait(10)
        caller.hears()
        caller.line.renegotiate(media(), caller.now)
        assert not caller.line.on_hold
        caller.say(4, 5)
        assert caller.hears() == [4, 5]

    @pytest.mark.parametrize("pause", [5, 15, 40])
    def test_a_hold_without_packets_is_filled_once(self, pause: int) -> None:
        """`inactive`: the stream stops, and its timestamps say how long that was."""
        caller = Caller()
        caller.say(0)
        self.hold(caller, receiving=False)
        heard = caller.hears()
        caller.wait(0.001)
        for _ in range(pause):
            caller.wait(TICK)
            heard += caller.hears()
        caller.line.renegotiate(media(), caller.now)
        place = caller.timestamp + (pause + 1) * FRAME
        for n in (0, 1, 2):
            caller.wait(TICK)
            data = rtp(caller.sequence + 1 + n, place + n * FRAME, frame(n))
            caller.line.receive(data, PHONE, caller.now)
            heard += caller.hears()
        assert heard[0] == 0
        assert heard[-3:] == [0, 1, 2]
        assert heard[1:-3] == [*"-" * pause]

    def test_a_second_offer_of_hold_does_not_begin_anew(self) -> None:
        caller = Caller()
        self.hold(caller)
        caller.wait(HOLD_SILENCE + 0.1)
        caller.hears()
        self.hold(caller)
        caller.wait(1)
        assert caller.hears() == []

    def test_the_tracks_of_a_recording_go_on_through_it(self) -> None:
        tracks = Recorded()
        caller = Caller(tracks=tracks)
        self.hold(caller)
        for n in range(250):
            caller.say(n % 60)
            caller.line.downlink.sent(caller.now)
            caller.line.downlink.prepare()
            caller.hears()
        assert sound(tracks.of_caller) == [*"-" * len(sound(tracks.of_caller))]
        assert len(sound(tracks.of_caller)) == pytest.approx(250, abs=12)
        assert sound(tracks.of_model) == [*"-" * 250]

    def test_a_caller_who_renegotiates_is_there(self) -> None:
        """However long nothing was heard of her, and for whatever reason."""
        caller = Caller()
        caller.line.renegotiate(media(receiving=False), 150.0)
        caller.line.renegotiate(media(), 400.0)
        assert caller.line.last_packet_at == 400.0

    def test_music_that_is_held_in_order_is_not_heard_after_it(self) -> None:
        caller = Caller()
        caller.say(0)
        caller.hears()
        caller.say(2)  # waits for 1
        self.hold(caller)
        caller.wait(0.06)
        assert caller.hears() == []


class Model:
    """A line and a model that speaks, at the model's rate `rate`."""

    def __init__(self, rate: int = 8000, **values: Any) -> None:
        self.now = 100.0
        values = {"now": self.now, "source": SourceRule("sdp", PHONE), **values}
        agreed = values.pop("media", media())
        start = values.pop("start", Start(7, 100, 1000))
        self.line = Line(agreed, Playout(rate), model_rate=rate, start=start, **values)

    def speak(self, frames: Sequence[int], item: str = "item_1") -> None:
        pcm = np.repeat(np.array([LEVELS[n] for n in frames], "<i2"), FRAME).tobytes()
        self.line.playout.push(Part("resp_1", item, 0), base64.b64encode(pcm).decode())

    def tick(self) -> Packet | None:
        """Send what was prepared, and prepare the next; returns what was sent."""
        self.now += TICK
        data = next(iter(self.line.downlink.packets), None)
        self.line.downlink.sent(self.now)
        self.line.downlink.prepare()
        return parse(data) if data else None

    def sends(self, ticks: int) -> list[Packet]:
        return [packet for packet in (self.tick() for _ in range(ticks)) if packet]


def said(packets: Iterable[Packet]) -> list[int | str]:
    return read(ULAW.decode(b"".join(packet.payload for packet in packets)))


class TestSending:
    """Outward: a packet each tick, timestamps without a break."""

    def test_speech_leaves_frame_by_frame(self) -> None:
        model = Model()
        model.speak([1, 2, 3])
        model.line.playout.finish("item_1")
        model.line.downlink.prepare()
        assert said(model.sends(5)) == [1, 2, 3, "-", "-"]

    def test_sequence_and_timestamp_go_on_and_wrap(self) -> None:
        """RFC 3550 §5.1: from random beginnings, one more packet and 160 more samples each."""
        model = Model(start=Start(0xFFFFFFFF, 65_534, 2**32 - 320))
        model.line.downlink.prepare()
        packets = model.sends(4)
        assert [packet.sequence for packet in packets] == [65_534, 65_535, 0, 1]
        assert [packet.timestamp for packet in packets] == [2**32 - 160, 0, 160, 320]
        assert {packet.ssrc for packet in packets} == {0xFFFFFFFF}

    def test_the_first_packet_has_the_marker(self) -> None:
        """RFC 3551 §4.1: the beginning of a talkspurt."""
        model = Model()
        model.line.downlink.prepare()
        assert [packet.marker for packet in model.sends(3)] == [True, False, False]

    def test_a_late_tick_is_time_that_passed(self) -> None:
        """No burst after a delay; the timestamps know, the sequence does not."""
        tracks = Recorded()
        model = Model(tracks=tracks)
        model.line.downlink.prepare()
        model.tick()
        model.line.downlink.skip(3)
        packets = model.sends(2)
        assert packets[1].timestamp - packets[0].timestamp == 4 * FRAME
        assert packets[1].sequence - packets[0].sequence == 1
        assert len(sound(tracks.of_model)) == 6  # the recording knows, too
        plain = Model()
        plain.line.downlink.skip(1)
        plain.line.downlink.prepare()
        assert plain.sends(1)[0].timestamp == 1000 + 2 * FRAME

    def test_what_was_sent_is_counted(self) -> None:
        model = Model()
        model.speak([1, 2])
        model.line.playout.finish("item_1")
        model.line.downlink.prepare()
        assert model.line.downlink.sent(model.now) == Part("resp_1", "item_1", 0)
        model.line.downlink.prepare()
        assert model.line.downlink.sent(model.now) is None
        assert model.line.playout.sent_total == 2 * FRAME
        assert model.line.counts().sent == 2
        assert model.line.downlink.sent(model.now) is None  # nothing was prepared
        assert model.line.counts().sent == 2

    def test_the_resamplers_delay_is_made_up_for(self) -> None:
        """Sent is the sample under the last output sample: the filter is fed ahead.

        2 ms ahead, which are silence where nothing was said before: so much later it is heard.
        """
        model = Model(24000)
        pcm = np.zeros(4800, "<i2")
        pcm[1500] = 20_000  # 62.5 ms into the item
        model.line.playout.push(Part("r", "i", 0), base64.b64encode(pcm.tobytes()).decode())
        model.line.downlink.prepare()
        heard = ULAW.decode(b"".join(packet.payload for packet in model.sends(5)))
        peak = int(np.abs(heard).argmax())
        assert peak == 1500 // 3 + 16
        assert model.line.playout.sent_total == 5 * 480 - 48

    def test_a_cut_leaves_nothing_in_the_resampler(self) -> None:
        """Not a sample of the old reply is heard in the next one."""
        model = Model(24000)
        model.speak([59] * 30)
        model.line.downlink.prepare()
        model.sends(3)
        model.line.downlink.cut()
        quiet = ULAW.decode(b"".join(packet.payload for packet in model.sends(3)))
        assert not quiet.any()

    def test_nothing_is_sent_into_a_hold(self) -> None:
        """Not even the packet that was prepared already; it is the first one afterwards."""
        model = Model()
        model.speak([1, 2, 3, 4])
        model.line.playout.finish("item_1")
        model.line.downlink.prepare()
        assert said([packet for packet in [model.tick()] if packet]) == [1]
        model.line.renegotiate(media(sending=False, remote=None), model.now)
        assert model.sends(10) == []
        assert model.line.playout.sent_total == FRAME
        model.line.renegotiate(media(), model.now)
        packets = model.sends(4)
        assert said(packets) == [2, 3, 4]
        assert [packet.marker for packet in packets] == [True, False, False]
        assert packets[0].sequence == 101
        assert packets[0].timestamp == 1000 + 13 * FRAME

    def test_another_codec_takes_effect_with_the_next_packet(self) -> None:
        model = Model()
        model.line.downlink.prepare()
        model.line.renegotiate(media(codec=PCMA, accepted={8: PCMA, 0: PCMU}), model.now)
        assert [packet.payload_type for packet in model.sends(2)] == [0, 8]

    def test_a_codec_may_have_another_number(self) -> None:
        """A dynamic payload type of the offer is used as it was offered."""
        model = Model(media=media(codec=PCMU.__class__("PCMU", 97, 8000)))
        model.line.downlink.prepare()
        assert [packet.payload_type for packet in model.sends(1)] == [97]


class TestCut:
    """Barge-in: silence in the very next packet, and the count is what was sent."""

    def test_the_prepared_packet_is_replaced(self) -> None:
        model = Model()
        model.speak([1, 2, 3, 4])
        model.line.downlink.prepare()
        assert said(model.sends(2)) == [1, 2]
        (heard,) = model.line.downlink.cut()
        assert (heard.part.item_id, heard.ms) == ("item_1", 40)
        packets = model.sends(2)
        assert said(packets) == ["-", "-"]
        assert [packet.sequence for packet in packets] == [102, 103]
        assert model.line.playout.sent_total == 2 * FRAME

    def test_what_is_said_next_is_counted_anew(self) -> None:
        model = Model()
        model.speak([1, 2, 3, 4])
        model.line.downlink.prepare()
        model.sends(2)
        model.line.downlink.cut()
        model.speak([5, 6, 7], "item_2")
        assert said(model.sends(3)) == ["-", 5, 6]
        (heard,) = model.line.downlink.cut()
        assert (heard.part.item_id, heard.ms) == ("item_2", 40)

    def test_a_cut_in_a_hold(self) -> None:
        """The frame that waited for the end of the hold is gone, too."""
        model = Model()
        model.speak([1, 2, 3, 4])
        model.line.downlink.prepare()
        model.sends(2)
        model.line.renegotiate(media(sending=False), model.now)
        model.sends(2)
        (heard,) = model.line.downlink.cut()
        assert heard.ms == 40
        model.line.renegotiate(media(), model.now)
        assert said(model.sends(3)) == ["-", "-"]

    def test_nothing_to_cut(self) -> None:
        model = Model()
        assert model.line.downlink.cut() == []
        assert model.line.downlink.packets == []


class TestTracks:
    """A recording hears what the model heard of the caller, and what the caller was sent."""

    def test_both_voices(self) -> None:
        tracks = Recorded()
        caller = Caller(tracks=tracks)
        caller.say(1, 2)
        caller.line.uplink.deaf = True
        caller.hears()
        model = Model(tracks=tracks)
        model.speak([5, 6])
        model.line.playout.finish("item_1")
        model.line.downlink.prepare()
        model.sends(3)
        assert sound(tracks.of_caller) == [1, 2]
        assert sound(tracks.of_model) == [5, 6, "-"]

    def test_what_was_cut_is_not_in_it(self) -> None:
        tracks = Recorded()
        model = Model(tracks=tracks)
        model.speak([5, 6, 7, 8])
        model.line.downlink.prepare()
        model.sends(2)
        model.line.downlink.cut()
        model.sends(2)
        assert sound(tracks.of_model) == [5, 6, "-", "-"]


def test_a_payload_type_that_a_reinvite_took_away_keeps_its_time() -> None:
    """What still waited in the old codec is silence of its length."""
    caller = Caller()
    caller.say(0, 2)
    caller.line.renegotiate(media(codec=PCMA, accepted={8: PCMA}), caller.now)
    a_law = ALAW.encode(np.zeros(FRAME, np.int16))
    caller.line.receive(caller.packet(1, a_law, 8), PHONE, caller.now)
    heard = caller.line.hear(caller.now).reshape(-1, FRAME)
    assert [name(piece) for piece in (heard[0], heard[2])] == [0, "-"]


def test_the_media_are_those_agreed_last() -> None:
    caller = Caller()
    assert caller.line.media == media()
    caller.line.renegotiate(media(ptime=40), 101.0)
    assert caller.line.media.ptime == 40


def test_counts_of_a_call() -> None:
    caller = Caller()
    caller.say(0, 1, 3, 4, 5)
    counts = caller.line.counts()
    assert (counts.received, counts.lost, counts.late) == (5, 1, 0)
    assert counts.round_trip_ms is None


class TestKeys:
    """What the model presses goes out in the place of its speech."""

    def test_speech_waits_and_goes_on_where_it_was(self) -> None:
        model = Model()
        line = model.line
        model.speak([1, 2, 3, 4])
        line.playout.finish("item_1")
        line.downlink.prepare()
        before = model.sends(1)
        line.downlink.keys = Digits("1", inform=False)
        between = model.sends(13)
        assert line.downlink.keys.done
        line.downlink.keys = None
        after = model.sends(4)
        assert [packet.payload_type for packet in between[:9]] == [0] + 7 * [101] + [0]
        assert {packet.timestamp for packet in between[1:8]} == {before[0].timestamp + 2 * FRAME}
        sequences = [packet.sequence for packet in before + between + after]
        assert sequences == list(range(100, 118))
        assert said(before + between[:1]) == [1, 2]
        assert said(between[8:]) == 5 * ["-"]
        assert said(after) == ["-", 3, 4, "-"]  # the first was prepared before
        assert after[0].timestamp == between[0].timestamp + 13 * FRAME
        assert line.playout.sent_total == 4 * FRAME

    def test_a_cut_spares_a_key(self) -> None:
        line = Model().line
        line.downlink.keys = Digits("1", inform=False)
        line.downlink.prepare()
        key = line.downlink.packets
        line.downlink.cut()
        assert line.downlink.packets == key

    def test_a_key_waits_for_the_end_of_a_hold(self) -> None:
        model = Model()
        model.line.renegotiate(media(sending=False), model.now)
        model.line.downlink.keys = Digits("1", inform=False)
        assert model.sends(5) == []
        model.line.renegotiate(media(), model.now)
        assert [packet.payload_type for packet in model.sends(2)] == [101]

    def test_a_tone_is_heard_where_events_are_not_known(self) -> None:
        model = Model(media=media(event_payload_type=None))
        model.line.downlink.keys = Digits("1", inform=False)
        first = model.sends(2)[0]
        assert first.payload == ULAW.encode(samples(DIGITS["1"], 8000)[:FRAME])


class TestSomebodyElse:
    """The caller waits for another party, or speaks with it."""

    def test_ring_back_is_heard_instead_of_speech(self) -> None:
        model = Model()
        model.speak([1, 2])
        model.line.playout.finish("item_1")
        model.line.downlink.ring = True
        model.line.downlink.prepare()
        ringing = model.sends(5)
        expected = ULAW.encode(samples(RING_BACK, 8000)[: 5 * FRAME])
        assert b"".join(packet.payload for packet in ringing) == expected
        model.line.downlink.ring = False
        assert said(model.sends(4)[1:]) == [1, 2, "-"]  # one frame of the tone was prepared

    def test_the_stream_is_lent_and_taken_back(self) -> None:
        model = Model()
        model.line.downlink.prepare()
        model.sends(3)
        assert model.line.stand() == Start(7, 103, 1000 + 4 * FRAME)
        model.line.rejoin(Start(7, 600, 90_000), RtpCounts(sent=40, received=39), model.now)
        assert (model.line.counts().sent, model.line.counts().received) == (43, 39)
        model.line.downlink.prepare()
        (packet,) = model.sends(1)
        assert (packet.sequence, packet.timestamp, packet.marker) == (600, 90_000, True)

    def test_what_was_said_right_before_is_recorded(self) -> None:
        """Though the model has no time to hear it."""
        tracks = Recorded()
        caller = Caller(tracks=tracks)
        caller.say(0, 1, 2, 3)
        caller.line.stand()
        caller.line.rejoin(Start(7, 600, 90_000), RtpCounts(), caller.now)
        assert sound(tracks.of_caller) == [0, 1, 2, 3]
        assert caller.hears() == []

    def test_what_was_said_to_others_is_not_for_the_model(self) -> None:
        caller = Caller()
        caller.say(0, 1)
        caller.wait(10)
        caller.line.rejoin(Start(7, 600, 90_000), RtpCounts(), caller.now)
        assert caller.hears() == []  # and no ten seconds of silence either
        for n in (502, 503):
            caller.now += TICK
            caller.line.receive(caller.packet(n, frame(n - 500)), PHONE, caller.now)
        assert caller.hears() == [2, 3]
        assert caller.line.counts().lost == 0
