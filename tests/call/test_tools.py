"""What the model may call, and what it gets to read when it may not."""

from __future__ import annotations

import json

import pytest

from gateway.call.tools import FunctionCall, HangUpAsked, Output, definitions, outcome


def test_the_definitions_are_those_of_the_agents_tools() -> None:
    assert [tool["name"] for tool in definitions(["hang_up", "transfer"])] == ["hang_up"]
    assert definitions([]) == []


def test_hang_up_is_granted() -> None:
    assert outcome(FunctionCall("call_1", "hang_up", "{}"), ["hang_up"]) == HangUpAsked()


@pytest.mark.parametrize("name", ["hang_up", "__import__", "os", "", "HANG_UP"])
def test_what_an_agent_does_not_have_is_refused_with_a_reason(name: str) -> None:
    result = outcome(FunctionCall("call_1", name, "not even JSON"), [])

    assert isinstance(result, Output)
    assert not result.ok
    assert "no function of this name" in json.loads(result.text)["error"]


def test_a_refusal_names_what_there_is() -> None:
    result = outcome(FunctionCall("call_1", "dance", "{}"), ["hang_up", "transfer"])

    assert isinstance(result, Output)
    assert json.loads(result.text)["error"].endswith("Functions: hang_up.")
