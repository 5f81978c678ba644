"""Whose packets are the caller's, and where ours go. Pure.

An RTP port hears anybody. Who follows the first packet hands the call to whoever sprays packets
at a range of ports ("RTP bleed", CVE-2017-14099, CVE-2025-53399). The rule, best first:

1. The signalled address, from exactly the IP and port of the SDP: locked at its first packet.
2. `learn` only: a host that the signalling vouches for (the SDP's IP with another port, or the
   IP that the SIP came from). Its packets pass at once; it is locked after a probation.
3. `learn` only: any other source, after the same probation; nothing of it passes before.

Probation (RFC 3550 A.1, made stricter): 4 packets in a row, in sequence, of one SSRC, over at least
60 ms, and no other source of the same rank meanwhile. Where the signalled address could well
speak for itself, a source of rank 3 must also have been there for a second, so that a sprayer who
comes before the caller does not win; behind NAT (the SDP has a private address, the source a public
one, and the SIP came from no private one) the probation is enough. So ask only from the answer to
the call on: time starts with a packet.

Until a source is locked ours go to the signalled address. A locked source never changes; a new
address in the signalling opens the rule again. Packets of the locked source pass while their
sequence is near the last one; another SSRC or a jump passes with its second packet in order
(RFC 3550 A.1), so a guess from a forged address does not.

RTCP is believed from the locked source alone: from its very port, or from another of its host where
RTCP has ports of its own. There the port that was signalled counts more than one it is heard from,
and what is heard more than a guess. It locks nothing, and before the lock it is nobody's.

Left out on purpose: source addresses are not authenticated by any of this; SRTP does that.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

from .packet import MAX_DROPOUT, MAX_MISORDER, Packet

Address = tuple[str, int]

PROBATION_PACKETS = 4
PROBATION_SPAN = 0.06  # s
PATIENCE = (
    1.0  # s: how long the signalled address may let others talk; also when a silent one is out
)

_PRIVATE = [
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
                    "169.254.0.0/16", "fc00::/7", "fe80::/10")
]  # fmt: skip


@dataclass(slots=True)
class _Candidate:
    """A source on probation."""

    source: Address
    rank: int  # 2: vouched for, 3: any other
    patience: float  # s, how long it must have been the only one
    alone_since: float
    heard: float = 0.0
    packets: int = 0  # in a row
    since: float = 0.0  # the first of them
    ssrc: int = 0
    sequence: int = 0

    def contested(self, now: float) -> None:
        self.packets, self.alone_since = 0, now

    def passes(self, packet: Packet, now: float) -> bool:
        """Count one more of its packets; whether this one ends the probation."""
        follows = packet.ssrc == self.ssrc and packet.sequence == (self.sequence + 1) & 0xFFFF
        if not (follows and self.packets):
            self.packets, self.since = 0, now
        self.packets += 1
        self.ssrc, self.sequence, self.heard = packet.ssrc, packet.sequence, now
        return (
            self.packets >= PROBATION_PACKETS
            and now - self.since >= PROBATION_SPAN
            and now - self.alone_since >= self.patience
        )


class SourceRule:
    """The rule for one call's RTP port.

    `signalled` is the address of the SDP, None while the peer wants nothing (c=0.0.0.0);
    `signalling_host` is the IP that the call's SIP comes from, where it may vouch for media.
    """

    def __init__(
        self,
        mode: Literal["sdp", "learn"],
        signalled: Address | None,
        *,
        signalling_host: str | None = None,
    ) -> None:
        self.target = signalled  # where our packets go; None: nowhere now
        self.locked = False
        self.rejected = 0  # packets from other sources
        self.implausible = 0  # packets of the locked source, out of its sequence
        self._mode = mode
        self._signalled = signalled
        self._signalling_host = signalling_host
        self._source: Address | None = None  # the locked one
        self._former: Address | None = None  # locked before the media moved
        self._held = signalled is None
        self._candidate: _Candidate | None = None
        self._ssrc = 0
        self._sequence = 0
        self._next: tuple[int, int] | None = None  # SSRC and sequence that would prove a jump
        self._control: Address | None = None  # signalled for RTCP
        self._control_heard: Address | None = None

    @property
    def control_target(self) -> Address | None:
        """Where our RTCP goes where it has a port of its own; None: nowhere."""
        if self.target is None or self._control is None:
            return None
        if self._control_heard is not None:
            return self._control_heard
        if self.target == self._signalled:
            return self._control
        host, port = self.target  # behind NAT: the next port is as likely as any
        return (host, port + 1) if port < 65535 else None

    def signal_control(self, address: Address | None) -> None:
        """Take where RTCP goes by the SDP; None: nowhere of its own, as where RTP's port has it."""
        if address != self._control:
            self._control, self._control_heard = address, None

    def accept_control(self, source: Address) -> bool:
        """Whether RTCP from there is the caller's."""
        if self._source is None:
            return False
        if source == self._source:
            return True
        if source != self._control:
            known = self._control is not None and source[0] == self._source[0]
            if self._mode == "sdp" or not known:
                return False
        if self._control_heard != self._control:
            self._control_heard = source
        return True

    def accept(self, packet: Packet, source: Address, now: float) -> bool:
        """Whether this packet is the caller's. `now` in seconds, monotonic."""
        if source == self._source:
            ahead = (packet.sequence - self._sequence) & 0xFFFF
            if packet.ssrc == self._ssrc and ahead < MAX_DROPOUT:
                self._sequence = packet.sequence
                self._next = None
                return True
            return self._plausible(packet, ahead)
        if self.locked or self._signalled is None:
            self.rejected += 1
            return False
        if source == self._signalled:
            self._lock(packet, source)
            return True
        if self._mode == "learn" and self._learn(packet, source, self._signalled, now):
            return True
        self.rejected += 1
        return False

    def is_at(self, packet: Packet) -> bool:
        """Whether this packet is the newest of the locked source."""
        return (
            self.locked
            and packet.sequence == self._sequence
            and packet.ssrc == self._ssrc
            and self._next is None
        )

    def settle(self, packets: int) -> None:
        """Take note of so many packets of the locked source that were next."""
        self._sequence = (self._sequence + packets) & 0xFFFF
        self._next = None

    def excludes(self, source: Address) -> bool:
        """Whether nothing from there is the caller's, whatever it holds: before it is decrypted."""
        if not self.locked or source == self._source:
            return False
        self.rejected += 1
        return True

    def vouches(self, source: Address) -> bool:
        """Whether the caller is likely to be there, before anything that comes can prove it."""
        if self.locked:
            return source == self._source
        if self._signalled is None or source == self._signalled:
            return self._signalled is not None
        return self._mode == "learn" and self._judge(source, self._signalled)[0] == 2

    def resignal(self, address: Address | None) -> None:
        """Take the address of a new SDP (re-INVITE, UPDATE).

        The same address changes nothing. None is a hold: ours stop, theirs still pass. Another
        address is our target at once and opens the rule; the old source's last packets do
        not win it back.
        """
        self._held = address is None
        if address is not None and address != self._signalled:
            self._former = self._source
            self._signalled, self._source, self._candidate = address, None, None
            self._control_heard = None
            self.locked = False
        self.target = None if address is None else self._source or address

    def _lock(self, packet: Packet, source: Address) -> None:
        self.locked, self._source, self._candidate = True, source, None
        self._ssrc, self._sequence, self._next = packet.ssrc, packet.sequence, None
        if not self._held:
            self.target = source

    def _plausible(self, packet: Packet, ahead: int) -> bool:
        """A packet of the locked source that does not follow its last one. RFC 3550 A.1."""
        if packet.ssrc == self._ssrc and ahead > 0x10000 - MAX_MISORDER:
            return True  # late, or twice
        if self._next == (packet.ssrc, packet.sequence):
            self._ssrc, self._sequence, self._next = packet.ssrc, packet.sequence, None
            return True
        self._next = packet.ssrc, (packet.sequence + 1) & 0xFFFF
        self.implausible += 1
        return False

    def _learn(self, packet: Packet, source: Address, signalled: Address, now: float) -> bool:
        candidate = self._candidate
        if candidate is None or source != candidate.source:
            rank, patience = self._judge(source, signalled)
            if candidate and rank >= candidate.rank and now - candidate.heard <= PATIENCE:
                if rank == candidate.rank:  # two who could be the caller: neither is, for now
                    candidate.contested(now)
                return False
            self._candidate = candidate = _Candidate(source, rank, patience, now)
        if candidate.passes(packet, now):
            self._lock(packet, source)
        return self.locked or candidate.rank == 2

    def _judge(self, source: Address, signalled: Address) -> tuple[int, float]:
        """The rank of a source that is not the signalled one, and how long it must be alone."""
        if source == self._former:
            return 3, PATIENCE
        if source[0] in (signalled[0], self._signalling_host):
            return 2, 0.0
        behind_nat = is_private(signalled[0]) and not is_private(source[0])
        if self._signalling_host and is_private(self._signalling_host):
            behind_nat = False  # its SIP came past no NAT, so neither does its sound
        return 3, 0.0 if behind_nat else PATIENCE


def is_private(host: str) -> bool:
    """Whether an address is one that others behind a NAT may have, too."""
    address = ipaddress.ip_address(host)
    return any(address in network for network in _PRIVATE)
