"""Digest as SIP has it: RFC 3261 §22.4, RFC 7616, RFC 8760, and RFC 2617 for older peers.

Pure: what a challenge says, what answers it, and whether an answer is right. Both roles:

    `Credentials`     as a client: ours with one trunk, what its last challenges were, when to stop
    `Authorization`   as a server: what a peer answered, and whether it knows the password

A response hash is a riddle whose solution is the password, so nobody gets one who merely asks:
credentials belong to one realm, that of the configuration or of the first challenge that they
answered, and a challenge of another realm is left unanswered. Whoever sends a request decides
whether it carries credentials at all.

Left out on purpose: `userhash` (a server that offers it takes the name in clear as well),
Authentication-Info (§22.4 leaves it open), Basic (§22: forbidden).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Final

from .address import Uri
from .grammar import TOKEN, SipError, split
from .message import Request, Response

MAX_VALUE = 1024  # characters of one parameter; what a peer sends is sent back, and hashed

# Strongest first (RFC 8760 §2.1). OpenSSL need not have all of them.
_HASHES: Final = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}
SUPPORTED: Final = tuple(
    name for name, ours in _HASHES.items() if ours in hashlib.algorithms_available
)
OFFERED: Final = ("SHA-256", "MD5")  # what we as a server ask for, in this order (RFC 8760 §2.4)
QOPS: Final = ("auth", "auth-int")

_KINDS: Final = {  # who asks (§22.2, §22.3)
    401: ("WWW-Authenticate", "Authorization"),
    407: ("Proxy-Authenticate", "Proxy-Authorization"),
}
_PARAM = re.compile(
    rf'(?:({TOKEN.pattern})[ \t]+)?({TOKEN.pattern})[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^\s"]*)'
)
_ESCAPE = re.compile(r"\\(.)")
_NEEDS_ESCAPE = re.compile(r'["\\]')
_HEX_COUNT = re.compile(r"[0-9a-fA-F]{8}")
_MAX_RENEWED = 64  # nonces that were asked for again at once, as remembered

Fields = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Secret:
    """Who somebody is and what proves it, in one realm, by one algorithm."""

    algorithm: str  # one of SUPPORTED
    username: str
    realm: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a nonce (RFC 7616 §3.4). `qop` None: as RFC 2069 had it, without a count."""

    nonce: str
    cnonce: str
    count: str  # nc as on the wire
    qop: str | None
    session: bool = False  # a -sess variant: the nonces are part of A1


def response_of(secret: Secret, use: Use, method: str, uri: str, body: bytes) -> str:
    """The response of RFC 7616 §3.4.1 to §3.4.3, in hexadecimal."""

    def hashed(data: str) -> str:
        return _hash(secret.algorithm, data.encode("utf-8", "surrogateescape"))

    a1 = hashed(f"{secret.username}:{secret.realm}:{secret.password}")
    if use.session:
        a1 = hashed(f"{a1}:{use.nonce}:{use.cnonce}")
    a2 = f"{method}:{uri}"
    if use.qop == "auth-int":
        a2 = f"{a2}:{_hash(secret.algorithm, body)}"
    if use.qop is None:
        return hashed(f"{a1}:{use.nonce}:{hashed(a2)}")
    return hashed(f"{a1}:{use.nonce}:{use.count}:{use.cnonce}:{use.qop}:{hashed(a2)}")


def _hash(algorithm: str, data: bytes) -> str:
    return hashlib.new(_HASHES[algorithm], data, usedforsecurity=False).hexdigest()


# What stands in a header


def quote(value: str) -> str:
    """Write a quoted-string (§25.1)."""
    return f'"{_NEEDS_ESCAPE.sub(_escaped, value)}"'


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"


def _read(values: Iterable[str]) -> Iterator[dict[str, str]]:
    """The parameters of each Digest in headers of one name.

    Several may stand in one line (RFC 7235 §4.1); other schemes are passed over, and so is one
    with a parameter twice (RFC 7616 §3.3) or one that is too long.
    """
    for value in values:
        for scheme, pairs in _schemes(value):
            names = {name for name, _ in pairs}
            longest = max((len(text) for _, text in pairs), default=0)
            if scheme == "digest" and len(names) == len(pairs) and longest <= MAX_VALUE:
                yield dict(pairs)


