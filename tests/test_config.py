"""The configuration: the contract's files load, the defaults are whole, nothing shows a secret."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.config import Config, ConfigError, Greeting, TurnDetection, load
from gateway.config_backends import (
    AzureConfig,
    CompatibleConfig,
    OpenAIConfig,
    SimulatorConfig,
    YandexConfig,
)
from gateway.config_values import HttpAddress, Listener, PortRange

TESTS = Path(__file__).parent
CONTRACT = TESTS / "data" / "contract_gateway.yaml"
SHIPPED = TESTS.parent / "config"

ENVIRON = {
    name: f"canary-{name}"
    for name in (
        "PROVIDER_PASSWORD",
        "PHONE_100_PASSWORD",
        "YANDEX_FOLDER_ID",
        "YANDEX_API_KEY",
        "OPENAI_API_KEY",
        "AZURE_API_KEY",
        "CRM_TOKEN",
        "MCP_TOKEN",
        "GATEWAY_TOKEN",
    )
}


@pytest.fixture
def loading(tmp_path: Path) -> Any:
    def load_text(text: str, **environ: str) -> Config:
        path = tmp_path / "gateway.yaml"
        path.write_text(text, encoding="utf-8")
        return load(path, environ)

    return load_text


class TestDefaults:
    """Without a file the built-in simulator answers every call."""

    def test_no_file(self) -> None:
        config = load(None, {})
        assert config.agents == {}
        assert config.trunks == {}
        assert isinstance(config.backends["simulator"], SimulatorConfig)
        assert config.model_fields_set == set()

    def test_an_empty_file_is_no_file(self, loading: Any) -> None:
        assert loading("") == load(None, {})
        assert loading("trunks:\nagents:\nsip:\n  tls:\n") == load(None, {})

    def test_the_contract_has_the_defaults(self) -> None:
        """What the contract prints and no comment calls an example is the default."""
        given = load(CONTRACT, ENVIRON)
        config = Config()
        assert given.sip == config.sip
        assert given.media == config.media
        assert given.records == config.records
        assert given.log == config.log
        assert given.api.listen == config.api.listen == HttpAddress("127.0.0.1", 8080)
        assert given.api.webhook == config.api.webhook
        agent, default = given.agents["reception"], load_agent()
        for key in ("interruptible", "truncate_at", "keypad", "max_duration", "session"):
            assert getattr(agent, key) == getattr(default, key), key

    def test_the_agents_defaults(self) -> None:
        """Greeting null, tools [hang_up], voice and language the backend's."""
        agent = load_agent()
        assert agent.greeting is None
        assert agent.tools == ("hang_up",)
        assert agent.voice is None
        assert agent.language is None
        assert agent.turn_detection is None
        assert (agent.keypad.terminator, agent.keypad.max_digits) == ("#", 20)
        assert (agent.keypad.timeout, agent.keypad.interrupts) == (3.0, True)


def load_agent() -> Any:
    return Config.model_validate({"agents": {"a": {}}}).agents["a"]


class TestContract:
    """The contract's texts, to the letter."""

    def test_the_whole_language(self) -> None:
        config = load(CONTRACT, ENVIRON)
        assert config.sip.listen[2] == Listener("tls", "0.0.0.0", 5061)
        assert config.sip.tls.certificate is None
        assert config.media.ports == PortRange(20000, 29999)
        assert config.trunks["provider"].register_at == "sip:sip.provider.example;transport=tcp"
        assert config.trunks["pbx"].allow == (
            ip_network("192.0.2.10/32"),
            ip_network("198.51.100.0/28"),
        )
        assert config.trunks["phones"].users["100"] == SecretStr("canary-PHONE_100_PASSWORD")
        yandex = config.backends["yandex"]
        assert isinstance(yandex, YandexConfig)
        assert (yandex.folder, yandex.max_sessions) == ("canary-YANDEX_FOLDER_ID", 10)
        assert isinstance(config.backends["openai"], OpenAIConfig)
        assert isinstance(config.backends["azure"], AzureConfig)
        assert isinstance(config.backends["local"], CompatibleConfig)
        agent = config.agents["reception"]
        assert agent.backend == ("yandex", "openai")
        assert agent.greeting == Greeting(say="Good afternoon, how can I help you?")
        assert agent.variables == {"clinic": "X-Clinic"}
        assert [route.to for route in config.routes] == ["+7495*", "1??", "*"]

    def test_minimal(self) -> None:
        config = load(TESTS / "data" / "contract_minimal.yaml", ENVIRON)
        assert config.agents["reception"].backend == ("yandex",)

    def test_what_it_names_must_be_set(self) -> None:
        with pytest.raises(ConfigError) as caught:
            load(CONTRACT, {})
        assert [(p.line, p.path, p.message.split()[0]) for p in caught.value.problems] == [
            (34, "trunks.provider.password", "PROVIDER_PASSWORD"),
            (43, "trunks.phones.users.100", "PHONE_100_PASSWORD"),
            (49, "backends.yandex.folder", "YANDEX_FOLDER_ID"),
            (50, "backends.yandex.api_key", "YANDEX_API_KEY"),
            (55, "backends.openai.api_key", "OPENAI_API_KEY"),
            (60, "backends.azure.api_key", "AZURE_API_KEY"),
            (99, "agents.reception.http_tools.find_patient.headers.Authorization", "CRM_TOKEN"),
        ]


