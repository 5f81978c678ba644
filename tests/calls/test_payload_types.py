"""A caller who changes her codec from one packet to the next: whatever was agreed is understood.

RFC 3551 §2, RFC 7160: the payload type says it for each packet; no re-INVITE has to come before.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gateway.audio.codec import Encoder, codec
from gateway.audio.frame import Samples
from gateway.rtp.packet import Packet, encode
from tests.clock import Network, run
from tests.torture.caller import Caller, calling
from tests.torture.watch import nothing_breaks

from .house import House, house

HERTZ, LOUD = 440.0, 8000.0
TYPES = {0: "PCMU", 8: "PCMA", 9: "G722", 111: "OPUS"}
HEARD = 24000  # Hz, of what the model hears
FRAME = HEARD // 50
SECONDS = 8


def offer(caller: Caller) -> bytes:
    """All of them, and telephone-event."""
    lines = [
        *("v=0", f"o=- 1 1 IN IP4 {caller.host}", "s=-", f"c=IN IP4 {caller.host}", "t=0 0"),
        *("m=audio 7000 RTP/AVP 8 0 9 111 101", "a=rtpmap:111 opus/48000/2"),
        "a=rtpmap:101 telephone-event/8000",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


class Singer:
    """A tone without an end, in any codec; its timestamps are those of the codec's clock."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._encoders: dict[int, Encoder] = {}
        self._frames = 0
        self._clocks = {8000: 1000, 48_000: 77_000}  # of other beginnings, as RFC 7160 §4.1 allows

    async def sing(self, payload_type: int, seconds: float) -> None:
        """20 ms by 20 ms."""
        used = codec(TYPES[payload_type])
        if payload_type not in self._encoders:
            self._encoders[payload_type] = used.encoder(20)
        for _ in range(round(seconds * 50)):
            payload = self._encoders[payload_type].encode(self._sound(used.rate))
            at = self._clocks[used.clock_rate] + self._frames * used.clock_rate // 50
            caller = self._caller
            packet = Packet(
                payload_type, caller.sequence, at & 0xFFFFFFFF, caller.ssrc, payload, False
            )
            caller.send(encode(packet))
            caller.sequence = (caller.sequence + 1) & 0xFFFF
            self._frames += 1
            await asyncio.sleep(0.02)

    def _sound(self, rate: int) -> Samples:
        size = rate // 50
        at = (np.arange(size) + self._frames * size) / rate
        samples: Samples = (LOUD * np.sin(2 * np.pi * HERTZ * at)).astype(np.int16)
        return samples


def sound(home: House) -> npt.NDArray[np.float64]:
    """All that the model was given."""
    texts = [event["audio"] for event in home.model.events("input_audio_buffer.append")]
    return np.frombuffer(b"".join(map(base64.b64decode, texts)), "<i2").astype(np.float64)


def level(samples: npt.NDArray[np.float64]) -> float:
    """How loud her tone is in it: its amplitude."""
    at = np.arange(len(samples)) / HEARD
    return float(2 * abs(np.mean(samples * np.exp(-2j * np.pi * HERTZ * at))))


@pytest.mark.parametrize(
    ("order", "weak"),
    [
        ((0, 8), 0),  # the same sound, by another table
        ((8, 9), 1),  # another rate: a filter begins anew
        ((0, 111), 1),  # another clock, too: what waits comes out first
        ((8, 9, 0, 111), 1),
    ],
    ids=str,
)
def test_another_codec_each_second(order: tuple[int, ...], weak: int, tmp_path: Path) -> None:
    """One unbroken tone, as long as it was; at each change `weak` frames may be less loud."""

    async def main() -> None:
        network = Network()
        with nothing_breaks():
            async with house(tmp_path, {}, network=network) as home, calling(network) as caller:
                assert (await caller.dial(offer(caller))).status == 200
                singer = Singer(caller)
                for second in range(SECONDS):
                    await singer.sing(order[second % len(order)], 1.0)
                await asyncio.sleep(0.1)
                caller.hang_up()
                record = await home.record()
        whole = sound(home)
        assert len(whole) / HEARD == pytest.approx(SECONDS, abs=0.2)
        frames = whole[: len(whole) // FRAME * FRAME].reshape(-1, FRAME)[5:-10]
        low = [n for n, frame in enumerate(frames) if level(frame) < 0.8 * LOUD]
        assert len(low) <= weak * (SECONDS - 1), low
        assert max(level(frame) for frame in frames) < 1.2 * LOUD
        assert record["rtp"]["lost"] == 0
        assert record["cause"] == "hang_up"

    run(main())


def other(payload_type: int) -> Callable[[int], int]:
    return lambda n: payload_type


@pytest.mark.parametrize(
    "kind",
    [
        other(9),
        other(18),
        other(96),
        other(127),
        lambda n: (1, 3, 4, 15, 97, 126)[n % 6],
    ],
    ids=["G.722", "G.729", "96", "127", "many"],
)
def test_what_was_never_agreed_is_counted_and_not_heard(
    kind: Callable[[int], int], tmp_path: Path
) -> None:
    """As loud as it may be; the call's end tells how much there was, in one line."""

    async def main() -> None:
        network = Network()
        with nothing_breaks() as log:
            async with house(tmp_path, {}, network=network) as home, calling(network) as caller:
                assert (await caller.dial()).status == 200
                for n in range(100):
                    caller.send(caller.packet(b"\x2a" * 160, kind(n)))
                    await caller.pause()
                caller.hang_up()
                record = await home.record()
        assert np.abs(sound(home)).max(initial=0) < 100
        assert record["rtp"]["received"] == 100
        assert record["rtp"]["lost"] == 0
        (told,) = [line for line in log if line["event"] == "call_irregular"]
        assert told["datagrams_ignored"] == 100

    run(main())
