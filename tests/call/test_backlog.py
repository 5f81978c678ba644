"""What waits for the model's socket: how much is handed over, counted and dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.call.backlog import Backlog, Piece

RATE = 48_000  # bytes a second: PCM at 24 kHz
APPEND = 1920  # bytes: 40 ms


def sound(number: int) -> bytes:
    return number.to_bytes(2, "big") * (APPEND // 2)


def base64_of(seconds: float) -> int:
    return round(seconds * RATE) * 4 // 3


class Lagging:
    """A backlog that gets 40 ms each 40 ms, beside a socket with so much in it."""

    def __init__(self) -> None:
        self.backlog = Backlog(RATE)
        self.unsent = 0
        self.count = 0
        self.taken: list[list[Piece]] = []

    def run(self, count: int) -> None:
        for _ in range(count):
            self.backlog.push(sound(self.count), 0.04 * self.count, self.unsent)
            self.count += 1
            while pieces := self.backlog.take(self.unsent):
                self.taken.append(pieces)

    @property
    def numbers(self) -> list[list[int]]:
        return [[int.from_bytes(it.data[:2], "big") for it in pieces] for pieces in self.taken]


def test_a_socket_that_keeps_up_is_given_each_append_at_once() -> None:
    it = Lagging()
    it.run(3)
    assert it.numbers == [[0], [1], [2]]
    assert [pieces[0].came for pieces in it.taken] == [0.0, 0.04, 0.08]
    assert (it.backlog.behind, it.backlog.losses, it.backlog.lost_ms) == (0, 0, 0)


def test_one_that_lags_a_little_is_given_fewer_and_longer_ones() -> None:
    it = Lagging()
    it.unsent = 1
    it.run(6)
    assert it.numbers == [[0, 1], [2, 3], [4, 5]]
    assert it.backlog.behind == 0


def test_an_append_is_no_longer_than_100_ms() -> None:
    backlog = Backlog(RATE)
    for number in range(10):
        backlog.push(sound(0)[: APPEND // 4], number / 100, 0)
    backlog.push(sound(1), 0.1, 0)
    assert [len(it.data) for it in backlog.take(0)] == [APPEND // 4] * 10
    assert [len(it.data) for it in backlog.take(0)] == [APPEND]
    assert backlog.take(0) == []


def test_one_that_lags_more_is_given_nothing() -> None:
    """What is in the socket can not be called back."""
    it = Lagging()
    it.unsent = base64_of(0.1)
    it.run(10)
    assert it.taken == []
    it.unsent = base64_of(0.099)
    it.run(1)
    assert it.numbers[0] == [0, 1]


def test_200_ms_are_counted_once() -> None:
    it = Lagging()
    it.unsent = base64_of(0.1)
    it.run(2)
    assert it.backlog.behind == 0
    it.run(1)
    assert it.backlog.behind == 1
    it.run(5)
    assert it.backlog.behind == 1
    it.unsent = 0
    it.run(2)
    it.unsent = base64_of(0.5)
    it.run(1)
    assert it.backlog.behind == 2
    assert it.backlog.losses == 0


def test_beyond_a_second_the_oldest_goes() -> None:
    it = Lagging()
    it.unsent = base64_of(0.12)
    it.run(22)
    assert it.backlog.losses == 0
    it.run(100)
    assert (it.backlog.losses, it.backlog.lost_ms) == (1, 4000)
    it.unsent = 0
    it.run(1)
    assert it.numbers[0] == [100, 101]
    assert [number for pieces in it.numbers for number in pieces] == list(range(100, 123))


def test_a_socket_with_more_than_a_second_in_it() -> None:
    """It can be that of a server that slowed down in the middle of something long."""
    it = Lagging()
    it.unsent = base64_of(5)
    it.run(3)
    assert it.backlog.lost_ms == 120
    it.unsent = 0
    it.run(1)
    assert it.numbers == [[3]]


def test_each_time_is_counted() -> None:
    it = Lagging()
    for _ in range(3):
        it.unsent = base64_of(0.15)
        it.run(50)
        it.unsent = 0
        it.run(2)
    assert it.backlog.losses == it.backlog.behind == 3


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 100_000)), max_size=200))
def test_nothing_is_out_of_order_and_everything_is_accounted_for(
    steps: list[tuple[int, int]],
) -> None:
    backlog = Backlog(8000)
    out: list[Piece] = []
    for number, (size, unsent) in enumerate(steps):
        backlog.push(bytes(size), float(number), unsent)
        while pieces := backlog.take(unsent):
            assert sum(len(it.data) for it in pieces) <= 800
            out += pieces
    while pieces := backlog.take(0):
        out += pieces
    order = [it.came for it in out]
    assert order == sorted(set(order))
    given_out = sum(len(it.data) for it in out)
    lost = sum(size for size, _ in steps) - given_out
    assert backlog.lost_ms == lost * 1000 // 8000


def test_sound_goes_straight_to_a_socket_only_while_nothing_waits() -> None:
    """Neither there nor here; and once it was behind, only after that is known to be over."""
    lagging = Lagging()
    assert lagging.backlog.passes(0)
    assert not lagging.backlog.passes(1)
    lagging.unsent = base64_of(0.25)
    lagging.run(1)
    lagging.unsent = 0
    assert not lagging.backlog.passes(0)
    lagging.run(1)
    assert lagging.backlog.passes(0)
