"""`media.encryption`: what is offered, taken and refused, by callers and by those we call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.sdp.security import Encryption
from gateway.simulator.phone import Answering, CallFailed, Secrecy
from gateway.sip.message import Response
from tests.clock import run

from .house import GATEWAY, Sip, house
from .secrecy import SCRIPT, dtls, sdes, turn
from .test_late_offer import Peer
from .test_late_offer import answer as plain_answer
from .test_outbound import place, settle

SUITE = "AES_CM_128_HMAC_SHA1_80"
BY_DTLS = "AEAD_AES_128_GCM"
PHONES: dict[str, Callable[[], Secrecy]] = {
    "plain": Secrecy,
    "best effort": partial(sdes, encryption="optional"),
    "SDES": sdes,
    "DTLS": dtls,
}
# What the record says of the call; False: it is refused.
INBOUND: dict[tuple[Encryption, str], str | bool | None] = {
    ("none", "plain"): None,
    ("none", "best effort"): None,
    ("none", "SDES"): False,
    ("none", "DTLS"): False,
    ("optional", "plain"): None,
    ("optional", "best effort"): SUITE,
    ("optional", "SDES"): SUITE,
    ("optional", "DTLS"): BY_DTLS,
    ("required", "plain"): False,
    ("required", "best effort"): SUITE,
    ("required", "SDES"): SUITE,
    ("required", "DTLS"): BY_DTLS,
}
# Of a phone that we call, over UDP: DTLS is never offered, and keys that all can read only to one
# that takes nothing else.
OUTBOUND: dict[tuple[Encryption, str], str | bool | None] = {
    ("none", "plain"): None,
    ("none", "best effort"): None,
    ("none", "SDES"): False,
    ("optional", "plain"): None,
    ("optional", "best effort"): None,
    ("optional", "SDES"): SUITE,
    ("required", "plain"): False,
    ("required", "best effort"): SUITE,
    ("required", "SDES"): SUITE,
}
PROFILES = {"none": "RTP/AVP", "optional": "RTP/AVP", "required": "RTP/SAVP"}


def configured(encryption: str, **more: Any) -> dict[str, Any]:
    return {"media": {"encryption": encryption}, **more}


async def refused(sip: Sip, status: int) -> None:
    """Wait until the phone has refused."""
    while not [it for _, it, _ in sip.messages if isinstance(it, Response) and it.status == status]:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def offer_of(sip: Sip) -> tuple[str, int]:
    """The profile of the last offer of the gateway's, and how many lines of a=crypto it has."""
    body = sip.requests("INVITE")[-1].body.decode()
    (line,) = [it for it in body.splitlines() if it.startswith("m=")]
    return line.split()[2], body.count("a=crypto:")


