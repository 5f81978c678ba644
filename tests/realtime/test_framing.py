"""What is cut out of a server's bytes, and what is left to the parser."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from gateway.realtime.framing import Frames

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
LIMIT = 100_000


def frame(opcode: Opcode, data: bytes, *, fin: bool = True, mask: bool = False) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=mask)


def fed(frames: Frames, pieces: Sequence[bytes]) -> tuple[list[bytes], bytes]:
    """The messages, and all that is for the parser."""
    parts = [part for piece in pieces for part in frames.feed(piece)]
    return [data for data, whole in parts if whole], b"".join(d for d, whole in parts if not whole)


def read(stream: bytes) -> tuple[list[bytes], bytes]:
    """Of frames behind the head of an answer."""
    messages, rest = fed(Frames(LIMIT), [HEAD + stream])
    assert rest.startswith(HEAD)
    return messages, rest[len(HEAD) :]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, LIMIT])
def test_text_of_each_length_form(length: int) -> None:
    text = b"x" * length
    assert read(frame(Opcode.TEXT, text)) == ([text], b"")


def test_what_is_for_the_parser() -> None:
    """Control frames, binary ones, masked ones, and what a server must not send."""
    for data in (
        frame(Opcode.PING, b"?"),
        frame(Opcode.CLOSE, b"\x03\xe8"),
        frame(Opcode.BINARY, b"01"),
        frame(Opcode.TEXT, b"masked", mask=True),
        b"\xc1\x01x",  # an extension that nobody asked for
    ):
        assert read(data + frame(Opcode.TEXT, b"after")) == ([b"after"], data)


def test_a_message_in_fragments() -> None:
    """With a control frame among them (§5.4); a whole text there is the parser's to refuse."""
    parts = [
        frame(Opcode.TEXT, b"one", fin=False),
        frame(Opcode.PONG, b""),
        frame(Opcode.TEXT, b"wrong"),
        frame(Opcode.CONT, b"two"),
    ]
    assert read(b"".join(parts[:2])) == ([], b"".join(parts[:2]))
    assert read(b"".join(parts[:3])) == ([], b"".join(parts[:3]))
    whole = [*parts[:2], parts[3]]
    assert read(b"".join([*whole, frame(Opcode.TEXT, b"next")])) == ([b"next"], b"".join(whole))


def test_longer_than_anybody_may_send() -> None:
    """Not waited for: the parser refuses it by its length."""
    stream = b"\x81\x7f" + (LIMIT + 1).to_bytes(8, "big")
    assert read(stream) == ([], stream)
    assert read(stream + b"and whatever follows") == ([], stream + b"and whatever follows")


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\n\x81\x03one", b"SSH-2.0-x\r\n"],
)
def test_no_websocket(answer: bytes) -> None:
    """Nothing is a frame in it, and nothing waits for the end of a head that has none."""
    for size in (1, 7, 100):
        pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
        assert fed(Frames(LIMIT), pieces) == ([], answer)


FRAMES = st.lists(
    st.tuples(st.sampled_from([Opcode.TEXT, Opcode.PING]), st.binary(max_size=300)), max_size=8
)


@given(FRAMES, st.lists(st.integers(1, 400), min_size=1, max_size=12))
def test_any_pieces(frames: list[tuple[Opcode, bytes]], sizes: list[int]) -> None:
    """However the network cuts it, the same comes out, in the same order."""
    stream = HEAD + b"".join(frame(opcode, data) for opcode, data in frames)
    pieces: list[bytes] = []
    at = 0
    while at < len(stream):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[at : at + size])
        at += size
    messages, rest = fed(Frames(LIMIT), pieces)
    assert messages == [data for opcode, data in frames if opcode is Opcode.TEXT]
    assert rest == HEAD + b"".join(frame(o, d) for o, d in frames if o is not Opcode.TEXT)


@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes(data: bytes, size: int) -> None:
    """Nothing raises, and nothing is lost that is complete."""
    frames = Frames(LIMIT)
    list(frames.feed(HEAD))
    for at in range(0, len(data), size):
        list(frames.feed(data[at : at + size]))
