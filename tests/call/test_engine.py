"""One tick for all calls: its order, its budget, and that a call's fault stays its own."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest

from gateway.audio.frame import Samples
from gateway.audio.g711 import Codes
from gateway.audio.playout import Part
from gateway.call.digits import Digits
from gateway.call.downlink import Start
from gateway.call.engine import BURST, Engine, Joint, Leg
from gateway.call.relay import Relay, Side
from gateway.call.shield import Shield
from gateway.rtp import rtcp
from gateway.rtp.packet import Packet, encode, is_rtcp, parse
from gateway.rtp.port import PortPool
from gateway.rtp.reports import Reports
from gateway.rtp.source import SourceRule
from gateway.sdp.rtcp import Control
from tests.rtp.test_port import phone

from .talk import PHONE, make_line, media

TARGET = ("198.51.100.9", 6000)


class Port:
    """A port whose other end is the test."""

    def __init__(self, number: int) -> None:
        self.address = ("192.0.2.1", number)
        self.sent: list[Packet] = []
        self.arrived: list[tuple[bytes, tuple[str, int]]] = []
        self.connected: tuple[str, int] | None = None
        self.watcher: Callable[[], None] | None = None
        self.fault: Exception | None = None
        self.refused = self.failed = 0
        self.control: list[tuple[bytes, tuple[str, int]]] = []  # RTCP that left, and for whom

    def send(self, data: bytes, target: tuple[str, int]) -> bool:
        if self.fault:
            raise self.fault
        assert target in (PHONE, TARGET)
        if is_rtcp(data):
            self.control.append((data, target))
        else:
            self.sent.append(parse(data))
        return True

    def send_control(self, data: bytes, target: tuple[str, int]) -> bool:
        self.control.append((data, target))
        return True

    def receive(self) -> list[tuple[bytes, tuple[str, int]]]:
        arrived, self.arrived = self.arrived, []
        return arrived

    def connect(self, target: tuple[str, int]) -> None:
        self.connected = target

    def disconnect(self) -> None:
        self.connected = None

    def watch(self, arrived: Callable[[], None] | None) -> None:
        self.watcher = arrived

    def arrive(self, data: bytes, source: tuple[str, int]) -> None:
        self.arrived.append((data, source))
        if self.watcher:
            self.watcher()


class Ports:
    """All ports, each always readable."""

    def __init__(self) -> None:
        self.all: list[Port] = []

    def open(self, now: float) -> Port:
        self.all.append(Port(4000 + 2 * len(self.all)))
        return self.all[-1]

    def poll(self) -> list[Port]:
        return self.all

    def release(self, port: object, now: float, *, announced: bool = True) -> None: ...
    def sweep(self, now: float) -> None: ...
    def close(self) -> None: ...


class Listener:
    """Writes down what the engine tells, in its order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.samples = 0
        self.error: Exception | None = None

    def heard(self, samples: Samples | Codes, now: float) -> None:
        self.told.append("heard")
        self.samples += len(samples)

    def pressed(self, digit: str, now: float) -> None:
        self.told.append(f"pressed {digit}")

    def began(self, part: Part, now: float) -> None:
        self.told.append(f"began {part.item_id}")

    def drained(self, now: float) -> None:
        self.told.append("drained")

    def inform(self, digit: str) -> None:
        self.told.append(f"inform {digit}")

    def dialled(self, now: float) -> None:
        self.told.append("dialled")

    def broke(self, error: Exception) -> None:
        self.error = error


class Bench:
    """An engine, and calls on it that can be made as needed."""

    def __init__(self, meter: Callable[[], float] = lambda: 0.0) -> None:
        self.ports = Ports()
        self.engine = Engine(self.ports, meter)
        self.now = 0.0

    def call(self) -> tuple[Leg, Port, Listener]:
        port, listener = self.ports.open(0.0), Listener()
        leg = Leg(port, make_line(now=self.now), listener)
        self.engine.add(leg)
        return leg, port, listener

    def tick(self, times: int = 1, missed: int = 0) -> None:
        for _ in range(times):
            self.now += 0.02
            self.engine.tick(self.now, missed)


def speech(ms: int) -> str:
    return base64.b64encode(np.full(ms * 24, 900, "<i2").tobytes()).decode()


