"""Calls over HTTP: what is asked of the switchboard, and how its answers look."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import pytest

from gateway.api.calls import routes
from gateway.api.server import Readiness, Server, application
from gateway.call.ending import unavailable
from gateway.call.order import Order, OrderError
from gateway.call.prepare import Refused

Reply = tuple[int, dict[str, Any], Mapping[str, str]]  # status, JSON, headers
GOOD = {"to": "+74951234567", "agent": "reception"}
TOKEN = {"Authorization": "Bearer t0ken"}


class Switchboard:
    """Remembers orders; a call is answered when somebody waits for it."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.orders: list[Order] = []
        self.calls: dict[str, dict[str, Any]] = {"c-0": {"id": "c-0", "state": "answered"}}
        self._refusal = refusal

    def place(self, order: Order) -> str:
        if self._refusal:
            raise self._refusal
        self.orders.append(order)
        self.calls["c-1"] = {"id": "c-1", "state": "calling"}
        return "c-1"

    def listing(self) -> Sequence[Mapping[str, Any]]:
        return list(self.calls.values())

    def view(self, call_id: str) -> Mapping[str, Any] | None:
        return self.calls.get(call_id)

    def hang_up(self, call_id: str) -> bool:
        if call_id in self.calls:
            self.calls[call_id]["state"] = "ended"
        return call_id in self.calls

    async def settled(self, call_id: str) -> None:
        self.calls[call_id]["state"] = "answered"


async def ready() -> Readiness:
    return Readiness(sip=True, backend=True, draining=False)


def ask(
    method: str,
    path: str,
    calls: Switchboard | None = None,
    *,
    token: Mapping[str, str] = TOKEN,
    **options: Any,
) -> Reply:
    """What a server of its own answers."""

    async def main() -> Reply:
        app = application(ready, token="t0ken", routes=routes(calls or Switchboard()))
        server = await Server.open(app, "127.0.0.1", 0)
        try:
            async with (
                aiohttp.ClientSession(headers=token) as session,
                session.request(method, server.url + path, **options) as response,
            ):
                return response.status, await response.json(), dict(response.headers)
        finally:
            await server.close()

    return asyncio.run(main())


class TestMaking:
    """POST /v1/calls."""

    def test_it_is_there_at_once(self) -> None:
        calls = Switchboard()
        status, body, headers = ask("POST", "/v1/calls", calls, json=GOOD)
        assert (status, body) == (201, {"id": "c-1", "state": "calling"})
        assert headers["Location"] == "/v1/calls/c-1"
        assert calls.orders == [Order("+74951234567", "reception")]

    def test_or_when_somebody_picked_up(self) -> None:
        status, body, _ = ask("POST", "/v1/calls", json={**GOOD, "wait": True})
        assert (status, body) == (201, {"id": "c-1", "state": "answered"})

    def test_a_wrong_field_is_named(self) -> None:
        status, body, _ = ask("POST", "/v1/calls", json={"to": "everybody", "agent": ""})
        assert status == 400
        assert body["error"] == {
            "message": "agent: expected the name of an agent",
            "type": "invalid_request_error",
            "param": "agent",
            "code": None,
        }

    def test_what_there_is_not_is_404(self) -> None:
        calls = Switchboard(OrderError("trunk", "no trunk of this name can dial", status=404))
        status, body, _ = ask("POST", "/v1/calls", calls, json=GOOD)
        assert (status, body["error"]["param"]) == (404, "trunk")

    def test_not_now(self) -> None:
        """Draining, or full: 503, and when to come again."""
        calls = Switchboard(Refused(unavailable("max_calls", "Too many calls at once")))
        status, body, headers = ask("POST", "/v1/calls", calls, json=GOOD)
        assert (status, headers["Retry-After"]) == (503, "5")
        assert body["error"] == {
            "message": "Too many calls at once",
            "type": "server_error",
            "param": None,
            "code": "max_calls",
        }

    @pytest.mark.parametrize("wait", ["yes", 1, []])
    def test_wait_is_true_or_false(self, wait: Any) -> None:
        status, body, _ = ask("POST", "/v1/calls", json={**GOOD, "wait": wait})
        assert (status, body["error"]["param"]) == (400, "wait")

    @pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 60_000, b'{"to": 1' + b"0" * 9999])
    def test_what_is_no_json_is_400(self, text: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        status, body, _ = ask("POST", "/v1/calls", data=text, headers=headers)
        assert (status, body["error"]["message"]) == (400, "expected JSON")

    def test_what_a_web_page_may_send_anywhere_is_not_taken(self) -> None:
        """A form, or text: a browser asks nobody before it sends these to a foreign server."""
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            headers = {"Content-Type": kind}
            status, _, _ = ask("POST", "/v1/calls", data=b'{"to": "1"}', headers=headers)
            assert status == 415

    def test_64_kib_are_enough(self) -> None:
        long = {**GOOD, "variables": {"text": "x" * 65_536}}
        status, body, _ = ask("POST", "/v1/calls", json=long)
        assert (status, body["error"]["message"]) == (413, "Request Entity Too Large")


class TestLooking:
    """GET."""

    def test_all_in_progress(self) -> None:
        status, body, _ = ask("GET", "/v1/calls")
        assert status == 200
        assert body == {"object": "list", "data": [{"id": "c-0", "state": "answered"}]}

    def test_one(self) -> None:
        assert ask("GET", "/v1/calls/c-0")[:2] == (200, {"id": "c-0", "state": "answered"})

    def test_none(self) -> None:
        status, body, _ = ask("GET", "/v1/calls/c-9")
        assert status == 404
        assert body["error"]["message"] == "there is no call of this id, or it ended long ago"


class TestHangingUp:
    """DELETE, or POST to …/hangup as OpenAI has it."""

    @pytest.mark.parametrize(
        ("method", "path"), [("DELETE", "/v1/calls/c-0"), ("POST", "/v1/calls/c-0/hangup")]
    )
    def test_it_is_over(self, method: str, path: str) -> None:
        assert ask(method, path)[:2] == (200, {"id": "c-0", "state": "ended"})

    def test_none(self) -> None:
        assert ask("DELETE", "/v1/calls/c-9")[0] == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/calls"),
        ("POST", "/v1/calls"),
        ("GET", "/v1/calls/c-0"),
        ("DELETE", "/v1/calls/c-0"),
        ("POST", "/v1/calls/c-0/hangup"),
    ],
)
def test_nothing_without_the_token(method: str, path: str) -> None:
    calls = Switchboard()
    status, _, _ = ask(method, path, calls, token={}, json=GOOD)
    assert status == 401
    assert calls.orders == []
    assert calls.calls["c-0"]["state"] == "answered"
