"""A backend that says anything at all: no event ends a call by our fault, and none is believed
further than it makes sense.

First the session and the bridge alone, with every field of every published event put wrong; then
whole calls on virtual time.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call.bridge import Action, Send
from gateway.realtime.events import ConversationItemTruncate, Malformed, ServerEvent
from gateway.realtime.profile import simulator
from gateway.realtime.session import Session, Settings
from gateway.simulator.phone import Phone
from tests.call.talk import Talk
from tests.calls.house import GATEWAY, House, house, noise
from tests.clock import run
from tests.realtime.published import FULL

from .watch import nothing_breaks

HUGE = 10**4200  # JSON has no largest number; Python reads 4,300 digits
DEEP: Any = 1
for _ in range(200):
    DEEP = {"id": [DEEP]}

WRONG: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 7, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**30, HUGE, -HUGE),
    *(0.5, -0.5, 1e308, -1e308, "", "x", "1", "-1", "１２", "1_000", "\0", "\u2028", "é" * 5000),
    *([], [[]], [None], ["x"], {}, {"type": "x"}, {"id": None}, [{"type": 1}], DEEP),
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every member of a JSON value."""
    if path:
        yield path
    members = value.items() if isinstance(value, dict) else ()
    for key, member in [*members, *(enumerate(value) if isinstance(value, list) else ())]:
        yield from paths(member, (*path, key))


def put(value: Any, path: tuple[Any, ...], member: Any) -> Any:
    """A copy with one member replaced."""
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = member
    return changed


class Model:
    """A session and a bridge that talk to a server in earnest, as gateway/call joins them."""

    def __init__(self) -> None:
        self.talk = Talk()
        self.session = Session(
            simulator("ws://x"), Settings(), token=iter(map(str, range(10**9))).__next__
        )
        self.say(json.dumps(FULL["session.created"]))
        self.say(json.dumps(FULL["session.updated"]))
        assert self.session.ready

    def say(self, text: str | bytes) -> list[ServerEvent]:
        """The server says something; all that follows is carried out."""
        now = self.talk.now
        events = self.session.receive(text, now)
        for event in events:
            self.act(self.talk.receive(event))
        self.check()
        return events

    def act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                event = action.event
                if isinstance(event, ConversationItemTruncate):
                    assert event.audio_end_ms >= 0
                self.session.send(event, self.talk.now)

    def check(self) -> None:
        """What goes out is JSON that any server can read."""
        for text in self.session.outgoing():
            assert isinstance(json.loads(text)["type"], str)

    def pass_time(self, frames: int = 1) -> None:
        self.talk.hear(frames)
        self.talk.bridge.appended.add(480 * frames, self.talk.now)
        if (at := self.talk.bridge.deadline) is not None and at <= self.talk.now:
            self.act(self.talk.bridge.handle_timer(self.talk.now))
        if (at := self.session.deadline) is not None and at <= self.talk.now:
            self.session.handle_timer(self.talk.now)
        self.check()

    def end(self) -> None:
        """The call is over; its record can be written."""
        self.talk.bridge.close()
        record = self.talk.record
        record.usage.input_tokens = self.session.usage.input_tokens
        record.usage.output_tokens = self.session.usage.output_tokens
        assert json.loads(json.dumps(record.as_dict(), ensure_ascii=False))


@pytest.mark.parametrize("name", sorted(FULL))
def test_every_field_of_every_event_put_wrong(name: str) -> None:
    """Event or no event: nothing raises, what we answer is sound, the record can be written."""
    model = Model()
    speech = base64.b64encode(bytes(960)).decode()
    good = FULL["response.output_audio.delta"] | {"delta": speech, "item_id": "item_1"}
    for path in paths(FULL[name]):
        for value in WRONG:
            if not (model.talk.line.playout.speaking or model.session.active_response):
                model.say(json.dumps(good))
            model.say(json.dumps(put(FULL[name], path, value)))
        model.pass_time(3)
    model.end()


