"""The configuration: every key, its default, its unit and what an operator would ask. Floor 0.

`load` turns a YAML file into a frozen `Config`, or raises ConfigError with every mistake in it;
without a file `Config()` stands: the built-in simulator answers every call. A field marked `Later`
has no effect yet (config_notices.py says so to the operator). Below `call` nobody sees any of this,
only plain arguments.

The reading of the file is in config_file.py, the kinds of value in config_values.py, mistakes in
words and the rules between keys in config_check.py. Secrets are pydantic's SecretStr: neither
`repr` nor a log line shows them.
"""

# ruff: noqa: RUF012 (pydantic copies mutable defaults)
from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    model_validator,
)

from . import config_check
from .config_backends import BackendConfig, SimulatorConfig
from .config_file import ConfigError, Document, Problem, read
from .config_values import (
    CallUri,
    Count,
    Example,
    Fraction,
    HeaderName,
    Host,
    HttpAddress,
    HttpAddressValue,
    HttpUrl,
    Integer,
    Ip,
    Key,
    Later,
    Listener,
    ListenerValue,
    Maybe,
    Milliseconds,
    Network,
    PortRange,
    PortRangeValue,
    Realm,
    Seconds,
    Secret,
    Section,
    SessionExpires,
    Several,
    SipUri,
    Text,
    UserName,
    VariableName,
    Word,
    expected,
)

__all__ = ["Config", "ConfigError", "Problem", "load"]

RtpSource: TypeAlias = Literal["sdp", "learn"]
EchoMode: TypeAlias = Literal["auto", "on", "off"]


class TlsConfig(Section):
    """SIP over TLS: who we are, and whom we believe."""

    # PEM files, paths. Without a certificate TLS listeners are skipped. Servers that we connect to
    # are shown it, too, if they ask.
    certificate: Annotated[Maybe[Path], Example("/etc/gateway/tls.pem")] = None
    private_key: Annotated[Maybe[Path], Example("/etc/gateway/tls.key")] = None
    # The authorities that a peer's certificate may be of; null: those that the system trusts.
    ca: Annotated[Maybe[Path], Example("/etc/gateway/ca.pem")] = None
    # Whether a peer that connects to us must show a certificate, too. Servers always must.
    verify_peer: bool = False


class SipConfig(Section):
    """Where calls come in, and how many."""

    # transport:address:port. 0.0.0.0 is every IPv4 address of the machine, [::] every IPv6 one.
    listen: Annotated[
        Several[ListenerValue], Field(min_length=1), Example("[udp:0.0.0.0:5060]")
    ] = (
        Listener("udp", "0.0.0.0", 5060),
        Listener("tcp", "0.0.0.0", 5060),
        Listener("tls", "0.0.0.0", 5061),
    )
    # Written into Via and Contact behind NAT; null: the address of the route to the peer.
    public_address: Annotated[Maybe[Host], Example("203.0.113.5")] = None
    tls: TlsConfig = TlsConfig()
    # s between refreshes of a long call, RFC 4028 (its smallest is 90); 0 turns session timers off.
    session_expires: SessionExpires = 1800
    # Calls at once, and new ones in a second; more are answered 503 with Retry-After.
    max_calls: Count = 500
    max_calls_per_second: Count = 50


CodecName: TypeAlias = Literal["opus", "G722", "PCMA", "PCMU"]


