"""Where the phones are: RFC 3261 §10.3."""

from __future__ import annotations

import pytest

from gateway.sip.event import Flow, Identity
from gateway.sip.message import Request, parse
from gateway.sip.registrar import MAX_CONTACT, Registrar
from gateway.sip.uas import Rejection

from .wire import US

FLOW = Flow("udp", US, ("203.0.113.7", 31000))
OTHER = Flow("tcp", US, ("203.0.113.7", 40000))
ALICE = Identity("phones", "alice")
DESK = "sip:alice@10.0.0.5:5062"


def register(*headers: str, cseq: int = 1, call_id: str = "r1", to: str = "alice") -> Request:
    lines = [
        "REGISTER sip:gateway SIP/2.0",
        "Via: SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bK-1;rport",
        f"From: <sip:{to}@gateway>;tag=a",
        f"To: <sip:{to}@gateway>",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} REGISTER",
        *headers,
        "Content-Length: 0",
        "",
        "",
    ]
    message = parse("\r\n".join(lines).encode("utf-8", "surrogateescape"))
    assert isinstance(message, Request)
    return message


def receive(registrar: Registrar, request: Request, now: float = 0.0) -> Rejection:
    return registrar.receive(request, ALICE, FLOW, now)


def bound(left: int, contact: str = DESK) -> Rejection:
    return Rejection(200, (("Contact", f"<{contact}>;expires={left}"),))


def contact_of(registrar: Registrar, now: float = 1.0) -> str | None:
    binding = registrar.find("phones", "alice", now)
    return binding.contact if binding else None


def test_a_phone_is_found() -> None:
    registrar = Registrar()
    assert receive(registrar, register(f"Contact: <{DESK}>;expires=300")) == bound(300)
    binding = registrar.find("phones", "alice", 299.0)
    assert binding
    assert (binding.contact, binding.flow) == (DESK, FLOW)
    assert binding.via.host == "10.0.0.5"
    assert registrar.find("phones", "bob", 1.0) is None
    assert registrar.find("other", "alice", 1.0) is None


def test_until_it_expires() -> None:
    registrar = Registrar()
    receive(registrar, register(f"Contact: <{DESK}>;expires=300"))
    assert registrar.find("phones", "alice", 300.0) is None
    assert receive(registrar, register(cseq=2), 300.0) == Rejection(200)


def test_it_is_forgotten() -> None:
    """Nothing is left of a phone that went without a word."""
    registrar = Registrar()
    assert registrar.deadline is None
    receive(registrar, register(f"Contact: <{DESK}>;expires=300"))
    assert registrar.uses(FLOW)
    assert not registrar.uses(OTHER)
    assert registrar.deadline == 300.0
    registrar.handle_timer(299.0)
    assert registrar.uses(FLOW)
    registrar.handle_timer(300.0)
    assert not registrar.uses(FLOW)
    assert registrar.deadline is None


@pytest.mark.parametrize(
    ("headers", "granted"),
    [
        ((f"Contact: <{DESK}>;expires=120", "Expires: 600"), 120),
        ((f"Contact: <{DESK}>", "Expires: 600"), 600),
        ((f"m: {DESK};expires=120",), 120),
        ((f"Contact: <{DESK}>",), 3600),
        ((f"Contact: <{DESK}>;expires=86400",), 3600),
        ((f"Contact: <{DESK}>;expires=99999999999",), 3600),
        ((f"Contact: <{DESK}>;expires=soon",), 3600),
        ((f"Contact: <{DESK}>;expires=１20",), 3600),
        ((f'Contact: <{DESK}>;q=0.5;+sip.instance="<urn:x>"', "Expires: 60"), 60),
    ],
)
def test_for_how_long(headers: tuple[str, ...], granted: int) -> None:
    """§10.3 step 7: what is asked for, and no more than an hour."""
    assert receive(Registrar(), register(*headers)) == bound(granted)


