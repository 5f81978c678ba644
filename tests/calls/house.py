"""A whole house in memory: a phone, the gateway and a model on one virtual clock.

    phone ── Network (delay, loss) ── gateway ── MemoryModel (delay, stalls) ── Conversation

Every part is the real one but three: the datagrams, the WebSocket and the ticks. A minute of
call takes a fraction of a second, and a seed makes it the same every time.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from gateway.app import Gateway, World, running
from gateway.audio.frame import Samples
from gateway.config import Config
from gateway.realtime.client import BackendError, Connection, Connector
from gateway.realtime.profile import Profile
from gateway.rtp.port import Port, PortPool
from gateway.simulator.conversation import Conversation
from gateway.simulator.phone import Phone
from gateway.simulator.script import Script, load
from gateway.simulator.speech import Noise, Speech
from gateway.sip.message import Request, Response, parse
from gateway.sip.resolver import Ask
from tests.clock import LoopTicker, MemoryPorts, Network, tasks, timers

GATEWAY = ("10.0.0.1", 5060)
PHONE = ("10.0.0.2", 5060)
WALL = 1_800_000_000.0  # s since 1970, when virtual time is 0
GATEWAYS_OWN = ("gateway.app", "gateway.call", "gateway.realtime")  # of whom nothing may be left


class MemoryModel:
    """The simulator behind the WebSocket's seam: `connect` is a `Connector`.

    `delay` (s) each way, in order; `stall` (s) holds everything back for so long, now and then.
    `said` and `heard` are all messages of the server and of the gateway, with their times.
    """

    def __init__(
        self,
        script: Script,
        *,
        speech: Speech | None = None,
        dialect: str = "openai",
        speed: float = 5.0,
        delay: float = 0.02,
        stall: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.said: list[tuple[float, dict[str, Any]]] = []
        self.heard: list[tuple[float, dict[str, Any]]] = []
        self.first_words: list[str] = []  # texts that a server sends beside its own, at once
        self.refuses: BackendError | None = None
        self.open_connections = 0
        self._options: dict[str, Any] = {"dialect": dialect, "speed": speed}
        self._script = script
        self._speech = speech or Noise(seed)
        self.delay = delay
        self._stall = stall
        self._dice = random.Random(seed)
        self.links: list[_Link] = []
        self.reads = True

    def read_on(self) -> None:
        """Read again, first what came while `reads` was False."""
        self.reads = True
        for link in self.links:
            link.read()

    async def connect(
        self,
        profile: Profile,
        on_message: Callable[[str | bytes], None],
        on_close: Callable[[int, str], None],
    ) -> Connection:
        await asyncio.sleep(2 * self.delay)
        if self.refuses:
            raise self.refuses
        conversation = Conversation(
            self._script,
            speech=self._speech,
            token=lambda: f"{self._dice.getrandbits(64):016x}",
            **self._options,
        )
        link = _Link(self, conversation, on_message, on_close)
        self.links.append(link)
        self.open_connections += 1
        link.open()
        return link

    def held_until(self, now: float) -> float:
        """When what is sent now arrives."""
        if self._stall and self._dice.random() < 0.02:
            return now + self.delay + self._stall
        return now + self.delay

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What the gateway said, of one type."""
        return [event for _, event in self.heard if event["type"] == kind]

    def answers(self, kind: str) -> list[dict[str, Any]]:
        """What the server said, of one type."""
        return [event for _, event in self.said if event["type"] == kind]

    async def until(self, kind: str) -> None:
        """Wait until the server has said one more event of a type."""
        before = len(self.answers(kind))
        while len(self.answers(kind)) == before:  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.005)

    def audio(self, item_id: str) -> bytes:
        """All that the server said of an item, PCM at its rate."""
        import base64

        return b"".join(
            base64.b64decode(event["delta"])
            for event in self.answers("response.output_audio.delta")
            if event["item_id"] == item_id
        )


