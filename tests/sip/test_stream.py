"""RFC 3261 §7.5, §18.3, §20.14 and RFC 5626 §4.4.1: messages and signs of life in a stream."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.grammar import SipError
from gateway.sip.message import Request, parse
from gateway.sip.stream import (
    ANSWER_WITHIN,
    ASK_EACH,
    IDLE,
    MAX_BODY,
    MAX_HEAD,
    PARTIAL,
    PING,
    PONG,
    Due,
    Signal,
    StreamFramer,
    Upkeep,
)

from .wire import OFFER, request

OPTIONS = request("OPTIONS")
INVITE = request("INVITE", body=OFFER)
BYE = request("BYE", to_tag="t1")
LENGTH = b"Content-Length: 0"

Result = bytes | Signal | SipError


def framed(*chunks: bytes) -> list[Result]:
    framer = StreamFramer()
    return [result for chunk in chunks for result in framer.receive(chunk)]


def messages(results: Iterable[Result]) -> list[Result]:
    return [result for result in results if not isinstance(result, Signal)]


def with_length(lines: bytes, body: bytes = b"") -> bytes:
    """An OPTIONS with these lines for its length."""
    return OPTIONS.replace(LENGTH, lines) + body


def refusal(data: bytes) -> SipError:
    """The end of a stream."""
    (error,) = framed(data)
    assert isinstance(error, SipError)
    return error


class TestMessages:
    def test_one(self) -> None:
        assert framed(INVITE) == [INVITE]

    def test_many_in_a_segment(self) -> None:
        """What follows the body is the next message (§18.3)."""
        assert framed(INVITE + OPTIONS + BYE) == [INVITE, OPTIONS, BYE]

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
    def test_pieces(self, size: int) -> None:
        """A message may come in pieces, and pieces may hold parts of two."""
        data = INVITE + OPTIONS + INVITE
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        assert framed(*chunks) == [INVITE, OPTIONS, INVITE]

    @given(st.lists(st.integers(0, 2500), max_size=8))
    def test_any_chunks(self, cuts: list[int]) -> None:
        """The chunks make no difference: line ends between messages, bodies, the broken end."""
        broken = with_length(b"Content-Length: x")
        data = INVITE + b"\r\n" + OPTIONS + b"\r\n\r\n\r\n" + INVITE + broken + OPTIONS
        at = [0, *sorted(cuts), len(data)]
        found = messages(framed(*(data[a:b] for a, b in pairwise(at))))
        assert found[:3] == [INVITE, OPTIONS, INVITE]
        assert [type(it) for it in found[3:]] == [SipError]

    @given(st.binary(max_size=400))
    def test_any_bytes(self, data: bytes) -> None:
        """No bytes raise, and after an end there is nothing."""
        framer = StreamFramer()
        results = framer.receive(data) + framer.receive(OPTIONS)
        ends = [at for at, result in enumerate(results) if isinstance(result, SipError)]
        assert ends in ([], [len(results) - 1])

    @pytest.mark.parametrize(
        "length",
        [
            b"l: 4",
            b"L:4",
            b"CONTENT-LENGTH :\t4 ",
            b"Content-Length:\r\n 4",
            b"Content-Length:\r\n\t\r\n 4",
            b"Content-Length: 0004",
            b"Content-Length: 4\r\nl: 4",
        ],
    )
    def test_ways_to_write_a_length(self, length: bytes) -> None:
        """Compact, folded, with white space, and twice the same."""
        data = with_length(length, b"abcd")
        assert framed(data + OPTIONS) == [data, OPTIONS]
        message = parse(data)
        assert message.body == b"abcd"

    def test_lone_line_feeds(self) -> None:
        """A head whose lines end in LF alone is read, as parse() reads it."""
        data = with_length(b"Content-Length: 4").replace(b"\r\n", b"\n") + b"abcd"
        assert framed(data + OPTIONS) == [data, OPTIONS]

    def test_a_body_is_not_looked_into(self) -> None:
        """What looks like a head in a body is none."""
        data = with_length(b"Content-Length: %d" % len(INVITE), INVITE)
        assert framed(data + BYE) == [data, BYE]

    def test_no_header_of_that_name(self) -> None:
        """Neither a longer name nor a folded value is a length."""
        lines = b"X-Content-Length: 7\r\nSubject: a\r\n l: 9\r\nContent-Length: 0"
        assert framed(with_length(lines)) == [with_length(lines)]


class TestBroken:
    @pytest.mark.parametrize(
        ("lines", "reason"),
        [
            (b"Subject: x", "No Content-Length"),
            (b"Content-Length: -1", "Bad Content-Length"),
            (b"Content-Length: +5", "Bad Content-Length"),
            (b"Content-Length: 1_000", "Bad Content-Length"),
            ("Content-Length: \uff11\uff12".encode(), "Bad Content-Length"),
            (b"Content-Length: \xb2", "Bad Content-Length"),
            (b"Content-Length: 5;x", "Bad Content-Length"),
            (b"Content-Length: 5, 5", "Bad Content-Length"),
            (b"Content-Length: 5\r\n 5", "Bad Content-Length"),
            (b"Content-Length:", "Bad Content-Length"),
            (b"Content-Length: 99999999999", "Bad Content-Length"),
            (b"Content-Length: 5\r\nContent-Length: 6", "Several Content-Length"),
            (b"l: 5\r\nContent-Length: 05", "Several Content-Length"),
        ],
    )
    def test_length(self, lines: bytes, reason: str) -> None:
        """
        Without one length the next message cannot be found: 400, and nothing is read any more.
        """
        error = refusal(with_length(lines) + OPTIONS)
        assert (error.status, error.reason) == (400, reason)
        assert error.request is not None
        assert error.request.headers.call_id == "c1"

    @pytest.mark.parametrize("length", [MAX_BODY + 1, 2**31 - 1, 9_999_999_999])
    def test_too_long(self, length: int) -> None:
        """
        A body beyond 32 KiB is refused by its head, before a byte of it has come (§21.4.11).
        """
        error = refusal(with_length(b"Content-Length: %d" % length))
        assert (error.status, error.reason) == (413, "Request Entity Too Large")

    def test_the_longest(self) -> None:
        data = with_length(b"Content-Length: %d" % MAX_BODY, b"x" * MAX_BODY)
        assert framed(data[:-1], data[-1:]) == [data]

    @pytest.mark.parametrize(
        "data",
        [
            with_length(b"Content-Length: x").replace(b"OPTIONS", b"ACK"),
            OPTIONS.replace(LENGTH, b"X: y").replace(b"OPTIONS", b"ACK"),
            OPTIONS.replace(LENGTH, b"X: y").replace(b"Via: ", b"Vie: "),
            b"SIP/2.0 200 OK\r\n" + OPTIONS.replace(LENGTH, b"X: y").split(b"\r\n", 1)[1],
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"x\r\n\r\n",
        ],
    )
    def test_no_answer(self, data: bytes) -> None:
        """
        An ACK and a response are never answered, nor what is no request.
        """
        assert refusal(data).status is None

    def test_another_mistake(self) -> None:
        """
        A request that is wrong in another way too is answered once, for the one that ends it.
        """
        error = refusal(OPTIONS.replace(LENGTH, b"X: y").replace(b"1 OPTIONS", b"1 BYE"))
        assert (error.status, error.reason) == (400, "No Content-Length")

    @pytest.mark.parametrize("size", [1, 1000, MAX_HEAD, 2 * MAX_HEAD])
    def test_head_without_end(self, size: int) -> None:
        """
        32 KiB of headers and no end: closed, however they come.
        """
        framer = StreamFramer()
        results = [it for _ in range(0, 3 * MAX_HEAD, size) for it in framer.receive(b"x" * size)]
        assert [str(it) for it in results] == ["Headers Too Large"]
        assert not framer.partial

    def test_long_head(self) -> None:
        """
        The limit holds for a head that has come whole, too.
        """
        padding = b"X: " + b"y" * MAX_HEAD + b"\r\n" + LENGTH
        assert refusal(with_length(padding)).reason == "Headers Too Large"

    def test_held(self) -> None:
        """
        No more than one message is ever held.
        """
        framer = StreamFramer()
        framer.receive(with_length(b"Content-Length: %d" % MAX_BODY, b"x" * (MAX_BODY - 1)))
        assert len(framer._buffer) < MAX_HEAD + MAX_BODY
        framer.receive(b"x" + OPTIONS[:10])
        assert len(framer._buffer) == 10

    def test_byte_by_byte(self) -> None:
        """
        The work grows with the bytes, not with their square: three times more take three times
        longer, give or take.
        """

        def cost(size: int) -> float:
            framer = StreamFramer()
            data = with_length(b"X: " + b"y" * size + b"\r\nContent-Length: %d" % size, b"z" * size)
            begin = time.process_time()
            results = [it for at in range(len(data)) for it in framer.receive(data[at : at + 1])]
            assert results == [data]
            return time.process_time() - begin

        best = {size: min(cost(size) for _ in range(3)) for size in (9_000, 27_000)}
        assert best[27_000] < 6 * best[9_000]

    def test_many_in_one_segment(self) -> None:
        """
        Ten thousand messages at once are cut in a moment, and as many line ends.
        """
        begin = time.process_time()
        assert len(framed(OPTIONS * 10_000)) == 10_000
        assert framed(b"\r\n" * 1_000_000) == [Signal.PING]
        assert time.process_time() - begin < 2


class TestSignals:
    def test_ping(self) -> None:
        """CR LF CR LF asks (RFC 5626 §4.4.1); so it does in two pieces."""
        assert framed(PING) == [Signal.PING]
        assert framed(b"\r\n\r", b"\n") == [Signal.PONG, Signal.PING]
        assert framed(OPTIONS + PING + INVITE) == [OPTIONS, Signal.PING, INVITE]

    def test_pong(self) -> None:
        """A single CR LF answers; half of one is not enough."""
        assert framed(PONG) == [Signal.PONG]
        assert framed(b"\r") == []
        assert framed(b"\r", b"\n") == [Signal.PONG]

    def test_two_pongs(self) -> None:
        """After another ping of ours, a second pong is no ping."""
        framer = StreamFramer()
        assert framer.receive(PONG) == [Signal.PONG]
        framer.forget()
        assert framer.receive(PONG) == [Signal.PONG]
        assert framer.receive(PONG) == [Signal.PING]

    def test_in_front_of_a_message(self) -> None:
        """Line ends before a message are no part of it (§7.5), of whatever kind."""
        for ends in (b"\r\n", b"\n", b"\r", b"\n\r\n\n", b"\r\r\n"):
            assert messages(framed(ends + OPTIONS)) == [OPTIONS]

    def test_after_a_message(self) -> None:
        """A message between two CR LF: they are no ping."""
        assert framed(PONG, OPTIONS, PONG) == [Signal.PONG, OPTIONS, Signal.PONG]

    def test_partial(self) -> None:
        """Line ends are no beginning of a message."""
        framer = StreamFramer()
        for data, partial in ((b"", False), (b"\r", False), (b"\n", False), (b"O", True)):
            framer.receive(data)
            assert framer.partial is partial


class TestUpkeep:
    def test_unused(self) -> None:
        """A connection that came in and says nothing is given up after 120 s."""
        upkeep = Upkeep(dialled=False, now=0.0)
        assert upkeep.deadline == IDLE
        assert upkeep.handle_timer(IDLE - 1) is None
        assert upkeep.handle_timer(IDLE) is Due.UNUSED

    @pytest.mark.parametrize("results", [[OPTIONS], [Signal.PING], [SipError("x")]])
    def test_used(self, results: list[Result]) -> None:
        """Messages and pings of the peer keep it open, and so do messages of ours."""
        upkeep = Upkeep(dialled=False, now=0.0)
        upkeep.receive(results, False, 100.0)
        assert upkeep.deadline == 100.0 + IDLE
        upkeep.use(200.0)
        assert upkeep.deadline == 200.0 + IDLE

    def test_partial(self) -> None:
        """A message has 5 s from its first byte; more bytes of it give it no more time."""
        upkeep = Upkeep(dialled=False, now=0.0)
        upkeep.receive([], True, 10.0)
        upkeep.receive([], True, 14.0)
        assert upkeep.deadline == 10.0 + PARTIAL
        assert upkeep.handle_timer(15.0) is Due.STUCK

    def test_partial_after_another(self) -> None:
        """The next message has its own 5 s, and once it is whole there is no limit."""
        upkeep = Upkeep(dialled=False, now=0.0)
        upkeep.receive([], True, 10.0)
        upkeep.receive([OPTIONS], True, 14.0)
        assert upkeep.deadline == 14.0 + PARTIAL
        upkeep.receive([OPTIONS], False, 15.0)
        assert upkeep.deadline == 15.0 + IDLE

    def test_asking(self) -> None:
        """One that we dialled is asked each 30 s; a peer that never answers is left in peace."""
        upkeep = Upkeep(dialled=True, now=0.0)
        assert upkeep.deadline == ASK_EACH
        assert upkeep.handle_timer(ASK_EACH) is Due.ASK
        assert upkeep.deadline == 2 * ASK_EACH
        assert upkeep.handle_timer(2 * ASK_EACH) is Due.ASK

    def test_dead(self) -> None:
        """A peer that has answered before has 10 s to do so again (RFC 5626 §4.4.1)."""
        upkeep = Upkeep(dialled=True, now=0.0)
        upkeep.handle_timer(30.0)
        upkeep.receive([Signal.PONG], False, 31.0)
        assert upkeep.handle_timer(60.0) is Due.ASK
        assert upkeep.deadline == 60.0 + ANSWER_WITHIN
        assert upkeep.handle_timer(69.0) is None
        assert upkeep.handle_timer(70.0) is Due.DEAD

    @pytest.mark.parametrize("results", [[], [OPTIONS], [Signal.PONG], [Signal.PING]])
    def test_alive(self, results: list[Result]) -> None:
        """Whatever comes shows that the peer lives."""
        upkeep = Upkeep(dialled=True, now=0.0)
        upkeep.handle_timer(30.0)
        upkeep.receive([Signal.PONG], False, 31.0)
        upkeep.handle_timer(60.0)
        upkeep.receive(results, False, 61.0)
        assert upkeep.deadline == 90.0

    @pytest.mark.parametrize("results", [[Signal.PING], [Signal.PONG, OPTIONS], [OPTIONS]])
    def test_no_answer(self, results: list[Result]) -> None:
        """A ping of the peer's, or a line end before a message, does not say that it answers."""
        upkeep = Upkeep(dialled=True, now=0.0)
        upkeep.handle_timer(30.0)
        upkeep.receive(results, False, 31.0)
        upkeep.handle_timer(60.0)
        assert upkeep.deadline == 90.0

    def test_unasked(self) -> None:
        """A pong that nobody asked for teaches nothing, and does not keep a connection open."""
        upkeep = Upkeep(dialled=True, now=0.0)
        upkeep.receive([Signal.PONG], False, 1.0)
        upkeep.handle_timer(30.0)
        assert upkeep.deadline == 60.0
        assert upkeep.handle_timer(IDLE) is Due.UNUSED

    def test_answerable(self) -> None:
        """What a refusal carries can be answered: it is a request as parse() reads one."""
        error = refusal(with_length(b"Content-Length: x"))
        assert isinstance(error.request, Request)
