"""Whoever sends rubbish to an encrypted call's port: garbage SRTP, forged and broken DTLS.

FreeSWITCH hung up after a hundred of the first (CVE-2021-41105), and a ClientHello of anybody's
took the handshake of Asterisk, FreeSWITCH and rtpengine (CVE-2023-49786, -51443, -51275).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.rtp.demux import kind_of
from gateway.rtp.dtls import Dtls, Identity
from gateway.rtp.packet import Packet, encode
from gateway.simulator.phone import Heard, Phone, Secrecy
from tests.clock import Address, MemoryPort, run

from .house import GATEWAY, House, house
from .secrecy import SCRIPT, Wire, dtls, sdes, turn

SPRAYER = ("203.0.113.66", 4000)
RATE = 500  # datagrams a second: ten times what a call has
WAYS: dict[str, Callable[[], Secrecy]] = {
    "SDES": sdes,
    "we are active": dtls,
    "we are passive": partial(dtls, "active"),
}
KINDS = ("srtp", "hello", "dtls", "srtcp")


def hello() -> bytes:
    """A ClientHello that would begin a handshake, were it the peer's."""
    return Dtls(Identity(datetime(2027, 1, 1, tzinfo=UTC)), "active", []).start(0.0)[0]


class Sprayer:
    """Sends to the gateway's port of a call, as soon as there is one, until it is stopped."""

    def __init__(
        self, home: House, phone: Phone, wire: Wire, kind: str, source: Address | None
    ) -> None:
        self._home = home
        self._phone = phone
        self._wire = wire
        self._kind = kind
        self._source = source  # None: the phone's own address
        self._dice = random.Random(6)
        self._hello = hello()

    async def run(self) -> None:
        while True:
            for port in self._home.ports.opened:
                if source := self._source or self._phones_address():
                    self._wire.send(self._rubbish(), source, port.address)
            await asyncio.sleep(1 / RATE)

    def _phones_address(self) -> Address | None:
        """Where the phone sends from, known as soon as it has."""
        port = self._phone.handset.port
        return port.address if port else None

    def _rubbish(self) -> bytes:
        dice = self._dice
        match self._kind:
            case "srtp":  # like the stream that it attacks, but for the tag
                last = [data for data in self._wire.to_gateway()[-3:] if kind_of(data) == "rtp"]
                if last and dice.random() < 0.5:
                    return last[-1][:-1] + bytes([last[-1][-1] ^ 1])
                number = dice.getrandbits(16)
                return encode(Packet(8, number, 160 * number, 7, dice.randbytes(170)))
            case "srtcp":
                return b"\x80\xc8\x00\x06" + dice.randbytes(40)
            case "hello":
                forged = bytearray(self._hello)
                forged[27:59] = dice.randbytes(32)  # its random
                return bytes(forged)
            case _:
                return bytes([dice.choice((20, 21, 22, 23))]) + b"\xfe\xfd" + dice.randbytes(60)


@asynccontextmanager
async def attacked(
    home: House, phone: Phone, wire: Wire, kind: str, source: Address | None
) -> AsyncIterator[None]:
    """Somebody sprays meanwhile."""
    spraying = asyncio.create_task(Sprayer(home, phone, wire, kind, source).run())
    yield
    spraying.cancel()


def call(
    way: str, folder: Path, kind: str | None, source: Address | None = None
) -> tuple[Any, list[Heard]]:
    """A whole call under attack from its INVITE on; its record, and what the phone heard."""
    secrecy = WAYS[way]()
    folder.mkdir(exist_ok=True)

    async def main() -> tuple[Any, list[Heard]]:
        async with (
            house(folder, SCRIPT) as home,
            home.phone(secrecy=secrecy) as phone,
            AsyncExitStack() as stack,
        ):
            wire = Wire(home.network)
            if kind is not None:
                await stack.enter_async_context(attacked(home, phone, wire, kind, source))
            await phone.dial("100", GATEWAY)
            await asyncio.sleep(1)
            assert min(await turn(home, phone)) > 0.97
            assert phone.handset.refused == 0
            phone.hang_up()
            await phone.ended.wait()
            return await home.record(), phone.heard

    return run(main())


