"""RFC 3261 §8.1 and RFC 3263 §4.3: a request of ours, its ways, its challenges."""

from itertools import count

import pytest

from gateway.sip.address import Uri
from gateway.sip.digest import Credentials
from gateway.sip.endpoint import (
    Answered,
    Ended,
    Endpoint,
    Flow,
    Locate,
    Progress,
    Refused,
    Transmit,
)
from gateway.sip.message import Request, parse
from gateway.sip.uac import AVOIDED, PATIENCE

from .wire import ANSWER, FLOW, OFFER, US, request, response

FIRST, SECOND = Flow("udp", US, ("192.0.2.9", 5060)), Flow("tcp", US, ("192.0.2.10", 5060))
THIRD = Flow("udp", US, ("192.0.2.11", 5060))
TO = "sip:bob@example.com"
NOBODY = Ended("t1", "network", "unreachable", 503, None)


class Line:
    """An endpoint that has begun a call to a name; `sent` are requests with their ways."""

    def __init__(self, *, body: bytes = OFFER, credentials: Credentials | None = None) -> None:
        numbers = count(1)
        self.endpoint = Endpoint(token=lambda: f"t{next(numbers)}")
        self.now = 0.0
        self.sent: list[tuple[Request, Flow]] = []
        self.events: list[object] = []
        self.place(body, credentials)

    def place(self, body: bytes = OFFER, credentials: Credentials | None = None) -> None:
        _, outputs = self.endpoint.invite(
            TO, None, body, self.now, from_uri="sip:gw@192.0.2.1", credentials=credentials
        )
        self.see(outputs)

    def see(self, outputs: list) -> None:  # type: ignore[type-arg]  # of Output
        for output in outputs:
            if isinstance(output, Transmit):
                message = parse(output.data)
                assert isinstance(message, Request)
                self.sent.append((message, output.flow))
            else:
                self.events.append(output)

    def find(self, *flows: Flow) -> None:
        """Answer the latest question where a hop is."""
        locate = next(it for it in reversed(self.events) if isinstance(it, Locate))
        self.events.remove(locate)
        self.see(self.endpoint.located(locate.key, flows, self.now))

    def reply(self, status: str, *headers: str, body: bytes = b"") -> None:
        """Answer the latest request by the way it went."""
        sent, flow = next(it for it in reversed(self.sent) if it[0].method != "ACK")
        data = response(sent, status, headers=headers, body=body)
        self.see(self.endpoint.receive(data, flow, self.now))

    def fail(self, flow: Flow) -> None:
        self.see(self.endpoint.failed(flow, self.now))

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (deadline := self.endpoint.deadline) is not None and deadline <= until:
            self.now = deadline
            self.see(self.endpoint.handle_timer(deadline))
        self.now = until

    def lines(self) -> list[tuple[str, Flow]]:
        return [(message.method, flow) for message, flow in self.sent]

    def branches(self) -> list[str]:
        return [message.headers.via.branch for message, _ in self.sent]


class TestFinding:
    def test_a_name_is_looked_up(self) -> None:
        """
        Nothing leaves before the peer is found; Via and Contact are written for the way.
        """
        line = Line()
        assert line.events == [Locate("hop-1", Uri.parse(TO))]
        assert (line.sent, line.endpoint.unanswered, line.endpoint.idle) == ([], True, False)

        line.find(SECOND)
        (invite, flow), *_ = line.sent
        assert flow == SECOND
        assert str(invite.headers.via).startswith("SIP/2.0/TCP 192.0.2.1:5060;")
        assert invite.headers.get("Contact") == "<sip:192.0.2.1:5060;transport=tcp>"

    def test_nobody_is_there(self) -> None:
        line = Line()
        line.find()

        assert line.events == [NOBODY]
        assert line.endpoint.idle

    def test_the_call_is_over_before(self) -> None:
        """
        Who is found too late is not called.
        """
        line = Line()
        line.see(line.endpoint.bye("t1", 0.0))
        assert line.events[1:] == [Ended("t1", "us", "cancelled", 487, None)]

        line.find(FIRST)
        assert line.sent == []
        assert line.endpoint.idle

    def test_an_unknown_question(self) -> None:
        assert Line().endpoint.located("hop-9", [FIRST], 0.0) == []

    def test_the_ack_finds_its_way_too(self) -> None:
        """
        A Record-Route may name another host than the INVITE went to (§13.2.2.4). Copies of the
        2xx bring copies of the ACK, and no other question.
        """
        line = Line()
        line.find(FIRST)
        route = "Record-Route: <sip:edge.example.com;transport=tcp;lr>"
        ok = ("200 OK", "Contact: <sip:bob@192.0.2.9>", route)
        line.reply(*ok, body=ANSWER)
        hop = line.events[0]
        assert isinstance(hop, Locate)
        assert hop.hop.host == "edge.example.com"
        line.find(SECOND)
        line.reply(*ok, body=ANSWER)

        assert line.lines() == [("INVITE", FIRST), ("ACK", SECOND), ("ACK", SECOND)]
        assert line.branches()[1] == line.branches()[2]


