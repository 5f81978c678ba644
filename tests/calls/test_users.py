"""Users whose phones register with us are called, and calls are passed on to them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.call.order import OrderError
from gateway.simulator.phone import Answering, Phone, Referring
from gateway.sip.digest import Credentials
from gateway.sip.endpoint import Endpoint
from gateway.sip.event import Event, Registered
from gateway.sip.transport import Listen, Transport
from tests.clock import Network, run

from .house import GATEWAY, House, Sip, house, noise
from .test_bridged import SCRIPT, asked, outputs, until
from .test_outbound import GREETS, place, settle
from .test_outbound import SCRIPT as STORY

USERS = {"100": "wonderland", "101": "other"}
PHONES = {"phones": {"users": USERS}}
NOT_THERE = "No phone of 100 is registered"


@asynccontextmanager
async def office(
    folder: Path, trunks: dict[str, Any] = PHONES, **options: Any
) -> AsyncIterator[tuple[House, Phone, Phone]]:
    """A house, and the phones of both users, which have not registered yet."""
    options = {"agent": GREETS, **options}
    async with (
        house(folder, options.pop("script", STORY), config={"trunks": trunks}, **options) as home,
        home.phone(credentials=("100", "wonderland")) as one,
        home.phone(credentials=("101", "other")) as other,
    ):
        one.answering = other.answering = Answering(after=0.5)
        yield home, one, other
        one.hang_up()
        other.hang_up()
        await home.gateway.written()


class TestCalled:
    """By the contact that the phone registered, and the way that it registered by."""

    def test_it_talks_and_hangs_up(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with office(tmp_path) as (home, phone, other):
                sip = Sip(home.network)
                assert await phone.register(GATEWAY) == 200
                assert await other.register(GATEWAY) == 200
                call = await settle(home, place(home, to="100"))
                assert (call["state"], call["to"], call["trunk"]) == ("answered", "100", "phones")
                (invite,) = sip.requests("INVITE")
                assert invite.uri == "sip:100@10.0.1.1:5060"
                assert str(invite.headers.from_.uri) == "sip:gateway@10.0.0.1"
                assert other.invite is None
                await phone.until_sound()  # the greeting
                await phone.until_silence()
                await phone.say(noise(0.4))
                await phone.until_sound()
                phone.hang_up()
                record = await home.record()
            assert (record["ended_by"], record["cause"]) == ("callee", "hang_up")
            assert (record["direction"], record["sip_status"]) == ("outbound", 200)
            assert record["rtp"]["received"] > 50

        run(main())

    def test_a_phone_that_moved(self, tmp_path: Path) -> None:
        """Where it registered last, were it while the model is being reached."""

        async def main() -> None:
            async with (
                office(tmp_path, delay=0.5) as (home, phone, _),
                home.phone(credentials=("100", "wonderland")) as elsewhere,
            ):
                elsewhere.answering = Answering()
                await phone.register(GATEWAY)
                call_id = place(home)
                await asyncio.sleep(0.3)
                await elsewhere.register(GATEWAY)
                assert (await settle(home, call_id))["state"] == "answered"
                assert elsewhere.invite
                assert phone.invite is None
                elsewhere.hang_up()

        run(main())

    def test_it_refuses(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with office(tmp_path) as (home, phone, _):
                phone.answering = Answering(status=486)
                await phone.register(GATEWAY)
                call = await settle(home, place(home))
            assert (call["ended_by"], call["cause"]) == ("callee", "busy")
            assert call["sip_status"] == 486

        run(main())

    def test_who_asks_for_a_password_gets_none(self, tmp_path: Path) -> None:
        """Ours is for the provider, and for none of its users."""

        async def main() -> None:
            trunk = {"outbound": "sip:10.0.1.9", "username": "7495", "password": "secret"}
            async with office(tmp_path, {"pbx": {**trunk, "users": USERS}}) as (home, phone, _):
                sip = Sip(home.network)
                phone.answering = Answering(status=401)
                await phone.register(GATEWAY)
                call = await settle(home, place(home))
                assert len(sip.requests("INVITE")) == 1
            assert call["cause"] == "not_authorized"

        run(main())


class TestNotThere:
    """480 of our own, with no SIP and no model."""

    def test_not_registered(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with office(tmp_path) as (home, phone, other):
                sip = Sip(home.network)
                await other.register(GATEWAY)
                call = await settle(home, place(home))
                record = await home.record()
                assert sip.requests("INVITE") == []
                assert home.model.links == []
                assert phone.invite is other.invite is None
            for it in (call, record):
                assert (it["ended_by"], it["cause"]) == ("gateway", "unavailable")
                assert (it["sip_status"], it["sip_reason"]) == (480, NOT_THERE)

        run(main())

    @pytest.mark.parametrize(
        "to", ["tel:100", "sip:100@10.0.0.1", "sip:100@gateway.example", "sip:100@office.example"]
    )
    def test_by_any_of_our_names(self, tmp_path: Path, to: str) -> None:
        """Where we listen, as others see us, and the domain of the trunk."""

        async def main() -> None:
            config = {
                "sip": {"listen": ["udp:10.0.0.1:5060"], "public_address": "gateway.example"},
                "trunks": {"phones": {"users": USERS, "domain": "office.example"}},
            }
            async with house(tmp_path, config=config) as home:
                call = await settle(home, place(home, to=to))
            assert (call["to"], call["sip_reason"]) == ("100", NOT_THERE)

        run(main())

    def test_not_any_more(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with office(tmp_path) as (home, phone, _):
                await phone.register(GATEWAY, expires=60)
                await phone.close()
                await asyncio.sleep(61)
                call = await settle(home, place(home))
            assert (call["cause"], call["sip_status"]) == ("unavailable", 480)

        run(main())

    def test_gone_while_the_model_is_reached(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with office(tmp_path, delay=0.5) as (home, phone, _):
                await phone.register(GATEWAY, expires=60)
                await phone.close()
                await asyncio.sleep(59.5)
                call = await settle(home, place(home))
                assert len(home.model.links) == 1
            assert (call["cause"], call["sip_status"]) == ("unavailable", 480)

        run(main())

    def test_no_such_user(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with office(tmp_path) as (home, _, _):
                with pytest.raises(OrderError, match="there are: 100, 101") as raised:
                    place(home, to="102")
                assert raised.value.param == "to"
            assert home.written() == []

        run(main())


class TestStream:
    """A phone with a connection is called by that, and when it is closed by nothing."""

    def test_a_connection_that_is_closed(self, tmp_path: Path) -> None:
        async def main() -> None:
            listen = {"listen": ["udp:10.0.0.1:5060", "tcp:10.0.0.1:5060"]}
            config = {"trunks": PHONES, "sip": listen}
            async with house(tmp_path, STORY, config=config, agent=GREETS) as home:
                desk = await Desk.open(home.network)
                await desk.registered.wait()
                call_id = place(home)
                invite = await asyncio.wait_for(desk.invited.get(), 5)
                assert invite.flow.transport == "tcp"
                desk.refuse(invite.call)
                assert (await settle(home, call_id))["cause"] == "busy"
                await desk.transport.close()
                await asyncio.sleep(1)
                call = await settle(home, place(home))
            assert (call["ended_by"], call["cause"]) == ("network", "unreachable")

        run(main())


class Desk:
    """A phone that registers as 100 by TCP, and refuses when it is told to."""

    transport: Transport

    def __init__(self) -> None:
        dice = random.Random(7)
        self.token = lambda: f"{dice.getrandbits(64):016x}"
        self.endpoint = Endpoint(token=self.token)
        self.registered = asyncio.Event()
        self.invited: asyncio.Queue[Any] = asyncio.Queue()

    @classmethod
    async def open(cls, network: Network) -> Desk:
        desk = cls()
        desk.transport = await Transport.open(
            desk.endpoint,
            [Listen("udp", "10.0.1.50", 5060)],
            on_event=desk.on_event,
            bind=network.bind,
            network=network,
        )
        outputs = desk.endpoint.register(
            "here",
            "sip:10.0.0.1;transport=tcp",
            desk.transport.now(),
            aor="sip:100@10.0.0.1",
            credentials=Credentials("100", "wonderland", token=desk.token),
            expires=300,
        )
        desk.transport.act(outputs)
        return desk

    def refuse(self, call: str) -> None:
        self.transport.act(self.endpoint.refuse(call, 486, self.transport.now()))

    def on_event(self, event: Event) -> None:
        if isinstance(event, Registered):
            self.registered.set()
        elif hasattr(event, "flow"):
            self.invited.put_nowait(event)


class TestPassedOn:
    """A caller of the trunk is put through to a user of it: we call, for only we know the way."""

    @pytest.mark.parametrize(
        ("place", "by"),
        [("tel:101", "refer"), ("sip:101@10.0.0.1", "attended"), ("tel:101", "bridge")],
    )
    def test_to_a_user(self, tmp_path: Path, place: str, by: str) -> None:
        async def main() -> None:
            trunks = {"phones": {"users": USERS, "transfer_by": by}}
            agent = {"tools": ["transfer"], "transfer": {"sales": place}}
            async with office(tmp_path, trunks, script=SCRIPT, agent=agent) as (home, phone, other):
                sip = Sip(home.network)
                phone.referring = Referring()
                assert await other.register(GATEWAY) == 200
                await asked(phone)
                await other.called()
                await asyncio.sleep(0.2)
                speaking = asyncio.create_task(phone.say(noise(1.0)))
                await other.until_sound()
                await speaking
                other.hang_up()
                record = await home.record()
                (invite,) = sip.requests("INVITE")
                assert sip.requests("REFER") == []
            assert invite.uri == "sip:101@10.0.1.2:5060"
            assert invite.headers.from_.uri.user == "100"
            (transfer,) = record["transfers"]
            assert (transfer["by"], transfer["status"]) == ("bridge", 200)
            assert (record["ended_by"], record["cause"]) == ("target", "hang_up")

        run(main())

    def test_to_one_who_is_not_there(self, tmp_path: Path) -> None:
        """The model is told, and goes on."""

        async def main() -> None:
            agent = {"tools": ["transfer"], "transfer": {"sales": "tel:101"}}
            async with office(tmp_path, script=SCRIPT, agent=agent) as (home, phone, _):
                await asked(phone)
                await until(lambda: bool(outputs(home.model)))
                assert outputs(home.model) == [{"error": "unavailable", "status": 480}]
                await phone.until_sound()
                phone.hang_up()
                record = await home.record()
            assert record["transfers"][0]["status"] == 480

        run(main())

    @pytest.mark.parametrize("there", [True, False])
    def test_by_the_callers_own_wish(self, tmp_path: Path, there: bool) -> None:
        """REFER to a user, where the trunk may move its calls."""

        async def main() -> None:
            trunks = {"phones": {"users": USERS, "accept_transfers": True}}
            async with office(tmp_path, trunks) as (_, phone, other):
                if there:
                    await other.register(GATEWAY)
                await phone.dial("200", GATEWAY)
                await asyncio.sleep(1)
                phone.refer("sip:101@10.0.0.1")
                await until(lambda: any(it.final for it in phone.progress))
                assert phone.progress[-1].status == (200 if there else 480)
                assert phone.ended.is_set() is False
                assert (other.invite is not None) is there

        run(main())


class TestBoth:
    """A trunk with users and a way out: its users are at their phones, all others beyond."""

    def test_users_and_others(self, tmp_path: Path) -> None:
        async def main() -> None:
            trunks = {"pbx": {"users": USERS, "outbound": "sip:10.0.1.2:5060"}}
            async with office(tmp_path, trunks) as (home, phone, beyond):
                await phone.register(GATEWAY)
                await settle(home, place(home, to="100"))
                await settle(home, place(home, to="200"))
                assert phone.invite
                assert phone.invite.uri == "sip:100@10.0.1.1:5060"
                assert beyond.invite
                assert beyond.invite.uri == "sip:200@10.0.1.2:5060"

        run(main())
