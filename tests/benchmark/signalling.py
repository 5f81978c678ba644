"""What a call's signalling costs: python -m tests.benchmark.signalling [SECONDS [RATE]]

Four figures in one run:

    parse     an INVITE of 1,000 bytes by our parser and, side by side, by the one for mail headers
              in the standard library, which does less
    core      INVITE to BYE of one call through the endpoint alone, no socket and no media, on
              the side that is called
    sockets   the same over UDP, with sipp as the caller: endpoint, transport, system calls, loop
    service   RATE calls a second for SECONDS (100 and 60), set up by sipp over UDP and torn down at
              once: calls that failed, CPU of the service a call, its memory as time goes by

The service is the whole one, with ports, ticks, tasks and records; only the model is a stub that
answers at once, in the same process, without a WebSocket. `sockets` is what signalling takes of
it; the rest of `service` is the call: its port, its line and resamplers, its record.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable
from email.parser import BytesHeaderParser
from itertools import count
from pathlib import Path
from typing import Any

from gateway import log
from gateway.app import World, running
from gateway.config import Config
from gateway.realtime.client import Connection
from gateway.realtime.profile import Profile
from gateway.sip.endpoint import Endpoint, Event, Flow, Incoming, Output, Transmit
from gateway.sip.message import Response, parse
from gateway.sip.transport import Listen, Transport

from .table import Figure, show

HOST = "127.0.0.1"
US, PEER = (HOST, 5060), ("127.0.0.2", 5060)
ROUNDS = 7
SDP = (
    b"v=0\r\no=- 20518 0 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
    b"m=audio 40376 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)


def request(method: str, number: int, cseq: int, tag: str = "", body: bytes = b"") -> bytes:
    """A message as a provider's border controller sends it."""
    to = f";tag={tag}" if tag else ""
    head = (
        f"{method} sip:74951234567@{HOST}:5060;user=phone SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKk-{number}-{cseq}-{method};rport\r\n"
        "Max-Forwards: 67\r\n"
        f'From: "+79161234567" <sip:+79161234567@127.0.0.2;user=phone>;tag=SDek{number}-as2f\r\n'
        f"To: <sip:74951234567@{HOST}:5060;user=phone>{to}\r\n"
        f"Call-ID: SDek{number}-0a8f04f1d3b1c5f2d7e6a0c9b8e7d6c5-06a3g12\r\n"
        f"CSeq: {cseq} {method}\r\n"
        "Contact: <sip:+79161234567@127.0.0.2:5060;transport=udp>\r\n"
        "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO, REFER, NOTIFY, OPTIONS\r\n"
        "Supported: 100rel, timer\r\nSession-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\n"
        f"{'Content-Type: application/sdp' + chr(13) + chr(10) if body else ''}"
        f"Content-Length: {len(body)}\r\n"
    )
    return head.encode() + b"\r\n" + body


def invite_of(size: int) -> bytes:
    """An INVITE of exactly so many bytes."""
    missing = size - len(request("INVITE", 1, 1, body=SDP))
    filler = b"User-Agent: " + b"x" * (missing - len(b"User-Agent: \r\n")) + b"\r\n"
    head, body = request("INVITE", 1, 1, body=SDP).split(b"\r\n\r\n", 1)
    made = head + b"\r\n" + filler + b"\r\n" + body
    assert len(made) == size
    return made


def best(work: Callable[[], object], times: int) -> float:
    """Microseconds of one, the best of some rounds."""
    return min(timeit.repeat(work, number=times, repeat=ROUNDS)) / times * 1e6


class Core:
    """One endpoint that is called, again and again."""

    def __init__(self) -> None:
        tokens, self._numbers = count(1), count(1)
        self.endpoint = Endpoint(token=lambda: f"t{next(tokens)}")
        self._flow = Flow("udp", US, PEER)
        self._now = 0.0
        self.outputs: list[Output] = []

    def call(self) -> None:
        number = next(self._numbers)
        self._now += 1.0
        self.endpoint.handle_timer(self._now)
        self.receive(request("INVITE", number, 1, body=SDP))
        (call,) = [it.call for it in self.outputs if isinstance(it, Incoming)]
        self.endpoint.ring(call, self._now)
        self.outputs = self.endpoint.answer(call, SDP, self._now)
        ok = next(it for it in self.outputs if isinstance(it, Transmit))
        assert isinstance(parse(ok.data), Response)
        self.receive(request("ACK", number, 1, call))
        self.receive(request("BYE", number, 2, call))

    def receive(self, data: bytes) -> None:
        self.outputs = self.endpoint.receive(data, self._flow, self._now)


class Stub:
    """A model that is ready at once and says nothing (`Connection`)."""

    def __init__(self, on_message: Callable[[str | bytes], None]) -> None:
        self.backlog = 0
        self._on_message = on_message
        self._say({"type": "session.created", "session": {"id": "sess_1", "object": "session"}})

    def send(self, text: bytes) -> None:
        if b'"session.update"' in text[:200]:
            session = {**json.loads(text)["session"], "id": "sess_1", "object": "session"}
            self._say({"type": "session.updated", "session": session})

    def close(self, code: int = 1000) -> None:
        pass

    def _say(self, event: dict[str, Any]) -> None:
        text = json.dumps({"event_id": "event_1", **event})
        asyncio.get_running_loop().call_soon(self._on_message, text)


