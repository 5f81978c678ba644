"""Encrypted calls that get another party: each side of a bridge has keys of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.rtp.demux import kind_of
from gateway.simulator.phone import Answering, Phone, Secrecy
from tests.clock import Network, run

from .house import GATEWAY, Sip, house, noise
from .secrecy import Wire, dtls, likeness, now, sdes, turn
from .test_bridged import AGENT, asked, is_unbroken, sound, trunk, two_phones
from .test_transfer import TALK

CALLERS: dict[str, Callable[[], Secrecy]] = {
    "plain": Secrecy,
    "SDES": sdes,
    "GCM": partial(sdes, "AEAD_AES_256_GCM"),
    "DTLS": dtls,
}
TARGETS: dict[str, Callable[[], Secrecy]] = {"plain": Secrecy, "SDES": sdes}


def configured(encryption: str = "optional", **settings: Any) -> dict[str, Any]:
    return {**trunk(**settings), "media": {"encryption": encryption}}


async def talk(phone: Phone, other: Phone) -> float:
    """How well both hear each other, 1 at best."""
    began, one, two = now(), noise(1.5, seed=31), noise(1.5, seed=32)
    await asyncio.gather(phone.say(one), other.say(two))
    await asyncio.sleep(0.2)
    return min(
        likeness(sound(other, began), one[800:8000]), likeness(sound(phone, began), two[800:8000])
    )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("caller", CALLERS)
def test_a_bridge_between(caller: str, target: str, tmp_path: Path) -> None:
    """What one encrypts the other may not be able to read: it is translated, both ways."""

    async def main() -> None:
        async with two_phones(
            tmp_path,
            config=configured(),
            caller={"secrecy": CALLERS[caller]()},
            target={"secrecy": TARGETS[target]()},
        ) as (home, phone, other):
            wire = Wire(home.network)
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.1)
            assert await talk(phone, other) > 0.97
            assert is_unbroken(phone)
            assert is_unbroken(other)
            assert await phone.hold()
            assert await phone.resume()
            assert await other.hold()
            assert await other.resume()
            assert await talk(phone, other) > 0.97
            for end, kind in ((phone, caller), (other, target)):
                assert end.handset.port
                here = end.handset.port.address
                sizes = {
                    len(data)
                    for _, data, source, address in wire.passed
                    if here in (source, address) and kind_of(data) == "rtp"
                }
                assert (172 in sizes) is (kind == "plain")
                assert end.handset.refused == 0
            suite = phone.handset.scrambler.suite
            other.hang_up()
            record = await home.record()
        assert record["encryption"] == suite
        assert record["rtp"]["lost"] == 0

    run(main())


def test_numbers_go_round_in_a_bridge(tmp_path: Path) -> None:
    async def main() -> None:
        numbers = iter([65_300, 65_400])
        dice = random.Random(5)
        world = {"number": lambda bits: next(numbers) if bits == 15 else dice.getrandbits(bits)}
        async with two_phones(
            tmp_path,
            config=configured(),
            world=world,
            caller={"secrecy": sdes(), "sequence": 65_200},
            target={"secrecy": sdes(), "sequence": 65_400},
        ) as (_, phone, other):
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.1)
            for _ in range(3):
                assert await talk(phone, other) > 0.97
            for end in (phone, other):
                assert is_unbroken(end)
                assert end.heard[0].packet.sequence > 65_000 > end.heard[-1].packet.sequence

    run(main())


def test_packets_that_come_twice_are_sealed_once(tmp_path: Path) -> None:
    """RFC 3711 §9.1: two packets of one number would give away the sound of both."""

    async def main() -> None:
        network = Network(duplicates=0.2)
        async with two_phones(
            tmp_path, config=configured(), network=network, target={"secrecy": sdes()}
        ) as (home, phone, other):
            wire = Wire(home.network)
            await asked(phone)
            await other.called()
            voice = noise(1.5, seed=31)
            await phone.say(voice)
            await asyncio.sleep(0.2)
            assert likeness(other.recording(), voice[800:8000]) > 0.97
            assert other.handset.port
            sent = [
                data[:12]
                for _, data, _, target in wire.passed
                if target == other.handset.port.address and kind_of(data) == "rtp"
            ]
            assert len(set(sent)) == len(sent) > 50

    run(main())


def test_a_target_that_is_not_reached_gives_the_caller_back(tmp_path: Path) -> None:
    """The caller's numbers go on under the same key."""

    async def main() -> None:
        async with two_phones(
            tmp_path,
            config=configured(),
            answering=Answering(status=486, after=2.0),
            caller={"secrecy": sdes()},
        ) as (home, phone, other):
            await asked(phone)
            await home.model.until("response.done")
            await home.model.until("response.done")
            await phone.until_silence()
            assert other.invite
            assert min(await turn(home, phone)) > 0.97
            assert phone.handset.refused == 0
            assert is_unbroken(phone)

    run(main())


