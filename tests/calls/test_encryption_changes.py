"""Encrypted calls that change: hold, other keys, another way of keying, another address."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.rtp.demux import kind_of
from gateway.rtp.packet import parse
from gateway.sdp.negotiation import Negotiation
from gateway.simulator.phone import Phone, Secrecy
from tests.clock import run

from .house import GATEWAY, Sip, house
from .secrecy import SCRIPT, Wire, dtls, now, sdes, turn
from .test_hold import inactive, nowhere, sendonly, since

WAYS: dict[str, Callable[[], Secrecy]] = {
    "plain": Secrecy,
    "SDES": sdes,
    "other SDES": partial(sdes, "AEAD_AES_256_GCM"),
    "DTLS": dtls,
    "DTLS, we are passive": partial(dtls, "active"),
}


async def turn_to(phone: Phone, secrecy: Secrecy) -> bool:
    """Have a phone offer something else, as if another stood in its place."""
    phone._secrecy, phone._negotiation = secrecy, Negotiation(secrecy.keying)
    phone.handset.scrambler._identity = secrecy.identity
    return await phone.offer(phone.description(dtls=secrecy.dtls))


@pytest.mark.parametrize("held", [sendonly, inactive, nowhere])
@pytest.mark.parametrize("way", ["SDES", "DTLS"])
def test_held_and_resumed(way: str, held: Callable[[Phone], bytes], tmp_path: Path) -> None:
    """The keys stay, and with them the numbers: RFC 4568 §7.1.4, RFC 8842 §5."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone(secrecy=WAYS[way]()) as phone:
            sip, wire = Sip(home.network), Wire(home.network)
            await phone.dial("100", GATEWAY)
            assert min(await turn(home, phone)) > 0.97
            assert await phone.offer(held(phone))
            began, shaken = now(), handshake(wire)
            await asyncio.sleep(40)
            assert since(phone, began) == []
            assert await phone.resume()
            assert min(await turn(home, phone)) > 0.97
            numbers = [heard.packet.sequence for heard in phone.heard]
            assert all((b - a) & 0xFFFF == 1 for a, b in pairwise(numbers))
            keys = [line for it in sip.responses(200) for line in it.body.split() if b":" in line]
            assert len({it for it in keys if it.startswith(b"inline:")}) == (way == "SDES")
            assert handshake(wire) == shaken
            assert phone.handset.refused == 0
            phone.hang_up()
            assert (await home.record())["cause"] == "hang_up"

    run(main())


def handshake(wire: Wire) -> int:
    """How many datagrams of DTLS passed."""
    return len([data for _, data, _, _ in wire.passed if kind_of(data) == "dtls"])


@pytest.mark.parametrize("before", WAYS)
@pytest.mark.parametrize("after", WAYS)
def test_keyed_in_another_way(before: str, after: str, tmp_path: Path) -> None:
    """By a re-INVITE, as after a transfer at the far end: both hear each other afterwards."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone(secrecy=WAYS[before]()) as phone:
            await phone.dial("100", GATEWAY)
            assert min(await turn(home, phone)) > 0.97
            assert await turn_to(phone, WAYS[after]())
            changed = len(phone.heard)
            assert min(await turn(home, phone)) > 0.97
            assert min(await turn(home, phone)) > 0.97
            suite = phone.handset.scrambler.suite
            numbers = [heard.packet.sequence for heard in phone.heard[changed:]]
            assert all((b - a) & 0xFFFF == 1 for a, b in pairwise(numbers))
            phone.hang_up()
            record = await home.record()
        assert record["encryption"] == suite
        assert (suite is None) is (after == "plain")
        assert phone.handset.refused <= 4  # of the former keys, on the way then

    run(main())


def test_another_key_for_another_key(tmp_path: Path) -> None:
    """RFC 4568 §7.1.4: who takes the place of the peer knows nothing of our numbers so far."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone(secrecy=sdes()) as phone:
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            assert await turn_to(phone, sdes())
            assert await turn_to(phone, sdes("AES_CM_128_HMAC_SHA1_80"))
            assert min(await turn(home, phone)) > 0.97
            bodies = {answer.headers.cseq.number: answer.body for answer in sip.responses(200)}
            keys = [body.split(b"inline:")[1].split(b"\r\n")[0] for body in bodies.values()]
            assert len(set(keys)) == len(keys) == 3

    run(main())


