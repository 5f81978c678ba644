"""RFC 3261 §17 and RFC 6026: each test is one path through a figure."""

import pytest

from gateway.sip.message import Headers, Request, Response
from gateway.sip.transaction import (
    Action,
    Deliver,
    InviteClient,
    InviteServer,
    NonInviteClient,
    NonInviteServer,
    Send,
    State,
    TimedOut,
)

FIELDS = [
    ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
    ("From", "<sip:a@x>;tag=1"),
    ("To", "<sip:b@x>"),
    ("Call-ID", "1"),
]
INVITE = Request("INVITE", "sip:b@x", Headers([*FIELDS, ("CSeq", "1 INVITE")]))
BYE = Request("BYE", "sip:b@x", Headers([*FIELDS, ("CSeq", "2 BYE")]))
TRYING, RINGING, OK, BUSY = (
    Response(100, "Trying"),
    Response(180, "Ringing"),
    Response(200, "OK"),
    Response(486, "Busy Here", Headers([("To", "<sip:b@x>;tag=2")])),
)
ACK = INVITE.ack(BUSY)

Machine = InviteClient | InviteServer | NonInviteClient | NonInviteServer


def run_out(machine: Machine) -> list[tuple[float, Action]]:
    """Let every timer fire; return what was done, and when."""
    done: list[tuple[float, Action]] = []
    while (now := machine.deadline) is not None:
        done += [(now, action) for action in machine.handle_timer(now)]
    assert machine.state is State.TERMINATED
    return done


class TestInviteClient:
    """Figure 5, with the Accepted state of RFC 6026 §7.2."""

    def start(self, *, reliable: bool = False) -> InviteClient:
        machine = InviteClient(INVITE, reliable=reliable)
        assert machine.start(now=0.0) == [Send(INVITE)]
        return machine

    def test_silent_peer(self) -> None:
        """
        The INVITE is resent at doubling intervals (A), then given up after 64*T1 (B).
        """
        resent = [(at, Send(INVITE)) for at in (0.5, 1.5, 3.5, 7.5, 15.5, 31.5)]
        assert run_out(self.start()) == [*resent, (32.0, TimedOut())]

    def test_silent_peer_over_tcp(self) -> None:
        """
        A reliable transport resends by itself: only the timeout remains.
        """
        assert run_out(self.start(reliable=True)) == [(32.0, TimedOut())]

    def test_ringing(self) -> None:
        """
        A provisional response stops every timer: how long it rings is the caller's choice.
        """
        machine = self.start()

        assert machine.receive(RINGING, now=0.1) == [Deliver(RINGING)]
        assert machine.receive(RINGING, now=0.2) == [Deliver(RINGING)]
        assert machine.deadline is None

    @pytest.mark.parametrize(("reliable", "gone"), [(False, 33.0), (True, 1.0)])
    def test_busy(self, reliable: bool, gone: float) -> None:
        """
        A failure is acknowledged here, and again each time it is repeated (D).
        """
        machine = self.start(reliable=reliable)

        assert machine.receive(BUSY, now=1.0) == [Send(ACK), Deliver(BUSY)]
        assert machine.receive(BUSY, now=1.0) == [Send(ACK)]
        assert machine.receive(RINGING, now=1.0) == []
        assert machine.deadline == gone
        assert run_out(machine) == []

    def test_answer(self) -> None:
        """
        Every 2xx goes up for 64*T1 (M), for the dialog to acknowledge end to end.
        """
        machine = self.start()

        for now in (1.0, 1.5):
            assert machine.receive(OK, now=now) == [Deliver(OK)]
        assert machine.receive(BUSY, now=2.0) == []
        assert machine.deadline == 33.0
        assert run_out(machine) == []

    def test_abandon(self) -> None:
        """
        An INVITE that neither its CANCEL nor its peer brought to an end is given up (§9.1).
        """
        machine = self.start()
        machine.receive(RINGING, now=0.1)
        machine.abandon()

        assert run_out(machine) == []
        assert machine.receive(OK, now=1.0) == []

    def test_early_timer(self) -> None:
        machine = self.start()

        assert machine.handle_timer(0.4) == []


