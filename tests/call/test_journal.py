"""Records in a file: a line each, whatever is in them."""

from __future__ import annotations

import json
from pathlib import Path

from structlog.testing import capture_logs

from gateway.call.journal import Journal
from gateway.call.record import Record
from gateway.call.transcript import Utterance
from tests.clock import run

RECORD = Record(
    call_id="c-1",
    invited_at=0.0,
    from_="a\u2028b\x85c",
    transcript=[Utterance("caller", "my secret", "i")],
)


def test_one_line_a_call_whatever_is_in_it(tmp_path: Path) -> None:
    """Also for readers to whom U+0085, U+2028 and U+2029 end a line."""
    path = tmp_path / "calls.jsonl"

    async def main() -> None:
        journal = Journal(path)
        await journal.write(RECORD)
        await journal.write(RECORD)

    run(main())
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["from"] for line in lines] == ["a\u2028b\x85c"] * 2


def test_none_is_kept_where_there_is_no_file() -> None:
    run(Journal(None).write(RECORD))


def test_one_that_cannot_be_written_is_in_the_log_without_what_was_said(tmp_path: Path) -> None:
    with capture_logs() as logs:
        run(Journal(tmp_path / "no" / "calls.jsonl").write(RECORD))
    (told,) = logs
    assert told["event"] == "record_not_written"
    assert told["record"]["call_id"] == "c-1"
    assert "secret" not in str(told)
