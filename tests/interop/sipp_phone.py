"""sipp as a caller: one of our scenarios, played to the end against a running gateway.

It keeps its sound in files with fixed names in the folder that it runs in: `caller.alaw` and
`quiet.alaw` (raw G.711), `keys.pcap`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .programs import HOST, free_port, free_range, running
from .service import Service

SCENARIOS = Path(__file__).parent / "sipp"
LONGEST = 40  # s that a scenario may take


def call(
    service: Service, to: str, scenario: str, folder: Path, *options: str, calls: int = 1
) -> None:
    """Call `to`, so many calls at once, and wait until all are over."""
    with calling(service, to, scenario, folder, *options, calls=calls):
        pass


@contextmanager
def calling(
    service: Service, to: str, scenario: str, folder: Path, *options: str, calls: int = 1
) -> Iterator[None]:
    """Call `to`; at the end of the block wait until the calls are over. Every message must have
    come as the scenario has it, and within `LONGEST`."""
    errors, messages = folder / f"{to}.errors", folder / f"{to}.messages"
    command = ["sipp", f"{HOST}:{service.sip}", "-sf", str(SCENARIOS / f"{scenario}.xml")]
    command += ["-i", HOST, "-p", str(free_port()), "-mi", HOST, "-mp", str(free_range(4 * calls))]
    command += ["-s", to, "-m", str(calls), "-r", str(max(calls, 10)), "-nostdin"]
    command += ["-timeout", str(LONGEST), "-timeout_error"]
    command += ["-trace_err", "-error_file", str(errors)]
    command += ["-trace_msg", "-message_file", str(messages)]
    with running([*command, *options], folder, f"{to}.sipp") as sipp:
        yield
        code = sipp.wait(LONGEST + 5)
        said = [file.read_text("utf-8", "replace") for file in (errors, messages) if file.exists()]
        assert code == 0, "\n".join([f"sipp ended with {code}:", *said, str(service.complaints())])
