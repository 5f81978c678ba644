"""Calls that the gateway makes, answered by sipp in all the ways that a trunk may answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .programs import HOST, free_port, need, until
from .scenario import (
    Called,
    answering,
    expect,
    late_response,
    pause,
    remember,
    request_of_the_called,
    response,
    sdp,
)
from .service import Service, serving


@pytest.fixture(params=["udp", "tcp"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def dialling(
    folder: Path, *steps: str, transport: str = "udp", trunk: dict[str, Any] | None = None
) -> Iterator[tuple[Service, Called]]:
    """A gateway with a trunk to a sipp that takes its call so."""
    need("sipp")
    with answering(folder, "called", *steps, transport=transport) as called:
        outbound = f"sip:{HOST}:{called.port};transport={transport}"
        config = {
            "trunks": {"provider": {"outbound": outbound, "allow": [HOST], **(trunk or {})}},
            "backends": {"talk": {"provider": "simulator"}},
            "agents": {"talk": {"backend": "talk", "greeting": "Good day, this is a call."}},
        }
        with serving(folder / "gateway", config) as service:
            yield service, called


def dial(service: Service, **more: Any) -> dict[str, Any]:
    """Ask for a call and wait until it is answered, or not."""
    order = {"to": "100", "agent": "talk", "wait": True, **more}
    return dict(service.ask("POST", "/v1/calls", order))


def test_answered(tmp_path: Path, transport: str) -> None:
    """Early media by a reliable 183, whose PRACK comes; the 200; and the callee hangs up."""
    steps = (
        expect("INVITE", {"Supported": "100rel", "body": "telephone-event"}, keep=remember()),
        response("100 Trying"),
        response(
            "183 Session Progress",
            "Require: 100rel",
            "RSeq: 7",
            tag="a[call_number]",
            body=sdp(),
            resend=True,
        ),
        expect("PRACK", {"RAck": "7 1 INVITE"}),
        response("200 OK"),
        pause(0.3),
        late_response("200 OK", tag="a[call_number]", body=sdp()),
        expect("ACK", {"CSeq": "1 ACK"}),
        pause(1.0),
        request_of_the_called("BYE", 1),
        expect(200),
    )
    with dialling(tmp_path, *steps, transport=transport) as (service, called):
        assert dial(service)["state"] == "answered"
        called.finish()
        record = service.record("100")
    assert (record["direction"], record["trunk"], record["codec"]) == (
        "outbound",
        "provider",
        "PCMA",
    )
    assert (record["cause"], record["sip_status"]) == ("hang_up", 200)
    assert record["ended_by"] not in ("gateway", "network")


@pytest.mark.parametrize(
    ("status", "header"),
    [
        ("302 Moved Temporarily", f"Contact: <sip:900@{HOST}:9>"),
        ("403 Forbidden", "Warning: 399 trunk \\"),
        ("486 Busy Here", "X: y"),
        ("480 Temporarily Unavailable", "X: y"),
        ("503 Service Unavailable", "Retry-After: 30"),
        ("603 Decline", "X: y"),
    ],
)
def test_refused(tmp_path: Path, status: str, header: str) -> None:
    """With its SIP status, to who asked and in the record; 3xx is not followed."""
    steps = (expect("INVITE"), response(status, header, tag="a", resend=True), expect("ACK"))
    with dialling(tmp_path, *steps) as (service, called):
        told = dial(service)
        called.finish()
        record = service.record("100")
    number, _, phrase = status.partition(" ")
    assert (told["state"], told["sip_status"]) == ("ended", int(number))
    assert (record["sip_status"], record["sip_reason"]) == (int(number), phrase)
    assert record["answered_at"] is None


def test_challenged_by_a_proxy_with_record_route(tmp_path: Path) -> None:
    """401, until its ACK comes; the next INVITE knows the password; the ACK of the 200 has the
    route set and the callee's Contact, and the credentials; so has the BYE."""
    route = "Record-Route: <sip:[local_ip]:[local_port];lr>"
    challenge = 'WWW-Authenticate: Digest realm="trunk", nonce="n", qop="auth", algorithm=MD5'
    steps = (
        expect("INVITE"),
        response("401 Unauthorized", challenge, tag="c", resend=True),
        expect("ACK"),
        expect("INVITE", {"Authorization": 'username="gw".*nc=00000001', "CSeq": "2 INVITE"}),
        response("180 Ringing", route, tag="d"),
        response("200 OK", route, tag="d", body=sdp(), resend=True),
        expect("ACK", {"Route": "lr", "Authorization": "Digest", "CSeq": "2 ACK"}),
        expect("BYE", {"Route": "lr", "Authorization": "nc=0000000"}),
        response("200 OK"),
    )
    trunk = {"username": "gw", "password": "secret"}
    with dialling(tmp_path, *steps, trunk=trunk) as (service, called):
        told = dial(service)
        service.ask("DELETE", f"/v1/calls/{told['id']}")
        called.finish()


