"""A track is laid out by its pieces' times where they tell something, else end to end."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.frame import Samples
from gateway.call.alignment import DRIFT, LOOK, Track

RATE = 8000
FRAME = 160
BEGAN = 100.0


def frame(value: int, count: int = FRAME) -> Samples:
    return np.full(count, value, np.int16)


class Laid:
    """A track, and what came of it; times are in ms after the beginning."""

    def __init__(self, ahead: float = 0.0, *, rate: int = RATE) -> None:
        self.track = Track(ahead, streamed=not ahead)
        self.track.begin(rate, BEGAN)

    def add(self, at: float, *pieces: Samples, rate: int = RATE) -> None:
        for piece in pieces:
            self.track.add(piece, rate, BEGAN + at / 1000)

    def stream(self, value: int, first: int, last: int, *, late: float = 0.0) -> None:
        """A frame at the end of each 20 ms."""
        for at in range(first, last, 20):
            self.add(at + 20 + late, frame(value))

    def sound(self) -> list[tuple[int, int]]:
        """All of it, as values and how many samples they last."""
        self.track.collect(final=True)
        whole = self.track.take(self.track.length)
        assert len(whole) == self.track.length
        edges = np.flatnonzero(np.diff(whole)) + 1
        return [(int(run[0]), len(run)) for run in np.split(whole, edges) if len(run)]


def ms(count: float) -> int:
    return round(count * RATE / 1000)


class TestTheBeginning:
    """The first sound is where its time says."""

    def test_a_piece_ends_at_its_time(self) -> None:
        laid = Laid()
        laid.stream(1, 60, 400)
        assert laid.sound() == [(0, ms(60)), (1, ms(340))]

    def test_or_later_by_what_it_is_ahead(self) -> None:
        """What is sent begins when it is sent."""
        laid = Laid(0.02)
        laid.stream(1, 40, 400)
        assert laid.sound() == [(0, ms(60)), (1, ms(360))]

    def test_what_was_before_it_is_left_out(self) -> None:
        laid = Laid()
        laid.add(20, frame(1, 3 * FRAME))
        laid.stream(2, 20, 300)
        assert laid.sound() == [(1, ms(20)), (2, ms(280))]

    def test_the_earliest_piece_of_the_first_counts(self) -> None:
        """The first packet was held up on its way."""
        laid = Laid()
        laid.add(80, frame(1))
        laid.add(80, frame(2))
        laid.add(80, frame(3))
        laid.stream(4, 80, 400)
        assert laid.sound() == [(0, 160), (1, 160), (2, 160), (3, 160), (4, ms(320))]

    def test_nothing_is_placed_before_enough_is_known(self) -> None:
        laid = Laid()
        laid.stream(1, 0, 100)
        laid.track.collect()
        assert laid.track.length == 0
        laid.stream(1, 100, int(LOOK * 1000) + 40)
        laid.track.collect()
        assert laid.track.length == ms(LOOK * 1000 + 40)


class TestTheStream:
    """Within a stream the pieces are put end to end."""

    def test_jitter_changes_nothing(self) -> None:
        laid = Laid()
        dice = np.random.default_rng(1)
        for n in range(100):
            laid.add(20 * n + 20 + dice.uniform(0, 39) * (n > 0), frame(n % 7 + 1))
        assert [count for _, count in laid.sound()] == [FRAME] * 100

    def test_nor_do_bursts_and_other_sizes(self) -> None:
        laid = Laid()
        laid.stream(1, 0, 300)
        laid.add(460, frame(2, ms(60)), frame(3, ms(7)), frame(4, ms(93)))
        laid.stream(5, 460, 800)
        assert laid.sound() == [(1, 2400), (2, 480), (3, 56), (4, 744), (5, ms(340))]

    def test_ticks_that_were_made_up_for_are_no_gap(self) -> None:
        """One that comes late tells so, the silence behind it makes up for it."""
        laid = Laid(0.02)
        laid.stream(1, -20, 1000)
        laid.add(1600, frame(2), np.zeros(28 * FRAME, np.int16), frame(3))
        laid.stream(4, 1600, 2000)
        assert laid.sound() == [(1, ms(1020)), (2, 160), (0, 28 * 160), (3, 160), (4, ms(400))]

    def test_it_may_be_collected_at_any_time(self) -> None:
        once, often = Laid(), Laid()
        for laid in (once, often):
            laid.stream(1, 40, 500)
            laid.stream(2, 1700, 2400)
        laid = Laid()
        for first in range(40, 500, 20):
            laid.stream(1, first, first + 20)
            laid.track.collect()
        for first in range(1700, 2400, 20):
            laid.stream(2, first, first + 20)
            laid.track.collect()
        assert laid.sound() == once.sound() == [(0, 320), (1, 3680), (0, 9600), (2, 5600)]


class TestAGap:
    """Behind it the time counts again."""

    def test_nothing_came_for_a_while(self) -> None:
        laid = Laid()
        laid.stream(1, 0, 1000)
        laid.stream(2, 31_007, 31_507)
        assert laid.sound() == [(1, 8000), (0, ms(30_007)), (2, ms(500))]

    def test_silence_was_filled_in_too_little(self) -> None:
        """As of a hold, whose end is not at the edge of a frame."""
        laid = Laid()
        laid.stream(1, 0, 1000)
        laid.stream(0, 1000, 1400)
        laid.stream(2, 1430, 2000)
        assert laid.sound() == [(1, 8000), (0, ms(430)), (2, ms(580))]

    def test_or_too_much(self) -> None:
        laid = Laid()
        laid.stream(1, 0, 1000)
        laid.stream(0, 1000, 1400)
        laid.track.collect()
        laid.stream(2, 1350, 2000)
        assert laid.sound() == [(1, 8000), (0, ms(350)), (2, ms(660))]

    def test_what_may_be_taken_back_is_not_settled(self) -> None:
        laid = Laid()
        laid.stream(1, 0, 1000)
        laid.stream(0, 1000, 2000)
        laid.track.collect()
        assert laid.track.length == ms(2000)
        assert laid.track.settled == ms(1700)

    def test_a_pause_of_a_codec_is_sound(self) -> None:
        """A-law has no 0: what is sent in a pause is a stream that goes on."""
        laid = Laid()
        laid.stream(1, 0, 1000)
        laid.stream(8, 1000, 2000)
        laid.stream(2, 2030, 3000)  # 30 ms later than it should come
        assert [count for _, count in laid.sound()] == [8000, 8000, ms(980)]


class TestDrift:
    """A phone's clock is not ours."""

    @pytest.mark.parametrize("ppm", [-1000, -300, 300, 1000])
    def test_it_is_made_up_for(self, ppm: int) -> None:
        """In the pauses; nothing of what is said is lost, nothing torn apart."""
        laid = Laid()
        dice = np.random.default_rng(2)
        for n in range(1, 20_000):
            loud = n % 200 < 150
            laid.add(
                20 * n / (1 + ppm * 1e-6), frame(int(dice.integers(1000, 9000)) if loud else 5)
            )
            if n % 50 == 0:
                laid.track.collect()
        words = [count for value, count in laid.sound() if value >= 1000][1:]
        assert set(words) <= {FRAME, 2 * FRAME}
        off = laid.track.length / RATE - 19_999 * 0.02 / (1 + ppm * 1e-6)
        assert abs(off) < 2 * DRIFT
        assert abs(19_999 * 0.02 * ppm * 1e-6) > 2 * DRIFT

    def test_who_never_pauses_has_to_lose_something(self) -> None:
        laid = Laid()
        for n in range(1, 10_000):
            laid.add(20 * n / 1.001, frame(n % 1000 + 1000))
            if n % 50 == 0:
                laid.track.collect()
        laid.sound()
        assert abs(laid.track.length / RATE - 10_000 * 0.02 / 1.001) < 2 * DRIFT + 0.03

    def test_a_delay_that_passes_changes_nothing(self) -> None:
        """Two seconds of a slow network."""
        laid = Laid()
        laid.stream(1, 0, 3000)
        laid.stream(2, 3000, 5000, late=70)
        laid.stream(3, 5000, 9000)
        for _ in range(3):
            laid.track.collect()
        assert laid.sound() == [(1, 24_000), (2, 16_000), (3, 32_000)]


