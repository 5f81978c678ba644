"""A caller whose SDP and RTP a test writes itself, byte by byte; its SIP is good.

On a network in memory only. It sends nothing of its own accord.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np

from gateway.audio.frame import Samples
from gateway.audio.g711 import codec
from gateway.rtp.dtmf import DigitSender
from gateway.rtp.packet import Packet, RtpError, encode, parse
from gateway.sdp.description import parse as parse_sdp
from gateway.sip.endpoint import Address, Endpoint
from gateway.sip.event import Answered, Ended, Event, Refused
from gateway.sip.transport import Listen, Transport
from tests.calls.house import GATEWAY
from tests.clock import Network

FRAME = 160  # samples
TICK = 0.02  # s
PCMA, EVENTS = 8, 101  # payload types


@dataclass(frozen=True)
class Outcome:
    """What an offer led to."""

    status: int
    body: bytes = b""


class Caller:
    """Made by `calling`. `heard` is the gateway's RTP with its times."""

    def __init__(self, network: Network, host: str, seed: int) -> None:
        self.network = network
        self.host = host
        self.heard: list[tuple[float, Packet]] = []
        self.ended = asyncio.Event()
        self.end: Ended | None = None
        self.target: Address | None = None  # where the answer wants our sound
        self.sequence, self.timestamp, self.ssrc = 65_500, 2**32 - 8000, 0x5EED
        self._dice = random.Random(seed)
        self._endpoint = Endpoint(token=lambda: f"{self._dice.getrandbits(64):016x}")
        self._transport: Transport
        self._call: str | None = None
        self._settled: asyncio.Future[Outcome] | None = None
        self._loop = asyncio.get_running_loop()
        self.address = network.open((host, 7000), self._arrived)

    async def open(self) -> None:
        self._transport = await Transport.open(
            self._endpoint,
            [Listen("udp", self.host, 5060)],
            on_event=self._on_event,
            bind=self.network.bind,
        )

    async def close(self) -> None:
        self.hang_up()
        await self._transport.close()
        self.network.close(self.address)

    # -- the call

    async def dial(self, offer: bytes | None = None, user: str = "100") -> Outcome:
        """Call with this offer."""
        self.ended.clear()
        self.end = self.target = None
        self._settled = self._loop.create_future()
        self._call, outputs = self._endpoint.invite(
            f"sip:{user}@{GATEWAY[0]}",
            self._transport.flow(GATEWAY),
            self.offer() if offer is None else offer,
            self._loop.time(),
            from_uri=f"sip:caller@{self.host}",
        )
        self._transport.act(outputs)
        return await self._settled

    async def renegotiate(self, offer: bytes) -> Outcome:
        """Offer this in mid-call."""
        assert self._call
        self._settled = self._loop.create_future()
        self._transport.act(self._endpoint.reinvite(self._call, offer, self._loop.time()))
        return await self._settled

    def hang_up(self) -> None:
        """BYE; nothing when the call is over."""
        if self._call and not self.ended.is_set():
            self._transport.act(self._endpoint.bye(self._call, self._loop.time()))

    def offer(self, *lines: str, port: int = 7000) -> bytes:
        """A good offer, with these lines behind it."""
        good = [
            *("v=0", f"o=- 1 1 IN IP4 {self.host}", "s=-", f"c=IN IP4 {self.host}", "t=0 0"),
            *(f"m=audio {port} RTP/AVP {PCMA} 0 {EVENTS}", "a=rtpmap:8 PCMA/8000"),
            f"a=rtpmap:{EVENTS} telephone-event/8000",
        ]
        return "".join(f"{line}\r\n" for line in [*good, *lines]).encode()

    # -- sound

    def send(self, data: bytes, source: Address | None = None) -> None:
        """Send any bytes to the gateway's RTP port."""
        if self.target:
            self.network.send(data, source or self.address, self.target)

    def packet(self, payload: bytes, payload_type: int = PCMA) -> bytes:
        """The next packet of this stream: sequence and time go on."""
        packet = Packet(payload_type, self.sequence, self.timestamp, self.ssrc, payload)
        self.sequence = (self.sequence + 1) & 0xFFFF
        return encode(packet)

    async def say(self, frame: bytes) -> None:
        """Send 20 ms of sound, and let them pass."""
        self.send(self.packet(frame))
        await self.pause()

    async def pause(self) -> None:
        """Let 20 ms pass."""
        self.timestamp = (self.timestamp + FRAME) & 0xFFFFFFFF
        await asyncio.sleep(TICK)

    async def press(self, digits: str) -> None:
        """Press keys, silence between them."""
        keys = DigitSender(EVENTS, 8000)
        keys.push(digits)
        while keys.busy:
            event = keys.next_packet(self.sequence, self.timestamp, self.ssrc)
            if event is None:
                await self.say(quiet())
                continue
            self.send(encode(event))
            self.sequence = (self.sequence + 1) & 0xFFFF
            await self.pause()

    # -- inside

    def _arrived(self, data: bytes, source: Address) -> None:
        try:
            self.heard.append((self._loop.time(), parse(data)))
        except RtpError:
            raise AssertionError(f"the gateway sent what is no RTP: {data!r}") from None

    def _on_event(self, event: Event) -> None:
        match event:
            case Answered(body=body):
                session = parse_sdp(body)
                line = next(line for line in session.media if line.port)
                assert session.connection
                self.target = (session.connection.address, line.port)
                self._settle(Outcome(200, body))
            case Refused(status=status):
                self._settle(Outcome(status))
            case Ended(status=status):
                self.end = event
                self.ended.set()
                self._settle(Outcome(status))

    def _settle(self, outcome: Outcome) -> None:
        if self._settled and not self._settled.done():
            self._settled.set_result(outcome)


@asynccontextmanager
async def calling(network: Network, number: int = 1) -> AsyncIterator[Caller]:
    """A caller of its own address, 10.0.2.number."""
    caller = Caller(network, f"10.0.2.{number}", number)
    await caller.open()
    try:
        yield caller
    finally:
        await caller.close()


def tone(hertz: float, n: int, level: float = 8000.0) -> bytes:
    """The n-th 20 ms of a tone, as PCMA."""
    at = (np.arange(FRAME) + n * FRAME) / 8000
    samples: Samples = (level * np.sin(2 * np.pi * hertz * at)).astype(np.int16)
    return codec("PCMA").encode(samples)


def quiet() -> bytes:
    """20 ms of nothing."""
    return codec("PCMA").silence(FRAME)
