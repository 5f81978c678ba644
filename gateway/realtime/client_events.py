"""The 11 events that a client sends.

Pure. A field at its default is not sent. `event_id` is the client's own choice; the server
gives it back in `error.error.event_id` and nowhere else.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .items import Item


class _Client(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=""
):
    event_id: str | None = None


class SessionUpdate(_Client, frozen=True, tag="session.update"):
    """Change the session's settings. What is left out stays as it was; null clears."""

    session: dict[str, Any]


class InputAudioBufferAppend(_Client, frozen=True, tag="input_audio_buffer.append"):
    """More of the caller's sound. Never acknowledged; all the server's milliseconds count it."""

    audio: str  # base64, in the session's input format


class InputAudioBufferCommit(_Client, frozen=True, tag="input_audio_buffer.commit"):
    """End the caller's turn. Only without server VAD, which commits by itself."""


class InputAudioBufferClear(_Client, frozen=True, tag="input_audio_buffer.clear"):
    """Forget the sound appended since the last commit."""


class ConversationItemCreate(_Client, frozen=True, tag="conversation.item.create"):
    """Put an item into the conversation. Does not make the model answer."""

    item: Item
    previous_item_id: str | None = None  # after this one; "root": first; None: last


class ConversationItemRetrieve(_Client, frozen=True, tag="conversation.item.retrieve"):
    """Ask for an item as the server has it."""

    item_id: str


class ConversationItemTruncate(_Client, frozen=True, tag="conversation.item.truncate"):
    """Make the model forget what of its speech was not heard.

    Only an assistant message with audio can be truncated, at most at its length. The server
    deletes the whole transcript of the item, not just its tail.
    """

    item_id: str
    content_index: int  # of the audio part, as its deltas had it
    audio_end_ms: int  # from the item's first sample


class ConversationItemDelete(_Client, frozen=True, tag="conversation.item.delete"):
    """Take an item out of the conversation."""

    item_id: str


class ResponseCreate(_Client, frozen=True, tag="response.create"):
    """Make the model answer. Fields of `response` replace the session's, instructions too."""

    response: dict[str, Any] | None = None


class ResponseCancel(_Client, frozen=True, tag="response.cancel"):
    """Stop a response. Without an id the server stops whichever is active by then."""

    response_id: str | None = None


class OutputAudioBufferClear(_Client, frozen=True, tag="output_audio_buffer.clear"):
    """Stop playing. Only where the server owns the caller's line (WebRTC, SIP)."""


ClientEvent = (
    SessionUpdate
    | InputAudioBufferAppend
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | ConversationItemCreate
    | ConversationItemRetrieve
    | ConversationItemTruncate
    | ConversationItemDelete
    | ResponseCreate
    | ResponseCancel
    | OutputAudioBufferClear
)
