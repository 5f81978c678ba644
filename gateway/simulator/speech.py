"""The simulator's voice: tones that are cut like speech, and noise for tests (pure).

A voice turns text into 16-bit mono PCM at any rate. `Tones` needs nothing installed: each word
is a few syllables of a humming tone, so that an energy VAD hears words, and sentences end in a
pause. `Noise` is what tests measure with: no stretch of it is like another, so what a phone
received can be found in it to the sample. The voice with words is in `espeak`.
"""

from __future__ import annotations

import re
import zlib
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL = 0.12  # of full scale, RMS of a syllable: -18 dBFS
SYLLABLE_LETTERS = 3
PAUSES = {",": 0.15, ";": 0.2, ":": 0.2, ".": 0.3, "!": 0.3, "?": 0.3, "…": 0.3}  # s
NOISE_CHARACTER = 0.065  # s of noise for a character of text
NOISE_BAND = (400.0, 3200.0)  # Hz, passes every telephone codec


class Speech(Protocol):
    """A voice. `say` is called from the event loop, so it must answer in milliseconds."""

    def say(self, text: str, rate: int, language: str) -> bytes:
        """16-bit little-endian mono PCM at `rate` Hz; `language` is en, ru, …"""
        ...


def language_of(text: str) -> str:
    """ "ru" for Cyrillic letters, else "en"."""
    return "ru" if re.search("[а-яё]", text, re.IGNORECASE) else "en"


class Tones:
    def say(self, text: str, rate: int, language: str) -> bytes:
        pieces = [_silence(0.05, rate)]
        for word in text.split():
            letters = sum(character.isalnum() for character in word)
            pitch = 110.0 + zlib.crc32(word.encode("utf-8", "replace")) % 60  # Hz
            for _ in range(-(-letters // SYLLABLE_LETTERS)):
                pieces.append(_syllable(pitch, 0.16, rate))
            pieces.append(_silence(PAUSES.get(word[-1], 0.05), rate))
        return _pcm(np.concatenate(pieces))


def _syllable(pitch: float, seconds: float, rate: int) -> Floats:
    """A harmonic sound that swells and fades."""
    time = np.arange(round(seconds * rate)) / rate
    weights = {1: 1.0, 2: 0.8, 3: 0.9, 4: 0.7, 5: 0.8, 6: 0.4, 9: 0.3, 14: 0.2}
    sound = sum(
        weight * np.sin(2 * np.pi * pitch * harmonic * time + harmonic)
        for harmonic, weight in weights.items()
    )
    shaped = np.asarray(sound) * np.sin(np.pi * time / seconds) ** 0.5
    return np.asarray(shaped * (LEVEL / np.sqrt(np.mean(shaped**2))))


def _silence(seconds: float, rate: int) -> Floats:
    return np.zeros(round(seconds * rate))


class Noise:
    """Seeded noise of 400 to 3,200 Hz, as long as its text would be; the same text and seed
    give the same noise."""

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed

    def say(self, text: str, rate: int, language: str) -> bytes:
        dice = np.random.default_rng([self._seed, zlib.crc32(text.encode("utf-8", "replace"))])
        count = round(max(len(text) * NOISE_CHARACTER, 0.1) * rate)
        spectrum = np.fft.rfft(dice.standard_normal(count))
        hertz = np.fft.rfftfreq(count, 1 / rate)
        spectrum[(hertz < NOISE_BAND[0]) | (hertz > NOISE_BAND[1])] = 0
        sound = np.fft.irfft(spectrum, count)
        return _pcm(sound * (LEVEL / np.sqrt(np.mean(sound**2))))


def _pcm(sound: Floats) -> bytes:
    return np.clip(np.rint(sound * 32767), -32768, 32767).astype("<i2").tobytes()


def resample(pcm: bytes, source: int, target: int) -> bytes:
    """A whole utterance at another rate (Hz), through its spectrum.

    Not for streams: `gateway.audio.resample` is, between the rates of telephony."""
    if source == target or not pcm:
        return pcm
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64)
    tenths = -(-len(samples) * 10 // source)  # whole tenths of a second: lengths that FFTs like
    spectrum = np.fft.rfft(samples, tenths * source // 10)
    count = tenths * target // 10
    kept = np.zeros(count // 2 + 1, dtype=np.complex128)
    size = min(len(kept), len(spectrum))
    kept[:size] = spectrum[:size]
    sound = np.fft.irfft(kept, count) * (target / source)
    return _pcm(sound[: round(len(samples) * target / source)] / 32767)
