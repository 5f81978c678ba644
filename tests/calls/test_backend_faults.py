"""Backends that refuse, say nothing, say nonsense or leave: each call ends properly, or goes on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.realtime.client import BackendError
from gateway.simulator.phone import CallFailed, Phone
from gateway.simulator.script import load
from tests.clock import run

from .house import GATEWAY, House, MemoryModel, Sip, house, noise

TURNS = {
    "turns": [
        {"hears": "Hello", "say": "Good day to you."},
        {"hears": "And then", "say": "Nothing."},
    ]
}
SILENT = load({"faults": {"silent": True}})


def now() -> float:
    return asyncio.get_running_loop().time()


def event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, "event_id": "event_x", **fields})


def error(code: str, message: str, **fields: Any) -> str:
    detail = {"type": "invalid_request_error", "code": code, "message": message, **fields}
    return event("error", error=detail)


async def refused(home: House, phone: Phone) -> float:
    """Call in vain; returns how long that took. The answer must be 503 with Retry-After."""
    sip, began = Sip(home.network), now()
    with pytest.raises(CallFailed) as failed:
        await phone.dial("100", GATEWAY)
    assert failed.value.status == 503
    assert [answer.headers.get("Retry-After") for answer in sip.responses(503)] == ["5"]
    assert sip.responses(200) == []
    took = now() - began
    await home.gateway.written()
    assert home.holds_nothing()
    return took


async def has_a_turn(home: House, phone: Phone) -> bool:
    before = len(home.model.answers("response.done"))
    await phone.say(noise(0.4))
    await phone.until_sound()
    await phone.until_silence()
    return len(home.model.answers("response.done")) == before + 1


# -- before the answer


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "Incorrect API key provided"),
        (404, "The model gpt-none does not exist"),
        (429, "Rate limit reached"),
        (500, "The server had an error"),
        (None, "Connection refused"),
    ],
)
def test_a_backend_that_refuses(status: int | None, reason: str, tmp_path: Path) -> None:
    """The caller gets 503 at once; the log and the record have the backend's own words."""

    async def main() -> None:
        async with house(tmp_path, TURNS) as home, home.phone() as phone:
            home.model.refuses = BackendError(
                "refused" if status else "unreachable", reason, status=status
            )
            with capture_logs() as logs:
                assert await refused(home, phone) < 0.2
            record = await home.record()
            home.model.refuses = None
            await phone.dial("100", GATEWAY)  # the process goes on

        assert (record["ended_by"], record["cause"]) == ("gateway", "backend_unavailable")
        assert record["sip_status"] == 503
        assert reason in record["sip_reason"]
        assert record["answered_at"] is None
        (line,) = (line for line in logs if line["event"] == "backend_failed")
        assert line["backend"] == "model"
        assert reason in line["reason"]
        assert str(status or "") in line["reason"]
        assert line["call_id"] == record["call_id"]

    run(main())


def test_a_backend_that_never_answers(tmp_path: Path) -> None:
    """The socket opens and nothing comes: 503 after 3 s, and the socket is closed."""

    async def main() -> None:
        async with house(tmp_path, model=MemoryModel(SILENT)) as home, home.phone() as phone:
            assert await refused(home, phone) == pytest.approx(3.0, abs=0.1)
            record = await home.record()
        assert record["cause"] == "backend_unavailable"
        assert record["sip_reason"] == "timeout: no session within 3.0 s"

    run(main())


def test_a_backend_that_does_not_even_connect(tmp_path: Path) -> None:
    async def main() -> None:
        model = MemoryModel(SILENT, delay=1000.0)
        async with house(tmp_path, model=model) as home, home.phone() as phone:
            assert await refused(home, phone) == pytest.approx(3.0, abs=0.1)

    run(main())


def test_settings_that_a_backend_refuses(tmp_path: Path) -> None:
    """An error instead of session.updated: no call is answered by a model with other settings."""

    async def main() -> None:
        agent = {"session": {"audio": {"output": {"speed": "as fast as you can"}}}}
        async with house(tmp_path, TURNS, agent=agent) as home, home.phone() as phone:
            with capture_logs() as logs:
                await refused(home, phone)
            record = await home.record()
        assert record["cause"] == "backend_unavailable"
        assert "speed" in record["sip_reason"]
        (line,) = (line for line in logs if line["event"] == "backend_error")
        assert line["to"] == "session.update"

    run(main())


