"""Who may call, and which agent answers which call. Floor 0, pure.

`Directory` is built once from the configuration and asked per call: `trunk` for the address that a
message came from (the source address alone, never From or User-Agent), `named` for the trunk of a
user who has proven a password, `route` for the number that was called. Where a trunk's registrar
is, is learned as it is found. `instructions` fills in what an agent is told. What comes
from the network enters the instructions in two places only: a number of telephone characters, and
a header's value from a trusted trunk, which the configuration names, cleaned and capped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal

from .config import AgentConfig, Config
from .config_check import SIMULATOR
from .config_values import IpNetwork
from .text import cleaned

_Ip = IPv4Address | IPv6Address

BUILT_IN = "assistant"  # the agent that answers where none is configured
UNKNOWN = "unknown"  # what the instructions say for a number or a value that is none

# Loopback, RFC 1918, link-local (RFC 3927, RFC 4291 §2.5.6) and unique local (RFC 4193). By hand:
# what the ipaddress module calls private is wider.
PRIVATE: tuple[IpNetwork, ...] = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


@dataclass(frozen=True, slots=True)
class Trunk:
    """A peer that may send us calls."""

    name: str | None  # None: no trunk of the configuration, a neighbour
    allow: tuple[IpNetwork, ...]
    source: Literal["sdp", "learn"]  # who may send sound: rtp/source.py
    trusted: bool | None = None  # None: where its address shows who it is
    accept_transfers: bool = False  # may it move our calls by REFER or Replaces
    transfer_by: Literal["refer", "attended", "bridge"] = "refer"  # how we move its calls
    inband_digits: bool = False  # do keys come as tones

    def is_trusted(self, user: str | None = None) -> bool:
        """Is what its headers say of the caller to be believed? `user`: who authenticated, if any.

        A neighbour without a trunk is not; a phone that proved a password speaks for itself only.
        """
        if self.trusted is not None:
            return self.trusted
        return self.name is not None and user is None


@dataclass(frozen=True, slots=True)
class Agent:
    """Who answers: a name, the backends to try in order, and the settings."""

    name: str
    backends: tuple[str, ...]
    settings: AgentConfig


@dataclass(frozen=True, slots=True)
class _Route:
    to: str
    trunk: str | None
    agent: Agent


class Directory:
    """The trunks, agents and routes of a configuration."""

    def __init__(self, config: Config) -> None:
        self.open = not config.trunks  # every neighbour may call: worth a warning at the start
        self.has_users = any(trunk.users for trunk in config.trunks.values())
        self.agents = _agents(config)
        self._trunks = _trunks(config)
        self._routes = _routes(config, self.agents)
        self._registrars: dict[str | None, frozenset[_Ip]] = {}  # by trunk

    def trunk(self, source: str) -> Trunk | None:
        """The peer that sends from this IP address; None: it may not call, unless as a user.

        What the configuration says of an address comes before what a registrar's name led to.
        """
        address = _address(source)
        if address is None:
            return None
        for trunk in self._trunks:
            if any(address in network for network in trunk.allow):
                return trunk
        for trunk in self._trunks:
            if address in self._registrars.get(trunk.name, ()):
                return trunk
        return None

    def named(self, name: str | None) -> Trunk | None:
        """The trunk of this name; with None the neighbours, where they may call."""
        return next((trunk for trunk in self._trunks if trunk.name == name), None)

    def learn(self, trunk: str, hosts: Iterable[str]) -> None:
        """These IP addresses, and no others any more, are where the trunk's registrar is.

        It sends us the calls for what is registered there.
        """
        found = (_address(host) for host in hosts)
        self._registrars[trunk] = frozenset(address for address in found if address)

    def route(self, to: str, trunk: Trunk) -> Agent | None:
        """Who answers a call to this user of the Request-URI; the first match wins."""
        for route in self._routes:
            if route.trunk in (None, trunk.name) and matches(route.to, to):
                return route.agent
        return None


def _address(source: str) -> _Ip | None:
    try:
        address = ip_address(source.partition("%")[0])  # a link-local one has its interface
    except ValueError:
        return None
    # A socket for both families shows IPv4 peers as ::ffff:192.0.2.1 (RFC 4291 §2.5.5.2).
    return getattr(address, "ipv4_mapped", None) or address


def _trunks(config: Config) -> tuple[Trunk, ...]:
    if not config.trunks:
        return (Trunk(None, PRIVATE, config.media.source),)
    return tuple(
        Trunk(
            name,
            trunk.allow,
            trunk.source or config.media.source,
            trunk.trusted,
            trunk.accept_transfers,
            trunk.transfer_by,
            trunk.inband_digits,
        )
        for name, trunk in config.trunks.items()
    )


def _agents(config: Config) -> Mapping[str, Agent]:
    if not config.agents:
        return {BUILT_IN: Agent(BUILT_IN, (SIMULATOR,), AgentConfig())}
    configured = [name for name in config.backends if name != SIMULATOR] or [SIMULATOR]
    return {
        name: Agent(name, settings.backend or tuple(configured), settings)
        for name, settings in config.agents.items()
    }


def _routes(config: Config, agents: Mapping[str, Agent]) -> tuple[_Route, ...]:
    if not config.routes:
        return tuple(_Route("*", None, agent) for agent in agents.values())
    return tuple(_Route(route.to, route.trunk, agents[route.agent]) for route in config.routes)


def matches(pattern: str, text: str) -> bool:
    """`*` is any characters, `?` is one, everything else is itself, case included.

    Not a regular expression: with several `*` that one takes exponential time for some callers.
    """
    at, i = 0, 0
    star, resume = -1, 0  # the last `*`, and where in the text it gives up one character more
    while i < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume, at = at, i, at + 1
        elif at < len(pattern) and pattern[at] in ("?", text[i]):
            at, i = at + 1, i + 1
        elif star >= 0:
            resume += 1
            at, i = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")


def number(user: str | None) -> str:
    """A number as the model may read it: telephone characters only, else "unknown"."""
    return user if user and re.fullmatch(r"\+?[0-9*#]{1,20}", user) else UNKNOWN


def variables(agent: Agent, trunk: Trunk, header: Callable[[str], str | None]) -> Mapping[str, str]:
    """The agent's variables from an INVITE's headers; a neighbour without a trunk has none."""
    if trunk.name is None:
        return {}
    values = {name: header(wanted) for name, wanted in agent.settings.variables.items()}
    return {name: cleaned(value) for name, value in values.items() if value}


def instructions(
    agent: Agent,
    *,
    caller: str | None,
    called: str | None,
    trunk: Trunk,
    now: datetime,
    variables: Mapping[str, str],
) -> str:
    """What the agent is told: its text with the known {names} filled in; other braces stay.

    `caller` is the user of From, or what a trusted trunk asserts in its place; `called` that of the
    Request-URI; `now` is local time.
    """
    known = dict.fromkeys(agent.settings.variables, UNKNOWN) | {
        **variables,
        "caller": number(caller),
        "called": number(called),
        "trunk": trunk.name or "none",
        "now": f"{now:%A, %Y-%m-%d %H:%M}",
    }
    return re.sub(
        r"\{([A-Za-z_][A-Za-z0-9_-]*)\}",
        lambda found: known.get(found[1], found[0]),
        agent.settings.instructions,
    )
