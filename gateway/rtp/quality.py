"""How a call sounds, as a number: the E-model of ITU-T G.107, of what a gateway can know. Pure.

    R = 93.2 - Id - Ie,eff          MOS from R as in G.107 Annex B: 1 to 4.41

The 93.2 are G.107's defaults for all that the network does not show (noise, loudness, side tone).
Id is the delay's part by the fit of Cole and Rosenbluth (2001): 0.024 d + 0.11 (d - 177.3), the
second term beyond 177.3 ms only. Ie,eff is the codec's and the loss's, by G.107 §7.5 with its
burst ratio.

One scale for all codecs, the narrow band's, so that calls can be compared: G.722 and Opus get no
more than a clean G.711 (4.41), though they sound better. G.113 has a Bpl for G.711 with
concealment (25.1, Appendix I); on this scale it has none for those two, and theirs is taken to be
the same, since each is concealed as well.

Left out on purpose: echo (Id of G.107 §7.4 with TELR), the wide band's scale (G.107.1), and what
the listener makes of it all (P.863 compares sound; this only counts packets).
"""

from __future__ import annotations

from typing import NamedTuple

BASE = 93.2  # R with G.107's defaults
BUFFER = 0.06  # s: a far end's jitter buffer, where nobody says how long it is


class Codec(NamedTuple):
    """How much a codec spoils, and how well it stands loss: G.113 Appendix I."""

    ie: float  # equipment impairment factor
    bpl: float  # packet-loss robustness factor; the larger, the better


CONCEALED = Codec(0.0, 25.1)
UNCONCEALED = Codec(0.0, 4.3)  # G.711 where loss is silence
CODECS = {"PCMU": CONCEALED, "PCMA": CONCEALED, "G722": CONCEALED, "OPUS": CONCEALED}


def rating(codec: Codec, loss: float, *, burst_ratio: float = 1.0, delay: float = 0.0) -> float:
    """R, 0 to 100. `loss` is a share (0..1) of packets, `delay` one way, mouth to ear, in s."""
    percent = 100 * min(max(loss, 0.0), 1.0)
    lost = percent / (percent / max(burst_ratio, 1.0) + codec.bpl)
    milliseconds = 1000 * max(delay, 0.0)
    waiting = 0.024 * milliseconds + 0.11 * max(0.0, milliseconds - 177.3)
    return max(0.0, BASE - waiting - codec.ie - (95 - codec.ie) * lost)


def mos(rating: float) -> float:
    """The mean opinion score of a rating, 1.0 to 4.5. G.107 Annex B."""
    r = min(max(rating, 0.0), 100.0)
    # Below 6.5 the polynomial dips under its own end.
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def burst_ratio(sent: int, lost: int, bursts: int) -> float:
    """How much longer bursts of loss are than chance would make them: 1 and up. G.107 §7.5.

    `bursts` counts runs of lost packets.
    """
    if lost <= 0 or bursts <= 0 or lost >= sent:
        return 1.0
    return max(1.0, lost / bursts * (1 - lost / sent))


def one_way(round_trip: float | None, buffer: float = BUFFER) -> float:
    """Mouth to ear in s: half of the round trip, and what the receiver buffers."""
    return (round_trip or 0.0) / 2 + buffer
