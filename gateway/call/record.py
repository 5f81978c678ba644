"""Record: what is known of a call when it is over, as one JSON object. Pure.

The names are a contract; what is not known is null. Times are wall-clock seconds since 1970 on
the way in and ISO 8601 in UTC on the way out; durations are milliseconds unless the name says
otherwise. Writing it to a file is the application's work.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from .transcript import Utterance

EndedBy = Literal["caller", "callee", "target", "model", "backend", "gateway", "network"]
Direction = Literal["inbound", "outbound"]
State = Literal["calling", "ringing", "answered", "ended"]
TransferBy = Literal["refer", "attended", "bridge", "peer"]  # "peer": it asked us


@dataclass(slots=True)
class Turn:
    """One turn of the caller, and how long each step of the answer took (ms since it ended)."""

    speech_stopped_at: float
    response_created_ms: int | None = None
    first_delta_ms: int | None = None
    first_rtp_ms: int | None = None


@dataclass(slots=True)
class BargeIn:
    """The caller interrupted: what was heard in total, and what when she began."""

    item_id: str
    content_index: int
    heard_ms: int
    onset_ms: int | None
    trigger: str  # speech, digit


@dataclass(slots=True)
class ToolUse:
    """One function call of the model."""

    name: str
    ms: int
    ok: bool


@dataclass(slots=True)
class Transfer:
    """One attempt to connect the caller with somebody else."""

    target: str | None  # its name among the agent's places; None: the peer's own wish
    to: str  # a URI
    by: TransferBy
    status: int | None = None  # of SIP, the latest that is known of the target
    answered_at: float | None = None
    ended_at: float | None = None  # of the attempt, or of the conversation that came of it


@dataclass(slots=True)
class RtpCounts:
    """Packets of the call (RFC 3550 terms); null what RTCP would have to tell."""

    sent: int = 0
    received: int = 0
    lost: int = 0
    late: int = 0
    jitter_ms: float = 0.0
    round_trip_ms: float | None = None
    mos: float | None = None


@dataclass(slots=True)
class Usage:
    """What the backend bills, and the audio that went each way in seconds."""

    input_tokens: int = 0
    output_tokens: int = 0
    audio_in_s: float = 0.0
    audio_out_s: float = 0.0


@dataclass(slots=True)
class Appends:
    """The caller's sound that the backend was too slow for."""

    behind: int = 0  # times that more than 200 ms of it waited
    lost_ms: int = 0  # beyond a second, so that the backend never got it


@dataclass(slots=True, kw_only=True)
class Record:
    """One call. Filled as the call goes; `as_dict` when it is over."""

    call_id: str
    sip_call_id: str | None = None  # of a call of ours: until its INVITE is made
    direction: Direction = "inbound"
    from_: str | None = None
    to: str | None = None
    trunk: str | None = None
    agent: str | None = None
    backend: str | None = None
    model: str | None = None
    session_id: str | None = None
    invited_at: float
    answered_at: float | None = None
    ended_at: float | None = None
    ended_by: EndedBy | None = None
    cause: str | None = None
    sip_status: int | None = None
    sip_reason: str | None = None
    codec: str | None = None
    encryption: str | None = None
    rtp: RtpCounts = field(default_factory=RtpCounts)
    turns: list[Turn] = field(default_factory=list)
    barge_ins: list[BargeIn] = field(default_factory=list)
    digits: list[str] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    tools: list[ToolUse] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    appends: Appends = field(default_factory=Appends)
    transcript: list[Utterance] | None = None
    recording: str | None = None
    headers: dict[str, str] = field(default_factory=dict)  # of a trusted INVITE, introduction.py

    def as_dict(self) -> dict[str, Any]:
        """The record under its contract's names, ready for JSON."""
        out = {name.rstrip("_"): value for name, value in asdict(self).items()}
        for name in ("invited_at", "answered_at", "ended_at"):
            out[name] = _iso(out[name])
        for transfer in out["transfers"]:
            for name in ("answered_at", "ended_at"):
                transfer[name] = _iso(transfer[name])
        for turn in out["turns"]:
            turn["speech_stopped_at"] = _iso(turn["speech_stopped_at"])
        if out["transcript"] is not None:
            out["transcript"] = [line for line in out["transcript"] if line["text"]]
        return out


def summary(record: Record, state: State) -> dict[str, Any]:
    """A call as the API shows it, while it lasts and after."""
    return {
        "id": record.call_id,
        "sip_call_id": record.sip_call_id,
        "direction": record.direction,
        "state": state,
        "from": record.from_,
        "to": record.to,
        "trunk": record.trunk,
        "agent": record.agent,
        "backend": record.backend,
        "invited_at": _iso(record.invited_at),
        "answered_at": _iso(record.answered_at),
        "ended_at": _iso(record.ended_at),
        "ended_by": record.ended_by,
        "cause": record.cause,
        "sip_status": record.sip_status,
        "sip_reason": record.sip_reason,
    }


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
