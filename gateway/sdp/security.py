"""Plain, SDES or DTLS-SRTP: how the media of a call is keyed, by offer and answer. Pure.

What a medium offers is read from its attributes more than from its profile:

| profile            | with                        | is                                            |
|--------------------|-----------------------------|-----------------------------------------------|
| RTP/AVP(F)         | nothing                     | plain                                         |
| RTP/AVP(F)         | `a=crypto`, a fingerprint   | best effort (RFC 8643): SRTP if we can, else  |
|                    |                             | plain                                         |
| RTP/SAVP(F)        | `a=crypto`                  | SDES (RFC 4568)                               |
| RTP/SAVP(F)        | a fingerprint alone         | DTLS-SRTP as it was before RFC 5764           |
| UDP/TLS/RTP/SAVP(F)| a fingerprint               | DTLS-SRTP (RFC 5764)                          |

`none` takes the plain ones, `required` the others, `optional` all, encrypted where it can be. Of
SDES and DTLS in one medium SDES is taken, for it needs no handshake before the first word, unless
whoever reads the signalling reads its keys too.

Our own offers, decided by what is in the field: trunks speak SDES and no DTLS; phones speak SDES,
some both. So `required` offers RTP/SAVP with `a=crypto`, and `optional` RTP/AVP with `a=crypto`:
RTP/SAVP is refused (488) by whoever does not encrypt, while RTP/AVP is taken by all, and who
knows no `a=crypto` passes it over as any unknown attribute. baresip, PJSIP, Snom and Yealink offer
the same for "optional". Where the signalling can be read, `optional` offers no keys: they would
hide nothing (RFC 4568 §7.1), and make the INVITE too long for a datagram.

Of suites AES_CM_128_HMAC_SHA1_80 comes first, which everybody has and which is all that some read,
then AEAD_AES_256_GCM for those who may use nothing less; two lines, since an INVITE has to fit a
datagram. DTLS is offered where it was agreed already, or is asked for.

What a later offer and answer change: the same key keeps its context and roll-over counter. When
the peer's key changes in its offer, so does ours: behind the new key may be somebody who does not
know how far our counter is (RFC 4568 §7.1.4). A DTLS association is made anew when fingerprint,
role or tls-id change (RFC 8842 §3.1), and only then.

Left out on purpose: MIKEY, ZRTP, capability negotiation (RFC 5939); tls-id of our own, so a
new association is never our wish; two `m=` lines for one medium, one plain and one not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Final, Literal

from . import crypto, fingerprint
from .crypto import SUITES, Crypto
from .description import (
    INCOMPATIBLE_TRANSPORT,
    Attribute,
    MediaDescription,
    SdpError,
    SessionDescription,
)
from .fingerprint import Fingerprint, Peer, Role

Encryption = Literal["none", "optional", "required"]

PLAIN: Final = ("RTP/AVP", "RTP/AVPF")
SECURE: Final = ("RTP/SAVP", "RTP/SAVPF")
DTLS: Final = ("UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF")
PROFILES: Final = (*PLAIN, *SECURE, *DTLS)
KEYING: Final = frozenset({"crypto", "fingerprint", "setup"})  # attributes that are all in `Keyed`
OFFERED: Final = ("AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM")


@dataclass(frozen=True, slots=True)
class Sdes:
    """Keys from the signalling. Both lines have the same suite."""

    ours: Crypto  # what we send with
    theirs: Crypto  # what they send with


@dataclass(frozen=True, slots=True)
class Dtls:
    """Keys from a handshake on the media path."""

    role: Role  # ours
    peer: Peer
    association: int  # another number: the handshake is to be made anew


Security = Sdes | Dtls | None  # None: plain


@dataclass(frozen=True, slots=True)
class Keyed:
    """How one description of ours keys its medium, and what was agreed on it."""

    profile: str  # of our m= line
    attributes: tuple[Attribute, ...] = field(repr=False)  # for it; keys are among them
    lines: tuple[Crypto, ...] = ()  # those of `attributes`
    security: Security = None  # None also in an offer that has no answer yet
    associations: int = 0  # of DTLS, so far


@dataclass(frozen=True, slots=True)
class Keying:
    """The rule for one call.

    `random` gives that many unpredictable bytes. `certificate` is the fingerprint of ours; without
    it no DTLS is spoken. `role` is ours in a handshake where the peer leaves us the choice: active
    as RFC 5763 §5 wants, passive where the peer is behind NAT and so has to speak first.
    `private` says whether the signalling of this call is encrypted.
    """

    encryption: Encryption
    _: KW_ONLY
    random: Callable[[int], bytes] = field(repr=False)
    certificate: Fingerprint | None = None
    role: Role = "active"
    private: bool = True
    suites: Sequence[str] = OFFERED  # of SDES, in our offers

    def answer(
        self, session: SessionDescription, line: MediaDescription, before: Keyed | None
    ) -> Keyed:
        """Answer an offered medium; `before` is what holds until now. SdpError: 488."""
        profile = line.profile.upper()
        if profile not in PROFILES:
            raise _refusal("neither RTP/AVP nor RTP/SAVP is offered")
        if self.encryption == "none" and profile not in PLAIN:
            raise _refusal("encrypted media is switched off")
        if self.encryption != "none":
            lines, peer, reason = self._ways(session, line, "active")
            if peer and not (lines and self.private):
                return self._dtls_answer(line.profile, peer, before)
            if lines:
                return self._sdes_answer(line.profile, lines, before)
            if profile not in PLAIN or self.encryption == "required":
                raise reason or _refusal("only encrypted media is taken")
        return Keyed(line.profile, (), associations=before.associations if before else 0)

    def offer(self, before: Keyed | None, *, dtls: bool = False) -> Keyed:
        """Make an offer: the first, or one that repeats what holds. `dtls` counts in the first."""
        if before is not None:
            again = replace(before, security=None)
            if isinstance(before.security, Dtls):
                # Whoever was active may become passive by another answer: RFC 8842 §5.5.
                again = replace(again, attributes=self._dtls_attributes("actpass"))
            return again
        if dtls and self.encryption != "none":
            return Keyed(DTLS[0], self._dtls_attributes("actpass"))
        if self.encryption == "none" or (self.encryption == "optional" and not self.private):
            return Keyed(PLAIN[0], ())
        lines = tuple(self._crypto(tag, suite) for tag, suite in enumerate(self.suites, 1))
        profile = SECURE[0] if self.encryption == "required" else PLAIN[0]
        return Keyed(profile, _crypto_attributes(lines), lines)

    def accept(
        self,
        session: SessionDescription,
        line: MediaDescription,
        offered: Keyed,
        before: Keyed | None,
    ) -> Keyed:
        """Take the answer to what was `offered`. SdpError where it is none to it."""
        names = {name for name, _ in offered.attributes}
        lines, peer, reason = self._ways(session, line, "passive")
        if peer and "fingerprint" in names:
            return self._dtls(offered, fingerprint.role_in_offer(peer.setup), peer, before)
        if lines and "crypto" in names:
            ours, theirs = crypto.chosen(offered.lines, lines)
            return replace(offered, security=Sdes(ours, theirs))
        plain = {line.profile.upper(), offered.profile.upper()}.issubset(PLAIN)
        if (reason and names) or not plain or self.encryption == "required":
            raise reason or _refusal("the answer is not encrypted as the offer was")
        return offered

    # -- inside

    def _sdes_answer(self, profile: str, lines: list[Crypto], before: Keyed | None) -> Keyed:
        """Of the offered lines the one that holds already; else the first, and a key of ours."""
        held = before.security if before else None
        theirs, ours = lines[0], None
        if isinstance(held, Sdes):
            for line in lines:
                if (line.suite, line.key) == (held.theirs.suite, held.theirs.key):
                    theirs, ours = line, replace(held.ours, tag=line.tag)
        ours = ours or self._crypto(theirs.tag, theirs.suite)
        associations = before.associations if before else 0
        attributes = _crypto_attributes([ours])
        return Keyed(profile, attributes, (ours,), Sdes(ours, theirs), associations)

    def _dtls_answer(self, profile: str, peer: Peer, before: Keyed | None) -> Keyed:
        held = before.security if before else None
        same = isinstance(held, Dtls) and held.peer.fingerprints == peer.fingerprints
        preferred = held.role if same and isinstance(held, Dtls) else self.role
        role = fingerprint.role_in_answer(peer.setup, preferred)
        return self._dtls(Keyed(profile, self._dtls_attributes(role)), role, peer, before)

    def _dtls(self, ours: Keyed, role: Role, peer: Peer, before: Keyed | None) -> Keyed:
        """The association that goes on, or the next one."""
        held = before.security if before else None
        number = before.associations if before else 0
        if not (
            isinstance(held, Dtls)
            and held.role == role
            and held.peer.fingerprints == peer.fingerprints
            and held.peer.identity == peer.identity
        ):
            number += 1
        return replace(ours, lines=(), security=Dtls(role, peer, number), associations=number)

    def _ways(
        self, session: SessionDescription, line: MediaDescription, setup: Role
    ) -> tuple[list[Crypto], Peer | None, SdpError | None]:
        """How a medium of the peer can be keyed, and what is wrong with a way that cannot be used.

        `setup` stands for one that is missing.
        """
        lines: list[Crypto] = []
        peer, reason = None, None
        try:
            if line.profile.upper() not in DTLS:
                lines = crypto.usable(line)
        except SdpError as error:
            reason = error
        try:
            peer = fingerprint.peer(session, line, setup)
        except SdpError as error:
            reason = reason or error
        if peer and self.certificate is None:
            peer, reason = None, reason or _refusal("DTLS-SRTP is not spoken")
        return lines, peer, reason

    def _dtls_attributes(self, setup: str) -> tuple[Attribute, ...]:
        if self.certificate is None:
            raise ValueError("DTLS needs a certificate of ours")
        return ("fingerprint", self.certificate.encode()), ("setup", setup)

    def _crypto(self, tag: int, suite: str) -> Crypto:
        return Crypto(tag, suite, self.random(SUITES[suite]))


def _crypto_attributes(lines: Sequence[Crypto]) -> tuple[Attribute, ...]:
    return tuple(("crypto", line.encode()) for line in lines)


def _refusal(reason: str) -> SdpError:
    return SdpError(INCOMPATIBLE_TRANSPORT, reason)
