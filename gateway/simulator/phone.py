"""Phone ●: a SIP phone of our own, for the demo and for tests. Shell.

It calls and is called, holds, transfers, and has a handset (handset.py) that speaks, presses keys
and keeps every packet that it hears. It runs on real sockets and on virtual time alike. One call at
a time; it uses the gateway's own SIP core, so it proves the gateway against itself only: other
people's phones are in the tests.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Sequence

from gateway.audio.frame import Samples
from gateway.rtp.port import PortPool, RtpPorts
from gateway.sdp.description import SdpError
from gateway.sdp.negotiation import Local, Media, Negotiation
from gateway.sip.datagram import Binder, bind_udp
from gateway.sip.digest import Credentials
from gateway.sip.endpoint import Address, Endpoint
from gateway.sip.event import (
    Answered,
    Ended,
    Event,
    Incoming,
    Informed,
    Offered,
    Progress,
    ReferralProgress,
    Referred,
    Refused,
    Registered,
    Unregistered,
)
from gateway.sip.info import relay
from gateway.sip.message import Request
from gateway.sip.transport import Listen, Transport

from .handset import Handset, Heard
from .manners import Answering, Referring
from .scrambler import Secrecy

__all__ = ["Answering", "CallFailed", "Heard", "Phone", "Referring", "Secrecy"]


class CallFailed(Exception):
    """The call was not answered; `status` is SIP's."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(f"{ended.status} {ended.reason or ended.cause}")
        self.status = ended.status
        self.ended = ended


