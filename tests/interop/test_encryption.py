"""Phones as people have them encrypt their sound, by SDES and by DTLS-SRTP, and both ends hear
what was said; somebody on the way hears nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from gateway.audio.g711 import codec as g711

from . import baresip, linphone
from .capture import capturing
from .correlate import compare
from .ear import SEED, listening
from .exchange import KINDS, Exchange, Place, exchange, judged, voice
from .programs import HOST, need
from .service import serving
from .sound import FRAME, RATE

WAYS = {"sdes": "PCMA", "dtls": "opus"}  # each with a codec
SUITE = "AES_CM_128_HMAC_SHA1_80"  # what all of them begin with


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A gateway that speaks with nobody in the clear."""
    with gateway(tmp_path_factory.mktemp("encryption"), "required") as required:
        yield required


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_said_is_heard(place: Place, tmp_path: Path, kind: str, way: str) -> None:
    found = exchange(place, tmp_path, kind, WAYS[way], way)
    assert place.service.complaints(found.record["sip_call_id"]) == []
    assert_all_heard(found, WAYS[way])


def test_baresip_is_called(tmp_path: Path) -> None:
    """We offer, by SDES, and it answers."""
    need("baresip")
    said = voice(tmp_path, RATE, 1)
    with (
        baresip.phone(tmp_path / "phone", said, "PCMU", encryption="srtp-mand") as phone,
        gateway(tmp_path, "required", calls=phone.port) as place,
    ):
        to = f"sip:baresip@{HOST}:{phone.port}"
        call = place.service.ask("POST", "/v1/calls", {"to": to, "agent": "ear"})
        assert call.get("id"), call
        phone.wait_for("CALL_INCOMING")
        phone.do("accept")
        phone.wait_for("CALL_CLOSED")
        record = place.service.record_of(call["id"])
        assert_all_heard(judged(place, record, phone.heard(), RATE), "PCMU")


def test_linphone_is_called(tmp_path: Path) -> None:
    need("linphonec")
    said = voice(tmp_path, RATE, 1)
    with ExitStack() as stack:
        phone = stack.enter_context(
            linphone.phone(tmp_path / "phone", said, answers=True, encryption="srtp")
        )
        place = stack.enter_context(gateway(tmp_path, "required", calls=phone.port))
        call = place.service.ask("POST", "/v1/calls", {"to": "1", "agent": "ear"})
        phone.wait_for("ended")
        record = place.service.record_of(call["id"])
        assert_all_heard(judged(place, record, *phone.heard()), "PCMU")


@pytest.mark.parametrize("way", [None, *WAYS])
def test_what_others_hear(tmp_path: Path, way: str | None) -> None:
    """What is on the wire, taken for what it would be in the clear: nothing, where it is not."""
    need("tshark")
    with gateway(tmp_path, "optional") as place:
        with capturing(tmp_path, place.service.rtp, whole=True) as capture:
            found = exchange(place, tmp_path, "baresip", "PCMU", way)
        ours = max(capture.streams(place.service.rtp), key=lambda stream: len(stream.times))
    overheard = g711("PCMU").decode(b"".join(payload[:FRAME] for payload in ours.payloads))
    like = compare(overheard, RATE, SEED).likeness
    assert (like < 0.3) if way else (like > 0.99)
    assert found.phone.likeness > 0.99


def test_a_phone_that_does_not_encrypt(place: Place, tmp_path: Path) -> None:
    """It is refused where encryption is required: 488."""
    need("baresip")
    to, service = "in-the-clear", place.service
    with baresip.phone(tmp_path / "phone", voice(tmp_path, RATE, 1), "PCMU") as phone:
        phone.do("dial", f"sip:{to}@{HOST}:{service.sip}")
        phone.wait_for("CALL_CLOSED")
        assert "488" in phone.events[-1]["param"]
    assert service.record(to)["sip_status"] == 488


@contextmanager
def gateway(folder: Path, encryption: str, calls: int | None = None) -> Iterator[Place]:
    """One with a model that has ears; it `calls` a phone at that port of this machine."""
    phone = {"allow": [HOST], "outbound": f"sip:{HOST}:{calls}"}
    with listening() as (ear, url):
        config = {
            "media": {"encryption": encryption},
            **({"trunks": {"phone": phone}} if calls else {}),
            "backends": {"ear": {"provider": "compatible", "url": url, "model": "any"}},
            "agents": {"ear": {"backend": "ear"}},
        }
        with serving(folder / "gateway", config) as service:
            yield Place(service, ear)


def assert_all_heard(found: Exchange, codec: str) -> None:
    assert found.record["encryption"] == SUITE
    for heard in (found.model, found.caller_track, found.model_track, found.phone):
        assert heard.likeness > (0.65 if codec == "opus" else 0.99), heard
        assert heard.spread < 0.03, heard
        assert heard.level == pytest.approx(0, abs=2.0), heard
