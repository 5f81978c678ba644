"""Digits as RTP events: RFC 4733, receiving and sending. Pure.

A key press is several packets with one timestamp, its start. The timestamp is the key here, never
the marker or the end bit, so a digit is heard once whichever of its packets arrive:

- the first packet of a new timestamp begins the digit, at once;
- the end bit ends it, or the next digit, or 150 ms without a packet;
- further copies, late ones too, change nothing; "late" is judged modulo 2^32;
- a press longer than the 16 bits of its duration (8 s at 8 kHz, 1.4 s at 48) goes on under a new
  timestamp (§2.5.1.3): merged.

The tone itself often comes along as audio. `covers` tells which audio packets the line must blank.

Left out on purpose: events that are no key (flash, fax tones) are passed over; RFC 2198
redundancy, SIP INFO and tones found in the audio are other parts' work.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from .packet import Packet, timestamp_delta

DIGITS = "0123456789*#ABCD"  # by event code, RFC 4733 §3.2
EVENT_TIMEOUT = 0.15  # s without a packet: the end was lost
TAIL = 0.04  # s of audio after an event that may still hold its tone
MEMORY = 2.0  # s after which an event no longer matters to audio
LATE = 5.0  # s: a timestamp further behind is no late copy, the sender has set its clock anew
SEGMENT = 0xFFFF  # the longest duration that a packet can say, §2.5.1.3
SHORT = 0.15  # s by which some senders end a segment before that
SLACK = 0.02  # s between what we heard of a segment and the next one; no pause is so short
SAID_TWICE = 0.06  # s for which we say the longest duration before the next segment begins
MAX_BLOCKS = 4  # events in one packet
VOLUME = 10  # -dBm0
END_COPIES = 3  # §2.5.1.4

_BLOCK = struct.Struct("!BBH")


def retimed(payload: bytes, clock_rate: int, wanted: int) -> tuple[bytes, int]:
    """The payload of an event at another clock (Hz both), and by how much its timestamp is later.

    It is where the duration there needs more than one segment (§2.5.1.3): of each the longest
    duration is said before the next begins. What is too short for an event stays as it is.
    """
    if clock_rate == wanted or len(payload) < _BLOCK.size:
        return payload, 0
    code, flags, duration = _BLOCK.unpack_from(payload)
    duration = duration * wanted // clock_rate
    before = max(0, duration - int(SAID_TWICE * wanted)) // SEGMENT * SEGMENT
    return _BLOCK.pack(code, flags, min(duration - before, SEGMENT)), before


@dataclass(frozen=True, slots=True)
class Digit:
    """A key went down (`ended` False), or came up: always in this order, once each."""

    digit: str  # one of 0-9 * # A-D
    timestamp: int  # of its start, the event's RTP clock
    duration_ms: int  # so far
    ended: bool


@dataclass(slots=True)
class _Event:
    code: int
    timestamp: int  # of its start
    segment: int  # timestamp of the segment that runs now
    before: int = 0  # duration of the segments before it
    duration: int = 0  # in all
    ended: bool = False  # reported
    complete: bool = False  # the end bit came

    def extend(self, duration: int) -> None:
        """Take a segment's duration. Some senders let the 16 bits wrap instead of segmenting."""
        if self.before + duration + 0x8000 < self.duration:
            self.before += 0x10000
        self.duration = max(self.duration, self.before + duration)


