"""One response at a time: mistakes 10, 13, 14 and 15 of other clients, each not made."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.realtime.events import ClientEvent, ResponseCancel, ResponseCreate
from gateway.realtime.responses import (
    CREATED_WITHIN,
    REMEMBERED,
    RETRY_DELAY,
    SPEECH,
    TURN,
    Responses,
)

PLAIN = ResponseCreate(event_id="plain")
GREETING = ResponseCreate({"instructions": "Say hello."}, event_id="greeting")
PROMPT = ResponseCreate({"instructions": "Are you there?"}, event_id="prompt")
CANCEL = ResponseCancel(event_id="cancel")
NOTHING: list[ClientEvent] = []


def responses() -> Responses:
    return Responses(Counter())


def active(response_id: str = "r1") -> Responses:
    """A response of the server's own is being made."""
    gate = responses()
    assert gate.created(response_id, 0.0) == NOTHING
    return gate


class TestCreate:
    """response.create."""

    def test_goes_out_when_nothing_is_active(self) -> None:
        """The first one is sent at once."""
        assert responses().create(GREETING, 0.0) == [GREETING]

    def test_waits_for_the_one_before(self) -> None:
        """One is in flight at a time: the second waits for response.done of the first."""
        gate = responses()
        gate.create(GREETING, 0.0)
        assert gate.create(PLAIN, 0.1) == NOTHING
        assert gate.created("r1", 0.2) == NOTHING
        assert gate.active == "r1"
        assert gate.done("r1", 1.0) == [PLAIN]
        assert gate.active is None

    def test_waits_for_a_response_of_the_server(self) -> None:
        """A response that the server's VAD made counts as well (mistake 10)."""
        gate = active("r1")
        assert gate.create(PLAIN, 0.1) == NOTHING
        assert gate.deadline is None
        assert gate.done("r1", 1.0) == [PLAIN]

    def test_of_several_function_outputs_is_one(self) -> None:
        """Two plain ones that wait would make the model say the same twice (mistake 15)."""
        gate = active("r1")
        gate.create(PLAIN, 0.1)
        gate.create(ResponseCreate(event_id="again"), 0.2)
        gate.create(PROMPT, 0.3)
        assert gate.done("r1", 1.0) == [PLAIN]
        gate.created("r2", 1.1)
        assert gate.done("r2", 2.0) == [PROMPT]

    def test_done_of_another_response_releases_nothing(self) -> None:
        """Only the active response's end counts."""
        gate = active("r1")
        gate.create(PLAIN, 0.1)
        assert gate.done("r0", 1.0) == NOTHING
        assert gate.active == "r1"

    def test_unanswered_is_given_up(self) -> None:
        """A server that forgets a create does not silence the call for ever."""
        gate = responses()
        gate.create(GREETING, 0.0)
        gate.create(PLAIN, 0.1)
        assert gate.deadline == CREATED_WITHIN
        assert gate.handle_timer(CREATED_WITHIN - 0.1) == NOTHING
        assert gate.handle_timer(CREATED_WITHIN) == [PLAIN]

    def test_done_without_created(self) -> None:
        """Some servers say response.done alone when they fail at once."""
        gate = responses()
        gate.create(GREETING, 0.0)
        gate.create(PLAIN, 0.1)
        assert gate.done("r1", 0.2) == [PLAIN]

    def test_failed_is_not_tried_again(self) -> None:
        """Another error of a create makes room for the next one."""
        gate = responses()
        gate.create(GREETING, 0.0)
        gate.create(PLAIN, 0.1)
        assert gate.failed(GREETING, 0.2) == [PLAIN]
        assert gate.failed(GREETING, 0.3) == NOTHING
        assert gate.created("r1", 0.4) == NOTHING


