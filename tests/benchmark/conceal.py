"""What is heard of a call that loses packets: python -m tests.benchmark.conceal FOLDER

PESQ (narrow band; `pip install -e .[benchmark]` needs gcc) of speech through G.711 with 20 ms
packets lost at random, against the speech itself. FOLDER holds recordings (WAV, 8 kHz, 16 bit), for
instance of Debian's asterisk-core-sounds-en-wav. Three ways: silence in the gaps, the gap filled
from its beginning, and from both ends. Then what each costs.
"""

from __future__ import annotations

import importlib
import sys
import timeit
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gateway.audio.conceal import Concealer
from gateway.audio.frame import Samples, silence
from gateway.audio.g711 import codec

from .digits import recorded
from .table import Figure, show

RATE, FRAME = 8000, 160
CLIP = 10 * RATE  # samples
CLIPS, SEEDS = 12, 3
WANTED = {0.05: 3.0, 0.1: 2.3, 0.2: 1.7}  # by loss
WAYS = ("silence", "one end", "both ends")


def clips(folder: Path) -> Iterator[Samples]:
    """Ten seconds each."""
    sound = silence(0)
    for recording in recorded(folder):
        if len(recording) > 2 * RATE:
            sound = np.concatenate((sound, recording))
        if len(sound) >= CLIP:
            yield sound[:CLIP]
            sound = silence(0)


def through(sound: Samples, loss: float, seed: int, way: str) -> Samples:
    law = codec("PCMU")
    frames = law.decode(law.encode(sound)).reshape(-1, FRAME)
    lost = np.append(np.random.default_rng(seed).random(len(frames)) < loss, False)
    concealer = Concealer(RATE)
    heard: list[Samples] = []
    gap = 0
    for index, frame in enumerate(frames):
        if lost[index]:
            gap += FRAME
            continue
        if gap and way == "silence":
            heard.append(silence(gap))
        elif gap:
            heard.append(concealer.fill(gap, frame if way == "both ends" else None))
        gap = 0
        heard.append(frame if way == "silence" else concealer.good(frame))
    return np.concatenate((*heard, silence(gap)))


def cost() -> None:
    sound = np.rint(9000 * np.sin(np.arange(2000) / 8)).astype(np.int16)
    frame = sound[:FRAME]
    concealer = Concealer(RATE)

    def lose(after: Samples | None) -> None:
        concealer.fill(FRAME, after)
        concealer.good(frame)

    good = min(timeit.repeat(lambda: concealer.good(frame), number=100_000, repeat=5)) * 10
    one = min(timeit.repeat(lambda: lose(None), number=1000, repeat=5)) * 1000
    both = min(timeit.repeat(lambda: lose(frame), number=1000, repeat=5)) * 1000
    print(f"us a packet: {good:.2f} good; {one:.0f} lost, {both:.0f} from both ends")


def main() -> int:
    pesq = importlib.import_module("pesq").pesq  # an extra, and untyped

    sounds = [sound for _, sound in zip(range(CLIPS), clips(Path(sys.argv[1])), strict=False)]
    print(f"{'loss':>5}", *(f"{way:>10}" for way in WAYS))
    for loss in (0.0, 0.01, 0.03, 0.05, 0.1, 0.2):
        means = [
            np.mean(
                [
                    pesq(RATE, sound, through(sound, loss, 10 * index + seed, way), "nb")
                    for index, sound in enumerate(sounds)
                    for seed in range(SEEDS)
                ]
            )
            for way in WAYS
        ]
        print(f"{loss:5.0%}", *(f"{mean:10.2f}" for mean in means))
        if loss in WANTED:
            name = f"PESQ at {loss:.0%} loss"
            show([Figure(name, float(means[-1]), "", WANTED[loss], at_least=True)])
    cost()
    return 0


if __name__ == "__main__":
    sys.exit(main())
