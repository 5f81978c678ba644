"""What DNS said, and for how long it counts (RFC 1035 §3.2.1, RFC 2308, RFC 8767). Pure.

An answer counts for its TTL, within limits: a TTL of 0 must not make each call a question, and one
of a week must not outlive the move of a trunk. When no newer answer can be had, because the server
fails, is silent, or suddenly knows nothing of the name, the last good one counts on for a day: who
could be called an hour ago can most likely be called now. Times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .locate import Answer, Question

FLOOR: Final = 5.0  # the shortest life of an answer
CEILING: Final = 3600.0  # and the longest
NEGATIVE: Final = 60.0  # the longest of an answer that says that there is none
LAST_GOOD: Final = 86_400.0
RETRY: Final = 30.0  # from a failure to the next try, where an older answer stands in
RETRY_SOON: Final = 5.0  # and where none does
AHEAD: Final = 10.0  # before its end that an answer is refreshed, where somebody asked for that
MAX_KNOWN: Final = 4096


@dataclass(slots=True)
class _Known:
    records: Answer
    since: float
    until: float  # asked again after that
    last: float  # if nothing newer can be had, it counts until then
    failing: bool = False


class Answers:
    """All answers by their questions."""

    def __init__(self) -> None:
        self._known: dict[Question, _Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, question: Question, now: float) -> Answer | None:
        """The answer, while it counts."""
        known = self._known.get(question)
        return known.records if known and now < known.until else None

    def get_last(self, question: Question, now: float) -> Answer | None:
        """The last answer, of a day at most: for whoever will not wait for a newer one."""
        known = self._known.get(question)
        return known.records if known and now < known.last else None

    def refresh_at(self, question: Question) -> float | None:
        """When to ask again so that the answer never ends; None if there is none."""
        known = self._known.get(question)
        if known is None:
            return None
        return known.until - min(AHEAD, (known.until - known.since) / 2)

    def note(self, question: Question, records: Answer, ttl: float, now: float) -> None:
        """A server answered: these are all the records that there are."""
        longest = CEILING if records else NEGATIVE
        life = min(max(ttl, FLOOR), longest)
        self._put(question, _Known(records, now, now + life, now + LAST_GOOD))

    def note_failure(self, question: Question, now: float) -> bool:
        """No server answered, or one knows nothing of the name. Say whether that is new."""
        known = self._known.get(question)
        was = known is not None and known.failing
        if known is None or known.last <= now:
            until = now + RETRY_SOON
            self._put(question, _Known((), now, until, until, failing=True))
        else:
            known.failing, known.since, known.until = True, now, min(now + RETRY, known.last)
        return not was

    def note_missing(self, question: Question, now: float) -> bool:
        """There is no such name. Say whether that is new, and an older answer stands in for it."""
        known = self._known.get(question)
        if known and known.records and now < known.last:
            return self.note_failure(question, now)
        self.note(question, (), NEGATIVE, now)
        return False

    def _put(self, question: Question, known: _Known) -> None:
        self._known.pop(question, None)  # to the end: the oldest one goes first
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[question] = known
