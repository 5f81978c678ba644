"""Transfers by a bridge: the gateway calls the target itself, and both talk through it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.audio.frame import Samples
from gateway.audio.g711 import codec
from gateway.audio.tone import RING_BACK, samples
from gateway.rtp.dtmf import DigitReceiver
from gateway.simulator.phone import Answering, Heard, Phone
from tests.clock import Network, run

from .house import GATEWAY, House, MemoryModel, Sip, house, noise, phone_on
from .test_send_digits import without_events

PLEASE = "One moment, I will connect you."  # 2 s of it
TRANSFER = {"name": "transfer", "arguments": {"target": "sales"}}
SCRIPT = {
    "turns": [
        {"hears": "Sales please", "say": PLEASE, "call": TRANSFER},
        {"say": "They are busy."},
        {"hears": "Never mind", "say": "Anything else?"},
    ]
}
AGENT = {"tools": ["hang_up", "transfer"], "transfer": {"sales": "sip:sales@10.0.1.2"}}


def now() -> float:
    return asyncio.get_running_loop().time()


def trunk(**settings: Any) -> dict[str, Any]:
    """A configuration with one trunk, where both phones are."""
    pbx = {"allow": ["10.0.1.0/24"], "outbound": "sip:10.0.1.2:5060", "transfer_by": "bridge"}
    return {"trunks": {"pbx": {**pbx, **settings}}}


@asynccontextmanager
async def two_phones(
    folder: Path,
    *,
    answering: Answering | None = None,
    caller: dict[str, Any] | None = None,
    target: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[House, Phone, Phone]]:
    """A house, a caller, and the target of the transfer."""
    async with (
        house(
            folder,
            options.pop("script", SCRIPT),
            agent=options.pop("agent", AGENT),
            config=options.pop("config", None) or trunk(),
            **options,
        ) as home,
        home.phone(**(caller or {})) as phone,
        home.phone(**(target or {})) as other,
    ):
        other.answering = answering or Answering()
        yield home, phone, other
        phone.hang_up()
        other.hang_up()
        await home.gateway.written()


async def asked(phone: Phone) -> None:
    await phone.dial("100", GATEWAY)
    await phone.say(noise(0.4))
    await phone.until_sound()


def outputs(model: MemoryModel) -> list[dict[str, Any]]:
    """The outputs of functions that the model got."""
    items = [event["item"] for event in model.events("conversation.item.create")]
    return [json.loads(it["output"]) for it in items if it["type"] == "function_call_output"]


async def until(reached: Callable[[], bool]) -> None:
    """Wait for something that happens by itself."""
    while not reached():  # noqa: ASYNC110 - virtual time costs nothing
        await asyncio.sleep(0.02)


def heard_since(phone: Phone, when: float) -> list[Heard]:
    return [heard for heard in phone.heard if heard.at > when]


def sound(phone: Phone, when: float) -> Samples:
    """What the phone heard from then on."""
    assert phone.media
    payload = b"".join(
        heard.packet.payload
        for heard in heard_since(phone, when)
        if heard.packet.payload_type == phone.media.codec.payload_type
    )
    return codec(phone.media.codec.name).decode(payload)


def likeness(heard: Samples, said: Samples) -> float:
    """How much of what was said is in what was heard, 1 for all of it, wherever it begins."""
    voice, whole = said.astype(float), heard.astype(float)
    size, places = len(whole) + len(voice), len(whole) - len(voice) + 1
    spectrum = np.fft.rfft(whole, size) * np.conj(np.fft.rfft(voice, size))  # a sum would take s
    sums = np.concatenate(([0.0], np.cumsum(whole**2)))
    energy = (sums[len(voice) :] - sums[:places]) * (voice**2).sum()
    scores = np.fft.irfft(spectrum, size)[:places] / np.sqrt(np.maximum(energy, 1e6))
    return float(scores.max())


def is_unbroken(phone: Phone) -> bool:
    """Whether all that the phone heard is one RTP stream, without a hole in its numbers."""
    packets = [heard.packet for heard in phone.heard]
    steps = [(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(packets)]
    return {packet.ssrc for packet in packets} == {packets[0].ssrc} and set(steps) == {1}


def test_both_hear_each_other_until_one_hangs_up(tmp_path: Path) -> None:
    """The words before it are heard, the model is dismissed, and one record tells of all."""

    async def main() -> None:
        async with two_phones(tmp_path, answering=Answering(after=3.0)) as (home, phone, other):
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.1)
            assert home.model.open_connections == 0
            began = now()
            a, b = noise(2, seed=11), noise(2, seed=12)
            await asyncio.gather(phone.say(a), other.say(b))
            await asyncio.sleep(0.2)
            assert likeness(sound(other, began), a[800:8000]) > 0.98
            assert likeness(sound(phone, began), b[800:8000]) > 0.98
            assert is_unbroken(phone)
            assert is_unbroken(other)
            delays = np.diff([heard.at for heard in heard_since(phone, began + 0.1)])
            assert delays == pytest.approx(0.02, abs=0.001)
            other.hang_up()
            await phone.ended.wait()
            record = await home.record()
            assert home.holds_nothing()

        assert record["transcript"][-1]["text"] == PLEASE
        assert (record["ended_by"], record["cause"]) == ("target", "hang_up")
        (transfer,) = record["transfers"]
        assert transfer["answered_at"] < transfer["ended_at"] <= record["ended_at"]
        del transfer["answered_at"], transfer["ended_at"]
        assert transfer == {
            "target": "sales",
            "to": "sip:sales@10.0.1.2",
            "by": "bridge",
            "status": 200,
        }
        (use,) = record["tools"]
        assert (use["name"], use["ok"]) == ("transfer", True)
        assert record["rtp"]["sent"] == pytest.approx(len(phone.heard), abs=2)
        assert record["rtp"]["received"] == pytest.approx(phone.sent, abs=2)
        assert record["rtp"]["lost"] == 0
        assert outputs(home.model) == []
        assert other.invite
        assert other.invite.headers.from_.uri.user == "100"
        assert "100@10.0.0.1" in (other.invite.headers.get("Referred-By") or "")

    run(main())


def test_it_rings_until_the_target_answers(tmp_path: Path) -> None:
    """After the words before it; the model hears nothing of the caller meanwhile."""

    async def main() -> None:
        async with two_phones(tmp_path, answering=Answering(after=9.0)) as (home, phone, other):
            await asked(phone)
            await home.model.until("response.done")
            turns = len(home.model.answers("input_audio_buffer.speech_started"))
            await asyncio.sleep(3)
            await phone.say(noise(1.0))
            await other.called()
            tone = samples(RING_BACK, 8000)[:8000]
            assert likeness(phone.recording(), tone) > 0.98
            assert len(home.model.answers("input_audio_buffer.speech_started")) == turns
            assert home.model.events("response.create") == []

    run(main())


def test_early_media_is_heard_before_the_answer(tmp_path: Path) -> None:
    """RFC 3960: an announcement, or another network's own ring-back."""

    async def main() -> None:
        answering = Answering(after=6.0, early=True)
        async with two_phones(tmp_path, answering=answering) as (_, phone, other):
            announcement = noise(2, seed=13)
            await asked(phone)
            await until(lambda: other.invite is not None)
            began = now()
            await other.say(announcement)
            assert likeness(sound(phone, began), announcement[1600:8000]) > 0.98
            await other.called()
            began, voice = now(), noise(1, seed=14)
            await phone.say(voice)
            await asyncio.sleep(0.1)
            assert likeness(sound(other, began), voice[800:6000]) > 0.98
            assert is_unbroken(phone)

    run(main())


