"""The kinds of value that a configuration is made of: seconds, addresses, secrets. Floor 0, pure.

Each is a type to annotate a field with. It takes what YAML gives, or the text that `${…}` became,
and says in one line what it expected; the example behind that line is the field's
(config_check.py adds it). `Maybe[…]` takes an empty text as "not given", so that `${NAME:-}` can
stand wherever a key may be left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from .config_file import resolved

T = TypeVar("T")


class Section(BaseModel):
    """A mapping of the file: an unknown key is a mistake, and nothing changes once loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_the_default(cls, value: Any) -> Any:
        """`trunks:` with every line below it commented out is null, and means no trunks."""
        if not isinstance(value, dict):
            return value
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        return {
            key: given
            for key, given in value.items()
            if given is not None
            or key not in fields
            or NoneType in get_args(fields[key].annotation)
        }


@dataclass(frozen=True, slots=True)
class Example:
    """Marks a field with what an operator may write there, as YAML; mistakes show it."""

    yaml: str


@dataclass(frozen=True, slots=True)
class Later:
    """Marks a field whose work comes with a later version: it is checked, and does nothing."""

    says: str = "has no effect yet; it comes with a later version"
    unless: object = None  # the value that asks for no more than what works today


def expected(what: str) -> PydanticCustomError:
    """The mistake "expected …"."""
    return PydanticCustomError("expected", "expected {what}", {"what": what})


# Where a key may be left out, and where one value may stand for a list of it.

