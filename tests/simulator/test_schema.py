"""Checks refuse as OpenAI's API does: code, param and message."""

from __future__ import annotations

import pytest

from gateway.simulator.schema import (
    Check,
    Refusal,
    anything,
    array,
    boolean,
    decimal,
    either,
    integer,
    mapping,
    nullable,
    record,
    text,
    variants,
)

POINT = record({"x": integer(), "y": integer()}, required=["x"])
SHAPE = variants("kind", {"dot": record({"kind": anything}), "line": anything})

WRONG: list[tuple[Check, object, str, str, str]] = [
    (boolean, 1, "invalid_type", "f", "expected a boolean, but got an integer instead."),
    (text(), None, "invalid_type", "f", "expected a string, but got null instead."),
    (text("a", "b"), 3, "invalid_type", "f", "expected one of 'a', 'b', but got an integer"),
    (text("a"), "c", "invalid_value", "f", "Invalid value: 'c'. Supported values are: 'a'."),
    (text("a", "b", "c"), "d", "invalid_value", "f", "values are: 'a', 'b', and 'c'."),
    (text(longest=2), "abc", "string_above_max_length", "f", "maximum length 2, but got a string"),
    (integer(), True, "invalid_type", "f", "expected an integer, but got a boolean instead."),
    (integer(), 2.0, "invalid_type", "f", "expected an integer, but got a decimal instead."),
    (integer(5), 4, "integer_below_min_value", "f", "Expected a value >= 5, but got 4 instead."),
    (integer(5, 6), 7, "integer_above_max_value", "f", "Expected a value <= 6, but got 7 instead."),
    (decimal(), "1", "invalid_type", "f", "expected a decimal, but got a string instead."),
    (decimal(0, 1), 1.5, "decimal_above_max_value", "f", "decimal above maximum value."),
    (array(text()), {}, "invalid_type", "f", "expected an array, but got an object instead."),
    (array(text()), ["a", 1], "invalid_type", "f[1]", "Invalid type for 'f[1]'"),
    (array(text(), longest=1), ["a", "b"], "array_above_max_length", "f", "maximum length 1"),
    (mapping(text(), longest=1), {"a": 1}, "invalid_type", "f.a", "Invalid type for 'f.a'"),
    (mapping(text(), longest=1), {"a": "", "b": ""}, "object_above_max_properties", "f", "most 1"),
    (POINT, [], "invalid_type", "f", "expected an object, but got an array instead."),
    (POINT, {"y": 1}, "missing_required_parameter", "f.x", "Missing required parameter: 'f.x'."),
    (POINT, {"x": 1, "z": 1}, "unknown_parameter", "f.z", "Unknown parameter: 'f.z'."),
    (SHAPE, {}, "missing_required_parameter", "f.kind", "Missing required parameter: 'f.kind'."),
    (SHAPE, {"kind": "box"}, "invalid_value", "f.kind", "Supported values are: 'dot', and 'line'."),
    (either(text("inf"), integer()), "in", "invalid_value", "f", "values are: 'inf'."),
    (either(text("inf"), integer()), 1.5, "invalid_type", "f", "expected an integer"),
]


@pytest.mark.parametrize(("check", "value", "code", "param", "message"), WRONG)
def test_a_wrong_value_is_refused_with_its_place(
    check: Check, value: object, code: str, param: str, message: str
) -> None:
    with pytest.raises(Refusal) as caught:
        check(value, "f")
    assert (caught.value.code, caught.value.param) == (code, param)
    assert message in caught.value.message


def test_right_values_pass() -> None:
    boolean(False, "f")
    text("a")("a", "f")
    integer(0, 0)(0, "f")
    decimal(0, 1)(1, "f")
    nullable(boolean)(None, "f")
    nullable(boolean)(True, "f")
    array(integer(), longest=2)([1, 2], "f")
    mapping(text(), longest=1)({"a": "b"}, "f")
    POINT({"x": 1}, "f")
    SHAPE({"kind": "dot"}, "f")
    either(text(), integer())(4, "f")


def test_a_lenient_record_passes_over_what_it_does_not_know() -> None:
    record({"x": integer()}, strict=False)({"x": 1, "z": 2}, "f")


def test_at_the_top_a_path_has_no_dot() -> None:
    with pytest.raises(Refusal) as caught:
        POINT({"x": 1, "z": 1}, "")
    assert caught.value.param == "z"
