"""Phones as people have them talk in each codec, and both ends hear what was said.

By correlation: a wrong decoder, a swapped rate or some missing sound is like nothing that was said
(test_correlate.py). Where the codec has a wide band, 5 to 7 kHz arrive on both sides, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .correlate import Comparison
from .ear import listening
from .exchange import BEFORE, CODECS, KINDS, Exchange, Place, exchange
from .service import serving

# The least likeness of a half second below 3.4 kHz. Opus follows the sound and not each wave of
# it, and the more so where the phone wants in-band FEC, as linphone does.
LIKE = {"PCMU": 0.99, "PCMA": 0.99, "G722": 0.99, "opus": 0.65}
WIDE_CODECS = ("G722", "opus")
# dB; linphone's G.722 speaks at half of what it is given, and hears at double
LOUDER = {("linphone", "G722"): 6.0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A gateway that takes each codec."""
    with listening() as (ear, url):
        config = {
            "media": {"codecs": ["opus", "G722", "PCMA", "PCMU"]},
            "backends": {"ear": {"provider": "compatible", "url": url, "model": "any"}},
            "agents": {"ear": {"backend": "ear"}},
        }
        with serving(tmp_path_factory.mktemp("codecs"), config) as service:
            yield Place(service, ear)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_said_is_heard(place: Place, tmp_path: Path, kind: str, codec: str) -> None:
    """By the model, by the phone, and in the recording of both."""
    found = exchange(place, tmp_path, kind, codec)
    louder = LOUDER.get((kind, codec), 0.0)
    assert found.record["codec"] == codec.upper()
    assert place.service.complaints(found.record["sip_call_id"]) == []
    assert_heard(found.model, codec, -louder)
    assert_heard(found.caller_track, codec, -louder)
    assert_heard(found.model_track, codec)
    assert_heard(found.phone, codec, louder)
    assert_in_time(found)


def assert_heard(heard: Comparison, codec: str, louder: float = 0.0) -> None:
    """All of it, in order, by its waves, its level, and its upper band where there may be one."""
    assert heard.likeness > LIKE[codec], heard
    assert heard.spread < 0.03, heard
    assert heard.level == pytest.approx(louder, abs=2.0), heard
    if codec in WIDE_CODECS:
        assert heard.wide > 0.9, heard
        assert heard.wide_level == pytest.approx(louder, abs=4.0), heard
    else:
        assert heard.wide < 0.5, heard
        assert heard.wide_level < -40, heard


def assert_in_time(found: Exchange) -> None:
    """The two tracks lie to each other as the phone said the one and heard the other."""
    recorded = found.model_track.at - found.caller_track.at
    assert found.phone.at - BEFORE == pytest.approx(recorded, abs=0.3), found
    assert found.model.at == pytest.approx(BEFORE, abs=0.3), found
