"""The WebSocket to a Realtime server: RFC 6455 by websockets' sans-I/O protocol.

Shell. An asyncio.Protocol around it, so that a send is a plain call from the media tick and
no connection has a task. What is most of the bytes, whole text frames, is cut out of the stream
here (framing.py) and never comes to the protocol's parser; aiofastnet carries the bytes, at half
the cost of asyncio's own TLS. Compression is off: sound does not compress. A ping goes out every
20 s; a connection is given up when nothing at all was received for 60 s, for some servers
answer pings late or never. Left out on purpose: proxies, redirects, reconnecting.

No error, reason or log line of this file holds a key: whatever the server says is searched
for the profile's secrets, and the websockets package, which would log them, logs nothing.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from socket import IPPROTO_TCP, TCP_NOTSENT_LOWAT
from typing import Literal, Protocol, cast

import aiofastnet
import msgspec
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from .framing import Frames
from .profile import Profile

OPEN_WITHIN = 5.0  # s, from the name's lookup to the server's 101
PING_EVERY = 20.0  # s
SILENCE = 60.0  # s without a byte from the server
RECORD = 16 * 1024  # bytes of the longest record of TLS: what it may keep to itself
UNSENT = 16 * 1024  # bytes that the system takes and has not sent; else it takes minutes of sound
CLOSE_WITHIN = 1.0  # s, from our close frame to the end of the connection, whatever the server does
MAX_MESSAGE = 16 * 2**20  # bytes
MAX_BODY = 3200  # characters of a refusal that are searched for its reason
MAX_RETRY_AFTER = 3600.0  # s

NO_STATUS = 1005  # a close frame without a code, RFC 6455 §7.4.1
ABNORMAL = 1006  # the end of the connection without a close frame

_quiet = logging.Logger("websockets", logging.CRITICAL)  # at debug it logs headers and frames

Kind = Literal["refused", "unreachable", "timeout", "tls", "protocol"]


class BackendError(Exception):
    """The server could not be reached, or did not take us.

    kind: "refused" by an HTTP status, "unreachable" (name, route, port, or it hung up),
    "timeout", "tls" (its certificate, or no TLS at all), "protocol" (what came is no WebSocket).
    """

    def __init__(
        self,
        kind: Kind,
        reason: str,
        *,
        status: int | None = None,
        retry: bool = True,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{kind} {status}: {reason}" if status else f"{kind}: {reason}")
        self.kind = kind
        self.reason = reason  # the server's words where it said any, cut and cleaned
        self.status = status  # of HTTP
        self.retry = retry  # the same attempt may succeed later
        self.retry_after = retry_after  # s, where the server said so


class Connection(Protocol):
    """An open connection. Messages come to the `on_message` that it was opened with."""

    def send(self, text: bytes) -> None:
        """Send one message, now; nothing after the end."""
        ...

    def close(self, code: int = 1000) -> None:
        """End it, now: nothing is received and `on_close` is not called any more."""
        ...

    @property
    def backlog(self) -> int:
        """Bytes that the network has not taken yet."""
        ...


OnMessage = Callable[[str | bytes], None]
OnClose = Callable[[int, str], None]
Connector = Callable[[Profile, OnMessage, OnClose], Awaitable[Connection]]


async def connect(
    profile: Profile,
    on_message: OnMessage,
    on_close: OnClose,
    *,
    timeout: float = OPEN_WITHIN,  # noqa: ASYNC109 -- names the server's fault, not the caller's
    tls: ssl.SSLContext | None = None,
) -> WebSocket:
    """Open a connection; raises BackendError.

    `on_message` and `on_close` are first called after this has returned to whoever awaits it.
    `on_close` is called once, with the code and the reason of the server's close frame, or 1006
    and what happened; never after our own close().
    """
    uri = parse_uri(profile.url)
    context = (tls or _default_tls()) if uri.secure else None
    socket = WebSocket(profile, on_message, on_close)
    try:
        async with asyncio.timeout(timeout):
            await aiofastnet.create_connection(
                asyncio.get_running_loop(),
                lambda: socket,
                uri.host,
                uri.port,
                ssl=context,
                ssl_shutdown_timeout=CLOSE_WITHIN if context else None,
                ssl_incoming_bio_size=2 * RECORD if context else None,
                ssl_outgoing_bio_size=RECORD if context else None,
                happy_eyeballs_delay=None if _is_address(uri.host) else 0.25,
            )
            await socket.opened
    except BaseException as error:
        socket.abort()
        if found := _connect_error(error, profile, timeout):
            raise found from None
        raise
    socket.start()
    return socket


def _is_address(host: str) -> bool:
    """One address needs no race, of which asyncio loses the socket when it is cancelled late."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def probe(profile: Profile, *, timeout: float) -> bool:  # noqa: ASYNC109
    """Whether the server is there: TCP and TLS, and no session, for those are a quota."""
    uri = parse_uri(profile.url)
    context = _default_tls() if uri.secure else None
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(
                uri.host,
                uri.port,
                ssl=context,
                ssl_shutdown_timeout=CLOSE_WITHIN if context else None,
            )
    except (OSError, TimeoutError, UnicodeError):
        return False
    writer.close()
    return True


