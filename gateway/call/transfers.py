"""Transfers: who a call is with changes: by the model's wish or the peer's, one at a time. Pure.

    handover    the model wants the caller to talk with somebody else (handover.py)
    takeover    the peer wants another party in its place: REFER (takeover.py)
    replace     another party takes the place by herself: an INVITE with Replaces (RFC 3891)

The call may outlive its telephone for a moment: the peer says BYE when it has asked, and the other
party has not answered yet. All attempts are in the record.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Literal, Protocol
from urllib.parse import quote

from gateway.rtp.port import RtpPort
from gateway.sdp.description import SdpError
from gateway.sdp.negotiation import Media
from gateway.sip.address import Uri
from gateway.sip.event import CallEvent, Ended, Incoming, Informed, ReferralProgress, Referred
from gateway.text import cleaned

from .carrier import SAFE
from .ending import Ending, Refusal, incompatible
from .exchange import Exchange
from .handover import Handover
from .onward import Onward
from .record import Record
from .record import Transfer as Entry
from .takeover import Takeover
from .talk import Talk
from .telephone import Telephone
from .transfer import GRACE, Transfer

DECLINE = 603
BUSY = Refusal(486, "busy", "This call is being transferred")


class Subject(Protocol):
    """The call that is transferred; it is answered."""

    @property
    def telephone(self) -> Telephone:
        """Whom it is with."""

    @property
    def sound(self) -> tuple[Talk, RtpPort] | None:
        """Its sound, and where; None: there is none yet."""

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something run until the call is over."""

    def receive(self, event: CallEvent) -> None:
        """Take an event of the telephone's call."""

    def follow(self, telephone: Telephone, host: str | None) -> None:
        """Be with another telephone; `host` is the IP address that its SIP comes from."""

    def release(self) -> None:
        """The model is no longer needed."""

    def go_on(self, error: Mapping[str, Any]) -> None:
        """A transfer came to nothing: the model goes on."""

    def leave(self, ending: Ending) -> None:
        """End the call."""

    def ended(self, event: Ended) -> None:
        """The telephone's call was over before, and nothing keeps the call any more."""

    def moved(self) -> None:
        """Deadlines may be others now."""

    def failed(self, error: BaseException) -> None:
        """Something of ours is broken: the call cannot go on."""


