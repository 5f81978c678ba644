"""The SIP core: bytes in, outputs and a deadline out.

Pure, and only a router: a message goes to its transaction (layer.py), to its call (calls.py), or to
what answers all others (outside.py); a command to its call or registration. Every command and every
input returns what to do, in order; `deadline` is when `handle_timer` is next due.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from .agent import UserAgent, phrase
from .authentication import Screen
from .calls import Calls
from .digest import Credentials
from .event import (
    Address,
    Answered,
    Confirmed,
    Ended,
    Event,
    Flow,
    Identity,
    Incoming,
    Informed,
    Locate,
    Offered,
    Output,
    Progress,
    ReferralProgress,
    Referred,
    RefreshDue,
    Refused,
    Registered,
    Transmit,
    Unregistered,
)
from .grammar import SipError
from .layer import Acknowledged, Delivery, Received, TransactionLayer, Unanswered, Unsent
from .message import Request, Response, parse
from .multipart import unwrapped
from .outside import OVERLOAD, Outside
from .registrar import Binding, Registrar
from .registration import Registration, Registrations
from .session_timer import INTERVAL
from .uac import Outcome, Reply, Silence, Unreachable, UserAgentClient

__all__ = [
    "Address", "Answered", "Confirmed", "Ended", "Endpoint", "Event", "Flow", "Identity",
    "Incoming", "Informed", "Locate", "Offered", "Output", "Progress", "ReferralProgress",
    "Referred", "RefreshDue", "Refused", "Registered", "Transmit", "Unregistered",
]  # fmt: skip

MAX_TRANSACTIONS = 10_000  # of some 5 kB each; beyond, new requests are answered 503 and forgotten


class Endpoint:
    """All calls of one process.

    `token` returns a new random string of token characters, at least 64 bits, at each call.
    `public_address` is the host written into Via and Contact; by default the flow's own.
    `session_expires`: after how many seconds a call that nobody refreshed is over (RFC 4028), 90
    or more; 0: we do not ask for that. `screen` says who a request is from; without one everybody
    is served. `credentials`, by trunk, are for the challenges of those who call us.
    """

    def __init__(
        self,
        *,
        token: Callable[[], str],
        user_agent: str = "gateway",
        public_address: str | None = None,
        session_expires: int = INTERVAL,
        screen: Screen | None = None,
        credentials: Mapping[str, Credentials] = MappingProxyType({}),
        max_transactions: int = MAX_TRANSACTIONS,
    ) -> None:
        self.counts: Counter[str] = Counter()  # what was ignored or answered without a call
        self._agent = UserAgent(
            token=token,
            name=user_agent,
            public_address=public_address,
            session_expires=session_expires,
        )
        self._layer = TransactionLayer()
        self._uac = UserAgentClient(self._layer, self._agent)
        self._registrar = Registrar()
        self._registrations = Registrations(self._uac, self._agent)
        self._calls = Calls(self._layer, self._uac, self._agent, credentials)
        self._outside = Outside(
            self._layer,
            self._agent,
            self._calls,
            self._registrar,
            screen=screen,
            max_transactions=max_transactions,
            counts=self.counts,
        )

    @property
    def draining(self) -> bool:
        """Does the process stop? OPTIONS is answered 503; refusing calls is their owner's."""
        return self._outside.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._outside.draining = draining

    @property
    def calls(self) -> int:
        """Calls that have not ended."""
        return self._calls.going_on

    @property
    def unanswered(self) -> bool:
        """Is a BYE on its way, or any other request of ours? Whoever closes the sockets waits."""
        asking = self._layer.asking or self._uac.locating
        return asking or self._calls.owes_bye

    def send_owed_byes(self, now: float) -> list[Output]:
        """BYE at once to every call that has ended on our side before the ACK of our 2xx came.

        For a process that is about to close its sockets. §15 would have us wait for that ACK, or
        32 s; a peer whose ACK is under way gets the BYE a little early, which it has to answer
        anyhow, and one that never hears of the end keeps a dead call.
        """
        return self._calls.send_owed_byes(now)

    def awaits(self, data: bytes, host: str) -> bool:
        """Is this a response from a host that a request of ours has gone to, and is not over?

        Or a request within a call of ours: whom we called may say BYE from anywhere, and our tag
        in its To is a random one that nobody else knows. Told from the first bytes: for whoever
        reads nothing of hosts that may not call, but must hear what a route or a target outside of
        them says. A response is never answered.
        """
        if data.startswith(b"SIP/2.0 "):
            return self._layer.asks(host)
        return self._calls.expects(data)

    def uses(self, flow: Flow) -> bool:
        """Is this the way to the peer of a call, or to a phone that registered with us?

        Then it is kept open, though it may be silent.
        """
        return self._calls.uses(flow) or self._registrar.uses(flow)

    @property
    def idle(self) -> bool:
        """Is nothing left behind?"""
        busy = len(self._calls) or self._registrations.by_name or self._uac.locating
        return not busy and not len(self._layer)

    # time

    @property
    def deadline(self) -> float | None:
        parts = (self._layer, self._uac, self._registrar, self._registrations, self._calls)
        return min((at for it in parts if (at := it.deadline) is not None), default=None)

    def handle_timer(self, now: float) -> list[Output]:
        outputs = self._dispatch(self._layer.handle_timer(now), now)
        outputs += self._dispatch(self._uac.handle_timer(now), now)
        outputs += self._registrations.handle_timer(now)
        self._registrar.handle_timer(now)
        return [*outputs, *self._calls.handle_timer(now)]

    # the network

    def located(self, key: str, flows: Sequence[Flow], now: float) -> list[Output]:
        """Answer a Locate: the ways to a hop, best first; none if nobody is there."""
        return self._dispatch(self._uac.located(key, flows, now), now)

    def failed(self, flow: Flow, now: float) -> list[Output]:
        """This way is none: refused, timed out, or lost (§17.1.4, §18.4)."""
        return [*self._dispatch(self._layer.fail(flow), now), *self._registrations.lose(flow, now)]

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Output]:
        """Take one message, whatever it is: a datagram, or what was cut from a stream."""
        if not data.strip(b"\r\n\0 "):
            self.counts["keepalive"] += 1  # RFC 5626 §4.4.1, and what others send instead
            return []
        try:
            message = unwrapped(parse(data))
        except SipError as error:
            return self.reject(error, flow)
        if isinstance(message, Request):
            message.headers.set_top_via(message.headers.via.seen_from(*flow.remote))
            return self._receive_request(message, flow, now)
        return self._receive_response(message, now)

    def reject(self, error: SipError, flow: Flow) -> list[Output]:
        """Answer what cannot be read, if it can be answered; also the end of a broken stream."""
        return self._outside.receive_broken(error, flow)

    def _receive_response(self, response: Response, now: float) -> list[Output]:
        one_hop = len(response.headers.elements("Via")) == 1  # else it is not ours, §8.1.3.3
        results = self._layer.receive_response(response, now) if one_hop else None
        if results is None:
            self.counts["stray_response"] += 1
            return []
        return self._dispatch(results, now)

    def _receive_request(self, request: Request, flow: Flow, now: float) -> list[Output]:
        known = "INVITE" if request.method == "ACK" else request.method
        if server := self._layer.find(request, known):
            return self._dispatch(self._layer.receive_copy(server, request, now), now)
        match request.method:
            case "ACK":
                return self._receive_ack(request, flow, now)
            case "CANCEL":
                return self._receive_cancel(request, flow, now)
            case _ if request.headers.to.tag is not None:
                return self._receive_within(request, flow, now)
            case _:
                return self._outside.receive(request, flow, now)

    def _receive_ack(self, ack: Request, flow: Flow, now: float) -> list[Output]:
        usage = self._calls.of(ack)
        if usage is None:
            self.counts["stray_ack"] += 1
            return []
        return self._calls.move(usage.call, lambda usage: usage.receive_ack(ack, flow, now))

    def _receive_cancel(self, cancel: Request, flow: Flow, now: float) -> list[Output]:
        """§9.2: the CANCEL is answered for itself, then the INVITE if it still waits."""
        server = self._layer.find(cancel, "INVITE")
        if server is None:
            return self._outside.receive_stray(cancel, flow, now)
        own = self._layer.accept(cancel, flow, None)
        ok = self._agent.respond(cancel, 200, tag=server.call or self._agent.token())
        outputs: list[Output] = [*self._layer.respond(own, ok, now)]
        withdrawn = self._calls.move(
            server.call or "", lambda usage: usage.receive_cancel(server, cancel, now)
        )
        return [*outputs, *withdrawn]

    def _receive_within(self, request: Request, flow: Flow, now: float) -> list[Output]:
        usage = self._calls.of(request)
        if usage is None:
            return self._outside.receive_stray(request, flow, now)
        if self._outside.is_overrun:
            return self._outside.reject_stateless(request, flow, OVERLOAD)
        server = self._layer.accept(request, flow, usage.call)
        outputs = self._calls.move(usage.call, lambda usage: usage.receive_request(server, now))
        return [*outputs, *self._calls.replace(usage.call, now)]  # a PRACK may have freed the 200

    # commands: what the owner of a call does; on a call that has ended they do nothing

    def ring(self, call: str, now: float, *, body: bytes = b"") -> list[Output]:
        """180 to an INVITE that waits; 183 with a session description, for early media.

        Sent reliably where the peer requires that, or supports it and there is a body. Of an INVITE
        without an offer the body is ours, and Confirmed brings its answer.
        """
        return self._calls.move(call, lambda usage: usage.ring(body, now))

    def answer(self, call: str, body: bytes, now: float) -> list[Output]:
        """200 with SDP to the INVITE, re-INVITE or UPDATE that waits (the UPDATE first).

        That to an INVITE is resent until its ACK comes; without one in 32 s: BYE and
        Ended("network", "no_ack"). Nothing if none waits, which is so when the peer has withdrawn a
        re-INVITE. A 200 waits for the PRACK of a session description that was sent before it, and
        leaves out what was agreed by that. A call that is replaced by this one ends then.
        """
        outputs = self._calls.move(call, lambda usage: usage.answer(body, now))
        return [*outputs, *self._calls.replace(call, now)]

    def refuse(
        self,
        call: str,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> list[Output]:
        """Refuse the INVITE, re-INVITE or UPDATE that waits (the UPDATE first).

        `reason`: another phrase than the RFC's. ValueError for a status below 300.
        """
        if status < 300:
            raise ValueError(f"{status} does not refuse")
        return self._calls.move(
            call, lambda usage: usage.refuse(status, now, reason=reason, headers=headers)
        )

    def bye(self, call: str, now: float, *, reason: str | None = None) -> list[Output]:
        """End a call in any state. `reason`: the value of a Reason header (RFC 3326).

        BYE once it is confirmed, after the ACK or its timeout if only answered (§15); 480 to an
        INVITE that waits; CANCEL of one that we sent, and BYE should a 2xx cross it.
        """
        return self._calls.move(call, lambda usage: usage.hang_up(now, reason=reason))

    def invite(
        self,
        target: str,
        way: Flow | Binding | None,
        body: bytes,
        now: float,
        *,
        from_uri: str,
        headers: Sequence[tuple[str, str]] = (),
        route: str | None = None,
        credentials: Credentials | None = None,
        redirects: bool = False,
    ) -> tuple[str, list[Output]]:
        """Call `target`, by this `way` or to wherever its URI leads. Returns the new call's handle.

        `from_uri` is a URI, or a name and a URI in brackets; SipError (a ValueError) if neither.
        `route`: the URI of a proxy to send it by. `credentials` answer the challenges of this call.
        `redirects`: ask whom a 3xx names, at most five; else it is a refusal.
        """
        return self._calls.place(
            way,
            lambda usage: usage.place(
                target,
                from_uri,
                headers,
                body,
                now,
                route=route,
                credentials=credentials,
                redirects=redirects,
            ),
        )

    def call_id(self, call: str) -> str | None:
        """The Call-ID of a call that is not forgotten yet."""
        usage = self._calls.find(call)
        return usage.call_id if usage else None

    def allows(self, call: str, method: str, *, unknown: bool = True) -> bool:
        """Does the peer take this method, by its latest Allow? `unknown` where it said nothing."""
        usage = self._calls.find(call)
        return usage is not None and usage.allows(method, unknown=unknown)

    def reinvite(self, call: str, body: bytes, now: float) -> list[Output]:
        """Offer another session. Refused(491) at once while another offer is open.

        Where the peer's offer meets ours, ours is sent again after a while, as it is, up to three
        times; then Refused(491).
        """
        return self._calls.move(call, lambda usage: usage.reinvite(body, now))

    def update(self, call: str, body: bytes, now: float) -> list[Output]:
        """Offer another session by UPDATE, if the peer allows that, else as reinvite().

        Before the call is answered only by UPDATE, and only where the first offer has been answered
        reliably: else Refused(491).
        """
        return self._calls.move(call, lambda usage: usage.update(body, now))

    def inform(self, call: str, content_type: str, body: bytes, now: float) -> list[Output]:
        """INFO with this body; what the peer makes of it is not told."""
        return self._calls.move(call, lambda usage: usage.inform(content_type, body, now))

    def refer(
        self,
        call: str,
        target: str,
        now: float,
        *,
        referred_by: str | None = None,
        replaces: str | None = None,
        quiet: bool = False,
    ) -> list[Output]:
        """Ask the peer to call `target`, a URI (RFC 3515); ReferralProgress tells how it goes.

        `replaces`: a call of ours with the target, that the new one is to take the place of: an
        attended transfer. `quiet`: without being told (RFC 4488). Nothing on a call that is not
        answered. SipError (a ValueError) for what is no URI, ValueError for a second one at a time.
        """
        place = self._calls.place_in(replaces) if replaces else None
        return self._calls.refer(
            call,
            lambda referrals: (
                referrals.refer(target, now, referred_by=referred_by, replaces=place, quiet=quiet)
                if place or not replaces
                else [ReferralProgress(call, 481, phrase(481), final=True)]  # it has just ended
            ),
        )

    def accept_referral(self, call: str, now: float) -> list[Output]:
        """202 to the REFER that waits (Referred): we call whom the peer names."""
        return self._calls.refer(call, lambda referrals: referrals.accept(now))

    def refuse_referral(self, call: str, status: int, now: float) -> list[Output]:
        """Refuse the REFER that waits. ValueError for a status below 300."""
        if status < 300:
            raise ValueError(f"{status} does not refuse")
        return self._calls.refer(call, lambda referrals: referrals.refuse(status, now))

    def report_referral(self, call: str, status: int, reason: str, now: float) -> list[Output]:
        """Tell the peer how the call goes that it asked for; from 200 on that is the end of it."""
        return self._calls.refer(call, lambda referrals: referrals.report(status, reason, now))

    # where we are registered, and who is with us

    def register(
        self,
        name: str,
        registrar: str,
        now: float,
        *,
        aor: str,
        credentials: Credentials | None,
        expires: int,
    ) -> list[Output]:
        """Register the URI `aor` at `registrar`, and keep it so until unregister().

        Registered and Unregistered tell of each change, and of each refresh. `expires` in s.
        ValueError for a name that is in use, SipError (one, too) for what is no URI.
        """
        return self._registrations.add(
            name, registrar, now, aor=aor, credentials=credentials, expires=expires
        )

    def unregister(self, name: str, now: float) -> list[Output]:
        """Remove the binding; nothing if there is none of this name."""
        return self._registrations.remove(name, now)

    def reregister(self, name: str, now: float) -> list[Output]:
        """Register anew at once, because our address has changed."""
        return self._registrations.refresh(name, now)

    @property
    def registrations(self) -> Mapping[str, Registration]:
        """By name; those that are not over."""
        return self._registrations.by_name

    def host(self, flow: Flow) -> str:
        """Our host as the peer at this flow sees it, as far as we know."""
        return self._agent.host(flow)

    def binding(self, trunk: str, user: str, now: float) -> Binding | None:
        """Where the phone of a user is, if it has registered with us."""
        return self._registrar.find(trunk, user, now)

    # pieces

    def _dispatch(self, results: Iterable[Output | Delivery | Outcome], now: float) -> list[Output]:
        """Let what the transactions say reach its call."""
        outputs: list[Output] = []
        for result in results:
            match result:
                case Received() | Unanswered() | Unsent():
                    outputs += self._dispatch(self._uac.receive(result, now), now)
                case Acknowledged() | Reply() | Silence() | Unreachable():
                    told = self._calls.receive(result, now)
                    if told is None and not isinstance(result, Acknowledged):
                        told = self._registrations.receive(result, now)
                    outputs += told or []
                case _:
                    outputs.append(result)
        return outputs
