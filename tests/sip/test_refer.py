"""Transfers by REFER, in both roles: RFC 3515, 4488, 6665, 3892."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.agent import UserAgent, phrase
from gateway.sip.dialog import Dialog
from gateway.sip.digest import Credentials
from gateway.sip.event import Event, Locate, Output, ReferralProgress, Referred, Transmit
from gateway.sip.layer import Acknowledged, Server, TransactionLayer
from gateway.sip.message import Request, Response, parse
from gateway.sip.refer import Fields, Referrals
from gateway.sip.replaces import Replaces
from gateway.sip.uac import Reply, UserAgentClient

from .wire import FLOW, request, response

BOB = "sip:bob@192.0.2.7"
NOTIFY = "NOTIFY sip:alice@192.0.2.9"


class Line:
    """One call's referrals on a wire: the peer has called us, our tag is us."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        numbers = count(1)
        self.now = 0.0
        self.sent: list[Request | Response] = []
        self.layer = TransactionLayer()
        self.agent = UserAgent(token=lambda: f"t{next(numbers)}", name="gateway")
        self.uac = UserAgentClient(self.layer, self.agent)
        invite = parse(request("INVITE"))
        assert isinstance(invite, Request)
        self.referrals = Referrals(
            "us",
            Dialog.accept(invite, "us"),
            self.uac,
            self.agent,
            way=lambda: FLOW,
            respond=self.respond,
            credentials=credentials,
        )
        self.cseq = count(2)
        self.refer: Request  # ours, where a test has kept it

    def respond(self, server: Server, status: int, now: float, headers: Fields) -> list[Output]:
        answer = self.agent.respond(server.request, status, tag="us", headers=headers)
        return [*self.layer.respond(server, answer, now)]

    def see(self, outputs: Sequence[Output]) -> list[str | Event]:
        """The first line of each message, and the events."""
        seen: list[str | Event] = []
        for output in outputs:
            if isinstance(output, Transmit):
                assert output.flow == FLOW
                message = parse(output.data)
                self.sent.append(message)
                seen.append(output.data.split(b"\r\n")[0].decode().replace(" SIP/2.0", ""))
            else:
                assert not isinstance(output, Locate)
                seen.append(output)
        return seen

    def peer(self, method: str, headers: Sequence[str], body: bytes = b"") -> list[str | Event]:
        """The peer sends a request within the dialog."""
        number = next(self.cseq)
        data = request(
            method, cseq=number, branch=f"z9hG4bK-{number}", to_tag="us", headers=headers
        ).replace(b"Content-Length: 0", b"Content-Length: %d" % len(body))
        message = parse(data + body)
        assert isinstance(message, Request)
        server = self.layer.accept(message, FLOW, "us")
        receive = (
            self.referrals.receive_refer if method == "REFER" else self.referrals.receive_notify
        )
        return self.see(receive(server, self.now))

    def refers(self, *headers: str, to: str = f"<{BOB}>") -> list[str | Event]:
        return self.peer("REFER", [f"Refer-To: {to}", *headers])

    def notifies(
        self, word: str, state: str = "active;expires=60", event: str = "refer"
    ) -> list[str | Event]:
        headers = [f"Event: {event}", f"Subscription-State: {state}"]
        return self.peer(
            "NOTIFY", [*headers, "Content-Type: message/sipfrag"], f"SIP/2.0 {word}\r\n".encode()
        )

    def answers(self, to: Request, status: str, *headers: str) -> list[str | Event]:
        """The peer answers a request of ours."""
        answer = parse(response(to, status, headers=headers))
        assert isinstance(answer, Response)
        return self.deliver(self.layer.receive_response(answer, self.now) or [])

    def deliver(self, results: Sequence[object]) -> list[str | Event]:
        seen: list[str | Event] = []
        for result in results:
            if isinstance(result, Transmit):
                seen += self.see([result])
                continue
            assert not isinstance(result, Acknowledged)
            for outcome in self.uac.receive(result, self.now):  # type: ignore[arg-type]
                match outcome:
                    case Reply(attempt, answer):
                        seen += self.see(self.referrals.receive_response(attempt, answer, self.now))
                    case Transmit():
                        seen += self.see([outcome])
                    case _:
                        seen += self.see(self.referrals.time_out(outcome.attempt, self.now))  # type: ignore[union-attr]
        return seen

    def wait(self, until: float) -> list[tuple[float, str | Event]]:
        """Let time pass for the referrals alone; transactions have nothing to say of them."""
        seen: list[tuple[float, str | Event]] = []
        while (at := self.referrals.deadline) is not None and at <= until:
            self.now = at
            seen += [(at, what) for what in self.see(self.referrals.handle_timer(at))]
        self.now = until
        return seen

    @property
    def last(self) -> Request:
        message = self.sent[-1]
        assert isinstance(message, Request)
        return message

    def header(self, name: str) -> str | None:
        return self.sent[-1].headers.get(name)