class WebSocket(asyncio.Protocol):
    """One connection; `connect` makes it."""

    def __init__(self, profile: Profile, on_message: OnMessage, on_close: OnClose) -> None:
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._profile = profile
        self._on_message, self._on_close = on_message, on_close
        self._protocol = ClientProtocol(parse_uri(profile.url), max_size=MAX_MESSAGE, logger=_quiet)
        self._transport: asyncio.Transport | None = None
        self._started = False  # connect() has returned
        self._closed = False  # by us, or told to on_close
        self._incoming = Frames(MAX_MESSAGE)
        self._inbox: deque[bytes | Frame | Close] = deque()  # bytes: a whole message
        self._fragments: list[bytes | bytearray | memoryview] = []  # of the message that is coming
        self._heard_at = 0.0  # loop time
        self._timer: asyncio.TimerHandle | None = None

    # Connection

    def send(self, text: bytes) -> None:
        """Send one message, now; nothing after the end."""
        if not self._closed and self._protocol.state is State.OPEN:
            self._protocol.send_text(text)
            self._flush()

    def close(self, code: int = 1000) -> None:
        """End it, now: nothing is received and `on_close` is not called any more.

        The close frame goes out at once; the TCP connection ends when the server has closed
        it, at most a second later.
        """
        self._closed = True
        self._inbox.clear()
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code)
            self._flush()
        self._abort_later()

    @property
    def backlog(self) -> int:
        """Bytes that the network has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    async def wait_closed(self) -> None:
        """Wait until the TCP connection has ended."""
        await asyncio.shield(self._gone)

    # for connect()

    def start(self) -> None:
        """Deliver what comes, from the next turn of the loop on: connect() returns first."""
        self._loop.call_soon(self._start)

    def abort(self) -> None:
        """End the TCP connection, now."""
        self._closed = True
        self.opened.cancel()  # nobody awaits it any more
        if self._timer:
            self._timer.cancel()
        if self._transport:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP, and TLS, are up: ask for the WebSocket."""
        self._transport = cast(asyncio.Transport, transport)
        opened = transport.get_extra_info("socket")
        opened.setsockopt(IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT)
        request = self._protocol.connect()
        request.headers["User-Agent"] = "gateway"
        for name, value in self._profile.headers:
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Bytes of the handshake's answer, or of frames."""
        self._heard_at = self._loop.time()
        for part, is_message in self._incoming.feed(data):
            if not is_message:
                self._protocol.receive_data(part)
                self._act()
            elif self._started and not (self._closed or self._inbox):
                self._on_message(part)
            else:
                self._receive([part])

    def eof_received(self) -> None:
        """The server will send no more."""
        self._protocol.receive_eof()
        self._act()

    def connection_lost(self, exc: Exception | None) -> None:
        """The TCP connection has ended, in whatever way."""
        self._protocol.receive_eof()
        if not self.opened.done():
            self._handshake_ends(exc or self._protocol.handshake_exc or EOFError())
        self._receive([Close(ABNORMAL, f"connection lost: {exc}" if exc else "connection lost")])
        if self._timer:
            self._timer.cancel()
        self._gone.set_result(None)

    # in order of what happens

    def _act(self) -> None:
        self._flush()
        events = self._protocol.events_received()
        frames: list[Frame | Close] = [event for event in events if isinstance(event, Frame)]
        if not self.opened.done():
            if error := self._protocol.handshake_exc:
                self._handshake_ends(error)
            elif self._protocol.state is not State.CONNECTING:
                self._handshake_ends(None)
        broken = self._protocol.parser_exc
        if broken and not isinstance(broken, EOFError):  # connection_lost tells of that one
            frames.append(Close(ABNORMAL, f"protocol error: {broken}"))
        self._receive(frames)

    def _handshake_ends(self, error: Exception | None) -> None:
        if error is None:
            self.opened.set_result(None)
            self._timer = self._loop.call_later(PING_EVERY, self._keep_alive)
        else:
            self.opened.set_exception(_handshake_error(error, self._profile))

    def _start(self) -> None:
        self._started = True
        self._receive([])

    def _receive(self, frames: Sequence[bytes | Frame | Close]) -> None:
        if not self._closed:
            self._inbox.extend(frames)
        while self._started and self._inbox:
            match self._inbox.popleft():
                case bytes() as message:
                    self._on_message(message)
                case Close() as close:
                    self._end(close)
                case Frame(opcode=Opcode.CLOSE):
                    self._end(self._protocol.close_rcvd or Close(NO_STATUS, ""))
                case Frame(opcode=Opcode.TEXT | Opcode.BINARY | Opcode.CONT) as frame:
                    self._fragments.append(frame.data)
                    if frame.fin:
                        message = b"".join(self._fragments)
                        self._fragments.clear()
                        self._on_message(message)

    def _end(self, close: Close) -> None:
        self._closed = True
        self._inbox.clear()
        self._abort_later()
        self._on_close(close.code, self._profile.cleaned(close.reason))

    def _abort_later(self) -> None:
        if self._timer:
            self._timer.cancel()
        if not self._gone.done():
            self._timer = self._loop.call_later(CLOSE_WITHIN, self.abort)

    def _keep_alive(self) -> None:
        silence = self._loop.time() - self._heard_at
        if silence >= SILENCE:
            self._receive([Close(ABNORMAL, f"nothing received for {silence:.0f} s")])
            self.abort()
            return
        self._protocol.send_ping(b"")
        self._flush()
        self._timer = self._loop.call_later(PING_EVERY, self._keep_alive)

    def _flush(self) -> None:
        assert self._transport is not None
        for data in self._protocol.data_to_send():
            if not data:  # the end of the stream
                self._transport.close()
            elif not self._transport.is_closing():
                self._transport.write(data)


