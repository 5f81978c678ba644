"""Where a transfer may go, and how it gets there."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from gateway.call.carrier import Carrier
from gateway.call.exchange import Destination
from gateway.call.onward import Onward
from gateway.sip.address import Uri
from gateway.sip.digest import Credentials

SECRET = Credentials("74951234567", "secret", token=lambda: "t")
CARRIER = Carrier(
    name="pbx",
    uri=Uri.parse("sip:pbx.example:5070;transport=tcp"),
    user="74951234567",
    host="pbx.example",
    credentials=SECRET,
)
PBX = Onward(accepts=True, allow=(ip_network("192.0.2.0/28"),), carrier=CARRIER)
BY_US = [("Referred-By", "<sip:100@gateway.example>")]


class TestPlaces:
    """What the operator wrote down may be anywhere."""

    def test_a_number_is_one_of_the_trunks(self) -> None:
        number = PBX.destination("tel:+7-495-123-45-67", caller="+7999", headers=BY_US)
        assert number == Destination(
            target="sip:+74951234567@pbx.example:5070;transport=tcp",
            route=None,
            from_user="+7999",
            from_host="pbx.example",
            headers=tuple(BY_US),
            credentials=SECRET,
        )

    def test_a_user_of_the_trunks_host_is_called_there(self) -> None:
        to = PBX.destination("sip:sales@PBX.example", caller="+7999", headers=())
        assert to
        assert (to.target, to.route) == ("sip:sales@pbx.example:5070;transport=tcp", None)

    def test_anybody_else_is_called_through_it(self) -> None:
        to = PBX.destination("sip:sales@elsewhere.example", caller=None, headers=())
        assert to
        assert to.target == "sip:sales@elsewhere.example"
        assert to.route == "sip:pbx.example:5070;transport=tcp"
        assert to.from_user == "74951234567"  # whose trunk it is

    def test_the_way_is_not_the_domain(self) -> None:
        """Numbers are those of the domain, whatever proxy stands before it."""
        pbx = Onward(carrier=replace(CARRIER, domain="provider.example"))
        to = pbx.destination("tel:+7495", caller=None, headers=())
        assert to
        assert to.target == "sip:+7495@provider.example"
        assert to.route == "sip:pbx.example:5070;transport=tcp"
        assert pbx.referral("tel:+7495") == "sip:+7495@provider.example"

    def test_a_neighbour_has_no_way_out(self) -> None:
        to = Onward().destination("sip:sales@10.0.0.9", caller=None, headers=())
        assert to == Destination("sip:sales@10.0.0.9", None, "anonymous", None)
        assert Onward().destination("tel:+7495", caller=None, headers=()) is None

    def test_a_peer_is_referred_to_a_uri_that_it_knows(self) -> None:
        assert PBX.referral("tel:+7495") == "sip:+7495@pbx.example:5070;transport=tcp"
        assert PBX.referral("sip:sales@elsewhere.example") == "sip:sales@elsewhere.example"
        assert Onward().referral("tel:+7495") == "tel:+7495"

    def test_a_callers_number_is_escaped(self) -> None:
        to = PBX.destination("sip:sales@pbx.example", caller="a b@c", headers=())
        assert to
        assert to.from_user == "a%20b%40c"


class TestPhones:
    """A user of the trunk is called at the phone that registered."""

    PHONES = Onward(
        accepts=True,
        carrier=Carrier(
            "phones",
            None,
            user=None,
            host=None,
            users=frozenset({"101"}),
            places=(Uri.parse("sip:192.0.2.1:5060"),),
        ),
    )

    @pytest.mark.parametrize("place", ["tel:101", "tel:1-01", "sip:101@192.0.2.1"])
    def test_a_user(self, place: str) -> None:
        for to in (
            self.PHONES.destination(place, caller="100", headers=BY_US),
            self.PHONES.asked(place, caller="100", headers=BY_US),
        ):
            assert to
            assert to.phone == ("phones", "101")
            assert (to.from_user, to.headers) == ("100", tuple(BY_US))

    def test_anybody_else_as_without_a_way_out(self) -> None:
        phones = self.PHONES
        assert phones.destination("tel:+7495", caller=None, headers=()) is None
        to = phones.destination("sip:sales@10.0.0.9", caller=None, headers=())
        assert to == Destination("sip:sales@10.0.0.9", None, "anonymous", None)
        assert phones.referral("tel:+7495") == "tel:+7495"
        for target in ("tel:+7495", "sip:200@192.0.2.1", "sip:101@elsewhere.example"):
            assert phones.asked(target, caller=None, headers=()) is None

    def test_others_of_a_trunk_with_both_go_out(self) -> None:
        both = Onward(carrier=replace(CARRIER, users=frozenset({"101"})))
        to = both.destination("sip:101@pbx.example", caller=None, headers=())
        assert to
        assert (to.phone, to.credentials) == (("pbx", "101"), None)
        out = both.destination("tel:102", caller=None, headers=())
        assert out
        assert (out.phone, out.credentials) == (None, SECRET)


class TestPeers:
    """What a peer asks for goes to the trunk's own hosts only."""

    @pytest.mark.parametrize(
        ("target", "goes_to"),
        [
            ("sip:200@pbx.example", "sip:200@pbx.example:5070;transport=tcp"),
            ("sip:200@192.0.2.9:5080", "sip:200@192.0.2.9:5080"),
            ("tel:+7495", "sip:+7495@pbx.example:5070;transport=tcp"),
            ("sip:200@pbx.example;transport=udp", "sip:200@pbx.example:5070;transport=tcp"),
            ("sip:200@pbx.example?Route=%3Csip:evil%3E", "sip:200@pbx.example:5070;transport=tcp"),
        ],
    )
    def test_its_own_hosts(self, target: str, goes_to: str) -> None:
        to = PBX.asked(target, caller="+7999", headers=BY_US)
        assert to
        assert (to.target, to.headers) == (goes_to, tuple(BY_US))

    @pytest.mark.parametrize(
        "target",
        [
            "sip:+19005551234@elsewhere.example",
            "sip:200@192.0.2.77",
            "sip:200@127.0.0.1",
            "sip:pbx.example",
            "sip:200@pbx.example.evil",
            "http://pbx.example/",
            "no uri",
            "sip:200@pbx.example?Replaces=a&Replaces=b",
        ],
    )
    def test_nowhere_else(self, target: str) -> None:
        assert PBX.asked(target, caller=None, headers=()) is None

    def test_an_attended_transfer_names_the_call_that_is_replaced(self) -> None:
        target = "sip:200@pbx.example?Replaces=abc%40x%3Bto-tag%3D1%3Bfrom-tag%3D2"
        to = PBX.asked(target, caller=None, headers=())
        assert to
        assert to.headers == (("Replaces", "abc@x;to-tag=1;from-tag=2"),)

    def test_only_where_the_operator_allows_it(self) -> None:
        for onward in (Onward(carrier=CARRIER), Onward(accepts=True)):
            assert onward.asked("sip:200@pbx.example", caller=None, headers=()) is None

    def test_a_trunk_without_a_way_out_has_its_addresses(self) -> None:
        pbx = replace(PBX, carrier=None)
        to = pbx.asked("sip:200@192.0.2.9:5080", caller=None, headers=())
        assert to
        assert (to.target, to.route) == ("sip:200@192.0.2.9:5080", None)
        assert pbx.asked("tel:+7495", caller=None, headers=()) is None
