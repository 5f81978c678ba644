"""What a call needs before it is answered or made, and what is said where it cannot be had."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import structlog

from gateway.call.exchange import Destination, Exchange
from gateway.call.model import Backend
from gateway.call.prepare import SET_UP, Refused, host_towards, located, open_port, reach_model
from gateway.config import AgentConfig
from gateway.realtime.client import BackendError, Connection
from gateway.realtime.profile import Profile, compatible
from gateway.rtp.port import PortsExhausted
from gateway.sip.address import Via
from gateway.sip.event import Flow
from gateway.sip.registrar import Binding
from tests.clock import run

TO = Destination("sip:100@pbx.example", None, "7", None)
PHONE = Destination("tel:100", None, "7", None, phone=("phones", "100"))
BINDING = Binding(
    "sip:100@10.0.0.5:5062",
    Flow("tcp", ("192.0.2.1", 5060), ("203.0.113.7", 40000)),
    Via.parse("SIP/2.0/TCP 10.0.0.5:5062;branch=z9hG4bK-1"),
    300.0,
    "r1",
    1,
)


@dataclass
class House:
    """What a call takes of the exchange here."""

    error: Exception | None = None
    transcripts: bool = False
    asked: list[str] = field(default_factory=list)

    async def host(self, uri: str) -> str:
        self.asked.append(uri)
        if self.error:
            raise self.error
        return "192.0.2.1"

    @property
    def ports(self) -> House:
        return self

    def open(self, now: float) -> str:
        if self.error:
            raise self.error
        return "a port"

    def clock(self) -> float:
        return asyncio.get_running_loop().time()

    def token(self) -> str:
        return "t"

    async def connect(self, profile: Profile, *callbacks: Any) -> Connection:
        assert self.error
        raise self.error


class Ears:
    def said(self, events: Any, now: float) -> None: ...
    def lost(self, cause: str, reason: str) -> None: ...
    def failed(self, error: BaseException) -> None: ...


def exchange(error: Exception | None = None) -> tuple[House, Exchange]:
    house = House(error)
    return house, cast(Exchange, house)


def refusal(work: Any) -> Any:
    with pytest.raises(Refused) as refused:
        run(work)
    return refused.value.refusal


class TestWay:
    """Our address on the way to whom we call, for SDP and From."""

    def test_to_the_target(self) -> None:
        house, x = exchange()
        assert run(host_towards(TO, x)) == "192.0.2.1"
        assert house.asked == ["sip:100@pbx.example"]

    def test_or_to_the_proxy_on_the_way(self) -> None:
        house, x = exchange()
        to = Destination("sip:100@pbx.example", "sip:proxy.example", "7", None)
        assert run(host_towards(to, x)) == "192.0.2.1"
        assert house.asked == ["sip:proxy.example"]

    def test_there_is_none(self) -> None:
        no = refusal(host_towards(TO, exchange(OSError("no route"))[1]))
        assert (no.status, no.cause, no.reason) == (
            503,
            "unreachable",
            "No way to the trunk: no route",
        )


@dataclass
class Phones:
    """Where the phones of users are."""

    bound: Binding | None
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def endpoint(self) -> Phones:
        return self

    def binding(self, trunk: str, user: str, now: float) -> Binding | None:
        self.asked.append((trunk, user))
        return self.bound

    def host(self, flow: Flow) -> str:
        return f"ours, seen from {flow.remote[0]}"

    def clock(self) -> float:
        return 7.0


class TestPhone:
    """A user's phone is looked for in the moment it is called."""

    def test_where_it_registered(self) -> None:
        phones = Phones(BINDING)
        to = located(PHONE, cast(Exchange, phones))
        assert (to.target, to.binding, to.from_user) == ("sip:100@10.0.0.5:5062", BINDING, "7")
        assert phones.asked == [("phones", "100")]

    def test_our_address_is_that_of_its_way(self) -> None:
        host = run(host_towards(PHONE, cast(Exchange, Phones(BINDING))))
        assert host == "ours, seen from 203.0.113.7"

    def test_nobody_is_there(self) -> None:
        no = refusal(host_towards(PHONE, cast(Exchange, Phones(None))))
        assert (no.status, no.cause, no.reason, no.told) == (
            480,
            "unavailable",
            "No phone of 100 is registered",
            True,
        )

    def test_who_is_no_user_is_where_she_was(self) -> None:
        assert located(TO, exchange()[1]) is TO


class TestPort:
    def test_one_is_free(self) -> None:
        async def main() -> object:
            return open_port(exchange()[1])

        assert run(main()) == "a port"

    @pytest.mark.parametrize("error", [PortsExhausted("all taken"), OSError("all taken")])
    def test_none_is_free(self, error: Exception) -> None:
        async def main() -> None:
            open_port(exchange(error)[1])

        no = refusal(main())
        assert (no.status, no.cause) == (503, "no_ports")
        assert no.reason == "No media port is free: all taken"


class TestModel:
    """A session that comes is in tests/call/test_model.py and in whole calls."""

    def test_none_comes(self) -> None:
        profile = compatible(url="ws://model.test", model="m")
        backend = Backend("model", profile)
        _, x = exchange(BackendError("refused", "HTTP 401", retry_after=7.0))
        log = structlog.get_logger()
        no = refusal(reach_model(AgentConfig(), "Be kind.", [backend], x, Ears(), log))
        assert (no.status, no.cause) == (503, "backend_unavailable")
        assert no.headers == (("Retry-After", "7"),)
        assert "HTTP 401" in (no.reason or "")
        assert backend.sessions == 0

    def test_it_takes_no_longer_than_a_caller_waits(self) -> None:
        assert SET_UP == 3.0
