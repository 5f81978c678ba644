"""Sound for real phones: what they say as files, and what they and the gateway heard from files."""

from __future__ import annotations

import struct
import wave
from collections.abc import Container, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gateway.audio.frame import Samples, silence
from gateway.audio.g711 import codec
from gateway.rtp.packet import Packet, encode
from gateway.simulator.speech import NOISE_CHARACTER, Noise

RATE = 8000  # Hz
FRAME = 160  # samples, 20 ms
HUM = 40  # of 32767, the peak of what is no silence, but no speech either
LOUD = 300.0  # RMS of a frame that is sound and no comfort noise


def voice(seconds: float, seed: int = 1) -> Samples:
    """Somebody speaks without words: noise, no stretch of it like another."""
    pcm = Noise(seed).say("x" * (int(seconds / NOISE_CHARACTER) + 2), RATE, "en")
    return np.frombuffer(pcm, "<i2").astype(np.int16)[: round(seconds * RATE)]


def pause(seconds: float) -> Samples:
    """Nobody speaks."""
    return silence(round(seconds * RATE))


def hum(seconds: float) -> Samples:
    """Too quiet to be speech (-61 dBFS), and yet no silence: who hears it knows that sound runs."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (HUM * np.sin(2 * np.pi * 440 * time)).astype(np.int16)


def write_wav(path: Path, *pieces: Samples) -> None:
    """One voice, 16 bits, 8 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.concatenate(pieces).astype("<i2").tobytes())


def read_wav(path: Path) -> list[Samples]:
    """The tracks of a WAV of 16 bits and 8 kHz."""
    with wave.open(str(path), "rb") as file:
        assert (file.getsampwidth(), file.getframerate()) == (2, RATE)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
        return list(sound.reshape(-1, file.getnchannels()).T)


def write_alaw(path: Path, *pieces: Samples) -> None:
    """Raw G.711, as sipp plays it."""
    path.write_bytes(codec("PCMA").encode(np.ascontiguousarray(np.concatenate(pieces))))


def loud_frames(sound: Samples) -> npt.NDArray[np.bool_]:
    """Which frames of 20 ms are more than comfort noise."""
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    return np.asarray(np.sqrt((frames**2).mean(axis=1)) > LOUD)


def loud_seconds(sound: Samples) -> float:
    """How long there is something to hear."""
    return float(np.count_nonzero(loud_frames(sound))) * FRAME / RATE


def sounding_seconds(sound: Samples) -> float:
    """How long there is more than digital silence, be it ever so quiet."""
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    return float(np.count_nonzero(frames.any(axis=1))) * FRAME / RATE


def found_at(piece: Samples, sound: Samples) -> tuple[float, float]:
    """Where in `sound` the piece is, in seconds, and how like it is there (1.0: the same)."""
    if len(sound) < len(piece):
        return 0.0, 0.0
    wanted = piece.astype(np.float64)
    heard = sound.astype(np.float64)
    size = len(heard) + len(wanted)
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    match = np.fft.irfft(spectrum, size)[: len(heard) - len(wanted) + 1]
    energy = np.concatenate([[0.0], np.cumsum(heard**2)])
    there = energy[len(wanted) :] - energy[: -len(wanted)]
    norm = np.sqrt(np.maximum(there, 1.0) * float((wanted**2).sum() or 1.0))
    likeness: npt.NDArray[np.float64] = match / norm
    best = int(likeness.argmax())
    return best / RATE, float(likeness[best])


def write_pcap(path: Path, packets: Iterable[Packet], lost: Container[int] = ()) -> None:
    """RTP packets, one every 20 ms, without those at the places `lost`, as a capture that sipp
    replays; it sets the addresses."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for index, packet in enumerate(packets):
            if index in lost:
                continue
            seconds, micros = divmod(index * 20_000, 1_000_000)
            data = _ethernet(encode(packet))
            file.write(struct.pack("<IIII", seconds, micros, len(data), len(data)) + data)


def _ethernet(payload: bytes) -> bytes:
    udp = struct.pack(">HHHH", 6000, 6000, 8 + len(payload), 0)
    size = 20 + len(udp) + len(payload)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1")
    return bytes(12) + b"\x08\x00" + ip + udp + payload
