"""Where a message goes: RFC 3261 §8.1.2 and §12.2.1.1 for requests, §18.2.2 for responses.

Pure. Over UDP a response goes to the host that its request came from, never to another, whatever
Via says: else anybody could aim us at a third. The port is

    rport asked for          the source's (RFC 3581 §4)
    not, Via is truthful     sent-by's, default 5060 (§18.2.2): the peer may well send from a socket
                             that it does not listen on
    not, Via shows another   the source's: the peer is behind NAT and does not know its address, so
    host                     its sent-by port is one that the NAT has not opened

Over a stream it goes back by the connection; should that be gone, by a new one to the same host and
sent-by's port (§18.2.2). So go copies that a transaction resends and copies of a 2xx.

A request within a dialog goes to the first route, else to the remote target: to its address, or, of
a name or another transport, to where that is found (RFC 3263). But a peer behind NAT is reached by
the way that its latest message came by, whatever it says of itself, and so is one that has a
connection with us (RFC 5923). Left out on purpose: maddr of a Via, for the reason above.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from .address import Uri, Via
from .event import Flow
from .grammar import param
from .scope import Ip, is_nowhere, parse_ip, scope_of

_PORTS: Final = {"udp": 5060, "tcp": 5060, "tls": 5061}  # §19.1.2
_LOCAL_NAMES: Final = (".invalid", ".local")  # that no DNS knows: RFC 2606, RFC 6762


class WayBack(NamedTuple):
    """The way of a response, and another should its connection be gone."""

    flow: Flow
    instead: Flow | None = None


def response_flow(via: Via, flow: Flow) -> WayBack:
    """The way of a response to a request that came over `flow` with `via` on top."""
    host, port = flow.remote[0], via.port or _PORTS[flow.transport]
    if flow.transport != "udp":
        name = "" if parse_ip(via.host) else via.host
        return WayBack(flow, replace(flow, remote=(host, port), name=name))
    if _asks_rport(via) or _is_rewritten(via, flow):
        return WayBack(flow)
    return WayBack(replace(flow, remote=(host, port)))


def request_flow(hop: Uri | None, flow: Flow, via: Via | None) -> Flow | Uri:
    """The way of a request to `hop` (§8.1.2); the hop itself where it has to be found first.

    `flow` and `via` are those of the peer's latest request; no Via if it has sent none, then `flow`
    is the way that we called by.
    """
    transport = _transport(hop, flow) if hop else None
    source = parse_ip(flow.remote[0])
    if hop is None or transport is None or source is None:
        return flow
    if via and transport == flow.transport != "udp" and _is_other_end(hop, flow, via):
        return flow
    shown = parse_ip(via.host) if via else None
    target = parse_ip(hop.param("maddr") or hop.host)
    if target is None:
        behind_nat = shown is not None and shown != source
        return flow if behind_nat or _is_known(hop, flow) else hop
    if target.version != source.version:
        return flow
    if target == source:
        if via is not None and _is_hidden(via, flow):
            return flow
    elif not _leads(target, source, shown):
        return flow
    if transport != flow.transport:
        return hop
    port = hop.port or _PORTS[transport]
    if target == source:  # its address keeps its form (IPv4 in IPv6, an interface), and its name
        return replace(flow, remote=(flow.remote[0], port))
    return replace(flow, remote=(str(target), port), name=str(target))


def _transport(hop: Uri, flow: Flow) -> str | None:
    """What leads to a hop; without a word of it, that of the flow. None for what we do not speak.

    "tcp" to a peer that speaks TLS with us is TLS over TCP (§26.2.2), not the end of it.
    """
    asked = (hop.param("transport") or "").lower()
    if hop.scheme == "sips" or flow.transport == "tls":
        asked = "tls" if asked in {"", "tcp"} else asked
    if hop.scheme == "sips" and asked != "tls":
        return None
    asked = asked or flow.transport
    return asked if hop.scheme in {"sip", "sips"} and asked in _PORTS else None


def _is_known(hop: Uri, flow: Flow) -> bool:
    """Is this name the one that led to the flow, or one that nobody but its owner knows?"""
    name = (hop.param("maddr") or hop.host).lower().rstrip(".")
    if f".{name}".endswith(_LOCAL_NAMES):
        return True
    same_way = _transport(hop, flow) == flow.transport and hop.port in {None, flow.remote[1]}
    return same_way and name == flow.name.lower()


def _is_other_end(hop: Uri, flow: Flow, via: Via) -> bool:
    """Is the hop the peer of this connection, by where it is or by what it says of itself?"""
    host = hop.param("maddr") or hop.host
    ip = parse_ip(host)
    if ip is None:
        return host.lower().rstrip(".") == via.host.lower().rstrip(".")
    return ip in {parse_ip(via.host), parse_ip(flow.remote[0])}


def _is_hidden(via: Via, flow: Flow) -> bool:
    """Does the peer know that it is behind NAT, and is it?"""
    return _asks_rport(via) and _is_rewritten(via, flow)


def _leads(target: Ip, source: Ip, shown: Ip | None) -> bool:
    """Can `target` be reached, when its owner's messages come from `source`?

    A private address of a peer that comes from elsewhere is one behind its NAT; so is, among
    private ones, the address that its own Via `shown` and that it did not come from. And from our
    loopback, where some peers are, no way leads out.
    """
    if is_nowhere(target):
        return False
    scope, scope_of_source = scope_of(target), scope_of(source)
    if scope != scope_of_source:
        return scope == "global" and scope_of_source != "loopback"
    return scope in {"global", "loopback"} or target != shown


def _asks_rport(via: Via) -> bool:
    return param(via.params, "rport") is not None


def _is_rewritten(via: Via, flow: Flow) -> bool:
    """Is the host in Via another than the source, which is then noted as received (§18.2.1)?"""
    shown = parse_ip(via.host)
    return shown is None or shown != parse_ip(flow.remote[0])