class MediaConfig(Section):
    """The sound on the telephone's side."""

    listen: Annotated[Ip, Example("0.0.0.0")] = "0.0.0.0"
    # Written into SDP behind NAT; null: the address of the route to the peer.
    public_address: Annotated[Maybe[Ip], Example("203.0.113.5")] = None
    # UDP; two for each call. The firewall must let them in.
    ports: Annotated[PortRangeValue, Example("20000-29999")] = PortRange(20000, 29999)
    # In order of preference; an answer holds the first one that the caller offers too.
    codecs: Annotated[Several[CodecName], Field(min_length=1), Example("[PCMA, PCMU]")] = (
        "opus",
        "G722",
        "PCMA",
        "PCMU",
    )
    # SDES or DTLS-SRTP, as offered; our own offers are of SDES. `required` refuses calls without
    # either, `none` those with nothing else.
    encryption: Literal["none", "optional", "required"] = "optional"
    # s without any packet before the call is ended; 0: never.
    rtp_timeout: Seconds = 30.0
    # ms, assumed delay at the far end (its jitter buffer) where RTCP does not tell.
    playout_delay: Milliseconds = 60
    # ms that one packet in a hundred may leave late; while it is more, or while there is no time
    # left for more sound, new calls are answered 503. 0: they never are.
    max_lateness: Milliseconds = 20
    # Cancel our own speech out of what the caller's line returns. `auto`: on lines that do, and
    # where sound is no G.711 that the backend takes as it is; `on`: on all, while we speak.
    echo: EchoMode = "auto"
    # Who may send sound: `sdp`, only the signalled address; `learn`, prefer it, else lock on one
    # steady source (callers behind NAT). A trunk may say otherwise.
    source: RtpSource = "learn"


class TrunkConfig(Section):
    """One peer: a provider, a PBX, or phones."""

    # Addresses and networks that it sends calls from, without a password.
    allow: Annotated[Several[Network], Example("[192.0.2.10, 198.51.100.0/28]")] = ()
    # Overrides media.source; null: as there.
    source: RtpSource | None = None
    # Is what its headers say of callers believed (P-Asserted-Identity, Diversion, X-)?
    # null: yes where its address shows who it is, no for `users`.
    trusted: bool | None = None
    # Where we register, as whom, and for how many seconds. Calls that come from there are this
    # trunk's, too. With an empty password nothing is registered; without the key the registrar is
    # told none.
    register_at: Annotated[
        Maybe[SipUri], Field(alias="register"), Example("sip:sip.provider.example")
    ] = None
    username: Annotated[Maybe[UserName], Example('"74951234567"')] = None
    password: Annotated[Maybe[Secret], Example("${PROVIDER_PASSWORD}")] = None
    expires: Annotated[Integer, Field(ge=60, le=86_400)] = 300
    # Whose user that is, where `register` is but the proxy on the way; null: its host.
    domain: Annotated[Maybe[Host], Example("provider.example")] = None
    # Where calls and transfers through this trunk go.
    outbound: Annotated[Maybe[CallUri], Example("sip:192.0.2.10:5060")] = None
    # Do its keys come as tones in the sound (besides events and INFO, which are always understood).
    inband_digits: bool = False
    # May this peer move our call by REFER or Replaces, within the hosts that are its own.
    accept_transfers: bool = False
    # How an agent's transfer is done. `refer`: the peer calls the target, or we do where it does
    # not take that. `bridge`: we call the target and stay between. `attended`: as bridge, then the
    # peer is asked to connect the two (Replaces).
    transfer_by: Literal["refer", "attended", "bridge"] = "refer"
    # Phones that register with us, call from anywhere and are called, as they prove: user and
    # password.
    users: Annotated[dict[UserName, Secret], Example('{"100": "${PHONE_100_PASSWORD}"}')] = {}
    # What the password is for: told to our users (null: "gateway"), and asked of where we register
    # (null: the first that is asked for there).
    realm: Annotated[Maybe[Realm], Example("gateway")] = None
    # How users may prove it (RFC 8760). Phones that stop at the sight of SHA-256 need [MD5] alone.
    digest: Annotated[
        Several[Literal["SHA-256", "MD5"]], Field(min_length=1), Example("[SHA-256, MD5]")
    ] = ("SHA-256", "MD5")

    @property
    def lacks(self) -> bool:
        """Its password was to come from elsewhere and did not, so that nothing is registered."""
        given = "password" in self.model_fields_set
        return self.register_at is not None and given and self.password is None