def progress(status: int, reason: str, *, final: bool = False) -> ReferralProgress:
    return ReferralProgress("us", status, reason, final)


def referring(**how: object) -> Line:
    """Our REFER to Bob has left."""
    line = Line()
    assert line.see(line.referrals.refer(BOB, 0.0, **how)) == [  # type: ignore[arg-type]
        "REFER sip:alice@192.0.2.9"
    ]
    return line


def accepted(**how: object) -> Line:
    """Our REFER to Bob was answered 202."""
    line = referring(**how)
    assert line.answers(line.last, "202 Accepted") == [progress(202, "Accepted")]
    return line


def asked(*headers: str) -> Line:
    """The peer's REFER to Bob waits for us."""
    line = Line()
    assert line.refers(*headers) == [Referred("us", BOB, None)]
    return line


def working(*headers: str) -> Line:
    """The peer's REFER to Bob was accepted."""
    line = asked(*headers)
    line.see(line.referrals.accept(0.0))
    return line


class TestRefer:
    """RFC 3515 §2.4.1: what we send."""

    def test_within_the_dialog_with_one_refer_to(self) -> None:
        line = referring()
        assert line.header("Refer-To") == f"<{BOB}>"
        assert line.header("Contact") == "<sip:192.0.2.1:5060>"
        assert line.header("To") == '"Alice" <sip:alice@example.com>;tag=peer'
        assert line.header("CSeq") == "1 REFER"
        assert line.header("Refer-Sub") is None
        assert line.header("Referred-By") is None

    def test_to_a_number(self) -> None:
        line = Line()
        line.see(line.referrals.refer("tel:+74951234567", 0.0))
        assert line.header("Refer-To") == "<tel:+74951234567>"

    def test_referred_by(self) -> None:
        """RFC 3892 §2.1, as a URI or with a name."""
        line = referring(referred_by="sip:agent@192.0.2.1")
        assert line.header("Referred-By") == "<sip:agent@192.0.2.1>"

    def test_in_the_place_of_another_call(self) -> None:
        """RFC 3891 §5: the Replaces stands escaped behind the URI."""
        line = referring(replaces=Replaces("c2@x", "theirs", "ours"))
        assert line.header("Refer-To") == (
            f"<{BOB}?Replaces=c2%40x%3Bto-tag%3Dtheirs%3Bfrom-tag%3Dours>"
        )

    @pytest.mark.parametrize(
        "target", ["", "bob", "sip:", "sip:a@b\r\nX: y", "sip:a@b>;x=<", "sip:a b@c"]
    )
    def test_a_target_that_is_no_uri_is_our_own_mistake(self, target: str) -> None:
        line = Line()
        with pytest.raises(ValueError, match="not a URI"):
            line.referrals.refer(target, 0.0)
        assert line.referrals.deadline is None

    def test_one_at_a_time(self) -> None:
        line = accepted()
        with pytest.raises(ValueError, match="one referral"):
            line.referrals.refer(BOB, 0.0)

    def test_another_one_after_the_first(self) -> None:
        line = accepted()
        line.notifies("486 Busy Here", "terminated;reason=noresource")
        assert line.see(line.referrals.refer("sip:carol@192.0.2.8", 1.0)) == [
            "REFER sip:alice@192.0.2.9"
        ]

    def test_a_challenge_is_answered_with_the_trunks_credentials(self) -> None:
        """And the NOTIFYs have the number of the REFER that was taken (§2.4.6)."""
        line = Line(Credentials("gw", "secret", token=lambda: "cnonce"))
        line.see(line.referrals.refer(BOB, 0.0))
        challenge = 'WWW-Authenticate: Digest realm="r", nonce="n", algorithm=MD5'
        assert line.answers(line.last, "401 Unauthorized", challenge) == [
            "REFER sip:alice@192.0.2.9"
        ]
        assert line.header("CSeq") == "2 REFER"
        assert line.notifies("100 Trying", event="refer;id=1") == [
            "SIP/2.0 481 Call/Transaction Does Not Exist"
        ]
        assert line.notifies("100 Trying", event="refer;id=2") == [
            "SIP/2.0 200 OK",
            progress(100, "Trying"),
        ]

    def test_a_challenge_without_credentials_is_a_refusal(self) -> None:
        line = referring()
        challenge = 'WWW-Authenticate: Digest realm="r", nonce="n"'
        assert line.answers(line.last, "401 Unauthorized", challenge) == [
            progress(401, "Unauthorized", final=True)
        ]


