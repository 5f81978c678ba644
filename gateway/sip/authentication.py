"""Who is let in: callers known by their address, users who prove a password (RFC 3261 §22).

Pure. `Screen` is asked for each request that belongs to no dialog and no transaction:

    from an address of a trunk               that trunk; its password is never asked for
    INVITE, REGISTER where there are users   401, until the user has proven its password
    anything else                            silence

A stranger learns nothing: OPTIONS, a request that cannot be read and one for a call that is not
there are left unanswered; an unknown user and a wrong password look the same and cost the same. It
costs us nothing: until the password is proven nothing is kept but a few numbers of its address, the
401 is sent without a transaction, as one datagram for one that came, for no more than a few in a
second, and none of them is much longer than what it answers (`is_fair`): whoever forges a source
can make us a nuisance to nobody.

A nonce is its time and a signature, so that none has to be kept before it was used. Of those that
were, the count has to go up (RFC 7616 §3.4): a request that was overheard cannot be sent again.

REGISTER is asked for its password wherever it comes from, since a binding is a user's, and an
address does not say whose.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final

from .digest import OFFERED, QOPS, Authorization, quote
from .event import Flow, Identity
from .message import Request
from .uas import Rejection

LIFETIME: Final = 60.0  # s for which a nonce is taken; then stale=true brings a new one
MAX_COUNTS = 10_000  # nonces in use whose count is kept
RATE, BURST = 8.0, 16.0  # requests in a second, and at once, that a strange address is answered
MAX_STRANGERS = 4096  # addresses that this is kept of
MAX_ANSWERS = 4  # Authorization headers of a request that are looked at
SLACK = 320  # bytes: the challenges of one realm but for its name, and what else is no echo

_TIME, _SALT, _MAC = 6, 6, 12  # bytes of a nonce; 24 are 32 characters of base64
_NONCE = re.compile(r"[A-Za-z0-9_\-]{32}")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of a trunk; its realm offers what each of its users may prove the password by."""

    trunk: str
    password: str = field(repr=False)
    algorithms: tuple[str, ...] = OFFERED


