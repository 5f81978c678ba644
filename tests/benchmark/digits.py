"""Digits that are lost, and those that are none: python -m tests.benchmark.digits

First `--keys` keys as events (RFC 4733), of whose packets a part is lost at random: how many are
found, and how many are more than was pressed. The figure to keep: 998 of 1,000 at 20 %.

Then false digits per hour of speech, and what hearing digits costs. Speech is espeak-ng's (needs
`gateway[speech]`), in two languages, played faster and slower so that voices differ, at several
levels and through G.711; then speech-like noise from a seed: harmonics of a wandering pitch under
formants that jump, which is harder than speech. An hour takes half a minute; `--hours 10` is the
figure to keep: none in speech. A folder of one's own recordings (WAV, 8 kHz, 16 bit) is heard too:
`--folder DIR`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import wave
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from gateway.audio.detector import Detector
from gateway.audio.frame import Samples
from gateway.audio.g711 import codec
from gateway.rtp.dtmf import DIGITS, DigitReceiver, DigitSender
from gateway.simulator.espeak import Espeak, installed
from gateway.simulator.speech import resample
from tests.audio.sounds import babble

from .table import Figure, show

RATE = 8000  # Hz
FRAME = 160
WORDS = {
    "en": "one two three four five six seven eight nine zero yes no please thank you account order "
    "number street morning evening appointment doctor invoice delivery window garden question "
    "answer remember tomorrow yesterday holiday service operator wonderful blue moon aloud "
    "error mirror hello meeting follow yellow robot data idea audio radio yearly really",
    "ru": "один два три четыре пять шесть семь восемь девять ноль да нет пожалуйста спасибо заказ "
    "номер улица утро вечер доктор счёт доставка окно сад вопрос ответ завтра вчера праздник "
    "оператор чудесно синий луна ошибка зеркало алло встреча жёлтый робот идея аудио радио",
}
SPEEDS = (0.8, 0.9, 1.0, 1.15, 1.3, 1.5)  # from a deep voice to a child's
GAINS = (1.0, 0.3, 2.5)


def pressed(keys: str, clock_rate: int, loss: float, seed: int) -> str:
    """What is heard of keys that our own sender presses."""
    dice = random.Random(seed)
    sender, receiver = DigitSender(101, clock_rate), DigitReceiver(clock_rate, clock_rate)
    sender.push(keys)
    heard = ""
    tick = 0
    while sender.busy:
        tick += 1
        now = tick * 0.02
        receiver.handle_timer(now)
        packet = sender.next_packet(tick & 0xFFFF, tick * clock_rate // 50, 1)
        if packet and dice.random() >= loss:
            heard += "".join(it.digit for it in receiver.receive(packet, now) if not it.ended)
    return heard


def events(count: int, seed: int) -> None:
    """Print for each clock and loss how many keys were found, and how many were none."""
    dice = random.Random(seed)
    keys = "".join(dice.choices(DIGITS, k=count))
    for clock_rate in (8000, 48000):
        for loss in (0.05, 0.2, 0.4):
            heard = pressed(keys, clock_rate, loss, seed)
            found = sum(
                it.size for it in SequenceMatcher(None, keys, heard, False).get_matching_blocks()
            )
            name = f"of {count} events at {clock_rate // 1000} kHz, {loss:.0%} lost"
            least = 0.998 * count if loss <= 0.2 else None
            show(
                [
                    Figure(f"keys found {name}", found, "", least, at_least=True),
                    Figure(f"false keys {name}", len(heard) - found, "", 0),
                ]
            )


def spoken(hours: float, seed: int) -> Iterator[Samples]:
    """Sentences until the time is up."""
    dice = np.random.default_rng(seed)
    voice = Espeak()
    left = round(hours * 3600 * RATE)
    try:
        while left > 0:
            language = str(dice.choice(list(WORDS)))
            words = dice.choice(WORDS[language].split(), dice.integers(4, 14))
            pcm = voice.say(" ".join(words) + ".", RATE, language)
            pcm = resample(pcm, round(RATE * float(dice.choice(SPEEDS))), RATE)
            loud = np.frombuffer(pcm, np.int16) * float(dice.choice(GAINS))
            yield loud.clip(-32768, 32767).astype(np.int16)
            left -= len(loud)
    finally:
        voice.close()


def noise(hours: float, seed: int) -> Iterator[Samples]:
    for minute in range(round(hours * 60)):
        yield babble(60, seed * 100_000 + minute)


def recorded(folder: Path) -> Iterator[Samples]:
    for path in sorted(folder.rglob("*.wav")):
        with wave.open(str(path)) as file:
            if (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2):
                yield np.frombuffer(file.readframes(file.getnframes()), np.int16)


def hear(sounds: Iterator[Samples], kind: str) -> None:
    """Print a line: how long, how many digits, how often sound was held back, at what cost."""
    law = codec("PCMU")
    detector = Detector(RATE)
    found: list[str] = []
    frames = held = 0
    spent = 0.0
    rest = np.zeros(0, np.int16)
    for sound in sounds:
        line = np.concatenate((rest, law.decode(law.encode(sound))))
        whole = len(line) // FRAME
        rest = line[whole * FRAME :]
        begun = time.perf_counter()
        for frame in line[: whole * FRAME].reshape(-1, FRAME):
            found += [press.digit for press in detector.push(frame) if not press.ended]
            frames += 1
            held += frames * FRAME - detector.clear >= 102
        spent += time.perf_counter() - begun
    hours = frames / 50 / 3600
    print(
        f"{hours:7.2f} h {len(found):6} digits {len(found) / max(hours, 1e-9):8.2f} an hour"
        f" {100 * held / max(frames, 1):7.3f} % held {spent / max(frames, 1) * 1e6:7.1f} us a frame"
    )
    most = None if kind == "noise" else 0  # noise may be harder than speech
    show([Figure(f"false digits in {hours:.1f} h of {kind}", len(found), "", most)])


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--keys", type=int, default=1000)
    arguments.add_argument("--hours", type=float, default=0.2)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--folder", type=Path)
    given = arguments.parse_args()
    events(given.keys, given.seed)
    if installed():
        print("espeak     ", end="", flush=True)
        hear(spoken(given.hours, given.seed), "speech")
    else:
        print("espeak      not installed: pip install 'gateway[speech]'")
    print("noise      ", end="", flush=True)
    hear(noise(given.hours, given.seed), "noise")
    if given.folder:
        print("recordings ", end="", flush=True)
        hear(recorded(given.folder), "recordings")
    return 0


if __name__ == "__main__":
    sys.exit(main())
