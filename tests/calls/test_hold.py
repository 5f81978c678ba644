"""Re-INVITEs in mid-call: hold and resume in all directions, moved media, codecs, refusals."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gateway.audio.g711 import codec
from gateway.rtp.packet import timestamp_delta
from gateway.simulator.phone import Heard, Phone
from gateway.simulator.speech import resample
from gateway.sip.message import Request, Response
from tests.clock import run

from .house import GATEWAY, House, Sip, house, noise

STORY = " ".join(["A long story about the telephone."] * 4)  # 8.8 s of it
SCRIPT = {
    "turns": [
        {"hears": "Tell me more", "say": STORY},
        {"hears": "And then", "say": "Nothing."},
    ]
}


def now() -> float:
    return asyncio.get_running_loop().time()


def since(phone: Phone, when: float) -> list[Heard]:
    """What the phone heard from then on; what was on its way when the hold began is left out."""
    return [heard for heard in phone.heard if heard.at > when + 0.06]


def appended(home: House, since: float) -> tuple[float, int]:
    """Seconds of sound that the model was given from then on, and its peak."""
    pcm = [
        base64.b64decode(event["audio"])
        for at, event in home.model.heard
        if event["type"] == "input_audio_buffer.append" and at > since + 0.06
    ]
    sound = np.frombuffer(b"".join(pcm), "<i2").astype(np.int32)
    return len(sound) / 24000, int(np.abs(sound).max(initial=0))


async def has_a_turn(home: House, phone: Phone) -> bool:
    """Whether the caller can say something and be answered."""
    before = len(home.model.answers("response.done"))
    await phone.say(noise(0.4))
    await phone.until_sound()
    await phone.until_silence()
    return len(home.model.answers("response.done")) == before + 1


def is_unbroken(home: House, phone: Phone, index: int) -> bool:
    """Whether the packets around this one are together one stretch of the model's first item."""
    around = [heard.packet.payload for heard in phone.heard[index - 10 : index + 10]]
    sound = codec("PCMA").decode(b"".join(around)).astype(np.float64)
    item_id = home.model.answers("response.output_audio.delta")[0]["item_id"]
    whole = np.frombuffer(resample(home.model.audio(item_id), 24000, 8000), "<i2").astype(float)
    energy = np.convolve(whole**2, np.ones(len(sound)), "valid") * (sound**2).sum()
    likeness = np.correlate(whole, sound, "valid") / np.sqrt(energy)
    return bool(likeness.max() > 0.95)


def sendonly(phone: Phone) -> bytes:
    return phone.description("sendonly")


def inactive(phone: Phone) -> bytes:
    return phone.description("inactive")


def nowhere(phone: Phone) -> bytes:
    """The hold of RFC 2543, still in use: RFC 3264 §8.4."""
    lines = phone.description("sendrecv").split(b"\r\n")
    return b"\r\n".join(b"c=IN IP4 0.0.0.0" if line[:2] == b"c=" else line for line in lines)


def test_a_long_call_is_refreshed(tmp_path: Path) -> None:
    """RFC 4028: at half of the time; what was agreed holds, and nothing of it is heard."""

    async def main() -> None:
        config = {"sip": {"session_expires": 90}}
        async with house(tmp_path, SCRIPT, config=config) as home, home.phone() as phone:
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            before = phone.media
            await asyncio.sleep(300)
            assert not phone.ended.is_set()
            refreshes = [it for _, it, _ in sip.messages if is_update(it)]
            assert len(refreshes) >= 5
            assert all(it.headers.get("Session-Expires") for it in refreshes)
            assert phone.media == before
            phone.hang_up()
            assert (await home.record())["cause"] == "hang_up"

    run(main())


