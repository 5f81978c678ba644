"""How many calls are taken, and how the others are told."""

from __future__ import annotations

from gateway.call.admission import Admission


def admission(at_once: int = 100, per_second: int = 5) -> Admission:
    return Admission(at_once=at_once, per_second=per_second)


def taken(limits: Admission, now: float, calls: int = 10) -> int:
    """How many of some calls that come at once are taken."""
    return sum(limits.refusal(0, now) is None for _ in range(calls))


def test_a_call_over_the_limit_is_told_to_come_back() -> None:
    limits = admission(at_once=2)

    assert limits.refusal(1, 0.0) is None
    refusal = limits.refusal(2, 0.0)
    assert refusal is not None
    assert (refusal.status, refusal.cause) == (503, "max_calls")
    assert refusal.headers == (("Retry-After", "5"),)


def test_new_calls_are_limited_by_the_second() -> None:
    limits = admission(per_second=5)

    assert taken(limits, 100.0) == 5
    assert taken(limits, 100.4) == 2
    assert taken(limits, 200.0) == 5


def test_a_service_that_goes_down_takes_none() -> None:
    limits = admission()
    limits.draining = True
    refusal = limits.refusal(0, 0.0)

    assert refusal is not None
    assert (refusal.status, refusal.cause) == (503, "draining")


def test_none_is_taken_while_there_is_no_time_for_it() -> None:
    busy = True
    limits = Admission(at_once=100, per_second=5, overloaded=lambda: busy)
    refusal = limits.refusal(0, 0.0)
    assert refusal is not None
    assert (refusal.status, refusal.cause) == (503, "overload")
    assert refusal.headers == (("Retry-After", "5"),)

    busy = False
    assert limits.refusal(0, 0.0) is None


def test_refusals_are_counted_by_their_cause() -> None:
    limits = admission(at_once=2)
    for calls in (0, 2, 3):
        limits.refusal(calls, 0.0)
    limits.draining = True
    limits.refusal(0, 0.0)
    assert limits.refused == {"max_calls": 2, "draining": 1}
