"""The HTTP server: health, who may ask, and errors as JSON. Shell (●).

`/healthz` says that the process lives, `/readyz` that it takes calls; both are open to everybody
who reaches the port, because load balancers carry no token. Everything else, unknown paths too,
needs `Authorization: Bearer` when there is a token; when there is none, the request must be for an
IP address or localhost, so that no web page reaches us by a name of its own that it points at this
machine. Errors have the form of OpenAI's, whose paths come to this server in a later version.

Left out on purpose: TLS (a reverse proxy's work) and access logs.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import NamedTuple, Self

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from .metrics import CONTENT_TYPE

log = structlog.get_logger()

OPEN = ("/healthz", "/readyz")
LARGEST = 64 * 1024  # bytes of a request's body


class Readiness(NamedTuple):
    """Whether a call would be taken now, in its parts."""

    sip: bool  # a SIP socket is bound
    backend: bool  # at least one backend can be reached
    draining: bool  # the process is going down
    reachable: bool = True  # a call can come in: False while we are registered nowhere, and must be
    registrations: Mapping[str, str] = MappingProxyType({})  # by trunk: `registered`, or why not
    overloaded: bool = False  # sound leaves late: there is no time for more of it

    @property
    def ready(self) -> bool:
        """All of it is as a call needs it.

        A trunk that is not registered takes nothing from the others: it is told, and no more.
        """
        able = self.sip and self.backend and self.reachable
        return able and not self.draining and not self.overloaded


def application(
    readiness: Callable[[], Awaitable[Readiness]],
    *,
    token: str | None,
    routes: Iterable[web.RouteDef] = (),
    metrics: Callable[[], str] = lambda: "",
) -> web.Application:
    """Health, and `metrics` and `routes` behind the token where there is one.

    `readiness` must answer within seconds.
    """
    door = _bearer(token) if token else _by_address
    app = web.Application(middlewares=[_errors_as_json, door], client_max_size=LARGEST)

    async def healthz(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        now = await readiness()
        body = {"ready": now.ready, **now._asdict(), "registrations": dict(now.registrations)}
        return web.json_response(body, status=200 if now.ready else 503)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=metrics(), headers={"Content-Type": CONTENT_TYPE})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", page)
    app.router.add_routes(routes)
    app.on_response_prepare.append(_no_version)
    return app


class Server:
    """One listening HTTP server; `close` ends it and its connections."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        host, port = runner.addresses[0][:2]  # as bound, where port 0 was asked for
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @classmethod
    async def open(cls, app: web.Application, host: str, port: int) -> Self:
        """Listen at once; port 0 takes any free one. Raises OSError where it is taken."""
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)  # s
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except BaseException:
            await runner.cleanup()
            raise
        return cls(runner)

    async def close(self) -> None:
        """Stop listening; requests under way have a second."""
        await self._runner.cleanup()


def error(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> web.Response:
    """An error in OpenAI's form; `param` is the field that is wrong, `code` a word."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return web.json_response(body, status=status, headers=headers)


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as no:
        headers = {"Allow": no.headers["Allow"]} if "Allow" in no.headers else {}
        return error(no.status, no.reason, headers=headers)
    except Exception:  # the border of the API: one request fails, the telephone goes on
        log.exception("api_failed", method=request.method, path=request.path)
        return error(500, "Internal Server Error")


def _bearer(token: str) -> Middleware:
    """Refuse what does not carry the token; compared in constant time."""
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path in OPEN or hmac.compare_digest(given, expected):
            return await handler(request)
        headers = {"WWW-Authenticate": "Bearer"}
        return error(401, "a bearer token is needed", headers=headers)

    return check


@web.middleware
async def _by_address(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what asks for us by a name that is not ours (DNS rebinding)."""
    name = (request.url.host or "").lower()
    if request.path in OPEN or name == "localhost" or _is_address(name):
        return await handler(request)
    return error(403, "ask for an IP address or localhost, or set api.token")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


async def _no_version(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "gateway"  # not which Python, nor which aiohttp
