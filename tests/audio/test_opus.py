"""Opus with FFmpeg as the other end, and what RFC 6716 and 7587 ask of a receiver."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audio import libopus
from gateway.audio.frame import AudioError, Samples
from gateway.audio.libopus import EncoderState
from gateway.audio.opus import OpusDecoder, OpusEncoder, Wishes, duration

from .voices import decoded, lag, packets, ratio, sine, snr, voice

FRAME = 320  # 20 ms


def ffmpeg_decoded(payloads: list[bytes], decoder: str) -> Samples:
    """By PyAV, as the far end: 48 kHz, the left channel, every third sample of a low sound."""
    context = av.AudioCodecContext.create(decoder, "r")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate = 48000
    context.layout = "stereo"
    resampler = av.AudioResampler("s16", "mono", 16000)
    heard = [
        piece.to_ndarray()[0]
        for payload in payloads
        for frame in context.decode(av.Packet(payload))
        for piece in resampler.resample(frame)
    ]
    return np.concatenate(heard).astype(np.int16)


def ffmpeg_packets(sound: Samples, layout: str = "mono", **options: str) -> list[bytes]:
    """By PyAV, as the far end, which always sends 48 kHz."""
    context = av.AudioCodecContext.create("libopus", "w")
    context.sample_rate = 48000
    context.layout = layout
    context.format = "s16"
    context.options = {"application": "voip", "b": "32000", **options}
    frame = av.AudioFrame.from_ndarray(
        np.repeat(sound, len(av.AudioLayout(layout).channels))[None], "s16", layout
    )
    frame.sample_rate = 48000
    return [bytes(packet) for packet in (*context.encode(frame), *context.encode(None))]


def closeness(sound: Samples, heard: Samples) -> float:
    """How alike two sounds are once aligned, 0..1."""
    late = lag(sound, heard)
    length = min(len(sound), len(heard) - late)
    one, other = sound[:length].astype(float), heard[late : late + length].astype(float)
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


class TestFarEnd:
    @pytest.mark.parametrize("decoder", ["libopus", "opus"])
    @pytest.mark.parametrize("ptime", [10, 20, 40, 60])
    def test_others_hear_us(self, decoder: str, ptime: int) -> None:
        """Both decoders of FFmpeg: libopus's, and its own."""
        sound = sine(16000)
        heard = ffmpeg_decoded(packets(OpusEncoder(ptime=ptime), sound, ptime), decoder)
        assert closeness(sound[3200:], heard[3200:]) > 0.98

    @pytest.mark.parametrize(("length", "ms"), [("10", 10), ("20", 20), ("40", 40), ("60", 60)])
    def test_we_hear_others(self, length: str, ms: int) -> None:
        sound = sine(48000)
        payloads = ffmpeg_packets(sound, frame_duration=length)
        assert {duration(payload) for payload in payloads} == {48 * ms}
        heard = decoded(OpusDecoder(), payloads)
        assert closeness(sine(16000)[3200:], heard[3200:]) > 0.98

    def test_stereo_is_heard_as_its_middle(self) -> None:
        """A sender may disregard `stereo=0`: RFC 7587 §7.1."""
        payloads = ffmpeg_packets(sine(48000), layout="stereo")
        assert payloads[10][0] & 4  # RFC 6716 §3.1: the bit s
        heard = decoded(OpusDecoder(), payloads)
        assert closeness(sine(16000)[3200:], heard[3200:]) > 0.98

    @pytest.mark.parametrize("rate", [8000, 12000, 16000, 24000, 48000])
    def test_any_rate_of_its_own(self, rate: int) -> None:
        """RFC 6716 §2.1.3; what is sent at one may be heard at another."""
        sound = voice(rate, 0.5)
        payloads = packets(OpusEncoder(rate), sound)
        assert {duration(payload) for payload in payloads} == {960}
        assert len(decoded(OpusDecoder(rate), payloads)) == len(sound)
        assert len(decoded(OpusDecoder(48000), payloads)) == len(sound) * 48000 // rate

    @pytest.mark.parametrize("end", [OpusDecoder, OpusEncoder])
    def test_no_other_rate(self, end: type[OpusDecoder | OpusEncoder]) -> None:
        with pytest.raises(ValueError, match="invalid argument"):
            end(44100)


class TestDuration:
    @pytest.mark.parametrize(
        ("payload", "units"),
        [
            ("", 0),
            ("00", 480),  # SILK, narrow band, 10 ms
            ("08", 960),
            ("10", 1920),
            ("18", 2880),  # 60 ms
            ("48", 960),  # SILK, wide band, 20 ms
            ("60", 480),  # hybrid
            ("78", 960),
            ("80", 120),  # CELT, 2.5 ms
            ("f8", 960),  # CELT, full band, 20 ms
            ("49", 1920),  # two frames of one size
            ("4a01", 1920),  # two of different sizes
            ("4b03", 2880),  # three
            ("4b83", 2880),  # with a variable size each
            ("1b02", 5760),  # 120 ms, the most: [R5]
            ("1b03", 0),
            ("4b", 0),  # how many?
            ("4b00", 0),  # none
        ],
    )
    def test_by_the_first_bytes(self, payload: str, units: int) -> None:
        """RFC 6716 §3.1, Table 2 and §3.2."""
        assert duration(bytes.fromhex(payload)) == units

    @pytest.mark.parametrize("first", range(256))
    def test_libopus_agrees(self, first: int) -> None:
        payload = bytes((first, 2)) if first & 3 == 3 else bytes((first,))
        opus = libopus.library()
        assert duration(payload) == opus.opus_packet_get_nb_samples(payload, len(payload), 48000)


