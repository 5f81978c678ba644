"""Speech as packets: of every length, in every codec, counted as it leaves."""

from __future__ import annotations

import base64
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from gateway.audio.codec import codec
from gateway.audio.detector import Detector
from gateway.audio.playout import Part, Playout
from gateway.call.digits import Digits
from gateway.call.downlink import Downlink, Start
from gateway.rtp.dtmf import DigitReceiver
from gateway.rtp.packet import Packet, parse
from gateway.sdp.formats import CODECS
from gateway.sdp.negotiation import Media

from .talk import PHONE

CLOCK = {name: it.clock_rate for name, it in CODECS.items()}


def media(name: str = "PCMU", ptime: int = 20, *, sending: bool = True, **values: object) -> Media:
    agreed = CODECS[name]
    agreed = replace(agreed, payload_type=agreed.payload_type or 0)
    return Media(
        remote=PHONE,
        codec=agreed,
        accepted={agreed.payload_type: agreed},
        event_payload_type=101,
        event_clock_rate=8000,
        sending=sending,
        receiving=True,
        ptime=ptime,
        **values,  # type: ignore[arg-type]  # whatever a test wants different
    )


class Model:
    """A model that speaks at 24 kHz, a tone without end."""

    def __init__(self, agreed: Media, seconds: float = 2.0) -> None:
        self.playout = Playout(24000)
        at = np.arange(round(seconds * 24000)) / 24000
        tone = np.rint(8000 * np.sin(2 * np.pi * 1000 * at)).astype("<i2")
        self.playout.push(Part("resp", "item", 0), base64.b64encode(tone.tobytes()).decode())
        while self.playout.undecoded:
            self.playout.decode_one()
        self.line = Downlink(agreed, self.playout, Start(7, 100, 1000))

    def run(self, ticks: int) -> list[list[Packet]]:
        """What leaves in each tick."""
        left = []
        for tick in range(ticks):
            self.line.prepare()
            left.append([parse(it) for it in self.line.packets])
            self.line.sent(tick * 0.02)
        return left


@pytest.mark.parametrize("name", ["PCMU", "G722", "OPUS"])
@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 50, 60])
def test_packets_last_as_long_as_the_far_end_wants(name: str, ptime: int) -> None:
    """Sequences and timestamps without a break, and no more sound than time has passed."""
    model = Model(media(name, ptime))
    packets = [it for tick in model.run(60) for it in tick]
    lasts = codec(name).packet_ms(ptime)
    assert len(packets) == 1200 // lasts
    assert [it.sequence for it in packets] == list(range(100, 100 + len(packets)))
    units = CLOCK[name] * lasts // 1000
    assert {b.timestamp - a.timestamp for a, b in pairwise(packets)} == {units}
    assert {codec(name).duration(it.payload) for it in packets} == {units}
    assert [it.marker for it in packets] == [True] + [False] * (len(packets) - 1)