def test_a_target_that_rings_in_silence(tmp_path: Path) -> None:
    """Many send a session description and no sound until they answer (RFC 3960 §3.2): the caller
    hears our ring-back, and nobody is given up for it."""

    async def main() -> None:
        answering = Answering(after=15.0, early=True)
        config = {**trunk(), "media": {"rtp_timeout": 5}}
        async with two_phones(tmp_path, answering=answering, config=config) as (home, phone, other):
            send = home.network.send

            def cut(data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
                if source[0] != "10.0.1.2" or source[1] == 5060:
                    send(data, source, target)

            home.network.send = cut  # type: ignore[method-assign] # it says nothing
            await asked(phone)
            await until(lambda: other.invite is not None)
            began = now()
            await other.called()
            home.network.send = send  # type: ignore[method-assign]
            assert likeness(sound(phone, began), samples(RING_BACK, 8000)[:8000]) > 0.98
            began, a, b = now(), noise(1, seed=11), noise(1, seed=12)
            await asyncio.gather(phone.say(a), other.say(b))
            await asyncio.sleep(0.2)
            assert likeness(sound(other, began), a[800:6000]) > 0.98
            assert likeness(sound(phone, began), b[800:6000]) > 0.98
            assert is_unbroken(phone)

    run(main())


@pytest.mark.parametrize(
    ("answering", "error", "status"),
    [
        (Answering(status=486, after=1.0), "busy", 486),
        (Answering(status=603), "declined", 603),
        (Answering(status=404), "not_found", 404),
        (Answering(status=486, after=4.0, early=True), "busy", 486),
    ],
)
def test_a_target_that_refuses_gives_the_caller_back(
    answering: Answering, error: str, status: int, tmp_path: Path
) -> None:
    """The model is told why, says so, and the conversation goes on: one stream, one record."""

    async def main() -> None:
        async with two_phones(tmp_path, answering=answering) as (home, phone, _):
            await asked(phone)
            await until(lambda: bool(outputs(home.model)))
            assert outputs(home.model) == [{"error": error, "status": status}]
            await phone.until_sound()
            await phone.until_silence()
            await phone.say(noise(0.4))
            await phone.until_sound()
            await phone.until_silence()
            assert is_unbroken(phone)
            steps = np.diff([heard.at for heard in phone.heard])
            assert steps.max() < 0.045
            phone.hang_up()
            record = await home.record()

        texts = [line["text"] for line in record["transcript"] if line["role"] == "assistant"]
        assert texts == [PLEASE, "They are busy.", "Anything else?"]
        assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")
        (transfer,) = record["transfers"]
        assert (transfer["status"], transfer["answered_at"]) == (status, None)
        assert record["tools"][0]["ok"] is False
        assert home.model.answers("error") == []

    run(main())


def test_a_target_that_does_not_answer_is_cancelled(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_phones(tmp_path, answering=Answering(after=None)) as (home, phone, other):
            await asked(phone)
            await other.ended.wait()
            assert other.end
            assert (other.end.cause, other.status) == ("cancelled", 487)
            await phone.until_sound()
            await phone.until_silence()
            assert outputs(home.model) == [{"error": "no_answer", "status": 408}]
            assert not phone.ended.is_set()

    run(main())


def test_nobody_is_there(tmp_path: Path) -> None:
    async def main() -> None:
        agent = {**AGENT, "transfer": {"sales": "sip:sales@10.0.1.77"}}
        config = trunk(outbound="sip:10.0.1.77")
        async with two_phones(tmp_path, agent=agent, config=config) as (home, phone, _):
            await asked(phone)
            await home.model.until("response.done")
            await asyncio.sleep(50)
            assert outputs(home.model) == [{"error": "no_answer", "status": 408}]
            assert not phone.ended.is_set()

    run(main())


def test_a_caller_who_hangs_up_while_it_rings(tmp_path: Path) -> None:
    """CANCEL to the target (RFC 3261 §9), and nothing is left."""

    async def main() -> None:
        async with two_phones(tmp_path, answering=Answering(after=None)) as (home, phone, other):
            await asked(phone)
            await until(lambda: other.invite is not None)
            phone.hang_up()
            await other.ended.wait()
            assert other.end
            assert other.end.cause == "cancelled"
            record = await home.record()
            assert home.holds_nothing()
        assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")
        assert [it["ok"] for it in record["tools"]] == [False]
        assert record["transfers"][0]["ended_at"]

    run(main())


def test_a_caller_who_hangs_up_ends_the_targets_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_phones(tmp_path) as (home, phone, other):
            await asked(phone)
            await other.called()
            await asyncio.sleep(1)
            phone.hang_up()
            await other.ended.wait()
            assert other.end
            assert (other.end.by, other.end.cause) == ("peer", "hang_up")
            record = await home.record()
            assert home.holds_nothing()
        assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")

    run(main())


def test_two_codecs_are_translated(tmp_path: Path) -> None:
    """The target is offered the caller's first, so that it need not be."""

    async def main() -> None:
        codecs: dict[str, Any] = {"caller": {"codecs": ["PCMU"]}, "target": {"codecs": ["PCMA"]}}
        async with two_phones(tmp_path, **codecs) as (_, phone, other):
            await asked(phone)
            media = await other.called()
            assert media.codec.name == "PCMA"
            assert other.invite
            assert b" RTP/AVP 0 111 9 8 101 110\r\n" in other.invite.body
            await asyncio.sleep(0.1)
            began, a, b = now(), noise(1, seed=15), noise(1, seed=16)
            await asyncio.gather(phone.say(a), other.say(b))
            await asyncio.sleep(0.1)
            assert likeness(sound(other, began), a[800:6000]) > 0.98
            assert likeness(sound(phone, began), b[800:6000]) > 0.98

    run(main())


def test_keys_are_passed_on(tmp_path: Path) -> None:
    """RFC 4733: each once, in both directions."""

    async def main() -> None:
        async with two_phones(tmp_path) as (home, phone, other):
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.1)
            began = now()
            await asyncio.gather(phone.press("12#"), other.press("5"))
            await asyncio.sleep(0.1)
            assert (keys_heard(other, began), keys_heard(phone, began)) == ("12#", "5")
            assert is_unbroken(phone)
            phone.hang_up()
            assert (await home.record())["digits"] == []

    run(main())


def keys_heard(phone: Phone, when: float) -> str:
    """The keys that a phone heard as events from then on."""
    receiver, heard = DigitReceiver(8000, 8000), ""
    for it in heard_since(phone, when):
        if it.packet.payload_type == 101:
            pressed = receiver.receive(it.packet, it.at)
            heard += "".join(key.digit for key in pressed if not key.ended)
    return heard


def test_keys_by_info_become_events(tmp_path: Path) -> None:
    """They are for whom she talks with: the gateway keeps none of them."""

    async def main() -> None:
        async with two_phones(tmp_path) as (home, phone, other):
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.1)
            began = now()
            phone.inform("12#")
            other.inform("5")
            await asyncio.sleep(1.5)
            assert (keys_heard(other, began), keys_heard(phone, began)) == ("12#", "5")
            assert is_unbroken(phone)
            assert is_unbroken(other)
            phone.hang_up()
            assert (await home.record())["digits"] == []

    run(main())


