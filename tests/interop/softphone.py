"""A scriptable phone: baresip's engine from PyPI (`baresip-python`), in a process of its own.

Run as a program it reads commands, one JSON object a line, and prints events the same way; the
rest of this file starts that program and talks to it. Each of its calls says a tone, and keeps
what it heard; calls are counted from 0, those it makes and those it takes alike.
"""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from gateway.audio.frame import Samples

from .programs import HOST, Program, free_port, free_range, running, until

START = 25.0  # s
ATTEMPTS = 3  # to start one
RATE = 8000  # Hz
FRAME = 160  # samples
AHEAD = 10  # pieces of 20 ms by which it is ahead with what may have no hole

# -- the side of the tests


class Softphone:
    """A running phone; it listens for SIP over UDP and TCP at `port`."""

    def __init__(self, program: Program, folder: Path, port: int) -> None:
        self.port = port
        self.program = program
        self._folder = folder

    def is_ready(self) -> bool:
        """Wait until it is ready, True, or ended."""
        until(lambda: self.events or not self.program.running, self.program.printed, START)
        return bool(self.events)

    def do(self, command: str, *arguments: Any) -> None:
        """Give a command: a method of `Phone`, below."""
        self.program.tell(json.dumps([command, *arguments]))

    @property
    def events(self) -> list[list[Any]]:
        """All that happened so far, oldest first: [name, number of the call, ...]."""
        whole = [it for it in self.program.printed.splitlines(keepends=True) if it.endswith("\n")]
        return [json.loads(line) for line in whole if line.startswith("[")]

    def wait_for(self, *event: Any, times: int = 1, within: float = START) -> list[Any]:
        """Wait for an event that begins so."""

        def found() -> list[list[Any]]:
            assert self.program.running, self.program.printed
            events = [it for it in self.events if it[: len(event)] == list(event)]
            return events if len(events) >= times else []

        return until(found, f"{event}; {self.program.printed}", within)[-1]

    def heard(self, call: int) -> Samples:
        """What came out of its loudspeaker in a call so far; all of it once that is closed. All
        tracks of it, one sample of each in turn."""
        path = self._folder / f"{call}.raw"
        data = path.read_bytes() if path.exists() else b""
        return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)

    def hears(self, call: int, tone: int) -> float:
        """Seconds of what it heard so far in which a tone (Hz) was the loudest."""
        sound = self.heard(call)
        count = len(sound) // FRAME
        frames = sound[: count * FRAME].reshape(count, FRAME).astype(float)
        spectra = np.abs(np.fft.rfft(frames * np.hanning(FRAME), 4 * FRAME))
        loud = np.abs(frames).max(axis=1, initial=0.0) > 300
        peaks = spectra.argmax(axis=1) * RATE / (4 * FRAME)
        return float(np.count_nonzero(loud & (np.abs(peaks - tone) < 25))) * FRAME / RATE


@contextmanager
def softphone(
    folder: Path,
    *,
    user: str = "phone",
    domain: str = HOST,
    password: str = "",
    transport: str = "udp",
    codecs: Sequence[str] = ("pcmu",),
    tone: int = 440,
    registers: bool = False,
    outbound: str | None = None,
    dtmf: str = "rtpevent",
    authority: Path | None = None,
    answers: bool = True,
    mute: bool = False,
    level: int = 9000,
    voice: Path | None = None,
    extra: Sequence[str] = (),
) -> Iterator[Softphone]:
    """Run a phone that says a `tone` (Hz) of that `level` (its peak), from `speak` on where it is
    mute at first; or what is in the file `voice`, whose rate and tracks are those of the codec.

    `authority` is the PEM file of whom it trusts.
    """
    folder.mkdir()
    parameters = [*extra, *([f"outbound={outbound}"] if outbound else [])]
    options = {
        "account": {
            "user": user,
            "domain": domain,
            "password": password,
            "transport": transport,
            "audio_codecs": list(codecs),
            "dtmf_mode": dtmf,
            "reg_interval": 60 if registers else 0,
            "extra_params": parameters,
        },
        "tone": tone,
        "level": level,
        "voice": str(voice) if voice else None,
        "folder": str(folder),
        "answers": answers,
        "mute": mute,
    }
    with ExitStack() as stack:
        made = _start(stack, folder, options, authority)
        if registers:
            made.wait_for("registered")
        yield made
        made.do("quit")
        made.program.wait(START)


def _start(
    stack: ExitStack, folder: Path, options: dict[str, Any], authority: Path | None
) -> Softphone:
    """Start it until it gets its ports: somebody may be quicker between our look and its."""
    for attempt in range(ATTEMPTS):
        port, rtp = free_port(), free_range(20)
        more = [f"sip_listen {HOST}:{port}", f"rtp_ports {rtp}-{rtp + 19}"]
        more += ["sip_transports udp,tcp,tls"]
        if authority:
            more += [f"sip_cafile {authority}", "sip_verify_server yes"]
        options["config"] = "\n".join(more) + "\n"
        command = [sys.executable, "-m", "tests.interop.softphone", json.dumps(options)]
        name = str(folder / f"softphone{attempt}")
        program = stack.enter_context(running(command, Path(__file__).parents[2], name))
        made = Softphone(program, folder, port)
        if made.is_ready() or "Address already in use" not in program.printed:
            break
    made.wait_for("ready")
    return made


