"""Sounds that several tests need: the same every time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gateway.audio.frame import Samples


def babble(seconds: float, seed: int, rate: int = 8000) -> Samples:
    """Noise that is like a voice, but for sense: a pitch that wanders, formants that jump."""
    dice = np.random.default_rng(seed)
    n = round(seconds * rate)
    knots = np.arange(0, n + rate, rate // 12)  # twelve sounds a second

    def course(low: float, high: float) -> npt.NDArray[np.float64]:
        return np.interp(np.arange(n), knots, dice.uniform(low, high, len(knots)))

    pitch = course(0.8, 1.25) * np.repeat(dice.uniform(80, 300, n // rate + 1), rate)[:n]
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    formants = [course(250, 1000), course(900, 2000), course(2000, 3300)]
    sound = np.zeros(n)
    for harmonic in range(1, 40):
        hertz = harmonic * pitch
        heard = sum(1 / (1 + ((hertz - formant) / 90) ** 2) for formant in formants)
        sound += heard * (hertz < 3600) * np.cos(harmonic * phase + dice.uniform(0, 6))
    sound *= course(-0.3, 1).clip(0)
    sound += dice.normal(0, 0.01, n)
    sound *= dice.choice([3000, 12000, 30000]) / np.abs(sound).max()
    samples: Samples = np.rint(sound).astype(np.int16)
    return samples


def echo(
    sound: Samples,
    *,
    loss: float,
    delay: float,
    acoustic: bool = False,
    seed: int = 0,
    rate: int = 8000,
) -> npt.NDArray[np.float64]:
    """What a line returns of a sound: `loss` dB weaker and `delay` s later.

    A hybrid rings for 8 ms; a loudspeaker in a room does for 120 ms, and distorts before."""
    played = np.tanh(sound / 20000) * 20000 if acoustic else sound.astype(float)
    returned = np.convolve(played, response(loss=loss, acoustic=acoustic, seed=seed, rate=rate))
    return np.concatenate((np.zeros(round(delay * rate)), returned))[: len(sound)]


def response(
    *, loss: float, acoustic: bool = False, seed: int = 0, rate: int = 8000
) -> npt.NDArray[np.float64]:
    """What a line makes of one sample, `loss` dB weaker in all."""
    dice = np.random.default_rng(seed)
    length, fall = (0.12, 0.025) if acoustic else (0.008, 0.002)
    made = dice.standard_normal(round(length * rate))
    made *= np.exp(-np.arange(len(made)) / rate / fall)
    made *= 10 ** (-loss / 20) / np.sqrt((made**2).sum())
    return made
