"""Why a call is over: the same words to the caller, the record and the log."""

from __future__ import annotations

import pytest

from gateway.call.ending import Ending, Refusal, incompatible, unavailable
from gateway.sdp.description import SdpError


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
