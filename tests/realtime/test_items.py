"""The items that the gateway puts into a conversation."""

from __future__ import annotations

import msgspec

from gateway.realtime.items import Item, function_output_item, user_text_item


def test_what_the_caller_said_without_her_voice() -> None:
    assert msgspec.to_builtins(user_text_item("Keypad: 4711")) == {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "Keypad: 4711"}],
    }


def test_the_answer_to_a_function_call() -> None:
    assert msgspec.to_builtins(function_output_item("call_1", "{}")) == {
        "type": "function_call_output",
        "call_id": "call_1",
        "output": "{}",
    }


def test_an_item_of_a_server_may_hold_more_than_we_know() -> None:
    """Images and MCP listings are passed over."""
    raw = b'{"id": "item_1", "type": "message", "object": "realtime.item", "content": [{"x": 1}]}'
    item = msgspec.json.decode(raw, type=Item)

    assert (item.id, item.type, item.status) == ("item_1", "message", None)
