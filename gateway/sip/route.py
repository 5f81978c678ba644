"""Where a message goes: RFC 3261 §8.1.2 and §12.2.1.1 for requests, §18.2.2 for responses.

Pure. Over UDP a response goes to the host that its request came from, never to another, whatever
Via says: else anybody could aim us at a third. The port is

    rport asked for          the source's (RFC 3581 §4)
    not, Via is truthful     sent-by's, default 5060 (§18.2.2): the peer may well send from a socket
                             that it does not listen on
    not, Via shows another   the source's: the peer is behind NAT and does not know its address, so
    host                     its sent-by port is one that the NAT has not opened

So go copies that a transaction resends and copies of a 2xx. A request within a dialog goes to the
first route, else to the remote target; to where the peer's latest message came from, if that is no
address we could reach. Left out on purpose: names, with them NAPTR, SRV (RFC 3263) and other
transports, until we speak them; maddr of a Via, for the reason above.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .address import Uri, Via
from .event import Flow
from .grammar import param
from .scope import Ip, is_nowhere, parse_ip, scope_of

_PORT: Final = 5060  # §19.1.2


def response_flow(via: Via, flow: Flow) -> Flow:
    """The way of a response to a request that came over `flow` with `via` on top."""
    if flow.transport != "udp" or _asks_rport(via) or _is_rewritten(via, flow):
        return flow
    return replace(flow, remote=(flow.remote[0], via.port or _PORT))


def request_flow(hop: Uri | None, flow: Flow, via: Via | None) -> Flow:
    """The way of a request to `hop` (§8.1.2), from the same socket.

    `flow` and `via` are those of the peer's latest request; no Via if it has sent none.
    """
    target = _literal(hop, flow) if hop else None
    source = parse_ip(flow.remote[0])
    if hop is None or target is None or source is None or target.version != source.version:
        return flow
    port = hop.port or _PORT
    if target == source:
        hidden = via is not None and _asks_rport(via) and _is_rewritten(via, flow)
        return flow if hidden else replace(flow, remote=(flow.remote[0], port))
    shown = parse_ip(via.host) if via else None
    return replace(flow, remote=(str(target), port)) if _leads(target, source, shown) else flow


def _literal(hop: Uri, flow: Flow) -> Ip | None:
    """The IP address of a URI, if this flow's transport is the way to it (RFC 3263 §4)."""
    transport = (hop.param("transport") or flow.transport).lower()
    if hop.scheme != "sip" or transport != flow.transport:
        return None
    return parse_ip(hop.param("maddr") or hop.host)


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
