"""Who is served: callers known by address, users, and strangers, who hear nothing. RFC 3261 §22."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import pytest

from gateway.sip.authentication import Account, Screen
from gateway.sip.digest import Credentials, Fields
from gateway.sip.endpoint import Endpoint, Flow, Identity, Incoming
from gateway.sip.message import Request, Response, parse

from .wire import FLOW, OFFER, US, Wire, request

STRANGER = Flow("udp", US, ("203.0.113.7", 5060))
STREAM = Flow("tcp", US, ("203.0.113.7", 41000))


def screened(*, users: bool = True, realm: str = "gateway") -> Wire:
    """The peer of the wire is known by its address; there is a user `alice` of `phones`."""
    numbers = count(1)
    accounts = {(realm, "alice"): Account("phones", "wonderland")} if users else {}
    screen = Screen(
        knows=lambda host: Identity("pbx") if host == FLOW.remote[0] else None,
        accounts=accounts,
        key=bytes(32),
    )
    return Wire(Endpoint(token=lambda: f"t{next(numbers)}", screen=screen))


class Phone:
    """A client of digest at a strange address."""

    def __init__(self, wire: Wire, password: str = "wonderland", flow: Flow = STRANGER) -> None:
        self.wire, self.flow = wire, flow
        self.cseq = 0
        self.credentials = Credentials("alice", password, token=lambda: "c")

    def send(self, method: str, headers: Sequence[str] = (), body: bytes = b"") -> None:
        """Send a request, and again with the answer to its challenge if there is one."""
        asked = self._say(method, headers, body, self.credentials.authorize)
        if (refused := self.wire.last_response()).status == 401:
            fields = self.credentials.answer(refused, asked) or []
            self._say(method, headers, body, lambda _: fields)

    def _say(
        self,
        method: str,
        headers: Sequence[str],
        body: bytes,
        authorize: Callable[[Request], Fields],
    ) -> Request:
        self.cseq += 1
        fields = authorize(self._message(method, headers, body))
        more = [f"{name}: {value}" for name, value in fields]
        asked = self._message(method, [*headers, *more], body)
        self.wire.receive(asked.encode(), self.flow)
        return asked

    def _message(self, method: str, headers: Sequence[str], body: bytes) -> Request:
        data = request(
            method,
            cseq=self.cseq,
            branch=f"z9hG4bK-{self.cseq}",
            headers=["Contact: <sip:alice@10.0.0.5:5062>", *headers],
            body=body,
        )
        if method == "REGISTER":
            data = data.replace(b"To: <sip:7000@192.0.2.1>", b"To: <sip:alice@192.0.2.1>")
        message = parse(data)
        assert isinstance(message, Request)
        return message


class TestCallers:
    def test_one_that_is_known_by_its_address(self) -> None:
        wire = screened()
        wire.receive(request("INVITE", body=OFFER))
        (event,) = wire.events
        assert isinstance(event, Incoming)
        assert event.identity == Identity("pbx")

    def test_a_user(self) -> None:
        wire = screened()
        Phone(wire).send("INVITE", body=OFFER)
        (event,) = wire.events
        assert isinstance(event, Incoming)
        assert event.identity == Identity("phones", "alice")
        assert wire.last_response().status == 100

    def test_a_wrong_password(self) -> None:
        """Nothing is left of it, not even a transaction."""
        wire = screened()
        Phone(wire, password="x").send("INVITE", body=OFFER)
        assert [it.status for it in wire.sent if isinstance(it, Response)] == [401, 401]
        assert wire.events == []
        assert wire.endpoint.idle

    def test_without_a_screen_everybody(self) -> None:
        wire = Wire()
        wire.receive(request("INVITE", body=OFFER), STRANGER)
        (event,) = wire.events
        assert isinstance(event, Incoming)
        assert event.identity is None

    def test_the_call_of_a_user_is_a_call(self) -> None:
        """In its dialog nobody is asked again; BYE ends it."""
        wire = screened()
        Phone(wire).send("INVITE", body=OFFER)
        (event,) = wire.events
        assert isinstance(event, Incoming)
        wire.see(wire.endpoint.answer(event.call, b"v=0\r\n", wire.now))
        wire.receive(request("ACK", cseq=2, branch="z9hG4bK-a", to_tag=event.call), STRANGER)
        wire.receive(request("BYE", cseq=3, branch="z9hG4bK-b", to_tag=event.call), STRANGER)
        assert wire.last_response().status == 200


class TestStrangers:
    @pytest.mark.parametrize("users", [True, False])
    @pytest.mark.parametrize(
        "method", ["OPTIONS", "BYE", "CANCEL", "MESSAGE", "SUBSCRIBE", "NONSENSE"]
    )
    @pytest.mark.parametrize("tag", [None, "t99"])
    def test_silence(self, method: str, tag: str | None, users: bool) -> None:
        wire = screened(users=users)
        assert wire.receive(request(method, to_tag=tag), STRANGER) == []
        assert wire.endpoint.idle

    @pytest.mark.parametrize("method", ["INVITE", "REGISTER"])
    def test_silence_without_users(self, method: str) -> None:
        wire = screened(users=False)
        assert wire.receive(request(method, body=OFFER), STRANGER) == []

    def test_an_invite_of_no_dialog(self) -> None:
        assert screened().receive(request("INVITE", to_tag="t99", body=OFFER), STRANGER) == []

    @pytest.mark.parametrize(
        "data",
        [
            request("INVITE").replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE"),
            request("INVITE").replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"),
            b"garbage",
            b"\r\n\r\n",
        ],
    )
    def test_what_cannot_be_read(self, data: bytes) -> None:
        assert screened().receive(data, STRANGER) == []

    def test_what_cannot_be_read_of_somebody_known(self) -> None:
        wire = screened()
        wire.receive(request("INVITE").replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE"))
        assert wire.last_response().status == 400

    def test_strays_of_somebody_known(self) -> None:
        """§12.2.2, §9.2: its calls of before a restart end."""
        wire = screened()
        for method in ("BYE", "CANCEL"):
            wire.receive(request(method, to_tag="t99", branch=f"z9hG4bK-{method}"))
            assert wire.last_response().status == 481

    def test_the_challenge_is_sent_once(self) -> None:
        """Without a transaction: neither again by itself, nor kept."""
        wire = screened()
        wire.receive(request("INVITE", body=OFFER), STRANGER)
        assert wire.last_response().status == 401
        assert wire.last_response().headers.to.tag
        assert wire.endpoint.idle
        assert wire.endpoint.deadline is None
        wire.receive(request("ACK", to_tag=wire.last_response().headers.to.tag), STRANGER)
        assert wire.endpoint.idle

    def test_for_each_message_at_most_one(self) -> None:
        """As many packets as came, and then none, whatever comes."""
        wire, counts = screened(), []
        for number in range(100):
            data = request("INVITE", branch=f"z9hG4bK-{number}", call_id=f"c{number}", body=OFFER)
            counts.append(len(wire.receive(data, STRANGER)))
        assert counts == [1] * 16 + [0] * 84

    @pytest.mark.parametrize("realm", ["gateway", "r" * 64])
    def test_the_smallest_phone_is_answered(self, realm: str) -> None:
        wire = screened(realm=realm)
        small = request("REGISTER", branch="z9hG4bK", headers=[])
        wire.receive(small, STRANGER)
        assert wire.last_response().status == 401
        assert len(wire.last.encode()) < len(small) + 400

    def test_an_answer_that_is_much_more_than_the_request(self) -> None:
        """§26.3.2.4: is not sent."""
        wire = screened(realm='"' * 200)  # each of them takes two bytes
        assert wire.receive(request("INVITE"), STRANGER) == []


class TestRegister:
    CONTACT = "<sip:alice@10.0.0.5:5062>"

    def test_a_phone(self) -> None:
        """§10.3: the binding, its time, and the way by which it came."""
        wire = screened()
        Phone(wire).send("REGISTER", ["Expires: 300"])
        answer = wire.last_response()
        assert answer.status == 200
        assert answer.headers.get("Contact") == f"{self.CONTACT};expires=300"
        binding = wire.endpoint.binding("phones", "alice", wire.now)
        assert binding
        assert (binding.contact, binding.flow) == ("sip:alice@10.0.0.5:5062", STRANGER)
        assert wire.endpoint.uses(STRANGER)
        wire.wait(301.0)
        assert wire.endpoint.binding("phones", "alice", wire.now) is None
        assert not wire.endpoint.uses(STRANGER)
        assert wire.endpoint.idle
        assert wire.endpoint.deadline is None

    def test_over_a_stream(self) -> None:
        wire = screened()
        Phone(wire, flow=STREAM).send("REGISTER")
        assert wire.endpoint.uses(STREAM)

    def test_and_then_its_call(self) -> None:
        """By the same nonce, so at once."""
        wire, phone = screened(), None
        phone = Phone(wire)
        phone.send("REGISTER")
        before = len(wire.sent)
        phone.send("INVITE", body=OFFER)
        assert [it.status for it in wire.sent[before:] if isinstance(it, Response)] == [100]

    def test_what_is_required_of_us(self) -> None:
        """§8.2.2.3 holds for it as well."""
        wire = screened()
        Phone(wire).send("REGISTER", ["Require: outbound"])
        assert wire.last_response().status == 420
        assert wire.endpoint.binding("phones", "alice", wire.now) is None

    def test_from_an_address_that_is_known(self) -> None:
        """The address does not say whose the binding is."""
        wire = screened()
        Phone(wire, flow=FLOW).send("REGISTER")
        assert wire.last_response().status == 200
        assert wire.endpoint.binding("phones", "alice", wire.now)

    def test_where_there_are_no_users(self) -> None:
        wire = screened(users=False)
        wire.receive(request("REGISTER"))
        assert wire.last_response().status == 405
