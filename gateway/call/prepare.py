"""Prepare: what a call needs before it is answered, or made: a way, a port and a model.

Each is a function that gives it or raises Refused, with what the caller is told. Nothing is kept
here: what was got is its owner's to give back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from gateway.config import AgentConfig
from gateway.realtime.client import BackendError
from gateway.realtime.session import Settings
from gateway.rtp.port import PortsExhausted, RtpPort

from .ending import Refusal, unavailable
from .exchange import Destination, Exchange
from .model import Backend, Listener, Model, reach
from .tools import definitions

SET_UP = 3.0  # s in which a backend must be ready, or else nobody is answered or called


class Refused(Exception):
    """There will be no call."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.cause)
        self.refusal = refusal


def located(to: Destination, exchange: Exchange) -> Destination:
    """Whom we call, at the place where she is now: a user's phone where it registered last."""
    if to.phone is None:
        return to
    binding = exchange.endpoint.binding(*to.phone, exchange.clock())
    if binding is None:
        reason = f"No phone of {to.phone[1]} is registered"
        raise Refused(Refusal(480, "unavailable", reason, told=True))  # RFC 3261 §21.4.18
    return replace(to, target=binding.contact, binding=binding)


async def host_towards(to: Destination, exchange: Exchange) -> str:
    """Our address on the way to whom we call."""
    if binding := located(to, exchange).binding:
        return exchange.endpoint.host(binding.flow)
    try:
        return await exchange.host(to.route or to.target)
    except OSError as error:
        raise Refused(Refusal(503, "unreachable", f"No way to the trunk: {error}")) from None


def open_port(exchange: Exchange) -> RtpPort:
    """A port for the sound."""
    try:
        return exchange.ports.open(exchange.clock())
    except (PortsExhausted, OSError) as error:
        raise Refused(unavailable("no_ports", f"No media port is free: {error}")) from None


async def reach_model(
    agent: AgentConfig,
    instructions: str,
    backends: Sequence[Backend],
    exchange: Exchange,
    listener: Listener,
    log: structlog.stdlib.BoundLogger,
) -> Model:
    """A session with one of the backends, which are tried in order."""
    detection = agent.turn_detection
    settings = Settings(
        instructions=instructions,
        voice=agent.voice,
        language=agent.language,
        turn_detection=detection.wire() if detection else None,
        tools=definitions(agent.tools, tuple(agent.transfer)),
        transcription=exchange.transcripts,
        extra=agent.session,
    )

    def make(backend: Backend) -> Model:
        return Model(
            backend,
            settings,
            listener,
            connect=exchange.connect,
            token=exchange.token,
            clock=exchange.clock,
            log=log,
        )

    try:
        return await reach(backends, make, within=SET_UP, clock=exchange.clock, log=log)
    except BackendError as error:
        no = unavailable("backend_unavailable", str(error), error.retry_after)
        raise Refused(no) from None