class TestRefused:
    """conversation_already_has_active_response."""

    def test_waits_for_the_active_one(self) -> None:
        """The server's response came first: ours follows its response.done (mistake 10)."""
        gate = responses()
        gate.create(PLAIN, 0.0)
        gate.created("r1", 0.1)  # taken for ours until the error says otherwise
        assert gate.refused(PLAIN, 0.2) == NOTHING
        assert gate.done("r1", 1.0) == [PLAIN]
        gate.created("r2", 1.1)
        assert gate.active == "r2"

    def test_by_a_response_that_has_ended_already(self) -> None:
        """Its response.done may have passed the error: it is tried again, later each time."""
        gate = responses()
        gate.create(PLAIN, 0.0)
        assert gate.refused(None, 0.0) == NOTHING
        assert gate.deadline == RETRY_DELAY
        assert gate.handle_timer(RETRY_DELAY) == [PLAIN]
        gate.refused(PLAIN, 1.0)
        assert gate.deadline == 1.0 + 2 * RETRY_DELAY

    def test_three_times_more_and_no_more(self) -> None:
        """One attempt and three repetitions."""
        counts: Counter[str] = Counter()
        gate = Responses(counts)
        sent = gate.create(PLAIN, 0.0)
        while gate.refused(PLAIN, 0.0) == NOTHING and gate.deadline:
            sent += gate.handle_timer(gate.deadline)
        assert sent == [PLAIN] * 4
        assert counts == {"create_given_up": 1}
        assert gate.create(PROMPT, 9.0) == [PROMPT]

    def test_of_a_create_we_do_not_know(self) -> None:
        """An error without our event_id while nothing is in flight is not ours."""
        assert responses().refused(None, 0.0) == NOTHING

    def test_one_plain_create_waits_at_most(self) -> None:
        """A refused one joins the one that waits."""
        gate = responses()
        gate.create(PLAIN, 0.0)
        gate.created("r1", 0.1)
        gate.create(ResponseCreate(event_id="other"), 0.2)
        gate.refused(PLAIN, 0.3)
        assert gate.done("r1", 1.0) == [ResponseCreate(event_id="other")]
        gate.created("r2", 1.1)
        assert gate.done("r2", 2.0) == NOTHING

    def test_cancelled_meanwhile(self) -> None:
        """What is not wanted any more is not tried again."""
        gate = responses()
        gate.create(PLAIN, 0.0)
        gate.cancel(CANCEL, 0.1)
        assert gate.refused(PLAIN, 0.2) == NOTHING
        assert gate.deadline is None


