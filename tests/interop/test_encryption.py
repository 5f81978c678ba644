"""Phones as people have them encrypt their sound, by SDES and by DTLS-SRTP, and both ends hear
what was said; somebody on the way hears nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.audio.g711 import codec as g711

from . import baresip
from .capture import capturing
from .correlate import Comparison, compare
from .ear import SEED, listening
from .exchange import KINDS, Place, exchange, voice
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
    codec = WAYS[way]
    found = exchange(place, tmp_path, kind, codec, way)
    assert found.record["encryption"] == SUITE
    assert place.service.complaints(found.record["sip_call_id"]) == []
    for heard in (found.model, found.caller_track, found.model_track, found.phone):
        assert_heard(heard, 0.65 if codec == "opus" else 0.99)


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
def gateway(folder: Path, encryption: str) -> Iterator[Place]:
    """One with a model that has ears."""
    with listening() as (ear, url):
        config = {
            "media": {"encryption": encryption},
            "backends": {"ear": {"provider": "compatible", "url": url, "model": "any"}},
            "agents": {"ear": {"backend": "ear"}},
        }
        with serving(folder / "gateway", config) as service:
            yield Place(service, ear)


def assert_heard(heard: Comparison, least: float) -> None:
    assert heard.likeness > least, heard
    assert heard.spread < 0.03, heard
    assert heard.level == pytest.approx(0, abs=2.0), heard
