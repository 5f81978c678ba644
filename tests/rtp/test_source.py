"""Whose packets are the caller's: against sprayers, behind NAT, over restarts and moves."""

from __future__ import annotations

from gateway.rtp.packet import Packet
from gateway.rtp.source import Address, SourceRule

PHONE = ("198.51.100.5", 4000)  # as its SDP says
OTHER_PORT = ("198.51.100.5", 4444)
SPRAYER = ("203.0.113.66", 9999)
SECOND_SPRAYER = ("203.0.113.67", 9999)

BEHIND_NAT = ("192.168.1.20", 4000)
NAT = ("203.0.113.9", 61000)


def packet(sequence: int, ssrc: int = 1) -> Packet:
    return Packet(0, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, ssrc, b"")


def stream(
    rule: SourceRule,
    source: Address,
    count: int,
    *,
    sequence: int = 0,
    ssrc: int = 1,
    now: float = 0.0,
    interval: float = 0.02,
) -> list[bool]:
    """An even stream of packets; which of them passed."""
    return [
        rule.accept(packet(sequence + n, ssrc), source, now + n * interval) for n in range(count)
    ]


def target(rule: SourceRule) -> Address | None:
    """Where our packets go now."""
    return rule.target


def locked(source: Address = PHONE) -> SourceRule:
    rule = SourceRule("learn", source)
    assert rule.accept(packet(100), source, 0.0)
    return rule


class TestSignalledAddress:
    def test_its_first_packet_locks_at_once(self) -> None:
        for rule in (SourceRule("sdp", PHONE), SourceRule("learn", PHONE)):
            assert not rule.locked
            assert rule.target == PHONE
            assert rule.accept(packet(0), PHONE, 0.0)
            assert rule.locked
            assert rule.target == PHONE

    def test_nobody_else_is_heard_in_sdp_mode(self) -> None:
        rule = SourceRule("sdp", PHONE)
        assert not any(stream(rule, SPRAYER, 500))
        assert not any(stream(rule, OTHER_PORT, 500))
        assert (rule.locked, rule.target, rule.rejected) == (False, PHONE, 1000)

    def test_a_locked_source_stays(self) -> None:
        rule = locked()
        assert not any(stream(rule, SPRAYER, 500))
        assert not any(stream(rule, OTHER_PORT, 500))
        assert rule.accept(packet(101), PHONE, 20.0)
        assert (rule.target, rule.rejected) == (PHONE, 1000)


class TestVouchedHost:
    """The SDP's IP with another port (a NAT that renumbers), or the IP of the signalling."""

    def test_it_passes_at_once_and_locks_after_60_ms(self) -> None:
        rule = SourceRule("learn", PHONE)
        assert stream(rule, OTHER_PORT, 3) == [True] * 3
        assert (rule.locked, rule.target) == (False, PHONE)
        assert stream(rule, OTHER_PORT, 1, sequence=3, now=0.06) == [True]
        assert (rule.locked, rule.target, rule.rejected) == (True, OTHER_PORT, 0)

    def test_the_signalled_address_is_better(self) -> None:
        rule = SourceRule("learn", PHONE)
        stream(rule, OTHER_PORT, 3)
        assert rule.accept(packet(7, ssrc=9), PHONE, 0.05)
        assert rule.target == PHONE
        assert not rule.accept(packet(3), OTHER_PORT, 0.06)

    def test_where_the_signalling_comes_from(self) -> None:
        rule = SourceRule("learn", BEHIND_NAT, signalling_host=NAT[0])
        assert stream(rule, NAT, 4) == [True] * 4
        assert rule.target == NAT

    def test_a_stranger_neither_delays_it_nor_passes(self) -> None:
        rule = SourceRule("learn", PHONE)
        for n in range(4):
            assert not any(stream(rule, SPRAYER, 4, sequence=4 * n, now=n * 0.02, interval=0.005))
            assert rule.accept(packet(n), OTHER_PORT, n * 0.02)
        assert rule.target == OTHER_PORT

    def test_two_of_them_lock_neither(self) -> None:
        """The first has the floor; the second delays its lock, and gets it when it is silent."""
        rule = SourceRule("learn", PHONE)
        second = (PHONE[0], 5555)
        for n in range(100):
            assert rule.accept(packet(n), OTHER_PORT, n * 0.02)
            assert not rule.accept(packet(n, ssrc=2), second, n * 0.02 + 0.01)
        assert not rule.locked
        assert stream(rule, second, 4, sequence=100, ssrc=2, now=3.1) == [True] * 4
        assert rule.target == second


