"""The cases of RFC 5118, SIP on IPv6, each as a message of our own, and its verdict."""

from __future__ import annotations

from .verdict import TAKEN, Case, sip

OFFER_6 = (
    b"v=0\r\no=- 21 1 IN IP6 2001:db8::20\r\ns=-\r\nt=0 0\r\nc=IN IP6 2001:db8::20\r\n"
    b"m=audio 40010 RTP/AVP 0 8\r\n"
)
BOTH = (
    b"v=0\r\no=- 22 1 IN IP4 198.51.100.7\r\ns=-\r\nt=0 0\r\n"
    b"m=audio 40012 RTP/AVP 0\r\nc=IN IP6 2001:db8::20\r\n"
    b"m=video 40014 RTP/AVP 31\r\nc=IN IP4 198.51.100.7\r\na=rtpmap:31 H261/90000\r\n"
)
MAPPED = BOTH.replace(b"2001:db8::20", b"::ffff:198.51.100.7")


def options(
    name: str, uri: str, *, via: str = "SIP/2.0/UDP [2001:db8::21]", contact: str = "[2001:db8::21]"
) -> bytes:
    """A request whose address is the difficulty."""
    return sip(f"""
        OPTIONS {uri} SIP/2.0
        To: sip:bob@example.com
        From: sip:anna@example.com;tag=81
        Via: {via};branch=z9hG4bK-{name}
        Call-ID: {name}@[2001:db8::21]
        Contact: <sip:anna@{contact}>
        CSeq: 5 OPTIONS
        Max-Forwards: 70
        Content-Length: 0
        """)


def ended(name: str, received: str) -> bytes:
    """A BYE of no dialog, as a proxy would pass it on."""
    return sip(f"""
        BYE sip:[2001:db8::10] SIP/2.0
        To: sip:bob@example.com;tag=bd
        From: sip:anna@example.com;tag=81
        Via: SIP/2.0/UDP [2001:db8::21];received={received};branch=z9hG4bK-{name}
        Call-ID: {name}@[2001:db8::21]
        CSeq: 6 BYE
        Max-Forwards: 70
        Content-Length: 0
        """)


def invite(name: str, vias: list[str], contact: str, body: bytes) -> bytes:
    lines = "\n        ".join(f"Via: {via}" for via in vias)
    return sip(
        f"""
        INVITE sip:bob@[2001:db8::10] SIP/2.0
        To: sip:bob@[2001:db8::10]
        From: sip:anna@example.com;tag=81
        {lines}
        Call-ID: {name}@[2001:db8::21]
        Contact: "Anna" <sip:anna@{contact}>
        CSeq: 7 INVITE
        Max-Forwards: 70
        Content-Type: application/sdp
        Content-Length: {{length}}
        """,
        body,
    )


CASES = [
    Case(
        "4.1",
        "reference",
        options("good", "sip:[2001:db8::10]"),
        200,
        {
            "uri.host": "[2001:db8::10]",
            "uri.port": None,
            "via.host": "[2001:db8::21]",
            "via.port": None,
            "contact.uri.host": "[2001:db8::21]",
        },
    ),
    Case("4.2", "no brackets", options("bad", "sip:2001:db8::10"), 400),
    Case(  # all within the brackets is the address
        "4.3",
        "port within the brackets",
        options("ambiguous", "sip:[2001:db8::10:5070]"),
        200,
        {"uri.host": "[2001:db8::10:5070]", "uri.port": None},
    ),
    Case(
        "4.4",
        "port behind the brackets",
        options("clear", "sip:[2001:db8::10]:5070"),
        200,
        {"uri.host": "[2001:db8::10]", "uri.port": 5070},
    ),
    Case(
        "4.5",
        "received in brackets",
        ended("received1", "[2001:db8::21:255]"),
        481,
        {"via.host": "[2001:db8::21]", "via.branch": "z9hG4bK-received1"},
    ),
    Case(
        "4.5",
        "received without brackets",
        ended("received2", "2001:db8::21:255"),
        481,
        {"via.host": "[2001:db8::21]", "via.branch": "z9hG4bK-received2"},
    ),
    Case(
        "4.6",
        "session description",
        invite("sdp", ["SIP/2.0/UDP [2001:db8::20];branch=z9hG4bK-sdp"], "[2001:db8::20]", OFFER_6),
        TAKEN,
        {"body": OFFER_6, "contact.uri.host": "[2001:db8::20]"},
    ),
    Case(
        "4.7",
        "several hops",
        invite(
            "hops",
            [
                "SIP/2.0/UDP [2001:db8::21:1]:6050;branch=z9hG4bK-hops1",
                "SIP/2.0/UDP 198.51.100.1;branch=z9hG4bK-hops2",
                "SIP/2.0/TCP [2001:db8::21:255];branch=z9hG4bK-hops3;received=203.0.113.200",
            ],
            "[2001:db8::21]",
            OFFER_6,
        ),
        TAKEN,
        {
            "via.host": "[2001:db8::21:1]",
            "via.port": 6050,
            "vias": [
                "SIP/2.0/UDP [2001:db8::21:1]:6050;branch=z9hG4bK-hops1",
                "SIP/2.0/UDP 198.51.100.1;branch=z9hG4bK-hops2",
                "SIP/2.0/TCP [2001:db8::21:255];branch=z9hG4bK-hops3;received=203.0.113.200",
            ],
        },
    ),
    Case(
        "4.8",
        "several addresses in a session",
        invite("both", ["SIP/2.0/UDP [2001:db8::20];branch=z9hG4bK-both"], "[2001:db8::20]", BOTH),
        TAKEN,
        {"body": BOTH},
    ),
    Case(
        "4.9",
        "IPv4 in IPv6",
        invite(
            "mapped",
            [
                "SIP/2.0/UDP [::ffff:198.51.100.10]:19823;branch=z9hG4bK-mapped1",
                "SIP/2.0/UDP [::ffff:198.51.100.2];branch=z9hG4bK-mapped2",
            ],
            "[::ffff:198.51.100.10]:19823",
            MAPPED,
        ),
        TAKEN,
        {
            "via.host": "[::ffff:198.51.100.10]",
            "via.port": 19823,
            "contact.uri.host": "[::ffff:198.51.100.10]",
            "contact.uri.port": 19823,
        },
    ),
    Case(
        "4.10",
        "two colons before IPv4",
        options("two", "sip:bob@[2001:db8::198.51.100.1]"),
        200,
        {"uri.host": "[2001:db8::198.51.100.1]"},
    ),
    Case(  # what the grammar of RFC 3261 wants; the same address
        "4.10",
        "three colons before IPv4",
        options("three", "sip:bob@[2001:db8:::198.51.100.1]", contact="[2001:db8:::198.51.100.2]"),
        200,
        {
            "uri.host": "[2001:db8::198.51.100.1]",
            "contact.uri.host": "[2001:db8::198.51.100.2]",
        },
    ),
]
