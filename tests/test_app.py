"""The service as a whole, on real sockets; whole calls are in tests/calls."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from gateway.app import running
from gateway.config import Config
from gateway.simulator.phone import Answering, Phone
from gateway.simulator.script import ScriptError


def config(tmp_path: Path, **sections: Any) -> Config:
    return Config.model_validate(
        {
            "sip": {"listen": ["udp:127.0.0.1:0"]},
            "media": {"listen": "127.0.0.1", "ports": "21000-21999"},
            "api": {"listen": "127.0.0.1:0"},
            "records": {"calls": str(tmp_path / "calls.jsonl")},
            **sections,
        }
    )


def test_a_call_to_the_built_in_agent(tmp_path: Path) -> None:
    """No trunk, no agent, no key: loopback may call, and the simulator answers."""

    async def main() -> None:
        async with running(config(tmp_path)) as gateway:
            phone = await Phone.open()
            await phone.dial("anybody", gateway.transport.addresses[0])
            assert gateway.calls == 1
            phone.hang_up()
            await gateway.written()
            await phone.close()

    asyncio.run(main())
    record = json.loads((tmp_path / "calls.jsonl").read_text())
    assert (record["agent"], record["backend"]) == ("assistant", "simulator")
    assert (record["ended_by"], record["cause"], record["sip_status"]) == ("caller", "hang_up", 200)


def test_leaving_says_bye_and_waits_for_the_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(config(tmp_path)) as gateway:
            phone = await Phone.open()
            await phone.dial("anybody", gateway.transport.addresses[0])
        assert phone.ended.is_set()
        assert phone.end
        assert phone.end.by == "peer"
        assert not gateway.endpoint.unanswered
        await phone.close()

    asyncio.run(main())
    record = json.loads((tmp_path / "calls.jsonl").read_text())
    assert (record["ended_by"], record["cause"]) == ("gateway", "shutdown")


def test_a_call_out_over_http(tmp_path: Path) -> None:
    """Ordered, answered, looked at, hung up; all of it over real sockets."""

    async def main() -> None:
        phone = await Phone.open()
        host, port = phone.address
        phone.answering = Answering(after=0.1)
        trunks = {"pbx": {"outbound": f"sip:{host}:{port}"}}
        async with (
            running(config(tmp_path, trunks=trunks)) as gateway,
            aiohttp.ClientSession() as http,
        ):
            assert gateway.http
            url = f"{gateway.http.url}/v1/calls"
            order = {"to": "+7 495", "agent": "assistant", "wait": True}
            async with http.post(url, json=order) as response:
                call = await response.json()
            assert (response.status, call["state"], call["to"]) == (201, "answered", "+7495")
            async with http.get(url) as response:
                assert (await response.json())["data"] == [call]
            async with http.delete(f"{url}/{call['id']}") as response:
                ended = await response.json()
            assert (ended["state"], ended["ended_by"]) == ("ended", "gateway")
            await gateway.written()
            await phone.ended.wait()
        await phone.close()

    asyncio.run(main())
    record = json.loads((tmp_path / "calls.jsonl").read_text())
    assert (record["direction"], record["trunk"]) == ("outbound", "pbx")
    assert (record["cause"], record["sip_status"]) == ("hang_up", 200)


def test_health_and_readiness(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(config(tmp_path)) as gateway, aiohttp.ClientSession() as http:
            assert gateway.http
            async with http.get(f"{gateway.http.url}/healthz") as response:
                assert response.status == 200
            async with http.get(f"{gateway.http.url}/readyz") as response:
                body = await response.json()
            assert (response.status, body) == (
                200,
                {
                    "ready": True,
                    "sip": True,
                    "backend": True,
                    "draining": False,
                    "reachable": True,
                    "registrations": {},
                    "overloaded": False,
                },
            )

    asyncio.run(main())


def test_a_backend_that_is_not_there_is_not_ready(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{free.getsockname()[1]}/v1/realtime"

    async def main() -> None:
        backends = {"local": {"provider": "compatible", "url": url, "model": "m"}}
        agents = {"it": {"backend": "local"}}
        async with running(config(tmp_path, backends=backends, agents=agents)) as gateway:
            assert not (await gateway.readiness()).backend

    asyncio.run(main())


def test_a_backend_that_cannot_be_used_is_told_and_skipped(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        backends = {"openai": {"provider": "openai", "api_key": "", "model": "m"}}
        agents = {"it": {"backend": ["openai", "simulator"]}}
        with capture_logs() as logs:
            async with running(config(tmp_path, backends=backends, agents=agents)) as gateway:
                assert list(gateway.backends) == ["simulator"]
        return logs

    (told,) = [entry for entry in asyncio.run(main()) if entry["event"] == "backend_skipped"]
    assert (told["backend"], told["lacks"]) == ("openai", "api_key")


def test_an_address_that_is_taken_leaves_nothing_open(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(config(tmp_path)) as gateway:
            host, port = gateway.transport.addresses[0]
            taken = config(tmp_path, sip={"listen": [f"udp:{host}:{port}"]})
            with pytest.raises(OSError, match="in use"):
                async with running(taken):
                    pass

    asyncio.run(main())


def test_a_media_address_that_is_not_ours_is_seen_at_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match="assign"):
            async with running(config(tmp_path, media={"listen": "192.0.2.55"})):
                pass

    asyncio.run(main())


def test_a_script_with_mistakes_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        backends = {"simulator": {"provider": "simulator", "turns": [{"sya": "x"}]}}
        with pytest.raises(ScriptError):
            async with running(config(tmp_path, backends=backends)):
                pass

    asyncio.run(main())


def test_a_record_that_cannot_be_written_is_logged_without_what_was_said(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        nowhere = {"calls": str(tmp_path / "no" / "folder.jsonl"), "transcripts": True}
        with capture_logs() as logs:
            async with running(config(tmp_path, records=nowhere)) as gateway:
                phone = await Phone.open()
                await phone.dial("anybody", gateway.transport.addresses[0])
                phone.hang_up()
                await gateway.written()
                await phone.close()
        return logs

    (told,) = [entry for entry in asyncio.run(main()) if entry["event"] == "record_not_written"]
    assert told["record"]["cause"] == "hang_up"
    assert told["record"]["transcript"] is None


def test_each_call_is_two_lines_with_its_ids(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        with capture_logs() as logs:
            async with running(config(tmp_path)) as gateway:
                phone = await Phone.open()
                await phone.dial("anybody", gateway.transport.addresses[0])
                phone.hang_up()
                await gateway.written()
                await phone.close()
        return logs

    logs = asyncio.run(main())
    began, ended = (e for e in logs if e["event"] in ("call_began", "call_ended"))
    ids = ("call_id", "sip_call_id", "agent", "backend")
    assert [began[name] for name in ids] == [ended[name] for name in ids]
    assert (ended["agent"], ended["backend"]) == ("assistant", "simulator")
    assert (ended["ended_by"], ended["cause"], ended["status"]) == ("caller", "hang_up", 200)