class TestFailOver:
    def test_503(self) -> None:
        """
        To the next with a branch of its own; the CSeq stays (RFC 3263 §4.3).
        """
        line = Line()
        line.find(FIRST, SECOND)
        line.reply("503 Service Unavailable")
        line.reply("180 Ringing")

        assert line.lines() == [("INVITE", FIRST), ("ACK", FIRST), ("INVITE", SECOND)]
        assert {message.headers.cseq.number for message, _ in line.sent} == {1}
        assert line.branches()[0] == line.branches()[1] != line.branches()[2]
        assert line.events == [Progress("t1", 180, b"", "peer")]

    def test_the_last_503_is_the_answer(self) -> None:
        line = Line()
        line.find(FIRST)
        line.reply("503 Service Unavailable")

        assert line.events == [Ended("t1", "peer", "refused", 503, "Service Unavailable")]

    def test_another_refusal_is_the_answer(self) -> None:
        line = Line()
        line.find(FIRST, SECOND)
        line.reply("486 Busy Here")

        assert line.events == [Ended("t1", "peer", "refused", 486, "Busy Here")]

    def test_no_connection(self) -> None:
        line = Line()
        line.find(SECOND, FIRST)
        line.fail(SECOND)
        assert line.lines() == [("INVITE", SECOND), ("INVITE", FIRST)]

        line.fail(FIRST)
        assert line.events == [NOBODY]
        line.wait(64.0)
        assert line.endpoint.idle

    def test_silence(self) -> None:
        """
        While there is another, a few seconds are enough; the last one has its 32.
        """
        line = Line()
        line.find(FIRST, SECOND)
        line.wait(PATIENCE)
        assert line.lines()[-1] == ("INVITE", SECOND)
        line.wait(31.0)
        assert line.events == []
        line.wait(1.0)

        assert line.events == [Ended("t1", "network", "timeout", 408, None)]

    def test_no_hurry_with_who_rings(self) -> None:
        line = Line()
        line.find(FIRST, SECOND)
        line.reply("180 Ringing")
        line.wait(60.0)

        assert line.lines() == [("INVITE", FIRST)]

    def test_who_failed_comes_last_for_a_while(self) -> None:
        line = Line()
        line.find(FIRST, SECOND)
        line.reply("503 Service Unavailable")
        line.reply("486 Busy Here")
        line.sent.clear()
        line.place()
        line.find(FIRST, SECOND, THIRD)
        assert line.lines() == [("INVITE", SECOND)]

        line.reply("486 Busy Here")
        line.sent.clear()
        line.wait(AVOIDED)
        line.place()
        line.find(FIRST, SECOND)
        assert line.lines() == [("INVITE", FIRST)]

    def test_given_up(self) -> None:
        """
        A call that is to be cancelled tries nobody else.
        """
        line = Line()
        line.find(FIRST, SECOND)
        line.see(line.endpoint.bye("t1", 0.0))
        line.reply("503 Service Unavailable")

        assert line.lines() == [("INVITE", FIRST), ("ACK", FIRST)]


