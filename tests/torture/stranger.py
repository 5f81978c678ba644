"""A stranger at the SIP port of a running gateway: sends what it likes, and tidies up after itself.

Over UDP or TCP, on real sockets. What it began it also ends: it ACKs what is refused, and ACKs and
BYEs what is answered.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Protocol

from gateway.sip.grammar import SipError
from gateway.sip.message import Headers, Request, Response, parse

from .hostile import request

PATIENCE = 5.0  # s
NUMBERS = count(1)  # of all strangers: a branch that comes twice is a copy


class Line(Protocol):
    """Where messages go out and come in."""

    transport: str

    async def send(self, data: bytes) -> None: ...
    async def receive(self) -> bytes: ...


class UdpLine:
    transport = "UDP"

    def __init__(self, own: socket.socket, address: tuple[str, int]) -> None:
        self._own, self._address = own, address

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendto(self._own, data, self._address)

    async def receive(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._own, 65_536)


class TcpLine:
    transport = "TCP"

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self) -> bytes:
        """One message. EOFError when the gateway has closed."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(Headers.parse(head.decode().split("\r\n"))[0].get("Content-Length") or 0)
        return head + await self._reader.readexactly(length)


class Stranger:
    """On one line. `ask` sends a message and returns the final answers to it; none for silence."""

    def __init__(self, line: Line) -> None:
        self.line = line

    async def ask(self, data: bytes) -> list[Response]:
        """Also OPTIONS behind it: that is answered 200, unless the gateway closed the line."""
        name = f"asked-{next(NUMBERS)}"
        await self.line.send(data)
        await self.line.send(self._options(name))
        answers: dict[str, Response] = {}  # by Call-ID: a stream may hold several requests
        asked = False
        async with asyncio.timeout(PATIENCE):
            while not asked or any(answer.status < 200 for answer in answers.values()):
                try:
                    response = parse(readable(await self.line.receive()))
                except (EOFError, ConnectionError):
                    break
                if not isinstance(response, Response):
                    continue  # the gateway's BYE, say
                call_id = response.headers.call_id
                if call_id == name:
                    assert response.status == 200
                    asked = True
                elif call_id not in answers or answers[call_id].status < 200:
                    answers[call_id] = response
        return list(answers.values())

    async def hears_nothing(self, data: bytes, seconds: float = 0.2) -> bool:
        """Send what is no whole message yet, and be answered nothing."""
        await self.line.send(data)
        try:
            async with asyncio.timeout(seconds):
                await self.line.receive()
        except TimeoutError:
            return True
        return False

    async def settle(self, data: bytes, answer: Response) -> None:
        """End what `data` began."""
        if answer.headers.cseq.method != "INVITE":
            return
        if answer.status >= 300:
            with suppress(SipError):  # what cannot be read was refused without a transaction
                invite = parse(data)
                assert isinstance(invite, Request)
                await self.line.send(invite.ack(answer).encode())
            return
        await self.line.send(self._within(answer, "ACK", 0))
        await self.line.send(self._within(answer, "BYE", 1))

    def _options(self, name: str) -> bytes:
        via = f"SIP/2.0/{self.line.transport} 127.0.0.1;rport;branch=z9hG4bK-{name}"
        return request("OPTIONS", via=via, call_id=name, body=b"")

    def _within(self, answer: Response, method: str, step: int) -> bytes:
        """A request within the dialog that an answer has made."""
        headers = answer.headers
        branch = f"z9hG4bK-within-{next(NUMBERS)}"
        fields = [
            ("Via", f"SIP/2.0/{self.line.transport} 127.0.0.1;rport;branch={branch}"),
            ("Max-Forwards", "70"),
            *((name, headers.get(name) or "") for name in ("From", "To", "Call-ID")),
            ("CSeq", f"{headers.cseq.number + step} {method}"),
        ]
        return Request(method, "sip:gateway@127.0.0.1", Headers(fields)).encode()


def readable(data: bytes) -> bytes:
    """An answer says back what it was asked, so shorten the CSeq of RFC 4475 §3.1.2.4."""
    head, _, rest = data.partition(b"\r\nCSeq: ")
    number, blank, rest = rest.partition(b" ")
    return head + b"\r\nCSeq: " + number[:9] + blank + rest


@asynccontextmanager
async def udp(address: tuple[str, int]) -> AsyncIterator[Stranger]:
    """One on a socket of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.setblocking(False)
        own.bind(("127.0.0.1", 0))
        yield Stranger(UdpLine(own, address))


@asynccontextmanager
async def tcp(address: tuple[str, int]) -> AsyncIterator[Stranger]:
    """One on a connection of its own."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield Stranger(TcpLine(reader, writer))
    finally:
        writer.close()
