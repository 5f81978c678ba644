"""REGISTER as a client: RFC 3261 §10.2."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

import pytest

from gateway.sip.address import NameAddr
from gateway.sip.agent import UserAgent
from gateway.sip.digest import Credentials
from gateway.sip.event import Flow, Locate, Output, Registered, Transmit, Unregistered
from gateway.sip.grammar import SipError
from gateway.sip.layer import Acknowledged, Delivery, TransactionLayer
from gateway.sip.message import Request, Response, parse
from gateway.sip.registration import FIRST_BACK_OFF, Registration, Registrations
from gateway.sip.uac import Outcome, Reply, Silence, Unreachable, UserAgentClient

from .wire import US, response

FIRST, SECOND = Flow("udp", US, ("192.0.2.20", 5060)), Flow("udp", US, ("192.0.2.21", 5060))
STREAM = Flow("tcp", US, ("192.0.2.20", 5060))
OURS = "<sip:7495@192.0.2.1:5060>"
CHALLENGE = 'WWW-Authenticate: Digest realm="provider", nonce="{}", algorithm=MD5, qop="auth"'


class Desk:
    """A registration with what it stands on; the registrar's side is played by hand."""

    def __init__(
        self,
        *flows: Flow,
        registrar: str = "sip:sip.provider.example",
        credentials: Credentials | None = None,
        expires: int = 300,
    ) -> None:
        numbers = count(1)
        agent = UserAgent(token=lambda: f"t{next(numbers)}", name="gateway")
        self.layer = TransactionLayer()
        self.uac = UserAgentClient(self.layer, agent)
        self.registration = Registration(
            "provider",
            registrar,
            self.uac,
            agent,
            aor="sip:7495@sip.provider.example",
            credentials=credentials,
            expires=expires,
        )
        self.flows = flows or (FIRST,)
        self.now = 1000.0
        self.sent: list[tuple[Request, Flow]] = []
        self.hops: list[str] = []
        self.events: list[Registered | Unregistered] = []

    def start(self) -> Desk:
        self.see(self.registration.refresh(self.now))
        return self

    def see(self, results: Iterable[Output | Delivery | Outcome]) -> None:
        """Do as the endpoint and its shell do."""
        for result in results:
            match result:
                case Transmit(data, flow):
                    message = parse(data)
                    assert isinstance(message, Request)
                    self.sent.append((message, flow))
                case Locate(key, hop):
                    self.hops.append(str(hop))
                    self.see(self.uac.located(key, self.flows, self.now))
                case Registered() | Unregistered():
                    self.events.append(result)
                case Reply(attempt, answer):
                    self.see(self.registration.receive_response(attempt, answer, self.now))
                case Silence(attempt):
                    self.see(self.registration.time_out(attempt, self.now))
                case Unreachable(attempt):
                    self.see(self.registration.unreachable(attempt, self.now))
                case Acknowledged():
                    raise AssertionError("no INVITE here")
                case _:
                    self.see(self.uac.receive(result, self.now))  # type: ignore[arg-type]

    def reply(self, status: str, *headers: str) -> None:
        """The registrar answers the latest request."""
        answer = parse(response(self.last, status, headers=headers))
        assert isinstance(answer, Response)
        self.see(self.layer.receive_response(answer, self.now) or [])

    def accept(self, *contacts: str) -> None:
        """200 with our binding as asked for, or with these Contacts."""
        self.reply("200 OK", *(f"Contact: {it}" for it in contacts or [self.contact]))

    def seen_as(self, via: str) -> None:
        """200, and the Via as the registrar noted it."""
        ok = response(self.last, "200 OK", headers=[f"Contact: {self.contact}"])
        sent = self.last.headers.get("Via") or ""
        answer = parse(ok.replace(sent.encode(), via.encode()))
        assert isinstance(answer, Response)
        self.see(self.layer.receive_response(answer, self.now) or [])

    def wait(self, seconds: float) -> None:
        """Let time pass, each timer at its moment."""
        until = self.now + seconds
        while (due := self.due) is not None and due <= until:
            self.now = due
            self.see(self.layer.handle_timer(due))
            self.see(self.uac.handle_timer(due))
            if self.registration.deadline is not None and self.registration.deadline <= due:
                self.see(self.registration.handle_timer(due))
        self.now = until

    def until_sent(self) -> float:
        """Wait for the next request; returns how long that took."""
        before, begun = len(self.sent), self.now
        while len(self.sent) == before:
            assert self.due is not None
            self.wait(self.due - self.now)
        return self.now - begun

    @property
    def due(self) -> float | None:
        due = (self.layer.deadline, self.uac.deadline, self.registration.deadline)
        return min((at for at in due if at is not None), default=None)

    @property
    def last(self) -> Request:
        return self.sent[-1][0]

    @property
    def contact(self) -> str:
        return self.last.headers.get("Contact") or ""

    @property
    def registered(self) -> bool:
        return self.registration.is_registered(self.now)


