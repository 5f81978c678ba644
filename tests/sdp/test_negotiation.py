"""Offer and answer, RFC 3264: who speaks what, where to, in which direction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdp.description import SdpError, parse
from gateway.sdp.fingerprint import Fingerprint
from gateway.sdp.formats import Codec
from gateway.sdp.negotiation import Local, Media, Negotiation
from gateway.sdp.rtcp import Control
from gateway.sdp.security import Dtls, Encryption, Keying, Sdes

PCMU = Codec("PCMU", 0, 8000)
PCMA = Codec("PCMA", 8, 8000)
EVENTS = "a=rtpmap:101 telephone-event/8000"
EVENTS_96 = "a=rtpmap:96 telephone-event/8000"
LOCAL = Local(("192.0.2.1", 20000), ("PCMA", "PCMU"), 77)


def offer(*media: str, session: str = "c=IN IP4 198.51.100.5") -> bytes:
    lines = ["v=0", "o=- 1 1 IN IP4 198.51.100.5", "s=-", session, "t=0 0", *media]
    return "".join(f"{line}\r\n" for line in lines if line).encode()


def answer(*media: str, session: str = "c=IN IP4 198.51.100.5") -> tuple[list[str], Media]:
    """The lines of our answer from m= on, and what was agreed."""
    body, agreed = Negotiation().answer(offer(*media, session=session), LOCAL)
    lines = body.decode().split("\r\n")[:-1]
    return lines[5:], agreed


class TestAnswer:
    def test_the_whole_answer(self) -> None:
        """§6: our address, one codec, telephone-event, and the direction."""
        body, media = Negotiation().answer(
            offer(
                "m=audio 10224 RTP/AVP 0 8 101",
                "a=rtpmap:0 PCMU/8000",
                "a=rtpmap:8 PCMA/8000",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-16",
                "a=ptime:20",
                "a=sendrecv",
            ),
            LOCAL,
        )
        assert body == (
            b"v=0\r\no=gateway 77 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
            b"m=audio 20000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
            b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
        )
        assert media == Media(
            remote=("198.51.100.5", 10224),
            codec=PCMA,
            accepted={0: PCMU, 8: PCMA},
            event_payload_type=101,
            event_clock_rate=8000,
            sending=True,
            receiving=True,
            ptime=20,
            control=Control(("198.51.100.5", 10225)),
            events={101: 8000},
        )

    def test_our_order_of_preference_decides(self) -> None:
        body, media = Negotiation().answer(
            offer("m=audio 4000 RTP/AVP 8 0"),
            Local(("192.0.2.1", 20000), ("opus", "pcmu", "PCMA"), 1),
        )
        assert media.codec == PCMU
        assert b"m=audio 20000 RTP/AVP 0\r\n" in body

    def test_static_payload_types_need_no_rtpmap(self) -> None:
        """§5.1, RFC 3551 §6. Cisco and others send G.729 with an fmtp and no rtpmap."""
        lines, media = answer(
            "m=audio 16384 RTP/AVP 18 0 8 101 19",
            "c=IN IP4 198.51.100.9",
            "a=fmtp:18 annexb=no",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-15",
            "a=rtpmap:19 CN/8000",
        )
        assert media.remote == ("198.51.100.9", 16384)
        assert media.accepted == {0: PCMU, 8: PCMA}
        assert lines[0] == "m=audio 20000 RTP/AVP 8 101"

    def test_dynamic_payload_types_of_the_offer_are_kept(self) -> None:
        """§6.1: the answer SHOULD use the offer's number for a codec."""
        lines, media = answer(
            "m=audio 4000 RTP/AVP 100 96",
            "a=rtpmap:96 telephone-event/8000",
            "a=rtpmap:100 pcma/8000/1",
        )
        assert lines[:3] == [
            "m=audio 20000 RTP/AVP 100 96",
            "a=rtpmap:100 PCMA/8000",
            "a=rtpmap:96 telephone-event/8000",
        ]
        assert media.codec == Codec("PCMA", 100, 8000)
        assert media.event_payload_type == 96

    def test_events_at_the_clock_of_the_audio_are_preferred(self) -> None:
        """RFC 4733 §2.1. Linphone offers them at 48 and 8 kHz."""
        _, media = answer(
            "m=audio 4000 RTP/AVP 96 8 97 101",
            "a=rtpmap:96 opus/48000/2",
            "a=rtpmap:97 telephone-event/48000",
            "a=rtpmap:101 telephone-event/8000",
        )
        assert (media.event_payload_type, media.event_clock_rate) == (101, 8000)

    def test_events_at_another_clock_are_better_than_none(self) -> None:
        _, media = answer("m=audio 4000 RTP/AVP 8 97", "a=rtpmap:97 telephone-event/48000")
        assert (media.event_payload_type, media.event_clock_rate) == (97, 48000)

    @pytest.mark.parametrize("rate", ["1", "4000", "999999"])
    def test_events_at_a_senseless_clock_are_no_events(self, rate: str) -> None:
        lines, media = answer("m=audio 4000 RTP/AVP 8 97", f"a=rtpmap:97 telephone-event/{rate}")
        assert media.event_payload_type is None
        assert lines[0] == "m=audio 20000 RTP/AVP 8"

    def test_broken_rtpmaps_and_formats_are_passed_over(self) -> None:
        """A static number keeps its meaning; a number of no payload type has none."""
        _, media = answer(
            "m=audio 4000 RTP/AVP 0 x 200 999999 96 97",
            "a=rtpmap:0 PCMU",
            "a=rtpmap:96",
            "a=rtpmap",
            "a=rtpmap:97 PCMA/8_000",
            "a=rtpmap:200 PCMA/8000",
        )
        assert media.accepted == {0: PCMU}

    def test_the_first_of_two_rtpmaps_counts(self) -> None:
        _, media = answer(
            "m=audio 4000 RTP/AVP 96", "a=rtpmap:96 PCMU/8000", "a=rtpmap:96 PCMA/8000"
        )
        assert media.codec == Codec("PCMU", 96, 8000)

    def test_a_static_number_may_be_mapped_anew(self) -> None:
        with pytest.raises(SdpError) as refusal:
            answer("m=audio 4000 RTP/AVP 0", "a=rtpmap:0 G729/8000")
        assert refusal.value.warning == 305

    @pytest.mark.parametrize("rtpmap", ["PCMU/16000", "PCMU/8000/2", "L16/8000"])
    def test_a_codec_at_another_rate_is_another_codec(self, rtpmap: str) -> None:
        with pytest.raises(SdpError) as refusal:
            answer("m=audio 4000 RTP/AVP 96", f"a=rtpmap:96 {rtpmap}")
        assert refusal.value.warning == 305

    def test_other_media_are_refused_in_their_place(self) -> None:
        """§6: as many m= lines as the offer, in its order; port 0 refuses."""
        lines, _ = answer(
            "m=image 6000 udptl t38",
            "m=audio 0 RTP/AVP 0",
            "m=audio 4000 RTP/AVP 0",
            "m=audio 4002 RTP/AVP 0",
            "m=video 4004 RTP/AVP 96 97",
            "m=text 0 RTP/AVP",
        )
        assert [line for line in lines if line.startswith("m=")] == [
            "m=image 0 udptl t38",
            "m=audio 0 RTP/AVP 0",
            "m=audio 20000 RTP/AVP 0",
            "m=audio 0 RTP/AVP 0",
            "m=video 0 RTP/AVP 96 97",
            "m=text 0 RTP/AVP 0",
        ]

    def test_plain_rtp_is_found_behind_a_secure_offer(self) -> None:
        """Phones with optional encryption offer both, the secure one first."""
        lines, media = answer("m=audio 4000 RTP/SAVP 0", "m=audio 4002 RTP/AVP 0")
        assert lines[:2] == ["m=audio 0 RTP/SAVP 0", "m=audio 20000 RTP/AVP 0"]
        assert media.remote == ("198.51.100.5", 4002)

    def test_the_profile_is_the_offers(self) -> None:
        """RFC 4585 §4.1: AVPF without feedback is AVP under another name."""
        lines, _ = answer("m=audio 4000 RTP/AVPF 0")
        assert lines[0] == "m=audio 20000 RTP/AVPF 0"

    def test_the_time_is_the_offers(self) -> None:
        """§6: the t= line of the answer MUST equal the offer's."""
        body, _ = Negotiation().answer(
            offer("m=audio 4000 RTP/AVP 0").replace(b"t=0 0", b"t=3034423619 3042462419"), LOCAL
        )
        assert b"t=3034423619 3042462419\r\n" in body

    @pytest.mark.parametrize(
        ("asked", "ptime"),
        [
            ([], 20),
            (["a=ptime:10"], 10),
            (["a=ptime:30"], 30),
            (["a=ptime:25"], 20),
            (["a=ptime:5"], 10),
            (["a=ptime:200"], 60),
            (["a=ptime:0"], 20),
            (["a=ptime:twenty"], 20),
            (["a=ptime:99999999999"], 20),
            (["a=maxptime:10"], 10),
            (["a=maxptime:150"], 20),
            (["a=ptime:60", "a=maxptime:40"], 40),
            (["a=ptime:0", "a=maxptime:30"], 30),
        ],
    )
    def test_ptime(self, asked: list[str], ptime: int) -> None:
        """RFC 8866 §6.4: what the peer wants, within what we send."""
        lines, media = answer("m=audio 4000 RTP/AVP 0", *asked)
        assert media.ptime == ptime
        assert f"a=ptime:{ptime}" in lines


