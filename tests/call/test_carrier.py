"""A trunk that calls can be made through: whom its numbers and URIs mean."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.call.carrier import Carrier, number_of, same, same_host
from gateway.call.exchange import Destination
from gateway.sip.address import Uri
from gateway.sip.digest import Credentials

PBX = Carrier(
    "pbx",
    Uri.parse("sip:anybody@192.0.2.10:5070;transport=tcp?X-A=1"),
    user="7495",
    host="pbx.example",
    credentials=Credentials("7495", "secret", token=lambda: "t"),
)
PHONES = Carrier(
    "phones",
    None,
    user=None,
    host=None,
    users=frozenset({"100", "+7495", "anna.b", "a;b%"}),
    places=(Uri("sip", None, "192.0.2.1", 5060), Uri("sip", None, "2001:db8::1", 5061)),
)


def meant(carrier: Carrier, uri: str) -> str | None:
    return carrier.user_of(Uri.parse(uri))


class TestNumbers:
    """Those beyond the trunk's way out."""

    def test_at_its_host(self) -> None:
        uri, proxy = PBX.number("100")
        assert (str(uri), proxy) == ("sip:100@192.0.2.10:5070;transport=tcp", None)

    def test_or_of_its_domain(self) -> None:
        uri, proxy = replace(PBX, domain="provider.example").number("100")
        assert str(uri) == "sip:100@provider.example"
        assert str(proxy) == "sip:192.0.2.10:5070;transport=tcp"


class TestUsers:
    """Whose phones register with us: found by number, and by name where the trunk is or we are."""

    @pytest.mark.parametrize(
        ("uri", "user"),
        [
            ("tel:100", "100"),
            ("tel:+7-(4)95", "+7495"),
            ("tel:anna.b", "anna.b"),
            ("sip:100@192.0.2.1", "100"),
            ("sip:100@192.0.2.1:5060", "100"),
            ("sips:100@[2001:DB8::1]:5061", "100"),
            ("sip:a%3Bb%25@192.0.2.1", "a;b%"),
            ("sip:1-00@192.0.2.1", None),
            ("sip:100@192.0.2.1:5070", None),
            ("sip:100@192.0.2.2", None),
            ("sip:100@phones.example", None),
            ("sip:200@192.0.2.1", None),
            ("sip:100:secret@192.0.2.1", None),
            ("sip:192.0.2.1", None),
            ("tel:200", None),
            ("mailto:100", None),
        ],
    )
    def test_who_is_meant(self, uri: str, user: str | None) -> None:
        assert meant(PHONES, uri) == user

    def test_of_the_domain(self) -> None:
        assert meant(replace(PHONES, domain="phones.example"), "sip:100@Phones.Example") == "100"

    def test_of_a_trunk_with_a_way_out_too(self) -> None:
        both = replace(PBX, users=PHONES.users)
        assert meant(both, "sip:100@192.0.2.10") == "100"
        assert meant(both, "sip:200@192.0.2.10") is None
        assert meant(PBX, "sip:100@192.0.2.10") is None

    def test_how_a_phone_is_called(self) -> None:
        """Nobody else's password goes there; where it is, is found in the moment of the call."""
        both = replace(PBX, users=PHONES.users)
        assert both.to_phone("a;b%", "7999", (("X-A", "1"),)) == Destination(
            target="tel:a%3Bb%25",
            route=None,
            from_user="7999",
            from_host="pbx.example",
            headers=(("X-A", "1"),),
            phone=("pbx", "a;b%"),
        )


def test_a_number_without_what_is_for_the_eye() -> None:
    assert number_of(Uri.parse("tel:+7-(495)-1.2")) == "+749512"
    assert number_of(Uri.parse("sip:a-b@h")) == "a-b"
    assert number_of(Uri.parse("sip:h")) == ""


def test_where_a_way_leads() -> None:
    way = Uri.parse("sip:pbx.example:5070")
    assert same(Uri.parse("sip:1@PBX.example"), way)
    assert same(Uri.parse("sip:1@pbx.example:5070"), way)
    assert not same(Uri.parse("sip:1@pbx.example:5060"), way)
    assert same_host(Uri.parse("sip:1@pbx.example:5060"), way)
    assert not same_host(Uri.parse("sip:1@pbx.example.evil"), way)
