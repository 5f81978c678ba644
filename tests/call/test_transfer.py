"""One attempt to connect the caller with somebody else: each path through the figure."""

from __future__ import annotations

import pytest

from gateway.call.ending import Ending
from gateway.call.record import Transfer as Entry
from gateway.call.record import TransferBy
from gateway.call.transfer import (
    GRACE,
    NO_REFER,
    RINGING,
    TRANSFERRED,
    Dial,
    Drop,
    GoOn,
    Join,
    Leave,
    Listen,
    Refer,
    Release,
    RingBack,
    Step,
    Transfer,
)

TARGET_LEFT = Leave(Ending("target", "hang_up"))


class Attempt(Transfer):
    """A transfer and its entry; `wall` is as `now`."""

    def __init__(self, by: TransferBy, *, refers: bool = True) -> None:
        self.entry = Entry("sales", "sip:sales@pbx", by)
        super().__init__(self.entry, by, refers=refers, wall=lambda now: now)

    def told(self, status: int, now: float = 101.0) -> list[Step]:
        """A NOTIFY in between."""
        return self.referred(status, final=False, now=now)

    def ends(self, status: int, now: float = 105.0) -> list[Step]:
        """The last word of the REFER."""
        return self.referred(status, final=True, now=now)


def referring() -> Attempt:
    attempt = Attempt("refer")
    assert attempt.begin(100) == [Refer()]
    return attempt


def dialling(by: TransferBy = "bridge") -> Attempt:
    attempt = Attempt(by)
    assert attempt.begin(100) == [RingBack(), Dial()]
    return attempt


def joined(by: TransferBy = "bridge") -> Attempt:
    attempt = dialling(by)
    attempt.answered(105)
    return attempt


class TestRefer:
    """RFC 3515, with us as the one who refers."""

    def test_the_caller_is_gone_when_the_target_answered(self) -> None:
        attempt = referring()
        assert attempt.told(100) == []
        assert attempt.told(180) == [RingBack()]
        assert attempt.ends(200) == [Release()]
        assert attempt.state == "leaving"
        assert attempt.caller_ended(106) == [Drop()]  # of nobody: it was the peer's call
        assert attempt.over
        assert attempt.ending == TRANSFERRED
        assert attempt.entry == Entry("sales", "sip:sales@pbx", "refer", 200, 105, 106)

    def test_we_say_bye_where_the_peer_does_not(self) -> None:
        attempt = referring()
        attempt.ends(200)
        assert attempt.deadline == 105 + GRACE
        assert attempt.handle_timer(106) == []
        assert attempt.handle_timer(107) == [Drop(), Leave(TRANSFERRED)]
        assert attempt.over

    def test_a_bye_before_the_last_word_is_normal(self) -> None:
        """The peer took it and is gone: what it comes to is not ours to hear."""
        attempt = referring()
        attempt.told(100)
        assert attempt.ending == TRANSFERRED
        assert attempt.caller_ended(106) == [Release()]
        assert attempt.entry.status == 100

    def test_a_bye_instead_of_any_word(self) -> None:
        """It took the REFER: many say nothing more, and are gone."""
        attempt = referring()
        attempt.told(202)
        assert attempt.ending == TRANSFERRED
        assert attempt.caller_ended(101) == [Release()]
        assert attempt.entry.status is None

    def test_one_that_is_never_decided(self) -> None:
        attempt = referring()
        attempt.told(180)
        assert attempt.ends(180) == [GoOn({"error": "no_answer", "status": 408})]
        assert attempt.entry.status == 408

    def test_a_bye_before_it_took_it_is_a_hang_up(self) -> None:
        attempt = referring()
        assert attempt.caller_ended(101) == []
        assert attempt.ending is None

    def test_a_busy_target_gives_the_caller_back(self) -> None:
        attempt = referring()
        attempt.told(100)
        assert attempt.ends(486) == [GoOn({"error": "busy", "status": 486})]
        assert attempt.over
        assert attempt.ending is None
        assert attempt.entry == Entry("sales", "sip:sales@pbx", "refer", 486, None, 105)

    @pytest.mark.parametrize("status", sorted(NO_REFER))
    def test_a_peer_without_refer_is_bridged(self, status: int) -> None:
        attempt = referring()
        assert attempt.ends(status) == [RingBack(), Dial()]
        assert (attempt.state, attempt.entry.by) == ("dialling", "bridge")

    @pytest.mark.parametrize("status", sorted(NO_REFER))
    def test_a_target_that_says_the_same_is_not(self, status: int) -> None:
        """Though it may be the first that we hear of her."""
        attempt = referring()
        attempt.told(202)
        (step,) = attempt.ends(status)
        assert isinstance(step, GoOn)

    def test_a_peer_that_said_it_knows_no_refer_is_not_asked(self) -> None:
        attempt = Attempt("refer", refers=False)
        assert attempt.begin(100) == [RingBack(), Dial()]

    @pytest.mark.parametrize(
        ("status", "word"),
        [(603, "declined"), (404, "not_found"), (408, "no_answer"), (503, "unavailable")],
    )
    def test_the_model_is_told_in_words(self, status: int, word: str) -> None:
        attempt = referring()
        attempt.told(100)
        assert attempt.ends(status) == [GoOn({"error": word, "status": status})]


