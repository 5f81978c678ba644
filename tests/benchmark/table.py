"""What a benchmark reached beside what is wanted, as a line that people and programs read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LINE = re.compile(
    r"= (?P<name>[^:]+): (?P<value>-?[0-9.]+(?:e[+-]?[0-9]+)?)(?: (?P<unit>[^()]+?))?"
    r"(?: \((?P<bound>at most|at least) (?P<wanted>-?[0-9.e+-]+)\))?"
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number; `wanted` is the most it may be, or the least; None: only to be known."""

    name: str  # without a colon
    value: float
    unit: str = ""
    wanted: float | None = None
    at_least: bool = False

    @property
    def reached(self) -> bool:
        """It is as good as wanted."""
        if self.wanted is None:
            return True
        return self.value >= self.wanted if self.at_least else self.value <= self.wanted

    @property
    def bound(self) -> str:
        """What is wanted, in words."""
        if self.wanted is None:
            return ""
        return f"{'at least' if self.at_least else 'at most'} {self.wanted:g}"

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        bound = f" ({self.bound})" if self.bound else ""
        return f"= {self.name}: {self.value:.4g}{unit}{bound}"


def show(figures: Iterable[Figure]) -> None:
    """Print them, a line each."""
    for figure in figures:
        print(figure, flush=True)


def read(line: str) -> Figure | None:
    """A figure as it was printed; None: something else."""
    found = _LINE.fullmatch(line.rstrip())
    if found is None:
        return None
    wanted = found["wanted"]
    return Figure(
        found["name"],
        float(found["value"]),
        found["unit"] or "",
        None if wanted is None else float(wanted),
        found["bound"] == "at least",
    )


def table(figures: Iterable[Figure]) -> str:
    """All of them, in columns: the figure, what it reached, what was wanted."""
    rows = [("figure", "reached", "wanted", "")]
    for it in figures:
        verdict = "" if it.wanted is None else "yes" if it.reached else "no"
        rows.append((it.name, f"{it.value:.4g} {it.unit}".rstrip(), it.bound, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
