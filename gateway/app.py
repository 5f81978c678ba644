"""App ●: the composition root: build every part from Config, start, stop. Shell.

`Gateway` is one service. It binds SIP, starts the tick and the HTTP server, gives each INVITE an
agent or a reason why not, runs each call in a task of its own group, and writes its record. The
world (sockets, time, chance) is handed in as `World`, so that whole services run in tests on
virtual time and in memory.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from .agents import Agent, Directory, Trunk, instructions, variables
from .api.server import Readiness, Server, application
from .backends import profile_of, script_of
from .call.admission import Admission
from .call.call import Call
from .call.ending import Refusal
from .call.engine import Engine, Ticker, TimerDescriptor
from .call.exchange import Exchange, Party
from .call.model import Backend
from .call.record import Record
from .call.recording import Recording
from .config import Config
from .config_backends import BackendConfig, SimulatorConfig
from .realtime.client import Connector, connect, probe
from .rtp.port import PortPool, RtpPorts
from .simulator.server import SimulatorServer
from .sip.address import Uri
from .sip.endpoint import Endpoint
from .sip.event import Event, Incoming, Registered, Unregistered
from .sip.transport import Binder, Transport, bind_udp
from .text import cleaned

SWEEP = 5.0  # s between looks at ports in quarantine
FRESH = 60.0  # s for which a session that was ready proves that a backend is there
PROBE = 2.0  # s that /readyz waits for a backend
LAST_ACKS = 1.0  # s that a call that was just answered has to say so; its BYE waits for that
LAST_BYES = 2.0  # s that the last BYEs have to be answered
LOOK = 0.02  # s between looks whether they were
# JSON lets these stand in a text, but a reader may take them for the end of the line
LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class World:
    """What is outside: sockets, time and chance. The defaults are the real ones."""

    bind: Binder = bind_udp
    ports: RtpPorts | None = None  # None: UDP sockets on the configured range
    ticker: Ticker = field(default_factory=TimerDescriptor)
    connect: Connector = connect
    wall: Callable[[], float] = time.time
    number: Callable[[int], int] = secrets.randbits
    meter: Callable[[], float] = time.perf_counter  # what the tick spends on decoding, s
    http: bool = True


class Gateway:
    """One service, made by `running`."""

    def __init__(self, config: Config, world: World, backends: Mapping[str, Backend]) -> None:
        self.directory = Directory(config)
        self.endpoint = Endpoint(token=self._token, public_address=config.sip.public_address)
        self.ports = world.ports or PortPool(
            config.media.listen, config.media.ports.first, config.media.ports.last
        )
        self.engine = Engine(self.ports, world.meter)
        self.backends = backends
        self.transport: Transport
        self.http: Server | None = None
        self._config = config
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._admission = Admission(
            at_once=config.sip.max_calls, per_second=config.sip.max_calls_per_second
        )
        self._calls: dict[str, Call] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup
        self._exchange: Exchange

    # -- start and stop

    async def start(self, stack: AsyncExitStack) -> None:
        """Open everything; what is open when something fails is closed by the stack."""
        config, world = self._config, self._world
        stack.callback(self.ports.close)
        # a host that is not ours must be seen now, and not by the first caller
        self.ports.release(self.ports.open(self._loop.time()), self._loop.time(), announced=False)
        listen = [(it.host, it.port) for it in config.sip.listen if it.transport == "udp"]
        self.transport = await Transport.open(
            self.endpoint, listen, on_event=self._on_event, admit=self._admit, bind=world.bind
        )
        stack.push_async_callback(self.transport.close)
        if config.records.audio is not None:
            config.records.audio.mkdir(parents=True, exist_ok=True)
        self._exchange = Exchange(
            endpoint=self.endpoint,
            act=self.transport.act,
            engine=self.engine,
            ports=self.ports,
            connect=world.connect,
            clock=self._loop.time,
            wall=world.wall,
            number=world.number,
            token=self._token,
            host=self._host,
            codecs=config.media.working_codecs,
            media_address=config.media.public_address,
            rtp_timeout=config.media.rtp_timeout,
            playout_delay=config.media.playout_delay / 1000,
            transcripts=config.records.transcripts,
            recording=_recorder(config.records.audio),
        )
        world.ticker.start(self.engine.tick)
        stack.callback(world.ticker.stop)
        if world.http:
            token = config.api.token.get_secret_value() if config.api.token else None
            app = application(self.readiness, token=token)
            self.http = await Server.open(app, config.api.listen.host, config.api.listen.port)
            stack.push_async_callback(self.http.close)

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Take calls from now on; each runs in `group`."""
        self._tasks = group
        self._sweeping = group.create_task(self._sweep())
        log.info(
            "listening",
            sip=[f"udp:{host}:{port}" for host, port in self.transport.addresses],
            http=self.http.url if self.http else None,
            agents=sorted(self.directory.agents),
        )
        if self.directory.open:
            log.warning("open_to_neighbours", reason="no trunks: private addresses may call")

    def hang_up_all(self) -> None:
        """Take no more calls, and end those in progress."""
        self._admission.draining = self.endpoint.draining = True
        self._sweeping.cancel()
        for call in list(self._calls.values()):
            call.hang_up("shutdown")

    async def settle(self) -> None:
        """Let the last BYEs be answered, as long as that may take."""
        await self._answered(LAST_ACKS)
        self.transport.act(self.endpoint.send_owed_byes(self._loop.time()))
        await self._answered(LAST_BYES)

    async def _answered(self, within: float) -> None:
        for _ in range(round(within / LOOK)):
            if not self.endpoint.unanswered:
                return
            await asyncio.sleep(LOOK)

    @property
    def calls(self) -> int:
        """Calls in progress."""
        return len(self._calls)

    async def written(self) -> None:
        """Wait until no call is left, and every record is written."""
        while self._running:
            await asyncio.wait(self._running)

    async def readiness(self) -> Readiness:
        """Whether calls are taken, for /readyz; asks a backend's port, never opens a session."""
        reachable = await asyncio.gather(*map(self._is_reachable, self.backends.values()))
        return Readiness(bool(self.transport.addresses), any(reachable), self._admission.draining)

    async def _is_reachable(self, backend: Backend) -> bool:
        last = backend.last_success
        if last is not None and self._loop.time() - last < FRESH:
            return True
        return await probe(backend.profile, timeout=PROBE)

    # -- calls

    def _admit(self, host: str) -> bool:
        return self.directory.trunk(host) is not None

    def _on_event(self, event: Event) -> None:
        match event:
            case Incoming():
                self._invited(event)
            case Registered() | Unregistered():
                pass
            case _:
                if owner := self._exchange.owners.get(event.call):
                    owner.receive(event)

    def _invited(self, invite: Incoming) -> None:
        if self._admission.draining and not self._running:
            self._turn_away(invite)  # the group of calls may be over, so no call can begin
            return
        headers = invite.request.headers
        trunk = self.directory.trunk(invite.flow.remote[0])
        assert trunk  # or it had not been admitted
        to, from_ = Uri.parse(invite.request.uri).name, headers.from_.uri.name
        plan = self._plan(to, trunk)
        text = ""
        if isinstance(plan, Agent):
            text = instructions(
                plan,
                caller=from_,
                called=to,
                trunk=trunk,
                now=datetime.fromtimestamp(self._world.wall()).astimezone(),
                variables=variables(plan, trunk, headers.get),
            )
        party = Party(
            call_id=f"c-{self._world.number(64):016x}",
            sip=invite,
            from_=cleaned(from_) or None,
            to=cleaned(to) or None,
            trunk=trunk.name,
            source_mode=trunk.source,
            instructions=text,
        )
        call = self._calls[invite.call] = Call(party, self._exchange)
        task = self._tasks.create_task(self._run(call, invite.call, plan))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _turn_away(self, invite: Incoming) -> None:
        """Refuse a call that nobody is left to keep a record of."""
        now = self._loop.time()
        if no := self._admission.refusal(0, now):
            self.transport.act(
                self.endpoint.refuse(invite.call, no.status, now, headers=no.headers)
            )

    def _plan(self, to: str, trunk: Trunk) -> Agent | Refusal:
        """Who answers, or why nobody does."""
        # the new call is not among them yet
        if refusal := self._admission.refusal(len(self._calls), self._loop.time()):
            return refusal
        return self.directory.route(to, trunk) or Refusal(404, "no_route", "No route matches")

    async def _run(self, call: Call, handle: str, plan: Agent | Refusal) -> None:
        log.debug("call_invited", **call.names)
        try:
            record = await call.run(plan, self._backends_of(plan))
        finally:
            del self._calls[handle]
        await self._write(record)
        log.info(
            "call_ended",
            **call.names,
            agent=record.agent,
            backend=record.backend,
            ended_by=record.ended_by,
            cause=record.cause,
            status=record.sip_status,
            seconds=_seconds(record),
        )

    def _backends_of(self, plan: Agent | Refusal) -> Sequence[Backend]:
        if isinstance(plan, Refusal):
            return ()
        return [self.backends[name] for name in plan.backends if name in self.backends]

    async def _write(self, record: Record) -> None:
        path = self._config.records.calls
        if path is None:
            return
        line = json.dumps(record.as_dict(), ensure_ascii=False).translate(LINE_ENDS)
        try:
            await asyncio.to_thread(_append, path, line)
        except OSError as error:
            record.transcript = None  # a log never shows what was said
            log.error("record_not_written", reason=str(error), record=record.as_dict())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            self.ports.sweep(self._loop.time())

    async def _host(self, uri: str) -> str:
        """Our address on the way to a URI."""
        to = Uri.parse(uri)
        return self.transport.flow((to.host, to.port or 5060)).local[0]

    def _token(self) -> str:
        return f"{self._world.number(96):024x}"


