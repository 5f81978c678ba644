"""Demo ●: one whole call on this machine, as a user would make it. Shell.

The gateway, the simulator and a SIP phone of our own, on loopback sockets. The phone lets the
greeting play, asks something, interrupts the answer, types a code and says goodbye; what both ends
say is printed as it happens, by listening at the WebSocket's seam. What is left is a two-track WAV
and the call's record.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console

from .app import Gateway, World, running
from .audio.frame import Samples
from .config import Config
from .log import setup
from .realtime import events as ev
from .realtime.client import Connection, connect
from .realtime.profile import Profile
from .simulator.espeak import Espeak, installed
from .simulator.phone import Phone
from .simulator.speech import Speech, Tones

QUESTION = "Hello, what can you do?"
INTERRUPTION = "Stop, that is enough."
CODE = "4711#"
GOODBYE = "Thank you, goodbye."
GREETING = "Hello! How can I help you?"

RECORD = "calls.jsonl"
WITHIN = 30.0  # s that any one step may take
SHOWN = 60  # characters of an answer that was interrupted
SPOKEN = 2.5  # s of the long answer that are heard before the caller interrupts


class Conversation:
    """Both ends of the WebSocket, read along: printed, and waited for."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._began = asyncio.get_running_loop().time()
        self._texts: dict[str, str] = {}  # what the assistant says, by item, so far
        self._done: asyncio.Queue[str] = asyncio.Queue()

    async def connect(
        self,
        profile: Profile,
        on_message: Callable[[str | bytes], None],
        on_close: Callable[[int, str], None],
    ) -> Connection:
        """A `Connector` that lets this conversation listen."""

        def heard(text: str | bytes) -> None:
            self._server(ev.parse_server(text))
            on_message(text)

        return _Overheard(await connect(profile, heard, on_close), self._client)

    def say(self, who: str, what: str) -> None:
        """Print one line, with the time since the start."""
        seconds = asyncio.get_running_loop().time() - self._began
        self._out.print(f"{seconds:6.2f}  {who:<9} {what}", markup=False)

    async def answered(self) -> None:
        """Wait until the model has made one more response."""
        async with asyncio.timeout(WITHIN):
            await self._done.get()

    def _server(self, event: ev.ServerEvent) -> None:
        match event:
            case ev.ResponseOutputAudioTranscriptDelta(item_id=item_id, delta=text):
                self._texts[item_id] = self._texts.get(item_id, "") + text
            case ev.ResponseOutputAudioTranscriptDone(item_id=item_id, transcript=text):
                if self._texts.pop(item_id, None) is not None:
                    self.say("assistant", text)
            case ev.InputAudioBufferSpeechStarted():
                self.say("", "(the model hears the caller speak)")
            case ev.ConversationItemTruncated(audio_end_ms=ms):
                self.say("", f"(the model now remembers {ms} ms of that answer)")
            case ev.ResponseDone(response=response):
                self._done.put_nowait(response.status)
            case _:
                pass

    def _client(self, event: ev.ClientEvent) -> None:
        match event:
            case ev.ConversationItemTruncate(item_id=item_id, audio_end_ms=ms):
                self.say("assistant", f"{self._texts.pop(item_id, '')[:SHOWN]}… (interrupted)")
                self.say("gateway", f"barge-in: the caller heard {ms} ms, truncate there")
            case ev.ConversationItemCreate(item=item) if item.role == "user":
                self.say("gateway", f"tells the model: {item.content[0].text}")
            case _:
                pass


class _Overheard:
    """A connection whose messages are read along on their way out."""

    def __init__(self, inner: Connection, tap: Callable[[ev.ClientEvent], None]) -> None:
        self._inner = inner
        self._tap = tap

    def send(self, text: bytes) -> None:
        if b"input_audio_buffer.append" not in text[:64]:
            self._tap(ev.parse_client(text))
        self._inner.send(text)

    def close(self, code: int = 1000) -> None:
        self._inner.close(code)

    @property
    def backlog(self) -> int:
        return self._inner.backlog


