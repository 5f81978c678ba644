"""RFC 3261 §8.1.2, §12.2.1.1, §18.2.2, RFC 3581 §4: where requests and responses go."""

from __future__ import annotations

import pytest

from gateway.sip.address import Uri, Via
from gateway.sip.endpoint import Address, Answered, Endpoint, Flow
from gateway.sip.message import Request
from gateway.sip.route import request_flow, response_flow

from .wire import ANSWER, FLOW, OFFER, PEER, US, Wire, called, calling, request, response

NAT = ("198.51.100.7", 40000)
VIA = b"192.0.2.9;branch=z9hG4bK-1;rport"


def over(source: Address) -> Flow:
    return Flow("udp", US, source)


def hop_from(uri: str, source: Address, via: str | None = None) -> Address:
    """Where a request to `uri` goes, when the peer's messages come from `source`."""
    seen = Via.parse(f"SIP/2.0/UDP {via}").seen_from(*source) if via else None
    flow = request_flow(Uri.parse(uri), over(source), seen)
    assert isinstance(flow, Flow)
    assert (flow.transport, flow.local) == ("udp", US)
    return flow.remote


class TestResponses:
    @pytest.mark.parametrize(
        ("via", "source", "to"),
        [
            ("192.0.2.9:5060;rport", ("192.0.2.9", 40000), 40000),
            ("192.0.2.9:5060", ("192.0.2.9", 40000), 5060),
            ("192.0.2.9:5070", ("192.0.2.9", 40000), 5070),
            ("192.0.2.9", ("192.0.2.9", 40000), 5060),
            ("192.0.2.9:5070;received=192.0.2.9", ("192.0.2.9", 40000), 5070),
            ("192.0.2.9:5070;maddr=192.0.2.77", ("192.0.2.9", 40000), 5070),
            ("[2001:DB8:0::1]:5070", ("2001:db8::1", 40000), 5070),
            ("192.0.2.9:5070", ("::ffff:192.0.2.9", 40000), 5070),
            ("10.0.0.5:5060", ("192.0.2.9", 40000), 40000),
            ("10.0.0.5:5060;received=192.0.2.9;maddr=192.0.2.9", ("192.0.2.9", 40000), 40000),
            ("phone.example:5070", ("192.0.2.9", 40000), 40000),
        ],
    )
    def test_way(self, via: str, source: Address, to: int) -> None:
        """
        With rport the source's port; without, sent-by's where Via tells the truth; never another
        host than the source.
        """
        seen = Via.parse(f"SIP/2.0/UDP {via}").seen_from(*source)
        assert response_flow(seen, over(source)) == (over((source[0], to)), None)

    @pytest.mark.parametrize(
        ("transport", "via", "port", "name"),
        [
            ("tcp", "192.0.2.9:5070", 5070, ""),
            ("tcp", "192.0.2.9:5070;rport", 5070, ""),
            ("tcp", "10.0.0.5", 5060, ""),
            ("tls", "proxy.example", 5061, "proxy.example"),
            ("tls", "192.0.2.77:5071;maddr=192.0.2.77", 5071, ""),
        ],
    )
    def test_connection(self, transport: str, via: str, port: int, name: str) -> None:
        """
        Over TCP and TLS it is the connection; if it is gone, a new one to the same host and the
        port of sent-by (§18.2.2), where TLS has to show the name of sent-by.
        """
        flow = Flow(transport, US, ("192.0.2.9", 40000))
        way, instead = response_flow(Via.parse(f"SIP/2.0/{transport.upper()} {via}"), flow)
        assert way is flow
        assert instead == Flow(transport, US, ("192.0.2.9", port))
        assert instead.name == name

    def test_every_copy(self) -> None:
        """
        100, 180, their copies, the 200 and its resends: all to sent-by's port, and what cannot be
        read is answered there, too.
        """
        wire = Wire()
        flow, to = over((PEER[0], 40000)), (PEER[0], 5070)
        invite = request("INVITE", body=OFFER).replace(VIA, b"192.0.2.9:5070;branch=z9hG4bK-1")
        wire.receive(invite, flow)
        wire.see(wire.endpoint.ring("t1", 0.0))
        wire.receive(invite, flow)
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        wire.wait(2.0)
        wire.receive(invite.replace(b"1 INVITE", b"1 OPTIONS"), flow)

        assert [message.status for message in wire.sent] == [  # type: ignore[union-attr]
            100, 180, 180, 200, 200, 200, 400,
        ]  # fmt: skip
        assert set(wire.ways) == {to}

    def test_refusal(self) -> None:
        """
        A refusal and its copies (G) go the same way; with rport they go to the source.
        """
        for via, port in ((b"192.0.2.9;branch=z9hG4bK-1", 5060), (VIA, 40000)):
            wire = Wire()
            invite = request("INVITE", uri="urn:x:y").replace(VIA, via)
            wire.receive(invite, over((PEER[0], 40000)))
            wire.wait(2.0)
            assert wire.ways == [(PEER[0], port)] * 3


