"""Digest as a client and as a server: RFC 7616, RFC 8760, RFC 2617, RFC 3261 §22."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.digest import (
    MAX_VALUE,
    Authorization,
    Credentials,
    Fields,
    Secret,
    Use,
    challenges,
    quote,
    response_of,
    same_target,
)
from gateway.sip.message import Headers, Request, Response

MUFASA = "http-auth@example.org"
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


class TestResponse:
    """The examples of the RFCs."""

    @pytest.mark.parametrize(
        ("algorithm", "response"),
        [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ],
    )
    def test_rfc_7616_3_9_1(self, algorithm: str, response: str) -> None:
        secret = Secret(algorithm, "Mufasa", MUFASA, "Circle of Life")
        use = Use(NONCE, CNONCE, "00000001", "auth")
        assert response_of(secret, use, "GET", "/dir/index.html", b"") == response

    def test_rfc_7616_3_9_2(self) -> None:
        """SHA-512-256 and UTF-8, with the response of erratum 4897."""
        secret = Secret("SHA-512-256", "Jäsøn Doe", "api@example.org", "Secret, or not?")
        nonce = "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK"
        use = Use(nonce, "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", "00000001", "auth")
        assert (
            response_of(secret, use, "GET", "/doe.json", b"")
            == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
        )

    def test_rfc_2617_3_5(self) -> None:
        secret = Secret("MD5", "Mufasa", "testrealm@host.com", "Circle Of Life")
        use = Use("dcd98b7102dd2f0e8b11d0f600bfb0c093", "0a4f113b", "00000001", "auth")
        assert (
            response_of(secret, use, "GET", "/dir/index.html", b"")
            == "6629fae49393a05397450978507c4ef1"
        )

    def test_without_a_qop(self) -> None:
        """RFC 2617 §3.2.2.1: neither count nor cnonce, as RFC 2069 had it."""
        secret = Secret("MD5", "Mufasa", "testrealm@host.com", "Circle Of Life")
        use = Use("dcd98b7102dd2f0e8b11d0f600bfb0c093", "", "", None)
        assert (
            response_of(secret, use, "GET", "/dir/index.html", b"")
            == "670fd8c2df070c60b045671b8b24ff02"
        )

    def test_auth_int_covers_the_body(self) -> None:
        """RFC 7616 §3.4.3."""
        secret = Secret("SHA-256", "alice", "r", "p")
        use = Use("n", "c", "00000001", "auth-int")
        one = response_of(secret, use, "INVITE", "sip:x", b"v=0\r\n")
        assert one != response_of(secret, use, "INVITE", "sip:x", b"v=0\r\ns=-\r\n")
        plain = replace(use, qop="auth")
        assert response_of(secret, plain, "INVITE", "sip:x", b"") == response_of(
            secret, plain, "INVITE", "sip:x", b"other"
        )

    def test_sess_mixes_the_nonces_into_a1(self) -> None:
        """RFC 7616 §3.4.2."""
        secret = Secret("MD5", "alice", "r", "p")
        use = Use("n", "c", "00000001", "auth")
        session = replace(use, session=True)
        assert response_of(secret, use, "M", "u", b"") != response_of(
            secret, session, "M", "u", b""
        )


def read(*values: str) -> list[tuple[str, str, str, str | None]]:
    return [(it.realm, it.nonce, it.algorithm, it.qop) for it in challenges(values)]


class TestChallenges:
    """What WWW-Authenticate and Proxy-Authenticate say."""

    def test_one(self) -> None:
        (it,) = challenges(
            [
                'Digest realm="example.com", nonce="n1", opaque="o", algorithm=SHA-256,'
                ' qop="auth,auth-int", stale=TRUE'
            ]
        )
        assert (it.realm, it.nonce, it.opaque, it.stale) == ("example.com", "n1", "o", True)
        assert (it.algorithm, it.session, it.spelled, it.qop) == (
            "SHA-256",
            False,
            "SHA-256",
            "auth",
        )

    def test_several_headers(self) -> None:
        assert read(
            'Digest realm="a", nonce="1", algorithm=SHA-256', 'Digest realm="b", nonce="2"'
        ) == [
            ("a", "1", "SHA-256", None),
            ("b", "2", "MD5", None),
        ]

    def test_several_in_a_line(self) -> None:
        """RFC 7235 §4.1; other schemes are passed over with their parameters."""
        assert read(
            'Basic realm="x", Digest realm="a", nonce="1", NTLM realm="y", nonce="0",'
            ' Digest realm="b",nonce="2", Negotiate, Bearer abc=='
        ) == [("a", "1", "MD5", None), ("b", "2", "MD5", None)]

    def test_commas_and_quotes_in_quotes(self) -> None:
        (it,) = challenges([r'Digest realm="a, \"b\" \\ c", nonce="x,y=z"'])
        assert (it.realm, it.nonce) == ('a, "b" \\ c', "x,y=z")

    @pytest.mark.parametrize(
        "value",
        [
            'Digest  realm = "a" ,  nonce\t=\t"1"',
            'DIGEST ,REALM="a",,NONCE="1",',
            "digest realm=a, nonce=1",
            'Digest nonce="1", algorithm="md5", x-other="y", realm="a"',
            'Digest realm="a", nonce="1", algorithm=MD5, qop=""',
        ],
    )
    def test_odd_spelling(self, value: str) -> None:
        assert read(value) == [("a", "1", "MD5", None)]

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "Digest",
            'Digest realm="a"',
            'Digest nonce="1"',
            'Digest realm="a", nonce=""',
            'Digest realm="a", nonce="1',
            'Digest realm="a", nonce="1", nonce="2"',
            'Digest realm="a", nonce="1", algorithm=SHA-1',
            'Digest realm="a", nonce="1", algorithm=AKAv1-MD5, qop="auth"',
            'Digest realm="a", nonce="1", qop="auth-conf"',
            'realm="a", nonce="1"',
            f'Digest realm="a", nonce="{"1" * (MAX_VALUE + 1)}"',
        ],
    )
    def test_what_cannot_be_answered(self, value: str) -> None:
        assert read(value) == []

    @pytest.mark.parametrize(
        ("offered", "chosen"),
        [
            ("auth", "auth"),
            ("auth-int", "auth-int"),
            ("auth-int, auth", "auth"),
            ("x,AUTH", "auth"),
        ],
    )
    def test_auth_is_preferred(self, offered: str, chosen: str) -> None:
        assert read(f'Digest realm="a", nonce="1", qop="{offered}"') == [("a", "1", "MD5", chosen)]

    def test_sess(self) -> None:
        (it,) = challenges(['Digest realm="a", nonce="1", algorithm=SHA-256-sess, qop="auth"'])
        assert (it.algorithm, it.session, it.spelled) == ("SHA-256", True, "SHA-256-sess")

    @given(st.lists(st.text(max_size=200), max_size=3))
    def test_garbage_is_no_challenge(self, values: list[str]) -> None:
        for it in challenges(values):
            assert len(it.nonce) <= MAX_VALUE

    @given(st.text(st.characters(exclude_characters="\r\n\0"), max_size=60))
    def test_what_is_quoted_is_read_again(self, realm: str) -> None:
        assert read(f'Digest realm={quote(realm)}, nonce="1"') == [(realm, "1", "MD5", None)]


def credentials(realm: str | None = None) -> Credentials:
    numbers = count(1)
    return Credentials("bob", "zanzibar", realm, token=lambda: f"c{next(numbers)}")


def refused(*values: str, status: int = 401) -> Response:
    name = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}.get(status, "WWW-Authenticate")
    return Response(status, "No", Headers([(name, value) for value in values]))


def register(fields: Fields | None = None) -> Request:
    return Request("REGISTER", "sip:biloxi.com", Headers(fields or []))


def sent(fields: Fields | None, name: str = "Authorization") -> str:
    """The one header of this name."""
    (value,) = [value for other, value in fields or [] if other == name]
    return value


PLAIN = 'Digest realm="biloxi.com", nonce="n1", qop="auth"'


class TestCredentials:
    """What we answer as a client."""

    def test_the_answer_as_it_is_written(self) -> None:
        """RFC 7616 §3.4: qop, nc and algorithm have no quotes."""
        challenge = (
            'Digest realm="biloxi.com", nonce="n1", opaque="o \\"1\\"", algorithm=md5, qop="auth"'
        )
        use = Use("n1", "c1", "00000001", "auth")
        secret = Secret("MD5", "bob", "biloxi.com", "zanzibar")
        right = response_of(secret, use, "REGISTER", "sip:biloxi.com", b"")
        assert credentials().answer(refused(challenge), register()) == [
            (
                "Authorization",
                'Digest username="bob", realm="biloxi.com", nonce="n1", uri="sip:biloxi.com", '
                f'response="{right}", algorithm=md5, cnonce="c1", qop=auth, nc=00000001, '
                'opaque="o \\"1\\""',
            )
        ]

    def test_nothing_is_added_for_a_server_of_rfc_2069(self) -> None:
        fields = credentials().answer(refused('Digest realm="b", nonce="n1"'), register())
        assert not any(
            word in sent(fields) for word in ("cnonce", "qop", "nc=", "algorithm", "opaque")
        )

    def test_sess_without_a_qop_says_its_cnonce(self) -> None:
        """Nobody could check it otherwise."""
        challenge = 'Digest realm="b", nonce="n1", algorithm=MD5-sess'
        assert 'cnonce="c1"' in sent(credentials().answer(refused(challenge), register()))

    @pytest.mark.parametrize(
        ("offered", "chosen"),
        [
            (("MD5", "SHA-256", "SHA-512-256"), "SHA-512-256"),
            (("MD5", "SHA-256"), "SHA-256"),
            (("SHA-1", "MD5"), "MD5"),
        ],
    )
    def test_the_strongest_that_we_have(self, offered: tuple[str, ...], chosen: str) -> None:
        """RFC 8760 §2.4."""
        asked = [f'Digest realm="b", nonce="n", algorithm={name}, qop="auth"' for name in offered]
        assert f"algorithm={chosen}," in sent(credentials().answer(refused(*asked), register()))

    def test_auth_int_hashes_the_body(self) -> None:
        challenge = 'Digest realm="b", nonce="n1", qop="auth-int"'
        invite = Request("INVITE", "sip:a@b", body=b"v=0\r\n")
        right = response_of(
            Secret("MD5", "bob", "b", "zanzibar"),
            Use("n1", "c1", "00000001", "auth-int"),
            "INVITE",
            "sip:a@b",
            b"v=0\r\n",
        )
        assert f'response="{right}"' in sent(credentials().answer(refused(challenge), invite))

    def test_a_proxy_has_its_own_header(self) -> None:
        """§22.3."""
        fields = credentials().answer(refused(PLAIN, status=407), register())
        assert [name for name, _ in fields or []] == ["Proxy-Authorization"]

    def test_proxy_and_server_at_once(self) -> None:
        """§22.3: the answer to the one stays when the other asks; each with its own count."""
        ours = credentials()
        first = ours.answer(refused(PLAIN, status=407), register())
        both = ours.answer(refused(PLAIN.replace("n1", "n2")), register(first))
        assert 'nonce="n1"' in sent(both, "Proxy-Authorization")
        assert "nc=00000002" in sent(both, "Proxy-Authorization")
        assert 'nonce="n2"' in sent(both)
        assert "nc=00000001" in sent(both)

    def test_the_nonce_is_used_again(self) -> None:
        """§22.2, RFC 7616 §3.4.5: the next request need not wait to be asked."""
        ours = credentials()
        assert ours.authorize(register()) == []
        ours.answer(refused(PLAIN), register())
        for number in ("00000002", "00000003"):
            assert f'cnonce="c1", qop=auth, nc={number}' in sent(ours.authorize(register()))

    def test_the_password_was_wrong(self) -> None:
        """The same answer refused: neither the old nonce nor a new one is tried."""
        for nonce in ("n1", "n2"):
            ours = credentials()
            fields = ours.answer(refused(PLAIN), register())
            again = refused(PLAIN.replace("n1", nonce))
            assert ours.answer(again, register(fields)) is None

    def test_stale_is_answered_once(self) -> None:
        """RFC 7616 §3.3: not for ever, whatever the server says."""
        ours, request = credentials(), register()
        for nonce, answered in (("n1", True), ("n2", True), ("n3", False)):
            challenge = f'Digest realm="b", nonce="{nonce}", qop="auth", stale=true'
            fields = ours.answer(refused(challenge), request)
            assert (fields is not None) is answered
            request = register(fields)

    @pytest.mark.parametrize("qop", [', qop="auth"', ""])
    def test_an_old_nonce_need_not_be_called_stale(self, qop: str) -> None:
        """A nonce that was good before may have come to its end without a word."""
        ours = credentials()
        ours.answer(refused(f'Digest realm="b", nonce="n1"{qop}'), register())
        later = register(ours.authorize(register()))
        fields = ours.answer(refused(f'Digest realm="b", nonce="n2"{qop}'), later)
        assert 'nonce="n2"' in sent(fields)
        assert ours.answer(refused(f'Digest realm="b", nonce="n3"{qop}'), register(fields)) is None

    def test_another_realm_gets_nothing(self) -> None:
        """Who asks in a realm that is not the trunk's is after the password."""
        ours = credentials("biloxi.com")
        assert ours.answer(refused('Digest realm="evil", nonce="n1"'), register()) is None
        assert ours.authorize(register()) == []
        assert ours.answer(refused('Digest realm="evil", nonce="n1"', PLAIN), register())

    def test_the_first_realm_is_kept(self) -> None:
        ours = credentials()
        assert ours.answer(refused(PLAIN, status=407), register())
        assert ours.realm == "biloxi.com"
        assert ours.answer(refused('Digest realm="evil", nonce="n1"'), register()) is None

    def test_a_challenge_that_is_not_answered_pins_nothing(self) -> None:
        ours = credentials()
        assert (
            ours.answer(refused('Digest realm="x", nonce="1", algorithm=SHA-1'), register()) is None
        )
        assert ours.realm is None

    def test_other_responses_are_no_challenge(self) -> None:
        assert credentials().answer(refused(PLAIN, status=403), register()) is None

    def test_the_password_is_not_shown(self) -> None:
        assert "zanzibar" not in repr(credentials())


