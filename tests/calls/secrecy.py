"""What the tests of encrypted calls share: phones that encrypt, and a tap on the wire."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import numpy as np

from gateway.audio.frame import Samples
from gateway.rtp.dtls import Identity
from gateway.sdp.fingerprint import Fingerprint, Role
from gateway.sdp.security import OFFERED, Encryption, Keying
from gateway.simulator.phone import Phone, Secrecy
from gateway.simulator.speech import resample
from tests.clock import Address, Network

from .house import GATEWAY, House, noise

SUITES = (
    "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM",
)
WORDS = "A story about the telephone, and about those who talk by it."  # 4 s of it
SCRIPT = {
    "turns": [
        {"hears": "Tell me more", "say": WORDS},
        {"hears": "And then", "say": "Nothing at all happened then."},
        {"hears": "Really", "say": "That is what they say."},
    ]
}


_SEEDS = count(3)


def now() -> float:
    return asyncio.get_running_loop().time()


def keying(encryption: Encryption = "required", **options: Any) -> Keying:
    """A rule with keys of its own."""
    return Keying(encryption, random=random.Random(next(_SEEDS)).randbytes, **options)


def sdes(*suites: str, encryption: Encryption = "required") -> Secrecy:
    """A phone with keys in its signalling."""
    return Secrecy(keying(encryption, suites=suites or OFFERED))


def dtls(role: Role | None = None, encryption: Encryption = "required") -> Secrecy:
    """A phone that shakes hands; `role` is its own in that."""
    identity = Identity(datetime(2027, 1, 1, tzinfo=UTC))
    rule = keying(encryption, certificate=Fingerprint(*identity.fingerprint))
    return Secrecy(rule, identity, dtls=True, role=role)


def likeness(heard: Samples, said: Samples) -> float:
    """How much of what was said is in what was heard, 1 for all of it, wherever it begins."""
    voice, whole = said.astype(float), heard.astype(float)
    size = len(whole) + len(voice)
    spectrum = np.fft.rfft(whole, size) * np.conj(np.fft.rfft(voice, size))
    product = np.fft.irfft(spectrum, size)[: len(whole) - len(voice) + 1]
    sums = np.concatenate([[0.0], np.cumsum(whole**2)])
    energy = (sums[len(voice) :] - sums[: -len(voice)]) * (voice**2).sum()
    return float((product / np.sqrt(np.maximum(energy, 1))).max())


class Wire:
    """All that passes between media ports, as it left: (time, datagram, source, target).

    `changes` may put something else in the place of a datagram: none, itself, or several.
    """

    def __init__(self, network: Network) -> None:
        self.passed: list[tuple[float, bytes, Address, Address]] = []
        self.changes: Callable[[bytes, Address], list[bytes]] = lambda data, source: [data]
        self.send = network.send
        network.send = self._tapped  # type: ignore[method-assign] # a tap on the wire

    def of_gateway(self) -> list[bytes]:
        """What the gateway sent."""
        return [data for _, data, source, _ in self.passed if source[0] == GATEWAY[0]]

    def to_gateway(self) -> list[bytes]:
        """What it was sent."""
        return [data for _, data, _, target in self.passed if target[0] == GATEWAY[0]]

    def _tapped(self, data: bytes, source: Address, target: Address) -> None:
        if GATEWAY[1] in (source[1], target[1]):
            self.send(data, source, target)
            return
        self.passed.append((now(), data, source, target))
        for it in self.changes(data, source):
            self.send(it, source, target)


def said(home: House, since: float = 0.0) -> Samples:
    """What the model was given, at 8 kHz."""
    pcm = b"".join(
        base64.b64decode(event["audio"])
        for at, event in home.model.heard
        if event["type"] == "input_audio_buffer.append" and at > since
    )
    return np.frombuffer(resample(pcm, 24000, 8000), "<i2")


async def turn(home: House, phone: Phone, seed: int = 21) -> tuple[float, float]:
    """Have the caller say something and be answered; how well each heard the other, 1 at best."""
    began, before, first = now(), len(home.model.said), len(phone.heard)
    voice = noise(0.8, seed=seed)
    async with asyncio.timeout(20):
        await phone.say(voice)
        await phone.until_sound()
        await phone.until_silence()
    deltas = [
        base64.b64decode(event["delta"])
        for _, event in home.model.said[before:]
        if event["type"] == "response.output_audio.delta"
    ]
    answer = np.frombuffer(resample(b"".join(deltas), 24000, 8000), "<i2")
    heard = phone.recording()
    assert len(phone.heard) > first
    return likeness(said(home, began), voice[800:5600]), likeness(heard, answer[1600:16000])
