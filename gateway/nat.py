"""Which address of ours each trunk sees, and whether it can reach us there. Pure.

We announce one address for signalling (Via, Contact) and one for sound (SDP): what the operator
wrote, else the address that we listen on, else that of the route to the peer. A public peer can do
nothing with a private one (Docker's 172.17.0.1 as well): its answers may still find their way back
(RFC 3581, and sound that we learn by its source), its own requests and its sound do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .config import Config, TrunkConfig
from .config_values import IpNetwork
from .sip.address import Uri
from .sip.grammar import SipError
from .sip.locate import literal
from .sip.scope import is_hidden, is_nowhere, parse_ip


@dataclass(frozen=True, slots=True)
class Seen:
    """What one peer is told of where we are; None: not known before there is a call."""

    peer: str | None
    signalling: str | None
    media: str | None

    @property
    def trouble(self) -> str | None:
        """Why the peer cannot reach us, and what to do; None where it can."""
        hidden = [(key, ours) for key, ours in self._told() if is_hidden(ours, self.peer or "")]
        if not hidden:
            return None
        addresses = " and ".join(dict.fromkeys(ours for _, ours in hidden))
        keys = " and ".join(key for key, _ in hidden)
        return f"{self.peer} is public and cannot reach {addresses}; set {keys}"

    def _told(self) -> Iterator[tuple[str, str]]:
        if self.signalling is not None:
            yield "sip.public_address", self.signalling
        if self.media is not None:
            yield "media.public_address", self.media


def seen(config: Config, peer: str | None, route: str | None) -> Seen:
    """What `peer` is told; `route` is our address on the way to it, where that is known."""
    media = config.media.listen if _is_certain(config.media.listen) else route
    signalling = config.sip.public_address
    if signalling and route and _families_differ(signalling, route):
        signalling = None  # not written for such a peer, sip/agent.py
    return Seen(peer, signalling or route, config.media.public_address or media)


def worst(found: Sequence[Seen]) -> Seen:
    """The one to tell of: that which is in trouble, if any is."""
    return next((it for it in found if it.trouble), found[0])


def uris(trunk: TrunkConfig) -> list[Uri]:
    """Where we send requests to this trunk."""
    found = []
    for text in (trunk.register_at, trunk.outbound):
        try:
            uri = Uri.parse(text or "")
        except SipError:
            continue
        if uri.scheme in {"sip", "sips"}:
            found.append(uri)
    return found


def sources(trunk: TrunkConfig) -> list[str]:
    """One address out of each network that it calls from."""
    return [_host_in(network) for network in trunk.allow]


def notices(config: Config) -> list[str]:
    """One line for each trunk that is bound to be in trouble, as far as the file alone tells."""
    lines = []
    for name, trunk in config.trunks.items():
        known = [target.host for uri in uris(trunk) for target in literal(uri)]
        peers = [*known, *sources(trunk)]
        found = [seen(config, peer, _listening(config, peer)) for peer in peers]
        if found and (trouble := worst(found).trouble):
            lines.append(f"trunks.{name}: {trouble}")
    return lines


def _listening(config: Config, peer: str) -> str | None:
    """The address that requests to `peer` leave from, where the file settles it."""
    family = ":" in peer
    hosts = {it.host for it in config.sip.listen if (":" in it.host) == family}
    return hosts.pop() if len(hosts) == 1 and all(map(_is_certain, hosts)) else None


def _families_differ(one: str, other: str) -> bool:
    first, second = parse_ip(one), parse_ip(other)
    return first is not None and second is not None and first.version != second.version


def _is_certain(host: str) -> bool:
    """One address, and not "every one of this machine"."""
    ip = parse_ip(host)
    return ip is not None and not is_nowhere(ip)


def _host_in(network: IpNetwork) -> str:
    return str(network[1] if network.num_addresses > 2 else network[0])
