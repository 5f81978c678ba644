"""Digits: the keys that the model presses, a step each 20 ms. Pure.

A key goes out the best way that the far end knows, asked anew for each: as an RTP event where
telephone-event was agreed (RFC 4733), else by INFO where the peer takes it (RFC 6086 and the older
use), else as a tone in the sound. 100 ms of a key, and at least as long between two; a `w` is half
a second of nothing. The model's speech has to wait meanwhile.

Left out on purpose: flash, and which keys a model may ask for (tools.py).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from gateway.audio.frame import FRAME_MS, Samples
from gateway.audio.tone import DIGIT, DIGITS, samples
from gateway.rtp.dtmf import DigitSender
from gateway.rtp.packet import Packet
from gateway.sdp.negotiation import Media

_KEY = round(2 * DIGIT * 1000) // FRAME_MS  # frames of a key and of the pause behind it
_WAIT = 500 // FRAME_MS  # frames of a `w`


@dataclass(frozen=True, slots=True)
class Step:
    """What 20 ms of keys are made of."""

    packet: Packet | None = None  # in the place of the sound
    sound: Samples | None = None  # None: silence
    inform: str | None = None  # a key that INFO is to carry, now


SILENT = Step()


class Digits:
    """Keys on their way out. `inform`: the peer takes INFO."""

    def __init__(self, keys: str, *, inform: bool) -> None:
        self._keys = deque(keys.upper())
        self._inform = inform
        self._rate = 0
        self._steps: deque[Step] = deque()  # of the key that is down, where it is no event
        self._event: DigitSender | None = None  # of the key that is down, where it is one

    @property
    def done(self) -> bool:
        """The last step was taken, the pause behind the last key included."""
        return not (self._keys or self._steps or self._event)

    def sends_event(self, media: Media) -> bool:
        """The next step is a packet of its own, and no sound."""
        if self._event or self._steps:
            return self._event is not None and self._event.sounds
        return bool(self._keys) and self._keys[0] != "W" and media.event_payload_type is not None

    def step(self, media: Media, sequence: int, timestamp: int, ssrc: int, rate: int) -> Step:
        """The next 20 ms; `sequence` and `timestamp` are what an audio packet would have now.

        `rate` in Hz is that of the sound; what is left of a tone at another one is silence.
        """
        if rate != self._rate:
            self._rate, before = rate, len(self._steps)
            self._steps = deque([SILENT] * before)
        if not (self._steps or self._event) and self._keys:
            self._begin(self._keys.popleft(), media)
        if self._event:
            packet = self._event.next_packet(sequence, timestamp, ssrc)
            if not self._event.busy:
                self._event = None
            return Step(packet) if packet else SILENT
        return self._steps.popleft() if self._steps else SILENT

    def _begin(self, key: str, media: Media) -> None:
        if key == "W":
            self._steps.extend([SILENT] * _WAIT)
        elif media.event_payload_type is not None:
            self._event = DigitSender(media.event_payload_type, media.event_clock_rate)
            self._event.push(key)
        elif self._inform:
            self._steps.append(Step(inform=key))
            self._steps.extend([SILENT] * (_KEY - 1))
        else:
            tone = samples(DIGITS[key], self._rate)  # the pause behind it included
            self._steps.extend(Step(sound=sound) for sound in tone.reshape(_KEY, -1))