class TestLoss:
    def test_fec_brings_back_what_the_next_packet_repeats(self) -> None:
        """RFC 7587 §3.3, RFC 6716 §2.1.7: much nearer to the truth than a guess."""
        sound = voice(16000)
        payloads = packets(OpusEncoder(wishes=Wishes(fec=True)), sound)
        assert recovered(payloads, fec=True) > recovered(payloads, fec=False) + 4

    def test_without_fec_it_is_a_guess(self) -> None:
        """The packet behind the loss is handed in all the same, and nothing is worse for it."""
        payloads = packets(OpusEncoder(), voice(16000))
        assert recovered(payloads, fec=True) == pytest.approx(recovered(payloads, fec=False), abs=1)

    def test_fec_of_others(self) -> None:
        payloads = ffmpeg_packets(voice(48000), fec="1", packet_loss="20")
        assert recovered(payloads, fec=True) > recovered(payloads, fec=False) + 4

    def test_a_guess_is_better_than_silence(self) -> None:
        payloads = packets(OpusEncoder(), voice(16000))
        assert recovered(payloads, fec=False) > 3  # dB; of silence it is 0

    @pytest.mark.parametrize("count", [0, 1, 39, 40, 320, 321, 640, 960, 1920, 8000, 20_000])
    @pytest.mark.parametrize("following", [False, True])
    def test_a_gap_of_any_length_is_filled(self, count: int, following: bool) -> None:
        """Timestamps may lie; what is no whole 2.5 ms is filled up with silence."""
        payloads = packets(OpusEncoder(wishes=Wishes(fec=True)), voice(16000, 0.4))
        decoder = OpusDecoder()
        decoded(decoder, payloads[:10])
        assert len(decoder.conceal(count, payloads[15] if following else b"")) == count
        assert len(decoder.decode(payloads[15])) == FRAME

    def test_a_long_gap_fades_to_the_noise_behind_the_voice(self) -> None:
        quiet = np.random.default_rng(6).normal(0, 20, 16000).astype(np.int16)
        decoder = OpusDecoder()
        decoded(decoder, packets(OpusEncoder(), np.concatenate([quiet, voice(16000, 0.5)])))
        guess = decoder.conceal(8000)
        assert ratio(guess[:FRAME], guess[-FRAME:]) > 20
        assert 1 < np.abs(guess[-FRAME:]).max() < 100

    def test_of_several_lost_ones_the_last_comes_back(self) -> None:
        """Those before it are guessed, and it comes in its own place."""
        payloads = packets(OpusEncoder(wishes=Wishes(fec=True)), voice(16000))
        whole = decoded(OpusDecoder(), payloads)
        truth: list[Samples] = []
        guesses: tuple[list[Samples], list[Samples]] = ([], [])
        for at in range(10, 90, 5):
            truth.append(whole[(at + 2) * FRAME :][:FRAME])
            for guess, following in zip(guesses, (b"", payloads[at + 3]), strict=True):
                decoder = OpusDecoder()
                decoded(decoder, payloads[:at])
                guess.append(decoder.conceal(3 * FRAME, following)[-FRAME:])
        true, without, with_it = (np.concatenate(each) for each in (truth, *guesses))
        assert snr(true, with_it) > snr(true, without) + 2

    def test_a_broken_packet_behind_a_loss(self) -> None:
        """Its own bytes are of no use, so the loss is guessed."""
        payloads = packets(OpusEncoder(), voice(16000))
        one, other = OpusDecoder(), OpusDecoder()
        for decoder in (one, other):
            decoded(decoder, payloads)
        assert np.array_equal(one.conceal(FRAME, b"\x4b"), other.conceal(FRAME))

    def test_before_the_first_packet(self) -> None:
        assert not OpusDecoder().conceal(FRAME).any()

    def test_a_broken_packet_is_the_one_error_and_the_stream_goes_on(self) -> None:
        payloads = packets(OpusEncoder(), voice(16000))
        one, other = OpusDecoder(), OpusDecoder()
        for at, payload in enumerate(payloads):
            if at % 7 == 3:
                with pytest.raises(AudioError, match="corrupted stream"):
                    one.decode(b"\x4b\x00" + payload)
            assert np.array_equal(one.decode(payload), other.decode(payload))

    @settings(max_examples=150, deadline=None)
    @given(
        first=st.integers(0, 255),
        count=st.integers(0, 255),
        rest=st.binary(max_size=200),
        gap=st.integers(0, 4000),
    )
    def test_nothing_else_ever_rises(self, first: int, count: int, rest: bytes, gap: int) -> None:
        decoder = _USED
        payload = bytes((first, count)) + rest
        assert len(decoder.conceal(gap, payload)) == gap
        try:
            assert len(decoder.decode(payload)) == duration(payload) // 3
        except AudioError:
            pass


