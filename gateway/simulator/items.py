"""The conversation's items in their order, and the rules of truncating one (pure).

Audio is kept as it went over the wire, so that what a client heard can be compared with what
the server remembers: `conversation.item.retrieve` shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pybase64

from .formats import AudioFormat
from .input_audio import decode_audio
from .schema import Refusal

TOKEN_CHARACTERS = 4  # of text, about
USER_TOKEN_MS, ASSISTANT_TOKEN_MS = 100, 50  # of audio


@dataclass(slots=True)
class Part:
    """One content part; `text` is the transcript where it has audio."""

    type: str  # input_text, input_audio, input_image, output_text, output_audio
    text: str | None = None
    audio: bytearray = field(default_factory=bytearray)
    format: AudioFormat = field(default_factory=AudioFormat)
    image: Mapping[str, Any] | None = None
    cut: bool = False  # truncated: what is still generated is not remembered

    @property
    def spoken(self) -> bool:
        return self.type in ("input_audio", "output_audio")

    @property
    def ms(self) -> int:
        return self.format.ms(len(self.audio))

    @property
    def tokens(self) -> int:
        if self.type == "input_audio":
            return self.ms // USER_TOKEN_MS
        if self.type == "output_audio":
            return self.ms // ASSISTANT_TOKEN_MS
        return text_tokens(self.text or "")

    def wire(self, *, with_audio: bool = False) -> dict[str, Any]:
        if self.image is not None:
            return dict(self.image)
        if not self.spoken:
            return {"type": self.type, "text": self.text}
        audio = {"audio": pybase64.b64encode(self.audio).decode()} if with_audio else {}
        return {"type": self.type, "transcript": self.text} | audio


def text_tokens(text: str) -> int:
    return -(-len(text) // TOKEN_CHARACTERS)


@dataclass(slots=True, eq=False)
class Item:
    id: str
    type: str  # message, function_call, function_call_output, mcp_…
    role: str | None = None
    content: list[Part] = field(default_factory=list)
    status: str = "completed"
    fields: dict[str, Any] = field(default_factory=dict)  # call_id, name, arguments, output

    @classmethod
    def created(cls, given: Mapping[str, Any], item_id: str, format: AudioFormat) -> Item:
        """From a validated `item` of a client."""
        kept = ("id", "type", "role", "content", "object", "status")
        fields = {key: value for key, value in given.items() if key not in kept}
        parts = [
            _part(part, format, f"item.content[{index}]")
            for index, part in enumerate(given.get("content", []))
        ]
        return cls(item_id, given["type"], given.get("role"), parts, fields=fields)

    def wire(self, *, with_audio: bool = False) -> dict[str, Any]:
        item: dict[str, Any] = {
            "id": self.id,
            "object": "realtime.item",
            "type": self.type,
            "status": self.status,
        }
        if self.type == "message":
            item["role"] = self.role
            item["content"] = [part.wire(with_audio=with_audio) for part in self.content]
        return item | self.fields

    @property
    def text(self) -> str:
        """All its text parts."""
        return "".join(part.text or "" for part in self.content if not part.spoken)

    def truncate(self, content_index: int, audio_end_ms: int) -> None:
        """Forget the audio after that time (inclusive), and all of the transcript."""
        parts = self.content
        spoken = self.type == "message" and self.role == "assistant"
        if not spoken or not any(part.type == "output_audio" and part.ms for part in parts):
            raise _not_truncatable()
        if content_index >= len(parts):
            raise Refusal(
                f"Invalid 'content_index': the item has {len(parts)} content parts.",
                code="invalid_value",
                param="content_index",
            )
        part = parts[content_index]
        if part.type != "output_audio":
            raise _not_truncatable()
        if audio_end_ms > part.ms:
            raise Refusal(
                f"Audio content of {part.ms}ms is already shorter than {audio_end_ms}ms",
                code="invalid_value",
                param="audio_end_ms",
            )
        del part.audio[part.format.size(audio_end_ms) :]
        part.cut = True
        for each in parts:
            each.text = ""


def _not_truncatable() -> Refusal:
    return Refusal(
        "Only model output audio messages can be truncated",
        code="unsupported_content_type",
        param="item_id",
    )


def _part(given: Mapping[str, Any], format: AudioFormat, path: str) -> Part:
    kind = given["type"]
    if kind == "input_audio":
        audio = decode_audio(given["audio"], format, f"{path}.audio")
        return Part(kind, given.get("transcript"), bytearray(audio), format)
    if kind == "input_image":
        return Part(kind, image=dict(given))
    return Part(kind, given["text"])


class Items:
    """The default conversation, in order."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    @property
    def last(self) -> Item | None:
        return self._items[-1] if self._items else None

    def before(self, item: Item) -> str | None:
        """The id of the item before this one; None for the first, or one that has left."""
        index = self._items.index(item) if item in self._items else 0
        return self._items[index - 1].id if index else None

    def get(self, item_id: str, verb: str, gerund: str) -> Item:
        """The item that a client's `verb` names; Refusal where there is none."""
        for item in self._items:
            if item.id == item_id:
                return item
        raise Refusal(
            f"Error {gerund} item: the item with id '{item_id}' does not exist.",
            code=f"item_{verb}_invalid_item_id",
            param="item_id",
        )

    def append(self, item: Item) -> None:
        self._items.append(item)

    def insert(self, item: Item, after: str | None) -> None:
        """After the item of that id, "root" for the front, None for the end."""
        ids = [each.id for each in self._items]
        if item.id in ids:
            raise Refusal(
                f"Error creating item: an item with id '{item.id}' already exists.",
                code="item_create_duplicate_item_id",
                param="item.id",
            )
        if after is not None and after != "root" and after not in ids:
            raise Refusal(
                f"Error creating item: the previous item with id '{after}' does not exist.",
                code="item_create_invalid_previous_item_id",
                param="previous_item_id",
            )
        if item.type == "function_call_output":
            self._check_call(item.fields["call_id"])
        place = {None: len(ids), "root": 0}
        self._items.insert(place[after] if after in place else ids.index(str(after)) + 1, item)

    def _check_call(self, call_id: str) -> None:
        calls = [item.fields.get("call_id") for item in self if item.type == "function_call"]
        if call_id not in calls:
            raise Refusal(
                f"Error creating item: no function call with call_id '{call_id}' found in the "
                "conversation.",
                code="item_create_invalid_call_id",
                param="item.call_id",
            )

    def remove(self, item: Item) -> None:
        self._items.remove(item)
