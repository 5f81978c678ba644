"""Resampling, measured with pure tones: what may not come in, what may not be lost, and when.

A round trip up and down hides the worst resamplers (hold up and pick every third down are an
identity), so each direction is measured alone.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio.frame import Samples, frame_samples, silence
from gateway.audio.g711 import codec
from gateway.audio.resample import RATES, Resampler

PAIRS = sorted(permutations(RATES, 2))
TELEPHONY = [(8000, 24000), (24000, 8000)]
AMPLITUDE = 10000

each_pair = pytest.mark.parametrize(("source", "target"), PAIRS)


def tone(rate: int, hz: float, seconds: float, amplitude: float = AMPLITUDE) -> Samples:
    at = np.arange(round(rate * seconds)) / rate
    return np.rint(amplitude * np.sin(2 * np.pi * hz * at)).astype(np.int16)


def resampled(source: int, target: int, samples: Samples) -> Samples:
    """Through a new resampler in frames of 20 ms."""
    resampler = Resampler(source, target)
    frame = frame_samples(source)
    frames = [samples[at : at + frame] for at in range(0, len(samples), frame)]
    return np.concatenate([resampler.push(it) for it in frames])


def spectrum(source: int, target: int, hz: float) -> npt.NDArray[np.float64]:
    """Level of each whole Hz in what becomes of a tone, in dB of that tone."""
    second = resampled(source, target, tone(source, hz, 1.2))[-target:]
    amplitudes = np.abs(np.fft.rfft(second)) * 2 / target
    decibels: npt.NDArray[np.float64] = 20 * np.log10(np.maximum(amplitudes, 1e-9) / AMPLITUDE)
    return decibels


class TestQuality:
    """The gates of a telephone line, in each direction."""

    @pytest.mark.parametrize(("source", "target"), TELEPHONY)
    @pytest.mark.parametrize("hz", [300, 1000, 2000, 3000, 3400])
    def test_speech_passes_unchanged(self, source: int, target: int, hz: int) -> None:
        """300 to 3,400 Hz within 1 dB (here: within 0.3)."""
        assert abs(spectrum(source, target, hz)[hz]) < 0.3

    @pytest.mark.parametrize("hz", [300, 1000, 2000, 3000, 3400])
    def test_no_image_on_the_way_up(self, hz: int) -> None:
        """At most -45 dB of a 3.4 kHz tone above 4 kHz (here: -60 of any tone up to there)."""
        assert spectrum(8000, 24000, hz)[4001:].max() < -60

    @pytest.mark.parametrize("hz", [4600, 4800, 5000, 6000, 7400, 8000, 9000, 11700])
    def test_no_alias_on_the_way_down(self, hz: int) -> None:
        """At most -60 dB of anything from 4.6 kHz up."""
        assert spectrum(24000, 8000, hz).max() < -60

    @each_pair
    def test_every_pair_keeps_its_band_and_nothing_else(self, source: int, target: int) -> None:
        """The same edges, scaled by the lower rate."""
        low = min(source, target)
        passed, stopped = int(0.425 * low), int(0.575 * low)
        assert abs(spectrum(source, target, passed)[passed]) < 0.3
        if stopped < source / 2:
            assert spectrum(source, target, stopped).max() < -60
        if source < target:
            assert spectrum(source, target, passed)[low // 2 + 1 :].max() < -60

    @each_pair
    def test_direct_current_is_exact(self, source: int, target: int) -> None:
        """A constant stays that constant, to the last bit: every phase of the filter sums to 1."""
        for value in (-32768, -12345, 1, 32767):
            out = resampled(source, target, np.full(source // 10, value, np.int16))
            assert set(out[len(out) // 2 :].tolist()) == {value}

    @each_pair
    def test_saturates_instead_of_wrapping(self, source: int, target: int) -> None:
        """The ringing of a full-scale square wave stays on its side of zero."""
        period = source // 100
        wave = np.where(np.arange(source // 5) // period % 2, -32768, 32767).astype(np.int16)
        out = resampled(source, target, wave).astype(np.int64)
        assert (out.max(), out.min()) == (32767, -32768)
        middles = out[target // 200 + target // 50 :: target // 100][:10]
        assert (np.diff(np.sign(middles)) != 0).all()

    def test_a_call_through_the_model_sounds_like_g711(self) -> None:
        """Mu-law, up, down, mu-law: at most 2 dB more noise than mu-law alone."""
        law = codec("PCMU")
        sent = tone(8000, 1004, 1)
        once = law.decode(law.encode(sent))
        back = resampled(24000, 8000, resampled(8000, 24000, once))
        heard = law.decode(law.encode(back))
        lag = 2 * Resampler(8000, 24000).delay
        alone = _snr(sent, once)
        assert alone > 35
        assert _snr(sent[800:-lag], heard[800 + lag :]) > alone - 2


def _snr(clean: Samples, noisy: Samples) -> float:
    """In dB."""
    noise = noisy.astype(np.float64) - clean
    return float(10 * np.log10((clean.astype(np.float64) ** 2).mean() / (noise**2).mean()))


class TestTime:
    """The stream keeps time: no waiting, no drift, a lag that is known."""

    @each_pair
    def test_the_lag_is_the_delay(self, source: int, target: int) -> None:
        """A sine comes out as the sine of `delay` source samples earlier, and nothing else."""
        resampler = Resampler(source, target)
        out = resampler.push(tone(source, 440, 0.5))
        at = np.arange(len(out)) / target - resampler.delay / source
        expected = AMPLITUDE * np.sin(2 * np.pi * 440 * at)
        settled = slice(target // 20, None)
        assert np.abs(out[settled] - expected[settled]).max() < 5

    @pytest.mark.parametrize(("source", "target"), TELEPHONY)
    def test_a_click_is_late_by_at_most_3_ms(self, source: int, target: int) -> None:
        """It leaves with the frame that it came in, or 3 ms into the next."""
        for at in range(0, frame_samples(source), 7):
            click = silence(source // 10)
            click[at] = 32000
            late = int(np.abs(resampled(source, target, click)).argmax()) / target - at / source
            assert 0 < late < 0.003

    @each_pair
    def test_the_delay_is_short(self, source: int, target: int) -> None:
        """Sixteen samples of the lower rate, and not one more than rounding asks."""
        delay = Resampler(source, target).delay
        assert delay / source <= 16 / min(source, target) + 1 / source

    @pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if 44100 not in pair])
    def test_fed_ahead_it_is_in_step(self, source: int, target: int) -> None:
        """After `delay` samples fed ahead, output m is the sound of source sample m."""
        resampler = Resampler(source, target)
        sound = tone(source, 440, 0.2)
        dropped = len(resampler.push(sound[: resampler.delay]))
        assert dropped * source == resampler.delay * target
        out = resampler.push(sound[resampler.delay :])
        expected = tone(target, 440, 0.2)[: len(out)]
        settled = slice(target // 20, None)
        assert np.abs(out[settled].astype(int) - expected[settled]).max() < 5

    @each_pair
    def test_nothing_waits_and_nothing_drifts(self, source: int, target: int) -> None:
        """After every push, floor(n * target / source) samples are out."""
        resampler = Resampler(source, target)
        pushed = got = 0
        for n in (1, 2, 0, 5, 160, 161, 479, 7, 882, 1000, 1, 441, 0, 3):
            got += len(resampler.push(silence(n)))
            pushed += n
            assert got == pushed * target // source

    @pytest.mark.parametrize(("source", "target"), TELEPHONY)
    def test_an_hour_is_an_hour(self, source: int, target: int) -> None:
        """The count is exact, and the last ten seconds are as the second ten."""
        resampler = Resampler(source, target)
        ten = tone(source, 440, 10)
        first, second = resampler.push(ten), resampler.push(ten)
        last, count = second, len(first) + len(second)
        for _ in range(358):
            last = resampler.push(ten)
            count += len(last)
        assert count == 3600 * target
        assert (last == second).all()

    @given(
        st.sampled_from(PAIRS),
        st.lists(st.integers(0, 700), max_size=12),
        st.integers(0, 2**32 - 1),
    )
    def test_the_size_of_the_pushes_does_not_matter(
        self, pair: tuple[int, int], sizes: list[int], seed: int
    ) -> None:
        """Noise in pieces is the noise in one piece, but for the rounding of a last bit."""
        noise = np.random.default_rng(seed).integers(-32768, 32768, sum(sizes)).astype(np.int16)
        whole = Resampler(*pair).push(noise).astype(int)
        resampler = Resampler(*pair)
        parts = [resampler.push(it) for it in np.split(noise, np.cumsum(sizes))]
        out = np.concatenate(parts).astype(int)
        assert len(out) == len(whole)
        assert np.abs(out - whole).max(initial=0) <= 1


class TestUse:
    """What the line relies on."""

    @pytest.mark.parametrize("rate", sorted(RATES))
    def test_the_same_rate_is_passed_through(self, rate: int) -> None:
        """No filter, no lag."""
        resampler = Resampler(rate, rate)
        sound = tone(rate, 440, 0.02)
        assert resampler.delay == 0
        assert resampler.push(sound).tolist() == sound.tolist()

    def test_reset_begins_anew(self) -> None:
        """Nothing is left of the sound before, in the middle of a unit either."""
        used, new = Resampler(24000, 8000), Resampler(24000, 8000)
        used.push(tone(24000, 440, 0.1)[:1000])
        used.reset()
        sound = tone(24000, 1000, 0.02)
        assert used.push(sound).tolist() == new.push(sound).tolist()

    def test_calls_do_not_hear_each_other(self) -> None:
        """Two streams of one ratio share a filter and nothing else."""
        one, other = Resampler(8000, 24000), Resampler(8000, 24000)
        one.push(tone(8000, 440, 0.02))
        assert not other.push(silence(160)).any()

    def test_what_came_out_is_not_touched_again(self) -> None:
        """A frame handed on stays as it is when the next one is made."""
        resampler = Resampler(8000, 24000)
        first = resampler.push(tone(8000, 440, 0.02))
        kept = first.copy()
        resampler.push(tone(8000, 1000, 0.02))
        assert first.tolist() == kept.tolist()

    @pytest.mark.parametrize(("source", "target"), [(8000, 11025), (22050, 8000), (0, 0)])
    def test_another_rate_is_our_mistake(self, source: int, target: int) -> None:
        """The configuration knows the rates, so another one is a bug: ValueError."""
        with pytest.raises(ValueError, match=f"no resampling from {source} to {target} Hz"):
            Resampler(source, target)
