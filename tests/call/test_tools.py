"""What the model may call, and what it gets to read when it may not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call.tools import (
    DigitsAsked,
    FunctionCall,
    HangUpAsked,
    Outcome,
    Output,
    TransferAsked,
    definitions,
    outcome,
)

ALL = ["hang_up", "transfer", "send_digits"]
PLACES = ["sales", "billing"]


def call(name: str, arguments: str, *, allowed: list[str] = ALL) -> Outcome:
    return outcome(FunctionCall("call_1", name, arguments), allowed, PLACES)


def transfer(target: object) -> Outcome:
    return call("transfer", json.dumps({"target": target}))


def error(result: Outcome) -> str:
    """The text of a refusal, which is all that there is."""
    assert isinstance(result, Output)
    assert not result.ok
    told = json.loads(result.text)
    assert list(told) == ["error"]
    text: str = told["error"]
    return text


class TestDefinitions:
    """What the model is told that it has."""

    def test_the_agents_tools_in_their_order(self) -> None:
        assert [tool["name"] for tool in definitions(ALL, PLACES)] == ALL
        assert [tool["name"] for tool in definitions(ALL[::-1], PLACES)] == ALL[::-1]
        assert definitions([], PLACES) == []

    def test_names_that_are_no_tools_are_left_out(self) -> None:
        assert [tool["name"] for tool in definitions(["dance", "hang_up"])] == ["hang_up"]

    def test_a_transfer_is_offered_to_the_agents_places_by_their_names(self) -> None:
        [tool] = definitions(["transfer"], PLACES)
        assert tool["parameters"] == {
            "type": "object",
            "properties": {"target": {"type": "string", "enum": ["sales", "billing"]}},
            "required": ["target"],
            "additionalProperties": False,
        }

    def test_it_is_not_offered_without_a_place_to_go_to(self) -> None:
        assert [tool["name"] for tool in definitions(ALL)] == ["hang_up", "send_digits"]

    def test_each_is_json_and_a_function(self) -> None:
        for tool in json.loads(json.dumps(definitions(ALL, PLACES))):
            assert tool["type"] == "function"
            assert tool["description"].endswith(".")
            assert set(tool["parameters"]["required"]) == set(tool["parameters"]["properties"])


class TestNames:
    """A name is looked up in a list of ours; nothing else is done with it."""

    def test_hang_up_is_granted(self) -> None:
        assert call("hang_up", "{}") == HangUpAsked()

    @pytest.mark.parametrize("arguments", ["", "null", '{"reason": "done"}', "not even JSON"])
    def test_hang_up_whatever_is_said_with_it(self, arguments: str) -> None:
        assert call("hang_up", arguments) == HangUpAsked()

    @pytest.mark.parametrize(
        "name",
        ["__import__", "os", "sys", "__class__", "", "HANG_UP", "hang_up ", "transfer\0", "dance"],
    )
    def test_what_is_no_tool(self, name: str) -> None:
        text = error(call(name, "{}"))
        assert text == (
            "There is no function of this name. Functions: hang_up, send_digits, transfer."
        )

    @pytest.mark.parametrize("name", ALL)
    def test_what_this_agent_does_not_have(self, name: str) -> None:
        others = [other for other in ALL if other != name]
        assert "no function of this name" in error(call(name, "{}", allowed=others))
        assert error(call(name, "{}", allowed=[])).endswith("Functions: none.")

    def test_transfer_without_a_place_to_go_to(self) -> None:
        asked = FunctionCall("call_1", "transfer", '{"target": "sales"}')
        assert error(outcome(asked, ALL)).endswith("Functions: hang_up, send_digits.")


HOSTILE = [
    "tel:+19005551234",
    "tel:+881612345678",
    "tel:+882161234567",
    "+19005551234",
    "0019005551234",
    "9005551234",
    "sip:+19005551234@provider.example",
    "sip:x@evil.example",
    "sip:x@evil.example?Route=%3Csip:evil.example;lr%3E",
    "sip:x@evil.example?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc",
    "sip:sales@evil.example",
    "sips:x@evil.example",
    "sip:127.0.0.1",
    "sip:x@127.0.0.1:5060",
    "sip:x@[::1]",
    "sip:x@169.254.169.254",
    "http://169.254.169.254/latest/meta-data/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "sales\r\nRefer-To: <sip:x@evil.example>",
    "sales%0d%0aRefer-To:%20x",
    "%73ales",
    "sales\n",
    "sales\0",
    " sales",
    "sales ",
    "Sales",
    "SALES",
    "\uff53ales",
    "s\u0430les",
    "sales\u200b",
    "\u202esales",
    "\u0661\u0662\u0663",
    "\uff11\uff12\uff13",
    "sales,billing",
    "sales;method=BYE",
    "sales@evil.example",
    "*",
    "",
    "x" * 5000,
    "../sales",
    "{sales}",
    "__class__",
]


class TestTransfer:
    """A transfer goes to a place of the agent's, by its name, and nowhere else."""

    @pytest.mark.parametrize("target", PLACES)
    def test_a_place_of_the_agents(self, target: str) -> None:
        assert transfer(target) == TransferAsked(target)

    @pytest.mark.parametrize("target", HOSTILE)
    def test_nothing_else(self, target: str) -> None:
        """The refusal names the places that there are, and repeats nothing of what was asked."""
        text = error(transfer(target))
        assert text == "There is no place of this name. Places: billing, sales."

    def test_there_are_many_of_them(self) -> None:
        assert len(set(HOSTILE)) > 40

    @pytest.mark.parametrize("target", [None, 0, 1, True, 1.5, ["sales"], {"sales": 1}, []])
    def test_a_target_is_a_text(self, target: object) -> None:
        assert "no place" in error(transfer(target))

    @pytest.mark.parametrize(
        "arguments",
        [
            "",
            "sales",
            '"sales"',
            "null",
            "[]",
            "{}",
            '["target", "sales"]',
            '[["target", "sales"]]',
            '{"Target": "sales"}',
            '{"target": "sales", "headers": "x"}',
            '{"target": "sales", "target": "billing"}',
            '{"target": "sales"',
            '{"target": "sales"} {}',
            "{'target': 'sales'}",
            '{"target": {"target": "sales"}}',
            '{"target": NaN}',
            f'{{"target": {"9" * 5000}}}',
            "[" * 8000,
            '{"target":' * 800,
            '{"target": "sales"}' + " " * 8192,
            '{"target": "\ud800"}',
        ],
    )
    def test_the_arguments_are_one_object_with_exactly_this_key(self, arguments: str) -> None:
        assert "no place" in error(call("transfer", arguments))

    def test_at_most_8_kib(self) -> None:
        padded = '{"target": "sales"}'.ljust(8192)
        assert call("transfer", padded) == TransferAsked("sales")
        assert isinstance(call("transfer", padded + " "), Output)

    @given(st.text(alphabet=st.characters(codec=None), max_size=60))
    def test_nothing_that_a_model_writes_raises(self, text: str) -> None:
        for name in ("transfer", "send_digits"):
            for arguments in (text, json.dumps({"target": text}), json.dumps({"digits": text})):
                result = call(name, arguments)
                assert result in (TransferAsked("sales"), TransferAsked("billing")) or isinstance(
                    result, DigitsAsked | Output
                )


class TestDigits:
    """Keys of a telephone, 32 at most."""

    @pytest.mark.parametrize("digits", ["1", "0123456789*#ABCD", "1w2ww3", "9" * 32])
    def test_keys_and_pauses(self, digits: str) -> None:
        assert call("send_digits", json.dumps({"digits": digits})) == DigitsAsked(digits)

    @pytest.mark.parametrize(
        "digits",
        [
            "",
            "9" * 33,
            "a",
            "E",
            "W",
            "1 2",
            "1-2",
            "+7",
            "1,2",
            "12\n",
            "\u0661",
            "\u00b2",
            "\uff11",
            1,
        ],
    )
    def test_nothing_else(self, digits: object) -> None:
        text = error(call("send_digits", json.dumps({"digits": digits})))
        assert text == "Digits are 1 to 32 of 0-9, *, #, A-D and w (a pause)."

    def test_only_this_key(self) -> None:
        assert isinstance(call("send_digits", '{"digits": "1", "to": "x"}'), Output)
        assert isinstance(call("send_digits", '{"target": "1"}'), Output)
