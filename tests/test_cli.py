"""Arguments in, one command each, an exit code: 0 done, 1 refused or failed, 2 usage."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.audio.frame import silence
from gateway.cli import main
from gateway.simulator.phone import Answering, Phone

CONFIG = Path(__file__).parents[1] / "config"
WITHIN = 30.0  # s for a process to start or to end


@pytest.mark.parametrize("command", ["serve", "check", "demo", "simulate", "call", "calls"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert command in capsys.readouterr().out
    assert main([command, "--help"]) == 0


@pytest.mark.parametrize(
    "argv", [["frobnicate"], ["check", "--what"], ["call", "100"], ["simulate", "--port", "x"]]
)
def test_wrong_usage_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert "Error" in capsys.readouterr().err


def test_the_built_in_configuration_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert "valid" in capsys.readouterr().out


def test_a_valid_file_and_what_has_no_effect_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(CONFIG / "gateway.yaml")]) == 0
    out = capsys.readouterr().out
    assert "note: agents.reception.idle_prompt: has no effect yet" in out
    assert out.rstrip().endswith("is valid.")


def test_an_address_that_a_trunk_cannot_reach_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nat.yaml"
    file.write_text("sip: {listen: udp:10.0.0.5:5060}\ntrunks: {pbx: {allow: 192.0.2.10}}\n")

    assert main(["check", "--config", str(file)]) == 0
    assert "note: trunks.pbx: 192.0.2.10 is public" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "serve"])
def test_every_mistake_is_printed_and_nothing_started(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("sip: {max_cals: 3}\nlog: {level: loud}\nroutes: [{agent: nobody}]\n")

    assert main([command, "--config", str(file)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{file}:1", "sip.max_cals"],
        [f"{file}:2", "log.level"],
        [f"{file}:3", "routes[0].agent"],
    ]


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(tmp_path / "none.yaml")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_an_address_that_is_taken_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        file = tmp_path / "gateway.yaml"
        file.write_text(
            f"sip: {{listen: [udp:127.0.0.1:{taken.getsockname()[1]}]}}\n"
            "api: {listen: 127.0.0.1:0}\n"
        )
        assert main(["serve", "--config", str(file)]) == 1
    assert "in use" in capsys.readouterr().err


@pytest.mark.parametrize("script", ["turns: [{sya: Hello}]", "turns: [", "3"])
def test_a_script_with_mistakes(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "script.yaml"
    file.write_text(script)

    assert main(["simulate", "--script", str(file)]) == 1
    assert str(file) in capsys.readouterr().err


def test_a_script_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--script", "/nowhere/script.yaml"]) == 1
    assert "/nowhere/script.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "begins"),
    [
        (["simulate", "--port", "0", "--profile", "yandex"], "Realtime simulator at ws://127."),
        (["serve", "--config", "gateway.yaml"], '{"sip": ["udp:127.0.0.1:'),
    ],
)
def test_a_service_ends_by_sigterm_with_0(argv: list[str], begins: str, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(
        "sip: {listen: [udp:127.0.0.1:0]}\nmedia: {listen: 127.0.0.1}\napi: {listen: 127.0.0.1:0}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", *argv], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        assert process.stdout.readline().startswith(begins)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WITHIN)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_sigterm_ends_every_call_with_bye_and_a_record(tmp_path: Path) -> None:
    """Two calls are up when the service is told to stop: both get BYE, and it ends with 0."""
    (tmp_path / "gateway.yaml").write_text(
        "sip: {listen: [udp:127.0.0.1:0]}\nmedia: {listen: 127.0.0.1, ports: 22000-22999}\n"
        "api: {listen: 127.0.0.1:0}\nrecords: {calls: calls.jsonl, audio: .}\n"
    )

    async def calls() -> list[str | None]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--config", "gateway.yaml"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout
            (listen,) = json.loads(await process.stdout.readline())["sip"]
            port = int(listen.rpartition(":")[2])
            phones = [await Phone.open(), await Phone.open()]
            for phone in phones:
                await phone.dial("100", ("127.0.0.1", port))
                await phone.say(silence(4000))
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(WITHIN):
                await process.communicate()
                await asyncio.gather(*(phone.ended.wait() for phone in phones))
            assert process.returncode == 0
            for phone in phones:
                await phone.close()
            return [phone.end.reason for phone in phones if phone.end]
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    assert asyncio.run(calls()) == ['Q.850;cause=31;text="shutdown"'] * 2
    records = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert [(it["ended_by"], it["cause"]) for it in records] == [("gateway", "shutdown")] * 2
    assert all((tmp_path / it["recording"]).stat().st_size > 8000 for it in records)


@pytest.mark.parametrize(
    ("answering", "code", "said"),
    [
        (Answering(after=0.4), 0, ["calling 100 through pbx", "ringing", "answered"]),
        (Answering(status=486), 1, ["calling 100 through pbx", "failed: busy (486 Busy Here)"]),
    ],
)
def test_a_call_through_the_running_service(
    answering: Answering, code: int, said: list[str], tmp_path: Path
) -> None:
    async def main() -> tuple[int | None, bytes]:
        phone = await Phone.open()
        phone.answering = answering
        host, port = phone.address
        (tmp_path / "gateway.yaml").write_text(
            "sip: {listen: [udp:127.0.0.1:0]}\nmedia: {listen: 127.0.0.1, ports: 23000-23999}\n"
            "api: {listen: 127.0.0.1:0}\nrecords: {calls: null}\n"
            f"trunks: {{pbx: {{outbound: 'sip:{host}:{port}'}}}}\n"
        )
        service = await start("serve", "--config", "gateway.yaml", cwd=tmp_path)
        try:
            assert service.stdout
            while "http" not in (line := json.loads(await service.stdout.readline())):
                pass
            call = await start(
                *("call", "100", "--agent", "assistant", "--url", line["http"]), cwd=tmp_path
            )
            async with asyncio.timeout(WITHIN):
                printed, _ = await call.communicate()
            return call.returncode, printed
        finally:
            service.kill()
            await service.communicate()
            await phone.close()

    returned, printed = asyncio.run(main())
    assert returned == code
    lines = [line.partition("  ")[2] for line in printed.decode().splitlines()]
    assert [line for line in lines if line in said] == said


async def start(*argv: str, cwd: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *argv), cwd=cwd, stdout=asyncio.subprocess.PIPE
    )


def test_calls_of_a_service_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    assert main(["calls", "--url", url]) == 1
    assert main(["call", "100", "--agent", "a", "--url", url]) == 1
    assert f"no service at {url}: is `gateway serve` running?" in capsys.readouterr().err


def test_a_service_where_its_configuration_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("api: {listen: '127.0.0.1:1', token: t}\n")

    assert main(["calls", "--config", str(file)]) == 1
    assert "no service at http://127.0.0.1:1:" in capsys.readouterr().err
