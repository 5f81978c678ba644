"""DTLS-SRTP: RFC 5764 over DTLS 1.2 (RFC 6347), without ICE. Sans I/O; the TLS is OpenSSL's.

One handshake on the media path gives the SRTP keys of both directions; the peer's certificate is
known by the fingerprint in its SDP, and nothing else of it counts. Datagrams go in and out as
bytes: whoever owns the socket lets in only what comes from where the signalling says that the
peer is, for a forged ClientHello from there is the one thing that can delay a handshake.

What arrives may delay, and never end a call: nothing raises, no alert is sent, alerts that came
are not obeyed (the first ones are not authenticated: RFC 6347 §4.1.2.7), broken records are
dropped before OpenSSL sees them, and a handshake that fails (a forged message, a certificate that
is not the peer's) begins anew until 30 s are over. After the handshake nothing is read but the
peer's wish to have our last flight again.

Flights are repeated by two clocks: OpenSSL's, which makes new records of them but begins with 1 s
and follows the time of day, and ours, which is `now` and sends the same records again after 0.25 s.
A peer drops records that it had already, so repeating them harms nothing. Datagrams are no
longer than 1200 bytes.

Left out on purpose: DTLS 1.0 (RFC 8996), cookies in our answers (they cost a round trip of each
call; who lies about his address gets no further than he who is silent), session resumption,
application data, renegotiation, heartbeats, a second handshake for RTCP on a port of its own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from .srtp import SUITES, Key

Fingerprint = tuple[str, bytes]  # name of the hash as in SDP, and what it gives

MTU: Final = 1200  # bytes of a datagram
PATIENCE: Final = 30.0  # s from the first datagram of a handshake to its end
STALLED: Final = 1.0  # s without progress, after which another ClientHello is heard
ABANDONED: Final = 10.0  # s without an answer to our second flight, after which we begin anew
MAX_DATAGRAMS: Final = 50  # of a peer in one second; an honest handshake has ten
# s between repetitions; the third comes just after OpenSSL's own first second.
_WAITS: Final = (0.25, 0.25, 0.55, 1.05)
_EXTRA: Final = 30  # repetitions of our last flight after the end
_LIFE: Final = timedelta(days=3650)  # of a certificate that nobody looks at

_DTLS_1_2: Final = 0xFEFD
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:DHE+AESGCM:!aNULL:!PSK"
_PROFILES: Final = {  # RFC 5764 §4.1.2, RFC 7714 §14.2; by preference
    b"SRTP_AEAD_AES_128_GCM": "AEAD_AES_128_GCM",
    b"SRTP_AES128_CM_SHA1_80": "AES_CM_128_HMAC_SHA1_80",
    b"SRTP_AEAD_AES_256_GCM": "AEAD_AES_256_GCM",
    b"SRTP_AES128_CM_SHA1_32": "AES_CM_128_HMAC_SHA1_32",
}
_LABEL: Final = b"EXTRACTOR-dtls_srtp"  # RFC 5764 §4.2

_HEADER: Final = 13  # bytes before what a record holds, RFC 6347 §4.1
_MESSAGE: Final = 12  # bytes before the body of a handshake message, §4.2.2
_MAX_MESSAGE: Final = 16 * 1024  # a chain of certificates
_MAX_MESSAGES: Final = 16  # of one side in a handshake
_CCS, _ALERT, _HANDSHAKE = 20, 21, 22  # types of records
_CLIENT_HELLO: Final = 1
_CLEAR: Final = b"\0\0"  # the epoch of records that are not encrypted yet
_ENCRYPTED: Final = b"\0\1"  # and of those that are; a handshake has no more
# What the peer may send in the clear: as a server (RFC 5246 §7.4, RFC 6347), as a client.
_EXPECTED: Final = {
    "active": frozenset({2, 3, 4, 11, 12, 13, 14, 22}),
    "passive": frozenset({1, 11, 15, 16}),
}


class Identity:
    """Our certificate, one for all calls of a process, and what OpenSSL needs with it."""

    def __init__(self, now: datetime) -> None:
        """Make a key (ECDSA on P-256) and a certificate signed with it: about 4 ms."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + _LIFE)
            .sign(key, SHA256())
        )
        self._certificate = certificate.public_bytes(Encoding.DER)
        self.context = SSL.Context(SSL.DTLS_METHOD)
        self.context.set_min_proto_version(_DTLS_1_2)
        self.context.set_max_proto_version(_DTLS_1_2)
        self.context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET)
        self.context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self.context.set_cipher_list(_CIPHERS)
        self.context.set_tlsext_use_srtp(b":".join(_PROFILES))
        # Any certificate passes here; the fingerprint decides afterwards.
        demand = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        self.context.set_verify(demand, lambda *_: True)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)

    @property
    def fingerprint(self) -> Fingerprint:
        return "sha-256", hashlib.sha256(self._certificate).digest()