async def run_demo(out: Console, folder: Path, *, stay: bool) -> int:
    """Make the call; 0 when all of it happened. `stay` keeps the service up afterwards."""
    setup("warning" if stay else "error", "auto", sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - before anything runs
    talk = Conversation(out)
    world = World(connect=talk.connect)
    async with running(_config(folder, stay), world) as gateway, _phone() as phone:
        with _voice() as say:
            await _call(phone, gateway, talk, say)
        await gateway.written()
        good = _report(out, folder)
        if stay:
            await _stay(gateway, out)
    return 0 if good else 1


def _config(folder: Path, stay: bool) -> Config:
    port = 5060 if stay else 0
    return Config.model_validate(
        {
            "sip": {"listen": [f"udp:{'0.0.0.0' if stay else '127.0.0.1'}:{port}"]},
            "media": {"ports": "20000-20999", "listen": "0.0.0.0" if stay else "127.0.0.1"},
            "agents": {"demo": {"backend": "simulator", "greeting": GREETING}},
            "api": {"listen": "127.0.0.1:0"},
            "records": {
                "calls": str(folder / RECORD),
                "audio": str(folder),
                "transcripts": True,
            },
        }
    )


async def _call(
    phone: Phone, gateway: Gateway, talk: Conversation, say: Callable[[str], Samples]
) -> None:
    """The caller's side of the story."""
    talk.say("phone", "calls")
    media = await phone.dial("demo", ("127.0.0.1", gateway.transport.addresses[0][1]))
    talk.say("gateway", f"answers, {media.codec.name}")
    await talk.answered()
    await phone.until_silence()
    talk.say("caller", QUESTION)
    await phone.say(say(QUESTION))
    await phone.until_sound()
    await asyncio.sleep(SPOKEN)
    talk.say("caller", f"{INTERRUPTION} (into the answer)")
    await phone.say(say(INTERRUPTION))
    await talk.answered()  # the answer that was interrupted ends
    await talk.answered()
    await phone.until_silence()
    talk.say("caller", f"types {CODE}")
    await phone.press(CODE)
    await talk.answered()
    await phone.until_silence()
    talk.say("caller", GOODBYE)
    await phone.say(say(GOODBYE))
    async with asyncio.timeout(WITHIN):
        await phone.ended.wait()
    talk.say("gateway", "hangs up, now that the caller has heard the farewell")


@asynccontextmanager
async def _phone() -> AsyncIterator[Phone]:
    phone = await Phone.open()
    try:
        yield phone
    finally:
        await phone.close()


@contextmanager
def _voice() -> Iterator[Callable[[str], Samples]]:
    """The caller's voice: words where the extra is installed, else tones."""
    if not installed():
        yield lambda text: _samples(Tones(), text)
        return
    espeak = Espeak()
    try:
        yield lambda text: _samples(espeak, text)
    finally:
        espeak.close()


def _samples(voice: Speech, text: str) -> Samples:
    return np.frombuffer(voice.say(text, 8000, "en"), "<i2").astype(np.int16)


async def _stay(gateway: Gateway, out: Console) -> None:
    """Keep the service up for a softphone, until Ctrl-C."""
    port = gateway.transport.addresses[0][1]
    out.print(f"\nCall sip:demo@THIS-MACHINE:{port} (UDP) with a softphone; Ctrl-C ends it.")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


def _report(out: Console, folder: Path) -> bool:
    """What is left of the call; False where something of it did not happen."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8").splitlines()[-1])
    out.print(f"\nThe call's record is in {folder / RECORD}, both voices in {record['recording']}.")
    barge_ins = [barge_in for barge_in in record["barge_ins"] if barge_in["heard_ms"]]
    said = [line["text"] for line in record["transcript"]]
    expected = {
        "the greeting": said[:1] == [GREETING],
        "a barge-in": bool(barge_ins),
        "the code": record["digits"] == [CODE.rstrip("#")],
        "the end by the model": record["cause"] == "hang_up" and record["ended_by"] == "model",
    }
    missing = [what for what, happened in expected.items() if not happened]
    if missing:
        out.print(f"This did not happen: {', '.join(missing)}.")
    return not missing
