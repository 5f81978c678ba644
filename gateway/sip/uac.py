"""A request of ours on its way: RFC 3261 §8.1, with the fail-over of RFC 3263 §4.3.

Pure. Between who asks (a call, a registration) and the transactions, of which one request may take
several, one after the other:

    way known ───────▶ transaction ──2xx, 3xx-6xx──▶ whoever asked
    hop ──Locate──▶ ways   │  ▲
                           │  ├── 401, 407: with our credentials, CSeq + 1, by the same way (§22.2)
                           ▼  │
                         next way: 503, no response, no connection; over 1,300 bytes TCP, then UDP

Each transaction has a branch of its own. Via is written for the way, and so is Contact, unless the
request has one. Who asked sees provisional responses, and one end: a final response, silence, or no
way to the peer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from .address import NameAddr, Uri
from .agent import Fields, UserAgent
from .digest import Credentials
from .event import Flow, Locate, Output, Transmit
from .grammar import SipError
from .layer import Client, Received, TransactionLayer, Unanswered, Unsent
from .message import Headers, Request, Response
from .schedule import Schedule
from .transaction import State

MAX_UDP = 1300  # bytes; a longer request goes by a stream, §18.1.1
PATIENCE = 4.0  # s that a way may be silent while another is left; timer B alone would take 32
AVOIDED = 60.0  # s for which a way that failed is tried last
MAX_CHALLENGES = 4  # of one request: proxies on the way and the peer, each once and once stale
MAX_AVOIDED = 1000  # remembered ways that failed

# They tell the peer where requests of the dialog go: §12.1.1, RFC 3311, 3515, 6665
_WITH_CONTACT = {"INVITE", "UPDATE", "REFER", "SUBSCRIBE", "NOTIFY"}

Way = Flow | Uri  # a way that is known, or a hop that has to be located first


@dataclass(slots=True, eq=False)
class Attempt:
    """A request of ours, over all its transactions."""

    bare: Request  # without Via, Contact and credentials
    request: Request  # as it went out last; its CSeq grows with each challenge
    call: str | None  # the key of who asked; None: nobody waits for the end
    credentials: Credentials | None = None
    renumber: Callable[[], int] | None = None
    contact: Callable[[Flow], str] | None = None  # another than that of our dialogs
    client: Client | None = None  # the latest transaction
    flow: Flow | None = None  # and its way
    over: bool = False  # the end was told, or nobody wants to hear it
    ways: deque[Way] = field(default_factory=deque)  # still to be tried
    challenges: int = 0  # that were answered
    sought: bool = False  # its hop was located
    long: Flow | None = None  # the datagram way of a request that is tried by a stream first

    @property
    def proceeding(self) -> bool:
        """Has the peer said that it works on it? Only then may it be cancelled (§9.1)."""
        return self.client is not None and self.client.machine.state is State.PROCEEDING


@dataclass(slots=True, eq=False)
class Acknowledgement:
    """The ACK of a 2xx: no transaction; sent again for each copy of the 2xx (§13.2.2.4)."""

    request: Request  # without Via
    way: Way
    transmit: Transmit | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A response for who asked; a final one is the end, but for copies and forks of a 2xx."""

    attempt: Attempt
    response: Response


@dataclass(frozen=True, slots=True)
class Silence:
    """No final response came."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No way leads to the peer."""

    attempt: Attempt


Outcome = Reply | Silence | Unreachable


