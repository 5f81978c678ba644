"""The transaction layer: all transactions of one endpoint (RFC 3261 §17).

Pure. Finds the transaction of a message (§17.1.3, §17.2.3), runs its machine, turns what the
machine sends into datagrams on the transaction's flow, and says what is for which call. A
response goes back to the host that its request came from and nowhere else, each copy by the same
way (route.py); a request of ours, its copies, its CANCEL and the ACK of a refusal go by theirs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .event import Flow, Transmit
from .message import Request, Response
from .route import WayBack, response_flow
from .schedule import Schedule
from .transaction import (
    Action,
    Deliver,
    InviteClient,
    InviteServer,
    NonInviteClient,
    NonInviteServer,
    Send,
    State,
    TimedOut,
)

MAGIC_COOKIE = "z9hG4bK"  # §8.1.1.7
Key = tuple[str, ...]


@dataclass(slots=True, eq=False)
class Client:
    key: Key
    machine: InviteClient | NonInviteClient
    request: Request
    flow: Flow
    owner: object  # who asked, and is handed each response; None: nobody waits for it


@dataclass(slots=True, eq=False)
class Server:
    key: Key
    machine: InviteServer | NonInviteServer
    request: Request
    flow: Flow  # where the request came from
    way_back: WayBack  # where its responses go
    call: str | None


@dataclass(frozen=True, slots=True)
class Received:
    """A response to a request of ours."""

    client: Client
    response: Response


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No final response to a request of ours came in time."""

    client: Client


@dataclass(frozen=True, slots=True)
class Unsent:
    """A request of ours did not get to the peer: its way is no way (§17.1.4)."""

    client: Client


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An ACK of a call's 2xx came with the branch of the INVITE."""

    call: str
    ack: Request


Delivery = Received | Unanswered | Unsent | Acknowledged


