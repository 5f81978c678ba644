"""Checks to build a schema of, which refuse as OpenAI's API refuses (pure).

A check takes a JSON value and its path (`session.tools[0].name`); it returns nothing, or
raises the `Refusal` that goes to the client. The codes and messages are those of OpenAI's
`invalid_request_error`: unknown_parameter, missing_required_parameter, invalid_type,
invalid_value, and the `…_below_min_value`, `…_above_max_…` family.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

Check = Callable[[object, str], None]


class Refusal(Exception):
    """A client's event is not acted upon; the session goes on."""

    def __init__(self, message: str, *, code: str | None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def wrong_type(expected: str, value: object, path: str) -> Refusal:
    return Refusal(
        f"Invalid type for '{path}': expected {expected}, but got {_kind(value)} instead.",
        code="invalid_type",
        param=path,
    )


def wrong_value(value: object, choices: Iterable[str], path: str) -> Refusal:
    names = [f"'{choice}'" for choice in choices]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"
    return Refusal(
        f"Invalid value: '{value}'. Supported values are: {listed}.",
        code="invalid_value",
        param=path,
    )


def missing(path: str) -> Refusal:
    return Refusal(
        f"Missing required parameter: '{path}'.", code="missing_required_parameter", param=path
    )


def unknown(path: str) -> Refusal:
    return Refusal(f"Unknown parameter: '{path}'.", code="unknown_parameter", param=path)


def anything(value: object, path: str) -> None:
    """No check."""


def boolean(value: object, path: str) -> None:
    if not isinstance(value, bool):
        raise wrong_type("a boolean", value, path)


def text(*choices: str, longest: int | None = None) -> Check:
    """A string, one of the choices if there are any, at most so many characters."""

    def check(value: object, path: str) -> None:
        if not isinstance(value, str):
            raise wrong_type(f"one of {_listed(choices)}" if choices else "a string", value, path)
        if choices and value not in choices:
            raise wrong_value(value, choices, path)
        if longest is not None and len(value) > longest:
            raise Refusal(
                f"Invalid '{path}': string too long. Expected a string with maximum length "
                f"{longest}, but got a string with length {len(value)} instead.",
                code="string_above_max_length",
                param=path,
            )

    return check


def _listed(choices: Iterable[str]) -> str:
    return ", ".join(f"'{choice}'" for choice in choices)


def _within(kind: str, value: float, low: float | None, high: float | None, path: str) -> None:
    if low is not None and value < low:
        side, bound, code = "below minimum", f">= {low}", "below_min_value"
    elif high is not None and value > high:
        side, bound, code = "above maximum", f"<= {high}", "above_max_value"
    else:
        return
    raise Refusal(
        f"Invalid '{path}': {kind} {side} value. Expected a value {bound}, "
        f"but got {value} instead.",
        code=f"{kind}_{code}",
        param=path,
    )


def integer(low: int | None = None, high: int | None = None) -> Check:
    def check(value: object, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type("an integer", value, path)
        _within("integer", value, low, high, path)

    return check


def decimal(low: float | None = None, high: float | None = None) -> Check:
    def check(value: object, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type("a decimal", value, path)
        _within("decimal", value, low, high, path)

    return check


def nullable(check: Check) -> Check:
    def optional(value: object, path: str) -> None:
        if value is not None:
            check(value, path)

    return optional


def array(of: Check, *, longest: int | None = None) -> Check:
    def check(value: object, path: str) -> None:
        if not isinstance(value, list):
            raise wrong_type("an array", value, path)
        if longest is not None and len(value) > longest:
            raise Refusal(
                f"Invalid '{path}': array too long. Expected an array with maximum length "
                f"{longest}, but got an array with length {len(value)} instead.",
                code="array_above_max_length",
                param=path,
            )
        for index, element in enumerate(value):
            of(element, f"{path}[{index}]")

    return check


def mapping(of: Check, *, longest: int) -> Check:
    """An object with any keys, at most so many."""

    def check(value: object, path: str) -> None:
        fields = _object(value, path)
        if len(fields) > longest:
            raise Refusal(
                f"Invalid '{path}': too many properties. Expected an object with at most "
                f"{longest} properties, but got an object with {len(fields)} properties instead.",
                code="object_above_max_properties",
                param=path,
            )
        for key, element in fields.items():
            of(element, f"{path}.{key}")

    return check


def record(
    fields: Mapping[str, Check], *, required: Iterable[str] = (), strict: bool = True
) -> Check:
    """An object with these fields; where not strict, others are passed over."""
    needed = tuple(required)

    def check(value: object, path: str) -> None:
        given = _object(value, path)
        prefix = f"{path}." if path else ""
        for name in needed:
            if name not in given:
                raise missing(f"{prefix}{name}")
        for name, element in given.items():
            if name in fields:
                fields[name](element, f"{prefix}{name}")
            elif strict:
                raise unknown(f"{prefix}{name}")

    return check


def variants(key: str, kinds: Mapping[str, Check]) -> Check:
    """An object whose field `key` says which check is its own."""
    which = text(*kinds)

    def check(value: object, path: str) -> None:
        given = _object(value, path)
        place = f"{path}.{key}" if path else key
        if key not in given:
            raise missing(place)
        kind = given[key]
        which(kind, place)
        kinds[str(kind)](value, path)

    return check


def either(string: Check, other: Check) -> Check:
    """A string, or something else."""

    def check(value: object, path: str) -> None:
        (string if isinstance(value, str) else other)(value, path)

    return check


def _object(value: object, path: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise wrong_type("an object", value, path)
    return value
