"""Shield: one media port of a call, and how what passes there is protected. Pure.

    packet ─▶ seal ─▶ port ─▶ peer
    packet ◀─ open ◀─ port ◀─ peer        a datagram of DTLS waits for its turn in a tick

A packet is sealed in the moment when it leaves, since no number may be sealed twice, and opened
before anything else is asked of it: what does not authenticate changes nothing, and is counted. A
step of a handshake costs as much as ten packets, so `Handshakes` takes few of them in a tick, one
call after the other. What is one too many is lost, and repeated by the peer.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from gateway.rtp.dtls import Identity
from gateway.rtp.packet import RtpError, is_rtcp
from gateway.rtp.port import RtpPort
from gateway.rtp.source import Address, SourceRule
from gateway.sdp.security import Security

from .privacy import Privacy

STEPS = 8  # of all handshakes, in a tick
INBOX = 8  # datagrams of one handshake that wait


class Shield:
    """That of one port. `broke` is told what goes wrong in a handshake by a mistake of ours."""

    def __init__(
        self,
        port: RtpPort,
        identity: Identity | None = None,
        handshakes: Handshakes | None = None,
        broke: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self.port = port
        self.broke = broke
        self.strangers = 0  # datagrams of DTLS from where the peer is not
        self.early = 0  # packets before there was a key for them
        self.unsent = 0  # packets that could not be sealed
        self._privacy = Privacy(identity)
        self.plain = True  # nothing is protected, as agreed: packets need not come here
        self._handshakes = handshakes or Handshakes()
        self._source: SourceRule | None = None
        self._peer: Address | None = None  # where the handshake is carried on
        self._inbox: deque[tuple[bytes, Address]] = deque()
        self._told: Counter[str] = Counter()  # of `refused`

    def agree(self, security: Security, source: SourceRule, now: float) -> None:
        """Take what offer and answer agreed on; `source` says where the peer may be."""
        self._source, self._peer = source, None
        self.plain = security is None  # first: whatever goes wrong now, nothing leaves plain
        self._send(self._privacy.agree(security, now))
        if self._privacy.deadline is not None:
            self._handshakes.add(self)

    def forget(self) -> None:
        """Somebody else is at the other end; nothing leaves until it is agreed how."""
        self._inbox.clear()
        self._privacy.forget()
        self.plain = False

    def close(self) -> None:
        """Nothing is sent any more."""
        self._inbox.clear()
        self._handshakes.drop(self)
        refused = Counter(self.refused)
        self._handshakes.refused += refused - self._told
        self._told = refused

    @property
    def ready(self) -> bool:
        """Whether anything may leave."""
        return self._privacy.ready

    @property
    def suite(self) -> str | None:
        """What packets are protected with, for the record."""
        return self._privacy.suite

    @property
    def failure(self) -> str | None:
        """Why there are no keys, and will be none."""
        return self._privacy.failure

    @property
    def refused(self) -> dict[str, int]:
        """Datagrams that came and did not count, by the reason."""
        return {
            "srtp_failed": self._privacy.failed,
            "srtp_replayed": self._privacy.replayed,
            "srtp_early": self.early,
            "dtls_from_elsewhere": self.strangers,
        }

    def irregularities(self) -> dict[str, int]:
        """How often something was not as it should be, by name."""
        return {**self.refused, "srtp_unsent": self.unsent}

    # -- packets

    def send(self, packet: bytes, target: Address) -> None:
        """Send RTP, if it may leave."""
        sealed = self._privacy.seal(packet)
        if sealed is None:
            self.unsent += 1
        else:
            self.port.send(sealed, target)

    def send_control(self, packet: bytes, target: Address, *, mux: bool) -> None:
        """Send RTCP by RTP's own port, or the next one.

        There DTLS would need a handshake of its own (RFC 5764 §4), which is not made.
        """
        if not mux and self._privacy.shakes:
            return
        sealed = self._privacy.seal_rtcp(packet)
        if sealed is None:
            self.unsent += 1
        elif mux:
            self.port.send(sealed, target)
        else:
            self.port.send_control(sealed, target)

    def open(self, data: bytes, source: Address) -> bytes | None:
        """The packet that came in a datagram; None: it was none that counts."""
        privacy = self._privacy
        if privacy.plain:
            return data
        if data and 20 <= data[0] <= 63:  # DTLS: RFC 7983 §7
            self._admit(data, source)
            return None
        if not privacy.ready:
            self.early += 1
            return None
        try:
            if is_rtcp(data):
                return privacy.open_rtcp(data)
            if self._source and self._source.excludes(source):
                return None
            return privacy.open(data)
        except RtpError:
            return None

    # -- the handshake

    def due(self, now: float) -> bool:
        """Whether `step` has something to do."""
        deadline = self._privacy.deadline
        return bool(self._inbox) or (deadline is not None and deadline <= now)

    def step(self, now: float) -> bool:
        """Take one step; whether there are more to come."""
        if self._inbox:
            data, source = self._inbox.popleft()
            self._peer = source
            self._send(self._privacy.shake(data, now))
        else:
            self._send(self._privacy.handle_timer(now))
        return bool(self._inbox) or self._privacy.deadline is not None

    def _admit(self, data: bytes, source: Address) -> None:
        """A forged ClientHello delays a handshake: only what comes from a likely place is read."""
        if self._source is None or not self._source.vouches(source):
            self.strangers += 1
        elif len(self._inbox) < INBOX:
            self._inbox.append((data, source))
            self._handshakes.add(self)

    def _send(self, datagrams: list[bytes]) -> None:
        target = self._peer or (self._source.target if self._source else None)
        if target is not None:
            for datagram in datagrams:
                self.port.send(datagram, target)


class Handshakes:
    """Those of the whole process that are under way.

    `refused` is what did not count at ports that are closed by now, of all kinds of encryption.
    """

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()  # by the reason
        self._busy: dict[Shield, None] = {}  # whose turn comes first

    def add(self, shield: Shield) -> None:
        """This one has something to do, now or later."""
        self._busy[shield] = None

    def drop(self, shield: Shield) -> None:
        """This one has nothing more to do; harmless when it had not."""
        self._busy.pop(shield, None)

    def tick(self, now: float) -> None:
        """Take so many steps as a tick has room for; whoever took one waits for the others."""
        for _ in range(STEPS):
            shield = next((it for it in self._busy if it.due(now)), None)
            if shield is None:
                return
            del self._busy[shield]
            try:
                if shield.step(now):
                    self._busy[shield] = None
            except Exception as error:  # a border: a call's fault must stay its own
                shield.broke(error)
