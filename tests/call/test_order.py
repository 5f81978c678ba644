"""An order to call: what is taken, what is refused, and whom it means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call.carrier import Carrier
from gateway.call.exchange import Destination
from gateway.call.order import Order, OrderError, choose, destination, read
from gateway.sip.address import NameAddr, Uri
from gateway.sip.message import Headers

PBX = Carrier("pbx", Uri.parse("sip:192.0.2.10:5070"), user=None, host=None)
PROVIDER = Carrier(
    "provider",
    Uri.parse("sip:sip.provider.example;transport=tcp"),
    user="74951234567",
    host="sip.provider.example",
)

PHONES = Carrier(
    "phones",
    None,
    user=None,
    host=None,
    users=frozenset({"100", "101", "anna.b"}),
    places=(Uri.parse("sip:192.0.2.1:5060"),),
)
NOBODY = replace(PHONES, name="more", users=frozenset({"300"}))


def order(**fields: Any) -> Order:
    return read({"to": "100", "agent": "reception", **fields})


def problem(**fields: Any) -> str | None:
    with pytest.raises(OrderError) as raised:
        destination(order(**fields), PBX)
    assert raised.value.status == 400
    return raised.value.param


class TestReading:
    """Every field is checked, and the wrong one named."""

    def test_the_whole_of_it(self) -> None:
        given = {
            "to": " +7 (495) 123-45-67 ",
            "agent": "reception",
            "trunk": "pbx",
            "from": "+7 495 000-00-00",
            "variables": {"name": "Anna\u202e\r\nObey"},
            "headers": {"X-Order": "7\r\nVia: evil", "X-None": " "},
            "timeout": 20,
            "wait": True,
        }
        assert read(given) == Order(
            to="+7 (495) 123-45-67",
            agent="reception",
            trunk="pbx",
            from_="+74950000000",
            variables={"name": "AnnaObey"},
            headers=(("X-Order", "7Via: evil"),),
            timeout=20.0,
        )

    def test_null_is_as_left_out(self) -> None:
        assert order(trunk=None, timeout=None, headers=None) == Order("100", "reception")

    @pytest.mark.parametrize("body", [None, [], "x", 1])
    def test_it_is_an_object(self, body: Any) -> None:
        with pytest.raises(OrderError, match="expected a JSON object"):
            read(body)

    def test_an_unknown_field_is_a_mistake(self) -> None:
        with pytest.raises(OrderError, match="known: to, agent") as raised:
            order(form="1")
        assert raised.value.param == "form"

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"to": ""}, "to"),
            ({"to": 100}, "to"),
            ({"to": "1" * 257}, "to"),
            ({"agent": None}, "agent"),
            ({"trunk": ["pbx"]}, "trunk"),
            ({"from": "Anna"}, "from"),
            ({"from": "100#"}, "from"),
            ({"from": "1" * 21}, "from"),
            ({"from": "\u0663\u0664"}, "from"),
            ({"variables": []}, "variables"),
            ({"variables": {"a b": "x"}}, "variables"),
            ({"variables": {"caller": "x"}}, "variables.caller"),
            ({"variables": {"name": 1}}, "variables.name"),
            ({"variables": {f"v{n}": "" for n in range(33)}}, "variables"),
            ({"headers": {"Via": "x"}}, "headers"),
            ({"headers": {"X-A: b\r\nVia": "x"}}, "headers"),
            ({"headers": {"X-": "x"}}, "headers"),
            ({"headers": {"X-A": None}}, "headers.X-A"),
            ({"timeout": 0}, "timeout"),
            ({"timeout": 301}, "timeout"),
            ({"timeout": True}, "timeout"),
            ({"timeout": "60"}, "timeout"),
            ({"timeout": float("nan")}, "timeout"),
        ],
    )
    def test_mistakes(self, fields: dict[str, Any], param: str) -> None:
        assert problem(**fields) == param


class TestTarget:
    """A number is called at the trunk's host; so is a URI of it, and any other through it."""

    @pytest.mark.parametrize(
        ("to", "target"),
        [
            ("+7 (495) 123-45-67", "sip:+74951234567@192.0.2.10:5070"),
            ("100", "sip:100@192.0.2.10:5070"),
            ("*21#", "sip:*21%23@192.0.2.10:5070"),
            ("tel:+7-495-123-45-67", "sip:+74951234567@192.0.2.10:5070"),
            ("tel:100;phone-context=example.com", "sip:100@192.0.2.10:5070"),
            ("sip:anna@192.0.2.10", "sip:anna@192.0.2.10:5070"),
            ("SIP:anna@192.0.2.10:5070", "sip:anna@192.0.2.10:5070"),
        ],
    )
    def test_at_the_trunk(self, to: str, target: str) -> None:
        made = destination(order(to=to), PBX)
        assert (made.target, made.route) == (target, None)

    def test_elsewhere_through_the_trunk(self) -> None:
        made = destination(order(to="sip:anna@example.org"), PROVIDER)
        assert made.target == "sip:anna@example.org"
        assert made.route == "sip:sip.provider.example;transport=tcp"

    def test_the_way_is_not_the_domain(self) -> None:
        made = destination(order(to="100"), replace(PROVIDER, domain="provider.example"))
        assert made.target == "sip:100@provider.example"
        assert made.route == "sip:sip.provider.example;transport=tcp"

    def test_the_transport_of_the_trunk(self) -> None:
        made = destination(order(to="100"), PROVIDER)
        assert made.target == "sip:100@sip.provider.example;transport=tcp"

    @pytest.mark.parametrize(
        "to",
        [
            "anna",
            "+",
            "1;2",
            "100@evil.example",
            "1" * 33,
            "\uff11\uff12",
            "tel:+7495;ext=1",
            "tel:anna",
            "sip:192.0.2.10",
            "sip:anna:secret@192.0.2.10",
            "sip:anna@192.0.2.10?Route=evil",
            "sip:anna@192.0.2.10;maddr=192.0.2.66",
            "sip:anna;x=1@192.0.2.10",
            "sip:anna@192.0.2.10\r\nVia: x",
            "sip:anna@",
            "sip:",
            "mailto:anna@example.org",
            "javascript:1",
        ],
    )
    def test_what_is_no_destination(self, to: str) -> None:
        assert problem(to=to) == "to"


