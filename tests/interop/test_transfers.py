"""Transfers among people's phones: by us and to us, blind and attended, by REFER or by a bridge.

The phones are baresip's; each says a tone of its own, so what one heard tells whom it talked to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.audio.frame import Samples

from .programs import HOST, need, until
from .scenario import answered, call, expect, pause, request, response, sdp
from .service import Service, serving
from .softphone import Softphone, softphone
from .sound import loud_seconds

CALLER, TARGET = 440, 1000  # Hz
SCRIPT = {
    "digits": {
        "1": {
            "say": "One moment please.",
            "call": {"name": "transfer", "arguments": {"target": "sales"}},
        },
        "2": "Yes, I am still here, and I am glad to talk to you as well.",
    },
}


class House:
    """A gateway, and the phones around it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack

    def phone(self, name: str, tone: int, **options: Any) -> Softphone:
        return self._stack.enter_context(softphone(self._folder / name, tone=tone, **options))

    def gateway(self, target: int, **trunk: Any) -> Service:
        """The agent may put calls through to a phone at that port of this machine."""
        uri = f"sip:{HOST}:{target}"
        config = {
            "trunks": {"pbx": {"allow": [HOST], "outbound": uri, **trunk}},
            "backends": {"talk": {"provider": "simulator", **SCRIPT}},
            "agents": {
                "talk": {
                    "backend": "talk",
                    "greeting": "Hello. Whom do you want to talk to?",
                    "tools": ["hang_up", "transfer", "send_digits"],
                    "transfer": {"sales": f"sip:sales@{HOST}:{target}"},
                }
            },
        }
        return self._stack.enter_context(serving(self._folder / "gateway", config))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    need("sipp")
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def dial(phone: Softphone, service: Service, user: str = "100") -> None:
    """Call the gateway, and hear it."""
    phone.do("dial", f"sip:{user}@{HOST}:{service.sip}")
    phone.wait_for("established", 0)
    until(lambda: loud_seconds(model(service)) > 0.5, "the greeting")


def ask(phone: Softphone) -> None:
    """Press the key that makes the model put the caller through; she is still silent."""
    phone.do("press", 0, "1#")


def model(service: Service) -> Samples:
    return service.model_so_far(service.call_to("100"))


@pytest.mark.parametrize("way", ["refer", "attended"])
def test_by_refer(house: House, way: str) -> None:
    """The model puts the caller through: her phone is asked to call the target, or to take the
    place of our call to it; then we are out of it."""
    target = house.phone("target", TARGET, user="sales")
    caller = house.phone("caller", CALLER, mute=True)
    service = house.gateway(target.port, transfer_by=way)
    dial(caller, service)
    ask(caller)
    caller.wait_for("transfer_request", 0)
    caller.do("speak")
    caller.wait_for("established", 1)
    caller.wait_for("closed", 0)
    record = service.record("100")
    until(lambda: target.hears(0, CALLER) + target_second(target) > 0.5, "the caller is heard")
    caller.do("hangup", 1)
    caller.wait_for("closed", 1)
    (transfer,) = record["transfers"]
    assert (transfer["target"], transfer["status"]) == ("sales", 200)
    assert transfer["by"] == way


def target_second(target: Softphone) -> float:
    """Seconds that the target heard of the caller in its second call; its first one was ours."""
    incoming = [event for event in target.events if event[0] == "incoming"]
    return target.hears(1, CALLER) if len(incoming) > 1 else 0.0


@pytest.mark.parametrize("who", ["caller", "target"])
def test_by_a_bridge(house: House, who: str) -> None:
    """The gateway dials the target itself and stays between; whoever hangs up ends it for both."""
    target = house.phone("target", TARGET, user="sales")
    caller = house.phone("caller", CALLER, mute=True)
    service = house.gateway(target.port, transfer_by="bridge")
    dial(caller, service)
    ask(caller)
    target.wait_for("established", 0)
    caller.do("speak")
    until(lambda: caller.hears(0, TARGET) > 1.2, "the target is heard")
    until(lambda: target.hears(0, CALLER) > 1.2, "the caller is heard")
    (caller if who == "caller" else target).do("hangup", 0)
    caller.wait_for("closed", 0)
    target.wait_for("closed", 0)
    record = service.record("100")
    (transfer,) = record["transfers"]
    assert (transfer["target"], transfer["status"], transfer["by"]) == ("sales", 200, "bridge")
    assert record["ended_by"] == ("caller" if who == "caller" else "target")


