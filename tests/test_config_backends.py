"""The model's side of the configuration: what each provider asks for, and what it lacks."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from gateway.config_backends import (
    AudioFormat,
    AzureConfig,
    BackendConfig,
    CompatibleConfig,
    OpenAIConfig,
    SimulatorConfig,
    YandexConfig,
)

KEY = SecretStr("k")


def backend(**keys: Any) -> BackendConfig:
    adapter: TypeAdapter[BackendConfig] = TypeAdapter(BackendConfig)
    return adapter.validate_python(keys)


def mistake(kind: type[Any], **keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        kind(**keys)
    return caught.value.errors()[0]["msg"]


def test_the_least_of_each() -> None:
    assert backend(provider="yandex", folder="f", iam_token="t") == YandexConfig(
        provider="yandex", folder="f", iam_token=SecretStr("t"), max_sessions=10
    )
    assert backend(provider="openai", api_key="k") == OpenAIConfig(
        provider="openai", api_key=KEY, model="gpt-realtime-2.1"
    )
    assert backend(provider="azure", api_key="k", url="wss://a.example/v1", model="d") == (
        AzureConfig(provider="azure", api_key=KEY, url="wss://a.example/v1", model="d")
    )
    assert backend(provider="compatible", url="ws://127.0.0.1:9100/v1", model="any") == (
        CompatibleConfig(provider="compatible", url="ws://127.0.0.1:9100/v1", model="any")
    )
    assert backend(provider="simulator") == SimulatorConfig(provider="simulator", speed=5.0)


def test_yandex_takes_one_of_two_keys() -> None:
    assert mistake(YandexConfig, provider="yandex", folder="f").startswith(
        "expected api_key or iam_token"
    )


@pytest.mark.parametrize(
    ("keys", "lacks"),
    [
        ({"provider": "yandex", "folder": "f", "api_key": "k"}, None),
        ({"provider": "yandex", "folder": "f", "api_key": "", "iam_token": "t"}, None),
        ({"provider": "yandex", "folder": "f", "api_key": ""}, "api_key"),
        ({"provider": "yandex", "folder": "", "api_key": "k"}, "folder"),
        ({"provider": "openai", "api_key": "k"}, None),
        ({"provider": "openai", "api_key": ""}, "api_key"),
        ({"provider": "compatible", "url": "ws://h/", "model": "m", "api_key": ""}, None),
        ({"provider": "simulator"}, None),
    ],
)
def test_a_key_that_is_given_and_empty(keys: dict[str, str], lacks: str | None) -> None:
    """`${YANDEX_API_KEY:-}` where nothing is set: the backend is skipped, not tried and refused."""
    assert backend(**keys).lacks == lacks


class TestAudioFormat:
    def test_pcm_has_a_rate(self) -> None:
        assert AudioFormat() == AudioFormat(type="audio/pcm", rate=24000)
        assert AudioFormat(rate=44100).rate == 44100

    def test_g711_has_its_own(self) -> None:
        assert AudioFormat(type="audio/pcmu").rate == 8000
        assert AudioFormat(type="audio/pcma", rate=8000).rate == 8000
        message = "expected rate: 8000 with audio/pcma"
        assert mistake(AudioFormat, type="audio/pcma", rate=24000) == message

    def test_it_is_a_mapping(self) -> None:
        with pytest.raises(ValidationError):
            AudioFormat.model_validate("audio/pcmu")
