"""One SIP call: its offers and answers in both roles, against a real SIP core."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from gateway.call.ending import Refusal
from gateway.call.exchange import Destination, Exchange
from gateway.call.telephone import Telephone
from gateway.rtp.dtls import Identity
from gateway.rtp.port import RtpPort
from gateway.sdp.description import SdpError, parse
from gateway.sdp.security import Dtls, Encryption, Sdes
from gateway.sip.address import Via
from gateway.sip.endpoint import Endpoint
from gateway.sip.event import (
    Answered,
    Confirmed,
    Ended,
    Event,
    Flow,
    Incoming,
    Locate,
    Offered,
    Output,
    Progress,
    RefreshDue,
    Refused,
    Transmit,
)
from gateway.sip.message import Request, Response
from gateway.sip.message import parse as parse_sip
from gateway.sip.registrar import Binding

OURS, PEER = ("192.0.2.1", 5060), ("192.0.2.7", 5060)
FLOW = Flow("udp", OURS, PEER)
TO = Destination("sip:100@192.0.2.7", None, "7495", None, (("X-Order", "7"),))


class Port:
    def __init__(self, host: str = "0.0.0.0") -> None:
        self.address = (host, 4000)


class Wire:
    """A SIP core without a network, and what left it."""

    codecs = ("PCMA", "PCMU")

    def __init__(self, media_address: str | None = None, encryption: Encryption = "none") -> None:
        self.encryption = encryption
        self.identity = None if encryption == "none" else IDENTITY
        tokens = iter(range(1, 1000))
        self.media_address = media_address
        self.endpoint = Endpoint(token=lambda: f"t{next(tokens)}")
        self.owners: dict[str, Any] = {}
        self.sent: list[Request | Response] = []
        self.ways: list[Flow] = []  # by which that went
        self.events: list[Event] = []
        self.telephone: Telephone

    def clock(self) -> float:
        return 0.0

    def number(self, bits: int) -> int:
        return 7

    def act(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit(data=data, flow=flow):
                    self.sent.append(parse_sip(data))
                    self.ways.append(flow)
                case Locate(key=key):
                    self.act(self.endpoint.located(key, [FLOW], 0.0))
                case _:
                    self.events.append(output)

    def receive(self, event: Event) -> None: ...

    def responses(self, status: int) -> list[Response]:
        return [it for it in self.sent if isinstance(it, Response) and it.status == status]

    def requests(self, method: str) -> list[Request]:
        return [it for it in self.sent if isinstance(it, Request) and it.method == method]


def sdp(port: int = 9000, codec: int = 8, direction: str = "sendrecv") -> bytes:
    return (
        "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP {codec}\r\na={direction}\r\n"
    ).encode()


def message(start: str, cseq: str, *, to_tag: str = "", body: bytes = b"") -> Request:
    tag = f";tag={to_tag}" if to_tag else ""
    branch = cseq.replace(" ", "")
    text = (
        f"{start} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{branch}\r\n"
        f"From: <sip:7@192.0.2.7>;tag=peer\r\nTo: <sip:100@192.0.2.1>{tag}\r\nCall-ID: c\r\n"
        f"CSeq: {cseq}\r\nContact: <sip:7@192.0.2.7>\r\n"
        f"{'Content-Type: application/sdp' if body else 'X: y'}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    request = parse_sip(text.encode() + body)
    assert isinstance(request, Request)
    return request


def called(
    offer: bytes,
    *,
    media_address: str | None = None,
    port: str = "0.0.0.0",
    encryption: Encryption = "none",
    flow: Flow | None = None,
) -> Wire:
    """A telephone that rings."""
    wire = Wire(media_address, encryption)
    invite = message("INVITE sip:100@192.0.2.1", "1 INVITE", body=offer)
    wire.act(wire.endpoint.receive(invite.encode(), FLOW, 0.0))
    (incoming,) = wire.events
    assert isinstance(incoming, Incoming)
    wire.telephone = Telephone(cast(Exchange, wire), wire, incoming.call, flow)
    wire.telephone.use(cast(RtpPort, Port(port)), OURS[0])
    return wire


def calling(to: Destination = TO, encryption: Encryption = "none") -> Wire:
    """A telephone that calls."""
    wire = Wire(encryption=encryption)
    wire.telephone = Telephone(cast(Exchange, wire), wire)
    wire.telephone.use(cast(RtpPort, Port()), OURS[0])
    wire.telephone.call(to, OURS[0])
    return wire


def again(wire: Wire, cseq: int, body: bytes = b"") -> bool:
    """A re-INVITE of the peer's."""
    handle = wire.telephone.handle
    ack = message("ACK sip:100@192.0.2.1", "1 ACK", to_tag=handle)
    wire.act(wire.endpoint.receive(ack.encode(), FLOW, 0.0))
    invite = message("INVITE sip:100@192.0.2.1", f"{cseq} INVITE", to_tag=handle, body=body)
    wire.events.clear()
    wire.act(wire.endpoint.receive(invite.encode(), FLOW, 0.0))
    (offered,) = [it for it in wire.events if isinstance(it, Offered)]
    return wire.telephone.receive(offered)