def test_too_short() -> None:
    """423, §10.3 step 7."""
    registrar = Registrar()
    receive(registrar, register(f"Contact: <{DESK}>;expires=300"))
    brief = register(f"Contact: <{DESK}>;expires=0, <sip:alice@10.0.0.6>;expires=59", cseq=2)
    assert receive(registrar, brief) == Rejection(423, (("Min-Expires", "60"),))
    assert contact_of(registrar) == DESK


def test_a_question() -> None:
    """§10.2.3: without a Contact nothing changes."""
    registrar = Registrar()
    assert receive(registrar, register()) == Rejection(200)
    receive(registrar, register(f"Contact: <{DESK}>;expires=300", cseq=2))
    assert receive(registrar, register(cseq=3), 100.0) == bound(200)


@pytest.mark.parametrize(
    "headers",
    [
        ("Contact: *", "Expires: 0"),
        (f"Contact: <{DESK}>;expires=0",),
        (f"Contact: <{DESK}>", "Expires: 0"),
    ],
)
def test_removed(headers: tuple[str, ...]) -> None:
    """§10.2.2."""
    registrar = Registrar()
    receive(registrar, register(f"Contact: <{DESK}>;expires=300"))
    assert receive(registrar, register(*headers, cseq=2)) == Rejection(200)
    assert contact_of(registrar) is None
    assert registrar.deadline is None
    assert receive(registrar, register(*headers, cseq=3)) == Rejection(200)


def test_the_latest_phone_of_a_user() -> None:
    """A second one takes the place of the first, and the first removes only itself."""
    registrar = Registrar()
    receive(registrar, register(f"Contact: <{DESK}>;expires=300"))
    mobile = register("Contact: <sip:alice@10.9.9.9>;expires=300", call_id="r2")
    registrar.receive(mobile, ALICE, OTHER, 0.0)
    receive(registrar, register(f"Contact: <{DESK}>;expires=0", cseq=2))
    binding = registrar.find("phones", "alice", 1.0)
    assert binding
    assert (binding.contact, binding.flow) == ("sip:alice@10.9.9.9", OTHER)


def test_a_phone_that_moved() -> None:
    """Its old address goes and its new one comes in one request, in either order."""
    registrar = Registrar()
    receive(registrar, register(f"Contact: <{DESK}>;expires=300"))
    moved = register(f"Contact: <sip:alice@10.0.0.6>;expires=300, <{DESK}>;expires=0", cseq=2)
    assert receive(registrar, moved) == bound(300, "sip:alice@10.0.0.6")


def test_out_of_order() -> None:
    """§10.3 step 7: an older request of the same Call-ID changes nothing."""
    registrar = Registrar()
    receive(registrar, register(f"Contact: <{DESK}>;expires=300", cseq=5))
    assert receive(registrar, register("Contact: *", "Expires: 0", cseq=4)).status == 500
    assert contact_of(registrar) == DESK
    assert (
        receive(registrar, register("Contact: *", "Expires: 0", cseq=1, call_id="r9")).status == 200
    )


def test_of_somebody_else() -> None:
    """§10.3 step 4: who one has proven to be is whom one may bind."""
    registrar = Registrar()
    other = register(f"Contact: <{DESK}>", to="bob")
    assert receive(registrar, other) == Rejection(403)
    assert registrar.find("phones", "bob", 1.0) is None


@pytest.mark.parametrize(
    "contact",
    [
        "Contact: *",
        "Contact: <mailto:alice@example.com>",
        "Contact: nonsense",
        "Contact: <sip:alice@10.0.0.5>, nonsense",
        f"Contact: <sip:{'a' * MAX_CONTACT}@10.0.0.5>",
    ],
)
def test_bad_contacts(contact: str) -> None:
    registrar = Registrar()
    assert receive(registrar, register(contact)).status == 400
    assert contact_of(registrar) is None


def test_headers_of_a_contact_are_left_out() -> None:
    """They would be headers of our INVITE (§19.1.5)."""
    registrar = Registrar()
    receive(registrar, register("Contact: <sip:alice@10.0.0.5?X-Bad=1>;expires=300"))
    assert contact_of(registrar) == "sip:alice@10.0.0.5"