def credentials() -> Credentials:
    numbers = count(1)
    return Credentials("7495", "secret", token=lambda: f"c{next(numbers)}")


def asked(request: Request) -> tuple[int, str]:
    """CSeq and for how long."""
    return request.headers.cseq.number, request.headers.get("Expires") or ""


class TestRequest:
    def test_as_it_is_sent(self) -> None:
        """§10.2: no user in the Request-URI, one address in From and To, who we are in Contact."""
        desk = Desk().start()
        request, flow = desk.sent[0]
        assert (request.method, request.uri, flow) == (
            "REGISTER",
            "sip:sip.provider.example",
            FIRST,
        )
        headers = request.headers
        assert headers.get("To") == "<sip:7495@sip.provider.example>"
        assert headers.get("From") == "<sip:7495@sip.provider.example>;tag=t1"
        assert headers.get("Contact") == f"{OURS};expires=300"
        assert headers.get("Expires") == "300"
        assert (headers.call_id, headers.get("CSeq")) == ("t2", "1 REGISTER")
        assert headers.get("Supported") == "path"  # RFC 3327 §5.1
        assert "INVITE" in (headers.get("Allow") or "")
        assert request.body == b""

    def test_by_the_way_that_the_registrar_names(self) -> None:
        desk = Desk(STREAM, registrar="sip:user@sip.provider.example:5070;transport=tcp").start()
        assert desk.hops == ["sip:user@sip.provider.example:5070;transport=tcp"]
        assert desk.last.uri == "sip:sip.provider.example:5070;transport=tcp"
        assert desk.contact == "<sip:7495@192.0.2.1:5060;transport=tcp>;expires=300"

    @pytest.mark.parametrize(
        ("registrar", "uri"),
        [
            ("sip:192.0.2.20:5070;transport=tcp", "sip:sip.provider.example"),
            ("sips:proxy.example", "sips:sip.provider.example"),
            ("sip:SIP.provider.example:5070?x=y", "sip:SIP.provider.example:5070"),
        ],
    )
    def test_a_proxy_on_the_way(self, registrar: str, uri: str) -> None:
        """§10.2: the Request-URI is the domain whose users are registered."""
        desk = Desk(registrar=registrar).start()
        assert desk.hops == [registrar]
        assert desk.last.uri == uri

    def test_behind_a_nat(self) -> None:
        """RFC 3581: the registrar says where it sees us, and our binding says it soon after."""
        desk = Desk(Flow("udp", ("10.0.0.5", 5060), ("192.0.2.20", 5060))).start()
        via = f"{desk.last.headers.get('Via')};received=203.0.113.5".replace(
            ";rport", ";rport=40001"
        )
        desk.seen_as(via)
        assert desk.until_sent() <= FIRST_BACK_OFF * 1.5
        assert desk.contact == "<sip:7495@203.0.113.5:40001>;expires=300"
        desk.accept()
        assert desk.until_sent() > 100  # that is where we are

    def test_all_of_one_sequence(self) -> None:
        """§10.2: the same Call-ID and From tag, CSeq one higher."""
        desk = Desk().start()
        desk.accept()
        desk.until_sent()
        desk.accept()
        desk.until_sent()
        assert [asked(request)[0] for request, _ in desk.sent] == [1, 2, 3]
        assert len({request.headers.call_id for request, _ in desk.sent}) == 1
        assert len({request.headers.get("From") for request, _ in desk.sent}) == 1
        assert len({request.headers.via.branch for request, _ in desk.sent}) == 3

    @pytest.mark.parametrize("uri", ["", "provider", "sip:"])
    def test_no_registrar(self, uri: str) -> None:
        with pytest.raises(SipError):
            Desk(registrar=uri)


