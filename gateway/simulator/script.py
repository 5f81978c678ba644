"""The simulator's script: what it says, and what it pretends to hear (pure).

It has no speech recognition. The user's turns are counted, and the script says for each what
was heard and what the answer is:

    greeting: Hello! How can I help you?
    turns:                          # by order
      - hears: What are your opening hours?      # goes into the transcription events
        say: We are open from nine to five.      # or a list: several items in one response
      - hears: Please connect me to sales.
        say: One moment.                         # may be left out
        call: {name: transfer, arguments: {to: sales}}
      - say: I could not reach them.             # answers the tool's output
    digits:                         # for a user text item "Keypad: 4711"
      "4711": That is the right code.            # or, as a turn: {say: …, call: …}
      "*": I do not know this code.              # any other
    faults: {close_after_s: 30}     # to see how a client takes them

All mistakes of a script are reported at once, each with its path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from http import HTTPStatus
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; `arguments` is JSON text, as on the wire."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Turn:
    hears: str = ""
    say: tuple[str, ...] = ()  # one message item each
    call: Call | None = None
    fail: str | None = None  # the code that response.done fails with, after what was said


@dataclass(frozen=True, slots=True)
class Faults:
    refuse: int | None = None  # the HTTP status that answers the handshake
    silent: bool = False  # the socket opens, nothing is ever said
    close_after_s: float | None = None  # the socket is closed with `close_code`
    close_code: int = 1001
    broken_json: bool = False  # after each session.updated, text that is no JSON
    unknown_event: bool = False  # after each session.updated, an event nobody knows


@dataclass(frozen=True, slots=True)
class Script:
    greeting: str | None = None
    turns: tuple[Turn, ...] = ()
    digits: Mapping[str, Turn] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)


class ScriptError(ValueError):
    """Every mistake of a script, one line each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


DEFAULT = Script(
    greeting="Hello! This is the simulator. How can I help you?",
    turns=(
        Turn(
            hears="Hello, what can you do?",
            say=(
                "I can do everything that a telephone needs. I listen until you have finished, "
                "I answer, and I stop at once when you interrupt me. You need not be polite, just "
                "begin to speak while I go on and on about the weather in the mountains, the "
                "price of tea, and the history of the telephone since eighteen seventy six.",
            ),
        ),
        Turn(
            hears="Stop, that is enough.",
            say=("All right, I stopped. Please type a code on your keypad, and then hash.",),
        ),
        Turn(hears="Thank you, goodbye.", say=("Goodbye!",), call=Call("hang_up")),
    ),
    digits={
        "4711": Turn(say=("Four seven one one. That is the right code, thank you.",)),
        "*": Turn(say=("I do not know this code, but thank you.",)),
    },
)


def parse(text: str) -> Script:
    """A script from YAML 1.2."""
    try:
        return load(YAML(typ="safe", pure=True).load(StringIO(text)))
    except YAMLError as error:
        raise ScriptError((f"no YAML: {str(error).replace(chr(10), ' ')}",)) from error


def load(values: object) -> Script:
    """A script from a mapping; ScriptError names all mistakes."""
    return _Loader().script(values)


def _number(value: object, low: float, high: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return low <= value <= high


def _one_of(numbers: set[int], value: object) -> bool:
    return isinstance(value, int) and value in numbers


def _switch(value: object) -> bool:
    return isinstance(value, bool)


_ERRORS = {status.value for status in HTTPStatus if status >= 400}
_CLOSES = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}  # RFC 6455 §7.4
_FAULTS: dict[str, tuple[Callable[[object], bool], str]] = {
    "refuse": (lambda value: _one_of(_ERRORS, value), "an HTTP status of an error, as 401"),
    "silent": (_switch, "true or false"),
    "close_after_s": (lambda value: _number(value, 0, 86400), "a number of seconds"),
    "close_code": (lambda value: _one_of(_CLOSES, value), "a WebSocket close code, as 1011"),
    "broken_json": (_switch, "true or false"),
    "unknown_event": (_switch, "true or false"),
}


