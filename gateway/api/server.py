"""The HTTP server: health, who may ask, and errors as JSON. Shell (●).

`/healthz` says that the process lives, `/readyz` that it takes calls; both are open to everybody
who reaches the port, because load balancers carry no token. Everything else, unknown paths too,
needs `Authorization: Bearer` when there is a token. Errors have the form of OpenAI's, whose paths
come to this server in a later version.

Left out on purpose: TLS (a reverse proxy's work) and access logs.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Self

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

log = structlog.get_logger()

OPEN = ("/healthz", "/readyz")


class Readiness(NamedTuple):
    """Whether a call would be taken now, in its parts."""

    sip: bool  # a SIP socket is bound
    backend: bool  # at least one backend can be reached
    draining: bool  # the process is going down
    reachable: bool = True  # a call can come in: False while we are registered nowhere, and must be
    registrations: Mapping[str, str] = MappingProxyType({})  # by trunk: `registered`, or why not

    @property
    def ready(self) -> bool:
        """All of it is as a call needs it.

        A trunk that is not registered takes nothing from the others: it is told, and no more.
        """
        return self.sip and self.backend and self.reachable and not self.draining


def application(
    readiness: Callable[[], Awaitable[Readiness]], *, token: str | None
) -> web.Application:
    """The routes, behind the token where there is one. `readiness` must answer within seconds."""
    app = web.Application(middlewares=[_errors_as_json, *([_bearer(token)] if token else [])])

    async def healthz(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        now = await readiness()
        body = {"ready": now.ready, **now._asdict(), "registrations": dict(now.registrations)}
        return web.json_response(body, status=200 if now.ready else 503)

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
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


def _error(status: int, message: str, **headers: str) -> web.Response:
    body = {"error": {"message": message, "type": "invalid_request_error", "code": None}}
    return web.json_response(body, status=status, headers=headers)


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _error(error.status, error.reason, **headers)
    except Exception:  # the border of the API: one request fails, the telephone goes on
        log.exception("api_failed", method=request.method, path=request.path)
        return _error(500, "Internal Server Error")


def _bearer(token: str) -> Middleware:
    """Refuse what does not carry the token; compared in constant time."""
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path in OPEN or hmac.compare_digest(given, expected):
            return await handler(request)
        return _error(401, "a bearer token is needed", **{"WWW-Authenticate": "Bearer"})

    return check


async def _no_version(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "gateway"  # not which Python, nor which aiohttp
