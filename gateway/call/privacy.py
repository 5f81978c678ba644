"""Privacy: how what a call's media port sends and hears is protected, once that was agreed. Pure.

Plain, SRTP with keys from the signalling, or SRTP once a DTLS handshake has given them. Two rules
are kept here and nowhere else: what was agreed to be encrypted never leaves in the clear, not
even while keys are awaited, and what comes in the clear then is not heard.

In mid-call keys are changed by another offer and answer. A direction whose key stays goes on with
its counters, also where there was a plain spell between; a new DTLS association leaves the former
keys in use until it has its own.
"""

from __future__ import annotations

from gateway.rtp.dtls import Dtls, Identity
from gateway.rtp.packet import RtpError
from gateway.rtp.srtp import Key, Srtp
from gateway.sdp.crypto import Crypto
from gateway.sdp.security import Sdes, Security


class Privacy:
    """The protection of one call's packets. `identity` is the process's; None: DTLS is not spoken.

    The counts `failed` and `replayed` are packets that did not authenticate and that came twice.
    `plain`: nothing is protected, as agreed.
    """

    def __init__(self, identity: Identity | None = None) -> None:
        self.plain = True
        self._identity = identity
        self._srtp: Srtp | None = None
        self._dtls: Dtls | None = None
        self._association = 0
        self._counted = 0, 0  # with others before

    def agree(self, security: Security, now: float) -> list[bytes]:
        """Take what offer and answer agreed on; returns DTLS datagrams to send to the peer.

        ValueError where DTLS was agreed on without an identity.
        """
        was_plain, self.plain = self.plain, security is None
        if security is None:
            self._dtls, self._association = None, 0
        elif isinstance(security, Sdes):
            self._dtls, self._association = None, 0
            self._use(_key(security.ours), _key(security.theirs))
        elif security.association != self._association:
            if self._identity is None:
                raise ValueError("DTLS needs a certificate of ours")
            prints = [(it.algorithm, it.value) for it in security.peer.fingerprints]
            self._dtls = Dtls(self._identity, security.role, prints)
            self._association = security.association
            if was_plain:
                self._drop()
            return self._dtls.start(now)
        return []

    def forget(self) -> None:
        """Somebody else is at the other end, and nothing is agreed with her yet."""
        self.plain, self._dtls, self._association = False, None, 0
        self._drop()

    @property
    def ready(self) -> bool:
        """Whether anything may leave: until then speech waits, or it would count as heard."""
        return self.plain or self._srtp is not None

    @property
    def shakes(self) -> bool:
        """Whether keys come by DTLS."""
        return self._dtls is not None

    @property
    def suite(self) -> str | None:
        """What packets are protected with now, for the record; None: nothing, or no keys yet."""
        return self._srtp.suite if self._srtp and not self.plain else None

    @property
    def failure(self) -> str | None:
        """Why there will be no keys."""
        return self._dtls.failure if self._dtls else None

    @property
    def failed(self) -> int:
        return self._counted[0] + (self._srtp.failed if self._srtp else 0)

    @property
    def replayed(self) -> int:
        return self._counted[1] + (self._srtp.replayed if self._srtp else 0)

    # -- packets

    def seal(self, packet: bytes) -> bytes | None:
        """An RTP packet in the moment when it leaves; None: it may not."""
        if self.plain or self._srtp is None:
            return packet if self.plain else None
        try:
            return self._srtp.protect(packet)
        except RtpError:  # a number twice, which only a relay sends, or a key that is used up
            return None

    def seal_rtcp(self, packet: bytes) -> bytes | None:
        """A compound RTCP packet in the moment when it leaves; None: it may not."""
        if self.plain or self._srtp is None:
            return packet if self.plain else None
        try:
            return self._srtp.protect_rtcp(packet)
        except RtpError:
            return None

    def open(self, data: bytes) -> bytes:
        """The RTP packet that came. RtpError where it is not the peer's."""
        if self.plain or self._srtp is None:
            return self._as_it_is(data)
        return self._srtp.unprotect(data)

    def open_rtcp(self, data: bytes) -> bytes:
        """The compound RTCP packet that came. RtpError where it is not the peer's."""
        if self.plain or self._srtp is None:
            return self._as_it_is(data)
        return self._srtp.unprotect_rtcp(data)

    # -- the handshake

    @property
    def deadline(self) -> float | None:
        return self._dtls.deadline if self._dtls else None

    def shake(self, data: bytes, now: float) -> list[bytes]:
        """Take a datagram of DTLS from where the peer may be; returns those to send there."""
        if self._dtls is None:
            return []
        before = self._dtls.keys
        datagrams = self._dtls.receive(data, now)
        if self._dtls.keys and not before:
            self._use(*self._dtls.keys)
        return datagrams

    def handle_timer(self, now: float) -> list[bytes]:
        """At the deadline."""
        return self._dtls.handle_timer(now) if self._dtls else []

    # -- inside

    def _use(self, send: Key, receive: Key) -> None:
        if self._srtp:
            self._srtp.rekey(send, receive)
        else:
            self._srtp = Srtp(send, receive)

    def _drop(self) -> None:
        """Have no keys: what came under them still counts."""
        self._counted = self.failed, self.replayed
        self._srtp = None

    def _as_it_is(self, data: bytes) -> bytes:
        if not self.plain:
            raise RtpError("no key yet")
        return data


def _key(line: Crypto) -> Key:
    return Key(line.suite, line.key)
