"""Scrambler: how a phone protects what it sends, and reads what it hears. Pure.

SRTP with keys from the signalling (SDES) or from a DTLS handshake. It is the phone's own, so that
the gateway's rules are not proven by themselves; the arithmetic below both is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.rtp.dtls import Dtls, Identity
from gateway.rtp.packet import RtpError
from gateway.rtp.srtp import Key, Srtp
from gateway.sdp.crypto import Crypto
from gateway.sdp.fingerprint import Role
from gateway.sdp.security import Keying, Sdes, Security


@dataclass(frozen=True, slots=True)
class Secrecy:
    """What a phone wants: the rule for its offers and answers, and its certificate.

    `dtls`: it offers DTLS-SRTP and not SDES; `role`: it insists on its own in the handshake.
    """

    keying: Keying | None = None
    identity: Identity | None = None
    dtls: bool = False
    role: Role | None = None

    def offered(self, description: bytes) -> bytes:
        """Its offer, with the role that it insists on."""
        if self.role is None:
            return description
        return description.replace(b"a=setup:actpass", f"a=setup:{self.role}".encode())


class Scrambler:
    """One stream, both ways. Plain until something else is agreed."""

    def __init__(self, identity: Identity | None) -> None:
        self._identity = identity
        self._plain = True
        self._srtp: Srtp | None = None
        self._dtls: Dtls | None = None
        self._association = 0

    def agree(self, security: Security, now: float) -> list[bytes]:
        """Take what was agreed; returns datagrams of a handshake."""
        self._plain = security is None
        if security is None:
            self._srtp, self._dtls, self._association = None, None, 0
        elif isinstance(security, Sdes):
            self._dtls, self._association = None, 0
            self._use(_key(security.ours), _key(security.theirs))
        elif security.association != self._association:
            assert self._identity  # or its rule would not have taken DTLS
            prints = [(it.algorithm, it.value) for it in security.peer.fingerprints]
            self._dtls = Dtls(self._identity, security.role, prints)
            self._association = security.association
            return self._dtls.start(now)
        return []

    @property
    def ready(self) -> bool:
        """Whether anything can be said."""
        return self._plain or self._srtp is not None

    @property
    def suite(self) -> str | None:
        """What protects its packets; None: nothing."""
        return self._srtp.suite if self._srtp else None

    def seal(self, packet: bytes) -> bytes:
        """A packet as it leaves."""
        return self._srtp.protect(packet) if self._srtp else packet

    def seal_rtcp(self, packet: bytes) -> bytes:
        """An RTCP packet as it leaves."""
        return self._srtp.protect_rtcp(packet) if self._srtp else packet

    def open(self, data: bytes) -> bytes:
        """The packet that came; RtpError."""
        return self._opened(self._srtp.unprotect(data) if self._srtp else data)

    def open_rtcp(self, data: bytes) -> bytes:
        """The RTCP packet that came; RtpError."""
        return self._opened(self._srtp.unprotect_rtcp(data) if self._srtp else data)

    def shake(self, data: bytes, now: float) -> list[bytes]:
        """Take a datagram of a handshake; returns those to send."""
        if self._dtls is None:
            return []
        before = self._dtls.keys
        datagrams = self._dtls.receive(data, now)
        if self._dtls.keys and not before:
            self._use(*self._dtls.keys)
        return datagrams

    def handle_timer(self, now: float) -> list[bytes]:
        """Repeat what got no answer, at any time."""
        return self._dtls.handle_timer(now) if self._dtls else []

    def _opened(self, packet: bytes) -> bytes:
        if not self.ready:
            raise RtpError("no key yet")
        return packet

    def _use(self, send: Key, receive: Key) -> None:
        if self._srtp:
            self._srtp.rekey(send, receive)
        else:
            self._srtp = Srtp(send, receive)


def _key(line: Crypto) -> Key:
    return Key(line.suite, line.key)
