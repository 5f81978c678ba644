"""Which address of ours each trunk sees, and when it can do nothing with it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config import Config
from gateway.nat import Seen, notices, seen, sources, uris, worst


def config(**sections: Any) -> Config:
    return Config.model_validate(sections)


class TestSeen:
    """What the operator wrote, else where we listen, else the address of the route."""

    def test_route(self) -> None:
        assert seen(config(), "192.0.2.1", "10.0.0.5") == Seen("192.0.2.1", "10.0.0.5", "10.0.0.5")
        assert seen(config(), "192.0.2.1", None) == Seen("192.0.2.1", None, None)

    def test_listening(self) -> None:
        """
        Sound may have an address of its own.
        """
        found = seen(config(media={"listen": "10.0.0.9"}), "192.0.2.1", "10.0.0.5")
        assert (found.signalling, found.media) == ("10.0.0.5", "10.0.0.9")

    def test_public_addresses(self) -> None:
        """
        Signalling and sound apart.
        """
        found = seen(
            config(sip={"public_address": "gw.example"}, media={"public_address": "203.0.113.6"}),
            "192.0.2.1",
            "10.0.0.5",
        )
        assert (found.signalling, found.media) == ("gw.example", "203.0.113.6")
        assert found.trouble is None

    def test_families(self) -> None:
        """
        A public address of the other family is not written.
        """
        settings = config(sip={"public_address": "203.0.113.5"})
        assert seen(settings, "2001:db8::1", "fd00::5").signalling == "fd00::5"

    @pytest.mark.parametrize(
        ("found", "trouble"),
        [
            (Seen("10.9.9.9", "10.0.0.5", "10.0.0.5"), None),
            (Seen("192.0.2.1", "203.0.113.5", "203.0.113.5"), None),
            (Seen("192.0.2.1", None, None), None),
            (Seen(None, "10.0.0.5", "10.0.0.5"), None),
            (
                Seen("192.0.2.1", "172.17.0.1", "172.17.0.1"),
                "192.0.2.1 is public and cannot reach 172.17.0.1;"
                " set sip.public_address and media.public_address",
            ),
            (
                Seen("192.0.2.1", "203.0.113.5", "10.0.0.5"),
                "192.0.2.1 is public and cannot reach 10.0.0.5; set media.public_address",
            ),
            (
                Seen("2001:db8::1", "fd00::5", "2001:db8::5"),
                "2001:db8::1 is public and cannot reach fd00::5; set sip.public_address",
            ),
            (
                Seen("192.0.2.1", "127.0.0.1", "10.0.0.5"),
                "192.0.2.1 is public and cannot reach 127.0.0.1 and 10.0.0.5;"
                " set sip.public_address and media.public_address",
            ),
        ],
    )
    def test_trouble(self, found: Seen, trouble: str | None) -> None:
        assert found.trouble == trouble

    def test_worst(self) -> None:
        fine, bad = Seen("10.0.0.9", "10.0.0.5", None), Seen("192.0.2.1", "10.0.0.5", None)
        assert worst([fine, bad]) is bad
        assert worst([fine]) is fine


def test_where_a_trunk_is() -> None:
    trunk = config(
        trunks={
            "t": {
                "allow": ["192.0.2.10", "198.51.100.0/28", "2001:db8::/32"],
                "register": "sip:sip.provider.example;transport=tcp",
                "username": "u",
                "outbound": "sip:192.0.2.10:5070",
            }
        }
    ).trunks["t"]
    assert sources(trunk) == ["192.0.2.10", "198.51.100.1", "2001:db8::1"]
    assert [str(uri) for uri in uris(trunk)] == [
        "sip:sip.provider.example;transport=tcp", "sip:192.0.2.10:5070",
    ]  # fmt: skip
    trunk = config(trunks={"t": {"outbound": "tel:+7495"}}).trunks["t"]
    assert uris(trunk) == []


class TestNotices:
    """What the file alone tells."""

    PBX: dict[str, Any] = {"allow": "192.0.2.10"}  # noqa: RUF012 - read only
    BAD = (
        "trunks.pbx: 192.0.2.10 is public and cannot reach 10.0.0.5;"
        " set sip.public_address and media.public_address"
    )

    def test_trouble(self) -> None:
        sip = {"listen": ["udp:10.0.0.5:5060", "tcp:10.0.0.5:5060"]}
        assert notices(config(sip=sip, trunks={"pbx": self.PBX})) == [self.BAD]
        outbound = {"outbound": "sip:192.0.2.10"}
        assert notices(config(sip=sip, trunks={"pbx": outbound})) == [self.BAD]
        mixed = {"allow": ["10.0.0.1", "192.0.2.10"]}
        assert notices(config(sip=sip, trunks={"pbx": mixed})) == [self.BAD]

    @pytest.mark.parametrize(
        "sections",
        [
            {"trunks": {"pbx": PBX}},  # the address is the route's
            {"sip": {"listen": "udp:0.0.0.0:5060"}, "trunks": {"pbx": PBX}},
            {
                "sip": {"listen": ["udp:10.0.0.5:5060", "udp:203.0.113.5:5060"]},
                "trunks": {"p": PBX},
            },
            {"sip": {"listen": "udp:203.0.113.5:5060"}, "trunks": {"pbx": PBX}},
            {"sip": {"listen": "udp:[fd00::1]:5060"}, "trunks": {"pbx": PBX}},
            {"sip": {"listen": "udp:10.0.0.5:5060"}, "trunks": {"pbx": {"allow": "10.0.0.9"}}},
            {"sip": {"listen": "udp:10.0.0.5:5060"}, "trunks": {"p": {"users": {"1": "x"}}}},
            {"sip": {"listen": "udp:10.0.0.5:5060"}},
            {
                "sip": {"listen": "udp:10.0.0.5:5060", "public_address": "203.0.113.5"},
                "media": {"public_address": "203.0.113.5"},
                "trunks": {"pbx": PBX},
            },
            {
                "sip": {"listen": "udp:10.0.0.5:5060"},
                "trunks": {
                    "p": {"register": "sip:sip.provider.example", "username": "u"}
                },  # no DNS here
            },
        ],
    )
    def test_none(self, sections: dict[str, Any]) -> None:
        assert notices(config(**sections)) == []

    def test_a_private_public_address(self) -> None:
        """
        What the operator wrote is judged, too.
        """
        found = notices(config(sip={"public_address": "10.0.0.5"}, trunks={"pbx": self.PBX}))
        assert found == [
            "trunks.pbx: 192.0.2.10 is public and cannot reach 10.0.0.5; set sip.public_address"
        ]
