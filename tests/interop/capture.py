"""What was really on the wire: tshark's capture of the loopback, and the RTP streams in it."""

from __future__ import annotations

import re
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.rtp.packet import is_rtcp, timestamp_delta

from .programs import HOST, Program, excuse, running, until
from .sound import FRAME

WHOLE = 2048  # bytes
SNAPSHOT = 64  # bytes of a packet: Ethernet, IP, UDP and RTP headers are 54
RTP = 42  # bytes before it
HEADERS = struct.Struct(">14x9xB10xHH4xBBHII")  # protocol, ports, and the RTP header


@dataclass(slots=True)
class Stream:
    """The packets of one sender, as they came by."""

    times: list[float] = field(default_factory=list)  # s
    sequences: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)  # whole ones where the capture is

    @property
    def missing(self) -> int:
        """How many sequence numbers are not there, or not in their order."""
        pairs = zip(self.sequences, self.sequences[1:], strict=False)
        return sum((after - before) & 0xFFFF != 1 for before, after in pairs)

    @property
    def skipped(self) -> int:
        """How many packets of 20 ms the RTP clock jumped over; 0: it never did."""
        steps = zip(self.timestamps, self.timestamps[1:], strict=False)
        jumps = [timestamp_delta(after, before) - FRAME for before, after in steps]
        assert all(jump >= 0 and jump % FRAME == 0 for jump in jumps), "no clock of 20 ms"
        return sum(jumps) // FRAME

    @property
    def gaps(self) -> list[float]:
        """Seconds between one packet and the next."""
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]


class Capture:
    """A capture; complete when the block of `capturing` was left."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def streams(self, ports: tuple[int, int]) -> list[Stream]:
        """The RTP streams sent from ports of that range, one an SSRC."""
        found: dict[tuple[int, int], Stream] = {}
        for time, data in _packets(self._path):
            if len(data) < HEADERS.size:
                continue
            protocol, source, _, flags, _, sequence, timestamp, ssrc = HEADERS.unpack_from(data)
            if is_rtcp(data[RTP:]):
                continue
            if protocol == socket.IPPROTO_UDP and flags == 0x80 and ports[0] <= source <= ports[1]:
                stream = found.setdefault((source, ssrc), Stream())
                stream.times.append(time)
                stream.sequences.append(sequence)
                stream.timestamps.append(timestamp)
                stream.payloads.append(data[HEADERS.size :])
        return list(found.values())


@contextmanager
def capturing(folder: Path, ports: tuple[int, int], *, whole: bool = False) -> Iterator[Capture]:
    """Capture what goes to or from these UDP ports of the loopback: headers, or `whole` packets."""
    path = folder / "capture.pcap"
    command = ["tshark", "-i", "lo", "-f", f"udp portrange {ports[0]}-{ports[1]}"]
    command += ["-s", str(WHOLE if whole else SNAPSHOT), "-B", "32", "-F", "pcap", "-w", str(path)]
    with running(command, folder, "tshark") as tshark:
        until(lambda: _captures(path, ports[1]) or not tshark.running, "tshark captures")
        if not tshark.running:
            excuse(f"tshark may not capture: {tshark.printed}")
        yield Capture(path)
        _finish(tshark)


def _captures(path: Path, port: int) -> bool:
    """Knock at a port of the range, until it is seen in the capture."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"?", (HOST, port))
    return path.exists() and path.stat().st_size > 24  # more than the header of the file


def _finish(tshark: Program) -> None:
    assert tshark.stop(by=signal.SIGINT) == 0, tshark.printed
    dropped = re.search(r"([0-9]+) packets? dropped", tshark.printed)
    assert dropped is None or dropped[1] == "0", f"tshark was too slow: {tshark.printed}"


def _packets(path: Path) -> Iterator[tuple[float, bytes]]:
    """Time in seconds and bytes of each packet of a capture file (classic pcap)."""
    data = path.read_bytes()
    magic, link = struct.unpack_from("<I", data)[0], struct.unpack_from("<I", data, 20)[0]
    assert (magic, link) == (0xA1B2C3D4, 1)  # microseconds, Ethernet
    place = 24
    while place < len(data):
        seconds, micros, size, _ = struct.unpack_from("<IIII", data, place)
        place += 16
        yield seconds + micros / 1e6, data[place : place + size]
        place += size
