"""Offer and answer with codecs of other clocks: G.722, Opus, their events and comfort noise."""

from __future__ import annotations

import pytest

from gateway.sdp.formats import Codec, Wishes
from gateway.sdp.negotiation import Local, Media, Negotiation

PHONE = Local(("198.51.100.5", 4000), ("PCMU", "G722", "opus"), 5)
LOCAL = Local(("192.0.2.1", 20000), ("opus", "G722", "PCMA", "PCMU"), 77)

OPUS = "fmtp:111 maxplaybackrate=16000;sprop-maxcapturerate=16000;stereo=0;useinbandfec=1"


def offer(*media: str) -> bytes:
    lines = ["v=0", "o=- 1 1 IN IP4 198.51.100.5", "s=-", "c=IN IP4 198.51.100.5", "t=0 0", *media]
    return "".join(f"{line}\r\n" for line in lines).encode()


def of_media(body: bytes) -> list[str]:
    """The lines from m= on, without what all media have."""
    lines = body.decode().split("\r\n")[5:-1]
    common = ("a=ptime:20", "a=rtcp-mux", "a=rtcp-rsize", "a=sendrecv")
    return [line.removeprefix("a=") for line in lines if line not in common]


def answered(*media: str) -> tuple[list[str], Media]:
    body, agreed = Negotiation().answer(offer(*media), LOCAL)
    return of_media(body), agreed


LINPHONE = (
    "m=audio 7078 RTP/AVP 96 9 8 0 13 97 101",
    "a=rtpmap:96 opus/48000/2",
    "a=fmtp:96 useinbandfec=1; maxaveragebitrate=24000",
    "a=rtpmap:97 telephone-event/48000",
    "a=rtpmap:101 telephone-event/8000",
)


class TestAnswer:
    def test_opus_with_the_events_of_its_clock(self) -> None:
        """RFC 7587 §7, RFC 4733 §2.1: by the offer's numbers, in our words."""
        lines, media = answered(*LINPHONE)
        assert lines == [
            "m=audio 20000 RTP/AVP 96 97",
            "rtpmap:96 opus/48000/2",
            OPUS.replace("111", "96"),
            "rtpmap:97 telephone-event/48000",
            "fmtp:97 0-15",
        ]
        assert media.codec == Codec("OPUS", 96, 48000, 2)
        assert (media.event_payload_type, media.event_clock_rate) == (97, 48000)
        assert media.wishes == Wishes(fec=True, bit_rate=24000)

    def test_all_that_was_offered_may_come(self) -> None:
        """A peer may change its codec by the payload type alone, and its events with it."""
        _, media = answered(*LINPHONE)
        assert {n: codec.name for n, codec in media.accepted.items()} == {
            96: "OPUS",
            9: "G722",
            8: "PCMA",
            0: "PCMU",
        }
        assert media.events == {97: 48000, 101: 8000}
        assert media.noise == {13}

    def test_opus_with_events_of_8_khz_alone(self) -> None:
        lines, media = answered(
            "m=audio 7078 RTP/AVP 96 101",
            "a=rtpmap:96 opus/48000/2",
            "a=rtpmap:101 telephone-event/8000",
        )
        assert lines[0] == "m=audio 20000 RTP/AVP 96 101"
        assert (media.event_payload_type, media.event_clock_rate) == (101, 8000)

    def test_g722_by_its_static_number(self) -> None:
        lines, media = answered("m=audio 7078 RTP/AVP 0 9 101", "a=rtpmap:101 telephone-event/8000")
        assert lines[:2] == ["m=audio 20000 RTP/AVP 9 101", "rtpmap:9 G722/8000"]
        assert media.codec == Codec("G722", 9, 8000)
        assert media.wishes == Wishes()

    def test_of_two_kinds_of_opus_the_first(self) -> None:
        """Each with its own parameters."""
        _, media = answered(
            "m=audio 7078 RTP/AVP 98 96",
            "a=rtpmap:96 opus/48000/2",
            "a=rtpmap:98 opus/48000/2",
            "a=fmtp:96 useinbandfec=1",
            "a=fmtp:98 maxplaybackrate=8000",
        )
        assert media.codec.payload_type == 98
        assert media.wishes == Wishes(playback_rate=8000)
        assert set(media.accepted) == {96, 98}

    @pytest.mark.parametrize(
        ("numbers", "rtpmap", "noise"),
        [
            ("8", "8 PCMA/8000", {13}),
            ("8 13", "8 PCMA/8000", {13}),
            ("8 19", "19 CN/8000", {13, 19}),
            ("8 13", "13 telephone-event/8000", set()),
        ],
    )
    def test_comfort_noise_is_understood_and_not_asked_for(
        self, numbers: str, rtpmap: str, noise: set[int]
    ) -> None:
        """13 has its meaning from RFC 3551 §6, unless the description gives it another."""
        lines, media = answered(f"m=audio 7078 RTP/AVP {numbers}", f"a=rtpmap:{rtpmap}")
        assert media.noise == noise
        assert not [line for line in lines if "CN" in line]