def test_a_backend_that_leaves_before_it_is_ready(tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, model=MemoryModel(SILENT)) as home, home.phone() as phone:
            dialling = asyncio.create_task(refused(home, phone))
            await asyncio.sleep(0.5)
            home.model.links[0].drop(1013, "Try again later")
            assert await dialling < 0.7
            record = await home.record()
        assert "1013 Try again later" in record["sip_reason"]

    run(main())


def test_the_next_backend_of_the_list_answers(tmp_path: Path) -> None:
    """Each is tried in its turn, and the record says who it was."""

    async def main() -> None:
        script = load(TURNS)
        models = {name: MemoryModel(script) for name in ("first", "second", "third")}
        models["first"].refuses = BackendError("refused", "Rate limit reached", status=429)
        async with house(tmp_path, models=models) as home, home.phone() as phone:
            models["second"].delay = 1000.0  # it never connects
            began = now()
            await phone.dial("100", GATEWAY)
            assert now() - began == pytest.approx(1.6, abs=0.1)  # half of what was left
            await phone.say(noise(0.4))
            await phone.until_sound()
            await phone.until_silence()
            phone.hang_up()
            record = await home.record()
            assert home.holds_nothing()

        assert record["backend"] == "third"
        assert record["transcript"][0]["text"] == "Hello"

    run(main())


def test_all_backends_of_a_list_fail(tmp_path: Path) -> None:
    async def main() -> None:
        models = {name: MemoryModel(SILENT) for name in ("first", "second", "third")}
        async with house(tmp_path, models=models) as home, home.phone() as phone:
            with capture_logs() as logs:
                assert await refused(home, phone) == pytest.approx(3.0, abs=0.1)
        failed = [line["backend"] for line in logs if line["event"] == "backend_failed"]
        assert failed == ["first", "second", "third"]

    run(main())


# -- in mid-call


def test_a_backend_that_leaves_in_mid_call(tmp_path: Path) -> None:
    """BYE to the caller at once; log and record say who left, and with which words."""

    async def main() -> None:
        async with house(tmp_path, TURNS) as home, home.phone() as phone:
            sip = Sip(home.network)
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await phone.until_sound()
            with capture_logs() as logs:
                home.model.links[0].drop(1011, "The server is overloaded")
                await asyncio.sleep(0.1)
            assert phone.ended.is_set()
            record = await home.record()
            assert home.holds_nothing()

        assert (record["ended_by"], record["cause"]) == ("backend", "backend_closed")
        assert record["sip_reason"] == "WebSocket closed 1011 The server is overloaded"
        (bye,) = sip.requests("BYE")
        assert bye.headers.get("Reason") == 'Q.850;cause=41;text="backend_closed"'
        (line,) = (line for line in logs if line["event"] == "backend_closed")
        assert (line["code"], line["reason"]) == (1011, "The server is overloaded")

    run(main())


def test_a_fatal_error_ends_the_call(tmp_path: Path) -> None:
    """The money is gone: nothing will be heard of this model any more."""

    async def main() -> None:
        async with house(tmp_path, TURNS) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            home.model.links[0].say(error("insufficient_quota", "You exceeded your quota."))
            await phone.ended.wait()
            record = await home.record()
            assert home.holds_nothing()

        assert (record["ended_by"], record["cause"]) == ("backend", "backend_error")
        assert record["sip_reason"] == "insufficient_quota: You exceeded your quota."

    run(main())


