"""Relay: two parties of a call joined, packet for packet. Pure.

What one side sends leaves towards the other at once: nothing is buffered, put in order or filled
in, so the network's jitter and loss are what both would have without us. The payload is as it was
where both speak one codec, else it is decoded and encoded again; a telephone-event (RFC 4733) gets
the other side's payload type. Each side sees one RTP stream of ours for the whole call (RFC 3550
§5.1): our SSRC, and sequence and timestamps that step as the sender's do, and go on without a
break where the sender begins another stream, is held, or takes the place of the model.

Directions are respected each for itself: nothing goes to a side that is on hold, and nothing is
taken from one that we do not receive from. A key that came by INFO leaves as a telephone-event, in
the place of the other's sound as it passes. Left out on purpose: comfort noise and whatever else
was not agreed (dropped, without a hole in the sequence), events for a side that knows none, another
packet time, RTCP.
"""

from __future__ import annotations

from collections import deque

from gateway.audio.codec import codec
from gateway.audio.frame import FRAME_MS
from gateway.rtp.dtmf import DigitSender, retimed
from gateway.rtp.packet import (
    MAX_DROPOUT,
    MAX_MISORDER,
    Packet,
    RtpError,
    encode,
    is_rtcp,
    parse,
    sequence_delta,
    timestamp_delta,
)
from gateway.rtp.reception import Reception
from gateway.rtp.source import Address, SourceRule
from gateway.sdp.negotiation import Media

from .downlink import Start
from .record import RtpCounts
from .transcoder import Transcoder

FRAME = FRAME_MS / 1000  # s
MOST_KEYS = 32  # that wait; more are lost
HOLD_TIMEOUT = 1800.0  # s without RTP that a side on hold may last, as in talk.py


class _Stream:
    """Our stream towards one side: the steps of the incoming one, from a place of our own."""

    def __init__(self, start: Start, clock_rate: int, now: float) -> None:
        self.clock_rate = clock_rate  # Hz
        self._ssrc = start.ssrc
        self._sequence = start.sequence  # the next one
        self._timestamp = start.timestamp - self._units(FRAME)  # the latest one
        self._at = now - FRAME  # when it left
        self._source: int | None = None  # SSRC of what is passed on; None: nothing yet
        self._expected = 0  # its next sequence
        self._shift = 0  # from its sequence to ours
        self._clocks = 0, 0  # a timestamp of its, and what that is in ours

    def place(self, packet: Packet, clock_rate: int, now: float) -> tuple[int, int, int, bool]:
        """Sequence, timestamp and SSRC of this packet in our stream, and whether it starts anew.

        `clock_rate` in Hz is that of its timestamps.
        """
        ahead = sequence_delta(packet.sequence, self._expected)
        fresh = packet.ssrc != self._source or not -MAX_MISORDER <= ahead < MAX_DROPOUT
        if fresh:
            self._source, ahead = packet.ssrc, 0
            self._shift = self._sequence - packet.sequence
            self._clocks = packet.timestamp, self._due(now)
        sequence = (packet.sequence + self._shift) & 0xFFFF
        theirs, ours = self._clocks
        passed = timestamp_delta(packet.timestamp, theirs) * self.clock_rate // clock_rate
        timestamp = (ours + passed) & 0xFFFFFFFF
        if ahead >= 0:
            self._clocks = packet.timestamp, timestamp
            self._expected = (packet.sequence + 1) & 0xFFFF
            self._sequence = (sequence + 1) & 0xFFFF
        if timestamp_delta(timestamp, self._timestamp) > 0:  # not so within a digit
            self._timestamp, self._at = timestamp, now
        return sequence, timestamp, self._ssrc, fresh

    def skip(self, packet: Packet) -> None:
        """This packet is not passed on: the next one takes its number."""
        if packet.ssrc == self._source and packet.sequence == self._expected:
            self._expected = (packet.sequence + 1) & 0xFFFF
            self._shift -= 1

    def pause(self) -> None:
        """What is passed on next starts anew: how the incoming stream went on was not seen."""
        self._source = None

    def stand(self, now: float) -> Start:
        """Where whoever goes on with this stream begins."""
        return Start(self._ssrc, self._sequence, self._due(now))

    def _due(self, now: float) -> int:
        """The timestamp of a packet that leaves now and begins anew."""
        return (self._timestamp + self._units(max(FRAME, now - self._at))) & 0xFFFFFFFF

    def _units(self, seconds: float) -> int:
        return round(seconds * self.clock_rate)


