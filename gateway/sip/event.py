"""What leaves the SIP core: messages to send, peers to find, and what happened to a call.

Pure values. `call` is our opaque handle of one INVITE usage, unique in the process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .address import Uri
from .message import Request

Address = tuple[str, int]  # host, port
By = Literal["peer", "us", "network"]


@dataclass(frozen=True, slots=True)
class Flow:
    """The way of a message: where it came from, or where it goes (route.py).

    Of UDP a socket of ours and a peer; of a stream a connection, made when it is first used.
    """

    transport: str  # "udp", "tcp", "tls"
    local: Address  # ours as the route to the peer has it, with the listening port
    remote: Address
    name: str = field(default="", compare=False)  # whom a TLS certificate has to show; "": remote


@dataclass(frozen=True, slots=True)
class Transmit:
    data: bytes
    flow: Flow
    instead: Flow | None = None  # of a response, when the connection of `flow` is gone (§18.2.2)


@dataclass(frozen=True, slots=True)
class Locate:
    """Find where requests to `hop` go (RFC 3263), and say so by `located(key, flows, now)`.

    The flows in the order in which they are to be tried; none if nobody is there.
    """

    key: str
    hop: Uri


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sent a request, as proven by its source or by digest, never by what it says."""

    trunk: str | None  # None: no trunk of the configuration, a neighbour
    user: str | None = None  # as whom the peer authenticated


@dataclass(frozen=True, slots=True)
class Incoming:
    """A new INVITE; 100 is sent. Its body is SDP or empty (then our 200 carries the offer).

    `replaces`: the call that this one is to take the place of (RFC 3891), if its owner lets it: by
    answer(), which ends the other. That one is answered, or we placed it and it rings yet.
    """

    call: str
    request: Request
    flow: Flow
    identity: Identity | None = None  # None where nobody is asked who they are
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The ACK of our 2xx came, or a PRACK. `body`: the SDP in it, the answer to our offer."""

    call: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Offered:
    """A re-INVITE or an UPDATE waits for answer() or refuse(); the call lives on after either.

    Without a body (a re-INVITE only) our answer() carries the offer, and Confirmed its answer.
    """

    call: str
    request: Request


@dataclass(frozen=True, slots=True)
class Progress:
    """The INVITE we sent is being worked on: 101 to 199, with SDP or none.

    A reliable one (RFC 3262) is acknowledged already. `fork`: which of the phones that ring, for
    each has a session of its own (§13.2.2.4); the tag of its To.
    """

    call: str
    status: int
    body: bytes
    fork: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """2xx to the INVITE, re-INVITE or UPDATE we sent; the ACK is sent."""

    call: str
    body: bytes
    fork: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The re-INVITE or UPDATE we sent was refused, or could not be sent; the call lives on."""

    call: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class RefreshDue:
    """The session is to be refreshed (RFC 4028) by a peer that has no UPDATE: reinvite() it."""

    call: str


@dataclass(frozen=True, slots=True)
class Informed:
    """An INFO came and was answered 200 (RFC 6086, and the older use without a package)."""

    call: str
    content_type: str  # in lower case, without parameters
    body: bytes


@dataclass(frozen=True, slots=True)
class Referred:
    """The peer asks us to call somebody (REFER, RFC 3515): accept_referral() or refuse_referral().

    `target` is the Refer-To, a URI, its headers (Replaces) included.
    """

    call: str
    target: str
    referred_by: str | None


@dataclass(frozen=True, slots=True)
class ReferralProgress:
    """What became of our REFER: what the peer's NOTIFY said of the call that it makes.

    A 2xx that is not final: it took the REFER, and there is no word of the target yet. `final`:
    nothing follows. A refused REFER is one final progress with the status of the refusal; a peer
    that took it and will not tell (RFC 4488) is a final 202, one that falls silent, or never comes
    to an end, the last status that it told, or 408.
    """

    call: str
    status: int
    reason: str
    final: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """Exactly once for each call, and nothing about the call after it.

    `cause`: hang_up (BYE), cancelled (CANCEL before the final response, or the INVITE expired),
    refused (a final response of 300 or more, ours or the peer's), replaced (another call took its
    place), no_ack, timeout, unreachable (no way to the peer), session_expired (RFC 4028). `status`:
    the final status of the INVITE as it stood at the end. `reason`: the Reason header of the peer's
    BYE or CANCEL, or of ours; for a refusal its phrase.
    """

    call: str
    by: By
    cause: str
    status: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Registered:
    """A registrar took our binding, for `expires` s."""

    name: str
    expires: float


@dataclass(frozen=True, slots=True)
class Unregistered:
    """A registrar did not take our binding, or it lapsed; tried again in `retry` s, None: never."""

    name: str
    status: int
    reason: str
    retry: float | None


CallEvent = (
    Incoming
    | Confirmed
    | Offered
    | Progress
    | Answered
    | Refused
    | RefreshDue
    | Informed
    | Referred
    | ReferralProgress
    | Ended
)
Event = CallEvent | Registered | Unregistered
Output = Transmit | Locate | Event