def test_every_field_left_out() -> None:
    """A member that is missing is a default or a broken event, never a fault."""
    model = Model()
    for event in FULL.values():
        for path in paths(event):
            less = copy.deepcopy(event)
            inner: Any = less
            for key in path[:-1]:
                inner = inner[key]
            del inner[path[-1]]
            model.say(json.dumps(less))
        model.pass_time()
    model.end()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "}", "nul", "null", "1", '"x"', "[]", "{}", '{"type":1}', '{"type":null}', "\0"),
        *('{"type":"response.done"}{', '{"type":"response.done",}', "{'type':'x'}", "NaN"),
        "\ufeff{}",
        *('{"type":"error","error":NaN}', '{"type":"error","error":1e999}', '{"type":"\\ud800"}'),
        *('{"type":"error","type":"x"}', "[" * 100_000, '{"a":' * 100_000, "1" * 100_000),
        *(b"\xff\xfe", b'{"type":"\xff"}', b"\x00" * 1000, b'\xef\xbb\xbf{"type":"x"}'),
        '{"type":"input_audio_buffer.speech_started","audio_start_ms":' + "9" * 10_000 + "}",
    ],
)
def test_what_is_no_event(text: str | bytes) -> None:
    """It is told as one line for the log, without what was said, and the session lives on."""
    model = Model()
    for event in model.say(text):
        if isinstance(event, Malformed):
            assert len(event.text) <= 200
            assert len(event.reason) < 300
    assert model.session.ready


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(FULL)),
            st.sampled_from(["resp_1", "resp_2", "", "unheard of"]),
            st.sampled_from(["item_1", "item_2", "", "unheard of"]),
            st.integers(0, 3),
        ),
        max_size=40,
    )
)
def test_events_in_any_order_and_of_any_ids(steps: list[tuple[str, str, str, int]]) -> None:
    """Sense or not: the bridge and the session keep their word."""
    model = Model()
    for name, response, item, frames in steps:
        text = json.dumps(FULL[name]).replace("resp_1", response).replace("item_1", item)
        model.say(text)
        model.pass_time(frames)
    model.end()


NO_BASE64 = ["=", "==", "A", "AA=A", "AAAA====", "!!!!", "ＡＡＡＡ", "\0\0\0\0", "AA=="]


@pytest.mark.parametrize("delta", NO_BASE64)
def test_sound_that_is_no_base64(delta: str) -> None:
    """It is dropped and not counted as heard; what follows is heard."""
    model = Model()
    playout = model.talk.line.playout
    event = FULL["response.output_audio.delta"]
    model.say(json.dumps(event | {"delta": delta}))
    for heard in playout.cut():
        assert (heard.ms, heard.share) == (0, 0.0)
    model.say(json.dumps(event | {"delta": delta}))
    model.say(json.dumps(event | {"delta": base64.b64encode(b"\1\1" * 4800).decode()}))
    model.pass_time(11)

    assert playout.sent_total == 4800
    assert [heard.ms for heard in playout.cut()] == [200]
    model.end()


def test_numbers_that_nobody_can_count_with() -> None:
    """They are missing numbers; the event that has them still counts."""
    model = Model()
    done = put(FULL["response.done"], ("response", "usage", "input_tokens"), HUGE)
    model.say(json.dumps(FULL["response.created"]))
    model.say(json.dumps(done))

    assert model.session.active_response is None
    assert model.session.usage.input_tokens == 0
    assert model.session.usage.output_tokens == 121
    started = FULL["input_audio_buffer.speech_started"]
    for number in (HUGE, -HUGE, 1e308, 2**53):
        (event,) = model.say(json.dumps(started | {"audio_start_ms": number}))
        assert getattr(event, "audio_start_ms", None) == 0
    (event,) = model.say(json.dumps(started | {"audio_start_ms": 2**53 - 1}))
    assert getattr(event, "audio_start_ms", None) == 2**53 - 1


def test_thousands_of_events_at_once() -> None:
    """However many came before, nothing gives way."""
    model = Model()
    for n in range(5000):
        for name in ("input_audio_buffer.committed", "input_audio_buffer.speech_stopped"):
            model.say(json.dumps(FULL[name] | {"item_id": f"item_{n}"}))
        delta = FULL["response.output_audio_transcript.delta"]
        model.say(json.dumps(delta | {"item_id": f"item_{n}", "delta": "word "}))
    model.end()