def test_keys_by_info_where_no_events_are_known(tmp_path: Path) -> None:
    """Then they leave as they came."""

    async def main() -> None:
        async with two_phones(tmp_path) as (_, phone, other):
            without_events(phone)
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.1)
            began = now()
            phone.inform("12")
            other.inform("5")
            await asyncio.sleep(1.5)
            assert [body.split(b"\r\n")[0] for body in phone.informed] == [b"Signal=5"]
            assert keys_heard(other, began) == "12"

    run(main())


def test_keys_that_come_both_ways_are_passed_on_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_phones(tmp_path) as (_, phone, other):
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.1)
            began = now()
            await phone.press("1")
            phone.inform("1")
            await asyncio.sleep(1)
            assert keys_heard(other, began) == "1"
            assert other.informed == []

    run(main())


def test_either_side_may_hold_and_resume(tmp_path: Path) -> None:
    """RFC 3264 §8.4, per leg: who holds hears nothing, and the other keeps its call."""

    async def main() -> None:
        async with two_phones(tmp_path) as (_, phone, other):
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.1)
            for held in (phone, other):
                assert await held.hold("inactive")
                began = now()
                await asyncio.sleep(60)  # longer than the RTP timeout
                assert heard_since(held, began + 0.06) == []
                assert await held.resume()
                began, a, b = now(), noise(1, seed=17), noise(1, seed=18)
                await asyncio.gather(phone.say(a), other.say(b))
                await asyncio.sleep(0.1)
                assert likeness(sound(other, began), a[800:6000]) > 0.98
                assert likeness(sound(phone, began), b[800:6000]) > 0.98
            assert is_unbroken(phone)
            assert is_unbroken(other)

    run(main())


