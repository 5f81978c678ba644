"""App ●: the composition root: build every part from Config, start, stop. Shell.

`Gateway` is one service. It binds SIP, starts the tick and the HTTP server, gives each INVITE an
agent or a reason why not, runs each call in a task of its own group, and writes its record. The
world (sockets, time, chance) is handed in as `World`, so that whole services run in tests on
virtual time and in memory.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from .agents import Directory
from .api.calls import routes
from .api.metrics import collect, render
from .api.server import Readiness, Server, application
from .audio import echo
from .audio.codec import missing
from .backends import profile_of, script_of
from .call.admission import Admission
from .call.carrier import Carrier
from .call.engine import Engine
from .call.exchange import Exchange
from .call.journal import Journal
from .call.lateness import Lateness
from .call.model import Backend
from .call.recorder import Recorder
from .call.sound_file import FORMATS, opus_missing
from .call.switchboard import Switchboard
from .call.ticker import Ticker, TimerDescriptor
from .config import Config, EchoMode, RecordsConfig
from .config_backends import BackendConfig, SimulatorConfig
from .realtime.client import Connection, Connector, OnClose, OnMessage, connect, probe
from .realtime.profile import Profile
from .rtp import dtls
from .rtp.port import PortPool, RtpPorts
from .simulator.server import SimulatorServer
from .sip.address import Uri
from .sip.authentication import Screen
from .sip.datagram import Binder, bind_udp
from .sip.endpoint import Endpoint
from .sip.event import Event, Identity, Incoming, Registered, Unregistered
from .sip.resolver import Ask
from .sip.sockets import Network, Sockets
from .sip.tls import TlsSettings
from .sip.transport import Listen, Transport
from .trunks import Registrations, accounts, credentials
from .ways import Ways, open_resolver

SWEEP = 5.0  # s between looks at ports in quarantine
FRESH = 60.0  # s for which a session that was ready proves that a backend is there
PROBE = 2.0  # s that /readyz waits for a backend
LAST_ACKS = 1.0  # s that a call that was just answered has to say so; its BYE waits for that
LAST_BYES = 2.0  # s that the last BYEs have to be answered
LOOK = 0.02  # s between looks whether they were
JUDGE = 1.0  # s between looks at how late the ticks are, for the log

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class World:
    """What is outside: sockets, time and chance. The defaults are the real ones."""

    bind: Binder = bind_udp
    network: Network = field(default_factory=Sockets)  # of TCP and TLS
    ask: Ask | None = None  # DNS; None: the servers of the system
    ports: RtpPorts | None = None  # None: UDP sockets on the configured range
    ticker: Ticker = field(default_factory=TimerDescriptor)
    connect: Connector = connect
    wall: Callable[[], float] = time.time
    number: Callable[[int], int] = secrets.randbits
    meter: Callable[[], float] = time.perf_counter  # what the tick takes, s
    http: bool = True


class Gateway:
    """One service, made by `running`."""

    def __init__(self, config: Config, world: World, backends: Mapping[str, Backend]) -> None:
        self.directory = Directory(config)
        key = world.number(256).to_bytes(32, "big")
        self._credentials = credentials(config, self._token)
        self.endpoint = Endpoint(
            token=self._token,
            public_address=config.sip.public_address,
            session_expires=config.sip.session_expires,
            screen=Screen(knows=self._identify, accounts=accounts(config), key=key),
            credentials=self._credentials,
        )
        self.ports = world.ports or PortPool(
            config.media.listen, config.media.ports.first, config.media.ports.last
        )
        self.engine = Engine(self.ports, world.meter)
        self.lateness = Lateness(config.media.max_lateness / 1000)
        self.backends = backends
        self.transport: Transport
        self.registrations: Registrations
        self.http: Server | None = None
        self._config = config
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._admission = Admission(
            at_once=config.sip.max_calls,
            per_second=config.sip.max_calls_per_second,
            overloaded=lambda: self.lateness.overloaded,
        )
        self.switchboard: Switchboard
        self.ways: Ways

    # -- start and stop

    async def start(self, stack: AsyncExitStack) -> None:
        """Open everything; what is open when something fails is closed by the stack."""
        config, world = self._config, self._world
        stack.callback(self.ports.close)
        # a host that is not ours must be seen now, and not by the first caller
        self.ports.release(self.ports.open(self._loop.time()), self._loop.time(), announced=False)
        resolver = open_resolver(config, world.ask)
        stack.push_async_callback(resolver.close)
        tls = config.sip.tls
        self.transport = await Transport.open(
            self.endpoint,
            [
                Listen(it.transport, it.host, it.port)
                for it in config.sip.listen
                if it.transport != "tls" or tls.certificate
            ],
            on_event=self._on_event,
            admit=self._admit,
            knows=lambda host: self.directory.trunk(host) is not None,
            locate=resolver.locate,
            tls=TlsSettings(tls.certificate, tls.private_key, tls.ca, tls.verify_peer),
            bind=world.bind,
            network=world.network,
        )
        stack.push_async_callback(self.transport.close)
        self.ways = Ways(config, resolver, self.transport, self.endpoint.host)
        self.ways.keep()
        self.registrations = Registrations(
            config,
            endpoint=self.endpoint,
            transport=self.transport,
            directory=self.directory,
            credentials=self._credentials,
        )
        recorder = _recorder(config.records, self._loop.time)
        if recorder:
            recorder.start()
            stack.callback(recorder.close)
        encryption = config.media.encryption
        made = datetime.fromtimestamp(world.wall(), UTC)
        exchange = Exchange(
            endpoint=self.endpoint,
            act=self.transport.act,
            engine=self.engine,
            ports=self.ports,
            connect=_punctual(world.connect, world.ticker.keep),
            clock=self._loop.time,
            wall=world.wall,
            number=world.number,
            token=self._token,
            host=self.ways.host,
            codecs=_codecs(config.media.codecs),
            media_address=config.media.public_address,
            encryption=encryption,
            identity=None if encryption == "none" else dtls.Identity(made),
            rtp_timeout=config.media.rtp_timeout,
            playout_delay=config.media.playout_delay / 1000,
            echo=_echo(config.media.echo),
            transcripts=config.records.transcripts,
            recorder=recorder,
        )
        self.switchboard = Switchboard(
            self.directory,
            exchange,
            self._admission,
            self.backends,
            self._carriers(),
            Journal(config.records.calls),
        )
        world.ticker.start(self._tick)
        stack.callback(world.ticker.stop)
        if world.http:
            token = config.api.token.get_secret_value() if config.api.token else None
            paths = routes(self.switchboard)
            app = application(self.readiness, token=token, routes=paths, metrics=self.metrics)
            self.http = await Server.open(app, config.api.listen.host, config.api.listen.port)
            stack.push_async_callback(self.http.close)

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Take calls from now on; each runs in `group`."""
        self.switchboard.group = group
        self._watching = [
            group.create_task(self._sweep()),
            group.create_task(self._tell_overload()),
            group.create_task(self.ways.tell()),
            group.create_task(self.registrations.watch()),
        ]
        log.info(
            "listening",
            sip=[str(listen) for listen in self.transport.listening],
            http=self.http.url if self.http else None,
            agents=sorted(self.directory.agents),
        )
        if self.directory.open:
            log.warning("open_to_neighbours", reason="no trunks: private addresses may call")
        self.registrations.start()

    def hang_up_all(self) -> None:
        """Take no more calls, and end those in progress."""
        self.endpoint.draining = True
        for task in self._watching:
            task.cancel()
        self.switchboard.hang_up_all()

    async def settle(self) -> None:
        """Let the last BYEs be answered, as long as that may take; de-register."""
        await self._answered(LAST_ACKS)
        self.transport.act(self.endpoint.send_owed_byes(self._loop.time()))
        self.registrations.stop()
        await self._answered(LAST_BYES)

    async def _answered(self, within: float) -> None:
        for _ in range(round(within / LOOK)):
            if not self.endpoint.unanswered:
                return
            await asyncio.sleep(LOOK)

    @property
    def calls(self) -> int:
        """Calls in progress."""
        return len(self.switchboard)

    async def written(self) -> None:
        """Wait until no call is left, and every record is written."""
        await self.switchboard.written()

    async def readiness(self) -> Readiness:
        """Whether calls are taken, for /readyz; asks a backend's port, never opens a session."""
        reachable = await asyncio.gather(*map(self._is_reachable, self.backends.values()))
        return Readiness(
            sip=bool(self.transport.listening),
            backend=any(reachable),
            draining=self._admission.draining,
            reachable=self.registrations.reachable,
            registrations=self.registrations.states,
            overloaded=self.lateness.overloaded,
        )

    def metrics(self) -> str:
        """The page for /metrics."""
        return render(
            collect(
                calls=self.calls,
                tasks=len(asyncio.all_tasks()),
                refused=self._admission.refused,
                encrypted=self.engine.handshakes.refused,
                lateness=self.lateness,
                backends=self.backends.values(),
            )
        )

    def _tick(self, now: float, missed: int) -> None:
        begun = self._world.meter()
        self.engine.tick(now, missed)
        self.lateness.note(now, missed, self._world.meter() - begun)

    async def _tell_overload(self) -> None:
        told = False
        while True:
            await asyncio.sleep(JUDGE)
            it = self.lateness
            if it.overloaded != told:
                told = it.overloaded
                tell = log.warning if told else log.info
                name = "overloaded" if told else "overload_over"
                tell(name, late_ms=round(1000 * it.p99, 1), busy=round(it.busy, 2))

    async def _is_reachable(self, backend: Backend) -> bool:
        last = backend.last_success
        if last is not None and self._loop.time() - last < FRESH:
            return True
        return await probe(backend.profile, timeout=PROBE)

    def _admit(self, host: str) -> bool:
        """A user may call from anywhere, and proves it by a password."""
        return self.directory.has_users or self.directory.trunk(host) is not None

    def _identify(self, host: str) -> Identity | None:
        """Who sends from this address, where that is proof enough."""
        trunk = self.directory.trunk(host)
        return Identity(trunk.name) if trunk else None

    def _on_event(self, event: Event) -> None:
        match event:
            case Registered() | Unregistered():
                self.registrations.receive(event)
            case Incoming(identity=identity, flow=flow):
                self.ways.note(identity.trunk if identity else None, flow)
                self.switchboard.receive(event)
            case _:
                self.switchboard.receive(event)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            self.ports.sweep(self._loop.time())

    def _carriers(self) -> dict[str, Carrier]:
        """The trunks that calls can be made through."""
        carriers = {}
        sip = self._config.sip
        hosts = [(it.host, it.port) for it in sip.listen]
        hosts += [(sip.public_address, it.port) for it in sip.listen if sip.public_address]
        for name, trunk in self._config.trunks.items():
            uri = trunk.outbound or trunk.register_at or ""
            way = Uri.parse(uri) if uri.startswith(("sip:", "sips:")) else None
            if way is None and not trunk.users:
                continue
            registrar = Uri.parse(trunk.register_at).host if trunk.register_at else None
            user, _, place = (trunk.username or "").partition("@")
            ours = way.host if way and user else sip.public_address
            carriers[name] = Carrier(
                name,
                way,
                user=user or None,
                host=place or trunk.domain or registrar or ours,
                domain=trunk.domain,
                credentials=self._credentials.get(name),
                users=frozenset(trunk.users),
                places=tuple(Uri("sip", None, host, port) for host, port in hosts),
            )
        return carriers

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