Maybe = Annotated[T | None, BeforeValidator(lambda value: None if value == "" else value)]
Several = Annotated[
    tuple[T, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
]


# Text and numbers.


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise expected("text (write it in quotes)")
    if not value:
        raise expected("text, not an empty one")
    return value


def _matching(pattern: str, what: str) -> BeforeValidator:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise expected(what)
        return value

    return BeforeValidator(check)


def _secret(value: Any) -> SecretStr:
    return value if isinstance(value, SecretStr) else SecretStr(_text(value))


def _integer(value: Any) -> int:
    number = resolved(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int):
        raise expected("a whole number")
    return number


def _number(value: Any) -> float:
    number = resolved(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise expected("a number")
    return float(number)


Text = Annotated[str, BeforeValidator(_text)]
Secret = Annotated[SecretStr, BeforeValidator(_secret)]
Integer = Annotated[int, BeforeValidator(_integer)]
Count = Annotated[Integer, Field(ge=1, le=1_000_000)]
Number = Annotated[float, BeforeValidator(_number)]
Seconds = Annotated[Number, Field(ge=0, le=86_400)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Milliseconds = Annotated[Integer, Field(ge=0, le=60_000)]

Word = Annotated[str, _matching("[A-Za-z_][A-Za-z0-9_-]{0,63}", "a word (letters, digits, _, -)")]
Key = Annotated[str, _matching("[0-9*#A-D]", "one key of the telephone")]
HeaderName = Annotated[str, _matching(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", "a header's name")]
SipUri = Annotated[str, _matching(r"sips?:[\x21-\x7e]+", "a URI with sip: or sips:")]
CallUri = Annotated[str, _matching(r"(sips?|tel):[\x21-\x7e]+", "a URI with sip:, sips: or tel:")]


# Numbers with a rule of their own.

SAMPLE_RATES = (8000, 16000, 24000, 44100, 48000)  # Hz, between which we can resample
GIVEN = ("caller", "called", "trunk", "now")  # the names that instructions have without asking


def _session_expires(value: int) -> int:
    if value != 0 and not 90 <= value <= 86_400:
        raise expected("seconds from 90 (RFC 4028 §5) to 86400, or 0 for no session timers")
    return value


def _sample_rate(value: int) -> int:
    if value not in SAMPLE_RATES:
        raise expected(f"one of {', '.join(map(str, SAMPLE_RATES))}")
    return value


def _variable_name(value: str) -> str:
    if value in GIVEN:
        raise expected(f"another name; {', '.join(GIVEN)} are there already")
    return value


def _user_name(value: str) -> str:
    if not re.fullmatch(r'[^\x00-\x20\x7f:<>"\\]{1,128}', value):
        raise expected("a user's name without blanks, quotes, colons and brackets")
    return value


def _realm(value: str) -> str:
    if not re.fullmatch(r"[\x20-\x7e]{1,64}", value):
        raise expected("a realm of at most 64 plain characters")
    return value


UserName = Annotated[Text, AfterValidator(_user_name)]  # a ":" would end it in digest and in a URI
Realm = Annotated[Text, AfterValidator(_realm)]
SessionExpires = Annotated[Integer, AfterValidator(_session_expires)]
SampleRate = Annotated[Integer, AfterValidator(_sample_rate)]
VariableName = Annotated[Word, AfterValidator(_variable_name)]


# Addresses.


def is_ip(text: str) -> bool:
    """An IPv4 or IPv6 address, without a zone."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _split_port(text: str) -> tuple[str, int] | None:
    """`192.0.2.1:5060`, `[::1]:5060`, `localhost:8080` as host and port; port 0 is any free one."""
    parts = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+)):([0-9]{1,5})", text)
    if parts is None or int(parts[3]) > 65535:
        return None
    return parts[1] or parts[2], int(parts[3])


@dataclass(frozen=True, slots=True)
class Listener:
    """`udp:0.0.0.0:5060`: where SIP messages come in."""

    transport: Literal["udp", "tcp", "tls"]
    host: str
    port: int  # 0: any free one

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}:{host}:{self.port}"


def _listener(value: Any) -> Listener:
    if isinstance(value, Listener):
        return value
    transport, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    address = _split_port(rest)
    if address and is_ip(address[0]):
        match transport:
            case "udp" | "tcp" | "tls":
                return Listener(transport, *address)
    raise expected("transport:address:port with udp, tcp or tls and an IP address")


class HttpAddress(NamedTuple):
    """`127.0.0.1:8080`: where HTTP is served."""

    host: str
    port: int  # 0: any free one

    @property
    def loopback(self) -> bool:
        """Only this machine can reach it."""
        return self.host == "localhost" or ip_address(self.host).is_loopback


def http_address(text: Any) -> HttpAddress | None:
    """The address that `text` writes; None where it writes none."""
    parts = _split_port(text) if isinstance(text, str) else None
    if parts is None or not (parts[0] == "localhost" or is_ip(parts[0])):
        return None
    return HttpAddress(*parts)


def _http_address(value: Any) -> HttpAddress:
    address = value if isinstance(value, HttpAddress) else http_address(value)
    if address is None:
        raise expected("address:port with an IP address or localhost")
    return address


@dataclass(frozen=True, slots=True)
class PortRange:
    """`20000-29999`: UDP ports for sound; a call takes an even one and the odd one after it."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def _port_range(value: Any) -> PortRange:
    if isinstance(value, PortRange):
        return value
    parts = re.fullmatch("([0-9]{1,5}) *- *([0-9]{1,5})", value) if isinstance(value, str) else None
    if parts is None:
        raise expected("first-last")
    first, last = int(parts[1]), int(parts[2])
    if not 1024 <= first < last <= 65535:
        raise expected("two ports between 1024 and 65535, the smaller one first")
    if first + first % 2 + 1 > last:
        raise expected("at least one even port and the odd one after it")
    return PortRange(first, last)


IpNetwork: TypeAlias = IPv4Network | IPv6Network


def _network(value: Any) -> IpNetwork:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        network = ip_network(value if isinstance(value, str) else "", strict=False)
    except ValueError:
        raise expected("an IP address or a network") from None
    if str(network.network_address) != str(ip_address(value.split("/")[0])):
        raise expected(f"a network without host bits: {network}")
    return network


def _ip(value: Any) -> str:
    if not isinstance(value, str) or not is_ip(value):
        raise expected("an IP address")
    return value


HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)*\.?")


def _host(value: Any) -> str:
    if not isinstance(value, str) or not (is_ip(value) or HOST_NAME.fullmatch(value)):
        raise expected("an IP address or a host name, without a port")
    return value


def _url(*schemes: str) -> BeforeValidator:
    def check(value: Any) -> str:
        text = value if isinstance(value, str) else ""
        try:
            parts = urlsplit(text)
            good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port or an IPv6 address that is none
            good = False
        if not good or not re.fullmatch(r"[\x21-\x7e]+", text):
            raise expected(" or ".join(f"{scheme}://…" for scheme in schemes))
        return text

    return BeforeValidator(check)


ListenerValue = Annotated[Listener, BeforeValidator(_listener)]
HttpAddressValue = Annotated[HttpAddress, BeforeValidator(_http_address)]
PortRangeValue = Annotated[PortRange, BeforeValidator(_port_range)]
Network = Annotated[IpNetwork, BeforeValidator(_network)]
Ip = Annotated[str, BeforeValidator(_ip)]
Host = Annotated[str, BeforeValidator(_host)]
WebSocketUrl = Annotated[str, _url("ws", "wss")]
HttpUrl = Annotated[str, _url("http", "https")]
