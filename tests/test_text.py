"""What strangers write is one line, steers nothing, and every encoder takes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.text import CALLER_ID, OTHERS, cleaned


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Анна Иванова", "Анна Иванова"),
        ("two\r\nlines", "twolines"),
        ("\x1b[31mred", "[31mred"),
        ("C1 \x85\x9b", "C1 "),
        ("a\u2028b\u2029c", "abc"),
        ("\u202egnp.exe", "gnp.exe"),  # right-to-left override
        ("\u2066\u2069\u200e\ufeff", ""),
        ("hidden\U000e0041\U000e0042", "hidden"),  # tag characters: instructions nobody sees
        ("lone \udce4 byte", "lone  byte"),  # a byte that was no UTF-8, as surrogateescape has it
        ("e\u0301", "é"),  # NFC
        ("می\u200cخواهم", "می\u200cخواهم"),  # a joiner that Persian needs
        ("tab\tand\0nul", "tabandnul"),
    ],
)
def test_only_what_shows_is_left(text: str, shown: str) -> None:
    assert cleaned(text) == shown


def test_the_length_is_capped() -> None:
    assert cleaned("x" * 300) == "x" * 256
    assert cleaned("x" * 300, limit=64) == "x" * 64


def test_names_of_people_are_shorter() -> None:
    assert cleaned("x" * 300, CALLER_ID) == "x" * 64
    assert cleaned("x" * 300, OTHERS) == "x" * 256


def test_a_flood_of_nothing_costs_nothing() -> None:
    """Only four times the limit is ever looked at."""
    assert cleaned("\n" * 10_000_000 + "x") == ""


@given(st.text(st.characters(), max_size=300))
def test_any_text(text: str) -> None:
    shown = cleaned(text)
    assert len(shown) <= 256
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
    assert cleaned(shown) == shown
