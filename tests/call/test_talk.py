"""An answered call: what joins the line, the bridge and the model, and when it is given up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import pytest

from gateway.audio.playout import Part
from gateway.call.backlog import Backlog
from gateway.call.behaviour import Behaviour
from gateway.call.bridge import Action, Bridge, HangUp, Send
from gateway.call.exchange import Exchange, Party
from gateway.call.keypad import Keypad
from gateway.call.model import Backend, Model
from gateway.call.record import Appends, Record
from gateway.call.shield import Shield
from gateway.call.talk import HOLD_TIMEOUT, Talk, make_bridge, make_line
from gateway.config import AgentConfig
from gateway.realtime import events as ev
from gateway.realtime.profile import AudioFormat, Profile, compatible, yandex
from gateway.realtime.session import Session, Settings
from gateway.rtp.source import SourceRule
from gateway.sip.event import Flow, Incoming
from gateway.sip.message import Headers, Request

from . import talk
from .talk import PHONE, media


class Ears:
    """A model's end that takes sound, or is too slow for it."""

    def __init__(self) -> None:
        self.takes = True
        self.heard = 0
        self.waiting: list[tuple[int, float]] = []
        self.backlog = Backlog(48_000)
        self.deadline: float | None = None
        self.woken: list[float] = []

    def append(self, samples: Any, now: float) -> list[tuple[int, float]]:
        self.heard += len(samples)
        self.waiting.append((len(samples), now))
        given, self.waiting = (self.waiting, []) if self.takes else ([], self.waiting)
        return given

    def handle_timer(self, now: float) -> None:
        self.woken.append(now)


class Owner:
    def __init__(self) -> None:
        self.acted: list[list[Action]] = []
        self.informed: list[str] = []
        self.errors: list[BaseException] = []

    def act(self, actions: Iterable[Action]) -> None:
        self.acted.append(list(actions))

    def inform(self, digit: str) -> None:
        self.informed.append(digit)

    def failed(self, error: BaseException) -> None:
        self.errors.append(error)


class Port:
    """A port at which the caller's first packet has arrived."""

    address = ("192.0.2.1", 4000)

    def __init__(self) -> None:
        self.connected: tuple[str, int] | None = None
        self.refused = self.failed = 0

    def send_control(self, data: bytes, target: tuple[str, int]) -> bool:
        return True

    def receive(self) -> list[tuple[bytes, tuple[str, int]]]:
        return [(packet(), PHONE)]

    def send(self, data: bytes, target: tuple[str, int]) -> bool:
        return True

    def connect(self, target: tuple[str, int]) -> None:
        self.connected = target

    def disconnect(self) -> None:
        self.connected = None

    def watch(self, arrived: Callable[[], None] | None) -> None: ...


def packet() -> bytes:
    """20 ms of the caller's sound."""
    return b"\x80\x00\x00\x01" + bytes(8) + bytes(160)


class Bench:
    """A talk, and what it is joined of."""

    def __init__(
        self, *, rtp_timeout: float = 30.0, answered: bool = True, **behaviour: Any
    ) -> None:
        self.ears, self.owner, self.port = Ears(), Owner(), Port()
        self.record = Record(call_id="c-1", sip_call_id="x", invited_at=0.0, transcript=[])
        line = talk.make_line(now=100.0)
        keypad = Keypad(terminator="#", max_digits=20, timeout=3.0)
        bridge = Bridge(
            line,
            self.record,
            keypad,
            Behaviour(**behaviour),
            input_rate=24000,
            wall=lambda now: now,
        )
        self.talk = Talk(
            line,
            bridge,
            cast(Model, self.ears),
            Shield(self.port),
            self.owner,
            rtp_timeout=rtp_timeout,
        )
        if answered:
            self.talk.begin(100.0)


