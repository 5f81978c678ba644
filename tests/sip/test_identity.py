"""RFC 3323, 3325, 5806, 7044, 7433: what a trusted peer says of who is behind a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.identity import Asserted, Diversion, Retarget, asserted
from gateway.sip.message import Headers, Request, parse


def said(*lines: str) -> Asserted:
    """Of the header lines of a request, as they come from the wire."""
    head = [
        "INVITE sip:100@gw.example SIP/2.0", "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-1",
        "From: <sip:anonymous@anonymous.invalid>;tag=1", "To: <sip:100@gw.example>", "Call-ID: 1",
        "CSeq: 1 INVITE", *lines, "", "",
    ]  # fmt: skip
    request = parse("\r\n".join(head).encode("utf-8", "surrogateescape"))
    assert isinstance(request, Request)
    return asserted(request.headers)


class TestAssertedIdentity:
    @pytest.mark.parametrize(
        ("lines", "number"),
        [
            (['P-Asserted-Identity: "Anna" <sip:+74951234567@provider.example>'], "+74951234567"),
            (["P-Asserted-Identity: tel:+7-495-123-45-67"], "+74951234567"),
            (["P-Asserted-Identity: <tel:(495)123.45.67;phone-context=+7>"], "4951234567"),
            (["P-Asserted-Identity: <sip:alice@x.example>, <tel:+7495>"], "+7495"),
            (["P-Asserted-Identity: <tel:+7495>", "P-Asserted-Identity: <sip:a@b>"], "+7495"),
            (["P-Asserted-Identity: sip:a.b-c@x.example"], "a.b-c"),
            (["p-asserted-identity : sip:+1@x", "P-ASSERTED-IDENTITY: sip:+2@x"], "+1"),
            (["P-Asserted-Identity:", " <sip:+1;npdi@x.example;user=phone>"], "+1"),
            (["P-Asserted-Identity: <sips:%2B7495@x.example>"], "+7495"),
            (["P-Asserted-Identity: sip:x.example"], ""),
            (["P-Asserted-Identity: nonsense, <tel:+7495>"], "+7495"),
            (["P-Asserted-Identity: <sip:+1@x"], None),
            (["P-Asserted-Identity: <https://x.example>"], None),
            (["P-Asserted-Identity: ,,,"], None),
            (["P-Preferred-Identity: <sip:+1@x.example>"], None),
            (["Remote-Party-ID: <sip:+1@x.example>"], None),
            ([], None),
        ],
    )
    def test_number(self, lines: list[str], number: str | None) -> None:
        """
        RFC 3325 §9.1: one sip and one tel URI at most; the number of the latter, without what is
        for the eyes. P-Preferred-Identity is not for us (§9.2).
        """
        assert said(*lines).number == number

    def test_two(self) -> None:
        """
        A third one is not allowed, and not looked at.
        """
        identities = said(
            "P-Asserted-Identity: <sip:a@x>, <sips:b@x>, <tel:+1>", "P-Asserted-Identity: <tel:+2>"
        ).identities
        assert [str(it.uri) for it in identities] == ["sip:a@x", "tel:+1"]

    def test_name(self) -> None:
        [anna] = said('P-Asserted-Identity: "Анна \\"A\\"" <sip:+1@x>').identities
        assert anna.display == 'Анна "A"'


@pytest.mark.parametrize(
    ("lines", "privacy", "private"),
    [
        ([], set(), False),
        (["Privacy: none"], {"none"}, False),
        (["Privacy: id"], {"id"}, True),
        (["Privacy: USER ; Critical"], {"user", "critical"}, True),
        (["Privacy: header,session", "Privacy: history"], {"header", "session", "history"}, False),
    ],
)
def test_privacy(lines: list[str], privacy: set[str], private: bool) -> None:
    """
    RFC 3323 §4.2, RFC 3325 §9.3: whoever asks for id or user is not to be shown.
    """
    found = said(*lines)
    assert found.privacy == privacy
    assert found.private is private


class TestDiversion:
    """RFC 5806 §4: the latest one on top."""

    def test_several(self) -> None:
        found = said(
            'Diversion: "Sales" <sip:+7495111@x.example>;reason=User-Busy;counter=2;privacy=full',
            'Diversion: <tel:+7495222>;reason="no-answer";privacy=off, <sip:c@x>;screen=yes',
        ).diversions
        assert [(it.uri.name, it.display, it.reason, it.counter, it.private) for it in found] == [
            ("+7495111", "Sales", "user-busy", 2, True),
            ("+7495222", "", "no-answer", 1, False),
            ("c", "", "unknown", 1, False),
        ]

    def test_nonsense(self) -> None:
        """
        What cannot be read is left out, a counter that is none is 1.
        """
        [found] = said("Diversion: x y, <sip:a@b>;counter=１２;reason").diversions
        assert isinstance(found, Diversion)
        assert (found.reason, found.counter) == ("unknown", 1)


class TestHistory:
    """RFC 7044 §5, and RFC 4244 before it."""

    def test_steps(self) -> None:
        found = said(
            "History-Info: <sip:bob@x.example>;index=1,"
            " <sip:bob@192.0.2.4?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%22>;index=1.1;rc=1",
            'History-Info: "Office" <sip:office@x.example;cause=486>;index=1.2;mp=1.1',
        ).history
        assert [(it.index, it.uri.name, it.display, it.cause) for it in found] == [
            ("1", "bob", "", None),
            ("1.1", "bob", "", 302),
            ("1.2", "office", "Office", 486),
        ]

    @pytest.mark.parametrize(
        ("value", "index", "cause"),
        [
            ("<sip:a@b>", "", None),
            ("<sip:a@b>;index=x", "", None),
            ("<sip:a@b>;index=1..2", "", None),
            ("<sip:a@b?Privacy=history&Reason=Q.850%3Bcause%3D16>;index=1", "1", None),
            ("<sip:a@b?reason=sip%3B%20cause%20%3D%20404>;index=1", "1", 404),
            ("<sip:a@b?Reason=SIP%3Bcause%3D99999>;index=1", "1", None),
            ("<sip:a@b;cause=1_0>;index=1", "1", None),
            ("<sip:a@b?Reason>;index=1", "1", None),
        ],
    )
    def test_odd(self, value: str, index: str, cause: int | None) -> None:
        [found] = said(f"History-Info: {value}").history
        assert isinstance(found, Retarget)
        assert (found.index, found.cause) == (index, cause)


def test_user_to_user() -> None:
    """
    RFC 7433: text, which is the application's.
    """
    assert said().user_to_user is None
    assert said("User-to-User: 56a3;encoding=hex").user_to_user == "56a3;encoding=hex"
    assert said("User-to-User: a", "user-to-user: b").user_to_user == "a, b"


def test_much() -> None:
    """
    Of very much, the beginning.
    """
    found = said("Diversion: " + ", ".join(f"<sip:{n}@x>" for n in range(2000)))
    assert [it.uri.user for it in found.diversions] == [str(n) for n in range(32)]
    assert said(f"P-Asserted-Identity: <sip:{'x' * 5000}@x>").number is None


NAMES = ("P-Asserted-Identity", "Privacy", "Diversion", "History-Info", "User-to-User")
PIECES = [
    "<sip:a@b",
    ">",
    ";index=1",
    "?Reason=SIP%3Bcause%3D302",
    '"',
    "\\",
    ",",
    ";reason=",
    "tel:+1",
]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.one_of(
                st.text(st.characters(exclude_characters="\r\n\0"), max_size=30),
                st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
            ),
        ),
        max_size=5,
    )
)
def test_any(fields: list[tuple[str, str]]) -> None:
    """
    Whatever is written there, nothing raises.
    """
    found = asserted(Headers(fields))
    assert len(found.identities) <= 2
    assert found.number is None or isinstance(found.number, str)
    assert all(it.cause is None or 100 <= it.cause < 700 for it in found.history)