class TestRefresh:
    def test_at_half_time(self) -> None:
        """A little earlier, not all at once."""
        desk = Desk().start()
        desk.accept()
        assert desk.events == [Registered("provider", 300)]
        assert desk.registered
        assert 135 <= desk.until_sent() <= 150
        assert desk.registered

    def test_our_contact_among_others(self) -> None:
        """§10.2.4: other phones of the same account have a time of their own."""
        desk = Desk().start()
        desk.accept(
            "<sip:7495@198.51.100.1>;expires=3600, " + f"{OURS};expires=120;q=0.1",
            '"Desk" <sip:other@192.0.2.1:5060>;expires=3600',
            "nonsense, <tel:+7495>;expires=20",
        )
        assert desk.events == [Registered("provider", 120)]

    @pytest.mark.parametrize(
        ("contact", "extra", "granted"),
        [
            ("<sip:7495@192.0.2.1>;expires=90", "Expires: 600", 90),  # 5060 is the default port
            ("<sip:7495@203.0.113.5:61000>;expires=90", "Expires: 600", 90),  # of our NAT
            ("<sip:7495@203.0.113.5>;expires=90, <sip:7495@203.0.113.6>;expires=50", "X: y", 90),
            (OURS, "Expires: 600", 600),
            (OURS, "X: y", 300),
            ("<sip:other@192.0.2.9>;expires=90", "Expires: 600", 600),
            (f"{OURS};expires=soon", "Expires: later", 300),
            (f"{OURS};expires=0", "X: y", 10),
            (f"{OURS};expires=4000000000", "X: y", 86_400),
        ],
    )
    def test_for_how_long(self, contact: str, extra: str, granted: float) -> None:
        desk = Desk().start()
        desk.reply("200 OK", f"Contact: {contact}", extra)
        assert desk.events == [Registered("provider", granted)]

    def test_without_a_contact(self) -> None:
        desk = Desk().start()
        desk.reply("200 OK")
        assert desk.events == [Registered("provider", 300)]

    def test_too_brief(self) -> None:
        """423, §10.2.8: at once, and from then on, for as long as the registrar wants."""
        desk = Desk().start()
        desk.reply("423 Interval Too Brief", "Min-Expires: 1800")
        assert [asked(request) for request, _ in desk.sent] == [(1, "300"), (2, "1800")]
        desk.accept()
        desk.until_sent()
        assert asked(desk.last) == (3, "1800")

    @pytest.mark.parametrize(
        "least", ["", "Min-Expires: 300", "Min-Expires: x", "Min-Expires: 90000"]
    )
    def test_too_brief_without_end(self, least: str) -> None:
        desk = Desk().start()
        desk.reply("423 Interval Too Brief", least or "X: y")
        (event,) = desk.events
        assert isinstance(event, Unregistered)
        assert event.status == 423

    def test_service_route(self) -> None:
        """RFC 3608 §5: the latest one counts."""
        desk = Desk().start()
        desk.reply("200 OK", "Service-Route: <sip:a;lr>, <sip:b;lr>", "Service-Route: <sip:c;lr>")
        assert [*desk.registration.service_route] == ["<sip:a;lr>", "<sip:b;lr>", "<sip:c;lr>"]
        desk.until_sent()
        desk.accept()
        assert [*desk.registration.service_route] == []

    def test_where_the_registrar_is(self) -> None:
        """All its addresses: a call may come from each of them."""
        desk = Desk(FIRST, SECOND).start()
        assert desk.registration.hosts == frozenset()
        desk.accept()
        assert desk.registration.hosts == {"192.0.2.20", "192.0.2.21"}
        assert desk.registration.flow == FIRST


