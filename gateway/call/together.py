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
from gateway.audio.resample import Resampler, push_all

from .downlink import Downlink
from .uplink import Uplink

_One = TypeVar("_One")
_Key = TypeVar("_Key", bound=Hashable)


def heard(
    parts: Sequence[tuple[Uplink, bytes | Samples]],
) -> list[tuple[Samples | Codes, Samples | None]]:
    """What each model hears of what was `coded`, and what of it to `record`, in the same order."""
    sounds: list[Samples | Codes] = []
    records: list[Samples | None] = [None] * len(parts)
    coded_ones, sampled = [], []
    for index, (uplink, coded) in enumerate(parts):
        if not isinstance(coded, bytes):
            sounds.append(coded)
            if len(coded):  # a stage may keep all of it
                sampled.append(((uplink.up.rates, len(coded)), (index, uplink.up, coded)))
            continue
        sounds.append(np.frombuffer(coded, np.uint8))
        if uplink.recorded or not uplink.straight:
            coded_ones.append(((uplink.law, len(coded)), (index, uplink, coded)))
    for (law, length), group in _grouped(coded_ones).items():
        samples = law.decode(b"".join([coded for _, _, coded in group])).reshape(-1, length)
        for row, (index, uplink, _) in zip(samples, group, strict=True):
            if uplink.recorded:
                records[index] = row
            if not uplink.straight:
                sampled.append(((uplink.up.rates, length), (index, uplink.up, row)))
    for same in _grouped(sampled).values():
        block = np.concatenate([row for _, _, row in same]).reshape(len(same), -1)
        pushed = _pushed([up for _, up, _ in same], block)
        for (index, _, _), sound in zip(same, pushed, strict=True):
            sounds[index] = sound
    return list(zip(sounds, records, strict=True))


def said(parts: Sequence[tuple[Downlink, Samples]]) -> list[tuple[bytes, Samples]]:
    """The `speech` of each as `pack` takes it, in the same order."""
    packs: list[tuple[bytes, Samples]] = [(b"", speech) for _, speech in parts]
    groups = _grouped(
        ((downlink.law.name, len(speech)), index) for index, (downlink, speech) in enumerate(parts)
    )
    for indices in groups.values():
        block = np.concatenate([parts[index][1] for index in indices])
        downlinks = [parts[index][0] for index in indices]
        sounds = _pushed([it.down for it in downlinks], block.reshape(len(indices), -1))
        coded = downlinks[0].law.encode(np.asarray(sounds))
        length = len(coded) // len(indices)
        for row, index in enumerate(indices):
            packs[index] = coded[row * length : (row + 1) * length], sounds[row]
    return packs


def _pushed(streams: Sequence[Resampler], block: Samples) -> Sequence[Samples] | Samples:
    """What the resamplers give for the rows."""
    length = block.shape[1]
    if all(stream.takes(length) for stream in streams):
        return push_all(streams, block)
    return [stream.push(row) for stream, row in zip(streams, block, strict=True)]


def _grouped(pairs: Iterable[tuple[_Key, _One]]) -> dict[_Key, list[_One]]:
    groups: dict[_Key, list[_One]] = {}
    for key, one in pairs:
        groups.setdefault(key, []).append(one)
    return groups
