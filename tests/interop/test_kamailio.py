"""kamailio as provider: we register there, are called and call through it, over UDP, TCP and TLS.

It stands between with Record-Route, twice where the transports differ, and asks for digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .kamailio import DOMAIN, PASSWORD, Kamailio, proxy
from .programs import need, until
from .service import Service, serving
from .softphone import softphone
from .sound import loud_seconds, sounding_seconds

GREETING = "Good day. This is the gateway, and it talks for quite a while now."


@pytest.fixture(scope="module")
def kamailio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    need("kamailio", "openssl")
    with proxy(tmp_path_factory.mktemp("provider") / "kamailio") as running:
        yield running


@pytest.fixture(params=["udp", "tcp", "tls"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def config(kamailio: Kamailio, transport: str, user: str) -> dict[str, Any]:
    """A gateway that registers at kamailio as this user."""
    return {
        "sip": {"tls": {"ca": str(kamailio.certificate.certificate)}},
        "trunks": {
            "provider": {
                "register": kamailio.registrar(transport),
                "username": user,
                "password": PASSWORD,
                "domain": DOMAIN,
                "expires": 60,
            }
        },
        "backends": {"talk": {"provider": "simulator"}},
        "agents": {"talk": {"backend": "talk", "greeting": GREETING}},
    }


def test_registered_and_called(kamailio: Kamailio, tmp_path: Path, transport: str) -> None:
    """The phone comes by UDP; we by what we registered with."""
    user = f"in-{transport}"
    with serving(tmp_path / "gateway", config(kamailio, transport, user)) as service:
        until(lambda: "registered" in events(service), f"registered; {service.log()}")
        with softphone(tmp_path / "phone") as phone:
            phone.do("dial", kamailio.uri(user))
            phone.wait_for("established", 0)
            call = service.call_to(user)
            until(lambda: len(service.model_so_far(call)) > 8000, "some speech of the model")
            phone.do("hold", 0)
            phone.wait_for("call_remote_sdp", 0, times=2)
            phone.do("resume", 0)
            said = sounding_seconds(service.caller_so_far(call)) + 1
            until(lambda: sounding_seconds(service.caller_so_far(call)) > said, "more of the phone")
            phone.do("hangup", 0)
            phone.wait_for("closed", 0)
        record = service.record(user)
    assert (record["ended_by"], record["cause"], record["trunk"]) == (
        "caller",
        "hang_up",
        "provider",
    )
    assert record["rtp"]["received"] > 50


@pytest.mark.parametrize("target", ["plain", "auth-plain"])
def test_calling_out(kamailio: Kamailio, tmp_path: Path, transport: str, target: str) -> None:
    """To a phone that is registered there, with 407 or without; the callee hangs up."""
    callee = f"out-{transport}-{target}"
    with (
        softphone(
            tmp_path / "phone",
            user=callee,
            domain=DOMAIN,
            password=PASSWORD,
            registers=True,
            outbound=f'"{kamailio.registrar()}"',
            mute=True,
        ) as phone,
        serving(tmp_path / "gateway", config(kamailio, transport, "gw")) as service,
    ):
        until(lambda: "registered" in events(service), f"registered; {service.log()}")
        dialled = f"auth-{callee}" if target.startswith("auth") else callee
        told = service.ask(
            "POST", "/v1/calls", {"to": f"sip:{dialled}@{DOMAIN}", "agent": "talk", "wait": True}
        )
        assert told["state"] == "answered", (told, service.log())
        until(lambda: loud_seconds(phone.heard(0)) > 0.5, "some speech of the model")
        phone.do("hangup", 0)
        phone.wait_for("closed", 0)
        (record,) = until(service.records, "the record")
    assert (record["ended_by"], record["sip_status"]) == ("callee", 200)


def test_refused_there(kamailio: Kamailio, tmp_path: Path) -> None:
    """404 of an unknown user, 302 of one that moved; each with its status."""
    with serving(tmp_path / "gateway", config(kamailio, "udp", "gw")) as service:
        for user, status in (("nobody", 404), ("moved", 302)):
            order = {"to": f"sip:{user}@{DOMAIN}", "agent": "talk", "wait": True}
            told = service.ask("POST", "/v1/calls", order)
            assert (told["state"], told["sip_status"]) == ("ended", status)


def test_wrong_password(kamailio: Kamailio, tmp_path: Path) -> None:
    """It is said once, and tried again only after a while."""
    wrong = config(kamailio, "udp", "gw")
    wrong["trunks"]["provider"]["password"] = "something else"
    wrong["trunks"]["pbx"] = {"allow": ["192.0.2.1"]}
    with serving(tmp_path / "gateway", wrong) as service:
        (line,) = until(
            lambda: [it for it in service.log() if it["event"] == "not_registered"],
            f"a line about it; {service.log()}",
        )
        assert line["status"] in (401, 403)


def test_shorter_than_it_takes(tmp_path: Path) -> None:
    """423: what it asks for at least is asked for next."""
    need("kamailio", "openssl")
    with (
        proxy(tmp_path / "kamailio", min_expires=120) as strict,
        serving(tmp_path / "gateway", config(strict, "udp", "gw")) as service,
    ):
        until(lambda: "registered" in events(service), f"registered; {service.log()}")


def events(service: Service) -> list[str]:
    return [line["event"] for line in service.log()]
