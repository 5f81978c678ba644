"""Callers who give up: an INVITE each, and an end of it at every stage that a call can have.

Raw messages, from one address. A stage says what the caller says to the first answer of a status;
to what comes late or twice it says nothing, and to what is not in its table neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.sip.message import Request, Response, parse

from .hostile import OFFER, request

GATEWAY = "10.0.0.1"
HOLD = OFFER + b"a=sendonly\r\n"
BAD = OFFER.replace(b"m=audio 4000", b"m=audio 70000")
NO_CODEC = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n" + (
    b"m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 nonsense/8000\r\n"
)
MEANWHILE = 0.035  # s after the INVITE: 180 has come, the model's session has not


@dataclass
class Attempt:
    """One call of a quitter's."""

    number: int
    stage: Stage
    host: str
    tag: str | None = None  # the gateway's
    cseq: int = 1
    seen: set[int] = field(default_factory=set)  # statuses of answers to the first INVITE

    @property
    def call_id(self) -> str:
        return f"quit-{self.number}"

    def invite(self) -> bytes:
        return self._say("INVITE", body=self.stage.offer)

    def cancel(self) -> bytes:
        return self._say("CANCEL")

    def ack_refusal(self) -> bytes:
        return self._say("ACK", tag=self.tag)

    def ack(self, body: bytes = b"") -> bytes:
        """Of a 2xx: in the dialog, with a branch of its own."""
        return self._say("ACK", f"-ack-{self.cseq}", self.cseq, self.tag, body)

    def next(self, method: str, body: bytes = b"") -> bytes:
        """A new request within the dialog."""
        self.cseq += 1
        return self._say(method, f"-{method}-{self.cseq}", self.cseq, self.tag, body)

    def _say(
        self,
        method: str,
        branch: str = "",
        cseq: int = 1,
        tag: str | None = None,
        body: bytes = b"",
    ) -> bytes:
        return request(
            method,
            uri=f"sip:{self.stage.user}@{GATEWAY}",
            via=f"SIP/2.0/UDP {self.host};branch=z9hG4bK-quit-{self.number}{branch};rport",
            from_=f"<sip:quitter@{self.host}>;tag=q{self.number}",
            to=f"<sip:{self.stage.user}@{GATEWAY}>" + (f";tag={tag}" if tag else ""),
            call_id=self.call_id,
            cseq=f"{cseq} {method}",
            headers=(f"Contact: <sip:quitter@{self.host}>",),
            body=body,
        )


Move = Callable[[Attempt], list[bytes]]
End = tuple[str, str, int]  # ended_by, cause, sip_status of the record

CANCELLED: End = ("caller", "cancelled", 487)
HUNG_UP: End = ("caller", "hang_up", 200)
NOT_ACCEPTED: End = ("gateway", "media_not_acceptable", 488)
NO_ACK: End = ("network", "no_ack", 200)


@dataclass(frozen=True)
class Stage:
    """When and how a caller gives up; `end` is what the record says of it.

    `moves` by status, 0 at once; `meanwhile` is done after a moment. `vanishes`: the gateway is
    left alone with the call, for half a minute or more.
    """

    name: str
    end: End
    moves: dict[int, Move]
    meanwhile: Move | None = None
    offer: bytes = OFFER
    user: str = "7000"
    vanishes: bool = False