class TestDirection:
    @pytest.mark.parametrize(
        ("theirs", "ours", "sending", "receiving"),
        [
            ("sendrecv", "sendrecv", True, True),
            ("sendonly", "recvonly", False, True),
            ("recvonly", "sendonly", True, False),
            ("inactive", "inactive", False, False),
        ],
    )
    def test_all_four_directions(
        self, theirs: str, ours: str, sending: bool, receiving: bool
    ) -> None:
        """§6.1, of the medium or of the session."""
        for media, session in (
            (["m=audio 4000 RTP/AVP 0", f"a={theirs}"], "c=IN IP4 198.51.100.5"),
            (["m=audio 4000 RTP/AVP 0"], f"c=IN IP4 198.51.100.5\r\na={theirs}"),
        ):
            lines, agreed = answer(*media, session=session)
            assert lines[-1] == f"a={ours}"
            assert (agreed.sending, agreed.receiving) == (sending, receiving)

    def test_the_mediums_direction_stands_before_the_sessions(self) -> None:
        """RFC 8866 §6.7."""
        _, media = answer(
            "m=audio 4000 RTP/AVP 0", "a=sendrecv", session="c=IN IP4 198.51.100.5\r\na=inactive"
        )
        assert (media.sending, media.receiving) == (True, True)

    @pytest.mark.parametrize(
        ("theirs", "ours"), [("sendrecv", "recvonly"), ("recvonly", "inactive")]
    )
    @pytest.mark.parametrize("nowhere", ["IP4 0.0.0.0", "IP6 ::"])
    def test_the_old_hold(self, nowhere: str, theirs: str, ours: str) -> None:
        """§8.4: to c=0.0.0.0 nothing is sent, whatever the direction says."""
        lines, media = answer("m=audio 4000 RTP/AVP 0", f"a={theirs}", session=f"c=IN {nowhere}")
        assert media.remote is None
        assert not media.sending
        assert lines[-1] == f"a={ours}"


