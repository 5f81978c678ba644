"""What a call holds is given back, all of it, whatever happened; whole calls are in tests/calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from gateway.call.equipment import Equipment
from gateway.call.exchange import Destination, Exchange, Party
from gateway.call.record import Record
from gateway.call.recorder import Recorder
from gateway.call.sound_file import WavFile
from tests.clock import run

PARTY = Party("c-1", Destination("sip:1@h", None, "7", None), None, "1", "pbx", "sdp", "")


class Given:
    """Everything that was got, and the order in which it is given back."""

    def __init__(self, recorder: Recorder | None = None, *, fails: str = "") -> None:
        self.back: list[str] = []
        self.record = Record(call_id="c-1", invited_at=0.0)
        exchange = SimpleNamespace(
            recorder=recorder,
            clock=lambda: 1.0,
            engine=SimpleNamespace(remove=self._gives("leg")),
            ports=SimpleNamespace(release=self._gives("port"), open=lambda now: "a port"),
        )
        self.equipment = Equipment(PARTY, cast(Exchange, exchange), self.record)
        self._fails = fails

    def all(self) -> Given:
        usage = SimpleNamespace(input_tokens=3, output_tokens=5)
        held: Any = self.equipment
        held.port = "a port"
        held.model = SimpleNamespace(
            close=self._gives("model"), session=SimpleNamespace(usage=usage)
        )
        held.talk = SimpleNamespace(
            leg=SimpleNamespace(
                shield=SimpleNamespace(failure=None, ready=True, close=lambda: None),
                leave=lambda now: None,
            ),
            complete=self._gives("record"),
            irregularities=lambda: {"late": 2},
        )
        return self

    def close(self) -> None:
        log = structlog.get_logger()
        run(self.equipment.close(announced=True, log=log))

    def _gives(self, what: str) -> Callable[..., None]:
        def give(*args: Any, **options: Any) -> None:
            self.back.append(what)
            if what == self._fails:
                raise RuntimeError(what)

        return give


def test_nothing_was_got() -> None:
    given = Given()
    given.close()
    assert given.back == []


def test_all_of_it() -> None:
    """The sound stops first; the record is written when all else is known."""
    given = Given().all()
    with capture_logs() as logs:
        given.close()
    assert given.back == ["leg", "model", "port", "record"]
    assert (given.record.usage.input_tokens, given.record.usage.output_tokens) == (3, 5)
    assert [(line["event"], line["late"]) for line in logs] == [("call_irregular", 2)]


@pytest.mark.parametrize("what", ["leg", "model", "port"])
def test_a_fault_in_one_step_stops_no_other(what: str) -> None:
    given = Given(fails=what).all()
    with pytest.raises(RuntimeError, match=what):
        given.close()
    assert given.back == ["leg", "model", "port", "record"]


@pytest.mark.parametrize("answered", [False, True])
def test_a_recording_begins_with_the_answer(answered: bool, tmp_path: Path) -> None:
    """Of a call that nobody answers there is none, not even an empty file."""
    given = Given(recorder := Recorder(tmp_path, WavFile, lambda: 1.0))
    recording = given.equipment._recording = recorder.recording("c-1")
    recording.caller(np.ones(160, np.int16), 8000)
    if answered:
        given.equipment.record()
    given.close()
    assert recording.path.exists() is answered
    assert given.record.recording == (str(recording.path) if answered else None)
    recorder.close()


def test_a_call_that_is_not_recorded() -> None:
    given = Given()
    given.equipment.record()
    given.close()
    assert given.record.recording is None


def test_a_recording_that_failed_is_told(tmp_path: Path) -> None:
    """And the record does not name what is not there."""
    given = Given(recorder := Recorder(tmp_path / "no", WavFile, lambda: 1.0))
    given.equipment._recording = recorder.recording("c-1")
    given.equipment.record()
    with capture_logs() as logs:
        given.close()
    assert [line["event"] for line in logs] == ["recording_failed"]
    assert given.record.recording is None
    recorder.close()


def test_a_port() -> None:
    given = Given()
    opened: Any = given.equipment.open_port()
    assert opened == "a port"
    assert given.equipment.port is opened
