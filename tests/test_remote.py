"""The running service, asked from the command line: over real sockets on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from gateway.api.calls import routes
from gateway.api.server import Readiness, Server, application
from gateway.call.order import Order
from gateway.config import ApiConfig
from gateway.remote import Service, ServiceError, follow_call, show_calls, url_of

CALL = {
    "id": "c-1",
    "sip_call_id": "x",
    "direction": "outbound",
    "state": "calling",
    "from": None,
    "to": "+7495",
    "trunk": "pbx",
    "agent": "reception",
    "backend": "model",
    "invited_at": "2026-11-21T10:00:00.000Z",
    "answered_at": None,
    "ended_by": None,
    "cause": None,
    "sip_status": None,
    "sip_reason": None,
}
ANSWERED = {"state": "answered", "answered_at": "2026-11-21T10:00:01.000Z"}
BUSY = {"state": "ended", "cause": "busy", "sip_status": 486, "sip_reason": "Busy Here"}
OVER = {**ANSWERED, "state": "ended", "ended_by": "callee", "cause": "hang_up"}


class Switchboard:
    """A call that goes on by a step each time somebody looks."""

    def __init__(self, *steps: Mapping[str, Any]) -> None:
        self.orders: list[Order] = []
        self.hung_up: list[str] = []
        self._steps = [{**CALL, **step} for step in ({}, *steps)]

    def place(self, order: Order) -> str:
        self.orders.append(order)
        return "c-1"

    def listing(self) -> Sequence[Mapping[str, Any]]:
        return self._steps[:1]

    def view(self, call_id: str) -> Mapping[str, Any] | None:
        return self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]

    def hang_up(self, call_id: str) -> bool:
        self.hung_up.append(call_id)
        return True

    async def settled(self, call_id: str) -> None: ...


async def ready() -> Readiness:
    return Readiness(sip=True, backend=True, draining=False)


async def serve(calls: Switchboard) -> Server:
    return await Server.open(
        application(ready, token="t0ken", routes=routes(calls)), "127.0.0.1", 0
    )


def placing(*steps: Mapping[str, Any], to_the_end: bool = False) -> tuple[int, list[str]]:
    """The exit code of a call that goes so, and what was printed."""
    text = StringIO()

    async def main() -> int:
        server = await serve(Switchboard(*steps))
        try:
            async with Service(server.url, "t0ken") as service:
                order = {"to": "+7495", "agent": "reception"}
                out = Console(file=text, soft_wrap=True)
                return await follow_call(service, order, out, to_the_end=to_the_end)
        finally:
            await server.close()

    return asyncio.run(main()), text.getvalue().splitlines()


def test_a_call_that_is_answered() -> None:
    assert placing({"state": "ringing"}, ANSWERED) == (
        0,
        ["c-1  calling +7495 through pbx", "c-1  ringing", "c-1  answered"],
    )


def test_a_call_that_is_refused() -> None:
    assert placing(BUSY) == (
        1,
        ["c-1  calling +7495 through pbx", "c-1  failed: busy (486 Busy Here)"],
    )


def test_a_call_that_was_never_made() -> None:
    """The backend was not there: no SIP was sent, so there is no status of it."""
    code, printed = placing({"state": "ended", "cause": "backend_unavailable"})
    assert (code, printed[-1]) == (1, "c-1  failed: backend_unavailable")


def test_a_call_to_its_end() -> None:
    assert placing(ANSWERED, OVER, to_the_end=True) == (
        0,
        [
            "c-1  calling +7495 through pbx",
            "c-1  answered",
            "c-1  ended: hang_up, by the callee",
        ],
    )


def test_who_stops_waiting_hangs_up() -> None:
    """Ctrl-C cancels the task."""

    async def main() -> None:
        calls = Switchboard()
        server = await serve(calls)
        async with Service(server.url, "t0ken") as service:
            out = Console(file=StringIO())
            order = {"to": "1", "agent": "a"}
            task = asyncio.create_task(follow_call(service, order, out, to_the_end=False))
            while not calls.orders:  # noqa: ASYNC110 - a real server
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await server.close()
        assert calls.hung_up == ["c-1"]

    asyncio.run(main())


@pytest.mark.parametrize("as_json", [True, False])
def test_the_calls_in_progress(as_json: bool) -> None:
    text = StringIO()

    async def main() -> int:
        server = await serve(Switchboard())
        try:
            async with Service(server.url, "t0ken") as service:
                return await show_calls(service, Console(file=text, width=160), as_json=as_json)
        finally:
            await server.close()

    assert asyncio.run(main()) == 0
    assert ('"direction": "outbound"' in text.getvalue()) is as_json
    for word in ("c-1", "outbound", "calling", "+7495", "pbx", "reception", "model"):
        assert word in text.getvalue()


def test_a_narrow_page_cuts_no_id() -> None:
    """It is what the next command needs; a pipe has 80 columns."""
    text = StringIO()
    id_ = "c-b5f9baa48061fd52"

    class Listing:
        async def listing(self) -> list[dict[str, object]]:
            return [{**CALL, "id": id_, "agent": "reception" * 4, "to": "+74951234567"}]

    console = Console(file=text, width=80)
    assert asyncio.run(show_calls(Listing(), console, as_json=False)) == 0  # type: ignore[arg-type]
    assert id_ in text.getvalue()
    assert "…" not in text.getvalue()


class TestErrors:
    """Each a sentence for people."""

    def test_a_wrong_token(self) -> None:
        async def main() -> None:
            server = await serve(Switchboard())
            try:
                async with Service(server.url, "wrong") as service:
                    with pytest.raises(ServiceError, match="a bearer token is needed"):
                        await service.listing()
            finally:
                await server.close()

        asyncio.run(main())

    def test_a_wrong_order(self) -> None:
        async def main() -> None:
            server = await serve(Switchboard())
            try:
                async with Service(server.url, "t0ken") as service:
                    with pytest.raises(ServiceError, match="agent: expected the name"):
                        await service.place({"to": "1"})
            finally:
                await server.close()

        asyncio.run(main())

    @pytest.mark.parametrize("body", ["hello", "[]", '{"error": "x"}'])
    def test_something_else_is_there(self, body: str) -> None:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(text=body, status=500)

        async def main() -> None:
            app = application(ready, token=None, routes=[web.get("/v1/calls", answer)])
            server = await Server.open(app, "127.0.0.1", 0)
            try:
                async with Service(server.url) as service:
                    with pytest.raises(ServiceError, match=r"no gateway|500"):
                        await service.listing()
            finally:
                await server.close()

        asyncio.run(main())

    @pytest.mark.parametrize("url", ["", "nonsense", "http://", "ftp://127.0.0.1"])
    def test_a_url_that_is_none(self, url: str) -> None:
        async def main() -> None:
            async with Service(url) as service:
                with pytest.raises(ServiceError, match=r"no (gateway|service)"):
                    await service.listing()

        asyncio.run(main())

    def test_nobody_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.remote.PATIENCE", 0.05)

        async def answer(request: web.Request) -> web.Response:
            await asyncio.sleep(5)
            return web.Response()

        async def main() -> None:
            app = application(ready, token=None, routes=[web.get("/v1/calls", answer)])
            server = await Server.open(app, "127.0.0.1", 0)
            try:
                async with Service(server.url) as service:
                    with pytest.raises(ServiceError, match="does not answer"):
                        await service.listing()
            finally:
                await server.close()

        asyncio.run(main())


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost:80", "http://localhost:80"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("[2001:db8::1]:8080", "http://[2001:db8::1]:8080"),
    ],
)
def test_where_the_service_is(listen: str, url: str) -> None:
    """Another address than loopback needs a token; from here a wildcard is this machine."""
    assert url_of(ApiConfig.model_validate({"listen": listen, "token": "t"})) == url
