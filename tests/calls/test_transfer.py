"""Transfers by REFER, attended ones with Replaces, and those that the peer asks of us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.phone import Answering, CallFailed, Phone, Referring
from gateway.sip.address import Uri
from gateway.sip.message import Request
from gateway.sip.replaces import Replaces, split_target
from tests.clock import run

from .house import GATEWAY, House, Sip, house, noise
from .test_bridged import AGENT, PLEASE, SCRIPT, asked, likeness, outputs, sound, trunk, until

TALK = {
    "turns": [{"hears": f"Number {n}", "say": f"Answer {n}, at some length."} for n in range(9)]
}


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def referring(
    folder: Path, how: Referring, **settings: Any
) -> AsyncIterator[tuple[House, Phone, Phone, Sip]]:
    """A house, a caller with her own manners about REFER, the target, and all SIP."""
    async with (
        house(
            folder, SCRIPT, agent=AGENT, config=trunk(**{"transfer_by": "refer", **settings})
        ) as home,
        home.phone() as phone,
        home.phone() as other,
    ):
        phone.referring, other.answering = how, Answering()
        yield home, phone, other, Sip(home.network)
        phone.hang_up()
        other.hang_up()
        await home.gateway.written()


@asynccontextmanager
async def talking(folder: Path, **settings: Any) -> AsyncIterator[tuple[House, Phone, Phone, Sip]]:
    """A house and a caller whose trunk may move our calls; the other phone is on that trunk."""
    config = trunk(**{"accept_transfers": True, **settings})
    async with (
        house(folder, TALK, config=config) as home,
        home.phone() as phone,
        home.phone() as other,
    ):
        other.answering = Answering(after=2.0)
        sip = Sip(home.network)
        await phone.dial("100", GATEWAY)
        await has_a_turn(home, phone)
        yield home, phone, other, sip
        phone.hang_up()
        other.hang_up()
        await home.gateway.written()


async def has_a_turn(home: House, phone: Phone) -> None:
    """Somebody says something, and is answered."""
    done, began = len(home.model.answers("response.done")), now()
    await phone.say(noise(0.4))
    await until(lambda: len(home.model.answers("response.done")) > done or now() > began + 10)
    await phone.until_sound()
    await phone.until_silence()
    assert len(home.model.answers("response.done")) == done + 1


def fragments(sip: Sip) -> list[bytes]:
    """What the gateway told of the call that it was asked for, without copies."""
    told = {notify.headers.cseq.number: notify.body for notify in sip.requests("NOTIFY")}
    return [body.split(b"\r\n")[0] for body in told.values()]


class TestRefer:
    """The peer calls the target: RFC 3515."""

    def test_the_caller_is_gone_when_the_target_answered(self, tmp_path: Path) -> None:
        """The words before it are heard first; the BYE is the peer's."""

        async def main() -> None:
            async with referring(tmp_path, Referring()) as (home, phone, other, sip):
                await asked(phone)
                await phone.ended.wait()
                record = await home.record()
                assert home.holds_nothing()
                (refer,) = sip.requests("REFER")
                assert refer.headers.get("Refer-To") == "<sip:sales@10.0.1.2>"
                assert refer.headers.get("Referred-By") == "<sip:100@10.0.0.1>"
                assert sip.requests("BYE") == []
                assert other.invite is None

            assert (record["ended_by"], record["cause"]) == ("model", "transferred")
            (transfer,) = record["transfers"]
            assert (transfer["by"], transfer["status"]) == ("refer", 200)
            assert transfer["answered_at"]
            assert record["tools"][0]["ok"] is True
            assert record["transcript"][-1]["text"] == PLEASE
            assert outputs(home.model) == []

        run(main())

    def test_we_say_bye_where_the_peer_does_not(self, tmp_path: Path) -> None:
        async def main() -> None:
            how = Referring(leaves=False)
            async with referring(tmp_path, how) as (home, phone, _, sip):
                await asked(phone)
                await phone.ended.wait()
                record = await home.record()
                (at,) = set(sip.times("BYE"))
                (told,) = [
                    it
                    for it, message, ours in sip.messages
                    if not ours and b" 200" in message.body
                    if isinstance(message, Request) and message.method == "NOTIFY"
                ]
                assert at - told == pytest.approx(2, abs=0.1)
                (bye,) = sip.requests("BYE")
                assert 'text="transferred"' in (bye.headers.get("Reason") or "")
            assert record["cause"] == "transferred"

        run(main())

    def test_a_busy_target_gives_the_caller_back(self, tmp_path: Path) -> None:
        async def main() -> None:
            how = Referring(tells=(180, 486))
            async with referring(tmp_path, how) as (home, phone, _, _sip):
                await asked(phone)
                await until(lambda: bool(outputs(home.model)))
                await phone.until_sound()
                await phone.until_silence()
                await has_a_turn(home, phone)
                phone.hang_up()
                record = await home.record()
            assert outputs(home.model) == [{"error": "busy", "status": 486}]
            assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")
            texts = [it["text"] for it in record["transcript"] if it["role"] == "assistant"]
            assert texts == [PLEASE, "They are busy.", "Anything else?"]
            assert record["transfers"][0]["status"] == 486

        run(main())

    def test_a_hold_in_between_is_survived(self, tmp_path: Path) -> None:
        """The peer holds us while it calls, and takes us back when nobody answers."""

        async def main() -> None:
            how = Referring(tells=(100, 180, 486), every=4.0)
            async with referring(tmp_path, how) as (home, phone, _, _sip):
                await asked(phone)
                await until(lambda: bool(phone.referred))
                assert await phone.hold()
                await until(lambda: bool(outputs(home.model)))
                assert await phone.resume()
                await phone.until_sound()
                await phone.until_silence()
                await has_a_turn(home, phone)

        run(main())

    @pytest.mark.parametrize("status", [405, 501, 420, 403, 603, 400, 488, 606])
    def test_a_peer_that_does_not_take_it_is_bridged(self, status: int, tmp_path: Path) -> None:
        async def main() -> None:
            how = Referring(refuses=status)
            async with referring(tmp_path, how) as (home, phone, other, _):
                await asked(phone)
                await other.called()
                await asyncio.sleep(0.1)
                began, a, b = now(), noise(1, seed=17), noise(1, seed=18)
                await asyncio.gather(phone.say(a), other.say(b))
                await asyncio.sleep(0.1)
                assert likeness(sound(other, began), a[800:6000]) > 0.98
                assert likeness(sound(phone, began), b[800:6000]) > 0.98
                phone.hang_up()
                record = await home.record()
            assert [it["by"] for it in record["transfers"]] == ["bridge"]

        run(main())

    def test_a_peer_that_has_no_such_call(self, tmp_path: Path) -> None:
        """481: it is over with that (RFC 5057 §5.1), and nobody is called."""

        async def main() -> None:
            async with referring(tmp_path, Referring(refuses=481)) as (home, phone, other, sip):
                await asked(phone)
                record = await home.record()
                assert len(sip.requests("BYE")) == 1
                assert other.invite is None
            assert (record["ended_by"], record["cause"]) == ("caller", "refused")
            assert record["sip_status"] == 481
            assert record["transfers"][0]["ended_at"]

        run(main())

    def test_a_caller_who_hangs_up_before_any_word_hung_up(self, tmp_path: Path) -> None:
        async def main() -> None:
            how = Referring(tells=(), every=1.0)
            async with referring(tmp_path, how) as (home, phone, _, _sip):
                await asked(phone)
                await until(lambda: bool(phone.referred))
                phone.hang_up()
                record = await home.record()
            assert record["ended_by"] in ("caller", "model")  # 100 may have been told by then
            assert record["transfers"][0]["answered_at"] is None

        run(main())

    def test_silence_after_it_gives_the_caller_back(self, tmp_path: Path) -> None:
        """A peer that took it and tells nothing more: the subscription runs out."""

        async def main() -> None:
            how = Referring(tells=())
            async with referring(tmp_path, how) as (home, phone, _, _sip):
                await asked(phone)
                await until(lambda: bool(outputs(home.model)))
                assert not phone.ended.is_set()
                assert "error" in outputs(home.model)[0]

        run(main())


