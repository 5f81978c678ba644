"""RFC 3261 §7 messages, with the harder ones in the manner of RFC 4475."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.sip.grammar import SipError
from gateway.sip.message import CSeq, Headers, Request, Response, parse

INVITE = b"""\
INVITE sip:7000@192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKabc;rport
Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKdef, SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKghi
Max-Forwards: 70
From: "Alice" <sip:alice@example.com>;tag=1928
To: <sip:7000@192.0.2.1>
Call-ID: a84b4c76e66710@example.com
CSeq: 314159 INVITE
Contact: <sip:alice@192.0.2.9>
Content-Type: application/sdp
Content-Length: 5

v=0
""".replace(b"\n", b"\r\n")

OK = b"""\
SIP/2.0 200 OK
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabc
From: <sip:7000@192.0.2.1>;tag=1
To: <sip:alice@example.com>;tag=2
Call-ID: 1
CSeq: 2 BYE
Content-Length: 0

""".replace(b"\n", b"\r\n")


def refused(data: bytes) -> SipError:
    with pytest.raises(SipError) as caught:
        parse(data)
    return caught.value


class TestParse:
    def test_request(self) -> None:
        request = parse(INVITE)

        assert isinstance(request, Request)
        assert (request.method, request.uri, request.body) == (
            "INVITE",
            "sip:7000@192.0.2.1",
            b"v=0\r\n",
        )
        headers = request.headers
        assert headers.via.branch == "z9hG4bKabc"
        assert (headers.from_.tag, headers.from_.display, headers.to.tag) == ("1928", "Alice", None)
        assert headers.call_id == "a84b4c76e66710@example.com"
        assert headers.cseq == CSeq(314159, "INVITE")
        assert request.encode() == INVITE

    def test_response(self) -> None:
        response = parse(OK)

        assert isinstance(response, Response)
        assert (response.status, response.reason, response.body) == (200, "OK", b"")
        assert response.encode() == bytes(response) == OK

    def test_short_tortuous_invite(self) -> None:
        """
        Compact names, folded lines, white space before the colon, odd case, a lone LF
        (§7.3.1, §7.3.3).
        """
        request = parse(
            b"\r\n\r\nINVITE sip:vivekg@chair.example;unknownparam SIP/2.0\n"
            b"TO :\n sip:vivekg@chair.example ;   tag    = 1918181833n\n"
            b'f   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\n  ;\n  tag = 98asjd8\n'
            b"MaX-fOrWaRdS: 0068\n"
            b"i: wsinv.ndaksdj@192.0.2.1\n"
            b"cseq: 0009\n  INVITE\n"
            b"V  : SIP  /   2.0\n /UDP\n    192.0.2.2;branch=390skdjuw\n"
            b"NewFangledHeader:   newfangled value\n continued newfangled value\n"
            b"v:  SIP  / 2.0  / TCP     spindle.example.com   ;\n"
            b"  branch  =   z9hG4bK9ikj8  ,\n"
            b" SIP  /    2.0   / UDP  192.168.255.111   ; branch=\n z9hG4bK30239\n"
            b'm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =\n'
            b"      newvalue ;\n  secondparam ; q = 0.33\n\n"
        )

        assert isinstance(request, Request)
        headers = request.headers
        assert (headers.to.tag, headers.from_.tag) == ("1918181833n", "98asjd8")
        assert headers.from_.display == 'J Rosenberg \\"'
        assert headers.cseq == CSeq(9, "INVITE")
        assert (headers.via.transport, headers.via.branch) == ("UDP", "390skdjuw")
        assert len(headers.elements("via")) == 3
        assert headers.get("Newfangledheader") == "newfangled value continued newfangled value"
        assert headers.get("Max-Forwards") == "0068"

    def test_bytes_that_no_text_has(self) -> None:
        """
        They come back as they came: what we echo is what we were sent.
        """
        data = INVITE.replace(b'"Alice"', b'"Andr\xe9 \xd0\x96\xff"')
        request = parse(data)

        assert request.encode() == data
        assert request.headers.from_.display == "Andr\ufffd Ж\ufffd"

    def test_nul_in_a_quoted_string(self) -> None:
        """
        Behind a backslash it is legal (§25.1), and goes back as it came.
        """
        data = INVITE.replace(b'"Alice"', b'"NUL:\\\0 \\\\"')
        request = parse(data)

        assert request.encode() == data
        assert request.headers.from_.display == "NUL:\0 \\"

    def test_blanks_behind_the_version(self) -> None:
        """
        They change nothing (RFC 4475 §3.1.2.10).
        """
        assert parse(INVITE.replace(b"SIP/2.0\r\nVia", b"SIP/2.0 \t \r\nVia")) == parse(INVITE)

    def test_no_content_length(self) -> None:
        """
        Over UDP the body may end with the datagram (§18.3).
        """
        assert parse(INVITE.replace(b"Content-Length: 5\r\n", b"")).body == b"v=0\r\n"

    def test_rest_of_the_datagram(self) -> None:
        """
        What follows the body is dropped (§18.3).
        """
        assert parse(INVITE + b"more").body == b"v=0\r\n"

    def test_no_reason_phrase(self) -> None:
        for line in (b"SIP/2.0 200", b"SIP/2.0 200 ", b"sip/2.0 200 "):
            response = parse(OK.replace(b"SIP/2.0 200 OK", line))
            assert isinstance(response, Response)
            assert (response.status, response.reason) == (200, "")


class TestRefusal:
    @pytest.mark.parametrize(
        ("old", "new", "status"),
        [
            (b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia", 505),
            (b"SIP/2.0\r\nVia: SIP/2.0", b"SIP/7.0\r\nVia: SIP/7.0", 505),
            (b"z9hG4bKabc;rport", b"z9hG4bKabc;rport;;,;,,", 400),
            (b"SIP/2.0/UDP 10.0.0.2", b"nonsense", 400),
            (b"INVITE sip:7000@192.0.2.1 SIP", b"INVITE  sip:7000@192.0.2.1 SIP", 400),
            (b"sip:7000@192.0.2.1 SIP", b"<sip:7000@192.0.2.1> SIP", 400),
            (b"sip:7000@192.0.2.1 SIP", b"SIP", 400),
            (b"INVITE sip", b"INV\xd0\x96TE sip", 400),
            (b"314159 INVITE", b"314159 OPTIONS", 400),
            (b"314159 INVITE", b"2147483648 INVITE", 400),
            (b"314159 INVITE", b"36893488147419103232 INVITE", 400),
            (b"Length: 5", b"Length: 6", 400),
            (b"Length: 5", b"Length: -1", 400),
            (b"Length: 5", b"Length: +5", 400),
            (b"Length: 5", b"Length: 1_0", 400),
            (b"Length: 5", b"Length: \xef\xbc\x95", 400),
            (b"Length: 5", b"Length: 5\r\nl: 4", 400),
            (b"Max-Forwards: 70", b"Max-Forwards: 70\r\nMax-Forwards: 70", 400),
            (b"Call-ID: a", b"i: b\r\nCall-ID: a", 400),
            (b"Contact: ", b"no header at all\r\nContact: ", 400),
            (b"Contact: ", b"Na me: x\r\nContact: ", 400),
            (b"Contact: ", b"X: y\r\n" * 128 + b"Contact: ", 400),
        ],
    )
    def test_answered(self, old: bytes, new: bytes, status: int) -> None:
        """
        Who made the mistake is told, since Via, From, To, Call-ID and CSeq can be read.
        """
        error = refused(INVITE.replace(old, new, 1))

        assert error.status == status
        assert error.request is not None

    def test_list_of_vias(self) -> None:
        """
        The answer goes to those that can be read; the rest of such a line is not said back.
        """
        error = refused(INVITE.replace(b"SIP/2.0/UDP 10.0.0.2;", b";;,h;"))

        assert error.request
        assert error.request.headers.all("Via") == [
            "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKabc;rport",
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKdef",
        ]

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"Via: SIP/2.0/UDP 192.0.2.9", b"Via: gibberish"),
            (b"Via: SIP/2.0/UDP 192.0.2.9", b"Via: ,,,\r\nVia: SIP/2.0/UDP 192.0.2.9"),
            (b"From: ", b"X: "),
            (b"To: <sip", b"To: <<sip"),
            (b"Call-ID: a84b4c76e66710@example.com", b"Call-ID:"),
            (b"CSeq: 314159", b"CSeq: \xd9\xa3"),
            (b"CSeq: 314159 INVITE", b"CSeq: 1 \xd0\x96"),
            (b"CSeq: 314159 INVITE", b"CSeq: " + b"9" * 33 + b" INVITE"),
            (b"CSeq: 314159 INVITE", b"CSeq: 314159 ACK"),
            (b"INVITE sip", b"ACK sip"),
            (b"Contact: ", b"X: \0\r\nContact: "),
            (b"Contact: ", b"X: \\\\\0\r\nContact: "),
            (b"Contact: ", b"X: \\\r\n \0\r\nContact: "),
            (b"Contact: ", b"X: a\rFrom: b\r\nContact: "),
            (b"SIP/2.0\r\nVia", b"HTTP/1.1\r\nVia"),
            (b"\r\n\r\n", b"\r\n"),
        ],
    )
    def test_silent(self, old: bytes, new: bytes) -> None:
        """
        An answer that could not be right is not given, and never one to an ACK.
        """
        assert refused(INVITE.replace(old, new, 1)).status is None

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"200 OK", b"4294967301 better not break the receiver"),
            (b"200 OK", b"099 OK"),
            (b"200 OK", b"700 OK"),
            (b"200 OK", b"+20 OK"),
            (b"SIP/2.0 200", b"SIP/7.0 200"),
            (b"CSeq: 2 BYE", b"CSeq: 2"),
            (b"CSeq: 2 BYE", b"no header"),
            (b"Length: 0", b"Length: 1"),
        ],
    )
    def test_response(self, old: bytes, new: bytes) -> None:
        """
        A broken response is dropped (§18.3, RFC 4475 §3.1.2.19).
        """
        assert refused(OK.replace(old, new)).status is None

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\r\n\r\n",
            b"\0\0\0\0",
            b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),
            INVITE[:200],
        ],
    )
    def test_no_sip(self, data: bytes) -> None:
        assert refused(data).status is None

    def test_size(self) -> None:
        """
        65 kB is taken, more is not.
        """
        room = 65_536 - len(INVITE) - len(b"X: \r\n")
        head, _, rest = INVITE.partition(b"Contact")

        assert parse(head + b"X: " + b"x" * room + b"\r\nContact" + rest)
        assert refused(INVITE + b"x" * 65_536).status is None


class TestHeaders:
    def test_names(self) -> None:
        """
        Neither case nor compact form matters (§7.3.1, §7.3.3); order does.
        """
        headers = Headers([("v", "a"), ("X-One", "1"), ("VIA", "b, c"), ("x-one", "2")])

        assert list(headers) == [("Via", "a"), ("X-One", "1"), ("Via", "b, c"), ("x-one", "2")]
        assert headers.all("via") == ["a", "b, c"]
        assert headers.elements("V") == ["a", "b", "c"]
        assert (headers.get("X-ONE"), headers.get("none")) == ("1", None)

    def test_change(self) -> None:
        headers = Headers([("To", "<sip:a@x>"), ("Via", "SIP/2.0/UDP h"), ("To", "<sip:b@x>")])
        assert headers.to.uri.user == "a"

        headers.set("t", "<sip:c@x>")

        assert headers.to.uri.user == "c"
        assert list(headers) == [("Via", "SIP/2.0/UDP h"), ("To", "<sip:c@x>")]
        assert headers == Headers(list(headers))
        assert headers != list(headers)
        assert repr(headers) == "Headers([('Via', 'SIP/2.0/UDP h'), ('To', '<sip:c@x>')])"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("X", "a\r\nY: b"),
            ("X", "a\nb"),
            ("X", "\0"),
            ("X", "\\\\\0"),
            ("X: y", "a"),
            ("", "a"),
            ("Ж", "a"),
        ],
    )
    def test_refuses_what_is_no_header_line(self, name: str, value: str) -> None:
        """
        Nobody smuggles a header through a value of ours.
        """
        with pytest.raises(ValueError, match="not a header"):
            Headers([(name, value)])

    def test_top_via(self) -> None:
        """
        The first Via is replaced where it stands, those after it stay.
        """
        request = parse(INVITE)
        request.headers.remove("Max-Forwards")
        request.headers.set_top_via(request.headers.via.seen_from("192.0.2.9", 1024))

        assert request.headers.elements("Via") == [
            "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKabc;received=192.0.2.9;rport=1024",
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKdef",
            "SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKghi",
        ]

    def test_top_of_several_in_one_line(self) -> None:
        headers = Headers([("Via", "SIP/2.0/UDP a, SIP/2.0/UDP b")])
        headers.set_top_via(headers.via.seen_from("192.0.2.9", 1024))

        assert headers.all("Via") == ["SIP/2.0/UDP a;received=192.0.2.9, SIP/2.0/UDP b"]


class TestBuild:
    def test_ack(self) -> None:
        """
        The ACK of a failure: branch, Request-URI and Route of the INVITE, To of the response
        (§17.1.1.3).
        """
        invite = parse(INVITE.replace(b"Contact", b"Route: <sip:p;lr>\r\nContact"))
        assert isinstance(invite, Request)
        busy = Response(486, "Busy Here", Headers([("To", "<sip:7000@192.0.2.1>;tag=9")]))

        assert invite.ack(busy) == Request(
            "ACK",
            "sip:7000@192.0.2.1",
            Headers(
                [
                    ("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKabc;rport"),
                    ("Route", "<sip:p;lr>"),
                    ("Max-Forwards", "70"),
                    ("From", '"Alice" <sip:alice@example.com>;tag=1928'),
                    ("To", "<sip:7000@192.0.2.1>;tag=9"),
                    ("Call-ID", "a84b4c76e66710@example.com"),
                    ("CSeq", "314159 ACK"),
                ]
            ),
        )

    def test_cancel(self) -> None:
        """
        The CANCEL has the To of the INVITE (§9.1).
        """
        invite = parse(INVITE)
        assert isinstance(invite, Request)
        cancel = invite.cancel()

        assert (cancel.method, cancel.headers.cseq) == ("CANCEL", CSeq(314159, "CANCEL"))
        assert cancel.headers.get("To") == "<sip:7000@192.0.2.1>"

    def test_start_line(self) -> None:
        for build in (
            lambda: Request("INVITE", "sip:a@x\r\nVia: y"),
            lambda: Request("INVITE\n", "sip:a@x"),
            lambda: Response(200, "OK\r\n"),
        ):
            with pytest.raises(ValueError, match="not a start line"):
                build()


BROKEN = [INVITE[:n] + b"\0" + INVITE[n:] for n in (0, 30, 200)]


@given(st.binary() | st.binary(min_size=1, max_size=4).map(lambda junk: INVITE.replace(b":", junk)))
@example(BROKEN[0])
@example(BROKEN[1])
@example(BROKEN[2])
def test_arbitrary_bytes(data: bytes) -> None:
    """
    Whatever the bytes: a message or a SipError.
    """
    try:
        message = parse(data)
    except SipError:
        return
    assert parse(message.encode()) == message


@given(st.data())
def test_damaged_message(data: st.DataObject) -> None:
    """
    A message of which a piece was overwritten is refused, or is read again as written.
    """
    whole = data.draw(st.sampled_from([INVITE, OK]))
    at = data.draw(st.integers(0, len(whole)))
    piece = data.draw(
        st.binary(max_size=8) | st.sampled_from([b"\r\n", b"\r\n ", b":", b'"', b"<"])
    )
    try:
        message = parse(whole[:at] + piece + whole[at + data.draw(st.integers(0, 8)) :])
    except SipError:
        return
    assert parse(message.encode()) == message


values = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"])).map(
    lambda value: value.strip(" \t")
)


@given(
    st.lists(st.tuples(st.from_regex(re.compile(r"[A-Za-z-]{1,12}", re.A), fullmatch=True), values))
)
def test_headers_round_trip(fields: list[tuple[str, str]]) -> None:
    """
    What a builder took is what a parser reads: the same names, values and order.
    """
    headers = Headers(fields)
    text = "\n".join(f"{name}: {value}" for name, value in headers)

    assert Headers.parse(text.split("\n") if text else []) == (headers, True)
