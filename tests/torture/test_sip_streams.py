"""Streams of people who mean no good, at a running gateway with calls up that do not notice.

Slow ones, half ones, lengths that are none, TLS where none is spoken and none where it is.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.app import Gateway, World, running
from gateway.config import Config
from gateway.simulator.phone import Phone
from gateway.sip import stream
from gateway.sip.message import Response, parse

from .hostile import request
from .stranger import readable, tcp, udp
from .watch import nothing_breaks

CERTIFICATES = Path(__file__).parent.parent / "sip" / "certificates"
PATIENCE = 1.0  # s for the rest of a message; 5 without a test
SLOW = 400  # connections that send a byte each 0.1 s
CALLS = 3
PAGE = os.sysconf("SC_PAGE_SIZE")
ROOM = 16 * 2**20  # bytes that memory may grow: 400 connections and what they hold
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a RST

Address = tuple[str, int]


class House:
    """A gateway on UDP, TCP and TLS."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        where = {it.transport: (it.host, it.port) for it in gateway.transport.listening}
        self.udp, self.tcp, self.tls = where["udp"], where["tcp"], where["tls"]

    async def is_served(self) -> None:
        """OPTIONS is answered, by datagram and by stream."""
        for enter, address in ((udp, self.udp), (tcp, self.tcp)):
            async with enter(address) as somebody:
                assert await somebody.ask(b"\r\n") == []

    async def is_rid_of_them(self) -> None:
        """All connections are closed, soon."""
        async with asyncio.timeout(10 * PATIENCE):
            while self.gateway.transport.connections:  # noqa: ASYNC110 - the gateway's own timers
                await asyncio.sleep(0.02)