class TestChallenge:
    def test_answered(self) -> None:
        desk = Desk(credentials=credentials()).start()
        desk.reply("401 Unauthorized", CHALLENGE.format("n1"))
        assert [asked(request)[0] for request, _ in desk.sent] == [1, 2]
        assert 'username="7495"' in (desk.last.headers.get("Authorization") or "")
        assert 'uri="sip:sip.provider.example"' in (desk.last.headers.get("Authorization") or "")
        desk.accept()
        desk.until_sent()
        assert "nc=00000002" in (desk.last.headers.get("Authorization") or "")
        assert desk.events == [Registered("provider", 300)]

    def test_wrong_password(self) -> None:
        """Once, and then not for a long time: there are registrars that lock the account."""
        desk = Desk(credentials=credentials()).start()
        for nonce in ("n1", "n2"):
            desk.reply("401 Unauthorized", CHALLENGE.format(nonce))
        (event,) = desk.events
        assert isinstance(event, Unregistered)
        assert (event.status, event.reason) == (401, "Unauthorized")
        assert 540 <= desk.until_sent() <= 600

    def test_nothing_to_answer_with(self) -> None:
        desk = Desk().start()
        desk.reply("401 Unauthorized", CHALLENGE.format("n1"))
        assert [type(event) for event in desk.events] == [Unregistered]


class TestBackOff:
    def test_trouble_of_the_registrar(self) -> None:
        """5 s, doubled up to 5 min, each a little less."""
        desk, waits = Desk().start(), []
        for _ in range(8):
            desk.reply("500 Server Internal Error")
            waits.append(desk.until_sent())
        for wait, longest in zip(waits, [5, 10, 20, 40, 80, 160, 300, 300], strict=True):
            assert 0.9 * longest <= wait <= longest
        desk.accept()
        desk.until_sent()
        desk.reply("500 Server Internal Error")
        assert desk.until_sent() <= 5

    @pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "302 Moved", "600 No"])
    def test_what_waiting_does_not_change(self, status: str) -> None:
        """Nobody is asked again soon, and 3xx is not followed."""
        desk = Desk().start()
        desk.reply(status, "Contact: <sip:elsewhere.example>")
        wait = desk.until_sent()
        if status.startswith("600"):
            assert wait <= 5
        else:
            assert 540 <= wait <= 600
        assert desk.last.uri == "sip:sip.provider.example"

    @pytest.mark.parametrize(
        ("value", "least"),
        [("120", 120), ("120;duration=60", 120), ("120 (tired)", 120), ("99999", 3600), ("x", 4.5)],
    )
    def test_retry_after(self, value: str, least: float) -> None:
        """§20.33, and for no longer than an hour."""
        desk = Desk().start()
        desk.reply("503 Service Unavailable", f"Retry-After: {value}")
        assert least <= desk.until_sent() <= max(least, 5)

    def test_no_answer(self) -> None:
        desk = Desk().start()
        desk.wait(32)
        (event,) = desk.events
        assert isinstance(event, Unregistered)
        assert (event.status, event.reason) == (408, "No Answer")
        assert event.retry is not None
        assert event.retry <= 5

    def test_no_way(self) -> None:
        desk = Desk()
        desk.flows = ()
        desk.start()
        (event,) = desk.events
        assert isinstance(event, Unregistered)
        assert (event.status, event.reason) == (503, "Unreachable")

    def test_the_other_address_of_the_registrar(self) -> None:
        """RFC 3263 §4.3, done by uac.py."""
        desk = Desk(FIRST, SECOND).start()
        desk.reply("503 Service Unavailable")
        assert desk.sent[-1][1] == SECOND
        desk.accept()
        assert desk.events == [Registered("provider", 300)]

    def test_a_binding_outlives_a_refresh_without_an_answer(self) -> None:
        desk = Desk().start()
        desk.accept()
        desk.until_sent()
        desk.wait(32)
        assert [type(event) for event in desk.events] == [Registered, Unregistered]
        assert desk.registered
        desk.wait(150)
        assert not desk.registered

    def test_a_binding_does_not_outlive_a_refusal(self) -> None:
        desk = Desk().start()
        desk.accept()
        desk.until_sent()
        desk.reply("403 Forbidden")
        assert not desk.registered