def say(leg: Leg, item: str, ms: int) -> None:
    leg.line.playout.push(Part("resp_1", item, 0), speech(ms))
    leg.line.playout.finish(item)


def sound(sequence: int) -> tuple[bytes, tuple[str, int]]:
    return encode(Packet(0, sequence, sequence * 160, 9, bytes(160))), PHONE


def test_a_packet_leaves_with_every_tick() -> None:
    """Sequence and timestamp without a break, speech or not."""
    bench = Bench()
    leg, port, _ = bench.call()
    bench.tick(3)
    say(leg, "item_1", 60)
    bench.tick(7)

    assert [packet.sequence for packet in port.sent] == list(range(100, 110))
    steps = {b.timestamp - a.timestamp for a, b in pairwise(port.sent)}
    assert steps == {160}
    assert [packet.marker for packet in port.sent] == [True] + [False] * 9


def test_what_is_told_in_the_order_of_the_sound() -> None:
    bench = Bench()
    leg, port, listener = bench.call()
    say(leg, "item_1", 40)
    port.arrived.append(sound(1))
    event = encode(Packet(101, 2, 320, 9, bytes([7, 10, 0, 160]), marker=True))
    port.arrived.append((event, PHONE))
    bench.tick(5)

    assert [word for word in listener.told if word != "heard"] == [
        "pressed 7",
        "began item_1",
        "drained",
    ]
    assert listener.samples > 0


def test_appends_are_staggered_over_two_ticks() -> None:
    """Each call's model gets 40 ms at a time, and never all calls in the same tick."""
    bench = Bench()
    calls = [bench.call() for _ in range(4)]
    counts = []
    for number in range(1, 9):
        for _, port, _ in calls:
            port.arrived.append(sound(number))
        before = [len(listener.told) for _, _, listener in calls]
        bench.tick()
        counts.append(
            sum(
                len(listener.told) > count
                for (_, _, listener), count in zip(calls, before, strict=True)
            )
        )

    assert counts == [2] * 8
    assert all(listener.samples in (7 * 480, 8 * 480) for _, _, listener in calls)


def test_the_emptiest_playout_is_decoded_first_and_only_within_the_budget() -> None:
    """Replies that arrive in the same millisecond must not hold up anybody's packets."""
    times = iter(np.arange(0.0, 10.0, 0.003))
    bench = Bench(meter=lambda: float(next(times)))
    full, empty, other = (bench.call()[0] for _ in range(3))
    say(full, "item_1", 500)
    full.line.playout.decode_one()
    for leg in (full, empty, other):
        leg.line.playout.push(Part("resp_1", "item_2", 0), speech(500))
    bench.engine._legs[full.port].line.downlink.prepare()  # it alone has begun to speak
    decoded = [leg.line.playout.decoded for leg in (full, empty, other)]
    assert decoded[1:] == [0, 0]

    hungry = bench.engine._hungry()
    for leg in hungry:
        bench.engine._decode(leg)

    assert hungry == [empty, other, full]
    assert [leg.line.playout.undecoded for leg in hungry] == [False, True, True]


def test_a_call_that_fails_is_taken_off_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    broken, broken_port, broken_listener = bench.call()
    _, port, listener = bench.call()
    bench.tick()

    def fail(now: float) -> None:
        raise RuntimeError("our own mistake")

    monkeypatch.setattr(broken.line.downlink, "sent", fail)
    bench.tick(5)

    assert isinstance(broken_listener.error, RuntimeError)
    assert len(broken_port.sent) == 2
    assert len(port.sent) == 6
    assert listener.error is None


def test_a_call_that_fails_where_all_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording what was coded, and packing what was said, are each call's own."""
    for fails in ("record", "pack"):
        bench = Bench()
        calls = [bench.call() for _ in range(4)]
        broken, _, broken_listener = calls[0]

        def fail(*given: object) -> None:
            raise RuntimeError("our own mistake")

        part = broken.line.uplink if fails == "record" else broken.line.downlink
        monkeypatch.setattr(part, fails, fail)
        monkeypatch.setattr(type(broken.line.uplink), "recorded", True)
        for n in range(12):
            for _, port, _ in calls:
                port.arrived.append(sound(n))
            bench.tick()
        assert isinstance(broken_listener.error, RuntimeError)
        for _, port, listener in calls[1:]:
            assert listener.error is None
            assert len(port.sent) == 12
            assert listener.samples >= 10 * 480