class TestOutcome:
    """What becomes of our REFER is told, and its end once."""

    def test_it_rings_and_is_answered(self) -> None:
        line = accepted()
        assert line.notifies("100 Trying") == ["SIP/2.0 200 OK", progress(100, "Trying")]
        assert line.notifies("180 Ringing") == ["SIP/2.0 200 OK", progress(180, "Ringing")]
        assert line.notifies("200 OK", "terminated;reason=noresource") == [
            "SIP/2.0 200 OK",
            progress(200, "OK", final=True),
        ]
        assert line.referrals.deadline is None

    def test_it_fails(self) -> None:
        line = accepted()
        assert line.notifies("603 Decline", "terminated;reason=noresource")[1:] == [
            progress(603, "Decline", final=True)
        ]

    def test_notify_beats_the_202(self) -> None:
        line = referring()
        refer = line.last
        assert line.notifies("100 Trying")[1:] == [progress(100, "Trying")]
        assert line.answers(refer, "202 Accepted") == []
        assert line.notifies("200 OK", "terminated")[1:] == [progress(200, "OK", final=True)]

    def test_the_last_notify_beats_the_202(self) -> None:
        line = referring()
        refer = line.last
        assert line.notifies("200 OK", "terminated")[1:] == [progress(200, "OK", final=True)]
        assert line.answers(refer, "202 Accepted") == []
        assert line.referrals.deadline is None

    @pytest.mark.parametrize("status", ["200 OK", "202 Accepted", "299 Fine"])
    def test_any_2xx_takes_it(self, status: str) -> None:
        """RFC 6665 §8.3.1 has made 202 an ordinary 200. It is told that the REFER was taken."""
        line = referring()
        took = phrase(int(status[:3]))
        assert line.answers(line.last, status) == [progress(int(status[:3]), took)]
        assert line.notifies("200 OK", "terminated")[1:] == [progress(200, "OK", final=True)]

    @pytest.mark.parametrize(
        ("status", "reason"),
        [(302, "Moved"), (405, "Method Not Allowed"), (481, "Gone"), (603, "Decline")],
    )
    def test_a_refused_refer(self, status: int, reason: str) -> None:
        line = referring()
        assert line.answers(line.last, f"{status} {reason}") == [
            progress(status, reason, final=True)
        ]

    def test_a_provisional_answer_says_nothing(self) -> None:
        line = referring()
        assert line.answers(line.last, "100 Trying") == []

    def test_no_answer_at_all(self) -> None:
        line = referring()
        seen: list[str | Event] = []
        while (at := line.layer.deadline) is not None:
            line.now = at
            seen += line.deliver(line.layer.handle_timer(at))
        assert [it for it in seen if not isinstance(it, str)] == [
            progress(408, "Request Timeout", final=True)
        ]
        assert (line.now, line.referrals.deadline) == (32.0, None)


