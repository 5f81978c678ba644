"""Transfers between endpoints: REFER with its NOTIFYs, and calls that replace others.

RFC 3515, RFC 3891, RFC 5589. The rules of each are in test_refer.py and test_replaces.py; here they
meet calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import pytest

from gateway.sip.endpoint import (
    Ended,
    Endpoint,
    Event,
    Flow,
    Incoming,
    Output,
    ReferralProgress,
    Referred,
    Transmit,
)
from gateway.sip.event import Locate
from gateway.sip.message import Request, parse
from gateway.sip.replaces import Replaces, split_target

from .wire import Wire, called, calling, request, talking

SDP = b"v=0\r\n"
BOB = "sip:bob@192.0.2.7"


class Network:
    """Endpoints a, b, c at 192.0.2.1, .2 and .3; what one sends is there at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.endpoints = {name: Endpoint(token=tokens(name)) for name in "abc"}
        self.events: dict[str, list[Event]] = {name: [] for name in "abc"}
        self.requests: list[str] = []  # who sent what
        self._addresses = {f"192.0.2.{at}": name for at, name in enumerate("abc", 1)}
        self._flying: list[tuple[str, str, bytes]] = []

    def do(self, name: str, outputs: list[Output]) -> None:
        """Perform what an endpoint said, and all that comes of it."""
        self._take(name, outputs)
        while self._flying:
            source, target, data = self._flying.pop(0)
            flow = Flow("udp", (self.host(target), 5060), (self.host(source), 5060))
            self._take(target, self.endpoints[target].receive(data, flow, self.now))

    def _take(self, name: str, outputs: list[Output]) -> None:
        for output in outputs:
            assert not isinstance(output, Locate)
            if isinstance(output, Transmit):
                message = parse(output.data)
                if isinstance(message, Request):
                    self.requests.append(f"{name} {message.method}")
                self._flying.append((name, self._addresses[output.flow.remote[0]], output.data))
            else:
                self.events[name].append(output)

    def host(self, name: str) -> str:
        return next(host for host, other in self._addresses.items() if other == name)

    def call(self, caller: str, callee: str, headers: Sequence[tuple[str, str]] = ()) -> str:
        """One calls another. Returns the handle at the caller's."""
        flow = Flow("udp", (self.host(caller), 5060), (self.host(callee), 5060))
        call, outputs = self.endpoints[caller].invite(
            f"sip:{callee}@{self.host(callee)}",
            flow,
            SDP,
            self.now,
            from_uri=f"sip:{caller}@{self.host(caller)}",
            headers=headers,
        )
        self.do(caller, outputs)
        return call

    def answer(self, callee: str) -> str:
        """The last call that came in is answered. Returns the handle at the callee's."""
        last = [event for event in self.events[callee] if isinstance(event, Incoming)][-1]
        self.do(callee, self.endpoints[callee].answer(last.call, SDP, self.now))
        return last.call

    def last(self, name: str) -> Event:
        return self.events[name][-1]

    def rest(self) -> None:
        """Let time pass until nobody waits for anything."""
        while due := [it.deadline for it in self.endpoints.values() if it.deadline is not None]:
            self.now = min(due)
            for name, endpoint in self.endpoints.items():
                self.do(name, endpoint.handle_timer(self.now))
        for name, endpoint in self.endpoints.items():
            assert endpoint.idle, name


def tokens(name: str) -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"{name}{next(numbers)}"


def test_blind_transfer() -> None:
    """RFC 5589 §6.1: a sends b to c, hears how it goes, and hangs up."""
    net = Network()
    a, b, _ = net.endpoints.values()
    at_b = net.call("b", "a")
    at_a = net.answer("a")
    net.do("a", a.refer(at_a, "sip:c@192.0.2.3", 0.0, referred_by="sip:a@192.0.2.1"))
    assert net.last("b") == Referred(at_b, "sip:c@192.0.2.3", "<sip:a@192.0.2.1>")

    net.do("b", b.accept_referral(at_b, 0.0))
    assert net.last("a") == ReferralProgress(at_a, 100, "Trying", final=False)
    to_c = net.call("b", "c")
    net.do("b", b.report_referral(at_b, 180, "Ringing", 0.0))
    assert net.last("a") == ReferralProgress(at_a, 180, "Ringing", final=False)
    net.answer("c")
    net.do("b", b.report_referral(at_b, 200, "OK", 0.0))
    assert net.last("a") == ReferralProgress(at_a, 200, "OK", final=True)

    net.do("a", a.bye(at_a, 0.0))
    assert net.last("b") == Ended(at_b, "peer", "hang_up", 200, None)
    net.do("b", b.bye(to_c, 0.0))
    net.rest()


def test_attended_transfer() -> None:
    """RFC 5589 §7: a talks with b and with c, and lets b take its place at c's."""
    net = Network()
    a, b, c = net.endpoints.values()
    at_b = net.call("b", "a")
    at_a = net.answer("a")
    to_c = net.call("a", "c")
    at_c = net.answer("c")

    net.do("a", a.refer(at_a, "sip:c@192.0.2.3", 0.0, replaces=to_c))
    referred = net.last("b")
    assert isinstance(referred, Referred)
    target, replaces = split_target(referred.target)
    assert (target, replaces) == ("sip:c@192.0.2.3", Replaces(a.call_id(to_c) or "", at_c, to_c))
    net.do("b", b.accept_referral(at_b, 0.0))
    b_to_c = net.call("b", "c", headers=[("Replaces", str(replaces)), ("Require", "replaces")])
    incoming = net.last("c")
    assert isinstance(incoming, Incoming)
    assert incoming.replaces == at_c

    net.requests.clear()
    net.answer("c")
    assert net.requests == ["c BYE", "b ACK"]
    assert Ended(at_c, "us", "replaced", 200, None) in net.events["c"]
    assert net.last("a") == Ended(to_c, "peer", "hang_up", 200, None)
    net.do("b", b.report_referral(at_b, 200, "OK", 0.0))
    assert net.last("a") == ReferralProgress(at_a, 200, "OK", final=True)

    net.do("a", a.bye(at_a, 0.0))
    net.do("c", c.bye(incoming.call, 0.0))
    assert net.last("b") == Ended(b_to_c, "peer", "hang_up", 200, None)
    net.rest()


