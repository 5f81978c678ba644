"""What all codecs owe to a call, each by its own library and both ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audio import codec as codecs
from gateway.audio.codec import CODECS, Codec, codec, missing
from gateway.audio.frame import AudioError

from .voices import decoded, lag, packets, round_trip, sine, snr, voice

EACH = pytest.mark.parametrize("name", CODECS)
EACH_LENGTH = pytest.mark.parametrize(
    ("name", "ptime"), [(name, ptime) for name, each in CODECS.items() for ptime in each.ptimes]
)
LEAST_SNR = {"PCMU": 36, "PCMA": 36, "G722": 40, "OPUS": 15}  # dB, of a sine in its middle


class TestSound:
    @EACH_LENGTH
    def test_a_sine_comes_back(self, name: str, ptime: int) -> None:
        """Whatever the packets last, after the delay that the encoder tells of."""
        each = codec(name)
        sound = sine(each.rate)
        heard = round_trip(each, sound, ptime)
        settled = slice(each.rate // 5, None)
        assert snr(sound[settled], heard[settled]) > LEAST_SNR[name]

    @EACH
    def test_the_delay_is_what_the_encoder_says(self, name: str) -> None:
        sound = voice(codec(name).rate, 1.0)
        assert abs(lag(sound, round_trip(codec(name), sound))) <= 1

    @EACH_LENGTH
    def test_a_packet_lasts_what_its_bytes_say(self, name: str, ptime: int) -> None:
        """Units of the RTP clock are not samples: RFC 3551 §4.5.2, RFC 7587 §4.1."""
        each = codec(name)
        [payload] = packets(each.encoder(ptime), voice(each.rate, ptime / 1000), ptime)
        assert each.duration(payload) == ptime * each.clock_rate // 1000
        assert len(each.decoder().decode(payload)) == ptime * each.rate // 1000

    @EACH
    def test_two_streams_do_not_know_of_each_other(self, name: str) -> None:
        each = codec(name)
        payloads = packets(each.encoder(), voice(each.rate, 0.5))
        alone = decoded(each.decoder(), payloads)
        one, other = each.decoder(), each.decoder()
        heard = []
        for payload, noise in zip(payloads, reversed(payloads), strict=True):
            heard.append(one.decode(payload))
            other.decode(noise)
        assert np.array_equal(np.concatenate(heard), alone)

    @EACH
    def test_what_is_heard_may_be_kept(self, name: str) -> None:
        """The next packet does not write over it."""
        each = codec(name)
        decoder = each.decoder()
        first, second = packets(each.encoder(), sine(each.rate, seconds=0.04))
        kept = decoder.decode(first)
        before = kept.copy()
        decoder.decode(second)
        assert np.array_equal(kept, before)


class TestBadInput:
    @EACH
    def test_an_empty_payload_is_no_sound_and_harms_nothing(self, name: str) -> None:
        each = codec(name)
        payloads = packets(each.encoder(), sine(each.rate, seconds=0.1))
        decoder, other = each.decoder(), each.decoder()
        heard = []
        for payload in payloads:
            assert len(decoder.decode(b"")) == each.duration(b"") == 0
            heard.append(decoder.decode(payload))
        assert np.array_equal(np.concatenate(heard), decoded(other, payloads))

    @EACH
    @settings(max_examples=60, deadline=None)
    @given(payload=st.binary(max_size=1500))
    def test_any_bytes_are_sound_or_the_one_error(self, name: str, payload: bytes) -> None:
        """And what they say of their length is what comes out."""
        each = codec(name)
        decoder = each.decoder()
        try:
            heard = decoder.decode(payload)
        except AudioError:
            heard = None
        if heard is not None:
            assert len(heard) == each.duration(payload) * each.rate // each.clock_rate
        guess = decoder.conceal(each.rate // 50, payload)
        assert guess is None or len(guess) == each.rate // 50

    @EACH
    def test_a_packet_of_the_greatest_size(self, name: str) -> None:
        decoder = codec(name).decoder()
        try:
            decoder.decode(b"\xff" * 65_000)
        except AudioError:
            assert name == "OPUS"


class TestTheSeam:
    def test_only_g711_keeps_nothing(self) -> None:
        """So frames of many calls go through as one."""
        assert [name for name, each in CODECS.items() if each.stateless] == ["PCMU", "PCMA"]
        for name in ("PCMU", "PCMA"):
            one = codec(name).decoder()
            assert id(one) == id(codec(name).decoder()) == id(codec(name).encoder())
            batch = one.decode(b"\x00\x10" + b"\x20\x30")
            assert np.array_equal(
                batch, np.concatenate([one.decode(b"\x00\x10"), one.decode(b"\x20\x30")])
            )

    def test_only_opus_conceals_by_itself(self) -> None:
        own = [name for name, each in CODECS.items() if each.decoder().conceal(320) is not None]
        assert own == ["OPUS"]

    @EACH
    def test_any_encoder_hears_of_loss(self, name: str) -> None:
        codec(name).encoder().expect_loss(0.05)

    @EACH
    def test_rates(self, name: str) -> None:
        each = codec(name)
        assert each.decoder().rate == each.encoder().rate == each.rate

    @pytest.mark.parametrize("name", ["opus", "Opus", "OPUS"])
    def test_names_have_no_case(self, name: str) -> None:
        """RFC 4855 §3."""
        assert codec(name) is CODECS["OPUS"]

    def test_an_unknown_name(self) -> None:
        with pytest.raises(ValueError, match="no codec named 'G729'"):
            codec("G729")

    @pytest.mark.parametrize(
        ("wanted", "g711", "opus"),
        [(10, 10, 10), (20, 20, 20), (30, 30, 20), (40, 40, 40), (50, 50, 40), (60, 60, 60)],
    )
    def test_packets_are_never_longer_than_asked_for(
        self, wanted: int, g711: int, opus: int
    ) -> None:
        """Opus has no frames of 30 and 50 ms: RFC 6716 §2.1.4."""
        assert codec("PCMU").packet_ms(wanted) == g711
        assert codec("OPUS").packet_ms(wanted) == opus
        assert codec("OPUS").packet_ms(5) == 10

    @pytest.mark.parametrize("name", ["G722", "OPUS"])
    def test_a_packet_of_another_length_is_our_mistake(self, name: str) -> None:
        encoder = codec(name).encoder(20)
        with pytest.raises(ValueError, match=r"samples|bytes"):
            encoder.encode(sine(16000, seconds=0.03))


class TestMissing:
    @EACH
    def test_here_all_of_them_work(self, name: str) -> None:
        assert missing(name) is None

    @pytest.mark.parametrize("error", [OSError, ImportError])
    def test_a_library_that_is_not_there(
        self, error: type[Exception], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken() -> codecs.Decoder:
            raise error("no such library")

        without: Codec = replace(CODECS["OPUS"], _decoder=broken)
        monkeypatch.setitem(CODECS, "OPUS", without)
        assert missing("opus") == "no such library"
