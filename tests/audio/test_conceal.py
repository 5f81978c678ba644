"""A gap sounds as the voice before it went on, fading, and then like nothing (G.711 App. I)."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.conceal import Concealer
from gateway.audio.frame import Samples, frame_samples, silence

RATES = [8000, 16000]


def voice(rate: int, seconds: float, pitch: float = 125.0, seed: int = 1) -> Samples:
    """A steady vowel: harmonics of one pitch, with phases from a seed."""
    dice = np.random.default_rng(seed)
    at = np.arange(round(seconds * rate)) / rate
    sound = np.zeros(len(at))
    for harmonic in range(1, int(3000 / pitch)):
        phase = 2 * np.pi * dice.random()
        sound += np.sin(2 * np.pi * pitch * harmonic * at + phase) / harmonic
    return np.rint(sound * 6000).astype(np.int16)


def told(rate: int, sound: Samples) -> Concealer:
    """One that has heard a sound, in packets of 20 ms."""
    concealer = Concealer(rate)
    for begin in range(0, len(sound), frame_samples(rate)):
        concealer.good(sound[begin : begin + frame_samples(rate)])
    return concealer


def error(sound: Samples, real: Samples) -> float:
    """Of the real sound's power, what is wrong, in dB."""
    wrong = sound.astype(float) - real
    return float(10 * np.log10((np.mean(wrong**2) + 0.1) / np.mean(real.astype(float) ** 2)))