class TestSilence:
    """A subscription that does not end is given up."""

    def test_no_notify_at_all(self) -> None:
        assert accepted().wait(100.0) == [(60.0, progress(408, "Request Timeout", final=True))]

    def test_60_s_after_the_last_word(self) -> None:
        line = accepted()
        line.now = 10.0
        line.notifies("180 Ringing", "active")
        assert line.wait(100.0) == [(70.0, progress(180, "Ringing", final=True))]

    @pytest.mark.parametrize(
        ("expires", "at"),
        [
            ("20", 20.0),
            ("0", 0.0),
            ("120", 120.0),
            ("3600", 180.0),
            ("99999999999", 60.0),
            ("x", 60.0),
        ],
    )
    def test_when_the_subscription_expires(self, expires: str, at: float) -> None:
        """But nobody keeps a caller for an hour."""
        line = accepted()
        line.notifies("183 Session Progress", f"active;expires={expires}")
        assert line.wait(200.0) == [(at, progress(183, "Session Progress", final=True))]

    def test_a_peer_that_tries_for_ever(self) -> None:
        """Each NOTIFY renews the subscription; the caller is not kept for longer by that."""
        line = accepted()
        for at in range(0, 180, 50):
            line.now = float(at)
            line.notifies("100 Trying")
        assert line.wait(300.0) == [(180.0, progress(100, "Trying", final=True))]

    def test_the_late_202_gives_no_more_time_than_the_notify_did(self) -> None:
        line = referring()
        refer = line.last
        line.notifies("180 Ringing", "active;expires=20")
        line.answers(refer, "202 Accepted")
        assert line.wait(100.0) == [(20.0, progress(180, "Ringing", final=True))]

    def test_what_comes_after_that_is_unknown(self) -> None:
        line = accepted()
        line.wait(60.0)
        assert line.notifies("200 OK", "terminated") == [
            "SIP/2.0 481 Call/Transaction Does Not Exist"
        ]


