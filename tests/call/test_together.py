"""Many calls as one array sound as each of them alone."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gateway.audio.frame import Samples
from gateway.audio.g711 import codec
from gateway.audio.playout import Part, Playout
from gateway.call import together
from gateway.call.downlink import Downlink, Start
from gateway.call.line import Line
from gateway.rtp.packet import parse
from gateway.rtp.source import SourceRule

from .talk import PCMA, PCMU, PHONE, media
from .test_line import Recorded, rtp

FRAME = 160
LAW = {"PCMU": codec("PCMU"), "PCMA": codec("PCMA")}
TYPE = {"PCMU": 0, "PCMA": 8}


def payload(seed: int, length: int = FRAME) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, length, dtype=np.uint8).tobytes()


class Call:
    """A line whose caller speaks noise."""

    def __init__(
        self, seed: int, law: str = "PCMU", model_rate: int = 24000, **values: Any
    ) -> None:
        self.seed, self.law, self.now = seed, law, 10.0
        agreed = media(codec=PCMU if law == "PCMU" else PCMA)
        playout = Playout(model_rate, values.get("model_law"))
        values = {"source": SourceRule("sdp", PHONE), "start": Start(7, 100, 1000), **values}
        self.line = Line(agreed, playout, model_rate=model_rate, now=self.now, **values)
        self.frames = 0

    def say(self, count: int = 2, length: int = FRAME) -> None:
        for _ in range(count):
            self.now += 0.02
            place = self.frames, self.frames * length
            data = rtp(*place, payload(self.seed + self.frames, length), TYPE[self.law])
            assert self.line.receive(data, PHONE, self.now) == []
            self.frames += 1


def hear(calls: list[Call]) -> list[npt.NDArray[Any]]:
    """What their models hear, through the array as far as they let it."""
    parts = [(call.line.uplink, call.line.coded(call.now)) for call in calls]
    some = [(uplink, coded) for uplink, coded in parts if coded is not None]
    many = together.heard(some)
    for (uplink, _), (_, record) in zip(some, many, strict=True):
        if record is not None:
            uplink.record(record)
    sounds = iter(many)
    return [
        call.line.hear(call.now) if coded is None else next(sounds)[0]
        for call, (_, coded) in zip(calls, parts, strict=True)
    ]


def test_what_models_hear() -> None:
    """Of both laws, at several rates, in packets of several lengths: each its own, to one LSB."""
    kinds: list[tuple[str, int, int]] = [
        ("PCMU", 24000, 160), ("PCMA", 24000, 160), ("PCMU", 8000, 160), ("PCMU", 24000, 240),
        ("PCMU", 16000, 160), ("PCMU", 24000, 160), ("PCMU", 44100, 160), ("PCMA", 24000, 161),
    ]  # fmt: skip
    calls = [Call(100 * n, law, rate) for n, (law, rate, _) in enumerate(kinds)]
    alone = [Call(100 * n, law, rate) for n, (law, rate, _) in enumerate(kinds)]
    shared = 0
    for _ in range(6):
        for (_, _, length), *both in zip(kinds, calls, alone, strict=True):
            for call in both:
                call.say(length=length)
        shared += sum(call.line.uplink.reception.received < call.frames for call in calls)
        for together_, one in zip(hear(calls), alone, strict=True):
            expected = one.line.hear(one.now)
            assert len(together_) == len(expected)
            assert np.abs(together_.astype(int) - expected).max() <= 1
    assert shared > 30  # most went through the array


@pytest.mark.parametrize("length", [20, 60, 100, 240])
def test_a_rate_without_whole_rows(length: int) -> None:
    """At 44.1 kHz a row is 10 ms: what leaves a part of one goes through the filter alone."""
    calls, alone = ([Call(n, "PCMU", 44100) for n in range(2)] for _ in range(2))
    for _ in range(6):
        for call in (*calls, *alone):
            call.say(length=length)
        for one, other in zip(hear(calls), alone, strict=True):
            expected = other.line.hear(other.now)
            assert len(one) == len(expected)
            assert np.abs(one.astype(int) - expected).max() <= 1


def test_a_recording_keeps_no_sound_of_others() -> None:
    """What a track gets is its own array, and no row of one of all calls."""
    tracks = Recorded()
    calls = [Call(1, tracks=tracks), Call(2), Call(3)]
    for _ in range(3):
        for call in calls:
            call.say()
        hear(calls)
        prepared([call.line.downlink for call in calls])
        calls[0].line.downlink.sent(calls[0].now)
    assert all(sound.base is None for sound in tracks.of_caller[2:])
    assert all(sound.base is None for sound in tracks.of_model)


def test_a_model_of_the_lines_own_law_hears_it_bit_by_bit() -> None:
    """All 256 codes as they came, but for the first packet, which is judged by its samples."""
    call = Call(1, "PCMU", 8000, model_law="PCMU")
    call.say(1)
    call.line.hear(call.now)
    call.say(4)
    (sound,) = hear([call])
    assert sound.tobytes() == b"".join(payload(1 + n) for n in range(1, 5))


def test_a_model_of_the_other_law_hears_samples() -> None:
    call = Call(1, "PCMU", 8000, model_law="PCMA")
    call.say(1)
    call.line.hear(call.now)
    call.say(2)
    (sound,) = hear([call])
    assert sound.dtype == np.int16
    assert sound.tobytes() == LAW["PCMU"].decode(payload(2) + payload(3)).tobytes()


class Halving:
    """A stage that keeps half of the loudness, and 30 samples back."""

    def __init__(self) -> None:
        self.rest = np.zeros(0, np.int16)

    def hear(self, samples: Samples, rate: int, now: float) -> Samples:
        sound = np.concatenate((self.rest, samples // 2))
        sound, self.rest = sound[:-30], sound[-30:]
        return sound


def test_stages_are_gone_through() -> None:
    """The same as alone, also where they keep sound back; recorded is what came."""
    tracks = [Recorded(), Recorded()]
    calls = [Call(1, tracks=tracks[0]), Call(1, tracks=tracks[1]), Call(50)]
    for call in calls[:2]:
        call.line.uplink._stages = [Halving()]
    for _ in range(5):
        for call in calls:
            call.say()
        both = hear([calls[0], calls[2]])
        assert np.abs(both[0].astype(int) - calls[1].line.hear(calls[1].now)).max() <= 1
        assert len(both[1]) == 960
    one, other = (np.concatenate(it.of_caller) for it in tracks)
    assert np.array_equal(one, other)


def test_it_is_recorded() -> None:
    """As samples, whether the model hears samples or codes."""
    for law in (None, "PCMU"):
        tracks = Recorded()
        call = Call(1, "PCMU", 8000, model_law=law, tracks=tracks)
        call.say(1)
        call.line.hear(call.now)
        call.say(2)
        hear([call])
        said = np.concatenate(tracks.of_caller)
        expected = LAW["PCMU"].decode(b"".join(payload(n) for n in (1, 2, 3)))
        assert np.array_equal(said, expected)


def test_a_gap_goes_the_long_way_and_is_joined_to_what_came_by_the_short_one() -> None:
    """What was lost is guessed from the packets that nobody had decoded until then."""
    short, long = Call(1), Call(1)
    heard: list[list[Samples]] = [[], []]
    for n in (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11):
        for call in (short, long):
            call.frames = n
            call.say(1)
        heard[0] += hear([short])
        heard[1].append(long.line.hear(long.now))
    one, other = map(np.concatenate, heard)
    assert len(one) == len(other) == 12 * 480
    assert np.abs(one.astype(int) - other).max() <= 1
    assert np.abs(one[5 * 480 : 6 * 480]).max() > 1000


def test_a_deaf_line_hears_nothing() -> None:
    call = Call(1)
    call.say(3)
    call.line.uplink.deaf = True
    assert call.line.coded(call.now) is None
    assert not call.line.hear(call.now).any()


def speaking(
    law: str, seed: int, model_rate: int = 24000, model_law: str | None = None
) -> Downlink:
    playout = Playout(model_rate, model_law)
    rng = np.random.default_rng(seed)
    count = model_rate // 2 + 77 * seed
    sound = (
        rng.integers(0, 256, count, dtype=np.uint8)
        if model_law
        else rng.integers(-9000, 9000, count, dtype=np.int16)
    )
    playout.push(Part("r", "i", 0), base64.b64encode(sound.tobytes()).decode())
    playout.finish("i")
    agreed = media(codec=PCMU if law == "PCMU" else PCMA)
    return Downlink(agreed, playout, Start(seed, 100, 1000))


def prepared(lines: list[Downlink]) -> None:
    parts = [(line, line.speech()) for line in lines]
    some = [(line, speech) for line, speech in parts if speech is not None]
    for (line, _), pack in zip(some, together.said(some), strict=True):
        line.pack(*pack)


def test_what_callers_hear() -> None:
    """Speech, its end, and the silence behind it: the same packets, samples to one code."""
    kinds = [
        ("PCMU", 0, 24000), ("PCMA", 1, 24000), ("PCMU", 2, 24000), ("PCMU", 3, 24000),
        ("PCMA", 4, 16000), ("PCMU", 5, 44100), ("PCMU", 6, 44100), ("PCMU", 7, 8000),
    ]  # fmt: skip
    many = [speaking(*kind) for kind in kinds]
    alone = [speaking(*kind) for kind in kinds]
    for tick in range(40):
        prepared(many)
        for (law, *_), one, other in zip(kinds, many, alone, strict=True):
            other.prepare()
            (sent,), (expected,) = map(parse, one.packets), map(parse, other.packets)
            assert sent._replace(payload=b"") == expected._replace(payload=b"")
            codes = (LAW[law].decode(it.payload).astype(int) for it in (sent, expected))
            first, second = codes
            assert np.abs(first - second).max() <= 1024  # a step of the law, where it rounds so
            assert (first != second).mean() < 0.02
            assert one.sent(tick * 0.02) == other.sent(tick * 0.02)
        for one, other in zip(many, alone, strict=True):
            assert one.playout.sent_total == other.playout.sent_total
    assert set(parse_last(many[0])) == {0xFF}


def parse_last(line: Downlink) -> bytes:
    line.prepare()
    return parse(line.packets[0]).payload


def test_a_model_that_speaks_the_lines_law_is_passed_on_bit_by_bit() -> None:
    line = speaking("PCMU", 5, 8000, "PCMU")
    said = np.random.default_rng(5).integers(0, 256, 4000 + 77 * 5, dtype=np.uint8).tobytes()
    sent = b""
    for tick in range(40):
        prepared([line])
        sent += parse(line.packets[0]).payload
        line.sent(tick * 0.02)
    assert sent.startswith(said)
    assert set(sent[len(said) :]) == {0xFF}


def test_a_cut_silences_what_was_prepared() -> None:
    line = speaking("PCMU", 6)
    for tick in range(5):
        prepared([line])
        line.sent(tick * 0.02)
    prepared([line])
    (heard,) = line.cut()
    assert heard.ms == 100
    assert set(parse(line.packets[0]).payload) == {0xFF}