class Dtls:
    """One association with one peer.

    `role` active begins, passive awaits the peer's ClientHello (RFC 5763 §5). `fingerprints`: one
    of them is the peer's certificate's. Call `start` first; send what each call returns; call
    `handle_timer` at the `deadline`; when `keys` is there, that is all. `failure` says why there
    will be none.
    """

    def __init__(
        self,
        identity: Identity,
        role: Literal["active", "passive"],
        fingerprints: Collection[Fingerprint],
    ) -> None:
        self.keys: tuple[Key, Key] | None = None  # ours to send with, theirs to receive with
        self.failure: str | None = None
        self.deadline: float | None = None  # s, as `now`
        self.dropped = 0  # datagrams that were not looked at, or had nothing for us
        self.restarts = 0
        self._identity = identity
        self._role = role
        self._fingerprints = fingerprints
        self._connection: SSL.Connection | None = None
        self._reason = "no answer"  # why it did not succeed yet
        self._hello = b""  # random of the ClientHello that we answer
        self._flight: list[bytes] = []  # our latest datagrams
        self._flights = 0  # of ours in this handshake
        self._tries = 0  # repetitions of the flight
        self._ends = 0.0  # s: when patience does
        self._resume = -math.inf  # s: not before it a new handshake
        self._progress = 0.0  # s: when the flight was new
        self._second = 0.0  # s: when the counted second began
        self._counted = 0

    def start(self, now: float) -> list[bytes]:
        """Begin. Returns the datagrams to send: the ClientHello, or nothing."""
        return self._begin(now) if self._role == "active" else []

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take a datagram of the peer; returns those to send."""
        if self.failure:
            self.dropped += 1
            return []
        expected = _EXPECTED[self._role]
        records = [record for record in _records(data) if _fits(record, expected)]
        if self.keys:
            return self._repeat_last(records, now)
        if alert := next(filter(None, map(_alert, _records(data))), None):
            self._reason = f"the peer refused it: alert {alert}"
        hello = next(filter(None, map(_hello, records)), b"")
        begins = self._role == "passive" and bool(hello) and self._may_begin(hello, now)
        if hello and not begins:  # a copy, or another's: OpenSSL would do nothing with it
            records = [record for record in records if not _hello(record)]
        if not records or not (begins or self._connection) or not self._admits(now):
            self.dropped += 1
            return []
        if begins:
            self._hello = hello
            self._begin(now)
        assert self._connection is not None
        self._connection.bio_write(b"".join(records))
        return self._advance(now)

    def handle_timer(self, now: float) -> list[bytes]:
        """At the deadline: repeat the flight, begin anew, or give up."""
        if self.deadline is None or now < self.deadline:
            return []
        if now >= self._ends:
            self.failure, self._connection, self.deadline = self._reason, None, None
            return []
        if self._connection is None:  # and we are active
            return self._begin(now)
        if self._role == "active" and self._flights > 1 and now - self._progress >= ABANDONED:
            self.restarts += 1  # a forgery may have ended the peer's side of it
            return self._begin(now)
        self._tries += 1
        self._arm(now)
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error:
            return self._fail("the handshake failed", now)
        return _datagrams(self._written()) or self._flight

    # -- inside

    def _begin(self, now: float) -> list[bytes]:
        """Make a handshake, the first or a new one; as a client send its ClientHello."""
        self._connection = connection = SSL.Connection(self._identity.context)
        connection.set_ciphertext_mtu(MTU)
        self._ends = self._ends or now + PATIENCE
        self._flight, self._flights, self._tries, self._progress = [], 0, 0, now
        self._arm(now)
        if self._role == "passive":
            connection.set_accept_state()
            return []
        connection.set_connect_state()
        return self._advance(now)

    def _may_begin(self, hello: bytes, now: float) -> bool:
        """Whether this ClientHello begins a handshake, at first or in place of a stalled one."""
        if self._connection is None:
            return now >= self._resume
        return hello != self._hello and now - self._progress >= STALLED

    def _advance(self, now: float) -> list[bytes]:
        """Let OpenSSL read what was written to it."""
        assert self._connection is not None
        done = False
        try:
            self._connection.do_handshake()
            done = True
        except SSL.WantReadError:
            pass
        except SSL.Error:
            return self._fail("the handshake failed", now)
        if flight := _datagrams(self._written()):
            self._flight, self._tries, self._progress = flight, 0, now
            self._flights += 1
            self._arm(now)
        if done and not self._finish(now):
            return []
        return flight

    def _finish(self, now: float) -> bool:
        """The handshake is over: is it the peer, and what are the keys? RFC 5764 §4.2."""
        assert self._connection is not None
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        der = certificate.public_bytes(Encoding.DER) if certificate else b""
        if not any(_matches(der, *expected) for expected in self._fingerprints):
            self._fail("the certificate is not the one of the fingerprint", now)
            return False
        suite = _PROFILES.get(self._connection.get_selected_srtp_profile())
        if suite is None:
            self._fail("no SRTP profile in common", now)
            return False
        key, salt = SUITES[suite].key_bytes, SUITES[suite].salt_bytes
        material = self._connection.export_keying_material(_LABEL, 2 * (key + salt))
        client = Key(suite, material[:key] + material[2 * key : 2 * key + salt])
        server = Key(suite, material[key : 2 * key] + material[2 * key + salt :])
        self.keys = (client, server) if self._role == "active" else (server, client)
        self._connection, self.deadline, self._tries = None, None, 0
        return True

    def _fail(self, reason: str, now: float) -> list[bytes]:
        """Wait a little, then begin anew: it may have been a forgery."""
        self._reason, self._connection = reason, None
        self.restarts += 1
        self._resume = now + _WAITS[-1]
        self.deadline = min(self._resume, self._ends) if self._role == "active" else self._ends
        return []

    def _repeat_last(self, records: list[bytes], now: float) -> list[bytes]:
        """The peer repeats its last flight: ours, which ends the handshake, was lost."""
        if self._role == "active" or not records or self._tries >= _EXTRA:
            self.dropped += 1
            return []
        if now - self._progress < _WAITS[0] / 2:
            return []
        self._tries, self._progress = self._tries + 1, now
        return self._flight

    def _arm(self, now: float) -> None:
        self.deadline = min(now + _WAITS[min(self._tries, len(_WAITS) - 1)], self._ends)

    def _written(self) -> bytes:
        assert self._connection is not None
        try:
            return self._connection.bio_read(64 * 1024)
        except SSL.WantReadError:
            return b""

    def _admits(self, now: float) -> bool:
        """Not more than so many datagrams a second, of those that OpenSSL has to look at."""
        if now - self._second >= 1.0:
            self._second, self._counted = now, 0
        self._counted += 1
        return self._counted <= MAX_DATAGRAMS


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a datagram; what is behind a broken one is nobody's. RFC 6347 §4.1."""
    while len(data) > _HEADER and data[1] == 0xFE:
        end = _HEADER + int.from_bytes(data[11:13], "big")
        if not _HEADER < end <= len(data):
            return
        yield data[:end]
        data = data[end:]


