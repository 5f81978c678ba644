"""Comfort noise after RFC 3389: what is said of it, and how it sounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio.comfort_noise import ComfortNoise, Noise, encode, measure, parse
from gateway.audio.frame import AudioError, Samples, silence

from .voices import sine, to_samples

LOW = (27,)  # one coefficient of -0.79
HIGH = (227,)


def level(sound: Samples) -> float:
    """-dBov: relative to a square wave that fills mu-law (§3.1)."""
    return float(-20 * np.log10(np.sqrt(np.mean(np.square(sound, dtype=float))) / 32124))


def share_below(sound: Samples, frequency: float, rate: int = 8000) -> float:
    energy = np.abs(np.fft.rfft(sound)) ** 2
    edge = int(len(energy) * frequency / (rate / 2))
    return float(energy[:edge].sum() / energy.sum())


class TestPayload:
    @pytest.mark.parametrize(
        ("payload", "noise"),
        [
            (b"\x40", Noise(64)),
            (b"\x00", Noise(0)),
            (b"\xc0", Noise(64)),  # the highest bit is nothing's
            (b"\x30\x7f\x00\xfe", Noise(48, (127, 0, 254))),
            (b"\x30" + bytes(range(20)), Noise(48, tuple(range(10)))),  # as many as we use
            (b"\x30\x10\xff\x20", Noise(48, (16,))),  # 255 is no coefficient
        ],
    )
    def test_a_level_and_perhaps_a_colour(self, payload: bytes, noise: Noise) -> None:
        """§3.3."""
        assert parse(payload) == noise

    def test_without_a_level_it_is_nothing(self) -> None:
        with pytest.raises(AudioError, match="without a level"):
            parse(b"")

    @given(level=st.integers(0, 127), colour=st.lists(st.integers(0, 254), max_size=10))
    def test_written_and_read(self, level: int, colour: list[int]) -> None:
        noise = Noise(level, tuple(colour))
        assert parse(encode(noise)) == noise

    @given(payload=st.binary(max_size=40))
    def test_any_bytes_sound_or_are_the_one_error(self, payload: bytes) -> None:
        noise = ComfortNoise()
        try:
            noise.follow(parse(payload))
        except AudioError:
            return
        assert noise.take(160).dtype == np.int16


class TestSound:
    @pytest.mark.parametrize("loud", [30, 45, 60, 70])
    @pytest.mark.parametrize("colour", [(), LOW, HIGH])
    def test_it_has_the_level(self, loud: int, colour: tuple[int, ...]) -> None:
        noise = ComfortNoise()
        noise.follow(Noise(loud, colour))
        assert level(noise.take(8000)) == pytest.approx(loud, abs=0.5)

    def test_it_has_the_colour(self) -> None:
        """A first coefficient below zero makes it low, as in G.711 Appendix II."""
        shares = []
        for colour in (LOW, (), HIGH):
            noise = ComfortNoise()
            noise.follow(Noise(40, colour))
            shares.append(share_below(noise.take(8000), 1000))
        assert shares[0] > 0.7
        assert shares[1] == pytest.approx(0.25, abs=0.03)
        assert shares[2] < 0.05

    def test_nothing_is_heard_before_it_is_told(self) -> None:
        assert not ComfortNoise().take(160).any()

    def test_frames_are_one_stream_without_a_seam(self) -> None:
        pieces, whole = ComfortNoise(), ComfortNoise()
        for noise in (pieces, whole):
            noise.follow(Noise(40, LOW))
        sound = whole.take(12_000)
        assert np.array_equal(np.concatenate([pieces.take(160) for _ in range(75)]), sound)
        steps = np.abs(np.diff(sound.astype(int)))
        assert steps[4095] < steps.max()

    def test_calls_differ(self) -> None:
        one, other = ComfortNoise(7), ComfortNoise(4711)
        for noise in (one, other):
            noise.follow(Noise(40))
        assert not np.array_equal(one.take(160), other.take(160))

    def test_the_loudest_does_not_wrap(self) -> None:
        noise = ComfortNoise()
        noise.follow(Noise(0, LOW))
        sound = noise.take(4096).astype(int)
        assert np.abs(np.diff(np.sign(sound)))[np.abs(sound[1:]) > 30000].max(initial=0) <= 2
        assert {32767, -32768} <= set(sound.tolist())


class TestMeasure:
    @pytest.mark.parametrize("colour", [(), LOW, HIGH, (60, 170, 127, 100)])
    def test_what_is_measured_sounds_alike(self, colour: tuple[int, ...]) -> None:
        first, second = ComfortNoise(), ComfortNoise(99)
        first.follow(Noise(50, colour))
        measured = measure(first.take(1600))
        second.follow(measured)
        assert measured.level == pytest.approx(50, abs=1)
        sounds = first.take(8000), second.take(8000)
        for edge in (500, 1000, 2000, 3000):
            shares = [share_below(sound, edge) for sound in sounds]
            assert shares[0] == pytest.approx(shares[1], abs=0.06)

    @pytest.mark.parametrize("n", [0, 160])
    def test_silence(self, n: int) -> None:
        assert measure(silence(n)) == Noise()

    @pytest.mark.parametrize("n", [1, 2, 5, 160])
    def test_short_and_pure_sound_has_a_filter(self, n: int) -> None:
        for sound in (sine(8000)[1 : n + 1], to_samples(np.full(n, 3.0))):
            assert parse(encode(measure(sound))) == measure(sound)

    def test_the_quietest(self) -> None:
        """One step of 16 bits is about 90 dB below; no level is below 127."""
        assert 85 < measure(to_samples(np.ones(160))).level < 95
        assert measure(to_samples(np.full(160, -32768.0))).level == 0
