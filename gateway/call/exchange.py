"""Exchange: what all calls of the process share, and what is known of whom a call is with. Pure.

Sockets, tick, time and chance come to a call through these and in no other way, which is why a call
can be run in memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateway.realtime.client import Connector
from gateway.rtp.dtls import Identity
from gateway.rtp.port import RtpPorts
from gateway.sdp.security import Encryption
from gateway.sip.digest import Credentials
from gateway.sip.endpoint import Endpoint
from gateway.sip.event import CallEvent, Incoming, Output
from gateway.sip.registrar import Binding

from .engine import Engine
from .recorder import Recorder


class Owner(Protocol):
    """Who hears what happens to a SIP call: to the INVITE usage of one handle."""

    def receive(self, event: CallEvent) -> None:
        """Take an event of that call; Ended is the last one."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What all calls of the process share, and what the operator configured of them."""

    endpoint: Endpoint
    act: Callable[[list[Output]], None]  # performs what the endpoint returned
    engine: Engine
    ports: RtpPorts
    connect: Connector
    clock: Callable[[], float]  # the loop's time, s
    wall: Callable[[], float]  # s since 1970
    number: Callable[[int], int]  # a random whole number of so many bits
    token: Callable[[], str]  # a random word
    host: Callable[[str], Awaitable[str]]  # ours, on the way to a URI; OSError: there is none
    codecs: Sequence[str] = ("PCMA", "PCMU")
    media_address: str | None = None  # written into SDP; None: the route's
    encryption: Encryption = "none"  # of the sound
    identity: Identity | None = None  # our certificate; None: DTLS is not spoken
    rtp_timeout: float = 30.0  # s; 0: never
    playout_delay: float = 0.06  # s, at the far end
    echo: Literal["auto", "on", "off"] = "off"  # take our own voice out of what callers return
    transcripts: bool = False
    recorder: Recorder | None = None  # None: calls are not recorded
    owners: dict[str, Owner] = field(default_factory=dict)  # by the handle of a SIP call


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom we call, and how."""

    target: str  # the Request-URI
    route: str | None  # the URI of a proxy that it goes through; None: straight to the target
    from_user: str
    from_host: str | None  # None: ours, on the way to the target
    headers: tuple[tuple[str, str], ...] = ()
    credentials: Credentials | None = None
    timeout: float = 60.0  # s that it may ring
    phone: tuple[str, str] | None = None  # trunk and user: who registers with us, prepare.py
    binding: Binding | None = None  # where that phone is, when it is called


@dataclass(frozen=True, slots=True)
class Party:
    """Whom a call is with, and what is known of it before it begins."""

    call_id: str
    sip: Incoming | Destination  # she calls us; or we her
    from_: str | None
    to: str | None
    trunk: str | None
    source_mode: Literal["sdp", "learn"]  # who may send RTP
    instructions: str  # the agent's, filled in
    headers: dict[str, str] = field(default_factory=dict)  # for the record, introduction.py
    inband_digits: bool = False  # her keys come as tones

    @property
    def direction(self) -> Literal["inbound", "outbound"]:
        """Who called whom."""
        return "inbound" if isinstance(self.sip, Incoming) else "outbound"

    @property
    def signalling_host(self) -> str | None:
        """The IP address that the INVITE came from; None of a call of ours."""
        return self.sip.flow.remote[0] if isinstance(self.sip, Incoming) else None
