"""Keys in the signalling: `a=crypto` of RFC 4568, with the suites of RFC 7714. Pure.

One line is a tag, a suite and the key that its writer will send with. In an offer each line has a
key of its own; the answer repeats tag and suite of the one it takes, with the answerer's key.

Tolerated: padding of base64 left out, any lifetime, any window size hint, unknown session
parameters marked with `-`. What would need more than we do makes a line unusable, with the
reason: an MKI, several keys, a key derivation rate, streams left unencrypted or unauthenticated,
forward error correction. Another line may still do.

Left out on purpose: F8_128_HMAC_SHA1_80 (nobody has it), AES_192 and AES_256_CM (RFC 6188: who
wants 256 bits gets them by AEAD; libsrtp's binding has no name for them).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from .description import INCOMPATIBLE_TRANSPORT, MediaDescription, SdpError

# Bytes of master key and salt: RFC 4568 §6.2, RFC 7714 §12.
SUITES: Final = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
}

_LINE = re.compile(r"0*([0-9]{1,9})[ \t]+([A-Za-z0-9_]{1,64})[ \t]+([!-~]+)((?:[ \t]+[!-~]+)*)")
_INLINE = re.compile(r"(?i:inline):([A-Za-z0-9+/]{1,128})={0,2}((?:\|[^|]*)*)")
_LIFETIME = re.compile(r"(?:2\^[0-9]{1,2}|[0-9]{1,15})")
_HINT = re.compile(r"(?i:wsh)=[0-9]{1,9}|(?i:kdr)=0")

_REFUSED: Final = {  # session parameters, RFC 4568 §6.3
    "UNENCRYPTED_SRTP": "media without encryption is not spoken",
    "UNENCRYPTED_SRTCP": "RTCP without encryption is not spoken",
    "UNAUTHENTICATED_SRTP": "media without authentication is not spoken",
}


@dataclass(frozen=True, slots=True)
class Crypto:
    """One line that can be used."""

    tag: int
    suite: str  # one of SUITES
    key: bytes = field(repr=False)  # master key, then salt: what its writer sends with

    def encode(self) -> str:
        """The value of a=crypto."""
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}"


def parse(value: str) -> Crypto:
    """Read one value of a=crypto. SdpError, and nothing else, where it cannot be used."""
    match = _LINE.fullmatch(value)
    if not match:
        raise _unusable("a broken a=crypto line")
    tag, suite, keys, parameters = match.groups()
    if suite.upper() not in SUITES:
        raise _unusable(f"none of the crypto suites is {' or '.join(SUITES)}")
    key = _key(keys, SUITES[suite.upper()])
    for parameter in parameters.split():
        _check(parameter)
    return Crypto(int(tag), suite.upper(), key)


def usable(line: MediaDescription) -> list[Crypto]:
    """Those lines of a medium that can be used, in their order.

    Raises the SdpError of the first where none can be; [] where there is no line. Of two with the
    same tag the first counts (§4.1: a tag is unique).
    """
    found: dict[int, Crypto] = {}
    reasons: list[SdpError] = []
    for value in line.values("crypto"):
        try:
            crypto = parse(value)
            found.setdefault(crypto.tag, crypto)
        except SdpError as error:
            reasons.append(error)
    if reasons and not found:
        raise reasons[0]
    return list(found.values())


def chosen(ours: Sequence[Crypto], theirs: Sequence[Crypto]) -> tuple[Crypto, Crypto]:
    """Of our offered lines and the answer's: the one that was taken, and the answer's. §5.1.3.

    Where tag and suite contradict each other the suite counts: some write 1 whatever they took.
    SdpError where the answer has none that we offered.
    """
    for answer in theirs:
        same = [line for line in ours if line.suite == answer.suite]
        if same:
            return next((line for line in same if line.tag == answer.tag), same[0]), answer
    raise _unusable("the answer has no crypto suite of the offer")


def _key(text: str, length: int) -> bytes:
    """Master key and salt of the key parameters. §6.1."""
    if ";" in text:
        raise _unusable("several keys need an MKI, which is not spoken")
    match = _INLINE.fullmatch(text)
    if not match:
        raise _unusable("a broken key in a=crypto")
    encoded, rest = match.groups()
    for part in rest.split("|")[1:]:
        if ":" in part:
            raise _unusable("an MKI is not spoken")
        if not _LIFETIME.fullmatch(part):
            raise _unusable("a broken key in a=crypto")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    except binascii.Error:  # 4 n + 1 characters
        key = b""
    if len(key) != length:
        raise _unusable("a key in a=crypto has not the length of its suite")
    return key


def _check(parameter: str) -> None:
    """Refuse a session parameter that we cannot obey. §6.3."""
    if parameter.upper() in _REFUSED:
        raise _unusable(_REFUSED[parameter.upper()])
    if parameter.startswith("-") or _HINT.fullmatch(parameter):
        return
    raise _unusable("an unknown session parameter in a=crypto")


def _unusable(reason: str) -> SdpError:
    return SdpError(INCOMPATIBLE_TRANSPORT, reason)
