"""Our own voice never interrupts us, and a caller still does."""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from gateway.audio.echo import DELAY, EchoCanceller, Mode, missing
from gateway.audio.frame import Samples, silence
from gateway.audio.g711 import codec
from gateway.simulator.vad import Settings, SpeechStarted, Vad

from .sounds import babble, echo

LOSSES = [12, 20, 30, 40]
DELAYS = [0.06, 0.2, 0.4, 0.6]


def line(sound: npt.NDArray[np.float64]) -> Samples:
    """Through G.711."""
    law = codec("PCMU")
    return law.decode(law.encode(np.rint(sound).clip(-32768, 32767).astype(np.int16)))


@cache
def model(seconds: int = 9) -> Samples:
    """What we say: sentences, with pauses."""
    speech = babble(seconds, 21).astype(float)
    speech *= 4000 / np.sqrt(np.mean(speech**2))
    speech[np.arange(len(speech)) % 20000 > 17000] = 0
    return line(speech)


@cache
def caller(level: float) -> Samples:
    """A caller who begins at once; `level` in dB against what we say."""
    speech = babble(4, 4).astype(float)
    strength = np.convolve(np.abs(speech), np.ones(80), "valid")
    held = np.lib.stride_tricks.sliding_window_view(strength[::80], 20).min(1)
    speech = speech[80 * int(held.argmax()) :][:12000]  # a word that is no click
    return line(speech * 10 ** (level / 20) * 4000 / np.sqrt(np.mean(speech**2)))


