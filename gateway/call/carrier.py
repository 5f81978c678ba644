"""Carrier: a trunk that calls can be made through, and whom its URIs and numbers mean. Pure.

There are two kinds of whom: anybody beyond the trunk's way out, and users whose phones register
with us. A number that is one of the users' is theirs; everything else goes out, where there is a
way out. Where a user's phone is, is found when it is called (prepare.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from gateway.sip.address import Uri
from gateway.sip.digest import Credentials

from .exchange import Destination

SAFE = "-_.!~*'()&=+$,;?/"  # of a user, RFC 3261 §25.1
_SEPARATORS = str.maketrans("", "", "-.()")  # of a number, RFC 3966 §5.1.1


@dataclass(frozen=True, slots=True)
class Carrier:
    """A trunk that calls can be made through."""

    name: str
    uri: Uri | None  # where they go; None: to its users only
    user: str | None  # who calls, where an order does not say
    host: str | None  # of From; None: ours
    domain: str | None = None  # whose numbers are called, where `uri` is the way there only
    credentials: Credentials | None = None
    users: frozenset[str] = frozenset()  # whose phones register with us
    places: tuple[Uri, ...] = ()  # where we are ourselves, and so its users

    def number(self, user: str) -> tuple[Uri, Uri | None]:
        """The Request-URI of a number of theirs, and the proxy on the way if that is another."""
        way = self._way
        if self.domain:
            return Uri(way.scheme, user, self.domain), self.proxy
        return Uri(way.scheme, user, way.host, way.port, way.params), None

    @property
    def proxy(self) -> Uri:
        """The way to them, as a route."""
        return replace(self._way, user=None, headers="")

    @property
    def _way(self) -> Uri:
        assert self.uri  # who has users only is asked for nobody else
        return self.uri

    def user_of(self, target: Uri) -> str | None:
        """The user whose phone a URI means: a number, or a name at the trunk's or our own place."""
        if target.scheme != "tel" and not any(same(target, it) for it in self._homes):
            return None
        names = (unquote(target.user or ""), number_of(target))
        return next((name for name in names if name in self.users), None)

    @property
    def _homes(self) -> tuple[Uri, ...]:
        domain = (Uri("sip", None, self.domain),) if self.domain else ()
        return (*self.places, *domain, *([self.uri] if self.uri else []))

    def to_phone(
        self, user: str, from_user: str, headers: tuple[tuple[str, str], ...]
    ) -> Destination:
        """How the phone of a user is called. Our password is for others than our users."""
        return Destination(
            target=f"tel:{quote(user, safe='')}",  # until the phone is found
            route=None,
            from_user=from_user,
            from_host=self.host,
            headers=headers,
            phone=(self.name, user),
        )


def number_of(target: Uri) -> str:
    """Whom a URI means; a number without its visual separators."""
    user = target.user or ""
    return user.translate(_SEPARATORS) if target.scheme == "tel" else user


def same(target: Uri, way: Uri) -> bool:
    """Is this where the way leads? A URI without a port is."""
    return same_host(target, way) and target.port in (None, way.port)


def same_host(target: Uri, way: Uri) -> bool:
    """Is it there, at any port?"""
    return target.host.strip("[]").lower() == way.host.strip("[]").lower()
