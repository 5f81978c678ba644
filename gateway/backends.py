"""Backends: the configuration of a model becomes the profile of a session. Floor 4, pure.

The floors below know no Config, so someone has to write one as the arguments of the other; that is
all that happens here, for the simulator's script too.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import SecretStr

from .config_backends import (
    AudioFormat,
    AzureConfig,
    BackendConfig,
    CompatibleConfig,
    OpenAIConfig,
    SimulatorConfig,
    YandexConfig,
)
from .config_file import Document, Place
from .realtime import profile
from .realtime.profile import Profile
from .simulator.script import DEFAULT, Script, ScriptError, load


def profile_of(config: BackendConfig, simulator_url: str | None = None) -> Profile | None:
    """The profile of a backend; None where it cannot be used (`lacks`, or not built yet).

    `simulator_url` is where the embedded simulator listens, for a backend that is one.
    """
    input_format, output_format = _format(config.input_format), _format(config.output_format)
    match config:
        case SimulatorConfig() if simulator_url:
            return profile.simulator(
                simulator_url,
                config.dialect,
                model=config.model,
                input_format=input_format,
                output_format=output_format,
            )
        case CompatibleConfig():
            return profile.compatible(
                url=config.url,
                model=config.model,
                api_key=_secret(config.api_key),
                input_format=input_format,
                output_format=output_format,
            )
        case YandexConfig() if not config.lacks:
            return profile.yandex(
                folder=config.folder,
                model=config.model,
                api_key=_secret(config.api_key),
                iam_token=None if config.api_key else _secret(config.iam_token),
                url=config.url or profile.YANDEX_URL,
                input_format=input_format,
                output_format=output_format,
            )
        case OpenAIConfig() if not config.lacks:
            return profile.openai(
                api_key=_secret(config.api_key) or "",
                model=config.model,
                url=config.url or profile.OPENAI_URL,
                input_format=input_format,
                output_format=output_format,
            )
        case AzureConfig() | SimulatorConfig() | YandexConfig() | OpenAIConfig():
            return None


SCRIPT = ("greeting", "turns", "digits")  # the keys of a simulator that are its script


def script_of(settings: SimulatorConfig) -> Script:
    """The script of an embedded simulator; raises ScriptError with all its mistakes."""
    given = {key: getattr(settings, key) for key in SCRIPT}
    given["turns"] = given["turns"] and list(given["turns"])
    return _script(given)


def check_scripts(document: Document) -> None:
    """Note the mistakes of the simulators' scripts in a configuration file (`load(also=…)`)."""
    for name, backend in (document.at("backends") or {}).items():
        if isinstance(backend, dict) and backend.get("provider") == "simulator":
            try:
                _script({key: backend.get(key) for key in SCRIPT})
            except ScriptError as error:
                for problem in error.problems:
                    where, _, message = problem.partition(": ")
                    document.problem(("backends", name, *_place(where)), message)


def _script(given: dict[str, Any]) -> Script:
    said = {key: value for key, value in given.items() if value is not None}
    return load(said) if said else DEFAULT


def _place(path: str) -> Place:
    """`turns[0].say` as the steps that lead there."""
    steps = re.findall(r"\[([0-9]+)\]|([^.\[\]]+)", path)
    return tuple(int(index) if index else name for index, name in steps)


def _format(config: AudioFormat) -> profile.AudioFormat:
    return profile.AudioFormat(config.type, config.rate)


def _secret(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
