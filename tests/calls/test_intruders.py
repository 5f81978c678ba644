"""Who is not the caller, and RTCP that lies: the model hears her alone, and the call goes on.

The intruder knows all that is on her wire: her SSRC, her sequence, her timestamps. What he cannot
have is her address; who forges that, too, is kept out by nothing but SRTP.
"""

from __future__ import annotations

import base64
import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gateway.rtp import rtcp
from gateway.rtp.packet import Packet, encode, is_rtcp
from gateway.rtp.rtcp import Bye, Report, ReportBlock, SenderInfo
from tests.clock import Address, Network, Unfiltered, run
from tests.torture.caller import PCMA, Caller, calling, tone
from tests.torture.watch import nothing_breaks

from .house import GATEWAY, House, house

HERS, HIS = 400.0, 1600.0  # Hz
RATE = 24000  # Hz, of what the model hears
FRAME = RATE // 50
INTRUDERS = {
    "a stranger": ("203.0.113.7", 7000),
    "a neighbour": ("10.0.2.99", 7000),
    "another port of her host": ("10.0.2.1", 7002),
    "her port of RTCP": ("10.0.2.1", 7001),
}
SECONDS = 4.0


def sound(home: House) -> npt.NDArray[np.float64]:
    """All that the model was given."""
    texts = [event["audio"] for event in home.model.events("input_audio_buffer.append")]
    return np.frombuffer(b"".join(map(base64.b64decode, texts)), "<i2").astype(np.float64)


def level(samples: npt.NDArray[np.float64], hertz: float) -> float:
    """How loud one tone is in a stretch of sound: its amplitude."""
    at = np.arange(len(samples)) / RATE
    return float(2 * abs(np.mean(samples * np.exp(-2j * np.pi * hertz * at))))


