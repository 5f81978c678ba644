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
from .dialog import Dialog
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

    def early_dialog(self) -> Dialog | None:
        """Where we may offer before the call is answered: where an answer was (RFC 3311 §5.1).

        Of several phones that ring, the one that rang last.
        """
        if self._modification.changing or self._modification.waiting:
            return None
        if self._acceptance.waiting:
            return self._session.dialog if self._acceptance.settled else None
        agreed = [fork.dialog for fork in self._initiation.forks.values() if fork.agreed]
        return agreed[-1] if agreed else None

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

    def _awaits_answer(self, dialog: Dialog) -> bool:
        """Does the offer of our first INVITE wait for the answer of this phone?"""
        forks = self._initiation.forks.values()
        return not self._session.answered and any(
            fork.dialog is dialog and not fork.agreed for fork in forks
        )