class TransactionLayer:
    def __init__(self) -> None:
        self._clients: dict[Key, Client] = {}
        self._servers: dict[Key, Server] = {}
        self._asked: Counter[str] = Counter()  # hosts, by requests that are not yet over
        self._seen: dict[Key, Server] = {}  # by what copies over other paths have in common
        self._schedule: Schedule[Client | Server] = Schedule()

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    @property
    def deadline(self) -> float | None:
        return self._schedule.deadline

    @property
    def asking(self) -> bool:
        """Does a request of ours wait for its final response?"""
        waiting = {State.CALLING, State.TRYING, State.PROCEEDING}
        return any(client.machine.state in waiting for client in self._clients.values())

    def asks(self, host: str) -> bool:
        """May a response come from this host?"""
        return host in self._asked

    # as a server

    def find(self, request: Request, method: str) -> Server | None:
        """Return the transaction that `request` belongs to as if its method were `method`."""
        return self._servers.get(_server_key(request, method))

    def is_merged(self, request: Request) -> bool:
        """Has this request already come by another way (§8.2.2.2)?"""
        return _merge_key(request) in self._seen

    def accept(self, request: Request, flow: Flow, call: str | None) -> Server:
        """Begin a server transaction."""
        machine = (
            InviteServer(reliable=flow.transport != "udp")
            if request.method == "INVITE"
            else NonInviteServer(reliable=flow.transport != "udp")
        )
        way_back = response_flow(request.headers.via, flow)
        key = _server_key(request, request.method)
        server = Server(key, machine, request, flow, way_back, call)
        self._servers[server.key] = server
        self._seen.setdefault(_merge_key(request), server)
        return server

    def receive_copy(
        self, server: Server, request: Request, now: float
    ) -> list[Transmit | Delivery]:
        """Give a machine a copy of its request, or an ACK."""
        return self._perform(server, server.machine.receive(request, now))

    def respond(self, server: Server, response: Response, now: float) -> list[Transmit]:
        """Send a response; of a transaction that is over, nothing."""
        if server.machine.state is State.TERMINATED:
            return []
        return self._send(server, server.machine.respond(response, now))

    # as a client

    def request(
        self, request: Request, flow: Flow, owner: object, now: float
    ) -> tuple[Client, list[Transmit]]:
        """Begin a client transaction."""
        machine = (
            InviteClient(request, reliable=flow.transport != "udp")
            if request.method == "INVITE"
            else NonInviteClient(request, reliable=flow.transport != "udp")
        )
        client = Client((request.headers.via.branch, request.method), machine, request, flow, owner)
        self._clients[client.key] = client
        self._asked[flow.remote[0]] += 1
        return client, self._send(client, machine.start(now))

    def receive_response(self, response: Response, now: float) -> list[Transmit | Delivery] | None:
        """Route a response. None: it belongs to no transaction."""
        headers = response.headers
        client = self._clients.get((headers.via.branch, headers.cseq.method))
        if client is None:
            return None
        return self._perform(client, client.machine.receive(response, now))

    def abandon(self, client: Client) -> None:
        """Give up a request that nothing answers (§9.1)."""
        client.machine.abandon()
        self._settle(client)

    def fail(self, flow: Flow) -> list[Delivery]:
        """Give up what went by this way and has not been answered at all (§17.1.4).

        What has had a provisional response is known to the peer, who may yet answer by another
        connection (§18.2.2).
        """
        lost = [
            client
            for client in self._clients.values()
            if client.flow == flow and client.machine.state in {State.CALLING, State.TRYING}
        ]
        for client in lost:
            self.abandon(client)
        return [Unsent(client) for client in lost]

    # both

    def handle_timer(self, now: float) -> list[Transmit | Delivery]:
        results: list[Transmit | Delivery] = []
        for transaction in self._schedule.pop_due(now):
            results += self._perform(transaction, transaction.machine.handle_timer(now))
        return results

    def _send(self, transaction: Client | Server, actions: list[Action]) -> list[Transmit]:
        self._settle(transaction)
        way = WayBack(transaction.flow) if isinstance(transaction, Client) else transaction.way_back
        return [
            Transmit(action.message.encode(), *way)
            for action in actions
            if isinstance(action, Send)
        ]

    def _perform(
        self, transaction: Client | Server, actions: list[Action]
    ) -> list[Transmit | Delivery]:
        results: list[Transmit | Delivery] = [*self._send(transaction, actions)]
        for action in actions:
            match action, transaction:
                case Deliver(Response() as response), Client() as client:
                    results.append(Received(client, response))
                case Deliver(Request() as ack), Server(call=str() as call):
                    results.append(Acknowledged(call, ack))
                case TimedOut(), Client() as client:
                    results.append(Unanswered(client))
                case _:
                    pass  # that no ACK came to a refusal (timer H) changes nothing
        return results

    def _settle(self, transaction: Client | Server) -> None:
        """Keep the table and the schedule true after any move of a machine."""
        self._schedule.set(transaction, transaction.machine.deadline)
        if transaction.machine.state is not State.TERMINATED:
            return
        if isinstance(transaction, Client):
            if self._clients.pop(transaction.key, None):
                self._forget(transaction.flow.remote[0])
            return
        self._servers.pop(transaction.key, None)
        merge_key = _merge_key(transaction.request)
        if self._seen.get(merge_key) is transaction:
            del self._seen[merge_key]

    def _forget(self, host: str) -> None:
        self._asked[host] -= 1
        if not self._asked[host]:
            del self._asked[host]


def _server_key(request: Request, method: str) -> Key:
    """§17.2.3. A peer of RFC 2543 has no branch to go by: then most of the message.

    Nor has one that sends the cookie with nothing behind it (RFC 4475 §3.2.1).
    """
    headers = request.headers
    via = headers.via
    if via.branch.startswith(MAGIC_COOKIE) and via.branch != MAGIC_COOKIE:
        return via.branch, via.sent_by, method
    tag = headers.from_.tag or ""
    return request.uri, tag, headers.call_id, str(headers.cseq.number), str(via), method


def _merge_key(request: Request) -> Key:
    headers = request.headers
    return headers.from_.tag or "", headers.call_id, str(headers.cseq.number), request.method
