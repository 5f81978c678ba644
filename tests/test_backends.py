"""A backend's configuration becomes a profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.backends import check_scripts, profile_of, script_of
from gateway.config import Config, ConfigError, load
from gateway.config_backends import BackendConfig, SimulatorConfig
from gateway.simulator.script import DEFAULT


def backend(**keys: Any) -> BackendConfig:
    return Config.model_validate({"backends": {"it": keys}}).backends["it"]


def headers(config: BackendConfig) -> dict[str, str]:
    profile = profile_of(config)
    assert profile
    return dict(profile.headers)


def test_yandex_by_key_and_by_token() -> None:
    by_key = backend(provider="yandex", folder="b1g", api_key="secret", model="m")
    by_token = backend(provider="yandex", folder="b1g", iam_token="token", model="m")
    profile = profile_of(by_key)

    assert profile
    assert profile.url.endswith("/v1/realtime?model=gpt%3A%2F%2Fb1g%2Fm")
    assert headers(by_key) == {"Authorization": "Api-Key secret"}
    assert headers(by_token) == {"Authorization": "Bearer token"}


def test_openai_at_another_url() -> None:
    profile = profile_of(
        backend(provider="openai", api_key="sk", model="m", url="wss://proxy.example/v1/realtime")
    )

    assert profile
    assert profile.url == "wss://proxy.example/v1/realtime?model=m"
    assert dict(profile.headers) == {"Authorization": "Bearer sk"}


def test_a_compatible_server_with_formats_of_its_own() -> None:
    profile = profile_of(
        backend(
            provider="compatible",
            url="ws://127.0.0.1:9100/v1/realtime",
            api_key="none",
            model="any",
            input_format={"type": "audio/pcmu"},
            output_format={"rate": 16000},
        )
    )

    assert profile
    assert profile.headers == ()
    assert profile.input.settings() == {"type": "audio/pcmu"}
    assert profile.output.settings() == {"type": "audio/pcm", "rate": 16000}


@pytest.mark.parametrize("dialect", ["openai", "yandex"])
def test_the_simulator_is_where_it_listens(dialect: str) -> None:
    config = backend(provider="simulator", dialect=dialect)
    profile = profile_of(config, "ws://127.0.0.1:1/v1/realtime")

    assert profile
    assert profile.url.startswith("ws://127.0.0.1:1/v1/realtime?model=")
    assert profile.headers == ()
    assert profile_of(config) is None


@pytest.mark.parametrize(
    "config",
    [
        backend(provider="yandex", folder="", api_key="k", model="m"),
        backend(provider="openai", api_key="", model="m"),
        backend(provider="azure", url="wss://x.example/v1/realtime", api_key="k", model="m"),
    ],
)
def test_what_cannot_be_used_has_no_profile(config: BackendConfig) -> None:
    """An empty key, or a provider that comes with a later version."""
    assert profile_of(config) is None


def test_a_simulator_without_a_script_has_the_built_in_one() -> None:
    assert script_of(SimulatorConfig(provider="simulator")) is DEFAULT


def test_a_script_of_ones_own() -> None:
    config = backend(provider="simulator", greeting="Hi", turns=[{"say": "Yes"}])
    assert isinstance(config, SimulatorConfig)
    script = script_of(config)

    assert (script.greeting, script.turns[0].say) == ("Hi", ("Yes",))


def test_mistakes_of_a_script_are_told_with_all_others(tmp_path: Path) -> None:
    """Each with its line and its path."""
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "log: {level: loud}\n"
        "backends:\n"
        "  one:\n"
        "    provider: simulator\n"
        "    turns:\n"
        "      - say: [1]\n"
        '    digits: {"4711": {sya: x}}\n'
    )
    with pytest.raises(ConfigError) as caught:
        load(file, {}, also=check_scripts)

    found = [(problem.line, problem.path) for problem in caught.value.problems]
    assert found == [
        (1, "log.level"),
        (6, "backends.one.turns[0].say[0]"),
        (7, "backends.one.digits.4711.sya"),
    ]