class Side:
    """One party: what was agreed with it, who may send for it, and our stream towards it."""

    def __init__(self, media: Media, source: SourceRule, start: Start, now: float) -> None:
        self.source = source
        self.reception = Reception(media.codec.clock_rate)
        self.last_packet_at = now
        self.sent = 0  # packets
        self.ignored = 0  # datagrams that are not of this party's sound
        self.presses = False  # its keys come as events
        self._keys: deque[str] = deque()  # for it, from INFO of the other's
        self._pressing: DigitSender | None = None
        self._media = media
        self._stream = _Stream(start, media.codec.clock_rate, now)
        self._transcoders: dict[str, Transcoder] = {}  # into our codec, by the other's

    @property
    def media(self) -> Media:
        """What was agreed last."""
        return self._media

    def renegotiate(self, media: Media, now: float) -> None:
        """Follow a re-INVITE: the stream may move, change its codec, be held or resumed."""
        self.source.resignal(media.remote)
        self.last_packet_at = now
        if media.codec != self._media.codec:
            self._transcoders.clear()
            self._stream.clock_rate = media.codec.clock_rate
            self.reception.retime(media.codec.clock_rate)
        self._media, self._pressing = media, None
        if not media.sending:
            self._stream.pause()

    def receive(self, data: bytes, source: Address, now: float) -> Packet | None:
        """Take one datagram of this party's port; the packet that it is, if it is this party's."""
        if is_rtcp(data):
            return None
        try:
            packet = parse(data)
        except RtpError:
            self.ignored += 1
            return None
        if not self.source.accept(packet, source, now):
            self.ignored += 1
            return None
        self.last_packet_at = now
        self.presses = self.presses or packet.payload_type == self._media.event_payload_type
        used = self._media.accepted.get(packet.payload_type)
        units = codec(used.name).duration(packet.payload) if used else 0
        self.reception.receive(packet, units, now)
        return packet

    def send(self, packet: Packet, media: Media, now: float) -> bytes | None:
        """The other party's packet as this one gets it; `media` is the other's."""
        if not (media.receiving and self._media.sending) or self.source.target is None:
            self._stream.pause()
            return None
        payload = self._payload(packet, media)
        if payload is None:
            self._stream.skip(packet)
            return None
        payload_type, data, later = payload
        used = media.accepted.get(packet.payload_type)
        clock_rate = used.clock_rate if used else media.event_clock_rate
        sequence, timestamp, ssrc, fresh = self._stream.place(packet, clock_rate, now)
        self.sent += 1
        if key := self._key(sequence, timestamp, ssrc):
            return encode(key)
        timestamp = (timestamp + later) & 0xFFFFFFFF
        return encode(Packet(payload_type, sequence, timestamp, ssrc, data, packet.marker or fresh))

    def press(self, key: str) -> bool:
        """Let this party have a key, as soon as sound passes; False where it knows no event."""
        if self._media.event_payload_type is not None and len(self._keys) < MOST_KEYS:
            self._keys.append(key)
        return self._media.event_payload_type is not None

    def stand(self, now: float) -> Start:
        """Where our stream goes on when the relay is over."""
        return self._stream.stand(now)

    def counts(self) -> RtpCounts:
        """What became of this party's packets, and of ours to it."""
        received = self.reception
        return RtpCounts(sent=self.sent, received=received.received, lost=max(0, received.lost))

    @property
    def quiet(self) -> bool:
        """Nothing need come of this party: it is on hold, or we are not to hear it."""
        return not (self._media.sending and self._media.receiving)

    def _key(self, sequence: int, timestamp: int, ssrc: int) -> Packet | None:
        """What a key has in the place of this packet of sound."""
        media = self._media
        if self._keys and self._pressing is None and media.event_payload_type is not None:
            self._pressing = DigitSender(media.event_payload_type, media.event_clock_rate)
            self._pressing.push(self._keys.popleft())
        pressing = self._pressing
        if pressing is None:
            return None
        packet = pressing.next_packet(sequence, timestamp, ssrc)
        self._pressing = pressing if pressing.busy else None
        return packet

    def _payload(self, packet: Packet, media: Media) -> tuple[int, bytes, int] | None:
        """Payload type, payload, and by how much its timestamp is later than the other's.

        None where this party has no form for it.
        """
        ours = self._media
        if used := media.accepted.get(packet.payload_type):
            if used.name == ours.codec.name:
                return ours.codec.payload_type, packet.payload, 0
            if used.name not in self._transcoders:
                made = Transcoder(codec(used.name), codec(ours.codec.name))
                self._transcoders[used.name] = made
            sound = self._transcoders[used.name].convert(packet.payload)
            return None if sound is None else (ours.codec.payload_type, sound, 0)
        events = ours.event_payload_type
        if packet.payload_type != media.event_payload_type or events is None:
            return None
        return events, *retimed(packet.payload, media.event_clock_rate, ours.event_clock_rate)


class Relay:
    """Both sides; `rtp_timeout` in s, 0 for never."""

    def __init__(self, caller: Side, target: Side, *, rtp_timeout: float) -> None:
        self.caller = caller
        self.target = target
        self._rtp_timeout = rtp_timeout

    def other(self, side: Side) -> Side:
        """Whom that side talks with."""
        return self.target if side is self.caller else self.caller

    def pass_on(self, side: Side, data: bytes, source: Address, now: float) -> bytes | None:
        """Take a datagram of one side; what the other side gets of it, if anything."""
        packet = side.receive(data, source, now)
        return None if packet is None else self.other(side).send(packet, side.media, now)

    @property
    def silent_at(self) -> float | None:
        """When a side without RTP is given up; None: never."""
        due = (self.silent_of(self.caller), self.silent_of(self.target))
        return min((at for at in due if at is not None), default=None)

    def silent_of(self, side: Side) -> float | None:
        """When this side is given up; None: never."""
        if not self._rtp_timeout:
            return None
        return side.last_packet_at + (HOLD_TIMEOUT if side.quiet else self._rtp_timeout)
