"""The simulator on a real WebSocket over loopback."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.simulator.espeak import Espeak, installed
from gateway.simulator.script import Faults, Script, Turn, load
from gateway.simulator.server import SimulatorServer
from gateway.simulator.speech import Tones
from tests.simulator.client import silence, voice

SCRIPT = load({"greeting": "Hello.", "turns": [{"say": "Yes."}]})


async def open_server(script: Script = SCRIPT, **options: Any) -> SimulatorServer:
    return await SimulatorServer.open(speech=Tones(), script=script, speed=50.0, **options)


async def until(connection: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """All events up to the first of that type."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(5):
        while not events or events[-1]["type"] != kind:
            events.append(json.loads(await connection.recv()))
    return events


async def send(connection: ClientConnection, kind: str, **fields: Any) -> None:
    await connection.send(json.dumps({"type": kind, **fields}))


def test_a_conversation() -> None:
    async def main() -> None:
        server = await open_server()
        async with connect(f"{server.url}?model=gpt-realtime", compression=None) as client:
            (created,) = await until(client, "session.created")
            assert created["session"]["model"] == "gpt-realtime"
            assert server.connections == 1
            await send(client, "session.update", session={"type": "realtime"})
            await until(client, "session.updated")
            await send(client, "response.create")
            events = await until(client, "response.done")
            assert events[-1]["response"]["status"] == "completed"
            sound = voice(0.5) + silence(0.7)
            for start in range(0, len(sound), 1920):
                audio = base64.b64encode(sound[start : start + 1920]).decode()
                await send(client, "input_audio_buffer.append", audio=audio)
            events = await until(client, "response.done")
            assert events[0]["type"] == "input_audio_buffer.speech_started"
            (item,) = events[-1]["response"]["output"]
            assert item["content"][0]["transcript"] == "Yes."
        await server.close()
        assert server.connections == 0

    asyncio.run(main())


def test_many_at_once() -> None:
    async def talk(url: str) -> str:
        async with connect(url, compression=None) as client:
            await send(client, "response.create")
            done = (await until(client, "response.done"))[-1]
            return str(done["response"]["output"][0]["content"][0]["transcript"])

    async def main() -> None:
        server = await open_server()
        said = await asyncio.gather(*(talk(server.url) for _ in range(20)))
        assert said == ["Hello."] * 20
        await server.close()

    asyncio.run(main())


def test_the_dialect_is_that_of_the_server() -> None:
    async def main() -> None:
        server = await open_server(dialect="yandex")
        async with connect(server.url) as client:
            (created,) = await until(client, "session.created")
            assert created["session"]["audio"]["input"]["format"]["rate"] is None
        await server.close()
        with pytest.raises(ValueError, match="no dialect"):
            await open_server(dialect="klingon")

    asyncio.run(main())


def test_another_path_is_not_found() -> None:
    async def main() -> None:
        server = await open_server()
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url.replace("realtime", "responses"))
        assert caught.value.response.status_code == 404
        await server.close()

    asyncio.run(main())


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_a_script_can_refuse_the_handshake(status: int) -> None:
    async def main() -> None:
        server = await open_server(Script(faults=Faults(refuse=status)))
        with pytest.raises(InvalidStatus) as caught:
            await connect(server.url)
        assert caught.value.response.status_code == status
        await server.close()

    asyncio.run(main())


def test_a_script_can_close_the_socket() -> None:
    async def main() -> None:
        server = await open_server(Script(faults=Faults(close_after_s=0.05, close_code=1011)))
        async with connect(server.url) as client:
            await client.recv()
            with pytest.raises(ConnectionClosed) as caught:
                await asyncio.wait_for(client.recv(), 5)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1011
        await server.close()

    asyncio.run(main())


def test_closing_ends_every_conversation() -> None:
    async def main() -> None:
        server = await open_server(Script(turns=(Turn(say=("word " * 200,)),)))
        async with connect(server.url) as client:
            await send(client, "response.create")
            await until(client, "response.output_audio.delta")
            async with asyncio.TaskGroup() as group:
                group.create_task(server.close())
                async for _ in client:
                    pass
            assert client.close_code == 1001
            assert server.connections == 0

    asyncio.run(main())


def test_a_client_that_vanishes_is_forgotten() -> None:
    async def main() -> None:
        server = await open_server(Script(turns=(Turn(say=("word " * 200,)),)))
        client = await connect(server.url)
        await send(client, "response.create")
        await until(client, "response.output_audio.delta")
        client.transport.abort()
        await asyncio.wait_for(server.close(), 5)
        assert server.connections == 0

    asyncio.run(main())


@pytest.mark.skipif(not installed(), reason="espeakng-loader is not installed")
def test_a_port_that_is_taken_leaves_nothing_behind() -> None:
    async def main() -> None:
        server = await open_server()
        port = int(server.url.split(":")[2].split("/")[0])
        speech = Espeak()
        with pytest.raises(OSError, match="address already in use"):
            await SimulatorServer.open(port=port, speech=speech)
        assert speech._child is None
        await server.close()

    asyncio.run(main())


def test_without_a_voice_it_takes_the_best_there_is() -> None:
    async def main() -> None:
        server = await SimulatorServer.open(script=SCRIPT)
        async with connect(server.url) as client:
            await send(client, "response.create")
            assert (await until(client, "response.done"))[-1]["response"]["output"]
        await server.close()

    asyncio.run(main())
