"""The door: JSON becomes a typed event here and nowhere else, and an event becomes JSON.

Pure. Tolerant in, exact out. A message of the common shape is read in one pass. One that
does not fit is read again with what servers are known to do wrong put right: the beta's
names, nulls for missing values, whole numbers written as fractions, errors and status as
bare text, the two shapes of a DTMF event; a number that nobody can count with is a missing
one. What fits even then to no event is an error; a type that nobody published is `Unknown`.

Everything of items, objects, client_events and server_events is reachable from here.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pybase64

from .client_events import *  # noqa: F403
from .client_events import ClientEvent
from .items import *  # noqa: F403
from .items import LARGEST
from .objects import *  # noqa: F403
from .server_events import *  # noqa: F403
from .server_events import KnownEvent, ServerEvent, Unknown


class RealtimeError(ValueError):
    """A message that is no event. Its text names the fault, and nothing that was said."""


def type_of(event: ClientEvent | KnownEvent) -> str:
    """The event's name on the wire, such as "response.create"."""
    return str(event.__struct_config__.tag)


_CLIENT_TYPES = frozenset(str(event.__struct_config__.tag) for event in get_args(ClientEvent))
_SERVER_TYPES = frozenset(str(event.__struct_config__.tag) for event in get_args(KnownEvent))

# Names that servers say for others: the beta's, in preview releases and clones, and one that
# Yandex's own sample listens to.
_ALIASES = {
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "input_audio_buffer.commit": "input_audio_buffer.committed",
}

_APPEND_HEAD = b'{"type":"input_audio_buffer.append","audio":"'
_APPEND_TAIL = b'"}'

_MAX_TYPE = 100  # characters of an unknown type that are kept
_MAX_COMMAS = 10_000  # of a message that is put right: each member takes time from every call

_encoder = msgspec.json.Encoder()
_server_decoder: msgspec.json.Decoder[KnownEvent] = msgspec.json.Decoder(KnownEvent)


def encode(event: ClientEvent | KnownEvent) -> bytes:
    """The event as JSON."""
    return _encoder.encode(event)


def encode_append(pcm: bytes) -> bytes:
    """`encode(InputAudioBufferAppend(...))` of raw sound, on the path of every 40 ms."""
    return _APPEND_HEAD + pybase64.b64encode(pcm) + _APPEND_TAIL


def parse_server(text: str | bytes) -> ServerEvent:
    """Read what a server sent; raises RealtimeError."""
    try:
        return _server_decoder.decode(text)
    except (ValueError, RecursionError):  # ValueError: msgspec's errors too, and bad UTF-8
        raw = _object(text)
    raw["type"] = _ALIASES.get(raw["type"], raw["type"])
    if raw["type"] not in _SERVER_TYPES:
        return Unknown(raw["type"][:_MAX_TYPE])
    commas = text.count(",") if isinstance(text, str) else text.count(b",")
    if commas > _MAX_COMMAS:
        raise RealtimeError(f"{raw['type']}: too long to be put right")
    try:
        event: KnownEvent = msgspec.convert(_repaired(raw), KnownEvent, strict=False)
    except (ValueError, RecursionError) as error:
        raise RealtimeError(f"{raw['type']}: {_reason(error)}") from None
    return event


def parse_client(text: str | bytes) -> ClientEvent:
    """Read what a client sent; raises RealtimeError, for unknown types too."""
    raw = _object(text)
    if raw["type"] not in _CLIENT_TYPES:
        raise RealtimeError("unknown type of event")
    try:
        event: ClientEvent = msgspec.convert(raw, ClientEvent, strict=False)
    except (ValueError, RecursionError) as error:
        raise RealtimeError(f"{raw['type']}: {_reason(error)}") from None
    return event


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        raw = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise RealtimeError(f"not JSON: {_reason(error)}") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        raise RealtimeError("not an object with a type")
    return raw


def _reason(error: Exception) -> str:
    # a UnicodeError carries the message itself
    return "bad UTF-8" if isinstance(error, UnicodeError) else str(error)


def _repaired(raw: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = _mended("", raw)
    match event:
        case {"type": "input_audio_buffer.dtmf_event_received", "event": str(digit)}:
            event.setdefault("digit", digit)
        case {"type": "error", "error": str(message)}:
            event["error"] = {"message": message}
        case {"type": "error"} if "error" not in event:
            event["error"] = {k: v for k, v in event.items() if k not in ("type", "event_id")}
    return event


def _mended(key: str, value: Any) -> Any:
    """One value as the reference would have it, nulls inside it left out."""
    match value:
        case dict() if key not in ("session", "metadata"):  # there a null says something
            mended = {name: _mended(name, member) for name, member in value.items()}
            return {name: member for name, member in mended.items() if member is not None}
        case list():
            return [_mended("", member) for member in value if member is not None]
        case int() | float() if abs(value) > LARGEST:
            return None
        case float() if key.endswith(("_ms", "_index", "_tokens", "_at")):
            return int(value)
        case int() if key == "code":
            return str(value)
        case str() if key == "status_details":
            return {"reason": value}
        case _:
            return value
