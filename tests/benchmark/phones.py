"""The telephones of the benchmarks: as much of SIP as it takes."""

from __future__ import annotations

import re
import socket
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_bytes

HOST = "127.0.0.1"
SUITE = "AES_CM_128_HMAC_SHA1_80"


class Refused(Exception):
    """A call was; says what the gateway said."""


@dataclass(frozen=True, slots=True)
class Line:
    """A call that was answered."""

    name: str
    port: int = 0  # that its sound goes to; 0: the call was refused
    keys: tuple[bytes, bytes] | None = None  # of SRTP: ours and theirs, each with its salt
    refusal: str = ""

    def __str__(self) -> str:
        """As media/callers.c reads it."""
        return " ".join([str(self.port), *(key.hex() for key in self.keys or ())])


class Sip:
    """As little of a telephone as it takes to have N calls: over UDP on loopback, nothing lost."""

    def __init__(self, port: int, sound: int, *, srtp: bool = False) -> None:
        """`port` is the gateway's, `sound` the one where the callers hear."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self._socket.settimeout(10)
        self._own = self._socket.getsockname()[1]
        self._gateway = (HOST, port)
        self._sound = sound
        self._keys: dict[str, bytes] | None = {} if srtp else None
        self._to: dict[str, str] = {}

    def call(self, number: int) -> Line:
        """Make a call; returns where its sound goes to. Raises Refused."""
        name = self.invite(number)
        while True:
            answered = self.take(self._socket.recv(65536))
            if answered and answered.name == name:
                if not answered.port:
                    raise Refused(answered.refusal)
                return answered

    def poll(self) -> Iterator[Line]:
        """The calls that were answered since the last look."""
        self._socket.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                if answered := self.take(self._socket.recv(65536)):
                    yield answered

    def invite(self, number: int) -> str:
        """Begin a call; returns its name."""
        name = f"c{number}"
        profile, crypto = "RTP/AVP", ""
        if self._keys is not None:
            key = self._keys[name] = token_bytes(30)
            profile, crypto = "RTP/SAVP", f"a=crypto:1 {SUITE} inline:{b64encode(key).decode()}\r\n"
        sdp = (
            f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
            f"m=audio {self._sound} {profile} 0 101\r\n"
            f"a=rtpmap:101 telephone-event/8000\r\n{crypto}"
        )
        self._send(name, "INVITE", 1, "Content-Type: application/sdp\r\n", sdp)
        return name

    def take(self, data: bytes) -> Line | None:
        """A message came; the call that it answers. The ACK of a refusal is owed, not worth it."""
        answer = data.decode()
        if not answer.startswith("SIP/2.0 ") or answer.startswith("SIP/2.0 1"):
            return None
        if not re.search(r"\nCSeq: 1 INVITE", answer):
            return None
        name = re.search(r"\nCall-ID: (\S+)", answer)
        assert name
        if not answer.startswith("SIP/2.0 200"):
            told = re.findall(r"^(?:SIP/2.0 |Warning: |Reason: |Retry-After: ).*", answer, re.M)
            return Line(name[1], refusal=f"{name[1]}: {', '.join(map(str.strip, told))}")
        tag = re.search(r"\nTo: .*;tag=(\S+)", answer)
        port = re.search(r"\nm=audio (\d+)", answer)
        assert tag and port
        self._to[name[1]] = tag[1]
        self._send(name[1], "ACK", 1)
        if self._keys is None:
            return Line(name[1], int(port[1]))
        key = re.search(rf"\na=crypto:1 {SUITE} inline:([^|\s]+)", answer)
        assert key, "an answer without a key"
        return Line(name[1], int(port[1]), (self._keys.pop(name[1]), b64decode(key[1])))

    def end(self, name: str) -> None:
        """Hang up a call."""
        self._send(name, "BYE", 2)
        del self._to[name]

    def hang_up(self) -> None:
        """End all of them."""
        for name in list(self._to):
            self.end(name)
            time.sleep(0.005)

    def close(self) -> None:
        """No more of it."""
        self._socket.close()

    def _send(self, name: str, method: str, cseq: int, headers: str = "", body: str = "") -> None:
        tag = f";tag={self._to[name]}" if name in self._to else ""
        text = (
            f"{method} sip:talk@{HOST} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HOST}:{self._own};branch=z9hG4bK{name}{method}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:100@{HOST}>;tag={name}\r\n"
            f"To: <sip:talk@{HOST}>{tag}\r\nCall-ID: {name}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:100@{HOST}:{self._own}>\r\n"
            f"{headers}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._socket.sendto(text.encode(), self._gateway)