def test_media_that_moves_is_followed(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_phones(tmp_path) as (_, phone, other):
            await asked(phone)
            await other.called()
            await asyncio.sleep(0.1)
            for who in (phone, other):
                assert await who.move()
            began, a, b = now(), noise(1, seed=17), noise(1, seed=18)
            await asyncio.gather(phone.say(a), other.say(b))
            await asyncio.sleep(0.1)
            assert likeness(sound(other, began), a[800:6000]) > 0.98
            assert likeness(sound(phone, began), b[800:6000]) > 0.98

    run(main())


@pytest.mark.parametrize("silent", ["caller", "target"])
def test_a_side_that_falls_silent_ends_the_call(silent: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with two_phones(tmp_path) as (home, phone, other):
            await asked(phone)
            await other.called()
            await asyncio.sleep(1)
            host = "10.0.1.1" if silent == "caller" else "10.0.1.2"
            send, began = home.network.send, now()

            def cut(data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
                if source[0] != host or source[1] == 5060:
                    send(data, source, target)

            home.network.send = cut  # type: ignore[method-assign] # its cable is broken
            await asyncio.gather(phone.ended.wait(), other.ended.wait())
            assert now() - began == pytest.approx(30, abs=0.5)
            record = await home.record()
        assert (record["ended_by"], record["cause"]) == ("network", "rtp_timeout")

    run(main())


def test_the_longest_duration_covers_the_whole_call(tmp_path: Path) -> None:
    async def main() -> None:
        agent = {**AGENT, "max_duration": 20}
        async with two_phones(tmp_path, agent=agent) as (home, phone, other):
            await asked(phone)
            began = now()
            await other.ended.wait()
            assert now() - began == pytest.approx(20, abs=2)
            assert phone.ended.is_set()
            record = await home.record()
        assert (record["ended_by"], record["cause"]) == ("gateway", "max_duration")

    run(main())


def test_a_stop_of_the_service_ends_both_calls(tmp_path: Path) -> None:
    async def main() -> None:
        network = Network()
        async with phone_on(network, 1) as phone, phone_on(network, 2) as other:
            other.answering = Answering()
            async with house(
                tmp_path, SCRIPT, agent=AGENT, config=trunk(), network=network
            ) as home:
                await asked(phone)
                await other.called()
                await asyncio.sleep(1)
            assert phone.ended.is_set()
            assert other.ended.is_set()
        (record,) = home.written()
        assert (record["ended_by"], record["cause"]) == ("gateway", "shutdown")

    run(main())


def test_a_model_that_is_lost_meanwhile_is_not_missed(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_phones(tmp_path, answering=Answering(after=3.0)) as (home, phone, other):
            await asked(phone)
            await until(lambda: other.invite is not None)
            home.model.links[0].drop(1011, "gone")
            await other.called()
            await asyncio.sleep(1)
            assert not phone.ended.is_set()
            phone.hang_up()
            record = await home.record()
        assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")

    run(main())


def test_a_model_that_is_lost_is_missed_where_the_transfer_fails(tmp_path: Path) -> None:
    async def main() -> None:
        answering = Answering(status=486, after=3.0)
        async with two_phones(tmp_path, answering=answering) as (home, phone, other):
            await asked(phone)
            await until(lambda: other.invite is not None)
            home.model.links[0].drop(1011, "gone")
            await phone.ended.wait()
            record = await home.record()
        assert (record["ended_by"], record["cause"]) == ("backend", "backend_closed")

    run(main())


def test_three_attempts_in_a_call(tmp_path: Path) -> None:
    """The fourth is refused before anybody is called."""

    async def main() -> None:
        again = {"hears": "Again", "say": "Again.", "call": TRANSFER}
        script = {"turns": [again, {"say": "Busy."}] * 4}
        async with two_phones(tmp_path, script=script, answering=Answering(status=486)) as (
            home,
            phone,
            _,
        ):
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            for _ in range(4):
                done = len(outputs(home.model))
                await phone.say(noise(0.4))
                await until(lambda: len(outputs(home.model)) > done)  # noqa: B023
                await phone.until_sound()
                await phone.until_silence()
            phone.hang_up()
            record = await home.record()
        assert [output["error"] for output in outputs(home.model)] == [
            *["busy"] * 3,
            "Too many transfers in this call. Do not try again.",
        ]
        assert len(record["transfers"]) == 3
        assert len({invite.headers.call_id for invite in sip.requests("INVITE")}) == 3

    run(main())


def test_a_number_goes_through_the_trunk(tmp_path: Path) -> None:
    async def main() -> None:
        agent = {**AGENT, "transfer": {"sales": "tel:+7-495-123"}}
        async with two_phones(tmp_path, agent=agent) as (_, phone, other):
            await asked(phone)
            await other.called()
            assert other.invite
            assert other.invite.uri == "sip:+7495123@10.0.1.2:5060"

    run(main())


def test_a_caller_who_interrupts_stays(tmp_path: Path) -> None:
    """Before the transfer has begun."""

    async def main() -> None:
        async with two_phones(tmp_path) as (home, phone, other):
            await asked(phone)
            await asyncio.sleep(0.7)
            await phone.say(noise(0.4))
            await asyncio.sleep(10)
            assert other.invite is None
            assert outputs(home.model)[0]["transferred"] is False
            phone.hang_up()
            record = await home.record()
        assert record["transfers"] == []
        assert record["tools"][0]["ok"] is False

    run(main())