def _schemes(value: str) -> list[tuple[str, list[tuple[str, str]]]]:
    found: list[tuple[str, list[tuple[str, str]]]] = []
    for element in split(value, ","):
        match = _PARAM.fullmatch(element)
        if match is None:
            if element.lower() == "digest":  # `Digest ,realm=…`
                found.append(("digest", []))
            continue
        scheme, name, text = match.groups()
        if scheme:
            found.append((scheme.lower(), []))
        if found:
            found[-1][1].append((name.lower(), _unquoted(text)))
    return found


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(r"\1", text[1:-1]) if text.startswith('"') else text


def _algorithm(spelled: str | None, known: Iterable[str]) -> tuple[str, bool] | None:
    """The algorithm (MD5 where none is named) and whether it is a -sess variant."""
    plain = (spelled or "MD5").upper()
    session = plain.endswith("-SESS")
    name = plain.removesuffix("-SESS")
    return (name, session) if name in known else None


# As a client


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge that we can answer."""

    realm: str
    nonce: str
    algorithm: str  # one of SUPPORTED
    session: bool
    spelled: str | None  # the algorithm as the challenge has it, and so the answer
    qop: str | None
    opaque: str | None
    stale: bool  # the password was right, the nonce is too old


def challenges(values: Iterable[str]) -> list[Challenge]:
    """Those that we can answer, of all WWW-Authenticate or Proxy-Authenticate of a response."""
    return [found for params in _read(values) if (found := _challenge(params))]


def _challenge(params: dict[str, str]) -> Challenge | None:
    spelled = params.get("algorithm")
    algorithm = _algorithm(spelled, SUPPORTED)
    offered = [qop.strip(" \t").lower() for qop in params.get("qop", "").split(",")]
    qop = next((qop for qop in QOPS if qop in offered), None)
    if algorithm is None or (qop is None and offered != [""]):
        return None
    if "realm" not in params or not params.get("nonce"):
        return None
    return Challenge(
        realm=params["realm"],
        nonce=params["nonce"],
        algorithm=algorithm[0],
        session=algorithm[1],
        spelled=spelled,
        qop=qop,
        opaque=params.get("opaque"),
        stale=params.get("stale", "").lower() == "true",
    )


@dataclass(slots=True)
class _Known:
    """The latest challenge of a peer, for its next requests (§22.2)."""

    challenge: Challenge
    cnonce: str
    uses: int = 0


@dataclass(slots=True, eq=False)
class Credentials:
    """Ours with one trunk; one object, shared by all requests that go there.

    `realm` None: that of the first challenge that they answer. `token` returns a new random
    string at each call.
    """

    username: str
    password: str = field(repr=False)
    realm: str | None = None
    _: KW_ONLY
    token: Callable[[], str] = field(repr=False)
    _known: dict[str, _Known] = field(default_factory=dict, repr=False)  # by header of the answer
    _renewed: deque[str] = field(
        default_factory=lambda: deque(maxlen=_MAX_RENEWED), repr=False
    )  # nonces that replaced one which was stale at its first use

    def answer(self, response: Response, request: Request) -> Fields | None:
        """All Authorization and Proxy-Authorization that the repetition is to carry.

        `request` is the one that was refused, as it went. None: no challenge in this 401 or 407
        that we may answer (another realm) or can (algorithm, qop), or the same answer was refused
        already: then the password is wrong.
        """
        if response.status not in _KINDS:
            return None
        asks, answers = _KINDS[response.status]
        challenge = self._choose(response.headers.all(asks))
        if challenge is None or not self._may_answer(challenge, answers, request):
            return None
        self.realm = challenge.realm
        self._known[answers] = _Known(challenge, self.token())
        return self.authorize(request)

    def authorize(self, request: Request) -> Fields:
        """The same for a request that nobody has challenged yet; [] when nothing is known."""
        return [(name, self._write(known, request)) for name, known in self._known.items()]

    def _choose(self, values: Iterable[str]) -> Challenge | None:
        """The strongest of our realm; of equals the first (RFC 8760 §2.4)."""
        ours = [it for it in challenges(values) if self.realm in {None, it.realm}]
        return min(ours, key=lambda it: SUPPORTED.index(it.algorithm), default=None)

    def _may_answer(self, challenge: Challenge, answers: str, request: Request) -> bool:
        """Could an answer help, after the one that `request` had?"""
        used = next(_read(request.headers.all(answers)), None)
        if used is None:
            return True
        if used.get("nonce") == challenge.nonce:
            return False
        if self._was_reused(used, answers):
            return True  # an old nonce: few servers say that it is stale
        if not challenge.stale or used.get("nonce") in self._renewed:
            return False
        self._renewed.append(challenge.nonce)
        return True

    def _was_reused(self, used: dict[str, str], answers: str) -> bool:
        if "nc" in used:
            return used["nc"] != "00000001"
        known = self._known.get(answers)
        return known is None or known.uses > 1

    def _write(self, known: _Known, request: Request) -> str:
        challenge = known.challenge
        known.uses += 1
        count = f"{known.uses:08x}"
        secret = Secret(challenge.algorithm, self.username, challenge.realm, self.password)
        use = Use(challenge.nonce, known.cnonce, count, challenge.qop, challenge.session)
        params = [
            f"username={quote(self.username)}",
            f"realm={quote(challenge.realm)}",
            f"nonce={quote(challenge.nonce)}",
            f"uri={quote(request.uri)}",
            f'response="{response_of(secret, use, request.method, request.uri, request.body)}"',
        ]
        if challenge.spelled is not None:
            params.append(f"algorithm={challenge.spelled}")
        if challenge.qop or challenge.session:
            params.append(f"cnonce={quote(known.cnonce)}")
        if challenge.qop:
            params += [f"qop={challenge.qop}", f"nc={count}"]
        if challenge.opaque is not None:
            params.append(f"opaque={quote(challenge.opaque)}")
        return f"Digest {', '.join(params)}"


# As a server


@dataclass(frozen=True, slots=True)
class Authorization:
    """What a peer answered to a challenge of ours; its `count` is nc as a number."""

    username: str
    realm: str
    uri: str
    response: str
    algorithm: str  # one of OFFERED
    use: Use

    @property
    def count(self) -> int:
        return int(self.use.count, 16)

    @classmethod
    def read(cls, request: Request) -> list[Authorization]:
        """Every Authorization of a request that could be an answer to a challenge of ours.

        Of one that lacks anything, or has not what we offered (§22.4: a qop), nothing is left.
        """
        fields = _read(request.headers.all("Authorization"))
        return [found for params in fields if (found := cls._of(params))]

    @classmethod
    def _of(cls, params: dict[str, str]) -> Authorization | None:
        names = ("username", "realm", "nonce", "uri", "response", "cnonce", "nc", "qop")
        if any(name not in params for name in names):
            return None
        username, realm, nonce, uri, response, cnonce, count, qop = (params[it] for it in names)
        algorithm = _algorithm(params.get("algorithm"), OFFERED)
        if algorithm is None or algorithm[1] or qop not in QOPS or not _HEX_COUNT.fullmatch(count):
            return None
        use = Use(nonce, cnonce, count, qop)
        return cls(username, realm, uri, response.lower(), algorithm[0], use)

    def proves(self, request: Request, password: str) -> bool:
        """Does who sent this know the password? Of nonce and count nothing is said here."""
        secret = Secret(self.algorithm, self.username, self.realm, password)
        right = response_of(secret, self.use, request.method, self.uri, request.body)
        given = self.response.encode("utf-8", "surrogateescape")
        return hmac.compare_digest(right.encode(), given) and same_target(self.uri, request.uri)


def same_target(uri: str, request_uri: str) -> bool:
    """Is this digest's uri the Request-URI, as far as somebody on the way may not have changed it?

    Ports and parameters may be another's, the user and the host not.
    """
    if uri == request_uri:
        return True
    try:
        one, other = Uri.parse(uri), Uri.parse(request_uri)
    except SipError:
        return False
    return (one.name, one.host.lower()) == (other.name, other.host.lower())
