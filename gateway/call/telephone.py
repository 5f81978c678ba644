"""Telephone: one SIP call as the call above it sees it: its handle, and what was agreed with it.

Both roles: called, or calling (with early media, of each fork its own). A call keeps one, and may
change it for another in mid-call when a transfer puts another SIP call in its place. It has no
socket, task or clock of its own. Offers and answers come and go here (RFC 3264), in both orders:
the peer's INVITE may leave the offer to our 200, and its ACK then has the answer. What is agreed
moves the sound, which is the owner's.

How the sound may be encrypted is the operator's (`Exchange.encryption`). Where that is optional, a
peer that refuses our offer is called once more without a word of it: some stumble over `a=crypto`
in RTP/AVP.
"""

from __future__ import annotations

from gateway.rtp.port import RtpPort
from gateway.rtp.source import is_private
from gateway.sdp.description import MISCELLANEOUS, SdpError, parse
from gateway.sdp.fingerprint import Fingerprint
from gateway.sdp.negotiation import Local, Media, Negotiation
from gateway.sdp.security import Encryption, Keying
from gateway.sip.address import Uri
from gateway.sip.event import (
    Answered,
    CallEvent,
    Confirmed,
    Ended,
    Flow,
    Offered,
    Progress,
    RefreshDue,
)
from gateway.sip.grammar import param
from gateway.sip.info import relay

from .ending import Refusal, incompatible
from .exchange import Destination, Exchange, Owner

NOT_ACCEPTABLE = (488, 606)  # RFC 3261 §21.4.26, §21.6.4