class TestNotify:
    """RFC 6665 §4.1.3: whose it is; RFC 3515 §2.4.4: what it says."""

    @pytest.mark.parametrize("event", ["presence", "", "referral", "refer.x", "message-summary"])
    def test_another_event_is_489(self, event: str) -> None:
        line = accepted()
        assert line.notifies("200 OK", event=event) == ["SIP/2.0 489 Bad Event"]
        assert line.header("Allow-Events") == "refer"

    @pytest.mark.parametrize("event", ["refer;id=1", "REFER ; id=1", "refer", "refer;id=1;x=y"])
    def test_ours_by_the_number_of_the_refer_or_without_one(self, event: str) -> None:
        assert accepted().notifies("180 Ringing", event=event)[1:] == [progress(180, "Ringing")]

    @pytest.mark.parametrize("event", ["refer;id=2", "refer;id=01", "refer;id=", "refer;id=x"])
    def test_of_another_refer_it_is_481(self, event: str) -> None:
        assert accepted().notifies("180 Ringing", event=event) == [
            "SIP/2.0 481 Call/Transaction Does Not Exist"
        ]

    def test_without_a_refer_it_is_481(self) -> None:
        assert Line().notifies("180 Ringing") == ["SIP/2.0 481 Call/Transaction Does Not Exist"]

    @pytest.mark.parametrize(
        ("body", "status", "reason"),
        [
            (b"SIP/2.0 180 Ringing", 180, "Ringing"),
            (b"sip/2.0 180  Ringing \r\n", 180, "Ringing"),
            (b"\r\n\r\nSIP/2.0 180 Ringing\nVia: SIP/2.0/UDP h\n\n", 180, "Ringing"),
            (b"SIP/2.0 180\r\n", 180, ""),
            (b"SIP/2.0 180 \r\nX: y", 180, ""),
            (b"SIP/2.0 180 \xff\xfe", 180, "\ufffd\ufffd"),
            (b"SIP/2.0 180 " + b"x" * 9000, 180, "x" * 256),
        ],
    )
    def test_the_status_line_is_read_and_nothing_else(
        self, body: bytes, status: int, reason: str
    ) -> None:
        line = accepted()
        headers = ["Event: refer", "Subscription-State: active"]
        assert line.peer("NOTIFY", headers, body)[1:] == [progress(status, reason)]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"INVITE sip:a@b SIP/2.0",
            b"SIP/2.0 99 x",
            b"SIP/2.0 700 x",
            b"SIP/2.0 2000",
            b"\xff" * 99,
        ],
    )
    def test_without_a_status_line_it_says_nothing_but_that_the_peer_is_there(
        self, body: bytes
    ) -> None:
        line = accepted()
        line.now = 30.0
        assert line.peer("NOTIFY", ["Event: refer", "Subscription-State: active"], body) == [
            "SIP/2.0 200 OK"
        ]
        assert line.wait(200.0) == [(90.0, progress(408, "Request Timeout", final=True))]

    def test_terminated_without_a_body_has_the_last_status(self) -> None:
        line = accepted()
        line.notifies("180 Ringing")
        headers = ["Event: refer", "Subscription-State: TERMINATED ; reason=giveup"]
        assert line.peer("NOTIFY", headers)[1:] == [progress(180, "Ringing", final=True)]

    def test_a_final_status_is_the_end_whatever_the_subscription_says(self) -> None:
        """Some peers end it with a NOTIFY of its own, some never."""
        line = accepted()
        assert line.notifies("200 OK", "active")[1:] == [progress(200, "OK", final=True)]
        assert line.referrals.deadline is None
        assert line.notifies("200 OK", "terminated;reason=noresource") == ["SIP/2.0 200 OK"]
        assert line.notifies("200 OK", "terminated", event="refer;id=1") == ["SIP/2.0 200 OK"]
        assert line.notifies("200 OK", "terminated", event="refer;id=7") == [
            "SIP/2.0 481 Call/Transaction Does Not Exist"
        ]

    def test_no_subscription_state_is_an_active_one(self) -> None:
        line = accepted()
        assert line.peer("NOTIFY", ["Event: refer"], b"SIP/2.0 180 Ringing")[1:] == [
            progress(180, "Ringing")
        ]


class TestQuiet:
    """RFC 4488: without a subscription."""

    def test_we_ask_for_it(self) -> None:
        line = referring(quiet=True)
        assert line.header("Refer-Sub") == "false"
        assert line.header("Supported") == "norefersub"

    def test_the_peer_knows_how(self) -> None:
        line = referring(quiet=True)
        assert line.answers(line.last, "202 Accepted", "Refer-Sub: false") == [
            progress(202, "Accepted", final=True)
        ]
        assert line.referrals.deadline is None

    def test_a_200_does_not_mean_that_the_transfer_is_made(self) -> None:
        line = referring(quiet=True)
        assert line.answers(line.last, "200 OK", "Refer-Sub: False;x=y") == [
            progress(202, "Accepted", final=True)
        ]

    def test_the_peer_does_not_know_how(self) -> None:
        """§4: then there is a subscription as ever."""
        line = referring(quiet=True)
        assert line.answers(line.last, "202 Accepted") == [progress(202, "Accepted")]
        assert line.notifies("200 OK", "terminated")[1:] == [progress(200, "OK", final=True)]

    def test_the_peer_asks_for_it(self) -> None:
        line = asked("Refer-Sub: false")
        assert line.see(line.referrals.accept(0.0)) == ["SIP/2.0 202 Accepted"]
        assert line.header("Refer-Sub") == "false"
        assert line.header("Supported") == "norefersub"
        assert line.see(line.referrals.report(180, "Ringing", 1.0)) == []
        assert line.refers() == ["SIP/2.0 491 Request Pending"]
        assert line.see(line.referrals.report(200, "OK", 2.0)) == []
        assert line.refers() == [Referred("us", BOB, None)]


