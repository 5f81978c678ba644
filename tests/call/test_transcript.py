"""Who said what; of the assistant only what was heard."""

from __future__ import annotations

import pytest

from gateway.call.transcript import Transcript, Utterance


def lines(transcript: list[Utterance]) -> list[tuple[str, str]]:
    return [(line.role, line.text) for line in transcript]


def test_the_order_is_that_of_speaking() -> None:
    """The caller's words come late, and again; their place was kept."""
    kept: list[Utterance] = []
    transcript = Transcript(kept)
    transcript.expect("item_1")
    transcript.assistant("item_2", "Hello", more=True)
    transcript.assistant("item_2", " there", more=True)
    transcript.caller("item_1", " Good ")
    transcript.caller("item_1", "Good day")

    assert lines(kept) == [("caller", "Good day"), ("assistant", "Hello there")]


def test_the_whole_text_replaces_its_pieces() -> None:
    """Both the deltas and the end come, on some servers on two channels."""
    kept: list[Utterance] = []
    transcript = Transcript(kept)
    transcript.assistant("item_1", "Good d", more=True)
    transcript.assistant("item_1", "Good day.")
    transcript.assistant("item_1", "Good day.")

    assert lines(kept) == [("assistant", "Good day.")]


@pytest.mark.parametrize(
    ("share", "heard"),
    [(0.0, ""), (0.3, "One"), (0.4, "One two"), (0.5, "One two"), (1.0, "One two three four")],
)
def test_a_cut_keeps_whole_words(share: float, heard: str) -> None:
    kept: list[Utterance] = []
    transcript = Transcript(kept)
    transcript.assistant("item_1", "One two three four")
    transcript.cut("item_1", share)

    assert lines(kept) == [("assistant", heard)]


def test_cumulative_transcripts_are_taken_apart() -> None:
    """Yandex repeats all that was said before, and each line again as it grows."""
    kept: list[Utterance] = []
    transcript = Transcript(kept, cumulative=True)
    for item, text in [
        ("item_1", "hello"),
        ("item_1", "hello there"),
        ("item_2", "hello there my"),
    ]:
        transcript.caller(item, text)
    transcript.caller("item_2", "hello there my name")

    assert lines(kept) == [("caller", "hello there"), ("caller", "my name")]


def test_nothing_is_kept_unless_asked_for() -> None:
    transcript = Transcript(None)
    transcript.expect("item_1")
    transcript.caller("item_1", "my secret")
    transcript.assistant("item_2", "I keep it")
    transcript.cut("item_2", 0.5)