# -- the phone itself


class Phone:
    """What the program does; each public method is a command."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._calls: list[Any] = []
        self._events: list[Any] = []  # of all calls
        self._tasks: set[asyncio.Task[None]] = set()
        self._mute = options["mute"]
        phase = np.arange(RATE) * 2 * np.pi * options["tone"] / RATE
        tone = (options["level"] * np.sin(phase)).astype("<i2")  # a second: whole periods
        self._sound: bytes = tone.tobytes()
        self._size = 2 * FRAME  # bytes of 20 ms
        if options["voice"]:
            with wave.open(options["voice"], "rb") as file:
                self._sound = file.readframes(file.getnframes())
                self._size = file.getframerate() // 50 * 2 * file.getnchannels()
        self._ahead = AHEAD if options["voice"] else 0

    async def run(self) -> None:
        """Live until told to quit."""
        from baresip import Account, Config, Runtime, UserAgent

        runtime = Runtime()
        await runtime.start(
            Config(
                net_interface=HOST,
                max_concurrent_calls=None,
                extra_config_text=self._options["config"],
            )
        )
        runtime.subscribe(self._events.append)
        account = self._options["account"]
        for key in ("audio_codecs", "extra_params"):
            account[key] = tuple(account[key])
        self._ua = await UserAgent.create(runtime, Account(**account))
        self._ua.on_incoming(self._ring)
        _say("ready", self._options["account"]["user"])
        if account["reg_interval"]:
            await self._ua.register()
            _say("registered")
        await self._obey()
        for call in self._calls:
            with suppress(Exception):
                await call.hangup()
        await asyncio.sleep(0.2)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await runtime.close()

    async def _obey(self) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command, *arguments = json.loads(line)
            if command == "quit":
                return
            self._start(self._do(command, arguments))

    async def _do(self, command: str, arguments: list[Any]) -> None:
        try:
            await getattr(self, command)(*arguments)
        except Exception as error:
            _say("failed", command, f"{type(error).__name__}: {error}")

    async def dial(self, uri: str) -> None:
        self._follow_ours(await self._ua.dial(uri))

    async def answer(self, call: int) -> None:
        await self._calls[call].answer()

    async def speak(self) -> None:
        self._mute = False

    async def hangup(self, call: int) -> None:
        await self._calls[call].hangup()

    async def hold(self, call: int) -> None:
        await self._calls[call].hold()

    async def resume(self, call: int) -> None:
        await self._calls[call].resume()

    async def press(self, call: int, digits: str) -> None:
        await self._calls[call].send_dtmf(digits)

    async def transfer(self, call: int, uri: str) -> None:
        await self._calls[call].transfer(uri)
        _say("transferred", call)

    async def attended_transfer(self, call: int, other: int) -> None:
        await self._calls[call].attended_transfer(self._calls[other])
        _say("transferred", call)

    def _ring(self, call: Any) -> None:
        number = self._follow(call)
        _say("incoming", number)
        if self._options["answers"]:
            self._start(call.answer())

    def _follow_ours(self, call: Any) -> None:
        """What came of a call of ours before the library told us of it, it has told nobody."""
        missed = [event for event in self._events if event.call == call.handle]
        self._follow(call)
        for event in missed:
            call._on_stack_event(event)

    def _follow(self, call: Any) -> int:
        number = len(self._calls)
        self._calls.append(call)
        call.on(lambda event: _say(event.event.name.lower(), number))
        call.on_dtmf(lambda digit: _say("digit", number, getattr(digit, "digit", digit)))
        call.on_transfer_request(lambda request: self._start(self._accept(number)))
        self._start(self._talk(call, number))
        return number

    async def _accept(self, number: int) -> None:
        """Somebody wants us to call a third; do so."""
        _say("transfer_request", number)
        self._follow_ours(await self._calls[number].accept_transfer())

    async def _talk(self, call: Any, number: int) -> None:
        """Say the tone and keep what is heard, until the call is over."""
        heard = (Path(self._options["folder"]) / f"{number}.raw").open("wb", buffering=0)
        try:
            await call.wait_established(timeout=120)
            _say("established", number)
            said = 0
            begun = asyncio.get_running_loop().time()
            while call.state.name == "ESTABLISHED":
                await asyncio.sleep(0.02)
                due = int((asyncio.get_running_loop().time() - begun) / 0.02) + 1
                with suppress(Exception):  # the sound is not there yet, or starts anew
                    while said < due + self._ahead:
                        call.audio.write(self._piece(said))
                        said += 1
                    heard.write(call.audio.read(16000))
        except Exception as error:
            _say("ended", number, f"{type(error).__name__}: {error}")
        finally:
            heard.close()
            _say("closed", number)

    def _piece(self, number: int) -> bytes:
        """20 ms of what it says: a tone without end, or a voice and then nothing."""
        if self._mute:
            return bytes(self._size)
        at = number * self._size
        if not self._options["voice"]:
            at %= len(self._sound)
        return self._sound[at : at + self._size].ljust(self._size, b"\0")

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _say(*event: Any) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    asyncio.run(Phone(json.loads(sys.argv[1])).run())