class TestLongRequests:
    def test_by_a_stream(self) -> None:
        """
        Over 1,300 bytes (§18.1.1): TCP first, and UDP where that is refused. The dialog's own
        requests are to come as they would have.
        """
        line = Line(body=b"x" * 1300)
        line.find(FIRST)
        stream = Flow("tcp", US, FIRST.remote)
        line.fail(stream)

        assert line.lines() == [("INVITE", stream), ("INVITE", FIRST)]
        assert [str(message.headers.via)[:11] for message, _ in line.sent] == [
            "SIP/2.0/TCP",
            "SIP/2.0/UDP",
        ]
        assert {message.headers.get("Contact") for message, _ in line.sent} == {
            "<sip:192.0.2.1:5060>"
        }


CHALLENGE = 'WWW-Authenticate: Digest realm="r", nonce="n1", algorithm=MD5, qop="auth"'
PROXY = 'Proxy-Authenticate: Digest realm="r", nonce="n2", algorithm=MD5, qop="auth"'


def credentials() -> Credentials:
    return Credentials("gw", "secret", token=lambda: "c")


class TestChallenges:
    def test_answered(self) -> None:
        """
        The same call, the next CSeq, another branch (§22.2); the ACK of the 2xx has the
        credentials too (§22.1).
        """
        line = Line(credentials=credentials())
        line.find(FIRST)
        line.reply("407 Proxy Authentication Required", PROXY)
        line.reply("200 OK", "Contact: <sip:bob@192.0.2.9>", body=ANSWER)

        first, _, second, ack = [message for message, _ in line.sent]
        assert [it.headers.cseq for it in (second, ack)] == [(2, "INVITE"), (2, "ACK")]
        assert first.headers.call_id == second.headers.call_id
        assert first.headers.from_ == second.headers.from_
        assert len({*line.branches()}) == 3  # the ACK of the 407 has the first one's
        assert 'username="gw"' in (second.headers.get("Proxy-Authorization") or "")
        assert ack.headers.all("Proxy-Authorization") == second.headers.all("Proxy-Authorization")
        assert line.events == [Answered("t1", ANSWER, "peer")]

    def test_both_kinds(self) -> None:
        """
        A proxy and the peer ask, each in its turn; the last request answers both.
        """
        line = Line(credentials=credentials())
        line.find(FIRST)
        line.reply("407 Proxy Authentication Required", PROXY)
        line.reply("401 Unauthorized", CHALLENGE)

        last = line.sent[-1][0].headers
        assert last.get("Authorization") is not None
        assert last.get("Proxy-Authorization") is not None
        assert last.cseq.number == 3

    def test_wrong_password(self) -> None:
        line = Line(credentials=credentials())
        line.find(FIRST)
        line.reply("401 Unauthorized", CHALLENGE)
        line.reply("401 Unauthorized", CHALLENGE)

        assert line.events == [Ended("t1", "peer", "refused", 401, "Unauthorized")]

    def test_without_end(self) -> None:
        """
        A peer that has a new nonce each time is left in the end.
        """
        line = Line(credentials=credentials())
        line.find(FIRST)
        for turn in range(20):
            line.reply("401 Unauthorized", CHALLENGE.replace("n1", f"n{turn}") + ", stale=true")

        assert len([it for it in line.lines() if it[0] == "INVITE"]) <= 6
        assert line.events == [Ended("t1", "peer", "refused", 401, "Unauthorized")]

    def test_none_of_ours(self) -> None:
        line = Line()
        line.find(FIRST)
        line.reply("401 Unauthorized", CHALLENGE)

        assert line.events == [Ended("t1", "peer", "refused", 401, "Unauthorized")]

    def test_within_the_dialog(self) -> None:
        """
        A BYE that is challenged is said again; what is known goes with it at once.
        """
        line = Line(credentials=credentials())
        line.find(FIRST)
        line.reply("200 OK", "Contact: <sip:bob@192.0.2.9>", body=ANSWER)
        line.see(line.endpoint.bye("t1", 0.0))
        line.reply("401 Unauthorized", CHALLENGE)
        line.reply("200 OK")

        byes = [message for message, _ in line.sent if message.method == "BYE"]
        assert [bye.headers.cseq.number for bye in byes] == [2, 3]
        assert byes[1].headers.get("Authorization") is not None
        line.wait(64.0)
        assert line.endpoint.idle

    def test_of_the_caller(self) -> None:
        """
        Whoever calls us and challenges our BYE learns nothing of any password.
        """
        numbers = count(1)
        endpoint = Endpoint(token=lambda: f"t{next(numbers)}")
        endpoint.receive(request("INVITE", body=OFFER), FLOW, 0.0)
        endpoint.answer("t1", ANSWER, 0.0)
        endpoint.receive(request("ACK", branch="z9hG4bK-ack", to_tag="t1"), FLOW, 0.0)
        (_, bye) = sorted(endpoint.bye("t1", 0.0), key=lambda it: isinstance(it, Transmit))
        assert isinstance(bye, Transmit)
        sent = parse(bye.data)
        assert isinstance(sent, Request)

        challenge = response(sent, "407 Proxy Authentication Required", headers=[PROXY])
        assert endpoint.receive(challenge, FLOW, 0.0) == []


