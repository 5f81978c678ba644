"""Whom a call is with: one who called us, or whom we call."""

from __future__ import annotations

from gateway.call.exchange import Destination, Party
from gateway.sip.event import Flow, Incoming
from gateway.sip.message import Request, parse

INVITE = parse(
    b"INVITE sip:100@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n"
    b"From: <sip:7@192.0.2.7>;tag=a\r\nTo: <sip:100@192.0.2.1>\r\nCall-ID: c\r\n"
    b"CSeq: 1 INVITE\r\n\r\n"
)


def party(sip: Incoming | Destination) -> Party:
    return Party("c-1", sip, "7", "100", None, "sdp", "")


def test_who_called_us() -> None:
    """The address of her signalling vouches for her sound (rtp/source.py)."""
    assert isinstance(INVITE, Request)
    flow = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.7", 5060))
    caller = party(Incoming("h-1", INVITE, flow))
    assert (caller.direction, caller.signalling_host) == ("inbound", "192.0.2.7")


def test_whom_we_call() -> None:
    """Where her signalling comes from is not known before she is found."""
    callee = party(Destination("sip:100@pbx.example", None, "7", None))
    assert (callee.direction, callee.signalling_host) == ("outbound", None)