class TestAddress:
    """What SDP says of us: what the operator wants, else the port's, else the route's."""

    @pytest.mark.parametrize(
        ("media_address", "port", "said"),
        [
            (None, "0.0.0.0", "192.0.2.1"),
            (None, "::", "192.0.2.1"),
            (None, "192.0.2.2", "192.0.2.2"),
            ("203.0.113.5", "192.0.2.2", "203.0.113.5"),
        ],
    )
    def test_of_ours(self, media_address: str | None, port: str, said: str) -> None:
        wire = called(sdp(), media_address=media_address, port=port)
        wire.telephone.agree(sdp())
        wire.telephone.answer()
        (ok,) = wire.responses(200)
        session = parse(ok.body)
        assert session.connection
        assert session.connection.address == said
        assert session.media[0].port == 4000


class TestCalled:
    def test_the_offer_is_answered(self) -> None:
        wire = called(sdp())
        telephone = wire.telephone
        telephone.agree(sdp())
        assert telephone.media
        assert telephone.media.remote == ("192.0.2.7", 9000)
        assert not telephone.announced
        telephone.ring()
        assert wire.responses(180)
        telephone.answer()
        assert telephone.announced
        assert not telephone.receive(Confirmed(telephone.handle, b""))

    def test_what_comes_goes_to_the_owner_until_it_is_left(self) -> None:
        wire = called(sdp())
        assert wire.owners == {wire.telephone.handle: wire}
        wire.telephone.leave()
        assert wire.owners == {}

    def test_an_offer_that_is_no_call(self) -> None:
        wire = called(sdp())
        with pytest.raises(SdpError):
            wire.telephone.agree(sdp(codec=9))
        wire.telephone.refuse(Refusal(488, "x", headers=(("Warning", "305 gateway"),)))
        (no,) = wire.responses(488)
        assert no.headers.get("Warning") == "305 gateway"

    def test_without_an_offer_ours_is_answered_by_the_ack(self) -> None:
        wire = called(b"")
        telephone = wire.telephone
        telephone.agree(b"")
        telephone.answer()
        (ok,) = wire.responses(200)
        assert parse(ok.body).media[0].formats == ("8", "0", "101")
        assert telephone.media is None
        assert telephone.receive(Confirmed(telephone.handle, sdp(codec=0)))
        assert telephone.media
        assert telephone.media.codec.name == "PCMU"
        assert not telephone.receive(Confirmed(telephone.handle, b""))  # of a PRACK, or a copy

    @pytest.mark.parametrize("body", [b"", sdp(0), sdp(codec=9), b"nonsense"])
    def test_an_ack_without_an_answer(self, body: bytes) -> None:
        wire = called(b"")
        wire.telephone.agree(b"")
        wire.telephone.answer()
        with pytest.raises(SdpError):
            wire.telephone.receive(Confirmed(wire.telephone.handle, body))

    def test_a_reinvite_is_answered(self) -> None:
        wire = called(sdp())
        wire.telephone.agree(sdp())
        wire.telephone.answer()
        assert again(wire, 2, sdp(9002, direction="sendonly"))
        assert wire.telephone.media
        assert wire.telephone.media.remote == ("192.0.2.7", 9002)
        assert not wire.telephone.media.sending
        assert b"a=recvonly" in wire.responses(200)[-1].body

    def test_a_reinvite_that_cannot_be_is_488_and_all_stays(self) -> None:
        wire = called(sdp())
        wire.telephone.agree(sdp())
        wire.telephone.answer()
        before = wire.telephone.media
        assert not again(wire, 2, sdp(codec=9))
        assert wire.responses(488)
        assert wire.telephone.media == before


