"""File descriptors ●: as many as the calls need, so that the kernel does not refuse the last ones.

Systems start a program with 1,024 by old custom (select(2) knows no more), and let it have as many
as its hard limit says. Shell: it asks and sets the limit of this process.
"""

from __future__ import annotations

import resource
import sys

OWN = 100  # listeners, connections of SIP and HTTP, the log, what libraries open
# Two sockets of a port, a WebSocket, and its other end where the simulator answers; and two of a
# port that rests after a call, or that a transfer goes through.
A_CALL = 6


def needed(calls: int) -> int:
    """How many so many calls at once take at most, by and large."""
    return OWN + calls * A_CALL


def raise_limit() -> int:
    """Have all that the hard limit allows; returns how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass  # a sandbox does not allow it, or macOS has fewer than it says: it stays as it is
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def trouble(calls: int, limit: int) -> str | None:
    """What to say where so many calls do not fit; None where they do."""
    if limit >= needed(calls):
        return None
    fit = max(0, (limit - OWN) // A_CALL)
    return (
        f"about {fit} of {calls} calls fit; lower sip.max_calls, or allow {needed(calls)}"
        " (LimitNOFILE of systemd, ulimit -Hn, --ulimit nofile of Docker)"
    )