def test_held_and_resumed_by_update(tmp_path: Path) -> None:
    """RFC 3311: as a re-INVITE would do it, with one message less."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await phone.until_sound()
            for direction, sounds in (("sendonly", False), ("sendrecv", True)):
                assert await phone.offer(phone.description(direction), by_update=True)
                changed = now()
                await asyncio.sleep(2)
                assert bool(since(phone, changed)) is sounds
            assert len([it for _, it, _ in sip.messages if is_update(it)]) == 2
            phone.hang_up()
            assert (await home.record())["cause"] == "hang_up"

    run(main())


def is_update(message: Request | Response) -> bool:
    return isinstance(message, Request) and message.method == "UPDATE"


@pytest.mark.parametrize("held", [sendonly, inactive, nowhere])
def test_a_caller_on_hold_hears_nothing_and_misses_nothing(
    held: Callable[[Phone], bytes], tmp_path: Path
) -> None:
    """No sound goes out, the model hears silence for a turn's end and no music after it.

    What it was saying goes on after the hold, from the very frame where it stopped.
    """

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await phone.until_sound()
            await asyncio.sleep(2)
            assert await phone.offer(held(phone))
            began = now()
            music = asyncio.create_task(phone.say(noise(20)))
            await asyncio.sleep(120)
            await music
            assert since(phone, began) == []
            seconds, peak = appended(home, began)
            assert seconds == pytest.approx(2, abs=0.2)
            assert peak < 20  # the silence of A-law is 8, not 0

            assert await phone.resume()
            resumed = now()
            await phone.until_sound()
            await phone.until_silence()
            assert await has_a_turn(home, phone)

            last = [heard for heard in phone.heard if heard.at < began + 0.06][-1]
            first = next(heard for heard in phone.heard if heard.at > last.at)
            assert first.at - resumed < 0.04
            assert first.packet.marker
            assert first.packet.sequence == (last.packet.sequence + 1) & 0xFFFF
            paused = timestamp_delta(first.packet.timestamp, last.packet.timestamp) / 8000
            assert paused == pytest.approx(first.at - last.at, abs=0.03)
            assert is_unbroken(home, phone, phone.heard.index(first))
            phone.hang_up()
            record = await home.record()
            assert home.holds_nothing()

        assert home.model.events("conversation.item.truncate") == []
        assert record["barge_ins"] == []
        texts = [line["text"] for line in record["transcript"]]
        assert texts == ["Tell me more", STORY, "And then", "Nothing."]

    run(main())


def test_a_caller_who_only_listens_is_spoken_to(tmp_path: Path) -> None:
    """`recvonly` (RFC 3264 §6.1): the sound goes on outward, and silence is no dead call."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await phone.until_sound()
            assert await phone.hold("recvonly")
            assert phone.media
            assert (phone.media.sending, phone.media.receiving) == (False, True)
            began = now()
            await asyncio.sleep(60)
            assert home.gateway.calls == 1
            assert len(since(phone, began)) == pytest.approx(60 * 50, abs=5)
            assert await phone.resume()
            assert await has_a_turn(home, phone)
            phone.hang_up()
            record = await home.record()

        assert record["cause"] == "hang_up"

    run(main())


def test_a_reinvite_that_changes_nothing_changes_nothing(tmp_path: Path) -> None:
    """As session timers send it: not one packet is late, and o= keeps its version."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await phone.until_sound()
            assert await phone.resume()
            await asyncio.sleep(1)
            times = [heard.at for heard in phone.heard]
            gaps = np.diff(times)
            assert gaps.max() < 0.021
            first, second = (answer.body for answer in sip.responses(200))
            assert first == second
            await phone.until_silence()
            assert await has_a_turn(home, phone)

    run(main())


def test_media_that_moves_is_followed_at_once(tmp_path: Path) -> None:
    """Both ways, and the old address is neither sent to nor heard."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            targets: list[tuple[float, tuple[str, int]]] = []
            send = home.network.send

            def tapped(data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
                if source[0] == GATEWAY[0] and source[1] != GATEWAY[1]:
                    targets.append((now(), target))
                send(data, source, target)

            home.network.send = tapped  # type: ignore[method-assign] # a tap on the wire
            await phone.dial("100", GATEWAY)
            assert phone.media
            await phone.say(noise(0.4))
            await phone.until_sound()
            old = targets[-1][1]
            assert await phone.move()
            moved = now()
            await phone.until_silence()
            assert await has_a_turn(home, phone)
            new = targets[-1][1]
            assert new != old
            assert {target for at, target in targets if at > moved} == {new}

    run(main())


def test_what_cannot_be_agreed_is_refused_and_the_call_goes_on(tmp_path: Path) -> None:
    """RFC 3261 §14.2: 488 with a Warning; the session stays as it was."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            before = phone.media
            good = phone.description()
            for bad in (
                b"no session at all",
                good.replace(b"m=audio", b"m=video"),
                good.replace(b"RTP/AVP", b"RTP/SAVP"),
                good.replace(b"c=IN IP4 10.0.1.1", b"c=IN IP4 phone.example"),
            ):
                assert not await phone.offer(bad)
            refused = sip.responses(488)
            assert len(refused) == 4
            assert all((answer.headers.get("Warning") or "").startswith("3") for answer in refused)
            assert phone.media == before
            assert await has_a_turn(home, phone)
            phone.hang_up()
            assert (await home.record())["cause"] == "hang_up"

    run(main())


def test_a_codec_changes_in_mid_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            assert phone.media
            assert phone.media.codec.name == "PCMA"
            assert b" 8 0 101\r\n" in phone.description()
            assert await phone.offer(phone.description().replace(b" 8 0 101", b" 0 101"))
            assert phone.media.codec.name == "PCMU"
            began = now()
            assert await has_a_turn(home, phone)
            assert {heard.packet.payload_type for heard in since(phone, began)} == {0}
            phone.hang_up()
            record = await home.record()

        assert record["codec"] == "PCMU"
        assert record["transcript"][-1]["text"] == STORY

    run(main())
