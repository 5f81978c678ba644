"""Exchange: what all calls of the process share, and what is known of a caller. Pure values.

Sockets, tick, time and chance come to a call through these and in no other way, which is why a call
can be run in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.realtime.client import Connector
from gateway.rtp.port import RtpPorts
from gateway.sip.endpoint import Endpoint
from gateway.sip.event import Incoming, Output

from .engine import Engine
from .recording import Recording


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
    codecs: Sequence[str] = ("PCMA", "PCMU")
    media_address: str | None = None  # written into SDP; None: the route's
    rtp_timeout: float = 30.0  # s; 0: never
    playout_delay: float = 0.06  # s, at the far end
    transcripts: bool = False
    recording: Callable[[str], Recording] | None = None  # of a call id; None: none is made


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what the INVITE said: found out before the call is taken."""

    call_id: str
    invite: Incoming
    from_: str | None
    to: str | None
    trunk: str | None
    source_mode: Literal["sdp", "learn"]  # who may send RTP
    instructions: str  # the agent's, filled in