class TestRefusal:
    @pytest.mark.parametrize(
        ("media", "session", "warning"),
        [
            ([], "c=IN IP4 198.51.100.5", 304),
            (["m=video 4000 RTP/AVP 96"], "c=IN IP4 198.51.100.5", 304),
            (["m=audio 0 RTP/AVP 0"], "c=IN IP4 198.51.100.5", 304),
            (["m=audio 4000 RTP/SAVP 0"], "c=IN IP4 198.51.100.5", 302),
            (["m=audio 4000 UDP/TLS/RTP/SAVPF 0"], "c=IN IP4 198.51.100.5", 302),
            (["m=audio 4000 RTP/AVP 18 3 9"], "c=IN IP4 198.51.100.5", 305),
            (["m=audio 4000 RTP/AVP"], "c=IN IP4 198.51.100.5", 305),
            (["m=audio 4000 RTP/AVP 101"], "c=IN IP4 198.51.100.5", 305),
            (["m=audio 4000 RTP/AVP 0"], "", 399),
            (["m=audio 4000 RTP/AVP 0"], "c=ATM NSAP 47.0091", 300),
            (["m=audio 4000 RTP/AVP 0"], "c=IN IP4 pc33.example.com", 301),
            (["m=audio 4000 RTP/AVP 0"], "c=IN IP4 2001:db8::1", 301),
            (["m=audio 4000 RTP/AVP 0"], "c=IN IP6 198.51.100.5", 301),
            (["m=audio 4000 RTP/AVP 0"], "c=IN IP6 2001:db8::1", 301),  # our media is IPv4
            (["m=audio 4000 RTP/AVP 0"], "c=IN IP6 fe80::1%eth0", 301),
            (["m=audio 4000 RTP/AVP 0"], "c=IN IP4 0177.0.0.1", 301),
            (["m=audio 4000 RTP/AVP 0"], "c=IN IP4 2130706433", 301),
            (["m=audio 4000 RTP/AVP 0"], "c=IN IP4 224.2.1.1", 330),
            (["m=audio 4000 RTP/AVP 0"], "c=IN IP4 255.255.255.255", 330),
            # of several reasons the first
            (["m=audio 4000 RTP/SAVP 0", "m=audio 1 RTP/AVP 9"], "c=IN IP4 198.51.100.5", 302),
        ],
    )
    def test_the_warning_says_why(self, media: list[str], session: str, warning: int) -> None:
        """RFC 3261 §20.43."""
        with pytest.raises(SdpError) as refusal:
            answer(*media, session=session)
        assert refusal.value.warning == warning
        assert refusal.value.text

    def test_a_refused_offer_leaves_the_session_as_it_was(self) -> None:
        """§8: the version too."""
        call = Negotiation()
        first, _ = call.answer(offer("m=audio 4000 RTP/AVP 0"), LOCAL)
        with pytest.raises(SdpError):
            call.answer(offer("m=audio 4000 RTP/AVP 9", "m=video 1 RTP/AVP 96"), LOCAL)
        assert call.offer(LOCAL) == first
        assert call.answer(offer("m=audio 4000 RTP/AVP 0"), LOCAL)[0] == first


