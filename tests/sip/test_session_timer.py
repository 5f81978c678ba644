"""RFC 4028: who refreshes a session, how often, and when it ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.grammar import SipError
from gateway.sip.message import Headers, Request, Response
from gateway.sip.session_timer import Due, Role, SessionExpires, SessionTimer, inspect_interval
from gateway.sip.uas import Rejection

TIMER = ("Supported", "timer")


def invite(*headers: tuple[str, str]) -> Request:
    return Request("INVITE", "sip:x@192.0.2.1", Headers(headers))


def ok(*headers: tuple[str, str]) -> Response:
    return Response(200, "OK", Headers(headers))


def expires(value: str) -> tuple[str, str]:
    return ("Session-Expires", value)


class TestHeader:
    """§4."""

    @pytest.mark.parametrize(
        ("value", "header"),
        [
            ("1800", SessionExpires(1800)),
            ("90;refresher=uac", SessionExpires(90, "uac")),
            ("90 ; foo ; Refresher=UAS", SessionExpires(90, "uas")),
            ("90;refresher=me", SessionExpires(90)),
        ],
    )
    def test_read(self, value: str, header: SessionExpires) -> None:
        assert SessionExpires.parse(value) == header

    @pytest.mark.parametrize(
        "value", ["", "x", "-1", "1_000", "１８００", "9" * 11, ";refresher=uac"]
    )
    def test_none(self, value: str) -> None:
        with pytest.raises(SipError):
            SessionExpires.parse(value)

    @given(st.text())
    def test_any_text(self, value: str) -> None:
        try:
            header = SessionExpires.parse(value)
        except SipError:
            return
        assert SessionExpires.parse(str(header)) == header


class TestAsk:
    """We send the INVITE or UPDATE (§7)."""

    def test_the_first_request(self) -> None:
        """§7.1: an interval, no refresher."""
        assert SessionTimer(1800).ask() == [expires("1800"), ("Min-SE", "90")]

    def test_nothing_is_wanted(self) -> None:
        """With 0 we ask for no timer, but keep the one that the peer wants."""
        timer = SessionTimer(0)
        assert timer.ask() == []
        timer.agree(ok(expires("600;refresher=uac")), 0.0)
        assert timer.ask() == [expires("600;refresher=uac"), ("Min-SE", "90")]

    @pytest.mark.parametrize("interval", [1, 89, -1])
    def test_an_interval_that_is_too_short_is_our_mistake(self, interval: int) -> None:
        with pytest.raises(ValueError, match="session interval"):
            SessionTimer(interval)

    def test_we_refresh(self) -> None:
        """§10: at half of the interval; the end is a third or 32 s before it is over."""
        timer = SessionTimer(1800)
        timer.agree(ok(expires("1800;refresher=uac")), 100.0)

        assert timer.running
        assert timer.deadline == 100.0 + 900.0
        assert timer.handle_timer(999.9) is None
        assert timer.handle_timer(1000.0) is Due.REFRESH
        assert timer.ask()[0] == expires("1800;refresher=uac")
        assert timer.deadline == 100.0 + 1800.0 - 32.0
        assert timer.handle_timer(1868.0) is Due.EXPIRED
        assert timer.deadline is None

    def test_the_peer_refreshes(self) -> None:
        """We only watch; of a short interval the last third is ours to say BYE in."""
        timer = SessionTimer(1800)
        timer.agree(ok(expires("90;refresher=uas")), 0.0)

        assert timer.deadline == 60.0
        assert timer.ask()[0] == expires("90;refresher=uas")
        assert timer.handle_timer(60.0) is Due.EXPIRED

    def test_a_2xx_without_the_header_switches_it_off(self) -> None:
        """§7.2, also later."""
        timer = SessionTimer(1800)
        timer.agree(ok(), 0.0)
        assert (timer.running, timer.deadline) == (False, None)
        timer.agree(ok(expires("1800;refresher=uas")), 0.0)
        timer.agree(ok(expires("soon")), 1.0)
        assert not timer.running

    def test_nobody_is_named(self) -> None:
        """A 2xx has to say who; where it does not, we do it."""
        timer = SessionTimer(1800)
        timer.agree(ok(expires("1800")), 0.0)
        assert timer.handle_timer(900.0) is Due.REFRESH

    def test_an_interval_that_nobody_may_set(self) -> None:
        """§4: never less than 90 s, whatever a peer says."""
        timer = SessionTimer(1800)
        timer.agree(ok(expires("0;refresher=uac")), 0.0)
        assert timer.deadline == 45.0

    def test_a_refresh_begins_it_anew(self) -> None:
        timer = SessionTimer(1800)
        timer.agree(ok(expires("100;refresher=uac")), 0.0)
        timer.handle_timer(50.0)
        timer.agree(ok(expires("100;refresher=uac")), 50.5)
        assert timer.deadline == 100.5

    def test_a_refresh_that_fails(self) -> None:
        """§7.4: the session is as old as it was; we try again at half of what is left."""
        timer = SessionTimer(1800)
        timer.agree(ok(expires("300;refresher=uac")), 0.0)
        tries = []
        while timer.handle_timer(now := timer.deadline or 0.0) is Due.REFRESH:
            tries.append(now)
            timer.fail(now)
        assert tries == [150.0, 209.0, 238.5, 253.25, 260.625, 264.3125]
        assert now == 268.0

    def test_another_request_fails(self) -> None:
        """A refused re-INVITE of ours moves nothing, whoever refreshes."""
        for refresher, due in (("uac", 150.0), ("uas", 268.0)):
            timer = SessionTimer(1800)
            timer.agree(ok(expires(f"300;refresher={refresher}")), 0.0)
            timer.fail(10.0)
            assert timer.deadline == due


class TestTooSmall:
    """422 to us (§7.3)."""

    def test_retried(self) -> None:
        """With the interval and the Min-SE that the 422 asks for."""
        timer = SessionTimer(90)
        first = invite(*timer.ask())

        assert timer.is_too_small(Response(422, "", Headers([("Min-SE", "1200")])), first)
        assert timer.ask() == [expires("1200"), ("Min-SE", "1200")]
        again = invite(*timer.ask())
        assert timer.is_too_small(Response(422, "", Headers([("Min-SE", "1800;x")])), again)
        assert timer.ask() == [expires("1800"), ("Min-SE", "1800")]

    def test_a_refresh_is_retried(self) -> None:
        timer = SessionTimer(90)
        timer.agree(ok(expires("90;refresher=uac")), 0.0)
        refresh = invite(*timer.ask())
        assert timer.is_too_small(Response(422, "", Headers([("Min-SE", "120")])), refresh)
        assert timer.ask() == [expires("120;refresher=uac"), ("Min-SE", "120")]

    @pytest.mark.parametrize("least", ["90", "1800", "100000", "", "soon", "２０００"])
    def test_senseless(self, least: str) -> None:
        """No larger than what we asked for, more than a day, or no number: given up."""
        timer = SessionTimer(1800)
        refusal = Response(422, "", Headers([("Min-SE", least)]))
        assert not timer.is_too_small(refusal, invite(*timer.ask()))

    def test_we_asked_for_nothing(self) -> None:
        refusal = Response(422, "", Headers([("Min-SE", "1800")]))
        assert not SessionTimer(0).is_too_small(refusal, invite())


class TestAnswer:
    """We answer the INVITE or UPDATE (§9)."""

    @pytest.mark.parametrize(
        ("knows", "asked", "answer", "deadline"),
        [
            # the table of §9: does the peer know timers, what its request says, what we say
            (False, "600", "600;refresher=uas", 300.0),
            (False, "600;refresher=uas", "600;refresher=uas", 300.0),
            (False, "600;refresher=uac", "600;refresher=uas", 300.0),  # not allowed, and seen
            (True, "600", "600;refresher=uas", 300.0),
            (True, "600;refresher=uac", "600;refresher=uac", 568.0),
            (True, "600;refresher=uas", "600;refresher=uas", 300.0),
            (True, None, "1800;refresher=uas", 900.0),
            (False, None, None, None),
        ],
    )
    def test_table_2(
        self, knows: bool, asked: str | None, answer: str | None, deadline: float | None
    ) -> None:
        """Who does not know timers is not required to."""
        timer = SessionTimer(1800)
        request = invite(*([TIMER] if knows else []), *([expires(asked)] if asked else []))

        headers = timer.answer(request, 0.0)
        assert dict(headers).get("Session-Expires") == answer
        assert ("Require", "timer") in headers if knows else ("Require", "timer") not in headers
        assert timer.deadline == deadline

    @pytest.mark.parametrize(
        ("ours", "asked", "least", "agreed"),
        [
            (1800, "7200", None, "1800"),
            (1800, "600", None, "600"),
            (1800, "7200", "3600", "3600"),
            (90, "7200", "x", "90"),
            (0, "7200", None, "7200"),
        ],
    )
    def test_interval(self, ours: int, asked: str, least: str | None, agreed: str) -> None:
        """As we have it, if that is shorter; never less than the peer's Min-SE."""
        request = invite(TIMER, expires(asked), *([("Min-SE", least)] if least else []))
        assert ("Session-Expires", f"{agreed};refresher=uas") in SessionTimer(ours).answer(
            request, 0.0
        )

    def test_min_se_of_a_peer_that_asks_for_nothing(self) -> None:
        headers = SessionTimer(1800).answer(invite(TIMER, ("Min-SE", "2000")), 0.0)
        assert expires("2000;refresher=uas") in headers

    def test_who_requires_it_knows_it(self) -> None:
        """§7.1 has both; some say only the stronger one, and an option tag in capitals is one."""
        asked = invite(("Require", "TIMER"), expires("600;refresher=uac"))
        answer = [("Require", "timer"), expires("600;refresher=uac")]
        assert SessionTimer(1800).answer(asked, 0.0) == answer
        assert inspect_interval(invite(("Require", "timer"), expires("60"))) is not None

    def test_nothing_is_wanted(self) -> None:
        """With 0 a peer that merely knows timers gets none; one that it minds stops."""
        timer = SessionTimer(0)
        assert timer.answer(invite(TIMER), 0.0) == []
        timer.answer(invite(TIMER, expires("600;refresher=uac")), 0.0)
        assert timer.running
        assert timer.answer(invite(TIMER), 1.0) == []
        assert not timer.running

    def test_one_that_we_refresh_goes_on(self) -> None:
        """Whatever a peer leaves out of an UPDATE that is about something else."""
        for ours in (0, 1800):
            timer = SessionTimer(ours)
            timer.answer(invite(expires("600")), 0.0)
            assert timer.answer(invite(), 100.0) == [expires("600;refresher=uas")]
            assert timer.deadline == 400.0

    def test_compact_form(self) -> None:
        request = invite(("k", "100rel, Timer"), ("x", "600;refresher=uac"))
        assert expires("600;refresher=uac") in SessionTimer(1800).answer(request, 0.0)

    @pytest.mark.parametrize(
        ("headers", "rejected"),
        [
            ([TIMER, expires("89")], True),
            ([TIMER, expires("0")], True),
            ([TIMER, expires("90")], False),
            ([expires("60")], False),
            ([TIMER], False),
            ([TIMER, expires("soon")], False),
        ],
    )
    def test_422(self, headers: list[tuple[str, str]], rejected: bool) -> None:
        """Only to who can ask again; who cannot gets 90 s."""
        verdict = inspect_interval(invite(*headers))
        assert verdict == (Rejection(422, (("Min-SE", "90"),)) if rejected else None)
        if not rejected and ("Session-Expires", "60") in headers:
            timer = SessionTimer(1800)
            assert timer.answer(invite(*headers), 0.0) == [expires("90;refresher=uas")]


