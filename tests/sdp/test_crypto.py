"""a=crypto: RFC 4568, RFC 7714."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdp.crypto import SUITES, Crypto, chosen, parse, usable
from gateway.sdp.description import MediaDescription, SdpError

CM_80, GCM_256 = "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"
KEY = bytes(range(30))
TEXT = base64.b64encode(KEY).decode()


def medium(*values: str) -> MediaDescription:
    attributes = tuple(("crypto", value) for value in values)
    return MediaDescription("audio", 4000, "RTP/SAVP", ("0",), attributes=attributes)


class TestParse:
    def test_the_example_of_the_rfc(self) -> None:
        """RFC 4568 §10.1, less the FEC that we do not speak."""
        line = "1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20"
        key = b"YS___semctl () {\t220;}\n}\nunles"
        assert parse(line) == Crypto(1, "AES_CM_128_HMAC_SHA1_80", key)

    @pytest.mark.parametrize("suite", SUITES)
    def test_what_we_write_is_read(self, suite: str) -> None:
        line = Crypto(7, suite, bytes(range(SUITES[suite])))
        assert parse(line.encode()) == line

    def test_the_line_as_it_is_written(self) -> None:
        assert Crypto(1, CM_80, KEY).encode() == f"1 {CM_80} inline:{TEXT}"

    @pytest.mark.parametrize(
        "line",
        [
            f"001 {CM_80} inline:{TEXT}",
            f"1  {CM_80.lower()}\tINLINE:{TEXT}",
            f"1 {CM_80} inline:{TEXT}|2^31",
            f"1 {CM_80} inline:{TEXT}|1048576",
            f"1 {CM_80} inline:{TEXT} WSH=64",
            f"1 {CM_80} inline:{TEXT} KDR=0 -SOMETHING=new",
        ],
    )
    def test_tolerated(self, line: str) -> None:
        assert parse(line) == Crypto(1, CM_80, KEY)

    def test_padding_may_be_left_out(self) -> None:
        key = bytes(44)
        text = base64.b64encode(key).decode()
        assert text.endswith("=")
        assert parse(f"2 {GCM_256} inline:{text.rstrip('=')}") == Crypto(2, GCM_256, key)

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (f"1 {CM_80} inline:{TEXT}|2^20|1:4", "MKI"),
            (f"1 {CM_80} inline:{TEXT}|1:4", "MKI"),
            (f"1 {CM_80} inline:{TEXT}|1:1;inline:{TEXT}|2:1", "several keys"),
            (f"1 {CM_80} inline:{TEXT} UNENCRYPTED_SRTP", "without encryption"),
            (f"1 {CM_80} inline:{TEXT} UNENCRYPTED_SRTCP", "RTCP without encryption"),
            (f"1 {CM_80} inline:{TEXT} WSH=64 UNAUTHENTICATED_SRTP", "without authentication"),
            (f"1 {CM_80} inline:{TEXT} KDR=1", "session parameter"),
            (f"1 {CM_80} inline:{TEXT} FEC_ORDER=FEC_SRTP", "session parameter"),
            (f"1 {CM_80} inline:{TEXT} SOMETHING", "session parameter"),
            (f"1 F8_128_HMAC_SHA1_80 inline:{TEXT}", "crypto suites"),
            (f"1 {GCM_256} inline:{TEXT}", "length"),
            (f"1 {CM_80} inline:{TEXT[:-3]}", "length"),  # 4 n + 1 characters
            (f"1 {CM_80} inline:{TEXT[:-1]}", "length"),
            (f"1 {CM_80} inline:{TEXT}|", "broken key"),
            (f"1 {CM_80} inline:{TEXT}|2^x", "broken key"),
            (f"1 {CM_80} inline:{TEXT[:-1]}_", "broken key"),
            (f"1 {CM_80} uri:{TEXT}", "broken key"),
            (f"1 {CM_80}", "broken a=crypto"),
            (f"x {CM_80} inline:{TEXT}", "broken a=crypto"),
            (f"1_0 {CM_80} inline:{TEXT}", "broken a=crypto"),
            (f"１ {CM_80} inline:{TEXT}", "broken a=crypto"),
            ("", "broken a=crypto"),
        ],
    )
    def test_refused_with_the_reason(self, line: str, reason: str) -> None:
        with pytest.raises(SdpError, match=reason) as refusal:
            parse(line)
        assert refusal.value.warning == 302

    def test_a_key_is_not_shown(self) -> None:
        assert TEXT not in repr(parse(f"1 {CM_80} inline:{TEXT}"))
        assert repr(KEY) not in repr(parse(f"1 {CM_80} inline:{TEXT}"))

    @given(
        st.text()
        | st.builds(
            " ".join,
            st.lists(
                st.sampled_from(
                    ["1", CM_80, "inline:", TEXT, f"inline:{TEXT}", "|", "2^20", ":", ";", "KDR=0"]
                )
                | st.text(max_size=5)
            ),
        )
    )
    def test_garbage(self, text: str) -> None:
        try:
            line = parse(text)
        except SdpError:
            return
        assert parse(line.encode()) == line


class TestUsable:
    def test_none_is_no_refusal(self) -> None:
        assert usable(medium()) == []

    def test_one_that_can_be_used_saves_the_others(self) -> None:
        lines = usable(medium(f"1 {CM_80} inline:{TEXT}|1:4", f"2 {CM_80} inline:{TEXT}"))
        assert lines == [Crypto(2, CM_80, KEY)]

    def test_the_first_reason_is_given(self) -> None:
        with pytest.raises(SdpError, match="MKI"):
            usable(medium(f"1 {CM_80} inline:{TEXT}|1:4", "nonsense"))

    def test_a_tag_is_unique(self) -> None:
        other = base64.b64encode(bytes(30)).decode()
        lines = usable(medium(f"1 {CM_80} inline:{TEXT}", f"1 {CM_80} inline:{other}"))
        assert lines == [Crypto(1, CM_80, KEY)]


class TestChosen:
    OURS = (Crypto(1, CM_80, KEY), Crypto(2, GCM_256, bytes(44)), Crypto(3, CM_80, bytes(30)))

    def test_by_tag_and_suite(self) -> None:
        theirs = Crypto(3, CM_80, bytes(30))
        assert chosen(self.OURS, [theirs]) == (self.OURS[2], theirs)

    def test_the_suite_counts_where_the_tag_is_wrong(self) -> None:
        theirs = Crypto(1, GCM_256, bytes(44))
        assert chosen(self.OURS, [theirs]) == (self.OURS[1], theirs)

    def test_a_suite_that_was_not_offered(self) -> None:
        with pytest.raises(SdpError, match="no crypto suite of the offer"):
            chosen(self.OURS, [Crypto(1, "AEAD_AES_128_GCM", bytes(28))])
