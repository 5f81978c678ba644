"""Offers that come late: INVITE and re-INVITE without SDP (RFC 3261 §13.2.1, RFC 6337 §5.2.5).

Then our 200 has the offer and the ACK its answer: the sound begins with the ACK.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from gateway.sdp.description import SessionDescription, parse
from gateway.sip.message import Request, Response
from gateway.sip.message import parse as parse_sip
from tests.clock import Network, run

from .house import GATEWAY, House, house

ADDRESS = ("10.0.0.2", 5060)
GREETS = {"greeting": "Hello!"}
SCRIPT = {"greeting": "Hello!", "turns": []}


class Peer:
    """A caller that writes its SIP by hand, and counts the packets that come."""

    def __init__(self, network: Network) -> None:
        self.got: list[Request | Response] = []
        self.heard = {4000: 0, 4002: 0}
        self._network = network
        self._cseq = 0
        network.open(ADDRESS, self._take)
        for port in self.heard:
            network.open((ADDRESS[0], port), partial(self._hear, port))

    def invite(self) -> None:
        """INVITE or re-INVITE, without SDP."""
        self._cseq += 1
        self._send("INVITE", f"z9hG4bK-{self._cseq}")

    def ack(self, body: bytes = b"") -> None:
        self._send("ACK", f"z9hG4bK-ack-{self._cseq}", body)

    def bye(self) -> None:
        self._cseq += 1
        self._send("BYE", "z9hG4bK-bye")

    async def offered(self) -> SessionDescription:
        """The offer in the 200 to the latest INVITE."""
        return parse((await self.answered()).body)

    async def answered(self) -> Response:
        while True:
            for message in self.got:
                good = isinstance(message, Response) and message.status == 200
                if good and message.headers.cseq.number == self._cseq:
                    assert isinstance(message, Response)
                    return message
            await asyncio.sleep(0.01)

    def byes(self) -> list[Request]:
        return [it for it in self.got if isinstance(it, Request) and it.method == "BYE"]

    def _send(self, method: str, branch: str, body: bytes = b"") -> None:
        tags = [it.headers.to.tag for it in self.got if isinstance(it, Response)]
        tag = next((f";tag={tag}" for tag in reversed(tags) if tag), "")
        lines = [
            f"{method} sip:100@10.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP 10.0.0.2;branch={branch};rport",
            "Max-Forwards: 70",
            "From: <sip:7@10.0.0.2>;tag=peer",
            f"To: <sip:100@10.0.0.1>{tag}",
            "Call-ID: late",
            f"CSeq: {self._cseq} {method}",
            "Contact: <sip:7@10.0.0.2>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._network.send("\r\n".join([*lines, "", ""]).encode() + body, ADDRESS, GATEWAY)

    def _take(self, data: bytes, source: tuple[str, int]) -> None:
        message = parse_sip(data)
        self.got.append(message)
        if isinstance(message, Request) and message.method == "BYE":
            vias = [f"Via: {via}" for via in message.headers.all("Via")]
            same = [f"{name}: {message.headers.get(name)}" for name in ("From", "To", "CSeq")]
            lines = ["SIP/2.0 200 OK", *vias, *same, "Call-ID: late", "Content-Length: 0", "", ""]
            self._network.send("\r\n".join(lines).encode(), ADDRESS, GATEWAY)

    def _hear(self, port: int, data: bytes, source: tuple[str, int]) -> None:
        self.heard[port] += 1


def answer(port: int, codec: int = 8, direction: str = "sendrecv") -> bytes:
    return (
        f"v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP {codec}\r\na={direction}\r\n"
    ).encode()


async def begun(home: House) -> Peer:
    """A call whose offer was late."""
    peer = Peer(home.network)
    peer.invite()
    await peer.answered()
    peer.ack(answer(4000))
    await asyncio.sleep(1)
    return peer


def test_our_200_offers_and_the_ack_answers(tmp_path: Path) -> None:
    """All our codecs are offered; the greeting waits until somebody can hear it."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT, agent=GREETS) as home:
            peer = Peer(home.network)
            peer.invite()
            (line,) = (await peer.offered()).media
            assert line.formats == ("111", "9", "8", "0", "101", "110")
            await asyncio.sleep(1)
            assert home.model.events("response.create") == []
            peer.ack(answer(4000, codec=0))
            await asyncio.sleep(1)
            assert len(home.model.events("response.create")) == 1
            assert peer.heard[4000] > 40
            peer.bye()
            record = await home.record()
        assert (record["codec"], record["cause"]) == ("PCMU", "hang_up")
        assert record["answered_at"] is not None

    run(main())


@pytest.mark.parametrize("body", [b"", b"v=0\r\nnonsense", answer(0), answer(4000, codec=18)])
def test_an_ack_that_does_not_answer_ends_the_call(body: bytes, tmp_path: Path) -> None:
    """It cannot be refused any more: BYE, with the reason."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT, agent=GREETS) as home:
            peer = Peer(home.network)
            peer.invite()
            await peer.answered()
            peer.ack(body)
            record = await home.record()
            await asyncio.sleep(0.1)
            (bye,) = peer.byes()
        assert "cause=65" in (bye.headers.get("Reason") or "")
        assert (record["ended_by"], record["cause"]) == ("gateway", "media_not_acceptable")
        assert home.model.events("response.create") == []

    run(main())


def test_an_ack_that_never_comes(tmp_path: Path) -> None:
    """BYE after 32 s (§13.3.1.4), and nothing is left, though no sound ever ran."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT, agent=GREETS) as home:
            peer = Peer(home.network)
            peer.invite()
            await peer.answered()
            record = await home.record()
            await asyncio.sleep(0.1)
            assert peer.byes()
        assert (record["ended_by"], record["cause"]) == ("network", "no_ack")

    run(main())


def test_a_reinvite_without_sdp_is_offered_the_session(tmp_path: Path) -> None:
    """As who bridges two calls does: the answer in the ACK moves the sound."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT, agent=GREETS) as home:
            peer = await begun(home)
            peer.invite()
            offer = await peer.offered()
            formats = offer.media[0].formats  # anew: she may choose another
            assert formats == ("111", "9", "8", "0", "101", "110")
            assert offer.origin
            await asyncio.sleep(1)
            before = dict(peer.heard)
            peer.ack(answer(4002, codec=0))
            await asyncio.sleep(1)
            assert peer.heard[4000] - before[4000] <= 2
            assert peer.heard[4002] > 40
            peer.bye()
            record = await home.record()
        assert (record["codec"], record["cause"]) == ("PCMU", "hang_up")

    run(main())


def test_held_and_resumed_by_late_offers(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, SCRIPT, agent=GREETS) as home:
            peer = await begun(home)
            for direction, sounds in (("sendonly", False), ("sendrecv", True)):
                peer.invite()
                offer = await peer.offered()
                assert ("sendrecv", None) in offer.media[0].attributes
                peer.ack(answer(4000, direction=direction))
                await asyncio.sleep(0.1)
                before = peer.heard[4000]
                await asyncio.sleep(1)
                assert (peer.heard[4000] - before > 40) is sounds
            peer.bye()
            assert (await home.record())["cause"] == "hang_up"

    run(main())


def test_a_reinvite_that_is_not_answered_ends_the_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, SCRIPT, agent=GREETS) as home:
            peer = await begun(home)
            peer.invite()
            await peer.answered()
            peer.ack(answer(4000, codec=18))
            record = await home.record()
        assert (record["ended_by"], record["cause"]) == ("gateway", "media_not_acceptable")

    run(main())