class TestOffer:
    def test_all_of_ours(self) -> None:
        """With events at each clock, since the answer may name any."""
        assert of_media(Negotiation().offer(LOCAL)) == [
            "m=audio 20000 RTP/AVP 111 9 8 0 101 110",
            "rtpmap:111 opus/48000/2",
            OPUS,
            "rtpmap:9 G722/8000",
            "rtpmap:8 PCMA/8000",
            "rtpmap:0 PCMU/8000",
            "rtpmap:101 telephone-event/8000",
            "fmtp:101 0-15",
            "rtpmap:110 telephone-event/48000",
            "fmtp:110 0-15",
        ]

    def test_no_events_of_a_clock_that_no_codec_has(self) -> None:
        lines = of_media(Negotiation().offer(Local(("192.0.2.1", 20000), ("opus",), 77)))
        assert lines[0] == "m=audio 20000 RTP/AVP 111 110"

    def test_two_of_us_agree_on_opus(self) -> None:
        ours, theirs = Negotiation(), Negotiation()
        phone = Local(PHONE.address, ("opus", "PCMU"), 5)
        body, heard = theirs.answer(ours.offer(LOCAL), phone)
        media = ours.accept(body)
        for end in (media, heard):
            assert end.codec == Codec("OPUS", 111, 48000, 2)
            assert (end.event_payload_type, end.event_clock_rate) == (110, 48000)
            assert end.wishes == Wishes(playback_rate=16000, fec=True)
        assert media.events == heard.events == {101: 8000, 110: 48000}

    def test_the_answer_decides(self) -> None:
        """And what we offered besides may still come: RFC 3264 §5.1."""
        negotiation = Negotiation()
        negotiation.offer(LOCAL)
        media = negotiation.accept(
            offer("m=audio 4000 RTP/AVP 9 101", "a=rtpmap:101 telephone-event/8000")
        )
        assert media.codec.name == "G722"
        assert (media.event_payload_type, media.event_clock_rate) == (101, 8000)
        assert set(media.accepted) == {111, 9, 8, 0}
        assert media.wishes == Wishes()

    def test_a_refresh_says_the_same(self) -> None:
        """RFC 4028 §7.4: with what is wished, too."""
        negotiation = Negotiation()
        first, _ = negotiation.answer(offer(*LINPHONE), LOCAL)
        assert negotiation.offer(LOCAL) == first

    def test_offered_anew_numbers_keep_their_meaning(self) -> None:
        """RFC 3264 §8.3.2: Opus and its events have those of the peer now."""
        negotiation = Negotiation()
        negotiation.answer(offer(*LINPHONE), LOCAL)
        lines = of_media(negotiation.offer(LOCAL, anew=True))
        assert lines[0] == "m=audio 20000 RTP/AVP 96 9 8 0 101 97"

    def test_a_number_of_ours_that_the_peer_has_used_otherwise(self) -> None:
        negotiation = Negotiation()
        negotiation.answer(offer("m=audio 4000 RTP/AVP 111", "a=rtpmap:111 PCMA/8000"), LOCAL)
        lines = of_media(negotiation.offer(LOCAL, anew=True))
        assert lines[0] == "m=audio 20000 RTP/AVP 9 111 0 101 110"