class TestNonInviteClient:
    """Figure 6."""

    def start(self, *, reliable: bool = False) -> NonInviteClient:
        machine = NonInviteClient(BYE, reliable=reliable)
        assert machine.start(now=0.0) == [Send(BYE)]
        return machine

    def test_silent_peer(self) -> None:
        """
        Resent at doubling intervals up to T2 (E), given up after 64*T1 (F).
        """
        times = (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
        resent = [(at, Send(BYE)) for at in times]
        assert run_out(self.start()) == [*resent, (32.0, TimedOut())]

    def test_silent_peer_over_tcp(self) -> None:
        assert run_out(self.start(reliable=True)) == [(32.0, TimedOut())]

    def test_proceeding(self) -> None:
        """
        Once the peer has the request it is resent each T2 only, and F runs on.
        """
        machine = self.start()

        assert machine.receive(TRYING, now=0.1) == [Deliver(TRYING)]
        resent = [(at, Send(BYE)) for at in (0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5)]
        assert run_out(machine) == [*resent, (32.0, TimedOut())]

    @pytest.mark.parametrize(("reliable", "gone"), [(False, 6.0), (True, 1.0)])
    def test_answer(self, reliable: bool, gone: float) -> None:
        """
        One final response goes up, its copies are absorbed for T4 (K).
        """
        machine = self.start(reliable=reliable)

        assert machine.receive(OK, now=1.0) == [Deliver(OK)]
        assert machine.receive(OK, now=1.0) == []
        assert machine.deadline == gone
        assert run_out(machine) == []

    def test_early_timer(self) -> None:
        assert self.start().handle_timer(0.4) == []


class TestInviteServer:
    """Figure 7, with the Accepted state of RFC 6026 §7.1."""

    def test_copies(self) -> None:
        """
        A copy of the INVITE gets the last provisional response again.
        """
        machine = InviteServer(reliable=False)

        assert machine.receive(INVITE, now=0.0) == []
        for response in (TRYING, RINGING):
            assert machine.respond(response, now=0.0) == [Send(response)]
            assert machine.receive(INVITE, now=0.5) == [Send(response)]
        assert machine.receive(ACK, now=0.5) == []
        assert machine.deadline is None

    def test_refused_and_no_ack(self) -> None:
        """
        A refusal is resent at doubling intervals up to T2 (G), until 64*T1 (H).
        """
        machine = InviteServer(reliable=False)
        machine.respond(BUSY, now=0.0)

        times = (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
        assert machine.receive(INVITE, now=0.1) == [Send(BUSY)]
        assert run_out(machine) == [*((at, Send(BUSY)) for at in times), (32.0, TimedOut())]
        assert machine.receive(INVITE, now=40.0) == []

    def test_refused_over_tcp(self) -> None:
        machine = InviteServer(reliable=True)
        machine.respond(BUSY, now=0.0)

        assert run_out(machine) == [(32.0, TimedOut())]

    @pytest.mark.parametrize(("reliable", "gone"), [(False, 6.0), (True, 1.0)])
    def test_refused(self, reliable: bool, gone: float) -> None:
        """
        The ACK ends the resending; its copies are absorbed for T4 (I).
        """
        machine = InviteServer(reliable=reliable)
        machine.respond(BUSY, now=0.0)

        assert machine.receive(ACK, now=1.0) == []
        assert machine.receive(ACK, now=1.0) == []
        assert machine.receive(INVITE, now=1.0) == []
        assert machine.deadline == gone
        assert run_out(machine) == []

    def test_accepted(self) -> None:
        """
        After a 2xx copies of the INVITE are absorbed for 64*T1 (L); the user resends the 2xx and
        is told of an ACK.
        """
        machine = InviteServer(reliable=False)

        assert machine.respond(OK, now=1.0) == [Send(OK)]
        assert machine.respond(OK, now=1.5) == [Send(OK)]
        assert machine.receive(INVITE, now=2.0) == []
        assert machine.receive(ACK, now=2.0) == [Deliver(ACK)]
        assert machine.handle_timer(2.0) == []
        assert machine.deadline == 33.0
        assert run_out(machine) == []

    @pytest.mark.parametrize(("first", "then"), [(BUSY, OK), (OK, BUSY), (OK, RINGING)])
    def test_our_own_mistake(self, first: Response, then: Response) -> None:
        """
        A move that the figure does not have raises when it is ours.
        """
        machine = InviteServer(reliable=False)
        machine.respond(first, now=0.0)

        with pytest.raises(ValueError, match=r"in (COMPLETED|ACCEPTED)"):
            machine.respond(then, now=0.0)


class TestNonInviteServer:
    """Figure 8."""

    @pytest.mark.parametrize(("reliable", "gone"), [(False, 33.0), (True, 1.0)])
    def test_answer(self, reliable: bool, gone: float) -> None:
        """
        Copies of the request get the last response, for 64*T1 (J).
        """
        machine = NonInviteServer(reliable=reliable)

        assert machine.receive(BYE, now=0.0) == []
        assert machine.respond(TRYING, now=0.5) == [Send(TRYING)]
        assert machine.state is State.PROCEEDING
        assert machine.receive(BYE, now=0.5) == [Send(TRYING)]
        assert machine.respond(OK, now=1.0) == [Send(OK)]
        assert machine.receive(BYE, now=1.0) == [Send(OK)]
        assert machine.handle_timer(0.9) == []
        assert machine.deadline == gone
        assert run_out(machine) == []
        assert machine.receive(BYE, now=40.0) == []

    def test_our_own_mistake(self) -> None:
        machine = NonInviteServer(reliable=False)
        machine.respond(OK, now=0.0)

        with pytest.raises(ValueError, match="200 in COMPLETED"):
            machine.respond(OK, now=0.0)
