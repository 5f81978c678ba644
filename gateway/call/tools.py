"""Tools: the functions that a model may call in a phone call, and what each call leads to. Pure.

A registry by name: what the model writes is looked up here and nowhere else, never in a module
(a name that reaches `getattr` is an open door). A caller can talk a model into anything, so what it
asks for is taken from lists of ours: a transfer names one of the agent's places and never a number,
digits are telephone keys. Whatever else comes is refused with a text that the model can act on,
and that has nothing of what it wrote.

When and how these things are done is for others (bridge.py, transfer.py); HTTP tools come later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_ARGUMENTS = 8192  # bytes
MAX_DIGITS = 32

_DIGITS = re.compile(rf"[0-9*#A-Dw]{{1,{MAX_DIGITS}}}")

HANG_UP: Mapping[str, Any] = {
    "type": "function",
    "name": "hang_up",
    "description": (
        "End the phone call. Say goodbye first, in the same answer: "
        "the call ends when the caller has heard it."
    ),
    "parameters": {"type": "object", "properties": {}, "required": []},
}
SEND_DIGITS: Mapping[str, Any] = {
    "type": "function",
    "name": "send_digits",
    "description": "Press keys of the telephone, as for a menu or an extension.",
    "parameters": {
        "type": "object",
        "properties": {
            "digits": {
                "type": "string",
                "description": "0-9, *, #, A-D; w waits for half a second.",
                "pattern": f"^[0-9*#A-Dw]{{1,{MAX_DIGITS}}}$",
            }
        },
        "required": ["digits"],
        "additionalProperties": False,
    },
}


def _transfer(targets: Sequence[str]) -> Mapping[str, Any]:
    return {
        "type": "function",
        "name": "transfer",
        "description": (
            "Connect the caller with somebody else. Say so first, in the same answer: "
            "the transfer begins when the caller has heard it."
        ),
        "parameters": {
            "type": "object",
            "properties": {"target": {"type": "string", "enum": list(targets)}},
            "required": ["target"],
            "additionalProperties": False,
        },
    }


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function call of the model, complete (`response.output_item.done`)."""

    call_id: str
    name: str
    arguments: str  # JSON as the model wrote it


@dataclass(frozen=True, slots=True)
class HangUpAsked:
    """The model wants the call to end, once what it said was heard."""


@dataclass(frozen=True, slots=True)
class TransferAsked:
    """The model wants the caller to talk with somebody else, once what it said was heard."""

    target: str  # the name of one of the agent's places


@dataclass(frozen=True, slots=True)
class DigitsAsked:
    """The model wants keys to be pressed."""

    digits: str  # 0-9 * # A-D, and w: half a second's pause


@dataclass(frozen=True, slots=True)
class Output:
    """What the model gets to read as the function's output (JSON text)."""

    text: str
    ok: bool


Outcome = HangUpAsked | TransferAsked | DigitsAsked | Output


def definitions(names: Sequence[str], targets: Sequence[str] = ()) -> list[Mapping[str, Any]]:
    """The `session.tools` of an agent; `targets` are the names of its places.

    `transfer` is not offered where there is no place to go to.
    """
    known = {"hang_up": HANG_UP, "send_digits": SEND_DIGITS}
    if targets:
        known["transfer"] = _transfer(targets)
    return [known[name] for name in names if name in known]


def outcome(call: FunctionCall, allowed: Sequence[str], targets: Sequence[str] = ()) -> Outcome:
    """Decide what a function call leads to; `allowed` are the agent's tools."""
    names = [tool["name"] for tool in definitions(allowed, targets)]
    if call.name not in names:
        return _refused(f"There is no function of this name. Functions: {_listed(names)}.")
    match call.name:
        case "hang_up":
            return HangUpAsked()
        case "transfer":
            target = _argument(call.arguments, "target")
            if target in targets:
                return TransferAsked(target)
            return _refused(f"There is no place of this name. Places: {_listed(targets)}.")
        case _:
            digits = _argument(call.arguments, "digits")
            if _DIGITS.fullmatch(digits):
                return DigitsAsked(digits)
            return _refused(f"Digits are 1 to {MAX_DIGITS} of 0-9, *, #, A-D and w (a pause).")


def _refused(error: str) -> Output:
    return Output(json.dumps({"error": error}, ensure_ascii=False), ok=False)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(set(names))) or "none"


def _argument(arguments: str, name: str) -> str:
    """The one argument, a string; "" if it is no string or not the only one."""
    if len(arguments.encode("utf-8", "surrogatepass")) > MAX_ARGUMENTS:
        return ""
    try:
        found = json.loads(arguments, object_pairs_hook=tuple)  # an array is a list
    except (ValueError, RecursionError):  # a number may be too long, a list too deep
        return ""
    match found:
        case tuple([(str() as key, str() as value)]) if key == name:
            return value
        case _:
            return ""
