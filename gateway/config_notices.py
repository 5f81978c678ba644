"""What a configuration asks for and does not get, one line each. Floor 0, pure.

A key whose work comes with a later version is checked and loads; the operator is told that it does
nothing. Such keys carry the mark `Later` in config.py. Where it is a value and not the key that has
no effect (a listener), the rule is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from .config import Config, SipConfig
from .config_file import Place, dotted
from .config_values import Later


def notices(config: Config) -> list[str]:
    """One line for each thing that the file sets and that has no effect; [] without a file."""
    found = [*_marked(config, ()), *_values(config), *_readable(config), *_backends(config)]
    return [f"{dotted(place)}: {says}" for place, says in found]


Found = Iterator[tuple[Place, str]]


def _marked(value: Any, place: Place) -> Found:
    """The marked keys that are set below `value`, in the models' order."""
    match value:
        case BaseModel():
            for name, field in type(value).model_fields.items():
                if name in value.model_fields_set:
                    inner, at = getattr(value, name), (*place, field.alias or name)
                    later = next((mark for mark in field.metadata if isinstance(mark, Later)), None)
                    if later is None:
                        yield from _marked(inner, at)
                    elif inner not in (None, {}, (), later.unless):
                        yield at, later.says
        case dict():
            for key, inner in value.items():
                yield from _marked(inner, (*place, key))
        case tuple():
            for index, inner in enumerate(value):
                yield from _marked(inner, (*place, index))


def _values(config: Config) -> Found:
    if "listen" in config.sip.model_fields_set:
        yield from _listeners(config.sip)
    for name, trunk in config.trunks.items():
        if trunk.lacks:
            yield ("trunks", name, "password"), "empty; nothing is registered until it is set"


def _listeners(sip: SipConfig) -> Found:
    for index, listener in enumerate(sip.listen):
        place = ("sip", "listen", index)
        if listener.transport == "tls" and sip.tls.certificate is None:
            yield place, f"{listener} has no certificate (sip.tls.certificate); skipped"
    if sip.tls.certificate is None and all(it.transport == "tls" for it in sip.listen):
        yield ("sip", "listen"), "no call can come in without another listener"


def _readable(config: Config) -> Found:
    """Where encrypted sound can be read all the same: its keys stand in SIP (RFC 4568 §8.1)."""
    if config.media.encryption != "required":
        return
    clear = [str(it) for it in config.sip.listen if it.transport != "tls"]
    for name, trunk in config.trunks.items():
        uris = [uri for uri in (trunk.register_at, trunk.outbound) if uri]
        if not all(uri.startswith("sips:") or "transport=tls" in uri.lower() for uri in uris):
            clear.append(f"trunks.{name}")
    if clear:
        says = f"keys of SDES can be read on the way where SIP is not over TLS: {', '.join(clear)}"
        yield ("media", "encryption"), says


def _backends(config: Config) -> Found:
    for name, backend in config.backends.items():
        if backend.lacks:
            yield ("backends", name, backend.lacks), "empty; the backend is skipped until it is set"
    if not config.agents and "backends" in config.model_fields_set:
        yield ("agents",), "there is none; a built-in one answers every call on the simulator"
