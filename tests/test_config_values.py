"""The kinds of value: what each takes, and what it says of everything else."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, TypeAlias

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway import config_values as values
from gateway.config_values import HttpAddress, Listener, PortRange, Section

MaybeText: TypeAlias = values.Maybe[values.Text]
SeveralTexts: TypeAlias = values.Several[values.Text]


def take(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)


def refuse(kind: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        take(kind, value)
    return caught.value.errors()[0]["msg"]


class TestText:
    def test_text(self) -> None:
        assert take(values.Text, "a") == "a"
        assert refuse(values.Text, "") == "expected text, not an empty one"
        assert refuse(values.Text, 12) == "expected text (write it in quotes)"

    def test_an_empty_one_is_none_where_it_may_be(self) -> None:
        assert take(MaybeText, "") is None
        assert take(MaybeText, None) is None
        assert take(MaybeText, "a") == "a"

    def test_one_is_a_list_of_one(self) -> None:
        assert take(SeveralTexts, "a") == ("a",)
        assert take(SeveralTexts, ["a", "b"]) == ("a", "b")

    def test_a_secret_does_not_show(self) -> None:
        secret = take(values.Secret, "canary")
        assert "canary" not in repr(secret) + str(secret)
        assert secret.get_secret_value() == "canary"
        assert take(values.Secret, secret) == secret
        assert refuse(values.Secret, "") == "expected text, not an empty one"
        assert refuse(values.Secret, 1234) == "expected text (write it in quotes)"

    @pytest.mark.parametrize("word", ["sales", "a-b_c1", "_x"])
    def test_words(self, word: str) -> None:
        assert take(values.Word, word) == word

    @pytest.mark.parametrize("word", ["", "a b", "1a", "a\n", "é", 5, "x" * 65])
    def test_no_words(self, word: Any) -> None:
        assert refuse(values.Word, word) == "expected a word (letters, digits, _, -)"

    @pytest.mark.parametrize("name", ["100", "+7495", "j.doe@example.com", "я", "x" * 128])
    def test_names_of_users(self, name: str) -> None:
        assert take(values.UserName, name) == name

    @pytest.mark.parametrize("name", ["a b", "a:b", "a\\b", "a\n", "<a", "x" * 129])
    def test_no_names_of_users(self, name: str) -> None:
        assert refuse(values.UserName, name).startswith("expected a user's name")

    def test_realms(self) -> None:
        assert take(values.Realm, "sip.example (1)") == "sip.example (1)"
        assert refuse(values.Realm, "a\nb") == "expected a realm of at most 64 plain characters"
        assert refuse(values.Realm, 5) == "expected text (write it in quotes)"

    def test_a_variable_may_not_take_a_given_name(self) -> None:
        assert take(values.VariableName, "clinic") == "clinic"
        message = "expected another name; caller, called, trunk, now are there already"
        assert refuse(values.VariableName, "caller") == message

    def test_keys_and_headers(self) -> None:
        assert take(values.Key, "#") == "#"
        assert refuse(values.Key, "##") == "expected one key of the telephone"
        assert take(values.HeaderName, "X-Clinic") == "X-Clinic"
        assert refuse(values.HeaderName, "X: y") == "expected a header's name"


class TestNumbers:
    """Numbers as YAML writes them, and as the text that `${…}` became."""

    @pytest.mark.parametrize(("given", "number"), [(5, 5), ("5", 5), ("0x10", 16), (-1, -1)])
    def test_whole(self, given: Any, number: int) -> None:
        assert take(values.Integer, given) == number

    @pytest.mark.parametrize(
        "given", [True, None, "", "five", "1_000", "１２", "²", " 5", 1.0, "1.5", []]
    )
    def test_not_whole(self, given: Any) -> None:
        assert refuse(values.Integer, given) == "expected a whole number"

    @pytest.mark.parametrize(("given", "number"), [(5, 5.0), ("0.5", 0.5), ("1e1", 10.0)])
    def test_any(self, given: Any, number: float) -> None:
        assert take(values.Number, given) == number

    @pytest.mark.parametrize("given", [True, None, "", "five", "on", []])
    def test_none(self, given: Any) -> None:
        assert refuse(values.Number, given) == "expected a number"

    @pytest.mark.parametrize(
        ("rate", "good"), [(8000, True), (44100, True), (22050, False), (0, False)]
    )
    def test_sample_rates(self, rate: int, good: bool) -> None:
        if good:
            assert take(values.SampleRate, rate) == rate
        else:
            message = "expected one of 8000, 16000, 24000, 44100, 48000"
            assert refuse(values.SampleRate, rate) == message

    def test_session_timers(self) -> None:
        """RFC 4028 §5: 90 s is the smallest there is."""
        assert [take(values.SessionExpires, n) for n in (0, 90, 1800)] == [0, 90, 1800]
        message = "expected seconds from 90 (RFC 4028 §5) to 86400, or 0 for no session timers"
        assert refuse(values.SessionExpires, 89) == message
        assert refuse(values.SessionExpires, 86_401) == message


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "listener"),
        [
            ("udp:0.0.0.0:5060", Listener("udp", "0.0.0.0", 5060)),
            ("tls:[::]:5061", Listener("tls", "::", 5061)),
            ("tcp:127.0.0.1:0", Listener("tcp", "127.0.0.1", 0)),
        ],
    )
    def test_listeners(self, text: str, listener: Listener) -> None:
        assert take(values.ListenerValue, text) == listener
        assert take(values.ListenerValue, listener) == listener
        assert str(listener) == text

    @pytest.mark.parametrize(
        "text",
        [
            "",
            5060,
            "udp",
            "udp:5060",
            "0.0.0.0:5060",
            "sctp:0.0.0.0:5060",
            "udp:0.0.0.0",
            "udp:0.0.0.0:65536",
            "udp:0.0.0.0:x",
            "udp:localhost:5060",
            "udp:::1:5060",
            "udp:[::1%lo]:5060",
            "udp:0.0.0.0:5060 ",
            "UDP:0.0.0.0:5060",
        ],
    )
    def test_no_listeners(self, text: Any) -> None:
        message = "expected transport:address:port with udp, tcp or tls and an IP address"
        assert refuse(values.ListenerValue, text) == message

    @pytest.mark.parametrize(
        ("text", "loopback"),
        [
            ("127.0.0.1:8080", True),
            ("127.9.9.9:0", True),
            ("localhost:8080", True),
            ("[::1]:8080", True),
            ("0.0.0.0:8080", False),
            ("[::]:8080", False),
            ("192.168.1.5:80", False),
        ],
    )
    def test_http_addresses(self, text: str, loopback: bool) -> None:
        address = take(values.HttpAddressValue, text)
        assert address.loopback is loopback
        assert take(values.HttpAddressValue, address) == address

    @pytest.mark.parametrize("text", ["8080", ":8080", "host.example:80", "127.0.0.1", 8080, None])
    def test_no_http_addresses(self, text: Any) -> None:
        assert (
            refuse(values.HttpAddressValue, text)
            == "expected address:port with an IP address or localhost"
        )

    def test_http_address_is_a_pair(self) -> None:
        assert take(values.HttpAddressValue, "[::1]:80") == HttpAddress("::1", 80)

    def test_port_ranges(self) -> None:
        assert take(values.PortRangeValue, "20000-29999") == PortRange(20000, 29999)
        assert take(values.PortRangeValue, "20000 - 20001") == PortRange(20000, 20001)
        assert str(take(values.PortRangeValue, PortRange(20000, 20001))) == "20000-20001"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (20000, "first-last"),
            ("20000", "first-last"),
            ("a-b", "first-last"),
            ("20000-29999-1", "first-last"),
            ("29999-20000", "two ports between 1024 and 65535, the smaller one first"),
            ("20000-20000", "two ports between 1024 and 65535, the smaller one first"),
            ("80-90", "two ports between 1024 and 65535, the smaller one first"),
            ("60000-65536", "two ports between 1024 and 65535, the smaller one first"),
            ("20001-20002", "at least one even port and the odd one after it"),
        ],
    )
    def test_no_port_ranges(self, text: Any, message: str) -> None:
        assert refuse(values.PortRangeValue, text) == f"expected {message}"

    def test_networks(self) -> None:
        assert take(values.Network, "192.0.2.10") == ip_network("192.0.2.10/32")
        assert take(values.Network, "2001:db8::/32") == ip_network("2001:db8::/32")
        assert take(values.Network, ip_network("192.0.2.0/24")) == ip_network("192.0.2.0/24")
        assert (
            refuse(values.Network, "192.0.2.10/24")
            == "expected a network without host bits: 192.0.2.0/24"
        )
        for wrong in ("", "host", "192.0.2.0/33", 5, None):
            assert refuse(values.Network, wrong) == "expected an IP address or a network"

    def test_public_addresses(self) -> None:
        assert take(values.Ip, "2001:db8::1") == "2001:db8::1"
        for wrong in ("host.example", "1.2.3", "fe80::1%eth0", 1, "0177.0.0.1"):
            assert refuse(values.Ip, wrong) == "expected an IP address"
        for good in ("203.0.113.5", "sip.example.com", "gw-1"):
            assert take(values.Host, good) == good
        for wrong in ("sip.example.com:5060", "a b", "-a", 5, "", "a\n"):
            assert (
                refuse(values.Host, wrong)
                == "expected an IP address or a host name, without a port"
            )

    @pytest.mark.parametrize("url", ["ws://127.0.0.1:9100/v1/realtime", "wss://host/a?b=c"])
    def test_web_socket_urls(self, url: str) -> None:
        assert take(values.WebSocketUrl, url) == url

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "host",
            "https://host",
            "ws://",
            "ws://h:99999",
            "ws://[::1",
            "ws://a b",
            "ws://h\n",
            5,
        ],
    )
    def test_no_web_socket_urls(self, url: Any) -> None:
        assert refuse(values.WebSocketUrl, url) == "expected ws://… or wss://…"

    def test_call_uris(self) -> None:
        for good in ("sip:sales@192.0.2.10", "sips:a@b;transport=tcp", "tel:+74951234567"):
            assert take(values.CallUri, good) == good
        for wrong in ("+7495", "http://x", "sip:", "sip:a b", "sip:a\r\nX: y", 5):
            assert refuse(values.CallUri, wrong) == "expected a URI with sip:, sips: or tel:"

    def test_where_one_registers(self) -> None:
        assert take(values.SipUri, "sips:p.example") == "sips:p.example"
        assert refuse(values.SipUri, "tel:+7495") == "expected a URI with sip: or sips:"


class Example(Section):
    name: str = "x"
    other: str | None = "y"


class TestSection:
    def test_nothing_is_the_default(self) -> None:
        """`trunks:` with all lines below it commented out is null in YAML."""
        assert Example.model_validate({"name": None}) == Example()

    def test_null_is_null_where_it_means_something(self) -> None:
        assert Example.model_validate({"other": None}).other is None

    def test_it_is_frozen(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            Example().name = "z"

    def test_it_is_a_mapping(self) -> None:
        with pytest.raises(ValidationError):
            Example.model_validate(["name"])
