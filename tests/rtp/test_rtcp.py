"""RTCP on the wire: RFC 3550 §6 and A.2, RFC 5506, RFC 3611, as bytes in and bytes out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.packet import RtpError, is_rtcp
from gateway.rtp.rtcp import (
    Bye,
    Description,
    Report,
    ReportBlock,
    SenderInfo,
    VoipMetrics,
    encode,
    ntp,
    parse,
)

BLOCK = ReportBlock(
    0x0A0B0C0D, fraction=64, lost=5, highest=0x10020, jitter=80, last_sr=0x11112222, delay=0x18000
)
BLOCK_BYTES = bytes.fromhex("0a0b0c0d 40000005 00010020 00000050 11112222 00018000")
SENDER = SenderInfo(0xE0000000_80000000, 0x12345678, 250, 40_000)
SENDER_BYTES = bytes.fromhex("e000000080000000 12345678 000000fa 00009c40")
SR = bytes.fromhex("81c8000c 01020304") + SENDER_BYTES + BLOCK_BYTES
RR = bytes.fromhex("81c90007 01020304") + BLOCK_BYTES
SDES = bytes.fromhex("81ca0003 01020304 0104") + b"name" + b"\0\0"
GOODBYE = bytes.fromhex("81cb0001 01020304")


class TestReports:
    def test_a_sender_report(self) -> None:
        """§6.4.1."""
        assert parse(SR) == [Report(0x01020304, (BLOCK,), SENDER)]
        assert encode([Report(0x01020304, (BLOCK,), SENDER)]) == SR

    def test_a_receiver_report(self) -> None:
        """§6.4.2."""
        assert parse(RR) == [Report(0x01020304, (BLOCK,))]
        assert encode([Report(0x01020304, (BLOCK,))]) == RR

    def test_one_without_blocks(self) -> None:
        """§6.4.2: an empty RR where there is nothing to report."""
        empty = bytes.fromhex("80c90001 01020304")
        assert parse(empty) == [Report(0x01020304)]
        assert encode([Report(0x01020304)]) == empty

    @pytest.mark.parametrize(
        ("wire", "lost"),
        [("000000", 0), ("7fffff", 0x7FFFFF), ("ffffff", -1), ("800000", -0x800000)],
    )
    def test_the_cumulative_loss_is_signed(self, wire: str, lost: int) -> None:
        """A.3: duplicates make it negative; 24 bits."""
        data = RR[:13] + bytes.fromhex(wire) + RR[16:]
        [report] = parse(data)
        assert isinstance(report, Report)
        assert report.blocks[0].lost == lost
        assert encode([report]) == data

    def test_several_blocks(self) -> None:
        two = bytes.fromhex("82c9000d 01020304") + BLOCK_BYTES * 2
        assert parse(two) == [Report(0x01020304, (BLOCK, BLOCK))]

    def test_a_profile_s_extension_is_stepped_over(self) -> None:
        """§6.4.3."""
        extended = bytes.fromhex("81c90009 01020304") + BLOCK_BYTES + bytes(8)
        assert parse(extended) == [Report(0x01020304, (BLOCK,))]


class TestOthers:
    def test_a_cname(self) -> None:
        """§6.5: the chunk ends with a zero at least, at a whole word."""
        assert parse(SDES) == [Description(((0x01020304, b"name"),))]
        assert encode([Description(((0x01020304, b"name"),))]) == SDES

    @pytest.mark.parametrize("name", [b"", b"a", b"ab", b"abc", b"abcd", bytes([65]) * 255])
    def test_names_of_any_length(self, name: bytes) -> None:
        description = Description(((1, name), (2, name)))
        data = encode([description])
        assert len(data) % 4 == 0
        assert parse(data) == [description]

    def test_other_items_are_stepped_over(self) -> None:
        """§6.5.2 to §6.5.8: a TOOL before the CNAME."""
        data = bytes.fromhex("81ca0004 01020304 0603616263 010178 00000000")
        assert parse(data) == [Description(((0x01020304, b"x"),))]

    def test_a_chunk_whose_end_is_missing(self) -> None:
        """Some forget the zero where the last item fills the word; it can be read all the same."""
        data = bytes.fromhex("81ca0003 01020304 0106") + b"cname!"
        assert parse(data) == [Description(((0x01020304, b"cname!"),))]

    def test_a_goodbye_with_and_without_a_reason(self) -> None:
        """§6.6; the reason is not kept."""
        assert parse(GOODBYE) == [Bye((0x01020304,))]
        assert encode([Bye((0x01020304,))]) == GOODBYE
        assert parse(bytes.fromhex("81cb0003 01020304 06") + b"hangup\0") == [Bye((0x01020304,))]
        assert parse(bytes.fromhex("80cb0000")) == [Bye(())]

    def test_voip_metrics_of_an_extended_report(self) -> None:
        """RFC 3611 §4.7, behind a block that is not known."""
        metrics = bytes.fromhex(
            "07000008 0a0b0c0d 00000000 00000000 0032 0078 00000000 00000000 0000 003c 0050 0064"
        )
        data = bytes.fromhex("80cf000d 01020304 04000002 0000000000000000") + metrics
        assert parse(data) == [VoipMetrics(0x0A0B0C0D, end_system_delay=120, jitter_buffer=60)]

    @pytest.mark.parametrize("kind", ["c0", "cc", "cd", "ce", "d5", "df"])
    def test_an_unknown_packet_is_stepped_over(self, kind: str) -> None:
        """§6.1: "should be ignored": APP, feedback, and what has not been invented."""
        assert parse(RR + bytes.fromhex(f"8f{kind}0002 0102030405060708") + SDES) == [
            *parse(RR),
            *parse(SDES),
        ]


class TestCompound:
    def test_several_in_one_datagram(self) -> None:
        """§6.1."""
        packets = [*parse(SR), *parse(SDES), *parse(GOODBYE)]
        assert parse(SR + SDES + GOODBYE) == packets

    def test_reduced_size(self) -> None:
        """RFC 5506: any packet may stand alone, in any order."""
        assert parse(SDES + RR) == [*parse(SDES), *parse(RR)]

    def test_the_last_may_be_padded(self) -> None:
        """§6.4.1, A.2."""
        padded = bytes.fromhex("a1cb0003 01020304 00000000 00000008")
        assert parse(RR + padded) == [*parse(RR), Bye((0x01020304,))]

    @pytest.mark.parametrize("data", [SR, RR, SDES, GOODBYE])
    def test_it_is_told_from_rtp(self, data: bytes) -> None:
        """RFC 5761 §4."""
        assert is_rtcp(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "empty"),
        (RR + b"\x81", "shorter than an RTCP header"),
        (b"\x41" + RR[1:], "version"),
        (RR + b"\0" + SDES[1:], "version"),  # A.2: throughout
        (RR[:-4], "shorter than its RTCP header"),
        (RR + b"\0\0\0", "shorter than an RTCP header"),
        (b"\x9f" + RR[1:], "its blocks"),  # 31 blocks where there is one
        (bytes.fromhex("81c80007 01020304") + BLOCK_BYTES, "its blocks"),  # an SR in an RR's place
        (bytes.fromhex("80c90000"), "its blocks"),
        (bytes.fromhex("82cb0001 01020304"), "BYE"),
        (bytes.fromhex("82ca0003 01020304 0104 6e616d65 0000"), "its chunks"),
        (bytes.fromhex("81ca0002 01020304 01ff6e61"), "item"),
        (bytes.fromhex("81ca0002 01020304 01016101"), "item"),
        (bytes.fromhex("80cf0000"), "without an SSRC"),
        (bytes.fromhex("80cf0002 01020304 07ffffff"), "its blocks"),
        (bytes.fromhex("a1cb0001 01020304") + RR, "padding"),  # A.2: only the last
        (bytes.fromhex("a1cb0001 01020300"), "padding"),
        (bytes.fromhex("a1cb0001 01020303"), "padding"),
        (bytes.fromhex("a1cb0001 010203ff"), "padding"),
        (bytes.fromhex("a0cb0000"), "padding"),
    ],
)
def test_false_lengths_are_refused(data: bytes, text: str) -> None:
    """A.2; nothing of such a datagram is believed."""
    with pytest.raises(RtpError, match=text):
        parse(data)


@pytest.mark.parametrize(
    ("wall", "stamp"),
    [
        (0.0, 0x83AA7E80_00000000),
        (1.5, 0x83AA7E81_80000000),
        (2_085_978_495.75, 0xFFFFFFFF_C0000000),
        (2_085_978_496.0, 0),  # the era ends in February 2036
    ],
)
def test_ntp_time(wall: float, stamp: int) -> None:
    """§4, RFC 5905 §6."""
    assert ntp(wall) == stamp


@given(st.binary(max_size=120))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    try:
        parse(data)
    except RtpError:
        pass


@given(st.data())
def test_a_bent_report_is_read_or_refused(data: st.DataObject) -> None:
    """Right headers get deeper than noise does."""
    wire = bytearray(SR + SDES + RR + GOODBYE)
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse(bytes(wire[: data.draw(st.integers(0, len(wire)))]))
    except RtpError:
        pass


BITS_32 = st.integers(0, (1 << 32) - 1)
BLOCKS = st.builds(
    ReportBlock, BITS_32, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), *[BITS_32] * 4
)
SENDERS = st.builds(SenderInfo, st.integers(0, (1 << 64) - 1), BITS_32, BITS_32, BITS_32)


@given(
    st.lists(
        st.builds(
            Report,
            BITS_32,
            st.lists(BLOCKS, max_size=31).map(tuple),
            st.none() | SENDERS,
        )
        | st.builds(Bye, st.lists(BITS_32, max_size=31).map(tuple))
        | st.builds(
            Description,
            st.lists(st.tuples(BITS_32, st.binary(max_size=255)), max_size=31).map(tuple),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_written_is_read(packets: list[Report | Bye | Description]) -> None:
    assert parse(encode(packets)) == packets