class TestRates:
    """Both rates begin and end where they should: the resampler's delay is not heard."""

    @pytest.mark.parametrize(("rate", "other"), [(8000, 16000), (16000, 8000), (16000, 48000)])
    def test_another_codec(self, rate: int, other: int) -> None:
        seconds = np.arange(3 * 48000) / 48000
        whole = 8000 * np.sin(2 * np.pi * (300 + 200 * seconds) * seconds)
        laid = Laid(rate=rate)
        for n in range(150):
            used = other if 50 <= n < 100 else rate
            step = 48000 // used
            piece = whole[n * 960 : (n + 1) * 960 : step].astype(np.int16)
            laid.add(20 * n + 20, piece, rate=used)
            if n % 35 == 0:
                laid.track.collect()
        laid.track.collect(final=True)
        sound = laid.track.take(laid.track.length).astype(float)
        assert len(sound) == 3 * rate
        step = 48000 // rate
        for first in (0.1, 0.9, 1.1, 1.9, 2.1, 2.8):
            at = round(first * rate)
            expected = whole[::step][at : at + rate // 20]
            lags = [
                np.abs(sound[at + lag : at + lag + len(expected)] - expected).mean()
                for lag in range(-5, 6)
            ]
            assert int(np.argmin(lags)) - 5 == 0
            assert min(lags) < 100


def test_a_stream_that_was_lost_is_silent_and_finds_back() -> None:
    laid = Laid()
    laid.stream(1, 0, 1000)
    laid.track.collect()
    laid.track.pad(ms(5000))
    assert laid.track.settled == ms(5000)
    laid.stream(2, 6000, 7000)
    assert laid.sound() == [(1, 8000), (0, ms(5000)), (2, 8000)]


def test_what_was_taken_is_not_taken_again() -> None:
    laid = Laid()
    laid.stream(1, 0, 400)
    laid.stream(2, 400, 800)
    laid.track.collect()
    assert set(laid.track.take(3200).tolist()) == {1}
    assert set(laid.track.take(3200).tolist()) == {2}
    assert laid.track.length == 6400


def test_silence_that_was_left_out_is_no_silence_at_the_end() -> None:
    """What is settled only grows, also where a silent stream began before the recording."""
    laid = Laid()
    laid.add(5, frame(0))  # 15 ms of it are from before
    settled = []
    for at in range(25, 1000, 20):
        laid.add(at, frame(0))
        laid.track.collect()
        settled.append(laid.track.settled)
    assert settled[0] == 0
    assert settled == sorted(settled)
