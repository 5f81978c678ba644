"""RFC 3261 §7.3.1 and §25: lists, parameters, and text for people."""

import time

import pytest

from gateway.sip.grammar import format_params, hostport, param, parse_params, split, text


@pytest.mark.parametrize(
    ("value", "pieces"),
    [
        ("", []),
        ("a", ["a"]),
        (" a ,\tb,,c, ", ["a", "b", "c"]),
        ('"a,b" <sip:x>, c', ['"a,b" <sip:x>', "c"]),
        ("<sip:a,b@x>;q=1, <sip:c>", ["<sip:a,b@x>;q=1", "<sip:c>"]),
        (r'"a\",b", c', [r'"a\",b"', "c"]),
        (r'"a\\", b', [r'"a\\"', "b"]),
        ('"<", ">"', ['"<"', '">"']),
        ('"unclosed, b', ['"unclosed, b']),
        (r"a\,<b>", ["a\\", "<b>"]),
        ('<a"b>, "c', ['<a"b>', '"c']),
    ],
)
def test_split(value: str, pieces: list[str]) -> None:
    """
    A comma separates only outside of quotes and angle brackets.
    """
    assert split(value, ",") == pieces


@pytest.mark.parametrize("value", ['"' + '\\"' * 30_000, "<" * 60_000 + ",", ',"' * 30_000])
def test_split_is_linear(value: str) -> None:
    """
    What is made to be slow takes no longer than its length.
    """
    begin = time.process_time()

    split(value, ",")

    assert time.process_time() - begin < 0.5


def test_params() -> None:
    """
    Names lose their case, values keep it; a parameter may have no value.
    """
    params = parse_params(';Branch = z9hG4bK;rport;x="a;b"')

    assert params == (("branch", "z9hG4bK"), ("rport", None), ("x", '"a;b"'))
    assert format_params(params) == ';branch=z9hG4bK;rport;x="a;b"'
    assert [param(params, name) for name in ("branch", "rport", "none")] == ["z9hG4bK", "", None]


def test_text() -> None:
    """
    What people read has no half characters.
    """
    kept = b"Andr\xe9 \xd0\x96".decode("utf-8", "surrogateescape")

    assert text("plain") == "plain"
    assert text(kept) == "Andr\ufffd Ж"


def test_hostport() -> None:
    """
    An IPv6 address stands in brackets (RFC 3261 §25.1).
    """
    assert hostport("192.0.2.1", None) == "192.0.2.1"
    assert hostport("2001:db8::1", 5060) == "[2001:db8::1]:5060"
    assert hostport("fe80::1%eth0", 5060) == "[fe80::1]:5060"
    assert hostport("[2001:db8::1]", 5060) == "[2001:db8::1]:5060"
