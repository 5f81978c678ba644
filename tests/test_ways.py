"""How trunks are reached, and the line in the log that says what each of them sees."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.config import Config
from gateway.sip.endpoint import Endpoint
from gateway.sip.event import Flow
from gateway.sip.locate import Means, Question
from gateway.sip.resolver import NoSuchName, Reply, Unanswered
from gateway.sip.transport import Listen, Transport
from gateway.ways import Ways, means, open_resolver
from tests.clock import Network, run


class Dns:
    """Addresses by name; a name that is not there is none, one that is None is not answered."""

    def __init__(self, **hosts: str | None) -> None:
        self.hosts = {name.replace("_", "."): host for name, host in hosts.items()}
        self.asked: Counter[str] = Counter()

    async def __call__(self, question: Question) -> Reply:
        self.asked[question.name] += 1
        await asyncio.sleep(0.1)
        if question.name not in self.hosts or question.kind != "A":
            raise NoSuchName(question.name)
        host = self.hosts[question.name]
        if host is None:
            raise Unanswered("SERVFAIL")
        return Reply([host], 300)


def config(*listen: str, **sections: Any) -> Config:
    sip = {"listen": list(listen or ["udp:10.0.0.5:5060"]), **sections.pop("sip", {})}
    return Config.model_validate({"sip": sip, **sections})


@asynccontextmanager
async def ways(settings: Config, dns: Dns | None = None) -> AsyncIterator[Ways]:
    network = Network()
    resolver = open_resolver(settings, dns or Dns())
    endpoint = Endpoint(token=lambda: "t")
    transport = await Transport.open(
        endpoint,
        [Listen(it.transport, it.host, it.port) for it in settings.sip.listen],
        on_event=lambda event: None,
        bind=network.bind,
        network=network,
    )
    try:
        yield Ways(settings, resolver, transport, endpoint.host)
    finally:
        await transport.close()
        await resolver.close()


def told(settings: Config, dns: Dns | None = None) -> list[Any]:
    async def main() -> list[Any]:
        with capture_logs() as logs:
            async with ways(settings, dns) as it:
                it.keep()
                await it.tell()
        return logs

    return run(main())


class TestTell:
    """One line a trunk, as soon as it is known where it is."""

    def test_each(self) -> None:
        lines = told(
            config(
                trunks={
                    "pbx": {"allow": ["10.0.0.9"]},
                    "provider": {"register": "sip:sip.provider.example", "username": "u"},
                    "phones": {"users": {"100": "x"}},
                }
            ),
            Dns(sip_provider_example="192.0.2.10"),
        )
        assert sorted(lines, key=lambda it: it["trunk"]) == [
            {
                "event": "trunk_addresses", "log_level": "info", "trunk": "pbx",
                "peer": "10.0.0.9", "signalling": "10.0.0.5", "media": "10.0.0.5",
            },
            {
                "event": "trunk_addresses", "log_level": "info", "trunk": "phones",
                "peer": None, "signalling": None, "media": None,
            },
            {
                "event": "trunk_addresses", "log_level": "warning", "trunk": "provider",
                "peer": "192.0.2.10", "signalling": "10.0.0.5", "media": "10.0.0.5",
                "reason": "192.0.2.10 is public and cannot reach 10.0.0.5;"
                " set sip.public_address and media.public_address",
            },
        ]  # fmt: skip

    def test_public(self) -> None:
        lines = told(
            config(
                sip={"public_address": "203.0.113.5"},
                media={"public_address": "203.0.113.6"},
                trunks={"pbx": {"allow": ["192.0.2.10"]}},
            )
        )
        assert [(it["log_level"], it["signalling"], it["media"]) for it in lines] == [
            ("info", "203.0.113.5", "203.0.113.6")
        ]

    def test_nobody(self) -> None:
        """
        A host that is not found is told, and the line comes all the same.
        """
        trunks = {"t": {"outbound": "sip:nowhere.example"}}
        lines = told(config(trunks=trunks))
        assert [(it["event"], it["log_level"]) for it in lines] == [
            ("trunk_not_found", "warning"),
            ("trunk_addresses", "info"),
        ]
        assert lines[0]["host"] == "nowhere.example"

    def test_a_server_that_fails(self) -> None:
        lines = told(config(trunks={"t": {"outbound": "sip:x.example:5060"}}), Dns(x_example=None))
        assert [it["event"] for it in lines] == ["dns_failed", "trunk_not_found", "trunk_addresses"]
        assert lines[0] == {
            "event": "dns_failed", "log_level": "warning", "name": "x.example", "kind": "A",
            "reason": "SERVFAIL",
        }  # fmt: skip

    def test_a_family_that_we_do_not_have(self) -> None:
        [line] = told(config(trunks={"t": {"allow": "2001:db8::1"}}))
        assert (line["peer"], line["signalling"]) == ("2001:db8::1", None)


def test_kept() -> None:
    """
    Names of trunks are known when the first call comes; addresses are nobody's question.
    """

    async def main() -> None:
        dns = Dns(sip_provider_example="192.0.2.10")
        trunks = {
            "a": {"outbound": "sip:sip.provider.example:5060"},
            "b": {"outbound": "sip:192.0.2.11"},
        }
        async with ways(config(trunks=trunks), dns) as it:
            it.keep()
            await asyncio.sleep(1)
            assert await it.host("sip:sip.provider.example:5060") == "10.0.0.5"
            await asyncio.sleep(3000)
            assert 10 <= dns.asked["sip.provider.example"] <= 12
            assert set(dns.asked) == {"sip.provider.example"}

    run(main())


def test_host() -> None:
    """
    Ours, on the way to a URI.
    """

    async def main() -> None:
        settings = config("udp:10.0.0.5:5060", "udp:[2001:db8::5]:5060")
        async with ways(settings, Dns(x_example="192.0.2.10")) as it:
            assert await it.host("sip:100@192.0.2.10") == "10.0.0.5"
            assert await it.host("sip:100@[2001:db8::9]") == "2001:db8::5"
            assert await it.host("sip:x.example;transport=tcp") == "10.0.0.5"
            for nobody in ("sip:y.example", "tel:+7495", "nonsense"):
                with pytest.raises(OSError, match=r"nobody|not a URI"):
                    await it.host(nobody)
        async with ways(config()) as it:
            with pytest.raises(OSError, match="nobody"):
                await it.host("sip:[2001:db8::9]")

    run(main())


def test_calls() -> None:
    """
    A call that sees an address that it cannot reach is told of, once a trunk.
    """

    async def main() -> list[Any]:
        with capture_logs() as logs:
            async with ways(config(trunks={"pbx": {}, "lan": {}})) as it:
                ours = ("10.0.0.5", 5060)
                it.note("lan", Flow("udp", ours, ("10.0.0.9", 5060)))
                it.note(None, Flow("udp", ours, ("192.0.2.10", 5060)))
                for port in (5060, 5061):
                    it.note("pbx", Flow("udp", ours, ("192.0.2.10", port)))
        return logs

    [line] = run(main())
    assert line["event"] == "private_address_announced"
    assert (line["trunk"], line["peer"], line["signalling"]) == ("pbx", "192.0.2.10", "10.0.0.5")
    assert "set sip.public_address" in line["reason"]


def test_means() -> None:
    """
    Datagrams of the families that we listen on, streams in any case.
    """
    streams = frozenset({"tcp", "tls"})
    assert means(config("udp:10.0.0.5:5060")) == Means(streams | {"udp"}, (4,))
    assert means(config("tcp:[::]:5060", "tcp:0.0.0.0:5060")) == Means(streams, (6, 4))