class TestReferred:
    """RFC 3515 §2.4.2: the peer asks us."""

    @pytest.mark.parametrize(
        ("to", "target"),
        [
            (f"<{BOB}>", BOB),
            (BOB, BOB),
            (f'"Bob, at home" <{BOB};transport=tcp>;x=y', f"{BOB};transport=tcp"),
            (f"<{BOB};method=INVITE>", BOB),
            ("<tel:+7495;phone-context=a>", "tel:+7495;phone-context=a"),
            (
                f"<{BOB}?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>",
                f"{BOB}?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc",
            ),
            ("<sips:bob@example.com>", "sips:bob@example.com"),
        ],
    )
    def test_the_target_is_told(self, to: str, target: str) -> None:
        assert Line().refers(to=to) == [Referred("us", target, None)]

    @pytest.mark.parametrize(
        ("header", "told"),
        [
            (
                'Referred-By: "Carol" <sip:carol@192.0.2.8>;cid="x"',
                '"Carol" <sip:carol@192.0.2.8>;cid="x"',
            ),
            ("b: sip:carol@192.0.2.8", "sip:carol@192.0.2.8"),
            ("Referred-By: carol", None),
            ("Referred-By: <sip:c@h>, <sip:d@h>", "<sip:c@h>"),
        ],
    )
    def test_by_whom(self, header: str, told: str | None) -> None:
        """RFC 3892."""
        assert Line().refers(header) == [Referred("us", BOB, told)]

    @pytest.mark.parametrize(
        ("headers", "answer"),
        [
            ([], "400 Bad Request"),
            (["Refer-To:"], "400 Bad Request"),
            (["Refer-To: bob"], "400 Bad Request"),
            (["Refer-To: <sip:bob"], "400 Bad Request"),
            (["Refer-To: <sip:b\u00f6b@h>"], "400 Bad Request"),
            (["Refer-To: <sip:a@h>", "Refer-To: <sip:b@h>"], "400 Bad Request"),
            (["Refer-To: <sip:a@h>, <sip:b@h>"], "400 Bad Request"),
            (["Refer-To: <sip:a@h>", "r: <sip:a@h>"], "400 Bad Request"),
            (["Refer-To: <http://h/>"], "416 Unsupported URI Scheme"),
            (["Refer-To: <mailto:a@h>"], "416 Unsupported URI Scheme"),
            (["Refer-To: <sip:a@h;method=BYE>"], "603 Decline"),
            (["Refer-To: <sip:a@h;method=SUBSCRIBE>"], "603 Decline"),
        ],
    )
    def test_what_cannot_be_done_is_answered_at_once(self, headers: list[str], answer: str) -> None:
        line = Line()
        assert line.peer("REFER", headers) == [f"SIP/2.0 {answer}"]
        assert line.see(line.referrals.accept(0.0)) == []
        assert line.refers() == [Referred("us", BOB, None)]

    def test_one_at_a_time(self) -> None:
        """A second one is 491 while the first waits, and while it is worked on."""
        line = asked()
        assert line.refers() == ["SIP/2.0 491 Request Pending"]
        line.see(line.referrals.accept(0.0))
        assert line.refers() == ["SIP/2.0 491 Request Pending"]
        line.see(line.referrals.report(486, "Busy Here", 1.0))
        assert line.refers() == [Referred("us", BOB, None)]

    def test_accepted(self) -> None:
        """202 with a Contact, and a NOTIFY at once (§2.4.4)."""
        line = asked()
        assert line.see(line.referrals.accept(0.0)) == [
            "SIP/2.0 202 Accepted",
            NOTIFY,
        ]
        assert line.sent[-2].headers.get("Contact") == "<sip:192.0.2.1:5060>"
        assert line.sent[-2].headers.get("Refer-Sub") is None
        assert line.header("Event") == "refer;id=2"
        assert line.header("Subscription-State") == "active;expires=60"
        assert line.header("Content-Type") == "message/sipfrag;version=2.0"
        assert line.header("Contact") == "<sip:192.0.2.1:5060>"
        assert line.last.body == b"SIP/2.0 100 Trying\r\n"

    def test_refused(self) -> None:
        line = asked()
        assert line.see(line.referrals.refuse(603, 0.0)) == ["SIP/2.0 603 Decline"]
        assert line.see(line.referrals.refuse(603, 0.0)) == []
        assert line.see(line.referrals.accept(0.0)) == []
        assert line.see(line.referrals.report(200, "OK", 0.0)) == []
        assert line.referrals.deadline is None

    def test_what_comes_in_the_wrong_order_does_nothing(self) -> None:
        line = asked()
        assert line.see(line.referrals.report(180, "Ringing", 0.0)) == []
        line.see(line.referrals.accept(0.0))
        assert line.see(line.referrals.accept(0.0)) == []
        assert line.see(line.referrals.refuse(603, 0.0)) == []


