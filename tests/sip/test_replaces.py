"""Replaces: which call another one is to take the place of (RFC 3891)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.address import Uri
from gateway.sip.dialog import Dialog
from gateway.sip.grammar import SipError
from gateway.sip.message import Request, parse
from gateway.sip.replaces import Replaces, refusal, replaced_by, split_target

from .wire import request

HEADER = "c1@example.com;to-tag=us;from-tag=peer"
VALUE = Replaces("c1@example.com", "us", "peer")


def dialog(from_tag: str | None = "peer", call_id: str = "c1@example.com") -> Dialog:
    """The peer has called us; our tag is `us`."""
    invite = parse(request("INVITE", from_tag=from_tag or "", call_id=call_id))
    assert isinstance(invite, Request)
    if from_tag is None:
        invite.headers.set("From", "<sip:alice@example.com>")
    return Dialog.accept(invite, "us")


def asked(*values: str, method: str = "INVITE") -> Request:
    message = parse(request(method, headers=[f"Replaces: {value}" for value in values]))
    assert isinstance(message, Request)
    return message


class TestHeader:
    """§6.1: a Call-ID and, in any order, one to-tag, one from-tag, perhaps early-only."""

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            (HEADER, VALUE),
            ("c1@example.com ; From-Tag = peer ; TO-TAG=us", VALUE),
            (f"{HEADER};early-only", Replaces("c1@example.com", "us", "peer", early_only=True)),
            (f"{HEADER};x=y;z", VALUE),
            (
                "12adf2f34456gs5@[::1];to-tag=0;from-tag=0",
                Replaces("12adf2f34456gs5@[::1]", "0", "0"),
            ),
        ],
    )
    def test_read(self, text: str, value: Replaces) -> None:
        assert Replaces.parse(text) == value

    @pytest.mark.parametrize("value", [VALUE, Replaces("a", "b", "c", early_only=True)])
    def test_written(self, value: Replaces) -> None:
        assert Replaces.parse(str(value)) == value

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ";",
            "c1",
            "c1;to-tag=us",
            "c1;from-tag=peer",
            "c1;to-tag;from-tag=peer",
            "c1;to-tag=;from-tag=peer",
            "c1;to-tag=us;to-tag=us;from-tag=peer",
            "c1;to-tag=us;from-tag=a;from-tag=b",
            ";to-tag=us;from-tag=peer",
            "c 1;to-tag=us;from-tag=peer",
            "c1,c2;to-tag=us;from-tag=peer",
            "c1;to-tag=us;from-tag=pe er",
            "c1;to-tag=us;from-tag=peer, c2;to-tag=us;from-tag=peer",
            "c1;to-tag=us;from-tag=\u0661\udcff",
            "c\u00e9;to-tag=us;from-tag=peer",
            "c1\r\nX: y;to-tag=us;from-tag=peer",
        ],
    )
    def test_400_for_what_is_none(self, text: str) -> None:
        with pytest.raises(SipError) as caught:
            Replaces.parse(text)
        assert caught.value.status == 400

    @given(st.text(alphabet=st.characters(codec=None), max_size=60))
    def test_nothing_else_is_raised(self, text: str) -> None:
        for value in (text, f"c;to-tag={text};from-tag=x", f"{text};to-tag=a;from-tag=b"):
            try:
                read = Replaces.parse(value)
            except SipError:
                continue
            assert Replaces.parse(str(read)) == read


class TestRequest:
    """§3: one header, in an INVITE, or 400."""

    def test_of_an_invite(self) -> None:
        assert replaced_by(asked(HEADER)) == VALUE
        assert replaced_by(asked()) is None

    @pytest.mark.parametrize(
        "message",
        [
            asked(HEADER, HEADER),
            asked(HEADER, method="OPTIONS"),
            asked("c1"),
            asked(f"{HEADER},{HEADER}"),
        ],
    )
    def test_400(self, message: Request) -> None:
        with pytest.raises(SipError) as caught:
            replaced_by(message)
        assert caught.value.status == 400


class TestMatch:
    """§3: to-tag is the receiver's own tag, from-tag that of its peer."""

    def test_the_dialog_as_its_peer_names_it(self) -> None:
        assert VALUE.names(dialog())

    @pytest.mark.parametrize(
        "other",
        [
            Replaces("c1@example.com", "peer", "us"),  # the other way round
            Replaces("c2@example.com", "us", "peer"),
            Replaces("c1@example.com", "US", "peer"),  # tags have case
            Replaces("c1@example.com", "us", ""),
            Replaces("c1@example.com", "us", "0"),
        ],
    )
    def test_another_one(self, other: Replaces) -> None:
        assert not other.names(dialog())

    def test_zero_is_the_tag_that_a_peer_of_rfc_2543_does_not_have(self) -> None:
        assert Replaces("c1@example.com", "us", "0").names(dialog(from_tag=None))
        assert Replaces("c1@example.com", "us", "0").names(dialog(from_tag="0"))
        assert not VALUE.names(dialog(from_tag=None))

    def test_our_dialog_for_the_one_whom_we_refer_to_its_peer(self) -> None:
        """What we call ours is the peer's from-tag: it is the peer who gets the header."""
        assert Replaces.of_peer(dialog()) == Replaces("c1@example.com", "peer", "us")
        assert Replaces.of_peer(dialog(from_tag=None)).to_tag == "0"