class TestOnceMore:
    def test_after_a_change_of_network(self) -> None:
        desk = Desk().start()
        desk.accept()
        desk.wait(10)
        desk.see(desk.registration.refresh(desk.now))
        assert asked(desk.last) == (2, "300")
        assert desk.registered

    def test_while_it_is_asking(self) -> None:
        """The first request is forgotten, an answer to it changes nothing."""
        desk = Desk().start()
        first = desk.last
        desk.see(desk.registration.refresh(desk.now))
        late = parse(response(first, "403 Forbidden"))
        assert isinstance(late, Response)
        desk.see(desk.layer.receive_response(late, desk.now) or [])
        desk.accept()
        assert desk.events == [Registered("provider", 300)]

    def test_after_its_connection_was_lost(self) -> None:
        """Calls cannot come by it any more (RFC 5626 §4.4)."""
        desk = Desk(STREAM).start()
        desk.see(desk.registration.lose(STREAM, desk.now))  # not registered yet: uac.py sees it
        desk.accept()
        desk.now += 10
        desk.see(desk.registration.lose(FIRST, desk.now))
        assert len(desk.sent) == 1
        desk.see(desk.registration.lose(STREAM, desk.now))
        assert asked(desk.last) == (2, "300")
        desk.see(desk.registration.lose(STREAM, desk.now))
        assert len(desk.sent) == 2

    def test_after_it_was_lost_and_nobody_is_there(self) -> None:
        """The connection is lost once; what fails then is tried again when it is due."""
        desk = Desk(STREAM).start()
        desk.accept()
        desk.now += 10
        desk.see(desk.registration.lose(STREAM, desk.now))
        assert len(desk.sent) == 2
        desk.see(desk.layer.fail(STREAM))
        desk.see(desk.registration.lose(STREAM, desk.now))
        assert len(desk.sent) == 2
        assert desk.registration.deadline == pytest.approx(desk.now + 5, abs=0.5)

    def test_after_a_refresh_found_nobody(self) -> None:
        """That the way is gone is known then."""
        desk = Desk(STREAM).start()
        desk.accept()
        desk.until_sent()
        desk.see(desk.layer.fail(STREAM))
        desk.see(desk.registration.lose(STREAM, desk.now))
        assert len(desk.sent) == 2

    def test_after_a_connection_that_did_not_last(self) -> None:
        """A registrar that closes each of them is not asked without end."""
        desk = Desk(STREAM).start()
        desk.accept()
        desk.see(desk.registration.lose(STREAM, desk.now))
        assert len(desk.sent) == 1
        assert desk.registration.deadline == pytest.approx(desk.now + 5, abs=0.5)

    def test_after_a_datagram_was_refused(self) -> None:
        """That is no connection: whoever forges ICMP would have us register time and again."""
        desk = Desk(FIRST).start()
        desk.accept()
        desk.see(desk.registration.lose(FIRST, desk.now))
        assert len(desk.sent) == 1


