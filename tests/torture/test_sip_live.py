"""Hostile datagrams at a whole gateway, while a call is up that must not notice."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.app import World, running
from gateway.config import Config
from gateway.rtp.packet import Packet, encode
from gateway.simulator.phone import Phone
from gateway.sip.message import Response, parse
from gateway.text import cleaned
from tests.calls.house import GATEWAY, House, house, noise
from tests.clock import Network, run

from .hostile import OFFER, all_datagrams, mutations, request
from .watch import nothing_breaks

STRANGER = ("10.0.9.9", 5060)
MODELS = [request(), request("OPTIONS", body=b""), request("BYE", body=b"")]
STORY = "That is a long story."
SCRIPT = {
    "turns": [
        {"hears": "Hello", "say": "Good day."},
        {"hears": "More", "say": STORY},
        {"hears": "Goodbye", "say": "Goodbye then.", "call": {"name": "hang_up"}},
    ],
    "digits": {"4711": "Thank you."},
}
SAID = ["Hello", "Good day.", "Thank you.", "More", STORY]


async def converse(phone: Phone) -> None:
    """The dialogue of the script, as somebody has it who notices nothing."""
    await phone.say(noise(0.5))
    await phone.until_sound()
    await phone.until_silence()
    await phone.press("4711#")
    await phone.until_sound()
    await phone.until_silence()
    await phone.say(noise(0.5))
    await phone.until_sound()
    await phone.until_silence()


def pacing(phone: Phone) -> list[tuple[int, int, float]]:
    """Steps of sequence, timestamp and arrival from packet to packet."""
    return [
        (
            (b.packet.sequence - a.packet.sequence) & 0xFFFF,
            (b.packet.timestamp - a.packet.timestamp) & 0xFFFFFFFF,
            round(b.at - a.at, 3),
        )
        for a, b in itertools.pairwise(phone.heard)
    ]


async def spray(network: Network, datagrams: list[bytes], seconds: float) -> None:
    """Send them all, evenly."""
    for data in datagrams:
        network.send(data, STRANGER, GATEWAY)
        await asyncio.sleep(seconds / len(datagrams))


def hostile(count: int, seed: int) -> list[bytes]:
    """What is written by hand and so many mutations, in any order."""
    datagrams = [data for _, data in [*all_datagrams(), *mutations(MODELS, count, seed)]]
    random.Random(seed).shuffle(datagrams)
    return datagrams


@pytest.mark.parametrize("seed", range(3))
def test_a_call_in_memory_does_not_notice(seed: int, tmp_path: Path) -> None:
    """
    3,000 datagrams in 15 s: the dialogue is said to its end, each packet comes 20 ms after the
    last, no packet is lost, and the stranger's own calls are over, too.
    """

    async def main() -> None:
        few = {"sip": {"max_calls": 3}}  # of the stranger's own, most are good enough to be taken
        with nothing_breaks():
            async with house(tmp_path, SCRIPT, config=few) as home, home.phone() as phone:
                await phone.dial("100", GATEWAY)
                attack = asyncio.create_task(spray(home.network, hostile(2000, seed), 15.0))
                await converse(phone)
                await attack
                assert not phone.ended.is_set()
                phone.hang_up()
                await asyncio.sleep(100.0)  # longer than any call without an ACK, and its BYE
                assert home.gateway.endpoint.idle
                record = only_of("100", await records(home, tmp_path))

        assert set(pacing(phone)) == {(1, 160, 0.02)}
        assert (record["rtp"]["lost"], record["rtp"]["late"]) == (0, 0)
        assert record["cause"] == "hang_up"
        assert record["digits"] == ["4711"]
        assert [line["text"] for line in record["transcript"]] == SAID

    run(main())


def test_calls_of_a_stranger_that_never_confirms(tmp_path: Path) -> None:
    """
    INVITEs that are good enough to be answered, and then nothing: each ends by itself with a
    record, while another call goes on.
    """

    async def main() -> None:
        with nothing_breaks():
            patient = {"media": {"rtp_timeout": 60.0}}
            async with house(tmp_path, SCRIPT, config=patient) as home, home.phone() as phone:
                await phone.dial("100", GATEWAY)
                for n in range(20):
                    data = request(
                        via=f"SIP/2.0/UDP h;branch=z9hG4bK-{n}", call_id=f"never-{n}", body=OFFER
                    )
                    home.network.send(data, STRANGER, GATEWAY)
                await converse(phone)
                phone.hang_up()
                await asyncio.sleep(70.0)  # 32 s without an ACK, and 32 s of a BYE's copies
                assert home.holds_nothing()
                assert home.gateway.endpoint.idle
                every = await records(home, tmp_path)

        assert set(pacing(phone)) == {(1, 160, 0.02)}
        only_of("100", every)
        never = [record for record in every if record["to"] == "7000"]
        assert len(never) == 20
        assert {(it["ended_by"], it["cause"]) for it in never} == {("network", "no_ack")}

    run(main())


def test_a_stranger_who_may_not_call(tmp_path: Path) -> None:
    """From an address that is nobody's neighbour: not one byte goes back, and nothing is kept."""

    async def main() -> None:
        with nothing_breaks() as log:
            async with house(tmp_path, SCRIPT) as home:
                answers: list[bytes] = []
                outside = ("198.51.100.7", 5060)
                home.network.open(outside, lambda data, source: answers.append(data))
                datagrams = hostile(500, seed=4)
                for data in datagrams:
                    home.network.send(data, outside, GATEWAY)
                await asyncio.sleep(1.0)
                assert answers == []
                assert home.gateway.endpoint.idle
                assert home.gateway.endpoint.counts == {"not_admitted": len(datagrams)}
                assert len(log) < 10

    run(main())