STAGES = (
    Stage("CANCEL at once", CANCELLED, {0: lambda it: [it.cancel()]}),
    Stage("CANCEL twice", CANCELLED, {0: lambda it: [it.cancel(), it.cancel()]}),
    Stage("CANCEL at 100", CANCELLED, {100: lambda it: [it.cancel()]}),
    Stage("CANCEL at 180", CANCELLED, {180: lambda it: [it.cancel(), it.ack_refusal()]}),
    Stage("CANCEL, 487 acknowledged", CANCELLED, {
        180: lambda it: [it.cancel()], 487: lambda it: [it.ack_refusal()],
    }),
    Stage("CANCEL while the backend connects", CANCELLED, {}, lambda it: [it.cancel()]),
    Stage("CANCEL crosses the 200", HUNG_UP, {
        200: lambda it: [it.cancel(), it.ack(), it.next("BYE")],
    }),
    Stage("CANCEL crosses the 200, no ACK", HUNG_UP, {
        200: lambda it: [it.cancel(), it.next("BYE")],
    }),
    Stage("BYE at 180", ("caller", "hang_up", 487), {180: lambda it: [it.next("BYE")]}),
    Stage("no ACK", NO_ACK, {}, vanishes=True),
    Stage("BYE before the ACK", HUNG_UP, {200: lambda it: [it.next("BYE"), it.ack()]}),
    Stage("BYE without an ACK", HUNG_UP, {200: lambda it: [it.next("BYE")]}),
    Stage("BYE at once", HUNG_UP, {200: lambda it: [it.ack(), it.next("BYE")]}),
    Stage("BYE twice", HUNG_UP, {
        200: lambda it: [it.ack(), it.next("BYE"), it.next("BYE")],
    }),
    Stage("unknown route", ("gateway", "no_route", 404), {
        404: lambda it: [it.ack_refusal()],
    }, user="nobody"),
    Stage("unknown route, no ACK", ("gateway", "no_route", 404), {}, user="nobody"),
    Stage("bad SDP", NOT_ACCEPTED, {488: lambda it: [it.ack_refusal()]}, offer=BAD),
    Stage("bad SDP, no ACK", NOT_ACCEPTED, {}, offer=BAD),
    Stage("no codec", NOT_ACCEPTED, {488: lambda it: [it.ack_refusal()]}, offer=NO_CODEC),
    Stage("re-INVITE waits", HUNG_UP, {
        200: lambda it: [it.ack(), it.next("INVITE", OFFER), it.next("BYE")],
    }),
    Stage("re-INVITE is withdrawn", HUNG_UP, {
        200: lambda it: [
            it.ack(), it.next("INVITE", OFFER),
            it.next("CANCEL"), it.next("BYE"),  # of nothing, as it has a branch of its own
        ],
    }),
    Stage("re-INVITE without an ACK", NO_ACK, {
        200: lambda it: [it.ack(), it.next("INVITE", OFFER)],
    }, vanishes=True),
    Stage("hold", HUNG_UP, {
        200: lambda it: [it.ack(), it.next("INVITE", HOLD), it.ack(), it.next("BYE")],
    }),
    Stage("late offer, no answer", ("gateway", "media_not_acceptable", 200), {
        200: lambda it: [it.ack()],
    }, offer=b"", vanishes=True),
    Stage("late offer, bad answer", ("gateway", "media_not_acceptable", 200), {
        200: lambda it: [it.ack(BAD)],
    }, offer=b"", vanishes=True),
)  # fmt: skip


class Quitters:
    """All of them. `send` carries what they say, `later` does something after so many seconds."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        later: Callable[[float, Callable[[], None]], object],
        host: str,
    ) -> None:
        self.attempts: dict[str, Attempt] = {}
        self._send, self._later, self._host = send, later, host
        self._made = 0

    def begin(self, stage: Stage) -> Attempt:
        """Call once, to give up at this stage."""
        self._made += 1
        it = Attempt(self._made, stage, self._host)
        self.attempts[it.call_id] = it
        self._send(it.invite())
        self._move(it, 0)
        if meanwhile := stage.meanwhile:
            self._later(MEANWHILE, lambda: self._say(meanwhile(it)))
        return it

    def arrived(self, data: bytes) -> None:
        """Take what the gateway says; a BYE of its own is answered, as everybody does."""
        message = parse(data)
        it = self.attempts.get(message.headers.call_id)
        if isinstance(message, Request):
            if message.method != "ACK":
                self._send(Response(200, "OK", message.headers).encode())
        elif it and message.headers.cseq == (1, "INVITE"):
            it.tag = message.headers.to.tag or it.tag
            self._move(it, message.status)

    def _move(self, it: Attempt, status: int) -> None:
        if status not in it.seen and (move := it.stage.moves.get(status)):
            self._say(move(it))
        it.seen.add(status)

    def _say(self, messages: list[bytes]) -> None:
        for data in messages:
            self._send(data)