def test_given_up(tmp_path: Path) -> None:
    """Nobody answers in the time that was given: CANCEL."""
    steps = (
        expect("INVITE"),
        response("180 Ringing", tag="a"),
        expect("CANCEL"),
        response("200 OK"),
        response("487 Request Terminated", tag="a", resend=True).replace(
            "[last_CSeq:]", "CSeq: 1 INVITE"
        ),
        expect("ACK"),
    )
    with dialling(tmp_path, *steps) as (service, called):
        told = dial(service, timeout=1)
        called.finish()
        record = service.record("100")
    assert (told["state"], record["sip_status"]) == ("ended", 487)


def test_two_answer(tmp_path: Path) -> None:
    """A proxy forks; two phones answer: the first has the call, the second ACK and BYE."""
    steps = (
        expect("INVITE", keep=remember()),
        response("180 Ringing", tag="a"),
        response("180 Ringing", tag="b"),
        response("200 OK", tag="a", body=sdp()),
        expect("ACK", {"To": "tag=a"}),
        late_response("200 OK", tag="b", body=sdp()),
        expect("ACK", {"To": "tag=b"}),
        expect("BYE", {"To": "tag=b"}),
        response("200 OK"),
        expect("BYE", {"To": "tag=a"}),
        response("200 OK"),
    )
    with dialling(tmp_path, *steps) as (service, called):
        told = dial(service)
        until(lambda: service.ask("GET", f"/v1/calls/{told['id']}")["state"] == "answered", "it")
        service.ask("DELETE", f"/v1/calls/{told['id']}")
        called.finish()


def test_nobody_is_there(tmp_path: Path) -> None:
    """A trunk that refuses connections: told at once, as 503."""
    need("sipp")
    outbound = f"sip:{HOST}:{free_port()};transport=tcp"
    config = {
        "trunks": {"provider": {"outbound": outbound, "allow": [HOST]}},
        "backends": {"talk": {"provider": "simulator"}},
        "agents": {"talk": {"backend": "talk"}},
    }
    with serving(tmp_path / "gateway", config) as service:
        told = dial(service)
        assert (told["state"], told["sip_status"]) == ("ended", 503)
        assert service.record("100")["cause"] == "unreachable"


def test_the_gateway_refreshes_and_moves(tmp_path: Path) -> None:
    """The callee asks us to refresh (RFC 4028), re-INVITEs in the meantime, and takes a hold."""
    steps = (
        expect("INVITE", {"Session-Expires": "1800"}, keep=remember()),
        response(
            "200 OK",
            "Require: timer",
            "Supported: timer",
            "Session-Expires: 90;refresher=uac",
            "Allow: INVITE, ACK, BYE, CANCEL, UPDATE",
            tag="a[call_number]",
            body=sdp(),
            resend=True,
        ),
        expect("ACK"),
        request_of_the_called("INVITE", 1, body=sdp("sendonly", version=2)),
        expect(100, optional=True),
        expect(200, {"body": "a=recvonly"}),
        request_of_the_called("ACK", 1),
        request_of_the_called("BYE", 2),
        expect(200),
    )
    with dialling(tmp_path, *steps) as (service, called):
        assert dial(service)["state"] == "answered"
        called.finish()
