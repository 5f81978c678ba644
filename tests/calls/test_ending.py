"""How calls end: whoever ends them, there is one record, and nothing of the call is left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.phone import CallFailed, Phone
from gateway.simulator.script import load
from tests.clock import Network, run

from .house import GATEWAY, MemoryModel, Sip, house, noise, phone_on

STORY = "A long story about the telephone. " * 4
FAREWELL = {"hears": "Goodbye", "say": "Goodbye then.", "call": {"name": "hang_up"}}
SCRIPT = {"turns": [{"hears": "Tell me more", "say": STORY}]}


def end_of(record: dict[str, Any]) -> tuple[str, str, int]:
    return record["ended_by"], record["cause"], record["sip_status"]


async def talk(phone: Phone) -> None:
    """Say something, and let the answer begin."""
    await phone.say(noise(0.4))
    await phone.until_sound()


def test_the_caller_hangs_up_into_the_answer(tmp_path: Path) -> None:
    """The socket is closed at once, the transcript says what was heard."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await talk(phone)
            await asyncio.sleep(1.0)
            phone.hang_up()
            await asyncio.sleep(0.1)
            assert home.holds_nothing()
            record = await home.record()

        assert end_of(record) == ("caller", "hang_up", 200)
        caller, assistant = record["transcript"]
        assert caller["text"] == "Tell me more"
        assert STORY.startswith(assistant["text"])
        assert 0 < len(assistant["text"]) < 40  # of 132 characters

    run(main())


def test_nothing_at_all_is_left_of_a_call(tmp_path: Path) -> None:
    """64 * T1 after its end its last transaction is forgotten, too."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await talk(phone)
            phone.hang_up()
            await asyncio.sleep(70)
            assert home.gateway.endpoint.idle
            assert home.gateway.endpoint.deadline is None

    run(main())


def test_the_model_hangs_up_when_its_farewell_was_heard(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, {"turns": [FAREWELL]}) as home, home.phone() as phone:
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await phone.ended.wait()
            record = await home.record()
            assert home.holds_nothing()

        assert end_of(record) == ("model", "hang_up", 200)
        assert record["transcript"][-1]["text"] == "Goodbye then."  # uncut
        (bye,) = sip.requests("BYE")
        assert bye.headers.get("Reason") is None  # a hang-up needs none

    run(main())


def test_the_caller_gives_up_while_the_model_connects(tmp_path: Path) -> None:
    """CANCEL: 200 to it, 487 to the INVITE, and the connection that was being made is dropped."""

    async def main() -> None:
        model = MemoryModel(load({}), delay=0.5)
        async with house(tmp_path, model=model) as home, home.phone() as phone:
            sip = Sip(home.network)
            dialling = asyncio.create_task(phone.dial("100", GATEWAY))
            await asyncio.sleep(0.6)
            assert phone.status == 180
            phone.hang_up()
            with pytest.raises(CallFailed):
                await dialling
            await asyncio.sleep(5)
            assert home.holds_nothing()
            record = await home.record()

        assert end_of(record) == ("caller", "cancelled", 487)
        assert record["answered_at"] is None
        assert record["backend"] is None
        assert len(sip.responses(487)) == 1
        assert sip.responses(200)[0].headers.cseq.method == "CANCEL"

    run(main())


@pytest.mark.parametrize("after", [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.2])
def test_a_call_may_be_given_up_at_every_moment(after: float, tmp_path: Path) -> None:
    """CANCEL crosses the 100, the 180, each step of the model's opening, and the 200."""

    async def main() -> None:
        async with house(tmp_path) as home, home.phone() as phone:
            dialling = asyncio.create_task(phone.dial("100", GATEWAY))
            await asyncio.sleep(after)
            phone.hang_up()
            await asyncio.gather(dialling, return_exceptions=True)
            await asyncio.sleep(2)
            assert home.holds_nothing()
            record = await home.record()
            await asyncio.sleep(70)
            assert home.gateway.endpoint.idle

        assert end_of(record) in {
            ("caller", "cancelled", 487),
            ("caller", "hang_up", 200),
        }

    run(main())


def test_a_call_without_sound_ends_after_rtp_timeout(tmp_path: Path) -> None:
    """30 s without RTP, then a BYE whose Reason says that a timer ended it."""

    async def main() -> None:
        async with house(tmp_path, {}) as home, home.phone() as phone:
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            await asyncio.sleep(5)
            home.network.loss, home.network.lossy = 1.0, is_rtp
            began = asyncio.get_running_loop().time()
            await phone.ended.wait()
            assert asyncio.get_running_loop().time() - began == pytest.approx(30, abs=0.5)
            record = await home.record()
            assert home.holds_nothing()

        assert end_of(record) == ("network", "rtp_timeout", 200)
        (bye,) = sip.requests("BYE")
        assert bye.headers.get("Reason") == 'Q.850;cause=102;text="rtp_timeout"'

    run(main())


