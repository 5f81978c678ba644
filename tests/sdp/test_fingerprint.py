"""a=fingerprint and a=setup: RFC 8122, RFC 4145, RFC 5763."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdp.description import Attribute, MediaDescription, SdpError, SessionDescription
from gateway.sdp.fingerprint import (
    HASHES,
    Fingerprint,
    Peer,
    peer,
    role_in_answer,
    role_in_offer,
)

SHA_256 = Fingerprint("sha-256", hashlib.sha256(b"certificate").digest())
SHA_1 = Fingerprint("sha-1", hashlib.sha1(b"certificate").digest())


def read(*attributes: Attribute, session: tuple[Attribute, ...] = ()) -> Peer | None:
    line = MediaDescription("audio", 4000, "UDP/TLS/RTP/SAVP", ("0",), attributes=attributes)
    return peer(SessionDescription(attributes=session), line, "active")


class TestPeer:
    def test_no_fingerprint(self) -> None:
        assert read(("setup", "actpass")) is None
        assert read(("fingerprint", None)) is None

    def test_what_the_medium_says(self) -> None:
        found = read(
            ("fingerprint", SHA_256.encode()), ("setup", "ActPass"), ("tls-id", "abc"), ("x", None)
        )
        assert found == Peer((SHA_256,), "actpass", "abc")

    def test_what_it_lacks_the_session_says(self) -> None:
        """RFC 8122 §5, RFC 4145 §4: both levels are allowed, the medium's goes first."""
        session = (("fingerprint", SHA_1.encode()), ("setup", "passive"), ("group", None))
        assert read(session=session) == Peer((SHA_1,), "passive", None)
        found = read(("fingerprint", SHA_256.encode()), session=session)
        assert found == Peer((SHA_256,), "passive", None)

    def test_the_setup_that_stands_for_none(self) -> None:
        """RFC 4145 §4."""
        assert read(("fingerprint", SHA_256.encode())) == Peer((SHA_256,), "active", None)

    def test_of_several_hashes_the_strongest_counts(self) -> None:
        """RFC 8122 §5: several certificates by one hash, or one by several hashes."""
        other = Fingerprint("sha-256", bytes(32))
        found = read(
            ("fingerprint", SHA_1.encode()),
            ("fingerprint", SHA_256.encode()),
            ("fingerprint", other.encode()),
        )
        assert found == Peer((SHA_256, other), "active", None)

    @pytest.mark.parametrize("algorithm", HASHES)
    def test_each_hash(self, algorithm: str) -> None:
        it = Fingerprint(algorithm, bytes(range(HASHES[algorithm])))
        assert read(("fingerprint", it.encode())) == Peer((it,), "active", None)
        assert read(("fingerprint", it.encode().lower().replace("sha", "SHA"))) is not None

    @pytest.mark.parametrize(
        "value",
        [
            "md5 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF",
            "sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF",
            "sha-256",
            "sha-256 zz",
            "",
            SHA_256.encode()[:-1],
            SHA_256.encode().replace(":", ""),
        ],
    )
    def test_none_that_is_of_use(self, value: str) -> None:
        with pytest.raises(SdpError, match="no fingerprint") as refusal:
            read(("fingerprint", value))
        assert refusal.value.warning == 302

    @pytest.mark.parametrize("setup", ["holdconn", "", "both"])
    def test_a_setup_that_is_of_no_use(self, setup: str) -> None:
        with pytest.raises(SdpError, match="setup"):
            read(("fingerprint", SHA_256.encode()), ("setup", setup))

    def test_not_more_than_eight_are_read(self) -> None:
        junk = ("fingerprint", "md5 00")
        assert read(*[junk] * 7, ("fingerprint", SHA_1.encode())) == Peer((SHA_1,), "active", None)
        with pytest.raises(SdpError):
            read(*[junk] * 8, ("fingerprint", SHA_1.encode()))

    @given(st.text(), st.text(), st.none() | st.text())
    def test_garbage(self, value: str, setup: str, identity: str | None) -> None:
        with pytest.raises(SdpError):
            read(("fingerprint", value), ("setup", setup), ("tls-id", identity))


class TestRole:
    def test_in_an_answer(self) -> None:
        """RFC 5763 §5."""
        assert role_in_answer("actpass", "active") == "active"
        assert role_in_answer("actpass", "passive") == "passive"
        assert role_in_answer("active", "active") == "passive"
        assert role_in_answer("passive", "passive") == "active"

    def test_in_an_offer(self) -> None:
        assert role_in_offer("active") == "passive"
        assert role_in_offer("passive") == "active"
        with pytest.raises(SdpError, match="choose"):
            role_in_offer("actpass")