@pytest.mark.parametrize(("encryption", "calls"), [("optional", 2), ("required", 1)])
def test_a_target_that_stumbles_over_it(encryption: str, calls: int, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_phones(
            tmp_path,
            config=configured(encryption),
            answering=Answering(status=488, after=0.5),
            caller={"secrecy": sdes()},
        ) as (home, phone, _):
            sip = Sip(home.network)
            await asked(phone)
            await home.model.until("response.done")
            await home.model.until("response.done")
            await phone.until_silence()
            invites = [it for it in sip.requests("INVITE") if it.uri.startswith("sip:sales")]
            assert len({it.headers.call_id for it in invites}) == calls
            assert min(await turn(home, phone)) > 0.97
            phone.hang_up()
            (transfer,) = (await home.record())["transfers"]
            assert transfer["status"] == 488

    run(main())


@pytest.mark.parametrize("new", CALLERS)
@pytest.mark.parametrize("old", CALLERS)
def test_another_party_takes_the_place(old: str, new: str, tmp_path: Path) -> None:
    """An INVITE with Replaces (RFC 3891): other keys from the first packet on."""

    async def main() -> None:
        config = configured(accept_transfers=True)
        async with (
            house(tmp_path, TALK, agent=AGENT, config=config) as home,
            home.phone(secrecy=CALLERS[old]()) as phone,
            home.phone(secrecy=CALLERS[new]()) as other,
        ):
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            assert min(await turn(home, phone)) > 0.97
            await other.dial("100", GATEWAY, headers=[("Replaces", replaces(sip))])
            await phone.ended.wait()
            assert min(await turn(home, other)) > 0.97
            assert min(await turn(home, other)) > 0.97
            suite = other.handset.scrambler.suite
            assert other.handset.refused <= 2
            other.hang_up()
            record = await home.record()
        assert record["encryption"] == suite
        assert (suite is None) is (new == "plain")

    run(main())


def replaces(sip: Sip) -> str:
    """The dialog of the first call, as a third party names it."""
    (answer, *_) = sip.responses(200)
    headers = answer.headers
    return f"{headers.call_id};to-tag={headers.to.tag};from-tag={headers.from_.tag}"


@pytest.mark.parametrize("new", TARGETS)
def test_the_peer_asks_for_another_party(new: str, tmp_path: Path) -> None:
    """REFER (RFC 3515): we call her with an offer of our own."""

    async def main() -> None:
        config = configured(accept_transfers=True)
        async with (
            house(tmp_path, TALK, agent=AGENT, config=config) as home,
            home.phone(secrecy=sdes()) as phone,
            home.phone(secrecy=TARGETS[new]()) as other,
        ):
            other.answering = Answering(after=1.0)
            await phone.dial("100", GATEWAY)
            assert min(await turn(home, phone)) > 0.97
            phone.refer("sip:other@10.0.1.2")
            await other.called()
            await asyncio.sleep(0.5)
            assert min(await turn(home, other)) > 0.97
            assert phone.handset.refused == 0
            other.hang_up()
            assert (await home.record())["encryption"] == other.handset.scrambler.suite

    run(main())
