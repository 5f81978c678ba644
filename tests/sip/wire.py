"""One endpoint and its wire: messages in and out as text, time as a number.

We are 192.0.2.1:5060, the peer is 192.0.2.9:5060. Tokens are t1, t2, ..., so the first call's
handle and tag is t1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from gateway.sip.endpoint import Address, Endpoint, Event, Flow, Locate, Output, Transmit
from gateway.sip.message import Request, Response, parse

US, PEER = ("192.0.2.1", 5060), ("192.0.2.9", 5060)
FLOW = Flow("udp", US, PEER)
OFFER, ANSWER = b"v=0\r\no=offer\r\n", b"v=0\r\no=answer\r\n"


def request(
    method: str,
    *,
    cseq: int = 1,
    branch: str = "z9hG4bK-1",
    to_tag: str | None = None,
    from_tag: str = "peer",
    call_id: str = "c1",
    uri: str = "sip:7000@192.0.2.1",
    headers: Sequence[str] = ("Contact: <sip:alice@192.0.2.9>",),
    body: bytes = b"",
) -> bytes:
    """A request of the peer."""
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.9;branch={branch};rport",
        "Max-Forwards: 70",
        f'From: "Alice" <sip:alice@example.com>;tag={from_tag}',
        "To: <sip:7000@192.0.2.1>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *headers,
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def response(
    to: Request,
    status: str,
    *,
    tag: str | None = "peer",
    headers: Sequence[str] = (),
    body: bytes = b"",
) -> bytes:
    """The peer's response to a request of ours."""
    asked = to.headers
    lines = [
        f"SIP/2.0 {status}",
        *(f"Via: {via}" for via in asked.all("Via")),
        f"From: {asked.get('From')}",
        f"To: {asked.get('To')}" + (f";tag={tag}" if tag and asked.to.tag is None else ""),
        f"Call-ID: {asked.call_id}",
        f"CSeq: {asked.get('CSeq')}",
        *headers,
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def way_back(answer: Response, source: Address = PEER) -> Address:
    """Where an answer has to go, as far as its own Via tells (RFC 3261 §18.2.2, RFC 3581 §4)."""
    via = answer.headers.via
    asks_rport = any(name == "rport" for name, _ in via.params)
    truthful = via.host == source[0]
    return (source[0], via.port or 5060) if truthful and not asks_rport else source


class Wire:
    """The endpoint under test. What it sends is kept in `sent`, its events in `events`.

    `ways` says of each message in `sent` where it went.
    """

    def __init__(self, endpoint: Endpoint | None = None) -> None:
        numbers = count(1)
        self.endpoint = endpoint or Endpoint(token=lambda: f"t{next(numbers)}")
        self.now = 0.0
        self.sent: list[Request | Response] = []
        self.ways: list[Address] = []
        self.events: list[Event | Locate] = []

    def receive(self, data: bytes, flow: Flow = FLOW) -> list[str | Event | Locate]:
        """Let a datagram come in; see what happens."""
        return self.see(self.endpoint.receive(data, flow, self.now))

    def see(self, outputs: list[Output]) -> list[str | Event | Locate]:
        """Outputs as a test reads them: the first line of each message, and the events."""
        seen: list[str | Event | Locate] = []
        for output in outputs:
            if isinstance(output, Transmit):
                message = parse(output.data)
                self.sent.append(message)
                assert output.flow.local == US
                self.ways.append(output.flow.remote)
                seen.append(output.data.split(b"\r\n")[0].decode().replace(" SIP/2.0", ""))
            else:
                self.events.append(output)
                seen.append(output)
        return seen

    def lose(self) -> list[str | Event | Locate]:
        """The way to the peer is none, and no other is found."""
        seen = self.see(self.endpoint.failed(FLOW, self.now))
        for asked in [it for it in seen if isinstance(it, Locate)]:
            seen.remove(asked)
            seen += self.see(self.endpoint.located(asked.key, [], self.now))
        return seen

    def wait(self, until: float) -> list[tuple[float, str | Event | Locate]]:
        """Let time pass, firing each timer when it is due."""
        seen: list[tuple[float, str | Event | Locate]] = []
        while (deadline := self.endpoint.deadline) is not None and deadline <= until:
            self.now = deadline
            happened = self.see(self.endpoint.handle_timer(deadline))
            seen += [(deadline, what) for what in happened]
        self.now = until
        return seen

    def wait_until_idle(self) -> None:
        """Nothing may be left behind: no transaction, no dialog, no timer."""
        while (deadline := self.endpoint.deadline) is not None:
            self.wait(deadline)
        assert self.endpoint.idle

    @property
    def last(self) -> Request | Response:
        return self.sent[-1]

    def last_request(self) -> Request:
        assert isinstance(self.last, Request)
        return self.last

    def last_response(self) -> Response:
        assert isinstance(self.last, Response)
        return self.last


def called(**changes: object) -> Wire:
    """An INVITE has come (t1) and waits."""
    wire = Wire()
    wire.receive(request("INVITE", body=OFFER, **changes))  # type: ignore[arg-type]
    return wire


def talking(**changes: object) -> Wire:
    """The peer has called us (t1), the call is confirmed."""
    wire = called(**changes)
    wire.see(wire.endpoint.answer("t1", ANSWER, wire.now))
    wire.receive(request("ACK", branch="z9hG4bK-ack", to_tag="t1"))
    return wire


def calling() -> tuple[Wire, Request]:
    """We call the peer (t1); the INVITE has left."""
    wire = Wire()
    call, outputs = wire.endpoint.invite(
        "sip:bob@192.0.2.9", FLOW, OFFER, wire.now, from_uri="sip:gateway@192.0.2.1"
    )
    assert call == "t1"
    wire.see(outputs)
    return wire, wire.last_request()
