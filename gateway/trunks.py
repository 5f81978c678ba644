"""Trunks ●: what passwords prove, and where we are registered, for as long as the service runs.

Shell. `accounts` are the users who may call us, `credentials` ours with each trunk: one object for
all that goes there, so that what it learns of nonces and of the realm is known to its calls as well
as to its registration. `Registrations` keeps every trunk with `register` registered:

    start       REGISTER at each; the SIP core refreshes, backs off and tries again by itself
    registered  calls from the registrar's addresses are this trunk's; the way there is kept open
    every 5 s   is our address on that way another one? then REGISTER at once
    stop        the bindings are removed

In the log there is a line when the state of one changes, none for a refresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import structlog

from .agents import Directory
from .config import Config, TrunkConfig
from .config_check import DEFAULT_REALM
from .sip.address import Uri
from .sip.authentication import Account
from .sip.digest import Credentials
from .sip.endpoint import Endpoint, Flow, Registered, Unregistered
from .sip.transport import Transport
from .text import cleaned

LOOK = 5.0  # s between looks at the routing table
_IN_A_USER = "-_.!~*'()&=+$,;?/"  # RFC 3261 §25.1

log = structlog.get_logger()


def accounts(config: Config) -> dict[tuple[str, str], Account]:
    """The users of all trunks, by realm and name."""
    return {
        (trunk.realm or DEFAULT_REALM, user): Account(
            name, password.get_secret_value(), trunk.digest
        )
        for name, trunk in config.trunks.items()
        for user, password in trunk.users.items()
    }


def credentials(config: Config, token: Callable[[], str]) -> dict[str, Credentials]:
    """What proves who we are, by trunk; a trunk without username and password has none."""
    return {
        name: Credentials(
            trunk.username, trunk.password.get_secret_value(), trunk.realm, token=token
        )
        for name, trunk in config.trunks.items()
        if trunk.username and trunk.password
    }


def address_of_record(trunk: TrunkConfig) -> str:
    """As whom we register: the username, at the domain that is named or else at the registrar."""
    registrar = Uri.parse(trunk.register_at or "")
    user, at, host = (trunk.username or "").rpartition("@")
    name = quote(user if at else host, safe=_IN_A_USER)
    named = host if at else trunk.domain
    return str(Uri(registrar.scheme, name, named or registrar.host))


@dataclass(slots=True)
class _State:
    """What became of one, in words for /readyz and the log."""

    words: str = "registering"
    flow: Flow | None = None  # the way to its registrar, while it is kept open
    host: str | None = None  # ours on that way, when we registered last


class Registrations:
    """Where we are registered."""

    def __init__(
        self,
        config: Config,
        *,
        endpoint: Endpoint,
        transport: Transport,
        directory: Directory,
        credentials: Mapping[str, Credentials],
    ) -> None:
        self._endpoint = endpoint
        self._transport = transport
        self._directory = directory
        self._credentials = credentials
        self._wanted = {
            name: trunk for name, trunk in config.trunks.items() if trunk.register_at is not None
        }
        self._states = {name: _State() for name in self._wanted}
        self._only = bool(self._wanted) and not any(
            trunk.allow or trunk.users for trunk in config.trunks.values()
        )

    @property
    def states(self) -> dict[str, str]:
        """For people: `registered`, or why not, by trunk."""
        return {name: state.words for name, state in self._states.items()}

    @property
    def reachable(self) -> bool:
        """Can a call come in? Not while each way in is a registration, and none of them holds."""
        now = self._transport.now()
        known = self._endpoint.registrations.values()
        return not self._only or any(it.is_registered(now) for it in known)

    def start(self) -> None:
        """Register everywhere."""
        for name, trunk in self._wanted.items():
            if trunk.lacks:
                self._states[name].words = "no password"
                log.warning("not_registered", trunk=name, reason="no password")
                continue
            outputs = self._endpoint.register(
                name,
                trunk.register_at or "",
                self._transport.now(),
                aor=address_of_record(trunk),
                credentials=self._credentials.get(name),
                expires=trunk.expires,
            )
            self._transport.act(outputs)

    def stop(self) -> None:
        """Remove all bindings; their answers are waited for elsewhere."""
        for name in list(self._endpoint.registrations):
            self._transport.act(self._endpoint.unregister(name, self._transport.now()))
        for state in self._states.values():
            self._keep(state, None)

    def receive(self, event: Registered | Unregistered) -> None:
        """Note what became of one."""
        state = self._states[event.name]
        before = state.words
        match event:
            case Registered(name, expires):
                registration = self._endpoint.registrations[name]
                self._directory.learn(name, registration.hosts)
                self._keep(state, registration.flow)
                state.words = "registered"
                if state.words != before:
                    log.info("registered", trunk=name, expires=expires)
            case Unregistered(name, status, reason, retry):
                state.words = f"{status} {cleaned(reason)}"
                if state.words != before:
                    log.warning(
                        "not_registered",
                        trunk=name,
                        status=status,
                        reason=cleaned(reason),
                        retry=retry and round(retry, 1),
                    )

    async def watch(self) -> None:
        """Register anew wherever our address has changed; for ever."""
        while True:
            await asyncio.sleep(LOOK)
            for name, state in self._states.items():
                host = self._transport.source(state.flow) if state.flow else None
                if host and host != state.host:
                    state.host = host
                    log.info("network_changed", trunk=name, address=host)
                    now = self._transport.now()
                    self._transport.act(self._endpoint.reregister(name, now))

    def _keep(self, state: _State, flow: Flow | None) -> None:
        """Keep the way to a registrar open: calls come by it."""
        if flow == state.flow:
            return
        if flow:
            self._transport.keep(flow)
        if state.flow:
            self._transport.release(state.flow)
        state.flow, state.host = flow, flow.local[0] if flow else None
