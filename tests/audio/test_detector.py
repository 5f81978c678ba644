"""Every digit is heard within the limits of Q.24, and nothing else is."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
import pytest

from gateway.audio.detector import FREQUENCIES, KEYS, Detector, Press
from gateway.audio.frame import Samples, frame_samples, silence
from gateway.audio.g711 import codec
from gateway.audio.tone import DIGITS, peak, samples
from gateway.simulator.speech import Noise, Tones

from .sounds import babble

RATE = 8000


def tone(
    key: str,
    seconds: float,
    *,
    row: float = -10.0,  # dBm0
    column: float = -10.0,
    row_off: float = 0.0,  # of the frequency
    column_off: float = 0.0,
    rate: int = RATE,
    phases: tuple[float, float] = (0.0, 0.0),
) -> npt.NDArray[np.float64]:
    index = KEYS.index(key)
    at = np.arange(round(seconds * rate)) * 2 * np.pi / rate
    low = FREQUENCIES[index // 4] * (1 + row_off)
    high = FREQUENCIES[4 + index % 4] * (1 + column_off)
    lows: npt.NDArray[np.float64] = peak(row) * np.sin(low * at + phases[0])
    highs: npt.NDArray[np.float64] = peak(column) * np.sin(high * at + phases[1])
    return lows + highs


def dialled(
    on: float,
    off: float,
    *,
    keys: str = KEYS * 2,
    noise: float | None = None,
    rate: int = RATE,
    row: float = -10.0,
    column: float = -10.0,
    row_off: float = 0.0,
    column_off: float = 0.0,
) -> Samples:
    """Keys one after another, at phases and distances from a seed, through G.711.

    `noise` is how far it is below the row's tone, dB."""
    dice = np.random.default_rng(zlib.crc32(repr((on, off, noise, row, column)).encode()))
    pieces = [np.zeros(int(dice.integers(100, 900)))]
    for key in keys:
        phases = (float(dice.uniform(0, 6.3)), float(dice.uniform(0, 6.3)))
        pieces.append(
            tone(
                key,
                on,
                row=row,
                column=column,
                row_off=row_off,
                column_off=column_off,
                rate=rate,
                phases=phases,
            )
        )
        pieces.append(np.zeros(round(off * rate) + int(dice.integers(0, 102))))
    sound = np.concatenate((*pieces, np.zeros(rate // 10)))
    if noise is not None:
        sound += dice.normal(0, peak(row - noise), len(sound))
    law = codec("PCMU")
    return law.decode(law.encode(np.rint(sound).clip(-32768, 32767).astype(np.int16)))


def presses(sound: Samples, rate: int = RATE, size: int = 0) -> list[Press]:
    """What is heard, in frames of 20 ms or of `size`."""
    detector = Detector(rate)
    size = size or frame_samples(rate)
    return [
        press
        for begin in range(0, len(sound), size)
        for press in detector.push(sound[begin : begin + size])
    ]


def digits(sound: Samples, rate: int = RATE) -> str:
    return "".join(press.digit for press in presses(sound, rate) if not press.ended)


class TestWhatMustBeHeard:
    """Q.24 Table A-1, the AT&T column where it asks for more."""

    @pytest.mark.parametrize("level", [-3.0, -10.0, -25.0, -29.0])
    @pytest.mark.parametrize("length", [0.04, 0.05, 0.1])
    def test_all_sixteen_at_any_level(self, length: float, level: float) -> None:
        """40 ms on and 40 ms off, 0 to -25 dBm."""
        assert digits(dialled(length, length, row=level, column=level)) == KEYS * 2

    @pytest.mark.parametrize(
        ("row", "column"), [(-10.0, -13.5), (-10.0, -17.5), (-12.0, -10.0), (-14.0, -10.0)]
    )
    def test_twist(self, row: float, column: float) -> None:
        """The column up to 8 dB below the row, or 4 dB above."""
        assert digits(dialled(0.04, 0.04, row=row, column=column)) == KEYS * 2

    @pytest.mark.parametrize("noise", [None, 15.0])
    @pytest.mark.parametrize(
        ("row", "column"), [(0.015, 0.015), (-0.015, -0.015), (0.015, -0.015), (-0.018, 0.018)]
    )
    def test_frequencies_a_little_off(self, row: float, column: float, noise: float | None) -> None:
        """1.5 %, and NTT's 1.8 %."""
        sound = dialled(0.04, 0.04, row_off=row, column_off=column, noise=noise)
        assert digits(sound) == KEYS * 2

    @pytest.mark.parametrize("noise", [15.0, 12.0])
    def test_in_noise(self, noise: float) -> None:
        assert digits(dialled(0.05, 0.05, noise=noise)) == KEYS * 2

    def test_in_wide_band(self) -> None:
        assert digits(dialled(0.05, 0.05, rate=16000), 16000) == KEYS * 2

    def test_our_own(self) -> None:
        """What we send ourselves, tone.py."""
        sound = np.concatenate([samples(it, RATE) for it in DIGITS.values()])
        assert digits(sound) == "".join(DIGITS)

    def test_a_long_press_is_one(self) -> None:
        assert digits(dialled(3.0, 0.1, keys="5")) == "5"

    @pytest.mark.parametrize("gap", [0.005, 0.01])
    def test_a_break_of_10_ms_does_not_make_two_of_one(self, gap: float) -> None:
        for lead in range(0, 102, 17):
            sound = np.concatenate(
                (np.zeros(lead), tone("7", 0.05), np.zeros(round(gap * RATE)), tone("7", 0.05))
            )
            assert digits(np.rint(np.append(sound, np.zeros(800))).astype(np.int16)) == "7"

    def test_the_same_key_twice(self) -> None:
        """A pause of 40 ms makes two, wherever the blocks lie."""
        for lead in range(0, 102, 17):
            sound = np.concatenate(
                (np.zeros(lead), tone("7", 0.05), np.zeros(320), tone("7", 0.05), np.zeros(800))
            )
            assert digits(np.rint(sound).astype(np.int16)) == "77"

    def test_one_key_after_another_without_a_pause(self) -> None:
        """Nobody need hear that, but it costs nothing."""
        sound = np.concatenate((tone("1", 0.08), tone("9", 0.08), np.zeros(400)))
        heard = presses(np.rint(sound).astype(np.int16))
        assert [(it.digit, it.ended) for it in heard] == [
            ("1", False), ("1", True), ("9", False), ("9", True),
        ]  # fmt: skip


class TestWhatMustNot:
    @pytest.mark.parametrize("length", [0.01, 0.015, 0.02, 0.022])
    def test_too_short(self, length: float) -> None:
        """Q.24: less than 23 ms."""
        assert digits(dialled(length, 0.05)) == ""

    @pytest.mark.parametrize(
        ("row", "column"), [(0.035, 0.0), (-0.035, 0.0), (0.0, 0.035), (0.0, -0.035), (0.03, 0.03)]
    )
    def test_frequencies_too_far_off(self, row: float, column: float) -> None:
        """Q.24: 3.5 %, NTT 3 %."""
        assert digits(dialled(0.1, 0.05, row_off=row, column_off=column)) == ""

    @pytest.mark.parametrize(("row", "column"), [(-10.0, -22.0), (-16.0, -10.0)])
    def test_too_much_twist(self, row: float, column: float) -> None:
        assert digits(dialled(0.1, 0.05, row=row, column=column)) == ""

    def test_too_quiet(self) -> None:
        assert digits(dialled(0.1, 0.05, row=-40.0, column=-40.0)) == ""

    def test_one_tone_or_three(self) -> None:
        at = np.arange(800) * 2 * np.pi / RATE
        one = peak(-8) * np.sin(770 * at)
        three = tone("5", 0.1) + peak(-10) * np.sin(941 * at)
        four = tone("5", 0.1) + peak(-10) * np.sin(1633 * at)
        other = tone("5", 0.1) + 2 * peak(-10) * np.sin(2500 * at)
        for sound in (one, three, four, other):
            assert digits(np.rint(sound).astype(np.int16)) == ""

    def test_overtones(self) -> None:
        """A voice has them, a key has not."""
        at = np.arange(800) * 2 * np.pi / RATE
        clean = tone("5", 0.1)
        voiced = clean + 0.3 * peak(-10) * np.sin(2 * 1336 * at)
        assert digits(np.rint(clean).astype(np.int16)) == "5"
        assert digits(np.rint(voiced).astype(np.int16)) == ""

    def test_what_swells(self) -> None:
        """A tone that doubles from one block to the next is none."""
        sound = tone("5", 0.0255) * np.repeat([0.25, 1.0], 102)
        assert digits(np.append(np.rint(sound), np.zeros(400)).astype(np.int16)) == ""

    def test_noise(self) -> None:
        """White, at every level."""
        dice = np.random.default_rng(3)
        for level in (100, 3000, 10000):
            sound = dice.normal(0, level, 60 * RATE).clip(-32768, 32767)
            assert digits(sound.astype(np.int16)) == ""

    def test_silence(self) -> None:
        assert digits(silence(RATE)) == ""

    @pytest.mark.parametrize("voice", [Tones(), Noise()])
    def test_the_simulators_voices(self, voice: Tones | Noise) -> None:
        text = "She had your dark suit in greasy wash water all year, you know. " * 10
        assert digits(np.frombuffer(voice.say(text, RATE, "en"), np.int16)) == ""

    def test_speech_like_noise(self) -> None:
        """Two minutes; tests/benchmark/digits.py has the hours, and real speech."""
        assert digits(np.concatenate([babble(30, seed) for seed in range(4)])) == ""


class TestWhereItIs:
    @pytest.mark.parametrize("lead", [160, 200, 250, 300, 401])
    def test_a_press_covers_its_tone(self, lead: int) -> None:
        """But for 8 ms at most on either side."""
        sound = np.concatenate((np.zeros(lead), tone("3", 0.06), np.zeros(800)))
        begun, ended = presses(np.rint(sound).astype(np.int16))
        assert lead - 102 <= begun.at <= lead + 64
        assert lead + 480 - 64 <= ended.at <= lead + 480 + 204
        assert (begun.ended, ended.ended) == (False, True)

    @pytest.mark.parametrize("lead", [160, 200, 250, 300, 401])
    def test_what_is_clear_has_no_tone_in_it(self, lead: int) -> None:
        """Who waits for it lets 8 ms of a tone through at most."""
        sound = np.rint(np.concatenate((np.zeros(lead), tone("3", 0.06)))).astype(np.int16)
        detector = Detector(RATE)
        let_through = 0
        for at, sample in enumerate(sound):
            if detector.push(np.array([sample])):
                assert at < lead + 320  # 40 ms
                break
            let_through = detector.clear
        assert let_through <= lead + 64

    def test_of_speech_all_is_clear_but_what_waits_for_its_block(self) -> None:
        """Nothing is held back for longer than three blocks, whatever is heard."""
        detector = Detector(RATE)
        held = []
        for index, frame in enumerate(babble(20, 5).reshape(-1, 160)):
            detector.push(frame)
            held.append((index + 1) * 160 - detector.clear)
        assert max(held) < 3 * 102
        assert sum(it >= 102 for it in held) < 0.05 * len(held)

    @pytest.mark.parametrize("size", [1, 80, 102, 240, 480, 4000])
    def test_the_size_of_the_pushes_changes_nothing(self, size: int) -> None:
        sound = dialled(0.05, 0.05)
        assert presses(sound, size=size) == presses(sound)

    def test_pushes_of_nothing(self) -> None:
        assert Detector(RATE).push(silence(0)) == []
