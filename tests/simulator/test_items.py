"""The conversation's items: their order, their wire form, and truncation."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.simulator.formats import AudioFormat
from gateway.simulator.items import Item, Items, Part
from gateway.simulator.schema import Refusal

PCM = AudioFormat("audio/pcm", 24000)
PCMU = AudioFormat("audio/pcmu", 8000)


def user(item_id: str, text: str = "hi") -> Item:
    return Item(item_id, "message", "user", [Part("input_text", text)])


def spoken(ms: int, format: AudioFormat = PCM) -> Item:
    audio = bytearray(b"\x01" * format.size(ms))
    return Item("said", "message", "assistant", [Part("output_audio", "Hello.", audio, format)])


def refused(item: Item, content_index: int, audio_end_ms: int) -> tuple[str | None, str]:
    with pytest.raises(Refusal) as caught:
        item.truncate(content_index, audio_end_ms)
    return caught.value.code, caught.value.message


class TestTruncate:
    def test_the_audio_is_cut_and_the_whole_transcript_is_wiped(self) -> None:
        item = spoken(2450)
        item.truncate(0, 1000)
        assert item.content[0].ms == 1000
        assert item.content[0].text == ""

    def test_the_end_of_the_audio_is_within_it(self) -> None:
        item = spoken(2450)
        item.truncate(0, 2450)
        assert item.content[0].ms == 2450
        item.truncate(0, 0)
        assert item.content[0].ms == 0

    def test_beyond_the_audio_is_refused_and_changes_nothing(self) -> None:
        item = spoken(2450, PCMU)
        code, message = refused(item, 0, 2535)
        assert code == "invalid_value"
        assert message == "Audio content of 2450ms is already shorter than 2535ms"
        assert item.content[0].text == "Hello."

    @pytest.mark.parametrize(
        "item",
        [
            user("u"),
            Item("u", "message", "user", [Part("input_audio", audio=bytearray(960))]),
            spoken(0),
            Item("t", "message", "assistant", [Part("output_text", "Hello.")]),
            Item("f", "function_call"),
        ],
    )
    def test_only_audio_of_the_model_can_be_truncated(self, item: Item) -> None:
        code, message = refused(item, 0, 0)
        assert code == "unsupported_content_type"
        assert message == "Only model output audio messages can be truncated"

    def test_the_content_index_is_that_of_the_audio(self) -> None:
        """Yandex has text at 0 and audio at 1."""
        item = spoken(100)
        assert refused(item, 1, 0)[0] == "invalid_value"
        item.content.insert(0, Part("output_text", "Hello."))
        assert refused(item, 0, 50)[0] == "unsupported_content_type"
        item.truncate(1, 50)
        assert [part.text for part in item.content] == ["", ""]


class TestWire:
    def test_audio_is_only_shown_when_asked_for(self) -> None:
        item = Item("a", "message", "user", [Part("input_audio", "hi", bytearray(b"abcd"), PCM)])
        shown = {
            "id": "a",
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": "hi"}],
        }
        assert item.wire() == shown
        shown["content"] = [{"type": "input_audio", "transcript": "hi", "audio": "YWJjZA=="}]
        assert item.wire(with_audio=True) == shown

    def test_what_a_client_creates_is_shown_again(self) -> None:
        given = {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Keypad: 1"},
                {"type": "input_audio", "audio": "AAAAAAAA"},
                {"type": "input_image", "image_url": "data:"},
            ],
        }
        item = Item.created(given, "item_1", PCM)
        assert item.text == "Keypad: 1"
        assert item.wire(with_audio=True)["content"] == [
            {"type": "input_text", "text": "Keypad: 1"},
            {"type": "input_audio", "transcript": None, "audio": "AAAAAAAA"},
            {"type": "input_image", "image_url": "data:"},
        ]
        call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "id": "x"}
        assert Item.created(call, "x", PCM).wire() == {
            **call,
            "object": "realtime.item",
            "status": "completed",
        }

    def test_broken_audio_is_refused_at_its_place(self) -> None:
        content = [{"type": "input_audio", "audio": "AAA"}]
        given: dict[str, Any] = {"type": "message", "role": "user", "content": content}
        with pytest.raises(Refusal) as caught:
            Item.created(given, "item_1", PCM)
        assert caught.value.param == "item.content[0].audio"


def test_tokens_are_counted_by_time_and_by_letters() -> None:
    """1 per 100 ms of the user's audio, 1 per 50 ms of the assistant's, about 4 letters."""
    assert Part("input_audio", "x" * 99, bytearray(PCM.size(1000)), PCM).tokens == 10
    assert Part("output_audio", "x" * 99, bytearray(PCM.size(1000)), PCM).tokens == 20
    assert Part("input_text", "five!").tokens == 2


class TestOrder:
    def ids(self, items: Items) -> list[str]:
        return [item.id for item in items]

    def test_an_item_goes_after_another_to_the_front_or_to_the_end(self) -> None:
        items = Items()
        items.insert(user("a"), None)
        items.insert(user("c"), None)
        items.insert(user("b"), "a")
        items.insert(user("first"), "root")
        assert self.ids(items) == ["first", "a", "b", "c"]
        first, a, *_ = items
        assert items.before(first) is None
        assert items.before(a) == "first"
        assert items.before(user("gone")) is None

    def test_an_id_is_there_once(self) -> None:
        items = Items()
        items.insert(user("a"), None)
        with pytest.raises(Refusal) as caught:
            items.insert(user("a"), None)
        assert caught.value.code == "item_create_duplicate_item_id"

    def test_the_item_before_must_exist(self) -> None:
        with pytest.raises(Refusal) as caught:
            Items().insert(user("a"), "zzz")
        assert caught.value.param == "previous_item_id"

    def test_an_output_needs_its_call(self) -> None:
        items = Items()
        output = Item("o", "function_call_output", fields={"call_id": "c", "output": "ok"})
        with pytest.raises(Refusal) as caught:
            items.insert(output, None)
        assert caught.value.param == "item.call_id"
        items.insert(Item("f", "function_call", fields={"call_id": "c"}), None)
        items.insert(output, None)
        assert self.ids(items) == ["f", "o"]

    @pytest.mark.parametrize(
        ("verb", "gerund"),
        [("truncate", "truncating"), ("delete", "deleting"), ("retrieve", "retrieving")],
    )
    def test_an_unknown_item_is_refused_by_the_verb(self, verb: str, gerund: str) -> None:
        items = Items()
        items.append(user("a"))
        assert items.get("a", verb, gerund).id == "a"
        with pytest.raises(Refusal) as caught:
            items.get("b", verb, gerund)
        assert caught.value.code == f"item_{verb}_invalid_item_id"
        assert caught.value.message == f"Error {gerund} item: the item with id 'b' does not exist."

    def test_a_removed_item_is_gone(self) -> None:
        items = Items()
        items.append(user("a"))
        items.remove(items.get("a", "delete", "deleting"))
        assert self.ids(items) == []
