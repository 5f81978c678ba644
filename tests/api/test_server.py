"""Health, the token and errors as JSON, over real sockets on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.api.server import Readiness, Server, application

TOKEN = "t0ken"
READY = Readiness(sip=True, backend=True, draining=False)

Reply = tuple[int, dict[str, Any], dict[str, str]]  # status, JSON, headers


def saying(readiness: Readiness) -> Callable[[], Awaitable[Readiness]]:
    async def state() -> Readiness:
        return readiness

    return state


def asking(
    *paths: str,
    readiness: Readiness = READY,
    token: str | None = None,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    prepare: Callable[[web.Application], None] = lambda app: None,
) -> list[Reply]:
    """What each path answers, from a server of its own."""

    async def main() -> list[Reply]:
        app = application(saying(readiness), token=token)
        prepare(app)
        server = await Server.open(app, "127.0.0.1", 0)
        answers = []
        try:
            async with aiohttp.ClientSession(headers=headers) as session:
                for path in paths:
                    async with session.request(method, server.url + path) as response:
                        body = json.loads(await response.text())
                        answers.append((response.status, body, dict(response.headers)))
        finally:
            await server.close()
        return answers

    return asyncio.run(main())


def test_metrics_are_text_behind_the_token() -> None:
    """Prometheus' exposition format, version 0.0.4; it sends a token where it is given one."""

    async def main() -> list[tuple[int, str, str]]:
        app = application(saying(READY), token=TOKEN, metrics=lambda: "gateway_calls 3\n")
        server = await Server.open(app, "127.0.0.1", 0)
        answers = []
        try:
            async with aiohttp.ClientSession() as session:
                for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}):
                    url = f"{server.url}/metrics"
                    async with session.get(url, headers=headers) as response:
                        kind = response.headers["Content-Type"]
                        answers.append((response.status, kind, await response.text()))
        finally:
            await server.close()
        return answers

    refused, shown = asyncio.run(main())
    assert refused[0] == 401
    assert shown == (200, "text/plain; version=0.0.4; charset=utf-8", "gateway_calls 3\n")


class TestHealth:
    """`/healthz`, the process lives; `/readyz`, it takes calls."""

    def test_alive(self) -> None:
        [(status, body, _)] = asking("/healthz")
        assert (status, body) == (200, {"status": "ok"})

    def test_ready(self) -> None:
        [(status, body, _)] = asking("/readyz")
        assert status == 200
        assert body == {
            "ready": True,
            "sip": True,
            "backend": True,
            "draining": False,
            "reachable": True,
            "registrations": {},
            "overloaded": False,
        }

    def test_where_it_is_registered(self) -> None:
        """One that is not is told, and takes nothing from the others."""
        state = {"provider": "403 Forbidden", "other": "registered"}
        [(status, body, _)] = asking("/readyz", readiness=READY._replace(registrations=state))
        assert (status, body["registrations"]) == (200, state)

    @pytest.mark.parametrize(
        "state",
        [
            Readiness(sip=False, backend=True, draining=False),
            Readiness(sip=True, backend=False, draining=False),
            Readiness(sip=True, backend=True, draining=True),
            Readiness(sip=True, backend=True, draining=False, reachable=False),
            Readiness(sip=True, backend=True, draining=False, overloaded=True),
        ],
    )
    def test_not_ready_says_what_is_missing(self, state: Readiness) -> None:
        [(status, body, _)] = asking("/readyz", readiness=state)
        assert status == 503
        assert body == {"ready": False, **state._asdict()}

    def test_alive_while_it_is_not_ready(self) -> None:
        [(status, _, _)] = asking("/healthz", readiness=Readiness(False, False, True))
        assert status == 200

    def test_no_version_is_told(self) -> None:
        [(_, _, headers)] = asking("/healthz")
        assert headers["Server"] == "gateway"


