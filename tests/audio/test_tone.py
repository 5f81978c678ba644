"""Tones have the frequencies, levels and times of the telephone network, and do not click."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from gateway.audio.frame import Samples
from gateway.audio.g711 import codec
from gateway.audio.tone import DIGITS, RING_BACK, Signal, Tone, peak, samples

RATES = [8000, 16000, 24000, 44100, 48000]
US_RING_BACK = Tone(parts=((440.0, -19.0), (480.0, -19.0)), cadence=(2.0, 4.0))
UK_RING_BACK = Tone(parts=((400.0, -16.0), (450.0, -16.0)), cadence=(0.4, 0.2, 0.4, 2.0))


def level(sound: Samples, frequency: float, rate: int) -> float:
    """dBm0 of one frequency, measured the way a filter of its width would."""
    turn = np.exp(-2j * np.pi * frequency * np.arange(len(sound)) / rate)
    amplitude = 2 * abs(np.mean(sound * turn))
    return float(20 * np.log10(amplitude / 32768 + 1e-12) + 3.14)


def spectrum_peaks(sound: Samples, rate: int, count: int) -> list[float]:
    """The strongest frequencies, Hz."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 16))
    peaks = [i for i in range(1, len(power) - 1) if power[i - 1] < power[i] >= power[i + 1]]
    strongest = sorted(peaks, key=lambda i: -power[i])[:count]
    return sorted(i * rate / (1 << 16) for i in strongest)


class TestRingBack:
    """E.180: 425 Hz, one second of five."""

    @pytest.mark.parametrize("rate", RATES)
    def test_one_second_of_sound_and_four_of_silence(self, rate: int) -> None:
        signal = Signal(RING_BACK, rate)
        for _ in range(2):
            assert np.abs(signal.take(rate)).max() == 7219  # -13.14 dB
            assert not signal.take(4 * rate).any()

    @pytest.mark.parametrize("rate", RATES)
    def test_425_hz_at_10_below_0_dbm0(self, rate: int) -> None:
        sound = Signal(RING_BACK, rate).take(rate)[rate // 10 : -rate // 10]
        assert spectrum_peaks(sound, rate, 1) == pytest.approx([425], abs=1)
        assert level(sound, 425, rate) == pytest.approx(-10, abs=0.01)

    def test_the_level_survives_g711(self) -> None:
        sound = Signal(RING_BACK, 8000).take(8000)[800:-800]
        for name in ("PCMU", "PCMA"):
            heard = codec(name).decode(codec(name).encode(sound))
            assert level(heard, 425, 8000) == pytest.approx(-10, abs=0.05)

    def test_how_it_is_cut_changes_nothing(self) -> None:
        """The phase goes on from frame to frame, over the end of the period too."""
        whole, pieces = Signal(RING_BACK, 8000), Signal(RING_BACK, 8000)
        parts = [pieces.take(n) for n in (1, 159, 160, 40_000, 7, 40_313)]
        assert np.concatenate(parts).tolist() == whole.take(80_640).tolist()

    def test_nothing_clicks(self) -> None:
        """No step is greater than the sine's own steepest."""
        sound = Signal(RING_BACK, 8000).take(40_000).astype(int)
        steepest = peak(-10) * 2 * np.pi * 425 / 8000
        assert max(abs(b - a) for a, b in pairwise(sound.tolist())) <= steepest + 1
        assert abs(sound[:10]).max() < 1000
        assert abs(sound[7990:8000]).max() < 1000

    def test_calls_share_the_samples_and_cannot_spoil_them(self) -> None:
        assert samples(RING_BACK, 8000) is samples(RING_BACK, 8000)
        taken = Signal(RING_BACK, 8000).take(160)
        taken[:] = 7
        assert Signal(RING_BACK, 8000).take(160).tolist() != taken.tolist()
        with pytest.raises(ValueError, match="read-only"):
            samples(RING_BACK, 8000)[0] = 7


class TestOtherCountries:
    """A tone is a value: frequencies, levels and a cadence of any length."""

    def test_two_frequencies(self) -> None:
        sound = Signal(US_RING_BACK, 8000).take(16_000)[800:-800]
        assert spectrum_peaks(sound, 8000, 2) == pytest.approx([440, 480], abs=1)

    def test_a_double_ring(self) -> None:
        signal = Signal(UK_RING_BACK, 8000)
        rings = [bool(signal.take(800).any()) for _ in range(30)]
        assert rings == [*[True] * 4, *[False] * 2, *[True] * 4, *[False] * 20]

    def test_too_loud_is_clipped_rather_than_wrapped(self) -> None:
        loud = samples(Tone(parts=((400.0, 3.0), (450.0, 3.0)), cadence=(0.1,)), 8000)
        assert (loud.min(), loud.max()) == (-32768, 32767)


class TestDigits:
    """Q.23: each digit is a low frequency and a high one."""

    @pytest.mark.parametrize(
        ("digit", "frequencies"),
        [
            ("1", (697, 1209)), ("2", (697, 1336)), ("3", (697, 1477)), ("A", (697, 1633)),
            ("4", (770, 1209)), ("5", (770, 1336)), ("6", (770, 1477)), ("B", (770, 1633)),
            ("7", (852, 1209)), ("8", (852, 1336)), ("9", (852, 1477)), ("C", (852, 1633)),
            ("*", (941, 1209)), ("0", (941, 1336)), ("#", (941, 1477)), ("D", (941, 1633)),
        ],
    )  # fmt: skip
    def test_frequencies(self, digit: str, frequencies: tuple[float, float]) -> None:
        sound = samples(DIGITS[digit], 8000)
        assert spectrum_peaks(sound[:800], 8000, 2) == pytest.approx(frequencies, abs=8)

    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize(("digit", "low", "high"), [("5", 770, 1336), ("#", 941, 1477)])
    def test_levels_and_lengths(self, digit: str, low: float, high: float, rate: int) -> None:
        """100 ms of tone, 100 ms of pause, the high one 2 dB above the low one."""
        tenth = rate // 10
        sound = samples(DIGITS[digit], rate)
        tone, pause = sound[:tenth][tenth // 10 : -tenth // 10], sound[tenth:]
        assert level(tone, low, rate) == pytest.approx(-10, abs=0.6)
        assert level(tone, high, rate) == pytest.approx(-8, abs=0.6)
        assert pause.tolist() == [0] * tenth

    def test_the_keys_are_sixteen(self) -> None:
        assert "".join(sorted(DIGITS)) == "#*0123456789ABCD"
