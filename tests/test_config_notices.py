"""What loads and does nothing yet is told, one line each; what works is not mentioned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config import Config, load
from gateway.config_notices import notices

LATER = "has no effect yet; it comes with a later version"


def told(**sections: Any) -> list[str]:
    return notices(Config.model_validate(sections))


def test_nothing_where_nothing_is_set() -> None:
    assert notices(Config()) == []


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        ({"agents": {"a": {"idle_prompt": {}}}}, "agents.a.idle_prompt"),
        (
            {"agents": {"a": {"http_tools": {"f": {"description": "d", "url": "https://h/"}}}}},
            "agents.a.http_tools",
        ),
        ({"agents": {"a": {"mcp": [{"label": "l", "url": "https://h/"}]}}}, "agents.a.mcp"),
        ({"agents": {"a": {"greeting": {"file": "g.wav"}}}}, "agents.a.greeting.file"),
        ({"api": {"webhook": {"url": "https://h/"}}}, "api.webhook.url"),
        ({"api": {"webhook": {"secret": "s"}}}, "api.webhook.secret"),
    ],
)
def test_a_key_whose_work_comes_later(sections: dict[str, Any], path: str) -> None:
    assert told(**sections) == [f"{path}: {LATER}"]


@pytest.mark.parametrize(
    "sections",
    [
        {"sip": {"session_expires": 1800}},
        {"media": {"encryption": "none", "echo": "auto"}},
        {"trunks": {"t": {"allow": "192.0.2.1", "source": "sdp", "accept_transfers": True}}},
        {"trunks": {"t": {"users": {}, "password": "", "outbound": "sip:192.0.2.1"}}},
        {"agents": {"a": {"idle_prompt": None, "mcp": [], "http_tools": None}}},
        {"api": {"webhook": {"url": None, "secret": ""}}},
    ],
)
def test_what_asks_for_no_more_than_works(sections: dict[str, Any]) -> None:
    assert told(**sections) == []


def test_keys_that_others_can_read() -> None:
    """RFC 4568 §8.1; with DTLS alone they could not, but that is the peer's choice."""
    listen = {"listen": ["tls:0.0.0.0:5061"], "tls": {"certificate": "a", "private_key": "b"}}
    required = {"encryption": "required"}
    clear = {"a": {"outbound": "sip:192.0.2.1"}, "b": {"register": "sip:h;transport=tcp"}}
    private = {"a": {"outbound": "sips:192.0.2.1"}, "b": {"register": "sip:h;transport=TLS"}}
    says = "media.encryption: keys of SDES can be read on the way where SIP is not over TLS: "
    assert told(sip=listen, media=required, trunks=clear) == [says + "trunks.a, trunks.b"]
    assert told(sip=listen, media=required, trunks=private) == []
    assert told(sip=listen, trunks=clear) == []
    udp = {**listen, "listen": ["udp:0.0.0.0:5060", "tls:0.0.0.0:5061"]}
    assert told(sip=udp, media=required, trunks=private) == [says + "udp:0.0.0.0:5060"]


def test_what_works() -> None:
    everything = {
        "sip": {
            "listen": ["udp:0.0.0.0:5060", "udp:[::]:5060"],
            "public_address": "203.0.113.5",
            "max_calls": 5,
            "max_calls_per_second": 5,
        },
        "media": {
            "listen": "127.0.0.1",
            "public_address": "203.0.113.5",
            "ports": "20000-20009",
            "codecs": ["PCMU", "PCMA"],
            "rtp_timeout": 10,
            "playout_delay": 40,
            "echo": "on",
            "source": "sdp",
        },
        "backends": {
            "y": {"provider": "yandex", "folder": "f", "api_key": "k", "max_sessions": 5},
            "o": {"provider": "openai", "api_key": "k"},
            "c": {"provider": "compatible", "url": "ws://h/", "model": "m"},
            "s": {"provider": "simulator", "dialect": "yandex", "greeting": "Hello."},
        },
        "agents": {
            "a": {
                "backend": ["y", "o", "c", "s"],
                "language": "ru-RU",
                "voice": "marina",
                "instructions": "Be brief.",
                "variables": {"clinic": "X-Clinic"},
                "greeting": "Hello.",
                "interruptible": False,
                "turn_detection": {"type": "server_vad"},
                "truncate_at": "onset",
                "keypad": {"terminator": "*"},
                "tools": ["hang_up", "transfer", "send_digits"],
                "transfer": {"sales": "tel:+7"},
                "max_duration": 60,
                "session": {"temperature": 0.8},
            }
        },
        "routes": [{"to": "1??", "agent": "a"}],
        "api": {"listen": "0.0.0.0:8080", "token": "t"},
        "records": {"calls": "c.jsonl", "transcripts": True, "audio": "wav"},
        "log": {"level": "debug", "format": "json"},
    }
    assert told(**everything) == []


def test_listeners() -> None:
    listen = ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060", "tls:0.0.0.0:5061"]
    assert told(sip={"listen": listen}) == [
        "sip.listen[2]: tls:0.0.0.0:5061 has no certificate (sip.tls.certificate); skipped",
    ]
    assert told(sip={"listen": listen, "tls": {"certificate": "c", "private_key": "k"}}) == []
    assert told(sip={"listen": listen[2:]}) == [
        "sip.listen[0]: tls:0.0.0.0:5061 has no certificate (sip.tls.certificate); skipped",
        "sip.listen: no call can come in without another listener",
    ]


def test_backends() -> None:
    azure = {"provider": "azure", "url": "wss://h/", "api_key": "k", "model": "m"}
    assert told(backends={"z": azure}, agents={"a": {}}) == [
        "backends.z.provider: comes with a later version; skipped"
    ]
    assert told(backends={"o": {"provider": "openai", "api_key": ""}}, agents={"a": {}}) == [
        "backends.o.api_key: empty; the backend is skipped until it is set"
    ]


def test_a_registration_without_its_password() -> None:
    """Its key is there and empty, as an unset variable leaves it; without the key none is asked."""
    trunk = {"register": "sip:p.example", "username": "u"}
    assert told(trunks={"t": trunk}) == []
    assert told(trunks={"t": {**trunk, "password": "p"}}) == []
    assert told(trunks={"t": {**trunk, "password": ""}}) == [
        "trunks.t.password: empty; nothing is registered until it is set"
    ]


def test_a_backend_that_nobody_uses() -> None:
    """Without `agents` a built-in one on the simulator, also beside other backends."""
    assert told(backends={"o": {"provider": "openai", "api_key": "k"}}) == [
        "agents: there is none; a built-in one answers every call on the simulator"
    ]


def test_the_shipped_configuration() -> None:
    """It sets every key, so it shows every line there is; and no line twice."""
    shipped = Path(__file__).parents[1] / "config" / "gateway.yaml"
    lines = notices(load(shipped, {}))
    assert len(lines) == len(set(lines)) == 8