class TestCalling:
    def test_what_is_sent(self) -> None:
        wire = calling()
        (invite,) = wire.requests("INVITE")
        assert invite.uri == "sip:100@192.0.2.7"
        assert str(invite.headers.from_.uri) == "sip:7495@192.0.2.1"
        assert invite.headers.get("X-Order") == "7"
        assert parse(invite.body).media[0].port == 4000
        assert wire.telephone.announced
        assert wire.owners == {wire.telephone.handle: wire}

    def test_a_phone_is_called_by_its_own_way(self) -> None:
        """It came by that, and may be reached by no other."""
        flow = Flow("udp", OURS, ("203.0.113.7", 31000))
        via = Via.parse("SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bK-1")
        binding = Binding("sip:100@10.0.0.5:5062", flow, via, 300.0, "r1", 1)
        wire = calling(replace(TO, target=binding.contact, binding=binding))
        (invite,) = wire.requests("INVITE")
        assert invite.uri == "sip:100@10.0.0.5:5062"
        assert wire.ways == [flow]

    def test_the_answer(self) -> None:
        telephone = calling().telephone
        assert telephone.receive(Answered(telephone.handle, sdp(), "a"))
        assert telephone.media
        assert telephone.media.remote == ("192.0.2.7", 9000)

    def test_ringing_agrees_on_nothing(self) -> None:
        telephone = calling().telephone
        assert not telephone.receive(Progress(telephone.handle, 180, b"", "a"))
        assert telephone.media is None

    def test_early_media_is_the_first_ones_until_somebody_answers(self) -> None:
        """Of each fork its own; the session of the one that answers counts (§13.2.2.4)."""
        telephone = calling().telephone
        for fork, port in (("a", 9000), ("b", 9002)):
            assert telephone.receive(Progress(telephone.handle, 183, sdp(port), fork))
        assert telephone.media
        assert telephone.media.remote == ("192.0.2.7", 9000)
        assert telephone.receive(Answered(telephone.handle, b"", "b"))
        assert telephone.media.remote == ("192.0.2.7", 9002)

    def test_early_media_of_nobody_we_know_is_better_than_none(self) -> None:
        """Behind some gateways the tag of the 200 is another one than that of the 183."""
        telephone = calling().telephone
        telephone.receive(Progress(telephone.handle, 183, sdp(), "a"))
        assert telephone.receive(Answered(telephone.handle, b"", "other"))
        assert telephone.media

    def test_early_media_that_cannot_be(self) -> None:
        telephone = calling().telephone
        assert not telephone.receive(Progress(telephone.handle, 183, sdp(codec=9), "a"))
        assert telephone.media is None

    @pytest.mark.parametrize("body", [b"", sdp(0), sdp(codec=9)])
    def test_an_answer_that_is_none(self, body: bytes) -> None:
        telephone = calling().telephone
        with pytest.raises(SdpError):
            telephone.receive(Answered(telephone.handle, body, "a"))

    def test_it_is_given_up(self) -> None:
        """The CANCEL waits for the first word of the callee (§9.1)."""
        wire = calling()
        wire.telephone.hang_up('Q.850;cause=19;text="no_answer"')
        assert wire.events


IDENTITY = Identity(datetime(2027, 1, 1, tzinfo=UTC))
CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + 40 * "A"


