"""Plain, SDES or DTLS-SRTP: the choice by offer and answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdp.crypto import Crypto
from gateway.sdp.description import MediaDescription, SdpError, SessionDescription
from gateway.sdp.fingerprint import Fingerprint, Peer, Role
from gateway.sdp.security import Dtls, Encryption, Keyed, Keying, Sdes

CM_80, CM_32, GCM_256 = (
    "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "AEAD_AES_256_GCM",
)
OURS = Fingerprint("sha-256", bytes(range(32)))
THEIRS = Fingerprint("sha-256", bytes(32))
SESSION = SessionDescription()
CRYPTO = Crypto(1, CM_80, b"t" * 30)
PRINT = f"fingerprint:{THEIRS.encode()}"
plain_profiles = pytest.mark.parametrize("profile", ["RTP/AVP", "RTP/AVPF"])
secure_profiles = pytest.mark.parametrize("profile", ["RTP/SAVP", "RTP/SAVPF"])
dtls_profiles = pytest.mark.parametrize("profile", ["UDP/TLS/RTP/SAVP", "udp/tls/rtp/savpf"])


def counted() -> Callable[[int], bytes]:
    """Keys that differ: of one 1, of one 2, and so on."""
    numbers = count(1)
    return lambda length: bytes([next(numbers)]) * length


def keying(
    encryption: Encryption = "optional",
    *,
    certificate: Fingerprint | None = OURS,
    role: Role = "active",
    private: bool = True,
) -> Keying:
    return Keying(encryption, random=counted(), certificate=certificate, role=role, private=private)


def medium(profile: str, *attributes: str) -> MediaDescription:
    pairs = (attribute.partition(":") for attribute in attributes)
    return MediaDescription(
        "audio", 4000, profile, ("0",), attributes=tuple((name, value) for name, _, value in pairs)
    )


def crypto(tag: int = 1, suite: str = CM_80, letter: bytes = b"t") -> str:
    length = {CM_80: 30, CM_32: 30, GCM_256: 44}[suite]
    return f"crypto:{Crypto(tag, suite, letter * length).encode()}"


class TestAnswerPlain:
    @plain_profiles
    @pytest.mark.parametrize("encryption", ["none", "optional"])
    def test_plain_is_answered_plain(self, profile: str, encryption: Encryption) -> None:
        keyed = keying(encryption).answer(SESSION, medium(profile), None)
        assert keyed == Keyed(profile, ())

    @pytest.mark.parametrize("attribute", [crypto(), PRINT])
    def test_best_effort_is_passed_over_where_encryption_is_off(self, attribute: str) -> None:
        line = medium("RTP/AVP", attribute)
        assert keying("none").answer(SESSION, line, None).security is None

    @pytest.mark.parametrize("profile", ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP"])
    def test_encryption_is_refused_where_it_is_off(self, profile: str) -> None:
        with pytest.raises(SdpError, match="switched off") as refusal:
            keying("none").answer(SESSION, medium(profile, crypto(), PRINT), None)
        assert refusal.value.warning == 302

    @plain_profiles
    def test_plain_is_refused_where_encryption_is_required(self, profile: str) -> None:
        with pytest.raises(SdpError, match="only encrypted"):
            keying("required").answer(SESSION, medium(profile), None)

    @pytest.mark.parametrize("encryption", ["none", "optional", "required"])
    @pytest.mark.parametrize("profile", ["udptl", "TCP/RTP/AVP", "DTLS/SCTP", "RTP/XYZ"])
    def test_other_profiles_are_refused(self, profile: str, encryption: Encryption) -> None:
        with pytest.raises(SdpError, match="neither"):
            keying(encryption).answer(SESSION, medium(profile, crypto()), None)

    def test_best_effort_that_cannot_be_used_is_plain(self) -> None:
        """RFC 8643 §3: encryption is a wish there."""
        line = medium("RTP/AVP", "crypto:1 F8_128_HMAC_SHA1_80 inline:x", "fingerprint:md5 00")
        assert keying().answer(SESSION, line, None) == Keyed("RTP/AVP", ())
        with pytest.raises(SdpError, match="suites"):
            keying("required").answer(SESSION, line, None)


class TestAnswerSdes:
    @pytest.mark.parametrize("encryption", ["optional", "required"])
    @pytest.mark.parametrize("profile", ["RTP/SAVP", "RTP/SAVPF", "RTP/AVP"])
    def test_the_profile_and_tag_are_the_offers(self, profile: str, encryption: Encryption) -> None:
        keyed = keying(encryption).answer(SESSION, medium(profile, crypto(5)), None)
        ours = Crypto(5, CM_80, b"\1" * 30)
        assert keyed == Keyed(
            profile,
            (("crypto", ours.encode()),),
            (ours,),
            Sdes(ours, Crypto(5, CM_80, b"t" * 30)),
        )

    def test_the_first_that_can_be_used_is_taken(self) -> None:
        """RFC 4568 §5.1.2: the offer is in order of preference."""
        line = medium(
            "RTP/SAVP", "crypto:1 AES_256_CM_HMAC_SHA1_80 inline:x", crypto(2, CM_32), crypto(3)
        )
        security = keying().answer(SESSION, line, None).security
        assert isinstance(security, Sdes)
        assert (security.ours.tag, security.ours.suite) == (2, CM_32)

    @secure_profiles
    def test_the_reason_where_none_can_be(self, profile: str) -> None:
        line = medium(profile, crypto() + "|1:4")
        with pytest.raises(SdpError, match="MKI"):
            keying().answer(SESSION, line, None)
        with pytest.raises(SdpError, match="only encrypted"):
            keying().answer(SESSION, medium(profile), None)

    def test_it_goes_before_dtls(self) -> None:
        line = medium("RTP/SAVP", crypto(), PRINT)
        assert isinstance(keying().answer(SESSION, line, None).security, Sdes)

    def test_unless_its_keys_were_sent_in_the_clear(self) -> None:
        line = medium("RTP/SAVP", crypto(), PRINT)
        assert isinstance(keying(private=False).answer(SESSION, line, None).security, Dtls)
        line = medium("RTP/SAVP", crypto())
        assert isinstance(keying(private=False).answer(SESSION, line, None).security, Sdes)

    def test_no_key_is_shown(self) -> None:
        keyed = keying().answer(SESSION, medium("RTP/SAVP", crypto()), None)
        assert "inline" not in repr(keyed)
        assert repr(b"\1" * 30) not in repr(keyed)


class TestAnswerDtls:
    @dtls_profiles
    @pytest.mark.parametrize(
        ("setup", "preferred", "role"),
        [
            ("actpass", "active", "active"),
            ("actpass", "passive", "passive"),
            ("active", "active", "passive"),
            ("passive", "passive", "active"),
        ],
    )
    def test_the_role(self, profile: str, setup: str, preferred: Role, role: Role) -> None:
        """RFC 5763 §5."""
        line = medium(profile, PRINT, f"setup:{setup}")
        keyed = keying("required", role=preferred).answer(SESSION, line, None)
        assert keyed == Keyed(
            profile,
            (("fingerprint", OURS.encode()), ("setup", role)),
            (),
            Dtls(role, Peer((THEIRS,), setup, None), 1),
            1,
        )

    @pytest.mark.parametrize("profile", ["RTP/SAVP", "RTP/SAVPF", "RTP/AVP", "RTP/AVPF"])
    def test_under_an_older_profile(self, profile: str) -> None:
        """baresip and the first browsers; RFC 8643 with RTP/AVP."""
        keyed = keying().answer(SESSION, medium(profile, PRINT, "setup:actpass"), None)
        assert keyed.profile == profile
        assert isinstance(keyed.security, Dtls)

    def test_in_place_of_keys_that_cannot_be_used(self) -> None:
        line = medium("RTP/SAVP", crypto() + " UNENCRYPTED_SRTP", PRINT)
        assert isinstance(keying().answer(SESSION, line, None).security, Dtls)

    @dtls_profiles
    def test_keys_in_the_signalling_do_not_count_there(self, profile: str) -> None:
        with pytest.raises(SdpError, match="only encrypted"):
            keying().answer(SESSION, medium(profile, crypto()), None)

    @dtls_profiles
    def test_without_a_certificate_of_ours(self, profile: str) -> None:
        with pytest.raises(SdpError, match="not spoken"):
            keying(certificate=None).answer(SESSION, medium(profile, PRINT), None)

    def test_without_a_certificate_best_effort_is_plain(self) -> None:
        line = medium("RTP/AVP", PRINT)
        assert keying(certificate=None).answer(SESSION, line, None).security is None


class TestOffer:
    def test_none(self) -> None:
        assert keying("none").offer(None) == Keyed("RTP/AVP", ())
        assert keying("none").offer(None, dtls=True) == Keyed("RTP/AVP", ())

    @pytest.mark.parametrize(
        ("encryption", "profile"), [("optional", "RTP/AVP"), ("required", "RTP/SAVP")]
    )
    def test_sdes(self, encryption: Encryption, profile: str) -> None:
        """Each line with a key of its own: RFC 4568 §5.1.1."""
        keyed = keying(encryption).offer(None)
        lines = (Crypto(1, CM_80, b"\1" * 30), Crypto(2, GCM_256, b"\2" * 44))
        attributes = tuple(("crypto", line.encode()) for line in lines)
        assert keyed == Keyed(profile, attributes, lines)

    def test_dtls(self) -> None:
        """RFC 5763 §5: the offerer leaves the choice."""
        keyed = keying().offer(None, dtls=True)
        attributes = (("fingerprint", OURS.encode()), ("setup", "actpass"))
        assert keyed == Keyed("UDP/TLS/RTP/SAVP", attributes)

    def test_dtls_without_a_certificate_is_our_mistake(self) -> None:
        with pytest.raises(ValueError, match="certificate"):
            keying(certificate=None).offer(None, dtls=True)


class TestAccept:
    @pytest.mark.parametrize("encryption", ["optional", "required"])
    def test_sdes(self, encryption: Encryption) -> None:
        rule = keying(encryption)
        offered = rule.offer(None)
        keyed = rule.accept(SESSION, medium(offered.profile, crypto(2, GCM_256)), offered, None)
        assert keyed.security == Sdes(offered.lines[1], Crypto(2, GCM_256, b"t" * 44))
        assert (keyed.profile, keyed.attributes) == (offered.profile, offered.attributes)

    def test_a_plain_answer_to_best_effort(self) -> None:
        """It is repeated as it was, so that a session timer's re-INVITE changes nothing."""
        rule = keying()
        offered = rule.offer(None)
        keyed = rule.accept(SESSION, medium("RTP/AVP"), offered, None)
        assert keyed.security is None
        assert rule.offer(keyed) == offered

    def test_a_plain_answer_to_nothing(self) -> None:
        rule = keying("none")
        offered = rule.offer(None)
        assert rule.accept(SESSION, medium("RTP/AVP", crypto(), PRINT), offered, None) == offered
        assert rule.accept(SESSION, medium("RTP/AVP", "crypto:"), offered, None) == offered

    @pytest.mark.parametrize(
        ("encryption", "answer"),
        [
            ("required", medium("RTP/SAVP")),
            ("required", medium("RTP/AVP")),
            ("optional", medium("RTP/SAVP")),
            ("optional", medium("RTP/SAVP", PRINT)),
            ("none", medium("RTP/SAVP", crypto())),
        ],
    )
    def test_an_answer_that_is_none_to_the_offer(
        self, encryption: Encryption, answer: MediaDescription
    ) -> None:
        rule = keying(encryption)
        with pytest.raises(SdpError, match="as the offer was"):
            rule.accept(SESSION, answer, rule.offer(None), None)

    def test_best_effort_with_keys_that_cannot_be_used_is_not_plain(self) -> None:
        """They would encrypt, and we would hear noise."""
        rule = keying()
        for answer in (crypto() + " UNENCRYPTED_SRTP", crypto(1, CM_32)):
            with pytest.raises(SdpError):
                rule.accept(SESSION, medium("RTP/AVP", answer), rule.offer(None), None)

    @pytest.mark.parametrize(
        ("setup", "role"), [("setup:active", "passive"), ("setup:passive", "active")]
    )
    def test_dtls(self, setup: str, role: Role) -> None:
        rule = keying()
        offered = rule.offer(None, dtls=True)
        keyed = rule.accept(SESSION, medium("UDP/TLS/RTP/SAVP", PRINT, setup), offered, None)
        assert keyed.security == Dtls(role, Peer((THEIRS,), setup[6:], None), 1)

    def test_an_answer_without_a_setup_is_passive(self) -> None:
        """RFC 4145 §4."""
        rule = keying()
        line = medium("UDP/TLS/RTP/SAVP", PRINT)
        security = rule.accept(SESSION, line, rule.offer(None, dtls=True), None).security
        assert isinstance(security, Dtls)
        assert security.role == "active"

    @pytest.mark.parametrize("attribute", ["setup:active", crypto(), "fingerprint:md5 0"])
    def test_an_answer_without_a_certificate(self, attribute: str) -> None:
        rule = keying()
        line = medium("UDP/TLS/RTP/SAVP", attribute)
        with pytest.raises(SdpError):
            rule.accept(SESSION, line, rule.offer(None, dtls=True), None)


