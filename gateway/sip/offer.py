"""Which offer is in the way of which: RFC 3264 §4, RFC 3261 §14, RFC 3311 §5, RFC 6337.

Pure. One offer at a time: as long as one waits for its answer, whether in an INVITE, a 2xx, a
provisional response or an UPDATE, there is no other. What is open is what the parts of a call wait
for; nothing is remembered here.

    the peer offers      while ours is open    491, and it tries again after a while
                         while its own is      500 with Retry-After
    we would offer       while any is open     Refused(491), or later
"""

from __future__ import annotations

from .accept import Acceptance
from .agent import phrase
from .dialog import Dialog
from .event import Output, RefreshDue, Refused
from .initiate import Initiation
from .message import Request
from .modify import Modification
from .session import Session


class Offers:
    def __init__(
        self,
        session: Session,
        initiation: Initiation,
        acceptance: Acceptance,
        modification: Modification,
    ) -> None:
        self._session = session
        self._initiation = initiation
        self._acceptance = acceptance
        self._modification = modification

    @property
    def blocked(self) -> bool:
        """Must a change of ours that waits for its turn wait on?"""
        acceptance = self._acceptance
        waiting = acceptance.waiting is not None or self._modification.waiting is not None
        return waiting or acceptance.unacknowledged

    @property
    def busy(self) -> bool:
        """Is no change of the session to be begun by us now?"""
        return self.blocked or self._modification.changing

    # ours

    def reinvite(self, body: bytes, now: float) -> list[Output]:
        """Offer another session by re-INVITE (RFC 3261 §14.1)."""
        session = self._session
        if session.ended or not session.answered or session.dialog is None:
            return []
        if self.busy:
            return [Refused(session.call, 491, phrase(491))]
        return self._modification.reinvite(session.dialog, body, now)

    def update(self, body: bytes, now: float) -> list[Output]:
        """Offer it by UPDATE, also before the answer (RFC 3311 §5.1); by re-INVITE if need be."""
        session = self._session
        knows = session.allows("UPDATE", unknown=False)
        if session.ended or (session.answered and not knows):
            return self.reinvite(body, now)
        if session.answered:
            dialog = None if self.busy else session.dialog
        else:
            dialog = self._early_dialog() if knows else None
        if dialog is None:
            return [Refused(session.call, 491, phrase(491))]
        return self._modification.update(dialog, body, now)

    def refresh(self, now: float) -> list[Output]:
        """Let the session go on (RFC 4028 §10); what changes it anyhow does that, too."""
        session = self._session
        if session.dialog is None or self.busy:
            session.timer.fail(now)
            return []
        if session.allows("UPDATE", unknown=False):
            return self._modification.update(session.dialog, b"", now)
        return [RefreshDue(session.call)]

    def _early_dialog(self) -> Dialog | None:
        """Where we may offer before the call is answered: one is agreed on.

        Of several phones that ring, the one that rang last.
        """
        if self._modification.changing or self._modification.waiting:
            return None
        if self._acceptance.waiting:
            return self._session.dialog if self._acceptance.settled else None
        agreed = [fork.dialog for fork in self._initiation.forks.values() if fork.agreed]
        return agreed[-1] if agreed else None

    # the peer's

    def against(self, request: Request, dialog: Dialog) -> int | None:
        """What to answer at once to a re-INVITE or an UPDATE of the peer; None: take it."""
        acceptance, modification = self._acceptance, self._modification
        if modification.waiting:
            return 500
        if request.method == "INVITE" and acceptance.waiting:
            return 500  # §14.2
        if request.method == "UPDATE" and not request.body:
            return None  # it offers nothing
        if modification.ours_is_open or acceptance.ours_is_open or self._awaits_answer(dialog):
            return 491
        return 500 if acceptance.theirs_is_open else None

    @property
    def one_may_follow(self) -> bool:
        """May a PRACK bring another offer (RFC 3262 §5)? Not while one is open: it is no offer."""
        modification = self._modification
        return self._acceptance.agreed and not (modification.waiting or modification.ours_is_open)

    def _awaits_answer(self, dialog: Dialog) -> bool:
        """Does the offer of our first INVITE wait for the answer of this phone?"""
        forks = self._initiation.forks.values()
        return not self._session.answered and any(
            fork.dialog is dialog and not fork.agreed for fork in forks
        )