def test_an_invite_after_the_last_call(tmp_path: Path) -> None:
    """
    While a stopping gateway waits for the answer to its last BYE it still refuses INVITEs: 503
    with Retry-After.
    """

    async def main() -> None:
        network = Network(loss=1.0)
        network.lossy = lambda data: data.startswith(b"SIP/2.0 200") and b" BYE\r\n" in data
        answers: list[bytes] = []
        network.open(STRANGER, lambda data, source: answers.append(data))
        loop = asyncio.get_running_loop()
        with nothing_breaks():
            async with house(tmp_path, SCRIPT, network=network) as home, home.phone() as phone:
                await phone.dial("100", GATEWAY)
                left = phone.close  # it hangs up by itself otherwise
                phone.close = left_alone  # type: ignore[method-assign]
                loop.call_later(1.0, network.send, request(), STRANGER, GATEWAY)
            await left()

        assert [data.split(b"\r\n")[0] for data in answers][:2] == [
            b"SIP/2.0 100 Trying",
            b"SIP/2.0 503 Service Unavailable",
        ]
        assert b"\r\nRetry-After: " in answers[1]

    run(main())


async def left_alone() -> None:
    """A phone that does nothing at its end."""


EVIL = "\x9b31m\u2028\u202e\u200b\udcff" + "%0d%0a%1b%00%c2%85%e2%80%ae%ff" + "x" * 5000
SHOWN_VIA = "SIP/2.0/UDP h;branch=z9hG4bK-shown"


@pytest.mark.parametrize(
    ("invite", "headers"),
    [
        (request(via=SHOWN_VIA, from_=f"<sip:{EVIL}@h>;tag=m"), []),
        (request(via=SHOWN_VIA, uri=f"sip:{EVIL}@h"), []),
        (request(via=SHOWN_VIA, call_id=f"\x1b]0;x\x07{EVIL}"), []),
        (request(via=SHOWN_VIA), [f"Reason: \x1b]0;x\x07{EVIL}"]),
    ],
    ids=["From", "URI", "Call-ID", "Reason"],
)
def test_what_a_stranger_writes_is_fit_to_show(
    invite: bytes, headers: list[str], tmp_path: Path
) -> None:
    """
    No control character, no line end of any alphabet and nothing that turns text around comes
    into a record; nor more of it than anybody reads.
    """

    async def main() -> None:
        with nothing_breaks():
            async with house(tmp_path, SCRIPT) as home:
                home.network.send(invite, STRANGER, GATEWAY)
                await asyncio.sleep(0.01)
                call_id = parse(invite).headers.call_id
                cancel = request(
                    "CANCEL", via=SHOWN_VIA, call_id=call_id, headers=headers, body=b""
                )
                home.network.send(cancel, STRANGER, GATEWAY)
                await asyncio.sleep(40.0)
                (record,) = await records(home, tmp_path)

        assert (record["ended_by"], record["cause"]) == ("caller", "cancelled")
        assert (record["sip_reason"] is None) == (not headers)
        for text in (record["from"], record["to"], record["sip_call_id"], record["sip_reason"]):
            assert text is None or text == cleaned(text)

    run(main())


async def records(home: House, folder: Path) -> list[dict[str, Any]]:
    """All records; a line is ended by a line feed, whatever is in it."""
    await home.gateway.written()
    lines = (folder / "calls.jsonl").read_bytes().split(b"\n")
    return [json.loads(line) for line in lines if line]


def only_of(to: str, every: list[dict[str, Any]]) -> dict[str, Any]:
    """The record of the one good call."""
    (record,) = [it for it in every if it["to"] == to and it["trunk"] is None and it["digits"]]
    return record