class TestListening:
    """What the tick tells goes to the bridge; what the bridge decides goes to the owner."""

    def test_sound_goes_to_the_model_and_is_counted(self) -> None:
        bench = Bench()
        bench.talk.heard(np.zeros(960, np.int16), 100.0)
        assert bench.ears.heard == 960
        assert bench.talk.bridge.appended.seconds == 0.04

    def test_sound_that_the_socket_did_not_take_was_not_heard(self) -> None:
        """The onset of speech is found by what the server got."""
        bench = Bench()
        bench.ears.takes = False
        bench.talk.heard(np.zeros(960, np.int16), 100.0)
        appended = bench.talk.bridge.appended
        assert appended.seconds == 0

        bench.ears.takes = True
        bench.talk.heard(np.zeros(960, np.int16), 100.3)
        assert appended.seconds == 0.08
        assert appended.arrived(40) == 100.0
        assert appended.arrived(80) == 100.3

    def test_a_key_is_acted_upon(self) -> None:
        bench = Bench()
        bench.talk.pressed("#", 100.0)
        (actions,) = bench.owner.acted
        assert Send(ev.ConversationItemCreate(item=ev.user_text_item("Keypad: #"))) in actions

    def test_a_key_that_comes_by_info_is_acted_upon(self) -> None:
        bench = Bench()
        bench.talk.informed("#", 100.0)
        (actions,) = bench.owner.acted
        assert Send(ev.ConversationItemCreate(item=ev.user_text_item("Keypad: #"))) in actions

    @pytest.mark.parametrize("first", ["pressed", "informed"])
    def test_a_key_that_comes_both_ways_is_one(self, first: str) -> None:
        """Some phones send telephone-event and INFO: the way of the first key counts."""
        bench = Bench()
        second = {"pressed": "informed", "informed": "pressed"}[first]
        for digit in "12":
            getattr(bench.talk, first)(digit, 100.0)
            getattr(bench.talk, second)(digit, 100.1)
        getattr(bench.talk, first)("#", 100.2)
        assert bench.record.digits == ["12"]

    def test_early_media_is_not_for_the_model(self) -> None:
        """RFC 3960: before the answer there is ring-back, and announcements of the network."""
        bench = Bench(answered=False)
        bench.talk.heard(np.zeros(960, np.int16), 100.0)
        bench.talk.pressed("#", 100.0)
        assert bench.ears.heard == 0
        assert bench.owner.acted == []
        assert bench.talk.silent_at is None
        bench.talk.begin(120.0)
        assert bench.talk.silent_at == 150.0

    def test_a_part_that_begins_completes_the_turn(self) -> None:
        bench = Bench()
        bridge = bench.talk.bridge
        bridge.receive(ev.InputAudioBufferSpeechStopped(audio_end_ms=1, item_id="i"), 100.0)
        bridge.receive(ev.ResponseCreated(response=ev.Response(id="resp_1")), 100.2)
        bench.talk.began(Part("resp_1", "item_1", 0), 100.5)
        assert bench.record.turns[0].first_rtp_ms == 500

    def test_a_line_that_falls_silent_may_change_the_deadline(self) -> None:
        bench = Bench()
        bench.talk.drained(100.0)
        assert bench.owner.acted == [[]]

    def test_a_fault_in_the_tick_is_the_owners(self) -> None:
        bench, error = Bench(), ValueError("ours")
        bench.talk.broke(error)
        assert bench.owner.errors == [error]


class TestKeys:
    """What the model presses, and how far it is."""

    def test_they_are_put_on_the_line(self) -> None:
        bench = Bench()
        bench.talk.press("5", inform=True)
        assert bench.talk.line.downlink.keys
        bench.talk.inform("5")
        assert bench.owner.informed == ["5"]

    def test_the_owner_carries_out_what_follows(self) -> None:
        bench = Bench()
        bench.talk.dialled(100.0)
        assert bench.owner.acted == [[]]


def test_another_telephone_has_another_source() -> None:
    bench = Bench()
    bench.talk.leg.receive(100.0)
    source = SourceRule("sdp", None)
    bench.talk.move(source)
    assert bench.port.connected is None
    bench.talk.renegotiate(media(remote=("192.0.2.8", 6000)), 110.0)
    assert source.target == ("192.0.2.8", 6000)


