"""One command for all of them: what it knows, and what it runs."""

from __future__ import annotations

from pathlib import Path

from .__main__ import ALL, chosen

HERE = Path(__file__).parent


def test_it_knows_every_module_that_measures() -> None:
    measuring = {
        path.stem
        for path in HERE.glob("*.py")
        if "__main__" in path.read_text(encoding="utf-8") and not path.stem.startswith("test_")
    }
    assert measuring - {"__main__"} <= {it.module for it in ALL}


def test_what_takes_long_runs_only_when_asked_for() -> None:
    short = {it.module for it, _ in chosen([], long=False)}
    assert "churn" not in short
    assert short < {it.module for it, _ in chosen([], long=True)}


def test_some_can_be_chosen() -> None:
    assert [it.module for it, _ in chosen(["capacity", "churn"], long=False)] == ["capacity"] * 4
    assert chosen(["nothing"], long=True) == []
