"""OpenAI's own client holds a conversation with the simulator, over a real WebSocket.

Each event of the openai dialect validates strictly against the package's types. Exempt is the
yandex dialect, which is what that server sends and not what the types say: `rate: null` is
within them; transcriptions without `usage` and parts named output_text and output_audio are not.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.simulator.script import load
from gateway.simulator.server import SimulatorServer
from gateway.simulator.speech import Noise
from tests.simulator.client import silence, voice

try:
    from openai import AsyncOpenAI
    from openai.resources.realtime.realtime import AsyncRealtimeConnection
    from openai.types.realtime import RealtimeServerEvent
    from pydantic import TypeAdapter, ValidationError
except ImportError:
    if os.environ.get("CI"):
        raise
    pytest.skip("the openai package is not installed", allow_module_level=True)

ADAPTER: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
SCRIPT = load(
    {
        "greeting": "Hello, this is the clinic.",
        "turns": [
            {"hears": "What are your hours?", "say": ["We are open all day.", "Come by!"]},
            {"hears": "Who am I?", "call": {"name": "find", "arguments": {"phone": "+7495"}}},
            {"say": "You are John."},
            {"hears": "Thank you.", "say": "Goodbye.", "call": "hang_up"},
            {"fail": "inference_rate_limit_exceeded"},
        ],
        "digits": {"4711": "That is right."},
    }
)
SPEECH = voice(0.6) + silence(0.8)


class Talk:
    """The package's connection; every event that comes is checked at once."""

    def __init__(self, connection: AsyncRealtimeConnection, *, strict: bool) -> None:
        self.connection = connection
        self.seen: list[dict[str, Any]] = []
        self._strict = strict

    async def until(self, kind: str) -> dict[str, Any]:
        """Wait for an event of that type, and return it."""
        async with asyncio.timeout(10):
            while True:
                event = json.loads(await self.connection.recv_bytes())
                self.connection.parse_event(json.dumps(event))
                if self._strict:
                    ADAPTER.validate_python(event, strict=True)
                self.seen.append(event)
                if event["type"] == kind:
                    return dict(event)

    async def speak(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), 4800):
            audio = base64.b64encode(pcm[start : start + 4800]).decode()
            await self.connection.input_audio_buffer.append(audio=audio)

    async def turn(self, pcm: bytes = SPEECH) -> dict[str, Any]:
        """Speak; the response that answers."""
        await self.speak(pcm)
        return dict((await self.until("response.done"))["response"])

    def types(self) -> set[str]:
        return {event["type"] for event in self.seen}


def talk(scene: Callable[[Talk], Awaitable[None]], dialect: str = "openai") -> Talk:
    """Play a scene on a fresh server."""

    async def main() -> Talk:
        server = await SimulatorServer.open(
            script=SCRIPT, dialect=dialect, speech=Noise(), speed=20.0
        )
        client = AsyncOpenAI(api_key="any", websocket_base_url=server.url.removesuffix("/realtime"))
        async with client.realtime.connect(model="gpt-realtime") as connection:
            played = Talk(connection, strict=dialect == "openai")
            await played.until("session.created")
            await scene(played)
        await client.close()
        await server.close()
        return played

    return asyncio.run(main())


async def configure(scene: Talk) -> None:
    await scene.connection.session.update(
        session={
            "type": "realtime",
            "instructions": "Be brief.",
            "output_modalities": ["audio"],
            "tools": [{"type": "function", "name": "find", "description": "", "parameters": {}}],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": {"model": "whisper-1"},
                    "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"},
            },
        }
    )
    updated = await scene.until("session.updated")
    assert updated["session"]["audio"]["output"]["voice"] == "marin"


def test_a_spoken_turn_is_answered_with_audio() -> None:
    async def scene(scene: Talk) -> None:
        await configure(scene)
        response = await scene.turn()
        assert response["status"] == "completed"
        assert len(response["output"]) == 2
        await scene.until("conversation.item.input_audio_transcription.completed")

    played = talk(scene)
    assert {
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "rate_limits.updated",
    } <= played.types()


def test_barge_in_truncate_retrieve_and_delete() -> None:
    async def scene(scene: Talk) -> None:
        await configure(scene)
        first, second = (await scene.turn())["output"]
        await scene.speak(voice(0.3))
        await scene.until("input_audio_buffer.speech_started")
        item = scene.connection.conversation.item
        await item.truncate(item_id=first["id"], content_index=0, audio_end_ms=500)
        await scene.until("conversation.item.truncated")
        await item.delete(item_id=second["id"])
        await scene.until("conversation.item.deleted")
        await item.retrieve(item_id=first["id"])
        (part,) = (await scene.until("conversation.item.retrieved"))["item"]["content"]
        assert len(base64.b64decode(part["audio"])) == 500 * 48

    talk(scene)


