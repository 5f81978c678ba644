"""The transaction layer in any order of messages, moves and time (RFC 3261 §17, RFC 6026).

A state machine of hypothesis plays the peer, the user above and the clock. What holds at any time:
one final response to a request, each transaction waits for the user or for a timer, and the tables
hold what lives and nothing else. In the end time passes, and nothing is left.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from gateway.sip.event import Flow, Transmit
from gateway.sip.layer import Client, Delivery, Received, Server, TransactionLayer, Unanswered
from gateway.sip.message import Headers, Request, Response, parse
from gateway.sip.transaction import T2, TIMEOUT, State

from .wire import PEER, US, request, response

METHODS = st.sampled_from(["INVITE", "INVITE", "BYE", "OPTIONS"])
FOREVER = 4 * TIMEOUT  # s, longer than any transaction that nobody keeps
COPIES = 2 + TIMEOUT / T2 + 4  # of one message by timers: seven while the interval doubles


@dataclass
class Asked:
    """A request of ours, as its user saw it."""

    client: Client
    flow: Flow
    finals: Counter[str] = field(default_factory=Counter)  # by the To tag
    provisional_after_final: bool = False
    over: int = 0  # Unanswered, Unsent


@dataclass
class Served:
    """A request of the peer's, as the peer saw it."""

    server: Server
    data: bytes
    finals: set[bytes] = field(default_factory=set)
    refusal: Response | None = None


