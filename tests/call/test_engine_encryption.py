"""The tick of a call that has no keys yet, or no longer."""

from __future__ import annotations

from .test_engine import Bench, say, sound


def test_what_leaves_without_keys_is_nothing_and_is_not_counted() -> None:
    """Also what was prepared before they were thrown away; time passes, and no word is lost."""
    bench = Bench()
    leg, port, listener = bench.call()
    say(leg, "a", 100)
    bench.tick(2)
    before, counted = port.sent[-1], leg.line.downlink.packets_sent
    leg.shield.forget()
    port.arrived = [sound(1)]
    bench.tick(50)
    assert port.sent[-1] is before
    assert leg.line.downlink.packets_sent == counted
    assert leg.line.last_packet_at == 0.0
    leg.shield.agree(None, leg.line.source, bench.now)
    bench.tick(10)
    after = port.sent[port.sent.index(before) + 1 :]
    assert [it.sequence - before.sequence for it in after] == list(range(1, len(after) + 1))
    assert after[-1].timestamp - before.timestamp >= 58 * 160
    assert leg.line.playout.idle
    assert "drained" in listener.told
