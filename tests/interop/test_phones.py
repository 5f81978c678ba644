"""Phones as people have them, each over UDP, TCP and TLS: they register with us, prove their
password, call, hold, resume, press a key, hang up, and move a call elsewhere, and are called.

One gateway knows its users by their passwords, another takes anybody on this machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.speech import Tones

from .ear import Ear, listening
from .handset import KINDS, Line, handset
from .kamailio import Certificate, make_certificate
from .programs import HOST, free_port, need, until
from .service import Service, serving
from .softphone import Softphone, softphone
from .sound import FRAME, RATE, hum, loud_seconds, read_wav, sounding_seconds, write_wav

LONG = "I will go on and on, about the weather in the mountains and the price of tea. " * 3
ANSWER = "Yes, I am still here, and I am glad to talk to you as well."
PASSWORD = "sesame"
ABSENT = "absent"  # a user who has no phone
OLD = {"baresip"}  # 1.0.0 ends at the sight of SHA-256


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    need("openssl")
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody who says nothing, and yet is not to be taken for absent."""
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    write_wav(path, hum(120))
    return path


class Office:
    """A gateway, and how it is reached."""

    def __init__(self, service: Service, tls: int, certificate: Certificate, model: Ear) -> None:
        self.service = service
        self.model = model
        self._tls = tls
        self._certificate = certificate

    def line(self, transport: str) -> Line:
        port = self._tls if transport == "tls" else self.service.sip
        return Line(port, transport, authority=self._certificate.certificate)


@pytest.fixture(scope="module")
def offices(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate, colleague: Softphone
) -> Iterator[dict[str, Office]]:
    """By name; `users` for those of today, `old users` for those who know MD5 only."""
    users = {"users": dict.fromkeys([*KINDS, ABSENT], PASSWORD)}
    trunks: dict[str, dict[str, Any]] = {
        "users": users,
        "old users": {**users, "digest": ["MD5"]},
        "anybody": {
            "allow": [HOST],
            "outbound": f"sip:{HOST}:{colleague.port}",
            "accept_transfers": True,
        },
    }
    found = {}
    with ExitStack() as stack:
        script = {"digits": {"2": ANSWER}}
        for name, trunk in trunks.items():
            model, url = stack.enter_context(listening(script, Tones()))
            tls = free_port()
            config = {
                "sip": {
                    "listen": [f"tls:{HOST}:{tls}"],
                    "tls": {
                        "certificate": str(certificate.certificate),
                        "private_key": str(certificate.key),
                    },
                },
                "trunks": {"phones": trunk},
                "backends": {"talk": {"provider": "compatible", "url": url, "model": "any"}},
                "agents": {"talk": {"backend": "talk", "greeting": LONG}},
            }
            folder = tmp_path_factory.mktemp("office")
            service = stack.enter_context(serving(folder, config))
            found[name] = Office(service, tls, certificate, model)
        yield found


@pytest.fixture(scope="module")
def colleague(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Softphone]:
    """Somebody that calls are moved to."""
    folder = tmp_path_factory.mktemp("colleague") / "phone"
    with softphone(folder, user="colleague", mute=True) as phone:
        yield phone


