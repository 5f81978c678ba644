"""The session of a client: its configuration, and what an update changes (pure).

An update names what changes; what it leaves out stays. `audio.input` and `audio.output` are
taken field by field, everything else is replaced as a whole.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from .dialect import Dialect
from .formats import AudioFormat
from .schema import Refusal
from .vad import Settings

# ms of silence after which semantic VAD, which here is energy too, takes a turn as ended
_EAGERNESS = {"low": 800, "medium": 500, "auto": 500, "high": 250}
_SERVER_VAD = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
_SEMANTIC_VAD = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}


class Session:
    def __init__(self, dialect: Dialect, session_id: str, model: str) -> None:
        self._dialect = dialect
        self._values: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": model,
            "output_modalities": ["audio"],
            "instructions": "",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "include": None,
            "audio": {
                "input": {
                    "format": AudioFormat().wire(),
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": dict(_SERVER_VAD),
                },
                "output": {"format": AudioFormat().wire(), "voice": "alloy", "speed": 1.0},
            },
        }

    def update(self, patch: Mapping[str, Any], *, spoken: bool) -> None:
        """Take a validated `session` of session.update.

        The voice is fixed once the assistant has spoken; the model always is."""
        audio = patch.get("audio", {})
        voice = audio.get("output", {}).get("voice", self.voice)
        if self._dialect.strict and spoken and voice != self.voice:
            raise Refusal(
                "Cannot update a conversation's voice if assistant audio is present.",
                code="cannot_update_voice",
                param="session.audio.output.voice",
            )
        for side in ("input", "output"):
            self._values["audio"][side] |= audio.get(side, {})
        detection = audio.get("input", {}).get("turn_detection")
        if detection is not None:
            server = detection["type"] == "server_vad"
            self._input["turn_detection"] = (_SERVER_VAD if server else _SEMANTIC_VAD) | detection
        self._values |= {k: v for k, v in patch.items() if k not in ("audio", "model")}

    def wire(self) -> dict[str, Any]:
        """The `session` of session.created and session.updated."""
        values = copy.deepcopy(self._values)
        values["output_modalities"] = self._dialect.modalities(self.modality)
        for side, format in (("input", self.input_format), ("output", self.output_format)):
            values["audio"][side]["format"] = self._dialect.echo(format.wire())
        return values

    @property
    def _input(self) -> dict[str, Any]:
        audio: dict[str, dict[str, Any]] = self._values["audio"]
        return audio["input"]

    @property
    def input_format(self) -> AudioFormat:
        return AudioFormat.of(self._input["format"])

    @property
    def output_format(self) -> AudioFormat:
        return self.format_of({})

    def format_of(self, output: Mapping[str, Any]) -> AudioFormat:
        """The format of a response, whose own `audio.output` may say another."""
        return AudioFormat.of((self._values["audio"]["output"] | output)["format"])

    @property
    def voice(self) -> Any:
        return self._values["audio"]["output"]["voice"]

    @property
    def modality(self) -> str:
        """ "audio" or "text"."""
        return str(self._values["output_modalities"][0])

    @property
    def max_output_tokens(self) -> Any:
        return self._values["max_output_tokens"]

    @property
    def instructions(self) -> str:
        return str(self._values["instructions"])

    @property
    def transcribes(self) -> bool:
        return self._dialect.always_transcribes or self._input["transcription"] is not None

    @property
    def vad(self) -> Settings | None:
        """None where the client commits its turns itself."""
        detection = self._input["turn_detection"]
        if detection is None:
            return None
        if detection["type"] == "semantic_vad":
            return Settings(silence_duration_ms=_EAGERNESS[detection["eagerness"]])
        return Settings(
            detection["threshold"],
            detection["prefix_padding_ms"],
            detection["silence_duration_ms"],
        )

    @property
    def creates_responses(self) -> bool:
        """At the end of a turn that the VAD heard."""
        return bool(self._detection("create_response"))

    @property
    def interrupts(self) -> bool:
        """When the VAD hears a voice."""
        return bool(self._detection("interrupt_response"))

    @property
    def idle_timeout(self) -> float | None:
        """Seconds."""
        timeout = self._detection("idle_timeout_ms")
        return None if timeout is None else timeout / 1000

    def _detection(self, field: str) -> Any:
        return (self._input["turn_detection"] or {}).get(field)
