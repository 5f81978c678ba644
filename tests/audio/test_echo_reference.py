"""What was sent is found again by its place, however it and the sound heard arrived."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.echo_reference import Place, Sent

RATE = 8000


def ramp(begin: int, n: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return (np.arange(begin, begin + n) % 30000 + 1).astype(np.int16)


class TestSent:
    def test_places_are_samples_of_the_clock(self) -> None:
        sent = Sent(RATE)
        sent.push(ramp(0, 160), 10.0)
        sent.push(ramp(160, 160), 10.021)  # a late tick changes nothing
        assert sent.take(80000, 320).tolist() == ramp(0, 320).tolist()
        assert sent.take(80100, 10).tolist() == ramp(100, 10).tolist()

    def test_silence_where_nothing_was_sent(self) -> None:
        sent = Sent(RATE)
        assert not sent.take(0, 160).any()
        sent.push(ramp(0, 160), 10.0)
        sent.push(ramp(160, 160), 10.52)  # after a hold of half a second
        assert sent.take(79990, 20).tolist() == [0] * 10 + ramp(0, 10).tolist()
        assert sent.take(80150, 20).tolist() == ramp(150, 10).tolist() + [0] * 10
        assert sent.take(84150, 30).tolist() == [0] * 10 + ramp(160, 20).tolist()
        assert sent.take(84310, 20).tolist() == ramp(310, 10).tolist() + [0] * 10
        assert not sent.take(90000, 20).any()

    def test_three_seconds_are_kept(self) -> None:
        sent = Sent(RATE)
        for frame in range(1000):
            sent.push(ramp(frame * 160, 160), frame * 0.02)
            begin = max(0, (frame - 149) * 160)
            assert sent.take(begin, 160).tolist() == ramp(begin, 160).tolist()


class TestPlace:
    def test_packets_are_counted(self) -> None:
        """The first says where; how late the others come does not matter."""
        place = Place(RATE)
        assert place.take(160, 10.02) == 80000
        assert place.take(160, 10.09) == 80160
        assert place.take(320, 10.09) == 80320

    def test_a_count_that_has_lost_its_meaning(self) -> None:
        place = Place(RATE)
        place.take(160, 10.02)
        assert place.take(160, 12.02) == 96000

    @pytest.mark.parametrize(
        ("ppm", "within"), [(-100, 0.03), (100, 0.03), (-1000, 0.6), (1000, 0.09)]
    )
    def test_a_drifting_clock_is_followed(self, ppm: int, within: float) -> None:
        """Through a jitter of 40 ms, looked at every 20 ms, for ten minutes."""
        dice = np.random.default_rng(1)
        place = Place(RATE)
        for frame in range(30000):
            true = 100 + (frame + 1) * 0.02 / (1 + ppm * 1e-6)
            late = 0.0 if frame % 50 == 0 else float(dice.uniform(0, 0.04))
            seen = np.ceil((true + late) * 50 - 1e-6) / 50
            end = place.take(160, seen) + 160
            assert abs(end / RATE - true) < within

    def test_a_network_that_changes_is_not_a_clock(self) -> None:
        """50 ms more on the way: the count goes on."""
        place = Place(RATE)
        for frame in range(2000):
            begin = place.take(160, 100.02 + frame * 0.02 + (0.05 if frame > 900 else 0))
            assert begin == 800000 + frame * 160
