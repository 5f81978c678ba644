"""What leaves the core are plain values: a test, or an owner, compares them."""

from dataclasses import FrozenInstanceError
from typing import get_args

import pytest

from gateway.sip import endpoint, event


def test_values() -> None:
    """
    Equal when they say the same, and never changed after they were said.
    """
    ended = event.Ended("t1", "peer", "hang_up", 200, None)

    assert ended == event.Ended("t1", "peer", "hang_up", 200, None)
    with pytest.raises(FrozenInstanceError):
        ended.status = 487  # type: ignore[misc]


def test_one_union() -> None:
    """
    Whoever matches over the union has met every event; each names its call, or its registrar.
    """
    kinds = get_args(event.Event)

    assert {*get_args(event.Output)} == {event.Transmit, event.Locate, *kinds}
    assert all({"call", "name"} & {*kind.__slots__} for kind in kinds)


def test_in_one_place() -> None:
    """
    The endpoint hands them on, so that its users need one import.
    """
    assert all(getattr(endpoint, kind.__name__) is kind for kind in get_args(event.Output))