class TestToken:
    """Everything but health needs `Authorization: Bearer` when there is a token."""

    def test_health_needs_none(self) -> None:
        assert [status for status, _, _ in asking("/healthz", "/readyz", token=TOKEN)] == [200, 200]

    @pytest.mark.parametrize("path", ["/", "/metrics", "/v1/calls", "/healthz/", "/healthz/../x"])
    def test_every_other_path_is_closed_without_it(self, path: str) -> None:
        [(status, body, headers)] = asking(path, token=TOKEN)
        assert status == 401
        assert headers["WWW-Authenticate"] == "Bearer"
        assert body["error"]["message"] == "a bearer token is needed"

    @pytest.mark.parametrize(
        "given", ["Bearer wrong", "bearer", "Basic t0ken", "Bearer t0ken2", "Bearer t0ke", "Bärer"]
    )
    def test_a_wrong_one_is_none(self, given: str) -> None:
        [(status, _, _)] = asking("/v1/calls", token=TOKEN, headers={"Authorization": given})
        assert status == 401

    def test_the_right_one_opens(self) -> None:
        good = {"Authorization": f"Bearer {TOKEN}"}
        [(status, body, _)] = asking("/v1/calls", token=TOKEN, headers=good)
        assert status == 404  # there, but with nothing at it
        assert body["error"]["message"] == "Not Found"


class TestName:
    """Without a token, a web page must not reach us by a name that it points at this machine."""

    @pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LocalHost:1", "[::1]:8080"])
    def test_an_address_or_localhost(self, host: str) -> None:
        [(status, _, _)] = asking("/v1/calls", headers={"Host": host})
        assert status == 404

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "localhost.x"])
    def test_any_other_name_is_refused(self, host: str) -> None:
        """DNS rebinding; load balancers may ask for our health by any name."""
        answers = asking("/v1/calls", "/healthz", headers={"Host": host})
        assert [status for status, _, _ in answers] == [403, 200]

    def test_with_a_token_every_name_will_do(self) -> None:
        good = {"Authorization": f"Bearer {TOKEN}", "Host": "gateway.example"}
        assert asking("/v1/calls", token=TOKEN, headers=good)[0][0] == 404


class TestErrors:
    """Errors are JSON, in OpenAI's form."""

    def test_unknown_path(self) -> None:
        [(status, body, headers)] = asking("/nowhere")
        assert status == 404
        assert body["error"] == {
            "message": "Not Found",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
        assert headers["Content-Type"].startswith("application/json")

    def test_wrong_method_says_which_ones_there_are(self) -> None:
        [(status, _, headers)] = asking("/healthz", method="POST")
        assert status == 405
        assert headers["Allow"] == "GET,HEAD"

    def test_a_failure_of_ours_ends_one_request_only(self) -> None:
        async def broken(request: web.Request) -> web.Response:
            raise RuntimeError("secret inside")

        def prepare(app: web.Application) -> None:
            app.router.add_get("/broken", broken)

        answers = asking("/broken", "/healthz", prepare=prepare)
        assert [status for status, _, _ in answers] == [500, 200]
        assert "secret" not in str(answers[0])


class TestListening:
    """The address is what it really listens on; a taken port is an error at once."""

    def test_a_taken_port(self) -> None:
        async def main() -> None:
            first = await Server.open(application(saying(READY), token=None), "127.0.0.1", 0)
            port = int(first.url.rpartition(":")[2])
            try:
                with pytest.raises(OSError, match="address already in use"):
                    await Server.open(application(saying(READY), token=None), "127.0.0.1", port)
            finally:
                await first.close()

        asyncio.run(main())

    def test_ipv6_is_written_in_brackets(self) -> None:
        async def main() -> str:
            server = await Server.open(application(saying(READY), token=None), "::1", 0)
            await server.close()
            return server.url

        try:
            url = asyncio.run(main())
        except OSError:
            pytest.skip("this machine has no IPv6")
        assert url.startswith("http://[::1]:")