def test_a_call_that_is_removed_is_silent() -> None:
    bench = Bench()
    leg, port, listener = bench.call()
    bench.tick()
    bench.engine.remove(leg)
    bench.engine.remove(leg)
    port.arrived.append(sound(1))
    bench.tick(4)

    assert len(port.sent) == 1
    assert listener.told == []


def test_the_kernel_filters_once_the_source_is_known() -> None:
    """And hears everybody again when a re-INVITE moves the stream."""
    bench = Bench()
    leg, port, _ = bench.call()
    bench.tick()
    assert port.connected is None
    port.arrived.append(sound(1))
    bench.tick()
    assert port.connected == PHONE

    leg.reconnect()
    assert port.connected is None


def test_what_came_before_the_kernel_filters_waits_for_nothing() -> None:
    """No poll tells of it: it is read at once, in order, within the same tick."""
    with closing(PortPool("127.0.0.77", 43_000, 43_010)) as pool, phone() as peer:
        engine, listener = Engine(pool, lambda: 0.0), Listener()
        port = pool.open(0.0)
        line = make_line(source=SourceRule("sdp", peer.getsockname()))
        engine.add(Leg(port, line, listener))
        for n in range(100):
            peer.sendto(sound(n)[0], port.address)
        engine.tick(0.02)
        assert line.uplink.reorder.late == line.uplink.reorder.lost == 0
        assert line.counts().received == 100