class Layer(RuleBasedStateMachine):
    asked: Bundle[Asked] = Bundle("asked")
    served: Bundle[Served] = Bundle("served")

    def __init__(self) -> None:
        super().__init__()
        self.layer = TransactionLayer()
        self.now = 0.0
        self.branches = 0
        self.clients: dict[str, Asked] = {}
        self.servers: dict[str, Served] = {}
        self.flow = Flow("udp", US, PEER)

    @initialize(transport=st.sampled_from(["udp", "udp", "tcp"]))
    def choose(self, transport: str) -> None:
        self.flow = Flow(transport, US, PEER)

    def branch(self) -> str:
        self.branches += 1
        return f"z9hG4bK-{self.branches}"

    # the peer asks

    @rule(target=served, method=METHODS)
    def is_asked(self, method: str) -> Served:
        branch = self.branch()
        data = request(method, branch=branch, call_id=branch)
        message = read(data)
        assert self.layer.find(message, method) is None
        assert not self.layer.is_merged(message)
        server = self.layer.accept(message, self.flow, branch)
        assert self.layer.is_merged(message)
        self.servers[branch] = Served(server, data)
        return self.servers[branch]

    @rule(it=served)
    def is_asked_again(self, it: Served) -> None:
        """A copy has the answer that was given, or none; never a new one."""
        message = read(it.data)
        server = self.layer.find(message, message.method)
        if server:
            assert server is it.server
            self.perform(self.layer.receive_copy(server, message, self.now))

    @rule(it=served, status=st.sampled_from([100, 180, 200, 200, 302, 486, 503]))
    def answers(self, it: Served, status: int) -> None:
        """A user answers once for all, and repeats its 2xx to an INVITE."""
        invite = it.server.request.method == "INVITE"
        state = it.server.machine.state
        again = invite and state is State.ACCEPTED and status == 200
        if state not in {State.TRYING, State.PROCEEDING, State.TERMINATED} and not again:
            return
        answer = respond(it.server.request, status)
        sent = self.layer.respond(it.server, answer, self.now)
        if status >= 300 and sent:
            it.refusal = answer
        self.perform([*sent])

    @rule(it=served)
    def is_acknowledged(self, it: Served) -> None:
        """The ACK of a refusal ends its copies; one of a 2xx goes up."""
        if it.server.request.method != "INVITE" or not it.finals:
            return
        ack = it.server.request.ack(it.refusal or respond(it.server.request, 200))
        if server := self.layer.find(ack, "INVITE"):
            self.perform(self.layer.receive_copy(server, ack, self.now))

    # we ask

    @rule(target=asked, method=METHODS)
    def asks(self, method: str) -> Asked:
        branch = self.branch()
        message = read(request(method, branch=branch, call_id=branch))
        client, sent = self.layer.request(message, self.flow, branch, self.now)
        self.clients[branch] = Asked(client, self.flow)
        self.perform([*sent])
        return self.clients[branch]

    @rule(
        it=asked,
        status=st.sampled_from([100, 180, 200, 200, 302, 401, 503]),
        tag=st.sampled_from(["a", "b"]),
    )
    def is_answered(self, it: Asked, status: int, tag: str) -> None:
        """In any order, any number of times, by one phone or by two."""
        answer = parse(response(it.client.request, f"{status} X", tag=tag))
        assert isinstance(answer, Response)
        results = self.layer.receive_response(answer, self.now)
        self.perform(results or [])

    @rule(it=consumes(asked))
    def gives_up(self, it: Asked) -> None:
        self.layer.abandon(it.client)

    @rule()
    def way_fails(self) -> None:
        """What was not answered at all is told so; what is known to the peer goes on."""
        results = self.layer.fail(self.flow)
        for it in self.clients.values():
            assert it.client.machine.state not in {State.CALLING, State.TRYING}
        self.perform([*results])

    # the clock

    @rule(seconds=st.sampled_from([0.1, 0.5, 4.0, 33.0]))
    def passes(self, seconds: float) -> None:
        until = self.now + seconds
        fired = 0
        while (deadline := self.layer.deadline) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.perform(self.layer.handle_timer(self.now))
            fired += 1
            assert fired <= COPIES * (len(self.clients) + len(self.servers))
        self.now = until

    # what holds

    def perform(self, results: list[Transmit | Delivery]) -> None:
        for result in results:
            if isinstance(result, Transmit):
                self.leaves(result)
            elif isinstance(result, Received):
                self.arrives(result)
            elif isinstance(result, Unanswered):
                self.clients[str(result.client.owner)].over += 1

    def leaves(self, output: Transmit) -> None:
        assert output.flow == self.flow
        message = parse(output.data)
        if isinstance(message, Response) and message.status >= 200:
            self.servers[message.headers.via.branch].finals.add(output.data)

    def arrives(self, received: Received) -> None:
        it = self.clients[str(received.client.owner)]
        status = received.response.status
        if status < 200:
            it.provisional_after_final |= bool(it.finals)
        else:
            it.finals[f"{status // 100} {received.response.headers.to.tag}"] += 1

    @invariant()
    def one_final_response(self) -> None:
        for served in self.servers.values():
            assert len(served.finals) <= 1

    @invariant()
    def one_result(self) -> None:
        """To a request that is no INVITE one final response; to an INVITE one refusal, or 2xx."""
        for it in self.clients.values():
            assert not it.provisional_after_final
            assert it.over <= 1
            assert not (it.over and it.finals)
            kinds = {kind.split()[0] for kind in it.finals}
            assert len(kinds) <= 1
            if it.client.request.method != "INVITE" or kinds - {"2"}:
                assert it.finals.total() <= 1

    @invariant()
    def each_waits_for_something(self) -> None:
        """For its user or for a timer; and no timer is behind the clock."""
        deadlines = []
        for transaction in self.living():
            machine = transaction.machine
            if machine.deadline is None:
                assert machine.state in {State.PROCEEDING, State.TRYING}
            else:
                deadlines.append(machine.deadline)
        assert self.layer.deadline == min(deadlines, default=None)

    @invariant()
    def tables_are_true(self) -> None:
        assert len(self.layer) == len(self.living())
        open_requests = any(
            it.client.machine.state is not State.TERMINATED for it in self.clients.values()
        )
        assert self.layer.asks(PEER[0]) == open_requests

    def living(self) -> list[Client | Server]:
        every: list[Client | Server] = [it.client for it in self.clients.values()]
        every += [it.server for it in self.servers.values()]
        return [it for it in every if it.machine.state is not State.TERMINATED]

    def teardown(self) -> None:
        """Each user answers, or gives up; time passes; nothing is left."""
        for served in self.servers.values():
            self.answers(served, 503)
        for asked in self.clients.values():
            if asked.client.machine.state is State.PROCEEDING:
                self.layer.abandon(asked.client)
        self.passes(FOREVER)
        assert len(self.layer) == 0
        assert self.layer.deadline is None
        assert not self.layer.asks(PEER[0])
        assert not any(self.layer.is_merged(it.server.request) for it in self.servers.values())


def read(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def respond(to: Request, status: int) -> Response:
    asked = to.headers
    fields = [("Via", str(asked.via)), *((n, asked.get(n) or "") for n in ("From", "Call-ID"))]
    fields += [("To", f"{asked.get('To')};tag=us"), ("CSeq", asked.get("CSeq") or "")]
    return Response(status, "X", Headers(fields))


Layer.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLayer = Layer.TestCase