def test_ipv6() -> None:
    """The address is written as the kernel writes it, so that it can be compared."""
    body, media = Negotiation().answer(
        offer("m=audio 4000 RTP/AVP 0", session="c=IN IP6 2001:DB8:0:0::0001"),
        Local(("2001:db8::9", 20000), ("PCMU",), 5),
    )
    assert media.remote == ("2001:db8::1", 4000)
    assert b"o=gateway 5 1 IN IP6 2001:db8::9\r\n" in body
    assert b"c=IN IP6 2001:db8::9\r\n" in body


class TestVersion:
    def test_it_grows_by_one_where_something_changed(self) -> None:
        """§8: hold, the same hold again, and back."""
        call = Negotiation()
        versions = []
        for direction in ("sendrecv", "sendonly", "sendonly", "sendrecv"):
            body, _ = call.answer(offer("m=audio 4000 RTP/AVP 0", f"a={direction}"), LOCAL)
            origin = parse(body).origin
            assert origin is not None
            versions.append(origin.version)
        assert versions == [1, 2, 2, 3]

    def test_a_refresh_repeats_the_session(self) -> None:
        """RFC 4028 §7.4: an unchanged session has an unchanged version."""
        call = Negotiation()
        body, _ = call.answer(offer("m=video 1 RTP/AVP 96", "m=audio 4000 RTP/AVP 0"), LOCAL)
        assert call.offer(LOCAL) == body


