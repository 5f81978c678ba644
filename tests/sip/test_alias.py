from __future__ import annotations

import pytest

from gateway.sip.alias import alias, proven

from .wire import request


def sent(via: str) -> bytes:
    own = b"SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-1;rport"
    return request("OPTIONS").replace(own, via.encode())


@pytest.mark.parametrize(
    ("via", "where"),
    [
        ("SIP/2.0/TCP 192.0.2.9:5070;branch=z9hG4bK-1;alias", ("192.0.2.9", 5070)),
        ("SIP/2.0/TCP 192.0.2.9;Alias;branch=z9hG4bK-1", ("192.0.2.9", 5060)),
        ("SIP/2.0/TLS Proxy.Example;branch=z9hG4bK-1;alias", ("proxy.example", 5061)),
        ("SIP/2.0/TLS [2001:db8::9]:5071;alias;branch=z9hG4bK-1", ("2001:db8::9", 5071)),
    ],
)
def test_where_the_sender_listens(via: str, where: tuple[str, int]) -> None:
    """§5: in the topmost Via, with the default port of its transport (RFC 3261 §18.2.2)."""
    assert alias(sent(via)) == where


@pytest.mark.parametrize(
    "via",
    [
        "SIP/2.0/TCP 192.0.2.9:5070;branch=z9hG4bK-1",
        "SIP/2.0/TCP 192.0.2.9:5070;branch=z9hG4bK-alias",
        "SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bK-1;alias",
        "SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK-1, SIP/2.0/TCP 192.0.2.8;alias;branch=z9hG4bK-2",
        "SIP/2.0/TCP 192.0.2.9:99999999;alias;branch=z9hG4bK-1",
        "nonsense;alias",
    ],
)
def test_none(via: str) -> None:
    assert alias(sent(via)) is None


def test_odd_bytes_and_responses() -> None:
    """A response has our own Via on top."""
    via = "SIP/2.0/TCP 192.0.2.9:5070;alias;branch=z9hG4bK-1"
    assert alias(sent(via).replace(b"192.0.2.9", b"\xff")) is None
    assert alias(b"SIP/2.0 200 OK\r\n" + sent(via).partition(b"\r\n")[2]) is None
    assert alias(b"") is None


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        (None, set()),
        ({}, set()),
        (
            {
                "subject": ((("commonName", "old.example"),),),
                "subjectAltName": (
                    ("DNS", "Proxy.Example"),
                    ("IP Address", "2001:DB8:0:0:0:0:0:9"),
                    ("URI", "sip:uri.example"),
                ),
            },
            {"proxy.example", "2001:db8::9"},
        ),
    ],
)
def test_what_a_certificate_proves(certificate: dict[str, object] | None, names: set[str]) -> None:
    """RFC 5922 §7.1; not the common name, and nothing of one that was not checked."""
    assert proven(certificate) == names
