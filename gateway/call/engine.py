"""Engine ●: one 20 ms tick for all calls. Shell: it moves bytes, and decides nothing.

In each tick, in this order:

1. send the packets that the last tick prepared: pacing is the timer plus a microsecond a call
2. read what arrived, of all calls, from one poll; take some steps of DTLS handshakes
3. give the model what its callers said: the calls whose append is due in this tick
4. decode deltas, emptiest playout first, until the time budget is spent
5. prepare the next packets

No task, timer, queue or transport per call is on this path, and nothing is logged in it. Two
parties that were joined (relay.py) are not on it: their packets pass as they come.

Who ticks (ticker.py) and what the ports are is handed in: a timer descriptor and sockets in the
service, virtual time and a network in memory in tests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from gateway.audio.frame import Samples
from gateway.audio.g711 import Codes
from gateway.audio.playout import Part
from gateway.rtp.port import RtpPort, RtpPorts

from . import together
from .digits import Digits
from .line import Line
from .relay import Relay, Side
from .shield import Handshakes, Shield

APPEND_TICKS = 2  # an append holds 40 ms: 20 ms cost a third more, longer saves little
DECODE_BUDGET = 0.004  # s a tick
BURST = 64  # datagrams of one port that are passed on within a tick: 20 ms are one or two


class Listener(Protocol):
    """What a call does with its sound; each runs inside the tick and must be short."""

    def heard(self, sound: Samples | Codes, now: float) -> None:
        """The caller's sound since the last time, at the model's rate or in its law."""

    def pressed(self, digit: str, now: float) -> None:
        """The caller pressed a key."""

    def began(self, part: Part, now: float) -> None:
        """The first sample of a part of the model's speech left."""

    def drained(self, now: float) -> None:
        """All that the model said so far has left."""

    def inform(self, digit: str) -> None:
        """A key that the model presses is to go out by INFO, now."""

    def dialled(self, now: float) -> None:
        """All keys that the model pressed have left."""

    def broke(self, error: Exception) -> None:
        """This call's sound failed; it was taken off the engine, the others go on."""


class Leg:
    """A call on the engine: its port and what protects it, its line, and who listens."""

    def __init__(
        self, port: RtpPort, line: Line, listener: Listener, shield: Shield | None = None
    ) -> None:
        self.port = port
        self.shield = shield or Shield(port)
        self.line = line
        self.listener = listener
        self.budget = 0  # datagrams that it may have read yet in this tick
        self._spoke = False
        self._connected = False

    def reconnect(self) -> None:
        """Let the port hear anyone again, after a re-INVITE moved the stream."""
        if self._connected:
            self._connected = False
            self.port.disconnect()

    def transmit(self, now: float) -> None:
        """Send the prepared packets, and count them as heard."""
        line, target, shield = self.line.downlink, self.line.source.target, self.shield
        if not (shield.plain or shield.ready):
            return  # speech waits for the keys
        if target is not None:
            send = self.port.send if shield.plain else shield.send
            for packet in line.packets:
                send(packet, target)
        begun = line.sent(now)
        if line.keys is not None:
            self._follow(line.keys, now)
        if begun is not None:
            self._spoke = True
            self.listener.began(begun, now)
        if self._spoke and line.playout.idle:
            self._spoke = False
            self.listener.drained(now)

    def speech(self) -> Samples | None:
        """Prepare what the next tick sends, as far as it is this call's alone: see downlink.py.

        Time passes while there are no keys for it.
        """
        if self.shield.plain or self.shield.ready:
            return self.line.downlink.speech()
        self.line.downlink.skip(1)
        return None

    def _follow(self, keys: Digits, now: float) -> None:
        """Tell how far the keys are."""
        line = self.line.downlink
        if line.inform is not None:
            digit, line.inform = line.inform, None
            self.listener.inform(digit)
        if keys.done:
            line.keys = None
            self.listener.dialled(now)

    def receive(self, now: float) -> None:
        """Take what the port has, and count it against the budget."""
        line = self.line
        datagrams = self.port.receive()
        self.budget -= max(1, len(datagrams))
        for data, source in datagrams:
            opened = data if self.shield.plain else self.shield.open(data, source)
            if opened is None:
                continue
            for digit in line.receive(opened, source, now):
                self.listener.pressed(digit, now)
        if line.source.locked and not self._connected and line.source.target is not None:
            self._connected = True  # the kernel drops everybody else's packets from here on
            self.port.connect(line.source.target)
            self.receive(now)

    def append(self, now: float) -> None:
        """Give the model what the caller said since the last time."""
        self.deliver(self.line.hear(now), now)

    def deliver(self, sound: Samples | Codes, now: float) -> None:
        """Give the model this, and the far end the report that is due."""
        if len(sound):
            self.listener.heard(sound, now)
        for digit in self.line.pressed():
            self.listener.pressed(digit, now)
        if told := self.line.report(now):
            self._control(told)

    def leave(self, now: float) -> None:
        """Say that our stream is over."""
        if told := self.line.farewell(now):
            self._control(told)

    def _control(self, data: bytes) -> None:
        """Send RTCP, by RTP's port or by the next one."""
        if (target := self.line.control_target) is None:
            return
        self.shield.send_control(data, target, mux=self.line.media.control.mux)


