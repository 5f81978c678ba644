"""What strangers write goes where people and programs read: logs, records, other SIP messages.

Whatever it is: one event is one line, JSON parses, and a message that echoes it is read again as
the same list of headers.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.call.introduction import introduce
from gateway.call.journal import Journal
from gateway.call.record import Record
from gateway.log import setup
from gateway.sip.address import NameAddr, Uri
from gateway.sip.agent import UserAgent
from gateway.sip.grammar import SipError
from gateway.sip.message import Headers, Request, Response, parse
from gateway.text import JOINERS, UNSAFE, cleaned

# what ends a line or a string for somebody, turns text around, or is no text at all
SHARP = '\t\x0b\x0c\x1b\x1c\x7f\x85\x9b\u200f\u2028\u2029\u202e\u2066\ufeff"\\<>;,:=%{}\udcff'
TEXT = st.text(
    st.one_of(st.sampled_from(SHARP), st.characters(exclude_characters="\r\n\0")), max_size=40
)


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def invite(text: str) -> Request | None:
    """An INVITE with `text` wherever a peer may write what it likes; None where it is none."""
    lines = [
        "INVITE sip:100@gw.example SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-1;x={quoted(text)}",
        f"From: {quoted(text)} <sip:1@x>;tag=1",
        "To: <sip:100@gw.example>",
        f"Call-ID: {text}@x",
        "CSeq: 1 INVITE",
        f"User-Agent: {text}",
        f"P-Asserted-Identity: {quoted(text)} <sip:+1@x>",
        f"X-Note: {text}",
        f"Reason: Q.850;cause=16;text={quoted(text)}",
        "",
        "",
    ]
    try:
        data = "\r\n".join(lines).encode("utf-8", "surrogatepass")
        request = parse(data)
    except SipError:
        return None
    assert isinstance(request, Request)
    return request


@settings(max_examples=60, deadline=None)
@given(TEXT)
def test_records(text: str) -> None:
    """
    A call is one line of JSON, and nothing in it steers who reads it.
    """
    request = invite(text)
    if request is None:
        return
    caller = introduce(request.headers, trusted=True)
    record = Record(
        call_id="c-1",
        sip_call_id=cleaned(request.headers.call_id),
        from_=caller.from_,
        invited_at=0.0,
        sip_reason=cleaned(request.headers.get("Reason") or ""),
        headers=caller.headers,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calls.jsonl"
        asyncio.run(Journal(path).write(record))
        written = path.read_text(encoding="utf-8")
    [line] = written.splitlines()  # the line ends of every alphabet
    shown = json.loads(line)
    for value in (shown["sip_call_id"], shown["sip_reason"], *shown["headers"].values()):
        assert value == cleaned(value)


@settings(deadline=None)
@given(TEXT, st.sampled_from(["json", "console"]))
def test_logs(text: str, form: str) -> None:
    """
    An event is one line, also where a person reads it.
    """
    request = invite(text)
    if request is None:
        return
    stream = io.StringIO()
    setup("info", "json" if form == "json" else "console", stream)
    headers = request.headers
    structlog.get_logger().info(
        "call_began",
        sip_call_id=headers.call_id,
        agent=headers.get("User-Agent"),
        reason=headers.get("Reason"),
        nested={"from": [headers.get("From")]},
    )
    [line] = stream.getvalue().splitlines()
    assert not [c for c in line if c not in JOINERS and unicodedata.category(c) in UNSAFE]
    if form == "json":
        assert json.loads(line)["event"] == "call_began"


def again(message: Request | Response) -> Headers:
    """The headers of a message as its receiver reads them."""
    read = parse(message.encode())
    assert type(read) is type(message)
    return read.headers


@given(TEXT)
def test_answers(text: str) -> None:
    """
    A response that echoes the request is read as what was written: no header more, none less.
    """
    request = invite(text)
    if request is None:
        return
    agent = UserAgent(token=lambda: "t", name="gateway")
    response = agent.respond(request, 200, tag="t", headers=[("Warning", '399 gateway "no"')])
    assert again(response) == response.headers
    assert again(request) == request.headers


@given(TEXT)
def test_requests(text: str) -> None:
    """
    So is a request of ours with such a name in it; what cannot be written is refused when it is
    built, never sent.
    """
    try:
        headers = Headers(
            [
                ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-1"),
                ("From", str(NameAddr(text, Uri("sip", "1", "x")))),
                ("To", "<sip:2@x>"),
                ("Call-ID", "1"),
                ("CSeq", "1 INVITE"),
                ("X-Note", text),
            ]
        )
        message = Request("INVITE", "sip:2@x", headers)
        message.encode()
    except ValueError:
        return
    found = again(message)
    assert found == message.headers
    assert found.from_.uri == Uri("sip", "1", "x")
