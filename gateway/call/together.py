"""The sound of many calls as one array, where nothing tells one from another; pure.

A call's 20 ms cost numpy some microseconds, and nearly all of those are for being asked. So what
came in one codec and in one length goes through its table and the filter as the rows of one array,
and so does what leaves. The calls that need more (a codec with a state, a gap, a key, a hold) take
their own way in uplink.py and downlink.py.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from gateway.audio.frame import Samples
from gateway.audio.g711 import Codes, is_coded
from gateway.audio.resample import ROW_HZ, push_all

from .downlink import Downlink
from .uplink import Uplink

_One = TypeVar("_One")
_Key = TypeVar("_Key", bound=Hashable)


def heard(parts: Sequence[tuple[Uplink, bytes | Samples]]) -> list[Samples | Codes]:
    """What each model hears of what was `coded`, in the same order."""
    sounds: list[Samples | Codes] = [
        np.frombuffer(coded, np.uint8) if isinstance(coded, bytes) else coded for _, coded in parts
    ]
    _decode(parts, sounds)
    groups = _grouped(
        ((uplink.up.rates, len(sound)), index)
        for index, ((uplink, _), sound) in enumerate(zip(parts, sounds, strict=True))
        if not is_coded(sound) and len(sound)
    )
    for ((rate, _), length), indices in groups.items():
        ups = [parts[index][0].up for index in indices]
        if length % (rate // ROW_HZ) or not all(up.is_even for up in ups):
            for up, index in zip(ups, indices, strict=True):
                sounds[index] = up.push(_samples(sounds[index]))
            continue
        block = np.concatenate([_samples(sounds[index]) for index in indices])
        rows = push_all(ups, block.reshape(len(indices), length))
        for index, row in zip(indices, rows, strict=True):
            sounds[index] = row
    return sounds


def _decode(parts: Sequence[tuple[Uplink, bytes | Samples]], sounds: list[Samples | Codes]) -> None:
    """Put samples in the place of codes, but where the model hears those."""
    groups = _grouped(
        (uplink.law, index)
        for index, (uplink, coded) in enumerate(parts)
        if isinstance(coded, bytes) and (uplink.recorded or not uplink.straight)
    )
    for law, indices in groups.items():
        samples = law.decode(b"".join([sounds[index].data for index in indices]))
        at = 0
        for index in indices:
            uplink, end = parts[index][0], at + len(sounds[index])
            uplink.record(samples[at:end])
            if not uplink.straight:
                sounds[index] = samples[at:end]
            at = end


def _samples(sound: Samples | Codes) -> Samples:
    assert not is_coded(sound)
    return sound


def prepare(parts: Sequence[tuple[Downlink, Samples]]) -> None:
    """Make a packet of the `speech` of each."""
    groups = _grouped(
        ((downlink.law.name, len(speech)), index) for index, (downlink, speech) in enumerate(parts)
    )
    for indices in groups.values():
        block = np.concatenate([parts[index][1] for index in indices])
        downlinks = [parts[index][0] for index in indices]
        sounds = push_all([it.down for it in downlinks], block.reshape(len(indices), -1))
        coded = downlinks[0].law.encode(sounds)
        length = len(coded) // len(indices)
        for row, downlink in enumerate(downlinks):
            downlink.pack(coded[row * length : (row + 1) * length], sounds[row])


def _grouped(pairs: Iterable[tuple[_Key, _One]]) -> dict[_Key, list[_One]]:
    groups: dict[_Key, list[_One]] = {}
    for key, one in pairs:
        groups.setdefault(key, []).append(one)
    return groups