class _End:
    """One port of a joint, and whom it belongs to."""

    def __init__(self, shield: Shield, side: Side) -> None:
        self.shield = shield
        self.port = shield.port
        self.side = side
        self.connected = False
        self.budget = BURST
        self.read: Callable[[], None] = lambda: None  # what the port calls


class Joint:
    """Two parties of a call on the engine, joined: a packet leaves in the moment that it comes.

    Not in the tick: there it would wait for up to 20 ms, each packet for another time. Only the
    budget of a port, beyond which a flood has to wait, is the tick's.
    """

    def __init__(
        self,
        relay: Relay,
        caller: Shield,
        target: Shield,
        *,
        clock: Callable[[], float],
        broke: Callable[[Exception], None],
    ) -> None:
        self.relay = relay
        self._clock = clock
        self._broke = broke
        self._open = False
        self._ends = (_End(caller, relay.caller), _End(target, relay.target))
        for end, other in (self._ends, self._ends[::-1]):
            end.read = partial(self._read, end, other)

    def open(self) -> None:
        """Begin: what is in the ports already goes first."""
        self._open = True
        self._watch(self._ends)

    def close(self) -> None:
        """End; harmless when it was over. The ports are as if nobody had connected them."""
        self._open = False
        for end in self._ends:
            end.port.watch(None)
            self._disconnect(end)

    def reconnect(self, side: Side) -> None:
        """Let a port hear anyone again, after a re-INVITE moved its stream."""
        for end in self._ends:
            if end.side is side:
                self._disconnect(end)

    def replenish(self) -> None:
        """A tick is over."""
        exhausted = [end for end in self._ends if end.budget <= 0]
        for end in self._ends:
            end.budget = BURST
        if exhausted and self._open:
            self._watch(exhausted)

    @staticmethod
    def _watch(ends: Sequence[_End]) -> None:
        """All of them first: with what the first one reads it may be over."""
        for end in ends:
            end.port.watch(end.read)
        for end in ends:
            end.read()

    def _read(self, end: _End, other: _End) -> None:
        """Pass on all that came at one port."""
        if not self._open:
            return
        try:
            now = self._clock()
            for data, source in end.port.receive():
                end.budget -= 1
                opened = end.shield.open(data, source)
                if opened is None:
                    continue
                passed = self.relay.pass_on(end.side, opened, source, now)
                if passed is not None and other.side.source.target is not None:
                    other.shield.send(passed, other.side.source.target)
            rule = end.side.source
            if rule.locked and not end.connected and rule.target is not None:
                end.connected = True  # the kernel drops everybody else's packets from here on
                end.port.connect(rule.target)
                self._read(end, other)
            if end.budget <= 0:
                end.port.watch(None)
        except Exception as error:  # a border: the loop that called is not at fault
            self.close()
            self._broke(error)

    @staticmethod
    def _disconnect(end: _End) -> None:
        if end.connected:
            end.connected = False
            end.port.disconnect()