class TestAgain:
    """Offers in mid-call."""

    def test_the_same_key_keeps_ours(self) -> None:
        """RFC 4568 §7.1.4: so both contexts go on, whatever tag and order it has now."""
        rule = keying()
        first = rule.answer(SESSION, medium("RTP/SAVP", crypto(1)), None)
        line = medium("RTP/SAVP", crypto(1, letter=b"n"), crypto(2))
        again = rule.answer(SESSION, line, first)
        assert again.security == Sdes(Crypto(2, CM_80, b"\1" * 30), Crypto(2, CM_80, b"t" * 30))

    @pytest.mark.parametrize("line", [crypto(1, letter=b"n"), crypto(1, CM_32)])
    def test_another_key_changes_ours(self, line: str) -> None:
        """Behind it may be somebody who does not know our counter."""
        rule = keying()
        first = rule.answer(SESSION, medium("RTP/SAVP", crypto(1)), None)
        security = rule.answer(SESSION, medium("RTP/SAVP", line), first).security
        assert isinstance(security, Sdes)
        assert security.ours.key == b"\2" * 30

    def test_our_next_offer_repeats_what_was_agreed(self) -> None:
        rule = keying()
        first = rule.answer(SESSION, medium("RTP/SAVP", crypto(1)), None)
        offered = rule.offer(first)
        assert (offered.profile, offered.attributes) == (first.profile, first.attributes)
        accepted = rule.accept(SESSION, medium("RTP/SAVP", crypto(1)), offered, first)
        assert accepted == first
        renewed = rule.accept(SESSION, medium("RTP/SAVP", crypto(1, letter=b"n")), offered, first)
        assert renewed.security == Sdes(first.lines[0], Crypto(1, CM_80, b"n" * 30))

    def test_encryption_may_come_and_go(self) -> None:
        rule = keying()
        keyed = rule.answer(SESSION, medium("RTP/AVP"), None)
        keyed = rule.answer(SESSION, medium("RTP/SAVP", crypto()), keyed)
        assert isinstance(keyed.security, Sdes)
        keyed = rule.answer(SESSION, medium("RTP/AVP"), keyed)
        assert keyed.security is None
        assert rule.offer(keyed) == Keyed("RTP/AVP", ())

    def test_an_association_goes_on(self) -> None:
        """RFC 8842 §3.1; the roles stay, too, where the offer leaves them open."""
        line = medium("UDP/TLS/RTP/SAVP", PRINT, "setup:active")
        first = keying(role="active").answer(SESSION, line, None)
        line = medium("UDP/TLS/RTP/SAVP", PRINT, "setup:actpass")
        again = keying(role="active").answer(SESSION, line, first)
        assert isinstance(again.security, Dtls)
        assert (again.security.role, again.security.association) == ("passive", 1)

    @pytest.mark.parametrize(
        "changed",
        [
            (f"fingerprint:{OURS.encode()}", "setup:active"),
            (PRINT, "setup:passive"),
            (PRINT, "setup:active", "tls-id:abc"),
        ],
    )
    def test_an_association_is_made_anew(self, changed: tuple[str, ...]) -> None:
        rule = keying()
        line = medium("UDP/TLS/RTP/SAVP", PRINT, "setup:active")
        first = rule.answer(SESSION, line, None)
        again = rule.answer(SESSION, medium("UDP/TLS/RTP/SAVP", *changed), first)
        assert isinstance(again.security, Dtls)
        assert again.security.association == 2

    def test_an_association_after_something_else_is_another(self) -> None:
        rule = keying()
        secure = medium("UDP/TLS/RTP/SAVP", PRINT, "setup:active")
        keyed = rule.answer(SESSION, secure, None)
        keyed = rule.answer(SESSION, medium("RTP/SAVP", crypto()), keyed)
        keyed = rule.answer(SESSION, medium("RTP/AVP"), keyed)
        keyed = rule.answer(SESSION, secure, keyed)
        assert isinstance(keyed.security, Dtls)
        assert keyed.security.association == 2

    def test_our_next_offer_of_dtls(self) -> None:
        """RFC 8842 §5.5: it leaves the roles open again, and the answer keeps them."""
        rule = keying()
        line = medium("RTP/SAVPF", PRINT, "setup:actpass")
        first = rule.answer(SESSION, line, None)
        offered = rule.offer(first)
        attributes = (("fingerprint", OURS.encode()), ("setup", "actpass"))
        assert (offered.profile, offered.attributes) == ("RTP/SAVPF", attributes)
        line = medium("RTP/SAVPF", PRINT, "setup:passive")
        accepted = rule.accept(SESSION, line, offered, first)
        assert isinstance(accepted.security, Dtls)
        assert (accepted.security.role, accepted.security.association) == ("active", 1)


@given(
    st.sampled_from(["none", "optional", "required"]),
    st.sampled_from(["RTP/AVP", "RTP/SAVP", "UDP/TLS/RTP/SAVPF", "udptl"]),
    st.lists(
        st.sampled_from(["crypto", "fingerprint", "setup", "tls-id"]).flatmap(
            lambda name: st.builds(
                lambda value: f"{name}:{value}",
                st.text(max_size=20)
                | st.sampled_from([crypto()[7:], THEIRS.encode(), "active", "passive", "actpass"]),
            )
        ),
        max_size=6,
    ),
)
def test_whatever_is_offered_or_answered(
    encryption: Encryption, profile: str, attributes: list[str]
) -> None:
    """SdpError or a description; `required` is never plain, `none` always."""
    rule, line = keying(encryption), medium(profile, *attributes)
    found: list[Keyed] = []
    with suppress(SdpError):
        found.append(rule.answer(SESSION, line, None))
    with suppress(SdpError):
        found.append(rule.accept(SESSION, line, rule.offer(None), None))
    for keyed in found:
        assert encryption != "required" or keyed.security is not None
        assert encryption != "none" or keyed.security is None
