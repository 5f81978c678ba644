"""A script is read whole, and all its mistakes are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.script import DEFAULT, Call, Faults, Script, ScriptError, Turn, load, parse

WHOLE = """
greeting: Hello!
turns:
  - hears: What are your opening hours?
    say: We are open from nine to five.
  - say: [One moment., Please hold.]
    call: {name: transfer, arguments: {to: sales}}
  - call: hang_up
  - fail: inference_rate_limit_exceeded
digits:
  "4711": That is right.
  "0": {call: {name: transfer, arguments: '{"to":'}}
  "*": [I do not, know it.]
faults: {refuse: 401, silent: false, close_after_s: 1.5, close_code: 1011, broken_json: true}
"""


def test_every_key() -> None:
    assert parse(WHOLE) == Script(
        greeting="Hello!",
        turns=(
            Turn(hears="What are your opening hours?", say=("We are open from nine to five.",)),
            Turn(
                say=("One moment.", "Please hold."),
                call=Call("transfer", '{"to": "sales"}'),
            ),
            Turn(call=Call("hang_up")),
            Turn(fail="inference_rate_limit_exceeded"),
        ),
        digits={
            "4711": Turn(say=("That is right.",)),
            "0": Turn(call=Call("transfer", '{"to":')),
            "*": Turn(say=("I do not", "know it.")),
        },
        faults=Faults(401, False, 1.5, 1011, True),
    )


def test_nothing_is_needed() -> None:
    assert load({}) == Script()
    assert load({"greeting": None, "turns": None, "digits": None, "faults": None}) == Script()


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("5", ["script: must be a mapping"]),
        ("", ["script: must be a mapping"]),
        ("greetings: Hello", ["greetings: unknown key; did you mean `greeting`?"]),
        ("xyz: 1", ["xyz: unknown key; known: greeting, turns, digits, faults"]),
        ("greeting: 5", ["greeting: must be a text"]),
        ("turns: {}", ["turns: must be a list"]),
        ("turns: [5]", ["turns[0]: must be a mapping"]),
        ("turns: [{hears: a}]", ["turns[0]: needs `say`, `call` or `fail`"]),
        ("turns: [{say: 5}]", ["turns[0].say: must be a text or a list of texts"]),
        ("turns: [{say: [a, 5]}]", ["turns[0].say[1]: must be a text"]),
        ("turns: [{call: {arguments: {}}}]", ["turns[0].call: needs `name`"]),
        (
            "turns: [{call: {name: f, arguments: 5}}]",
            ["turns[0].call.arguments: must be a mapping, or a text that is sent as it is"],
        ),
        ("digits: [1]", ["digits: must be a mapping"]),
        ("digits: {4711: a}", ['digits.4711: must be in quotes: "4711"']),
        ("faults: {silent: 1}", ["faults.silent: must be true or false"]),
        ("faults: {refuse: 200}", ["faults.refuse: must be an HTTP status of an error, as 401"]),
        ("faults: {refuse: [4]}", ["faults.refuse: must be an HTTP status of an error, as 401"]),
        ("faults: {close_after_s: .inf}", ["faults.close_after_s: must be a number of seconds"]),
        ("faults: {close_after_s: true}", ["faults.close_after_s: must be a number of seconds"]),
        (
            "faults: {close_code: 1006}",
            ["faults.close_code: must be a WebSocket close code, as 1011"],
        ),
        (
            "greeting: 5\nturns: [{sya: a}, {say: 5}]",
            [
                "greeting: must be a text",
                "turns[0].sya: unknown key; did you mean `say`?",
                "turns[1].say: must be a text or a list of texts",
            ],
        ),
    ],
)
def test_all_mistakes_are_told_with_their_paths(text: str, problems: list[str]) -> None:
    with pytest.raises(ScriptError) as caught:
        parse(text)
    assert list(caught.value.problems) == problems
    assert str(caught.value) == "; ".join(problems)


def test_what_is_no_yaml_is_told() -> None:
    with pytest.raises(ScriptError, match="no YAML"):
        parse("greeting: [")


def test_the_default_is_a_conversation_with_everything() -> None:
    assert DEFAULT.greeting
    assert max(len(text) for turn in DEFAULT.turns for text in turn.say) > 200
    assert DEFAULT.turns[-1].call == Call("hang_up")
    assert DEFAULT.turns[-1].say
    assert "*" in DEFAULT.digits


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["greeting", "turns", "digits", "faults", "say", "call", "name"]),
                inner,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_is_given_is_a_script_or_an_error(values: object) -> None:
    try:
        load(values)
    except ScriptError:
        pass
