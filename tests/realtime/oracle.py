"""Whether the openai package takes what we send: its types, and no field beyond them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openai.types.realtime import RealtimeClientEvent
from pydantic import BaseModel, TypeAdapter, ValidationError

_CLIENT_EVENT = TypeAdapter[Any](RealtimeClientEvent)


def refused_by_openai(text: bytes) -> list[str]:
    """Paths of what is wrong in this client event; unknown fields are wrong here, not there."""
    try:
        event = _CLIENT_EVENT.validate_json(text)
    except ValidationError as error:
        return sorted({".".join(map(str, wrong["loc"])) for wrong in error.errors()})
    return sorted(_unknown(event, ""))


def _unknown(value: object, path: str) -> Iterator[str]:
    match value:
        case BaseModel():
            yield from (f"{path}{name}" for name in value.model_extra or {})
            for name in type(value).model_fields:
                yield from _unknown(getattr(value, name), f"{path}{name}.")
        case list():
            for member in value:
                yield from _unknown(member, path)