class TestSilence:
    def test_a_sender_with_dtx(self) -> None:
        """Packets of a byte or two now and then, in between nothing: RFC 7587 §3.1.3."""
        sound = np.concatenate([voice(16000, 1.0), np.zeros(16000, np.int16)])
        state = EncoderState(16000)
        state.set(libopus.SET_DTX, 1)
        payloads = [state.encode(sound[at : at + FRAME]) for at in range(0, len(sound), FRAME)]
        sizes = [len(payload) for payload in payloads]
        assert min(sizes) <= 2
        decoder, heard = OpusDecoder(), []
        for payload in payloads:
            sent = len(payload) > 2
            heard.append(decoder.decode(payload) if sent else decoder.conceal(FRAME))
        assert {len(piece) for piece in heard} == {FRAME}
        assert np.abs(np.concatenate(heard)[-8000:]).max() < 100
        tiny = next(payload for payload in payloads if len(payload) <= 2)
        assert len(decoder.decode(tiny)) == FRAME

    def test_we_send_silence_as_packets(self) -> None:
        payloads = packets(OpusEncoder(), np.zeros(32000, np.int16))
        assert min(len(payload) for payload in payloads) > 2


class TestWishes:
    def test_bit_rate(self) -> None:
        """maxaveragebitrate bounds the mean: RFC 7587 §6.1."""
        sound = voice(16000)
        for most in (8000, 16000, 24000):
            sent = packets(OpusEncoder(wishes=Wishes(bit_rate=most)), sound)
            assert rate_of(sent) < 1.15 * most

    @pytest.mark.parametrize("bit_rate", [1, 6000, 510_000, 10**9])
    def test_any_bit_rate_is_taken(self, bit_rate: int) -> None:
        sent = packets(OpusEncoder(wishes=Wishes(bit_rate=bit_rate)), voice(16000))
        assert 3000 < rate_of(sent) < 40_000

    @pytest.mark.parametrize(
        ("playback_rate", "band"), [(1, 0), (8000, 0), (12000, 1), (16000, 2), (48000, 2)]
    )
    def test_playback_rate(self, playback_rate: int, band: int) -> None:
        """What the far end cannot play is not sent: maxplaybackrate. RFC 6716, Table 2."""
        sent = packets(OpusEncoder(wishes=Wishes(playback_rate=playback_rate)), voice(16000))
        assert {payload[0] >> 5 for payload in sent[5:]} == {band}

    def test_full_band_where_it_can_be_had(self) -> None:
        noise = np.random.default_rng(3).normal(0, 3000, 48000).astype(np.int16)
        sent = packets(OpusEncoder(48000), noise)
        assert sent[10][0] >> 5 > 2
        narrower = packets(OpusEncoder(48000, wishes=Wishes(playback_rate=16000)), noise)
        assert {payload[0] >> 5 for payload in narrower[5:]} <= {2, 5}  # wide band, SILK or CELT

    def test_a_constant_bit_rate(self) -> None:
        sent = packets(OpusEncoder(wishes=Wishes(constant=True)), voice(16000))
        assert len({len(payload) for payload in sent}) == 1

    def test_fec_only_where_it_is_wanted_and_of_use(self) -> None:
        """useinbandfec, and the loss that RTCP reports."""
        encoder = OpusEncoder(wishes=Wishes(fec=True))
        assert repeats(packets(OpusEncoder(), voice(16000))) == 0
        assert repeats(packets(encoder, voice(16000))) > 50  # not those without speech
        for share, least, most in ((0.0, 0, 2), (0.2, 50, 100), (7.0, 50, 100), (-1.0, 0, 2)):
            encoder.expect_loss(share)
            assert least <= repeats(packets(encoder, voice(16000))) <= most


_USED = OpusDecoder()


def recovered(payloads: list[bytes], *, fec: bool) -> float:
    """dB by which what stands in for every tenth packet is near to what was in it."""
    whole, lossy = OpusDecoder(), OpusDecoder()
    truth, guess = [], []
    for at, payload in enumerate(payloads[:-1]):
        true = whole.decode(payload)
        if at % 10 != 9:
            lossy.decode(payload)
            continue
        truth.append(true)
        guess.append(lossy.conceal(FRAME, payloads[at + 1] if fec else b""))
    return snr(np.concatenate(truth), np.concatenate(guess))


def rate_of(payloads: list[bytes]) -> float:
    return sum(map(len, payloads)) * 8 * 50 / len(payloads)


def repeats(payloads: list[bytes]) -> float:
    """% of the packets that carry FEC, as libopus sees it."""
    has = libopus.library().opus_packet_has_lbrr
    return float(np.mean([has(payload, len(payload)) > 0 for payload in payloads]) * 100)
