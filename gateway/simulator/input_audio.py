"""What the caller said: the input audio buffer, and the turns heard in it (pure).

The clock of the buffer is the audio appended to it in the session; it goes on over commits,
clears and changes of the format. Under server VAD only a few seconds before speech are kept.
"""

from __future__ import annotations

import binascii

import pybase64

from .formats import AudioFormat
from .schema import Refusal
from .vad import Activity, Settings, SpeechStopped, Vad

LEAST_COMMIT_MS = 100
MARGIN_MS = 500  # kept before the prefix padding while nobody speaks


class InputAudio:
    def __init__(self, format: AudioFormat, vad: Settings | None) -> None:
        self.format = format
        self._settings = vad
        self._origin_ms = 0  # the clock where this format began
        self._received = 0  # bytes in this format
        self._held = bytearray()  # the last of them
        self._vad = self._listener()

    @property
    def clock_ms(self) -> int:
        """All audio of the session."""
        return self._origin_ms + self.format.ms(self._received)

    @property
    def speaking(self) -> bool:
        return self._vad is not None and self._vad.speaking

    def configure(self, format: AudioFormat, vad: Settings | None) -> None:
        """A session.update: what does not change goes on undisturbed."""
        if format != self.format:
            self._origin_ms, self._received = self.clock_ms, 0
            self._held.clear()
            self.format, self._settings = format, vad
            self._vad = self._listener()
        elif vad != self._settings:
            self._settings = vad
            self._vad = self._listener()

    def append(self, audio: str) -> list[Activity]:
        """Base64 of an append event; what the VAD heard in it."""
        data = decode_audio(audio, self.format, "audio")
        self._held += data
        self._received += len(data)
        if self._vad is None:
            return []
        activities = self._vad.push(self.format.decode(data))
        if not self._vad.speaking and not any(isinstance(a, SpeechStopped) for a in activities):
            self._forget()
        return activities

    def take(self, start_ms: int, end_ms: int) -> bytes:
        """The audio between two times, as far as it is still held; it and all before leaves."""
        held_from = self._received - len(self._held)
        begin = self.format.size(max(start_ms - self._origin_ms, 0)) - held_from
        end = self.format.size(max(end_ms - self._origin_ms, 0)) - held_from
        audio = bytes(self._held[max(begin, 0) : max(end, 0)])
        del self._held[: max(end, 0)]
        return audio

    def commit(self) -> bytes:
        """All that is held, by the client's commit; Refusal under 100 ms of it.

        While server VAD hears nobody speak, nothing is there to commit."""
        idle = self._vad is not None and not self._vad.speaking
        held = 0.0 if idle else len(self._held) / self.format.width * 1000 / self.format.rate
        if held < LEAST_COMMIT_MS:
            raise Refusal(
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{LEAST_COMMIT_MS}ms of audio, but buffer only has {held:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        audio = bytes(self._held)
        self.clear()
        return audio

    def clear(self) -> None:
        self._held.clear()
        self._vad = self._listener()

    def _listener(self) -> Vad | None:
        if self._settings is None:
            return None
        return Vad(self._settings, self.format.rate, self.clock_ms)

    def _forget(self) -> None:
        """Nobody speaks: only what a beginning turn could need is kept."""
        assert self._vad is not None
        onset = self._vad.onset
        keep_ms = self._vad.settings.prefix_padding_ms + MARGIN_MS
        keep_ms += 0 if onset is None else self.clock_ms - onset
        excess = len(self._held) - self.format.size(keep_ms)
        if excess > 0:
            del self._held[:excess]


def decode_audio(audio: str, format: AudioFormat, path: str) -> bytes:
    """The bytes of base64; Refusal for what is none, or is no whole samples."""
    try:
        data = pybase64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _no_audio(path) from error
    if len(data) % format.width:
        raise _no_audio(path)
    return data


def _no_audio(path: str) -> Refusal:
    return Refusal(
        f"Invalid '{path}'. Expected base64-encoded audio bytes in the session's format, "
        "but got an invalid value.",
        code="invalid_value",
        param=path,
    )