class _Link:
    """One connection (`Connection`): messages in order, each with its delay."""

    def __init__(
        self,
        model: MemoryModel,
        conversation: Conversation,
        on_message: Callable[[str | bytes], None],
        on_close: Callable[[int, str], None],
    ) -> None:
        self.backlog = 0  # bytes that the server has not read
        self._unread: list[bytes] = []
        self.conversation = conversation
        self._model = model
        self._on_message = on_message
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._down = self._up = 0.0  # when the last message of each direction arrives
        self.closed = False

    def open(self) -> None:
        for text in self._model.first_words:
            self.say(text)
        self._say(self.conversation.open(self._loop.time()))

    def send(self, text: bytes) -> None:
        if self.closed:
            return
        now = self._loop.time()
        self._model.heard.append((now, json.loads(text)))
        if not self._model.reads:
            self._unread.append(text)
            self.backlog += len(text)
            return
        self._carry(text)

    def read(self) -> None:
        """The server takes what waits."""
        waiting, self._unread, self.backlog = self._unread, [], 0
        for text in waiting:
            self._carry(text)

    def close(self, code: int = 1000) -> None:
        self._end()

    def drop(self, code: int, reason: str) -> None:
        """The server closes the connection."""
        if not self.closed:
            self._end()
            self._loop.call_later(self._model.delay, self._on_close, code, reason)

    def say(self, text: str) -> None:
        """The server says something of its own."""
        self._deliver(text)

    def _carry(self, text: bytes) -> None:
        self._up = max(self._up, self._loop.time() + self._model.delay)
        self._loop.call_at(self._up, self._receive, text)

    def _end(self) -> None:
        if not self.closed:
            self.closed = True
            self._model.open_connections -= 1
        if self._timer:
            self._timer.cancel()

    def _receive(self, text: bytes) -> None:
        if not self.closed:
            self._say(self.conversation.receive(text, self._loop.time()))

    def _wake(self) -> None:
        self._say(self.conversation.handle_timer(self._loop.time()))

    def _say(self, texts: list[str]) -> None:
        for text in texts:
            self._model.said.append((self._loop.time(), json.loads(text)))
            self._deliver(text)
        if self.conversation.close:
            self.drop(*self.conversation.close)
            return
        if self._timer:
            self._timer.cancel()
        deadline = self.conversation.deadline
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._wake)

    def _deliver(self, text: str) -> None:
        self._down = max(self._down, self._model.held_until(self._loop.time()))
        self._loop.call_at(self._down, self._arrive, text)

    def _arrive(self, text: str) -> None:
        if not self.closed:
            self._on_message(text)


class Sip:
    """All SIP on a network, as it left its sender: (time, message, whether the gateway sent it)."""

    def __init__(self, network: Network) -> None:
        self.messages: list[tuple[float, Request | Response, bool]] = []
        self._send = network.send
        network.send = self._tapped  # type: ignore[method-assign] # a tap on the wire

    def responses(self, status: int) -> list[Response]:
        """The gateway's responses of one status, copies included."""
        return [
            message
            for _, message, ours in self.messages
            if ours and isinstance(message, Response) and message.status == status
        ]

    def requests(self, method: str) -> list[Request]:
        """The gateway's requests, copies included."""
        return [
            message
            for _, message, ours in self.messages
            if ours and isinstance(message, Request) and message.method == method
        ]

    def times(self, start: str) -> list[float]:
        """When the gateway sent what begins so, copies included."""
        return [
            at
            for at, message, ours in self.messages
            if ours and message.encode().startswith(start.encode())
        ]

    def _tapped(self, data: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        if source[1] == GATEWAY[1]:
            message = parse(data)
            self.messages.append((asyncio.get_running_loop().time(), message, source == GATEWAY))
        self._send(data, source, target)


@asynccontextmanager
async def phone_on(network: Network, number: int = 1, **options: Any) -> AsyncIterator[Phone]:
    """A phone of its own address, 10.0.1.number."""
    host = f"10.0.1.{number}"
    dice = random.Random(number)
    phone = await Phone.open(
        (host, 5060),
        ports=network.ports(host),
        bind=network.bind,
        number=dice.getrandbits,
        **options,
    )
    try:
        yield phone
    finally:
        await phone.close()


class SocketPorts(PortPool):
    """The service's own ports, on real sockets, though time is virtual."""

    @property
    def opened(self) -> list[Port]:
        """Those in use."""
        return list(self._open.values())


class House:
    """What a test holds on to."""

    def __init__(
        self,
        gateway: Gateway,
        models: Mapping[str, MemoryModel],
        network: Network,
        ports: MemoryPorts | SocketPorts,
        path: Path,
    ) -> None:
        self.gateway = gateway
        self.models = models
        self.model = next(iter(models.values()))
        self.network = network
        self.ports = ports
        self._path = path
        self._phones = 0

    @asynccontextmanager
    async def phone(self, **options: Any) -> AsyncIterator[Phone]:
        """A phone of its own address."""
        self._phones += 1
        async with phone_on(self.network, self._phones, **options) as phone:
            yield phone

    async def records(self) -> list[dict[str, Any]]:
        """The records of all calls, when they are over."""
        await self.gateway.written()
        return self.written()

    def written(self) -> list[dict[str, Any]]:
        """The records of the calls that are over by now."""
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]

    async def record(self) -> dict[str, Any]:
        """The record of the one call there was."""
        (record,) = await self.records()
        return record

    def holds_nothing(self) -> bool:
        """Whether all that calls took was given back."""
        connections = sum(model.open_connections for model in self.models.values())
        sessions = sum(backend.sessions for backend in self.gateway.backends.values())
        return (self.gateway.calls, self.ports.opened, connections, sessions) == (0, [], 0, 0)