def test_missed_ticks_are_time_that_passed() -> None:
    """No burst follows: the timestamps go on where the clock is."""
    bench = Bench()
    _, port, _ = bench.call()
    bench.tick(2)
    bench.tick(missed=5)
    bench.tick(2)

    stamps = [packet.timestamp for packet in port.sent]
    assert [(b - a) // 160 for a, b in pairwise(stamps)] == [1, 1, 6, 1]


class Joined:
    """Two parties on an engine, each at a port of its own."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.caller, self.target = Port(4000), Port(4002)
        sides = [
            Side(media(remote=remote), SourceRule("sdp", remote), Start(ssrc, 100, 1000), 0.0)
            for remote, ssrc in ((PHONE, 7), (TARGET, 8))
        ]
        self.relay = Relay(*sides, rtp_timeout=30.0)
        self.errors: list[Exception] = []
        self.joint = Joint(
            self.relay,
            Shield(self.caller),
            Shield(self.target),
            clock=lambda: self.bench.now,
            broke=self.errors.append,
        )

    def join(self) -> None:
        self.bench.engine.join(self.joint)


class TestJoint:
    """Two parties of a call: what comes leaves in the same moment, without a tick."""

    def test_each_hears_the_other(self) -> None:
        two = Joined()
        two.join()
        two.caller.arrive(*sound(1))
        assert [(packet.sequence, packet.ssrc) for packet in two.target.sent] == [(100, 8)]
        two.target.arrive(sound(9)[0], TARGET)
        assert [(packet.sequence, packet.ssrc) for packet in two.caller.sent] == [(100, 7)]

    def test_what_is_there_already_goes_first(self) -> None:
        two = Joined()
        two.caller.arrive(*sound(1))
        two.join()
        assert len(two.target.sent) == 1

    def test_the_kernel_keeps_others_out(self) -> None:
        two = Joined()
        two.join()
        two.caller.arrive(*sound(1))
        assert (two.caller.connected, two.target.connected) == (PHONE, None)
        two.joint.reconnect(two.relay.caller)
        assert two.caller.connected is None
        two.caller.arrive(*sound(2))
        assert two.caller.connected == PHONE

    def test_a_flood_waits_for_the_tick(self) -> None:
        two = Joined()
        two.join()
        for n in range(BURST + 5):
            two.caller.arrive(*sound(n))
        assert len(two.target.sent) == BURST
        two.bench.tick()
        assert len(two.target.sent) == BURST + 5
        two.caller.arrive(*sound(BURST + 5))
        assert len(two.target.sent) == BURST + 6

    def test_parted_they_hear_nothing(self) -> None:
        two = Joined()
        two.join()
        two.caller.arrive(*sound(1))
        two.bench.engine.part(two.joint)
        two.bench.engine.part(two.joint)
        assert two.caller.connected is None
        two.caller.arrive(*sound(2))
        two.bench.tick()
        assert len(two.target.sent) == 1

    def test_a_fault_ends_this_one_alone(self) -> None:
        two = Joined()
        _, port, _ = two.bench.call()
        two.join()
        two.target.fault = OSError("broken")
        two.caller.arrive(*sound(1))
        assert two.errors == [two.target.fault]
        assert two.caller.watcher is None
        two.bench.tick()
        assert len(port.sent) == 1

    def test_a_fault_ends_it_for_both_ports(self) -> None:
        """Whichever end fails, as it begins or behind a flood: nobody watches a port any more."""
        two = Joined()
        two.target.fault = two.caller.fault = OSError("broken")
        two.caller.arrive(*sound(1))
        two.target.arrive(sound(1)[0], TARGET)
        two.join()
        assert len(two.errors) == 1
        assert (two.caller.watcher, two.target.watcher) == (None, None)
        assert (two.caller.connected, two.target.connected) == (None, None)

        two = Joined()
        two.join()
        for n in range(BURST + 1):
            two.caller.arrive(*sound(n))
            two.target.arrive(sound(n)[0], TARGET)
        two.target.fault = two.caller.fault = OSError("broken")
        two.bench.tick()
        assert len(two.errors) == 1
        assert (two.caller.watcher, two.target.watcher) == (None, None)


def test_keys_are_told_when_they_have_left() -> None:
    bench = Bench()
    leg, port, listener = bench.call()
    leg.line.downlink.keys = Digits("1", inform=False)
    bench.tick(12)
    assert "dialled" not in listener.told
    bench.tick(2)
    assert listener.told.count("dialled") == 1
    assert leg.line.downlink.keys is None
    assert [packet.payload_type for packet in port.sent[1:9]] == 7 * [101] + [0]


def test_a_key_that_info_carries_is_told_at_its_time() -> None:
    bench = Bench()
    leg, _, listener = bench.call()
    leg.line.renegotiate(media(event_payload_type=None), 0.0)
    leg.line.downlink.keys = Digits("12", inform=True)
    bench.tick(5)
    assert [told for told in listener.told if told.startswith("inform")] == ["inform 1"]
    bench.tick(20)
    assert [told for told in listener.told if told != "heard"] == [
        "inform 1",
        "inform 2",
        "dialled",
    ]


class TestControl:
    """RTCP leaves with the appends, by the port that was agreed for it."""

    APART = ("192.0.2.7", 4001)

    def leg(self, control: Control) -> tuple[Leg, Port]:
        """A call that has RTCP; its first report is due after 2.5 s."""
        bench = Bench()
        leg, port, _ = bench.call()
        leg.line.reports = Reports(7, "call@gateway", 8000, lambda: 0.5, bench.now)
        leg.line.renegotiate(media(control=control), bench.now)
        bench.tick(130)
        return leg, port

    def test_where_both_are_one_it_goes_by_that(self) -> None:
        _, port = self.leg(Control(mux=True))
        ((data, target),) = port.control
        assert target == PHONE
        assert isinstance(rtcp.parse(data)[0], rtcp.Report)

    def test_its_timestamp_is_that_of_the_packet_beside_it(self) -> None:
        """RFC 3550 §6.4.1: RTP's time and the wall's are the same moment."""
        _, port = self.leg(Control(mux=True))
        report = rtcp.parse(port.control[0][0])[0]
        assert isinstance(report, rtcp.Report)
        assert report.sender
        assert report.sender.timestamp == port.sent[report.sender.packets - 1].timestamp

    def test_where_it_has_its_own_it_goes_by_that(self) -> None:
        _, port = self.leg(Control(remote=self.APART))
        assert [target for _, target in port.control] == [self.APART]

    def test_where_it_has_none_it_stays(self) -> None:
        leg, port = self.leg(Control())
        leg.leave(2.6)
        assert port.control == []

    def test_who_leaves_says_so(self) -> None:
        """RFC 3550 §6.6."""
        leg, port = self.leg(Control(mux=True))
        leg.leave(2.6)
        data, target = port.control[-1]
        assert target == PHONE
        assert rtcp.parse(data)[-1] == rtcp.Bye((7,))

    def test_without_rtcp_nothing_is_said(self) -> None:
        bench = Bench()
        leg, port, _ = bench.call()
        bench.tick(130)
        leg.leave(bench.now)
        assert port.control == []