def same(one: list[Heard], other: list[Heard]) -> bool:
    """Whether the same packets came at the same times, to a microsecond."""
    return len(one) == len(other) and all(
        a.packet == b.packet and abs(a.at - b.at) < 1e-6 for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_from_elsewhere_it_changes_nothing(
    way: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one packet in either direction comes later, or is another one.

    At a port of all our addresses, where the kernel keeps nobody out.
    """
    monkeypatch.setattr(MemoryPort, "connect", lambda port, target: None)
    quiet, heard = call(way, tmp_path / "quiet", None)
    with capture_logs() as logs:
        record, heard_under_attack = call(way, tmp_path / "attacked", kind, SPRAYER)
    assert same(heard_under_attack, heard)
    for name in ("cause", "encryption", "rtp", "codec", "barge_ins", "ended_at", "transcript"):
        assert record[name] == quiet[name], name
    (counts,) = [log for log in logs if log["event"] == "call_irregular"]
    assert max(value for value in counts.values() if isinstance(value, int)) > 2000


@pytest.mark.parametrize("kind", ["srtp", "srtcp", "dtls"])
@pytest.mark.parametrize("way", WAYS)
def test_from_the_phones_own_address(way: str, kind: str, tmp_path: Path) -> None:
    """Whoever can write its address on his datagrams: nothing of them is heard or believed."""
    record, _ = call(way, tmp_path, kind, None)
    assert record["cause"] == "hang_up"
    assert record["rtp"]["lost"] == record["rtp"]["late"] == 0
    assert record["barge_ins"] == []


class TestHellos:
    """Forged ones from the phone's own address, the worst that there is without its keys."""

    def test_in_mid_call_they_change_nothing(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with (
                house(tmp_path, SCRIPT) as home,
                home.phone(secrecy=dtls("active")) as phone,
            ):
                wire = Wire(home.network)
                await phone.dial("100", GATEWAY)
                assert min(await turn(home, phone)) > 0.97
                async with attacked(home, phone, wire, "hello", None):
                    for _ in range(2):
                        assert min(await turn(home, phone)) > 0.97
                phone.hang_up()
                record = await home.record()
                assert record["rtp"]["lost"] == record["rtp"]["late"] == 0

        run(main())

    def test_a_handshake_is_late_by_as_much_as_they_last(self, tmp_path: Path) -> None:
        """And by a moment more: a stalled handshake gives way to the next ClientHello."""

        async def main() -> None:
            async with (
                house(tmp_path, SCRIPT) as home,
                home.phone(secrecy=dtls("active")) as phone,
            ):
                wire = Wire(home.network)
                async with attacked(home, phone, wire, "hello", None):
                    await phone.dial("100", GATEWAY)
                    await asyncio.sleep(3)
                await asyncio.sleep(4)
                assert min(await turn(home, phone)) > 0.97
                phone.hang_up()
                assert (await home.record())["encryption"]

        run(main())


@pytest.mark.parametrize("make", [bytes, lambda n: b"\x80" * n, lambda n: b"\x16" * n])
@pytest.mark.parametrize("way", WAYS)
def test_datagrams_of_every_length(way: str, make: Callable[[int], bytes], tmp_path: Path) -> None:
    """From the phone's own address, too."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone(secrecy=WAYS[way]()) as phone:
            wire = Wire(home.network)
            await phone.dial("100", GATEWAY)
            assert phone.handset.port
            for length in range(200):
                for port in home.ports.opened:
                    wire.send(make(length), phone.handset.port.address, port.address)
            assert min(await turn(home, phone)) > 0.97
            phone.hang_up()
            assert (await home.record())["cause"] == "hang_up"

    run(main())