def through(
    canceller: EchoCanceller, sent: Samples, heard: Samples, *, rate: int = 8000, ppm: float = 0.0
) -> Samples:
    """A call by ticks: a frame is sent, then those that came are heard.

    `ppm` is how fast the caller's clock is.
    """
    size = rate // 50
    out = []
    frames = 0
    for tick in range(len(sent) // size):
        now = 5000 + tick * 0.02
        canceller.sent(sent[tick * size : (tick + 1) * size], now)
        while (frames + 1) * 0.02 / (1 + ppm * 1e-6) <= tick * 0.02 + 1e-9:
            frame = heard[frames * size : (frames + 1) * size]
            out.append(canceller.heard(frame, now))
            frames += 1
    return np.concatenate(out)


def speech_begins(sound: Samples, rate: int = 8000) -> list[float]:
    """s, at which the simulator's server would have said so."""
    vad = Vad(Settings(), rate)
    step = rate // 100
    return [
        (begin + step) / rate
        for begin in range(0, len(sound), step)
        for activity in vad.push(sound[begin : begin + step])
        if isinstance(activity, SpeechStarted)
    ]


@pytest.mark.parametrize("acoustic", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("delay", DELAYS)
class TestTheMatrix:
    """Echo return loss x delay x kind of echo."""

    def test_no_echo_is_taken_for_a_caller(self, delay: float, loss: float, acoustic: bool) -> None:
        heard = line(echo(model(), loss=loss, delay=delay, acoustic=acoustic))
        if loss < 30:
            assert speech_begins(heard)  # without a canceller
        canceller = EchoCanceller(8000)
        assert speech_begins(through(canceller, model(), heard)) == []
        assert canceller.path.verdict == "found"
        assert abs(canceller.path.lag * 0.01 - delay) <= 0.021

    @pytest.mark.parametrize("at", [4.0, 5.2])
    def test_a_caller_is_heard_within_300_ms(
        self, delay: float, loss: float, acoustic: bool, at: float
    ) -> None:
        """While we speak, as loud as we are; half that, where the echo is not nearly as loud."""
        for level in (0.0, -6.0) if loss > 12 else (0.0,):
            begin = round(at * 8000)
            sent = model()[: begin + 4000]
            both = echo(sent, loss=loss, delay=delay, acoustic=acoustic)
            both[begin:] += caller(level)[:4000]
            begun = speech_begins(through(EchoCanceller(8000), sent, line(both)))
            assert begun
            assert at < begun[0] < at + 0.3


@pytest.mark.parametrize("mode", ["auto", "on"])
class TestALineThatReturnsNothing:
    """What is said to us is no echo, however well its beginning agrees with ours."""

    def heard_after(self, mode: Mode, at: float, level: float) -> float:
        """s from the caller's beginning, `at` s after our first word."""
        sent = model()[: round(at * 8000) + 4000]
        both = np.zeros(len(sent))
        both[-4000:] = caller(level)[:4000]
        begun = speech_begins(through(EchoCanceller(8000, mode), sent, line(both)))
        return begun[0] - at if begun else 9.9

    @pytest.mark.parametrize("level", [0.0, -6.0, -10.0])
    @pytest.mark.parametrize("at", [1.6, 2.0, 2.9, 4.0, 6.0])
    def test_a_caller_is_heard_within_300_ms(self, mode: Mode, at: float, level: float) -> None:
        assert self.heard_after(mode, at, level) < 0.3

    @pytest.mark.parametrize("at", [0.2, 0.5, 0.8, 1.1, 1.4])
    def test_at_our_first_words_one_who_is_as_loud(self, mode: Mode, at: float) -> None:
        assert self.heard_after(mode, at, 0.0) < 0.3


@pytest.mark.parametrize("rate", [8000, 16000])
class TestTheSound:
    def test_a_caller_alone_is_not_touched(self, rate: int) -> None:
        """While we say nothing, sound is late by the delay, and else as it was."""
        canceller = EchoCanceller(rate)
        voice = babble(2, 7, rate)
        heard = through(canceller, silence(len(voice)), voice, rate=rate)
        assert heard[: canceller.delay].tolist() == [0] * DELAY[rate]
        assert len(heard) == len(voice) - rate // 50  # a tick is left
        assert heard[canceller.delay :].tolist() == voice[: len(heard) - canceller.delay].tolist()
        assert not canceller.running

    def test_the_delay_is_the_same_with_and_without(self, rate: int) -> None:
        """The sound does not jump when it begins or ends to run."""
        sent = np.concatenate((silence(rate), babble(1, 3, rate), silence(3 * rate)))
        voice = babble(5, 8, rate)
        canceller = EchoCanceller(rate, "on")
        heard = through(canceller, sent, voice, rate=rate).astype(float)
        for begin in (0, 4 * rate):
            want = voice[begin + rate // 4 : begin + rate * 3 // 4].astype(float)
            late = [
                float(heard[begin + rate // 4 + it :][: len(want)] @ want)
                for it in range(canceller.delay + 20)
            ]
            assert int(np.argmax(late)) == canceller.delay

    def test_an_echo_in_wide_band(self, rate: int) -> None:
        sent = np.repeat(model(), rate // 8000)
        heard = np.rint(echo(sent, loss=20, delay=0.2, rate=rate)).astype(np.int16)
        assert speech_begins(heard, rate)
        assert speech_begins(through(EchoCanceller(rate), sent, heard, rate=rate), rate) == []

    @pytest.mark.parametrize("size", [0.005, 0.01, 0.03, 0.06])
    def test_any_packets(self, rate: int, size: float) -> None:
        """Blocks of 10 ms come out; what is less waits."""
        canceller = EchoCanceller(rate)
        voice = babble(1, 7, rate)
        step = round(size * rate)
        heard = [
            canceller.heard(voice[at : at + step], 10 + (at + step) / rate)
            for at in range(0, len(voice), step)
        ]
        assert all(len(it) % (rate // 100) == 0 for it in heard)
        whole = np.concatenate(heard)
        assert len(whole) > len(voice) - rate // 100
        assert whole[DELAY[rate] :].tolist() == voice[: len(whole) - DELAY[rate]].tolist()


class TestWhenItRuns:
    def run(self, mode: Mode, returned: float | None) -> EchoCanceller:
        canceller = EchoCanceller(8000, mode)
        heard = silence(len(model()))
        if returned is not None:
            heard = line(echo(model(), loss=returned, delay=0.2))
        through(canceller, model(), heard)
        return canceller

    def test_on_a_line_that_returns_nothing(self) -> None:
        """`auto` stops, `on` does not."""
        assert not self.run("auto", None).running
        assert self.run("on", None).running

    def test_on_a_line_with_an_echo(self) -> None:
        assert self.run("auto", 20).running

    def test_not_while_we_are_silent(self) -> None:
        canceller = self.run("on", 20)
        through(canceller, silence(16000), silence(16000))
        assert not canceller.running

    def test_an_echo_that_comes_later(self) -> None:
        """A line that had none may be put on a loudspeaker."""
        heard = np.concatenate((np.zeros(48000), echo(model(), loss=20, delay=0.2)))
        sent = np.concatenate((model()[:48000], model()))
        canceller = EchoCanceller(8000)
        through(canceller, sent, line(heard))
        assert canceller.running

    def test_an_echo_that_goes_away(self) -> None:
        sent = np.concatenate((model(), model(), model()))
        heard = np.concatenate((line(echo(model(), loss=20, delay=0.2)), silence(2 * len(model()))))
        canceller = EchoCanceller(8000)
        through(canceller, sent, heard)
        assert canceller.path.verdict == "none"

    def test_what_a_caller_says_meanwhile_is_no_echo(self) -> None:
        canceller = EchoCanceller(8000, "on")
        through(canceller, model(), babble(8, 77))
        assert canceller.path.verdict != "found"


@pytest.mark.parametrize("ppm", [-100.0, 100.0])
@pytest.mark.parametrize("delay", [0.2, 0.6])
def test_clocks_that_differ(ppm: float, delay: float) -> None:
    """The caller's clock is 100 ppm off: in 27 s the echo wanders by 3 ms, and now and then it
    seems to by a frame, since frames are looked for every 20 ms."""
    sent = np.concatenate([model()] * 3)
    returned = echo(sent, loss=20, delay=delay, acoustic=True)
    at = np.arange(round(len(sent) * (1 + ppm * 1e-6))) / (1 + ppm * 1e-6)
    heard = line(np.interp(at, np.arange(len(returned)), returned))
    canceller = EchoCanceller(8000)
    assert speech_begins(through(canceller, sent, heard, ppm=ppm)) == []
    assert abs(canceller.path.lag * 0.01 - delay) <= 0.041


def test_other_rates() -> None:
    with pytest.raises(ValueError, match="44100"):
        EchoCanceller(44100)


def test_a_library_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing() is None
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    assert "pywebrtc_audio" in str(missing())
