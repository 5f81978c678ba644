"""A call ends: RFC 3261 §15 BYE, and what is left to do then.

Pure. An answered call ends by BYE, ours not before the ACK of our 2xx; one that is not by a final
response or by CANCEL. Its owner is told at once; then, for 64*T1, what crosses and what is
repeated still gets its answer.
"""

from __future__ import annotations

from .accept import Acceptance
from .event import By, Output
from .initiate import Initiation
from .layer import Server
from .message import Headers
from .modify import Modification
from .session import Session, reason_of
from .transaction import TIMEOUT


class Termination:
    def __init__(
        self,
        session: Session,
        initiation: Initiation,
        acceptance: Acceptance,
        modification: Modification,
    ) -> None:
        self.released = False  # nothing is left
        self.deadline: float | None = None  # when that is to be
        self._session = session
        self._initiation = initiation
        self._acceptance = acceptance
        self._modification = modification
        self._reason: str | None = None  # Reason of the BYE or CANCEL that is to follow

    def hang_up(self, now: float, reason: str | None, cause: str) -> list[Output]:
        """End the call, whatever its state. `cause`: of one that is answered."""
        session = self._session
        if session.ended:
            return []
        self._reason = reason
        Headers(self._reason_header())  # a ValueError comes now, not with the BYE after an ACK
        if session.answered:
            return self.leave(now, "us", cause, 200, reason)
        if self._acceptance.waiting:
            outputs = self._acceptance.refuse(480, now, self._reason_header())
            return [*outputs, *self.close(now), *session.end("us", "refused", 480, reason)]
        return [*self._cancel(now), *session.end("us", "cancelled", 487, reason)]

    def leave(
        self, now: float, by: By, cause: str, status: int, reason: str | None
    ) -> list[Output]:
        """End an answered call from our side: BYE, but not before the ACK of our 2xx (§15)."""
        if by == "network":
            self._reason = _late(cause)
        outputs = self._refuse_all(now)
        if not self._acceptance.unacknowledged:
            outputs += self.send_bye(now)
        self._begin_nothing()
        return [*outputs, *self._session.end(by, cause, status, reason)]

    def send_bye(self, now: float) -> list[Output]:
        """BYE (§15.1.1); an ACK that is due is not waited for any longer."""
        session = self._session
        assert session.dialog is not None  # only what was answered ends by BYE
        self._wind_down(now)
        headers = [("User-Agent", session.agent.name), *self._reason_header()]
        bye = session.dialog.request("BYE", headers=headers)
        return session.request(bye, session.dialog, now)[1]

    def receive_bye(self, server: Server, now: float) -> list[Output]:
        """§15.1.2: what still waits is answered, too."""
        session = self._session
        outputs = [*session.respond(server, 200, now), *self._refuse_all(now)]
        self._wind_down(now)
        status = 200 if session.answered else 487
        return [*outputs, *session.end("peer", "hang_up", status, reason_of(server.request))]

    def miss(self, now: float) -> list[Output]:
        """No ACK of our 2xx came (§13.3.1.4), or no PRACK (RFC 3262 §3)."""
        session = self._session
        if self._acceptance.unacknowledged:
            if not session.ended:
                self._reason = _late("no_ack")
            outputs = [*self._refuse_all(now), *self.send_bye(now)]
            return [*outputs, *session.end("network", "no_ack", 200, None)]
        outputs = [*self._acceptance.refuse(504, now), *self.close(now)]
        return [*outputs, *session.end("network", "timeout", 504, None)]

    def give_up(self, now: float) -> list[Output]:
        """Our INVITE is worked on for ever, or does not end after its CANCEL (§9.1)."""
        session = self._session
        if session.answered:
            return self.leave(now, "network", "timeout", 408, None)
        if session.ended:
            return self.close(now)
        self._reason = _late("timeout")
        return [*self._cancel(now), *session.end("network", "timeout", 408, None)]

    def close(self, now: float) -> list[Output]:
        """Answer what waits, and let nothing be left."""
        outputs = self._refuse_all(now)
        self._initiation.abandon()
        self._modification.abandon()
        self._acceptance.forget()
        self._session.timer.stop()
        self.deadline = None
        self.released = True
        return outputs

    def _cancel(self, now: float) -> list[Output]:
        outputs = self._initiation.cancel(self._reason_header(), now)
        return outputs if self._initiation.calling else [*outputs, *self.close(now)]

    def _refuse_all(self, now: float) -> list[Output]:
        outputs = self._acceptance.refuse(487, now)
        outputs += self._modification.refuse(487, now)
        referrals = self._session.referrals
        return [*outputs, *(referrals.close(now) if referrals else [])]

    def _wind_down(self, now: float) -> None:
        """What crosses is still answered for a while."""
        self._acceptance.forget()
        self._begin_nothing()
        self.deadline = now + TIMEOUT

    def _begin_nothing(self) -> None:
        self._modification.stop()
        self._session.timer.stop()

    def _reason_header(self) -> list[tuple[str, str]]:
        return [("Reason", self._reason)] if self._reason else []


def _late(cause: str) -> str:
    """The Reason where something has not come in time: recovery on the expiry of a timer."""
    return f'Q.850;cause=102;text="{cause}"'
