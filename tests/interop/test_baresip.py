"""baresip calls a running service: a phone as people have it, with a jitter buffer and a will of
its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.audio.frame import Samples

from .baresip import Baresip, phone
from .programs import HOST, need, until
from .service import Service, serving
from .sound import (
    FRAME,
    LOUD,
    RATE,
    found_at,
    loud_frames,
    loud_seconds,
    pause,
    read_wav,
    voice,
    write_wav,
)

LONG = "I will go on and on, about the weather in the mountains and the price of tea. " * 3
SCRIPTS: dict[str, dict[str, Any]] = {
    "talk": {
        "turns": [
            {"hears": "Hello", "say": LONG},
            {"hears": "Stop", "say": "Goodbye then.", "call": "hang_up"},
        ]
    },
    "keys": {"digits": {"4711": "That is the right code, thank you very much."}},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A gateway with an agent for each story."""
    need("baresip")
    config = {
        "backends": {name: {"provider": "simulator", **it} for name, it in SCRIPTS.items()},
        "agents": {name: {"backend": name} for name in SCRIPTS},
        "routes": [{"to": f"{name}*", "agent": name} for name in SCRIPTS],
    }
    with serving(tmp_path_factory.mktemp("baresip"), config) as running:
        yield running


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_a_conversation(service: Service, tmp_path: Path, codec: str) -> None:
    """Speech in, an answer out, an interruption, and the model hangs up. What the phone played is
    what the gateway says that it sent."""
    hello, to = voice(0.8), f"talk-{codec}"
    write_wav(tmp_path / "voice.wav", pause(0.5), hello, pause(2.5), voice(0.8, 2), pause(30))
    with phone(tmp_path / "phone", tmp_path / "voice.wav", codec) as caller:
        caller.do("dial", f"sip:{to}@{HOST}:{service.sip}")
        caller.wait_for("CALL_ESTABLISHED")
        caller.wait_for("CALL_CLOSED")
        record = service.record(to)
    heard = caller.heard()

    assert (record["codec"], record["sip_status"]) == (codec, 200)
    assert (record["ended_by"], record["cause"]) == ("model", "hang_up")
    assert service.complaints(record["sip_call_id"]) == []
    (barge_in,) = record["barge_ins"]
    assert 800 < barge_in["heard_ms"] < 2500
    assert all(turn["first_rtp_ms"] for turn in record["turns"])
    said, sent = read_wav(Path(record["recording"]))
    assert found_at(hello, said)[1] > 0.99  # G.711 alone
    assert found_at(loud(sent)[:RATE], heard)[1] > 0.9  # a second of the first answer
    assert found_at(loud(sent)[-RATE // 2 : -RATE // 4], heard)[1] > 0.9  # and some of the last
    assert loud_seconds(heard) == pytest.approx(loud_seconds(sent), abs=0.2)


def test_keys_hold_and_the_end(service: Service, tmp_path: Path) -> None:
    """Keys by RFC 4733; on hold nothing is sent; then the call goes on; the caller hangs up."""
    write_wav(tmp_path / "voice.wav", pause(60))
    with phone(tmp_path / "phone", tmp_path / "voice.wav", "PCMU") as caller:
        caller.do("dial", f"sip:keys@{HOST}:{service.sip}")
        caller.wait_for("CALL_ESTABLISHED")
        call = service.call_to("keys")
        press(caller, "4711#")
        until(lambda: answers(service, call) == 1, "the answer to the code")
        caller.do("hold")
        caller.wait_for("CALL_REMOTE_SDP", times=2)
        before = len(service.model_so_far(call))
        until(lambda: len(service.model_so_far(call)) > before + 3 * RATE, "the time on hold")
        caller.do("resume")
        caller.wait_for("CALL_REMOTE_SDP", times=3)
        press(caller, "4711#")
        until(lambda: answers(service, call) == 2, "the second answer")
        caller.do("hangup")
        record = service.record("keys")

    assert record["digits"] == ["4711", "4711"]
    assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")
    assert service.complaints(record["sip_call_id"]) == []
    _, sent = read_wav(Path(record["recording"]))
    assert len(sent) / FRAME - record["rtp"]["sent"] > 50  # frames of 20 ms, on hold


def press(caller: Baresip, keys: str) -> None:
    """Press keys, each only as long as it takes."""
    for key in keys:
        caller.do("sndcode", key)


def answers(service: Service, call: str) -> int:
    """How often the model spoke, and was silent for half a second again."""
    said = "".join("#" if loud else "." for loud in loud_frames(service.model_so_far(call)))
    return len([quiet for quiet in re.findall(r"#(\.+)", said) if len(quiet) >= 25])


def loud(sound: Samples) -> Samples:
    """From the first to the last sample that is no comfort noise."""
    (places,) = np.nonzero(np.abs(sound.astype(np.int32)) > LOUD)
    return sound[places[0] : places[-1]]
