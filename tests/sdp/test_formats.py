"""What payload types mean, and what is said of them: RFC 8866, 3551, 7587, 4733, 3389."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdp.description import Attribute, MediaDescription
from gateway.sdp.formats import CODECS, EVENTS, Codec, Wishes, described, formats, wishes


def medium(numbers: str, *attributes: Attribute) -> MediaDescription:
    return MediaDescription("audio", 4000, "RTP/AVP", tuple(numbers.split()), None, attributes)


def mapped(text: str) -> Attribute:
    return "rtpmap", text


class TestFormats:
    def test_static_numbers_need_no_mapping(self) -> None:
        """RFC 3551 §6; G.722 counts 8 kHz (§4.5.2)."""
        assert formats(medium("9 0 8 13 18")) == {
            9: Codec("G722", 9, 8000),
            0: Codec("PCMU", 0, 8000),
            8: Codec("PCMA", 8, 8000),
            13: Codec("CN", 13, 8000),
        }

    def test_dynamic_numbers_need_one(self) -> None:
        """The number that we like for Opus is nobody else's."""
        assert formats(medium("111 101")) == {}

    @pytest.mark.parametrize(
        ("text", "codec"),
        [
            ("96 opus/48000/2", Codec("OPUS", 96, 48000, 2)),
            ("96 OPUS/48000/2", Codec("OPUS", 96, 48000, 2)),
            ("96 opus/48000", Codec("OPUS", 96, 48000, 2)),
            ("96 opus/48000/1", Codec("OPUS", 96, 48000, 2)),
            ("96 G722/8000", Codec("G722", 96, 8000)),
            ("96 g722/8000/1", Codec("G722", 96, 8000)),
            ("96 cn/8000", Codec("CN", 96, 8000)),
            ("96 Telephone-Event/48000", Codec(EVENTS, 96, 48000)),
        ],
    )
    def test_names_have_no_case_and_channels_a_default(self, text: str, codec: Codec) -> None:
        """RFC 8866 §6.6; Opus has two channels in its mapping always (RFC 7587 §7)."""
        assert formats(medium("96", mapped(text))) == {96: codec}

    @pytest.mark.parametrize(
        "text",
        [
            "96 opus/16000/2",
            "96 opus/48000/3",
            "96 opus/48000/0",
            "96 G722/16000",
            "96 G722/8000/2",
            "96 PCMU/16000",
            "96 CN/16000",
            "96 telephone-event/7999",
            "96 telephone-event/96001",
            "96 speex/8000",
            "96 opus",
            "96",
        ],
    )
    def test_what_we_cannot_speak(self, text: str) -> None:
        assert formats(medium("96", mapped(text))) == {}

    def test_a_static_number_may_be_mapped_anew(self) -> None:
        """RFC 3551 §3: the mapping of the description counts."""
        assert formats(medium("9 13", mapped("9 PCMA/8000"), mapped("13 speex/8000"))) == {
            9: Codec("PCMA", 9, 8000)
        }


class TestWishes:
    @pytest.mark.parametrize(
        ("text", "wished"),
        [
            ("96 useinbandfec=1", Wishes(fec=True)),
            ("96 minptime=10;useinbandfec=1", Wishes(fec=True)),
            ("96  UseInbandFEC = 1 ; CBR=1", Wishes(fec=True, constant=True)),
            ("96 useinbandfec=0;cbr=0;usedtx=1;stereo=1", Wishes()),
            ("96 maxplaybackrate=16000; maxaveragebitrate=20000", Wishes(16000, 20000)),
            ("96 maxplaybackrate=0;maxaveragebitrate=0", Wishes()),
            ("96 maxplaybackrate=;maxaveragebitrate;;=;=1", Wishes()),
            ("96 maxaveragebitrate=1_000;maxplaybackrate=+8000", Wishes()),
            ("96 maxaveragebitrate=12345678901", Wishes()),
            ("96 maxplaybackrate=１６０００", Wishes()),
            ("97 useinbandfec=1", Wishes()),
            ("96", Wishes()),
            ("useinbandfec=1", Wishes()),
        ],
    )
    def test_what_opus_is_asked_for(self, text: str, wished: Wishes) -> None:
        """RFC 7587 §6.1; what makes no sense is passed over."""
        assert wishes(medium("96", ("fmtp", text)), 96) == wished

    def test_the_first_fmtp_of_the_number_counts(self) -> None:
        line = medium(
            "96 97", ("fmtp", "97 cbr=1"), ("fmtp", "96 useinbandfec=1"), ("fmtp", "96 cbr=1")
        )
        assert wishes(line, 96) == Wishes(fec=True)

    @given(text=st.text())
    def test_any_text_is_read(self, text: str) -> None:
        wished = wishes(medium("96", ("fmtp", f"96 {text}")), 96)
        assert wished.playback_rate > 0
        assert wished.bit_rate is None or wished.bit_rate > 0


class TestDescribed:
    @pytest.mark.parametrize(
        ("codec", "lines"),
        [
            (CODECS["PCMA"], ["rtpmap:8 PCMA/8000"]),
            (CODECS["G722"], ["rtpmap:9 G722/8000"]),
            (
                CODECS["OPUS"],
                [
                    "rtpmap:111 opus/48000/2",
                    "fmtp:111 maxplaybackrate=16000;sprop-maxcapturerate=16000;"
                    "stereo=0;useinbandfec=1",
                ],
            ),
            (Codec(EVENTS, 110, 48000), ["rtpmap:110 telephone-event/48000", "fmtp:110 0-15"]),
        ],
    )
    def test_as_others_write_it(self, codec: Codec, lines: list[str]) -> None:
        assert [f"{name}:{value}" for name, value in described(codec)] == lines

    @pytest.mark.parametrize("name", CODECS)
    def test_what_we_write_we_read(self, name: str) -> None:
        codec = CODECS[name]
        line = medium(str(codec.payload_type), *described(codec))
        assert formats(line) == {codec.payload_type: codec}
        assert wishes(line, codec.payload_type).fec == (name == "OPUS")