# -- whole calls

SCRIPT = {
    "turns": [
        {"hears": "Hello", "say": "Good day."},
        {"hears": "More", "say": "That is a long story."},
        {"hears": "Goodbye", "say": "Goodbye then.", "call": {"name": "hang_up"}},
    ],
    "digits": {"4711": "Thank you."},
}
UNKNOWN = {"response_id": "resp_unheard", "item_id": "item_unheard", "content_index": 9}
BAD_MEMBERS: tuple[Any, ...] = ([[]], {"x": []})
SAYS_NOTHING: dict[str, list[str]] = {  # what no server means anything by
    "broken JSON": ["", "{", '{"type":', "null", "[]", '{"type": null}', "\0", "[" * 100_000],
    "unknown types": ['{"type": "x"}', json.dumps({"type": "y" * 10**6}), '{"type": "\u202e"}'],
    "deep nesting": [
        json.dumps({"type": "session.updated", "session": DEEP}),
        '{"type": "response.done", "response": ' + '{"a":' * 50_000 + "1" + "}" * 50_001,
    ],
    "wrong types": [
        json.dumps(put(FULL[name], path, value))
        for name in ("conversation.item.added", "conversation.item.done", "rate_limits.updated")
        for path in paths(FULL[name])
        for value in BAD_MEMBERS
        if path != ("type",)
    ],
    "a megabyte": [
        json.dumps({"type": "session.updated", "session": {"instructions": "x" * 2**20}}),
        json.dumps(FULL["conversation.item.retrieved"] | {"x": "y" * 2**22}),
    ],
    "no base64": [
        json.dumps(FULL["response.output_audio.delta"] | UNKNOWN | {"delta": delta})
        for delta in (*NO_BASE64, "!" * 10**6)
    ],
    "unknown ids": [
        json.dumps(FULL[name] | {key: UNKNOWN[key] for key in UNKNOWN if key in FULL[name]})
        for name in FULL
        if name.endswith((".done", ".added", ".deleted", ".truncated", ".cleared", ".stopped"))
        and name not in ("response.done", "response.output_item.done")
        and "text" not in name  # the words of an item are believed
        and "transcript" not in name
    ],
    "thousands at once": [json.dumps(FULL["rate_limits.updated"])] * 5000,
}


async def turn(phone: Phone) -> None:
    """Say something and hear the answer."""
    await phone.say(noise(0.5))
    await phone.until_sound()
    await phone.until_silence()


@pytest.mark.parametrize("kind", sorted(SAYS_NOTHING))
def test_what_says_nothing_changes_nothing(kind: str, tmp_path: Path) -> None:
    """Said into a turn, into an answer and into the silence: the dialogue is what it would be."""

    async def main() -> None:
        with nothing_breaks():
            async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
                await phone.dial("100", GATEWAY)
                attack = asyncio.create_task(spoil(home, SAYS_NOTHING[kind], over=6.0))
                await turn(phone)
                await phone.press("4711#")
                await phone.until_sound()
                await phone.until_silence()
                await turn(phone)
                await attack
                await phone.say(noise(0.5))
                await phone.ended.wait()
                record = await home.record()

        assert (record["ended_by"], record["cause"]) == ("model", "hang_up")
        assert [line["text"] for line in record["transcript"] if line["role"] == "assistant"] == [
            "Good day.",
            "Thank you.",
            "That is a long story.",
            "Goodbye then.",
        ]
        errors = [event["error"]["message"] for event in home.model.answers("error")]
        assert [text for text in errors if "unheard" not in text] == []

    run(main())


async def spoil(home: House, texts: list[str], over: float) -> None:
    """Let the server say these beside its own words."""
    for text in texts:
        home.model.links[0].say(text)
        await asyncio.sleep(over / len(texts))


