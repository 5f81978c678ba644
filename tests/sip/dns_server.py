"""A small real DNS server on loopback UDP and TCP, with every manner that servers have."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset

Behaviour = Callable[[dns.message.Message], "list[bytes]"]
SILENCE: list[bytes] = []


class DnsServer(asyncio.DatagramProtocol):
    """`records`: zone lines by "NAME TYPE", as in {"pbx.example. A": ["192.0.2.1"]}; what is not
    there is NXDOMAIN, unless the name has records of another type. `manners`: by name, instead.
    """

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.manners: dict[str, Behaviour] = {}
        self.ttl = 300
        self.asked: Counter[str] = Counter()
        self.port = 0
        self.connections: list[asyncio.Event] = []  # set when the connection is over
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport
        for answer in self.answers(data):
            if len(answer) > 512:
                cut = dns.message.make_response(dns.message.from_wire(data))
                cut.flags |= dns.flags.TC
                answer = cut.to_wire()
            self._transport.sendto(answer, addr)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over = asyncio.Event()
        self.connections.append(over)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        for answer in self.answers(await reader.readexactly(length)):
            writer.write(struct.pack("!H", len(answer)) + answer)
        await writer.drain()
        await reader.read()  # the asker closes first
        writer.close()
        await writer.wait_closed()
        over.set()

    def answers(self, data: bytes) -> list[bytes]:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name = question.name.to_text().lower()
        key = f"{name} {dns.rdatatype.to_text(question.rdtype)}"
        self.asked[key] += 1
        if manner := self.manners.get(name):
            return manner(query)
        return [self.answer(query, self.records.get(key, [])).to_wire(max_size=65_535)]

    def answer(self, query: dns.message.Message, lines: list[str]) -> dns.message.Message:
        """What an honest server says."""
        (question,) = query.question
        response = dns.message.make_response(query)
        name = question.name.to_text().lower()
        alias = self.records.get(f"{name} CNAME")
        if alias:
            target = alias[0]
            response.answer.append(
                dns.rrset.from_text(question.name, self.ttl, "IN", "CNAME", target)
            )
            lines = self.records.get(f"{target} {dns.rdatatype.to_text(question.rdtype)}", [])
            name = target
        # each record as a set of its own: dnspython would shuffle those of one
        for line in lines:
            record = dns.rrset.from_text(name, self.ttl, "IN", question.rdtype, line)
            response.answer.append(record)
        if not lines and not any(key.startswith(f"{name} ") for key in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    def servfail(self, query: dns.message.Message) -> list[bytes]:
        response = dns.message.make_response(query)
        response.set_rcode(dns.rcode.SERVFAIL)
        return [response.to_wire()]

    def hang(self, query: dns.message.Message) -> list[bytes]:
        return SILENCE

    def resolver(self, timeout: float = 0.1) -> dns.asyncresolver.Resolver:
        """A client of this server and of no other; impatient, so that silence is short."""
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self.port
        resolver.timeout = timeout
        return resolver


@asynccontextmanager
async def dns_server() -> AsyncIterator[DnsServer]:
    server = DnsServer()
    loop = asyncio.get_running_loop()
    tcp = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    port = tcp.sockets[0].getsockname()[1]
    udp, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", port))
    try:
        yield server
    finally:
        for over in server.connections:
            await over.wait()
        udp.close()
        tcp.close()
        await tcp.wait_closed()
