"""Transcoder: one direction between two codecs, packet for packet. Pure.

A packet leaves as long as it came, so that sequence and timestamps may step as the sender's do.
Left out on purpose: guessing what was lost (the far end does), and lengths that the codec which
leaves does not know.
"""

from __future__ import annotations

from gateway.audio.codec import Codec, Encoder
from gateway.audio.frame import AudioError
from gateway.audio.resample import Resampler


class Transcoder:
    def __init__(self, heard: Codec, said: Codec) -> None:
        self._heard, self._said = heard, said
        self._decoder = heard.decoder()
        self._resampler = Resampler(self._decoder.rate, said.rate)
        self._encoder: Encoder | None = None
        self._ptime = 0  # ms

    def convert(self, payload: bytes) -> bytes | None:
        """The payload in the other codec; None for one that is broken, or has no length of it."""
        ptime, rest = divmod(1000 * self._heard.duration(payload), self._heard.clock_rate)
        if rest or ptime not in self._said.ptimes:
            return None
        try:
            sound = self._resampler.push(self._decoder.decode(payload))
        except AudioError:
            return None
        if self._encoder is None or ptime != self._ptime:
            self._encoder, self._ptime = self._said.encoder(ptime), ptime
        return self._encoder.encode(sound)
