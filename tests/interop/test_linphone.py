"""linphone calls a running service, and is called by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .kamailio import make_certificate
from .linphone import phone
from .programs import HOST, free_port, need, until
from .service import Service, serving
from .sound import loud_seconds, pause, voice, write_wav

LONG = "I will go on and on, about the weather in the mountains and the price of tea. " * 3
BACKENDS: dict[str, dict[str, Any]] = {
    "talk": {"turns": [{"hears": "Hello", "say": LONG}]},
    "keys": {"digits": {"4711": "That is the right code, thank you very much."}},
}

# s; its console takes a key a second, and reads no SIP as long as there is one: the INFO of the
# second key waits for the answer to the first one's, which it looks for after the last
BETWEEN_KEYS = 20


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Any:
    need("openssl")
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls() -> int:
    return free_port()


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, certificate: Any, tls: int
) -> Iterator[Service]:
    """A gateway with an agent for each story, over UDP, TCP and TLS."""
    need("linphonec")
    config = {
        "sip": {
            "listen": [f"tls:{HOST}:{tls}"],
            "tls": {
                "certificate": str(certificate.certificate),
                "private_key": str(certificate.key),
            },
        },
        "backends": {name: {"provider": "simulator", **it} for name, it in BACKENDS.items()},
        "agents": {
            name: {"backend": name, "keypad": {"timeout": BETWEEN_KEYS}} for name in BACKENDS
        },
        "routes": [{"to": f"{name}*", "agent": name} for name in BACKENDS],
    }
    with serving(tmp_path_factory.mktemp("linphone"), config) as running:
        yield running


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_conversation(
    service: Service, tmp_path: Path, certificate: Any, tls: int, transport: str
) -> None:
    """Speech in, an answer out, a pause and on again, and the caller hangs up."""
    write_wav(tmp_path / "voice.wav", pause(1.0), voice(0.8), pause(30))
    to = f"talk-{transport}"
    with phone(
        tmp_path / "phone", tmp_path / "voice.wav", authority=certificate.certificate
    ) as caller:
        port = tls if transport == "tls" else service.sip
        caller.do(f"call sip:{to}@{HOST}:{port};transport={transport}")
        caller.wait_for("connected")
        call = service.call_to(to)
        until(lambda: loud_seconds(service.model_so_far(call)) > 1, "an answer of the model")
        caller.do("pause")
        caller.wait_for("now paused")
        caller.do("resume")
        caller.wait_for("Resuming call")
        until(lambda: loud_seconds(caller.heard_so_far()) > 2, "more of it")
        caller.do("terminate")
        record = service.record(to)
    assert (record["ended_by"], record["cause"], record["codec"]) == ("caller", "hang_up", "PCMU")
    assert service.complaints(record["sip_call_id"]) == []
    heard, rate = caller.heard()
    assert loud_seconds(heard[:: rate // 8000]) > 2


@pytest.mark.parametrize("info", [False, True])
def test_keys(service: Service, tmp_path: Path, info: bool) -> None:
    """Keys as telephone-event, and as INFO."""
    write_wav(tmp_path / "voice.wav", pause(40))
    to = f"keys-{info}"
    with phone(tmp_path / "phone", tmp_path / "voice.wav", info=info) as caller:
        caller.do(f"call sip:{to}@{HOST}:{service.sip}")
        caller.wait_for("connected")
        call = service.call_to(to)
        for key in "4711#":
            caller.do(key)
        until(lambda: loud_seconds(service.model_so_far(call)) > 1, "the answer to the keys")
        caller.do("terminate")
        record = service.record(to)
    assert record["digits"] == ["4711"]


def test_called(tmp_path: Path) -> None:
    """The gateway calls it, over TCP; it answers at once."""
    need("linphonec")
    write_wav(tmp_path / "voice.wav", pause(40))
    with phone(tmp_path / "phone", tmp_path / "voice.wav", answers=True) as callee:
        config = {
            "trunks": {
                "phone": {"outbound": f"sip:{HOST}:{callee.port};transport=tcp", "allow": [HOST]}
            },
            "backends": {"talk": {"provider": "simulator"}},
            "agents": {"talk": {"backend": "talk", "greeting": LONG}},
        }
        with serving(tmp_path / "gateway", config) as service:
            told = service.ask("POST", "/v1/calls", {"to": "1", "agent": "talk", "wait": True})
            assert told["state"] == "answered", (told, service.log())
            until(lambda: loud_seconds(callee.heard_so_far()) > 0.8, "the greeting")
            callee.do("terminate")
            record = service.record("1")
    assert record["direction"] == "outbound"
    heard, rate = callee.heard()
    assert loud_seconds(heard[:: rate // 8000]) > 0.8
