"""sipp's scenarios, written as the steps of a story.

A step is sipp's XML. Messages have what every message of their dialog has; a step adds what its
story is about. `call` plays a story against a running gateway, `answering` waits for its calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from xml.sax.saxutils import quoteattr

from .programs import HOST, Program, free_port, free_range, running, until

LONGEST = 40  # s that a story may take
TRANSPORTS = {"udp": "u1", "tcp": "t1"}  # one socket for all its calls
_checks = count(1)

SDP = """\
v=0
o=sipp 1 {version} IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP {codecs}
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a={direction}
"""


def sdp(direction: str = "sendrecv", *, codecs: str = "8 101", version: int = 1) -> str:
    """A session description of sipp's."""
    lines = SDP.format(direction=direction, codecs=codecs, version=version).splitlines()
    named = set(codecs.split())
    found = [re.match(r"a=rtpmap:([0-9]+)", line) for line in lines]
    return "\n".join(
        line for line, match in zip(lines, found, strict=True) if not match or match[1] in named
    )


# -- what is sent


def request(
    method: str,
    cseq: int,
    *headers: str,
    body: str = "",
    kind: str = "application/sdp",
    within: bool = True,
    uri: str | None = None,
    resend: bool = True,
) -> str:
    """A request of the one who called; `within` the dialog, or the one that begins it."""
    target = uri or ("[next_url]" if within else "sip:[service]@[remote_ip]:[remote_port]")
    lines = [
        f"{method} {target} SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport",
        *(["[routes]"] if within else []),
        "Max-Forwards: 70",
        "From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]-[call_number]",
        "To: <sip:[service]@[remote_ip]:[remote_port]>" + ("[peer_tag_param]" if within else ""),
        "Call-ID: [call_id]",
        f"CSeq: {cseq} {method}",
        "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>",
        *headers,
    ]
    return _send(lines, body, kind, resend=resend and method != "ACK")


def request_of_the_called(method: str, cseq: int, *headers: str, body: str = "") -> str:
    """A request of the one who was called; `remember()` has stood at its INVITE, and
    the answer had the tag `a[call_number]`."""
    lines = [
        f"{method} [$contact] SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport",
        "Max-Forwards: 70",
        "From: [$to];tag=a[call_number]",
        "To: [$from]",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} {method}",
        "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>",
        *headers,
    ]
    return _send(lines, body, "application/sdp", resend=method != "ACK")


def response(
    status: str, *headers: str, body: str = "", tag: str | None = None, resend: bool = False
) -> str:
    """A response to the latest request; `tag` None: the request has a To-tag already."""
    lines = [
        f"SIP/2.0 {status}",
        "[last_Via:]",
        "[last_From:]",
        "[last_To:]" + (f";tag={tag}" if tag else ""),
        "[last_Call-ID:]",
        "[last_CSeq:]",
        "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>",
        *headers,
    ]
    return _send(lines, body, "application/sdp", resend=resend)


def late_response(status: str, *headers: str, tag: str, body: str = "") -> str:
    """A response to the INVITE at which `remember()` stood, when other requests came after it."""
    lines = [
        f"SIP/2.0 {status}",
        "Via: [$via]",
        "From: [$from]",
        f"To: [$to];tag={tag}",
        "Call-ID: [call_id]",
        "CSeq: 1 INVITE",
        "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>",
        *headers,
    ]
    return _send(lines, body, "application/sdp", resend=True)


def _send(lines: list[str], body: str, kind: str, *, resend: bool) -> str:
    if body:
        lines = [*lines, f"Content-Type: {kind}"]
    text = "\n".join([*lines, "Content-Length: [len]", "", *body.splitlines()])
    retrans = ' retrans="500"' if resend else ""
    return f"<send{retrans}><![CDATA[\n{text}\n\n]]></send>"


# -- what is received


def expect(
    what: int | str,
    checks: Mapping[str, str] | None = None,
    *,
    optional: bool = False,
    challenge: bool = False,
    keep: str = "",
) -> str:
    """A response (its status) or a request (its method); `checks`: header or "body" -> pattern.

    `challenge`: its digest is answered by the next request that says [authentication]; `keep`:
    actions besides.
    """
    kind = "response" if isinstance(what, int) else "request"
    attributes = f' {kind}="{what}" rrs="true"'
    attributes += ' optional="true"' if optional else ""
    attributes += ' auth="true"' if challenge else ""
    actions = "".join(_check(where, pattern) for where, pattern in (checks or {}).items()) + keep
    return f"<recv{attributes}>{f'<action>{actions}</action>' if actions else ''}</recv>"