@asynccontextmanager
async def running(config: Config, world: World | None = None) -> AsyncIterator[Gateway]:
    """Run the service; leaving ends every call, writes its record and closes everything.

    Raises OSError where an address is taken, ScriptError for a simulator's script.
    """
    async with AsyncExitStack() as stack:
        backends = await _open_backends(config, stack)
        gateway = Gateway(config, world or World(), backends)
        await gateway.start(stack)
        async with asyncio.TaskGroup() as group:
            await gateway.run(group)
            try:
                yield gateway
            finally:
                gateway.hang_up_all()
        await gateway.settle()
        log.info("stopped", ignored=dict(gateway.endpoint.counts))


async def _open_backends(config: Config, stack: AsyncExitStack) -> dict[str, Backend]:
    """The backends that some agent uses and that can be used."""
    wanted = {name for agent in Directory(config).agents.values() for name in agent.backends}
    backends = {}
    for name in sorted(wanted):
        settings = config.backends[name]
        url = None
        if isinstance(settings, SimulatorConfig):
            url = await _open_simulator(settings, stack)
        if profile := profile_of(settings, url):
            backends[name] = Backend(name, profile, settings.max_sessions)
        else:
            log.warning("backend_skipped", backend=name, lacks=_lack(settings))
    return backends


async def _open_simulator(settings: SimulatorConfig, stack: AsyncExitStack) -> str:
    server = await SimulatorServer.open(
        script=script_of(settings), dialect=settings.dialect, speed=settings.speed
    )
    stack.push_async_callback(server.close)
    return server.url


def _lack(settings: BackendConfig) -> str:
    return settings.lacks or "support in this version"


def _recorder(folder: Path | None) -> Callable[[str], Recording] | None:
    return None if folder is None else lambda call_id: Recording(folder / f"{call_id}.wav")


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(line + "\n")


def _seconds(record: Record) -> float | None:
    if record.answered_at is None or record.ended_at is None:
        return None
    return round(record.ended_at - record.answered_at, 1)