def test_cancel_by_the_client_and_by_a_voice() -> None:
    async def scene(scene: Talk) -> None:
        await configure(scene)
        await scene.connection.response.create(
            response={"instructions": f"Say exactly: {'a long answer ' * 40}"}
        )
        created = await scene.until("response.created")
        await scene.until("response.output_audio.delta")
        await scene.connection.response.cancel(response_id=created["response"]["id"])
        done = (await scene.until("response.done"))["response"]
        assert done["status_details"]["reason"] == "client_cancelled"
        await scene.connection.response.create(
            response={"instructions": f"Say exactly: {'a long answer ' * 40}"}
        )
        await scene.until("response.output_audio.delta")
        done = await scene.turn()
        assert done["status_details"]["reason"] == "turn_detected"

    talk(scene)


def test_a_function_call_a_farewell_and_a_failure() -> None:
    async def scene(scene: Talk) -> None:
        await configure(scene)
        await scene.turn()
        (call,) = (await scene.turn())["output"]
        assert json.loads(call["arguments"]) == {"phone": "+7495"}
        await scene.connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": call["call_id"], "output": "John"}
        )
        await scene.connection.response.create()
        (said,) = (await scene.until("response.done"))["response"]["output"]
        assert said["content"][0]["transcript"] == "You are John."
        farewell = await scene.turn()
        assert [item["type"] for item in farewell["output"]] == ["message", "function_call"]
        assert (await scene.turn())["status"] == "failed"

    played = talk(scene)
    assert "response.function_call_arguments.done" in played.types()


def test_text_items_and_other_kinds_of_responses() -> None:
    async def scene(scene: Talk) -> None:
        connection = scene.connection
        await configure(scene)
        await connection.response.create()
        await scene.until("response.done")
        await connection.conversation.item.create(
            previous_item_id="root",
            item={
                "type": "message",
                "role": "system",
                "content": [{"type": "input_text", "text": "Be kind."}],
            },
        )
        await connection.conversation.item.create(
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Keypad: 4711"}],
            }
        )
        await connection.response.create(
            response={"output_modalities": ["text"], "metadata": {"topic": "keypad"}}
        )
        done = (await scene.until("response.done"))["response"]
        assert done["metadata"] == {"topic": "keypad"}
        assert done["output"][0]["content"] == [{"type": "output_text", "text": "That is right."}]
        await connection.response.create(response={"conversation": "none", "input": []})
        assert (await scene.until("response.done"))["response"]["conversation_id"] is None

    played = talk(scene)
    assert {"response.output_text.delta", "response.output_text.done"} <= played.types()


def test_manual_turns() -> None:
    async def scene(scene: Talk) -> None:
        connection = scene.connection
        await connection.session.update(
            session={
                "type": "realtime",
                "audio": {
                    "input": {"turn_detection": None, "format": {"type": "audio/pcmu"}},
                    "output": {"format": {"type": "audio/pcma"}},
                },
            }
        )
        await scene.until("session.updated")
        await scene.speak(b"\xff" * 8000)
        await connection.input_audio_buffer.clear()
        await scene.until("input_audio_buffer.cleared")
        await scene.speak(b"\x10" * 8000)
        await connection.input_audio_buffer.commit()
        await scene.until("conversation.item.done")
        await connection.response.create()
        await scene.until("response.done")

    talk(scene)


def test_errors_leave_the_session_open() -> None:
    async def scene(scene: Talk) -> None:
        connection = scene.connection
        codes = []
        for mistake in (
            connection.session.update(session={"type": "realtime", "voice": "alloy"}),  # type: ignore[arg-type]
            connection.input_audio_buffer.commit(),
            connection.input_audio_buffer.append(audio="?"),
            connection.response.cancel(),
            connection.conversation.item.delete(item_id="nobody", event_id="mine"),
            connection.conversation.item.truncate(
                item_id="nobody", content_index=0, audio_end_ms=1
            ),
            connection.output_audio_buffer.clear(),
        ):
            await mistake
            error = (await scene.until("error"))["error"]
            assert error["type"] == "invalid_request_error"
            codes.append(error["code"])
        assert codes == [
            "unknown_parameter",
            "input_audio_buffer_commit_empty",
            "invalid_value",
            "response_cancel_not_active",
            "item_delete_invalid_item_id",
            "item_truncate_invalid_item_id",
            "invalid_value",
        ]
        await configure(scene)

    talk(scene)


def test_yandex_is_read_by_the_package_and_exempt_from_its_types() -> None:
    async def scene(scene: Talk) -> None:
        await scene.connection.session.update(session={"type": "realtime"})
        await scene.until("session.updated")
        await scene.until("session.updated")
        await scene.turn()

    played = talk(scene, "yandex")
    exempt = set()
    for event in played.seen:
        try:
            ADAPTER.validate_python(event, strict=True)
        except ValidationError:
            exempt.add(event["type"])
    assert exempt == {
        "conversation.item.input_audio_transcription.completed",
        "response.content_part.added",
        "response.content_part.done",
    }
