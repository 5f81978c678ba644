"""Hostile RTP in the middle of a call: false lengths, other protocols, jumps, sprayers, keys bent.

What is no packet of the caller's is dropped and changes nothing that the model hears; what is one
but makes no sense costs no more than itself. The call goes on.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import random
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gateway.rtp.packet import Packet, encode
from gateway.sip.endpoint import Address
from tests.calls.house import House, house
from tests.clock import Network, Unfiltered, run

from .caller import EVENTS, PCMA, Caller, calling, quiet, tone
from .watch import nothing_breaks

HERS, HIS = 400.0, 1600.0  # Hz: the caller's sound and the attacker's
RATE = 24000  # Hz, of what the model hears
FRAME = RATE // 50


@asynccontextmanager
async def in_call(
    folder: Path, network: Network | None = None, **options: Any
) -> AsyncIterator[tuple[House, Caller]]:
    """A house and a caller in a call, and nothing of it breaks."""
    network = network or Network()
    with nothing_breaks():
        async with house(folder, {}, network=network, **options) as home:
            async with calling(network) as caller:
                assert (await caller.dial()).status == 200
                yield home, caller
            record = await home.record()
            assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")


def sound(home: House) -> npt.NDArray[np.float64]:
    """All that the model was given."""
    texts = [event["audio"] for event in home.model.events("input_audio_buffer.append")]
    return np.frombuffer(b"".join(map(base64.b64decode, texts)), "<i2").astype(np.float64)


def level(samples: npt.NDArray[np.float64], hertz: float) -> float:
    """How loud one tone is in a stretch of sound: its amplitude."""
    at = np.arange(len(samples)) / RATE
    return float(2 * abs(np.mean(samples * np.exp(-2j * np.pi * hertz * at))))


def frames(samples: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Cut into 20 ms."""
    return [samples[n : n + FRAME] for n in range(0, len(samples) - FRAME + 1, FRAME)]


async def speak(caller: Caller, seconds: float, hostile: Iterator[bytes] | None = None) -> None:
    """The caller's tone, and with each packet one that is hostile, from her own address."""
    for n in range(round(seconds * 50)):
        if hostile is not None:
            caller.send(next(hostile))
        await caller.say(tone(HERS, n))


def uninterrupted(home: House, seconds: float) -> None:
    """The model heard the caller's tone for so long without a break, and no other."""
    heard = sound(home)
    assert abs(len(heard) / RATE - seconds) <= 0.12
    middle = heard[5 * FRAME : -5 * FRAME]
    assert min(level(frame, HERS) for frame in frames(middle)) > 6000
    assert level(middle, HIS) < 8


def header(
    flags: int = 0x80, kind: int = PCMA, sequence: int = 0, timestamp: int = 0, ssrc: int = 0x5EED
) -> bytes:
    return struct.pack("!BBHII", flags, kind, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)


PAYLOAD = tone(HIS, 0)
RTCP_SR = struct.pack("!BBHIIIIII", 0x81, 200, 12, 0x5EED, 0, 0, 0, 2**31, 2**31) + bytes(24)
NO_PACKETS: dict[str, list[bytes]] = {  # of the caller's own SSRC, and dropped all the same
    "contributors that are not there": [
        header(0x80 | count) + bytes(4 * count - 1) for count in range(1, 16)
    ],
    "an extension that is not there": [
        header(0x90),
        header(0x90) + b"\x00",
        header(0x90) + b"\xbe\xde",
    ],
    "an extension that goes on": [
        header(0x90) + b"\xbe\xde" + struct.pack("!H", words) + bytes(20)
        for words in (6, 7, 255, 4096, 65_535)
    ],
    "padding that goes on": [
        header(0xA0) + PAYLOAD[:-1] + bytes([size]) for size in (0, 161, 172, 173, 255)
    ],
    "padding of nothing": [header(0xA0)[:-1] + b"\xff", header(0xA0)[:-1] + b"\x01"],
    "everything at once": [header(0xBF) + b"\xff" * 20, header(0xBF), header(0xB0) + b"\xff" * 4],
    "another version": [header(flags) + PAYLOAD for flags in (0x00, 0x40, 0xC0, 0x7F, 0xFF)],
    "too short": [b"", b"\x80", *(header()[:size] for size in range(1, 12))],
    "65,507 bytes": [b"\xff" * 65_507, b"\0" * 65_507],
    "RTCP that lies": [
        *(RTCP_SR, RTCP_SR[:9], b"\x81\xc8\xff\xff", b"\x9f\xc9\x00\x00" + bytes(4)),
        *(b"\x81\xcb\x00\x01" + struct.pack("!I", 0x5EED), b"\x80\xc8", b"\xbf\xca\xff\xff" * 300),
    ],
    "STUN": [b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12) + b"\x00\x06\xff\xff"],
    "DTLS": [b"\x16\xfe\xff\x00\x00" + bytes(8) + b"\xff" * 200, b"\x14\xfe\xfd", b"\x17" * 50],
    "SIP": [b"OPTIONS sip:x SIP/2.0\r\n\r\n", b"\r\n\r\n", b"INVITE"],
    "one packet of another stream": [
        header(ssrc=ssrc, sequence=7 * ssrc) + PAYLOAD for ssrc in range(1, 200)
    ],
    "one packet of another time": [
        header(sequence=sequence) + PAYLOAD for sequence in range(20_000, 40_000, 101)
    ],
}