def _punctual(connect: Connector, keep: Callable[[], None]) -> Connector:
    """Let no tick wait for what servers say: many may say something in the same millisecond."""

    def connected(
        profile: Profile, on_message: OnMessage, on_close: OnClose
    ) -> Awaitable[Connection]:
        def heard(text: str | bytes) -> None:
            keep()
            on_message(text)

        return connect(profile, heard, on_close)

    return connected


def _codecs(names: Iterable[str]) -> list[str]:
    """Those whose libraries are here: what is not is told once, at the start."""
    working = []
    for name in names:
        if reason := missing(name):
            log.warning("codec_missing", codec=name, reason=reason)
        else:
            working.append(name)
    return working or ["PCMA", "PCMU"]


def _echo(mode: EchoMode) -> EchoMode:
    """As configured, where the library for it is here."""
    if mode != "off" and (reason := echo.missing()):
        log.warning("echo_missing", reason=reason)
        return "off"
    return mode


def _recorder(records: RecordsConfig, clock: Callable[[], float]) -> Recorder | None:
    if records.audio is None:
        return None
    kind = records.audio_format
    if kind == "opus" and (reason := opus_missing()):
        log.warning("codec_missing", codec="opus", reason=reason)
        kind = "wav"
    records.audio.mkdir(parents=True, exist_ok=True)
    return Recorder(records.audio, FORMATS[kind], clock)