class TestReport:
    """RFC 3515 §2.4.5: how the call goes that the peer asked for."""

    def test_progress_and_end(self) -> None:
        line = working()
        assert line.see(line.referrals.report(180, "Ringing", 1.0)) == [
            "NOTIFY sip:alice@192.0.2.9"
        ]
        assert line.last.body == b"SIP/2.0 180 Ringing\r\n"
        assert line.header("Subscription-State") == "active;expires=60"
        line.see(line.referrals.report(200, "OK", 2.0))
        assert line.last.body == b"SIP/2.0 200 OK\r\n"
        assert line.header("Subscription-State") == "terminated;reason=noresource"
        assert line.header("CSeq") == "3 NOTIFY"
        assert line.see(line.referrals.report(200, "OK", 3.0)) == []
        assert line.referrals.deadline is None

    def test_a_reason_stays_one_line(self) -> None:
        line = working()
        line.see(line.referrals.report(500, "a\r\nX: y\0\r\n\r\nz", 1.0))
        assert line.last.body == b"SIP/2.0 500 a X: y z\r\n"

    def test_the_subscription_is_renewed_each_minute_for_three(self) -> None:
        """So long a phone may ring."""
        line = working()
        line.now = 30.0
        line.see(line.referrals.report(180, "Ringing", 30.0))
        assert [at for at, _ in line.wait(1000.0)] == [90.0, 150.0, 210.0]
        states = [message.headers.get("Subscription-State") for message in line.sent[-3:]]
        assert states == ["active;expires=60"] * 2 + ["terminated;reason=timeout"]
        assert line.last.body == b"SIP/2.0 180 Ringing\r\n"
        assert line.see(line.referrals.report(200, "OK", 1000.0)) == []

    @pytest.mark.parametrize("status", ["481 Gone", "489 Bad Event", "500 Error", "603 Decline"])
    def test_a_refused_notify_ends_the_subscription(self, status: str) -> None:
        """RFC 6665 §4.2.2. The referral itself goes on."""
        line = working()
        line.answers(line.last, status)
        assert line.see(line.referrals.report(180, "Ringing", 1.0)) == []
        assert line.refers() == ["SIP/2.0 491 Request Pending"]
        assert line.see(line.referrals.report(200, "OK", 1.0)) == []

    def test_a_taken_notify_does_not(self) -> None:
        line = working()
        line.answers(line.last, "200 OK")
        assert line.see(line.referrals.report(180, "Ringing", 1.0)) == [
            "NOTIFY sip:alice@192.0.2.9"
        ]

    def test_one_that_came_too_late_means_nothing(self) -> None:
        """The network may turn two NOTIFYs round; the older one is then out of order (500)."""
        line = working()
        first = line.last
        line.see(line.referrals.report(180, "Ringing", 0.1))
        line.answers(first, "500 CSeq Out Of Order")
        assert line.see(line.referrals.report(200, "OK", 1.0)) == [NOTIFY]

    def test_a_notify_without_an_answer_ends_the_subscription(self) -> None:
        line = working()
        while (at := line.layer.deadline) is not None:
            line.now = at
            line.deliver(line.layer.handle_timer(at))
        assert line.see(line.referrals.report(200, "OK", 33.0)) == []