class TestPatience:
    """How long a call without RTP may last."""

    def test_30_s_by_default_from_the_last_packet(self) -> None:
        bench = Bench()
        assert bench.talk.silent_at == 130.0
        bench.talk.line.last_packet_at = 111.0
        assert bench.talk.silent_at == 141.0

    @pytest.mark.parametrize(
        "held",
        [
            {"sending": False},  # sendonly or inactive, or c=0.0.0.0
            {"sending": True, "receiving": False},  # recvonly: it sends nothing
        ],
    )
    def test_half_an_hour_where_silence_was_announced(self, held: dict[str, bool]) -> None:
        bench = Bench()
        bench.talk.renegotiate(media(**held), 110.0)
        assert bench.talk.silent_at == 110.0 + HOLD_TIMEOUT
        bench.talk.renegotiate(media(), 1000.0)
        assert bench.talk.silent_at == 1030.0

    def test_0_is_for_ever(self) -> None:
        bench = Bench(rtp_timeout=0)
        assert bench.talk.silent_at is None


def test_a_renegotiation_lets_the_port_hear_anyone_again() -> None:
    """The kernel filters by the locked source, and that may be another one now."""
    bench = Bench()
    bench.talk.leg.receive(100.0)
    assert bench.port.connected == PHONE
    bench.talk.renegotiate(media(remote=("192.0.2.8", 6000)), 110.0)
    assert bench.port.connected is None
    assert bench.talk.line.source.target == ("192.0.2.8", 6000)


def test_the_deadline_is_that_of_whoever_is_first() -> None:
    bench = Bench()
    assert bench.talk.deadline is None
    bench.ears.deadline = 120.0
    assert bench.talk.deadline == 120.0
    bench.talk.bridge.press("4", 100.0)
    assert bench.talk.deadline == 103.0
    actions = bench.talk.handle_timer(103.0)
    assert bench.ears.woken == [103.0]
    assert Send(ev.ConversationItemCreate(item=ev.user_text_item("Keypad: 4"))) in actions
    assert bench.talk.deadline == 120.0


def test_what_became_of_the_sound_is_in_the_record() -> None:
    bench = Bench()
    bench.talk.heard(np.zeros(24000, np.int16), 100.0)
    bench.ears.backlog.push(bytes(72_000), 100.0, 0)
    bench.talk.line.downlink.prepare()
    bench.talk.line.downlink.sent(100.0)
    bench.talk.complete(bench.record)
    assert bench.record.rtp.sent == 1
    assert bench.record.usage.audio_in_s == 1.0
    assert bench.record.usage.audio_out_s == 0.0
    assert bench.record.appends == Appends(behind=1, lost_ms=1500)


class Opened:
    """A model with its session, as far as a call is made of it."""

    def __init__(self, profile: Profile, **settings: Any) -> None:
        self.backend = Backend("one", profile)
        self.session = Session(profile, Settings(**settings), token=lambda: "t")


def party() -> Party:
    flow = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.9", 5060))
    invite = Incoming("t1", Request("INVITE", "sip:100@gateway", Headers(), b""), flow)
    return Party("c-1", invite, "7", "100", None, "sdp", "Be kind.")


class World:
    """What a call takes of the exchange here."""

    playout_delay = 0.06
    echo = "off"

    def wall(self) -> float:
        return 1_800_000_000.0

    def clock(self) -> float:
        return 100.0

    def number(self, bits: int) -> int:
        return (1 << bits) - 1

    def token(self) -> str:
        return "word"


