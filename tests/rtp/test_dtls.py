"""DTLS-SRTP: RFC 5764, RFC 6347. Two ends over a link in memory that loses, doubles and delays."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from gateway.rtp.dtls import MAX_DATAGRAMS, MTU, PATIENCE, Dtls, Identity
from gateway.rtp.packet import Packet, encode
from gateway.rtp.srtp import Srtp

NOW = datetime(2026, 11, 21, tzinfo=UTC)
OURS, THEIRS = Identity(NOW), Identity(NOW)
NOBODY = ("sha-256", bytes(32))


def ends() -> tuple[Dtls, Dtls]:
    """The active one and the passive one."""
    return (
        Dtls(OURS, "active", [THEIRS.fingerprint]),
        Dtls(THEIRS, "passive", [OURS.fingerprint]),
    )


class Link:
    """Carries datagrams between two ends on virtual time, with faults from a seed."""

    def __init__(self, a: Dtls, b: Dtls, *, loss: float = 0.0, seed: int = 0) -> None:
        self.now = 100.0
        self.ends = (a, b)
        self.carried = 0
        self._loss, self._random = loss, random.Random(seed)
        self._way: list[tuple[float, int, Dtls, bytes]] = []

    def put(self, receiver: Dtls, datagrams: Sequence[bytes]) -> None:
        for datagram in datagrams:
            for _ in range(2 if self._random.random() < self._loss / 2 else 1):
                if self._random.random() >= self._loss:
                    self.carried += 1
                    delay = 0.02 + (0.1 * self._random.random() if self._loss else 0)
                    self._way.append((self.now + delay, self.carried, receiver, datagram))

    def run(self, until: float = 40.0) -> None:
        """Let time pass until nothing more would happen, or `until` seconds have gone."""
        a, b = self.ends
        last = self.now + until
        while True:
            times = [at for at in (a.deadline, b.deadline, *(it[0] for it in self._way)) if at]
            if not times or min(times) > last:
                return
            self.now = max(self.now, min(times))
            self._way.sort(key=lambda it: it[:2])
            while self._way and self._way[0][0] <= self.now:
                _, _, receiver, datagram = self._way.pop(0)
                self.put(self._other(receiver), receiver.receive(datagram, self.now))
            for end in self.ends:
                self.put(self._other(end), end.handle_timer(self.now))

    def start(self) -> None:
        for end in self.ends:
            self.put(self._other(end), end.start(self.now))

    def _other(self, end: Dtls) -> Dtls:
        return self.ends[1] if end is self.ends[0] else self.ends[0]


def agree(a: Dtls, b: Dtls) -> bool:
    """Whether both have keys that fit."""
    if not a.keys or not b.keys:
        return False
    packet = encode(Packet(0, 1, 1, 1, bytes(160)))
    one, other = Srtp(*a.keys), Srtp(*b.keys)
    there = other.unprotect(one.protect(packet)) == packet
    return there and one.unprotect(other.protect(packet)) == packet


def flights() -> tuple[Dtls, Dtls, list[list[bytes]]]:
    """A handshake, flight by flight, the last of which is not delivered."""
    a, b = ends()
    assert b.start(0.0) == []
    sent = [a.start(0.0)]
    for receiver in (b, a, b):
        sent.append([answer for it in sent[-1] for answer in receiver.receive(it, 0.0)])
    return a, b, sent


class TestHandshake:
    def test_four_flights(self) -> None:
        """RFC 6347 §4.2.4, without cookies."""
        a, b, sent = flights()
        assert [len(flight) for flight in sent] == [1, 1, 1, 1]
        assert a.keys is None
        assert b.keys is not None
        assert a.receive(sent[3][0], 0.0) == []
        assert agree(a, b)
        assert (a.deadline, b.deadline, a.failure, b.failure) == (None, None, None, None)

    def test_what_is_preferred(self) -> None:
        a, b, sent = flights()
        a.receive(sent[3][0], 0.0)
        assert a.keys is not None
        assert b.keys is not None
        assert {key.suite for key in (*a.keys, *b.keys)} == {"AEAD_AES_128_GCM"}
        assert a.keys == b.keys[::-1]
        assert a.keys[0] != a.keys[1]

    def test_each_call_has_keys_of_its_own(self) -> None:
        assert flights()[1].keys != flights()[1].keys

    @pytest.mark.parametrize("algorithm", ["sha-1", "sha-256", "sha-384", "SHA-512"])
    def test_the_fingerprint_by_any_hash(self, algorithm: str) -> None:
        """One of several suffices: RFC 8122 §5."""
        der = Peer().der
        value = hashlib.new(algorithm.lower().replace("-", ""), der).digest()
        a = Dtls(OURS, "active", [NOBODY, (algorithm, value)])
        peer = Peer()
        converse(a, peer)
        assert a.keys is not None

    @pytest.mark.parametrize("seed", range(40))
    def test_over_a_link_that_loses_a_third(self, seed: int) -> None:
        a, b = ends()
        link = Link(a, b, loss=0.3, seed=seed)
        link.start()
        link.run()
        assert agree(a, b)
        assert (a.restarts, b.restarts) == (0, 0)


class TestTimer:
    def test_the_hello_is_repeated_soon(self) -> None:
        """After 0.25 s: the default of RFC 6347 §4.2.4.1 would be heard by the caller."""
        a, _ = ends()
        hello = a.start(10.0)
        times = []
        while a.deadline and a.deadline < 15.0:
            assert a.handle_timer(a.deadline - 0.01) == []
            times.append(round(a.deadline - 10.0, 2))
            assert a.handle_timer(a.deadline) == hello
        assert times == [0.25, 0.5, 1.05, 2.1, 3.15, 4.2]

    def test_nobody_answers(self) -> None:
        a, _ = ends()
        a.start(10.0)
        while a.deadline:
            now = a.deadline
            a.handle_timer(now)
        assert now == 10.0 + PATIENCE
        assert a.failure == "no answer"
        assert a.handle_timer(now + 1) == []
        assert a.receive(b"\x16\xfe\xfd" + bytes(30), now + 1) == []

    def test_nobody_calls(self) -> None:
        """The passive end waits as long as the call does."""
        _, b = ends()
        b.start(10.0)
        assert (b.deadline, b.failure) == (None, None)
        assert b.handle_timer(1000.0) == []

    def test_the_caller_goes_away(self) -> None:
        a, b = ends()
        b.receive(a.start(0.0)[0], 0.0)
        while b.deadline:
            b.handle_timer(b.deadline)
        assert b.failure == "no answer"

    def test_the_last_flight_is_given_again(self) -> None:
        """Who sent it has no timer for it, but answers the one before: RFC 6347 §4.2.4."""
        a, b, sent = flights()
        assert a.deadline is not None
        again = a.handle_timer(a.deadline)
        assert b.receive(again[0], 0.25) == sent[3]
        assert a.receive(sent[3][0], 0.3) == []
        assert agree(a, b)

    def test_but_not_for_ever(self) -> None:
        _, b, sent = flights()
        answers = [b.receive(sent[2][0], 1.0 + step * 0.01) for step in range(500)]
        assert 1 < sum(map(bool, answers)) <= 30
        assert all(map(len, (answer for answer in answers if answer)))

    def test_the_active_end_owes_nothing_afterwards(self) -> None:
        a, _, sent = flights()
        a.receive(sent[3][0], 0.0)
        for flight in sent:
            assert a.receive(flight[0], 1.0) == []


class TestBadPeers:
    @pytest.mark.parametrize("wrong", [[NOBODY], [], [("md5x", b"")], [("shake-128", b"")]])
    def test_another_certificate(self, wrong: list[tuple[str, bytes]]) -> None:
        """No keys; tried again until patience ends, for it may have been somebody else."""
        a, b = Dtls(OURS, "active", wrong), Dtls(THEIRS, "passive", wrong)
        link = Link(a, b)
        link.start()
        link.run()
        assert (a.keys, b.keys) == (None, None)
        assert b.failure == "the certificate is not the one of the fingerprint"
        assert b.restarts > 1

    def test_an_impostor_and_then_the_peer(self) -> None:
        _, b = ends()
        link = Link(Dtls(Identity(NOW), "active", [THEIRS.fingerprint]), b)
        link.start()
        link.run(2.0)
        assert (b.keys, b.restarts > 0) == (None, True)
        a, _ = ends()
        later = Link(a, b)
        later.now = link.now + 2.0
        later.start()
        later.run()
        assert agree(a, b)

    def test_no_profile_in_common(self) -> None:
        peer = Peer(profiles=b"")
        a = Dtls(OURS, "active", [("sha-256", hashlib.sha256(peer.der).digest())])
        converse(a, peer)
        assert (a.keys, a.restarts) == (None, 1)
        now = PATIENCE
        while a.deadline:
            now = max(now, a.deadline)
            a.handle_timer(now)
        assert a.failure == "no SRTP profile in common"

    def test_alerts_are_not_obeyed_but_told(self) -> None:
        """RFC 6347 §4.1.2.7: they may be forged."""
        a, b = ends()
        hello = a.start(0.0)
        assert a.receive(bytes.fromhex("15fefd00000000000000000002022f"), 0.0) == []
        answer = b.receive(hello[0], 0.0)
        last = b.receive(a.receive(answer[0], 0.0)[0], 0.0)
        a.receive(last[0], 0.0)
        assert agree(a, b)
        a, _ = ends()
        a.start(0.0)
        a.receive(bytes.fromhex("15fefd00000000000000000002022f"), 0.0)
        while a.deadline:
            a.handle_timer(a.deadline)
        assert a.failure == "the peer refused it: alert 47"

    def test_a_forged_hello_delays_by_a_second(self) -> None:
        """CVE-2023-49786 and its kin: whoever comes first does not win."""
        forger = Dtls(Identity(NOW), "active", [])
        a, b = ends()
        assert b.receive(forger.start(100.0)[0], 100.0)
        link = Link(a, b)
        link.start()
        link.run()
        assert agree(a, b)
        assert link.now < 102.5

    def test_forged_messages_delay_too(self) -> None:
        """A handshake that OpenSSL gives up begins anew, and its peer goes along."""
        a, b = ends()
        link = Link(a, b)
        link.start()
        body = bytes.fromhex("0200002a 0000 000000 00002a fefd".replace(" ", "")) + bytes(40)
        forged = bytes.fromhex("16fefd 0000 000000000009".replace(" ", "")) + b"\0\x36" + body
        assert a.receive(forged, link.now) == []
        assert a.restarts == 1
        link.run()
        assert agree(a, b)

    def test_a_forgery_that_ends_the_peers_side(self) -> None:
        """It does not answer our second flight any more: after 10 s we begin anew."""
        a, b = ends()
        b.start(100.0)
        answer = b.receive(a.start(100.0)[0], 100.0)
        forged = bytes.fromhex("16fefd00000000000000090010 10000004000100000000000400000000")
        assert b.receive(forged, 100.0) == []
        assert b.restarts == 1
        link = Link(a, b)
        link.put(a, answer)
        link.run()
        assert agree(a, b)
        assert link.now < 111.0

    def test_after_the_end_nothing_is_begun(self) -> None:
        a, b, sent = flights()
        a.receive(sent[3][0], 0.0)
        keys = b.keys
        for _ in range(3):
            b.receive(Dtls(Identity(NOW), "active", []).start(5.0)[0], 5.0)
        assert b.keys is keys
        assert b.failure is None


class TestGarbage:
    @given(st.lists(st.binary(max_size=200), max_size=10), st.booleans())
    @settings(max_examples=100)
    def test_anything(self, datagrams: list[bytes], active: bool) -> None:
        end = ends()[0 if active else 1]
        end.start(0.0)
        for datagram in datagrams:
            end.receive(datagram, 0.0)
        assert end.restarts == 0

    @given(
        st.lists(
            st.none() | st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)),
            min_size=8,
            max_size=8,
        )
    )
    @settings(max_examples=150, deadline=None)
    def test_flights_with_bytes_turned(self, turned: list[tuple[float, int] | None]) -> None:
        """Whatever becomes of it, nothing raises, and no keys come of what was changed."""
        a, b = ends()
        way = [(b, it) for it in a.start(0.0)]
        for turn in turned:
            if not way:
                break
            receiver, datagram = way.pop(0)
            if turn is not None:
                changed = bytearray(datagram)
                changed[int(turn[0] * len(datagram))] ^= turn[1]
                datagram = bytes(changed)
            other = a if receiver is b else b
            way += [(other, it) for it in receiver.receive(datagram, 0.0)]
        if a.keys and b.keys:
            assert agree(a, b)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([20, 21, 22, 23, 24]),
                st.sampled_from([b"\xfe\xfd", b"\xfe\xff", b"\x03\x03"]),
                st.sampled_from([bytes(2), b"\0\1", b"\xff\xff"]),
                st.binary(max_size=60)
                | st.tuples(st.sampled_from([0, 1, 2, 11, 14, 20]), st.integers(0, 40)).map(
                    lambda it: (
                        bytes([it[0]])
                        + it[1].to_bytes(3, "big")
                        + bytes(5)
                        + it[1].to_bytes(3, "big")
                        + bytes(it[1] - it[1] // 39)
                    )
                ),
            ),
            max_size=8,
        ),
        st.booleans(),
    )
    @settings(max_examples=150, deadline=None)
    def test_records_of_nonsense(
        self, records: list[tuple[int, bytes, bytes, bytes]], active: bool
    ) -> None:
        end = ends()[0 if active else 1]
        end.start(0.0)
        for number, (kind, version, epoch, body) in enumerate(records):
            head = bytes([kind]) + version + epoch + number.to_bytes(6, "big")
            end.receive(head + len(body).to_bytes(2, "big") + body, 0.0)
            end.receive(head + (len(body) + 1).to_bytes(2, "big") + body, 0.0)
        assert end.keys is None
        end.handle_timer(2.0)

    def test_a_flood_is_not_looked_at(self) -> None:
        """And a second later the peer is heard again."""
        a, b = ends()
        first, hello = Dtls(OURS, "active", []).start(0.0), a.start(0.0)
        assert b.receive(first[0], 0.0) != []
        fragment = bytes.fromhex("16fefd0000000000000009000d 0b0001000003000000000001 00")
        for _ in range(20 * MAX_DATAGRAMS):
            assert b.receive(fragment, 0.0) == []
        assert b.dropped == 19 * MAX_DATAGRAMS + 1
        assert b.receive(hello[0], 0.9) == []
        assert b.receive(hello[0], 2.5) != []

    def test_what_is_thrown_away_unread_delays_nothing(self) -> None:
        """A thousand a second, and the peer's own hello among them again and again."""
        a, b = ends()
        link = Link(a, b)
        link.start()
        hello = link._way[0][3]
        other = Dtls(OURS, "active", []).start(0.0)[0]
        dice = random.Random(5)
        for n in range(1000):
            link.now = 100.0 + n / 1000
            junk = [
                b"\x16\xfe\xfd" + dice.randbytes(8) + b"\x00\x20" + dice.randbytes(32),
                bytes.fromhex("15fefd00000000000000000002022f"),
                dice.randbytes(80),
                other if n > 25 else b"",
                hello if n > 25 else b"",
            ]
            for end in (a, b):
                end.receive(junk[n % 5], link.now)
            link.run(until=0.001)
            if agree(a, b):
                break
        assert link.now < 100.2

    def test_a_flood_of_hellos_begins_no_more_than_one_handshake_a_second(self) -> None:
        _, b = ends()
        forgers = [Dtls(OURS, "active", []).start(0.0)[0] for _ in range(20)]
        answered = [bool(b.receive(forgers[n % 20], 0.1 * n)) for n in range(100)]
        assert 1 < sum(answered) <= 10