def authorized(value: str, uri: str = "sip:gateway", body: bytes = b"") -> Request:
    return Request("REGISTER", uri, Headers([("Authorization", value)]), body)


def answered(
    challenge: str = 'Digest realm="gateway", nonce="n1", algorithm=SHA-256, qop="auth"',
    **changes: str,
) -> Request:
    """What a peer of ours sends, by our own client; then with parts of it replaced."""
    value = sent(credentials().answer(refused(challenge), Request("REGISTER", "sip:gateway")))
    for old, new in changes.items():
        value = value.replace(f"{old}=", f"{new}=")
    return authorized(value)


class TestAuthorization:
    """What we make of an answer as a server."""

    @pytest.mark.parametrize("algorithm", ["algorithm=SHA-256, ", "algorithm=MD5, ", ""])
    @pytest.mark.parametrize("qop", ["auth", "auth-int"])
    def test_right(self, algorithm: str, qop: str) -> None:
        """Without an algorithm it is MD5 (RFC 7616 §3.3)."""
        request = answered(f'Digest realm="gateway", nonce="n1", {algorithm}qop="{qop}"')
        (it,) = Authorization.read(request)
        assert (it.username, it.realm, it.use.nonce, it.count) == ("bob", "gateway", "n1", 1)
        assert it.proves(request, "zanzibar")
        assert not it.proves(request, "zanzibaR")

    def test_in_capitals(self) -> None:
        request = answered()
        (it,) = Authorization.read(request)
        value = (request.headers.get("Authorization") or "").replace(
            it.response, it.response.upper()
        )
        (loud,) = Authorization.read(authorized(value))
        assert loud.proves(request, "zanzibar")

    @pytest.mark.parametrize(
        "changed",
        [
            Request("INVITE", "sip:gateway"),
            Request("REGISTER", "sip:elsewhere"),
            Request("REGISTER", "sip:100@gateway"),
        ],
    )
    def test_an_answer_is_for_one_request(self, changed: Request) -> None:
        """RFC 7616 §3.4.6: of its method and for its Request-URI."""
        (it,) = Authorization.read(answered())
        assert not it.proves(changed, "zanzibar")

    def test_a_body_that_was_changed(self) -> None:
        request = answered('Digest realm="gateway", nonce="n1", qop="auth-int"')
        (it,) = Authorization.read(request)
        assert not it.proves(replace(request, body=b"other"), "zanzibar")

    def test_a_response_that_is_no_text(self) -> None:
        request = answered()
        (it,) = Authorization.read(request)
        assert not replace(it, response="é\udcff").proves(request, "zanzibar")

    @pytest.mark.parametrize(
        "lacks", ["username", "realm", "nonce", "uri", "response", "cnonce", "nc", "qop"]
    )
    def test_what_lacks_something_is_none(self, lacks: str) -> None:
        assert Authorization.read(answered(**{f" {lacks}": " x-other"})) == []

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("nc=00000001", "nc=1"),
            ("nc=00000001", "nc=000000_1"),
            ("nc=00000001", "nc=+0000001"),
            ("nc=00000001", "nc=０0000001"),
            ("qop=auth", "qop=auth-conf"),
            ("SHA-256", "SHA-256-sess"),
            ("SHA-256", "SHA-512-256"),
            ("SHA-256", "SHA-1"),
            ("Digest", "Basic"),
        ],
    )
    def test_what_we_did_not_offer_is_none(self, old: str, new: str) -> None:
        value = answered().headers.get("Authorization") or ""
        assert old in value
        assert Authorization.read(authorized(value.replace(old, new))) == []

    def test_one_of_several(self) -> None:
        """§20.7: credentials of other realms may stand beside ours."""
        request = answered()
        request.headers.add("Authorization", 'Digest username="x", realm="other"')
        assert len(Authorization.read(request)) == 1
        assert Authorization.read(Request("REGISTER", "sip:gateway")) == []

    @given(st.text(st.characters(exclude_characters="\r\n\0"), max_size=300))
    def test_garbage_is_none(self, value: str) -> None:
        assert Authorization.read(authorized(value)) == []


class TestTarget:
    """The uri of a digest is the Request-URI, give or take what proxies change."""

    @pytest.mark.parametrize(
        ("uri", "request_uri"),
        [
            ("sip:100@gateway", "sip:100@gateway"),
            ("sip:100@gateway", "sip:100@GATEWAY:5060;transport=tcp"),
            ("sip:%3100@gateway", "sip:100@gateway"),
            ("not a uri", "not a uri"),
        ],
    )
    def test_same(self, uri: str, request_uri: str) -> None:
        assert same_target(uri, request_uri)

    @pytest.mark.parametrize(
        "uri", ["sip:101@gateway", "sip:100@other", "sip:gateway", "tel:100", "", "not a uri"]
    )
    def test_other(self, uri: str) -> None:
        assert not same_target(uri, "sip:100@gateway")
