"""How long an answer counts: TTL within limits, and the last good one for a day."""

from __future__ import annotations

import pytest

from gateway.sip.answers import MAX_KNOWN, Answers
from gateway.sip.locate import Question

Q = Question("pbx.example", "A")
GOOD = ["192.0.2.1"]
DAY = 86_400.0


def noted(ttl: float = 100.0, now: float = 0.0) -> Answers:
    answers = Answers()
    answers.note(Q, GOOD, ttl, now)
    return answers


@pytest.mark.parametrize(
    ("ttl", "life"), [(100, 100), (0, 5), (4, 5), (-7, 5), (3600, 3600), (604_800, 3600)]
)
def test_ttl(ttl: float, life: float) -> None:
    """
    Not less than 5 s, not more than an hour.
    """
    answers = noted(ttl)
    assert answers.get(Q, life - 0.1) == GOOD
    assert answers.get(Q, life) is None


@pytest.mark.parametrize(("ttl", "life"), [(0, 5), (30, 30), (3600, 60)])
def test_none(ttl: float, life: float) -> None:
    """
    That there is none counts a minute at most (RFC 2308 leaves it to us).
    """
    answers = Answers()
    answers.note(Q, [], ttl, 0.0)
    assert answers.get(Q, life - 0.1) == []
    assert answers.get(Q, life) is None


def test_unknown() -> None:
    answers = Answers()
    assert answers.get(Q, 0.0) is None
    assert answers.get_last(Q, 0.0) is None
    assert answers.refresh_at(Q) is None


def test_last_good() -> None:
    """
    When the server fails, the last good answer stands in, and is asked for again in 30 s; after a
    day it is forgotten.
    """
    answers = noted(100.0)
    assert answers.get(Q, 200.0) is None
    assert answers.get_last(Q, 200.0) == GOOD
    assert answers.note_failure(Q, 200.0)
    assert answers.get(Q, 229.9) == GOOD
    assert answers.get(Q, 230.0) is None

    assert not answers.note_failure(Q, DAY - 1.0)
    assert answers.get(Q, DAY - 0.1) == GOOD
    assert answers.get(Q, DAY) is None
    assert answers.get_last(Q, DAY) is None

    answers.note_failure(Q, DAY)
    assert answers.get(Q, DAY + 4.9) == ()
    assert answers.get(Q, DAY + 5.0) is None


def test_missing() -> None:
    """
    A name that was there and is not any more counts as a failure: somebody's mistake, most likely.
    One that never was is none.
    """
    answers = noted(100.0)
    assert answers.note_missing(Q, 100.0)
    assert not answers.note_missing(Q, 130.0)
    assert answers.get(Q, 131.0) == GOOD

    answers = Answers()
    assert not answers.note_missing(Q, 0.0)
    assert answers.get(Q, 59.9) == ()
    assert not answers.note_missing(Q, 60.0)


def test_no_record_any_more() -> None:
    """
    The name is there without such a record: that is an answer, and an older one is over.
    """
    answers = noted(100.0)
    answers.note(Q, [], 30.0, 100.0)
    assert answers.get(Q, 101.0) == []
    assert answers.note_failure(Q, 200.0)
    assert answers.get(Q, 201.0) == []


def test_trouble_is_told_once() -> None:
    """
    Until it is over, and then it is news again.
    """
    answers = Answers()
    assert [answers.note_failure(Q, now) for now in (0.0, 5.0, 50.0)] == [True, False, False]
    answers.note(Q, GOOD, 10.0, 60.0)
    assert [answers.note_failure(Q, now) for now in (70.0, 100.0)] == [True, False]


@pytest.mark.parametrize(("ttl", "at"), [(100, 90.0), (20, 10.0), (10, 5.0), (0, 2.5)])
def test_refresh(ttl: float, at: float) -> None:
    """
    10 s before the end, of a short life at half of it.
    """
    assert noted(ttl).refresh_at(Q) == at


def test_refresh_after_failure() -> None:
    answers = noted(100.0)
    answers.note_failure(Q, 90.0)
    assert answers.refresh_at(Q) == 110.0


def test_bound() -> None:
    """
    The oldest answers are forgotten first.
    """
    answers = noted()
    for n in range(MAX_KNOWN - 1):
        answers.note(Question(f"{n}.example", "A"), GOOD, 100.0, 0.0)
    answers.note(Q, GOOD, 100.0, 0.0)
    assert len(answers) == MAX_KNOWN
    answers.note(Question("new.example", "A"), GOOD, 100.0, 0.0)
    assert len(answers) == MAX_KNOWN
    assert answers.get(Question("0.example", "A"), 1.0) is None
    assert answers.get(Q, 1.0) == GOOD