class UserAgentClient:
    def __init__(self, layer: TransactionLayer, agent: UserAgent) -> None:
        self._layer = layer
        self._agent = agent
        self._keys = count(1)
        self._locating: dict[str, Attempt | Acknowledgement] = {}
        self._avoided: dict[Flow, float] = {}  # a way that failed -> until when it is tried last
        self._patience: Schedule[Attempt] = Schedule()

    @property
    def deadline(self) -> float | None:
        return self._patience.deadline

    @property
    def locating(self) -> bool:
        """Does a request wait for its peer to be found?"""
        return bool(self._locating)

    # what is to be sent

    def send(
        self,
        request: Request,
        way: Way,
        call: str | None,
        now: float,
        *,
        credentials: Credentials | None = None,
        renumber: Callable[[], int] | None = None,
        contact: Callable[[Flow], str] | None = None,
    ) -> tuple[Attempt, list[Output]]:
        """Send a request that has no Via yet, nor a Contact if that is to be ours.

        `call` is the key of who asks. `renumber` gives the CSeq of the repetition that answers a
        challenge; without it, the next number. `contact` writes a Contact that names more than us.
        """
        attempt = Attempt(request, request, call, credentials, renumber, contact, ways=deque([way]))
        return attempt, self._next(attempt, now)

    def cancel(self, attempt: Attempt, headers: Fields, now: float) -> list[Output]:
        """CANCEL an INVITE that is proceeding, by its own way (§9.1)."""
        client = attempt.client
        assert client is not None  # as it is proceeding
        cancel = client.request.cancel()
        for name, value in headers:
            cancel.headers.add(name, value)
        own = Attempt(cancel, cancel, None, flow=client.flow, over=True)
        own.client, sent = self._layer.request(cancel, client.flow, own, now)
        return [*sent]

    @staticmethod
    def stay(attempt: Attempt) -> None:
        """Try no other way and answer no challenge: it is to be cancelled."""
        attempt.ways.clear()
        attempt.credentials = None

    def give_up(self, attempt: Attempt) -> None:
        """Nobody wants to hear the end of it any more; what is not sent yet stays unsent."""
        attempt.over = True
        self._patience.set(attempt, None)
        if attempt.client:
            self._layer.abandon(attempt.client)

    def acknowledge(self, ack: Acknowledgement) -> list[Output]:
        """Send the ACK of a 2xx, or send it again."""
        if ack.transmit:
            return [ack.transmit]
        if isinstance(ack.way, Uri):
            return [self._locate(ack, ack.way)]
        headers = Headers([("Via", self._agent.via(ack.way)), *ack.request.headers])
        message = replace(ack.request, headers=headers)
        ack.transmit = Transmit(message.encode(), ack.way)
        return [ack.transmit]

    # what comes back

    def located(self, key: str, flows: Sequence[Flow], now: float) -> list[Output | Outcome]:
        """Go on with what waited for its peer to be found; ways that failed lately come last."""
        found = self._locating.pop(key, None)
        if isinstance(found, Acknowledgement):
            found.way = flows[0] if flows else found.way
            return [*self.acknowledge(found)] if flows else []
        if found is None or found.over:
            return []
        found.ways.extendleft(sorted(flows, key=lambda flow: self._avoids(flow, now))[::-1])
        return self._proceed(found, now)

    def receive(
        self, delivery: Received | Unanswered | Unsent, now: float
    ) -> list[Output | Outcome]:
        """Take what a transaction of ours has come to."""
        attempt = delivery.client.owner
        assert isinstance(attempt, Attempt)
        match delivery:
            case Received(client, response):
                return self._receive_response(attempt, client, response, now)
            case Unanswered(client) | Unsent(client):
                if attempt.over or client is not attempt.client:
                    return []
                self._avoid(client.flow, now)
                if client.flow.transport != "udp" and isinstance(delivery, Unsent):
                    attempt.ways.extend(_next_hop(attempt))
                if attempt.ways:
                    return self._proceed(attempt, now)
                end = Unreachable if isinstance(delivery, Unsent) else Silence
                return self._end(attempt, end(attempt))

    def handle_timer(self, now: float) -> list[Output | Outcome]:
        """Leave ways that are silent for others."""
        results: list[Output | Outcome] = []
        for attempt in self._patience.pop_due(now):
            client = attempt.client
            if client and client.machine.state in {State.CALLING, State.TRYING}:
                self._layer.abandon(client)
                self._avoid(client.flow, now)
                results += self._proceed(attempt, now)
        return results

    def _receive_response(
        self, attempt: Attempt, client: Client, response: Response, now: float
    ) -> list[Output | Outcome]:
        if client is not attempt.client:
            return []  # of a transaction that another has taken the place of
        self._agent.learn(client.flow, response.headers.via)
        if response.status < 200:
            return [Reply(attempt, response)]
        if not attempt.over:
            if response.status in {401, 407} and (again := self._answer(attempt, response, now)):
                return again
            if response.status == 503 and attempt.ways:  # RFC 3263 §4.3
                self._avoid(client.flow, now)
                return self._proceed(attempt, now)
        return self._end(attempt, Reply(attempt, response))

    def _answer(
        self, attempt: Attempt, response: Response, now: float
    ) -> list[Output | Outcome] | None:
        """Answer a challenge, if it is ours to answer and an answer may help."""
        if attempt.credentials is None or attempt.challenges >= MAX_CHALLENGES:
            return None
        fields = attempt.credentials.answer(response, attempt.request)
        if fields is None:
            return None
        attempt.challenges += 1
        cseq = attempt.bare.headers.cseq
        number = attempt.renumber() if attempt.renumber else cseq.number + 1
        attempt.bare.headers.set("CSeq", f"{number} {cseq.method}")
        assert attempt.flow is not None  # it was answered
        return [*self._start(attempt, attempt.flow, now, fields)]

    # its way

    def _proceed(self, attempt: Attempt, now: float) -> list[Output | Outcome]:
        """Try the next way; without one nobody is there."""
        if not attempt.ways:
            return self._end(attempt, Unreachable(attempt))
        return [*self._next(attempt, now)]

    def _next(self, attempt: Attempt, now: float) -> list[Output]:
        match attempt.ways.popleft():
            case Flow() as flow:
                known = attempt.credentials
                fields = known.authorize(attempt.bare) if known else []
                return self._start(attempt, flow, now, fields)
            case hop:
                attempt.sought = True
                return [self._locate(attempt, hop)]

    def _start(self, attempt: Attempt, flow: Flow, now: float, fields: Fields) -> list[Output]:
        """Begin a transaction by this way; by a stream in its place if the request is long."""
        request = self._write(attempt, flow, flow, fields)
        if flow.transport == "udp" and flow != attempt.long and len(request.encode()) > MAX_UDP:
            attempt.long = flow
            attempt.ways.appendleft(flow)
            stream = replace(flow, transport="tcp")
            flow, request = stream, self._write(attempt, stream, flow, fields)
        attempt.request, attempt.flow = request, flow
        attempt.client, sent = self._layer.request(request, flow, attempt, now)
        self._patience.set(attempt, now + PATIENCE if attempt.ways else None)
        return [*sent]

    def _write(self, attempt: Attempt, flow: Flow, shown: Flow, fields: Fields) -> Request:
        """The request as it goes by `flow`; the dialog's own requests are to come by `shown`."""
        bare = attempt.bare
        headers = Headers([("Via", self._agent.via(flow)), *bare.headers])
        contact = attempt.contact or self._agent.contact
        needed = attempt.contact or bare.method in _WITH_CONTACT
        if needed and bare.headers.get("Contact") is None:
            headers.add("Contact", contact(shown))
        for name, value in fields:
            headers.add(name, value)
        return replace(bare, headers=headers)

    def _locate(self, waiting: Attempt | Acknowledgement, hop: Uri) -> Locate:
        key = f"hop-{next(self._keys)}"
        self._locating[key] = waiting
        return Locate(key, hop)

    def _end(self, attempt: Attempt, outcome: Outcome) -> list[Output | Outcome]:
        attempt.over = True
        self._patience.set(attempt, None)
        return [outcome]

    def _avoid(self, flow: Flow, now: float) -> None:
        if len(self._avoided) >= MAX_AVOIDED:
            self._avoided.clear()
        self._avoided[flow] = now + AVOIDED

    def _avoids(self, flow: Flow, now: float) -> bool:
        return self._avoided.get(flow, now) > now


def _next_hop(attempt: Attempt) -> list[Uri]:
    """Where a request within a dialog goes by its own words (§8.1.2), if that is all that is left.

    For when the connection is gone that the peer has called by: it may listen there.
    """
    request = attempt.bare
    if attempt.ways or attempt.sought or request.headers.to.tag is None:
        return []
    try:
        routes = [NameAddr.parse(route).uri for route in request.headers.elements("Route")[:1]]
        loose = [hop for hop in routes if hop.param("lr") is not None]
        return loose or [Uri.parse(request.uri)]
    except SipError:
        return []
