"""Was it heard as it was said? A known sound, and how like it is what arrived. Pure.

Below 3.4 kHz it is a voice whose pitch wanders by a seed, so each half second of it is found at
one place alone; from 5 to 7 kHz it is noise that goes on and off by a pattern, which only a wide
band carries.

Who compares lays what was heard over what was said, and asks of each half second how like it is
and where it is: a wrong decoder or a swapped rate is like nothing, and what is missing moves all
that follows. What codecs do differently, each sample of a wave or only its spectrum, is asked
apart: `likeness` is of the wave up to 3.4 kHz, `wide` of how loud 5 to 7 kHz were from one
moment to the next.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gateway.audio.frame import Samples

Floats = npt.NDArray[np.float64]

RATE = 16000  # Hz, at which sounds are compared
SECONDS = 3.0  # of the sound
PIECE = 0.5  # s
SEARCH = 0.25  # s about its place in which a piece is looked for
NARROW = (250.0, 3400.0)  # Hz
WIDE = (5000.0, 7000.0)  # Hz
SLOT = 0.1  # s that the upper band is on or off
NARROW_LEVEL, WIDE_LEVEL = 3000.0, 1200.0  # RMS of 32767
FRAME = 0.02  # s


@dataclass(frozen=True, slots=True)
class Comparison:
    """How what was heard is like what was said."""

    at: float  # s, where it began to be heard
    likeness: float  # of the waves below 3.4 kHz: 1 the same; the least of all half seconds
    spread: float  # s by which the half seconds are heard nearer or farther than they were said
    level: float  # dB by which it is louder below 3.4 kHz
    wide: float  # the same pattern from 5 to 7 kHz: 1 the same, 0 none
    wide_level: float  # dB by which it is louder there


def sound(rate: int, seed: int = 1) -> Samples:
    """What is said, for a machine of that rate in Hz; at 8 kHz without the upper band."""
    heard = _resampled(_said(seed), RATE, rate)
    return np.clip(np.round(heard), -32768, 32767).astype(np.int16)


def compare(heard: Samples, rate: int, seed: int = 1) -> Comparison:
    """Lay what was heard over what was said with that seed."""
    said, there = _said(seed), _resampled(_padded(heard, rate), rate, RATE)
    low, low_there = _band(said, NARROW), _band(there, NARROW)
    at, _ = _found(low, low_there)
    size, reach = int(PIECE * RATE), int(SEARCH * RATE)
    likes, places = [], []
    for start in range(0, len(low) - size + 1, size):
        begin = max(0, at + start - reach)
        region = low_there[begin : at + start + size + reach]
        place, like = _found(low[start : start + size], region)
        likes.append(like)
        places.append((begin + place - at - start) / RATE)
    part = slice(at, at + len(said))
    high, high_there = _loudness(_band(said, WIDE)), _loudness(_band(there, WIDE)[part])
    return Comparison(
        at=at / RATE,
        likeness=min(likes),
        spread=max(places) - min(places),
        level=_decibels(low_there[part], low),
        wide=_correlation(high[: len(high_there)], high_there),
        wide_level=_decibels(_band(there, WIDE)[part], _band(said, WIDE)),
    )


def read(path: Path) -> tuple[list[Samples], int]:
    """The tracks of a WAV of 16 bits, and their rate in Hz."""
    with wave.open(str(path), "rb") as file:
        assert file.getsampwidth() == 2
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
        return list(data.reshape(-1, file.getnchannels()).T), file.getframerate()


def write(path: Path, rate: int, tracks: int, *pieces: Samples) -> None:
    """The same sound on each track."""
    one = np.concatenate(pieces).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((tracks, 2, rate, 0, "NONE", ""))
        file.writeframes(np.repeat(one, tracks).tobytes())


# -- inside


def _said(seed: int) -> Floats:
    dice = np.random.default_rng(seed)
    count = int(SECONDS * RATE)
    time = np.arange(count) / RATE
    low = _band(_voiced(dice, time), NARROW) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))
    slots = dice.permutation(np.arange(round(SECONDS / SLOT)) % 2)
    gate = np.repeat(slots, int(SLOT * RATE)).astype(np.float64)
    high = _band(dice.standard_normal(count), WIDE) * gate
    return NARROW_LEVEL * low / _rms(low) + WIDE_LEVEL * high / _rms(high)


def _voiced(dice: np.random.Generator, time: Floats) -> Floats:
    """The harmonics of a voice whose pitch wanders."""
    points = np.arange(0, SECONDS + 0.2, 0.1)
    pitch = np.interp(time, points, dice.uniform(100, 240, len(points)))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    starts = dice.uniform(0, 2 * np.pi, 34)
    return np.asarray(
        sum(np.sin(phase * n + starts[n - 1]) / np.sqrt(n) for n in range(1, len(starts) + 1))
    )


def _padded(heard: Samples, rate: int) -> Floats:
    """A piece may have been heard too late to be there as a whole."""
    return np.concatenate([heard.astype(np.float64), np.zeros(int(SEARCH * rate))])


def _resampled(samples: Floats, source: int, target: int) -> Floats:
    """By its spectrum, all of it at once."""
    count = round(len(samples) * target / source)
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    return np.fft.irfft(spectrum, count) * (count / len(samples))


def _band(samples: Floats, hertz: tuple[float, float]) -> Floats:
    spectrum = np.fft.rfft(samples)
    where = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(where < hertz[0]) | (where > hertz[1])] = 0
    return np.fft.irfft(spectrum, len(samples))


def _found(piece: Floats, samples: Floats) -> tuple[int, float]:
    """Where the piece is, and how like it is there."""
    if len(samples) < len(piece):
        return 0, 0.0
    size = len(samples) + len(piece)
    spectrum = np.fft.rfft(samples, size) * np.conj(np.fft.rfft(piece, size))
    match = np.fft.irfft(spectrum, size)[: len(samples) - len(piece) + 1]
    energy = np.concatenate([[0.0], np.cumsum(samples**2)])
    there = energy[len(piece) :] - energy[: -len(piece)]
    likeness = match / np.sqrt(np.maximum(there, 1.0) * float((piece**2).sum()))
    best = int(likeness.argmax())
    return best, float(likeness[best])


def _loudness(samples: Floats) -> Floats:
    """RMS of each 20 ms."""
    frame = int(FRAME * RATE)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    return np.asarray(np.sqrt((frames**2).mean(axis=1)))


def _correlation(one: Floats, other: Floats) -> float:
    a, b = one - one.mean(), other - other.mean()
    return float((a * b).sum() / np.sqrt(max((a**2).sum() * (b**2).sum(), 1e-9)))


def _decibels(heard: Floats, said: Floats) -> float:
    return float(20 * np.log10(max(_rms(heard), 1e-3) / _rms(said)))


def _rms(samples: Floats) -> float:
    return float(np.sqrt((samples**2).mean())) if len(samples) else 0.0