class TestAttended:
    """The target answers us first, then the peer takes our place: RFC 3891."""

    def test_the_peer_takes_our_place(self, tmp_path: Path) -> None:
        async def main() -> None:
            how = Referring(tells=(), leaves=False)
            async with (
                referring(tmp_path, how, transfer_by="attended") as (home, phone, other, _),
                home.phone() as line2,
            ):
                await asked(phone)
                await other.called()
                await until(lambda: bool(phone.referred))
                first = other.invite
                uri, replaces = split_target(phone.referred[0].target)
                assert replaces
                assert first
                assert replaces.call_id == first.headers.call_id
                assert Uri.parse(uri).user == "sales"
                # the caller's own other line calls the target in our place
                await line2.dial("sales", ("10.0.1.2", 5060), headers=[("Replaces", str(replaces))])
                assert other.invite is not first
                phone.report(200)
                phone.hang_up()
                record = await home.record()
                assert not other.ended.is_set()
                began, voice = now(), noise(1, seed=19)
                await line2.say(voice)
                assert likeness(sound(other, began), voice[800:6000]) > 0.98
                assert home.holds_nothing()
                line2.hang_up()
            assert (record["ended_by"], record["cause"]) == ("model", "transferred")
            assert [it["by"] for it in record["transfers"]] == ["attended"]

        run(main())

    def test_a_stop_of_the_service_meanwhile(self, tmp_path: Path) -> None:
        """Both get a BYE, and it is no transfer that was made."""

        async def main() -> None:
            how = Referring(tells=())
            async with referring(tmp_path, how, transfer_by="attended") as (home, phone, other, _):
                await asked(phone)
                await until(lambda: bool(phone.referred))
                await asyncio.sleep(0.1)
                home.gateway.hang_up_all()
                await asyncio.gather(phone.ended.wait(), other.ended.wait())
                record = await home.record()
            assert (record["ended_by"], record["cause"]) == ("gateway", "shutdown")
            assert (record["sip_status"], "shutdown" in record["sip_reason"]) == (200, True)
            assert record["transfers"][0]["by"] == "bridge"

        run(main())

    def test_a_refusal_leaves_us_in_between(self, tmp_path: Path) -> None:
        async def main() -> None:
            how = Referring(refuses=603)
            async with referring(tmp_path, how, transfer_by="attended") as (home, phone, other, _):
                await asked(phone)
                await other.called()
                await asyncio.sleep(1)
                began, a, b = now(), noise(1, seed=17), noise(1, seed=18)
                await asyncio.gather(phone.say(a), other.say(b))
                await asyncio.sleep(0.1)
                assert likeness(sound(other, began), a[800:6000]) > 0.98
                assert likeness(sound(phone, began), b[800:6000]) > 0.98
                other.hang_up()
                record = await home.record()
            assert (record["ended_by"], record["cause"]) == ("target", "hang_up")
            assert [it["by"] for it in record["transfers"]] == ["bridge"]

        run(main())


