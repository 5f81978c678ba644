"""sipp calls a running service: what a caller of the protocol's letter sees and hears.

One service for all tests, with an agent (and a simulator behind it) for each.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.rtp.packet import Packet

from .programs import HOST, excuse, free_port, need, until
from .service import Service, serving
from .sipp_phone import call, calling
from .sound import FRAME, found_at, loud_seconds, pause, read_wav, voice, write_alaw, write_pcap

LONG = "I will go on and on, about the weather in the mountains and the price of tea. " * 3
FAREWELL = {"say": "Goodbye.", "call": "hang_up"}
CODE_ANSWER = {"say": "That is right.", "call": "hang_up"}

SCRIPTS: dict[str, dict[str, Any]] = {
    "dialogue": {"turns": [{"hears": "Hello", "say": "Good day to you."}, FAREWELL]},
    "barge-in": {"turns": [{"hears": "Hello", "say": LONG}, FAREWELL]},
    "keys": {"digits": {"4711": CODE_ANSWER}},
    "hold": {"turns": [FAREWELL]},
    "caller": {"turns": [FAREWELL]},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A gateway whose agents are called as the tests call them."""
    need("sipp")
    with socket.create_server((HOST, 0)) as mute:  # a backend that takes the connection: no more
        silent, closed = mute.getsockname()[1], free_port()
        backends: dict[str, Any] = {
            name: {"provider": "simulator", **script} for name, script in SCRIPTS.items()
        }
        for name, port in (("silent", silent), ("closed", closed)):
            url = f"ws://{HOST}:{port}/v1/realtime"
            backends[name] = {"provider": "compatible", "url": url, "model": "any"}
        config = {
            "backends": backends,
            "agents": {name: {"backend": name} for name in backends},
            "routes": [
                *({"to": name, "agent": name} for name in backends),
                {"to": "codec", "agent": "caller"},
                {"to": "late", "agent": "silent"},
            ],
        }
        with serving(tmp_path_factory.mktemp("sipp"), config) as running:
            yield running


def assert_fine(service: Service, record: dict[str, Any]) -> None:
    """The call was answered, ended as calls end, and nobody complained about anything."""
    assert (record["sip_status"], record["cause"]) == (200, "hang_up")
    assert record["answered_at"] < record["ended_at"]
    assert service.complaints(record["sip_call_id"]) == []


def test_a_dialogue(service: Service, tmp_path: Path) -> None:
    """Speech in, an answer out, and both in the recording; the model hangs up."""
    hello, goodbye = voice(0.8, 1), voice(0.8, 2)
    write_alaw(tmp_path / "caller.alaw", pause(0.4), hello, pause(3), goodbye, pause(20))
    call(service, "dialogue", "gateway_hangs_up", tmp_path)

    record = service.record("dialogue")
    assert_fine(service, record)
    assert record["ended_by"] == "model"
    assert record["codec"] == "PCMA"
    assert record["barge_ins"] == []
    assert [tool["name"] for tool in record["tools"]] == ["hang_up"]
    assert len(record["turns"]) == 2
    for turn in record["turns"]:
        assert 0 <= turn["response_created_ms"] <= turn["first_delta_ms"] <= turn["first_rtp_ms"]
    caller, model = read_wav(Path(record["recording"]))
    began, likeness = found_at(hello, caller)
    assert likeness > 0.99  # A-law alone
    again, likeness = found_at(goodbye, caller)
    assert likeness > 0.99
    assert again - began == pytest.approx(3.8, abs=0.001)  # not a sample more or less
    assert loud_seconds(model) > 0.5


def test_a_barge_in(service: Service, tmp_path: Path) -> None:
    """Who speaks into the answer stops it; the model is told how much of it was heard, and a
    server that checks each event has nothing to say against it."""
    write_alaw(tmp_path / "caller.alaw", pause(0.4), voice(0.8), pause(2.5), voice(0.8), pause(20))
    call(service, "barge-in", "gateway_hangs_up", tmp_path)

    record = service.record("barge-in")
    assert_fine(service, record)
    assert record["ended_by"] == "model"
    (barge_in,) = record["barge_ins"]
    assert barge_in["trigger"] == "speech"
    assert 800 < barge_in["heard_ms"] < 2500
    assert 0 < barge_in["onset_ms"] <= barge_in["heard_ms"]


def test_keys_by_rfc_4733(service: Service, tmp_path: Path) -> None:
    """Each key once: whether its first packets are lost, its ends, or all packets but one."""
    if not _may_send_raw():
        excuse("sipp replays captures through a raw socket: it takes root or CAP_NET_RAW")
    lost = {*range(20, 22), *range(34, 37), *range(40, 46)}
    write_pcap(tmp_path / "keys.pcap", _keys("4711#"), lost)
    call(service, "keys", "keys", tmp_path)

    record = service.record("keys")
    assert_fine(service, record)
    assert record["digits"] == ["4711"]
    assert record["ended_by"] == "model"
    assert record["rtp"]["lost"] == len(lost)