class TestCaller:
    """Whom the callee sees: the order's number, else the trunk's user; at the trunk's own place."""

    def test_the_trunks_user(self) -> None:
        made = destination(order(), PROVIDER)
        assert (made.from_user, made.from_host) == ("74951234567", "sip.provider.example")

    def test_the_orders_number(self) -> None:
        made = destination(order(**{"from": "+7495000"}), PROVIDER)
        assert (made.from_user, made.from_host) == ("+7495000", "sip.provider.example")

    def test_nobody_in_particular(self) -> None:
        assert destination(order(), PBX).from_user == "gateway"
        assert destination(order(), PBX).from_host is None

    def test_a_name_that_a_uri_cannot_hold(self) -> None:
        odd = Carrier("odd", PBX.uri, user='a b"@>', host="h")
        assert destination(order(), odd).from_user == "a%20b%22%40%3E"

    def test_what_goes_along(self) -> None:
        made = destination(order(headers={"X-A": "1"}, timeout=5), PBX)
        assert made == Destination(
            "sip:100@192.0.2.10:5070", None, "gateway", None, (("X-A", "1"),), None, 5.0
        )


class TestPhones:
    """A user is called at the phone that registered; nobody else where there is no way out."""

    @pytest.mark.parametrize(
        ("to", "user"),
        [
            ("100", "100"),
            ("1 0-0", "100"),
            ("anna.b", "anna.b"),
            ("tel:100", "100"),
            ("sip:101@192.0.2.1", "101"),
        ],
    )
    def test_a_user(self, to: str, user: str) -> None:
        made = destination(order(to=to, timeout=5, headers={"X-A": "1"}), PHONES)
        assert made.phone == ("phones", user)
        assert (made.from_user, made.headers, made.timeout) == ("gateway", (("X-A", "1"),), 5.0)
        assert Uri.parse(made.target).name == user

    @pytest.mark.parametrize(
        "to",
        [
            "200",
            "bob",
            "tel:100;phone-context=example.com",
            "sip:100@192.0.2.1;maddr=192.0.2.66",
            "sip:100@192.0.2.1?Route=evil",
            "sip:100@elsewhere.example",
            "sip:",
        ],
    )
    def test_nobody_else(self, to: str) -> None:
        with pytest.raises(OrderError, match=r"there are: 100, 101, anna.b$") as raised:
            destination(order(to=to), PHONES)
        assert (raised.value.status, raised.value.param) == (404, "to")

    def test_everything_else_goes_out(self) -> None:
        both = replace(PBX, users=PHONES.users)
        assert destination(order(to="100"), both).phone == ("pbx", "100")
        out = destination(order(to="200"), both)
        assert (out.phone, out.target) == (None, "sip:200@192.0.2.10:5070")


class TestTrunk:
    """The one that is named, or the only one that can dial."""

    def test_the_only_one(self) -> None:
        assert choose(order(), {"pbx": PBX}) is PBX

    def test_the_named_one(self) -> None:
        assert choose(order(trunk="pbx"), {"pbx": PBX, "provider": PROVIDER}) is PBX

    def test_one_of_several_has_to_be_named(self) -> None:
        with pytest.raises(OrderError, match=r"which trunk.*pbx, provider"):
            choose(order(), {"pbx": PBX, "provider": PROVIDER})

    def test_the_only_one_that_can_reach_whom_it_is_to(self) -> None:
        """Phones are no reason to name the provider for each number of the world."""
        carriers = {"provider": PROVIDER, "phones": PHONES}
        assert choose(order(to="+74951234567"), carriers) is PROVIDER
        assert choose(order(to="100"), {"phones": PHONES, "more": NOBODY}) is PHONES
        assert choose(order(to="200"), {"phones": PHONES}) is PHONES  # which says who there is
        for to, among in (("100", carriers), ("200", {"phones": PHONES, "more": NOBODY})):
            with pytest.raises(OrderError, match="which trunk"):
                choose(order(to=to), among)

    def test_none_can(self) -> None:
        with pytest.raises(OrderError, match="no trunk can dial"):
            choose(order(), {})

    def test_no_such_trunk_is_404(self) -> None:
        with pytest.raises(OrderError, match="can: pbx") as raised:
            choose(order(trunk="evil"), {"pbx": PBX})
        assert (raised.value.status, raised.value.param) == (404, "trunk")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
FIELDS = ("to", "agent", "trunk", "from", "variables", "headers", "timeout", "wait")
SIP = st.from_regex(r"(sips?:|tel:|\+)?[ -~]{0,20}(@[ -~]{0,12})?", fullmatch=True)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON | SIP), SIP | st.text(max_size=30))
def test_whatever_comes_it_is_an_order_or_a_mistake(body: dict[str, Any], to: str) -> None:
    """And what is made of an order can be written into a message."""
    try:
        made = destination(read({**body, "to": to, "agent": "a"}), PBX)
    except OrderError:
        return
    Uri.parse(made.target)
    NameAddr.parse(f"<sip:{made.from_user}@h>")
    Headers(made.headers)
