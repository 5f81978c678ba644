"""RFC 3261 §8.1.3.4: whom else to ask."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.message import Headers, Response
from gateway.sip.redirect import Redirects


def moved(*contacts: str) -> Response:
    return Response(302, "", Headers([("Contact", contact) for contact in contacts]))


def order(redirects: Redirects) -> list[str]:
    found = []
    while uri := redirects.next():
        found.append(str(uri))
    return found


def test_order() -> None:
    """
    The larger q first (§20.10), without one it is 1; among equals as they came.
    """
    redirects = Redirects("sip:bob@example.com")
    redirects.add(moved("<sip:a@x>;q=0.2, <sip:b@x>;q=0.7", "<sip:c@x>", "<sip:d@x>;q=0.7"))
    assert order(redirects) == ["sip:c@x", "sip:b@x", "sip:d@x", "sip:a@x"]


def test_the_targets_of_a_target() -> None:
    """
    What a redirected phone names is put among those that are left.
    """
    redirects = Redirects("sip:bob@example.com")
    redirects.add(moved("<sip:a@x>, <sip:b@x>;q=0.5"))
    assert str(redirects.next()) == "sip:a@x"
    redirects.add(moved("<sip:c@x>;q=0.4, <sip:d@x>;q=0.6"))
    assert order(redirects) == ["sip:d@x", "sip:b@x", "sip:c@x"]


def test_loops() -> None:
    """
    Nobody is asked twice, under whatever parameters.
    """
    redirects = Redirects("sip:bob@example.com")
    redirects.add(moved("<sip:bob@EXAMPLE.com;transport=tcp>, <sip:a@x>, <sip:a@X;user=phone>"))
    assert order(redirects) == ["sip:a@x"]
    redirects.add(moved("<sip:a@x>"))
    assert redirects.next() is None


def test_five_are_enough() -> None:
    """
    The best five, over all redirections.
    """
    redirects = Redirects("sip:bob@example.com")
    redirects.add(moved(*(f"<sip:{n}@x>;q=0.{n}" for n in range(1, 10))))
    assert order(redirects) == [f"sip:{n}@x" for n in (9, 8, 7, 6, 5)]
    redirects.add(moved("<sip:late@x>"))
    assert redirects.next() is None


def test_what_cannot_be_called() -> None:
    """
    Other schemes and what is no address are left; so are headers of a URI, and a q that is none.
    """
    redirects = Redirects("sip:bob@example.com")
    redirects.add(
        moved("<mailto:bob@x>", "gibberish", "<tel:+1>", "<sip:a@x?Subject=y>;q=high", "<sip:b@x>")
    )
    assert order(redirects) == ["sip:b@x", "sip:a@x"]


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\0")), max_size=4))
def test_any_contact(contacts: list[str]) -> None:
    redirects = Redirects("sip:bob@example.com")
    redirects.add(moved(*contacts))
    assert len(order(redirects)) <= 5