@functools.cache
def _default_tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # reads all root certificates: once is enough


def _connect_error(error: BaseException, profile: Profile, timeout: float) -> BackendError | None:
    """What it means that there is no connection; None: it is not the server's doing."""
    match error:
        case TimeoutError():
            return BackendError("timeout", f"no answer within {timeout:g} s")
        case ssl.SSLError():
            reason = getattr(error, "verify_message", "") or error.reason or "no TLS"
            return BackendError("tls", profile.cleaned(reason), retry=False)
        case OSError():
            return BackendError("unreachable", profile.cleaned(error.strerror or str(error)))
        case UnicodeError():  # of the host's name, by IDNA
            return BackendError("unreachable", "the host's name is no name", retry=False)
        case _:
            return None


def _handshake_error(error: Exception, profile: Profile) -> BackendError:
    """What it means that the connection did not become a WebSocket."""
    match error:
        case InvalidStatus():
            return _refusal(error, profile)
        case OSError():
            return BackendError("unreachable", profile.cleaned(error.strerror or str(error)))
        case _ if isinstance(error.__cause__ or error, EOFError):
            return BackendError("unreachable", "the server hung up")
        case _:
            return BackendError("protocol", profile.cleaned(str(error)), retry=False)


def _refusal(error: InvalidStatus, profile: Profile) -> BackendError:
    response = error.response
    status = response.status_code
    reason = _reason_of(response.body or b"") or response.reason_phrase
    waits = response.headers.get_all("Retry-After")  # a date is not worth a clock
    seconds = float(waits[0]) if waits and re.fullmatch(r"[0-9]{1,9}", waits[0]) else None
    return BackendError(
        "refused",
        profile.cleaned(reason),
        status=status,
        retry=status == 429 or status >= 500,
        retry_after=None if seconds is None else min(seconds, MAX_RETRY_AFTER),
    )


def _reason_of(body: bytes | bytearray) -> str:
    """The message in the body of a refusal: JSON of several shapes, HTML, or text."""
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return re.sub(r"<[^<>]*>", " ", body[:MAX_BODY].decode(errors="replace"))
    match said:
        case {"error": {"message": str(message)}} | {"message": str(message)}:
            return message
        case {"error": str(message)} | {"detail": str(message)} | str(message):
            return message
        case _:
            return ""
