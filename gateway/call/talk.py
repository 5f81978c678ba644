"""Talk: an answered call, its two ends joined: line, bridge and model.

It has no socket, task or clock of its own: it calls the port and the model that it is given. It
listens to the engine (each method runs inside the tick), hands what the bridge decides to its
owner, and knows when the call's sound is next due.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol

from gateway.audio.frame import Samples
from gateway.audio.g711 import Codes
from gateway.audio.playout import Part, Playout
from gateway.config import AgentConfig
from gateway.rtp.reports import Reports
from gateway.rtp.source import SourceRule
from gateway.sdp.negotiation import Media

from .behaviour import Behaviour
from .bridge import Action, Bridge
from .digits import Digits
from .downlink import Start
from .echo import Echo
from .engine import Leg
from .exchange import Exchange, Party
from .keypad import Keypad
from .line import Line, Tracks
from .model import Model
from .record import Appends, Record
from .shield import Shield
from .tones import Tones

HOLD_TIMEOUT = 1800.0  # s without RTP that a call on hold may last (FreeSWITCH's, Asterisk's)

Way = Literal["rtp", "info"]


class Owner(Protocol):
    """Who carries out what a talk leads to."""

    def act(self, actions: Iterable[Action]) -> None:
        """Carry out what was decided."""

    def inform(self, digit: str) -> None:
        """Send a key by INFO."""

    def failed(self, error: BaseException) -> None:
        """Something of ours is broken: the call cannot go on."""


class Talk:
    """The sound of a call; `rtp_timeout` in s, 0 for never.

    It may run before the answer (early media): then the model hears nothing of it until `begin`.
    """

    def __init__(
        self,
        line: Line,
        bridge: Bridge,
        model: Model,
        shield: Shield,
        owner: Owner,
        *,
        rtp_timeout: float,
    ) -> None:
        self.line = line
        self.bridge = bridge
        self.leg = Leg(shield.port, line, self, shield)
        self._model = model
        self._owner = owner
        self._rtp_timeout = rtp_timeout
        self._begun = False
        self._way: Way | None = None  # by which keys come

    def begin(self, now: float) -> None:
        """The call is answered: let the model hear."""
        self._begun = True
        self.line.last_packet_at = now

    def heard(self, samples: Samples | Codes, now: float) -> None:
        """Give the model the caller's sound."""
        if self._begun:
            for count, came in self._model.append(samples, now):
                self.bridge.appended.add(count, came)

    def pressed(self, digit: str, now: float) -> None:
        """The caller pressed a key: RFC 4733, or a tone."""
        self._press("rtp", digit, now)

    def informed(self, digit: str, now: float) -> None:
        """The caller pressed a key: INFO."""
        self._press("info", digit, now)

    def began(self, part: Part, now: float) -> None:
        """A part of the model's speech began to be heard."""
        self.bridge.began(part, now)

    def drained(self, now: float) -> None:
        """The line fell silent."""
        self.bridge.drained(now)
        self._owner.act([])  # its deadline may be another now

    def press(self, keys: str, *, inform: bool) -> None:
        """Press keys, before anything more is said; `inform`: the far end takes INFO."""
        self.line.downlink.keys = Digits(keys, inform=inform)

    def inform(self, digit: str) -> None:
        """A key is to go out by INFO."""
        self._owner.inform(digit)

    def dialled(self, now: float) -> None:
        """All keys have left."""
        self._owner.act(self.bridge.dialled(now))

    def move(self, source: SourceRule) -> None:
        """Follow the call to another telephone; what is agreed with it comes by `renegotiate`."""
        self.leg.reconnect()
        self.leg.shield.forget()
        self.line.source = source

    def broke(self, error: Exception) -> None:
        """The sound of this call failed."""
        self._owner.failed(error)

    def _press(self, way: Way, digit: str, now: float) -> None:
        """Some phones send each key both ways: the way of the first one counts."""
        if self._begun and (self._way or way) == way:
            self._way = way
            self._owner.act(self.bridge.press(digit, now))

    def renegotiate(self, media: Media, now: float) -> None:
        """Follow a re-INVITE."""
        self.leg.reconnect()
        self.line.renegotiate(media, now)
        self.leg.shield.agree(media.security, self.line.source, now)

    @property
    def silent_at(self) -> float | None:
        """When a call without RTP is given up; None: never."""
        if not (self._rtp_timeout and self._begun):
            return None
        line = self.line
        quiet = line.on_hold or not line.media.receiving  # who only listens sends nothing either
        return line.last_packet_at + (HOLD_TIMEOUT if quiet else self._rtp_timeout)

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` is next due."""
        due = (self.bridge.deadline, self._model.deadline)
        return min((at for at in due if at is not None), default=None)

    def handle_timer(self, now: float) -> list[Action]:
        """Do what is due."""
        self._model.handle_timer(now)
        return self.bridge.handle_timer(now)

    def irregularities(self) -> dict[str, int]:
        """How often something was not as it should be, by name; what never was is left out."""
        line, model = self.line, self._model
        counts = {
            "rtp_from_elsewhere": line.source.rejected,
            "rtp_out_of_sequence": line.source.implausible,
            "rtp_refused": self.leg.port.refused,
            "rtp_not_sent": self.leg.port.failed,
            "datagrams_ignored": line.ignored,
            "speech_late": line.playout.underruns,
            "deltas_broken": line.playout.broken,
            "appends_behind": model.backlog.behind,
            "appends_lost_ms": model.backlog.lost_ms,
            "messages_broken": model.broken,
            **self.leg.shield.irregularities(),
            **model.session.counts,
        }
        return {name: count for name, count in counts.items() if count}

    def complete(self, record: Record) -> None:
        """The call is over: write down what became of its sound."""
        self.bridge.close()
        playout = self.line.playout
        record.rtp = self.line.counts()
        record.encryption = self.leg.shield.suite
        record.usage.audio_out_s = round(playout.sent_total / playout.rate, 2)
        record.usage.audio_in_s = round(self.bridge.appended.seconds, 2)
        backlog = self._model.backlog
        record.appends = Appends(backlog.behind, backlog.lost_ms)


def make_line(
    media: Media, model: Model, party: Party, exchange: Exchange, tracks: Tracks | None
) -> Line:
    """The caller's end, as SDP agreed it and at the model's rates."""
    profile, number = model.backend.profile, exchange.number
    start = Start(number(32), number(15), number(32))  # RFC 3550 §5.1
    now = exchange.clock()
    reports = Reports(
        start.ssrc, exchange.token(), media.codec.clock_rate, lambda: number(32) / 2**32, now
    )
    echo = exchange.echo
    if echo == "auto" and profile.input.law == media.codec.name:
        echo = "off"  # G.711 that the model takes as it is stays as it is
    return Line(
        media,
        Playout(profile.output.rate, profile.output.law),
        model_rate=profile.input.rate,
        model_law=profile.input.law,
        source=SourceRule(party.source_mode, media.remote, signalling_host=party.signalling_host),
        start=start,
        now=now,
        tracks=tracks,
        reports=reports,
        echo=None if echo == "off" else Echo(echo),
        tones=Tones() if party.inband_digits else None,
        epoch=exchange.wall() - now,
    )


def make_bridge(
    line: Line, model: Model, agent: AgentConfig, party: Party, exchange: Exchange, record: Record
) -> Bridge:
    """The decisions, as the agent and the backend want them."""
    profile, session = model.backend.profile, model.session
    offset = exchange.wall() - exchange.clock()
    behaviour = Behaviour(
        instructions=party.instructions,
        greeting=agent.greeting.say if agent.greeting else None,
        interruptible=agent.interruptible,
        truncate_at=agent.truncate_at,
        tools=agent.tools,
        targets=tuple(agent.transfer),
        builtin_tools=profile.builtin_tools,
        keypad_interrupts=agent.keypad.interrupts,
        cancels_on_speech=session.cancels_on_speech,
        padding_ms=int((session.turn_detection or {}).get("prefix_padding_ms", 300)),
        playout_delay=exchange.playout_delay,
        cumulative_transcripts=profile.cumulative_transcripts,
    )
    keypad = Keypad(
        terminator=agent.keypad.terminator,
        max_digits=agent.keypad.max_digits,
        timeout=agent.keypad.timeout,
    )
    return Bridge(
        line,
        record,
        keypad,
        behaviour,
        input_rate=profile.input.rate,
        wall=lambda at: at + offset,
        is_cancelled=session.is_cancelled,
    )
