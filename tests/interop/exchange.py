"""An exchange of known sounds: a phone says one, the model answers with another and hangs up.

What arrived is heard at every place: in what the model was given, on both tracks of the
recording, and out of the phone's loudspeaker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.audio.frame import Samples, silence

from . import baresip, ear, linphone
from .correlate import Comparison, compare, read, sound, write
from .ear import Ear
from .programs import HOST, LOOK, need
from .service import Service
from .softphone import softphone

KINDS = ("baresip", "softphone", "linphone")
CODECS = baresip.CODECS  # rates in Hz and tracks of their sound in baresip, by name
# How each phone is told to encrypt.
ENCRYPTIONS: Mapping[str, Mapping[str, str]] = {
    "baresip": {"sdes": "srtp-mand", "dtls": "dtls_srtp"},
    "softphone": {"sdes": "srtp-mand", "dtls": "dtls_srtp"},
    "linphone": {"sdes": "srtp", "dtls": "dtls"},
}
ATTEMPTS = 4
STALL = 0.05  # s for which nothing ran that should have: sound has holes then, here or there
BEFORE = 1.0  # s of silence before the phone speaks


@dataclass(frozen=True, slots=True)
class Exchange:
    """How the sounds were heard."""

    record: dict[str, Any]
    model: Comparison  # the phone's, by the model
    caller_track: Comparison  # the same, as recorded
    model_track: Comparison  # the model's, as recorded
    phone: Comparison  # the same, by the phone


@dataclass(frozen=True, slots=True)
class Place:
    """Where the phone calls."""

    service: Service
    ear: Ear


def exchange(
    place: Place, folder: Path, kind: str, codec: str, encryption: str | None = None
) -> Exchange:
    """Have a phone call, with one codec, encrypted by `sdes` or `dtls` or not.

    Where the machine had no time for that, once more: a codec is not to blame for holes then.
    """
    told = ENCRYPTIONS[kind][encryption] if encryption else None
    for attempt in range(1, ATTEMPTS + 1):
        to = "-".join([kind, codec, encryption or "plain", str(attempt)])
        late = place.service.late_ticks()
        with _watching() as watch:
            inside = folder / str(attempt)
            inside.mkdir()
            heard, rate = _CALLS[kind](place.service, inside, to, codec, told)
        if watch.longest < STALL and place.service.late_ticks() == late:
            break
    return judged(place, place.service.record(to), heard, rate)


def judged(place: Place, record: dict[str, Any], heard: Samples, rate: int) -> Exchange:
    """Compare all that was heard in the newest call; `heard` by the phone, at that rate in Hz."""
    (caller, model), recorded_rate = read(Path(record["recording"]))
    return Exchange(
        record,
        model=compare(place.ear.heard, ear.RATE),
        caller_track=compare(caller, recorded_rate),
        model_track=compare(model, recorded_rate, ear.SEED),
        phone=compare(heard, rate, ear.SEED),
    )


@dataclass(slots=True)
class _Watch:
    longest: float = 0.0  # s by which a sleep was too long


@contextmanager
def _watching() -> Iterator[_Watch]:
    """See for how long the machine keeps a thread from running."""
    watch, over = _Watch(), threading.Event()

    def look() -> None:
        before = time.monotonic()
        while not over.wait(LOOK):
            now = time.monotonic()
            watch.longest = max(watch.longest, now - before - LOOK)
            before = now

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def voice(folder: Path, rate: int, tracks: int) -> Path:
    """What the phone says; after it it is silent for longer than the call lasts."""
    path = folder / "voice.wav"
    write(path, rate, tracks, silence(int(BEFORE * rate)), sound(rate), silence(30 * rate))
    return path


def _baresip(
    service: Service, folder: Path, to: str, codec: str, encryption: str | None
) -> tuple[Samples, int]:
    need("baresip")
    said = voice(folder, *CODECS[codec])
    with baresip.phone(folder / "phone", said, codec, encryption=encryption) as phone:
        phone.do("dial", f"sip:{to}@{HOST}:{service.sip}")
        phone.wait_for("CALL_CLOSED")
    return phone.heard(), CODECS[codec][0]


def _linphone(
    service: Service, folder: Path, to: str, codec: str, encryption: str | None
) -> tuple[Samples, int]:
    need("linphonec")
    said = voice(folder, CODECS[codec][0], 1)
    with linphone.phone(
        folder / "phone", said, codec=codec, encryption=encryption or "none"
    ) as phone:
        phone.do(f"call sip:{to}@{HOST}:{service.sip}")
        phone.wait_for("ended")
    return phone.heard()


def _softphone(
    service: Service, folder: Path, to: str, codec: str, encryption: str | None
) -> tuple[Samples, int]:
    rate, tracks = CODECS[codec]
    with softphone(
        folder / "phone",
        codecs=[f"{codec}/{rate}/{tracks}"],
        voice=voice(folder, rate, tracks),
        extra=[f"mediaenc={encryption}"] if encryption else [],
    ) as phone:
        phone.do("dial", f"sip:{to}@{HOST}:{service.sip}")
        phone.wait_for("closed", 0)
        return phone.heard(0)[::tracks], rate


_CALLS = {"baresip": _baresip, "linphone": _linphone, "softphone": _softphone}