def shaking(host: str = "192.0.2.7", *more: str) -> bytes:
    """An offer of DTLS, and whatever else."""
    lines = [
        "v=0", "o=- 1 1 IN IP4 192.0.2.7", "s=-", f"c=IN IP4 {host}", "t=0 0",
        "m=audio 9000 RTP/SAVP 8", f"a=fingerprint:sha-256 {':'.join(32 * ['AB'])}",
        "a=setup:actpass", *more, "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


class TestEncryption:
    """What the way of a call says of how its sound is encrypted."""

    @pytest.mark.parametrize(
        ("host", "remote", "role"),
        [
            ("192.0.2.7", "192.0.2.7", "active"),  # RFC 5763 §5
            ("10.0.0.7", "192.0.2.7", "passive"),  # behind NAT: ours would not arrive
            ("10.0.0.7", "10.0.0.7", "active"),
            ("phone.example", "192.0.2.7", "active"),  # the negotiation refuses that
        ],
    )
    def test_who_speaks_first(self, host: str, remote: str, role: str) -> None:
        wire = called(shaking(host), encryption="optional", flow=Flow("udp", OURS, (remote, 5060)))
        try:
            wire.telephone.agree(shaking(host))
        except SdpError:
            assert host == "phone.example"
        else:
            assert wire.telephone.media
            assert isinstance(wire.telephone.media.security, Dtls)
            assert wire.telephone.media.security.role == role

    @pytest.mark.parametrize(("transport", "kind"), [("udp", Dtls), ("tcp", Dtls), ("tls", Sdes)])
    def test_keys_that_others_read_are_taken_only_where_there_are_no_others(
        self, transport: str, kind: type
    ) -> None:
        both = shaking("192.0.2.7", CRYPTO)
        flow = Flow(transport, OURS, ("192.0.2.7", 5060))
        wire = called(both, encryption="optional", flow=flow)
        wire.telephone.agree(both)
        assert wire.telephone.media
        assert isinstance(wire.telephone.media.security, kind)

    @pytest.mark.parametrize(
        ("target", "kind"),
        [
            ("sip:100@192.0.2.7", Dtls),
            ("sip:100@192.0.2.7;transport=TLS", Sdes),
            ("sips:100@192.0.2.7", Sdes),
        ],
    )
    def test_the_same_of_those_whom_we_call(self, target: str, kind: type) -> None:
        wire = calling(replace(TO, target=target), encryption="optional")
        telephone = wire.telephone
        assert telephone.receive(Answered(telephone.handle, sdp(), "a"))
        telephone.agree(shaking("192.0.2.7", CRYPTO))
        assert telephone.media
        assert isinstance(telephone.media.security, kind)

    def test_keys_are_of_our_own_dice(self) -> None:
        (invite,) = calling(encryption="required").requests("INVITE")
        lines = [line.split()[-1] for line in invite.body.decode().splitlines() if "crypto" in line]
        assert lines == [
            f"inline:{b64encode(bytes(n - 1) + bytes([7])).decode()}" for n in (30, 44)
        ]

    @pytest.mark.parametrize("status", [488, 606])
    @pytest.mark.parametrize("target", ["sips:100@192.0.2.7", "sip:100@192.0.2.7"])
    def test_a_refusal_is_tried_once_more_the_other_way(self, target: str, status: int) -> None:
        """Where nobody reads them keys are offered at first, else only afterwards."""
        wire = calling(replace(TO, target=target), encryption="optional")
        telephone, first = wire.telephone, wire.telephone.handle
        telephone.receive(Progress(first, 183, sdp(), "a"))
        assert telephone.retry(Ended(first, "peer", "refused", status, None))
        assert telephone.handle != first
        assert list(wire.owners) == [telephone.handle]
        one, other = wire.requests("INVITE")
        lines = [b"RTP/SAVP" in it.body or b"a=crypto" in it.body for it in (one, other)]
        assert lines == ([True, False] if target.startswith("sips") else [False, True])
        again = Ended(telephone.handle, "peer", "refused", status, None)
        assert not telephone.retry(again)

    @pytest.mark.parametrize(
        ("encryption", "ended"),
        [
            ("optional", Ended("x", "peer", "refused", 486, None)),
            ("optional", Ended("x", "us", "cancelled", 488, None)),
            ("optional", Ended("x", "peer", "hang_up", 488, None)),
            ("required", Ended("x", "peer", "refused", 488, None)),
            ("none", Ended("x", "peer", "refused", 488, None)),
        ],
    )
    def test_no_other_end_is(self, encryption: Encryption, ended: Ended) -> None:
        wire = calling(encryption=encryption)
        assert not wire.telephone.retry(ended)
        assert len(wire.requests("INVITE")) == 1


class TestRefresh:
    """RFC 4028 §7.4: what was agreed is offered once more, to the letter."""

    def test_nothing_of_it_changes(self) -> None:
        wire = called(sdp())
        telephone = wire.telephone
        telephone.agree(sdp(direction="sendonly"))
        telephone.answer()
        ack = message("ACK sip:100@192.0.2.1", "1 ACK", to_tag=telephone.handle)
        wire.act(wire.endpoint.receive(ack.encode(), FLOW, 0.0))
        assert not telephone.receive(RefreshDue(telephone.handle))
        (reinvite,) = wire.requests("INVITE")
        assert reinvite.body == wire.responses(200)[0].body
        assert not telephone.receive(Refused(telephone.handle, 491, "Request Pending"))
        assert telephone.receive(Answered(telephone.handle, b"", ""))  # some leave it out
        assert telephone.media
        assert not telephone.media.sending

    def test_where_nothing_is_agreed_yet_there_is_nothing_to_refresh(self) -> None:
        wire = called(b"")
        wire.telephone.agree(b"")
        wire.telephone.answer()
        wire.telephone.receive(RefreshDue(wire.telephone.handle))
        assert wire.requests("INVITE") == []
