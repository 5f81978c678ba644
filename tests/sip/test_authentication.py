"""Who is let in: by address, by digest, and what strangers are told. RFC 3261 §22, RFC 8760."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from itertools import count

import pytest

from gateway.sip.authentication import (
    BURST,
    LIFETIME,
    MAX_COUNTS,
    MAX_STRANGERS,
    SLACK,
    Account,
    Buckets,
    Nonces,
    Screen,
)
from gateway.sip.digest import Credentials, challenges
from gateway.sip.event import Flow, Identity
from gateway.sip.message import Headers, Request, Response, parse
from gateway.sip.uas import Rejection

from .wire import US, request

STRANGER = Flow("udp", US, ("203.0.113.7", 5060))
PBX = Flow("udp", US, ("192.0.2.10", 5060))
KEY = bytes(range(32))


def screen(**accounts: str) -> Screen:
    """Users of the trunk `phones`; the trunk `pbx` is known by its address."""
    return Screen(
        knows=lambda host: Identity("pbx") if host == "192.0.2.10" else None,
        accounts={("gateway", user): Account("phones", word) for user, word in accounts.items()},
        key=KEY,
    )


def asked(
    method: str = "INVITE", headers: Sequence[tuple[str, str]] = (), cseq: int = 1
) -> Request:
    message = parse(request(method, cseq=cseq, branch=f"z9hG4bK-{cseq}"))
    assert isinstance(message, Request)
    for name, value in headers:
        message.headers.add(name, value)
    return message


def phone(user: str = "alice", password: str = "wonderland") -> Credentials:
    numbers = count(1)
    return Credentials(user, password, "gateway", token=lambda: f"c{next(numbers)}")


def refusal(verdict: object) -> Response:
    """A 401 as the peer gets it."""
    assert isinstance(verdict, Rejection)
    assert verdict.status == 401
    return Response(401, "Unauthorized", Headers(verdict.headers))


def values(verdict: object) -> list[str]:
    return refusal(verdict).headers.all("WWW-Authenticate")


def shape(verdict: object) -> list[str]:
    """The challenges without their nonces."""
    return [re.sub('nonce="[^"]*"', "", value) for value in values(verdict)]


def answered(it: Screen, client: Credentials, now: float = 10.0, method: str = "INVITE") -> Request:
    """The request with which a client answers the challenge that it got at `now`."""
    first = asked(method)
    fields = client.answer(refusal(it.judge(first, STRANGER, now)), first)
    return asked(method, fields or (), cseq=2)


class TestByAddress:
    """A trunk that is known by its address proves nothing else."""

    @pytest.mark.parametrize("accounts", [{}, {"alice": "wonderland"}])
    @pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "BYE", "SUBSCRIBE"])
    def test_its_requests_are_served(self, accounts: dict[str, str], method: str) -> None:
        assert screen(**accounts).judge(asked(method), PBX, 10) == Identity("pbx")

    def test_its_credentials_are_not_looked_at(self) -> None:
        wrong = asked(headers=[("Authorization", 'Digest username="mallory"')])
        assert screen(alice="wonderland").judge(wrong, PBX, 10) == Identity("pbx")

    def test_but_a_binding_is_a_users(self) -> None:
        it = screen(alice="wonderland")
        assert refusal(it.judge(asked("REGISTER"), PBX, 10))
        assert screen().judge(asked("REGISTER"), PBX, 10) == Identity("pbx")

    def test_it_may_ask_as_often_as_it_likes(self) -> None:
        it = screen(alice="wonderland")
        assert all(it.judge(asked(), PBX, 10) for _ in range(100))
        assert all(it.judge(asked("REGISTER"), PBX, 10) for _ in range(100))


class TestStrangers:
    """Without an address that we know and without users nobody is answered at all."""

    @pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER", "BYE"])
    def test_silence_without_users(self, method: str) -> None:
        it = screen()
        assert not it.asks
        assert it.judge(asked(method), STRANGER, 10) is None

    @pytest.mark.parametrize("method", ["OPTIONS", "BYE", "MESSAGE", "SUBSCRIBE", "CANCEL", "X"])
    def test_silence_for_what_users_do_not_begin_with(self, method: str) -> None:
        it = screen(alice="wonderland")
        assert it.asks
        assert it.judge(asked(method), STRANGER, 10) is None

    @pytest.mark.parametrize("method", ["INVITE", "REGISTER"])
    def test_the_challenge(self, method: str) -> None:
        """RFC 8760 §2.3: an algorithm each, the stronger one first."""
        one, other = values(screen(alice="wonderland").judge(asked(method), STRANGER, 10))
        nonce = challenges([one])[0].nonce
        assert one == (
            f'Digest realm="gateway", nonce="{nonce}", algorithm=SHA-256, qop="auth,auth-int"'
        )
        assert other == one.replace("SHA-256", "MD5")

    def test_every_realm_is_asked_for(self) -> None:
        accounts = {("one", "a"): Account("x", "p"), ("two", "b"): Account("y", "p")}
        it = Screen(knows=lambda host: None, accounts=accounts, key=KEY)
        offered = challenges(values(it.judge(asked(), STRANGER, 10)))
        assert [(found.realm, found.algorithm) for found in offered] == [
            ("one", "SHA-256"),
            ("one", "MD5"),
            ("two", "SHA-256"),
            ("two", "MD5"),
        ]

    @pytest.mark.parametrize(
        ("wanted", "offered"),
        [
            ([("MD5",)], ["MD5"]),
            ([("MD5", "SHA-256")], ["SHA-256", "MD5"]),
            ([("MD5",), ("SHA-256",)], ["SHA-256", "MD5"]),
        ],
    )
    def test_what_a_realm_takes(self, wanted: list[tuple[str, ...]], offered: list[str]) -> None:
        """There are phones that stop at the sight of an algorithm that they do not know."""
        accounts = {
            ("gateway", f"user{n}"): Account("phones", "p", algorithms)
            for n, algorithms in enumerate(wanted)
        }
        it = Screen(knows=lambda host: None, accounts=accounts, key=KEY)
        found = challenges(values(it.judge(asked(), STRANGER, 10)))
        assert [challenge.algorithm for challenge in found] == offered

    def test_sixteen_in_two_seconds(self) -> None:
        it = screen(alice="wonderland")
        assert sum(bool(it.judge(asked(), STRANGER, 10)) for _ in range(40)) == 16
        assert sum(bool(it.judge(asked(), STRANGER, 12)) for _ in range(40)) == 16
        other = Flow("udp", US, ("203.0.113.8", 5060))
        assert it.judge(asked(), other, 12)

    def test_no_answer_that_is_much_longer(self) -> None:
        """§26.3.2.4: whoever forges a source gains nothing; over a stream nobody can."""
        it = screen(alice="wonderland")
        small = asked()
        size = len(small.encode()) + SLACK + 2 * len("gateway")
        assert it.is_fair(small, b"x" * size, STRANGER)
        assert not it.is_fair(small, b"x" * (size + 1), STRANGER)
        stream = Flow("tcp", US, STRANGER.remote)
        assert it.is_fair(small, b"x" * (size + 1), stream)


class TestUsers:
    """Who proves a password is that user of that trunk."""

    @pytest.mark.parametrize("method", ["INVITE", "REGISTER"])
    def test_proven(self, method: str) -> None:
        it = screen(alice="wonderland")
        again = answered(it, phone(), method=method)
        assert it.judge(again, STRANGER, 10.2) == Identity("phones", "alice")

    @pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
    @pytest.mark.parametrize("qop", ["auth", "auth-int"])
    def test_by_each_algorithm_and_qop(self, algorithm: str, qop: str) -> None:
        it = screen(alice="wonderland")
        (offered,) = [
            value.replace("auth,auth-int", qop)
            for value in values(it.judge(asked(), STRANGER, 10))
            if f"algorithm={algorithm}," in value
        ]
        refused = Response(401, "No", Headers([("WWW-Authenticate", offered)]))
        fields = phone().answer(refused, asked())
        assert fields
        assert f"algorithm={algorithm}, " in fields[0][1]
        assert f"qop={qop}," in fields[0][1]
        again = asked(headers=fields)
        assert it.judge(again, STRANGER, 10) == Identity("phones", "alice")

    def test_by_what_was_not_offered(self) -> None:
        """Nobody can choose the weaker one."""
        account = Account("phones", "wonderland", ("SHA-256",))
        it = Screen(knows=lambda host: None, accounts={("gateway", "alice"): account}, key=KEY)
        (offered,) = values(it.judge(asked(), STRANGER, 10))
        weak = Headers([("WWW-Authenticate", offered.replace("SHA-256", "MD5"))])
        fields = phone().answer(Response(401, "No", weak), asked())
        again = it.judge(asked(headers=fields or ()), STRANGER, 10)
        assert "stale" not in values(again)[0]

    def test_wrong_password_and_no_such_user_look_the_same(self) -> None:
        it = screen(alice="wonderland")
        none = it.judge(asked(), STRANGER, 10)
        wrong = it.judge(answered(it, phone(password="x")), STRANGER, 10)
        nobody = it.judge(answered(it, phone(user="eve")), STRANGER, 10)
        assert shape(none) == shape(wrong) == shape(nobody)

    def test_the_next_request_need_not_wait(self) -> None:
        """§22.2, RFC 7616 §3.4.5: the same nonce, with a count that goes up."""
        it, client = screen(alice="wonderland"), phone()
        assert it.judge(answered(it, client), STRANGER, 10)
        later = asked("REGISTER", client.authorize(asked("REGISTER")), cseq=3)
        assert it.judge(later, STRANGER, 40) == Identity("phones", "alice")

    def test_what_was_overheard_is_of_no_use(self) -> None:
        """RFC 7616 §5.8: the same count again, even by the same address."""
        it, client = screen(alice="wonderland"), phone()
        again = answered(it, client)
        assert it.judge(again, STRANGER, 10) == Identity("phones", "alice")
        assert refusal(it.judge(again, STRANGER, 10))

    def test_a_count_that_goes_down(self) -> None:
        it, client = screen(alice="wonderland"), phone()
        first = answered(it, client)
        second = asked(headers=client.authorize(asked()), cseq=3)
        assert it.judge(second, STRANGER, 10) == Identity("phones", "alice")
        assert refusal(it.judge(first, STRANGER, 10))

    def test_an_old_nonce_is_stale(self) -> None:
        """RFC 7616 §3.3: the password is right, so that nobody is asked for it again."""
        it, client = screen(alice="wonderland"), phone()
        late = answered(it, client, now=10)
        stale = it.judge(late, STRANGER, 10 + LIFETIME)
        assert all(value.endswith(", stale=true") for value in values(stale))
        fields = client.answer(refusal(stale), late)
        again = asked(headers=fields or (), cseq=3)
        assert it.judge(again, STRANGER, 10 + LIFETIME) == Identity("phones", "alice")

    def test_a_wrong_password_is_never_stale(self) -> None:
        it = screen(alice="wonderland")
        late = answered(it, phone(password="x"), now=10)
        assert "stale" not in values(it.judge(late, STRANGER, 100))[0]

    def test_a_nonce_is_for_one_address(self) -> None:
        it, client = screen(alice="wonderland"), phone()
        other = Flow("udp", US, ("203.0.113.8", 5060))
        assert "stale=true" in values(it.judge(answered(it, client), other, 10))[0]

    def test_a_nonce_of_before_a_restart(self) -> None:
        """Another key: it is not ours any more, and the phone simply is asked anew."""
        client = phone()
        before = answered(screen(alice="wonderland"), client)
        after = Screen(
            knows=lambda host: None,
            accounts={("gateway", "alice"): Account("phones", "wonderland")},
            key=bytes(32),
        )
        assert "stale=true" in values(after.judge(before, STRANGER, 10))[0]

    def test_credentials_of_another_realm_beside_ours(self) -> None:
        """§20.7: those of a proxy on the way, say."""
        it = screen(alice="wonderland")
        ours = answered(it, phone()).headers.get("Authorization") or ""
        both = asked(
            headers=[("Authorization", ours.replace("gateway", "x")), ("Authorization", ours)]
        )
        assert it.judge(both, STRANGER, 10) == Identity("phones", "alice")

    def test_few_are_looked_at(self) -> None:
        it = screen(alice="wonderland")
        ours = answered(it, phone()).headers.get("Authorization") or ""
        other = ("Authorization", ours.replace("gateway", "x"))
        many = asked(headers=[*[other] * 4, ("Authorization", ours)])
        assert refusal(it.judge(many, STRANGER, 10))

    def test_the_password_is_not_shown(self) -> None:
        assert "wonderland" not in repr(Account("phones", "wonderland"))


class TestNonces:
    """Nothing is kept of a nonce before somebody has used it."""

    def test_a_copy_gets_the_same(self) -> None:
        nonces = Nonces(KEY)
        assert nonces.make("h", asked(), 10) == nonces.make("h", asked(), 10)
        assert nonces.make("h", asked(), 10) != nonces.make("h", asked(cseq=2), 10)
        assert nonces.make("h", asked(), 10) != nonces.make("h", asked(), 10.5)

    def test_bytes_that_are_no_text(self) -> None:
        strange = parse(request("INVITE", call_id="\udcff"))
        assert isinstance(strange, Request)
        assert Nonces(KEY).make("h", strange, 10)

    @pytest.mark.parametrize("nonce", ["", "x", "é" * 32, "A" * 32, "=" * 32, "A" * 33, "A\n" * 16])
    def test_what_we_did_not_make(self, nonce: str) -> None:
        assert not Nonces(KEY).use(nonce, 1, "h", 10)

    def test_a_changed_time(self) -> None:
        nonces = Nonces(KEY)
        raw = bytearray(base64.urlsafe_b64decode(nonces.make("h", asked(), 10)))
        raw[5] += 1
        assert not nonces.use(base64.urlsafe_b64encode(raw).decode(), 1, "h", 11)

    def test_one_of_the_future(self) -> None:
        nonces = Nonces(KEY)
        assert not nonces.use(nonces.make("h", asked(), 20), 1, "h", 10)

    def test_counts_are_forgotten_with_their_nonces(self) -> None:
        nonces = Nonces(KEY)
        for number in range(1, 4):
            assert nonces.use(nonces.make("h", asked(cseq=number), 10), 1, "h", 10)
        assert nonces.use(nonces.make("h", asked(), 100), 1, "h", 100)
        assert len(nonces._counts) == 1

    def test_a_count_that_is_forgotten_does_not_begin_anew(self) -> None:
        """Too many at once: the oldest cost their users one more round, and nobody else gains."""
        nonces = Nonces(KEY)
        first = nonces.make("h", asked(), 10)
        assert nonces.use(first, 1, "h", 10)
        for number in range(MAX_COUNTS):
            nonce = nonces.make(f"h{number}", asked(), 11)
            assert nonces.use(nonce, 1, f"h{number}", 11)
        assert len(nonces._counts) == MAX_COUNTS
        assert not nonces.use(first, 1, "h", 12)
        assert not nonces.use(first, 2, "h", 12)


class TestBuckets:
    """16 at once and 8 in a second, for each address."""

    def test_a_network_of_ipv6_is_one(self) -> None:
        buckets = Buckets()
        served = [buckets.take(f"2001:db8::{number:x}", 1) for number in range(20)]
        assert served == [True] * int(BURST) + [False] * 4
        assert buckets.take("2001:db8:0:1::1", 1)

    def test_what_is_no_address(self) -> None:
        assert Buckets().take("fe80::1%eth0", 1)
        assert Buckets().take("name", 1)

    def test_few_addresses_are_remembered(self) -> None:
        buckets = Buckets()
        for number in range(MAX_STRANGERS + 10):
            buckets.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1)
        assert len(buckets._levels) == MAX_STRANGERS