# A peer that is not ours: OpenSSL with other settings


class Peer:
    """The passive end: a certificate of RSA or with a long name, other SRTP profiles."""

    def __init__(self, *, profiles: bytes = b"SRTP_AES128_CM_SHA1_80", names: int = 0) -> None:
        certificate, key = _certificate(names)
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        if profiles:
            context.set_tlsext_use_srtp(profiles)
        self.der = certificate.public_bytes(Encoding.DER)
        self.connection = SSL.Connection(context)
        self.connection.set_ciphertext_mtu(300)
        self.connection.set_accept_state()

    def receive(self, datagram: bytes) -> list[bytes]:
        self.connection.bio_write(datagram)
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            pass
        try:
            records = self.connection.bio_read(65536)
        except SSL.WantReadError:
            return []
        found = []
        while records:
            end = 13 + int.from_bytes(records[11:13], "big")
            found.append(records[:end])
            records = records[end:]
        return found


_made: dict[int, tuple[x509.Certificate, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey]] = {}


def _certificate(
    names: int,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey]:
    """Of RSA where it has names."""
    if names not in _made:
        key = (
            rsa.generate_private_key(65537, 2048)
            if names
            else ec.generate_private_key(ec.SECP256R1())
        )
        name = x509.Name([])
        alternative = x509.SubjectAlternativeName(
            [x509.DNSName(f"phone-{n}.example.com") for n in range(names or 1)]
        )
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
        builder = builder.public_key(key.public_key()).serial_number(1)
        builder = builder.not_valid_before(NOW).not_valid_after(NOW.replace(year=2030))
        certificate = builder.add_extension(alternative, critical=True).sign(key, SHA256())
        _made[names] = certificate, key
    return _made[names]