def _check(where: str, pattern: str) -> str:
    place = 'search_in="body"' if where == "body" else f'search_in="hdr" header="{where}:"'
    variable = f"check{next(_checks)}"
    found = f'<ereg regexp={quoteattr(pattern)} {place} check_it="true" assign_to="{variable}"/>'
    return found + f'<log message="[${variable}]"/>'


def remember() -> str:
    """Actions that keep what a request of ours in the caller's dialog needs."""
    wanted = (
        ("contact", "Contact", "sip:[^>]*"),
        ("to", "To", "<[^>]*>"),
        ("from", "From", "[^ ].*"),
        ("via", "Via", "SIP.*"),
    )
    found = (
        f'<ereg regexp={quoteattr(pattern)} search_in="hdr" header="{header}:" check_it="true" '
        f'assign_to="{name}"/><log message="[${name}]"/>'
        for name, header, pattern in wanted
    )
    return "".join(found)


def pause(seconds: float) -> str:
    return f'<pause milliseconds="{round(seconds * 1000)}"/>'


PROVISIONAL = expect(100, optional=True) + expect(180, optional=True)


def answered(*headers: str, body: str | None = None) -> str:
    """The beginning of most stories: a call that is answered."""
    return (
        request("INVITE", 1, *headers, body=sdp() if body is None else body, within=False)
        + PROVISIONAL
        + expect(200)
        + request("ACK", 1)
    )


def hung_up(cseq: int) -> str:
    """And the end of most: the caller hangs up."""
    return request("BYE", cseq) + expect(200)


# -- playing


def call(
    port: int,
    to: str,
    folder: Path,
    *steps: str,
    transport: str = "udp",
    options: tuple[str, ...] = (),
    host: str = HOST,
) -> None:
    """Call `to` at a port, and see every message come as the story has it."""
    with calling(port, to, folder, *steps, transport=transport, options=options, host=host):
        pass


@contextmanager
def calling(
    port: int,
    to: str,
    folder: Path,
    *steps: str,
    transport: str = "udp",
    options: tuple[str, ...] = (),
    host: str = HOST,
) -> Iterator[None]:
    """The same; at the end of the block the story is waited for."""
    with _playing(folder, to, steps, transport, (f"{host}:{port}", "-s", to, *options)) as sipp:
        yield
        sipp.finish()


@dataclass(frozen=True, slots=True)
class Called:
    """sipp that waits for calls."""

    port: int
    story: _Story

    def finish(self) -> None:
        """Wait for the end of the story; each message must have come as it has it."""
        self.story.finish()


@contextmanager
def answering(
    folder: Path, name: str, *steps: str, transport: str = "udp", calls: int = 1
) -> Iterator[Called]:
    """Wait for so many calls, which go as the story has it."""
    port = free_port()
    options = ("-p", str(port), "-m", str(calls))
    with _playing(folder, name, steps, transport, options) as sipp:
        yield Called(port, sipp)


@dataclass(frozen=True, slots=True)
class _Story:
    program: Program
    files: tuple[Path, Path]  # errors, messages

    def finish(self) -> None:
        code = self.program.wait(LONGEST + 5)
        said = [it.read_text("utf-8", "replace") for it in self.files if it.exists()]
        assert code == 0, "\n".join([f"sipp ended with {code}:", *said])


@contextmanager
def _playing(
    folder: Path, name: str, steps: tuple[str, ...], transport: str, options: tuple[str, ...]
) -> Iterator[_Story]:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    path = folder / f"{name}.xml"
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
        f'<scenario name="{name}">\n' + "\n".join(steps) + "\n</scenario>\n",
        encoding="utf-8",
    )
    files = folder / f"{name}.errors", folder / f"{name}.messages"
    command = ["sipp", "-sf", str(path), "-i", HOST, "-mi", HOST, "-mp", str(free_range(4))]
    command += ["-t", TRANSPORTS[transport], "-nostdin", "-timeout", str(LONGEST)]
    command += ["-timeout_error", "-trace_err", "-error_file", str(files[0])]
    command += ["-trace_msg", "-message_file", str(files[1]), *options]
    if "-p" not in options:
        command += ["-p", str(free_port())]
    if "-m" not in options:
        command += ["-m", "1"]
    with running(command, folder, f"{name}.sipp") as program:
        if "-s" not in options:
            until(lambda: files[1].exists() or not program.running, "sipp listens")
        yield _Story(program, files)
