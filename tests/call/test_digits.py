"""Keys that the model presses: each by the best way that the far end knows."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.tone import DIGITS, samples
from gateway.call.digits import SILENT, Digits, Step
from gateway.rtp.dtmf import DigitReceiver

from .talk import media

EVENTS, NO_EVENTS = media(), media(event_payload_type=None)


def steps(digits: Digits, agreed: object = EVENTS) -> list[Step]:
    """All steps; sequence and timestamp go on as the line's do."""
    out: list[Step] = []
    sequence = 100
    while not digits.done:
        media = EVENTS if agreed is EVENTS else NO_EVENTS
        step = digits.step(media, sequence, len(out) * 160, 7, 8000)
        out.append(step)
        sequence += 1
    return out


def test_a_key_is_an_event_where_events_were_agreed() -> None:
    """RFC 4733: 100 ms, the end three times, and a pause before the next one."""
    out = steps(Digits("5", inform=True))

    packets = [step.packet for step in out if step.packet]
    assert len(packets) == 7
    assert {packet.timestamp for packet in packets} == {0}
    assert [packet.marker for packet in packets] == [True] + 6 * [False]
    assert [packet.payload_type for packet in packets] == 7 * [101]
    assert [packet.payload[1] >> 7 for packet in packets] == [0, 0, 0, 0, 1, 1, 1]
    assert out[7:] == 5 * [SILENT]


@pytest.mark.parametrize("keys", ["1", "0123456789*#ABCD", "11"])
def test_a_receiver_hears_each_key_once(keys: str) -> None:
    receiver, heard = DigitReceiver(8000, 8000), ""
    for index, step in enumerate(steps(Digits(keys, inform=False))):
        if step.packet:
            pressed = receiver.receive(step.packet, index * 0.02)
            heard += "".join(digit.digit for digit in pressed if not digit.ended)
    assert heard == keys


def test_a_w_is_half_a_second() -> None:
    out = steps(Digits("1w2", inform=False))
    first = [index for index, step in enumerate(out) if step.packet and step.packet.marker]
    assert first == [0, 12 + 25]
    assert out[12:37] == 25 * [SILENT]


def test_a_key_is_an_info_where_the_peer_takes_only_that() -> None:
    out = steps(Digits("a1", inform=True), NO_EVENTS)
    assert [(index, step.inform) for index, step in enumerate(out) if step != SILENT] == [
        (0, "A"),
        (10, "1"),
    ]
    assert len(out) == 20


def test_a_key_is_a_tone_where_nothing_else_is_known() -> None:
    """100 ms of Q.23 and as long a pause."""
    out = steps(Digits("#", inform=False), NO_EVENTS)
    frames = [step.sound for step in out if step.sound is not None]
    assert [len(frame) for frame in frames] == 10 * [160]
    assert (np.concatenate(frames) == samples(DIGITS["#"], 8000)).all()
    assert not np.concatenate(frames)[800:].any()


def test_the_way_is_asked_anew_for_each_key() -> None:
    """A re-INVITE may have changed it."""
    digits = Digits("12", inform=True)
    packets = [digits.step(EVENTS, 100 + n, n * 160, 7, 8000).packet for n in range(12)]
    assert any(packets)
    assert digits.step(NO_EVENTS, 112, 0, 7, 8000) == Step(inform="2")


def test_no_keys_are_done_at_once() -> None:
    digits = Digits("", inform=False)
    assert digits.done
    assert digits.step(EVENTS, 0, 0, 7, 8000) == SILENT