class TestCancel:
    """response.cancel."""

    def test_names_the_response(self) -> None:
        """Without an id it could stop the next response (mistake 13)."""
        gate = active("r1")
        assert gate.cancel(CANCEL, 1.0) == [ResponseCancel("r1", event_id="cancel")]

    def test_goes_out_once(self) -> None:
        """A second one would be an error."""
        gate = active("r1")
        gate.cancel(ResponseCancel("r1"), 1.0)
        assert gate.cancel(ResponseCancel("r1"), 1.1) == NOTHING
        assert gate.cancel(CANCEL, 1.1) == NOTHING

    def test_only_while_active(self) -> None:
        """A response that has ended is not cancelled, nor is another in its place (12, 13)."""
        gate = active("r1")
        gate.done("r1", 1.0)
        assert gate.cancel(ResponseCancel("r1"), 1.1) == NOTHING
        gate.created("r2", 1.2)
        assert gate.cancel(ResponseCancel("r1"), 1.3) == NOTHING
        assert gate.cancel(ResponseCancel("r2"), 1.4) == [ResponseCancel("r2")]

    def test_before_created_is_kept(self) -> None:
        """A cancel between create and response.created goes out on arrival (mistake 14)."""
        gate = responses()
        gate.create(PLAIN, 0.0)
        assert gate.cancel(CANCEL, 0.1) == NOTHING
        assert gate.created("r1", 0.2) == [ResponseCancel("r1", event_id="cancel")]
        gate.done("r1", 0.3)
        assert gate.create(PROMPT, 0.4) == [PROMPT]
        assert gate.created("r2", 0.5) == NOTHING

    def test_before_the_answer_of_the_server(self) -> None:
        """The response that the server is about to make by itself can be cancelled too."""
        gate = responses()
        gate.caller_stopped(0.0)
        gate.cancel(CANCEL, 0.1)
        assert gate.deadline == TURN
        assert gate.created("r1", 0.2) == [ResponseCancel("r1", event_id="cancel")]

    def test_kept_is_not_kept_for_ever(self) -> None:
        """A cancel whose response never came does not stop a later one."""
        gate = responses()
        gate.caller_stopped(0.0)
        gate.cancel(CANCEL, 0.1)
        assert gate.handle_timer(TURN) == NOTHING
        assert gate.deadline is None
        assert gate.created("r1", TURN + 0.1) == NOTHING
        gate.done("r1", 4.0)
        gate.create(PLAIN, 5.0)
        gate.cancel(CANCEL, 5.1)
        gate.handle_timer(5.0 + CREATED_WITHIN)
        assert gate.created("r2", 16.0) == NOTHING

    def test_of_what_only_waits(self) -> None:
        """What was not sent yet is taken back; what the caller is saying is answered."""
        gate = responses()
        gate.caller_speaks(0.0, interrupts=False)
        gate.create(PLAIN, 0.1)
        assert gate.cancel(CANCEL, 0.2) == NOTHING
        gate.caller_stopped(1.0)
        assert gate.created("r1", 1.1) == NOTHING
        assert gate.done("r1", 2.0) == NOTHING

    def test_of_a_response_without_a_name(self) -> None:
        """A server that gives no ids gets no cancel: it could hit any response."""
        gate = active("")
        assert gate.cancel(CANCEL, 0.1) == NOTHING

    def test_answered_by_not_active(self) -> None:
        """response_cancel_not_active: we were wrong, and the next one may go out."""
        gate = active("r1")
        gate.create(PLAIN, 0.1)
        gate.cancel(ResponseCancel("r1"), 0.2)
        assert gate.not_active("r0", 0.3) == NOTHING
        assert gate.not_active("r1", 0.4) == [PLAIN]


class TestTurn:
    """The caller speaks, and the server's VAD makes a response by itself."""

    def test_ours_waits_for_the_answer(self) -> None:
        """A create between the end of speech and response.created would collide."""
        gate = responses()
        gate.caller_stopped(0.0)
        assert gate.create(PROMPT, 0.1) == NOTHING
        assert gate.created("r1", 0.2) == NOTHING
        assert gate.done("r1", 1.0) == [PROMPT]

    def test_ours_does_not_talk_over_the_caller(self) -> None:
        """While she speaks nothing is started."""
        gate = active("r1")
        gate.create(PLAIN, 0.1)
        gate.caller_speaks(0.2, interrupts=False)
        assert gate.done("r1", 0.3) == NOTHING
        assert gate.deadline == 0.2 + SPEECH

    def test_answers_what_waited(self) -> None:
        """Its response says what a plain create from before the end of her turn would make."""
        gate = responses()
        gate.caller_speaks(0.0, interrupts=False)
        gate.create(PLAIN, 0.1)
        gate.create(PROMPT, 0.2)
        gate.caller_stopped(1.0)
        gate.created("r1", 1.1)
        assert gate.done("r1", 2.0) == [PROMPT]

    def test_does_not_answer_what_came_later(self) -> None:
        """What was added after her turn's end may not be in that response."""
        gate = responses()
        gate.caller_stopped(1.0)
        gate.create(PLAIN, 1.05)
        gate.created("r1", 1.1)
        assert gate.done("r1", 2.0) == [PLAIN]

    def test_without_an_answer(self) -> None:
        """A cough is no turn: what waited goes out."""
        gate = responses()
        gate.caller_stopped(0.0)
        gate.create(PLAIN, 0.1)
        assert gate.deadline == TURN
        assert gate.handle_timer(1.0) == NOTHING
        assert gate.handle_timer(TURN) == [PLAIN]

    def test_without_an_end(self) -> None:
        """Noise may be taken for speech all the time; keys are answered all the same."""
        gate = responses()
        gate.caller_speaks(0.0, interrupts=False)
        gate.create(PLAIN, 0.1)
        assert gate.handle_timer(SPEECH) == [PLAIN]


