"""The telephones of the benchmarks: what they ask, and what they read in the answers."""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from contextlib import closing

from .phones import HOST, SUITE, Line, Sip

OK = (
    "SIP/2.0 200 OK\r\nCall-ID: c7\r\nTo: <sip:talk@127.0.0.1>;tag=t\r\nCSeq: 1 INVITE\r\n\r\n"
    "v=0\r\nm=audio 20002 RTP/SAVP 0\r\n"
)


def asked(gateway: socket.socket) -> str:
    return gateway.recv(65536).decode()


def test_a_call_with_keys() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gateway:
        gateway.bind((HOST, 0))
        gateway.settimeout(5)
        with closing(Sip(gateway.getsockname()[1], 18998, srtp=True)) as sip:
            assert sip.invite(7) == "c7"
            invite = asked(gateway)
            assert "m=audio 18998 RTP/SAVP 0 101\r\n" in invite
            key = re.findall(rf"a=crypto:1 {SUITE} inline:(\S+)\r\n", invite)
            theirs = bytes(range(30))
            line = sip.take(
                f"{OK}a=crypto:1 {SUITE} inline:{b64encode(theirs).decode()}\r\n".encode()
            )
            assert line and line.keys
            assert line.port == 20002
            assert b64encode(line.keys[0]).decode() == key[0]
            assert str(line) == f"20002 {line.keys[0].hex()} {theirs.hex()}"
            assert asked(gateway).startswith("ACK ")


def test_a_call_without() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gateway:
        gateway.bind((HOST, 0))
        gateway.settimeout(5)
        with closing(Sip(gateway.getsockname()[1], 18998)) as sip:
            sip.invite(7)
            invite = asked(gateway)
            assert "RTP/AVP" in invite
            assert "crypto" not in invite
            assert sip.take(OK.replace("SAVP", "AVP").encode()) == Line("c7", 20002)


def test_a_refusal_says_why() -> None:
    with closing(Sip(9, 18998)) as sip:
        refused = (
            b"SIP/2.0 503 Service Unavailable\r\nCall-ID: c7\r\nCSeq: 1 INVITE\r\n"
            b'Warning: 399 gateway "full"\r\nRetry-After: 5\r\n\r\n'
        )
        line = sip.take(refused)
        assert line and not line.port
        assert line.refusal == (
            'c7: SIP/2.0 503 Service Unavailable, Warning: 399 gateway "full", Retry-After: 5'
        )


def test_what_answers_no_call() -> None:
    with closing(Sip(9, 18998)) as sip:
        for it in (
            "SIP/2.0 100 Trying\r\nCSeq: 1 INVITE",
            "SIP/2.0 200 OK\r\nCSeq: 2 BYE",
            "BYE x",
        ):
            assert sip.take(it.encode()) is None
