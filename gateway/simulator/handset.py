"""Handset ●: the sound of a phone of our own: what it says and presses, and what it hears. Shell.

Every 20 ms, by the event loop's clock, a packet leaves and what came is kept with its time. Where
it goes, in which codec and how it is protected is agreed by the phone (phone.py).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gateway.audio.frame import Samples, silence
from gateway.audio.g711 import codec
from gateway.rtp.demux import kind_of
from gateway.rtp.dtls import Identity
from gateway.rtp.dtmf import DigitSender
from gateway.rtp.packet import Packet, RtpError, encode, parse, timestamp_delta
from gateway.rtp.port import RtpPort, RtpPorts
from gateway.sdp.negotiation import Media

from .scrambler import Scrambler

Address = tuple[str, int]

RATE = 8000  # Hz
FRAME = 160  # samples, 20 ms
TICK = 0.02  # s
LOUD = 300  # of 32767, the peak of a frame that is sound and no comfort noise
LATE = 0.1  # s behind which the phone forgets the time it lost


@dataclass(frozen=True, slots=True)
class Heard:
    """One packet as it came."""

    at: float  # s, the loop's clock
    packet: Packet
    source: Address


class Handset:
    """`over` is set when the call is; `sequence` is the first packet's, None: any."""

    def __init__(
        self,
        ports: RtpPorts,
        number: Callable[[int], int],
        over: asyncio.Event,
        *,
        identity: Identity | None = None,
        sequence: int | None = None,
    ) -> None:
        self.heard: list[Heard] = []
        self.reports: list[bytes] = []  # RTCP that came
        self.refused = 0  # datagrams that were nothing for it
        self.sent = 0  # packets
        self.media: Media | None = None
        self.port: RtpPort | None = None
        self.scrambler = Scrambler(identity)
        self._identity = identity
        self._ports = ports
        self._number = number
        self._first = sequence
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._speech: deque[Samples] = deque()
        self._keys: DigitSender | None = None
        self._quiet = asyncio.Event()  # nothing is left to say or to press
        self._timer: asyncio.TimerHandle | None = None
        self._loud_at = 0.0
        self._sequence = 0
        self._timestamp = 0
        self._ssrc = 0

    def agree(self, media: Media) -> None:
        """Have the sound as it was agreed last."""
        self.media = media
        self._send(self.scrambler.agree(media.security, self._loop.time()))

    def forget(self) -> None:
        """Somebody else is at the other end, with keys of her own."""
        self.scrambler = Scrambler(self._identity)

    def begin(self) -> None:
        """Speak and listen, unless it does already."""
        media = self.media
        if media and self._keys is None and media.event_payload_type is not None:
            self._keys = DigitSender(media.event_payload_type, RATE)
        if self._timer is None and not self._over.is_set():
            self._ssrc, sequence = self._number(32), self._number(15)  # RFC 3711 §3.3.1
            self._sequence = sequence if self._first is None else self._first
            self._timestamp = self._number(32)
            self._tick(self._loop.time())

    def stop(self) -> None:
        """The call is over."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    async def say(self, samples: Samples) -> None:
        """Speak (8 kHz), and wait until it was sent or the call is over."""
        self._speech.append(samples)
        await self._until_quiet()

    async def press(self, digits: str) -> None:
        """Press keys (RFC 4733), and wait until they were sent or the call is over."""
        if self._keys is None:
            raise ValueError("the other end does not take telephone-event")
        self._keys.push(digits)
        await self._until_quiet()

    def report(self, data: bytes) -> None:
        """Send RTCP, by RTP's port or by the next one."""
        if self.port and self.media and (target := self.media.control.remote):
            send = self.port.send if self.media.control.mux else self.port.send_control
            send(self.scrambler.seal_rtcp(data), target)

    async def until_sound(self) -> None:
        """Wait until the other end makes a sound, or the call is over."""
        since = self._loop.time()
        while self._loud_at < since and not self._over.is_set():  # noqa: ASYNC110 - as it ticks
            await asyncio.sleep(TICK)

    async def until_silence(self, seconds: float = 0.6) -> None:
        """Wait until the other end was silent for so long, or the call is over."""
        while self._loop.time() < self._loud_at + seconds and not self._over.is_set():  # noqa: ASYNC110
            await asyncio.sleep(TICK)

    def recording(self) -> Samples:
        """What was heard on the axis of the RTP timestamps, gaps as silence."""
        packets = [heard.packet for heard in self.heard]
        if not packets or self.media is None:
            return silence(0)
        first = packets[0].timestamp
        places = [timestamp_delta(packet.timestamp, first) for packet in packets]
        out = silence(max(places) + FRAME)
        for place, packet in zip(places, packets, strict=True):
            if place >= 0 and packet.payload_type in self.media.accepted:
                samples = codec(self.media.accepted[packet.payload_type].name).decode(
                    packet.payload
                )
                out[place : place + len(samples)] = samples[: len(out) - place]
        return out

    # -- inside

    async def _until_quiet(self) -> None:
        self._quiet.clear()
        over = asyncio.ensure_future(self._over.wait())
        quiet = asyncio.ensure_future(self._quiet.wait())
        await asyncio.wait([over, quiet], return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        quiet.cancel()

    def _tick(self, due: float) -> None:
        now = self._loop.time()
        due = due if now - due < LATE else now
        self._timer = self._loop.call_at(due + TICK, self._tick, due + TICK)
        for port in self._ports.poll():
            for data, source in port.receive():
                self._receive(data, source, port, now)
        self._shake(now)
        self._speak()

    def _receive(self, data: bytes, source: Address, port: RtpPort, now: float) -> None:
        kind = kind_of(data)
        try:
            if kind == "dtls":
                for datagram in self.scrambler.shake(data, now):
                    port.send(datagram, source)
            elif kind == "rtcp":
                self.reports.append(self.scrambler.open_rtcp(data))
            else:
                self._hear(parse(self.scrambler.open(data)), source, now)
        except RtpError:
            self.refused += 1  # no sound of ours

    def _hear(self, packet: Packet, source: Address, now: float) -> None:
        self.heard.append(Heard(now, packet, source))
        if np.abs(self._decoded(packet).astype(np.int32)).max(initial=0) > LOUD:
            self._loud_at = now

    def _shake(self, now: float) -> None:
        """Go on with a handshake, if there is one under way."""
        self._send(self.scrambler.handle_timer(now))

    def _send(self, datagrams: list[bytes]) -> None:
        if self.port and self.media and self.media.remote:
            for datagram in datagrams:
                self.port.send(datagram, self.media.remote)

    def _decoded(self, packet: Packet) -> Samples:
        used = self.media.accepted.get(packet.payload_type) if self.media else None
        return codec(used.name).decode(packet.payload) if used else silence(0)

    def _speak(self) -> None:
        assert self.media
        if not self.scrambler.ready:
            return  # what is to be said waits
        packet = self._next_packet(self.media)
        self._timestamp = (self._timestamp + FRAME) & 0xFFFFFFFF
        if packet and self.port and self.media.sending and self.media.remote:
            self.port.send(self.scrambler.seal(encode(packet)), self.media.remote)
            self.sent += 1
            self._sequence = (self._sequence + 1) & 0xFFFF
        if not self._speech and not (self._keys and self._keys.busy):
            self._quiet.set()

    def _next_packet(self, media: Media) -> Packet | None:
        if self._keys and self._keys.busy:
            event = self._keys.next_packet(self._sequence, self._timestamp, self._ssrc)
            if event:
                return event
        sound = codec(media.codec.name).encode(self._next_frame())
        return Packet(media.codec.payload_type, self._sequence, self._timestamp, self._ssrc, sound)

    def _next_frame(self) -> Samples:
        if not self._speech:
            return silence(FRAME)
        frame = self._speech.popleft()
        if len(frame) > FRAME:
            self._speech.appendleft(frame[FRAME:])
        return np.pad(frame[:FRAME], (0, max(0, FRAME - len(frame))))
