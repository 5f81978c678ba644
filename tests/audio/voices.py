"""Sound to code and the measures of what comes back: a voice that needs no recording."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.audio.codec import Codec, Decoder, Encoder
from gateway.audio.frame import Samples


def voice(rate: int, seconds: float = 2.0) -> Samples:
    """Vowel-like: harmonics of a moving pitch, in syllables, over a little noise."""
    at = np.arange(int(rate * seconds)) / rate
    phase = 2 * np.pi * np.cumsum(130 + 20 * np.sin(2 * np.pi * 2 * at)) / rate
    harmonics = np.arange(1, 25)[:, None]
    sound = (np.sin(harmonics * phase) / harmonics).sum(0)
    sound *= 3000 * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * at))
    noise = np.random.default_rng(4).standard_normal(len(at)) * 60
    return to_samples(sound + noise)


def sine(rate: int, frequency: float = 1000.0, seconds: float = 1.0) -> Samples:
    at = np.arange(int(rate * seconds)) / rate
    return to_samples(8000 * np.sin(2 * np.pi * frequency * at))


def to_samples(sound: npt.NDArray[np.float64]) -> Samples:
    return np.rint(sound).astype(np.int16)


def packets(encoder: Encoder, sound: Samples, ptime: int = 20) -> list[bytes]:
    """A whole number of packets; what remains of the sound is left."""
    count = encoder.rate * ptime // 1000
    ends = range(count, len(sound) + 1, count)
    return [encoder.encode(sound[end - count : end]) for end in ends]


def decoded(decoder: Decoder, payloads: list[bytes]) -> Samples:
    return np.concatenate([decoder.decode(payload) for payload in payloads])


def round_trip(codec: Codec, sound: Samples, ptime: int = 20) -> Samples:
    """What the far end hears, with the codec's delay taken out: as long as it can be."""
    encoder = codec.encoder(ptime)
    return decoded(codec.decoder(), packets(encoder, sound, ptime))[encoder.delay :]


def snr(sound: Samples, heard: Samples) -> float:
    """dB by which the sound is louder than what was made of it is off."""
    length = min(len(sound), len(heard))
    clean = sound[:length].astype(float)
    return ratio(clean, clean - heard[:length])


def ratio(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Energy of one by that of the other, dB."""
    energies = (np.square(each, dtype=float).sum() for each in (one, other))
    return float(10 * np.log10(np.divide(*energies)))


def lag(sound: Samples, heard: Samples) -> int:
    """Samples by which what was heard comes later, by correlation."""
    clean = sound.astype(float)
    spectrum = (
        np.fft.rfft(heard.astype(float), 2 * len(clean)) * np.fft.rfft(clean, 2 * len(clean)).conj()
    )
    return int(np.argmax(np.fft.irfft(spectrum)[: len(clean)]))