class TestOffer:
    def test_the_first_offer(self) -> None:
        assert Negotiation().offer(LOCAL) == (
            b"v=0\r\no=gateway 77 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
            b"m=audio 20000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
            b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
            b"a=rtcp-mux\r\na=rtcp-rsize\r\na=sendrecv\r\n"
        )

    def test_two_of_us_agree(self) -> None:
        phone, gateway = Negotiation(), Negotiation()
        first = phone.offer(Local(("198.51.100.5", 4000), ("PCMU", "PCMA"), 1))
        body, ours = gateway.answer(first, LOCAL)
        theirs = phone.accept(body)
        assert ours.codec == theirs.codec == PCMA
        assert theirs.remote == ("192.0.2.1", 20000)
        assert theirs.accepted == {0: PCMU, 8: PCMA}
        assert theirs.event_payload_type == ours.event_payload_type == 101
        assert theirs.sending
        assert theirs.receiving

    def test_the_answers_numbers_are_for_sending(self) -> None:
        """§6.1: each side sends with the payload types that the other one named."""
        call = Negotiation()
        call.offer(LOCAL)
        media = call.accept(
            offer(
                "m=audio 4000 RTP/AVP 96 97",
                "a=rtpmap:96 PCMU/8000",
                "a=rtpmap:97 telephone-event/8000",
            )
        )
        assert media.codec == Codec("PCMU", 96, 8000)
        assert media.accepted == {96: Codec("PCMU", 96, 8000), 0: PCMU, 8: PCMA}
        assert media.event_payload_type == 97

    @pytest.mark.parametrize(
        ("ours", "theirs", "sending", "receiving"),
        [
            ("sendrecv", "sendrecv", True, True),
            ("sendonly", "recvonly", True, False),
            ("recvonly", "sendonly", False, True),
            ("inactive", "inactive", False, False),
            ("sendonly", "sendrecv", True, False),  # not allowed, and seen
            ("inactive", "sendrecv", False, False),
        ],
    )
    def test_directions(self, ours: str, theirs: str, sending: bool, receiving: bool) -> None:
        """§6.1, from the offerer's side: never more than was offered."""
        call = Negotiation()
        assert f"a={ours}\r\n".encode() in call.offer(LOCAL, ours)
        media = call.accept(offer("m=audio 4000 RTP/AVP 0", f"a={theirs}"))
        assert (media.sending, media.receiving) == (sending, receiving)

    def test_a_hold_from_us_keeps_everything_else(self) -> None:
        """§8: every m= line in its place, the same numbers, a new version; also after a move."""
        call = Negotiation()
        call.answer(
            offer(
                "m=image 1 udptl t38",
                "m=audio 4000 RTP/AVP 100 96",
                "a=rtpmap:100 PCMU/8000",
                "a=rtpmap:96 telephone-event/8000",
            ),
            LOCAL,
        )
        body = call.offer(Local(("192.0.2.1", 20002), ("PCMA", "PCMU"), 77), "sendonly")
        assert body == (
            b"v=0\r\no=gateway 77 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
            b"m=image 0 udptl t38\r\nm=audio 20002 RTP/AVP 100 96\r\na=rtpmap:100 PCMU/8000\r\n"
            b"a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-15\r\na=ptime:20\r\na=sendonly\r\n"
        )
        media = call.accept(
            offer("m=image 0 udptl t38", "m=audio 4000 RTP/AVP 100", "a=rtpmap:100 PCMU/8000")
        )
        assert media.codec == Codec("PCMU", 100, 8000)
        assert media.event_payload_type is None

    @pytest.mark.parametrize(
        ("media", "warning"),
        [
            ([], 399),
            (["m=audio 0 RTP/AVP 0"], 304),
            (["m=audio 4000 RTP/AVP 9"], 305),
            (["m=audio 4000 RTP/SAVP 0"], 302),
        ],
    )
    def test_an_answer_that_is_none(self, media: list[str], warning: int) -> None:
        call = Negotiation()
        call.offer(LOCAL)
        with pytest.raises(SdpError) as refusal:
            call.accept(offer(*media))
        assert refusal.value.warning == warning

    def test_an_answer_without_an_offer_is_our_mistake(self) -> None:
        with pytest.raises(ValueError, match="without an offer"):
            Negotiation().accept(offer("m=audio 4000 RTP/AVP 0"))