class TestStranger:
    def test_behind_nat_a_steady_source_is_learnt(self) -> None:
        """A private address in the SDP, a public one on the packets: 4 in a row over 60 ms."""
        rule = SourceRule("learn", BEHIND_NAT)
        assert stream(rule, NAT, 5) == [False, False, False, True, True]
        assert (rule.locked, rule.target, rule.rejected) == (True, NAT, 3)

    def test_a_neighbour_is_behind_no_nat(self) -> None:
        """SIP from a private address came past no NAT: a public sprayer has to be patient."""
        rule = SourceRule("learn", BEHIND_NAT, signalling_host=BEHIND_NAT[0])
        assert not any(stream(rule, NAT, 25))
        assert rule.accept(packet(100), BEHIND_NAT, 0.5)
        assert rule.target == BEHIND_NAT

    def test_four_packets_must_span_60_ms(self) -> None:
        rule = SourceRule("learn", BEHIND_NAT)
        assert not any(stream(rule, NAT, 12, interval=0.005))
        assert rule.accept(packet(12), NAT, 0.06)

    def test_they_must_be_in_a_row(self) -> None:
        rule = SourceRule("learn", BEHIND_NAT)
        assert not any(rule.accept(packet(2 * n), NAT, n * 0.02) for n in range(50))
        assert not any(rule.accept(packet(7), NAT, 1 + n * 0.02) for n in range(50))
        assert not any(rule.accept(packet(n, ssrc=n), NAT, 2 + n * 0.02) for n in range(50))

    def test_the_sequence_may_wrap_meanwhile(self) -> None:
        rule = SourceRule("learn", BEHIND_NAT)
        assert stream(rule, NAT, 4, sequence=65534) == [False, False, False, True]

    def test_two_strangers_lock_neither(self) -> None:
        rule = SourceRule("learn", BEHIND_NAT)
        for n in range(100):
            assert not rule.accept(packet(n), NAT, n * 0.02)
            assert not rule.accept(packet(n), SPRAYER, n * 0.02 + 0.01)
        assert rule.target == BEHIND_NAT
        # and when one of them goes, the other is learnt
        assert stream(rule, NAT, 4, sequence=100, now=2.0) == [False, False, False, True]

    def test_a_silent_candidate_makes_room(self) -> None:
        rule = SourceRule("learn", BEHIND_NAT)
        stream(rule, SPRAYER, 3)
        assert stream(rule, NAT, 4, now=1.05) == [False, False, False, True]

    def test_one_port_of_theirs_may_serve_many_calls(self) -> None:
        """sipp sends every call's sound from one port: sources are learnt per call."""
        rules = [SourceRule("learn", (PHONE[0], 6000 + 2 * n)) for n in range(20)]
        for n, rule in enumerate(rules):
            assert all(stream(rule, OTHER_PORT, 4, ssrc=n))
            assert rule.target == OTHER_PORT

    def test_where_the_signalled_address_could_speak_it_has_a_second(self) -> None:
        """A public address in the SDP needs no NAT to explain another source."""
        rule = SourceRule("learn", PHONE)
        assert not any(stream(rule, SPRAYER, 50))
        assert rule.target == PHONE
        assert any(stream(rule, SPRAYER, 10, sequence=50, now=1.0))
        assert rule.target == SPRAYER

    def test_loss_does_not_begin_the_second_again(self) -> None:
        rule = SourceRule("learn", PHONE)
        passed = [rule.accept(packet(n), SPRAYER, n * 0.02) for n in range(60) if n % 7]
        assert sum(passed) >= 5


