"""What the server's events carry beside items: responses and their usage, errors, quotas.

Pure. Every field has a default, for there is a server that leaves it out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .items import Item, Whole


class ErrorDetail(msgspec.Struct, frozen=True):
    """What went wrong: of an error event, of a failed response, of a failed transcription."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None  # the field at fault
    event_id: str | None = None  # of the client event at fault


class StatusDetails(msgspec.Struct, frozen=True):
    """Why a response ended as it did."""

    type: str | None = None
    reason: str | None = None  # turn_detected, client_cancelled, max_output_tokens, content_filter
    error: ErrorDetail | None = None  # of a failed one: no error event tells it


class TokenDetails(msgspec.Struct, frozen=True):
    """Tokens by kind."""

    text_tokens: Whole = 0
    audio_tokens: Whole = 0
    cached_tokens: Whole = 0  # of input


class Usage(msgspec.Struct, frozen=True):
    """What one response used."""

    total_tokens: Whole = 0
    input_tokens: Whole = 0
    output_tokens: Whole = 0
    input_token_details: TokenDetails = TokenDetails()
    output_token_details: TokenDetails = TokenDetails()


class Response(msgspec.Struct, frozen=True):
    """One answer of the model."""

    id: str = ""
    status: str = ""  # in_progress, completed, cancelled, incomplete, failed
    status_details: StatusDetails | None = None
    output: list[Item] = msgspec.field(default_factory=list)
    conversation_id: str | None = None
    metadata: dict[str, Any] | None = None
    usage: Usage | None = None


class Conversation(msgspec.Struct, frozen=True):
    """The conversation of a session."""

    id: str = ""


class RateLimit(msgspec.Struct, frozen=True):
    """What is left of one quota."""

    name: str = ""  # requests, tokens
    limit: Whole | None = None
    remaining: Whole | None = None
    reset_seconds: float | None = None