def test_a_refused_transfer_leaves_the_call_as_it_was() -> None:
    net = Network()
    a, b, _ = net.endpoints.values()
    at_b = net.call("b", "a")
    at_a = net.answer("a")
    net.do("a", a.refer(at_a, BOB, 0.0))
    net.do("b", b.refuse_referral(at_b, 603, 0.0))
    assert net.last("a") == ReferralProgress(at_a, 603, "Decline", final=True)
    net.do("a", a.bye(at_a, 0.0))
    net.rest()


def test_both_transfer_each_other() -> None:
    """One referral in each direction does not mind the other."""
    net = Network()
    a, b, _ = net.endpoints.values()
    at_b = net.call("b", "a")
    at_a = net.answer("a")
    net.do("a", a.refer(at_a, BOB, 0.0))
    net.do("b", b.refer(at_b, BOB, 0.0))
    net.do("b", b.accept_referral(at_b, 0.0))
    net.do("a", a.accept_referral(at_a, 0.0))
    net.do("b", b.report_referral(at_b, 200, "OK", 0.0))
    net.do("a", a.report_referral(at_a, 486, "Busy Here", 0.0))
    assert net.last("a") == ReferralProgress(at_a, 200, "OK", final=True)
    assert net.last("b") == ReferralProgress(at_b, 486, "Busy Here", final=True)
    net.do("a", a.bye(at_a, 0.0))
    net.rest()


class TestCommands:
    """What the owner of a call may do when there is nothing to do."""

    @pytest.mark.parametrize("wire", [Wire(), called(), calling()[0]])
    def test_nothing_without_an_answered_call(self, wire: Wire) -> None:
        endpoint = wire.endpoint
        assert endpoint.refer("t1", BOB, 0.0) == []
        assert endpoint.accept_referral("t1", 0.0) == []
        assert endpoint.refuse_referral("t1", 603, 0.0) == []
        assert endpoint.report_referral("t1", 200, "OK", 0.0) == []

    def test_nothing_on_a_call_that_has_ended(self) -> None:
        wire = talking()
        wire.see(wire.endpoint.bye("t1", wire.now))
        assert wire.endpoint.refer("t1", BOB, wire.now) == []

    def test_a_call_to_replace_has_to_be_there(self) -> None:
        wire = talking()
        assert wire.see(wire.endpoint.refer("t1", BOB, wire.now, replaces="t9")) == [
            ReferralProgress("t1", 481, "Call/Transaction Does Not Exist", final=True)
        ]

    def test_a_refusal_refuses(self) -> None:
        with pytest.raises(ValueError, match="202"):
            talking().endpoint.refuse_referral("t1", 202, 0.0)


class TestReferIn:
    """REFER of a peer, where there is no call to transfer."""

    def test_out_of_a_call_it_is_declined(self) -> None:
        wire = Wire()
        refer = request("REFER", headers=[f"Refer-To: <{BOB}>"])
        assert wire.receive(refer) == ["SIP/2.0 603 Decline"]

    def test_before_the_call_is_answered_too(self) -> None:
        wire = called()
        refer = request(
            "REFER", cseq=2, branch="z9hG4bK-2", to_tag="t1", headers=[f"Refer-To: <{BOB}>"]
        )
        assert wire.receive(refer) == ["SIP/2.0 603 Decline"]

    def test_notify_out_of_a_call(self) -> None:
        notify = request("NOTIFY", headers=["Event: refer", "Subscription-State: terminated"])
        assert Wire().receive(notify) == ["SIP/2.0 481 Call/Transaction Does Not Exist"]

    def test_a_bye_right_behind_the_refer(self) -> None:
        """What waits is answered (RFC 3261 §15.1.2), the call ends once, nothing is left."""
        wire = talking()
        refer = request(
            "REFER", cseq=2, branch="z9hG4bK-2", to_tag="t1", headers=[f"Refer-To: <{BOB}>"]
        )
        assert wire.receive(refer) == [Referred("t1", BOB, None)]
        assert wire.receive(request("BYE", cseq=3, branch="z9hG4bK-3", to_tag="t1")) == [
            "SIP/2.0 200 OK",
            "SIP/2.0 487 Request Terminated",
            Ended("t1", "peer", "hang_up", 200, None),
        ]
        assert wire.endpoint.accept_referral("t1", wire.now) == []
        wire.wait_until_idle()

    def test_a_referral_in_a_call_whose_ack_never_comes(self) -> None:
        """Its end is the call's, too."""
        wire = called()
        wire.see(wire.endpoint.answer("t1", SDP, 0.0))
        wire.now = 30.0
        refer = request(
            "REFER", cseq=2, branch="z9hG4bK-2", to_tag="t1", headers=[f"Refer-To: <{BOB}>"]
        )
        assert wire.receive(refer) == [Referred("t1", BOB, None)]
        wire.see(wire.endpoint.accept_referral("t1", 30.0))
        wire.wait_until_idle()
        assert wire.events[-1] == Ended("t1", "network", "no_ack", 200, None)
