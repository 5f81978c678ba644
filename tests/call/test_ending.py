"""Why a call is over: the same words to the caller, the record and the log."""

from __future__ import annotations

import pytest

from gateway.call.ending import Ending, Refusal, ended_by_them, incompatible, unavailable
from gateway.call.record import Record
from gateway.sdp.description import SdpError
from gateway.sip.event import Ended


def test_not_now_is_503_with_retry_after() -> None:
    assert unavailable("max_calls", "Too many calls at once") == Refusal(
        503, "max_calls", "Too many calls at once", (("Retry-After", "5"),)
    )
    assert unavailable("backend_unavailable", "x", 0.4).headers == (("Retry-After", "1"),)


def test_no_common_media_is_488_with_a_warning() -> None:
    """RFC 3261 §20.43."""
    refusal = incompatible(SdpError(305, "no codec in common"))

    assert (refusal.status, refusal.cause) == (488, "media_not_acceptable")
    assert refusal.headers == (("Warning", '305 gateway "no codec in common"'),)


@pytest.mark.parametrize(
    ("cause", "header"),
    [
        ("hang_up", None),
        ("shutdown", 'Q.850;cause=31;text="shutdown"'),
        ("rtp_timeout", 'Q.850;cause=102;text="rtp_timeout"'),
        ("backend_closed", 'Q.850;cause=41;text="backend_closed"'),
    ],
)
def test_the_reason_of_a_bye(cause: str, header: str | None) -> None:
    """RFC 3326, with the numbers of Q.850."""
    assert Ending("gateway", cause).header == header


def test_a_call_that_was_not_answered_gets_a_final_response() -> None:
    assert Ending("gateway", "internal_error").refusal.status == 500
    assert Ending("gateway", "shutdown").refusal.status == 503
    assert Ending("gateway", "hang_up").refusal == Refusal(480, "hang_up")


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (301, "redirected"),
        (401, "not_authorized"),
        (403, "forbidden"),
        (404, "not_found"),
        (408, "no_answer"),
        (420, "refused"),
        (480, "unavailable"),
        (486, "busy"),
        (500, "unavailable"),
        (600, "busy"),
        (603, "declined"),
        (699, "declined"),
    ],
)
def test_why_a_call_of_ours_was_not_answered(status: int, word: str) -> None:
    record = Record(call_id="c-1", direction="outbound", invited_at=0.0)
    event = Ended("h", "peer", "refused", status, "Phrase")
    assert ended_by_them(event, record) == Ending("callee", word)


def test_why_any_other_call_is_over() -> None:
    """The word of the SIP core; the peer is the caller, or the callee."""
    inbound = Record(call_id="c-1", invited_at=0.0)
    outbound = Record(call_id="c-1", direction="outbound", invited_at=0.0)
    bye = Ended("h", "peer", "hang_up", 200, None)
    silence = Ended("h", "network", "timeout", 408, None)
    assert ended_by_them(bye, inbound) == Ending("caller", "hang_up")
    assert ended_by_them(bye, outbound) == Ending("callee", "hang_up")
    assert ended_by_them(silence, outbound) == Ending("network", "timeout")
    outbound.answered_at = 1.0  # the refusal of a refresh is the end of a call, not its beginning
    gone = Ended("h", "peer", "refused", 481, None)
    assert ended_by_them(gone, outbound) == Ending("callee", "refused")