def test_a_call_over_sockets_does_not_notice(tmp_path: Path) -> None:
    """
    The same over UDP and a WebSocket: 2,000 datagrams from another socket, a real tick, a real
    phone. OPTIONS is answered afterwards.
    """

    async def main() -> None:
        config = Config.model_validate(
            {
                "sip": {"listen": ["udp:127.0.0.1:0"]},
                "media": {"listen": "127.0.0.1", "ports": "41000-41998"},
                "backends": {"simulator": {"provider": "simulator", "speed": 5.0}},
                "agents": {"reception": {"backend": "simulator", "greeting": "Hello there."}},
                "routes": [{"to": "100", "agent": "reception"}],
                "records": {"calls": str(tmp_path / "calls.jsonl")},
            }
        )
        with nothing_breaks():
            async with running(config, World(http=False)) as gateway:
                address = gateway.transport.addresses[0]
                phone = await Phone.open()
                await phone.dial("100", address)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                    stranger.setblocking(False)
                    stranger.bind(("127.0.0.1", 0))
                    datagrams = hostile(1000, seed=11)[:2000]
                    for n, data in enumerate(datagrams):
                        stranger.sendto(data, address)
                        if n % 10 == 0:
                            await asyncio.sleep(0.02)
                    await phone.until_silence()
                    assert await options(stranger, address) == 200
                assert not phone.ended.is_set()
                heard = list(phone.heard)
                await phone.close()
                await gateway.written()
            lines = (tmp_path / "calls.jsonl").read_bytes().splitlines()
            record = next(it for it in map(json.loads, lines) if it["to"] == "100")

        assert record["cause"] == "hang_up"
        assert record["rtp"]["lost"] == 0
        sequences = [it.packet.sequence for it in heard]
        steps = {(b - a) & 0xFFFF for a, b in itertools.pairwise(sequences)}
        assert steps == {1}
        assert len(heard) > 200  # at least 4 s of sound

    asyncio.run(main())


def test_sprayers_over_sockets(tmp_path: Path) -> None:
    """
    Somebody at another address sends sound, garbage and 65,507 bytes to every RTP port, from
    before the INVITE to the hang-up: nothing comes back to him, the caller's keys are right.
    """

    async def main() -> None:
        ports = range(42000, 42020, 2)
        config = Config.model_validate(
            {
                "sip": {"listen": ["udp:127.0.0.1:0"]},
                "media": {"listen": "127.0.0.1", "ports": "42000-42019"},
                "agents": {"reception": {"backend": "simulator", "greeting": "Hello there."}},
                "records": {"calls": str(tmp_path / "calls.jsonl")},
            }
        )
        with (
            nothing_breaks(),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sprayer,
        ):
            sprayer.setblocking(False)
            sprayer.bind(("127.0.0.2", 0))
            async with running(config, World(http=False)) as gateway:
                spraying = asyncio.create_task(spray_ports(sprayer, ports))
                phone = await Phone.open()
                await asyncio.sleep(0.2)
                await phone.dial("100", gateway.transport.addresses[0])
                await phone.until_sound()
                await phone.press("4711#")
                await phone.until_silence()
                spraying.cancel()
                heard = list(phone.heard)
                await phone.close()
                await gateway.written()
            with pytest.raises(BlockingIOError):
                sprayer.recv(1)
        (line,) = (tmp_path / "calls.jsonl").read_bytes().splitlines()
        record = json.loads(line)
        assert (record["cause"], record["digits"]) == ("hang_up", ["4711"])
        assert record["rtp"]["lost"] == 0
        sequences = [it.packet.sequence for it in heard]
        assert {(b - a) & 0xFFFF for a, b in itertools.pairwise(sequences)} == {1}

    asyncio.run(main())


async def spray_ports(sprayer: socket.socket, ports: range) -> None:
    """50 times a second: a packet of a steady stream to each port, and one that is none."""
    dice = random.Random(2)
    for sequence in itertools.count():
        good = encode(Packet(8, sequence & 0xFFFF, sequence * 160, 666, bytes(160)))
        for port in ports:
            for data in (good, dice.randbytes(dice.choice((1, 12, 172))), bytes(65_507)):
                try:
                    sprayer.sendto(data, ("127.0.0.1", port))
                except OSError:
                    pass  # nobody is there yet, or the buffer is full
        await asyncio.sleep(0.02)


async def options(stranger: socket.socket, address: tuple[str, int]) -> int:
    """Ask; what still comes for the hostile datagrams is read past."""
    loop = asyncio.get_running_loop()
    via = "SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK-asked"
    stranger.sendto(request("OPTIONS", via=via, call_id="asked", body=b""), address)
    async with asyncio.timeout(5.0):
        while True:
            data = await loop.sock_recv(stranger, 65_536)
            if b"\r\nCall-ID: asked\r\n" in data:
                answer = parse(data)
                assert isinstance(answer, Response)
                return answer.status