class TestVerdict:
    """§3: what may be replaced, as far as the RFC goes."""

    @pytest.mark.parametrize(
        ("early_only", "ended", "answered", "placed", "status"),
        [
            (False, False, True, False, None),
            (False, False, True, True, None),
            (True, False, True, True, 486),
            (True, False, True, False, 486),
            (False, False, False, True, None),
            (True, False, False, True, None),
            (False, False, False, False, 481),
            (True, False, False, False, 481),
            (False, True, True, True, 603),
            (True, True, False, False, 603),
        ],
    )
    def test_status(
        self, early_only: bool, ended: bool, answered: bool, placed: bool, status: int | None
    ) -> None:
        wanted = Replaces("c", "a", "b", early_only=early_only)
        assert refusal(wanted, ended=ended, answered=answered, placed=placed) == status


class TestTarget:
    """The header inside of a Refer-To: escaped, behind the URI (§5, RFC 3261 §19.1.1)."""

    def test_written(self) -> None:
        target = VALUE.in_target(Uri.parse("sip:carol@192.0.2.7:5070;transport=tcp"))
        assert str(target) == (
            "sip:carol@192.0.2.7:5070;transport=tcp"
            "?Replaces=c1%40example.com%3Bto-tag%3Dus%3Bfrom-tag%3Dpeer"
        )

    def test_beside_other_headers(self) -> None:
        target = VALUE.in_target(Uri.parse("sip:carol@192.0.2.7?Subject=x"))
        assert str(target).startswith("sip:carol@192.0.2.7?Subject=x&Replaces=c1")

    def test_a_number_has_no_headers(self) -> None:
        with pytest.raises(ValueError, match="headers"):
            VALUE.in_target(Uri.parse("tel:+74951234567"))

    @pytest.mark.parametrize(
        "value",
        [VALUE, Replaces("a%b&c=d?e@[2001:db8::1]:<x>", "t!%*_+`'~", "f.-")],
    )
    def test_there_and_back(self, value: Replaces) -> None:
        target = str(value.in_target(Uri.parse("sip:carol@192.0.2.7")))
        assert split_target(target) == ("sip:carol@192.0.2.7", value)

    @pytest.mark.parametrize(
        ("target", "uri"),
        [
            ("sip:carol@192.0.2.7", "sip:carol@192.0.2.7"),
            ("sips:carol@example.com;x=y", "sips:carol@example.com;x=y"),
            ("tel:+74951234567;phone-context=a", "tel:+74951234567;phone-context=a"),
            ("sip:c@h?", "sip:c@h"),
            ("sip:c@h?Route=%3Csip:evil%3E&Subject=a", "sip:c@h"),
            ("sip:c@h?X=%0d%0aReplaces:a", "sip:c@h"),
        ],
    )
    def test_without_it_and_all_else_is_dropped(self, target: str, uri: str) -> None:
        """Who refers us does not write our requests: no Route, no From, no body."""
        assert split_target(target) == (uri, None)

    def test_a_name_in_any_case_and_escaped(self) -> None:
        escaped = "c1%40example.com%3bto-tag%3dus%3bfrom-tag%3dpeer"
        for name in ("replaces", "REPLACES", "%52eplaces"):
            assert split_target(f"sip:c@h?a=b&{name}={escaped}") == ("sip:c@h", VALUE)

    @pytest.mark.parametrize(
        "target",
        [
            "sip:c@h?Replaces=a&Replaces=b",
            "sip:c@h?Replaces=",
            "sip:c@h?Replaces=a%0d%0aX:y%3Bto-tag%3Da%3Bfrom-tag%3Db",
            "sip:c@h?Replaces=a%3Bto-tag%3Da%0d%0aX%3Bfrom-tag%3Db",
            "sip:c@h?Replaces=%ff%3Bto-tag%3Da%3Bfrom-tag%3Db",
            "carol",
            "",
        ],
    )
    def test_bad_ones(self, target: str) -> None:
        with pytest.raises(SipError):
            split_target(target)
