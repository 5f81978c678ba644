"""RFC 3261 §12: the state of a dialog, and the requests that it makes."""

import pytest

from gateway.sip.dialog import Dialog, contact_of
from gateway.sip.message import Headers, Request, Response, parse

from .wire import request, response

CONTACT = "Contact: <sip:alice@192.0.2.9:5070;ob?x=y>"


def read(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def accepted(*headers: str, from_tag: str = "peer") -> Dialog:
    return Dialog.accept(
        read(request("INVITE", cseq=7, headers=[CONTACT, *headers], from_tag=from_tag)), "us"
    )


def established(*headers: str, tag: str | None = "peer") -> Dialog:
    invite = read(request("INVITE", cseq=7, from_tag="us"))
    answer = parse(response(invite, "200 OK", headers=headers, tag=tag))
    assert isinstance(answer, Response)
    return Dialog.establish(invite, answer)


def test_request_of_the_one_who_was_called() -> None:
    """
    From and To change places, the Request-URI is the peer's Contact (§12.1.1, §12.2.1.1).
    """
    assert accepted().request("BYE", headers=[("Reason", "x")]) == Request(
        "BYE",
        "sip:alice@192.0.2.9:5070;ob",
        Headers(
            [
                ("Max-Forwards", "70"),
                ("From", "<sip:7000@192.0.2.1>;tag=us"),
                ("To", '"Alice" <sip:alice@example.com>;tag=peer'),
                ("Call-ID", "c1"),
                ("CSeq", "1 BYE"),
                ("Reason", "x"),
            ]
        ),
    )


def test_request_of_the_one_who_called() -> None:
    """
    CSeq goes on from the INVITE; the ACK of a 2xx has the INVITE's number (§13.2.2.4).
    """
    dialog = established(CONTACT)
    ack, bye = dialog.ack(7), dialog.request("BYE")

    assert (ack.headers.get("CSeq"), bye.headers.get("CSeq")) == ("7 ACK", "8 BYE")
    assert ack.uri == bye.uri == "sip:alice@192.0.2.9:5070;ob"
    assert bye.headers.get("To") == "<sip:7000@192.0.2.1>;tag=peer"


def test_route_set() -> None:
    """
    The called one keeps the order of Record-Route, the calling one turns it round.
    """
    routes = ("Record-Route: <sip:p1;lr>, <sip:p2;lr>", "Record-Route: <sip:p3;lr>")

    bye = accepted(*routes).request("BYE")
    assert bye.headers.all("Route") == ["<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>"]
    assert bye.uri == "sip:alice@192.0.2.9:5070;ob"
    bye = established(CONTACT, *routes).request("BYE")
    assert bye.headers.all("Route") == ["<sip:p3;lr>", "<sip:p2;lr>", "<sip:p1;lr>"]


def test_strict_router() -> None:
    """
    A first route without lr becomes the Request-URI, the target the last route (§12.2.1.1).
    """
    bye = accepted("Record-Route: <sip:p1;x=y?h=1>, <sip:p2;lr>").request("BYE")

    assert bye.uri == "sip:p1;x=y"
    assert bye.headers.all("Route") == ["<sip:p2;lr>", "<sip:alice@192.0.2.9:5070;ob>"]


def test_broken_route() -> None:
    """
    A Record-Route that is no address goes back as it came.
    """
    bye = accepted("Record-Route: gibberish").request("BYE")

    assert bye.uri == "sip:alice@192.0.2.9:5070;ob"
    assert bye.headers.all("Route") == ["gibberish"]


def test_order() -> None:
    """
    The peer's CSeq goes up; gaps are legal (§12.2.2). A caller does not know it beforehand.
    """
    dialog = accepted()
    numbers = (6, 7, 8, 8, 20)
    assert [dialog.in_order(read(request("BYE", cseq=n))) for n in numbers] == [
        False,
        False,
        True,
        False,
        True,
    ]
    assert established(CONTACT).in_order(read(request("BYE", cseq=1)))


@pytest.mark.parametrize(
    ("data", "ours"),
    [
        (request("BYE", to_tag="us"), True),
        (request("BYE", to_tag="us", from_tag="other"), False),
        (request("BYE", to_tag="us", call_id="c2"), False),
    ],
)
def test_owns(data: bytes, ours: bool) -> None:
    """
    Call-ID and both tags make the dialog (§12).
    """
    assert accepted().owns(read(data)) is ours


def test_null_tag() -> None:
    """
    A peer of RFC 2543 has no tag: that is a tag, too (§12.1.1).
    """
    dialog = established(CONTACT, tag=None)

    assert dialog.remote_tag == ""
    assert dialog.owns(read(request("BYE").replace(b";tag=peer", b"")))


def test_refresh() -> None:
    """
    A Contact moves the target; none leaves it (§12.2.1.2).
    """
    dialog = accepted()
    dialog.refresh(read(request("INVITE", headers=["m: sip:alice@192.0.2.10"])))
    assert dialog.target == "sip:alice@192.0.2.10"
    dialog.refresh(read(request("INVITE", headers=[])))
    assert dialog.target == "sip:alice@192.0.2.10"


def test_without_contact() -> None:
    """
    A 2xx without Contact breaks the rules; the address that we called is the best guess.
    """
    assert established().target == "sip:7000@192.0.2.1"
    assert contact_of(read(request("INVITE", headers=["Contact: <tel:1>"]))) is None


def test_caller_without_contact() -> None:
    """
    A peer of RFC 2543 need not send one: its From is where it is called (§6.13 there).
    """
    dialog = Dialog.accept(read(request("INVITE", headers=[])), "us")
    assert dialog.target == "sip:alice@example.com"
