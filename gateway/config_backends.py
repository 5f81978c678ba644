"""The model's side of the configuration: one class a provider, told apart by `provider`. Floor 0.

What differs on the wire (URL, headers, refusals) is realtime/profile.py's; here is what an operator
has to know: keys, models and quotas.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from .config_values import (
    Count,
    Example,
    Later,
    Maybe,
    Number,
    SampleRate,
    Secret,
    Section,
    Text,
    WebSocketUrl,
    expected,
)


class AudioFormat(Section):
    """How sound goes over the WebSocket. G.711 goes through untouched."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] = "audio/pcm"
    # Hz; of audio/pcm one of these, of the other two always 8000.
    rate: SampleRate = 24000

    @model_validator(mode="before")
    @classmethod
    def _rate_of_g711(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("type") in ("audio/pcmu", "audio/pcma"):
            return {"rate": 8000, **value}
        return value

    @model_validator(mode="after")
    def _only_rate_of_g711(self) -> Self:
        if self.type != "audio/pcm" and self.rate != 8000:
            raise expected(f"rate: 8000 with {self.type}")
        return self


class _Backend(Section):
    """What every backend has."""

    # The quota: further calls go to the agent's next backend or are refused; null: no limit.
    max_sessions: Annotated[Count | None, Example("10")] = None
    input_format: AudioFormat = AudioFormat()
    output_format: AudioFormat = AudioFormat()

    @property
    def lacks(self) -> str | None:
        """The key that is given but empty, and without which the backend cannot be used."""
        return None


class YandexConfig(_Backend):
    """Yandex AI Studio."""

    provider: Literal["yandex"]
    folder: Annotated[str, Example("${YANDEX_FOLDER_ID}")]
    # Of a service account; or an IAM token, which lives for hours only.
    api_key: Annotated[Maybe[Secret], Example("${YANDEX_API_KEY}")] = None
    iam_token: Annotated[Maybe[Secret], Example("${YANDEX_IAM_TOKEN}")] = None
    model: Text = "speech-realtime-deepseek-v4-flash"
    # null: the provider's own.
    url: Annotated[Maybe[WebSocketUrl], Example("wss://host/v1/realtime")] = None
    # Ten at once is what a folder has by default.
    max_sessions: Annotated[Count | None, Example("10")] = 10

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if not self.model_fields_set & {"api_key", "iam_token"}:
            raise expected("api_key or iam_token, such as api_key: ${YANDEX_API_KEY}")
        return self

    @property
    def lacks(self) -> str | None:
        if not self.folder:
            return "folder"
        return "api_key" if self.api_key is None and self.iam_token is None else None


class OpenAIConfig(_Backend):
    """OpenAI."""

    provider: Literal["openai"]
    api_key: Annotated[Maybe[Secret], Example("${OPENAI_API_KEY}")]
    model: Text = "gpt-realtime-2.1"
    # null: the provider's own.
    url: Annotated[Maybe[WebSocketUrl], Example("wss://host/v1/realtime")] = None

    @property
    def lacks(self) -> str | None:
        return "api_key" if self.api_key is None else None


class AzureConfig(_Backend):
    """Azure OpenAI. Comes with a later version: checked, and skipped."""

    provider: Annotated[Literal["azure"], Later("comes with a later version; skipped")]
    url: Annotated[WebSocketUrl, Example("wss://resource.openai.azure.com/openai/v1/realtime")]
    api_key: Annotated[Maybe[Secret], Example("${AZURE_API_KEY}")]
    # The deployment's name.
    model: Annotated[Text, Example("deployment-name")]


class CompatibleConfig(_Backend):
    """Any other server that speaks OpenAI's Realtime API."""

    provider: Literal["compatible"]
    url: Annotated[WebSocketUrl, Example("ws://127.0.0.1:9100/v1/realtime")]
    # null: no Authorization header.
    api_key: Annotated[Maybe[Secret], Example("none")] = None
    model: Annotated[Text, Example("any")]


class SimulatorConfig(_Backend):
    """The embedded Realtime server: no key, no network. What it says is a script."""

    provider: Literal["simulator"]
    model: Text = "simulator"
    # Whose manners it has: event names, echoes and refusals.
    dialect: Literal["openai", "yandex"] = "openai"
    # How many times faster than real time its speech arrives.
    speed: Annotated[Number, Field(gt=0, le=1000)] = 5.0
    # The script, read in full by the simulator: what it says first, what it hears and says or calls
    # turn by turn, and what it says to digits. null: the built-in one.
    greeting: Annotated[str | None, Example("Hello.")] = None
    turns: Annotated[tuple[dict[str, Any], ...] | None, Example("[{hears: Hello., say: Hi.}]")] = (
        None
    )
    digits: Annotated[dict[str, Any] | None, Example('{"1": Sales.}')] = None


BackendConfig: TypeAlias = (
    YandexConfig | OpenAIConfig | AzureConfig | CompatibleConfig | SimulatorConfig
)
