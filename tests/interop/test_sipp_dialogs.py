"""What a trunk may do before, in and out of a call, played by sipp over UDP and TCP: reliable
provisional responses, late offers, UPDATE, session timers, INFO, digest, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .programs import HOST, need, until
from .scenario import (
    PROVISIONAL,
    answered,
    answering,
    call,
    calling,
    expect,
    hung_up,
    pause,
    request,
    response,
    sdp,
)
from .service import Service, serving

AGENTS: dict[str, dict[str, Any]] = {
    "talk": {"greeting": "Hello, who is calling?"},
    "keys": {"digits": {"4711": "That is right."}},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A gateway that anybody on this machine may call."""
    need("sipp")
    config = {
        "sip": {"session_expires": 1800},
        "backends": {name: {"provider": "simulator", **it} for name, it in AGENTS.items()},
        "agents": {name: {"backend": name} for name in AGENTS},
        "routes": [{"to": f"{name}*", "agent": name} for name in AGENTS],
    }
    with serving(tmp_path_factory.mktemp("dialogs"), config) as running:
        yield running


@pytest.fixture(params=["udp", "tcp"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ended_by_caller(service: Service, to: str) -> dict[str, Any]:
    """The record of a call that went as it should."""
    record = service.record(to)
    assert (record["ended_by"], record["cause"], record["sip_status"]) == (
        "caller",
        "hang_up",
        200,
    )
    assert service.complaints(record["sip_call_id"]) == []
    return record


def test_reliable_provisional_response(service: Service, tmp_path: Path, transport: str) -> None:
    """The caller insists on 100rel (RFC 3262): the 180 has an RSeq, and its PRACK is answered."""
    to = f"talk-100rel-{transport}"
    call(
        service.sip,
        to,
        tmp_path,
        request("INVITE", 1, "Require: 100rel", body=sdp(), within=False),
        expect(100, optional=True),
        expect(
            180,
            {"Require": "100rel"},
            keep='<ereg regexp="[0-9]+" search_in="hdr" header="RSeq:" check_it="true" '
            'assign_to="rseq"/>',
        ),
        request("PRACK", 2, "RAck: [$rseq] 1 INVITE"),
        expect(200, {"CSeq": "PRACK"}),
        expect(200, {"CSeq": "INVITE"}),
        request("ACK", 1),
        hung_up(3),
        transport=transport,
    )
    ended_by_caller(service, to)


def test_late_offer(service: Service, tmp_path: Path, transport: str) -> None:
    """An INVITE without SDP: ours is in the 200, the caller's in the ACK (RFC 3264, RFC 6337)."""
    to = f"talk-late-{transport}"
    call(
        service.sip,
        to,
        tmp_path,
        request("INVITE", 1, within=False),
        PROVISIONAL,
        expect(200, {"body": "m=audio [0-9]+ RTP/AVP"}),
        request("ACK", 1, body=sdp(codecs="0 101")),
        pause(0.5),
        hung_up(2),
        transport=transport,
    )
    assert ended_by_caller(service, to)["codec"] == "PCMU"


def test_late_offer_in_mid_call(service: Service, tmp_path: Path, transport: str) -> None:
    """A re-INVITE without SDP, as border controllers send it; and a change of the codec."""
    to = f"talk-relate-{transport}"
    call(
        service.sip,
        to,
        tmp_path,
        answered(),
        request("INVITE", 2),
        expect(100, optional=True),
        expect(200, {"body": "m=audio [0-9]+ RTP/AVP"}),
        request("ACK", 2, body=sdp(codecs="0 101", version=2)),
        pause(0.3),
        hung_up(3),
        transport=transport,
    )
    assert ended_by_caller(service, to)["codec"] == "PCMU"


def test_update(service: Service, tmp_path: Path, transport: str) -> None:
    """Hold and resume by UPDATE (RFC 3311), and one without an offer."""
    to = f"talk-update-{transport}"
    call(
        service.sip,
        to,
        tmp_path,
        answered(),
        request("UPDATE", 2, body=sdp("sendonly", version=2)),
        expect(200, {"body": "a=recvonly"}),
        request("UPDATE", 3, body=sdp(version=3)),
        expect(200, {"body": "a=sendrecv"}),
        request("UPDATE", 4),
        expect(200),
        hung_up(5),
        transport=transport,
    )
    ended_by_caller(service, to)


def test_hold(service: Service, tmp_path: Path, transport: str) -> None:
    """Hold, hold without an address as it once was done (RFC 3264 §8.4), and resume."""
    to = f"talk-hold-{transport}"
    old = sdp(version=3).replace("[media_ip]", "0.0.0.0")
    offers = (
        (sdp("sendonly", version=2), "recvonly"),
        (old, "recvonly"),
        (sdp(version=4), "sendrecv"),
    )
    steps = [
        request("INVITE", cseq, body=offer)
        + expect(100, optional=True)
        + expect(200, {"body": f"a={answer}"})
        + request("ACK", cseq)
        + pause(0.2)
        for cseq, (offer, answer) in enumerate(offers, 2)
    ]
    call(service.sip, to, tmp_path, answered(), *steps, hung_up(9), transport=transport)
    ended_by_caller(service, to)


def test_session_timer(service: Service, tmp_path: Path, transport: str) -> None:
    """The caller refreshes (RFC 4028); what it asks for is agreed to, or to be more: 422."""
    to = f"talk-timer-{transport}"
    call(
        service.sip,
        to,
        tmp_path,
        request("INVITE", 1, "Supported: timer", "Session-Expires: 30", body=sdp(), within=False),
        expect(100, optional=True),
        expect(422, {"Min-SE": "90"}),
        request("ACK", 1, within=False).replace("[branch]", "[branch-3]"),
        request(
            "INVITE",
            2,
            "Supported: timer",
            "Session-Expires: 90;refresher=uac",
            "Min-SE: 90",
            body=sdp(),
            within=False,
        ),
        PROVISIONAL,
        expect(200, {"Session-Expires": "90;refresher=uac"}),
        request("ACK", 2),
        request("UPDATE", 3, "Supported: timer", "Session-Expires: 90;refresher=uac"),
        expect(200, {"Session-Expires": "90;refresher=uac"}),
        hung_up(4),
        transport=transport,
    )
    ended_by_caller(service, to)


@pytest.mark.parametrize(
    ("kind", "bodies"),
    [
        ("application/dtmf-relay", [f"Signal={key}\nDuration=160" for key in "4711#"]),
        ("application/dtmf", list("4711#")),
    ],
)
def test_keys_by_info(
    service: Service, tmp_path: Path, transport: str, kind: str, bodies: list[str]
) -> None:
    """Keys outside of the sound, as older PBXs send them."""
    to = f"keys-{kind[-5:]}-{transport}"
    presses = [
        request("INFO", cseq, body=body, kind=kind) + expect(200)
        for cseq, body in enumerate(bodies, 2)
    ]
    call(
        service.sip,
        to,
        tmp_path,
        answered(body=sdp(codecs="8")),
        *presses,
        pause(1.0),
        hung_up(9),
        transport=transport,
    )
    assert ended_by_caller(service, to)["digits"] == ["4711"]


def test_what_is_refused(service: Service, tmp_path: Path, transport: str) -> None:
    """In a call and out of one; the call goes on."""
    to = f"talk-refused-{transport}"
    text = ("Hello", "text/plain")
    call(
        service.sip,
        to,
        tmp_path,
        answered(),
        request("OPTIONS", 2),
        expect(200, {"Allow": "UPDATE", "Accept": "application/sdp"}),
        request("MESSAGE", 3, body=text[0], kind=text[1]),
        expect(405, {"Allow": "INVITE"}),
        request("SUBSCRIBE", 4, "Event: presence"),
        expect(405),
        request("INFO", 5, body=text[0], kind=text[1]),
        expect(415, {"Accept": "application/dtmf-relay"}),
        request("NOTIFY", 6, "Event: refer", "Subscription-State: active"),
        expect(481),
        request("REFER", 7, "Refer-To: <sip:900@192.0.2.1>"),
        expect(603),
        hung_up(8),
        transport=transport,
    )
    ended_by_caller(service, to)
    for method in ("MESSAGE", "SUBSCRIBE", "PUBLISH"):
        call(
            service.sip,
            to,
            tmp_path,
            request(method, 1, "Event: presence", within=False),
            expect(405),
            transport=transport,
        )


def test_a_connection_of_its_own_for_each_call(service: Service, tmp_path: Path) -> None:
    """Over TCP sipp may open one a call; answers come back by the one that asked."""
    options = ("-t", "tn", "-max_socket", "100", "-m", "5", "-r", "50")
    with calling(
        service.sip,
        "talk-tn",
        tmp_path,
        answered(),
        pause(0.3),
        hung_up(2),
        transport="tcp",
        options=options,
    ):
        pass
    until(lambda: len([it for it in service.records() if it["to"] == "talk-tn"]) == 5, "records")


# -- who may call


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A gateway whose callers prove who they are, by MD5: sipp 3.6 ends at SHA-256."""
    need("sipp")
    trunk = {"users": {"alice": "wonderland"}, "realm": "gateway", "digest": ["MD5"]}
    config = {
        "trunks": {"phones": trunk},
        "backends": {"talk": {"provider": "simulator"}},
        "agents": {"talk": {"backend": "talk"}},
    }
    with serving(tmp_path_factory.mktemp("guarded"), config) as running:
        yield running


def proving(service: Service, to: str) -> tuple[str, str]:
    """Options with which sipp's digest is of the Request-URI (RFC 7616 §3.4)."""
    return ("-auth_uri", f"{to}@{HOST}:{service.sip}")


def challenged(password: str) -> tuple[str, ...]:
    """INVITE, 401, ACK, INVITE with credentials."""
    proof = f"[authentication username=alice password={password}]"
    return (
        request("INVITE", 1, body=sdp(), within=False),
        expect(401, {"WWW-Authenticate": 'Digest.*realm="gateway"'}, challenge=True),
        request("ACK", 1, within=False).replace("[branch]", "[branch-2]"),
        request("INVITE", 2, proof, body=sdp(), within=False),
    )


def test_digest(guarded: Service, tmp_path: Path, transport: str) -> None:
    """A phone that knows the password (RFC 7616), and chooses auth-int."""
    to = f"digest-{transport}"
    call(
        guarded.sip,
        to,
        tmp_path,
        *challenged("wonderland"),
        PROVISIONAL,
        expect(200),
        request("ACK", 2),
        pause(0.3),
        hung_up(3),
        transport=transport,
        options=proving(guarded, to),
    )
    assert ended_by_caller(guarded, to)["trunk"] == "phones"


def test_wrong_password(guarded: Service, tmp_path: Path, transport: str) -> None:
    """Another 401, and no record: it was no call."""
    to = f"nobody-{transport}"
    call(
        guarded.sip,
        to,
        tmp_path,
        *challenged("underland"),
        expect(401),
        request("ACK", 2, within=False).replace("[branch]", "[branch-2]"),
        transport=transport,
        options=proving(guarded, to),
    )
    assert [it for it in guarded.records() if it["to"] == to] == []


def test_register(guarded: Service, tmp_path: Path, transport: str) -> None:
    """A binding is made, shown and removed (RFC 3261 §10.2); one that is too short is not (423)."""

    def register(cseq: int, expires: int, *headers: str) -> str:
        line = f"Expires: {expires}"
        own = request("REGISTER", cseq, line, *headers, within=False)
        return own.replace("<sip:[service]@[remote_ip]:[remote_port]>", "<sip:alice@[remote_ip]>")

    def proven(cseq: int, expires: int, status: int, header: tuple[str, str]) -> str:
        proof = "[authentication username=alice password=wonderland]"
        return (
            register(cseq, expires)
            + expect(401, challenge=True)
            + register(cseq + 1, expires, proof)
            + expect(status, dict([header]))
        )

    call(
        guarded.sip,
        "alice",
        tmp_path,
        proven(1, 30, 423, ("Min-Expires", "60")),
        proven(3, 60, 200, ("Contact", "expires=60")),
        proven(5, 0, 200, ("CSeq", "6 REGISTER")),
        transport=transport,
        options=proving(guarded, "alice"),
    )


def test_nothing_for_a_scanner(guarded: Service, tmp_path: Path) -> None:
    """OPTIONS of a stranger is not answered at all."""
    call(
        guarded.sip,
        "scan",
        tmp_path,
        request("OPTIONS", 1, within=False, resend=False),
        '<recv response="200" timeout="1000" ontimeout="quiet"/>',
        '<nop next="over"/><label id="quiet"/>',
        '<nop><action><log message="quiet"/></action></nop>',
        '<label id="over"/>',
        options=("-recv_timeout", "1000"),
    )


def test_refer(tmp_path: Path, transport: str) -> None:
    """The caller has us call another (RFC 3515): 202, and by NOTIFY first that we try, then that
    it was answered; she goes, and the call goes on with the other."""
    need("sipp")
    done = (expect("INVITE"), response("200 OK", tag="t", body=sdp(), resend=True), expect("ACK"))
    end = (expect("BYE"), response("200 OK"))
    with answering(tmp_path, "target", *done, *end) as target:
        trunk = {
            "allow": [HOST],
            "outbound": f"sip:{HOST}:{target.port}",
            "accept_transfers": True,
        }
        config = {
            "trunks": {"pbx": trunk},
            "backends": {"talk": {"provider": "simulator"}},
            "agents": {"talk": {"backend": "talk"}},
        }
        with serving(tmp_path / "gateway", config) as service:
            call(
                service.sip,
                "talk",
                tmp_path,
                answered(),
                request("REFER", 2, f"Refer-To: <sip:other@{HOST}:{target.port}>"),
                expect(202),
                expect("NOTIFY", {"Subscription-State": "active", "body": "SIP/2.0 100"}),
                response("200 OK"),
                expect("NOTIFY", {"Subscription-State": "terminated", "body": "SIP/2.0 200"}),
                response("200 OK"),
                hung_up(3),
                transport=transport,
            )
            (running,) = service.ask("GET", "/v1/calls")["data"]
            service.ask("DELETE", f"/v1/calls/{running['id']}")
            target.finish()
            (transfer,) = service.record("talk")["transfers"]
    assert transfer["status"] == 200


def test_answers_go_where_they_came_from(service: Service) -> None:
    """STUN and CRLF keep-alives on the SIP port (RFC 5626 §3.5) are answered."""
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind((HOST, 0))
        phone.settimeout(5)
        binding = struct.pack(">HHI12s", 1, 0, 0x2112A442, b"transaction!")
        phone.sendto(binding, (HOST, service.sip))
        answer = phone.recv(200)
        assert answer[:2] == b"\x01\x01"
        assert answer[4:20] == binding[4:20]
        kind, size, _, family, port = struct.unpack_from(">HHBBH", answer, 20)
        assert (kind, size, family) == (0x0020, 8, 1)
        assert port ^ 0x2112 == phone.getsockname()[1]