@pytest.mark.parametrize(("name", "worst"), [("PCMU", 30), ("G722", 30), ("OPUS", 12)])
def test_the_far_end_hears_it(name: str, worst: float) -> None:
    """A tone is a tone."""
    model = Model(media(name))
    decoder = codec(name).decoder()
    heard = np.concatenate([decoder.decode(it.payload) for (it,) in model.run(50)])
    settled = heard[decoder.rate // 5 :].astype(float)
    at = 2 * np.pi * 1000 * np.arange(len(settled)) / decoder.rate
    waves = np.stack((np.sin(at), np.cos(at)))
    tone = waves.T @ (waves @ settled) * 2 / len(settled)
    rest = settled - tone
    assert 10 * np.log10(np.mean(tone**2) / np.mean(rest**2)) > worst


@pytest.mark.parametrize("ptime", [10, 20, 30, 60])
def test_what_left_was_heard(ptime: int) -> None:
    """In whole packets: what only waits for the rest of its packet was not."""
    model = Model(media(ptime=ptime))
    left = model.run(20)
    (heard,) = model.line.cut()
    assert heard.ms == sum(len(it.payload) for tick in left for it in tick) // 8


def test_a_cut_silences_what_is_prepared() -> None:
    model = Model(media(ptime=40))
    model.run(4)
    model.line.prepare()
    model.line.cut()
    model.line.prepare()
    (packet,) = [parse(it) for it in model.line.packets]
    assert set(packet.payload) == {0xFF}


@pytest.mark.parametrize("name", ["G722", "OPUS", "PCMU"])
def test_a_cut_right_behind_a_change_of_codec(name: str) -> None:
    """What was prepared in the old one does not leave; the recording has a frame of silence."""
    told: list[tuple[int, int]] = []
    model = Model(media("PCMU"))
    model.run(4)
    model.line._track = lambda samples, rate: told.append((len(samples) * 1000 // rate, rate))
    model.line.prepare()
    model.line.use(media(name, ptime=40))
    model.line.cut()
    assert model.line.packets == []
    model.line.sent(1.0)
    model.run(4)
    assert sum(ms for ms, _ in told) == 100
    assert {rate for _, rate in told} == {codec(name).rate}


def test_a_key_waits_for_the_packet_that_has_begun() -> None:
    model = Model(media(ptime=60))
    model.run(4)
    model.line.keys = Digits("1", inform=False)
    kinds = [[it.payload_type for it in tick] for tick in model.run(4)]
    assert kinds == [[], [0], [101], [101]]


@pytest.mark.parametrize("ptime", [20, 60])
@pytest.mark.parametrize("name", ["PCMU", "G722", "OPUS"])
def test_keys_as_events_in_the_clock_of_the_codec(name: str, ptime: int) -> None:
    """RFC 4733 §2.1: timestamp and duration by the clock; a key is 100 ms, and so is the pause.

    At most a packet that has begun has to be filled up before a key.
    """
    clock = CLOCK[name]
    model = Model(replace(media(name, ptime), event_clock_rate=clock))
    model.run(3)
    model.line.keys = Digits("15", inform=False)
    packets = [it for tick in model.run(60) for it in tick if it.payload_type == 101]
    keys = DigitReceiver(clock, clock)
    digits = [it for packet in packets for it in keys.receive(packet, 0.0)]
    assert [(it.digit, it.duration_ms) for it in digits if it.ended] == [("1", 100), ("5", 100)]
    first, second = (it.timestamp for it in packets if it.marker)
    apart = (second - first) * 1000 // clock
    assert apart == 240 if ptime == 20 else 240 <= apart <= 280
    assert {int.from_bytes(it.payload[2:], "big") % (clock // 50) for it in packets} == {0}


@pytest.mark.parametrize("ptime", [20, 60])
@pytest.mark.parametrize("name", ["PCMU", "G722", "OPUS"])
def test_keys_as_tones_in_each_codec(name: str, ptime: int) -> None:
    """Whoever has neither events nor INFO hears them."""
    model = Model(replace(media(name, ptime), event_payload_type=None))
    model.line.keys = Digits("159D", inform=False)
    decoder = codec(name).decoder()
    heard = [decoder.decode(it.payload) for tick in model.run(60) for it in tick]
    presses = Detector(decoder.rate).push(np.concatenate(heard))
    assert "".join(it.digit for it in presses if not it.ended) == "159D"


def test_another_rate_in_mid_call() -> None:
    """The stream goes on in the new codec; what waited keeps its time."""
    model = Model(media(ptime=40))
    model.run(3)
    model.line.use(media("G722", ptime=40))
    packets = [it for tick in model.run(4) for it in tick]
    assert {it.payload_type for it in packets} == {9}
    assert packets[0].sequence == 101


def test_it_rings_at_the_rate_of_the_codec() -> None:
    model = Model(media())
    model.line.ring = True
    model.run(10)
    model.line.use(media("G722"))
    decoder = codec("G722").decoder()
    heard = np.concatenate([decoder.decode(it.payload) for (it,) in model.run(10)])
    spectrum = np.abs(np.fft.rfft(heard[320:]))
    assert abs(np.argmax(spectrum) * decoder.rate / len(heard[320:]) - 425) < 10
    model.line.ring = False
    assert not model.line.ring


@pytest.mark.parametrize("name", ["PCMU", "G722", "OPUS"])
@pytest.mark.parametrize("ptime", [10, 20, 40, 60])
def test_a_hold_loses_no_sound_and_leaves_packets_as_long_as_they_were(
    name: str, ptime: int
) -> None:
    """What was prepared when it came is packed anew behind it, and counted once."""
    agreed = media(name, ptime)
    lasts = codec(name).packet_ms(ptime)
    model = Model(agreed, 1.0)
    before = [it for tick in model.run(3) for it in tick]
    while not model.line.packets:
        model.line.prepare()
    model.line.use(replace(agreed, sending=False))
    assert model.run(5) == [[]] * 5
    model.line.use(agreed)
    after = [it for tick in model.run(100) for it in tick]
    units = CLOCK[name] * lasts // 1000
    assert {b.timestamp - a.timestamp for a, b in pairwise(after)} == {units}
    assert [it.sequence for it in before + after] == list(range(100, 100 + len(before + after)))
    if name == "PCMU":
        assert {len(it.payload) for it in after} == {units}
    assert model.playout.sent_total == 24000
    model.playout.finish("item")
    assert not model.playout.speaking


def test_a_change_of_codec_under_a_hold() -> None:
    """What was prepared for another rate goes out as silence of the same length."""
    model = Model(media("G722", 20))
    model.line.prepare()
    model.line.use(media("PCMU", 60, sending=False))
    model.line.use(media("PCMU", 60))
    packets = [it for tick in model.run(7) for it in tick]
    assert [len(it.payload) for it in packets] == [480, 480]
    assert packets[1].timestamp - packets[0].timestamp == 480


@pytest.mark.parametrize(("before", "after"), [(30, 20), (60, 30), (60, 20), (20, 30)])
def test_packets_of_another_length_in_mid_call(before: int, after: int) -> None:
    model = Model(media("PCMU", before))
    model.run(5)
    model.line.use(media("PCMU", after))
    packets = [it for tick in model.run(9) for it in tick]
    assert {len(it.payload) for it in packets} == {8 * after}
    assert {b.timestamp - a.timestamp for a, b in pairwise(packets)} == {8 * after}


@pytest.mark.parametrize("ptime", [20, 60])
def test_a_stream_that_was_lent_goes_on_with_what_was_prepared(ptime: int) -> None:
    """And counts it when it leaves."""
    whole = [it.payload for tick in Model(media("PCMU", ptime), 0.2).run(13) for it in tick]
    model = Model(media("PCMU", ptime), 0.2)
    model.playout.finish("item")
    while not model.line.packets:
        model.line.prepare()
    model.line.resume(Start(7, 300, 5000))
    packets = [it for tick in model.run(13) for it in tick]
    assert packets[0].sequence == 300
    sent = b"".join(it.payload for it in packets)
    assert sent[:1600] == b"".join(whole)[:1600]
    assert model.playout.sent_total == 4800
    assert model.playout.idle


def test_what_was_prepared_twice_is_sent_and_counted_twice() -> None:
    """A call whose keys were away for a tick still has the packet before them."""
    model = Model(media(), 0.2)
    for _ in range(2):
        speech = model.line.speech()
        assert speech is not None or len(model.line.packets) == 2
        if speech is not None:
            model.line.pack(bytes(160), speech[:160])
    assert [parse(it).timestamp for it in model.line.packets] == [1160, 1320]
    model.line.sent(0.0)
    assert model.playout.sent_total == 960


@pytest.mark.parametrize(
    ("before", "after"),
    [("PCMU", "OPUS"), ("PCMU", "G722"), ("OPUS", "PCMU"), ("G722", "PCMU"), ("PCMU", "PCMA")],
)
def test_what_waited_for_keys_while_the_codec_changed(before: str, after: str) -> None:
    """It never leaves in the codec there was; its time passes as silence at another rate."""
    model = Model(media(before), 0.2)
    assert model.line.speech() is None or before == "PCMU"
    model.line.prepare()
    model.line.use(media(after, 20))
    packets = [it for tick in model.run(15) for it in tick]
    assert {it.payload_type for it in packets} == {media(after).codec.payload_type}
    assert {b.timestamp - a.timestamp for a, b in pairwise(packets)} == {CLOCK[after] // 50}
    assert model.playout.sent_total == 4800
    model.playout.finish("item")
    assert model.playout.idle