@pytest.mark.parametrize("kind", NO_PACKETS)
def test_what_is_no_packet_of_the_stream(kind: str, tmp_path: Path) -> None:
    """Between any two packets of hers, from her own address: the model hears nothing of it."""

    async def main() -> None:
        async with in_call(tmp_path) as (home, caller):
            await speak(caller, 0.2)
            await speak(caller, 3.8, itertools.cycle(NO_PACKETS[kind]))
            await caller.press("4711#")
            heard = len(caller.heard)
            await speak(caller, 1.0)
            assert len(caller.heard) >= heard + 49
        assert (await home.record())["digits"] == ["4711"]
        assert (await home.record())["rtp"]["lost"] == 0
        whole = sound(home)
        spoken = whole[5 * FRAME : 190 * FRAME]
        assert min(level(frame, HERS) for frame in frames(spoken)) > 6000
        assert level(spoken, HIS) < 8

    run(main())


def test_what_was_never_agreed(tmp_path: Path) -> None:
    """
    Payload types that nobody offered share her sequence, as comfort noise does: no loss, and her
    own sound is as it was.
    """

    async def main() -> None:
        async with in_call(tmp_path) as (home, caller):
            kinds = itertools.cycle([1, 3, 9, 13, 18, 34, 95, 96, 110, 127])
            for n in range(200):
                caller.send(caller.packet(PAYLOAD, next(kinds)))
                await caller.say(tone(HERS, n))
        uninterrupted(home, 4.0)
        assert (await home.record())["rtp"]["lost"] == 0

    run(main())


@pytest.mark.parametrize(
    "jump",
    [
        *({"ssrc": 1}, {"sequence": 5000}, {"sequence": -5000}, {"sequence": 32_768}),
        *({"timestamp": 10**6}, {"timestamp": -(10**6)}, {"timestamp": 2**31}),
        {"ssrc": 7, "sequence": 20_000, "timestamp": 2**30},
    ],
    ids=str,
)
def test_a_stream_that_begins_anew(jump: dict[str, int], tmp_path: Path) -> None:
    """
    Five times in a call, as switches do when they put another source through: heard again within
    60 ms, and nothing is made up for the jump (RFC 3550 A.1).
    """

    async def main() -> None:
        async with in_call(tmp_path) as (home, caller):
            for _ in range(5):
                await speak(caller, 1.0)
                caller.ssrc += jump.get("ssrc", 0)
                caller.sequence = (caller.sequence + jump.get("sequence", 0)) & 0xFFFF
                caller.timestamp = (caller.timestamp + jump.get("timestamp", 0)) & 0xFFFFFFFF
            await speak(caller, 1.0)
        heard = sound(home)
        assert abs(len(heard) / RATE - 6.0) <= 0.25
        quiet_frames = [
            level(frame, HERS) < 4000 for frame in frames(heard[5 * FRAME : -5 * FRAME])
        ]
        assert sum(quiet_frames) <= 5 * 3

    run(main())


def test_jumps_without_end(tmp_path: Path) -> None:
    """Every packet of another stream: none is heard, time goes on, and then she is heard again."""

    async def main() -> None:
        async with in_call(tmp_path) as (home, caller):
            dice = random.Random(1)
            await speak(caller, 1.0)
            for _ in range(200):
                caller.ssrc, caller.sequence = dice.getrandbits(32), dice.getrandbits(16)
                caller.timestamp = dice.getrandbits(32)
                await caller.say(PAYLOAD)
            await speak(caller, 2.0)
        heard = sound(home)
        assert abs(len(heard) / RATE - 7.0) <= 0.25
        assert level(heard[50 * FRAME : 240 * FRAME], HIS) < 200
        assert min(level(frame, HERS) for frame in frames(heard[-90 * FRAME : -5 * FRAME])) > 6000

    run(main())


def sprayer(n: int, sequence: int) -> bytes:
    """A good packet of an attacker's stream, loud, as a phone would send it."""
    packet = Packet(PCMA, sequence & 0xFFFF, sequence * 160, n, tone(HIS, sequence), sequence == 0)
    return encode(packet)


