"""What a benchmark prints is what the table of all of them reads."""

from __future__ import annotations

import pytest

from .table import Figure, read, table

FIGURES = [
    Figure("CPU against a C program, 500 calls", 1.52, "times", 1.6),
    Figure("calls on one core", 812, "", 800, at_least=True),
    Figure("pacing p99", 12.25, "ms", 5),
    Figure("memory", -0.0001234, "MB a call", 0.4),
    Figure("cost", 3),
]


@pytest.mark.parametrize("figure", FIGURES)
def test_a_line_is_read_as_it_was_printed(figure: Figure) -> None:
    assert read(f"{figure}\n") == figure


@pytest.mark.parametrize(
    "line", ["", "= ", "=", "= a: b", "  500 floor cpu 0.5 ms", "= a: 1 (x 2)"]
)
def test_other_lines_are_none(line: str) -> None:
    assert read(line) is None


def test_what_is_as_good_as_wanted() -> None:
    assert [it.reached for it in FIGURES] == [True, True, False, True, True]
    assert Figure("a", 5, "", 5).reached
    assert Figure("a", 5, "", 5, at_least=True).reached
    assert not Figure("a", 4.9, "", 5, at_least=True).reached


def test_the_table() -> None:
    assert table(FIGURES[1:3]).splitlines() == [
        "figure             reached   wanted",
        "-" * 46,
        "calls on one core  812       at least 800  yes",
        "pacing p99         12.25 ms  at most 5     no",
    ]