class TestMaking:
    """The ends as SDP, the agent and the backend want them."""

    def test_the_line_has_the_rates_of_the_model(self) -> None:
        profile = compatible(
            url="ws://m/v1",
            model="m",
            input_format=AudioFormat(rate=16000),
            output_format=AudioFormat(rate=44100),
        )
        line = make_line(
            media(), cast(Model, Opened(profile)), party(), cast(Exchange, World()), None
        )
        assert line.playout.rate == 44100
        line.receive(packet(), PHONE, 100.0)
        assert len(line.hear(100.0)) == 320
        assert line.source.target == PHONE
        line.downlink.prepare()
        assert line.downlink.packets
        assert line.downlink.packets[0][2:4] == b"\x7f\xff"  # a sequence that does not wrap at once

    @pytest.mark.parametrize("law", ["audio/pcmu", "audio/pcma"])
    def test_g711_is_played_as_g711(self, law: str) -> None:
        profile = compatible(url="ws://m/v1", model="m", output_format=AudioFormat(law, 8000))
        line = make_line(
            media(), cast(Model, Opened(profile)), party(), cast(Exchange, World()), None
        )
        line.playout.push(Part("r", "i", 0), "/////w==")  # 4 bytes
        (heard,) = line.playout.cut()
        assert (line.playout.rate, heard.part.item_id) == (8000, "i")

    def test_the_bridge_behaves_as_the_agent_wants(self) -> None:
        agent = AgentConfig.model_validate(
            {
                "greeting": "Good day!",
                "keypad": {"terminator": "*", "max_digits": 2, "timeout": 9},
                "tools": [],
            }
        )
        bridge, record = self.bridge(agent, compatible(url="ws://m/v1", model="m"))
        (greeting,) = bridge.open(100.0)
        assert greeting == Send(
            ev.ResponseCreate(
                event_id="greeting",
                response={"instructions": "Be kind.\n\nSay exactly: Good day!"},
            )
        )
        bridge.press("1", 100.0)
        assert bridge.deadline == 109.0
        bridge.press("*", 100.0)
        bridge.press("1", 100.0)
        bridge.press("2", 100.0)
        assert record.digits == ["1", "12"]

    def test_the_record_has_the_time_of_day(self) -> None:
        bridge, record = self.bridge(AgentConfig(), compatible(url="ws://m/v1", model="m"))
        bridge.receive(ev.InputAudioBufferSpeechStopped(audio_end_ms=1, item_id="i"), 160.0)
        assert record.turns[0].speech_stopped_at == 1_800_000_060.0

    def test_the_functions_of_the_server_are_not_ours_to_answer(self) -> None:
        bridge, record = self.bridge(AgentConfig(), yandex(folder="f", model="m", api_key="k"))
        item = ev.Item("function_call", id="i", call_id="c", name="web_search", arguments="{}")
        bridge.receive(ev.ResponseCreated(response=ev.Response(id="resp_1")), 100.0)
        bridge.receive(ev.ResponseOutputItemDone(response_id="resp_1", item=item), 100.0)
        done = ev.ResponseDone(response=ev.Response(id="resp_1", status="completed"))
        assert bridge.receive(done, 100.0) == []
        assert record.tools == []

    def test_a_server_that_does_not_stop_itself_is_cancelled_at_once(self) -> None:
        detection = {"type": "server_vad", "interrupt_response": False}
        bridge, _ = self.bridge(
            AgentConfig(), compatible(url="ws://m/v1", model="m"), turn_detection=detection
        )
        bridge.receive(ev.ResponseCreated(response=ev.Response(id="resp_1")), 100.0)
        started = ev.InputAudioBufferSpeechStarted(audio_start_ms=0, item_id="u")
        assert bridge.receive(started, 100.1) == [Send(ev.ResponseCancel(response_id="resp_1"))]

    def test_the_agent_without_a_tool_does_not_hang_up(self) -> None:
        agent = AgentConfig.model_validate({"tools": []})
        bridge, _ = self.bridge(agent, compatible(url="ws://m/v1", model="m"))
        item = ev.Item("function_call", id="i", call_id="c", name="hang_up", arguments="{}")
        bridge.receive(ev.ResponseOutputItemDone(response_id="resp_1", item=item), 100.0)
        done = ev.ResponseDone(response=ev.Response(id="resp_1", status="completed"))
        actions = [*bridge.receive(done, 100.0), *bridge.handle_timer(120.0)]
        assert not any(isinstance(action, HangUp) for action in actions)

    def bridge(
        self, agent: AgentConfig, profile: Profile, **settings: Any
    ) -> tuple[Bridge, Record]:
        record = Record(call_id="c-1", sip_call_id="x", invited_at=0.0)
        model = cast(Model, Opened(profile, **settings))
        line = talk.make_line(now=100.0)
        world = cast(Exchange, World())
        return make_bridge(line, model, agent, party(), world, record), record
