"""The WebSocket to a Realtime server, against real servers on loopback, good ones and bad ones."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import socket
import ssl
import struct
import threading
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.web
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from gateway.realtime import client
from gateway.realtime.client import BackendError, WebSocket, connect, probe
from gateway.realtime.profile import Profile, compatible

KEY = "sk-s3cret"
PEM = Path(__file__).parent / "localhost.pem"
MIB = 2**20


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of these tests often do not answer a close frame."""
    monkeypatch.setattr(client, "CLOSE_WITHIN", 0.05)


def profile(port: int, scheme: str = "ws") -> Profile:
    return compatible(url=f"{scheme}://127.0.0.1:{port}/v1/realtime", model="a/b", api_key=KEY)


def run(main: Coroutine[Any, Any, None]) -> None:
    """A hang is a failure, not a wait."""

    async def bounded() -> None:
        async with asyncio.timeout(10):
            await main

    asyncio.run(bounded())


class Ear:
    """Hears a connection."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.closes: list[tuple[int, str]] = []
        self._closed = asyncio.Event()

    def on_close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))
        self._closed.set()

    async def closed(self) -> list[tuple[int, str]]:
        await self._closed.wait()
        return self.closes

    async def connect(self, port: int, **options: Any) -> WebSocket:
        return await connect(profile(port), self.messages.put_nowait, self.on_close, **options)


@contextlib.asynccontextmanager
async def websockets_server(
    handler: Callable[[ServerConnection], Awaitable[None]], **options: Any
) -> AsyncIterator[int]:
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def aiohttp_server(
    handler: Callable[[aiohttp.web.Request], Awaitable[aiohttp.web.StreamResponse]],
) -> AsyncIterator[int]:
    application = aiohttp.web.Application()
    application.router.add_get("/v1/realtime", handler)
    runner = aiohttp.web.AppRunner(application)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def raw_server(
    handler: Callable[[bytes, Reader, Writer], Awaitable[None]], **options: Any
) -> AsyncIterator[int]:
    """A server of bytes; the handler is given the request's head."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await handler(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, **options)
    async with server:
        yield server.sockets[0].getsockname()[1]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def answering(data: bytes) -> Callable[[bytes, Reader, Writer], Awaitable[None]]:
    async def handler(head: bytes, reader: Reader, writer: Writer) -> None:
        writer.write(data)

    return handler


def accepted(head: bytes) -> bytes:
    """The answer that makes a WebSocket, RFC 6455 §4.2.2."""
    key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def wait(ws: ServerConnection) -> None:
    await ws.wait_closed()


