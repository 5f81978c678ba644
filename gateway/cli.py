"""The command line ●: arguments in, one call per subcommand, an exit code. Shell.

0 done, 1 refused or failed, 2 usage. Each command imports what it runs when it runs, so that
`--help` and `check` do not load the whole gateway.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

# small products on one core: a second thread would only be in the tick's way
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer
from rich.console import Console

if TYPE_CHECKING:
    from .config import Config
    from .remote import Service

YOUNG = (
    10_000  # objects more than before, after which the youngest are looked at: half a millisecond
)

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

app = typer.Typer(
    name="gateway",
    help="Phone calls over SIP, answered by a speech-to-speech model over a Realtime API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML; without it the simulator answers every call."),
]


ServiceConfig = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The service's YAML, for its api.listen and api.token."),
]
ServiceUrl = Annotated[
    str | None, typer.Option("--url", help="Where the service is, if not where its YAML says.")
]
ServiceToken = Annotated[
    str | None, typer.Option("--token", envvar="GATEWAY_TOKEN", help="If not that of its YAML.")
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        app(args=None if argv is None else list(argv))
    except SystemExit as ended:  # typer prints what is wrong with the arguments, and says 2
        return ended.code if isinstance(ended.code, int) else 1
    return 0


@app.command()
def serve(config: ConfigFile = None) -> None:
    """Run the service until SIGTERM."""
    settings = _load(config)
    _set_up_log(settings)
    _run(_serve(settings, config))


@app.command()
def check(config: ConfigFile = None) -> None:
    """Validate a configuration; print every mistake with file, line and path."""
    from .config_notices import notices
    from .nat import notices as unreachable

    settings = _load(config)
    for notice in [*notices(settings), *unreachable(settings)]:
        out.print(f"note: {notice}", markup=False)
    out.print(f"{config or 'the built-in configuration'} is valid.", markup=False)


@app.command()
def demo(
    serve: Annotated[
        bool, typer.Option("--serve", help="Stay up for a softphone after the call.")
    ] = False,
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the WAV and the record go.")
    ] = Path("."),
) -> None:
    """Make one whole call on this machine: no key, no sound card, no configuration."""
    from .demo import run_demo

    _run(run_demo(out, folder, stay=serve))


@app.command()
def simulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes any free one.")] = 9100,
    script: Annotated[
        Path | None, typer.Option(help="YAML: greeting, turns, digits (see the README).")
    ] = None,
    profile: Annotated[
        Literal["openai", "yandex"], typer.Option(help="Whose manners the server has.")
    ] = "openai",
    speed: Annotated[
        float, typer.Option(help="Times real time at which its speech arrives.", min=0.1)
    ] = 5.0,
) -> None:
    """Run the Realtime simulator alone, for any Realtime client."""
    from .log import setup
    from .simulator.script import DEFAULT, ScriptError, parse

    setup("info", "auto", sys.stdout)
    try:
        lines = parse(script.read_text(encoding="utf-8")) if script else DEFAULT
    except (OSError, UnicodeDecodeError) as error:
        raise _failed(f"{script}: {error}") from None
    except ScriptError as error:
        for problem in error.problems:
            err.print(f"{script}: {problem}", markup=False)
        raise typer.Exit(1) from None
    _run(_simulate(host, port, lines, profile, speed))


@app.command()
def call(
    to: Annotated[str, typer.Argument(help="A number, or a tel: or sip: URI.")],
    agent: Annotated[str, typer.Option(help="Who speaks with whoever picks up.")],
    trunk: Annotated[
        str | None, typer.Option(help="The way; not needed where only one trunk can dial.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="The number that is shown; the trunk's own.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that it may ring.")] = 60.0,
    follow: Annotated[bool, typer.Option("--follow", help="Stay until the call is over.")] = False,
    config: ServiceConfig = None,
    url: ServiceUrl = None,
    token: ServiceToken = None,
) -> None:
    """Make a call through the running service; Ctrl-C hangs up."""
    from .remote import follow_call

    asked = {"to": to, "agent": agent, "trunk": trunk, "from": from_, "timeout": timeout}
    order = {name: value for name, value in asked.items() if value is not None}
    _ask(config, url, token, lambda it: follow_call(it, order, out, to_the_end=follow))


@app.command()
def calls(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ServiceConfig = None,
    url: ServiceUrl = None,
    token: ServiceToken = None,
) -> None:
    """Show the calls in progress."""
    from .remote import show_calls

    _ask(config, url, token, lambda it: show_calls(it, out, as_json=as_json))


def _ask(
    path: Path | None,
    url: str | None,
    token: str | None,
    work: Callable[[Service], Awaitable[int]],
) -> None:
    """Do something with the running service, which is where the arguments say."""
    from .remote import Service, ServiceError, url_of

    if url is None:
        api = _load(path).api
        url = url_of(api)
        token = token or (api.token.get_secret_value() if api.token else None)

    async def main() -> int:
        async with Service(url, token) as service:
            return await work(service)

    try:
        _run(main())
    except ServiceError as error:
        raise _failed(str(error)) from None


def _load(path: Path | None) -> Config:
    """The configuration; every mistake of it is printed, and ends the command."""
    from .backends import check_scripts
    from .config import ConfigError, load

    try:
        return load(path, os.environ, also=check_scripts)
    except ConfigError as error:
        for problem in error.problems:
            err.print(str(problem), markup=False)
        raise typer.Exit(1) from None


def _set_up_log(settings: Config) -> None:
    from .log import setup

    setup(settings.log.level, settings.log.format, sys.stdout)


def _run(main: Coroutine[Any, Any, int]) -> None:
    """Run to the end; an address that is taken and the like is a sentence, not a traceback."""
    from .rtp.port import PortsExhausted

    try:
        code = asyncio.run(main)
    except (OSError, PortsExhausted) as error:
        raise _failed(str(error)) from None
    except KeyboardInterrupt:
        code = 130
    if code:
        raise typer.Exit(code)


def _failed(reason: str) -> typer.Exit:
    err.print(f"gateway: {reason}", markup=False)
    return typer.Exit(1)


async def _serve(settings: Config, path: Path | None) -> int:
    import structlog

    from .app import running
    from .config_notices import notices
    from .descriptors import raise_limit, trouble

    log = structlog.get_logger()
    calls, limit = settings.sip.max_calls, raise_limit()
    if reason := trouble(calls, limit):
        log.warning("few_descriptors", limit=limit, reason=reason)
    for notice in notices(settings):
        log.warning("no_effect_yet", config=str(path), notice=notice)
    stopped = _stop_signal()
    async with running(settings):
        # What lives as long as the process need not be looked at again; and as nearly all else goes
        # away by itself, only calls that end leave something to collect.
        gc.freeze()
        gc.set_threshold(YOUNG, 10, 10)
        await stopped.wait()
        log.info("stopping")
    return 0


async def _simulate(host: str, port: int, script: Any, profile: str, speed: float) -> int:
    from .simulator.server import SimulatorServer

    stopped = _stop_signal()
    server = await SimulatorServer.open(host, port, script=script, dialect=profile, speed=speed)
    try:
        out.print(f"Realtime simulator at {server.url}", markup=False)
        await stopped.wait()
    finally:
        await server.close()
    return 0


def _stop_signal() -> asyncio.Event:
    """Set by SIGTERM and by Ctrl-C."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped
