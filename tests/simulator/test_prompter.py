"""Which line comes next."""

from __future__ import annotations

import pytest

from gateway.simulator.items import Item, Items, Part
from gateway.simulator.prompter import ASIDE, THE_END, Prompter, exactly
from gateway.simulator.script import Call, Script, Turn

SCRIPT = Script(
    greeting="Welcome.",
    turns=(Turn("one?", ("One.",)), Turn("two?", ("Two.",), Call("f"))),
    digits={"4711": Turn(say=("Right.",))},
)


def user(text: str) -> Item:
    return Item("u", "message", "user", [Part("input_text", text)])


def lines(turn: Turn) -> str:
    return " ".join(turn.say)


def test_the_greeting_comes_first_and_once() -> None:
    prompter = Prompter(SCRIPT)
    answers = [lines(prompter.answer("", Items(), None)) for _ in range(4)]
    assert answers == ["Welcome.", "One.", "Two.", THE_END]


def test_there_is_no_greeting_once_somebody_spoke() -> None:
    items = Items()
    items.append(user("hello"))
    assert lines(Prompter(SCRIPT).answer("", items, items.last)) == "One."
    assert lines(Prompter(Script(turns=SCRIPT.turns)).answer("", Items(), None)) == "One."
    prompter = Prompter(SCRIPT)
    prompter.turn()
    assert lines(prompter.answer("", Items(), None)) == "Two."


def test_the_turns_say_what_is_heard() -> None:
    prompter = Prompter(SCRIPT)
    assert prompter.hears == "one?"
    prompter.turn()
    assert prompter.hears == "two?"
    prompter.turn()
    assert prompter.hears == ""


def test_say_exactly_is_said_and_moves_nothing() -> None:
    prompter = Prompter(SCRIPT)
    assert lines(prompter.answer("Be nice.\nSay exactly: Good day!", Items(), None)) == "Good day!"
    assert lines(prompter.answer("", Items(), None)) == "One."


@pytest.mark.parametrize(
    ("instructions", "words"),
    [
        ("Say exactly: Hello there.", "Hello there."),
        ('Say exactly: "Hello."', "Hello."),
        ("Say exactly: a Say exactly:\n b\nc ", "b\nc"),
        ("Say exactly:  ", ""),
        ('Say exactly: "', '"'),
        ("Hello", ""),
    ],
)
def test_what_is_to_be_said_exactly(instructions: str, words: str) -> None:
    assert exactly(instructions) == words


def test_a_keypad_entry_has_its_answer() -> None:
    prompter = Prompter(SCRIPT)
    items = Items()
    items.append(user("Keypad: 4711"))
    assert lines(prompter.answer("", items, items.last)) == "Right."
    assert lines(prompter.answer("", items, user("Keypad: 12#"))) == "You entered 1, 2, #."
    assert lines(prompter.answer("", items, user("Keypad: I"))) == "One."
    starred = Prompter(Script(digits={"*": Turn(say=("Wrong.",))}))
    assert lines(starred.answer("", items, items.last)) == "Wrong."


def test_an_aside_leaves_the_script_where_it_is() -> None:
    prompter = Prompter(SCRIPT)
    assert lines(prompter.aside("", None)) == ASIDE
    assert lines(prompter.aside("Say exactly: Hm.", user("Keypad: 4711"))) == "Hm."
    assert lines(prompter.aside("", user("Keypad: 4711"))) == "Right."
    assert lines(prompter.answer("", Items(), None)) == "Welcome."


def test_only_a_user_types() -> None:
    system = Item("s", "message", "system", [Part("input_text", "Keypad: 4711")])
    assert lines(Prompter(SCRIPT).answer("", Items(), system)) == "Welcome."
