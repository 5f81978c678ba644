"""A telephone that returns what it hears, as a tap on the network in memory.

What the gateway sends comes back in the phone's own packets: weaker by `loss` (dB) and `delay` (s)
later, through the same hybrid or room as in tests/audio/sounds.py, and with what the phone says.
G.711 both ways.
"""

from __future__ import annotations

import asyncio

import numpy as np

from gateway.audio.frame import Samples
from gateway.audio.g711 import codec
from gateway.rtp.packet import Packet, encode, is_rtcp, parse, timestamp_delta
from tests.audio.sounds import babble, response
from tests.clock import Address, Network

from .house import GATEWAY

RATE = 8000
FRAME = 160
KEPT = 4 * RATE  # samples of what was sent
LAWS = {0: codec("PCMU"), 8: codec("PCMA")}


class Returning:
    """The line of every phone on this network."""

    def __init__(
        self, network: Network, *, loss: float, delay: float, acoustic: bool = False
    ) -> None:
        self._response = response(loss=loss, acoustic=acoustic)[::-1]
        self._acoustic = acoustic
        self._delay = delay
        self._sent = np.zeros(KEPT)  # by its place, modulo the length
        self._origin: tuple[int, int] | None = None  # a timestamp, and its place
        self._send = network.send
        network.send = self._tapped  # type: ignore[method-assign] # a tap on the wire

    def _tapped(self, data: bytes, source: Address, target: Address) -> None:
        is_sip = GATEWAY[1] in (source[1], target[1])
        if not is_sip and not is_rtcp(data):
            if source[0] == GATEWAY[0]:
                self._play(data)
            else:
                data = self._add(data)
        self._send(data, source, target)

    def _play(self, data: bytes) -> None:
        packet = parse(data)
        if packet.payload_type not in LAWS:
            return  # a key
        sound = LAWS[packet.payload_type].decode(packet.payload).astype(float)
        if self._acoustic:
            sound = np.tanh(sound / 20000) * 20000
        if self._origin is None:
            self._origin = packet.timestamp, round(self._now() * RATE)
        begun, place = self._origin
        place += timestamp_delta(packet.timestamp, begun)
        self._sent[np.arange(place, place + len(sound)) % KEPT] = sound

    def _add(self, data: bytes) -> bytes:
        packet = parse(data)
        if packet.payload_type not in LAWS:
            return data
        law = LAWS[packet.payload_type]
        end = round((self._now() - self._delay) * RATE)
        at = np.arange(end - FRAME - len(self._response) + 1, end)
        returned = np.correlate(self._sent[at % KEPT], self._response, "valid")
        sound = law.decode(packet.payload) + returned
        payload = law.encode(np.rint(sound).clip(-32768, 32767).astype(np.int16))
        return encode(Packet(*packet[:4], payload, packet.marker))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


class Monologue:
    """A voice like ours in tests/audio: sentences of babble, with pauses."""

    def __init__(self, seconds: float, seed: int = 21) -> None:
        self._seconds = seconds
        self._seed = seed

    def say(self, text: str, rate: int, language: str) -> bytes:
        sound = babble(self._seconds, self._seed, rate).astype(float)
        sound *= 4000 / np.sqrt(np.mean(sound**2))
        sound[np.arange(len(sound)) % (rate * 5 // 2) > rate * 17 // 8] = 0
        pcm: bytes = np.rint(sound).clip(-32768, 32767).astype("<i2").tobytes()
        return pcm


def caller(seconds: float, *, level: float = 0.0, seed: int = 4) -> Samples:
    """A caller who begins at once; `level` in dB against `Monologue`."""
    sound = babble(seconds + 3, seed).astype(float)
    strength = np.convolve(np.abs(sound), np.ones(80), "valid")
    held = np.lib.stride_tricks.sliding_window_view(strength[::80], 20).min(1)
    sound = sound[80 * int(held[:300].argmax()) :][: round(seconds * RATE)]
    sound *= 10 ** (level / 20) * 4000 / np.sqrt(np.mean(sound**2))
    samples: Samples = np.rint(sound).clip(-32768, 32767).astype(np.int16)
    return samples