def hers_alone(home: House, seconds: float) -> None:
    """The model heard her for so long, without a break, and nothing of his."""
    heard = sound(home)
    assert len(heard) / RATE == pytest.approx(seconds, abs=0.15)
    middle = heard[5 * FRAME : -6 * FRAME]
    frames = middle[: len(middle) // FRAME * FRAME].reshape(-1, FRAME)
    assert min(level(frame, HERS) for frame in frames) > 6000
    assert level(middle, HIS) < 8  # 60 dB below


class Wire:
    """What leaves the gateway: RTP by the address it is for, and RTCP."""

    def __init__(self, network: Network) -> None:
        self.rtp: dict[Address, list[int]] = {}  # sequences
        self.rtcp: list[tuple[Address, bytes]] = []
        self._send = network.send
        network.send = self._tapped  # type: ignore[method-assign] # a tap on the wire

    def _tapped(self, data: bytes, source: Address, target: Address) -> None:
        if source[0] == GATEWAY[0] and source[1] != GATEWAY[1]:
            if is_rtcp(data):
                self.rtcp.append((target, data))
            else:
                self.rtp.setdefault(target, []).append(int.from_bytes(data[2:4], "big"))
        self._send(data, source, target)

    def is_whole(self, caller: Caller) -> bool:
        """Whether all our sound went to her, with no packet missing."""
        (sequences,) = self.rtp.values()
        steps = {(b - a) & 0xFFFF for a, b in itertools.pairwise(sequences)}
        return list(self.rtp) == [caller.address] and steps == {1}


@pytest.mark.parametrize("network", [Network, Unfiltered])
@pytest.mark.parametrize("source", ["sdp", "learn"])
@pytest.mark.parametrize("intruder", INTRUDERS)
def test_her_own_stream_from_elsewhere(
    intruder: str, source: str, network: Callable[[], Network], tmp_path: Path
) -> None:
    """He is before her with each of her packets: not one of his is heard, none of ours is his."""

    async def main() -> None:
        net = network()
        wire = Wire(net)
        config = {"media": {"source": source}}
        with nothing_breaks() as log:
            async with house(tmp_path, {}, network=net, config=config) as home:
                async with calling(net) as caller:
                    assert (await caller.dial()).status == 200
                    await caller.say(tone(HERS, 0))
                    for n in range(1, round(SECONDS * 50)):
                        for ahead in (0, 1, 2):
                            sequence, at = caller.sequence + ahead, caller.timestamp + 160 * ahead
                            packet = Packet(
                                PCMA,
                                sequence & 0xFFFF,
                                at & 0xFFFFFFFF,
                                caller.ssrc,
                                tone(HIS, n + ahead),
                            )
                            caller.send(encode(packet), INTRUDERS[intruder])
                        await caller.say(tone(HERS, n))
                    assert wire.is_whole(caller)
                record = await home.record()
        hers_alone(home, SECONDS)
        assert (record["rtp"]["received"], record["rtp"]["lost"]) == (SECONDS * 50, 0)
        told = [line for line in log if line["event"] == "call_irregular"]
        assert len(told) == (network is Unfiltered)  # the kernel's filter tells nobody
        assert all(line["rtp_from_elsewhere"] > 400 for line in told)

    run(main())


def lies(ours: int, hers: int, our_report: bytes | None) -> list[bytes]:
    """RTCP that says what cannot be, or does not say it to its end."""
    last_sr = 0
    if our_report:
        report = rtcp.parse(our_report)[0]
        assert isinstance(report, Report)
        last_sr = report.sender.ntp >> 16 & 0xFFFFFFFF if report.sender else 0
    worst = ReportBlock(ours, 255, 0x7FFFFF, 0xFFFFFFFF, 0xFFFFFFFF, last_sr, 0xFFFFFFFF)
    best = worst._replace(fraction=0, lost=-0x800000, jitter=0, delay=0)
    sender = SenderInfo(2**64 - 1, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    whole = rtcp.encode([Report(hers, (worst,), sender)])
    return [
        rtcp.encode([Report(hers), Bye((hers, ours))]),
        rtcp.encode([Bye((hers,))]),
        rtcp.encode([Bye(tuple(range(31)))]),
        rtcp.encode([Report(hers, (best,), sender)]),
        rtcp.encode([Report(hers, (worst,) * 31)]),
        rtcp.encode([Report(ours, (worst,), sender)]),  # as if it were ours
        whole,
        *(whole[:size] for size in range(1, len(whole))),
        *(bytes([0x80 | count]) + whole[1:] for count in (0, 2, 31)),
        *(whole[:2] + words.to_bytes(2, "big") + whole[4:] for words in (0, 1, 11, 13, 65_535)),
        whole * 20,
        struct.pack("!BBHII", 0x81, 205, 3, hers, ours) + b"\x00\x01\xff\xff",  # NACK of all
        struct.pack("!BBHII", 0x81, 206, 2, hers, ours),  # a picture is wanted
        struct.pack("!BBHI", 0x80, 207, 1, hers),
        struct.pack("!BBHIBBH", 0x80, 207, 10, hers, 7, 0, 8) + b"\xff" * 32,  # RFC 3611 §4.7
        struct.pack("!BBHI4s", 0x9F, 204, 2, hers, b"BYE!"),
        b"\xbf\xca\xff\xff" * 300,
    ]


@pytest.mark.parametrize("mux", [True, False])
@pytest.mark.parametrize("teller", ["her", "a stranger"])
def test_rtcp_that_lies(teller: str, mux: bool, tmp_path: Path) -> None:
    """50 times a second, by the port that was agreed: no BYE ends the call, no report is more than
    a number within its bounds, and nothing is sent again or less often for it."""

    async def main() -> None:
        network = Network()
        wire = Wire(network)
        with nothing_breaks():
            async with house(tmp_path, {}, network=network) as home, calling(network) as caller:
                offer = caller.offer(*(["a=rtcp-mux"] if mux else []))
                network.open((caller.host, 7001), lambda data, source: None)
                assert (await caller.dial(offer)).status == 200
                assert caller.target
                to = (caller.target[0], caller.target[1] + (not mux))
                told: list[bytes] = []
                for n in range(8 * 50):
                    if wire.rtcp and not told:
                        ours = int.from_bytes(wire.rtcp[0][1][4:8], "big")
                        told = lies(ours, caller.ssrc, wire.rtcp[0][1])
                    if told:
                        source = (caller.host, 7000 + (not mux))
                        if teller != "her":
                            source = INTRUDERS[teller]
                        network.send(told[n % len(told)], source, to)
                    await caller.say(tone(HERS, n))
                assert wire.is_whole(caller)
                assert told
                reports = [target for target, _ in wire.rtcp]
                caller.hang_up()
                record = await home.record()
        hers_alone(home, 8.0)
        check(record, believed=teller == "her")
        assert set(reports) == {(caller.host, 7000 + (not mux))}
        assert len(reports) <= 5  # one in 2.5 to 7.5 s

    run(main())


def check(record: dict[str, Any], *, believed: bool) -> None:
    """What was said of the sound is in the record, as far as it can be."""
    assert record["cause"] == "hang_up"
    counts = record["rtp"]
    assert (counts["received"], counts["lost"], counts["late"]) == (400, 0, 0)
    assert counts["round_trip_ms"] is None or 0 <= counts["round_trip_ms"] <= 5000
    if believed:
        assert 1.0 <= counts["mos"] <= 4.5
    else:
        assert counts["mos"] > 4.3
        assert counts["round_trip_ms"] is None
