"""Backends: the configuration of a model becomes the profile of a session. Floor 4, pure.

The floors below know no Config, so someone has to write one as the arguments of the other; that is
all that happens here, for the simulator's script too.
"""

from __future__ import annotations

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
from .realtime import profile
from .realtime.profile import Profile
from .simulator.script import DEFAULT, Script, load


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


def script_of(settings: SimulatorConfig) -> Script:
    """The script of an embedded simulator; raises ScriptError with all its mistakes."""
    given: dict[str, Any] = {
        "greeting": settings.greeting,
        "turns": settings.turns and list(settings.turns),
        "digits": settings.digits,
    }
    given = {key: value for key, value in given.items() if value is not None}
    return load(given) if given else DEFAULT


def _format(config: AudioFormat) -> profile.AudioFormat:
    return profile.AudioFormat(config.type, config.rate)


def _secret(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
