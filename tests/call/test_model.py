"""The model's end of a call: a session is a quota, taken before the socket and given back after."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from gateway.call.model import Backend, Model, reach
from gateway.realtime import events as ev
from gateway.realtime.client import BackendError, Connection
from gateway.realtime.profile import AudioFormat, Profile, compatible
from gateway.realtime.session import Settings
from tests.clock import run

PROFILE = compatible(url="ws://model.test/v1/realtime", model="m")


class Server:
    """The other end of the seam: takes what is sent, says what a test wants."""

    def __init__(self, answers: bool = True, refuses: BackendError | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.closed = 0
        self.backlog = 0
        self.say: Callable[[str | bytes], None]
        self.drop: Callable[[int, str], None]
        self._answers = answers
        self._refuses = refuses

    async def connect(
        self,
        profile: Profile,
        on_message: Callable[[str | bytes], None],
        on_close: Callable[[int, str], None],
    ) -> Connection:
        await asyncio.sleep(0.01)
        if self._refuses:
            raise self._refuses
        self.say, self.drop = on_message, on_close
        if self._answers:
            asyncio.get_running_loop().call_later(0.01, self.event, "session.created")
        return self

    def event(self, kind: str, **fields: Any) -> None:
        session = {"session": {"id": "sess_1"}} if kind.startswith("session.") else {}
        self.say(json.dumps({"type": kind, "event_id": "e", **session, **fields}))

    def send(self, text: bytes) -> None:
        self.sent.append(json.loads(text))
        if self.sent[-1]["type"] == "session.update" and self._answers:
            asyncio.get_running_loop().call_later(0.01, self.event, "session.updated")

    def close(self, code: int = 1000) -> None:
        self.closed += 1


class Listener:
    def __init__(self) -> None:
        self.events: list[ev.ServerEvent] = []
        self.ends: list[tuple[str, str]] = []
        self.errors: list[BaseException] = []

    def said(self, events: Sequence[ev.ServerEvent], now: float) -> None:
        self.events += events

    def lost(self, cause: str, reason: str) -> None:
        self.ends.append((cause, reason))

    def failed(self, error: BaseException) -> None:
        self.errors.append(error)


def make(server: Server, backend: Backend, listener: Listener | None = None) -> Model:
    return Model(
        backend,
        Settings(instructions="Be kind."),
        listener or Listener(),
        connect=server.connect,
        token=lambda: "t",
        clock=asyncio.get_running_loop().time,
        log=structlog.get_logger(),
    )


def backend(name: str = "one", **values: Any) -> Backend:
    return Backend(name, values.pop("profile", PROFILE), **values)


def test_it_is_open_when_the_settings_are_in_force() -> None:
    async def main() -> None:
        server, it = Server(), backend()
        model = make(server, it)
        await model.open()
        assert [event["type"] for event in server.sent] == ["session.update"]
        assert model.session.session_id == "sess_1"
        assert it.sessions == 1
        assert it.last_success == asyncio.get_running_loop().time()

        model.close()
        model.close()
        assert (it.sessions, server.closed) == (0, 1)

    run(main())


def test_a_session_that_does_not_open_leaves_nothing() -> None:
    async def main() -> None:
        for server in (
            Server(refuses=BackendError("refused", "no such key", status=401)),
            Server(answers=False),
        ):
            it = backend()
            with pytest.raises((BackendError, TimeoutError)):
                async with asyncio.timeout(1):
                    await make(server, it).open()
            assert it.sessions == 0

    run(main())


def test_an_error_before_it_is_ready_is_the_reason() -> None:
    async def main() -> None:
        server = Server(answers=False)
        model = make(server, backend())
        opening = asyncio.ensure_future(model.open())
        await asyncio.sleep(0.1)
        server.event("error", error={"type": "x", "code": "invalid_value", "message": "no voice"})
        with pytest.raises(BackendError, match="no voice"):
            await opening
        assert server.closed == 1

    run(main())


def test_a_close_before_it_is_ready_is_the_reason() -> None:
    async def main() -> None:
        server = Server(answers=False)
        opening = asyncio.ensure_future(make(server, backend()).open())
        await asyncio.sleep(0.1)
        server.drop(1008, "Invalid model URI")
        with pytest.raises(BackendError, match="1008 Invalid model URI"):
            await opening

    run(main())


def test_a_message_behind_the_end_is_not_heard() -> None:
    """The tick that ran right before it may have ended the call."""

    async def main() -> None:
        server, listener = Server(), Listener()
        model = make(server, backend(), listener)
        await model.open()
        model.close()
        heard, sent = len(listener.events), len(server.sent)
        server.event("response.created", response={"id": "resp_1"})
        assert (len(listener.events), len(server.sent)) == (heard, sent)
        assert listener.errors == []

    run(main())


def test_what_ends_the_session_is_told_once_and_logged() -> None:
    async def main() -> None:
        server, listener = Server(), Listener()
        await make(server, backend(), listener).open()
        with capture_logs() as logs:
            server.event("error", error={"type": "x", "code": "oops", "message": "Never mind"})
            server.say("no JSON")
            server.event("response.surprise")
            server.drop(1011, "broken")
        assert listener.ends == [("backend_closed", "WebSocket closed 1011 broken")]
        assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == [
            "backend_error",
            "backend_message_broken",
            "backend_closed",
        ]

    run(main())


def test_an_error_that_nothing_can_mend_ends_the_session() -> None:
    async def main() -> None:
        server, listener = Server(), Listener()
        await make(server, backend(), listener).open()
        error = {"type": "insufficient_quota", "message": "Pay first"}
        server.event("error", error=error)
        assert listener.ends == [("backend_error", "insufficient_quota: Pay first")]

    run(main())


def test_sound_waits_for_a_socket_that_is_behind() -> None:
    """For a second; then the oldest is lost, and one line of the log says so."""

    async def main() -> None:
        server, it = Server(), backend()
        model = make(server, it)
        await model.open()
        sound = np.ones(960, np.int16)
        assert model.append(sound, 5.0) == [(960, 5.0)]
        assert server.sent[-1]["type"] == "input_audio_buffer.append"
        assert len(server.sent[-1]["audio"]) == 2560

        server.backlog = 8000
        sent = len(server.sent)
        with capture_logs() as logs:
            for number in range(50):
                assert model.append(sound, 6.0 + number / 25) == []
            assert logs == []
            await asyncio.sleep(0)
        assert [entry["event"] for entry in logs] == ["backend_slow"]
        assert len(server.sent) == sent
        assert (it.behind, it.lost_ms) == (1, 1160)

        server.backlog = 0
        given = model.append(sound, 8.0)
        assert given[0][1] == pytest.approx(7.16)
        assert given[-1] == (960, 8.0)
        assert sum(count for count, _ in given) == 22 * 960
        assert [len(event["audio"]) for event in server.sent[sent:]] == [5120] * 11
        model.close()
        assert model.append(sound, 8.04) == []
        assert (model.backlog.behind, model.backlog.lost_ms) == (1, 1160)

    run(main())


def test_g711_goes_out_as_g711() -> None:
    async def main() -> None:
        server = Server()
        law = compatible(
            url="ws://model.test/v1/realtime",
            model="m",
            input_format=AudioFormat("audio/pcmu", 8000),
        )
        model = make(server, backend(profile=law))
        await model.open()
        assert model.append(np.zeros(160, np.int16), 1.0) == [(160, 1.0)]
        assert len(server.sent[-1]["audio"]) == 216

    run(main())


class TestReach:
    """Backends are tried in order; each has its share of the time."""

    @staticmethod
    async def reach(*tried: tuple[Backend, Server], within: float = 3.0) -> Model:
        servers = {backend.name: server for backend, server in tried}
        return await reach(
            [backend for backend, _ in tried],
            lambda backend: make(servers[backend.name], backend),
            within=within,
            clock=asyncio.get_running_loop().time,
            log=structlog.get_logger(),
        )

    def test_the_next_one_answers_for_one_that_refuses(self) -> None:
        async def main() -> None:
            bad, good = backend("bad"), backend("good")
            no = BackendError("refused", "no such key", status=401)
            with capture_logs() as logs:
                model = await self.reach((bad, Server(refuses=no)), (good, Server()))
            assert model.backend is good
            assert (bad.sessions, good.sessions) == (0, 1)
            (warning,) = [entry for entry in logs if entry["log_level"] == "warning"]
            assert (warning["event"], warning["backend"]) == ("backend_failed", "bad")
            assert "no such key" in warning["reason"]

        run(main())

    def test_one_that_is_silent_leaves_time_for_the_next(self) -> None:
        async def main() -> None:
            began = asyncio.get_running_loop().time()
            silent = Server(answers=False)
            model = await self.reach((backend("silent"), silent), (backend("good"), Server()))
            assert model.backend.name == "good"
            assert asyncio.get_running_loop().time() - began == pytest.approx(1.53, abs=0.05)
            assert silent.closed == 1

        run(main())

    def test_one_without_a_free_session_is_passed_over(self) -> None:
        async def main() -> None:
            full = backend("full", max_sessions=1, sessions=1)
            model = await self.reach((full, Server()), (backend("good"), Server()))
            assert model.backend.name == "good"

        run(main())

    def test_no_session_anywhere_is_the_last_reason(self) -> None:
        async def main() -> None:
            with pytest.raises(BackendError, match=r"no session within 1\.5 s"):
                await self.reach(
                    (backend("one"), Server(answers=False)),
                    (backend("two"), Server(answers=False)),
                )
            with pytest.raises(BackendError, match="no backend has a free session"):
                await self.reach()

        run(main())
