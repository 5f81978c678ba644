"""Calls over HTTP ●: who is in a call, make one, end one. Shell.

    GET    /v1/calls               those in progress
    POST   /v1/calls               make one (`to`, `agent`, …: order.py); 201 with the call
    GET    /v1/calls/{id}          one in progress, or one of the last that ended
    DELETE /v1/calls/{id}          hang up; also POST /v1/calls/{id}/hangup

A call that was refused is a call all the same: with `wait` the answer to POST comes when somebody
picked up or never will, and is 201 in both cases, with SIP's status in it. The body has to be
called JSON: that is what a browser does not send in the name of a foreign page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web

from gateway.call.order import Order, OrderError, read
from gateway.call.prepare import Refused

from .server import error


class Calls(Protocol):
    """The calls of the service."""

    def place(self, order: Order) -> str:
        """Make a call; its id. Raises OrderError, or Refused."""

    def listing(self) -> Sequence[Mapping[str, Any]]:
        """Those in progress."""

    def view(self, call_id: str) -> Mapping[str, Any] | None:
        """One of them, or of the last that ended."""

    def hang_up(self, call_id: str) -> bool:
        """End one; False where there is none."""

    async def settled(self, call_id: str) -> None:
        """Wait until it is answered, or will never be."""


def routes(calls: Calls) -> list[web.RouteDef]:
    """The paths above."""

    async def listing(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": calls.listing()})

    async def place(request: web.Request) -> web.Response:
        try:
            body = await _json(request)
            wait = _wait(body)
            call_id = calls.place(read(body))
        except OrderError as wrong:
            return error(wrong.status, _sentence(wrong), param=wrong.param)
        except Refused as refused:
            no = refused.refusal
            return error(no.status, no.reason or no.cause, code=no.cause, headers=dict(no.headers))
        if wait:
            await calls.settled(call_id)
        where = {"Location": f"/v1/calls/{call_id}"}
        return web.json_response(calls.view(call_id), status=201, headers=where)

    async def view(request: web.Request) -> web.Response:
        return _shown(calls.view(request.match_info["id"]))

    async def hang_up(request: web.Request) -> web.Response:
        calls.hang_up(request.match_info["id"])
        return _shown(calls.view(request.match_info["id"]))

    return [
        web.get("/v1/calls", listing),
        web.post("/v1/calls", place),
        web.get("/v1/calls/{id}", view),
        web.delete("/v1/calls/{id}", hang_up),
        web.post("/v1/calls/{id}/hangup", hang_up),
    ]


def _shown(call: Mapping[str, Any] | None) -> web.Response:
    if call is None:
        return error(404, "there is no call of this id, or it ended long ago")
    return web.json_response(call)


async def _json(request: web.Request) -> Any:
    if request.content_type != "application/json":
        raise OrderError(None, "expected Content-Type: application/json", status=415)
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError):
        raise OrderError(None, "expected JSON") from None


def _wait(body: Any) -> bool:
    wait = body.get("wait") if isinstance(body, dict) else None
    if not isinstance(wait, bool | None):
        raise OrderError("wait", "expected true or false")
    return bool(wait)


def _sentence(wrong: OrderError) -> str:
    return f"{wrong.param}: {wrong.message}" if wrong.param else wrong.message