def _keys(digits: str) -> Iterator[Packet]:
    """Silence of 20 packets; each key in 7, its end in three of them, and 3 of silence; silence."""
    sequence, timestamp = 65530, 2**32 - 5000  # both wrap on the way
    for payload_type, payload, at in _payloads(digits):
        yield Packet(payload_type, sequence, (timestamp + at * FRAME) & 0xFFFFFFFF, 77, payload)
        sequence = (sequence + 1) & 0xFFFF


def _payloads(digits: str) -> Iterator[tuple[int, bytes, int]]:
    """Payload type, payload, and the frame that it belongs to."""
    silent = b"\xd5" * FRAME
    for frame in range(20):
        yield 8, silent, frame
    for number, digit in enumerate(digits):
        began = 20 + 10 * number
        for step in range(1, 8):  # an event keeps its first timestamp, and grows (RFC 4733 §2.3)
            end, duration = step >= 5, min(step, 5) * FRAME
            code = "0123456789*#".index(digit)
            yield 101, struct.pack(">BBH", code, end << 7 | 10, duration), began
        for frame in range(began + 7, began + 10):
            yield 8, silent, frame
    for frame in range(20 + 10 * len(digits), 800):
        yield 8, silent, frame


def _may_send_raw() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP).close()
    except PermissionError:
        return False
    return True


def test_hold_and_resume(service: Service, tmp_path: Path) -> None:
    """sendonly, inactive and c=0.0.0.0 are answered as RFC 3264 has it; nothing is sent meanwhile,
    and afterwards the call goes on."""
    write_alaw(tmp_path / "quiet.alaw", pause(30))
    write_alaw(tmp_path / "caller.alaw", pause(0.2), voice(0.8), pause(20))
    call(service, "hold", "hold", tmp_path)

    record = service.record("hold")
    assert_fine(service, record)
    assert len(record["turns"]) == 1
    caller, model = read_wav(Path(record["recording"]))
    assert len(caller) == pytest.approx(len(model), abs=4 * FRAME)
    held = len(model) / FRAME - record["rtp"]["sent"]
    assert held == pytest.approx(3 * 40, abs=12)  # frames of 20 ms in three times 0.8 s


def test_the_caller_hangs_up(service: Service, tmp_path: Path) -> None:
    write_alaw(tmp_path / "caller.alaw", voice(5))
    call(service, "caller", "caller_hangs_up", tmp_path, "-d", "700")

    record = service.record("caller")
    assert_fine(service, record)
    assert record["ended_by"] == "caller"
    assert record["rtp"]["received"] > 25
    assert record["rtp"]["lost"] == 0


def test_cancel_while_it_rings(service: Service, tmp_path: Path) -> None:
    """487 to the INVITE; the backend, which never answers, is let go."""
    call(service, "silent", "cancel", tmp_path)

    record = service.record("silent")
    assert (record["ended_by"], record["cause"]) == ("caller", "cancelled")
    assert record["sip_status"] == 487
    assert record["answered_at"] is None


def test_no_route(service: Service, tmp_path: Path) -> None:
    call(service, "nobody", "refused_404", tmp_path)
    record = service.record("nobody")
    assert (record["sip_status"], record["cause"]) == (404, "no_route")


def test_no_codec_in_common(service: Service, tmp_path: Path) -> None:
    """488 with a Warning that says why."""
    call(service, "codec", "refused_488", tmp_path)
    record = service.record("codec")
    assert (record["sip_status"], record["cause"]) == (488, "media_not_acceptable")


@pytest.mark.parametrize("to", ["closed", "late"])
def test_no_backend(service: Service, tmp_path: Path, to: str) -> None:
    """503 with Retry-After, at once or after 3 s, and the log has the backend's reason."""
    call(service, to, "refused_503", tmp_path)
    record = service.record(to)
    assert (record["sip_status"], record["cause"]) == (503, "backend_unavailable")
    (line, *_) = service.complaints(record["sip_call_id"])
    assert line["event"] == "backend_failed"
    assert line["reason"]


def test_sigterm_in_the_middle_of_a_call(tmp_path: Path) -> None:
    """The caller gets a BYE, the record is written, the process ends with 0."""
    need("sipp")
    write_alaw(tmp_path / "caller.alaw", pause(20))
    with serving(tmp_path / "gateway", {}) as service:
        with calling(service, "100", "gateway_hangs_up", tmp_path):
            until(lambda: any(it["event"] == "call_began" for it in service.log()), "an answer")
            service.stop()
        (record,) = service.records()
        assert (record["ended_by"], record["cause"]) == ("gateway", "shutdown")
        assert record["sip_status"] == 200