class TestBridge:
    """We call the target ourselves."""

    def test_the_two_talk_until_one_hangs_up(self) -> None:
        attempt = dialling()
        assert attempt.rings(180, early=False) == []
        assert attempt.answered(105) == [Release(), Join()]
        assert attempt.deadline is None
        assert attempt.target_ended(200, 160) == [TARGET_LEFT]
        assert attempt.caller_ended(160) == []
        assert attempt.entry == Entry("sales", "sip:sales@pbx", "bridge", 200, 105, 160)

    def test_the_caller_hangs_up(self) -> None:
        attempt = joined()
        assert attempt.caller_ended(160) == [Drop()]
        assert attempt.ending is None
        assert attempt.over

    def test_early_media_is_heard(self) -> None:
        attempt = dialling()
        assert attempt.rings(183, early=True) == [Listen()]

    def test_a_busy_target_gives_the_caller_back(self) -> None:
        attempt = dialling()
        assert attempt.target_ended(486, 101) == [GoOn({"error": "busy", "status": 486})]
        assert attempt.over

    def test_no_way_to_the_target(self) -> None:
        attempt = dialling()
        assert attempt.unreachable(503, 101) == [GoOn({"error": "unavailable", "status": 503})]
        assert attempt.unreachable(503, 101) == []

    def test_a_target_that_does_not_answer_is_cancelled(self) -> None:
        attempt = dialling()
        assert attempt.deadline == 100 + RINGING
        steps = attempt.handle_timer(100 + RINGING)
        assert steps == [Drop(), GoOn({"error": "no_answer", "status": 408})]
        assert attempt.target_ended(487, 146) == []
        assert attempt.rings(180, early=False) == []
        assert attempt.answered(146) == [Drop()]  # a 200 that crossed our CANCEL

    def test_the_caller_hangs_up_while_it_rings(self) -> None:
        attempt = dialling()
        assert attempt.caller_ended(103) == [Drop()]
        assert attempt.entry.answered_at is None
        assert attempt.handle_timer(200) == []


class TestAttended:
    """As a bridge, which the peer is then asked to make its own: RFC 3891."""

    def test_the_peer_takes_our_place(self) -> None:
        attempt = dialling("attended")
        assert attempt.answered(105) == [Release(), Join(), Refer(replacing=True)]
        assert attempt.told(100) == []
        assert attempt.target_ended(200, 106) == []
        assert attempt.ends(200, 106.5) == []
        assert attempt.caller_ended(107) == []
        assert attempt.ending == TRANSFERRED
        assert (attempt.entry.by, attempt.entry.ended_at) == ("attended", 107)

    def test_nobody_hangs_up(self) -> None:
        attempt = joined("attended")
        attempt.ends(200, 106)
        assert attempt.handle_timer(106 + GRACE) == [Drop(), Leave(TRANSFERRED)]

    def test_a_refusal_leaves_us_in_between(self) -> None:
        attempt = joined("attended")
        assert attempt.ends(405) == []
        assert (attempt.state, attempt.entry.by) == ("joined", "bridge")
        assert attempt.target_ended(200, 160) == [TARGET_LEFT]

    def test_a_target_that_hangs_up_meanwhile(self) -> None:
        attempt = joined("attended")
        assert attempt.target_ended(200, 106) == []
        assert attempt.ends(481, 107) == [TARGET_LEFT]

    def test_a_caller_who_hangs_up_before_any_word(self) -> None:
        attempt = joined("attended")
        assert attempt.caller_ended(106) == [Drop()]
        assert attempt.ending is None

    def test_a_peer_that_leaves_before_it_has_replaced_us(self) -> None:
        """Its INVITE is on the way to the target: our call there has to be left for it."""
        attempt = joined("attended")
        attempt.told(100)
        assert attempt.caller_ended(106) == []
        assert not attempt.over
        assert attempt.target_ended(200, 106.5) == []
        assert attempt.handle_timer(106 + GRACE) == [Drop(), Leave(TRANSFERRED)]
        assert attempt.over

    def test_a_peer_without_refer_stays_bridged(self) -> None:
        attempt = Attempt("attended", refers=False)
        attempt.begin(100)
        assert attempt.answered(105) == [Release(), Join()]
        assert attempt.state == "joined"


def test_what_comes_too_late_changes_nothing() -> None:
    attempt = referring()
    attempt.ends(486)
    assert attempt.ends(200) == []
    assert attempt.told(180) == []
    assert attempt.handle_timer(500) == []
