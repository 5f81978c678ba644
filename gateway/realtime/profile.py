"""What differs from one provider of the Realtime API to the next.

Pure. A profile is a value: where to connect and as whom, the sound formats of both
directions, and what the provider does not take. The builders below hold what is known of
each provider; whatever an operator may have to change is an argument. Left out: Azure, and
the beta's flat shape of the session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import parse_qs, quote, urlsplit

YANDEX_URL = "wss://ai.api.cloud.yandex.net/v1/realtime"
OPENAI_URL = "wss://api.openai.com/v1/realtime"

MAX_REASON = 200  # characters of what a server says
NO_KEY = "none"  # a local server that asks for none


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How sound is written in one direction; 16-bit mono where it is PCM."""

    type: str = "audio/pcm"  # or audio/pcmu, audio/pcma
    rate: int = 24000  # Hz; 8000 where it is G.711

    def __post_init__(self) -> None:
        if self.type not in ("audio/pcm", "audio/pcmu", "audio/pcma"):
            raise ValueError(f"unknown audio format {self.type!r}")
        if self.type != "audio/pcm" and self.rate != 8000:
            raise ValueError(f"the rate of {self.type} is 8000 Hz, not {self.rate}")

    @property
    def law(self) -> str | None:
        """The G.711 codec by its SDP name; None for PCM."""
        return {"audio/pcmu": "PCMU", "audio/pcma": "PCMA"}.get(self.type)

    def settings(self) -> dict[str, Any]:
        """As session.update has it; G.711 has no rate there."""
        if self.type == "audio/pcm":
            return {"type": self.type, "rate": self.rate}
        return {"type": self.type}


PCM_24K = AudioFormat()


@dataclass(frozen=True, slots=True)
class Profile:
    """One provider, as one agent uses it. Its repr can be logged: it shows no secret."""

    name: str
    url: str = field(repr=False)  # with the model in its query; may hold a folder or a key
    headers: tuple[tuple[str, str], ...] = field(repr=False)  # of the handshake
    secrets: tuple[str, ...] = field(repr=False)  # to be struck out of whatever the server says
    model: str
    input: AudioFormat  # what we append
    output: AudioFormat  # what the deltas hold
    turn_detection: Mapping[str, Any] = field(repr=False)  # where the agent names none
    cancels_on_speech: bool = True  # server VAD stops the response that it interrupts
    refuses: frozenset[str] = frozenset()  # types of client events
    assistant_items: bool = True  # conversation.item.create takes what the model once said
    language_as: Literal["languages", "transcription"] = "transcription"
    transcription: Mapping[str, Any] | None = None  # what turns it on; None: it is always on
    cumulative_transcripts: bool = False  # a transcript of the caller repeats those before it
    builtin_tools: frozenset[str] = frozenset()  # functions that the server runs and answers itself

    def cleaned(self, text: str) -> str:
        """What a server says, fit for a log: no secret of ours, one line, and not long."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        printable = "".join(c if c.isprintable() else " " for c in text)
        return " ".join(printable.split())[:MAX_REASON]

    @property
    def host(self) -> str:
        """Host and port of the URL, for logs."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


def yandex(
    *,
    folder: str,
    model: str,
    api_key: str | None = None,
    iam_token: str | None = None,
    url: str = YANDEX_URL,
    input_format: AudioFormat = PCM_24K,
    output_format: AudioFormat = PCM_24K,
) -> Profile:
    """Yandex AI Studio. `model` is a short name or a whole gpt:// URI."""
    if (api_key is None) == (iam_token is None):
        raise ValueError("either api_key or iam_token is needed")
    key = _header_value(api_key or iam_token or "")
    uri = model if model.startswith("gpt://") else f"gpt://{folder}/{model}"
    return Profile(
        name="yandex",
        url=_with_model(url, uri),
        headers=(("Authorization", f"Api-Key {key}" if api_key else f"Bearer {key}"),),
        secrets=(key,),
        model=model,
        input=input_format,
        output=output_format,
        # create_response and interrupt_response are not documented there; both happen
        turn_detection={"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 400},
        refuses=frozenset({"input_audio_buffer.clear", "output_audio_buffer.clear"}),
        assistant_items=False,  # an error, and the session is of no use after it
        language_as="languages",
        cumulative_transcripts=True,
        builtin_tools=frozenset({"web_search", "file_search"}),
    )


def openai(
    *,
    api_key: str,
    model: str,
    url: str = OPENAI_URL,
    input_format: AudioFormat = PCM_24K,
    output_format: AudioFormat = PCM_24K,
) -> Profile:
    """OpenAI. PCM is 24 kHz there and nothing else."""
    return _like_openai("openai", url, api_key, model, input_format, output_format)


def compatible(
    *,
    url: str,
    model: str,
    api_key: str | None = None,
    input_format: AudioFormat = PCM_24K,
    output_format: AudioFormat = PCM_24K,
) -> Profile:
    """Any server that speaks as OpenAI's does. Without a key no header is sent."""
    return _like_openai("compatible", url, api_key, model, input_format, output_format)


def simulator(
    url: str,
    dialect: Literal["openai", "yandex"] = "openai",
    *,
    model: str = "simulator",
    input_format: AudioFormat = PCM_24K,
    output_format: AudioFormat = PCM_24K,
) -> Profile:
    """Our own simulator, in one of the dialects that it speaks."""
    if dialect == "yandex":
        like = yandex(folder="simulator", model=model, api_key="simulator", url=url)
    else:
        like = openai(model=model, api_key="simulator", url=url)
    return replace(
        like, name="simulator", headers=(), secrets=(), input=input_format, output=output_format
    )


def _like_openai(
    name: str,
    url: str,
    api_key: str | None,
    model: str,
    input_format: AudioFormat,
    output_format: AudioFormat,
) -> Profile:
    key = None if api_key in (None, NO_KEY) else _header_value(api_key or "")
    return Profile(
        name=name,
        url=_with_model(url, model),
        headers=(("Authorization", f"Bearer {key}"),) if key else (),
        secrets=(key,) if key else (),
        model=model,
        input=input_format,
        output=output_format,
        turn_detection={
            "type": "server_vad",
            "threshold": 0.5,
            "silence_duration_ms": 500,
            # the defaults of OpenAI; some who follow it want them said
            "create_response": True,
            "interrupt_response": True,
        },
        refuses=frozenset({"output_audio_buffer.clear"}),  # WebRTC and SIP only
        transcription={"model": "gpt-transcribe"},
    )


def _header_value(secret: str) -> str:
    """The secret as a header can hold it; a file's last newline is no part of it."""
    value = secret.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError("the key is empty or has characters that no HTTP header can hold")
    return value


def _with_model(url: str, model: str) -> str:
    """The URL with `model=` in its query, unless somebody has put it there already."""
    parts = urlsplit(url)  # ValueError if the host is none
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.port == 0:
        raise ValueError("the URL must begin with ws:// or wss:// and name a host")
    if parts.username is not None:
        raise ValueError("the URL holds a user; keys go into api_key")
    if parts.fragment or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise ValueError("the URL has characters that must be percent-encoded")
    if "model" in parse_qs(parts.query):
        return url
    joint = "&" if parts.query else "?"
    return f"{url.rstrip('?&')}{joint}model={quote(model, safe='')}"