@pytest.mark.parametrize(("encryption", "kind"), INBOUND)
def test_who_calls(encryption: Encryption, kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        expected = INBOUND[encryption, kind]
        config = configured(encryption)
        async with (
            house(tmp_path, SCRIPT, config=config) as home,
            home.phone(secrecy=PHONES[kind]()) as phone,
        ):
            sip = Sip(home.network)
            if expected is False:
                with pytest.raises(CallFailed, match="488"):
                    await phone.dial("100", GATEWAY)
                (refused,) = sip.responses(488)
                assert (refused.headers.get("Warning") or "").startswith("302 gateway")
                assert (await home.record())["cause"] == "media_not_acceptable"
                return
            await phone.dial("100", GATEWAY)
            assert min(await turn(home, phone)) > 0.97
            phone.hang_up()
            assert (await home.record())["encryption"] == expected

    run(main())


@pytest.mark.parametrize("encryption", PROFILES)
def test_who_calls_without_an_offer(encryption: str, tmp_path: Path) -> None:
    """RFC 3261 §13.2.1: ours is in the 200, as for those whom we call; this one answers plainly."""

    async def main() -> None:
        async with house(tmp_path, SCRIPT, config=configured(encryption)) as home:
            peer = Peer(home.network)
            peer.invite()
            offer = await peer.offered()
            (line,) = offer.media
            lines = 2 if encryption == "required" else 0  # over UDP all read them
            assert (line.profile, len(list(line.values("crypto")))) == (PROFILES[encryption], lines)
            peer.ack(plain_answer(4000))
            await asyncio.sleep(1)
            if encryption != "required":
                assert peer.heard[4000] > 40
                peer.bye()
            record = await home.record()
            cause = "media_not_acceptable" if encryption == "required" else "hang_up"
            assert (record["cause"], record["encryption"]) == (cause, None)
            assert bool(peer.heard[4000]) is (encryption != "required")

    run(main())


@pytest.mark.parametrize(("encryption", "kind"), OUTBOUND)
def test_whom_we_call(encryption: Encryption, kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        expected = OUTBOUND[encryption, kind]
        trunks = {"pbx": {"outbound": "sip:10.0.1.1:5060"}}
        async with (
            house(tmp_path, SCRIPT, config=configured(encryption, trunks=trunks)) as home,
            home.phone(secrecy=PHONES[kind]()) as phone,
        ):
            phone.answering = Answering()
            sip = Sip(home.network)
            call_id = place(home)
            ended = await settle(home, call_id)
            keyed = encryption == "required" or (encryption, kind) == ("optional", "SDES")
            assert offer_of(sip) == (("RTP/SAVP", 2) if keyed else ("RTP/AVP", 0))
            if expected is False:
                assert (ended["cause"], ended["sip_status"]) == ("media_not_acceptable", 488)
                assert len({it.headers.call_id for it in sip.requests("INVITE")}) == 1
                return
            assert min(await turn(home, phone)) > 0.97
            phone.hang_up()
            assert (await home.record())["encryption"] == expected

    run(main())


@pytest.mark.parametrize("status", [488, 606])
@pytest.mark.parametrize("relents", [True, False])
def test_who_wants_keys_in_spite_of_that_is_called_once_more(
    status: int, relents: bool, tmp_path: Path
) -> None:
    """So once, and no more."""

    async def main() -> None:
        trunks = {"pbx": {"outbound": "sip:10.0.1.1:5060"}}
        async with (
            house(tmp_path, SCRIPT, config=configured("optional", trunks=trunks)) as home,
            home.phone(secrecy=PHONES["best effort"]()) as phone,
        ):
            phone.answering = Answering(status=status, after=1.0)
            sip = Sip(home.network)
            call_id = place(home)
            await refused(sip, status)
            if relents:
                phone.answering = Answering()
            view = await settle(home, call_id)
            first, second = dict.fromkeys(it.headers.call_id for it in sip.requests("INVITE"))
            assert offer_of(sip) == ("RTP/SAVP", 2)
            assert view["sip_call_id"] == second != first
            if relents:
                assert min(await turn(home, phone)) > 0.97
                phone.hang_up()
            record = await home.record()
            assert record["encryption"] == (SUITE if relents else None)
            assert record["sip_status"] == (200 if relents else status)
            assert record["cause"] == ("hang_up" if relents else "media_not_acceptable")

    run(main())


@pytest.mark.parametrize(("encryption", "status"), [("optional", 486), ("required", 488)])
def test_nobody_else_is(encryption: Encryption, status: int, tmp_path: Path) -> None:
    """Who is busy is busy, and what must be encrypted is."""

    async def main() -> None:
        trunks = {"pbx": {"outbound": "sip:10.0.1.1:5060"}}
        async with (
            house(tmp_path, SCRIPT, config=configured(encryption, trunks=trunks)) as home,
            home.phone(secrecy=PHONES["SDES" if encryption == "required" else "plain"]()) as phone,
        ):
            phone.answering = Answering(status=status)
            sip = Sip(home.network)
            assert (await settle(home, place(home)))["sip_status"] == status
            assert len({it.headers.call_id for it in sip.requests("INVITE")}) == 1

    run(main())


def test_a_call_given_up_is_not_made_again(tmp_path: Path) -> None:
    """The hang-up and the refusal cross each other on the way."""

    async def main() -> None:
        trunks = {"pbx": {"outbound": "sip:10.0.1.1:5060"}}
        async with (
            house(tmp_path, SCRIPT, config=configured("optional", trunks=trunks)) as home,
            home.phone() as phone,
        ):
            phone.answering = Answering(status=488, after=1.0)
            sip = Sip(home.network)
            call_id = place(home)
            await refused(sip, 488)
            home.gateway.switchboard.hang_up(call_id)
            await settle(home, call_id)
            assert len({it.headers.call_id for it in sip.requests("INVITE")}) == 1

    run(main())


class TestBoth:
    """A medium with both kinds of keys: the tables of sdp/security.py."""

    @pytest.mark.parametrize("profile", ["RTP/AVP", "RTP/SAVP"])
    def test_who_reads_the_signalling_does_not_read_the_sound(
        self, profile: str, tmp_path: Path
    ) -> None:
        """Over UDP the keys of SDES are anybody's, so DTLS is taken where it is offered."""

        async def main() -> None:
            secrecy = dtls()
            async with (
                house(tmp_path, SCRIPT) as home,
                home.phone(secrecy=secrecy) as phone,
            ):
                sip = Sip(home.network)
                line = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + 40 * "A"

                def both(description: bytes) -> bytes:
                    text = description.decode().replace("UDP/TLS/RTP/SAVP", profile)
                    return (text + line + "\r\n").encode()

                offer = phone._negotiation.offer
                phone._negotiation.offer = (  # type: ignore[method-assign] # both ways
                    lambda *arguments, **options: both(offer(*arguments, **options))
                )
                await phone.dial("100", GATEWAY)
                assert b"a=crypto" not in sip.responses(200)[0].body
                assert min(await turn(home, phone)) > 0.97
                phone.hang_up()
                assert (await home.record())["encryption"] == BY_DTLS

        run(main())