def test_a_reinvite_without_a_way() -> None:
    """
    It is refused as if 503 had come (§8.1.3.1), and the call lives on.
    """
    line = Line()
    line.find(SECOND)
    line.reply("200 OK", "Contact: <sip:bob@192.0.2.10;transport=tcp>", body=ANSWER)
    line.see(line.endpoint.reinvite("t1", OFFER, 0.0))
    line.fail(SECOND)
    line.find()

    assert line.events[1:] == [Refused("t1", 503, "No Way To The Peer")]
    assert line.endpoint.calls == 1


class TestConnectionGone:
    """A dialog whose peer has called by a connection, and has closed it since."""

    CAME = Flow("tcp", US, ("192.0.2.9", 40000))

    def bye(self, *headers: str) -> Line:
        line = Line()
        line.find()
        line.events.clear()
        invite = request("INVITE", headers=headers, body=OFFER)
        call = line.endpoint.receive(invite, self.CAME, 0.0)[-1].call  # type: ignore[union-attr]
        line.endpoint.answer(call, ANSWER, 0.0)
        ack = request("ACK", branch="z9hG4bK-a", to_tag=call)
        line.endpoint.receive(ack, self.CAME, 0.0)
        line.see(line.endpoint.bye(call, 0.0))
        assert line.lines() == [("BYE", self.CAME)]
        line.fail(self.CAME)
        return line

    @pytest.mark.parametrize(
        ("headers", "hop"),
        [
            (
                ["Contact: <sip:a@192.0.2.9:5070;transport=tcp>"],
                "sip:a@192.0.2.9:5070;transport=tcp",
            ),
            (
                ["Contact: <sip:a@192.0.2.9>", "Record-Route: <sip:192.0.2.9;transport=tcp;lr>"],
                "sip:192.0.2.9;transport=tcp;lr",
            ),
            (["Contact: <sip:a@192.0.2.9>", "Record-Route: <sip:192.0.2.9>"], "sip:192.0.2.9"),
        ],
    )
    def test_bye(self, headers: list[str], hop: str) -> None:
        """
        What was to go by it goes where route and Contact say, once.
        """
        line = self.bye(*headers)
        (asked,) = [it for it in line.events if isinstance(it, Locate)]
        assert asked.hop == Uri.parse(hop)
        line.find(SECOND)
        assert line.lines()[1:] == [("BYE", SECOND)]
        line.fail(SECOND)
        assert [it for it in line.events if isinstance(it, Locate)] == []
        assert not line.endpoint.unanswered

    @pytest.mark.parametrize("headers", [["Contact: <sip:a@192.0.2.9>", "Record-Route: x"]])
    def test_gibberish(self, headers: list[str]) -> None:
        """
        Nobody knows where else: it is over.
        """
        line = self.bye(*headers)
        assert [it for it in line.events if isinstance(it, Locate)] == []
        assert not line.endpoint.unanswered
