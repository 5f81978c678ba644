"""SRTP and SRTCP: RFC 3711, its AEAD transforms of RFC 7714. Pure; the arithmetic is libsrtp's.

What is to be known beyond the RFCs:

- A packet that does not authenticate changes nothing: neither the roll-over counter, nor the
  replay window, nor the set of streams. So ask SRTP first and judge the source afterwards.
- Every SSRC has its own roll-over counter, on both sides, and begins at 0. One direction's
  counters live as long as its key does: `rekey` with the same key keeps them (RFC 4568 §7.1.4),
  with another begins anew. What is still on the way under the former key is heard until the first
  packet under the new one.
- A receiver guesses the counter from the sequence number (RFC 3711 §3.3.1), so whoever begins a
  stream shall begin it below 2^15, or a first packet that is lost at a wrap silences it.

A key dies after 2^48 packets or 2^31 of RTCP (§9.2), which libsrtp counts. A shorter lifetime that
the peer announced is its own duty: to stop hearing it would help nobody.

Left out on purpose: the MKI, key derivation rates, streams without encryption or authentication,
and header extensions that are encrypted (RFC 6904).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pylibsrtp import Error, Policy, Session

from .packet import RtpError

# Streams of one peer that are remembered. Beyond it the oldest is forgotten, its replay window too.
MAX_STREAMS = 16


@dataclass(frozen=True, slots=True)
class Suite:
    """How packets are protected: RFC 4568 §6.2, RFC 7714 §12."""

    profile: int  # libsrtp's number
    key_bytes: int
    salt_bytes: int


SUITES: Final = {
    "AES_CM_128_HMAC_SHA1_80": Suite(Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
    "AES_CM_128_HMAC_SHA1_32": Suite(Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 16, 14),
    "AEAD_AES_128_GCM": Suite(Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    "AEAD_AES_256_GCM": Suite(Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
}


@dataclass(frozen=True, slots=True)
class Key:
    """The master key of one direction. ValueError where its length is not the suite's."""

    suite: str  # one of SUITES
    material: bytes = field(repr=False)  # key, then salt

    def __post_init__(self) -> None:
        suite = SUITES[self.suite]
        if len(self.material) != suite.key_bytes + suite.salt_bytes:
            raise ValueError("the length of a key is its suite's")


class Srtp:
    """Both directions of one call.

    A packet is protected in the moment when it leaves, for that is done once: two of one number
    would give away the content of both (RFC 3711 §9.1), so the second raises.
    """

    def __init__(self, send: Key, receive: Key) -> None:
        self.failed = 0  # packets that did not authenticate
        self.replayed = 0  # packets that came twice, or too late to tell
        self._send, self._receive = send, receive
        self._sender = _sender(send)
        self._receiver = _Receiver(receive)
        self._former: _Receiver | None = None

    @property
    def suite(self) -> str:
        """What our own packets are protected with."""
        return self._send.suite

    def rekey(self, send: Key, receive: Key) -> None:
        """Take the keys of a new offer and answer; a direction whose key stays, stays."""
        if send != self._send:
            self._send, self._sender = send, _sender(send)
        if receive != self._receive:
            self._former, self._receive = self._receiver, receive
            self._receiver = _Receiver(receive)

    # In the four below: RtpError, and nothing else, for whatever the network may send.

    def protect(self, packet: bytes) -> bytes:
        """One RTP packet as it leaves. RtpError when its number or its key is used up."""
        return _of_ours(self._sender.protect, packet)

    def protect_rtcp(self, packet: bytes) -> bytes:
        """One compound RTCP packet as it leaves. RtpError when its key is used up."""
        return _of_ours(self._sender.protect_rtcp, packet)

    def unprotect(self, data: bytes) -> bytes:
        """The RTP packet that came in these bytes."""
        try:
            packet = self._receiver.unprotect(data)
        except (Error, ValueError) as error:
            if self._former is None:
                raise self._refusal(error) from None
            try:
                return self._former.unprotect(data)
            except (Error, ValueError):
                raise self._refusal(error) from None
        self._former = None
        return packet

    def unprotect_rtcp(self, data: bytes) -> bytes:
        """The compound RTCP packet that came in these bytes."""
        try:
            return self._receiver.unprotect_rtcp(data)
        except (Error, ValueError) as error:
            if self._former is None:
                raise self._refusal(error) from None
            try:
                return self._former.unprotect_rtcp(data)
            except (Error, ValueError):
                raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> RtpError:
        if str(error).startswith("replay"):
            self.replayed += 1
            return RtpError("came twice, or too late")
        self.failed += 1
        return RtpError("not authentic")


class _Receiver:
    """One key's streams of the peer, not more of them than MAX_STREAMS."""

    def __init__(self, key: Key) -> None:
        self.session = Session(_policy(key, Policy.SSRC_ANY_INBOUND))
        self._ssrcs: dict[bytes, None] = {}  # oldest first

    def unprotect(self, data: bytes) -> bytes:
        packet = self.session.unprotect(data)
        if packet[8:12] not in self._ssrcs:
            self._add(packet[8:12])
        return packet

    def unprotect_rtcp(self, data: bytes) -> bytes:
        packet = self.session.unprotect_rtcp(data)
        if packet[4:8] not in self._ssrcs:
            self._add(packet[4:8])
        return packet

    def _add(self, ssrc: bytes) -> None:
        self._ssrcs[ssrc] = None
        if len(self._ssrcs) > MAX_STREAMS:
            oldest = next(iter(self._ssrcs))
            del self._ssrcs[oldest]
            self.session.remove_stream(int.from_bytes(oldest, "big"))


def _sender(key: Key) -> Session:
    return Session(_policy(key, Policy.SSRC_ANY_OUTBOUND))


def _policy(key: Key, direction: int) -> Policy:
    suite = SUITES[key.suite]
    return Policy(key=key.material, ssrc_type=direction, srtp_profile=suite.profile)


def _of_ours(protect: Callable[[bytes], bytes], packet: bytes) -> bytes:
    try:
        return protect(packet)
    except (Error, ValueError) as error:
        raise RtpError(f"cannot be protected: {error}") from None