class TestLateOffer:
    """An INVITE without a description: our offer goes in the 200, the answer is in the ACK."""

    def test_all_our_codecs(self) -> None:
        """RFC 3261 §13.2.1; in the first offer of a call is all that we have."""
        call = Negotiation()
        assert b"m=audio 20000 RTP/AVP 8 0 101\r\n" in call.offer(LOCAL)
        media = call.accept(offer("m=audio 4000 RTP/AVP 0 101", EVENTS))
        assert (media.codec, media.event_payload_type) == (PCMU, 101)

    def test_without_an_offer_in_the_midst_of_a_call(self) -> None:
        """A re-INVITE without one is offered the whole session, in the same version (§8)."""
        call = Negotiation()
        body, _ = call.answer(offer("m=audio 4000 RTP/AVP 100", "a=rtpmap:100 PCMU/8000"), LOCAL)
        assert call.offer(LOCAL) == body

    def test_our_own_offer_is_repeated_whole(self) -> None:
        """Also what the answer left out: the version stays, so must every line (§8)."""
        call = Negotiation()
        body = call.offer(LOCAL)
        call.accept(offer("m=audio 4000 RTP/AVP 0"))
        assert call.offer(LOCAL) == body

    def test_the_answer_with_several_codecs(self) -> None:
        """§7: of those it names we send the first; all may come."""
        call = Negotiation()
        call.offer(LOCAL)
        media = call.accept(offer("m=audio 4000 RTP/AVP 18 0 8"))
        assert media.codec == PCMU
        assert media.accepted == {0: PCMU, 8: PCMA}


class TestChange:
    """The codec changes in the midst of a call (§8.3.2)."""

    def test_by_the_peer(self) -> None:
        call = Negotiation()
        codecs = [
            call.answer(offer(f"m=audio 4000 RTP/AVP {number}"), LOCAL)[1].codec
            for number in (0, 8, 0)
        ]
        assert codecs == [PCMU, PCMA, PCMU]

    def test_by_us(self) -> None:
        """Offered anew; what has a number keeps it, with the place and the profile of the line."""
        call = Negotiation()
        call.answer(
            offer(
                "m=image 1 udptl t38",
                "m=audio 4000 RTP/AVPF 100 96",
                "a=rtpmap:100 PCMU/8000",
                "a=rtpmap:96 telephone-event/8000",
            ),
            LOCAL,
        )
        body = call.offer(LOCAL, anew=True)
        assert body.decode().split("\r\n")[1:-1] == [
            "o=gateway 77 2 IN IP4 192.0.2.1",
            "s=-",
            "c=IN IP4 192.0.2.1",
            "t=0 0",
            "m=image 0 udptl t38",
            "m=audio 20000 RTP/AVPF 8 100 96",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:100 PCMU/8000",
            "a=rtpmap:96 telephone-event/8000",
            "a=fmtp:96 0-15",
            "a=ptime:20",
            "a=sendrecv",
        ]
        answer = offer("m=image 0 udptl t38", "m=audio 4000 RTP/AVPF 8 96", EVENTS_96)
        media = call.accept(answer)
        assert (media.codec, media.event_payload_type) == (PCMA, 96)
        assert call.offer(LOCAL) == body

    @pytest.mark.parametrize(
        ("number", "media"), [(101, "8 101"), (8, "8 101"), (0, "8 0 101"), (97, "8 97 101")]
    )
    def test_a_number_keeps_its_meaning(self, number: int, media: str) -> None:
        """Whatever PCMU was given is not given to PCMA or to the events."""
        call = Negotiation()
        theirs = offer(f"m=audio 4000 RTP/AVP {number}", f"a=rtpmap:{number} PCMU/8000")
        call.answer(theirs, LOCAL)
        body = call.offer(LOCAL, anew=True)
        assert f"m=audio 20000 RTP/AVP {media}\r\n".encode() in body
        assert f"a=rtpmap:{number} PCMU/8000\r\n".encode() in body
        assert (b"telephone-event" in body) is (number != 101)

    def test_the_first_offer_is_always_new(self) -> None:
        assert Negotiation().offer(LOCAL, anew=True) == Negotiation().offer(LOCAL)


