"""Wide band and changes of codec: both voices of a line on a recording, where they belong.

The model's voice is noise at 24 kHz, found again in its track by correlation. The caller's is the
same noise through real encoders, in step with the ticks, so it belongs 20 ms before it is read, and
what its codec lags comes on top (Opus 6.5 ms, G.722 1.4 ms).
"""

from __future__ import annotations

import base64
import wave
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gateway.audio.codec import codec
from gateway.audio.frame import Samples
from gateway.audio.playout import Part, Playout
from gateway.call.downlink import Start
from gateway.call.line import Line
from gateway.call.recording import Queue, Recording
from gateway.call.sound_file import WavFile
from gateway.rtp.packet import Packet, encode
from gateway.rtp.source import SourceRule
from gateway.sdp.formats import CODECS
from gateway.sdp.negotiation import Media

from .talk import PHONE, media

NUMBERS = {"PCMU": 0, "PCMA": 8, "G722": 9, "OPUS": 111}
LAG = {"PCMU": 0.0, "PCMA": 0.0, "G722": 0.0014, "OPUS": 0.0065}  # s, of encoder and decoder
TURN = 50  # ticks with each codec

Sound = npt.NDArray[np.float64]


def noise(seconds: float, highest: float, rate: int = 48000) -> Sound:
    spectrum = np.fft.rfft(np.random.default_rng(4).standard_normal(round(seconds * rate)))
    hertz = np.fft.rfftfreq(round(seconds * rate), 1 / rate)
    spectrum[(hertz < 300) | (hertz > highest)] = 0
    sound = np.fft.irfft(spectrum)
    return np.asarray(sound / sound.std() * 3000)


def at_rate(whole: Sound, rate: int) -> Samples:
    return np.rint(whole[:: 48000 // rate]).astype(np.int16)


class Conversation:
    """A line, whose two voices say the same noise, on a recording."""

    def __init__(self, folder: Path, whole: Sound, first: str, ptime: int) -> None:
        self.now = 100.0
        self.queue: Queue = deque()
        self.recording = Recording(
            "c-1", folder / "c-1.wav", WavFile, self.queue, lambda: self.now, most=10_000
        )
        self.recording.begin()
        self.ptime = ptime
        self._whole = whole
        playout = Playout(24000)
        pcm = at_rate(whole, 24000).tobytes()
        playout.push(Part("r", "i", 0), base64.b64encode(pcm).decode())
        playout.decode_one()
        self.line = Line(
            self._media(first),
            playout,
            model_rate=24000,
            source=SourceRule("sdp", PHONE),
            start=Start(7, 100, 1000),
            now=self.now,
            tracks=self.recording,
        )
        self.line.downlink.prepare()
        self._sequence = 1000

    def say(self, names: list[str]) -> None:
        """Both; the caller with each codec for so long, the model as was agreed last."""
        for turn, name in enumerate(names):
            if turn:
                self.line.renegotiate(self._media(name), self.now)
            used = codec(name)
            encoder, frame = used.encoder(20), used.rate // 50
            said = at_rate(self._whole, used.rate)
            for n in range(turn * TURN, turn * TURN + TURN):
                self.now += 0.02
                self.line.downlink.sent(self.now)
                payload = encoder.encode(said[n * frame : (n + 1) * frame])
                stamp = 5000 + n * used.clock_rate // 50
                self._sequence += 1
                packet = Packet(NUMBERS[name], self._sequence, stamp, 9, payload)
                self.line.receive(encode(packet), PHONE, self.now)
                if n % 2:
                    self.line.hear(self.now)
                self.line.downlink.prepare()

    def tracks(self) -> tuple[int, Sound, Sound]:
        """The rate, the caller and the model."""
        for track, samples, rate, at in self.queue:
            track.add(samples, rate, at)
        self.recording.end()
        with wave.open(str(self.recording.path)) as file:
            stereo = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
            return file.getframerate(), *stereo.T.astype(np.float64)

    def _media(self, name: str) -> Media:
        agreed = {pt: replace(CODECS[it], payload_type=pt) for it, pt in NUMBERS.items()}
        return media(codec=agreed[NUMBERS[name]], accepted=agreed, ptime=self.ptime)


def behind(track: Sound, sound: Sound, expected: int, most: int) -> int:
    """By how many samples it is behind its place, `most` at most."""
    start = expected - most
    products = [track[start + n : start + n + len(sound)] @ sound for n in range(2 * most)]
    return int(np.argmax(products)) - most


@pytest.mark.parametrize("ptime", [20, 60])
@pytest.mark.parametrize(
    ("names", "rate"),
    [
        (["G722", "PCMU", "OPUS", "G722", "PCMA"], 16000),
        (["OPUS", "PCMA", "OPUS"], 16000),
        (["PCMA", "G722", "OPUS", "PCMU"], 8000),
    ],
)
def test_both_voices_are_in_step_through_all_codecs(
    names: list[str], rate: int, ptime: int, tmp_path: Path
) -> None:
    """The rate is the first codec's, and neither another clock nor another rate moves anything."""
    whole = noise(len(names) * TURN * 0.02 + 1, 3200)
    conversation = Conversation(tmp_path, whole, names[0], ptime)
    conversation.say(names)
    found, caller, model = conversation.tracks()
    assert found == rate
    own = at_rate(whole, rate).astype(np.float64)
    seconds, swallowed = TURN * 0.02, 0.0
    for turn, name in enumerate(names):
        middle = round((turn * seconds + 0.3) * rate)
        piece = own[middle : middle + round(0.5 * rate)]
        late = behind(caller, piece, middle, rate // 20)
        assert abs(late - LAG[name] * rate) <= 1.5, (name, late)
        if ptime == 20:
            sent = middle + rate // 50  # in the tick that began when the caller had said the first
            early = -behind(model, piece, sent, rate // 20)
            assert 0 <= early <= swallowed * rate, name
            swallowed += 0.002  # a change of rate costs the model the resampler's delay


def test_a_wide_band_is_kept(tmp_path: Path) -> None:
    """Of a call with G.722 what is above 4 kHz is there, on both tracks."""
    whole = noise(2, 6500)
    conversation = Conversation(tmp_path, whole, "G722", 20)
    conversation.say(["G722"])
    rate, *tracks = conversation.tracks()
    assert rate == 16000
    for track in tracks:
        power = np.abs(np.fft.rfft(track[2000:14000])) ** 2
        hertz = np.fft.rfftfreq(12000, 1 / rate)
        assert (
            power[(hertz > 4500) & (hertz < 6000)].mean()
            > 0.3 * power[(hertz > 1000) & (hertz < 3000)].mean()
        )