class Telephone:
    """One SIP call of `owner`; `handle` and `flow` are those of an INVITE that came."""

    def __init__(
        self, exchange: Exchange, owner: Owner, handle: str = "", flow: Flow | None = None
    ) -> None:
        self.handle = handle  # "": nobody was called yet
        self.media: Media | None = None  # what was agreed last
        self.announced = False  # the peer knows our port
        self.host = ""  # ours, as the route to the peer has it
        self._x = exchange
        self._owner = owner
        self._flow = flow
        self._negotiation: Negotiation | None = None  # until there is an offer
        self._called: tuple[Destination, str] | None = None  # with an offer of encryption
        self._local: Local | None = None
        self._description = b""  # of ours, for the next answer
        self._offers = False  # it is an offer
        self._asked = False  # an offer of ours went out in a 200
        self._early: dict[str, Media] = {}  # by fork, until one of them answers
        if handle:
            exchange.owners[handle] = owner

    def use(self, port: RtpPort, host: str, *, codec: str | None = None) -> None:
        """Have the sound at this port; `host` is ours as the peer sees it.

        `codec` comes first, where something else is joined that speaks it.
        """
        self.host = host
        own, number = port.address
        if own in ("0.0.0.0", "::"):
            own = host
        address = (self._x.media_address or own, number)
        codecs = sorted(self._x.codecs, key=lambda name: name != codec)
        self._local = Local(address, codecs, self._x.number(31))

    def belong(self, owner: Owner) -> None:
        """Tell another owner what happens, from now on."""
        self._owner = self._x.owners[self.handle] = owner

    def leave(self) -> None:
        """Hear no more of this SIP call: it is over, or another has its place."""
        self._x.owners.pop(self.handle, None)

    def receive(self, event: CallEvent) -> bool:
        """Take what came; whether something else is agreed now.

        SdpError: an answer that is none. It cannot be refused any more, only followed by BYE.
        """
        match event:
            case Progress(body=body, fork=fork):
                return self._hear_early(body, fork)
            case Answered(body=body, fork=fork):
                return self._accept(body, fork)
            case Offered(request=request):
                return self._change(request.body)
            case Confirmed(body=body):
                return self._confirm(body)
            case RefreshDue():
                self._refresh()
        return False  # a refused refresh too: what was agreed still holds

    def hang_up(self, reason: str | None) -> None:
        """BYE, or CANCEL before the answer; `reason` is the value of a Reason header."""
        self._x.act(self._x.endpoint.bye(self.handle, self._x.clock(), reason=reason))

    @property
    def takes_info(self) -> bool:
        """Does the peer say that it takes INFO?"""
        return self._x.endpoint.allows(self.handle, "INFO", unknown=False)

    def inform(self, digit: str) -> None:
        """Send a key by INFO, where the peer takes that."""
        if self.takes_info:
            kind, body = relay(digit)
            self._x.act(self._x.endpoint.inform(self.handle, kind, body, self._x.clock()))

    # -- called

    def agree(self, offer: bytes) -> None:
        """Take the offer of an INVITE; b"": `answer` makes ours. SdpError: it is no call."""
        assert self._local  # `use` comes first
        if self._negotiation is None:
            self._negotiation = Negotiation(self._keying(offer))
        if offer:
            self._description, self.media = self._negotiation.answer(offer, self._local)
        else:
            self._description = self._negotiation.offer(self._local, anew=True)
        self._offers = not offer

    def ring(self) -> None:
        """180."""
        self._x.act(self._x.endpoint.ring(self.handle, self._x.clock()))

    def answer(self) -> None:
        """200 with what `agree` led to."""
        self._asked, self.announced = self._offers, True
        now = self._x.clock()
        self._x.act(self._x.endpoint.answer(self.handle, self._description, now))

    def refuse(self, no: Refusal) -> None:
        """A final response that takes no call, or no change of it."""
        now = self._x.clock()
        self._x.act(self._x.endpoint.refuse(self.handle, no.status, now, headers=no.headers))

    # -- calling

    def call(self, to: Destination, host: str) -> None:
        """Call; Progress, Answered and Ended follow. `host` is ours on the way there."""
        optional = self._x.encryption == "optional"
        self._called = (to, host) if optional else None
        self._invite(to, host, self._x.encryption)

    def retry(self, event: Ended) -> bool:
        """Call once more, by the other way, where encryption may be why the call was refused."""
        refused = event.by == "peer" and event.cause == "refused"
        if self._called is None or not refused or event.status not in NOT_ACCEPTABLE:
            return False
        (to, host), self._called = self._called, None
        self.leave()
        self._early.clear()
        self._invite(to, host, "none" if _is_private_way(to) else "required")
        return True

    def _invite(self, to: Destination, host: str, encryption: Encryption) -> None:
        assert self._local  # `use` comes first
        keying = self._rule(encryption, private=_is_private_way(to))
        self._negotiation = Negotiation(keying)
        self.handle, outputs = self._x.endpoint.invite(
            to.target,
            to.binding,
            self._negotiation.offer(self._local),
            self._x.clock(),
            from_uri=f"<sip:{to.from_user}@{to.from_host or host}>",
            headers=to.headers,
            route=to.route,
            credentials=to.credentials,
        )
        self.announced = True
        self._x.owners[self.handle] = self._owner
        self._x.act(outputs)

    # -- encryption

    def _keying(self, offer: bytes) -> Keying:
        """The rule for a call that came, with this offer or none."""
        private = self._flow is not None and self._flow.transport in ("tls", "wss")
        passive = self._flow is not None and _is_behind_nat(offer, self._flow.remote[0])
        return self._rule(self._x.encryption, private=private, passive=passive)

    def _rule(self, encryption: Encryption, *, private: bool, passive: bool = False) -> Keying:
        number, identity = self._x.number, self._x.identity
        return Keying(
            encryption,
            random=lambda count: number(8 * count).to_bytes(count, "big"),
            certificate=Fingerprint(*identity.fingerprint) if identity else None,
            role="passive" if passive else "active",
            private=private,
        )

    # -- what came

    def _change(self, offer: bytes) -> bool:
        """A re-INVITE or UPDATE: move, hold, resume, or keep what was agreed and say 488."""
        try:
            self.agree(offer)
        except SdpError as error:
            self.refuse(incompatible(error))
            return False
        self.answer()
        return True

    def _confirm(self, body: bytes) -> bool:
        """The ACK, with the answer where our 200 had the offer."""
        if not self._asked:
            return False
        self._asked = False
        assert self._negotiation
        if not body:
            raise SdpError(MISCELLANEOUS, "the ACK has no answer to our offer")
        self.media = self._negotiation.accept(body)
        return True

    def _hear_early(self, body: bytes, fork: str) -> bool:
        """It is being worked on, perhaps with a session for early media (RFC 3960)."""
        assert self._negotiation
        try:
            media = self._negotiation.accept(body) if body else None
        except SdpError:
            return False  # what is answered may be better
        if media is None:
            return False
        self._early[fork] = media
        self.media = self.media or media
        return True

    def _accept(self, body: bytes, fork: str) -> bool:
        """Our offer was answered, in the 2xx or before it by the same fork."""
        early, self._early = self._early, {}
        assert self._negotiation
        if body:
            self.media = self._negotiation.accept(body)
        else:
            self.media = early.get(fork, self.media)
        if self.media is None:
            raise SdpError(MISCELLANEOUS, "the answer has no session")
        return True

    def _refresh(self) -> None:
        """Offer what was agreed once more (RFC 4028 §7.4: nothing of it changes)."""
        if self._local and self.media and self._negotiation:
            offer = self._negotiation.offer(self._local, self.media.direction)
            self._x.act(self._x.endpoint.reinvite(self.handle, offer, self._x.clock()))


def _is_private_way(to: Destination) -> bool:
    """Whether nobody on the way to whom we call reads the keys in the signalling."""
    if to.binding:
        return to.binding.flow.transport in ("tls", "wss")
    uri = Uri.parse(to.route or to.target)
    return uri.scheme == "sips" or (param(uri.params, "transport") or "").lower() == "tls"


def _is_behind_nat(offer: bytes, host: str) -> bool:
    """Whether the peer has to send the first datagram, so that ours find the way to it."""
    try:
        session = parse(offer)
        line = next(it for it in session.media if it.kind == "audio" and it.port)
        connection = line.connection or session.connection
        return bool(connection and is_private(connection.address) and not is_private(host))
    except (SdpError, StopIteration, ValueError):
        return False
