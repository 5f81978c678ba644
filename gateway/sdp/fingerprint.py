"""Whose certificate, and who begins: `a=fingerprint` of RFC 8122, `a=setup` of RFC 4145 as
RFC 5763 uses it, `a=tls-id` of RFC 8842. Pure.

Left out on purpose: connections over TCP (`a=connection`); MD5 and MD2, which RFC 8122 forbids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from .description import INCOMPATIBLE_TRANSPORT, MediaDescription, SdpError, SessionDescription

Role = Literal["active", "passive"]  # who sends the ClientHello, and who awaits it

# Bytes of a value; strongest first.
HASHES: Final = {"sha-512": 64, "sha-384": 48, "sha-256": 32, "sha-224": 28, "sha-1": 20}
MAX_FINGERPRINTS = 8

_FINGERPRINT = re.compile(r"([A-Za-z0-9-]{1,16})[ \t]+((?:[0-9A-Fa-f]{2}:){15,63}[0-9A-Fa-f]{2})")
_OTHER: Final[dict[str, Role]] = {"active": "passive", "passive": "active"}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What the certificate of a DTLS peer hashes to."""

    algorithm: str  # one of HASHES
    value: bytes

    def encode(self) -> str:
        """The value of a=fingerprint."""
        return f"{self.algorithm} {self.value.hex(':').upper()}"


@dataclass(frozen=True, slots=True)
class Peer:
    """The peer of a DTLS association, as its description has it."""

    fingerprints: tuple[Fingerprint, ...]  # any one of them; all by the strongest hash
    setup: str  # "active", "passive" or "actpass"
    identity: str | None  # a=tls-id


def peer(session: SessionDescription, line: MediaDescription, default: Role) -> Peer | None:
    """Who a medium is to be keyed with by DTLS; None where it names no certificate.

    What the medium lacks is taken from the session. `default` stands for a missing a=setup: active
    in an offer, passive in an answer (RFC 4145 §4). SdpError where nothing can be used.
    """
    values = _values(session, line, "fingerprint")
    if not values:
        return None
    known = [found for value in values[:MAX_FINGERPRINTS] if (found := _fingerprint(value))]
    if not known:
        raise _unusable("no fingerprint by a hash that is spoken")
    strongest = min((it.algorithm for it in known), key=list(HASHES).index)
    setup = next(iter(_values(session, line, "setup")), default).lower()
    if setup not in ("active", "passive", "actpass"):
        raise _unusable("a setup that is neither active, passive nor actpass")
    identity = next(iter(_values(session, line, "tls-id")), None)
    return Peer(tuple(it for it in known if it.algorithm == strongest), setup, identity)


def role_in_answer(setup: str, preferred: Role) -> Role:
    """Ours, when the offer said this. RFC 5763 §5."""
    return _OTHER.get(setup, preferred)


def role_in_offer(setup: str) -> Role:
    """Ours, when the answer to our actpass said this. SdpError where it left the choice to us."""
    if setup == "actpass":
        raise _unusable("an answer has to choose active or passive")
    return _OTHER[setup]


def _values(session: SessionDescription, line: MediaDescription, name: str) -> Sequence[str]:
    return list(line.values(name)) or list(_session_values(session, name))


def _session_values(session: SessionDescription, name: str) -> Iterator[str]:
    return (value for key, value in session.attributes if key == name and value is not None)


def _fingerprint(value: str) -> Fingerprint | None:
    """None where it is broken or by a hash that we do not trust: another may still do."""
    match = _FINGERPRINT.fullmatch(value)
    if not match:
        return None
    algorithm, digest = match[1].lower(), bytes.fromhex(match[2].replace(":", ""))
    return Fingerprint(algorithm, digest) if HASHES.get(algorithm) == len(digest) else None


def _unusable(reason: str) -> SdpError:
    return SdpError(INCOMPATIBLE_TRANSPORT, reason)
