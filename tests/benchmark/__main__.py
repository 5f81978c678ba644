"""All measurements: python -m tests.benchmark [--long] [--list] [--only NAME ...]

Each module of this folder runs with arguments that end soon, one after the other; at the end a
table says of each figure what it reached and what is wanted. `--long` takes the time that the
wanted figures are laid down for: hours. Nothing else may run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass

from .table import Figure, read, table


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of a module; None: not without `--long`."""

    module: str
    tells: str
    short: tuple[str, ...] | None
    long: tuple[str, ...]


ALL = (
    Measurement(
        "capacity",
        "CPU of a call against a C program, pacing, loss, memory",
        ("--rounds", "1", "500"),
        ("--rounds", "5", "100", "500", "800"),
    ),
    Measurement(
        "capacity",
        "the same with the deltas of all calls in the same millisecond",
        ("--rounds", "1", "--herd", "500"),
        ("--rounds", "3", "--herd", "500"),
    ),
    Measurement(
        "capacity",
        "the same with SRTP on the telephones' side, against plain RTP",
        ("--rounds", "1", "--srtp", "500"),
        ("--rounds", "3", "--srtp", "500", "600"),
    ),
    Measurement(
        "capacity",
        "CPU of G.711 that the model takes as it is, against PCM 24 kHz",
        ("--rounds", "1", "--straight", "500"),
        ("--rounds", "5", "--straight", "500"),
    ),
    Measurement(
        "capacity",
        "how many calls a core carries",
        None,
        ("--search", "700"),
    ),
    Measurement(
        "capacity",
        "how many calls a core carries with SRTP",
        None,
        ("--search", "--srtp", "500"),
    ),
    Measurement(
        "pipecat",
        "CPU of a call, and calls on a core, against pipecat-ai",
        ("--quick",),
        (),
    ),
    Measurement(
        "churn",
        "memory, descriptors and tasks while calls come and go",
        None,
        ("--minutes", "30"),
    ),
    Measurement(
        "signalling",
        "parsing, SIP without media, and 100 calls a second from sipp",
        ("10",),
        ("60",),
    ),
    Measurement(
        "echo",
        "false barge-ins by our own echo, and how soon a caller is heard",
        ("--minutes", "0.5", "--times", "2"),
        ("--minutes", "10", "--times", "30"),
    ),
    Measurement("digits", "digits found in speech", ("--hours", "0.05"), ("--hours", "10")),
    Measurement("resample", "the cost of a frame, against a plain filter", (), ()),
    Measurement(
        "conceal",
        "what is heard of a call that loses packets (needs a folder of recordings)",
        None,
        ("/usr/share/asterisk/sounds",),
    ),
)


def chosen(names: list[str], *, long: bool) -> list[tuple[Measurement, tuple[str, ...]]]:
    """What is to run, and how."""
    runs = []
    for it in ALL:
        arguments = it.long if long else it.short
        if arguments is not None and (not names or it.module in names):
            runs.append((it, arguments))
    return runs


def run(module: str, arguments: tuple[str, ...]) -> tuple[int, list[Figure]]:
    """Run one, showing what it prints; its exit code and figures."""
    command = [sys.executable, "-m", f"{__package__}.{module}", *arguments]
    print(f"\n# {' '.join(command[1:])}", flush=True)
    figures = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as made:
        assert made.stdout
        for line in made.stdout:
            print(line, end="", flush=True)
            if figure := read(line):
                figures.append(figure)
    return made.returncode, figures


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    given = parser.parse_args()
    if given.list:
        for it in ALL:
            print(f"{it.module:12}{it.tells}{'' if it.short is not None else ' (--long)'}")
        return 0
    figures: list[Figure] = []
    broken = []
    began = time.monotonic()
    for it, arguments in chosen(given.only, long=given.long):
        code, found = run(it.module, arguments)
        figures += found
        if code and not found:
            broken.append(it.module)
    print(f"\n{table(figures)}\n\n{time.monotonic() - began:.0f} s")
    for name in broken:
        print(f"{name} did not come to its end")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