class DigitReceiver:
    """The digits of one call's incoming stream.

    `clock_rate` is the events', `audio_rate` that of the audio's timestamps, both Hz. Where they
    differ the timestamps cannot be compared and `covers` goes by the time of arrival.
    `deadline` (s, monotonic): when `handle_timer` is next due.
    """

    def __init__(self, clock_rate: int, audio_rate: int) -> None:
        self.deadline: float | None = None
        self._clock_rate = clock_rate
        self._same_clock = clock_rate == audio_rate
        self._ssrc: int | None = None
        self._last: _Event | None = None
        self._recent: deque[_Event] = deque(maxlen=4)  # whose tone may still be in the audio
        self._blank_until = 0.0  # s, by arrival

    def receive(self, packet: Packet, now: float) -> list[Digit]:
        """Take a packet of the event's payload type, as it arrives; order does not matter.

        Returns the digits that begin or end with it. Nothing in it raises.
        """
        out: list[Digit] = []
        if packet.ssrc != self._ssrc:
            out += self._end()
            self._ssrc, self._last = packet.ssrc, None
            self._recent.clear()
        timestamp = packet.timestamp
        for start in range(0, min(len(packet.payload) // 4, MAX_BLOCKS) * 4, 4):
            code, flags, duration = _BLOCK.unpack_from(packet.payload, start)
            if start and not duration:
                break  # padding, not a second event
            if code < len(DIGITS):
                out += self._hear(code, timestamp, duration, bool(flags & 0x80), now)
            timestamp = (timestamp + duration) & 0xFFFFFFFF
        return out

    def handle_timer(self, now: float) -> list[Digit]:
        """End a digit whose packets have stopped coming."""
        return self._end() if self.deadline is not None and self.deadline <= now else []

    def covers(self, timestamp: int, samples: int, now: float) -> bool:
        """Whether this audio may hold a digit's tone.

        From an event's start to 40 ms after its end; an event that has not ended goes on.
        `timestamp` and `samples` in the audio's clock; `now` is the arrival of the audio.
        """
        if not self._recent:
            return False
        if not self._same_clock:
            return self.deadline is not None or now < self._blank_until
        tail, memory = int(TAIL * self._clock_rate), int(MEMORY * self._clock_rate)
        first = self._recent[0]
        if timestamp_delta(timestamp, first.timestamp) > first.duration + memory:
            self._recent.popleft()
        for event in self._recent:
            behind = timestamp_delta(timestamp, event.timestamp)
            goes_on = event is self._last and self.deadline is not None
            if behind + samples > 0 and (goes_on or behind < event.duration + tail):
                return True
        return False

    def is_quiet(self, now: float) -> bool:
        """Whether `covers` will find nothing, until another event comes."""
        if self._same_clock:
            return not self._recent and self.deadline is None
        return self.deadline is None and now >= self._blank_until

    def _hear(self, code: int, timestamp: int, duration: int, end: bool, now: float) -> list[Digit]:
        event = self._last
        if event is None or not self._is_of(code, timestamp, event):
            if event is not None and self._is_late(timestamp, event):
                return []
            out = self._end()
            event = self._last = _Event(code, timestamp, timestamp)
            event.extend(duration)
            self._recent.append(event)
            out.append(self._digit(event, ended=False))
        else:
            out = []
            if timestamp != event.segment:
                event.before = timestamp_delta(timestamp, event.timestamp)
                event.segment = timestamp
            event.extend(duration)
        self._blank_until = now + TAIL
        if end:
            event.complete = True
            return out + self._end()
        if not event.complete:
            self.deadline = now + EVENT_TIMEOUT
        return out

    def _is_late(self, timestamp: int, event: _Event) -> bool:
        behind_start = timestamp_delta(event.timestamp, timestamp)
        behind = timestamp_delta(event.segment, timestamp)
        return behind > 0 and behind_start < LATE * self._clock_rate

    def _is_of(self, code: int, timestamp: int, event: _Event) -> bool:
        """Whether this belongs to that press: the same timestamp, or its next segment. §2.5.1.3.

        A segment begins where the one before ended; we may not have heard the last of that.
        """
        ahead = timestamp_delta(timestamp, event.segment)
        if ahead == 0:
            return True
        if code != event.code or event.complete:
            return False
        if 0 < ahead <= event.duration - event.before + SLACK * self._clock_rate:
            return True
        longest = SEGMENT - SHORT * self._clock_rate <= ahead <= SEGMENT
        return longest and (ahead == SEGMENT or not event.ended)

    def _end(self) -> list[Digit]:
        """End the digit that is down, if one is."""
        self.deadline = None
        event = self._last
        if event is None or event.ended:
            return []
        event.ended = True
        return [self._digit(event, ended=True)]

    def _digit(self, event: _Event, *, ended: bool) -> Digit:
        duration_ms = event.duration * 1000 // self._clock_rate
        return Digit(DIGITS[event.code], event.timestamp, duration_ms, ended)


class DigitSender:
    """Digits that wait to be sent, as packets in the place of the audio's: one each `ptime`.

    100 ms of tone and 100 ms of pause: RFC 4733 leaves both open, and every receiver knows
    a digit from 40 ms of each.
    """

    def __init__(self, payload_type: int, clock_rate: int, *, ptime: int = 20) -> None:
        self._payload_type = payload_type
        self._step = clock_rate * ptime // 1000  # timestamp units a packet
        self._steps = max(1, 100 // ptime)
        self._waiting: deque[int] = deque()  # event codes
        self._sent = 0  # packets of the first of them, pause included
        self._timestamp = 0

    @property
    def busy(self) -> bool:
        """Whether a digit, or the pause behind one, is under way."""
        return bool(self._waiting)

    @property
    def sounds(self) -> bool:
        """Whether the next packet is a digit's, and no pause behind one."""
        return bool(self._waiting) and self._sent < self._steps + END_COPIES - 1

    def push(self, digits: str) -> None:
        """Queue digits. ValueError for what is no key: our own mistake."""
        self._waiting += [DIGITS.index(digit) for digit in digits.upper()]

    def next_packet(self, sequence: int, timestamp: int, ssrc: int) -> Packet | None:
        """The packet to send now; None where the audio has this place.

        `sequence` and `timestamp` are what an audio packet would have now, and go on as if it
        were one; the timestamp of a digit's first packet stays the digit's.
        """
        if not self._waiting:
            return None
        step, self._sent = self._sent, self._sent + 1
        if step == 0:
            self._timestamp = timestamp
        last = self._steps + END_COPIES - 1
        if step >= last:
            if step + 1 >= last + self._steps:
                self._waiting.popleft()
                self._sent = 0
            return None
        end = 0x80 if step >= self._steps - 1 else 0
        duration = min(step + 1, self._steps) * self._step
        payload = _BLOCK.pack(self._waiting[0], end | VOLUME, duration)
        return Packet(self._payload_type, sequence, self._timestamp, ssrc, payload, step == 0)
