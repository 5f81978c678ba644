"""The endpoint as a client of registrars: RFC 3261 §10.2, several at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

import pytest

from gateway.sip.endpoint import (
    Endpoint,
    Flow,
    Locate,
    Output,
    Registered,
    Transmit,
    Unregistered,
)
from gateway.sip.message import Request, parse

from .wire import US, response

FIRST = Flow("udp", US, ("192.0.2.20", 5060))
SECOND = Flow("tcp", US, ("192.0.2.30", 5060))


def endpoint() -> Endpoint:
    numbers = count(1)
    return Endpoint(token=lambda: f"t{next(numbers)}")


@dataclass
class Shell:
    """What a transport does, with a registrar at the other end of each way."""

    endpoint: Endpoint = field(default_factory=endpoint)
    now: float = 0.0
    status: str = "200 OK"
    asked: list[tuple[str, str]] = field(default_factory=list)  # Request-URI, Expires
    events: list[Registered | Unregistered] = field(default_factory=list)

    def register(self, name: str) -> None:
        self.act(
            self.endpoint.register(
                name,
                f"sip:{name}.example",
                self.now,
                aor=f"sip:7495@{name}.example",
                credentials=None,
                expires=300,
            )
        )

    def act(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Locate(key, hop):
                    ways = [FIRST if hop.host == "one.example" else SECOND]
                    self.act(self.endpoint.located(key, ways, self.now))
                case Transmit(data, flow):
                    message = parse(data)
                    assert isinstance(message, Request)
                    self.asked.append((message.uri, message.headers.get("Expires") or ""))
                    contact = f"Contact: {message.headers.get('Contact')}"
                    answer = response(message, self.status, headers=[contact])
                    self.act(self.endpoint.receive(answer, flow, self.now))
                case Registered() | Unregistered():
                    self.events.append(output)
                case _:
                    raise AssertionError(output)

    def wait(self, until: float) -> None:
        while (due := self.endpoint.deadline) is not None and due <= until:
            self.now = due
            self.act(self.endpoint.handle_timer(due))
        self.now = until


def test_several_at_once() -> None:
    shell = Shell()
    shell.register("one")
    shell.register("two")
    assert shell.events == [Registered("one", 300), Registered("two", 300)]
    assert {name: it.flow for name, it in shell.endpoint.registrations.items()} == {
        "one": FIRST,
        "two": SECOND,
    }
    assert not shell.endpoint.idle
    shell.wait(151.0)
    assert [uri for uri, _ in shell.asked].count("sip:one.example") == 2
    assert [uri for uri, _ in shell.asked].count("sip:two.example") == 2


def test_twice_the_same() -> None:
    shell = Shell()
    shell.register("one")
    with pytest.raises(ValueError, match="one is registered already"):
        shell.register("one")


def test_refused_and_tried_again() -> None:
    shell = Shell(status="500 Server Internal Error")
    shell.register("one")
    (event,) = shell.events
    assert isinstance(event, Unregistered)
    shell.status = "200 OK"
    shell.wait(5.0)
    assert shell.events[1:] == [Registered("one", 300)]


def test_anew_when_our_address_has_changed() -> None:
    shell = Shell()
    shell.register("one")
    shell.act(shell.endpoint.reregister("one", shell.now))
    assert len(shell.asked) == 2


def test_anew_when_its_connection_is_lost() -> None:
    shell = Shell()
    shell.register("two")
    shell.now += 10
    shell.act(shell.endpoint.failed(FIRST, shell.now))
    assert len(shell.asked) == 1
    shell.act(shell.endpoint.failed(SECOND, shell.now))
    assert len(shell.asked) == 2


def test_removed() -> None:
    shell = Shell()
    shell.register("one")
    shell.act(shell.endpoint.unregister("one", shell.now))
    assert shell.asked[-1] == ("sip:one.example", "0")
    assert not shell.endpoint.registrations
    shell.wait(40.0)
    assert shell.endpoint.idle
    assert shell.endpoint.unregister("one", shell.now) == []
