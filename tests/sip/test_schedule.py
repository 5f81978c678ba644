"""The earliest of many deadlines, by a heap that is never searched."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.schedule import Schedule


def test_order() -> None:
    """
    Machines come up as their time comes, and once each time they are set.
    """
    schedule = Schedule[str]()
    for machine, deadline in (("b", 2.0), ("a", 1.0), ("c", 2.0), ("d", 3.0)):
        schedule.set(machine, deadline)

    assert list(schedule.pop_due(0.5)) == []
    assert list(schedule.pop_due(2.0)) == ["a", "b", "c"]
    assert schedule.deadline == 3.0


def test_change() -> None:
    """
    Only the latest deadline of a machine counts; None takes it out.
    """
    schedule = Schedule[str]()
    for deadline in (1.0, 5.0, 5.0, 2.0):
        schedule.set("a", deadline)
    schedule.set("b", 1.0)
    schedule.set("b", None)
    schedule.set("never", None)

    assert schedule.deadline == 2.0
    assert list(schedule.pop_due(9.0)) == ["a"]
    assert schedule.deadline is None


def test_set_again_while_due() -> None:
    """
    A machine that is due again at once comes up again.
    """
    schedule = Schedule[str]()
    schedule.set("a", 1.0)
    seen = []
    for machine in schedule.pop_due(1.0):
        seen.append(machine)
        if len(seen) < 3:
            schedule.set(machine, 1.0)

    assert seen == ["a", "a", "a"]


def test_memory() -> None:
    """
    A deadline that is moved for ever costs nothing that grows.
    """
    schedule = Schedule[str]()
    for moved in range(10_000):
        schedule.set("a", float(moved))

    assert len(schedule._heap) < 100
    assert schedule.deadline == 9999.0


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.none() | st.integers(0, 9)), max_size=200))
def test_like_a_table(moves: list[tuple[str, float | None]]) -> None:
    """
    It is the minimum over a plain table, whatever was set in which order.
    """
    schedule, table = Schedule[str](), dict[str, float]()
    for machine, deadline in moves:
        schedule.set(machine, deadline)
        table.pop(machine, None)
        if deadline is not None:
            table[machine] = deadline

    assert schedule.deadline == min(table.values(), default=None)
    assert sorted(schedule.pop_due(9.0)) == sorted(table)