class Greeting(Section):
    """What the agent says first: a text of the model's voice, or a WAV."""

    say: Text | None = None
    file: Annotated[Path | None, Later()] = None

    @model_validator(mode="before")
    @classmethod
    def _text_is_say(cls, value: Any) -> Any:
        if not isinstance(value, str | dict | Greeting):
            raise expected("a text, {file: greeting.wav} or null")
        return {"say": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (self.say is None) is (self.file is None):
            raise expected("a text, {file: greeting.wav} or null")
        return self


class TurnDetection(Section):
    """How the model's server hears that the caller speaks; a key left out is the backend's own."""

    type: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: Fraction | None = None  # server_vad: how loud is speech
    prefix_padding_ms: Milliseconds | None = None  # server_vad: kept from before it
    silence_duration_ms: Milliseconds | None = None  # server_vad: ends a turn
    idle_timeout_ms: Milliseconds | None = None  # server_vad: the model speaks up
    eagerness: Literal["low", "medium", "high", "auto"] | None = None  # semantic_vad
    create_response: bool | None = None
    interrupt_response: bool | None = None

    def wire(self) -> dict[str, Any]:
        """As session.update has it."""
        return self.model_dump(exclude_none=True)


class IdlePrompt(Section):
    """What the agent says into a silence."""

    after: Seconds = 10.0  # s
    times: Count = 2
    say: Text = "Are you still there?"


class Keypad(Section):
    """How digits become an entry."""

    # Ends an entry and is not part of it; null: only count and pause end one.
    terminator: Annotated[Maybe[Key], Example('"#"')] = "#"
    max_digits: Annotated[Count, Field(le=100)] = 20
    timeout: Annotated[Seconds, Field(gt=0)] = 3.0  # s between digits
    # Does the first digit of an entry stop the agent's speech.
    interrupts: bool = True


class HttpTool(Section):
    """A function of the model that is an HTTP request of ours."""

    description: Text
    url: Annotated[HttpUrl, Example("https://crm.example/patients")]
    parameters: dict[str, Any] = {"type": "object", "properties": {}}  # JSON Schema
    headers: dict[HeaderName, Secret] = {}
    timeout: Annotated[Seconds, Field(gt=0)] = 5.0  # s


class McpServer(Section):
    """An MCP server that the backend calls by itself."""

    label: Word
    url: Annotated[HttpUrl, Example("https://mcp.example/sse")]
    authorization: Maybe[Secret] = None


class AgentConfig(Section):
    """Who answers: a voice, its instructions, and what it may do."""

    # In order; the next one when one fails. null: the only one that is configured.
    backend: Annotated[Several[Text] | None, Field(min_length=1), Example("[yandex, openai]")] = (
        None
    )
    # null: the backend's own.
    language: Annotated[Maybe[Text], Example("ru-RU")] = None
    voice: Annotated[Maybe[Text], Example("marina")] = None
    # {caller}, {called}, {trunk}, {now} and the variables below are filled in; other braces stay.
    instructions: Text = "You are talking on the telephone. Be friendly and brief."
    # name: SIP header of a trunk's INVITE; its value is cleaned and capped at 256 characters.
    variables: Annotated[
        dict[VariableName, HeaderName],
        Example("{clinic: X-Clinic}"),
    ] = {}
    # Spoken first; null: the caller speaks first.
    greeting: Annotated[Maybe[Greeting], Example('"How can I help you?"')] = None
    # May the caller interrupt the greeting.
    interruptible: bool = True
    turn_detection: Annotated[TurnDetection | None, Example("{type: server_vad}")] = None
    # What the model remembers of a reply that was interrupted: all that was sent, or what was heard
    # when the caller began to speak.
    truncate_at: Literal["sent", "onset"] = "sent"
    idle_prompt: Annotated[IdlePrompt | None, Later()] = None
    keypad: Keypad = Keypad()
    tools: Annotated[
        Several[Literal["hang_up", "transfer", "send_digits"]], Example("[hang_up]")
    ] = ("hang_up",)
    # The only places that a call can be transferred to.
    transfer: Annotated[dict[Word, CallUri], Example("{sales: sip:sales@192.0.2.10}")] = {}
    http_tools: Annotated[dict[Word, HttpTool], Later()] = {}
    mcp: Annotated[tuple[McpServer, ...], Later()] = ()
    # s; the call is ended then, whatever it is doing.
    max_duration: Annotated[Seconds, Field(gt=0)] = 3600.0
    # Anything more for session.update, as the backend's documentation has it; merged last.
    session: dict[str, Any] = {}


class RouteConfig(Section):
    """Which agent answers which call; the first route that matches wins."""

    # The number or name that was called (the user of the Request-URI); * and ? are wildcards.
    to: Annotated[Text, Example('"+7495*"')] = "*"
    # Only calls through this one; null: through any.
    trunk: Annotated[Maybe[Text], Example("provider")] = None
    agent: Annotated[Text, Example("reception")]


class WebhookConfig(Section):
    """OpenAI's realtime.call.incoming, for calls that no route answers."""

    url: Annotated[Maybe[HttpUrl], Later(), Example("https://app.example/calls")] = None
    secret: Annotated[Maybe[Secret], Later()] = None


class ApiConfig(Section):
    """HTTP for programs and people."""

    # Another address than loopback needs a token.
    listen: Annotated[HttpAddressValue, Example("127.0.0.1:8080")] = HttpAddress("127.0.0.1", 8080)
    # Everything but health needs `Authorization: Bearer TOKEN`; null: nothing does.
    token: Maybe[Secret] = None
    webhook: WebhookConfig = WebhookConfig()


class RecordsConfig(Section):
    """What is kept of calls. Relative paths are relative to the working directory."""

    # A file, one JSON line a call, appended; null: none.
    calls: Annotated[Maybe[Path], Example("calls.jsonl")] = Path("calls.jsonl")
    # Whether what was said is in it.
    transcripts: bool = False
    # A folder: both voices of each call, a track each; null: none.
    audio: Annotated[Maybe[Path], Example("recordings")] = None
    # wav, or opus: in Ogg, a fifth to a tenth of the size.
    audio_format: Literal["wav", "opus"] = "wav"


class LogConfig(Section):
    """What is told while it runs, on standard output."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    # auto: JSON when standard output is no terminal.
    format: Literal["auto", "json", "console"] = "auto"


def _with_simulator(backends: dict[str, BackendConfig]) -> dict[str, BackendConfig]:
    return {config_check.SIMULATOR: SimulatorConfig(provider="simulator"), **backends}


class Config(Section):
    """One gateway."""

    sip: SipConfig = SipConfig()
    media: MediaConfig = MediaConfig()
    # Without trunks: calls from loopback and private addresses. With trunks: only from them.
    trunks: dict[str, TrunkConfig] = {}
    # `simulator` is always there, unless a backend of yours has that name.
    backends: Annotated[
        dict[str, Annotated[BackendConfig, Field(discriminator="provider")]],
        AfterValidator(_with_simulator),
        Field(validate_default=True),
    ] = {}
    # Without agents: a built-in one on `simulator`.
    agents: dict[str, AgentConfig] = {}
    # Without routes the only agent answers every call; one that matches no route is answered 404.
    routes: tuple[RouteConfig, ...] = ()
    api: ApiConfig = ApiConfig()
    records: RecordsConfig = RecordsConfig()
    log: LogConfig = LogConfig()


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    also: Callable[[Document], None] = lambda document: None,
) -> Config:
    """The configuration in the file at `path`; the defaults without one.

    Raises ConfigError with every mistake of the file, in its order. `also` notes mistakes that only
    a floor above can see, so that they are told together with the others.
    """
    if path is None:
        return Config()
    document = read(path, environ)
    config_check.cross_references(document)
    also(document)
    config = None
    try:
        config = Config.model_validate(document.tree)
    except ValidationError as error:
        config_check.explain(error, Config, document)
    if config is None or document.problems:
        problems = sorted(document.problems, key=lambda problem: problem.line or 0)
        raise ConfigError(tuple(problems))
    return config
