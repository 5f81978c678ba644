"""Loss and jitter, RFC 3550 A.3 and A.8."""

from __future__ import annotations

import pytest

from gateway.rtp.packet import Packet
from gateway.rtp.reception import Reception, Stream


def sound(sequence: int, *, timestamp: int | None = None, ssrc: int = 1) -> Packet:
    at = sequence * 160 if timestamp is None else timestamp
    return Packet(0, sequence & 0xFFFF, at & 0xFFFFFFFF, ssrc, b"")


def received(sequences: list[int]) -> Reception:
    reception = Reception(8000)
    for sequence in sequences:
        reception.receive(sound(sequence), 160, sequence * 0.02)
    return reception


@pytest.mark.parametrize(
    ("sequences", "lost"),
    [
        ([], 0),
        ([7], 0),
        ([1, 2, 3, 4], 0),
        ([1, 2, 5, 6], 2),
        ([1, 3, 2, 4], 0),  # out of order is not lost
        ([1, 2, 2, 3], -1),  # A.3: a duplicate counts as received
        ([65534, 65535, 65536, 65538], 1),  # the sequence wraps
    ],
)
def test_loss_is_expected_less_received(sequences: list[int], lost: int) -> None:
    reception = received(sequences)
    assert (reception.received, reception.lost) == (len(sequences), lost)


@pytest.mark.parametrize("sequence", [40_000, 3_101, 65_536 - 101])
def test_a_restart_loses_nothing(sequence: int) -> None:
    """A.1: more than 3,000 ahead or 100 behind is another beginning."""
    reception = received([0, 1, 2, sequence, sequence + 1])
    assert (reception.received, reception.lost) == (5, 0)


def test_another_ssrc_is_another_beginning() -> None:
    reception = received([10, 11, 13])
    reception.receive(sound(500, ssrc=2), 160, 1.0)
    reception.receive(sound(502, ssrc=2), 160, 1.04)
    assert (reception.received, reception.lost) == (5, 2)
    assert reception.jitter_ms == pytest.approx(0, abs=1e-6)


def test_what_came_while_others_counted_is_not_lost() -> None:
    """It begins anew, with the same SSRC too, and what was counted stays."""
    reception = received([1, 2, 4])
    reception.forget()
    assert reception.stream is None
    reception.receive(sound(1000), 160, 20.0)
    reception.receive(sound(1002), 160, 20.04)
    assert (reception.received, reception.lost) == (5, 2)
    assert reception.stream == Stream(1, 1000, 3, 2, 0)


def test_jitter_is_the_mean_deviation_of_spacing() -> None:
    """A.8: J += (|D| - J) / 16, D in timestamp units."""
    reception = Reception(8000)
    reception.receive(sound(0), 160, 5.000)
    assert reception.jitter_ms == 0
    reception.receive(sound(1), 160, 5.036)  # 16 ms late
    assert reception.jitter_ms == pytest.approx(1.0)
    reception.receive(sound(2), 160, 5.040)  # and as much early after it
    assert reception.jitter_ms == pytest.approx(1.0 + 15 / 16)


def test_even_arrival_has_no_jitter_over_the_wrap() -> None:
    reception = Reception(8000)
    for n in range(10):
        reception.receive(sound(n, timestamp=(1 << 32) - 800 + 160 * n), 160, n * 0.02)
    assert reception.jitter_ms == pytest.approx(0, abs=1e-6)


def test_digits_and_new_clocks_do_not_disturb_jitter() -> None:
    """A digit's timestamp stands still (RFC 4733 §2.1); a jump of a second is no jitter."""
    reception = Reception(8000)
    reception.receive(sound(0), 160, 0.00)
    reception.receive(sound(1, timestamp=0), 0, 0.02)
    reception.receive(sound(2), 160, 0.04)
    reception.receive(sound(3, timestamp=1_000_000), 160, 0.06)
    reception.receive(sound(4, timestamp=1_000_160), 160, 0.08)
    assert (reception.received, reception.lost) == (5, 0)
    assert reception.jitter_ms == pytest.approx(0, abs=1e-6)


class TestStream:
    """What a report says of the present SSRC, RFC 3550 §6.4.1."""

    def test_nothing_has_come(self) -> None:
        assert Reception(8000).stream is None

    def test_highest_counts_the_cycles(self) -> None:
        """A.1: from where the stream began; 65,534 to 65,541 is one cycle on."""
        stream = received([65534, 65535, 65536, 65541]).stream
        assert stream == Stream(1, 65534, 8, 4, 0)
        assert stream.highest == 0x10005

    def test_late_and_twice_do_not_raise_it(self) -> None:
        assert received([1, 4, 2, 2]).stream == Stream(1, 1, 4, 4, 0)

    def test_another_ssrc_is_counted_for_itself(self) -> None:
        reception = received([10, 11, 13])
        for sequence in (500, 502):
            reception.receive(sound(sequence, ssrc=2), 160, 1.0)
        assert reception.stream == Stream(2, 500, 3, 2, 20)
        assert (reception.expected, reception.received, reception.lost) == (7, 5, 2)

    def test_a_restart_is_too(self) -> None:
        """A.1: init_seq."""
        assert received([10, 11, 40_000, 40_001]).stream == Stream(1, 40_000, 2, 2, 0)

    def test_jitter_is_in_timestamp_units(self) -> None:
        reception = Reception(8000)
        reception.receive(sound(0), 160, 0.00)
        reception.receive(sound(1), 160, 0.04)  # 20 ms late
        assert reception.stream == Stream(1, 0, 2, 2, 10)


def test_jitter_goes_on_at_another_clock_rate() -> None:
    """RFC 7160 §4: the spacing over the change says nothing, the milliseconds stay."""
    reception = Reception(8000)
    reception.receive(sound(0), 160, 0.000)
    reception.receive(sound(1), 160, 0.036)
    reception.retime(48_000)
    assert reception.jitter_ms == pytest.approx(1.0)
    reception.receive(sound(2, timestamp=5_000_000), 960, 0.040)
    reception.receive(sound(3, timestamp=5_000_960), 960, 0.076)
    assert reception.jitter_ms == pytest.approx(1.0 + 15 / 16)
