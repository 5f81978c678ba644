"""Takeover: the peer asks for another party in its own place (REFER), and we call her. Pure.

    Referred ──▶ accepted ──▶ calling ──▶ answered: she has the conversation, the peer is told 200
                     │            └────▶ refused: the peer is told, and keeps the conversation
                     └ the peer says BYE at once, as many do: the conversation waits for her

The model and the line stay as they are; only the telephone is another. Whom we may call for the
peer is said in onward.py. It has no socket, task or clock of its own.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from gateway.rtp.port import RtpPort
from gateway.sdp.description import SdpError
from gateway.sip.agent import phrase
from gateway.sip.event import Answered, CallEvent, Ended, Progress

from .exchange import Destination, Exchange
from .prepare import Refused, host_towards, located
from .record import Transfer as Entry
from .telephone import Telephone

RINGING = 45.0  # s that she may ring
OK, NOT_ACCEPTABLE, NO_ANSWER, GIVEN_UP, UNAVAILABLE = 200, 488, 408, 487, 503


class Host(Protocol):
    """The call that is to have another party."""

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something run until the call is over."""

    def follow(self, telephone: Telephone) -> None:
        """She answered: the conversation is hers."""

    def given_up(self) -> None:
        """She will not be reached."""

    def failed(self, error: BaseException) -> None:
        """Something of ours is broken: the call cannot go on."""


class Takeover:
    """One REFER of the peer, which is `peer`; the sound stays at `port`."""

    def __init__(
        self,
        exchange: Exchange,
        host: Host,
        entry: Entry,
        *,
        peer: Telephone,
        port: RtpPort,
        to: Destination,
    ) -> None:
        self.over = False
        self.deadline: float | None = None  # when `handle_timer` is next due
        self._x = exchange
        self._host = host
        self._entry = entry
        self._peer = peer
        self._port = port
        self._to = to
        self._telephone = Telephone(exchange, self)

    def begin(self) -> None:
        """Accept what the peer wants, and call."""
        now = self._x.clock()
        self.deadline = now + RINGING
        self._x.act(self._x.endpoint.accept_referral(self._peer.handle, now))
        self._host.start(self._call())

    def receive(self, event: CallEvent) -> None:
        """Take an event of the call to the new party."""
        try:
            self._receive(event)
        except SdpError:
            self._fail(NOT_ACCEPTABLE)
            self._telephone.hang_up(None)
        except Exception as error:  # a border: the SIP core that called is not at fault
            self._host.failed(error)

    def handle_timer(self, now: float) -> None:
        """Give up a party that does not answer."""
        if self.deadline is not None and now >= self.deadline:
            self._fail(NO_ANSWER)
            self._telephone.hang_up(None)

    def close(self) -> None:
        """Give back everything; harmless when that was done, or she has the call."""
        if not self.over:
            self._telephone.leave()
            self._telephone.hang_up(None)
            self._fail(GIVEN_UP)

    async def _call(self) -> None:
        try:
            host = await host_towards(self._to, self._x)
            if not self.over:
                self._telephone.use(self._port, host)
                self._telephone.call(located(self._to, self._x), host)
        except Refused as refused:
            self._fail(refused.refusal.status)

    def _receive(self, event: CallEvent) -> None:
        if not isinstance(event, Ended):
            self._telephone.receive(event)
        match event:
            case Progress(status=status) if not self.over:
                self._entry.status = status
                self._report(status)
            case Answered() if not self.over:
                self.over, self.deadline = True, None
                self._entry.status, self._entry.answered_at = OK, self._x.wall()
                self._report(OK)
                self._host.follow(self._telephone)
            case Ended() if not self.over and self._telephone.retry(event):
                pass  # she is called once more
            case Ended(status=status):
                self._telephone.leave()
                self._fail(status or UNAVAILABLE)
            case _:
                pass

    def _fail(self, status: int) -> None:
        if not self.over:
            self.over, self.deadline = True, None
            self._entry.status, self._entry.ended_at = status, self._x.wall()
            self._report(status)
            self._host.given_up()

    def _report(self, status: int) -> None:
        handle, now = self._peer.handle, self._x.clock()
        self._x.act(self._x.endpoint.report_referral(handle, status, phrase(status), now))
