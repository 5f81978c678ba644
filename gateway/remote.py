"""Remote ●: the running service from the command line, over its HTTP API. Shell.

`Service` asks; `follow_call` and `show_calls` are what `gateway call` and `gateway calls` print.
Where the service is comes from the command line or from its configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from .config import ApiConfig

LOOK = 0.25  # s between looks at a call
PATIENCE = 10.0  # s for an answer of the service

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class ServiceError(Exception):
    """The service is not there, or does not want what it was asked for; a sentence for people."""


def url_of(api: ApiConfig) -> str:
    """Where the service of a configuration is, from this machine."""
    host = _WILDCARDS.get(api.listen.host, api.listen.host)
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{api.listen.port}"


class Service:
    """A running gateway; use it with `async with`."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def place(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a call."""
        return await self._ask("POST", "/v1/calls", json=order)

    async def view(self, call_id: str) -> Mapping[str, Any]:
        """How a call goes."""
        return await self._ask("GET", f"/v1/calls/{call_id}")

    async def hang_up(self, call_id: str) -> Mapping[str, Any]:
        """End a call."""
        return await self._ask("DELETE", f"/v1/calls/{call_id}")

    async def listing(self) -> list[Mapping[str, Any]]:
        """The calls in progress."""
        calls: list[Mapping[str, Any]] = (await self._ask("GET", "/v1/calls"))["data"]
        return calls

    async def _ask(self, method: str, path: str, **options: Any) -> Mapping[str, Any]:
        """Raises ServiceError."""
        try:
            async with self._session.request(method, self._url + path, **options) as response:
                answer: Any = await response.json(content_type=None)
        except TimeoutError:
            raise ServiceError(f"the service at {self._url} does not answer") from None
        except (aiohttp.InvalidURL, ValueError):
            raise ServiceError(f"no gateway is at {self._url}") from None
        except (aiohttp.ClientError, OSError) as error:
            message = f"no service at {self._url}: is `gateway serve` running? ({error})"
            raise ServiceError(message) from None
        if not isinstance(answer, dict):
            raise ServiceError(f"no gateway is at {self._url}")
        if response.status >= 400:
            wrong = answer.get("error")
            said = wrong.get("message") if isinstance(wrong, dict) else None
            raise ServiceError(str(said or f"{response.status} {response.reason}"))
        return answer


async def follow_call(
    service: Service, order: Mapping[str, Any], out: Console, *, to_the_end: bool
) -> int:
    """Make a call and print what becomes of it until it is answered, or over; 0 if it was answered.

    Whoever stops waiting hangs up.
    """
    call = await service.place(order)
    told = ""
    try:
        while True:
            if call["state"] != told:
                told = call["state"]
                out.print(_words(call), markup=False)
            if told == "ended" or (told == "answered" and not to_the_end):
                return 0 if call["answered_at"] else 1
            await asyncio.sleep(LOOK)
            call = await service.view(call["id"])
    except asyncio.CancelledError:
        await service.hang_up(call["id"])
        raise


def _words(call: Mapping[str, Any]) -> str:
    """A call's state for people."""
    match call["state"]:
        case "calling":
            return f"{call['id']}  calling {call['to']} through {call['trunk']}"
        case "ended" if call["answered_at"]:
            return f"{call['id']}  ended: {call['cause']}, by the {call['ended_by']}"
        case "ended":
            said = " ".join(str(it) for it in (call["sip_status"], call["sip_reason"]) if it)
            return f"{call['id']}  failed: {call['cause']}{f' ({said})' if said else ''}"
        case state:
            return f"{call['id']}  {state}"


async def show_calls(service: Service, out: Console, *, as_json: bool) -> int:
    """Print the calls in progress."""
    calls = await service.listing()
    if as_json:
        out.print_json(data=calls)
        return 0
    names = ("id", "direction", "state", "from", "to", "trunk", "agent", "backend")
    table = Table(Column("id", no_wrap=True), *(Column(it, overflow="fold") for it in names[1:]))
    table.add_column("since", no_wrap=True)
    for call in calls:
        since = call["answered_at"] or call["invited_at"]
        clock = datetime.fromisoformat(since).astimezone().strftime("%H:%M:%S")
        table.add_row(*(_cell(call[name]) for name in names), clock)
    out.print(table)
    return 0


def _cell(value: Any) -> str:
    return escape("" if value is None else str(value))