class TestStop:
    def test_the_binding_is_removed(self) -> None:
        """§10.2.2."""
        desk = Desk().start()
        desk.accept()
        desk.see(desk.registration.stop(desk.now))
        assert asked(desk.last) == (2, "0")
        assert desk.contact == f"{OURS};expires=0"
        assert not desk.registered
        assert not desk.registration.released
        desk.reply("200 OK")
        assert desk.registration.released
        assert desk.registration.deadline is None
        assert desk.events == [Registered("provider", 300)]

    def test_with_a_password(self) -> None:
        desk = Desk(credentials=credentials()).start()
        desk.reply("401 Unauthorized", CHALLENGE.format("n1"))
        desk.accept()
        desk.see(desk.registration.stop(desk.now))
        desk.reply("401 Unauthorized", CHALLENGE.format("n2"))
        assert asked(desk.last) == (4, "0")
        desk.reply("200 OK")
        assert desk.registration.released

    def test_while_it_is_asking(self) -> None:
        """Whether the registrar took the binding is not known, so it is removed."""
        desk = Desk().start()
        desk.see(desk.registration.stop(desk.now))
        assert asked(desk.last) == (2, "0")

    def test_where_there_is_none(self) -> None:
        desk = Desk().start()
        desk.reply("403 Forbidden")
        desk.see(desk.registration.stop(desk.now))
        assert desk.registration.released
        assert len(desk.sent) == 1

    def test_once(self) -> None:
        desk = Desk().start()
        desk.accept()
        for _ in range(2):
            desk.see(desk.registration.stop(desk.now))
        desk.see(desk.registration.refresh(desk.now))
        assert len(desk.sent) == 2

    def test_nobody_answers(self) -> None:
        desk = Desk().start()
        desk.accept()
        desk.see(desk.registration.stop(desk.now))
        desk.wait(40)
        assert desk.registration.released
        assert desk.events == [Registered("provider", 300)]

    def test_what_is_not_for_us(self) -> None:
        """Provisional responses, and what comes of a request that was given up."""
        desk = Desk().start()
        desk.reply("100 Trying")
        assert desk.events == []
        attempt = desk.registration._asking
        assert attempt
        desk.accept()
        desk.see(desk.registration.time_out(attempt, desk.now))
        assert desk.events == [Registered("provider", 300)]


class TestSeveral:
    """Registrations of one endpoint."""

    def several(self) -> tuple[Registrations, UserAgentClient]:
        numbers = count(1)
        agent = UserAgent(token=lambda: f"t{next(numbers)}", name="gateway")
        uac = UserAgentClient(TransactionLayer(), agent)
        return Registrations(uac, agent), uac

    def add(self, them: Registrations, name: str) -> Locate:
        (locate,) = them.add(
            name,
            f"sip:{name}.example",
            0.0,
            aor=f"sip:u@{name}.example",
            credentials=None,
            expires=300,
        )
        assert isinstance(locate, Locate)
        return locate

    def test_each_for_itself(self) -> None:
        them, uac = self.several()
        first, second = self.add(them, "a"), self.add(them, "b")
        assert [str(first.hop), str(second.hop)] == ["sip:a.example", "sip:b.example"]
        assert list(them.by_name) == ["a", "b"]
        (outcome,) = uac.located(first.key, (), 0.0)
        assert isinstance(outcome, Unreachable)
        (event,) = them.receive(outcome, 0.0) or []
        assert isinstance(event, Unregistered)
        assert event.name == "a"
        assert them.deadline == event.retry
        assert [type(it) for it in them.handle_timer(5.0)] == [Locate]
        assert them.deadline is None

    def test_a_name_is_one(self) -> None:
        them, _ = self.several()
        self.add(them, "a")
        with pytest.raises(ValueError, match="a is registered already"):
            self.add(them, "a")

    def test_over(self) -> None:
        them, uac = self.several()
        locate = self.add(them, "a")
        (outcome,) = uac.located(locate.key, (), 0.0)
        assert isinstance(outcome, Unreachable)
        them.receive(outcome, 0.0)
        assert them.remove("a", 1.0) == []
        assert list(them.by_name) == []
        assert them.deadline is None
        assert them.receive(outcome, 1.0) is None
        assert them.remove("a", 1.0) == them.refresh("a", 1.0) == them.lose(FIRST, 1.0) == []

    def test_all_ends(self) -> None:
        """An answer, silence, no way; a change of network; a lost connection."""
        them, uac = self.several()
        self.add(them, "a")
        attempt = them.by_name["a"]._asking
        assert attempt
        assert them.receive(Reply(attempt, Response(100, "Trying")), 0.0) == []
        assert them.receive(Silence(attempt), 0.0) != []
        assert [type(it) for it in them.refresh("a", 1.0)] == [Locate]
        assert them.lose(FIRST, 1.0) == []
        assert [type(it) for it in them.remove("a", 1.0)] == [Locate]
        assert list(them.by_name) == ["a"]
        assert uac.locating


def test_the_contact_is_a_contact() -> None:
    assert NameAddr.parse(Desk().start().contact).uri.user == "7495"