async def stub(
    profile: Profile,
    on_message: Callable[[str | bytes], None],
    on_close: Callable[[int, str], None],
) -> Connection:
    return Stub(on_message)


def rss() -> float:
    """MB of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def used() -> float:
    """Seconds of CPU that this process has had."""
    so_far = resource.getrusage(resource.RUSAGE_SELF)
    return so_far.ru_utime + so_far.ru_stime


async def sipp(port: int, seconds: int, rate: int, folder: Path) -> asyncio.subprocess.Process:
    """Callers: `rate` calls a second, each ended as soon as it was answered."""
    command = ["sipp", f"{HOST}:{port}", "-sf", str(Path(__file__).with_name("signalling.xml"))]
    command += ["-i", HOST, "-r", str(rate), "-m", str(rate * seconds), "-l", "5000"]
    command += ["-nostdin", "-timeout", str(seconds + 60), "-trace_err", "-error_file"]
    return await asyncio.create_subprocess_exec(
        *command, str(folder / "errors"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


async def sockets(seconds: int, rate: int, folder: Path) -> None:
    """Signalling alone: what is answered is nobody's call."""
    tokens = count(1)
    endpoint = Endpoint(token=lambda: f"{next(tokens):024x}")
    transport: Transport

    def answer(event: Event) -> None:
        if isinstance(event, Incoming):
            now = transport.now()
            transport.act(endpoint.ring(event.call, now))
            transport.act(endpoint.answer(event.call, SDP, now))

    transport = await Transport.open(endpoint, [Listen("udp", HOST, 0)], on_event=answer)
    before = used()
    callers = await sipp(transport.addresses[0][1], seconds, rate, folder)
    await callers.wait()
    cpu = used() - before
    await transport.close()
    calls = rate * seconds
    print(
        f"sockets: {cpu / calls * 1e3:.2f} ms of CPU a call, sipp ended with {callers.returncode}"
    )


async def service(seconds: int, rate: int, folder: Path) -> None:
    """The whole service under sipp."""
    backend = {"provider": "compatible", "url": "ws://stub/v1/realtime", "model": "m"}
    config = {
        "sip": {
            "listen": f"udp:{HOST}:0",
            "max_calls": 10_000,
            "max_calls_per_second": 10_000,
        },
        "media": {"listen": HOST, "ports": "10000-31998", "max_lateness": 0},
        "backends": {"stub": backend},
        "agents": {"a": {"backend": "stub"}},
        "records": {"calls": str(folder / "calls.jsonl")},
    }
    async with running(Config.model_validate(config), World(connect=stub, http=False)) as gateway:
        before = used()
        callers = await sipp(gateway.transport.addresses[0][1], seconds, rate, folder)
        sizes = []
        while callers.returncode is None:
            try:
                await asyncio.wait_for(asyncio.shield(callers.wait()), 5)
            except TimeoutError:
                sizes.append(rss())
        await gateway.written()
        cpu = used() - before
    records = (folder / "calls.jsonl").read_text().splitlines()
    ends = [(it["ended_by"], it["sip_status"]) for it in map(json.loads, records)]
    calls, good = rate * seconds, ends.count(("caller", 200))
    print(f"service: {rate} calls a second for {seconds} s: sipp ended with {callers.returncode},")
    print(f"  {calls - good} of {calls} lost; CPU a call {cpu / calls * 1e3:.2f} ms;")
    show([Figure("calls lost in signalling", calls - good, "", 0)])
    print(f"  memory every 5 s, MB: {' '.join(f'{size:.0f}' for size in sizes)}")


def main(argv: list[str]) -> int:
    seconds, rate = [int(it) for it in argv] + [60, 100][len(argv) :]
    invite = invite_of(1000)
    mail = BytesHeaderParser()
    ours = best(lambda: parse(invite), 2000)
    theirs = best(lambda: mail.parsebytes(invite.split(b"\r\n", 1)[1]), 500)
    print(f"parse: {ours:.1f} us an INVITE of {len(invite)} bytes; mail headers {theirs:.1f} us,")
    print(f"  ratio {ours / theirs:.2f}")
    show([Figure("an INVITE, against the parser of mail headers", ours / theirs, "times")])
    core = best(Core().call, 300) / 1e3
    print(f"core: {core:.2f} ms a call, INVITE to BYE, on the side that is called")
    with tempfile.TemporaryDirectory() as name, (Path(name) / "log").open("w") as file:
        log.setup("info", "json", file)  # as the service logs under systemd
        asyncio.run(sockets(min(seconds, 20), rate, Path(name)))
        asyncio.run(service(seconds, rate, Path(name)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