class Phone:
    """Made by `open`. `dial`, or be `called`, then speak; `heard` is what came back."""

    def __init__(
        self,
        ports: RtpPorts,
        codecs: Sequence[str],
        number: Callable[[int], int],
        secrecy: Secrecy,
        sequence: int | None,
    ) -> None:
        self.status = 0  # the last provisional or final status of the INVITE
        self.ended = asyncio.Event()
        self.handset = Handset(
            ports, number, self.ended, identity=secrecy.identity, sequence=sequence
        )
        self.end: Ended | None = None
        self.answering = Answering(status=486)  # what it does when somebody calls
        self.referring = Referring(refuses=603)  # what it does with a REFER
        self.invite: Request | None = None  # by which it was called last
        self.informed: list[bytes] = []  # bodies of INFO
        self.referred: list[Referred] = []  # what it was asked for
        self.progress: list[ReferralProgress] = []  # what became of its own REFER
        self._ports = ports
        self._codecs = codecs
        self._secrecy = secrecy
        self._number = number
        self._loop = asyncio.get_running_loop()
        self._transport: Transport
        self._endpoint: Endpoint
        self._call: str | None = None
        self._local: Local | None = None
        self._agreed: Media | None = None  # until it picks up
        self._negotiation = Negotiation(secrecy.keying)
        self._settled: asyncio.Future[bool] | None = None  # answer to our INVITE or re-INVITE
        self._registered: asyncio.Future[int] | None = None  # what the gateway says to REGISTER
        self._user = "100"
        self._credentials: Credentials | None = None
        self._called = asyncio.Event()
        self._picking_up: asyncio.TimerHandle | None = None
        self._telling: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls,
        address: Address = ("127.0.0.1", 0),
        *,
        codecs: Sequence[str] = ("PCMA", "PCMU"),
        ports: RtpPorts | None = None,
        bind: Binder = bind_udp,
        number: Callable[[int], int] = secrets.randbits,
        credentials: tuple[str, str] | None = None,
        secrecy: Secrecy | None = None,
        sequence: int | None = None,
    ) -> Phone:
        """Listen for SIP at `address`; OSError where it is taken.

        `credentials`: user and password, for a gateway that asks for them. `secrecy`: how its
        sound is encrypted. `sequence`: of its first packet.
        """
        pool = ports or PortPool(address[0], 30000, 39998)
        phone = cls(pool, codecs, number, secrecy or Secrecy(), sequence)
        phone._endpoint = Endpoint(token=lambda: f"{number(64):016x}", user_agent="gateway-phone")
        phone._transport = await Transport.open(
            phone._endpoint, [Listen("udp", *address)], on_event=phone._on_event, bind=bind
        )
        if credentials:
            phone._user = credentials[0]
            phone._credentials = Credentials(*credentials, token=lambda: f"{number(64):016x}")
        return phone

    async def close(self) -> None:
        """Hang up, and give everything back."""
        self.hang_up()
        self._stop()
        await self._transport.close()
        self._ports.close()

    @property
    def heard(self) -> list[Heard]:
        """Every packet that came."""
        return self.handset.heard

    @property
    def sent(self) -> int:
        """How many packets left."""
        return self.handset.sent

    @property
    def media(self) -> Media | None:
        """What was agreed last."""
        return self.handset.media

    @property
    def address(self) -> Address:
        """Where it is called, by UDP."""
        listen = self._transport.listening[0]
        return listen.host, listen.port

    async def register(self, gateway: Address, expires: int = 300) -> int:
        """Register with the gateway; returns its final status, 200 or why it did not."""
        self._registered = self._loop.create_future()
        here = f"{gateway[0]}:{gateway[1]}"
        outputs = self._endpoint.register(
            "gateway",
            f"sip:{here}",
            self._loop.time(),
            aor=f"sip:{self._user}@{here}",
            credentials=self._credentials,
            expires=expires,
        )
        self._transport.act(outputs)
        return await self._registered

    # -- the call

    async def dial(
        self, user: str, gateway: Address, *, headers: Sequence[tuple[str, str]] = ()
    ) -> Media:
        """Call, and wait for the answer; raises CallFailed."""
        now = self._loop.time()
        flow = self._transport.flow(gateway)
        self._take_port(flow.local[0])
        offer = self.description(dtls=self._secrecy.dtls)
        self._settled = self._loop.create_future()
        target = f"sip:{user}@{gateway[0]}:{gateway[1]}"
        caller = f'"Demo" <sip:{self._user}@{flow.local[0]}>'
        self._call, outputs = self._endpoint.invite(
            target,
            flow,
            offer,
            now,
            from_uri=caller,
            headers=headers,
            credentials=self._credentials,
        )
        self._transport.act(outputs)
        await self._settled
        if self.media is None:
            assert self.end
            raise CallFailed(self.end)
        return self.media

    async def called(self) -> Media:
        """Wait until it has answered a call."""
        await self._called.wait()
        assert self.media
        return self.media

    async def hold(self, direction: str = "sendonly") -> bool:
        """Offer another direction (RFC 3264 §8.4); False where it was refused."""
        return await self.offer(self.description(direction))

    def description(self, direction: str = "sendrecv", *, dtls: bool = False) -> bytes:
        """What this phone would offer now, as SDP; `dtls` counts in the first offer."""
        assert self._local
        offer = self._negotiation.offer(self._local, direction, dtls=dtls)
        return self._secrecy.offered(offer)

    async def offer(self, description: bytes, *, by_update: bool = False) -> bool:
        """Offer any session by a re-INVITE, or UPDATE; False where it was refused."""
        assert self._call
        self._settled = self._loop.create_future()
        way = self._endpoint.update if by_update else self._endpoint.reinvite
        self._transport.act(way(self._call, description, self._loop.time()))
        return await self._settled

    async def resume(self) -> bool:
        """Take the call from hold."""
        return await self.hold("sendrecv")

    async def move(self) -> bool:
        """Take the call to another RTP port by a re-INVITE."""
        assert self._local
        old = self.handset.port
        assert old
        self._take_port(self._local.address[0], self._local.session_id)
        moved = await self.resume()
        self._ports.release(old, self._loop.time())
        return moved

    def hang_up(self) -> None:
        """BYE, or CANCEL before the answer; nothing when the call is over."""
        if self._call and not self.ended.is_set():
            self._transport.act(self._endpoint.bye(self._call, self._loop.time()))

    def refer(self, target: str) -> None:
        """Ask the other end to call somebody in our place (RFC 3515)."""
        assert self._call
        self._transport.act(self._endpoint.refer(self._call, target, self._loop.time()))

    def inform(self, digits: str) -> None:
        """Press keys by INFO (RFC 6086, and the older use)."""
        assert self._call
        for digit in digits:
            kind, body = relay(digit)
            now = self._loop.time()
            self._transport.act(self._endpoint.inform(self._call, kind, body, now))

    # -- sound

    async def say(self, samples: Samples) -> None:
        """Speak (8 kHz), and wait until it was sent or the call is over."""
        await self.handset.say(samples)

    async def press(self, digits: str) -> None:
        """Press keys (RFC 4733), and wait until they were sent or the call is over."""
        await self.handset.press(digits)

    async def until_sound(self) -> None:
        """Wait until the other end makes a sound, or the call is over."""
        await self.handset.until_sound()

    async def until_silence(self, seconds: float = 0.6) -> None:
        """Wait until the other end was silent for so long, or the call is over."""
        await self.handset.until_silence(seconds)

    def recording(self) -> Samples:
        """What was heard on the axis of the RTP timestamps, gaps as silence."""
        return self.handset.recording()

    # -- inside

    def _on_event(self, event: Event) -> None:
        match event:
            case Incoming():
                self._invited(event)
            case Progress(status=status):
                self.status = status
            case Answered(body=body):
                self._answered(body)
            case Registered():
                self._answer_registering(200)
            case Unregistered(status=status):
                self._answer_registering(status)
            case Refused():
                self._settle(False)
            case Offered(call=call, request=request):
                self._offered(call, request.body)
            case Referred():
                self._referred(event)
            case ReferralProgress():
                self.progress.append(event)
            case Informed(body=body):
                self.informed.append(body)
            case Ended(call=call, status=status) if call == self._call:  # not one that was replaced
                self.status, self.end = status, event
                self.ended.set()
                self._stop()
                self._settle(False)
            case _:
                pass  # nothing that this phone does

    def _invited(self, invite: Incoming) -> None:
        """Ring, or refuse; one call at a time."""
        how, now = self.answering, self._loop.time()
        if invite.replaces and invite.replaces == self._call:
            self._go_on_with(invite)
            return
        if self._call and not self.ended.is_set():
            self._transport.act(self._endpoint.refuse(invite.call, 486, now))
            return
        self._call, self.invite = invite.call, invite.request
        self.ended.clear()
        self._called.clear()
        self._negotiation = Negotiation(self._secrecy.keying)
        self._take_port(invite.flow.local[0])
        try:
            answer, self._agreed = self._negotiation.answer(invite.request.body, self._session)
        except SdpError:
            self._transport.act(self._endpoint.refuse(invite.call, 488, now))
            return
        if how.early:
            self._transport.act(self._endpoint.ring(invite.call, now, body=answer))
            self._begin(self._agreed)
        elif how.after != 0:
            self._transport.act(self._endpoint.ring(invite.call, now))
        if how.after is not None:
            self._picking_up = self._loop.call_later(how.after, self._pick_up, answer)

    def _go_on_with(self, invite: Incoming) -> None:
        """Somebody takes the place of whom we talk with (RFC 3891)."""
        self._call, self.invite = invite.call, invite.request
        self._negotiation = Negotiation(self._secrecy.keying)
        answer, media = self._negotiation.answer(invite.request.body, self._session)
        self._transport.act(self._endpoint.answer(invite.call, answer, self._loop.time()))
        self.handset.forget()
        self.handset.agree(media)

    def _pick_up(self, answer: bytes) -> None:
        """Answer, or refuse."""
        assert self._call
        assert self._agreed
        status, now = self.answering.status, self._loop.time()
        if status >= 300:
            self._transport.act(self._endpoint.refuse(self._call, status, now))
            return
        self._transport.act(self._endpoint.answer(self._call, answer, now))
        self._begin(self._agreed)
        self._called.set()

    def _referred(self, event: Referred) -> None:
        """Refuse, or tell of a call."""
        self.referred.append(event)
        call, refuses, now = event.call, self.referring.refuses, self._loop.time()
        if refuses is not None:
            self._transport.act(self._endpoint.refuse_referral(call, refuses, now))
            return
        self._transport.act(self._endpoint.accept_referral(call, now))
        self._tell(deque(self.referring.tells))

    def _tell(self, statuses: deque[int]) -> None:
        if not statuses or self.ended.is_set():
            return
        self._telling = self._loop.call_later(
            self.referring.every, self._report, statuses.popleft(), statuses
        )

    def report(self, status: int) -> None:
        """Tell the other end what became of the call that it asked for."""
        assert self._call
        outputs = self._endpoint.report_referral(self._call, status, "", self._loop.time())
        self._transport.act(outputs)

    def _report(self, status: int, more: deque[int]) -> None:
        self.report(status)
        if 200 <= status < 300 and self.referring.leaves:
            self.hang_up()
        self._tell(more)

    def _answered(self, body: bytes) -> None:
        try:
            media = self._negotiation.accept(body)
        except SdpError:
            self.hang_up()
            return
        self.status = 200
        self._begin(media)
        self._settle(True)

    def _begin(self, media: Media) -> None:
        """Speak and listen, unless it does already."""
        self.handset.agree(media)
        self.handset.begin()

    def _take_port(self, host: str, session_id: int | None = None) -> None:
        port = self.handset.port = self._ports.open(self._loop.time())
        number = self._number(31) if session_id is None else session_id
        self._local = Local((host, port.address[1]), self._codecs, number)

    @property
    def _session(self) -> Local:
        assert self._local
        return self._local

    def _offered(self, call: str, offer: bytes) -> None:
        now = self._loop.time()
        try:
            answer, media = self._negotiation.answer(offer, self._session)
        except SdpError:
            self._transport.act(self._endpoint.refuse(call, 488, now))
            return
        self._transport.act(self._endpoint.answer(call, answer, now))
        self.handset.agree(media)

    def _answer_registering(self, status: int) -> None:
        if self._registered and not self._registered.done():
            self._registered.set_result(status)

    def _settle(self, good: bool) -> None:
        if self._settled and not self._settled.done():
            self._settled.set_result(good)

    def _stop(self) -> None:
        if self._picking_up:
            self._picking_up.cancel()
        if self._telling:
            self._telling.cancel()
        self.handset.stop()
        if port := self.handset.port:
            self._ports.release(port, self._loop.time())
            self.handset.port = None