def memory() -> int:
    """What this process has in memory, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@asynccontextmanager
async def calls_up(address: Address) -> AsyncIterator[None]:
    """Calls, of which each packet comes, and in time."""
    phones = []
    for n in range(CALLS):
        phone = await Phone.open()
        await phone.dial(f"10{n}", address)
        phones.append(phone)
    await phones[-1].until_sound()
    begun = [len(phone.heard) for phone in phones]
    at = asyncio.get_running_loop().time()
    yield
    seconds = asyncio.get_running_loop().time() - at
    for phone, before in zip(phones, begun, strict=True):
        assert not phone.ended.is_set()
        heard = phone.heard[before:]
        assert len(heard) >= 50 * seconds - 10
        sequences = [it.packet.sequence for it in heard]
        assert {(b - a) & 0xFFFF for a, b in itertools.pairwise(sequences)} == {1}
        await phone.close()


def attacked(folder: Path, attack: Callable[[House], Awaitable[None]]) -> None:
    """Attack a gateway with calls up. Afterwards it serves, holds nothing and has grown little."""

    async def main() -> None:
        config = Config.model_validate(
            {
                "sip": {
                    "listen": ["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0"],
                    "tls": {
                        "certificate": str(CERTIFICATES / "address.crt"),
                        "private_key": str(CERTIFICATES / "address.key"),
                    },
                },
                "media": {"listen": "127.0.0.1", "ports": "45000-45998"},
                "backends": {"simulator": {"provider": "simulator", "speed": 5.0}},
                "agents": {"reception": {"backend": "simulator", "greeting": "Hello there."}},
                "records": {"calls": str(folder / "calls.jsonl")},
            }
        )
        with nothing_breaks():
            async with running(config, World(http=False)) as gateway:
                house = House(gateway)
                async with calls_up(house.udp):
                    await house.is_served()
                    await house.is_rid_of_them()
                    before = memory(), descriptors(), len(asyncio.all_tasks())
                    await attack(house)
                    await house.is_served()
                    await house.is_rid_of_them()
                    assert gateway.calls == CALLS
                    assert memory() - before[0] < ROOM
                    await asyncio.sleep(0.1)
                    assert len(asyncio.all_tasks()) <= before[2]
                    assert descriptors() <= before[1] + PORTS_KEPT
                await gateway.written()
        lines = (folder / "calls.jsonl").read_bytes().split(b"\n")
        ids = [json.loads(line)["sip_call_id"] for line in lines if line]
        assert len(ids) == len(set(ids))

    asyncio.run(main())


PORTS_KEPT = 0  # none of these attacks gets as far as a call


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PARTIAL", PATIENCE)


def test_slow_ones(tmp_path: Path) -> None:
    """Hundreds that send a byte now and then are closed, and hold nobody up meanwhile."""

    async def attack(house: House) -> None:
        message = request(via="SIP/2.0/TCP h;branch=z9hG4bK-slow")
        peers = [await asyncio.open_connection(*house.tcp) for _ in range(SLOW)]
        assert house.gateway.transport.connections == SLOW
        for byte in message[:12]:
            for _, writer in peers:
                writer.write(bytes([byte]))
            await asyncio.sleep(0.1)
        async with asyncio.timeout(10 * PATIENCE):
            for reader, writer in peers:
                assert await read_all(reader) == b""
                writer.close()
        assert house.gateway.endpoint.counts["connection_stuck"] == SLOW

    attacked(tmp_path, attack)


def test_slow_ones_behind_a_message(tmp_path: Path) -> None:
    """Good messages do not buy time for one that never ends."""

    async def attack(house: House) -> None:
        good = request("OPTIONS", via="SIP/2.0/TCP h;branch=z9hG4bK-{}", body=b"")
        peers = [await asyncio.open_connection(*house.tcp) for _ in range(20)]
        for n, (reader, writer) in enumerate(peers):
            writer.write(good.replace(b"{}", b"%d" % n) + request()[:-1])
            assert (await reader.readline()).startswith(b"SIP/2.0 200")
        async with asyncio.timeout(10 * PATIENCE):
            for reader, writer in peers:
                await read_all(reader)
                writer.close()

    attacked(tmp_path, attack)


def test_half_ones(tmp_path: Path) -> None:
    """Connections that are closed, reset or left in the midst of something."""

    async def attack(house: House) -> None:
        loop = asyncio.get_running_loop()
        whole = request(via="SIP/2.0/TCP h;branch=z9hG4bK-half")
        for n, part in enumerate((b"", b"I", b"\r\n\r", whole[:40], whole[:-1], b"\r\n\r\n") * 10):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as peer:
                peer.setblocking(False)
                await loop.sock_connect(peer, house.tcp)
                await loop.sock_sendall(peer, part)
                match n % 3:
                    case 0:
                        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    case 1:
                        peer.shutdown(socket.SHUT_WR)
                        await asyncio.sleep(0.01)

    attacked(tmp_path, attack)


LENGTHS = {
    "2147483647": 413,
    "4294967295": 413,
    "9999999999": 413,
    "18446744073709551615": 400,
    "32769": 413,
    "-1": 400,
    "+5": 400,
    "1_000": 400,
    "１２": 400,
    "٣": 400,
    "²": 400,
    "0x10": 400,
    "1e3": 400,
    "5 5": 400,
    "": 400,
    "5\r\nl: 6": 400,
    "5\r\nCONTENT-LENGTH \t: 7": 400,
    "5,6": 400,
    "5;x": 400,
    "9" * 5000: 400,
}


def test_lengths(tmp_path: Path) -> None:
    """Refused from the head alone, without waiting for any of it, and the stream is closed."""

    async def attack(house: House) -> None:
        for length, status in LENGTHS.items():
            reader, writer = await asyncio.open_connection(*house.tcp)
            writer.write(request(via="SIP/2.0/TCP h;branch=z9hG4bK-length", length=length))
            async with asyncio.timeout(PATIENCE / 2):
                answer = parse(readable(await read_all(reader)))
            assert isinstance(answer, Response)
            assert answer.status == status, length
            writer.close()

    attacked(tmp_path, attack)


def test_no_length(tmp_path: Path) -> None:
    """Nor can it be told where a message without one ends; what comes behind it is not read."""

    async def attack(house: House) -> None:
        reader, writer = await asyncio.open_connection(*house.tcp)
        bye = request("BYE", via="SIP/2.0/TCP h;branch=z9hG4bK-2", body=b"")
        data = request(via="SIP/2.0/TCP h;branch=z9hG4bK-1", body=b"")
        lines = [line for line in data.split(b"\r\n") if not line.startswith(b"Content-Length")]
        writer.write(b"\r\n".join(lines) + bye)
        answers = await read_all(reader)
        assert answers.startswith(b"SIP/2.0 400 No Content-Length\r\n")
        assert answers.count(b"SIP/2.0 4") == 1
        writer.close()

    attacked(tmp_path, attack)


def test_too_much(tmp_path: Path) -> None:
    """A head without end is cut off at its limit, whatever comes behind it."""

    async def attack(house: House) -> None:
        for filler in (b"X: " + b"x" * 1000 + b"\r\n", b"x" * 1000, b"\r\n x", b"\0" * 1000):
            reader, writer = await asyncio.open_connection(*house.tcp)
            writer.write(b"INVITE sip:7000@h SIP/2.0\r\n")
            for _ in range(200):
                writer.write(filler * (1000 // len(filler)))
                await asyncio.sleep(0)
            async with asyncio.timeout(5 * PATIENCE):
                assert await read_all(reader) == b""
            writer.close()

    attacked(tmp_path, attack)


def test_tls_on_the_tcp_port(tmp_path: Path) -> None:
    """A ClientHello is no SIP: not one byte is answered, and the connection is closed in time."""

    async def attack(house: House) -> None:
        hello = client_hello()
        peers = [await asyncio.open_connection(*house.tcp) for _ in range(50)]
        for _, writer in peers:
            writer.write(hello)
        async with asyncio.timeout(10 * PATIENCE):
            for reader, writer in peers:
                assert await read_all(reader) == b""
                writer.close()

    attacked(tmp_path, attack)


def test_sip_on_the_tls_port(tmp_path: Path) -> None:
    """Plain SIP, garbage, half a hello and nothing are no handshake; a good one works meanwhile."""

    async def attack(house: House) -> None:
        hello = client_hello()
        peers = []
        for data in (OPTIONS, bytes(range(256)), hello[:50], hello + OPTIONS) * 12:
            reader, writer = await asyncio.open_connection(*house.tls)
            writer.write(data)
            peers.append((reader, writer))
        context = ssl.create_default_context(cafile=CERTIFICATES / "ca.pem")
        reader, writer = await asyncio.open_connection(*house.tls, ssl=context)
        writer.write(OPTIONS)
        assert (await reader.readline()).startswith(b"SIP/2.0 200 OK")
        writer.transport.abort()
        for _, writer in peers:
            writer.transport.abort()

    attacked(tmp_path, attack)


OPTIONS = request("OPTIONS", via="SIP/2.0/TLS h;branch=z9hG4bK-tls", call_id="tls", body=b"")


def client_hello() -> bytes:
    """What a TLS client says first."""
    outgoing = ssl.MemoryBIO()
    made = ssl.create_default_context().wrap_bio(
        ssl.MemoryBIO(), outgoing, server_hostname="gateway.example"
    )
    with pytest.raises(ssl.SSLWantReadError):
        made.do_handshake()
    return outgoing.read()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """What comes until the gateway closes; a RST ends it, too."""
    data = b""
    try:
        while piece := await reader.read(65_536):
            data += piece
    except ConnectionError:
        pass
    return data