class Nonces:
    """Nonces that prove by themselves when and for whom they were made. `key`: 32 random bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._counts: dict[str, tuple[float, int]] = {}  # nonce -> when made, its last count
        self._floor = -1.0  # nonces made until then are not taken any more

    def make(self, host: str, request: Request, now: float) -> str:
        """A nonce for whoever sent `request` from `host`; the same for a copy at the same time."""
        headers = request.headers
        of = f"{headers.call_id} {headers.cseq.number} {headers.from_.tag}"
        salt = self._sign(of.encode("utf-8", "surrogateescape"))
        made = int(now * 1000).to_bytes(_TIME, "big") + salt[:_SALT]
        return urlsafe_b64encode(made + self._signature(made, host)).decode()

    def use(self, nonce: str, count: int, host: str, now: float) -> bool:
        """Take a nonce with this count; False if it is not ours, too old or was used so already."""
        made = self._made(nonce, host)
        if made is None or not max(self._floor, now - LIFETIME) < made <= now:
            return False
        _, last = self._counts.get(nonce, (made, 0))
        if count <= last:
            return False
        self._forget(now)
        self._counts[nonce] = (made, count)
        return True

    def _made(self, nonce: str, host: str) -> float | None:
        if not _NONCE.fullmatch(nonce):
            return None
        raw = urlsafe_b64decode(nonce)
        made, signature = raw[: _TIME + _SALT], raw[_TIME + _SALT :]
        if not hmac.compare_digest(signature, self._signature(made, host)):
            return None
        return int.from_bytes(made[:_TIME], "big") / 1000

    def _signature(self, made: bytes, host: str) -> bytes:
        return self._sign(made + host.encode())[:_MAC]

    def _sign(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, hashlib.sha256)

    def _forget(self, now: float) -> None:
        """Drop counts of nonces that are too old, and the oldest where there are too many.

        Whoever used one that was dropped early is asked again; a count that is forgotten must not
        begin anew.
        """
        while self._counts:
            nonce, (made, _) = next(iter(self._counts.items()))
            if made > now - LIFETIME:
                if len(self._counts) < MAX_COUNTS:
                    return
                self._floor = max(self._floor, made)
            del self._counts[nonce]


class Buckets:
    """How often each strange address is answered. One /64 of IPv6 is one (RFC 6177 §2)."""

    def __init__(self) -> None:
        self._levels: dict[str, tuple[float, float]] = {}  # address -> tokens, when

    def take(self, host: str, now: float) -> bool:
        """Whether one more request of this address is served."""
        key = _neighbourhood(host)
        level, since = self._levels.pop(key, (BURST, now))
        level = min(BURST, level + (now - since) * RATE)
        served = level >= 1
        self._levels[key] = (level - 1 if served else level, now)
        if len(self._levels) > MAX_STRANGERS:
            del self._levels[next(iter(self._levels))]  # the one that was quiet for longest
        return served


def _neighbourhood(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return str(int(address) >> 64) if isinstance(address, IPv6Address) else host


class Screen:
    """Who sent a request, as far as we let anybody in.

    `knows` names the trunk that an IP address belongs to, None for a stranger's. `accounts` are the
    users, by realm and name.
    """

    def __init__(
        self,
        *,
        knows: Callable[[str], Identity | None],
        accounts: Mapping[tuple[str, str], Account],
        key: bytes,
    ) -> None:
        self.knows = knows
        self._accounts = accounts
        self._offers = {
            realm: _offer(account for (of, _), account in accounts.items() if of == realm)
            for realm, _ in accounts
        }
        self._nonces = Nonces(key)
        self._buckets = Buckets()
        self._nobody = Account("", key.hex())  # whose password nobody knows

    @property
    def asks(self) -> bool:
        """Are there users, so that a stranger may be one?"""
        return bool(self._accounts)

    def judge(self, request: Request, flow: Flow, now: float) -> Identity | Rejection | None:
        """Who sent this request; or what to answer, without a transaction; None: nothing."""
        host = flow.remote[0]
        known = self.knows(host)
        if known and not (request.method == "REGISTER" and self.asks):
            return known
        if not self.asks or request.method not in {"INVITE", "REGISTER"}:
            return None
        if known is None and not self._buckets.take(host, now):
            return None
        return self._authenticate(request, host, now)

    def is_fair(self, request: Request, answer: bytes, flow: Flow) -> bool:
        """May this be sent to a stranger? Not what is much more than its request was (RFC 3261
        §26.3.2.4); on a connection nobody can be somebody else.
        """
        more = sum(SLACK + len(OFFERED) * len(realm) for realm in self._offers)
        return flow.transport != "udp" or len(answer) <= len(request.encode()) + more

    def _authenticate(self, request: Request, host: str, now: float) -> Identity | Rejection:
        stale = False
        for answer in Authorization.read(request)[:MAX_ANSWERS]:
            account = self._accounts.get((answer.realm, answer.username))
            # an unknown user is computed as well, lest the time tell that there is none
            proven = answer.proves(request, (account or self._nobody).password)
            if account and proven and answer.algorithm in self._offers[answer.realm]:
                if self._nonces.use(answer.use.nonce, answer.count, host, now):
                    return Identity(account.trunk, answer.username)
                stale = True
        return self._challenge(self._nonces.make(host, request, now), stale=stale)

    def _challenge(self, nonce: str, *, stale: bool) -> Rejection:
        """Each realm, by each of its algorithms, the stronger one first (RFC 8760 §2.3)."""
        suffix = ", stale=true" if stale else ""
        return Rejection(
            401,
            tuple(
                (
                    "WWW-Authenticate",
                    f'Digest realm={quote(realm)}, nonce="{nonce}", algorithm={algorithm}, '
                    f'qop="{",".join(QOPS)}"{suffix}',
                )
                for realm, algorithms in self._offers.items()
                for algorithm in algorithms
            ),
        )


def _offer(accounts: Iterable[Account]) -> tuple[str, ...]:
    wanted = {algorithm for account in accounts for algorithm in account.algorithms}
    return tuple(algorithm for algorithm in OFFERED if algorithm in wanted)
