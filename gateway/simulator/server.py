"""The simulator on a real WebSocket: `ws://host:port/v1/realtime?model=…` (shell).

Each connection is a `Conversation`; here is only its socket and its one timer. Any key is good,
unless the script's fault `refuse` answers the handshake.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from .conversation import Conversation
from .dialect import dialect as dialect_of
from .espeak import Espeak, installed
from .script import DEFAULT, Script
from .speech import Speech, Tones

PATH = "/v1/realtime"
MOST_BYTES = 32 * 1024 * 1024  # of a message: 15 MiB of audio are 20 MiB of base64


class SimulatorServer:
    """Use `open`; `url` is where a client connects."""

    def __init__(self, script: Script, dialect: str, speech: Speech, speed: float) -> None:
        self.connections = 0  # open now
        self._script = script
        self._dialect = dialect_of(dialect).name
        self._speech = speech
        self._speed = speed
        self._server: Server | None = None

    @classmethod
    async def open(
        cls,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        script: Script = DEFAULT,
        dialect: str = "openai",
        speech: Speech | None = None,
        speed: float = 5.0,
    ) -> SimulatorServer:
        """Listen; port 0 takes any free one. OSError where the address is taken.

        `speech` None: words if `gateway[speech]` is installed, else tones. `speed` is of the
        deltas, times real time."""
        if speech is None:
            speech = Espeak() if installed() else Tones()
        if isinstance(speech, Espeak):
            await asyncio.to_thread(speech.start)
        server = cls(script, dialect, speech, speed)
        try:
            server._server = await serve(
                server._converse,
                host,
                port,
                process_request=server._admit,
                compression=None,  # audio does not compress
                max_size=MOST_BYTES,
                close_timeout=1.0,  # s; a client that does not read is not waited for
                ping_interval=None,  # a client that is gone closes its TCP connection
            )
        except OSError:
            server._quiet()
            raise
        return server

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = next(iter(self._server.sockets)).getsockname()[:2]
        return f"ws://{f'[{host}]' if ':' in host else host}:{port}{PATH}"

    async def close(self) -> None:
        """End every conversation (close code 1001), and the voice."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        self._quiet()

    def _quiet(self) -> None:
        if isinstance(self._speech, Espeak):
            self._speech.close()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if urlsplit(request.path).path != PATH:
            return connection.respond(HTTPStatus.NOT_FOUND, f"Connect to {PATH}\n")
        refuse = self._script.faults.refuse
        if refuse is not None:
            return connection.respond(HTTPStatus(refuse), "Refused, as the script says.\n")
        return None

    async def _converse(self, connection: ServerConnection) -> None:
        query = parse_qs(urlsplit(connection.request.path).query if connection.request else "")
        conversation = Conversation(
            self._script,
            dialect=self._dialect,
            speech=self._speech,
            token=lambda: secrets.token_hex(10),
            model=query.get("model", ["simulator"])[0],
            speed=self._speed,
        )
        self.connections += 1
        try:
            await _drive(conversation, connection)
        except ConnectionClosed:
            pass  # the client has hung up: nothing is left to do
        finally:
            self.connections -= 1


async def _drive(conversation: Conversation, connection: ServerConnection) -> None:
    """Send what the conversation says; wait for a message or for its deadline; again."""
    texts = conversation.open(time.monotonic())
    while True:
        for text in texts:
            await connection.send(text)
        if conversation.close:
            await connection.close(*conversation.close)
            return
        deadline = conversation.deadline
        wait = None if deadline is None else max(deadline - time.monotonic(), 0)
        try:
            async with asyncio.timeout(wait):
                message = await connection.recv()
        except TimeoutError:
            texts = conversation.handle_timer(time.monotonic())
        else:
            texts = conversation.receive(message, time.monotonic())