@asynccontextmanager
async def house(
    folder: Path,
    script: dict[str, Any] | Script | None = None,
    *,
    agent: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    network: Network | None = None,
    model: MemoryModel | None = None,
    models: Mapping[str, MemoryModel] | None = None,
    ports: int | SocketPorts = 1000,
    ask: Ask | None = None,
    world: Mapping[str, Any] = MappingProxyType({}),
    **model_options: Any,
) -> AsyncIterator[House]:
    """Build the house; leaving it stops the gateway, as SIGTERM would, and nothing may be left.

    `models`: several backends by name, tried in this order, instead of the one. `ask`: the DNS.
    `ports`: how many there are in memory, or real ones.
    `world`: what is not as usual in it.
    """
    network = network or Network()
    said = script if isinstance(script, Script) else load(script or {})
    models = models or {"model": model or MemoryModel(said, **model_options)}
    rtp = network.ports(GATEWAY[0], ports) if isinstance(ports, int) else ports
    dice = random.Random(99)
    records = folder / "calls.jsonl"
    tree: dict[str, Any] = {
        "sip": {"listen": ["udp:10.0.0.1:5060"]},
        "backends": {
            name: {"provider": "compatible", "url": f"ws://{name}/v1/realtime", "model": "m"}
            for name in models
        },
        "agents": {"reception": {"backend": list(models), **(agent or {})}},
        "records": {"calls": str(records), "transcripts": True},
    }
    for section, values in (config or {}).items():
        old = tree.get(section)
        tree[section] = {**old, **values} if isinstance(old, dict) else values
    loop = asyncio.get_running_loop()
    outside = World(
        bind=network.bind,
        network=network,
        ask=ask,
        ports=rtp,
        ticker=LoopTicker(),
        connect=_connector(models),
        wall=lambda: WALL + loop.time(),
        number=dice.getrandbits,
        meter=lambda: 0.0,  # decoding takes no time here, so that every run is the same
        http=False,
    )
    outside = replace(outside, **world)
    async with running(Config.model_validate(tree), outside) as gateway:
        home = House(gateway, models, network, rtp, records)
        yield home
    assert home.holds_nothing()
    assert [task for task in tasks() if task.startswith(GATEWAYS_OWN)] == []
    assert [timer for timer in timers() if timer.startswith(GATEWAYS_OWN)] == []


def _connector(models: Mapping[str, MemoryModel]) -> Connector:
    """Reach the model that the URL names."""

    async def connect(
        profile: Profile,
        on_message: Callable[[str | bytes], None],
        on_close: Callable[[int, str], None],
    ) -> Connection:
        model = models.get(profile.host) or next(iter(models.values()))
        return await model.connect(profile, on_message, on_close)

    return connect


def noise(seconds: float, seed: int = 5) -> Samples:
    """A loud voice without words, at 8 kHz."""
    pcm = Noise(seed).say("x" * (round(seconds / 0.065) + 2), 8000, "en")
    return np.frombuffer(pcm, "<i2").astype(np.int16)[: round(seconds * 8000)]