class TestForks:
    """One INVITE of ours, answered by several phones (RFC 3261 §13.2.2.4)."""

    def test_each_answer_is_judged_alone(self) -> None:
        call = Negotiation()
        call.offer(LOCAL)
        early = call.accept(offer("m=audio 4000 RTP/AVP 8 96", EVENTS_96))
        with pytest.raises(SdpError):
            call.accept(offer("m=audio 0 RTP/AVP 8"))
        other = call.accept(offer("m=audio 5000 RTP/AVP 0", session="c=IN IP4 198.51.100.6"))
        again = call.accept(offer("m=audio 4000 RTP/AVP 8 96", EVENTS_96))

        assert early == again
        assert early.codec == PCMA
        assert other.remote == ("198.51.100.6", 5000)
        assert (other.codec, other.event_payload_type) == (PCMU, None)

    def test_one_changes_its_session_before_another_answers(self) -> None:
        """Its UPDATE has the speech elsewhere; the other one answers the INVITE all the same."""
        call = Negotiation()
        call.offer(LOCAL)
        call.accept(offer("m=audio 4000 RTP/AVP 8"))
        call.answer(offer("m=video 0 RTP/AVP 96", "m=audio 4002 RTP/AVP 8"), LOCAL)
        assert call.accept(offer("m=audio 5000 RTP/AVP 0")).codec == PCMU


class TestWithdrawn:
    """An offer of ours is refused: 488, 491 (§8, RFC 3261 §14.1)."""

    def test_the_session_stays(self) -> None:
        """And no version is given out twice for two descriptions."""
        call = Negotiation()
        first = call.offer(LOCAL)
        call.accept(offer("m=audio 4000 RTP/AVP 8"))
        call.offer(LOCAL, "sendonly")
        assert call.offer(LOCAL) == first.replace(b" 77 1 ", b" 77 3 ")

    def test_the_peer_offers_in_between(self) -> None:
        """Glare: ours is refused, the peer's answered, ours made again."""
        call = Negotiation()
        call.answer(offer("m=audio 4000 RTP/AVP 8"), LOCAL)
        call.offer(LOCAL, "sendonly")
        body, media = call.answer(offer("m=audio 4002 RTP/AVP 8"), LOCAL)
        assert b"o=gateway 77 3 " in body
        assert media.remote == ("198.51.100.5", 4002)
        assert b"o=gateway 77 4 " in call.offer(LOCAL, "sendonly")

    def test_an_answer_that_cannot_be_used(self) -> None:
        call = Negotiation()
        body, _ = call.answer(offer("m=audio 4000 RTP/AVP 8"), LOCAL)
        call.offer(LOCAL, anew=True)
        with pytest.raises(SdpError):
            call.accept(offer("m=audio 0 RTP/AVP 8"))
        assert call.offer(LOCAL) == body.replace(b" 77 1 ", b" 77 3 ")


LINES = st.sampled_from(
    [
        "m=audio 4000 RTP/AVP 0 8 101",
        "m=audio 4000/2 RTP/AVP 96",
        "m=video 0 RTP/AVP",
        "m=audio 0 RTP/AVP 0",
        "c=IN IP4 198.51.100.7",
        "c=IN IP4 0.0.0.0",
        "c=IN IP6 ::1",
        "c=IN IP4 somewhere",
        "a=rtpmap:96 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:101",
        "a=fmtp:18 annexb=no",
        "a=ptime:²",
        "a=ptime:1000",
        "a=setup:holdconn",
        "a=rtcp:4001 IN IP4",
        "a=inactive",
        "a=sendonly",
    ]
)


@given(st.lists(st.one_of(LINES, st.text(max_size=12).map(lambda text: f"a={text}")), max_size=12))
def test_any_offer_is_answered_or_refused(lines: list[str]) -> None:
    """SdpError or an answer that the offerer can read: as many media, one of them ours."""
    body = offer(*lines)
    try:
        reply, media = Negotiation().answer(body, LOCAL)
    except SdpError:
        return
    theirs, ours = parse(body), parse(reply)
    assert [line.kind for line in ours.media] == [line.kind for line in theirs.media]
    assert sum(line.port > 0 for line in ours.media) == 1
    assert 10 <= media.ptime <= 60
    assert media.codec in media.accepted.values()


@given(st.binary(max_size=200))
def test_any_answer_is_accepted_or_refused(data: bytes) -> None:
    call = Negotiation()
    call.offer(LOCAL)
    with pytest.raises(SdpError):
        call.accept(data)


KEY = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
CRYPTO = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY}"
PRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)