@pytest.mark.parametrize("refresher", ["uac", "uas"])
def test_two_of_us(refresher: Role) -> None:
    """Exactly one of the two refreshes, whoever it is; roles turn with the request (§7.4)."""
    caller, called = SessionTimer(600), SessionTimer(600)
    first = invite(TIMER, expires(f"600;refresher={refresher}"))
    caller.agree(ok(*called.answer(first, 0.0)), 0.0)
    by = {"uac": (caller, called), "uas": (called, caller)}[refresher]
    for round_ in range(3):
        due = 300.0 * (round_ + 1)
        assert (by[0].deadline, by[1].deadline) == (due, due - 300.0 + 568.0)
        assert by[0].handle_timer(due) is Due.REFRESH
        by[0].agree(ok(*by[1].answer(invite(TIMER, *by[0].ask()), due)), due)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("Supported"), st.sampled_from(["timer", "x"])),
            st.tuples(st.just("Session-Expires"), st.integers(0, 10**10).map(str)),
            st.tuples(st.just("Min-SE"), st.integers(0, 10**5).map(str)),
        ),
        max_size=4,
    )
)
def test_any_request(headers: list[tuple[str, str]]) -> None:
    """A timer that runs has at least 45 s until it does something."""
    timer = SessionTimer(1800)
    timer.answer(invite(*headers), 0.0)
    assert timer.running == (timer.deadline is not None)
    assert timer.deadline is None or timer.deadline >= 45.0