class TestShipped:
    """`config/` is ready to edit, whole, and true."""

    def test_gateway_yaml_loads_where_nothing_is_set(self) -> None:
        config = load(SHIPPED / "gateway.yaml", {})
        assert config.agents["reception"].backend == ("yandex", "openai", "simulator")
        assert config.backends["yandex"].lacks == "folder"
        assert config.backends["simulator"].lacks is None

    def test_gateway_yaml_takes_the_keys(self) -> None:
        config = load(SHIPPED / "gateway.yaml", ENVIRON)
        assert [backend.lacks for backend in config.backends.values()] == [None] * 5

    def test_gateway_yaml_says_all_that_the_contract_says(self) -> None:
        """Only what takes a secret differs, and the last resort of the agent."""
        ours = load(SHIPPED / "gateway.yaml", ENVIRON).model_dump()
        contract = load(CONTRACT, ENVIRON).model_dump()
        assert contract["trunks"]["phones"].pop("users")
        assert ours["trunks"]["phones"].pop("users") == {}
        contract["agents"]["reception"]["backend"] += ("simulator",)
        assert ours == contract

    def test_minimal_yaml_asks_for_its_keys(self) -> None:
        assert load(SHIPPED / "minimal.yaml", ENVIRON).agents["reception"].backend == ("yandex",)
        with pytest.raises(ConfigError, match="YANDEX_API_KEY is not set"):
            load(SHIPPED / "minimal.yaml", {})


class TestSecrets:
    """A secret is in no text that anybody prints."""

    def test_no_repr_shows_one(self) -> None:
        environ = {**ENVIRON, "YANDEX_FOLDER_ID": "folder"}  # a name, not a secret
        config = load(CONTRACT, environ)
        assert "canary" not in repr(config) + str(config) + config.model_dump_json()

    def test_no_mistake_shows_one(self, loading: Any) -> None:
        text = """
        backends:
          a: {provider: openai, api_key: [canary]}
          b: {provider: canary, api_key: canary}
          c: {provider: openai, api_key: canary, canary-key: 1, model: 5, url: "canary"}
        api: {token: {a: canary}}
        trunks: {x: {password: ["${SECRET}"], users: {"100": {p: canary}}, expires: canary}}
        """
        with pytest.raises(ConfigError) as caught:
            loading(text, SECRET="canary")
        assert len(caught.value.problems) == 9
        assert "canary" not in " ".join(problem.message for problem in caught.value.problems)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


class TestValues:
    """What some fields make of what is written."""

    def test_numbers_from_the_environment(self, loading: Any) -> None:
        config = loading("sip: {max_calls: '${N}'}\nrecords: {transcripts: '${F}'}", N="7", F="on")
        assert config.sip.max_calls == 7
        assert config.records.transcripts is True

    def test_what_may_be_left_out_may_be_empty(self, loading: Any) -> None:
        config = loading(
            "sip: {public_address: '${A:-}'}\napi: {token: '${B:-}'}\nrecords: {calls: '${C:-}'}"
        )
        assert config.sip.public_address is None
        assert config.api.token is None
        assert config.records.calls is None

    @pytest.mark.parametrize(
        ("text", "greeting"),
        [
            ("Hello.", Greeting(say="Hello.")),
            ("{file: hello.wav}", Greeting(file=Path("hello.wav"))),
            ("null", None),
            ('""', None),
        ],
    )
    def test_greetings(self, loading: Any, text: str, greeting: Greeting | None) -> None:
        config = loading(f"agents: {{a: {{greeting: {text}}}}}")
        assert config.agents["a"].greeting == greeting

    @pytest.mark.parametrize("text", ["{}", "{say: a, file: b}", "5"])
    def test_no_greetings(self, loading: Any, text: str) -> None:
        with pytest.raises(ConfigError, match=r"expected a text, \{file: greeting\.wav\} or null"):
            loading(f"agents: {{a: {{greeting: {text}}}}}")

    def test_turn_detection_as_it_goes_out(self) -> None:
        given = {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 400}
        assert TurnDetection.model_validate(given).wire() == given

    def test_a_keypad_without_a_terminator(self, loading: Any) -> None:
        keypad = (
            loading("agents: {a: {keypad: {terminator: null, timeout: 0.5}}}").agents["a"].keypad
        )
        assert (keypad.terminator, keypad.timeout, keypad.max_digits) == (None, 0.5, 20)

    def test_the_simulator_is_always_there(self, loading: Any) -> None:
        config = loading("backends: {y: {provider: openai, api_key: k}}")
        assert set(config.backends) == {"simulator", "y"}

    def test_a_simulator_of_your_own_is_kept(self, loading: Any) -> None:
        config = loading("backends: {simulator: {provider: simulator, speed: 20}}")
        assert config.backends["simulator"].speed == 20.0