def test_a_call_whose_sound_never_starts_ends_too(tmp_path: Path) -> None:

    async def main() -> None:
        async with house(tmp_path, {}) as home, home.phone() as phone:
            home.network.loss, home.network.lossy = 1.0, is_rtp
            await phone.dial("100", GATEWAY)
            began = asyncio.get_running_loop().time()
            await phone.ended.wait()
            assert asyncio.get_running_loop().time() - began == pytest.approx(30, abs=0.5)
            assert end_of(await home.record()) == ("network", "rtp_timeout", 200)

    run(main())


def test_rtp_timeout_0_is_never(tmp_path: Path) -> None:
    async def main() -> None:
        config = {"media": {"rtp_timeout": 0}}
        async with house(tmp_path, {}, config=config) as home, home.phone() as phone:
            home.network.loss, home.network.lossy = 1.0, is_rtp
            await phone.dial("100", GATEWAY)
            await asyncio.sleep(60)
            assert home.gateway.calls == 1

    run(main())


def test_no_call_lasts_longer_than_max_duration(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            house(tmp_path, {}, agent={"max_duration": 20}) as home,
            home.phone() as phone,
        ):
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            began = asyncio.get_running_loop().time()
            await phone.ended.wait()
            assert asyncio.get_running_loop().time() - began == pytest.approx(20, abs=0.1)
            record = await home.record()

        assert end_of(record) == ("gateway", "max_duration", 200)
        (bye,) = sip.requests("BYE")
        assert bye.headers.get("Reason") == 'Q.850;cause=102;text="max_duration"'

    run(main())


def test_a_phone_that_never_acknowledges_is_hung_up(tmp_path: Path) -> None:
    """The 200 is resent from T1 to T2, and after 64 * T1 the call is over."""

    async def main() -> None:
        network = Network(loss=1.0)
        network.lossy = lambda data: data.startswith(b"ACK ")
        sip = Sip(network)
        async with house(tmp_path, {}, network=network) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            began = asyncio.get_running_loop().time()
            await phone.ended.wait()
            assert asyncio.get_running_loop().time() - began == pytest.approx(32, abs=0.1)
            record = await home.record()
            assert home.holds_nothing()

        assert end_of(record) == ("network", "no_ack", 200)
        times = sip.times("SIP/2.0 200")
        assert [round(at - times[0], 1) for at in times][:6] == [0, 0.5, 1.5, 3.5, 7.5, 11.5]

    run(main())


def test_a_stop_before_the_ack_says_bye_all_the_same(tmp_path: Path) -> None:
    """RFC 3261 §15 would have it wait for the ACK; a process that ends cannot."""

    async def main() -> None:
        network = Network(loss=1.0)
        network.lossy = lambda data: data.startswith(b"ACK ")
        sip = Sip(network)
        async with phone_on(network) as phone:
            async with house(tmp_path, {}, network=network) as home:
                await phone.dial("100", GATEWAY)
            assert phone.ended.is_set()
            assert len(sip.requests("BYE")) == 1
            assert home.holds_nothing()

    run(main())


def test_a_bye_that_nobody_answers_holds_nothing_up(tmp_path: Path) -> None:
    """The record is written and the media given back at once; BYE is resent for 32 s."""

    async def main() -> None:
        network = Network()
        async with (
            house(tmp_path, {"turns": [FAREWELL]}, network=network) as home,
            home.phone() as phone,
        ):
            sip = Sip(network)
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            network.loss, network.lossy = 1.0, lambda data: data.startswith(b"BYE ")
            record = await home.record()
            assert home.holds_nothing()
            assert end_of(record) == ("model", "hang_up", 200)
            await asyncio.sleep(70)
            assert len(sip.requests("BYE")) == 11  # timer E up to timer F, RFC 3261 §17.1.2.2
            assert home.gateway.endpoint.idle

    run(main())


def test_a_service_that_stops_says_bye_to_every_call(tmp_path: Path) -> None:
    """Also to one that rings; all records are written before it is gone."""

    async def main() -> None:
        network = Network()
        sip = Sip(network)
        model = MemoryModel(load({}), delay=0.02)
        async with (
            phone_on(network, 1) as one,
            phone_on(network, 2) as two,
            phone_on(network, 3) as ringing,
        ):
            async with house(tmp_path, {}, network=network, model=model) as home:
                await one.dial("100", GATEWAY)
                await two.dial("100", GATEWAY)
                await asyncio.sleep(1)
                model.delay = 1.0
                dialling = asyncio.create_task(ringing.dial("100", GATEWAY))
                await asyncio.sleep(0.5)
            records = await home.records()
            with pytest.raises(CallFailed):
                await dialling
            assert ringing.status == 503

        assert sorted(end_of(record) for record in records) == [
            ("gateway", "shutdown", 200),
            ("gateway", "shutdown", 200),
            ("gateway", "shutdown", 503),
        ]
        byes = sip.requests("BYE")
        assert {bye.headers.get("Reason") for bye in byes} == {'Q.850;cause=31;text="shutdown"'}
        assert len(byes) == 2  # each was answered before the sockets closed, so none was resent

    run(main())


def is_rtp(data: bytes) -> bool:
    return data[0] >> 6 == 2
