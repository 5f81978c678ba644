"""G.722 against FFmpeg's own framing and the Recommendation's numbers."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.audio.g722 import DELAY, G722Decoder, G722Encoder

from .voices import decoded, packets, ratio, sine, snr, voice


class TestStream:
    @pytest.mark.parametrize("ptime", [10, 30, 40, 50, 60])
    def test_the_stream_has_no_frames(self, ptime: int) -> None:
        """Packets of any length are the same bytes."""
        sound = voice(16000, 0.6)
        assert b"".join(packets(G722Encoder(ptime), sound, ptime)) == b"".join(
            packets(G722Encoder(), sound)
        )

    def test_the_receiver_need_not_know_how_long_packets_are(self) -> None:
        stream = b"".join(packets(G722Encoder(), voice(16000, 0.6)))
        whole = decoded(G722Decoder(), [stream])
        odd = [stream[at : at + 77] for at in range(0, len(stream), 77)]
        assert np.array_equal(decoded(G722Decoder(), odd), whole)

    def test_64_kbit_a_second(self) -> None:
        [payload] = packets(G722Encoder(), sine(16000, seconds=0.02))
        assert len(payload) == 160

    def test_samples_that_do_not_lie_in_one_piece(self) -> None:
        sound = voice(16000, 0.04)
        assert G722Encoder().encode(np.repeat(sound[:320], 2)[::2]) == G722Encoder().encode(
            sound[:320]
        )


class TestBand:
    @pytest.mark.parametrize(("frequency", "least"), [(300, 40), (3400, 30), (6800, 12)])
    def test_it_is_wide(self, frequency: float, least: float) -> None:
        """50 to 7,000 Hz (§1.1); above 4 kHz there are only two bits for a pair of samples."""
        sound = sine(16000, frequency)
        heard = decoded(G722Decoder(), packets(G722Encoder(), sound))[DELAY:]
        assert snr(sound[8000:], heard[8000:]) > least


class TestLoss:
    def test_it_finds_back_after_a_loss(self) -> None:
        """The states of both ends forget their difference: 100 ms later nothing is heard of it."""
        payloads = packets(G722Encoder(), voice(16000, 1.0))
        whole = decoded(G722Decoder(), payloads)
        rest = decoded(G722Decoder(), payloads[:20] + payloads[21:])[20 * 320 :]
        after = whole[21 * 320 :]
        settled = slice(5 * 320, None)
        assert ratio(after[settled], after[settled].astype(float) - rest[settled]) > 30

    def test_it_leaves_the_guess_to_others(self) -> None:
        assert G722Decoder().conceal(320, b"\x00" * 160) is None
