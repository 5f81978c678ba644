"""RFC 3261 §19.1 URIs, §20.10 name-addr, §20.42 Via; RFC 3966 tel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.address import NameAddr, Uri, Via
from gateway.sip.grammar import SipError


class TestUri:
    @pytest.mark.parametrize(
        ("value", "uri"),
        [
            ("sip:alice@example.com", Uri("sip", "alice", "example.com")),
            ("SIPS:a:pw@EXAMPLE.com:5061", Uri("sips", "a:pw", "EXAMPLE.com", 5061)),
            ("sip:192.0.2.1", Uri("sip", None, "192.0.2.1")),
            ("sip:+7495@[2001:db8::1]:5060", Uri("sip", "+7495", "[2001:db8::1]", 5060)),
            (
                "sip:a@x;transport=udp;lr?subject=hi",
                Uri("sip", "a", "x", None, (("transport", "udp"), ("lr", None)), "subject=hi"),
            ),
            # RFC 4475 §3.1.1.1: parameters of the user, not of the URI
            (
                "sip:user;par=u%40example.net@example.com",
                Uri("sip", "user;par=u%40example.net", "example.com"),
            ),
            (
                "tel:+7-495-123;phone-context=x",
                Uri("tel", "+7-495-123", params=(("phone-context", "x"),)),
            ),
            ("urn:service:sos", Uri("urn", "service:sos")),
        ],
    )
    def test_parse(self, value: str, uri: Uri) -> None:
        """
        Each part is found; what is written again means the same.
        """
        assert Uri.parse(value) == uri
        assert Uri.parse(str(uri)) == uri

    @pytest.mark.parametrize(
        "value",
        [
            "", "alice", "sip:", "sip:@x", "sip:a@", "sip:a b@x", "sip:a@x:0", "sip:a@x:65536",
            "sip:a@x:123456", "sip:a@x:１２", "sip:a@x:5_0", "sip:<a>@x", "sip:a@x y", "ſip:a@x",
            "sip:a@x\u2028", "1sip:a@x",
        ],
    )  # fmt: skip
    def test_not_a_uri(self, value: str) -> None:
        """
        Anything else is refused, in one way.
        """
        with pytest.raises(SipError):
            Uri.parse(value)

    def test_name(self) -> None:
        """
        Routing and people see the user without password, parameters and escapes (§19.1.2).
        """
        assert Uri.parse("sip:100;phone-context=a@x").name == "100"
        assert Uri.parse("sip:+7495;isub=1:secret@x;user=phone").name == "+7495"
        assert Uri.parse("sip:10%3B0:a;b@x").name == "10;0"
        assert Uri.parse("tel:+7495;phone-context=x").name == "+7495"
        assert Uri.parse("sip:%61lice:secret@x").name == "alice"
        assert Uri.parse("sip:%D0%96%FF@x").name == "Ж\ufffd"
        assert Uri.parse("sip:x").name == ""

    def test_param(self) -> None:
        assert Uri.parse("sip:x;lr").param("lr") == ""
        assert Uri.parse("sip:x").param("lr") is None


class TestNameAddr:
    @pytest.mark.parametrize(
        ("value", "display", "user", "tag"),
        [
            ("sip:alice@x;tag=88", "", "alice", "88"),
            ("<sip:alice@x;tag=in>;tag=88", "", "alice", "88"),
            ("Alice Smith <sip:alice@x>", "Alice Smith", "alice", None),
            (r'"A. \"G\\\" <x>" <sip:alice@x> ; Tag=88', 'A. "G\\" <x>', "alice", "88"),
            ('"" <sip:alice@x>;x="a;tag=no"', "", "alice", None),
            ("  <  sip:alice@x  >", "", "alice", None),
            ("<tel:+7495>;tag=1", "", "+7495", "1"),
        ],
    )
    def test_parse(self, value: str, display: str, user: str, tag: str | None) -> None:
        """
        Without angle brackets every parameter is the header's (§20.10).
        """
        address = NameAddr.parse(value)

        assert (address.display, address.uri.user, address.tag) == (display, user, tag)
        assert NameAddr.parse(str(address)) == address

    def test_nul(self) -> None:
        """
        A quoted string may hold it (quoted-pair, §25.1); written again it is escaped again.
        """
        address = NameAddr.parse('"a\\\0b" <sip:a@x>')

        assert address.display == "a\0b"
        assert str(address) == '"a\\\0b" <sip:a@x>'

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "*",
            '"Alice <sip:a@x>',
            '"Alice" sip:a@x',
            '"A" b <sip:a@x>',
            "<sip:a@x",
            "<sip:a@x>z",
        ],
    )
    def test_not_an_address(self, value: str) -> None:
        with pytest.raises(SipError):
            NameAddr.parse(value)


class TestColons:
    def test_one_too_many(self) -> None:
        """
        The grammar of RFC 3261 gives an IPv6 address that ends in one of IPv4 a third colon; it is
        the same address (RFC 5118 §4.10).
        """
        assert Uri.parse("sip:a@[2001:db8:::192.0.2.1]").host == "[2001:db8::192.0.2.1]"


class TestVia:
    def test_parse(self) -> None:
        """
        White space may stand around each slash and colon (RFC 4475 §3.1.1.1).
        """
        via = Via.parse("SIP / 2.0 / udp  Host.example : 5080 ;Branch=z9hG4bKx;rport")

        assert (via.transport, via.host, via.port) == ("UDP", "Host.example", 5080)
        assert (via.branch, via.sent_by) == ("z9hG4bKx", "host.example:5080")
        assert str(via) == "SIP/2.0/UDP Host.example:5080;branch=z9hG4bKx;rport"

    def test_defaults(self) -> None:
        assert Via.parse("SIP/2.0/UDP h").sent_by == "h:5060"
        assert Via.parse("SIP/2.0/UDP h").branch == ""

    @pytest.mark.parametrize(
        "value", ["", "SIP/2.0/UDP", "SIP/x/UDP h", "SIP//UDP h", "SIP/2.0/UDP h i", "UDP h"]
    )
    def test_not_a_via(self, value: str) -> None:
        with pytest.raises(SipError):
            Via.parse(value)

    @pytest.mark.parametrize(
        ("value", "seen"),
        [
            ("h;branch=b", "h;branch=b;received=192.0.2.9"),
            ("192.0.2.9;branch=b", "192.0.2.9;branch=b"),
            ("192.0.2.9;rport;branch=b", "192.0.2.9;branch=b;received=192.0.2.9;rport=1024"),
            ("h;received=6.6.6.6;rport=1", "h;received=192.0.2.9;rport=1024"),
        ],
    )
    def test_seen_from(self, value: str, seen: str) -> None:
        """
        The source is written down: received (§18.2.1), and rport where asked (RFC 3581 §4).
        """
        via = Via.parse(f"SIP/2.0/UDP {value}").seen_from("192.0.2.9", 1024)

        assert str(via) == f"SIP/2.0/UDP {seen}"

    def test_another_version(self) -> None:
        """
        The version of a hop is a token (§25.1): a peer of another one reads its own in the 505.
        """
        via = Via.parse("SIP/7.0/UDP h;branch=z9hG4bKx")

        assert str(via.seen_from("192.0.2.9", 1024)).startswith("SIP/7.0/UDP h;")

    def test_seen_from_ipv6(self) -> None:
        via = Via.parse("SIP/2.0/UDP [2001:DB8::1]")

        assert via.seen_from("2001:db8::1", 5060) is via
        link = Via.parse("SIP/2.0/UDP [fe80::1]:5060")
        assert link.seen_from("fe80::1%eth0", 5060) is link  # the interface is nobody else's


@given(st.text() | st.text('<>"\\;,=@:sip[]% \t'))
def test_arbitrary_text(value: str) -> None:
    """
    Whatever the text, there is a value or a SipError, and the value can be written and read.
    """
    for kind in (Uri, NameAddr, Via):
        try:
            parsed = kind.parse(value)
        except SipError:
            continue
        assert str(kind.parse(str(parsed))) == str(parsed)