class TestRequests:
    @pytest.mark.parametrize(
        ("uri", "to"),
        [
            ("sip:a@203.0.113.5", ("203.0.113.5", 5060)),
            ("sip:a@203.0.113.5:5080;transport=UDP", ("203.0.113.5", 5080)),
            ("sip:a@proxy.example;maddr=203.0.113.5", ("203.0.113.5", 5060)),
            ("sip:a@192.0.2.9:5080", ("192.0.2.9", 5080)),
            ("sip:a@192.0.2.9", ("192.0.2.9", 5060)),
        ],
    )
    def test_hop(self, uri: str, to: Address) -> None:
        """
        To the address of the URI, its port 5060 if it says none; the peer's source is not asked.
        """
        assert hop_from(uri, ("192.0.2.9", 40000)) == to
        assert hop_from(uri, ("192.0.2.9", 40000), "192.0.2.9;rport") == to
        assert hop_from(uri, ("192.0.2.9", 40000), "192.0.2.9:9") == to

    @pytest.mark.parametrize(
        "uri",
        [
            "tel:+7495", "sips:a@203.0.113.5;transport=udp2", "sip:a@203.0.113.5;transport=ws",
            "sip:a@[2001:db8::1]", "sip:a@0.0.0.0", "sip:a@df7jal23ls0d.invalid", "sip:a@mac.local",
            "sip:a@224.0.1.75", "sip:a@255.255.255.255", "sip:a@203.0.113.5;maddr=224.0.1.75",
            "sip:a@127.0.0.1", "sip:a@10.0.0.5", "sip:a@172.16.0.5:5070", "sip:a@192.168.0.5",
            "sip:a@100.64.0.5", "sip:a@169.254.0.5", "sip:a@10.0.0.5;transport=tcp",
        ],
    )  # fmt: skip
    def test_no_way(self, uri: str) -> None:
        """
        What we do not speak, what no DNS knows, and what cannot be reached from here when the
        peer's messages come from elsewhere: then the flow that works is kept.
        """
        assert hop_from(uri, NAT) == NAT

    @pytest.mark.parametrize(
        "uri",
        [
            "sip:a@phone.example", "sip:a@1.2.3", "sip:a@203.0.113.5;maddr=phone.example",
            "sip:a@203.0.113.5;transport=tcp", "sips:a@203.0.113.5",
            "sip:a@198.51.100.7;transport=TLS",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize(
        "via", [None, "198.51.100.7:5070", "phone.example", "phone.example;rport"]
    )
    def test_found(self, uri: str, via: str | None) -> None:
        """
        A name, and another transport than that of the flow: the hop is to be located (RFC 3263).
        """
        hop = Uri.parse(uri)
        seen = Via.parse(f"SIP/2.0/UDP {via}") if via else None
        found = request_flow(hop, over(NAT), seen)
        assert found is hop or (via == "phone.example;rport" and "198.51.100.7" in uri)

    @pytest.mark.parametrize(
        "uri",
        ["sip:a@phone.example", "sip:a@198.51.100.7;transport=tcp", "sip:a@10.0.0.5;transport=tcp"],
    )
    def test_found_behind_nat(self, uri: str) -> None:
        """
        Not of a peer that shows another address than it comes from: no name leads through its NAT.
        """
        assert hop_from(uri, NAT, "10.0.0.5:5060;rport") == NAT

    @pytest.mark.parametrize(
        ("host", "source", "followed"),
        [
            ("10.0.0.5", "10.9.9.9", True),  # one private network, a proxy between
            ("192.168.0.5", "10.9.9.9", True),
            ("127.0.0.2", "127.0.0.1", True),
            ("100.64.0.5", "100.64.9.9", True),
            ("10.0.0.5", "100.64.9.9", False),
            ("127.0.0.1", "10.9.9.9", False),
            ("203.0.113.5", "10.9.9.9", True),
            ("203.0.113.5", "127.0.0.1", False),  # from loopback no way leads out
            ("192.168.0.5", "127.0.0.1", False),
            ("[2001:db8::5]", "2001:db8::9", True),
            ("[fe80::5]", "2001:db8::9", False),
            ("[fd00::5]", "2001:db8::9", False),
            ("[::1]", "2001:db8::9", False),
            ("[ff02::5]", "2001:db8::9", False),
            ("[::]", "::1", False),
        ],
    )
    def test_scope(self, host: str, source: str, followed: bool) -> None:
        """
        A private address is followed by those who are of that network themselves (RFC 1918, 6598).
        """
        to = (host.strip("[]"), 5060) if followed else (source, 40000)
        assert hop_from(f"sip:a@{host}", (source, 40000)) == to

    def test_private_behind_private(self) -> None:
        """
        A container behind its host: its own Via shows that nothing comes from where it thinks.
        """
        uri, source = "sip:a@172.17.0.2:5070", ("192.168.1.10", 40000)
        assert hop_from(uri, source, "172.17.0.2:5070") == source
        assert hop_from(uri, source, "192.168.1.10") == ("172.17.0.2", 5070)

    @pytest.mark.parametrize(
        ("via", "port"),
        [
            ("10.0.0.5:5060;rport", 40000),
            ("10.0.0.5:5060", 5070),
            ("192.0.2.9:5060;rport", 5070),
            (None, 5070),
        ],
    )
    def test_another_port(self, via: str | None, port: int) -> None:
        """
        The peer's host, another port: the Contact's, unless the peer asked for rport and was seen
        to be behind NAT.
        """
        assert hop_from("sip:a@192.0.2.9:5070", ("192.0.2.9", 40000), via) == ("192.0.2.9", port)

    def test_no_hop(self) -> None:
        named = over(("not an address", 5060))
        assert request_flow(None, FLOW, None) is FLOW
        assert request_flow(Uri.parse("sip:203.0.113.5"), named, None) is named

    def test_ipv4_in_ipv6(self) -> None:
        """
        On a socket of both families the peer's own address keeps its form.
        """
        source = ("::ffff:192.0.2.9", 40000)
        assert hop_from("sip:a@192.0.2.9", source) == (source[0], 5060)


class TestConnections:
    """The peer's latest request came by a connection, or we have made one to it."""

    FLOW = Flow("tcp", US, ("192.0.2.9", 40000))
    DIALLED = Flow("tls", US, ("192.0.2.9", 5061), "proxy.example")

    def way(self, uri: str, flow: Flow, via: str | None = None) -> Flow | Uri:
        return request_flow(Uri.parse(uri), flow, Via.parse(f"SIP/2.0/TCP {via}") if via else None)

    @pytest.mark.parametrize(
        "uri",
        [
            "sip:a@192.0.2.9:5070",
            "sip:a@192.0.2.9:5070;transport=tcp",
            "sip:a@10.0.0.5;transport=tcp",
            "sip:a@x.invalid;transport=tcp",
        ],
    )
    def test_the_same_host(self, uri: str) -> None:
        """
        Of the same host the connection is used that is there, whatever the port (RFC 5923).
        """
        assert self.way(uri, self.FLOW, "192.0.2.9:5070") is self.FLOW
        assert self.way(uri, self.FLOW, "10.0.0.5:5070;rport") is self.FLOW

    @pytest.mark.parametrize("host", ["203.0.113.5", "proxy.example", "[2001:db8::5]"])
    def test_what_the_other_end_says(self, host: str) -> None:
        """
        The peer calls itself so in Via, wherever it comes from: the connection leads to it.
        """
        uri = f"sip:{host};transport=tcp;lr"
        assert self.way(uri, self.FLOW, f"{host.upper()}:5070;rport") is self.FLOW

    def test_another_host(self) -> None:
        """
        To another host another one, with the port of its transport; TLS asks for its address.
        """
        way = self.way("sip:a@203.0.113.5;transport=tcp", self.FLOW, "192.0.2.9:5070")
        assert way == Flow("tcp", US, ("203.0.113.5", 5060))
        way = self.way("sips:a@203.0.113.5;transport=tcp", self.DIALLED)
        assert isinstance(way, Flow)
        assert (way, way.name) == (Flow("tls", US, ("203.0.113.5", 5061)), "203.0.113.5")

    @pytest.mark.parametrize(
        "uri",
        [
            "sip:a@proxy.example;transport=tls;lr",
            "sip:PROXY.example.:5061",
            "sips:proxy.example",
            "sip:a@192.0.2.9:5061;transport=tls",
            "sip:a@192.0.2.9:5061;transport=tcp",
        ],
    )
    def test_dialled(self, uri: str) -> None:
        """
        The name that we have dialled, or its address: the connection that we have.
        """
        way = self.way(uri, self.DIALLED)
        assert isinstance(way, Flow)
        assert (way, way.name) == (self.DIALLED, "proxy.example")

    @pytest.mark.parametrize(
        "uri",
        [
            "sip:a@other.example;transport=tls",
            "sip:a@proxy.example:5070;transport=tls",
            "sip:a@proxy.example;transport=udp",
            "sip:a@192.0.2.9;transport=udp",
        ],
    )
    def test_not_that_one(self, uri: str) -> None:
        """
        Another name, port or transport is located anew.
        """
        assert self.way(uri, self.DIALLED) == Uri.parse(uri)

    def test_another_port(self) -> None:
        """
        Of one that we have dialled, and that has asked nothing yet, the port tells who it is.
        """
        way = self.way("sip:a@192.0.2.9:5071;transport=tls", self.DIALLED)
        assert isinstance(way, Flow)
        assert (way.remote, way.name) == (("192.0.2.9", 5071), "proxy.example")

    def test_udp_peer_with_tcp(self) -> None:
        """
        The other way round: a peer that called by TCP and wants UDP from now on.
        """
        uri = "sip:a@192.0.2.9;transport=udp"
        assert self.way(uri, self.FLOW, "192.0.2.9:5060") == Uri.parse(uri)


def test_interface() -> None:
    """A link-local address keeps the interface that it has here (RFC 4007)."""
    source = ("fe80::5%eth0", 40000)
    assert hop_from("sip:a@[fe80::5]", source, "[fe80::5]") == ("fe80::5%eth0", 5060)


class TestCalled:
    """The peer has called us; its messages come from `NAT` or from where its Contact says."""

    @pytest.mark.parametrize(
        ("headers", "to"),
        [
            (["Contact: <sip:alice@203.0.113.5:5070>"], ("203.0.113.5", 5070)),
            (["Contact: <sip:alice@10.0.0.5:5070>"], NAT),
            (["Contact: <sip:alice@phone.example>"], NAT),
            (
                [
                    "Contact: <sip:alice@10.0.0.5>",
                    "Record-Route: <sip:203.0.113.1:5080;lr>, <sip:203.0.113.2;lr>",
                ],
                ("203.0.113.1", 5080),
            ),
            (
                ["Contact: <sip:alice@203.0.113.5>", "Record-Route: <sip:203.0.113.1>"],
                ("203.0.113.1", 5060),
            ),
            (["Contact: <sip:alice@203.0.113.5>", "Record-Route: gibberish"], NAT),
            (["Contact: <sip:alice@203.0.113.5>", "Record-Route: <sip:p.example;lr>"], NAT),
        ],
    )
    def test_bye(self, headers: list[str], to: Address) -> None:
        """
        BYE and its copies: to the first route, loose or strict, else to the Contact.
        """
        wire = Wire()
        wire.receive(request("INVITE", headers=headers, body=OFFER), over(NAT))
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        wire.receive(request("ACK", branch="z9hG4bK-2", to_tag="t1"), over(NAT))
        before = len(wire.ways)
        assert wire.ways == [NAT] * before
        wire.see(wire.endpoint.bye("t1", 0.0))
        wire.wait(1.0)

        assert wire.ways[before:] == [to] * 2
        assert wire.receive(response(wire.last_request(), "200 OK"), over(to)) == []
        wire.wait_until_idle()

    def test_reinvite(self) -> None:
        """
        An offer of ours, the ACK of its 2xx, and what follows a Contact that moves.
        """
        wire = called(headers=["Contact: <sip:alice@203.0.113.5>"])
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        wire.receive(request("ACK", branch="z9hG4bK-2", to_tag="t1"))
        wire.see(wire.endpoint.reinvite("t1", OFFER, 0.0))
        moved = ["Contact: <sip:alice@203.0.113.6:5090>"]
        wire.receive(response(wire.last_request(), "200 OK", headers=moved, body=ANSWER))
        wire.see(wire.endpoint.bye("t1", 0.0))

        first, then = ("203.0.113.5", 5060), ("203.0.113.6", 5090)
        assert wire.ways[-3:] == [first, then, then]
        assert [it.method for it in wire.sent[-3:] if isinstance(it, Request)] == [
            "INVITE",
            "ACK",
            "BYE",
        ]

    def test_refused_reinvite(self) -> None:
        """
        The ACK of a refusal goes where the INVITE went (§17.1.1.3).
        """
        wire = called(headers=["Contact: <sip:alice@203.0.113.5>"])
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        wire.receive(request("ACK", branch="z9hG4bK-2", to_tag="t1"))
        wire.see(wire.endpoint.reinvite("t1", OFFER, 0.0))
        wire.receive(response(wire.last_request(), "488 No"))

        assert wire.ways[-2:] == [("203.0.113.5", 5060)] * 2

    def test_no_ack(self) -> None:
        """
        The BYE after 32 s without an ACK, too; the 200s before it went to the source.
        """
        wire = called(headers=["Contact: <sip:alice@203.0.113.5>"])
        wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
        wire.wait(32.0)

        assert wire.last_request().method == "BYE"
        assert wire.ways[-1] == ("203.0.113.5", 5060)
        assert set(wire.ways[:-1]) == {PEER}


class TestCalling:
    def test_answered_by_another(self) -> None:
        """
        ACK, its copy and BYE go to the last Record-Route of the 2xx, which is our first route.
        """
        wire, invite = calling()
        routes = "Record-Route: <sip:203.0.113.2;lr>, <sip:203.0.113.1:5080;lr>"
        contact = "Contact: <sip:bob@203.0.113.5>"
        ok = response(invite, "200 OK", headers=[routes, contact], body=ANSWER)

        seen = wire.receive(ok)
        assert seen == ["ACK sip:bob@203.0.113.5", Answered("t1", ANSWER, "peer")]
        wire.receive(ok)
        wire.see(wire.endpoint.bye("t1", 0.0))
        assert wire.ways == [PEER, *[("203.0.113.1", 5080)] * 3]

    def test_fork(self) -> None:
        """
        A second phone gets its ACK and its BYE where it is itself.
        """
        wire, invite = calling()
        wire.receive(response(invite, "200 OK", headers=["m: <sip:b@203.0.113.5>"], body=ANSWER))
        wire.receive(response(invite, "200 OK", tag="other", headers=["m: <sip:b@203.0.113.6>"]))

        assert wire.ways == [PEER, ("203.0.113.5", 5060), *[("203.0.113.6", 5060)] * 2]

    def test_cancel(self) -> None:
        """
        CANCEL goes where the INVITE went (§9.1).
        """
        wire, invite = calling()
        wire.receive(response(invite, "180 Ringing", headers=["m: <sip:b@203.0.113.5>"]))
        wire.see(wire.endpoint.bye("t1", 0.0))

        assert wire.last_request().method == "CANCEL"
        assert wire.ways == [PEER, PEER]


def test_whose_responses_are_awaited() -> None:
    """
    A host is listened to for as long as a request to it is open, and only for responses.
    """
    wire = called(headers=["Contact: <sip:alice@203.0.113.5>"])
    wire.see(wire.endpoint.answer("t1", ANSWER, 0.0))
    wire.receive(request("ACK", branch="z9hG4bK-2", to_tag="t1"))

    def hears(endpoint: Endpoint) -> list[bool]:
        datas = (b"SIP/2.0 200 OK\r\n", b"BYE sip:x SIP/2.0\r\n", b"", b"SIP/3.0 200 OK\r\n")
        return [endpoint.awaits(data, "203.0.113.5") for data in datas]

    assert hears(wire.endpoint) == [False] * 4
    wire.see(wire.endpoint.bye("t1", 0.0))
    assert hears(wire.endpoint) == [True, False, False, False]
    assert not wire.endpoint.awaits(b"SIP/2.0 200 OK\r\n", PEER[0])
    wire.receive(response(wire.last_request(), "200 OK"))
    wire.wait_until_idle()
    assert hears(wire.endpoint) == [False] * 4
    assert not wire.endpoint._layer._asked


def test_a_request_within_a_call_is_awaited_from_anywhere() -> None:
    """
    Its To has our tag, which only the peer of the call knows.
    """
    wire, _ = calling()
    own = wire.endpoint

    def hears(to: bytes) -> bool:
        return own.awaits(b"BYE sip:x SIP/2.0\r\n" + to + b"\r\n\r\n", "203.0.113.5")

    for to in (b"To: <sip:a@x>;tag=t1", b"t:sip:a;x=1 ; TAG = t1", b"TO : <sip:a>;tag=t1;x"):
        assert hears(to), to
    for to in (b"To: <sip:a@x>;tag=t2", b"To: <sip:a@x>", b"From: <sip:a>;tag=t1", b"X: t1"):
        assert not hears(to), to
    assert not hears(b"X: " + b"x" * 5000 + b"\r\nTo: <sip:a@x>;tag=t1")
    assert not hears(b"To: <sip:a@x>;tag=\xd9\xa3")