class TestEnd:
    """The call ends, and with it all of this; who owns the call is told so by Ended."""

    def test_what_waits_is_answered(self) -> None:
        """RFC 3261 §15.1.2."""
        line = asked()
        assert line.see(line.referrals.close(1.0)) == ["SIP/2.0 487 Request Terminated"]
        assert line.see(line.referrals.accept(1.0)) == []

    def test_we_asked(self) -> None:
        line = accepted()
        assert line.see(line.referrals.close(1.0)) == []
        assert line.referrals.deadline is None
        assert line.notifies("200 OK", "terminated") == [
            "SIP/2.0 481 Call/Transaction Does Not Exist"
        ]

    def test_our_refer_is_on_its_way(self) -> None:
        line = referring()
        line.see(line.referrals.close(1.0))
        assert line.answers(line.last, "202 Accepted") == []
        assert line.answers(line.last, "603 Decline") == []

    def test_we_were_asked(self) -> None:
        """A BYE right behind the 202 is what many phones do (RFC 5589 §6.1)."""
        line = working()
        notify = line.last
        assert line.see(line.referrals.close(1.0)) == []
        assert line.answers(notify, "481 Gone") == []
        assert line.see(line.referrals.report(200, "OK", 1.0)) == []
        assert line.referrals.deadline is None


MOVES: list[Callable[[Line], list[str | Event]]] = [
    lambda line: line.notifies("100 Trying"),
    lambda line: line.notifies("180 Ringing", "active;expires=5"),
    lambda line: line.notifies("200 OK"),
    lambda line: line.notifies("486 Busy Here", "terminated;reason=noresource"),
    lambda line: line.peer("NOTIFY", ["Event: refer", "Subscription-State: terminated"]),
    lambda line: line.answers(line.refer, "202 Accepted"),
    lambda line: line.answers(line.refer, "603 Decline"),
    lambda line: line.refers(),
    lambda line: line.see(line.referrals.accept(line.now)),
    lambda line: line.see(line.referrals.refuse(603, line.now)),
    lambda line: line.see(line.referrals.report(180, "Ringing", line.now)),
    lambda line: line.see(line.referrals.report(200, "OK", line.now)),
    lambda line: [what for _, what in line.wait(line.now + 7.0)],
    lambda line: [what for _, what in line.wait(line.now + 70.0)],
]


@given(st.lists(st.integers(0, len(MOVES) - 1), max_size=20))
def test_any_order_of_anything(moves: list[int]) -> None:
    """Our REFER comes to one end, within its time, and nothing is told of it after that."""
    line = referring()
    line.refer = line.last
    told: list[str | Event] = []
    for move in moves:
        told += MOVES[move](line)
    told += line.answers(line.refer, "202 Accepted")
    told += [what for _, what in line.wait(line.now + 1000.0)]
    ours = [what for what in told if isinstance(what, ReferralProgress)]
    assert [what.final for what in ours] == [False] * (len(ours) - 1) + [True]
    assert line.referrals.deadline is None
