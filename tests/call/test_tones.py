"""Keys as sound: each once, and none of it for the model."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.frame import Samples, silence
from gateway.audio.tone import DIGITS, samples
from gateway.call.tones import BESIDE, RETURNED, Tones
from tests.audio.sounds import babble

TICK = 0.02


class Bench:
    """Sound by 40 ms, as the engine gives it."""

    def __init__(self, rate: int = 8000) -> None:
        self.tones = Tones()
        self.rate = rate
        self.now = 100.0

    def hear(self, sound: Samples) -> Samples:
        step = self.rate // 25
        heard = []
        for begin in range(0, len(sound), step):
            self.now += 2 * TICK
            heard.append(self.tones.hear(sound[begin : begin + step], self.rate, self.now))
        return np.concatenate(heard)

    def keys(self) -> str:
        return "".join(self.tones.take())


def dialled(keys: str, rate: int = 8000) -> Samples:
    """100 ms each, and the same between."""
    return np.concatenate([silence(rate // 5), *(samples(DIGITS[key], rate) for key in keys)])


def loudness(sound: Samples) -> float:
    return float(np.sqrt(np.mean(sound.astype(float) ** 2)))


@pytest.mark.parametrize("rate", [8000, 16000])
def test_every_key_is_heard_once(rate: int) -> None:
    bench = Bench(rate)
    bench.hear(dialled("0123456789*#ABCD", rate))
    assert bench.keys() == "0123456789*#ABCD"
    assert bench.keys() == ""


@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_model_hears_nothing_of_it(rate: int) -> None:
    """8 ms of a tone at most, and nothing is left out: time goes on."""
    bench = Bench(rate)
    sound = np.concatenate((dialled("5", rate), silence(rate // 5)))
    heard = bench.hear(sound)
    assert len(sound) - rate // 50 <= len(heard) <= len(sound)
    assert np.count_nonzero(heard) <= 0.008 * rate


def test_a_voice_passes_as_it_is() -> None:
    bench = Bench()
    voice = babble(3, 5)
    heard = bench.hear(voice)
    assert bench.keys() == ""
    assert len(heard) >= len(voice) - 8000 * 0.0385
    assert heard.tolist() == voice[: len(heard)].tolist()


def test_a_voice_behind_a_key_is_heard() -> None:
    bench = Bench()
    voice = babble(2, 5)
    heard = bench.hear(np.concatenate((dialled("7"), voice)))
    begin = len(dialled("7"))
    assert heard[begin + 400 :].tolist() == voice[400 : len(heard) - begin].tolist()


def test_another_rate_in_mid_call() -> None:
    """What waited is heard as silence, as long as it was."""
    bench = Bench()
    first = bench.hear(dialled("1"))
    bench.rate = 16000
    second = bench.hear(dialled("2", 16000))
    assert bench.keys() == "12"
    total = len(first) / 8000 + len(second) / 16000
    assert total == pytest.approx(0.8, abs=0.02)


class TestBesideEvents:
    """A trunk that sends both."""

    def test_an_event_behind_its_tone_is_that_key(self) -> None:
        bench = Bench()
        bench.hear(dialled("5"))
        assert bench.keys() == "5"
        assert bench.tones.beside(["5"], bench.now) == []

    def test_a_long_tone_and_its_event_at_the_end(self) -> None:
        bench = Bench()
        at = np.arange(16000) / 8000
        tone = 5000 * (np.sin(2 * np.pi * 770 * at) + np.sin(2 * np.pi * 1336 * at))
        bench.hear(np.rint(tone).astype(np.int16))
        assert bench.keys() == "5"
        assert bench.tones.beside(["5"], bench.now) == []

    def test_the_next_one_is_a_key_of_its_own(self) -> None:
        bench = Bench()
        bench.hear(dialled("5"))
        bench.tones.beside(["5"], bench.now)
        assert bench.tones.beside(["5"], bench.now + 0.2) == ["5"]
        bench.hear(dialled("6"))
        assert bench.keys() == "5"  # tones count no more: the first was not asked for yet

    def test_another_key_is_no_copy(self) -> None:
        bench = Bench()
        bench.hear(dialled("5"))
        assert bench.tones.beside(["6", "5"], bench.now) == ["6", "5"]

    def test_a_late_event_is_no_copy(self) -> None:
        bench = Bench()
        bench.hear(dialled("5"))
        assert bench.tones.beside(["5"], bench.now + BESIDE) == ["5"]

    def test_a_tone_behind_its_event_is_no_key(self) -> None:
        bench = Bench()
        assert bench.tones.beside(["5"], bench.now) == ["5"]
        heard = bench.hear(dialled("5"))
        assert bench.keys() == ""
        assert loudness(heard) < 500  # and it is kept from the model all the same


def test_our_own_keys_come_back_and_are_none() -> None:
    bench = Bench()
    bench.tones.press(bench.now)
    bench.hear(dialled("5"))
    assert bench.keys() == ""
    bench.now += RETURNED
    bench.hear(dialled("5"))
    assert bench.keys() == "5"