class TestDone:
    """Responses that have ended are known by name."""

    def test_is_remembered(self) -> None:
        """Only real names, and only the last ones."""
        gate = responses()
        for number in range(REMEMBERED + 1):
            gate.done(f"r{number}", 0.0)
        gate.done("", 0.0)
        assert not gate.is_done("r0")
        assert gate.is_done("r1")
        assert gate.is_done(f"r{REMEMBERED}")
        assert not gate.is_done("")


MOVES = ["create", "prompt", "cancel", "created", "done", "refused", "speaks", "stopped", "later"]


class TestAnyOrder:
    """Whatever happens in whatever order."""

    @settings(max_examples=300)
    @given(st.lists(st.sampled_from(MOVES), max_size=40))
    def test_one_at_a_time_and_never_stuck(self, moves: list[str]) -> None:
        """No create beside another or an active one; no cancel without a name, or twice."""
        gate, now, number = responses(), 0.0, 0
        in_flight = False
        cancelled: set[str | None] = set()

        def check(events: list[ClientEvent]) -> None:
            nonlocal in_flight
            for event in events:
                if isinstance(event, ResponseCreate):
                    assert not in_flight
                    assert gate.active is None
                    in_flight = True
                else:
                    assert isinstance(event, ResponseCancel)
                    assert event.response_id == gate.active is not None
                    assert event.response_id not in cancelled
                    cancelled.add(event.response_id)

        def wait() -> None:
            nonlocal now, in_flight
            if gate.deadline is not None:
                now = max(now, gate.deadline)
                in_flight = in_flight and now < gate._give_up_at
                check(gate.handle_timer(now))

        for move in moves:
            now += 0.1
            match move:
                case "create":
                    check(gate.create(PLAIN, now))
                case "prompt":
                    check(gate.create(PROMPT, now))
                case "cancel":
                    check(gate.cancel(CANCEL, now))
                case "created":
                    number, in_flight = number + 1, False
                    check(gate.created(f"r{number}", now))
                case "done" if gate.active:
                    check(gate.done(gate.active, now))
                case "refused" if in_flight:
                    in_flight = False
                    check(gate.refused(None, now))
                case "speaks":
                    gate.caller_speaks(now, interrupts=False)
                case "stopped":
                    gate.caller_stopped(now)
                case "later":
                    wait()
        if gate.active:
            check(gate.done(gate.active, now))
        for _ in range(100):
            wait()
        assert gate.deadline is None
        assert gate.create(GREETING, now + SPEECH) == [GREETING]


class TestInterruption:
    """A caller who begins to speak while a response of ours is being created (mistake 14)."""

    def test_it_is_cancelled_when_it_begins(self) -> None:
        gate = Responses(Counter())
        gate.create(ResponseCreate(), 0.0)
        gate.caller_speaks(0.1, interrupts=True)

        assert gate.created("resp_1", 0.2) == [ResponseCancel(response_id="resp_1")]
        assert gate.is_cancelled("resp_1")
        gate.done("resp_1", 0.3)
        assert not gate.is_cancelled("resp_1")

    def test_a_server_that_is_not_to_be_interrupted_goes_on(self) -> None:
        gate = Responses(Counter())
        gate.create(ResponseCreate(), 0.0)
        gate.caller_speaks(0.1, interrupts=False)

        assert gate.created("resp_1", 0.2) == []
        assert not gate.is_cancelled("resp_1")

    def test_what_only_waits_is_kept_for_after_her_turn(self) -> None:
        gate = Responses(Counter())
        gate.caller_speaks(0.0, interrupts=True)
        asked = ResponseCreate(response={"instructions": "x"})
        assert gate.create(asked, 0.1) == []
        gate.caller_speaks(0.2, interrupts=True)

        assert gate.handle_timer(20.0) == [asked]
