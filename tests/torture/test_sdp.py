"""Offers that nobody honest makes: 488 with a Warning, or an answer that makes sense.

The pure parser has its own tests; here the offers come by INVITE and by re-INVITE, and the call
before and the call after must not notice.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from gateway.audio.frame import Samples
from gateway.audio.g711 import codec
from gateway.sdp.description import parse
from tests.calls.house import House, Sip, house, noise
from tests.clock import Network, run

from .caller import Caller, Outcome, calling, quiet
from .hostile import NUMBERS, mutated
from .watch import nothing_breaks

SCRIPT = {"turns": [{"say": "Good day."}, {"say": "And good evening."}]}
HEAD = "v=0\no=- 1 1 IN IP4 10.0.2.1\ns=-\nc=IN IP4 10.0.2.1\nt=0 0\n"
AUDIO = "m=audio 7000 RTP/AVP 8 0 101\na=rtpmap:101 telephone-event/8000\n"
SANE, REFUSED = 200, 488


def hostile() -> list[tuple[str, str | bytes, int | None]]:
    """Each offer with its name, and the answer it must get; None where either is right."""
    return [*_lines(), *_media(), *_numbers(), *_addresses(), *_attributes(), *_bytes()]


def _lines() -> list[tuple[str, str | bytes, int | None]]:
    return [
        ("nothing", "\n", REFUSED),
        ("only a version", "v=0\n", REFUSED),
        ("another version", HEAD.replace("v=0", "v=1") + AUDIO, REFUSED),
        ("no version", HEAD.replace("v=0\n", "") + AUDIO, REFUSED),
        ("no session", AUDIO, REFUSED),
        ("1,000 lines", HEAD + AUDIO + "a=x:y\n" * 1000, REFUSED),
        ("1,000 lines before the media", HEAD + "a=x:y\n" * 1000 + AUDIO, REFUSED),
        ("64 lines a part", HEAD + "a=x\n" * 59 + AUDIO + "a=x\n" * 62, SANE),
        ("a line of 15,000", HEAD + AUDIO + f"a=x:{'y' * 15_000}\n", SANE),
        ("20,000 bytes", HEAD + AUDIO + f"a=x:{'y' * 20_000}\n", REFUSED),
        ("60,000 bytes", HEAD + AUDIO + f"a=x:{'y' * 60_000}\n", REFUSED),
        ("lines without sense", HEAD + "=\nx\nm\n=m=\n \n\t\n" + AUDIO, SANE),
        ("line ends of other alphabets", HEAD + AUDIO.replace("\n", "\u2028"), REFUSED),
        ("CR for LF", (HEAD + AUDIO).replace("\n", "\r"), REFUSED),
        ("no t=", HEAD.replace("t=0 0\n", "") + AUDIO, SANE),
        ("a broken o=", HEAD.replace("o=- 1 1", "o=x") + AUDIO, SANE),
        ("no o=", HEAD.replace("o=", "x=") + AUDIO, SANE),
    ]


def _media() -> list[tuple[str, str | bytes, int | None]]:
    port_0 = AUDIO.replace("7000", "0")
    many = " ".join(map(str, range(128)))
    return [
        ("no m=", HEAD, REFUSED),
        ("no c=", HEAD.replace("c=IN IP4 10.0.2.1\n", "") + AUDIO, REFUSED),
        ("port 0", HEAD + port_0, REFUSED),
        ("port 0, then a port", HEAD + port_0 + AUDIO, SANE),
        ("9 media", HEAD + AUDIO * 9, REFUSED),
        ("8 media", HEAD + AUDIO * 8, SANE),
        ("1,000 media", HEAD + "m=audio 1 x y\n" * 1000, REFUSED),
        ("only video", HEAD + "m=video 7000 RTP/AVP 34\n", REFUSED),
        ("only T.38", HEAD + "m=image 7000 udptl t38\n", REFUSED),
        ("video, T.38, audio", HEAD + "m=video 9 RTP/AVP 34\nm=image 9 udptl t38\n" + AUDIO, SANE),
        ("only SRTP", HEAD + AUDIO.replace("RTP/AVP", "RTP/SAVP"), REFUSED),
        ("no formats", HEAD + "m=audio 7000 RTP/AVP\n", REFUSED),
        ("no codec of ours", HEAD + "m=audio 7000 RTP/AVP 3 18\n", REFUSED),
        ("128 payload types", HEAD + f"m=audio 7000 RTP/AVP {many}\n", REFUSED),
        ("32 payload types", HEAD + f"m=audio 7000 RTP/AVP {' '.join(['8'] * 32)}\n", SANE),
        ("a payload type of 128", HEAD + "m=audio 7000 RTP/AVP 128 136 264\n", REFUSED),
        ("payload type names", HEAD + "m=audio 7000 RTP/AVP PCMA x * ~\n", REFUSED),
        ("unicode payload types", HEAD + "m=audio 7000 RTP/AVP ８ ٨\n", REFUSED),
        ("a range of ports", HEAD + AUDIO.replace("7000", "7000/4"), SANE),
        ("a huge range", HEAD + AUDIO.replace("7000", "7000/99999999"), REFUSED),
        ("tabs", HEAD + AUDIO.replace(" ", "\t", 3), REFUSED),
        ("no kind", HEAD + AUDIO.replace("audio", ""), REFUSED),
        ("kind in capitals", HEAD + AUDIO.replace("audio", "AUDIO"), SANE),
    ]


def _numbers() -> list[tuple[str, str | bytes, int | None]]:
    ports = ["65536", "99999", "4294967296", "4294974296", "-7000", "0x1b58", "7000.0", "7_000"]
    return [
        *((f"port {port[:12]}", HEAD + AUDIO.replace("7000", port), REFUSED) for port in ports),
        *(
            (f"port {number[:12]!r}", HEAD + AUDIO.replace("7000", number), REFUSED)
            for number in NUMBERS
            if number.strip("0")
        ),
        *(
            (f"ptime {number[:12]!r}", HEAD + AUDIO + f"a=ptime:{number}\n", SANE)
            for number in (*NUMBERS, "0", "1", "99999", "20.5", "20 40")
        ),
        *(
            (f"rate {number[:12]!r}", HEAD + AUDIO + f"a=rtpmap:8 PCMA/{number}\n", SANE)
            for number in NUMBERS
        ),
        *(
            (f"o= {number[:12]!r}", HEAD.replace("- 1 1", f"- {number} {number}") + AUDIO, SANE)
            for number in NUMBERS
        ),
        *(
            (f"t= {number[:12]!r}", HEAD.replace("t=0 0", f"t={number} {number}") + AUDIO, SANE)
            for number in NUMBERS
        ),
    ]


def _addresses() -> list[tuple[str, str | bytes, int | None]]:
    def connected(address: str) -> str:
        return HEAD.replace("c=IN IP4 10.0.2.1", f"c={address}") + AUDIO

    refused = (
        *("IN IP6 2001:db8::1", "IN IP6 10.0.2.1", "IN IP4 2001:db8::1", "IN IP4 phone.example"),
        *("IN IP4 224.0.0.1", "IN IP4 224.2.1.1/127", "IN IP4 239.255.255.255", "IN IP6 ff02::1"),
        *("IN IP4 255.255.255.255", "IN IP4 10.0.2", "IN IP4 10.0.2.1.1", "IN IP4 010.0.2.1"),
        *("IN IP4 256.0.0.1", "IN IP4 0x0a.0.2.1", "IN IP4 167772673", "IN IP4 １0.0.2.1"),
        *("", "IN", "IN IP4", "ATM NSAP 47", "IN IP4 10.0.2.1 x", "IN IP6 fe80::1%eth0"),
        *("IN IP4 -1", "IN IP4 " + "1" * 5000, "IN IP4 10.0.2.1/24", "IN IP4 localhost"),
        *("IN IP6 ::ffff:1.2.3.4", "IN IP4 \u202e"),
    )
    hosts = ("0.0.0.0", "127.0.0.1", "10.0.0.1", "1.2.3.4")
    sane = ("in ip4 10.0.2.1", *(f"IN IP4 {host}" for host in hosts))
    return [
        *((f"c={address[:30]!r}", connected(address), REFUSED) for address in refused),
        *((f"c={address!r}", connected(address), SANE) for address in sane),
        ("our own SIP port", connected("IN IP4 10.0.0.1").replace("7000", "5060"), SANE),
    ]


def _attributes() -> list[tuple[str, str | bytes, int | None]]:
    maps = "".join(f"a=rtpmap:{n} telephone-event/8000\n" for n in range(96, 128))
    every = " ".join(map(str, range(96, 127)))
    lines = (
        *("a=rtpmap:8 PCMU/8000", "a=rtpmap:8 x/1", "a=rtpmap:8", "a=rtpmap:", "a=rtpmap", "a="),
        *("a=rtpmap:101 telephone-event/0", "a=rtpmap:101 telephone-event/999999"),
        *("a=rtpmap:999 a/1", "a=:", "a=é", "a=crypto:1", "a=fmtp:101"),
        *("a=fmtp:101 0-4294967296", "a=fmtp:101 ,,,", "a=fmtp:", "a=fmtp:8 mode=\x0b"),
        *("a=sendrecv\na=inactive\na=sendonly", "a=sendrecv:x", "a=SENDONLY", "a=maxptime:0"),
        *("a=rtcp:70000", "a=rtcp-mux", "a=ssrc:x", "a=candidate:" + "x " * 500, "a=setup:actpass"),
        *("b=AS:-1", "b=TIAS:99999999999", "k=clear:x", "z=9 9", "i=\u2028"),
    )
    return [
        *((line[:30], f"{HEAD}{AUDIO}{line}\n", None) for line in lines),
        ("the same map 32 times", HEAD + AUDIO + "a=rtpmap:101 telephone-event/8000\n" * 32, SANE),
        ("events everywhere", f"{HEAD}m=audio 7000 RTP/AVP 8 {every}\n{maps}", SANE),
        (
            "events and no speech",
            f"{HEAD}m=audio 7000 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n",
            REFUSED,
        ),
        ("maps of nothing offered", f"{HEAD}{AUDIO}{maps}", SANE),
    ]


def _bytes() -> list[tuple[str, str | bytes, int | None]]:
    whole = (HEAD + AUDIO).replace("\n", "\r\n").encode()
    dice = random.Random(3)
    return [
        ("NUL in a line", whole.replace(b"s=-", b"s=\0"), REFUSED),
        ("CR in a line", whole.replace(b"s=-", b"s=\rx"), REFUSED),
        ("bytes that no text has", whole.replace(b"s=-", b"s=\xff\xfe\x80"), SANE),
        ("bytes in c=", whole.replace(b"c=IN", b"c=\xff"), REFUSED),
        ("a byte order mark", b"\xef\xbb\xbf" + whole, REFUSED),
        ("UTF-16", whole.decode().encode("utf-16"), REFUSED),
        ("every byte", bytes(range(256)), REFUSED),
        *((f"cut at {at}", whole[:at], None) for at in range(1, len(whole), 4)),
        *((f"mutation {n}", mutated(whole, dice), None) for n in range(150)),
    ]


def judge(name: str, wanted: int | None, outcome: Outcome, offer: bytes) -> None:
    """488, or an answer that RFC 3264 §6 allows."""
    assert outcome.status in ({SANE, REFUSED} if wanted is None else {wanted}), name
    if outcome.status == REFUSED:
        return
    asked, answered = parse(offer), parse(outcome.body)
    assert [line.kind for line in answered.media] == [line.kind for line in asked.media], name
    ((theirs, ours),) = [
        pair for pair in zip(asked.media, answered.media, strict=True) if pair[1].port
    ]
    assert set(ours.formats) <= set(theirs.formats), name
    assert 10 <= int(ours.value("ptime") or 0) <= 60, name


def encoded(offer: str | bytes) -> bytes:
    """As it goes into a body."""
    return offer if isinstance(offer, bytes) else offer.encode()


OFFERS = hostile()


def test_hostile_offers_by_invite(tmp_path: Path) -> None:
    """
    Each gets its answer and its record; a call that was up before still is, and one after all of
    them is answered as ever.
    """
    network = Network()

    async def main() -> None:
        with nothing_breaks():
            sip = Sip(network)
            async with (
                house(tmp_path, SCRIPT, network=network) as home,
                calling(network) as caller,
                home.phone() as before,
            ):
                await before.dial("100", ("10.0.0.1", 5060))
                for name, offer, wanted in OFFERS:
                    outcome = await caller.dial(encoded(offer))
                    judge(name, wanted, outcome, encoded(offer))
                    caller.hang_up()
                    await asyncio.sleep(0.1)
                    record = home.written()[-1]
                    assert record["sip_status"] == outcome.status, name
                    cause = {SANE: "hang_up", REFUSED: "media_not_acceptable"}[outcome.status]
                    assert record["cause"] == cause, name
                assert not before.ended.is_set()
                assert (await caller.dial()).status == SANE
                before.hang_up()
                caller.hang_up()
                records = await home.records()

        assert len(records) == len(OFFERS) + 2
        refusals = sip.responses(REFUSED)
        assert refusals
        for refusal in refusals:
            code, agent, _ = (refusal.headers.get("Warning") or "").split(" ", 2)
            assert (300 <= int(code) <= 399, agent) == (True, "gateway")
        assert sip.responses(500) == []

    run(main())


@pytest.mark.parametrize("seed", range(2))
def test_hostile_offers_by_reinvite(seed: int, tmp_path: Path) -> None:
    """
    What cannot be used is refused, and the session stays as it was; what can be is followed, and a
    good offer brings the call back. In the end the caller is heard, and hears.
    """
    offers = OFFERS.copy()
    random.Random(seed).shuffle(offers)

    async def main() -> None:
        with nothing_breaks():
            network = Network()
            async with house(tmp_path, SCRIPT, network=network) as home, calling(network) as caller:
                assert (await caller.dial()).status == SANE
                for name, offer, wanted in offers:
                    outcome = await caller.renegotiate(encoded(offer))
                    assert not caller.ended.is_set(), name
                    assert outcome.status in ({SANE, REFUSED} if wanted is None else {wanted}), name
                    await caller.say(quiet())
                assert (await caller.renegotiate(caller.offer())).status == SANE
                await heard_and_hears(home, caller)
                caller.hang_up()
                record = await home.record()

        assert record["cause"] == "hang_up"

    run(main())


def test_media_sent_back_to_the_gateway(tmp_path: Path) -> None:
    """
    An offer whose address is our own port, so that the model hears itself: nothing breaks, and a
    good offer ends it.
    """

    async def main() -> None:
        with nothing_breaks():
            network = Network()
            async with house(tmp_path, SCRIPT, network=network) as home, calling(network) as caller:
                await caller.dial()
                assert caller.target
                own = caller.offer(port=caller.target[1]).replace(b"10.0.2.1", b"10.0.0.1")
                assert (await caller.renegotiate(own)).status == SANE
                await asyncio.sleep(5.0)
                assert (await caller.renegotiate(caller.offer())).status == SANE
                await heard_and_hears(home, caller)
                caller.hang_up()
                record = await home.record()

        assert record["cause"] == "hang_up"

    run(main())


async def heard_and_hears(home: House, caller: Caller) -> None:
    """The caller speaks, and within ten seconds the model answers her."""
    before = len(home.model.answers("response.done"))
    speech = noise(0.6)
    for n in range(30):
        await caller.say(speech_frame(speech, n))
    for _ in range(500):
        await caller.say(quiet())
        if len(home.model.answers("response.done")) > before:
            break
    since = len(caller.heard)
    for _ in range(50):
        await caller.say(quiet())
    assert len(home.model.answers("response.done")) > before
    assert len(caller.heard) >= since + 49


def speech_frame(speech: Samples, n: int) -> bytes:
    """The n-th 20 ms of some speech, as PCMA."""
    return codec("PCMA").encode(speech[n * 160 : n * 160 + 160])
