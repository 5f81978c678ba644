"""Tools: the functions that a model may call in a phone call, and what each call leads to. Pure.

A registry by name: what the model writes is looked up here and nowhere else, never in a module
(a name that reaches `getattr` is an open door). `hang_up` is the one
tool there is; a function that is not ours is refused with a text that the model can act on.
Transfers, digits and HTTP tools come later and have their place here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HANG_UP: Mapping[str, Any] = {
    "type": "function",
    "name": "hang_up",
    "description": (
        "End the phone call. Say goodbye first, in the same answer: "
        "the call ends when the caller has heard it."
    ),
    "parameters": {"type": "object", "properties": {}, "required": []},
}

_DEFINITIONS: Mapping[str, Mapping[str, Any]] = {"hang_up": HANG_UP}


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
class Output:
    """What the model gets to read as the function's output (JSON text)."""

    text: str
    ok: bool


Outcome = HangUpAsked | Output


def definitions(names: Sequence[str]) -> list[Mapping[str, Any]]:
    """The `session.tools` of an agent; names of tools that do not exist yet are left out."""
    return [_DEFINITIONS[name] for name in names if name in _DEFINITIONS]


def outcome(call: FunctionCall, allowed: Sequence[str]) -> Outcome:
    """Decide what a function call leads to; `allowed` are the agent's tools."""
    if call.name == "hang_up" and call.name in allowed:
        return HangUpAsked()
    names = ", ".join(sorted(set(allowed) & set(_DEFINITIONS))) or "none"
    return Output(
        json.dumps({"error": f"There is no function of this name. Functions: {names}."}), ok=False
    )
