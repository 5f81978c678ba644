"""Playout: the model's speech on its way to the caller, and how much of it was heard.

Pure. The model speaks faster than real time, so most of a reply waits here, still in base64 as
it arrived: it is counted at once, but decoded only when the tick has time for it. Frames are
taken from the front; a frame counts as heard once it was sent, because it cannot be called
back. All counts are samples of the item at the model's rate, never time (`conversation.item.
truncate` names a place in the item).

    received ≥ waiting + taken + sent          per (item, content part)

`taken` is what left the queue but not yet the gateway: the frame prepared for the next tick, and
what the resampler was fed ahead. Left out on purpose: resampling and packets (call/line.py).
"""

from __future__ import annotations

import binascii
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pybase64

from .frame import FRAME_MS, Samples, silence
from .g711 import Codes, codec, is_coded

START_FRAMES = 2  # speech begins when this much waits, so that one late delta is not heard
HISTORY = 500  # frames (10 s) of which the heard position is remembered, for the onset


class Part(NamedTuple):
    """One audio content part of one item: what a truncate names."""

    response_id: str
    item_id: str
    content_index: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A part that was cut before its end, and how much of it the caller hears in total."""

    part: Part
    ms: int  # from the start of the part, rounded down; 0: nothing of it was heard
    share: float  # of what was received, 0..1: to cut a transcript at about the same place


@dataclass(slots=True, eq=False)
class _Ledger:
    """The account of one part, in bytes as received and in samples."""

    part: Part
    sample_bytes: int
    received_bytes: int = 0
    sent: int = 0  # samples
    said: bool = False  # the model adds nothing more
    odd: bytes = b""  # first half of a sample whose second half is in the next delta

    @property
    def received(self) -> int:
        return self.received_bytes // self.sample_bytes

    @property
    def heard_whole(self) -> bool:
        return self.said and self.sent >= self.received


@dataclass(slots=True)
class _Chunk:
    """A delta that waits, not decoded yet."""

    ledger: _Ledger
    delta: str
    size: int = field(init=False)  # bytes, known from the length of the base64 text

    def __post_init__(self) -> None:
        self.size = max(0, len(self.delta) * 3 // 4 - self.delta[-2:].count("="))


@dataclass(slots=True, eq=False)
class _Taken:
    """Samples in a row that left the queue, of one part; None: silence."""

    ledger: _Ledger | None
    count: int


class Playout:
    """The queue and the ledger of one call.

    `rate` is the model's sample rate in Hz. `law` is "PCMU" or "PCMA" where the model speaks
    G.711, None for 16-bit little-endian PCM.
    """

    def __init__(self, rate: int, law: str | None = None) -> None:
        self.rate = rate
        self._law = codec(law) if law else None
        self._codes = False  # hand it out as it came
        self._sample_bytes = 1 if law else 2
        self._frame = rate * FRAME_MS // 1000
        self._ledgers: dict[tuple[str, int], _Ledger] = {}  # parts not heard to their end
        self._encoded: deque[_Chunk] = deque()  # not decoded yet, behind all that is decoded
        self._decoded: deque[tuple[_Ledger, Samples | Codes]] = deque()
        self._taken: deque[_Taken] = deque()
        self._history: deque[tuple[float, Part, int]] = deque(maxlen=HISTORY)
        self._playing = False
        self.decoded = 0  # samples that could be played without decoding more
        self.underruns = 0  # times that the model was late in the middle of a reply
        self.broken = 0  # deltas that were no base64
        self.sent_total = 0  # samples of speech sent in this call

    def use_law(self, name: str | None) -> None:
        """Hand out the model's own codes from now on where it speaks this law, else samples."""
        codes = self._law is not None and self._law.name == name
        if self._law is None or codes == self._codes:
            return
        self._codes = codes
        for index, (ledger, sound) in enumerate(self._decoded):
            other = self._law.decode(sound.tobytes()) if is_coded(sound) else self._law.codes(sound)
            self._decoded[index] = ledger, other

    def push(self, part: Part, delta: str) -> None:
        """Queue a delta (base64 text). It is counted now and decoded later."""
        key = (part.item_id, part.content_index)
        ledger = self._ledgers.get(key)
        if ledger is None:
            ledger = self._ledgers[key] = _Ledger(part, self._sample_bytes)
        chunk = _Chunk(ledger, delta)
        ledger.received_bytes += chunk.size
        self._encoded.append(chunk)

    def finish(self, item_id: str) -> None:
        """Note that the model has said all of this item."""
        for ledger in self._of_item(item_id):
            ledger.said = True
            self._forget_if_heard(ledger)

    def finish_response(self, response_id: str) -> None:
        """Note that nothing more comes of this response (`response.done`)."""
        for ledger in list(self._ledgers.values()):
            if ledger.part.response_id == response_id:
                ledger.said = True
                self._forget_if_heard(ledger)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is on its way: the caller hears silence."""
        return not (self._encoded or self._decoded or any(it.ledger for it in self._taken))

    @property
    def speaking(self) -> bool:
        """There is a part that the caller has not heard to its end."""
        return bool(self._ledgers)

    @property
    def undecoded(self) -> bool:
        """A delta waits to be decoded."""
        return bool(self._encoded)

    def decode_one(self) -> None:
        """Decode the oldest delta that waits; a broken one is counted and dropped."""
        chunk = self._encoded.popleft()
        ledger = chunk.ledger
        try:
            data = ledger.odd + pybase64.b64decode(chunk.delta, validate=True)
        except (binascii.Error, ValueError):
            ledger.received_bytes -= chunk.size
            self.broken += 1
            self._forget_if_heard(ledger)
            return
        cut = len(data) - len(data) % self._sample_bytes
        ledger.odd = data[cut:]
        if cut:
            samples = self._to_samples(data[:cut])
            self._decoded.append((ledger, samples))
            self.decoded += len(samples)

    def take(self, count: int) -> Samples | Codes:
        """Take the next `count` samples (at the model's rate); silence where there is no speech.

        Speech begins when START_FRAMES of it wait, or all of it; after the queue ran dry in the
        middle of a reply the same holds again.
        """
        taken = self.next(count)
        return self._silence(count) if taken is None else taken

    def next(self, count: int) -> Samples | Codes | None:
        """The same; None: all of it is silence."""
        least = START_FRAMES * self._frame
        if self._encoded and self.decoded < max(count, least):
            self._decode_until(max(count, least))
        if not self._playing:
            self._playing = bool(self.decoded) and (self.decoded >= least or self._all_said())
            if not self._playing:
                self._take_down(None, count)
                return None
        ledger, samples = self._decoded[0]
        if len(samples) > count:  # nearly always: a delta has 100 ms and more
            self._decoded[0] = ledger, samples[count:]
            self.decoded -= count
            self._take_down(ledger, count)
            return samples[:count]
        out = np.concatenate(list(self._pieces(count)))
        if not self.decoded:
            self._playing = False
            self.underruns += not self._all_said()
        return out

    def sent(self, count: int, now: float) -> Part | None:
        """Count the oldest `count` samples that were taken as heard.

        Returns the part whose first sample left with them, if one did.
        """
        begun: Part | None = None
        while count and self._taken:
            oldest = self._taken[0]
            step = min(oldest.count, count)
            count -= step
            if oldest.count > step:
                oldest.count -= step
            else:
                self._taken.popleft()
            ledger = oldest.ledger
            if ledger is None:
                continue
            if ledger.sent == 0:
                begun = ledger.part
            ledger.sent += step
            self.sent_total += step
            self._history.append((now, ledger.part, ledger.sent))
            if ledger.said:
                self._forget_if_heard(ledger)
        return begun

    def cut(self) -> list[Heard]:
        """Drop all that was not sent; tell of each part that was not heard to its end.

        In the order of speaking: the part at the playhead, then those of which nothing was sent
        (`ms` 0). Empty when the caller has heard everything.
        """
        cut = [self._heard(ledger) for ledger in self._ledgers.values() if ledger.received]
        self._ledgers.clear()
        self._encoded.clear()
        self._decoded.clear()
        self._taken.clear()
        self.decoded = 0
        self._playing = False
        return cut

    def heard_at(self, part: Part, when: float) -> int:
        """How many milliseconds of a part had been sent at `when` (the tick's clock)."""
        best = 0
        for at, other, sent in self._history:
            if other == part and at <= when:
                best = sent
        return best * 1000 // self.rate

    def _heard(self, ledger: _Ledger) -> Heard:
        sent, received = min(ledger.sent, ledger.received), ledger.received
        return Heard(ledger.part, sent * 1000 // self.rate, sent / received)

    def _of_item(self, item_id: str) -> list[_Ledger]:
        return [o for o in self._ledgers.values() if o.part.item_id == item_id]

    def _forget_if_heard(self, ledger: _Ledger) -> None:
        if ledger.heard_whole:
            self._ledgers.pop((ledger.part.item_id, ledger.part.content_index), None)

    def _all_said(self) -> bool:
        return all(ledger.said for ledger in self._ledgers.values())

    def _to_samples(self, data: bytes) -> Samples | Codes:
        if self._codes:
            return np.frombuffer(data, np.uint8)
        return self._law.decode(data) if self._law else np.frombuffer(data, dtype="<i2")

    def _silence(self, count: int) -> Samples | Codes:
        return self._law.codes(silence(count)) if self._law and self._codes else silence(count)

    def _decode_until(self, enough: int) -> None:
        while self._encoded and self.decoded < enough:
            self.decode_one()

    def _pieces(self, count: int) -> Iterator[Samples | Codes]:
        """Up to `count` samples from the front, the rest silence, noted in `_taken`."""
        while count and self._decoded:
            ledger, samples = self._decoded.popleft()
            piece, rest = samples[:count], samples[count:]
            if len(rest):
                self._decoded.appendleft((ledger, rest))
            self.decoded -= len(piece)
            count -= len(piece)
            self._take_down(ledger, len(piece))
            yield piece
        if count:
            self._take_down(None, count)
            yield self._silence(count)

    def _take_down(self, ledger: _Ledger | None, count: int) -> None:
        if self._taken and self._taken[-1].ledger is ledger:
            self._taken[-1].count += count
        else:
            self._taken.append(_Taken(ledger, count))