def secured(encryption: Encryption = "optional") -> Negotiation:
    certificate = Fingerprint("sha-256", bytes(32))
    return Negotiation(Keying(encryption, random=bytes, certificate=certificate))


class TestEncryption:
    """The rules themselves: test_security.py."""

    def test_an_offer_of_what_is_asked_for(self) -> None:
        """DTLS in place of SDES, or other suites."""
        rule = Keying("optional", random=bytes, suites=["AES_CM_128_HMAC_SHA1_32"])
        (line,) = parse(Negotiation(rule).offer(LOCAL)).media
        assert [it.split()[:2] for it in line.values("crypto")] == [
            ["1", "AES_CM_128_HMAC_SHA1_32"]
        ]
        (line,) = parse(secured().offer(LOCAL, dtls=True)).media
        assert line.profile == "UDP/TLS/RTP/SAVP"
        assert line.value("setup") == "actpass"
        assert list(line.values("crypto")) == []

    def test_the_answer_has_the_profile_and_a_key(self) -> None:
        """RFC 4568 §5.1.2."""
        body, media = secured().answer(offer("m=audio 4000 RTP/SAVP 8", CRYPTO), LOCAL)
        speech = parse(body).media[0]
        assert speech.profile == "RTP/SAVP"
        assert speech.value("crypto") == f"1 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}"
        assert speech.attributes[-1] == ("sendrecv", None)
        assert isinstance(media.security, Sdes)

    def test_of_two_media_the_one_that_may_be(self) -> None:
        """Some offer the speech twice, plain and not."""
        both = offer("m=audio 4000 RTP/AVP 8", "m=audio 4002 RTP/SAVP 8", CRYPTO)
        body, media = secured("required").answer(both, LOCAL)
        assert [line.port for line in parse(body).media] == [0, 20000]
        assert media.remote == ("198.51.100.5", 4002)

    def test_without_a_rule_all_is_plain(self) -> None:
        with pytest.raises(SdpError) as refusal:
            Negotiation().answer(offer("m=audio 4000 RTP/SAVP 8", CRYPTO), LOCAL)
        assert refusal.value.warning == 302
        _, media = Negotiation().answer(offer("m=audio 4000 RTP/AVP 8", CRYPTO), LOCAL)
        assert media.security is None

    def test_an_offer_and_its_answer(self) -> None:
        ours = secured("required")
        speech = parse(ours.offer(LOCAL)).media[0]
        assert speech.profile == "RTP/SAVP"
        assert len(list(speech.values("crypto"))) == 2
        with pytest.raises(SdpError):
            ours.accept(offer("m=audio 4000 RTP/AVP 8"))
        assert isinstance(ours.accept(offer("m=audio 4000 RTP/SAVP 8", CRYPTO)).security, Sdes)

    @pytest.mark.parametrize("line", ["m=audio 4000 RTP/AVP 8", "m=audio 4000 RTP/SAVP 8"])
    def test_a_refresh_changes_nothing(self, line: str) -> None:
        """RFC 4028 §7.4."""
        for first in (lambda it: it.answer(offer(line, CRYPTO), LOCAL), self._offered):
            ours = secured()
            first(ours)
            assert ours.offer(LOCAL) == ours.offer(LOCAL)
            assert parse(ours.offer(LOCAL)).origin.version == 1  # type: ignore[union-attr]

    @staticmethod
    def _offered(ours: Negotiation) -> None:
        ours.offer(LOCAL)
        ours.accept(offer("m=audio 4000 RTP/AVP 8"))

    def test_dtls_in_mid_call(self) -> None:
        """RFC 8842 §5.5: who answered active offers actpass; the association goes on."""
        ours = secured()
        secure = "m=audio 4000 UDP/TLS/RTP/SAVP 8"
        body, media = ours.answer(offer(secure, PRINT, "a=setup:actpass"), LOCAL)
        assert parse(body).media[0].value("setup") == "active"
        again = parse(ours.offer(LOCAL)).media[0]
        assert list(again.values("setup")) == ["actpass"]
        assert len(list(again.values("fingerprint"))) == 1
        later = ours.accept(offer(secure, PRINT, "a=setup:passive"))
        assert isinstance(media.security, Dtls)
        assert isinstance(later.security, Dtls)
        assert later.security.association == media.security.association