def roughest(sound: Samples) -> int:
    """The biggest step from a sample to the next."""
    return int(np.abs(np.diff(sound.astype(int))).max())


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("pitch", [80.0, 125.0, 200.0, 250.0])
def test_the_voice_goes_on(rate: int, pitch: float) -> None:
    """§I.2.3: the last period is repeated, in step, as strong as it was for 10 ms."""
    sound = voice(rate, 0.1 + 0.01, pitch)
    concealer = told(rate, sound[: rate // 10])
    assert error(concealer.fill(rate // 100), sound[rate // 10 :]) < -40


@pytest.mark.parametrize("rate", RATES)
def test_it_fades_by_a_fifth_every_10_ms_and_ends_after_60(rate: int) -> None:
    """§I.2.7."""
    step = rate // 100
    concealer = told(rate, voice(rate, 0.1, pitch=200))  # 10 ms are two periods
    whole = concealer.fill(8 * step).astype(float)
    powers = [float(np.mean(whole[at * step : (at + 1) * step] ** 2)) for at in range(6)]
    gains = [(power / powers[0]) ** 0.5 for power in powers]
    assert gains == pytest.approx([1, 0.9, 0.7, 0.5, 0.3, 0.1], abs=0.03)
    assert not whole[6 * step :].any()


@pytest.mark.parametrize("rate", RATES)
def test_nothing_clicks_at_either_end(rate: int) -> None:
    """§I.2.4, §I.2.6: no step in the sound is much bigger than those of the voice itself."""
    frame = frame_samples(rate)
    for lost in range(1, 5):
        for pitch in (90.0, 137.0, 210.0):
            sound = voice(rate, 0.3, pitch)
            begin, end = 5 * frame, (5 + lost) * frame
            concealer = told(rate, sound[:begin])
            gap = concealer.fill(end - begin)
            after = concealer.good(sound[end:])
            heard = np.concatenate((sound[:begin], gap, after))
            assert roughest(heard) < 1.5 * roughest(sound)


def test_where_the_sound_comes_back_only_its_beginning_is_touched() -> None:
    """§I.2.6: a quarter of a period, and 4 ms for every 10 ms lost but the first: 10 ms at most."""
    sound = voice(8000, 0.3)
    for lost, overlap in ((80, 16), (160, 48), (240, 80), (800, 80)):
        concealer = told(8000, sound[:800])
        concealer.fill(lost)
        behind = sound[1000:1160]
        joined = concealer.good(behind)
        assert joined[overlap:].tolist() == behind[overlap:].tolist()
        assert joined[0] != behind[0]
        assert concealer.good(behind) is behind


def test_who_knows_what_follows_hits_the_middle_better() -> None:
    """A gap between two sounds is filled from both: the voice had changed when it came back."""
    before, after = voice(8000, 0.1, 125), voice(8000, 0.1, 140, seed=2)
    one_way, both = told(8000, before), told(8000, before)
    real = voice(8000, 0.16, 140, seed=2)[:480]  # what would lead to `after`: whole periods later
    blind = one_way.fill(480)
    seeing = both.fill(480, after[:160])
    period = 400  # samples of seven periods of 140 Hz
    lead = np.concatenate((real, after))[480 + period - 160 : 480 + period]
    assert error(seeing[-160:], lead) < -5 < error(blind[-160:], lead)
    assert both.good(after) is after  # the joint is made already


def test_nothing_clicks_between_two_known_sounds() -> None:
    """The sound that follows needs no joint, and gets none."""
    for n in (80, 160, 320, 480, 800):
        before, after = voice(8000, 0.1, 125), voice(8000, 0.1, 140, seed=2)
        gap = told(8000, before).fill(n, after[:160])
        assert len(gap) == n
        heard = np.concatenate((before, gap, after))
        assert roughest(heard) < 1.5 * max(roughest(before), roughest(after))


def test_a_gap_may_come_in_one_piece_or_in_many() -> None:
    """How the line cuts a gap changes nothing, and neither does what comes after it."""
    sound = voice(8000, 0.2)
    whole, pieces = told(8000, sound[:800]), told(8000, sound[:800])
    parts = [pieces.fill(n) for n in (1, 159, 100, 0, 240, 60, 40)]
    assert whole.fill(600).tolist() == np.concatenate(parts).tolist()
    assert whole.good(sound[800:]).tolist() == pieces.good(sound[800:]).tolist()
    assert whole.fill(300).tolist() == pieces.fill(300).tolist()
    assert whole.fill(160, sound[:160]).tolist() == pieces.fill(160, sound[:160]).tolist()
    assert whole.fill(160).tolist() == pieces.fill(160).tolist()


def test_what_was_imagined_counts_as_heard() -> None:
    """The gap after the next packet goes on from both."""
    sound = voice(8000, 0.2)
    for after in (None, sound[960:1120]):
        concealer = told(8000, sound[:800])
        concealer.fill(160, after)
        concealer.good(sound[960:1120])
        assert error(concealer.fill(80), sound[1120:1200]) < -10


@pytest.mark.parametrize("rate", RATES)
def test_before_any_sound_there_is_silence(rate: int) -> None:
    """Nothing was heard yet, so nothing is repeated."""
    assert not Concealer(rate).fill(rate // 10).any()


def test_after_a_first_packet_there_is_little_to_go_on_from() -> None:
    """One packet of 20 ms, or even of one sample, is enough not to fail."""
    for n in (1, 2, 40, 160):
        concealer = Concealer(8000)
        concealer.good(voice(8000, 0.02)[:n])
        assert len(concealer.fill(160)) == 160
        assert len(concealer.fill(160, voice(8000, 0.02)[:n])) == 160


def test_packets_of_any_length_are_remembered() -> None:
    """10 ms or 60 ms make no difference."""
    sound = voice(8000, 0.12)
    expected = told(8000, sound).fill(160).tolist()
    for size in (80, 240, 480, 960):
        concealer = Concealer(8000)
        for begin in range(0, len(sound), size):
            concealer.good(sound[begin : begin + size])
        assert concealer.fill(160).tolist() == expected


def test_an_empty_payload_is_no_sound() -> None:
    """A packet without samples ends no gap and changes none; a gap of no samples is none."""
    sound = voice(8000, 0.2)
    one, other = told(8000, sound[:800]), told(8000, sound[:800])
    one.good(silence(0))
    assert not len(one.fill(0))
    assert one.good(sound[800:960]) is not None
    other.good(sound[800:960])
    first = one.fill(80), other.fill(80)
    assert not len(one.good(silence(0)))
    assert [*first[0], *one.fill(80)] == [*first[1], *other.fill(80)]


def test_the_loudest_sound_does_not_turn_over() -> None:
    """A blend of samples is a sample."""
    for level in (-32768, 32767):
        loud = np.full(800, level, np.int16)
        concealer = told(8000, loud)
        assert set(concealer.fill(80).tolist()) == {level}
        assert np.sign(concealer.fill(300, loud).astype(int)).sum() == 300 * np.sign(level)