def _fits(record: bytes, expected: frozenset[int]) -> bool:
    """Whether a record can be part of the handshake. What is encrypted OpenSSL judges."""
    kind, body = record[0], record[_HEADER:]
    if record[3:5] != _CLEAR:
        return kind == _HANDSHAKE and record[3:5] == _ENCRYPTED
    if kind == _CCS:
        return body == b"\x01"
    return kind == _HANDSHAKE and _plausible(body, expected)


def _plausible(body: bytes, expected: frozenset[int]) -> bool:
    """Handshake messages, or fragments of them, that are what their headers say. §4.2.2"""
    while body:
        if len(body) < _MESSAGE or body[0] not in expected:
            return False
        length = int.from_bytes(body[1:4], "big")
        offset = int.from_bytes(body[6:9], "big")
        size = int.from_bytes(body[9:12], "big")
        number = int.from_bytes(body[4:6], "big")
        if length > _MAX_MESSAGE or offset + size > length or number >= _MAX_MESSAGES:
            return False
        if len(body) < _MESSAGE + size:
            return False
        body = body[_MESSAGE + size :]
    return True


def _hello(record: bytes) -> bytes | None:
    """The random of a ClientHello; None where this is not the beginning of one."""
    body = record[_HEADER:]
    if record[0] != _HANDSHAKE or record[3:5] != _CLEAR:
        return None
    if body[0] != _CLIENT_HELLO or body[6:9] != b"\0\0\0":
        return None
    return body[_MESSAGE + 2 : _MESSAGE + 34]


def _alert(record: bytes) -> int | None:
    """The description of an alert in the clear."""
    if record[0] != _ALERT or record[3:5] != _CLEAR or len(record) != _HEADER + 2:
        return None
    return record[-1]


def _datagrams(records: bytes) -> list[bytes]:
    """What OpenSSL wrote, as datagrams of whole records. It makes no record above the MTU."""
    datagrams: list[bytes] = []
    for record in _records(records):
        if datagrams and len(datagrams[-1]) + len(record) <= MTU:
            datagrams[-1] += record
        else:
            datagrams.append(record)
    return datagrams


def _matches(certificate: bytes, algorithm: str, value: bytes) -> bool:
    name = algorithm.lower().replace("-", "")
    return (
        name in hashlib.algorithms_guaranteed and hashlib.new(name, certificate).digest() == value
    )