def test_an_offer_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        config = {"media": {"encryption": "required"}}
        async with (
            house(tmp_path, SCRIPT, config=config) as home,
            home.phone(secrecy=sdes()) as phone,
        ):
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            good = phone.description()
            assert not await phone.offer(
                good.replace(b"RTP/SAVP", b"RTP/AVP").replace(b"a=c", b"a=x")
            )
            assert not await phone.offer(good.replace(b"inline:", b"inline:!"))
            assert len(sip.responses(488)) == 2
            assert min(await turn(home, phone)) > 0.97
            phone.hang_up()
            assert (await home.record())["encryption"] == "AES_CM_128_HMAC_SHA1_80"

    run(main())


@pytest.mark.parametrize("way", ["SDES", "DTLS"])
def test_sound_that_moves_keeps_its_keys(way: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone(secrecy=WAYS[way]()) as phone:
            wire = Wire(home.network)
            await phone.dial("100", GATEWAY)
            assert min(await turn(home, phone)) > 0.97
            shaken = handshake(wire)
            assert await phone.move()
            assert min(await turn(home, phone)) > 0.97
            assert handshake(wire) == shaken
            assert phone.handset.refused == 0

    run(main())


def test_speech_waits_for_the_keys(tmp_path: Path) -> None:
    """What was said before there were any is heard afterwards, and counted then."""

    async def main() -> None:
        greeting = "Good day, and welcome to the telephone."
        agent = {"greeting": greeting}
        async with (
            house(tmp_path, {"greeting": greeting}, agent=agent) as home,
            home.phone(secrecy=dtls()) as phone,
        ):
            wire = Wire(home.network)
            held: list[bytes] = []

            def holding(data: bytes, source: tuple[str, int]) -> list[bytes]:
                if kind_of(data) == "dtls" and now() < began + 3:
                    held.append(data)
                    return []
                return [data]

            began = now()
            wire.changes = holding
            await phone.dial("100", GATEWAY)
            await asyncio.sleep(2.5)
            assert held
            assert not [data for data in wire.of_gateway() if kind_of(data) in ("rtp", "rtcp")]
            await phone.until_sound()
            await phone.until_silence()
            spoken = [heard for heard in phone.heard if set(heard.packet.payload) != {0xD5}]
            said = sum(len(home.model.audio(it)) for it in items(home.model.said)) / 48000
            assert len(spoken) * 0.02 == pytest.approx(said, abs=0.1)
            assert max(Counter(heard.at for heard in phone.heard).values()) <= 2  # and no burst
            assert parse(wire.of_gateway()[-1]).marker is False
            phone.hang_up()
            assert (await home.record())["encryption"]

    run(main())


def items(said: list[tuple[float, dict[str, object]]]) -> set[str]:
    return {
        str(event["item_id"]) for _, event in said if event["type"] == "response.output_audio.delta"
    }


def test_a_peer_that_never_shakes_hands(tmp_path: Path) -> None:
    """Nothing is ever sent in the clear, and the call ends as every call without sound does."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone(secrecy=dtls()) as phone:
            wire = Wire(home.network)
            wire.changes = lambda data, source: []
            with capture_logs() as logs:
                await phone.dial("100", GATEWAY)
                await phone.ended.wait()
                record = await home.record()
            (told,) = [log["reason"] for log in logs if log["event"] == "encryption_failed"]
            assert told in ("no answer", "no keys in time")
            assert {kind_of(data) for data in wire.of_gateway()} == {"dtls"}
        assert (record["ended_by"], record["cause"]) == ("network", "rtp_timeout")
        assert record["encryption"] is None

    run(main())
