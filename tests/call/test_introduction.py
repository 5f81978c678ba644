"""What an INVITE says of who calls: all of it from a trusted trunk, nothing from any other."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agents import Agent, Trunk, instructions, variables
from gateway.call.introduction import Introduction, introduce
from gateway.config import AgentConfig
from gateway.sip.grammar import SipError
from gateway.sip.message import Headers, Request, parse

ANNA = '"Anna" <sip:+74951234567@provider.example>'


def invite(*lines: bytes, sender: bytes = b"<sip:anonymous@anonymous.invalid>") -> Headers:
    head = [
        b"INVITE sip:100@gw.example SIP/2.0", b"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-1",
        b"From: " + sender + b";tag=1", b"To: <sip:100@gw.example>", b"Call-ID: 1",
        b"CSeq: 1 INVITE", *lines, b"", b"",
    ]  # fmt: skip
    request = parse(b"\r\n".join(head))
    assert isinstance(request, Request)
    return request.headers


def said(*lines: str, trusted: bool = True, sender: str = "<sip:100@pbx>") -> Introduction:
    headers = invite(*(line.encode() for line in lines), sender=sender.encode())
    return introduce(headers, trusted=trusted)


class TestNumber:
    """Who the agent is told that calls."""

    def test_from(self) -> None:
        found = said(sender='"Mallory" <sip:+7495;x=y@pbx>')
        assert (found.from_, found.number) == ("+7495", "+7495")
        assert said(sender="<sip:pbx>").number is None

    def test_asserted(self) -> None:
        """
        From a trusted trunk the asserted number; From stays what it was.
        """
        lines = [f"P-Asserted-Identity: {ANNA}"]
        found = said(*lines)
        assert (found.from_, found.number) == ("100", "+74951234567")
        found = said(*lines, trusted=False)
        assert (found.from_, found.number) == ("100", "100")

    def test_withheld(self) -> None:
        """
        RFC 3325 §9.3: one who wants to be known to the network only is not named to the agent.
        """
        found = said(
            f"P-Asserted-Identity: {ANNA}",
            "Privacy: id",
            sender="<sip:anonymous@anonymous.invalid>",
        )
        assert found.number == "anonymous"

    @pytest.mark.parametrize("value", ["nonsense", "<sip:pbx.example>", "<https://x>", '"'])
    def test_none(self, value: str) -> None:
        assert said(f"P-Asserted-Identity: {value}").number == "100"

    def test_long(self) -> None:
        """
        64 characters of a name or number are kept.
        """
        assert said(sender=f"<sip:{'1' * 300}@pbx>").from_ == "1" * 64


class TestHeaders:
    """What the record keeps."""

    def test_kept(self) -> None:
        found = said(
            f"P-Asserted-Identity: {ANNA}",
            "Diversion: <sip:1@a>;reason=no-answer",
            "x-clinic : North",
            "diversion: <sip:2@a>",
            "X-CLINIC: South",
            "History-Info: <sip:1@a>;index=1",
            "User-to-User: 56;encoding=hex",
            "Privacy: none",
            "Subject: not this",
            "User-Agent: nor this",
            "Xylophone: nor this",
        ).headers
        assert found == {
            "P-Asserted-Identity": ANNA,
            "Diversion": "<sip:1@a>;reason=no-answer, <sip:2@a>",
            "x-clinic": "North, South",
            "History-Info": "<sip:1@a>;index=1",
            "User-to-User": "56;encoding=hex",
            "Privacy": "none",
        }

    def test_bounds(self) -> None:
        """
        32 headers, of 256 characters each.
        """
        lines = [f"X-{n}: {'v' * 300}" for n in range(40)]
        found = said(*lines, "X-1: more").headers
        assert list(found) == [f"X-{n}" for n in range(32)]
        assert set(found.values()) == {"v" * 256}

    def test_clean(self) -> None:
        headers = invite(b"X-Note: a\x1b[31m\xe2\x80\xae\xff\tb\xc2\x85c")
        assert introduce(headers, trusted=True).headers == {"X-Note": "a[31mbc"}


NAMES = (b"P-Asserted-Identity", b"Diversion", b"History-Info", b"User-to-User", b"X-Clinic")
SECRET = b"+79990001122"
VALUES = (b"<sip:%s@x.example>;index=1", b"<tel:%s>", b"%s")
AGENT = Agent(
    "a",
    (),
    AgentConfig(
        instructions="{caller} {called} {trunk} {clinic}", variables={"clinic": "X-Clinic"}
    ),
)


@st.composite
def spelt(draw: st.DrawFn) -> list[bytes]:
    """A header whose value is not to be believed, in every way of writing it."""
    name = draw(st.sampled_from(NAMES))
    cased = bytes(
        draw(st.sampled_from([byte, byte ^ 0x20 if chr(byte).isalpha() else byte])) for byte in name
    )
    before = draw(st.sampled_from([b"", b" ", b"\t", b" \t ", b"\r\n ", b"\0", b"\xc2\xa0"]))
    after = draw(st.sampled_from([b"", b" ", b"\r\n ", b"\r\n\t", b" \r\n  ", b"\0"]))
    value = draw(st.sampled_from(VALUES)) % SECRET
    line = cased + before + b":" + after + value
    return [line] * draw(st.integers(1, 3))


@given(spelt(), spelt(), st.booleans())
def test_nothing_of_an_untrusted_trunk_gets_through(
    first: list[bytes], second: list[bytes], trusted: bool
) -> None:
    """
    However such a header is spelt: of an untrusted trunk it reaches neither the number, the
    variables, the instructions nor the record; of a trusted one it does, if it is one.
    """
    try:
        headers = invite(*first, *second)
    except SipError:
        return  # refused as a whole
    found = introduce(headers, trusted=trusted)
    told = instructions(
        AGENT,
        caller=found.number,
        called="100",
        trunk=Trunk("pbx", (), "learn"),
        now=datetime(2026, 11, 21, tzinfo=UTC),
        variables=variables(AGENT, Trunk("pbx", (), "learn"), found.header),
    )
    everything = told + json.dumps(found.headers) + str(found.from_) + str(found.number)
    assert (SECRET.decode() in everything) is trusted
