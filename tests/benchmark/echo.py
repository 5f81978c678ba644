"""False barge-ins by our own echo, and how soon a caller is heard: python -m tests.benchmark.echo

Whole calls on virtual time. First the assistant speaks for `--minutes` and nobody else does: each
time that the model hears speech is a false event. Then a caller interrupts it, 2 to 5 s into a
reply, `--times` times: the time from her first sound to the model's event, network included.
Each for three echo return losses and four delays, of a hybrid and of a loudspeaker. The voices are
espeak-ng's (needs `gateway[speech]`); the simulator's server hears by energy. `--echo off` shows
what happens without. A minute of each takes a minute and a half in all.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from gateway.audio.frame import Samples
from gateway.simulator.espeak import Espeak, installed
from gateway.simulator.script import load
from gateway.simulator.speech import Speech, resample
from tests.calls.house import GATEWAY, MemoryModel, house, noise
from tests.calls.returning import Monologue, Returning, caller
from tests.clock import Network, run

from .digits import WORDS

LOSSES, DELAYS = (12.0, 20.0, 30.0), (0.06, 0.2, 0.4, 0.6)
STARTED = "input_audio_buffer.speech_started"
SENTENCE = 4.0  # s that one takes, about
LOUD = 500  # of 32767, where a caller's word has begun


def sentence(dice: random.Random) -> str:
    return " ".join(dice.choices(WORDS["en"].split(), k=dice.randint(6, 14))) + "."


def voice() -> Speech:
    return Espeak() if installed() else Monologue(SENTENCE)


def interruption(dice: random.Random) -> Samples:
    """A sentence of somebody else, from its first sound on."""
    if not installed():
        return caller(2.0)
    espeak = Espeak()
    pcm = resample(espeak.say(sentence(dice), 8000, "en"), 6800, 8000)
    espeak.close()
    sound = np.frombuffer(pcm, np.int16).astype(np.int16)
    return sound[int(np.argmax(np.abs(sound) > LOUD)) :][:12000]


def started(model: MemoryModel) -> list[float]:
    """When the model heard speech, after the first words, by which it was asked."""
    return [at for at, event in model.said if event["type"] == STARTED][1:]


async def monologue(folder: Path, mode: str, network: Network, minutes: float) -> int:
    """How often the model heard speech in so many minutes of its own."""
    dice = random.Random(1)
    story = [sentence(dice) for _ in range(round(minutes * 60 / SENTENCE))]
    script = load({"turns": [{"say": story}, *[{"say": story[:20]}] * 1000]})
    model = MemoryModel(script, speech=voice())
    config = {"media": {"echo": mode}}
    async with (
        house(folder, config=config, network=network, model=model) as home,
        home.phone() as phone,
    ):
        await phone.dial("100", GATEWAY)
        await phone.say(noise(0.4))
        await asyncio.sleep(minutes * 60)
        phone.hang_up()
        await home.record()
    return len(started(model))


async def interrupted(folder: Path, mode: str, network: Network, times: int) -> list[float | None]:
    """s until the model heard each caller; None: not while she spoke."""
    dice = random.Random(2)
    turns = [{"say": [sentence(dice), sentence(dice), sentence(dice)]} for _ in range(times + 1)]
    model = MemoryModel(load({"turns": turns}), speech=voice())
    config = {"media": {"echo": mode}}
    found: list[float | None] = []
    async with (
        house(folder, config=config, network=network, model=model) as home,
        home.phone() as phone,
    ):
        await phone.dial("100", GATEWAY)
        await phone.say(noise(0.4))
        for _ in range(times):
            await phone.until_sound()
            await asyncio.sleep(dice.uniform(2, 5))
            begun = asyncio.get_running_loop().time()
            await phone.say(interruption(dice))
            later = [at - begun for at in started(model) if at > begun]
            found.append(later[0] if later else None)
            await asyncio.sleep(1.0)
        phone.hang_up()
        await home.record()
    return found


def on_line(line: dict[str, Any] | None) -> Network:
    network = Network()
    if line:
        Returning(network, **line)
    return network


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=1.0)
    arguments.add_argument("--times", type=int, default=5)
    arguments.add_argument("--echo", choices=["auto", "on", "off"], default="auto")
    given = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    lines: list[dict[str, Any] | None] = [None]
    for acoustic in (False, True):
        lines += [
            {"loss": loss, "delay": delay, "acoustic": acoustic}
            for loss in LOSSES
            for delay in DELAYS
        ]
    print(f"echo: {given.echo}; voices: {'espeak' if installed() else 'babble'}")
    print(
        f"{'line':12} {'dB':>4} {'ms':>5} {'false':>6} {'heard':>7} {'median':>7} {'worst ms':>9}"
    )
    total = late = 0
    for line in lines:
        kind, loss, delay = "no echo", "", ""
        if line:
            kind = "loudspeaker" if line["acoustic"] else "hybrid"
            loss, delay = f"{line['loss']:.0f}", f"{1000 * line['delay']:.0f}"
        with tempfile.TemporaryDirectory() as folder:
            false = run(monologue(Path(folder), given.echo, on_line(line), given.minutes))
        with tempfile.TemporaryDirectory() as folder:
            times = run(interrupted(Path(folder), given.echo, on_line(line), given.times))
        heard = sorted(1000 * it for it in times if it is not None)
        median = f"{heard[len(heard) // 2]:.0f}" if heard else "-"
        worst = f"{heard[-1]:.0f}" if heard else "-"
        share = f"{len(heard)}/{len(times)}"
        print(
            f"{kind:12} {loss:>4} {delay:>5} {false:6} {share:>7} {median:>7} {worst:>9}",
            flush=True,
        )
        total += false
        late += len(times) - sum(it <= 300 for it in heard)
    print(f"false events: {total}; interruptions not heard within 300 ms: {late}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