def test_a_phone_that_takes_no_refer(house: House, tmp_path: Path) -> None:
    """405 to REFER: bridged in its place."""
    target = house.phone("target", TARGET, user="sales")
    service = house.gateway(target.port)
    call(
        service.sip,
        "100",
        tmp_path,
        answered(body=sdp(codecs="8")),
        request("INFO", 2, body="1", kind="application/dtmf"),
        expect(200),
        request("INFO", 3, body="#", kind="application/dtmf"),
        expect(200),
        expect("REFER", {"Refer-To": "sip:sales@"}),
        response("405 Method Not Allowed", "Allow: INVITE, ACK, BYE, CANCEL"),
        pause(4),
        request("BYE", 4),
        expect(200),
    )
    target.wait_for("closed", 0)
    (transfer,) = service.record("100")["transfers"]
    assert (transfer["by"], transfer["status"]) == ("bridge", 200)


def test_a_target_that_is_not_there(house: House) -> None:
    """The caller keeps the model, which is told."""
    target = house.phone("target", TARGET, user="another")  # who knows no sales: 404
    caller = house.phone("caller", CALLER, mute=True)
    service = house.gateway(target.port, transfer_by="bridge")
    dial(caller, service)
    ask(caller)
    until(lambda: loud_seconds(model(service)) > 3, "the model says more")
    caller.do("hangup", 0)
    record = service.record("100")
    assert record["ended_by"] == "caller"
    assert record["transfers"][0]["status"] == 404


def test_the_caller_moves_the_call(house: House) -> None:
    """REFER to us: we call whom the caller names, and the model talks on with her."""
    other = house.phone("other", TARGET, user="colleague", mute=True)
    caller = house.phone("caller", CALLER, mute=True)
    service = house.gateway(other.port, accept_transfers=True)
    dial(caller, service)
    caller.do("transfer", 0, f"sip:colleague@{HOST}:{other.port}")
    other.wait_for("established", 0)
    caller.wait_for("transferred", 0)
    caller.wait_for("closed", 0)
    said = loud_seconds(other.heard(0)) + 1
    other.do("press", 0, "2#")
    until(lambda: loud_seconds(other.heard(0)) > said, "the model is heard")
    other.do("hangup", 0)
    other.wait_for("closed", 0)
    record = service.record("100")
    assert record["transfers"][0]["status"] == 200


def test_the_caller_hands_over(house: House) -> None:
    """Attended: she calls a colleague, then asks the colleague's phone to replace her call with
    us (RFC 3891)."""
    other = house.phone("other", TARGET, user="colleague", mute=True)
    caller = house.phone("caller", CALLER, mute=True)
    service = house.gateway(other.port, accept_transfers=True)
    dial(caller, service)
    caller.do("dial", f"sip:colleague@{HOST}:{other.port}")
    caller.wait_for("established", 1)
    caller.do("attended_transfer", 1, 0)
    other.wait_for("transfer_request", 0)
    other.wait_for("established", 1)
    caller.wait_for("closed", 0)
    said = loud_seconds(other.heard(1)) + 1
    other.do("press", 1, "2#")
    until(lambda: loud_seconds(other.heard(1)) > said, "the model is heard")
    other.do("hangup", 1)
    other.wait_for("closed", 1)
    record = service.record("100")
    assert record["ended_by"] == "caller"


def test_not_by_everybody(house: House) -> None:
    """Without `accept_transfers` the call stays where it is."""
    other = house.phone("other", TARGET, user="colleague", mute=True)
    caller = house.phone("caller", CALLER, mute=True)
    service = house.gateway(other.port)
    dial(caller, service)
    caller.do("transfer", 0, f"sip:colleague@{HOST}:{other.port}")
    caller.wait_for("failed", "transfer")
    assert [it for it in other.events if it[0] == "incoming"] == []
    caller.do("hangup", 0)
    caller.wait_for("closed", 0)
    assert service.record("100")["ended_by"] == "caller"