async def aiohttp_echo(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
    ws = aiohttp.web.WebSocketResponse(max_msg_size=0)
    await ws.prepare(request)
    async for message in ws:
        if message.data == "bye":
            await ws.close(code=1011, message=b"server error")
        else:
            await ws.send_str(message.data)
    return ws


def unused_port() -> int:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        port: int = probe_socket.getsockname()[1]
        return port


class TestOpening:
    """The handshake, RFC 6455 §4.1."""

    def test_request(self) -> None:
        """The model is in the query, the key in a header, and no extension is offered."""
        heads: list[bytes] = []

        async def handler(head: bytes, reader: Reader, writer: Writer) -> None:
            heads.append(head)
            writer.write(accepted(head))
            await reader.read()

        async def main() -> None:
            async with raw_server(handler) as port:
                ws = await Ear().connect(port)
                ws.close()
                await ws.wait_closed()

        run(main())
        lines = heads[0].split(b"\r\n")
        assert lines[0] == b"GET /v1/realtime?model=a%2Fb HTTP/1.1"
        assert b"Authorization: Bearer sk-s3cret" in lines
        assert b"User-Agent: gateway" in lines
        assert not any(line.startswith(b"Sec-WebSocket-Extensions") for line in lines)

    def test_messages_come_after_connect_has_returned(self) -> None:
        """A server that speaks first, in the same packet even, is heard by who has a connection."""

        async def handler(head: bytes, reader: Reader, writer: Writer) -> None:
            writer.write(accepted(head) + b"\x81\x02hi" + b"\x88\x02\x03\xf0")
            await reader.read()

        async def main() -> None:
            async with raw_server(handler) as port:
                ear = Ear()
                await ear.connect(port)
                assert ear.messages.empty()
                assert ear.closes == []
                assert await ear.closed() == [(1008, "")]
                assert ear.messages.get_nowait() == b"hi"

        run(main())

    def test_tls(self) -> None:
        """wss checks the certificate, here against our own."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(PEM)

        async def main() -> None:
            ear = Ear()
            async with websockets_server(echo, ssl=server) as port:
                ws = await connect(
                    profile(port, "wss"),
                    ear.messages.put_nowait,
                    ear.on_close,
                    tls=ssl.create_default_context(cafile=str(PEM)),
                )
                ws.send(b"x" * MIB)
                assert await ear.messages.get() == b"x" * MIB
                ws.close()
                await ws.wait_closed()

        run(main())

    @pytest.mark.parametrize("steps", range(12))
    def test_cancelled_at_any_step(self, steps: int) -> None:
        """The caller hangs up meanwhile: the server sees the end of it at once."""

        async def main() -> None:
            seen: list[bytes] = []
            done = asyncio.Event()

            async def hear(reader: Reader, writer: Writer) -> None:
                seen.append(await reader.read(MIB))
                while await reader.read(MIB):
                    pass
                writer.close()
                done.set()

            async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                connecting = asyncio.ensure_future(Ear().connect(port))
                for _ in range(steps):
                    await asyncio.sleep(0)
                connecting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await connecting
                await asyncio.sleep(0.02)
                if seen or steps > 3:
                    await asyncio.wait_for(done.wait(), 1)

        run(main())

    def test_cancelled(self) -> None:
        """A caller who hangs up while we connect leaves no connection behind."""

        async def main() -> None:
            asked, gone = asyncio.Event(), asyncio.Event()

            async def handler(head: bytes, reader: Reader, writer: Writer) -> None:
                asked.set()
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                gone.set()

            async with raw_server(handler) as port:
                task = asyncio.create_task(Ear().connect(port))
                await asked.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await gone.wait()

        run(main())


class TestMessages:
    """Messages are whole, in order, and as they were sent."""

    def test_of_any_size(self) -> None:
        """Each length of a frame's header, both ways, §5.2."""

        async def main() -> None:
            ear = Ear()
            async with websockets_server(echo, max_size=None) as port:
                ws = await ear.connect(port)
                for size in (0, 125, 126, 65535, 65536, MIB):
                    ws.send(b"x" * size)
                    assert await ear.messages.get() == b"x" * size
                ws.close()
                await ws.wait_closed()

        run(main())

    def test_by_aiohttp(self) -> None:
        """The other server stack of Python; ours closes nothing it should not."""

        async def main() -> None:
            ear = Ear()
            async with aiohttp_server(aiohttp_echo) as port:
                ws = await ear.connect(port)
                ws.send("Алло".encode())
                ws.send(b"x" * MIB)
                assert await ear.messages.get() == "Алло".encode()
                assert await ear.messages.get() == b"x" * MIB
                ws.send(b"bye")
                assert await ear.closed() == [(1011, "server error")]
                await ws.wait_closed()

        run(main())

    def test_in_fragments(self) -> None:
        """Fragments are one message, whatever comes between them, §5.4."""

        async def speak(ws: ServerConnection) -> None:
            await ws.send(["Hel", "lo", "."])
            await ws.send(b"binary")
            await ws.wait_closed()

        async def main() -> None:
            ear = Ear()
            async with websockets_server(speak) as port:
                ws = await ear.connect(port)
                assert await ear.messages.get() == b"Hello."
                assert await ear.messages.get() == b"binary"
                ws.close()
                await ws.wait_closed()

        run(main())

    def test_of_a_server_that_does_not_read(self) -> None:
        """A send never waits; what the network has not taken is the backlog."""

        async def deaf(head: bytes, reader: Reader, writer: Writer) -> None:
            writer.write(accepted(head))
            await asyncio.Event().wait()

        async def main() -> None:
            async with raw_server(deaf, limit=1024) as port:
                ws = await Ear().connect(port)
                assert ws.backlog == 0
                for _ in range(64):
                    ws.send(b"x" * MIB)
                assert ws.backlog > 16 * MIB
                ws.close()
                await ws.wait_closed()

        run(main())

    @pytest.mark.parametrize("scheme", ["ws", "wss"])
    def test_the_backlog_is_all_that_waits(self, scheme: str) -> None:
        """Neither TLS nor the system keeps more than a quarter of a second of sound to itself."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(PEM)
        over = threading.Event()

        def deaf(listening: socket.socket) -> None:
            connection, _ = listening.accept()
            if scheme == "wss":
                connection = tls.wrap_socket(connection, server_side=True)
            connection.sendall(accepted(connection.recv(4096)))
            over.wait(5)
            connection.close()

        async def main() -> None:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                serving = asyncio.create_task(asyncio.to_thread(deaf, listening))
                ear = Ear()
                ws = await connect(
                    profile(listening.getsockname()[1], scheme),
                    ear.messages.put_nowait,
                    ear.on_close,
                    tls=ssl.create_default_context(cafile=str(PEM)),
                )
                sent = 0
                while not ws.backlog:
                    ws.send(b"x" * 1024)
                    sent += 1024
                    await asyncio.sleep(0)
                    assert sent < 48 * 1024
                for _ in range(16):
                    ws.send(b"x" * 1024)
                assert ws.backlog > 16 * 1024
                over.set()
                await serving
                ws.abort()

        run(main())


class TestEnd:
    """on_close is called once, for every end that we did not ask for."""

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (1000, ""),
            (1001, "Your session hit the maximum duration of 60 minutes."),
            (1008, "Invalid model URI"),
            (1011, f"no such key: {KEY}"),
        ],
    )
    def test_by_the_server(self, code: int, reason: str) -> None:
        """Its code and its reason, without our key."""

        async def close(ws: ServerConnection) -> None:
            await ws.recv()
            await ws.close(code, reason)

        async def main() -> None:
            ear = Ear()
            async with websockets_server(close) as port:
                ws = await ear.connect(port)
                ws.send(b"{}")
                await ear.closed()
                await ws.wait_closed()
                ws.send(b"late")
                ws.close()
            assert ear.closes == [(code, reason.replace(KEY, "***"))]

        run(main())

    def test_by_a_close_frame_without_a_code(self) -> None:
        """1005, §7.1.5."""

        async def main() -> None:
            async def handler(head: bytes, reader: Reader, writer: Writer) -> None:
                writer.write(accepted(head) + b"\x88\x00")
                await reader.read()

            async with raw_server(handler) as port:
                ear = Ear()
                await ear.connect(port)
                assert await ear.closed() == [(1005, "")]

        run(main())

    @pytest.mark.parametrize("reset", [True, False])
    def test_of_the_connection(self, reset: bool) -> None:
        """A lost connection is 1006, whether it was reset or just ended."""

        async def handler(head: bytes, reader: Reader, writer: Writer) -> None:
            writer.write(accepted(head) + b"\x81\x02hi")
            await reader.readexactly(8)
            if reset:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )

        async def main() -> None:
            async with raw_server(handler) as port:
                ear = Ear()
                ws = await ear.connect(port)
                assert await ear.messages.get() == b"hi"
                ws.send(b"{}")
                (end,) = await ear.closed()
                assert end[0] == 1006
                assert end[1].startswith("connection lost")
                assert ("reset" in end[1]) == reset
                await ws.wait_closed()
                assert ws.backlog == 0

        run(main())

    @pytest.mark.parametrize(
        ("frame", "reason"),
        [
            (b"\x83\x00", "invalid opcode"),
            (b"\x81\x82\0\0\0\0hi", "mask"),
            (b"\x88\x01\x03", "close frame too short"),
            (b"\x81\x7f" + struct.pack("!Q", 2**40), "1099511627776"),
        ],
    )
    def test_by_a_frame_that_is_none(self, frame: bytes, reason: str) -> None:
        """What breaks RFC 6455, or is larger than any event, ends the connection."""

        async def handler(head: bytes, reader: Reader, writer: Writer) -> None:
            writer.write(accepted(head) + frame)
            await reader.readuntil(b"\x88")
            writer.write(b"\x81\x02hi")
            await reader.read()

        async def main() -> None:
            async with raw_server(handler) as port:
                ear = Ear()
                ws = await ear.connect(port)
                ((code, said),) = await ear.closed()
                assert code == 1006
                assert said.startswith("protocol error")
                assert reason in said
                ws.close()
                await ws.wait_closed()
                assert ear.messages.empty()
                assert len(ear.closes) == 1

        run(main())

    def test_by_us(self) -> None:
        """The server is told at once; nothing is heard of it any more."""
        codes: list[int | None] = []

        async def chatter(ws: ServerConnection) -> None:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(1000):
                    await ws.send("hi")
                await ws.wait_closed()
            codes.append(ws.protocol.close_code)

        async def main() -> None:
            ear = Ear()
            async with websockets_server(chatter) as port:
                ws = await ear.connect(port)
                await ear.messages.get()
                heard = ear.messages.qsize()
                ws.close()
                ws.close()
                ws.send(b"late")
                await ws.wait_closed()
                assert ear.messages.qsize() == heard
            assert ear.closes == []

        run(main())
        assert codes == [1000]

    def test_by_us_while_messages_come(self) -> None:
        """A close from within on_message stops what came with it."""

        async def handler(head: bytes, reader: Reader, writer: Writer) -> None:
            writer.write(accepted(head) + b"\x81\x02hi" * 3)
            await reader.read()

        async def main() -> None:
            heard: list[str | bytes] = []
            done = asyncio.Event()

            def on_message(message: str | bytes) -> None:
                heard.append(message)
                ws.close(1001)
                done.set()

            async with raw_server(handler) as port:
                ws = await connect(profile(port), on_message, Ear().on_close)
                await done.wait()
                await ws.wait_closed()
            assert heard == [b"hi"]

        run(main())

    def test_of_a_server_that_does_not_let_go(self) -> None:
        """The TCP connection ends soon after our close, whatever the server does."""

        async def stubborn(head: bytes, reader: Reader, writer: Writer) -> None:
            writer.write(accepted(head))
            await asyncio.Event().wait()

        async def main() -> None:
            async with raw_server(stubborn) as port:
                ws = await Ear().connect(port)
                ws.close()
                await ws.wait_closed()

        run(main())


class TestKeepAlive:
    """A ping now and then, and an end to a connection on which nothing comes."""

    def test_silent_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It was asked several times before it is given up."""
        monkeypatch.setattr(client, "PING_EVERY", 0.01)
        monkeypatch.setattr(client, "SILENCE", 0.2)
        pings: list[bytes] = []

        async def silent(head: bytes, reader: Reader, writer: Writer) -> None:
            writer.write(accepted(head))
            while True:
                pings.append(await reader.readexactly(6))

        async def main() -> None:
            async with raw_server(silent) as port:
                ear = Ear()
                ws = await ear.connect(port)
                ((code, reason),) = await ear.closed()
                assert code == 1006
                assert reason.startswith("nothing received for")
                await ws.wait_closed()

        run(main())
        assert len(pings) >= 3
        assert all(ping.startswith(b"\x89\x80") for ping in pings)

    def test_any_frame_is_a_sign_of_life(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that never answers pings but speaks is alive."""
        monkeypatch.setattr(client, "PING_EVERY", 0.01)
        monkeypatch.setattr(client, "SILENCE", 0.2)

        async def pongless(head: bytes, reader: Reader, writer: Writer) -> None:
            writer.write(accepted(head))
            for _ in range(30):
                await reader.readexactly(6)
                writer.write(b"\x81\x02hi")
            writer.write(b"\x88\x02\x03\xe8")
            await reader.read()

        async def main() -> None:
            async with raw_server(pongless) as port:
                ear = Ear()
                await ear.connect(port)
                assert await ear.closed() == [(1000, "")]
                assert ear.messages.qsize() == 30

        run(main())


def refused(
    handler: Callable[[bytes, Reader, Writer], Awaitable[None]], timeout: float = 5.0
) -> BackendError:
    """How connect() fails at this server."""
    found: list[BackendError] = []

    async def main() -> None:
        async with raw_server(handler) as port:
            with pytest.raises(BackendError) as caught:
                await Ear().connect(port, timeout=timeout)
            found.append(caught.value)

    run(main())
    assert KEY not in str(found[0])
    return found[0]


def answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class TestRefused:
    """An HTTP status instead of 101."""

    @pytest.mark.parametrize(
        ("status", "body", "reason", "retry"),
        [
            (
                "401 Unauthorized",
                b'{"error": {"message": "Incorrect API key provided: sk-s3cret.", "code": "x"}}',
                "Incorrect API key provided: ***.",
                False,
            ),
            ("403 Forbidden", b'{"code": 7, "message": "no role"}', "no role", False),
            ("404 Not Found", b"<html><h1>No such\r\n page</h1></html>", "No such page", False),
            ("429 Too Many Requests", b'{"error": "quota"}', "quota", True),
            ("500 Internal Server Error", b"", "Internal Server Error", True),
            ("503 Service Unavailable", b'{"detail": "busy"}', "busy", True),
            ("504 Gateway Timeout", b"[1, 2]", "Gateway Timeout", True),
            ("302 Found", b"", "Found", False),
            ("400 Bad", b"\x1b[31mred\x00\x85\xe2\x80\xae" + b"x" * 5000, "[31mred", False),
            ("400 Bad", b"[" * 5000, "[" * 200, False),
            ("200 OK", b'"hello"', "hello", False),
        ],
    )
    def test_with_the_servers_reason(
        self, status: str, body: bytes, reason: str, retry: bool
    ) -> None:
        """Its words are cut and cleaned, and never hold our key."""
        error = refused(answering(answer(status, body)))
        assert (error.kind, error.status, error.retry) == ("refused", int(status[:3]), retry)
        assert error.reason.startswith(reason)
        assert len(error.reason) <= 200
        assert error.reason.isprintable()
        assert error.retry_after is None

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("7", 7.0),
            ("999999", 3600.0),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
            ("1_0", None),
            ("-1", None),
        ],
    )
    def test_retry_after(self, value: str, seconds: float | None) -> None:
        """In seconds, at most an hour; a date is passed over."""
        error = refused(answering(answer("429 Too Many", b"", f"Retry-After: {value}")))
        assert error.retry_after == seconds

    def test_by_aiohttp(self) -> None:
        """A real server's 401."""

        async def unauthorized(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
            error = {"message": "Invalid key", "type": "invalid_request_error"}
            return aiohttp.web.json_response({"error": error}, status=401)

        async def main() -> None:
            async with aiohttp_server(unauthorized) as port:
                with pytest.raises(BackendError, match="refused 401: Invalid key"):
                    await Ear().connect(port)

        run(main())

    def test_by_websockets(self) -> None:
        """Another real server's 503."""

        async def main() -> None:
            async with websockets_server(
                wait, process_request=lambda ws, request: ws.respond(503, "Full.\n")
            ) as port:
                with pytest.raises(BackendError, match="refused 503: Full"):
                    await Ear().connect(port)

        run(main())


class TestFailed:
    """No HTTP status at all."""

    def test_by_silence(self) -> None:
        """A server that never answers is waited for as long as the caller says."""

        async def silent(head: bytes, reader: Reader, writer: Writer) -> None:
            await reader.read()

        error = refused(silent, timeout=0.05)
        assert (error.kind, error.reason, error.retry) == (
            "timeout",
            "no answer within 0.05 s",
            True,
        )

    @pytest.mark.parametrize(
        "data",
        [
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\x00\x01\x02" * 5000,
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: AAAA\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\nAuthorization " + KEY.encode() + b"\r\n\r\n",
        ],
    )
    def test_by_something_else(self, data: bytes) -> None:
        """What is no WebSocket will be none the next time."""
        error = refused(answering(data))
        assert (error.kind, error.status, error.retry) == ("protocol", None, False)

    @pytest.mark.parametrize("data", [b"", b"HTTP/1.1 101 Swit"])
    def test_by_hanging_up(self, data: bytes) -> None:
        """The connection ends before the answer does."""
        error = refused(answering(data))
        assert (error.kind, error.reason, error.retry) == (
            "unreachable",
            "the server hung up",
            True,
        )

    def test_by_a_reset(self) -> None:
        """Rudely, too."""

        async def reset(head: bytes, reader: Reader, writer: Writer) -> None:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        error = refused(reset)
        assert (error.kind, error.retry) == ("unreachable", True)

    def test_by_nobody(self) -> None:
        """No server at the port."""

        async def main() -> None:
            with pytest.raises(BackendError, match="unreachable: Connect call failed") as caught:
                await Ear().connect(unused_port())
            assert caught.value.retry

        run(main())

    def test_by_a_name_that_is_not_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """DNS says no."""

        async def main() -> None:
            async def getaddrinfo(*args: object, **options: object) -> None:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
            nowhere = compatible(url="ws://nowhere.invalid", model="m")
            ear = Ear()
            with pytest.raises(BackendError, match="unreachable: Name or service not known"):
                await connect(nowhere, ear.messages.put_nowait, ear.on_close)

        run(main())

    def test_by_a_name_that_is_none(self) -> None:
        """A label of a name has 63 characters at most."""

        async def main() -> None:
            ear = Ear()
            nowhere = compatible(url=f"ws://{'a' * 64}.invalid", model="m")
            with pytest.raises(BackendError, match="unreachable: the host's name") as caught:
                await connect(nowhere, ear.messages.put_nowait, ear.on_close)
            assert not caught.value.retry

        run(main())

    def test_by_a_certificate(self) -> None:
        """A certificate that nobody signed is not trusted."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(PEM)

        async def main() -> None:
            ear = Ear()
            async with raw_server(answering(b""), ssl=server) as port:
                with pytest.raises(BackendError, match=r"tls: .*certificate") as caught:
                    await connect(profile(port, "wss"), ear.messages.put_nowait, ear.on_close)
            assert not caught.value.retry

        run(main())

    def test_by_no_tls(self) -> None:
        """wss to a port that speaks ws."""

        async def main() -> None:
            ear = Ear()

            async def plain(reader: Reader, writer: Writer) -> None:
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                writer.close()

            async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                with pytest.raises(BackendError, match="tls: ") as caught:
                    await connect(profile(port, "wss"), ear.messages.put_nowait, ear.on_close)
            assert not caught.value.retry

        run(main())


class TestSecrets:
    """A key is in the handshake and nowhere else."""

    def test_are_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """Not even by the websockets package at debug, nor what is said."""
        caplog.set_level(logging.DEBUG)

        async def main() -> None:
            ear = Ear()
            async with websockets_server(echo, logger=logging.Logger("server")) as port:
                ws = await ear.connect(port)
                ws.send(b"what was said")
                await ear.messages.get()
                ws.close()
                await ws.wait_closed()

        run(main())
        assert KEY not in caplog.text
        assert "what was said" not in caplog.text


class TestProbe:
    """Whether a backend is there, without a session."""

    def test_there(self) -> None:
        """A TCP connect says so."""

        async def main() -> None:
            async with websockets_server(wait, logger=logging.Logger("server")) as port:
                assert await probe(profile(port), timeout=5)

        run(main())

    def test_not_there(self) -> None:
        """Nobody, or somebody whom we do not trust."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(PEM)

        async def main() -> None:
            assert not await probe(profile(unused_port()), timeout=5)
            async with raw_server(answering(b""), ssl=server) as port:
                assert not await probe(profile(port, "wss"), timeout=5)

        run(main())
