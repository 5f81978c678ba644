"""Logs are one line an event, in a form for the reader, with nothing in them that steers."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway import log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]


class TestForm:
    """JSON when stdout is no terminal, readable when it is."""

    def test_json_where_no_terminal_is(self) -> None:
        stream = io.StringIO()
        log.setup("info", "auto", stream)
        structlog.get_logger().info("call_ended", cause="hang_up", seconds=3)
        [line] = lines(stream)
        assert line.pop("timestamp").endswith("Z")
        assert line == {"event": "call_ended", "level": "info", "cause": "hang_up", "seconds": 3}

    def test_text_on_a_terminal(self) -> None:
        stream = Terminal()
        log.setup("info", "auto", stream)
        structlog.get_logger().info("call_ended", cause="hang_up")
        assert "\x1b[" in stream.getvalue()  # coloured
        assert "call_ended" in stream.getvalue()

    def test_json_on_a_terminal_when_asked_for(self) -> None:
        stream = Terminal()
        log.setup("info", "json", stream)
        structlog.get_logger().info("call_ended")
        assert lines(stream)[0]["event"] == "call_ended"

    def test_text_in_a_file_when_asked_for_is_not_coloured(self) -> None:
        stream = io.StringIO()
        log.setup("info", "console", stream)
        structlog.get_logger().info("call_ended", cause="hang_up")
        assert "\x1b" not in stream.getvalue()
        assert stream.getvalue().endswith("cause=hang_up\n")


class TestContent:
    def test_what_is_below_the_level_is_left_out(self) -> None:
        stream = io.StringIO()
        log.setup("warning", "json", stream)
        structlog.get_logger().info("call_ended")
        structlog.get_logger().warning("backend_refused")
        assert [line["event"] for line in lines(stream)] == ["backend_refused"]

    def test_the_call_id_is_bound_once_and_is_everywhere(self) -> None:
        stream = io.StringIO()
        log.setup("info", "json", stream)
        with structlog.contextvars.bound_contextvars(call_id="c-1"):
            structlog.get_logger().info("call_began")
            logging.getLogger("asyncio").error("lost")
        structlog.get_logger().info("idle")
        assert [line.get("call_id") for line in lines(stream)] == ["c-1", "c-1", None]

    def test_a_traceback_is_one_line_and_shows_no_variables(self) -> None:
        stream = io.StringIO()
        log.setup("info", "json", stream)
        api_key = "canary-" + "1234"
        try:
            raise RuntimeError("broken\x1b[2J")
        except RuntimeError:
            structlog.get_logger().exception("failed")
        [line] = lines(stream)
        assert "RuntimeError: broken[2J" in line["exception"]
        assert api_key not in stream.getvalue()

    def test_a_traceback_on_a_terminal_shows_no_variables_either(self) -> None:
        stream = Terminal()
        log.setup("debug", "auto", stream)
        api_key = "canary-" + "1234"
        try:
            raise RuntimeError("broken\x1b[2J")
        except RuntimeError:
            structlog.get_logger().exception("failed")
        assert "RuntimeError: broken[2J\n" in stream.getvalue()
        assert api_key not in stream.getvalue()


class TestStrangers:
    """One event is one line, whatever stands in it."""

    @pytest.mark.parametrize("form", ["json", "console"])
    def test_a_value_is_cleaned(self, form: log.Format) -> None:
        stream = io.StringIO()
        log.setup("info", form, stream)
        structlog.get_logger().info("refused", user_agent="x\r\nINFO all is well\x1b[2J\u2028")
        assert stream.getvalue().count("\n") == 1
        assert "\x1b" not in stream.getvalue()
        assert "xINFO all is well[2J" in stream.getvalue()

    def test_a_long_value_is_cut(self) -> None:
        stream = io.StringIO()
        log.setup("info", "json", stream)
        structlog.get_logger().info("refused", to="9" * 65_000)
        assert len(stream.getvalue()) < 1200

    @given(st.text(st.characters()))
    def test_any_text_is_one_line_of_json(self, text: str) -> None:
        stream = io.StringIO()
        log.setup("info", "json", stream)
        structlog.get_logger().info(
            "refused", text=text, inside={"text": text}, raw=text.encode("utf-8", "replace")
        )
        assert len(lines(stream)) == 1
        stream.getvalue().encode("ascii")


class TestLibraries:
    """What asyncio, websockets and aiohttp log has the same form, from warnings up."""

    def test_their_warnings_are_json_too(self) -> None:
        stream = io.StringIO()
        log.setup("info", "json", stream)
        logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: %s", "x")
        [line] = lines(stream)
        assert line["event"] == "Task exception was never retrievedfuture: x"
        assert line["level"] == "error"

    def test_their_debug_lines_hold_keys_and_are_never_written(self) -> None:
        """Websockets logs the Authorization header at its debug level."""
        stream = io.StringIO()
        log.setup("debug", "json", stream)
        logging.getLogger("websockets.client").debug("> Authorization: Api-Key canary")
        logging.getLogger("websockets.client").info("canary")
        assert stream.getvalue() == ""

    def test_setting_up_again_writes_once(self) -> None:
        first, second = io.StringIO(), io.StringIO()
        log.setup("info", "json", first)
        log.setup("error", "json", second)
        logging.getLogger("asyncio").warning("slow")
        logging.getLogger("asyncio").error("lost")
        assert first.getvalue() == ""
        assert [line["event"] for line in lines(second)] == ["lost"]