class Transfers:
    """Those of one call; `onward` says where its trunk's calls may go."""

    def __init__(
        self,
        exchange: Exchange,
        subject: Subject,
        record: Record,
        onward: Onward,
        source_mode: Literal["sdp", "learn"],
    ) -> None:
        self._x = exchange
        self._subject = subject
        self._record = record
        self._onward = onward
        self._source_mode = source_mode  # who may send RTP
        self._handover: Handover | None = None
        self._takeover: Takeover | None = None
        self._former: tuple[Telephone, float] | None = None  # whom the call was with; BYE then
        self.outlived: Ended | None = None  # of the telephone's call, when the call goes on

    @property
    def busy(self) -> bool:
        """The call is being transferred, or has been handed over."""
        handover, takeover = self._handover, self._takeover
        return bool((handover and not handover.transfer.over) or (takeover and not takeover.over))

    @property
    def ending(self) -> Ending | None:
        """Why the call is over, should the peer say BYE now; None: as always."""
        return self._handover.transfer.ending if self._handover else None

    # -- the model's wish

    def hand_over(self, name: str, uri: str) -> None:
        """Connect the caller with a place of the agent's."""
        sound = self._subject.sound
        if self.busy or sound is None:
            self._subject.go_on({"error": "The call is being transferred already."})
            return
        telephone = self._subject.telephone
        us = self._us(telephone)
        to = self._onward.destination(uri, caller=self._other, headers=[("Referred-By", us)])
        entry = Entry(name, uri, self._onward.by)
        self._record.transfers.append(entry)
        transfer = Transfer(
            entry,
            self._onward.by,
            # the peer cannot reach a phone of ours: only we have the way to it
            refers=not (to and to.phone) and self._x.endpoint.allows(telephone.handle, "REFER"),
            wall=lambda now: self._x.wall(),
        )
        self._handover = Handover(
            self._x,
            self,
            transfer,
            caller=telephone,
            talk=sound[0],
            uri=self._onward.referral(uri),
            to=to,
            referred_by=us,
            source_mode=self._source_mode,
        )
        self._handover.begin()

    def referral(self, event: ReferralProgress) -> None:
        """The peer told what became of our REFER."""
        if self._handover:
            self._handover.referred(event.status, final=event.final)

    def informed(self, event: Informed) -> bool:
        """The telephone sent INFO; whether it is for whom the caller talks with now."""
        return self._handover is not None and self._handover.informed(event)

    # -- the peer's wish

    def referred(self, event: Referred) -> None:
        """The peer wants us to call another party, for the call to go on with."""
        sound, handle, now = self._subject.sound, self._subject.telephone.handle, self._x.clock()
        headers = [("Referred-By", event.referred_by)] if event.referred_by else []
        to = self._onward.asked(event.target, caller=self._other, headers=headers)
        if to is None or sound is None or self.busy:
            self._x.act(self._x.endpoint.refuse_referral(handle, DECLINE, now))
            return
        entry = Entry(None, cleaned(to.target), "peer")
        self._record.transfers.append(entry)
        self._takeover = Takeover(
            self._x, self, entry, peer=self._subject.telephone, port=sound[1], to=to
        )
        self._takeover.begin()

    def replace(self, invite: Incoming) -> None:
        """Another party wants the place of the one that we talk with."""
        telephone = Telephone(self._x, self._subject, invite.call, flow=invite.flow)
        if no := self._refusal(telephone, invite):
            telephone.leave()  # its end is not the call's
            telephone.refuse(no)
            return
        to = cleaned(str(invite.request.headers.from_.uri))
        self._record.transfers.append(Entry(None, to, "peer", 200, self._x.wall()))
        former = self._subject.telephone
        former.leave()  # the SIP core ends its call as soon as this one is answered
        telephone.answer()
        self._subject.follow(telephone, invite.flow.remote[0])

    def _refusal(self, telephone: Telephone, invite: Incoming) -> Refusal | None:
        sound = self._subject.sound
        if self.busy or sound is None:
            return BUSY
        telephone.use(sound[1], self._x.endpoint.host(invite.flow))
        try:
            telephone.agree(invite.request.body)
        except SdpError as error:
            return incompatible(error)
        return None

    # -- the call goes on, and ends

    def agreed(self, media: Media) -> None:
        """The caller's sound was agreed anew."""
        if self._handover:
            self._handover.follow(media)

    def outlives(self, event: Ended) -> bool:
        """The telephone's call is over; whether the call is not, for a moment."""
        if self._handover and not self._handover.transfer.over:
            self._handover.caller_ended()
        if self.busy and self.outlived is None:
            self.outlived = event
        return self.busy

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` is next due."""
        due = [self._former[1]] if self._former else []
        due += [
            it.deadline for it in (self._handover, self._takeover) if it and it.deadline is not None
        ]
        return min(due, default=None)

    @property
    def silent_at(self) -> float | None:
        """When a party without RTP is given up; None: never."""
        sound = self._subject.sound
        if self._handover and not self._handover.transfer.over:
            return self._handover.silent_at
        return sound[0].silent_at if sound and not self.outlived else None

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if self._former and now >= self._former[1]:
            telephone, self._former = self._former[0], None
            telephone.hang_up(None)
        if self._handover:
            self._handover.handle_timer(now)
        if self._takeover:
            self._takeover.handle_timer(now)

    def close(self) -> None:
        """The call is over: give back everything, and complete what is in the record."""
        if self._former:
            self._former[0].hang_up(None)
        if self._takeover:
            self._takeover.close()
        if self._handover:
            self._handover.close()
        for entry in self._record.transfers:
            entry.ended_at = entry.ended_at or self._x.wall()

    # -- as the host of both

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._subject.start(work)

    def release(self) -> None:
        self._subject.release()

    def leave(self, ending: Ending) -> None:
        self._subject.leave(ending)

    def go_on(self, error: Mapping[str, Any]) -> None:
        handover, self._handover = self._handover, None
        if handover:
            handover.close()
        self._subject.go_on(error)

    def moved(self) -> None:
        if self.outlived and not self.busy:
            event, self.outlived = self.outlived, None
            self._subject.ended(event)
        self._subject.moved()

    def follow(self, telephone: Telephone) -> None:
        former, self.outlived = self._subject.telephone, None
        former.leave()
        self._former = (former, self._x.clock() + GRACE)
        self._subject.follow(telephone, None)

    def given_up(self) -> None:
        self.moved()

    def failed(self, error: BaseException) -> None:
        self._subject.failed(error)

    # -- names

    @property
    def _other(self) -> str | None:
        """The number of whom we talk with."""
        record = self._record
        return record.from_ if record.direction == "inbound" else record.to

    def _us(self, telephone: Telephone) -> str:
        """Who we are, for Referred-By (RFC 3892)."""
        record = self._record
        user = record.to if record.direction == "inbound" else record.from_
        return f"<{Uri('sip', quote(user, safe=SAFE) if user else None, telephone.host)}>"
