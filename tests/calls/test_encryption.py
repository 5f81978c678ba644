"""Encrypted calls: each suite of SDES, DTLS in both roles, and what they are proven by."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.rtp import rtcp
from gateway.rtp.demux import kind_of
from gateway.rtp.packet import RtpError, is_rtcp, parse
from gateway.simulator.phone import Phone, Secrecy
from tests.clock import Network, run

from .house import GATEWAY, house
from .secrecy import SCRIPT, SUITES, WORDS, Wire, dtls, sdes, turn
from .test_bridged import until

WAYS: dict[str, Callable[[], Secrecy]] = {
    **{suite: partial(sdes, suite) for suite in SUITES},
    "we are active": dtls,
    "we are active, as asked": partial(dtls, "passive"),
    "we are passive": partial(dtls, "active"),
}
BY_DTLS = "AEAD_AES_128_GCM"


@pytest.mark.parametrize("way", WAYS)
def test_both_hear_each_other(way: str, tmp_path: Path) -> None:
    """And nobody else does: no packet in either direction is the sound as it is."""
    secrecy = WAYS[way]()

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone(secrecy=secrecy) as phone:
            wire = Wire(home.network)
            await phone.dial("100", GATEWAY)
            for _ in range(2):
                assert min(await turn(home, phone)) > 0.97
            suite = phone.handset.scrambler.suite
            phone.hang_up()
            record = await home.record()
        kinds = [kind_of(data) for data in wire.of_gateway()]
        assert ("dtls" in kinds) is (secrecy.dtls)
        assert len({parse(data).payload for data in wire.of_gateway() if is_rtp(data)}) > 300
        assert all(len(data) > 12 + 160 for data in wire.of_gateway() if is_rtp(data))
        assert record["encryption"] == suite == (BY_DTLS if secrecy.dtls else way)
        assert record["transcript"][1]["text"] == WORDS
        assert record["rtp"]["lost"] == 0
        assert phone.handset.refused == 0

    run(main())


def is_rtp(data: bytes) -> bool:
    try:
        return kind_of(data) == "rtp" and bool(parse(data))
    except RtpError:
        return False


@pytest.mark.parametrize("way", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM", "we are passive"])
def test_numbers_go_round(way: str, tmp_path: Path) -> None:
    """RFC 3711 §3.3.1: past 65535 both ends count one cycle more, the one that resumes, too."""

    async def main() -> None:
        dice = random.Random(4)
        world = {"number": lambda bits: 65400 if bits == 15 else dice.getrandbits(bits)}
        options = {"secrecy": WAYS[way](), "sequence": 65400}
        async with house(tmp_path, SCRIPT, world=world) as home, home.phone(**options) as phone:
            await phone.dial("100", GATEWAY)
            for _ in range(2):
                assert min(await turn(home, phone)) > 0.97
            assert await phone.hold()
            assert await phone.resume()
            assert min(await turn(home, phone)) > 0.97
            numbers = [heard.packet.sequence for heard in phone.heard]
            assert numbers[0] == 65400
            assert all((b - a) & 0xFFFF == 1 for a, b in pairwise(numbers))
            assert numbers[-1] < 65400
            phone.hang_up()
            record = await home.record()
        assert record["rtp"]["lost"] == record["rtp"]["late"] == 0

    run(main())


@pytest.mark.parametrize("way", ["AES_CM_128_HMAC_SHA1_80", "we are active"])
def test_lost_packets_are_only_that(way: str, tmp_path: Path) -> None:
    """A tenth of all, in each direction: what comes is heard, over the end of the numbers, too."""

    async def main() -> None:
        network = Network(loss=0.1)
        network.lossy = is_rtp
        dice = random.Random(4)
        world = {"number": lambda bits: 65400 if bits == 15 else dice.getrandbits(bits)}
        options = {"secrecy": WAYS[way](), "sequence": 65400}
        async with (
            house(tmp_path, SCRIPT, world=world, network=network) as home,
            home.phone(**options) as phone,
        ):
            await phone.dial("100", GATEWAY)
            for _ in range(2):
                assert min(await turn(home, phone)) > 0.75
            phone.hang_up()
            record = await home.record()
        counts = record["rtp"]
        assert counts["received"] + counts["lost"] == pytest.approx(phone.sent, abs=5)
        assert counts["lost"] == pytest.approx(phone.sent / 10, rel=0.3)
        assert phone.handset.refused == 0

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_reports_are_encrypted_as_well(way: str, tmp_path: Path) -> None:
    """SRTCP (RFC 3711 §3.4): ours are read there, and what it reports is believed here."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone(secrecy=WAYS[way]()) as phone:
            wire = Wire(home.network)
            await phone.dial("100", GATEWAY)
            await turn(home, phone)
            before = len(phone.handset.reports)
            await until(lambda: len(phone.handset.reports) > before)
            phone.handset.report(reception_report(phone))
            await asyncio.sleep(8)
            phone.hang_up()
            record = await home.record()
        on_wire = {data for data in wire.of_gateway() if is_rtcp(data)}
        assert len(phone.handset.reports) >= 2
        assert not on_wire & set(phone.handset.reports)
        assert record["rtp"]["round_trip_ms"] == pytest.approx(10, abs=25)

    run(main())


def reception_report(phone: Phone) -> bytes:
    """What the phone thinks of our stream, by our last report."""
    (ours,) = [it for it in rtcp.parse(phone.handset.reports[-1]) if isinstance(it, rtcp.Report)]
    assert ours.sender
    middle = ours.sender.ntp >> 16 & 0xFFFFFFFF
    block = rtcp.ReportBlock(ours.ssrc, 0, 0, phone.heard[-1].packet.sequence, 0, middle, 0)
    return rtcp.encode([rtcp.Report(77, (block,))])


@pytest.mark.parametrize("way", ["AES_CM_128_HMAC_SHA1_80", "we are active"])
def test_reports_at_a_port_of_their_own(way: str, tmp_path: Path) -> None:
    """With keys of the signalling they are encrypted; DTLS would take a second handshake."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone(secrecy=WAYS[way]()) as phone:
            wire = Wire(home.network)
            separately(phone)
            await phone.dial("100", GATEWAY)
            await turn(home, phone)
            await asyncio.sleep(12)
            phone.hang_up()
            await home.record()
        assert bool(phone.handset.reports) is (way == "AES_CM_128_HMAC_SHA1_80")
        on_wire = {data for data in wire.of_gateway() if is_rtcp(data)}
        assert bool(on_wire) is bool(phone.handset.reports)
        assert not on_wire & set(phone.handset.reports)

    run(main())


def separately(phone: Phone) -> None:
    """Let a phone offer no rtcp-mux."""
    offer = phone._negotiation.offer

    def plain(*arguments: Any, **options: Any) -> bytes:
        return offer(*arguments, **options).replace(b"a=rtcp-mux\r\n", b"")

    phone._negotiation.offer = plain  # type: ignore[method-assign] # an older phone
