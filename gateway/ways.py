"""Ways ●: how each trunk is reached, and which address of ours it is told. Shell.

Where trunks are is asked ahead and kept, so that no call waits for DNS. One line a trunk at the
start says under which address it will see us; a warning, where it cannot reach that one. Should
such a call come all the same, it is taken, and told of once a trunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

import structlog

from .config import Config, TrunkConfig
from .nat import Seen, seen, sources, uris, worst
from .sip.address import Uri
from .sip.event import Flow
from .sip.grammar import SipError
from .sip.locate import Means, Question, Target, literal
from .sip.resolver import Ask, Resolver
from .sip.transport import Transport

log = structlog.get_logger()


def open_resolver(config: Config, ask: Ask | None = None) -> Resolver:
    """The process's one resolver, for what it speaks and listens on."""
    return Resolver(ask=ask, means=means(config), on_trouble=_tell_trouble)


def means(config: Config) -> Means:
    """Datagrams need a socket of their family; streams are dialled with or without a listener."""
    udp = {"udp"} if any(it.transport == "udp" for it in config.sip.listen) else set()
    families: dict[Literal[4, 6], None] = {}
    for it in config.sip.listen:
        families[6 if ":" in it.host else 4] = None
    return Means(frozenset({"tcp", "tls"} | udp), tuple(families))


def _tell_trouble(question: Question, reason: str) -> None:
    log.warning("dns_failed", name=question.name, kind=question.kind, reason=reason)


class Ways:
    """The ways to all trunks."""

    """`host` is our own as the peer at a flow sees it."""

    def __init__(
        self,
        config: Config,
        resolver: Resolver,
        transport: Transport,
        host: Callable[[Flow], str],
    ) -> None:
        self._config = config
        self._resolver = resolver
        self._transport = transport
        self._host = host
        self._told: set[str] = set()  # trunks whose calls see an address that they cannot reach

    def keep(self) -> None:
        """Always know where the trunks are."""
        for trunk in self._config.trunks.values():
            for uri in uris(trunk):
                if not literal(uri):
                    self._resolver.keep(uri)

    async def tell(self) -> None:
        """One line in the log for each trunk."""
        trunks = self._config.trunks.items()
        await asyncio.gather(*(self._tell(name, trunk) for name, trunk in trunks))

    async def host(self, uri: str) -> str:
        """Our address on the way to a URI; OSError where there is no way."""
        try:
            targets = await self._targets(Uri.parse(uri))
        except SipError as error:
            raise OSError(str(error)) from None
        for target in targets:
            if own := self._local(target):
                return own
        raise OSError("nobody is there")

    def note(self, trunk: str | None, flow: Flow) -> None:
        """A call came from a trunk: can it reach what we announce?"""
        if trunk is None or trunk in self._told:
            return
        found = seen(self._config, flow.remote[0], self._host(flow))
        if found.trouble:
            self._told.add(trunk)
            log.warning("private_address_announced", **_words(trunk, found))

    async def _tell(self, name: str, trunk: TrunkConfig) -> None:
        peers = [Target("tcp", host, 5060, "") for host in sources(trunk)]
        for uri in uris(trunk):
            targets = await self._targets(uri)
            if not targets:
                log.warning("trunk_not_found", trunk=name, host=uri.host)
            peers += targets[:1]
        found = [seen(self._config, it.host, self._local(it)) for it in peers]
        line = worst(found or [seen(self._config, None, None)])
        if line.trouble:
            log.warning("trunk_addresses", **_words(name, line))
        else:
            log.info("trunk_addresses", **_words(name, line))

    async def _targets(self, uri: Uri) -> Sequence[Target]:
        found = self._resolver.locate(uri)
        return found if isinstance(found, Sequence) else await found

    def _local(self, target: Target) -> str | None:
        try:
            flow = self._transport.flow((target.host, target.port), target.transport)
            return self._host(flow)
        except OSError:  # of a family that we do not listen on
            return None


def _words(trunk: str, found: Seen) -> dict[str, str | None]:
    words = {
        "trunk": trunk,
        "peer": found.peer,
        "signalling": found.signalling,
        "media": found.media,
    }
    return words | ({"reason": found.trouble} if found.trouble else {})
