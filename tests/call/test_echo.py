"""The canceller's place in a call: what it is told of, and when another one begins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gateway.audio.echo import DELAY
from gateway.audio.frame import Samples
from gateway.call.echo import Echo
from gateway.rtp.packet import Packet, encode
from tests.audio.sounds import babble, echo

from .talk import PHONE, make_line

HERE, THERE = ("192.0.2.7", 4000), ("192.0.2.8", 4000)


class Bench:
    """A line of 20 ms ticks, of which the model hears every second one."""

    def __init__(self) -> None:
        self.echo = Echo("on")
        self.now = 100.0

    def run(
        self, sent: Samples, heard: Samples, rate: int = 8000, sent_rate: int = 8000
    ) -> Samples:
        """What is left of what was heard."""
        out = []
        for tick in range(len(heard) * 50 // rate):
            self.now += 0.02
            begin = tick * sent_rate // 50
            self.echo.sent(sent[begin : begin + sent_rate // 50], sent_rate, self.now)
            if tick % 2:
                begin = (tick - 1) * rate // 50
                out.append(self.echo.hear(heard[begin : begin + rate // 25], rate, self.now))
        return np.concatenate(out)


def loudness(sound: Samples) -> float:
    return float(np.sqrt(np.mean(sound.astype(float) ** 2)))


@pytest.mark.parametrize(("rate", "sent_rate"), [(8000, 8000), (16000, 8000), (8000, 16000)])
def test_our_voice_is_taken_out(rate: int, sent_rate: int) -> None:
    """Also where we send in one codec and are answered in another."""
    bench = Bench()
    said = babble(5, 21)
    back = np.rint(echo(said, loss=12, delay=0.2)).astype(np.int16)
    sent, heard = np.repeat(said, sent_rate // 8000), np.repeat(back, rate // 8000)
    clean = bench.run(sent, heard, rate, sent_rate)
    assert len(clean) == len(heard)
    assert loudness(clean[2 * rate :]) < loudness(heard[2 * rate :]) / 20


def test_it_makes_the_sound_late_by_what_it_says() -> None:
    bench = Bench()
    assert bench.echo.delay == 0.0
    bench.run(babble(1, 21), babble(1, 4))
    assert bench.echo.delay == DELAY[8000] / 8000


def test_another_rate_begins_another_one() -> None:
    bench = Bench()
    bench.run(babble(1, 21), babble(1, 4))
    first = bench.echo.canceller
    bench.run(babble(1, 21), babble(1, 4, 16000), 16000)
    assert bench.echo.canceller is not first
    assert bench.echo.delay == DELAY[16000] / 16000


def test_another_telephone_begins_another_one() -> None:
    """What was learnt of the one before is wrong there; a hold is no other telephone."""
    bench = Bench()
    bench.echo.follow(HERE)
    bench.run(babble(1, 21), babble(1, 4))
    first = bench.echo.canceller
    assert first is not None
    bench.echo.follow(None)
    bench.echo.follow(HERE)
    assert bench.echo.canceller is first
    bench.echo.follow(THERE)
    assert bench.echo.canceller is None
    bench.run(babble(1, 21), babble(1, 4))
    assert bench.echo.canceller is not None


def test_the_delay_counts_where_a_caller_began() -> None:
    """What the model hears is older by it than its arrival."""
    line = make_line(echo=Echo("on"))
    before = line.loop_delay(0.06)
    line.receive(encode(Packet(0, 1, 160, 77, bytes(160))), PHONE, 0.02)
    line.hear(0.02)
    assert line.loop_delay(0.06) - before == pytest.approx(0.011)


def test_a_hold_costs_nothing() -> None:
    """After the two seconds that the model hears of it the canceller is not asked any more."""
    line = make_line(echo=Echo("on"))
    line.receive(encode(Packet(0, 1, 160, 77, bytes(160))), PHONE, 0.02)
    line.hear(0.02)
    line.renegotiate(replace(line.media, sending=False), 0.04)
    asked = []

    class Counting(Echo):
        def sent(self, samples: Samples, rate: int, now: float) -> None:
            asked.append(now)

        def hear(self, samples: Samples, rate: int, now: float) -> Samples:
            asked.append(now)
            return samples

    counting = Counting("on")
    line.downlink._echo = counting
    line.uplink._stages = [counting]
    for tick in range(500):
        now = 0.06 + tick * 0.02
        line.downlink.sent(now)
        line.hear(now)
        line.downlink.prepare()
    assert asked
    assert max(asked) < 2.5
