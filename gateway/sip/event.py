"""What leaves the SIP core: datagrams to send, and what happened to a call.

Pure values. `call` is our opaque handle of one INVITE usage, unique in the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .message import Request

Address = tuple[str, int]  # host, port
By = Literal["peer", "us", "network"]


@dataclass(frozen=True, slots=True)
class Flow:
    """The way of a message: where it came from, or where it goes (route.py)."""

    transport: str  # "udp"
    local: Address  # ours as the route to the peer has it, with the listening port
    remote: Address


@dataclass(frozen=True, slots=True)
class Transmit:
    data: bytes
    flow: Flow


@dataclass(frozen=True, slots=True)
class Incoming:
    """A new INVITE; 100 is sent. Its body is SDP or empty (then our 200 carries the offer)."""

    call: str
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The ACK of our 2xx came. `body`: the SDP in it, the answer to an offer in our 2xx."""

    call: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Offered:
    """A re-INVITE waits for answer() or refuse(); the call lives on after either."""

    call: str
    request: Request


@dataclass(frozen=True, slots=True)
class Progress:
    """The INVITE we sent is being worked on: 101 to 199, with SDP or none."""

    call: str
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """2xx to the INVITE or re-INVITE we sent; its ACK is sent."""

    call: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The re-INVITE we sent was refused, or could not be sent; the call lives on."""

    call: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Exactly once for each call, and nothing about the call after it.

    `cause`: hang_up (BYE), cancelled (CANCEL before the final response), refused (a final
    response of 300 or more, ours or the peer's), no_ack, timeout. `status`: the final status of the
    INVITE as it stood at the end. `reason`: the Reason header of the peer's BYE or CANCEL, or of
    ours; for a refusal its phrase.
    """

    call: str
    by: By
    cause: str
    status: int
    reason: str | None


Event = Incoming | Confirmed | Offered | Progress | Answered | Refused | Ended
Output = Transmit | Event