class TestSpray:
    """200 packets a second from before the answer to the end: CVE-2017-14099, CVE-2025-53399."""

    def call(self, rule: SourceRule, phone: Address, *, begins: float) -> tuple[int, int, int]:
        """10 s; packets that we would send to the sprayers; accepted of phone and sprayers."""
        astray = heard = injected = 0
        for n in range(2000):
            now = n * 0.005
            injected += rule.accept(packet(n, ssrc=66), SPRAYER, now)
            injected += rule.accept(packet(n, ssrc=67), SECOND_SPRAYER, now + 0.001)
            if n % 4 == 0 and now >= begins:
                heard += rule.accept(packet(n // 4), phone, now + 0.002)
            if n % 4 == 0:
                astray += rule.target in (SPRAYER, SECOND_SPRAYER)
        return astray, heard, injected

    def test_sdp(self) -> None:
        rule = SourceRule("sdp", PHONE)
        assert self.call(rule, PHONE, begins=0.5) == (0, 475, 0)

    def test_learn(self) -> None:
        rule = SourceRule("learn", PHONE)
        assert self.call(rule, PHONE, begins=0.5) == (0, 475, 0)

    def test_learn_behind_nat_with_the_signalling_to_vouch(self) -> None:
        rule = SourceRule("learn", BEHIND_NAT, signalling_host=NAT[0])
        assert self.call(rule, NAT, begins=0.5) == (0, 475, 0)

    def test_learn_behind_nat_without(self) -> None:
        """Nobody can tell who the caller is: then nobody is."""
        rule = SourceRule("learn", BEHIND_NAT)
        assert self.call(rule, NAT, begins=0.0) == (0, 0, 0)

    def test_one_sprayer_before_the_phone(self) -> None:
        rule = SourceRule("learn", PHONE)
        assert not any(stream(rule, SPRAYER, 190, interval=0.005))
        assert rule.accept(packet(0, ssrc=5), PHONE, 0.95)
        assert rule.target == PHONE


class TestPlausibility:
    """RFC 3550 A.1, for packets of the locked source."""

    def test_the_stream_goes_on_over_loss_reordering_and_wrap(self) -> None:
        rule = SourceRule("learn", PHONE)
        for sequence in (65000, 65535, 65534, 2, 0, 1, 3000, 2999, 3000 - 99):
            assert rule.accept(packet(sequence), PHONE, 0.0)
        assert rule.implausible == 0

    def test_a_guess_does_not_pass(self) -> None:
        rule = locked()
        for n in range(1, 50):
            assert not rule.accept(packet(40000 + 7 * n), PHONE, n * 0.02)
            assert not rule.accept(packet(100 + n, ssrc=99), PHONE, n * 0.02)
            assert rule.accept(packet(100 + n), PHONE, n * 0.02)
        assert rule.implausible == 98
        assert rule.rejected == 0

    def test_a_second_stream_beside_the_first_does_not_take_over(self) -> None:
        rule = locked()
        for n in range(1, 50):
            assert not rule.accept(packet(n, ssrc=99), PHONE, n * 0.02)
            assert rule.accept(packet(100 + n), PHONE, n * 0.02)

    def test_another_ssrc_passes_with_its_second_packet(self) -> None:
        """A transfer behind the peer's back: the sound goes on within 40 ms."""
        rule = locked()
        assert stream(rule, PHONE, 3, sequence=7, ssrc=2) == [False, True, True]
        assert rule.implausible == 1

    def test_a_jump_passes_with_its_second_packet(self) -> None:
        for sequence in (3101, 0xFFFF - 99):
            rule = locked()
            assert stream(rule, PHONE, 3, sequence=sequence) == [False, True, True]

    def test_a_jump_that_goes_back_is_a_jump(self) -> None:
        rule = locked()
        assert stream(rule, PHONE, 2, sequence=65535) == [False, True]
        # two hundred behind the last one: RFC 3550's MAX_MISORDER is 100
        rule = SourceRule("learn", PHONE)
        assert stream(rule, PHONE, 1, sequence=1000) == [True]
        assert stream(rule, PHONE, 2, sequence=800) == [False, True]


class TestResignal:
    MOVED = ("198.51.100.77", 7000)

    def test_the_same_address_changes_nothing(self) -> None:
        """A session refresh must not open the door."""
        rule = SourceRule("learn", BEHIND_NAT)
        stream(rule, NAT, 4)
        rule.resignal(BEHIND_NAT)
        assert (rule.locked, target(rule)) == (True, NAT)
        assert rule.accept(packet(4), NAT, 0.08)

    def test_another_address_is_the_target_at_once(self) -> None:
        rule = locked()
        rule.resignal(self.MOVED)
        assert (rule.locked, target(rule)) == (False, self.MOVED)
        assert rule.accept(packet(0, ssrc=2), self.MOVED, 1.0)
        assert rule.locked
        assert not rule.accept(packet(101), PHONE, 1.0)

    def test_the_old_sources_last_packets_do_not_win_it_back(self) -> None:
        """They may come for a while: from the same host, too."""
        for moved in (self.MOVED, OTHER_PORT):
            rule = locked()
            rule.resignal(moved)
            assert not any(stream(rule, PHONE, 20, sequence=101, now=1.0))
            assert target(rule) == moved
            assert rule.accept(packet(0, ssrc=2), moved, 1.5)

    def test_an_old_source_that_never_stops_is_the_caller(self) -> None:
        """The SDP moved, the packets did not: behind NAT that happens."""
        rule = locked()
        rule.resignal(self.MOVED)
        stream(rule, PHONE, 60, sequence=101, now=1.0)
        assert target(rule) == PHONE

    def test_a_hold_stops_ours_and_not_theirs(self) -> None:
        """c=0.0.0.0, RFC 3264 §8.4; on resume the learnt source is still known."""
        rule = SourceRule("learn", BEHIND_NAT)
        stream(rule, NAT, 4)
        rule.resignal(None)
        assert target(rule) is None
        assert rule.accept(packet(4), NAT, 0.08)
        rule.resignal(BEHIND_NAT)
        assert (rule.locked, target(rule)) == (True, NAT)

    def test_a_source_that_is_locked_on_hold_gets_nothing_before_its_end(self) -> None:
        rule = SourceRule("learn", PHONE)
        rule.resignal(None)
        assert rule.accept(packet(0), PHONE, 0.0)
        assert (rule.locked, target(rule)) == (True, None)
        rule.resignal(PHONE)
        assert target(rule) == PHONE

    def test_a_call_that_begins_on_hold_hears_nobody(self) -> None:
        rule = SourceRule("learn", None)
        assert not any(stream(rule, SPRAYER, 100))
        assert (target(rule), rule.rejected) == (None, 100)
        rule.resignal(PHONE)
        assert rule.accept(packet(0), PHONE, 3.0)
        assert target(rule) == PHONE


class TestControl:
    """RTCP: only the locked source's."""

    PORT = (PHONE[0], 4001)

    def test_muxed_it_comes_from_the_very_port(self) -> None:
        """RFC 5761."""
        rule = SourceRule("learn", PHONE)
        assert not rule.accept_control(PHONE)  # nobody is the caller yet
        assert rule.accept(packet(0), PHONE, 0.0)
        assert rule.accept_control(PHONE)
        assert not rule.accept_control(self.PORT)
        assert not rule.accept_control(SPRAYER)
        assert rule.control_target is None

    def test_apart_it_comes_from_the_signalled_port(self) -> None:
        for mode in ("sdp", "learn"):
            rule = SourceRule("sdp" if mode == "sdp" else "learn", PHONE)
            rule.signal_control(self.PORT)
            assert rule.control_target == self.PORT  # ours need not wait
            assert not rule.accept_control(self.PORT)
            assert rule.accept(packet(0), PHONE, 0.0)
            assert rule.accept_control(self.PORT)
            assert not rule.accept_control(SPRAYER)
            assert rule.accept_control(PHONE)  # some send it where they send RTP
            assert rule.control_target == self.PORT

    def test_another_port_of_the_host_is_taken_until_the_signalled_one_speaks(self) -> None:
        rule = locked()
        rule.signal_control(self.PORT)
        assert rule.accept_control((PHONE[0], 5000))
        assert rule.control_target == (PHONE[0], 5000)
        assert rule.accept_control(self.PORT)
        assert rule.control_target == self.PORT
        assert rule.accept_control((PHONE[0], 5000))
        assert rule.control_target == self.PORT

    def test_only_where_sources_may_be_learnt(self) -> None:
        rule = SourceRule("sdp", PHONE)
        rule.signal_control(self.PORT)
        assert rule.accept(packet(0), PHONE, 0.0)
        assert not rule.accept_control((PHONE[0], 5000))

    def test_another_host_where_it_was_signalled(self) -> None:
        """RFC 3605."""
        rule = locked()
        rule.signal_control(("192.0.2.200", 6000))
        assert rule.accept_control(("192.0.2.200", 6000))
        assert not rule.accept_control(("192.0.2.200", 6001))
        assert rule.control_target == ("192.0.2.200", 6000)

    def test_behind_nat_the_next_port_is_a_guess_until_it_speaks(self) -> None:
        rule = SourceRule("learn", BEHIND_NAT)
        rule.signal_control((BEHIND_NAT[0], 4001))
        stream(rule, NAT, 4)
        assert rule.control_target == (NAT[0], NAT[1] + 1)
        assert rule.accept_control((NAT[0], 61234))
        assert rule.control_target == (NAT[0], 61234)

    def test_there_is_no_port_behind_the_last(self) -> None:
        rule = SourceRule("learn", BEHIND_NAT)
        rule.signal_control((BEHIND_NAT[0], 4001))
        stream(rule, (NAT[0], 65535), 4)
        assert rule.control_target is None

    def test_on_hold_it_goes_nowhere(self) -> None:
        rule = locked()
        rule.signal_control(self.PORT)
        rule.resignal(None)
        assert rule.control_target is None

    def test_a_move_forgets_what_was_heard(self) -> None:
        rule = locked()
        rule.signal_control(self.PORT)
        rule.accept_control((PHONE[0], 5000))
        rule.signal_control(self.PORT)  # a refresh changes nothing
        assert rule.control_target == (PHONE[0], 5000)
        rule.signal_control((PHONE[0], 4003))
        assert rule.control_target == (PHONE[0], 4003)
        rule.accept_control((PHONE[0], 5000))
        rule.resignal(("198.51.100.77", 7000))
        rule.signal_control(("198.51.100.77", 7001))
        assert rule.control_target == ("198.51.100.77", 7001)
        assert not rule.accept_control((PHONE[0], 5000))


class TestBeforeDecryption:
    """What is asked of a source where packets are encrypted: it changes nothing."""

    def test_a_locked_source_excludes_all_others(self) -> None:
        rule = SourceRule("learn", PHONE)
        assert not rule.excludes(SPRAYER)
        stream(rule, PHONE, 1)
        assert rule.excludes(SPRAYER)
        assert rule.excludes(OTHER_PORT)
        assert not rule.excludes(PHONE)
        assert rule.rejected == 2

    def test_a_handshake_comes_from_where_the_signalling_says(self) -> None:
        rule = SourceRule("learn", PHONE, signalling_host=NAT[0])
        likely = [PHONE, OTHER_PORT, NAT, SPRAYER]
        assert [rule.vouches(source) for source in likely] == [True, True, True, False]
        strict = SourceRule("sdp", PHONE, signalling_host=NAT[0])
        assert [strict.vouches(source) for source in likely] == [True, False, False, False]
        stream(rule, OTHER_PORT, 5)
        assert rule.locked
        assert [rule.vouches(source) for source in likely] == [False, True, False, False]
        assert rule.rejected == strict.rejected == 0

    def test_nobody_is_likely_where_no_sound_is_wanted(self) -> None:
        assert not SourceRule("learn", None).vouches(PHONE)

    def test_neither_is_one_behind_another_nat(self) -> None:
        """Its media may be the caller's, but anybody could say so."""
        assert not SourceRule("learn", BEHIND_NAT).vouches(NAT)