WRECKS = [
    '{"type": "response.done", "response": {"id": ',
    "",
    "null",
    "[]",
    "[[[[[[[[[[",
    '{"type": 7}',
    '{"type": "session.something_new", "detail": {"answer": 42}}',
    '{"type": "response.output_audio.delta"}',
    '{"type": "response.output_audio.delta", "delta": 7, "item_id": [], "response_id": {}}',
    '{"type": "response.output_audio.delta", "delta": "!!!", "item_id": "i", "response_id": "r"}',
    '{"type": "input_audio_buffer.speech_started", "audio_start_ms": "soon"}',
    '{"type": "response.done", "response": {"id": "resp_x", "status": "unheard of"}}',
    '{"type": "response.output_item.done", "item": {"type": "function_call", "name": null}}',
    '{"type": "conversation.item.truncated", "audio_end_ms": 1e400}',
    '{"type": "error", "error": null}',
    '{"type": "error", "error": {"message": "\\ud800"}}',
    "\ufeff{}",
    "{" * 100_000,
]


def test_nonsense_in_mid_call_is_survived(tmp_path: Path) -> None:
    """Broken JSON, unknown events, wrong types: logged, and the conversation goes on."""

    async def main() -> None:
        async with house(tmp_path, TURNS) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            with capture_logs() as logs:
                for wreck in WRECKS:
                    home.model.links[0].say(wreck)
                await asyncio.sleep(0.5)
                assert await has_a_turn(home, phone)
                for wreck in WRECKS:
                    home.model.links[0].say(wreck)
                assert await has_a_turn(home, phone)
            phone.hang_up()
            record = await home.record()

        assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")
        assert [line["text"] for line in record["transcript"]] == [
            "Hello",
            "Good day to you.",
            "And then",
            "Nothing.",
        ]
        assert [line for line in logs if line["event"] == "call_failed"] == []
        assert len([line for line in logs if line["event"] == "backend_message_broken"]) == 1

    run(main())


@pytest.mark.parametrize("fault", ["broken_json", "unknown_event"])
def test_nonsense_right_after_the_settings_is_survived(fault: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with house(tmp_path, TURNS) as home, home.phone() as phone:
            said = {"broken_json": WRECKS[0], "unknown_event": WRECKS[6]}[fault]
            home.model.first_words.append(said)
            await phone.dial("100", GATEWAY)
            assert await has_a_turn(home, phone)

    run(main())


def test_an_error_in_mid_call_is_told_and_survived(tmp_path: Path) -> None:

    async def main() -> None:
        async with house(tmp_path, TURNS) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            with capture_logs() as logs:
                home.model.links[0].say(error("rate_limit_exceeded", "Slow down."))
                assert await has_a_turn(home, phone)
            (line,) = (line for line in logs if line["event"] == "backend_error")
            assert (line["code"], line["reason"]) == ("rate_limit_exceeded", "Slow down.")

    run(main())


def test_a_response_that_fails_is_asked_for_once_more(tmp_path: Path) -> None:
    """`server_error` is the server's own fault; the caller hears the second try."""

    async def main() -> None:
        turns = [
            {"hears": "Hello", "say": [], "fail": "server_error"},
            {"hears": "", "say": "Good day to you."},
        ]
        async with house(tmp_path, {"turns": turns}) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            await phone.say(noise(0.4))
            await phone.until_sound()
            await phone.until_silence()
            assert len(home.model.events("response.create")) == 1
            phone.hang_up()
            record = await home.record()
        assert record["transcript"][-1]["text"] == "Good day to you."

    run(main())


def test_a_socket_that_takes_nothing_drops_sound_and_keeps_the_call(tmp_path: Path) -> None:
    """At most a second of sound waits in the socket; what is said to the caller flows on."""

    async def main() -> None:
        async with house(tmp_path, TURNS, agent={"greeting": "Hello!"}) as home:
            async with home.phone() as phone:
                await phone.dial("100", GATEWAY)
                await phone.until_sound()
                link = home.model.links[0]
                link.backlog = 10_000_000
                before = len(home.model.events("input_audio_buffer.append"))
                began = now()
                await asyncio.sleep(5)
                assert len(home.model.events("input_audio_buffer.append")) == before
                times = [heard.at for heard in phone.heard if heard.at > began]
                assert len(times) == pytest.approx(250, abs=2)
                link.backlog = 0
                assert await has_a_turn(home, phone)
                phone.hang_up()
                record = await home.record()
            assert record["usage"]["audio_in_s"] < 6

    run(main())
