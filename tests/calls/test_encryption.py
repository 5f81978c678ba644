"""Encrypted calls: each suite of SDES, DTLS in both roles, and what they are proven by."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gateway.rtp.demux import kind_of
from gateway.rtp.packet import RtpError, parse
from gateway.simulator.phone import Secrecy
from tests.clock import run

from .house import GATEWAY, house
from .secrecy import SCRIPT, SUITES, WORDS, Wire, dtls, sdes, turn

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