class _Loader:
    """Reads on after a mistake, so that all are found."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def script(self, values: object) -> Script:
        fields = self._fields(values, "", ("greeting", "turns", "digits", "faults"))
        greeting = fields.get("greeting")
        script = Script(
            greeting=None if greeting is None else self._text(greeting, "greeting"),
            turns=tuple(
                self._turn(turn, f"turns[{index}]")
                for index, turn in enumerate(self._list(fields.get("turns"), "turns"))
            ),
            digits=self._digits(fields.get("digits")),
            faults=self._faults(fields.get("faults")),
        )
        if self.problems:
            raise ScriptError(tuple(self.problems))
        return script

    def _turn(self, values: object, path: str) -> Turn:
        fields = self._fields(values, path, ("hears", "say", "call", "fail"))
        if fields and not fields.keys() & {"say", "call", "fail"}:
            self._wrong(path, "needs `say`, `call` or `fail`")
        fail = fields.get("fail")
        return Turn(
            hears=self._text(fields.get("hears", ""), f"{path}.hears"),
            say=self._say(fields.get("say", []), f"{path}.say"),
            call=self._call(fields["call"], f"{path}.call") if "call" in fields else None,
            fail=None if fail is None else self._text(fail, f"{path}.fail"),
        )

    def _say(self, value: object, path: str) -> tuple[str, ...]:
        if isinstance(value, str):
            return (self._text(value, path),)
        if not isinstance(value, list):
            self._wrong(path, "must be a text or a list of texts")
            return ()
        return tuple(self._text(text, f"{path}[{index}]") for index, text in enumerate(value))

    def _call(self, value: object, path: str) -> Call:
        if isinstance(value, str):
            return Call(value)
        fields = self._fields(value, path, ("name", "arguments"))
        if fields and "name" not in fields:
            self._wrong(path, "needs `name`")
        arguments = fields.get("arguments", {})
        if not isinstance(arguments, dict | str):
            self._wrong(f"{path}.arguments", "must be a mapping, or a text that is sent as it is")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False, default=str)
        return Call(self._text(fields.get("name", ""), f"{path}.name"), arguments)

    def _digits(self, value: object) -> dict[str, Turn]:
        turns = {}
        for key, answer in self._mapping({} if value is None else value, "digits").items():
            path = f"digits.{key}"
            if not isinstance(key, str):
                self._wrong(path, f'must be in quotes: "{key}"')
            elif isinstance(answer, str | list):
                turns[key] = Turn(say=self._say(answer, path))
            else:
                turns[key] = self._turn(answer, path)
        return turns

    def _faults(self, value: object) -> Faults:
        fields = self._fields({} if value is None else value, "faults", tuple(_FAULTS))
        for name, given in fields.items():
            fits, wanted = _FAULTS[name]
            if not fits(given):
                self._wrong(f"faults.{name}", f"must be {wanted}")
        return Faults(**fields)

    def _fields(self, value: object, path: str, known: tuple[str, ...]) -> dict[str, Any]:
        """The known keys of a mapping; others are mistakes."""
        fields = {}
        for key, given in self._mapping(value, path).items():
            if key in known:
                fields[key] = given
                continue
            near = get_close_matches(str(key), known, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else f"; known: {', '.join(known)}"
            self._wrong(f"{path}.{key}" if path else str(key), f"unknown key{hint}")
        return fields

    def _mapping(self, value: object, path: str) -> dict[Any, Any]:
        if isinstance(value, Mapping):
            return dict(value)
        self._wrong(path or "script", "must be a mapping")
        return {}

    def _list(self, value: object, path: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            self._wrong(path, "must be a list")
            return []
        return value

    def _text(self, value: object, path: str) -> str:
        if not isinstance(value, str):
            self._wrong(path, "must be a text")
            return ""
        return value

    def _wrong(self, path: str, problem: str) -> None:
        self.problems.append(f"{path}: {problem}")
