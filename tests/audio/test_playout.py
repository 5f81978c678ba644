"""Each sample of a reply is accounted for: received, waiting, taken, sent."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audio.g711 import codec
from gateway.audio.playout import Heard, Part, Playout

RATE = 24000
FRAME = 480  # samples
ONE = Part("resp_1", "item_1", 0)
TWO = Part("resp_1", "item_2", 0)


def delta(ms: int, value: int = 1) -> str:
    return base64.b64encode(np.full(ms * 24, value, "<i2").tobytes()).decode()


def play(playout: Playout, frames: int, start: float = 0.0) -> list[int]:
    """Take and send frames; the first value of each."""
    out = []
    for index in range(frames):
        samples = playout.take(FRAME)
        assert len(samples) == FRAME
        out.append(int(samples[0]))
        playout.sent(FRAME, start + index * 0.02)
    return out


def test_a_reply_is_cut_at_what_was_sent() -> None:
    playout = Playout(RATE)
    playout.push(ONE, delta(ms=2000))
    assert play(playout, 5) == [1] * 5

    assert playout.cut() == [Heard(ONE, 100, 0.05)]
    assert play(playout, 3) == [0] * 3
    assert playout.idle


def test_what_was_taken_but_not_sent_was_not_heard() -> None:
    playout = Playout(RATE)
    playout.push(ONE, delta(ms=100))
    play(playout, 2)
    playout.take(FRAME)

    assert playout.cut() == [Heard(ONE, 40, 0.4)]


def test_nothing_is_cut_of_a_reply_that_was_heard() -> None:
    playout = Playout(RATE)
    playout.push(ONE, delta(ms=60))
    playout.finish("item_1")
    play(playout, 3)

    assert playout.idle
    assert not playout.speaking
    assert playout.cut() == []


def test_an_unfinished_reply_is_cut_even_when_nothing_waits() -> None:
    """The line ran dry while the model spoke: it must not remember what comes late."""
    playout = Playout(RATE)
    playout.push(ONE, delta(ms=60))
    play(playout, 4)

    assert playout.cut() == [Heard(ONE, 60, 1.0)]


def test_each_item_has_its_own_account() -> None:
    """The first was heard whole, the second in part, the third not at all."""
    playout = Playout(RATE)
    third = Part("resp_1", "item_3", 1)
    playout.push(ONE, delta(ms=60))
    playout.finish("item_1")
    playout.push(TWO, delta(ms=200, value=2))
    playout.push(third, delta(ms=100, value=3))

    assert play(playout, 5) == [1, 1, 1, 2, 2]
    assert playout.cut() == [Heard(TWO, 40, 0.2), Heard(third, 0, 0.0)]


def test_speech_waits_for_two_frames() -> None:
    """One delta of 20 ms, and the next one late, must not be heard as a gap."""
    playout = Playout(RATE)
    playout.push(ONE, delta(ms=20))
    assert play(playout, 2) == [0, 0]

    playout.push(ONE, delta(ms=20))
    assert play(playout, 2) == [1, 1]


def test_a_short_reply_does_not_wait() -> None:
    playout = Playout(RATE)
    playout.push(ONE, delta(ms=20))
    playout.finish_response("resp_1")

    assert play(playout, 2) == [1, 0]
    assert not playout.speaking


def test_a_model_that_is_late_is_waited_for_again() -> None:
    playout = Playout(RATE)
    playout.push(ONE, delta(ms=40))
    assert play(playout, 3) == [1, 1, 0]
    assert playout.underruns == 1
    playout.push(ONE, delta(ms=20))
    assert play(playout, 1) == [0]
    playout.push(ONE, delta(ms=20))
    assert play(playout, 2) == [1, 1]

    assert playout.cut() == [Heard(ONE, 80, 1.0)]


def test_silence_is_not_counted() -> None:
    playout = Playout(RATE)
    play(playout, 10)
    playout.push(ONE, delta(ms=100))
    play(playout, 1)

    assert playout.cut() == [Heard(ONE, 20, 0.2)]


def test_what_the_resampler_holds_is_not_heard_yet() -> None:
    """It is fed ahead once; from then on the count lags by what it was fed."""
    playout = Playout(RATE)
    playout.push(ONE, delta(ms=100))
    playout.take(48)
    play(playout, 1)

    assert playout.cut() == [Heard(ONE, 20, 0.2)]


def test_the_end_is_idle_only_when_it_was_sent() -> None:
    playout = Playout(RATE)
    playout.push(ONE, delta(ms=40))
    playout.finish("item_1")
    playout.take(FRAME)
    playout.take(FRAME)
    playout.sent(FRAME, 0.0)
    assert not playout.idle

    playout.sent(FRAME, 0.0)
    assert playout.idle


def test_the_first_sample_of_a_part_is_told() -> None:
    playout = Playout(RATE)
    playout.push(ONE, delta(ms=60))
    begun = []
    for _ in range(2):
        playout.take(FRAME)
        begun.append(playout.sent(FRAME, 0.0))

    assert begun == [ONE, None]


def test_where_the_caller_was_at_an_earlier_time() -> None:
    playout = Playout(RATE)
    playout.push(ONE, delta(ms=1000))
    play(playout, 10, start=5.0)

    assert playout.heard_at(ONE, 4.9) == 0
    assert playout.heard_at(ONE, 5.05) == 60
    assert playout.heard_at(ONE, 9.0) == 200


def test_a_broken_delta_is_dropped_and_counted() -> None:
    playout = Playout(RATE)
    playout.push(ONE, "&&&&" * 100)
    playout.push(ONE, delta(ms=60))
    assert play(playout, 1) == [1]

    assert playout.broken == 1
    assert playout.cut() == [Heard(ONE, 20, 1 / 3)]


def test_an_item_of_broken_deltas_is_forgotten() -> None:
    playout = Playout(RATE)
    playout.push(ONE, "&&&&")
    playout.finish("item_1")
    play(playout, 1)

    assert not playout.speaking


def test_g711_of_the_model_is_played_as_it_is() -> None:
    playout = Playout(8000, "PCMU")
    sound = bytes(range(160)) * 2
    playout.push(ONE, base64.b64encode(sound).decode())
    samples = playout.take(160)
    playout.sent(160, 0.0)

    assert np.array_equal(samples, codec("PCMU").decode(sound[:160]))
    assert playout.cut() == [Heard(ONE, 20, 0.5)]


@given(st.lists(st.integers(min_value=1, max_value=3000), min_size=1, max_size=20), st.data())
def test_no_sample_is_lost_or_invented(sizes: list[int], data: st.DataObject) -> None:
    """Deltas of any length, also odd ones, come out as one stream; the counts agree."""
    total = sum(sizes)
    sound = np.arange(total * 2, dtype=np.uint8).tobytes()[: total - total % 2]
    playout, at = Playout(RATE), 0
    for size in sizes:
        playout.push(ONE, base64.b64encode(sound[at : at + size]).decode())
        at += size
    playout.finish("item_1")
    out = np.concatenate([playout.take(FRAME) for _ in range(len(sound) // 2 // FRAME + 1)])
    played = data.draw(st.integers(min_value=0, max_value=len(sound) // 2))
    playout.sent(played, 0.0)

    assert out[: len(sound) // 2].tobytes() == sound
    cut = playout.cut()
    assert [heard.ms for heard in cut] == ([] if played * 2 >= len(sound) else [played // 24])


@pytest.mark.parametrize(("text", "size"), [("AAAA", 3), ("AAA=", 2), ("AA==", 1), ("", 0)])
def test_the_size_of_a_delta_is_known_without_decoding(text: str, size: int) -> None:
    playout = Playout(8000, "PCMU")
    playout.push(ONE, text)

    cut = playout.cut()

    assert [heard.share for heard in cut] == ([0.0] if size else [])
    assert playout.undecoded is False


class TestCodes:
    """A model's own G.711, handed out as it came where the line has the same law."""

    SOUND = bytes(range(256)) * 4

    def playout(self) -> Playout:
        playout = Playout(8000, "PCMU")
        playout.push(ONE, base64.b64encode(self.SOUND).decode())
        playout.finish("item_1")
        return playout

    def test_all_codes(self) -> None:
        playout = self.playout()
        playout.use_law("PCMU")
        taken = [playout.take(160) for _ in range(8)]
        assert {it.dtype for it in taken} == {np.dtype(np.uint8)}
        out = b"".join(it.tobytes() for it in taken)
        assert out == self.SOUND + b"\xff" * 256  # silence, as the law writes it

    def test_the_line_takes_another_law_in_between(self) -> None:
        """What is decoded already follows, both ways; nothing is lost or said twice."""
        playout = self.playout()
        out = []
        for law in ("PCMU", "PCMA", "PCMU", None):
            playout.use_law(law)
            out.append(playout.take(160))
        assert [it.dtype.itemsize for it in out] == [1, 2, 1, 2]
        samples = [codec("PCMU").decode(it.tobytes()) if it.itemsize == 1 else it for it in out]
        assert np.array_equal(np.concatenate(samples), codec("PCMU").decode(self.SOUND[:640]))

    def test_silence(self) -> None:
        playout = Playout(8000, "PCMA")
        playout.use_law("PCMA")
        assert playout.next(160) is None
        assert playout.take(160).tobytes() == b"\xd5" * 160

    def test_a_model_of_pcm_has_no_codes(self) -> None:
        playout = Playout(RATE)
        playout.use_law("PCMU")
        playout.push(ONE, delta(ms=40))
        assert playout.take(FRAME).dtype == np.int16
