"""Onward: where a call of a trunk may be transferred to, and how it gets there. Pure.

What the model names is a place of the agent's, a URI of the operator's: it may be anywhere. What a
peer asks for is anybody's: it goes through the trunk's own way out, and only to hosts that are the
trunk's (`outbound`, its registrar, what it may call from), whatever it has written; so nobody dials
the world at our cost by a REFER.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Literal
from urllib.parse import quote

from gateway.sip.address import Uri
from gateway.sip.grammar import SipError
from gateway.sip.replaces import Replaces, split_target

from .carrier import SAFE, Carrier, number_of, same, same_host
from .exchange import Destination

ANONYMOUS = "anonymous"  # who calls, where nobody knows

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Onward:
    """How the calls of one trunk are transferred; of a neighbour without a trunk, the defaults."""

    by: Literal["refer", "attended", "bridge"] = "refer"
    accepts: bool = False  # may the peer move our calls
    allow: tuple[IPv4Network | IPv6Network, ...] = ()  # what it may call from
    carrier: Carrier | None = None  # its way out; None: it has none

    def referral(self, uri: str) -> str:
        """A place as it stands in a Refer-To: a number is one of the trunk's."""
        way = self.carrier
        target = Uri.parse(uri)
        if way is None or way.uri is None or target.scheme != "tel":
            return uri
        return str(way.number(number_of(target))[0])

    def destination(self, uri: str, *, caller: str | None, headers: Headers) -> Destination | None:
        """How we call a place ourselves; None: there is no way to it.

        `caller` is whom the place shall see: who is transferred.
        """
        way, target = self.carrier, Uri.parse(uri)
        if way and (user := way.user_of(target)):
            return way.to_phone(user, self._shown(caller), tuple(headers))
        if way is None or way.uri is None:
            return None if target.scheme == "tel" else self._call(target, None, caller, headers)
        if target.scheme == "tel" or same(target, way.uri):
            return self._call(*way.number(number_of(target)), caller, headers)
        return self._call(target, way.proxy, caller, headers)

    def asked(self, target: str, *, caller: str | None, headers: Headers) -> Destination | None:
        """How we call whom the peer wants us to (Refer-To); None: it may not want that."""
        try:
            uri, replaces = split_target(target)
            wanted = Uri.parse(uri)
        except SipError:
            return None
        if not (self.accepts and wanted.user and self._permits(wanted)):
            return None
        clean = Uri(wanted.scheme, wanted.user, wanted.host, wanted.port)  # no parameters of its
        return self.destination(
            str(clean), caller=caller, headers=[*headers, *_replacing(replaces)]
        )

    def _permits(self, target: Uri) -> bool:
        """Is this host the trunk's own, or a user's phone meant?"""
        way = self.carrier
        if way and way.user_of(target):
            return True
        if way and way.uri and (target.scheme == "tel" or same_host(target, way.uri)):
            return True
        try:
            address = ip_address(target.host.strip("[]"))
        except ValueError:
            return False
        return target.scheme in ("sip", "sips") and any(address in it for it in self.allow)

    def _call(
        self, target: Uri, route: Uri | None, caller: str | None, headers: Headers
    ) -> Destination:
        way = self.carrier
        return Destination(
            target=str(target),
            route=str(route) if route else None,
            from_user=self._shown(caller),
            from_host=way.host if way else None,
            headers=tuple(headers),
            credentials=way.credentials if way else None,
        )

    def _shown(self, caller: str | None) -> str:
        """Who calls, as the user of a URI."""
        user = caller or (self.carrier.user if self.carrier else None) or ANONYMOUS
        return quote(user, safe=SAFE)


def _replacing(replaces: Replaces | None) -> Headers:
    return [("Replaces", str(replaces))] if replaces else []
