"""Items, the members of a conversation: messages, function calls and their outputs.

Pure. The same shapes serve both directions: what a server shows us of an item, and what we
create. Fields of kinds of items that the gateway neither reads nor makes (images, MCP
listings) are left out; a server may send them, they are passed over.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

# JSON has no largest number; no float and no other program could follow beyond this (RFC 8259 §6).
LARGEST = 2**53 - 1
Whole = Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST)]


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """One content part of a message."""

    type: str = ""  # input_text, input_audio, output_text, output_audio; text, audio in part events
    text: str | None = None
    audio: str | None = None  # base64
    transcript: str | None = None  # of audio


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item. Which fields are there depends on `type`; a field at its default is not sent."""

    type: str = ""  # message, function_call, function_call_output, mcp_call, mcp_approval_request…
    id: str | None = None  # the server gives one where the client did not
    role: str | None = None  # of a message: user, assistant, system
    content: list[Part] = msgspec.field(default_factory=list)
    status: str | None = None  # in_progress, completed, incomplete
    call_id: str | None = None  # joins a function_call and its output
    name: str | None = None  # of the function
    arguments: str | None = None  # JSON text; only whole where status is completed
    output: str | None = None


def user_text_item(text: str, id: str | None = None) -> Item:
    """What the caller said without her voice, such as keypad digits."""
    return Item("message", id=id, role="user", content=[Part("input_text", text=text)])


def function_output_item(call_id: str, output: str) -> Item:
    """The answer to one function call of the model; free text, JSON by custom."""
    return Item("function_call_output", call_id=call_id, output=output)
