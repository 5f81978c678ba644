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
from gateway.audio.g711 import Codes
from gateway.audio.resample import ROW_HZ, push_all

from .downlink import Downlink
from .uplink import Uplink

_One = TypeVar("_One")
_Key = TypeVar("_Key", bound=Hashable)


def heard(parts: Sequence[tuple[Uplink, bytes]]) -> list[Samples | Codes]:
    """What each model hears of what was `coded`, in the same order."""
    sounds: list[Samples | Codes] = [np.frombuffer(coded, np.uint8) for _, coded in parts]
    groups = _grouped(
        ((uplink.law.name, uplink.model_rate, len(coded)), index)
        for index, (uplink, coded) in enumerate(parts)
        if uplink.recorded or not uplink.straight
    )
    for (_, _, length), indices in groups.items():
        law = parts[indices[0]][0].law
        coded = b"".join([parts[index][1] for index in indices])
        samples = law.decode(coded).reshape(len(indices), length)
        others = []
        for row, index in enumerate(indices):
            uplink = parts[index][0]
            if uplink.recorded:
                uplink.record(samples[row])
            if uplink.straight:
                continue
            if length % (law.rate // ROW_HZ) or not uplink.up.is_even:
                sounds[index] = uplink.up.push(samples[row])
            else:
                others.append(row)
        if others:
            rows = samples if len(others) == len(indices) else samples[others]
            ups = [parts[indices[row]][0].up for row in others]
            for row, sound in zip(others, push_all(ups, rows), strict=True):
                sounds[indices[row]] = sound
    return sounds


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