def converse(a: Dtls, peer: Peer) -> None:
    way = a.start(0.0)
    while way:
        answers = [answer for it in way for answer in peer.receive(it)]
        way = [ours for it in answers for ours in a.receive(it, 0.0)]


class TestOtherPeers:
    @pytest.mark.parametrize(
        ("profile", "suite"),
        [
            (b"SRTP_AES128_CM_SHA1_80", "AES_CM_128_HMAC_SHA1_80"),
            (b"SRTP_AES128_CM_SHA1_32", "AES_CM_128_HMAC_SHA1_32"),
            (b"SRTP_AEAD_AES_128_GCM", "AEAD_AES_128_GCM"),
            (b"SRTP_AEAD_AES_256_GCM", "AEAD_AES_256_GCM"),
        ],
    )
    def test_each_profile(self, profile: bytes, suite: str) -> None:
        """RFC 5764 §4.1.2 and §4.2: the order of the exported keys and salts."""
        peer = Peer(profiles=profile)
        a = Dtls(OURS, "active", [("sha-256", hashlib.sha256(peer.der).digest())])
        converse(a, peer)
        assert a.keys is not None
        ours, theirs = a.keys
        assert ours.suite == suite
        key, salt = {30: (16, 14), 28: (16, 12), 44: (32, 12)}[len(ours.material)]
        block = peer.connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        assert block == (
            ours.material[:key]
            + theirs.material[:key]
            + ours.material[key:]
            + theirs.material[key:]
        )

    def test_a_long_certificate_of_rsa_in_fragments(self) -> None:
        """RFC 6347 §4.2.3."""
        peer = Peer(names=100)
        assert len(peer.der) > 2 * MTU
        a = Dtls(OURS, "active", [("sha-256", hashlib.sha256(peer.der).digest())])
        converse(a, peer)
        assert a.keys is not None


class TestIdentity:
    def test_the_fingerprint_is_the_certificates(self) -> None:
        _, b, _ = flights()
        assert OURS.fingerprint != THEIRS.fingerprint
        assert OURS.fingerprint[0] == "sha-256"
        assert b.keys is not None

    def test_our_datagrams_fit(self) -> None:
        assert all(len(datagram) <= MTU for flight in flights()[2] for datagram in flight)