class Engine:
    """Runs the sound of every call. `meter` is the clock of the decoding budget, in seconds."""

    def __init__(self, ports: RtpPorts, meter: Callable[[], float]) -> None:
        self.handshakes = Handshakes()
        self._ports = ports
        self._meter = meter
        self._legs: dict[RtpPort, Leg] = {}
        self._joints: dict[Joint, None] = {}
        self._cohorts: list[list[Leg]] = [[] for _ in range(APPEND_TICKS)]
        self._ticks = 0

    def add(self, leg: Leg) -> None:
        """Begin to run a call's sound; its first packet leaves with the next tick."""
        self._legs[leg.port] = leg
        min(self._cohorts, key=len).append(leg)
        self._prepare([leg], 0)

    def remove(self, leg: Leg) -> bool:
        """Stop running a call's sound; False, and harmless, when it was not running."""
        if self._legs.pop(leg.port, None) is None:
            return False
        for cohort in self._cohorts:
            if leg in cohort:
                cohort.remove(leg)
        return True

    def join(self, joint: Joint) -> None:
        """Let two parties talk; their legs, if they had any, were removed."""
        self._joints[joint] = None
        joint.open()

    def part(self, joint: Joint) -> None:
        """Let them talk no longer; harmless when they did not."""
        if joint in self._joints:
            del self._joints[joint]
            joint.close()

    def tick(self, now: float, missed: int = 0) -> None:
        """Do 20 ms of work; `missed` ticks before this one are made up for by silence in time."""
        self._ticks += 1
        self._each(list(self._legs.values()), Leg.transmit, now)
        self._receive(now)
        self.handshakes.tick(now)
        self._append(list(self._cohorts[self._ticks % APPEND_TICKS]), now)
        self._each(self._hungry(), self._decode)
        self._prepare(list(self._legs.values()), missed)
        for joint in list(self._joints):
            joint.replenish()

    def _receive(self, now: float) -> None:
        """Read every port empty, one datagram of each at a time: mostly there is but one."""
        legs = self._legs
        readable = [legs[port] for port in self._ports.poll() if port in legs]
        for leg in readable:
            leg.budget = BURST
        while readable:
            self._each(readable, Leg.receive, now)
            readable = [
                legs[port] for port in self._ports.poll() if port in legs and legs[port].budget > 0
            ]

    def _append(self, legs: list[Leg], now: float) -> None:
        coded: list[tuple[Leg, bytes | Samples]] = []

        def collect(leg: Leg) -> None:
            heard = leg.line.coded(now)
            if heard is None:
                leg.append(now)
            else:
                coded.append((leg, heard))

        def deliver(leg: Leg) -> None:
            sound, record = next(sounds)
            if record is not None:
                leg.line.uplink.record(record)
            leg.deliver(sound, now)

        self._each(legs, collect)
        sounds = iter(together.heard([(leg.line.uplink, heard) for leg, heard in coded]))
        self._each([leg for leg, _ in coded], deliver)

    def _hungry(self) -> list[Leg]:
        waiting = [leg for leg in self._legs.values() if leg.line.playout.undecoded]
        waiting.sort(key=lambda leg: leg.line.playout.decoded)
        self._decode_until = self._meter() + DECODE_BUDGET
        return waiting

    def _decode(self, leg: Leg) -> None:
        if self._meter() < self._decode_until:
            leg.line.playout.decode_one()

    def _prepare(self, legs: list[Leg], missed: int) -> None:
        speaking: list[tuple[Leg, Samples]] = []

        def begin(leg: Leg) -> None:
            if missed:
                leg.line.downlink.skip(missed)
            if (speech := leg.speech()) is not None:
                speaking.append((leg, speech))

        self._each(legs, begin)
        packs = iter(together.said([(leg.line.downlink, speech) for leg, speech in speaking]))
        self._each([leg for leg, _ in speaking], lambda leg: leg.line.downlink.pack(*next(packs)))

    def _each(self, legs: Sequence[Leg], step: Callable[..., None], *values: float) -> None:
        """Run a step of every call; one that fails is taken off and told, the others go on."""
        for leg in legs:
            try:
                step(leg, *values)
            except Exception as error:  # the one border: a call's fault must stay its own
                self.remove(leg)
                leg.listener.broke(error)