@pytest.mark.parametrize("network", [Network, Unfiltered])
@pytest.mark.parametrize("source", ["sdp", "learn"])
@pytest.mark.parametrize("attackers", [1, 3])
def test_sprayers(
    network: Callable[[], Network], source: str, attackers: int, tmp_path: Path
) -> None:
    """
    Attackers send 200 packets a second to every port, from before the INVITE to the hang-up; the
    caller begins half a second after the answer. Not one of our packets goes to them, none of
    their sound comes to the model, hers has no break, and the log has no line for each.
    """
    hosts = [(f"203.0.113.{n}", 7000) for n in range(1, attackers + 1)]

    async def main() -> None:
        net = network()
        robbed: list[bytes] = []
        for host in hosts:
            net.open(host, lambda data, source: robbed.append(data))
        with nothing_breaks() as log:
            async with house(
                tmp_path, {}, network=net, config={"media": {"source": source}}
            ) as home:
                spraying = asyncio.create_task(spray(home, net, hosts))
                async with calling(net) as caller:
                    assert (await caller.dial()).status == 200
                    await asyncio.sleep(0.5)
                    await speak(caller, 5.0)
                    await caller.press("4711#")
                spraying.cancel()
                record = await home.record()
            assert len([line for line in log if line["log_level"] != "debug"]) < 10

        assert robbed == []
        assert record["digits"] == ["4711"]
        whole = sound(home)
        spoken = whole[30 * FRAME : 270 * FRAME]
        assert min(level(frame, HERS) for frame in frames(spoken)) > 6000
        assert level(whole, HIS) < 8  # 60 dB below

    run(main())


async def spray(home: House, network: Network, hosts: list[Address]) -> None:
    """200 packets a second from each of them to every port that is open."""
    for sequence in itertools.count():
        for n, host in enumerate(hosts, 1):
            for port in home.ports.opened:
                network.send(sprayer(n, sequence), host, port.address)
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("payload", range(40))
def test_keys_of_a_wrong_size(payload: int, tmp_path: Path) -> None:
    """
    Events cut short, overlong or of codes that are no key, between and under good ones: each key
    is entered once, in its order.
    """
    dice = random.Random(payload)
    wrong = [
        *(bytes(size) for size in range(4)),  # no event at all
        *(bytes([code, 0x8A, 0, 160]) for code in (16, 17, 32, 200, 255)),  # flash, tones
        bytes([200, 10, 0, 160]) * 100,
        bytes([255]) * (4 + payload),
    ]

    async def main() -> None:
        async with in_call(tmp_path) as (home, caller):
            for key in "4711#":
                for data in dice.sample(wrong, 4):
                    caller.send(caller.packet(data, EVENTS))
                await caller.press(key)
                for data in dice.sample(wrong, 4):
                    await caller.say(quiet())
                    caller.send(caller.packet(data, EVENTS))
                    caller.send(encode(Packet(EVENTS, caller.sequence, 5, caller.ssrc, data)))
                    caller.sequence = (caller.sequence + 1) & 0xFFFF
            await speak(caller, 0.5)
        assert (await home.record())["digits"] == ["4711"]

    run(main())


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes(seed: int, tmp_path: Path) -> None:
    """
    2,000 datagrams of chance from her own address, half of them her own packets with bytes
    changed: whatever they do to her sound, when it is over she is heard, keys and all.
    """
    dice = random.Random(seed)

    def datagram(caller: Caller) -> bytes:
        if dice.random() < 0.5:
            return dice.randbytes(dice.choice((1, 11, 12, 13, 40, 172, 500, 1500)))
        good = bytearray(caller.packet(PAYLOAD, dice.choice((PCMA, PCMA, EVENTS))))
        for _ in range(dice.randint(1, 4)):
            good[dice.randrange(len(good))] = dice.randrange(256)
        return bytes(good[: dice.choice((len(good), 16, 20))])

    async def main() -> None:
        async with in_call(tmp_path) as (home, caller):
            await speak(caller, 1.0)
            for n in range(200):
                for _ in range(10):
                    caller.send(datagram(caller))
                await caller.say(tone(HERS, n))
            await speak(caller, 40.0)  # an event of chance may say that it lasts 8 s
            before = len(home.model.events("conversation.item.create"))
            await caller.press("4711#")
            await speak(caller, 0.5)
            entered = home.model.events("conversation.item.create")[before:]
        assert [it["item"]["content"][0]["text"] for it in entered] == ["Keypad: 4711"]
        late = sound(home)[-400 * FRAME : -100 * FRAME][150 * FRAME : 200 * FRAME]
        assert min(level(frame, HERS) for frame in frames(late)) > 6000
        assert len(caller.heard) >= 0.95 * (caller.heard[-1][0] - caller.heard[0][0]) * 50
        assert home.gateway.calls == 0

    run(main())


def test_only_garbage(tmp_path: Path) -> None:
    """A caller of whom nothing but garbage comes is gone, as one of whom nothing comes."""

    async def main() -> None:
        with nothing_breaks():
            network = Network()
            async with house(tmp_path, {}, network=network) as home, calling(network) as caller:
                await caller.dial()
                groups = [group for kind, group in NO_PACKETS.items() if "one packet" not in kind]
                garbage = itertools.cycle([data for group in groups for data in group])
                while not caller.ended.is_set():
                    caller.send(next(garbage)[:100])
                    await asyncio.sleep(0.05)
                record = await home.record()
        assert record["ended_by"] == "network"
        assert record["cause"] == "rtp_timeout"

    run(main())
