"""Packets of any codec as sound for the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gateway.audio.codec import codec
from gateway.audio.frame import Samples, silence
from gateway.call.uplink import STOPPED, Uplink
from gateway.rtp.packet import Packet
from gateway.sdp.formats import CODECS
from gateway.sdp.negotiation import Media

from .talk import PHONE

NUMBERS = {"PCMU": 0, "PCMA": 8, "G722": 9, "OPUS": 111}


def media(*names: str) -> Media:
    agreed = {NUMBERS[name]: replace(CODECS[name], payload_type=NUMBERS[name]) for name in names}
    return Media(
        remote=PHONE,
        codec=agreed[NUMBERS[names[0]]],
        accepted=agreed,
        event_payload_type=None,
        event_clock_rate=8000,
        sending=True,
        receiving=True,
        ptime=20,
        noise=frozenset({13}),
    )


class Caller:
    """A caller with a tone, and a model that hears at 24 kHz."""

    def __init__(self, *names: str) -> None:
        self.now = 100.0
        self.sequence, self.timestamp = 500, 4000
        self.tracked: list[tuple[int, int]] = []
        self.line = Uplink(
            media(*names),
            model_rate=24000,
            covers=lambda timestamp, units, now: False,
            now=self.now,
            track=lambda samples, rate: self.tracked.append((len(samples), rate)),
        )

    def say(self, name: str, frames: int, *, lose: tuple[int, ...] = (), ptime: int = 20) -> None:
        """So many packets of a tone of 1 kHz; some are lost."""
        used = codec(name)
        encoder, samples = used.encoder(ptime), used.rate * ptime // 1000
        at = np.arange(frames * samples) / used.rate
        tone = np.rint(8000 * np.sin(2 * np.pi * 1000 * at)).astype(np.int16)
        for n in range(frames):
            payload = encoder.encode(tone[n * samples : (n + 1) * samples])
            self.now += ptime / 1000
            if n not in lose:
                self.send(NUMBERS[name], payload)
            else:
                self.sequence += 1
            self.timestamp += used.clock_rate * ptime // 1000

    def send(self, payload_type: int, payload: bytes) -> bool:
        packet = Packet(payload_type, self.sequence, self.timestamp, 7, payload)
        self.sequence += 1
        return self.line.receive(packet, self.now)

    def hears(self) -> Samples:
        return self.line.hear(self.now)


def purity(sound: Samples) -> float:
    """dB of 1 kHz over all else, at 24 kHz."""
    at = 2 * np.pi * 1000 * np.arange(len(sound)) / 24000
    waves = np.stack((np.sin(at), np.cos(at)))
    tone = waves.T @ (waves @ sound.astype(float)) * 2 / len(sound)
    return float(10 * np.log10(np.mean(tone**2) / np.mean((sound - tone) ** 2)))


@pytest.mark.parametrize("name", ["PCMU", "PCMA", "G722", "OPUS"])
@pytest.mark.parametrize("ptime", [10, 20, 40, 60])
def test_each_codec_is_heard(name: str, ptime: int) -> None:
    """At the model's rate, as long as it lasted."""
    caller = Caller(name)
    caller.say(name, 1200 // ptime, ptime=ptime)
    heard = caller.hears()
    assert len(heard) == 1.2 * 24000
    assert purity(heard[12000:24000]) > (12 if name == "OPUS" else 30)
    assert sum(length for length, _ in caller.tracked) == 1.2 * codec(name).rate


@pytest.mark.parametrize("name", ["PCMU", "G722", "OPUS"])
def test_what_was_lost_is_concealed(name: str) -> None:
    """Exactly as long as it would have been, and much like it."""
    caller = Caller(name)
    caller.say(name, 50, lose=(20, 30, 31))
    heard = caller.hears()
    assert len(heard) == 24000
    lost = heard[20 * 480 : 21 * 480]
    assert np.abs(lost.astype(float)).mean() > 2500


def test_a_codec_may_change_at_any_packet() -> None:
    """With it the clock and the rate; both are heard whole."""
    caller = Caller("PCMU", "G722", "OPUS")
    for name in ("PCMU", "OPUS", "G722", "PCMU"):
        caller.say(name, 10)
        caller.line.hear(caller.now)
    caller.say("G722", 10)
    caller.say("OPUS", 10)
    assert len(caller.hears()) == 20 * 480
    assert {rate for _, rate in caller.tracked} == {8000, 16000}


def test_what_waits_comes_out_before_another_clock() -> None:
    caller = Caller("PCMU", "OPUS")
    caller.say("PCMU", 3, lose=(1,))
    assert len(caller.hears()) == 480
    caller.say("OPUS", 1)
    assert len(caller.hears()) == 3 * 480


def test_broken_packets_are_taken_for_lost() -> None:
    caller = Caller("OPUS")
    caller.say("OPUS", 5)
    assert caller.send(111, b"\xff")
    caller.say("OPUS", 5)
    assert len(caller.hears()) % 480 == 0


class TestNoise:
    """RFC 3389: what a pause sounds like."""

    def test_a_pause_has_the_noise_that_was_described(self) -> None:
        caller = Caller("PCMU")
        caller.say("PCMU", 5)
        assert caller.send(13, bytes([40]))
        caller.timestamp += 10 * 160
        caller.now += 0.2
        caller.say("PCMU", 1)
        pause = caller.hears()[6 * 480 : 15 * 480].astype(float)
        assert len(pause) == 9 * 480
        assert 100 < np.sqrt(np.mean(pause**2)) < 600  # 40 dB below overload

    def test_it_goes_on_by_the_clock(self) -> None:
        caller = Caller("PCMU")
        caller.say("PCMU", 5)
        caller.send(13, bytes([40]))
        caller.now += STOPPED + 0.1
        assert np.any(caller.hears()[6 * 480 :])

    def test_without_a_level_it_says_nothing(self) -> None:
        caller = Caller("PCMU")
        caller.say("PCMU", 5)
        assert caller.send(13, b"")
        caller.now += STOPPED + 0.1
        assert not np.any(caller.hears()[6 * 480 :])


def test_the_deaf_model_hears_silence() -> None:
    caller = Caller("G722")
    caller.line.deaf = True
    caller.say("G722", 5)
    assert np.array_equal(caller.hears(), silence(5 * 480))