class TestAskedOfUs:
    """The peer moves our call: only within the trunk's own hosts, and only where it may."""

    @pytest.mark.parametrize("leaves", [False, True])
    def test_the_conversation_goes_on_with_the_new_party(
        self, leaves: bool, tmp_path: Path
    ) -> None:
        """With the same model; the peer says BYE, at once or never."""

        async def main() -> None:
            async with talking(tmp_path) as (home, phone, other, sip):
                phone.refer("sip:200@10.0.1.2")
                if leaves:
                    await asyncio.sleep(0.5)
                    phone.hang_up()
                media = await other.called()
                assert media.codec.name == "PCMA"
                await asyncio.sleep(0.2)
                await has_a_turn(home, other)
                await phone.ended.wait()
                assert len(home.model.links) == 1
                assert other.invite
                if not leaves:
                    assert fragments(sip) == [
                        b"SIP/2.0 100 Trying",
                        b"SIP/2.0 180 Ringing",
                        b"SIP/2.0 200 OK",
                    ]
                    assert [it.status for it in phone.progress] == [202, 100, 180, 200]
                other.hang_up()
                record = await home.record()
                assert home.holds_nothing()
            assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")
            (transfer,) = record["transfers"]
            assert (transfer["by"], transfer["target"], transfer["status"]) == ("peer", None, 200)
            assert transfer["to"] == "sip:200@10.0.1.2:5060"
            texts = [it["text"] for it in record["transcript"] if it["role"] == "assistant"]
            assert texts == ["Answer 0, at some length.", "Answer 1, at some length."]

        run(main())

    def test_a_party_that_refuses_changes_nothing(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with talking(tmp_path) as (home, phone, other, sip):
                other.answering = Answering(status=486)
                phone.refer("sip:200@10.0.1.2")
                await until(lambda: bool(phone.progress) and phone.progress[-1].final)
                assert fragments(sip)[-1] == b"SIP/2.0 486 Busy Here"
                await has_a_turn(home, phone)

        run(main())

    def test_a_party_that_refuses_when_the_peer_is_gone_ends_the_call(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with talking(tmp_path) as (home, phone, other, _):
                other.answering = Answering(status=486, after=2.0)
                phone.refer("sip:200@10.0.1.2")
                await asyncio.sleep(0.5)
                phone.hang_up()
                record = await home.record()
                assert home.holds_nothing()
            assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")
            assert record["transfers"][0]["status"] == 486

        run(main())

    def test_a_party_that_does_not_answer(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with talking(tmp_path) as (home, phone, other, _):
                other.answering = Answering(after=None)
                phone.refer("sip:200@10.0.1.2")
                await other.ended.wait()
                await has_a_turn(home, phone)
                assert phone.progress[-1].status == 408

        run(main())

    def test_a_stop_while_she_is_called(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with talking(tmp_path) as (home, phone, other, _):
                other.answering = Answering(after=None)
                phone.refer("sip:200@10.0.1.2")
                await until(lambda: other.invite is not None)
                phone.hang_up()
                await asyncio.sleep(0.5)
                home.gateway.hang_up_all()
                await other.ended.wait()
                record = await home.record()
            assert record["transfers"][0]["ended_at"]
            assert record["transfers"][0]["status"] == 487  # given up, and not unanswered
            assert (record["ended_by"], record["sip_status"]) == ("gateway", 200)

        run(main())

    @pytest.mark.parametrize(
        ("target", "settings"),
        [
            ("sip:200@10.0.1.2", {"accept_transfers": False}),
            ("sip:+19005551234@evil.example", {}),
            ("sip:200@10.0.0.1", {}),
            ("sip:200@127.0.0.1", {}),
        ],
    )
    def test_nobody_dials_the_world_at_our_cost(
        self, target: str, settings: dict[str, Any], tmp_path: Path
    ) -> None:
        """603, not one INVITE, and the conversation goes on."""

        async def main() -> None:
            async with talking(tmp_path, **settings) as (home, phone, _, sip):
                phone.refer(target)
                await until(lambda: bool(phone.progress))
                assert [(it.status, it.final) for it in phone.progress] == [(603, True)]
                await has_a_turn(home, phone)
                assert sip.requests("INVITE") == []
                phone.hang_up()
                assert (await home.record())["transfers"] == []

        run(main())


def replacing(sip: Sip) -> str:
    """The Replaces for the call that the gateway answered first."""
    ok = next(it for it in sip.responses(200) if it.headers.cseq.method == "INVITE")
    to_tag, from_tag = ok.headers.to.tag, ok.headers.from_.tag
    assert to_tag
    assert from_tag
    return str(Replaces(ok.headers.call_id, to_tag, from_tag))


class TestReplaced:
    """An INVITE with Replaces takes the place of the caller: RFC 3891."""

    def test_the_conversation_goes_on_with_the_new_party(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with talking(tmp_path) as (home, phone, other, sip):
                await other.dial("100", GATEWAY, headers=[("Replaces", replacing(sip))])
                await phone.ended.wait()
                await has_a_turn(home, other)
                assert len(home.model.links) == 1
                assert home.gateway.calls == 1
                other.hang_up()
                (record,) = await home.records()
                assert home.holds_nothing()
            assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")
            (transfer,) = record["transfers"]
            assert (transfer["by"], transfer["status"]) == ("peer", 200)
            assert transfer["to"].startswith("sip:100@10.0.1.2")

        run(main())

    def test_only_where_the_trunk_may(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with talking(tmp_path, accept_transfers=False) as (home, phone, other, sip):
                with pytest.raises(CallFailed) as failed:
                    await other.dial("100", GATEWAY, headers=[("Replaces", replacing(sip))])
                assert failed.value.status == 603
                await has_a_turn(home, phone)

        run(main())

    def test_media_that_cannot_be_agreed_changes_nothing(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with talking(tmp_path) as (home, phone, other, sip):
                offer = other._negotiation.offer

                def video(*args: Any, **kwargs: Any) -> bytes:
                    return offer(*args, **kwargs).replace(b"m=audio", b"m=video")

                other._negotiation.offer = video  # type: ignore[method-assign] # no sound of ours
                with pytest.raises(CallFailed) as failed:
                    await other.dial("100", GATEWAY, headers=[("Replaces", replacing(sip))])
                assert failed.value.status == 488
                await has_a_turn(home, phone)

        run(main())

    def test_a_call_that_is_not_there(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with talking(tmp_path) as (home, phone, other, _):
                replaces = "nobody@x;to-tag=1;from-tag=2"
                with pytest.raises(CallFailed) as failed:
                    await other.dial("100", GATEWAY, headers=[("Replaces", replaces)])
                assert failed.value.status == 481
                await has_a_turn(home, phone)

        run(main())