@pytest.fixture(params=["udp", "tcp", "tls"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def of(offices: dict[str, Office], kind: str) -> Office:
    """Where this phone is a user."""
    return offices["old users" if kind in OLD else "users"]


def test_a_user(
    offices: dict[str, Office], tmp_path: Path, voice: Path, kind: str, transport: str
) -> None:
    """Registered with us, she calls; on hold nothing is sent to her; after it her key arrives."""
    office, to = of(offices, kind), f"{kind}-{transport}"
    line = replace(office.line(transport), user=kind, password=PASSWORD, registers=True)
    service = office.service
    with handset(kind, tmp_path / "phone", voice, line) as phone:
        phone.dial(to)
        call = service.call_to(to)
        until(lambda: loud_seconds(service.model_so_far(call)) > 0.5, "the greeting")
        phone.hold()
        before = len(service.model_so_far(call))
        until(lambda: len(service.model_so_far(call)) > before + 2.4 * RATE, "the time on hold")
        spoke = sounding_seconds(service.caller_so_far(call))
        phone.resume()
        until(lambda: sounding_seconds(service.caller_so_far(call)) > spoke, "its sound again")
        phone.press("5")
        phone.press("#")
        until(lambda: is_told(office.model, "5"), "the key at the model")
        phone.hang_up()
        record = service.record(to)
    assert (record["trunk"], record["from"]) == ("phones", kind)
    assert (record["ended_by"], record["cause"], record["sip_status"]) == ("caller", "hang_up", 200)
    assert record["digits"] == ["5"]
    assert service.complaints(record["sip_call_id"]) == []
    _, sent = read_wav(Path(record["recording"]))
    assert len(sent) / FRAME - record["rtp"]["sent"] > 20  # frames of 20 ms, on hold


def is_told(model: Ear, digits: str) -> bool:
    """Of those keys, in the newest call."""
    texts = [
        part["text"]
        for event in model.told
        if event["type"] == "conversation.item.create"
        for part in event["item"].get("content", [])
    ]
    return any(text.endswith(digits) for text in texts)


def test_a_user_is_called(
    offices: dict[str, Office], tmp_path: Path, voice: Path, kind: str, transport: str
) -> None:
    """Where she registered from, by the connection that she made; she hangs up."""
    office = of(offices, kind)
    service = office.service
    line = replace(office.line(transport), user=kind, password=PASSWORD, registers=True)
    with handset(kind, tmp_path / "phone", voice, line) as phone:
        order = service.ask("POST", "/v1/calls", {"to": kind, "agent": "talk"})
        assert order.get("trunk") == "phones", order
        call = order["id"]
        phone.answer()
        until(lambda: loud_seconds(service.model_so_far(call)) > 1, "the greeting")
        until(lambda: sounding_seconds(service.caller_so_far(call)) > 0.5, "sound of the phone")
        phone.hang_up()
        record = service.record_of(call)
    assert (record["ended_by"], record["cause"], record["sip_status"]) == ("callee", "hang_up", 200)
    assert record["rtp"]["received"] > 20
    assert service.complaints(record["sip_call_id"]) == []


def test_what_a_user_hears_who_is_called(offices: dict[str, Office], tmp_path: Path) -> None:
    service = offices["users"].service
    with softphone(
        tmp_path / "phone",
        user="softphone",
        domain=f"{HOST}:{service.sip}",
        password=PASSWORD,
        transport="tcp",
        mute=True,
        registers=True,
    ) as phone:
        order = {"to": "softphone", "agent": "talk", "wait": True}
        call = service.ask("POST", "/v1/calls", order)
        assert call.get("state") == "answered", call
        until(lambda: loud_seconds(phone.heard(0)) > 0.5, "the greeting")
        phone.do("hangup", 0)
        phone.wait_for("closed", 0)


def test_a_user_without_a_phone(offices: dict[str, Office]) -> None:
    order = {"to": ABSENT, "agent": "talk", "wait": True}
    call = offices["users"].service.ask("POST", "/v1/calls", order)
    assert (call["state"], call["cause"], call["sip_status"]) == ("ended", "unavailable", 480)
    assert call["sip_reason"] == f"No phone of {ABSENT} is registered"


def test_a_wrong_password(
    offices: dict[str, Office], tmp_path: Path, voice: Path, kind: str, transport: str
) -> None:
    """The call is refused, and is no call in the records."""
    office, to = of(offices, kind), f"in-vain-{kind}-{transport}"
    line = replace(office.line(transport), user=kind, password="barley")
    with handset(kind, tmp_path / "phone", voice, line) as phone:
        phone.dial_in_vain(to)
    assert [it for it in office.service.records() if it["to"] == to] == []


def test_moved_elsewhere(
    offices: dict[str, Office],
    colleague: Softphone,
    tmp_path: Path,
    voice: Path,
    kind: str,
    transport: str,
) -> None:
    """REFER to us: we call whom the caller names, and the model talks on with her."""
    service, to = offices["anybody"].service, f"moved-{kind}-{transport}"
    with handset(kind, tmp_path / "phone", voice, offices["anybody"].line(transport)) as phone:
        phone.dial(to)
        call = service.call_to(to)
        until(lambda: loud_seconds(service.model_so_far(call)) > 0.5, "the greeting")
        number = len([event for event in colleague.events if event[0] == "incoming"])
        phone.transfer(f"sip:colleague@{HOST}:{colleague.port}")
        colleague.wait_for("established", number)
    colleague.do("press", number, "2#")
    until(lambda: loud_seconds(colleague.heard(number)) > 0.5, "an answer to the colleague")
    colleague.do("hangup", number)
    colleague.wait_for("closed", number)
    record = service.record(to)
    (transfer,) = record["transfers"]
    assert transfer["status"] == 200
