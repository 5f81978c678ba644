"""SRTP: RFC 3711 and RFC 7714, against a second implementation that is proved by their vectors."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.rtp.packet import Packet, RtpError, encode
from gateway.rtp.srtp import MAX_STREAMS, SUITES, Key, Srtp

CM_80, CM_32 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
GCM_128, GCM_256 = "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"
TAGS = {CM_80: 10, CM_32: 4, GCM_128: 16, GCM_256: 16}  # bytes that a packet grows by
every_suite = pytest.mark.parametrize("suite", SUITES)


def key(suite: str, seed: int = 0) -> Key:
    material = hashlib.shake_256(b"%d" % seed)
    return Key(suite, material.digest(SUITES[suite].key_bytes + SUITES[suite].salt_bytes))


def packet(sequence: int, ssrc: int = 0xCAFEBABE, payload: bytes = b"\xd5" * 160) -> bytes:
    return encode(Packet(8, sequence, sequence * 160, ssrc, payload))


def report(ssrc: int = 0xCAFEBABE) -> bytes:
    """An empty receiver report."""
    return struct.pack("!BBHI", 0x80, 201, 1, ssrc)


def ends(suite: str = CM_80) -> tuple[Srtp, Srtp]:
    return Srtp(key(suite, 1), key(suite, 2)), Srtp(key(suite, 2), key(suite, 1))


# The second implementation, as short as the RFCs are long


def keystream(cipher_key: bytes, iv: int, length: int) -> bytes:
    """AES in counter mode, RFC 3711 §4.1.1."""
    counter = Cipher(algorithms.AES(cipher_key), modes.CTR(iv.to_bytes(16, "big"))).encryptor()
    return counter.update(bytes(length))


def derive(master: bytes, salt: bytes, label: int, length: int) -> bytes:
    """A session key, RFC 3711 §4.3.1; the salts of RFC 7714 are two bytes shorter (§11)."""
    x = int.from_bytes(salt.ljust(14, b"\0"), "big") ^ (label << 48)
    return keystream(master, x << 16, length)


def gcm(cipher_key: bytes, salt: bytes, roc: int, rtp: bytes) -> bytes:
    """RFC 7714 §8.1 and §9.1."""
    iv = int.from_bytes(b"\0\0" + rtp[8:12] + struct.pack("!I", roc) + rtp[2:4], "big")
    nonce = (iv ^ int.from_bytes(salt, "big")).to_bytes(12, "big")
    return rtp[:12] + AESGCM(cipher_key).encrypt(nonce, rtp[12:], rtp[:12])


def reference(with_key: Key, roc: int, rtp: bytes) -> bytes:
    """One SRTP packet."""
    suite = SUITES[with_key.suite]
    master, salt = with_key.material[: suite.key_bytes], with_key.material[suite.key_bytes :]
    cipher_key = derive(master, salt, 0, suite.key_bytes)
    session_salt = derive(master, salt, 2, suite.salt_bytes)
    if suite.salt_bytes == 12:
        return gcm(cipher_key, session_salt, roc, rtp)
    index = (roc << 16) | int.from_bytes(rtp[2:4], "big")
    ssrc = int.from_bytes(rtp[8:12], "big")
    iv = (int.from_bytes(session_salt, "big") << 16) ^ (ssrc << 64) ^ (index << 16)
    stream = keystream(cipher_key, iv, len(rtp) - 12)
    body = rtp[:12] + bytes(a ^ b for a, b in zip(rtp[12:], stream, strict=True))
    mac = hmac.digest(derive(master, salt, 1, 20), body + struct.pack("!I", roc), "sha1")
    return body + mac[: TAGS[with_key.suite]]


class TestVectors:
    def test_the_keystream(self) -> None:
        """RFC 3711 B.2."""
        session_key = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")
        iv = int("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000", 16)
        assert keystream(session_key, iv, 48).hex().upper() == (
            "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB"
            "41E95B3BB0A2E8DD477901E4FCA894C0"
        )

    def test_the_key_derivation(self) -> None:
        """RFC 3711 B.3."""
        master = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
        salt = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
        assert derive(master, salt, 0, 16).hex() == "c61e7a93744f39ee10734afe3ff7a087"
        assert derive(master, salt, 2, 14).hex() == "30cbbc08863d8c85d49db34a9ae1"
        assert derive(master, salt, 1, 20).hex() == "cebe321f6ff7716b6fd4ab49af256a156d38baa4"

    def test_a_packet_under_the_keys_of_that_derivation(self) -> None:
        """What libsrtp and others test with, of the master key of B.3."""
        material = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6")
        plain = bytes.fromhex("800f1234decafbadcafebabe") + b"\xab" * 16
        secret = bytes.fromhex(
            "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"
        )
        assert Srtp(Key(CM_80, material), key(CM_80)).protect(plain) == secret
        assert reference(Key(CM_80, material), 0, plain) == secret

    def test_aead_of_a_packet(self) -> None:
        """RFC 7714 §16.1.1."""
        plain = bytes.fromhex(
            "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e6973206469766973"
            "6120696e207061727465732074726573"
        )
        secret = gcm(bytes(range(16)), b"Quid pro quo", 0, plain)
        assert secret.hex() == (
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51"
            "c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce"
        )

    @every_suite
    def test_both_implementations_agree_over_a_wrap(self, suite: str) -> None:
        ours, theirs = key(suite, 1), key(suite, 2)
        srtp = Srtp(ours, theirs)
        for roc, sequence in ((0, 65534), (0, 65535), (1, 0), (1, 20000), (1, 50000), (2, 5)):
            plain = packet(sequence)
            assert srtp.protect(plain) == reference(ours, roc, plain)
            assert srtp.unprotect(reference(theirs, roc, plain)) == plain


class TestBothEnds:
    @every_suite
    def test_a_packet_goes_and_comes(self, suite: str) -> None:
        a, b = ends(suite)
        secret = a.protect(packet(1))
        assert len(secret) == len(packet(1)) + TAGS[suite]
        assert secret[:12] == packet(1)[:12]
        assert secret[12:172] != packet(1)[12:]
        assert b.unprotect(secret) == packet(1)
        assert a.unprotect(b.protect(packet(9))) == packet(9)
        assert a.suite == suite

    @every_suite
    def test_rtcp_goes_and_comes(self, suite: str) -> None:
        """Its tag is of 80 bits also where that of RTP has 32: RFC 4568 §6.2.2."""
        a, b = ends(suite)
        secret = a.protect_rtcp(report())
        assert len(secret) == len(report()) + 4 + {CM_32: 10}.get(suite, TAGS[suite])
        assert b.unprotect_rtcp(secret) == report()

    @every_suite
    def test_a_packet_that_comes_twice_is_refused(self, suite: str) -> None:
        """RFC 3711 §3.3.2."""
        a, b = ends(suite)
        secret, secret_report = a.protect(packet(1)), a.protect_rtcp(report())
        b.unprotect(secret)
        b.unprotect_rtcp(secret_report)
        with pytest.raises(RtpError, match="twice"):
            b.unprotect(secret)
        with pytest.raises(RtpError, match="twice"):
            b.unprotect_rtcp(secret_report)
        assert (b.failed, b.replayed) == (0, 2)

    def test_order_does_not_matter_within_the_window(self) -> None:
        """§3.3.2: at least 64 packets; over a wrap as well."""
        a, b = ends()
        sent = {sequence: a.protect(packet(sequence)) for sequence in range(65500, 65550)}
        b.unprotect(sent.pop(65500))
        for sequence in sorted(sent, reverse=True):
            assert b.unprotect(sent[sequence]) == packet(sequence)

    def test_one_that_comes_too_late_to_tell_is_refused(self) -> None:
        a, b = ends()
        sent = [a.protect(packet(sequence)) for sequence in range(300)]
        b.unprotect(sent[299])
        with pytest.raises(RtpError):
            b.unprotect(sent[0])

    def test_many_wraps_both_ways(self) -> None:
        """The roll-over counter follows 200,000 packets, one in 400 of which arrives."""
        a, b = ends()
        for sequence in range(0, 200_000, 400):
            assert b.unprotect(a.protect(packet(sequence))) == packet(sequence)
            assert a.unprotect(b.protect(packet(sequence, ssrc=2))) == packet(sequence, ssrc=2)
        sequence = 200_000
        assert a.protect(packet(sequence)) == reference(key(CM_80, 1), 3, packet(sequence))

    def test_each_ssrc_has_a_counter_of_its_own(self) -> None:
        """A stream that begins anew begins with a counter of 0; the former one goes on."""
        a, b = ends()
        b.unprotect(a.protect(packet(65535, ssrc=1)))
        b.unprotect(a.protect(packet(0, ssrc=1)))
        assert b.unprotect(reference(key(CM_80, 1), 0, packet(7, ssrc=2))) == packet(7, ssrc=2)
        assert b.unprotect(reference(key(CM_80, 1), 1, packet(1, ssrc=1))) == packet(1, ssrc=1)

    def test_a_peer_may_not_fill_our_memory_with_streams(self) -> None:
        """The oldest is forgotten, and can come again."""
        a, b = ends()
        for ssrc in range(3 * MAX_STREAMS):
            b.unprotect(a.protect(packet(1, ssrc=ssrc)))
        assert b.unprotect(a.protect(packet(2, ssrc=3 * MAX_STREAMS - 1)))
        assert b.unprotect(a.protect(packet(2, ssrc=0))) == packet(2, ssrc=0)
        first = a.protect_rtcp(report(1000))
        b.unprotect_rtcp(first)
        for ssrc in range(1001, 1001 + MAX_STREAMS):
            b.unprotect_rtcp(a.protect_rtcp(report(ssrc)))
        assert b.unprotect_rtcp(first) == report(1000)  # its replay window is forgotten, too


class TestForgery:
    @every_suite
    @pytest.mark.parametrize("position", [0, 1, 2, 4, 8, 12, 100, -1])
    def test_a_bit_that_was_turned(self, suite: str, position: int) -> None:
        a, b = ends(suite)
        secret = bytearray(a.protect(packet(1)))
        secret[position] ^= 1
        with pytest.raises(RtpError, match="authentic"):
            b.unprotect(bytes(secret))
        assert b.failed == 1

    @every_suite
    def test_forged_packets_advance_nothing(self, suite: str) -> None:
        """§3.3: neither the counter, nor the window, nor the streams follow an unproved packet."""
        a, b = ends(suite)
        b.unprotect(a.protect(packet(100)))
        for sequence in (*range(101, 65536, 500), *range(0, 100, 7)):
            with pytest.raises(RtpError):
                b.unprotect(packet(sequence) + bytes(TAGS[suite]))
            with pytest.raises(RtpError):
                b.unprotect(packet(sequence, ssrc=sequence) + bytes(TAGS[suite]))
            with pytest.raises(RtpError):
                b.unprotect_rtcp(report(sequence) + b"\x80\0\0\xff" + bytes(16))
        assert b.unprotect(a.protect(packet(101))) == packet(101)
        assert b.unprotect_rtcp(a.protect_rtcp(report())) == report()

    def test_a_forgery_before_the_first_packet_does_not_set_the_counter(self) -> None:
        a, b = ends()
        with pytest.raises(RtpError):
            b.unprotect(packet(65535) + bytes(10))
        assert b.unprotect(a.protect(packet(3))) == packet(3)

    @given(st.binary(max_size=2100))
    @settings(max_examples=300)
    def test_garbage(self, data: bytes) -> None:
        """Whatever comes, RtpError and nothing else; longer than libsrtp takes included."""
        _, b = ends(GCM_128)
        for unprotect in (b.unprotect, b.unprotect_rtcp):
            with pytest.raises(RtpError):
                unprotect(data)
        assert b.failed == 2

    @given(st.binary(max_size=40), st.sampled_from([0x80, 0x90, 0x9F, 0xA0, 0xBF, 0x8F]))
    def test_headers_that_are_longer_than_the_packet(self, data: bytes, flags: int) -> None:
        _, b = ends()
        with pytest.raises(RtpError):
            b.unprotect(bytes([flags]) + data)

    def test_the_longest_datagram(self) -> None:
        _, b = ends()
        with pytest.raises(RtpError):
            b.unprotect(packet(1, payload=bytes(65_000)))


class TestOurs:
    def test_a_number_is_used_once(self) -> None:
        """§9.1: two packets under one keystream give away both."""
        a, _ = ends()
        a.protect(packet(1))
        with pytest.raises(RtpError, match="cannot be protected"):
            a.protect(packet(1, payload=bytes(160)))

    def test_a_number_that_comes_late_is_used_once_too(self) -> None:
        """A relay passes packets on in the order in which they come."""
        a, b = ends()
        sent = [a.protect(packet(sequence)) for sequence in (1, 2, 5, 4)]
        assert [b.unprotect(it) for it in sent] == [packet(it) for it in (1, 2, 5, 4)]
        with pytest.raises(RtpError):
            a.protect(packet(4))

    @pytest.mark.parametrize("data", [b"", b"\x80", bytes(1400)])
    def test_what_is_no_packet(self, data: bytes) -> None:
        a, _ = ends()
        with pytest.raises(RtpError):
            a.protect(data)

    def test_a_report_that_is_too_long(self) -> None:
        a, _ = ends()
        with pytest.raises(RtpError):
            a.protect_rtcp(bytes(1400))

    @pytest.mark.parametrize("length", [0, 29, 31])
    def test_a_key_has_the_length_of_its_suite(self, length: int) -> None:
        with pytest.raises(ValueError, match="length"):
            Key(CM_80, bytes(length))

    def test_a_key_is_not_shown(self) -> None:
        assert repr(Key(CM_80, bytes(30))) == "Key(suite='AES_CM_128_HMAC_SHA1_80')"


class TestRekey:
    """By a re-INVITE. RFC 4568 §7.1.4."""

    def test_the_same_keys_keep_the_counters_and_the_window(self) -> None:
        a, b = ends()
        b.unprotect(a.protect(packet(65535)))
        last = a.protect(packet(0))
        b.unprotect(last)
        a.rekey(key(CM_80, 1), key(CM_80, 2))
        b.rekey(key(CM_80, 2), key(CM_80, 1))
        with pytest.raises(RtpError, match="twice"):
            b.unprotect(last)
        assert a.protect(packet(1)) == reference(key(CM_80, 1), 1, packet(1))
        assert b.unprotect(reference(key(CM_80, 1), 1, packet(2))) == packet(2)

    def test_another_key_begins_anew_in_its_direction_alone(self) -> None:
        a, b = ends()
        for sequence in (65535, 0):
            b.unprotect(a.protect(packet(sequence)))
            a.unprotect(b.protect(packet(sequence, ssrc=2)))
        a.rekey(key(GCM_256, 3), key(CM_80, 2))
        b.rekey(key(CM_80, 2), key(GCM_256, 3))
        assert a.suite == GCM_256
        assert a.protect(packet(1)) == reference(key(GCM_256, 3), 0, packet(1))
        assert b.protect(packet(1, ssrc=2)) == reference(key(CM_80, 2), 1, packet(1, ssrc=2))

    def test_the_former_key_is_heard_until_the_new_one_is(self) -> None:
        a, b = ends()
        before = [a.protect(packet(sequence)) for sequence in range(3)]
        reports = [a.protect_rtcp(report()) for _ in range(2)]
        b.rekey(key(CM_80, 2), key(CM_80, 3))
        a.rekey(key(CM_80, 3), key(CM_80, 2))
        assert b.unprotect(before[0]) == packet(0)
        assert b.unprotect_rtcp(reports[0]) == report()
        for again in (b.unprotect, b.unprotect_rtcp):
            with pytest.raises(RtpError):
                again(b"\x80" + bytes(60))
        with pytest.raises(RtpError):
            b.unprotect(before[0])
        assert b.unprotect(a.protect(packet(3))) == packet(3)
        with pytest.raises(RtpError, match="authentic"):
            b.unprotect(before[1])
        with pytest.raises(RtpError, match="authentic"):
            b.unprotect_rtcp(reports[1])
