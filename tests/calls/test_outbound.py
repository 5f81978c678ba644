"""Calls that we make: answered, refused, given up, with early media, and whoever ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.call.order import Order, read
from gateway.call.prepare import Refused
from gateway.realtime.client import BackendError
from gateway.simulator.phone import Answering, Phone
from gateway.sip.message import Request
from gateway.sip.message import parse as parse_sip
from tests.clock import Network, run

from .house import GATEWAY, House, Sip, house, noise

TRUNKS = {"trunks": {"pbx": {"outbound": "sip:10.0.1.1:5060"}}}
STORY = " ".join(["A long story about the telephone."] * 4)
SCRIPT = {"greeting": "Hello!", "turns": [{"hears": "Tell me more", "say": STORY}]}
GREETS = {"greeting": "Hello!"}


def now() -> float:
    return asyncio.get_running_loop().time()


def order(**fields: Any) -> Order:
    return read({"to": "100", "agent": "reception", **fields})


@asynccontextmanager
async def called(
    folder: Path, answering: Answering, *, script: Any = SCRIPT, **options: Any
) -> AsyncIterator[tuple[House, Phone]]:
    """A house whose only trunk is a phone."""
    config = {**TRUNKS, **options.pop("config", {})}
    agent = options.pop("agent", GREETS)
    async with (
        house(folder, script, config=config, agent=agent, **options) as home,
        home.phone() as phone,
    ):
        phone.answering = answering
        yield home, phone


def place(home: House, **fields: Any) -> str:
    return home.gateway.switchboard.place(order(**fields))


def view(home: House, call_id: str) -> Any:
    return home.gateway.switchboard.view(call_id)


async def settle(home: House, call_id: str) -> Any:
    await home.gateway.switchboard.settled(call_id)
    return view(home, call_id)


class TestAnswered:
    """From the answer on it is a call like any other."""

    def test_the_callee_is_greeted_and_talks(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with called(tmp_path, Answering(after=3.0)) as (home, phone):
                call_id = place(home)
                assert view(home, call_id)["state"] == "calling"
                assert (await settle(home, call_id))["state"] == "answered"
                await phone.until_sound()  # the greeting
                await phone.until_silence()
                await phone.say(noise(0.4))
                await phone.until_sound()
                await asyncio.sleep(2)
                await phone.say(noise(1.0))  # into the story
                await phone.until_silence()
                phone.hang_up()
                record = await home.record()
                ended = view(home, call_id)
            (barge_in,) = record["barge_ins"]
            (truncate,) = home.model.events("conversation.item.truncate")
            assert truncate["audio_end_ms"] == barge_in["heard_ms"] > 1000
            assert record["call_id"] == call_id
            assert record["direction"] == "outbound"
            assert (record["ended_by"], record["cause"]) == ("callee", "hang_up")
            assert (record["sip_status"], record["sip_reason"]) == (200, None)
            assert (record["from"], record["to"], record["trunk"]) == (None, "100", "pbx")
            assert (record["agent"], record["backend"]) == ("reception", "model")
            assert record["codec"] == "PCMA"
            assert phone.invite
            assert record["sip_call_id"] == phone.invite.headers.call_id
            assert ended["state"] == "ended"
            assert ended["cause"] == "hang_up"

        run(main())

    def test_nobody_is_called_before_the_model_is_ready(self, tmp_path: Path) -> None:
        """Who picks up must not wait for it."""

        async def main() -> None:
            async with called(tmp_path, Answering(), delay=0.3) as (home, phone):
                sip = Sip(home.network)
                call_id = place(home)
                await settle(home, call_id)
                (invited,) = sip.times("INVITE ")
                ready = next(at for at, it in home.model.said if it["type"] == "session.updated")
                assert invited == pytest.approx(ready + 0.3, abs=0.001)
                greeting = next(
                    at for at, it in home.model.heard if it["type"] == "response.create"
                )
                assert greeting - invited < 0.05
                phone.hang_up()

        run(main())

    def test_what_the_invite_says(self, tmp_path: Path) -> None:
        async def main() -> None:
            trunk = {"outbound": "sip:10.0.1.1:5060", "username": "7495", "password": "x"}
            agent = {
                "instructions": "You call {called} as {caller} for {name}; {what}",
                "variables": {"what": "X-What"},
            }
            config = {"trunks": {"pbx": trunk}}
            async with called(tmp_path, Answering(), config=config, agent=agent) as (home, phone):
                variables = {"name": "Anna"}
                call_id = place(
                    home, to="+7 (495) 1", variables=variables, headers={"X-Order": "7"}
                )
                await settle(home, call_id)
                phone.hang_up()
                await home.record()
            assert phone.invite
            headers = phone.invite.headers
            assert phone.invite.uri == "sip:+74951@10.0.1.1:5060"
            assert str(headers.from_.uri) == "sip:7495@10.0.1.1"
            assert headers.from_.tag
            assert headers.get("X-Order") == "7"
            (update,) = home.model.events("session.update")
            assert update["session"]["instructions"] == (
                "You call +74951 as 7495 for Anna; unknown"
            )

        run(main())

    def test_we_hang_up(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with called(tmp_path, Answering()) as (home, phone):
                call_id = place(home)
                await settle(home, call_id)
                await asyncio.sleep(1)
                assert home.gateway.switchboard.hang_up(call_id)
                record = await home.record()
                await asyncio.sleep(0.1)
                assert phone.end
                assert (phone.end.by, phone.end.cause) == ("peer", "hang_up")
                assert home.gateway.switchboard.hang_up(call_id)  # once more does nothing
                assert not home.gateway.switchboard.hang_up("c-unknown")
            assert (record["ended_by"], record["cause"]) == ("gateway", "hang_up")

        run(main())

    def test_the_model_hangs_up(self, tmp_path: Path) -> None:
        async def main() -> None:
            script = {"turns": [{"say": "Goodbye.", "call": {"name": "hang_up"}}]}
            async with called(tmp_path, Answering(), script=script, agent={}) as (home, phone):
                await settle(home, place(home))
                await phone.say(noise(0.5))
                record = await home.record()
            assert (record["ended_by"], record["cause"]) == ("model", "hang_up")

        run(main())

    def test_it_lasts_no_longer_than_the_agent_may(self, tmp_path: Path) -> None:
        """From the answer, however long it rang."""

        async def main() -> None:
            agent = {"max_duration": 5}
            async with called(tmp_path, Answering(after=20), agent=agent) as (home, _):
                await settle(home, place(home))
                began = now()
                record = await home.record()
                assert now() - began == pytest.approx(5, abs=0.1)
            assert (record["ended_by"], record["cause"]) == ("gateway", "max_duration")

        run(main())

    def test_an_answer_without_a_session_is_no_call(self, tmp_path: Path) -> None:
        """It cannot be refused any more: ACK, and BYE with the reason."""

        async def main() -> None:
            async with house(tmp_path, config=TRUNKS) as home:
                callee = Callee(home.network)
                sip = Sip(home.network)
                call_id = place(home)
                invite = await callee.invited()
                callee.respond(invite, 200, tag="a")
                ended = await settle(home, call_id)
                await asyncio.sleep(0.1)
                assert callee.got("ACK")
                (bye,) = sip.requests("BYE")
                callee.respond(bye, 200)
                record = await home.record()
            assert ended["state"] == "ended"
            assert "cause=65" in (bye.headers.get("Reason") or "")
            assert record["cause"] == "media_not_acceptable"
            assert record["answered_at"] is None

        run(main())


class TestNotAnswered:
    """Each way of not being there has its word, and SIP's own status beside it."""

    @pytest.mark.parametrize(
        ("status", "cause", "phrase"),
        [
            (302, "redirected", "Moved Temporarily"),
            (403, "forbidden", "Forbidden"),
            (404, "not_found", "Not Found"),
            (480, "unavailable", "Temporarily Unavailable"),
            (486, "busy", "Busy Here"),
            (487, "cancelled", "Request Terminated"),
            (488, "media_not_acceptable", "Not Acceptable Here"),
            (503, "unavailable", "Service Unavailable"),
            (600, "busy", "Busy Everywhere"),
            (603, "declined", "Decline"),
        ],
    )
    def test_refused(self, status: int, cause: str, phrase: str, tmp_path: Path) -> None:
        async def main() -> None:
            how = Answering(status=status, after=1.0)
            async with called(tmp_path, how) as (home, _):
                ended = await settle(home, place(home))
                record = await home.record()
            for it in (ended, record):
                assert (it["ended_by"], it["cause"]) == ("callee", cause)
                assert (it["sip_status"], it["sip_reason"]) == (status, phrase)
                assert it["answered_at"] is None
            assert record["rtp"]["sent"] == 0
            assert home.model.events("response.create") == []

        run(main())

    def test_no_answer(self, tmp_path: Path) -> None:
        """CANCEL after the time that the order gives; the phone stops ringing."""

        async def main() -> None:
            async with called(tmp_path, Answering(after=None)) as (home, phone):
                sip = Sip(home.network)
                began = now()
                call_id = place(home, timeout=20)
                await asyncio.sleep(1)
                assert view(home, call_id)["state"] == "ringing"
                ended = await settle(home, call_id)
                assert now() - began == pytest.approx(20, abs=0.2)
                record = await home.record()
                await asyncio.sleep(0.1)
                assert phone.end
                assert phone.end.cause == "cancelled"
                (cancel,) = sip.requests("CANCEL")
                assert "cause=19" in (cancel.headers.get("Reason") or "")
            assert (ended["ended_by"], ended["cause"]) == ("gateway", "no_answer")
            assert record["sip_status"] == 487

        run(main())

    def test_hung_up_while_it_rings(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with called(tmp_path, Answering(after=None)) as (home, phone):
                call_id = place(home)
                await asyncio.sleep(2)
                home.gateway.switchboard.hang_up(call_id)
                assert view(home, call_id)["state"] == "ended"
                record = await home.record()
                await asyncio.sleep(0.1)
                assert phone.end
                assert phone.end.cause == "cancelled"
            assert (record["ended_by"], record["cause"]) == ("gateway", "hang_up")
            assert record["sip_status"] == 487

        run(main())

    def test_hung_up_before_anybody_was_called(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with called(tmp_path, Answering(), delay=0.5) as (home, phone):
                call_id = place(home)
                await asyncio.sleep(0.3)
                home.gateway.switchboard.hang_up(call_id)
                assert (await settle(home, call_id))["state"] == "ended"
                record = await home.record()
                assert phone.invite is None
            assert (record["ended_by"], record["cause"]) == ("gateway", "hang_up")
            assert record["sip_status"] is None

        run(main())

    def test_the_answer_crosses_our_cancel(self, tmp_path: Path) -> None:
        """She picked up in that moment: her telephone gets BYE (RFC 3261 §15.1.1)."""

        async def main() -> None:
            async with called(tmp_path, Answering(after=1.0)) as (home, phone):
                sip = Sip(home.network)
                call_id = place(home)
                await phone.called()
                home.gateway.switchboard.hang_up(call_id)
                record = await home.record()
                await asyncio.sleep(0.5)
                assert sip.requests("ACK")
                assert sip.requests("BYE")
                assert phone.ended.is_set()
            assert record["answered_at"] is None

        run(main())

    def test_nobody_is_there(self, tmp_path: Path) -> None:
        """Timer B (RFC 3261 §17.1.1.2)."""

        async def main() -> None:
            async with house(tmp_path, config=TRUNKS) as home:
                began = now()
                ended = await settle(home, place(home))
                assert now() - began == pytest.approx(32, abs=0.2)
            assert (ended["ended_by"], ended["cause"]) == ("network", "timeout")
            assert ended["sip_status"] == 408

        run(main())

    def test_no_way_to_the_trunk(self, tmp_path: Path) -> None:
        """Its address is of a family that we do not speak."""

        async def main() -> None:
            config = {"trunks": {"pbx": {"outbound": "sip:[2001:db8::1]"}}}
            async with house(tmp_path, config=config) as home:
                ended = await settle(home, place(home))
                record = await home.record()
            assert (ended["ended_by"], ended["cause"]) == ("gateway", "unreachable")
            assert record["sip_status"] is None
            assert home.model.links == []

        run(main())

    def test_no_model(self, tmp_path: Path) -> None:
        """Then nobody's telephone rings."""

        async def main() -> None:
            async with called(tmp_path, Answering()) as (home, phone):
                home.model.refuses = BackendError("refused", reason="HTTP 401")
                ended = await settle(home, place(home))
                record = await home.record()
                assert phone.invite is None
            assert (ended["ended_by"], ended["cause"]) == ("gateway", "backend_unavailable")
            assert "401" in (record["sip_reason"] or "")
            assert record["sip_status"] is None

        run(main())

    def test_the_model_leaves_while_it_rings(self, tmp_path: Path) -> None:
        """CANCEL: nobody shall pick up and hear nothing."""

        async def main() -> None:
            async with called(tmp_path, Answering(after=None)) as (home, phone):
                call_id = place(home)
                await asyncio.sleep(1)
                home.model.links[0].drop(1011, "gone")
                ended = await settle(home, call_id)
                await asyncio.sleep(0.1)
                assert phone.end
                assert phone.end.cause == "cancelled"
            assert (ended["ended_by"], ended["cause"]) == ("backend", "backend_closed")

        run(main())

    def test_no_port(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with called(tmp_path, Answering(), ports=1) as (home, phone):
                first = place(home)
                await settle(home, first)
                assert (await settle(home, place(home)))["cause"] == "no_ports"
                phone.hang_up()

        run(main())


class TestAdmission:
    """Calls that we make are calls: they count, and none begins while the service goes down."""

    def test_not_while_it_goes_down(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with called(tmp_path, Answering(after=None)) as (home, _):
                call_id = place(home)
                await asyncio.sleep(1)
                home.gateway.hang_up_all()
                assert view(home, call_id)["cause"] == "shutdown"
                with pytest.raises(Refused) as refused:
                    place(home)
                assert refused.value.refusal.cause == "draining"
                assert len(await home.records()) == 1

        run(main())

    def test_not_more_than_there_may_be(self, tmp_path: Path) -> None:
        async def main() -> None:
            config = {"sip": {"max_calls": 1}}
            async with called(tmp_path, Answering(after=None), config=config) as (home, _):
                place(home)
                with pytest.raises(Refused) as refused:
                    place(home)
                assert refused.value.refusal.cause == "max_calls"
                assert [it["direction"] for it in home.gateway.switchboard.listing()] == [
                    "outbound"
                ]

        run(main())


class TestEarlyMedia:
    """183 with SDP (RFC 3960): the line runs, the model hears nothing of it."""

    def test_ring_back_is_not_for_the_model(self, tmp_path: Path) -> None:
        async def main() -> None:
            folder = tmp_path / "wav"
            config = {"records": {"audio": str(folder)}}
            how = Answering(after=3.0, early=True)
            async with called(tmp_path, how, config=config) as (home, phone):
                call_id = place(home)
                await asyncio.sleep(0.5)
                assert view(home, call_id)["state"] == "ringing"
                ringing = asyncio.create_task(phone.say(noise(2.0)))
                await settle(home, call_id)
                answered = now()
                await ringing
                early = [it for it in phone.heard if it.at < answered]
                assert len(early) > 100  # ours go out, so that NATs open
                await phone.until_sound()
                await phone.until_silence()
                phone.hang_up()
                record = await home.record()
            appends = [
                at for at, it in home.model.heard if it["type"] == "input_audio_buffer.append"
            ]
            assert min(appends) >= answered
            assert record["usage"]["audio_in_s"] == pytest.approx(
                _seconds(record, "answered_at", "ended_at"), abs=0.2
            )
            assert home.model.answers("input_audio_buffer.speech_started") == []
            first, last = early[0].packet, phone.heard[-1].packet
            assert first.ssrc == last.ssrc  # one stream, before and after
            sound = (tmp_path / "wav" / f"{call_id}.wav").stat().st_size
            assert sound / 32_000 == pytest.approx(
                _seconds(record, "answered_at", "ended_at"), abs=0.3
            )

        run(main())

    def test_early_media_and_a_refusal(self, tmp_path: Path) -> None:
        """An announcement ("the number is not in service"), then 404: nothing is left."""

        async def main() -> None:
            config = {"records": {"audio": str(tmp_path / "wav")}}
            how = Answering(status=404, after=3.0, early=True)
            async with called(tmp_path, how, config=config) as (home, _):
                ended = await settle(home, place(home))
                record = await home.record()
            assert (ended["cause"], ended["sip_status"]) == ("not_found", 404)
            assert record["recording"] is None
            assert list((tmp_path / "wav").iterdir()) == []

        run(main())

    def test_the_fork_that_answers_has_the_sound(self, tmp_path: Path) -> None:
        """Each telephone that rings has a session of its own (RFC 3261 §13.2.2.4)."""

        async def main() -> None:
            async with house(tmp_path, SCRIPT, config=TRUNKS, agent=GREETS) as home:
                callee = Callee(home.network)
                call_id = place(home)
                invite = await callee.invited()
                callee.respond(invite, 183, tag="a", sdp=4000)
                callee.respond(invite, 183, tag="b", sdp=4002)
                await asyncio.sleep(1)
                assert callee.heard[4000] > 40
                assert callee.heard[4002] == 0
                callee.respond(invite, 200, tag="b")  # its session was in the 183
                await settle(home, call_id)
                before = dict(callee.heard)
                await asyncio.sleep(1)
                assert callee.heard[4000] - before[4000] <= 2
                assert callee.heard[4002] - before[4002] > 40
                assert view(home, call_id)["state"] == "answered"

        run(main())

    def test_early_media_that_cannot_be_heard_is_no_reason_to_give_up(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with house(tmp_path, SCRIPT, config=TRUNKS, agent=GREETS) as home:
                callee = Callee(home.network)
                call_id = place(home)
                invite = await callee.invited()
                callee.respond(invite, 183, tag="a", sdp=4000, codec=9)
                await asyncio.sleep(1)
                callee.respond(invite, 200, tag="a", sdp=4002)
                assert (await settle(home, call_id))["state"] == "answered"
                await asyncio.sleep(1)
                assert callee.heard[4002] > 40

        run(main())


class Callee:
    """A peer at the trunk's address that answers as a test writes."""

    ADDRESS = ("10.0.1.1", 5060)

    def __init__(self, network: Network) -> None:
        self.requests: list[Request] = []
        self.heard = {4000: 0, 4002: 0}
        self._network = network
        network.open(self.ADDRESS, self._take)
        for port in self.heard:
            network.open((self.ADDRESS[0], port), partial(self._hear, port))

    def got(self, method: str) -> list[Request]:
        return [it for it in self.requests if it.method == method]

    async def invited(self) -> Request:
        while not self.got("INVITE"):  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.01)
        return self.got("INVITE")[0]

    def respond(
        self, request: Request, status: int, *, tag: str = "", sdp: int = 0, codec: int = 8
    ) -> None:
        to = request.headers.get("To") or ""
        body = (
            f"v=0\r\no=- 1 1 IN IP4 10.0.1.1\r\ns=-\r\nc=IN IP4 10.0.1.1\r\nt=0 0\r\n"
            f"m=audio {sdp} RTP/AVP {codec}\r\n"
            if sdp
            else ""
        )
        lines = [
            f"SIP/2.0 {status} Text",
            *(f"Via: {via}" for via in request.headers.all("Via")),
            f"From: {request.headers.get('From')}",
            f"To: {to};tag={tag}" if tag else f"To: {to}",
            f"Call-ID: {request.headers.call_id}",
            f"CSeq: {request.headers.get('CSeq')}",
            "Contact: <sip:callee@10.0.1.1:5060>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        data = "\r\n".join([*lines, "", body]).encode()
        self._network.send(data, self.ADDRESS, GATEWAY)

    def _take(self, data: bytes, source: tuple[str, int]) -> None:
        message = parse_sip(data)
        if isinstance(message, Request):
            self.requests.append(message)
            if message.method == "BYE":
                self.respond(message, 200)

    def _hear(self, port: int, data: bytes, source: tuple[str, int]) -> None:
        self.heard[port] += 1


def _seconds(record: dict[str, Any], start: str, end: str) -> float:
    times = [datetime.fromisoformat(record[name]) for name in (start, end)]
    return (times[1] - times[0]).total_seconds()
