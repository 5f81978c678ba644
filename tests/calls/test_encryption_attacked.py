"""Encrypted calls under attack: what does not authenticate changes nothing, however much it is.

The attacker sees all packets, and sends to the media port what he likes, 1,000 datagrams a second:
the caller's packets again or changed, sound in the clear, forged handshakes. From elsewhere and, by
a forged address, from where the caller is: only there is it more than thrown away unread.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from gateway.rtp.dtls import Dtls, Identity
from gateway.simulator.phone import Phone, Secrecy
from tests.clock import run
from tests.torture.caller import tone
from tests.torture.watch import nothing_breaks

from .house import GATEWAY, House, house
from .secrecy import SCRIPT, Wire, dtls, sdes, turn

WAYS: dict[str, Callable[[], Secrecy]] = {
    "SDES": sdes,
    "SDES, GCM": partial(sdes, "AEAD_AES_256_GCM"),
    "we are active": dtls,
    "we are passive": partial(dtls, "active"),
}
STRANGER = ("203.0.113.7", 7000)
EACH_TICK = 20


class Attacker:
    """Sends to the gateway's only media port, from before it is open until the call is over."""

    def __init__(self, home: House, phone: Phone, wire: Wire, *, forges: bool) -> None:
        self._home = home
        self._phone = phone
        self._wire = wire
        self._forges = forges  # the address of the caller
        self._dice = random.Random(8)
        self.sent = 0

    async def attack(self) -> None:
        junk = self.junk()
        while True:
            for port in self._home.ports.opened:
                hers = self._phone.handset.port
                source = hers.address if self._forges and hers else STRANGER
                for data in itertools.islice(junk, EACH_TICK):
                    self._wire.send(data, source, port.address)
                    self.sent += 1
            await asyncio.sleep(0.02)

    @property
    def hers(self) -> list[bytes]:
        """What the caller sent of late."""
        latest = self._wire.passed[-60:]
        return [data for _, data, _, target in latest if target[0] == GATEWAY[0]]

    def junk(self) -> Iterator[bytes]:
        """All that he can think of, in turn."""
        hello = self.hello()
        dice = self._dice
        for n in itertools.count():
            for data in self.hers[-3:] or [bytes(172)]:
                yield data  # again
                at = dice.randrange(len(data))
                yield data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
                yield data[:12] + tone(1600.0, n)  # in the clear, in her stream
                yield data[: dice.randrange(len(data))]
            ahead = (n * 7) & 0xFFFF
            yield b"\x80\x08" + ahead.to_bytes(2, "big") + dice.randbytes(178)
            yield b"\x80\xc8\x00\x06" + dice.randbytes(40)
            yield b"\x81\xcb\x00\x01" + dice.randbytes(18)
            yield from hello
            yield b"\x16\xfe\xfd" + dice.randbytes(8) + b"\x00\x20" + dice.randbytes(32)
            yield b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28"  # an alert: handshake failure

    def hello(self) -> list[bytes]:
        """How another handshake would begin."""
        own = Identity(datetime(2027, 1, 1, tzinfo=UTC))
        return Dtls(own, "active", [own.fingerprint]).start(0.0)


@pytest.mark.parametrize("forges", [False, True], ids=["from elsewhere", "from her address"])
@pytest.mark.parametrize("way", WAYS)
def test_from_before_the_answer_to_the_end(way: str, forges: bool, tmp_path: Path) -> None:
    """Both hear each other as ever, by the same keys; the call ends when she hangs up."""

    async def main() -> None:
        with nothing_breaks() as log:
            async with house(tmp_path, SCRIPT) as home, home.phone(secrecy=WAYS[way]()) as phone:
                wire = Wire(home.network)
                attacker = Attacker(home, phone, wire, forges=forges)
                attacking = asyncio.create_task(attacker.attack())
                await phone.dial("100", GATEWAY)
                likeness = await turn(home, phone)
                suite = phone.handset.scrambler.suite
                host = phone.address[0]
                phone.hang_up()
                record = await home.record()
                attacking.cancel()
        assert min(likeness) > 0.97
        assert record["cause"] == "hang_up"
        assert record["encryption"] == suite is not None
        assert record["rtp"]["lost"] == record["rtp"]["late"] == 0
        assert record["rtp"]["received"] == pytest.approx(phone.sent, abs=3)
        assert attacker.sent > 5000
        hosts = {target[0] for _, _, source, target in wire.passed if source[0] == GATEWAY[0]}
        assert hosts == {host}
        lines = [line for line in log if line["log_level"] != "debug"]
        assert len(lines) < 10
        (told,) = [line for line in log if line["event"] == "call_irregular"]
        if forges:
            assert told["srtp_failed"] > 1000
            assert told["srtp_replayed"] > 100

    run(main())