NOT_ENDING = sorted(set(FULL) - {"error"})  # an error may be a reason to give up, rightly


@pytest.mark.parametrize("seed", range(4))
def test_the_call_outlives_every_event_put_wrong(seed: int, tmp_path: Path) -> None:
    """
    A thousand events of all kinds in 20 s, any member wrong: the caller still hears the model
    afterwards, no packet is missing, and the call ends as she wishes.
    """
    dice = random.Random(seed)
    texts = []
    for _ in range(1000):
        event = FULL[dice.choice(NOT_ENDING)]
        path = dice.choice(list(paths(event)))
        text = json.dumps(put(event, path, dice.choice(WRONG)))
        texts.append(text.replace("hang_up", "fly"))  # that would be a wish to be carried out

    async def main() -> None:
        with nothing_breaks():
            async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
                await phone.dial("100", GATEWAY)
                attack = asyncio.create_task(spoil(home, texts, over=20.0))
                while not attack.done():
                    await phone.say(noise(0.3))
                    await asyncio.sleep(1.0)
                await asyncio.sleep(15.0)  # what it began without end is given up
                assert not phone.ended.is_set()
                before = len(home.model.answers("response.created"))
                async with asyncio.timeout(30.0):
                    await turn(phone)
                assert len(home.model.answers("response.created")) > before
                phone.hang_up()
                record = await home.record()

        assert (record["ended_by"], record["cause"]) == ("caller", "hang_up")
        packets = [heard.packet for heard in phone.heard]
        steps = {(b.sequence - a.sequence) & 0xFFFF for a, b in itertools.pairwise(packets)}
        assert steps == {1}

    run(main())


def test_a_megabyte_of_speech_can_be_interrupted(tmp_path: Path) -> None:
    """Four minutes in one event: counted, played evenly, and cut when the caller speaks."""
    speech = base64.b64encode(b"\0\x10\0\xf0" * 3_000_000).decode()
    delta = FULL["response.output_audio.delta"] | {"delta": speech, "item_id": "item_long"}

    async def main() -> None:
        with nothing_breaks():
            async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
                await phone.dial("100", GATEWAY)
                home.model.links[0].say(json.dumps(FULL["response.created"]))
                home.model.links[0].say(json.dumps(delta))
                await phone.until_sound()
                await asyncio.sleep(2.0)
                await turn(phone)
                phone.hang_up()
                record = await home.record()

        (barge_in,) = record["barge_ins"]
        assert barge_in["item_id"] == "item_long"
        assert 2000 < barge_in["heard_ms"] < 3000
        assert len({round(b.at - a.at, 3) for a, b in itertools.pairwise(phone.heard)}) == 1

    run(main())


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1011, "x" * 5000), (4999, "\u202e\r\n\0"), (-1, "?"), (0, "")]
)
def test_a_close_with_any_code(code: int, reason: str, tmp_path: Path) -> None:
    """The caller gets a BYE, and the record says who ended the call and why."""

    async def main() -> None:
        with nothing_breaks():
            async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
                await phone.dial("100", GATEWAY)
                home.model.links[0].drop(code, reason)
                await phone.ended.wait()
                record = await home.record()

        assert (record["ended_by"], record["cause"]) == ("backend", "backend_closed")
        assert str(code) in record["sip_reason"]

    run(main())


def test_line_ends_of_other_alphabets_in_what_was_said(tmp_path: Path) -> None:
    """A record is one line, whatever reads the file, and says what was said."""
    said = "one\x85two\u2028three\u2029four\x0bfive\x1csix"
    event = FULL["conversation.item.input_audio_transcription.completed"] | {"transcript": said}

    async def main() -> None:
        async with house(tmp_path, SCRIPT) as home, home.phone() as phone:
            await phone.dial("100", GATEWAY)
            home.model.links[0].say(json.dumps(event))
            await asyncio.sleep(1.0)
            phone.hang_up()
            record = await home.record()

        assert [line["text"] for line in record["transcript"]] == [said]
        assert len((tmp_path / "calls.jsonl").read_text(encoding="utf-8").splitlines()) == 1

    run(main())
