"""The record's names are a contract with those who read it."""

from __future__ import annotations

import json
from typing import Any

from gateway.call.record import BargeIn, Record, ToolUse, Transfer, Turn
from gateway.call.transcript import Utterance

NAMES = (
    "call_id sip_call_id direction from to trunk agent backend model session_id invited_at "
    "answered_at ended_at ended_by cause sip_status sip_reason codec encryption rtp turns "
    "barge_ins digits transfers tools usage appends transcript recording headers"
)
RTP = "sent received lost late jitter_ms round_trip_ms mos"
USAGE = "input_tokens output_tokens audio_in_s audio_out_s"


def record(**values: Any) -> Record:
    return Record(call_id="c-1", sip_call_id="a@b", invited_at=1_800_000_000.0, **values)


def test_the_names_are_those_of_the_contract_in_its_order() -> None:
    out = record().as_dict()

    assert " ".join(out) == NAMES
    assert " ".join(out["rtp"]) == RTP
    assert " ".join(out["usage"]) == USAGE


def test_times_are_utc_to_the_millisecond() -> None:
    out = record(answered_at=1_800_000_000.4126).as_dict()

    assert out["invited_at"] == "2027-01-15T08:00:00.000Z"
    assert out["answered_at"] == "2027-01-15T08:00:00.412Z"
    assert out["ended_at"] is None


def test_what_happened_is_listed() -> None:
    call = record(from_="+74951234567")
    call.turns.append(Turn(1_800_000_001.0, 31, 410, 428))
    call.barge_ins.append(BargeIn("item_1", 0, 1340, 1100, "speech"))
    call.tools.append(ToolUse("hang_up", 0, True))
    call.transfers.append(
        Transfer("sales", "sip:1@h", "bridge", 200, 1_800_000_002.0, 1_800_000_003.0)
    )
    call.transfers.append(Transfer(None, "sip:2@h", "peer"))
    out = json.loads(json.dumps(call.as_dict()))

    assert out["from"] == "+74951234567"
    assert out["turns"] == [
        {
            "speech_stopped_at": "2027-01-15T08:00:01.000Z",
            "response_created_ms": 31,
            "first_delta_ms": 410,
            "first_rtp_ms": 428,
        }
    ]
    assert out["barge_ins"][0]["heard_ms"] == 1340
    assert out["tools"] == [{"name": "hang_up", "ms": 0, "ok": True}]
    assert out["transfers"][0] == {
        "target": "sales",
        "to": "sip:1@h",
        "by": "bridge",
        "status": 200,
        "answered_at": "2027-01-15T08:00:02.000Z",
        "ended_at": "2027-01-15T08:00:03.000Z",
    }
    assert out["transfers"][1]["answered_at"] is None


def test_no_transcript_is_kept_unless_asked_for() -> None:
    assert record().as_dict()["transcript"] is None


def test_lines_of_which_nothing_was_heard_or_known_are_left_out() -> None:
    call = record(
        transcript=[Utterance("caller", "", "item_1"), Utterance("assistant", "Hi", "i2")]
    )

    assert call.as_dict()["transcript"] == [{"role": "assistant", "text": "Hi", "item_id": "i2"}]
