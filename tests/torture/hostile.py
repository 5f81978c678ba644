"""Datagrams that nobody honest sends: SIP cut short, bent, overgrown, or no SIP at all.

Each is named by what is wrong with it. `mutations` makes as many more as one likes, from good
messages and a seed. Nothing in here knows what the gateway answers.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator, Sequence

Named = tuple[str, bytes]

OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)

# What int() takes and RFC 3261 does not, what no machine can hold, and what is no number
NUMBERS = (
    *("-1", "+5", "1_000", "１２", "٣", "²", "7 7", "5\x0b", "0x10", "1e3", "", "NaN", "0" * 40),
    *(str(2**31), str(2**32), str(2**64), "9" * 33, "8" * 5000),
)
# What str.splitlines() takes for the end of a line, and SIP does not
LINE_ENDS = ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")

CONTACT = ("Contact: <sip:alice@192.0.2.9>",)


def request(
    method: str = "INVITE",
    *,
    start: str | None = None,
    uri: str = "sip:7000@192.0.2.1",
    via: str = "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-hostile;rport",
    from_: str = '"Mallory" <sip:mallory@example.com>;tag=m',
    to: str = "<sip:7000@192.0.2.1>",
    call_id: str = "hostile",
    cseq: str | None = None,
    hops: str = "70",
    headers: Sequence[str] = CONTACT,
    length: str | None = None,
    body: bytes = OFFER,
) -> bytes:
    """A request that is good as long as nothing is given."""
    lines = [
        start or f"{method} {uri} SIP/2.0",
        f"Via: {via}",
        f"Max-Forwards: {hops}",
        f"From: {from_}",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq or f'1 {method}'}",
        *headers,
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def without(name: str, data: bytes | None = None) -> bytes:
    """A request that lacks one header."""
    lines = (data or request()).split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(name.encode() + b":"))


def twice(name: str, value: str | None = None) -> bytes:
    """A request with a header said again: the same, or something else."""
    lines = request().split(b"\r\n")
    at = next(at for at, line in enumerate(lines) if line.startswith(name.encode() + b":"))
    lines.insert(at, lines[at] if value is None else f"{name}: {value}".encode())
    return b"\r\n".join(lines)


def all_datagrams() -> list[Named]:
    """Every one that is written by hand; the cuts of a good INVITE among them."""
    groups = (
        *(_no_sip(), _cuts(), _numbers(), _line_ends(), _start_lines(), _header_lines()),
        *(_addresses(), _ways(), _contents(), _strays(), _responses()),
    )
    return [named for group in groups for named in group]


def _no_sip() -> Iterator[Named]:
    yield "nothing", b""
    yield "one byte", b"I"
    yield "zeros", bytes(1000)
    yield "empty lines", b"\r\n" * 1000
    yield "65,507 bytes of 255", b"\xff" * 65_507
    yield "65,507 letters", b"I" * 65_507
    yield "65,507 spaces", b" " * 65_507
    yield "every byte", bytes(range(256)) * 4
    yield "STUN", b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
    yield "TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(160)
    yield "RTP", struct.pack("!BBHII", 0x80, 8, 1, 160, 7) + bytes(160)
    yield "DNS", b"\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x00\x00\x01\x00\x01"
    yield "HTTP", b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n"
    yield "JSON", b'{"type": "session.update"}\r\n\r\n'
    yield "only the version", b"SIP/2.0\r\n\r\n"
    yield "only a start line", b"INVITE sip:7000@192.0.2.1 SIP/2.0\r\n\r\n"
    yield "two messages in one", request("OPTIONS", body=b"", length="") + request("BYE")
    yield "a million of nothing", b"\r\n\r\n" + b"\0" * 60_000


def _cuts() -> Iterator[Named]:
    whole = request()
    yield from ((f"cut at {at}", whole[:at]) for at in range(1, len(whole)))


def _numbers() -> Iterator[Named]:
    for number in NUMBERS:
        shown = number[:12] or repr(number)
        yield f"CSeq {shown}", request(cseq=f"{number} INVITE")
        yield f"Max-Forwards {shown}", request(hops=number)
        yield f"Content-Length {shown}", request(length=number)
        yield (
            f"port {shown} in Via",
            request(via=f"SIP/2.0/UDP 192.0.2.9:{number};branch=z9hG4bK-h"),
        )
        yield f"port {shown} in the URI", request(uri=f"sip:7000@192.0.2.1:{number}")
        yield f"port {shown} in Contact", request(headers=[f"Contact: <sip:a@192.0.2.9:{number}>"])
        yield (
            f"rport {shown}",
            request(via=f"SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-h;rport={number}"),
        )
        yield f"version {shown}", request(start=f"INVITE sip:7000@192.0.2.1 SIP/{number}.0")
        yield f"status {shown}", request(start=f"SIP/2.0 {number} OK")
    yield "Content-Length one more", request(length=str(len(OFFER) + 1))
    yield "Content-Length one less", request(length=str(len(OFFER) - 1))
    yield "Content-Length 0", request(length="0")
    yield "Max-Forwards 0", request(hops="0")
    yield "Max-Forwards 256", request(hops="256")
    yield "port 0", request(uri="sip:7000@192.0.2.1:0")
    yield "port 65536", request(uri="sip:7000@192.0.2.1:65536")


def _line_ends() -> Iterator[Named]:
    good = request()
    for end in LINE_ENDS:
        smuggled = f"x{end}To: <sip:other@192.0.2.1>;tag=smuggled{end}{end}y"
        yield f"{end!r} in a value", request(headers=[*CONTACT, f"Subject: {smuggled}"])
        yield f"{end!r} in a display name", request(from_=f'"{smuggled}" <sip:a@b>;tag=m')
        yield f"{end!r} in a tag", request(from_=f"<sip:a@b>;tag=a{end}b")
        yield f"{end!r} in a Call-ID", request(call_id=f"a{end}b")
        yield f"{end!r} in a URI", request(uri=f"sip:70{end}00@192.0.2.1")
        yield f"{end!r} for every CRLF", good.replace(b"\r\n", end.encode())
        yield f"{end!r} before the colon", good.replace(b"Call-ID", b"Call-ID" + end.encode())
    yield "CR only", good.replace(b"\r\n", b"\r")
    yield "LF only", good.replace(b"\r\n", b"\n")
    yield "LF CR", good.replace(b"\r\n", b"\n\r")
    yield "CR CR LF", good.replace(b"\r\n", b"\r\r\n")
    yield "NUL for every CRLF", good.replace(b"\r\n", b"\0")
    yield "NUL in a value", request(call_id="a\0b")
    yield "NUL in a URI", request(uri="sip:70\x0000@192.0.2.1")
    yield "CR in a value", request(call_id="a\rb")
    yield "everything folded", good.replace(b": ", b":\r\n ", 6).replace(b";", b"\r\n\t;")
    yield "a fold of nothing", good.replace(b"Call-ID: hostile", b"Call-ID:\r\n \r\n\t\r\n hostile")
    yield "a fold first", good.replace(b"\r\nVia", b"\r\n folded\r\nVia", 1)
    yield "10,000 folds", good.replace(b"Call-ID: hostile", b"Call-ID: x" + b"\r\n x" * 10_000)
    yield "no empty line", good.replace(b"\r\n\r\n", b"\r\n")


def _start_lines() -> Iterator[Named]:
    uri = "sip:7000@192.0.2.1"
    for version in (
        "SIP/3.0",
        "SIP/2.00",
        "sip/2.0",
        "SIP/2.0 ",
        "SIP/2",
        "SIP/2.0.0",
        "SIP",
        "T/1",
    ):
        yield f"version {version!r}", request(start=f"INVITE {uri} {version}")
    for method in (
        "invite",
        "PUBLISH",
        "MESSAGE",
        "REFER",
        "NOTIFY",
        "INFO",
        "UPDATE",
        "PRACK",
        "ſ",
    ):
        yield f"method {method}", request(method, body=b"")
    for method in (
        "",
        "IN VITE",
        "INVITE\t",
        "Inv\xefte",
        "I" * 10_000,
        '"INVITE"',
        "INVITE\u2028",
    ):
        yield f"method {method[:9]!r}", request(method)
    yield "another method in CSeq", request(cseq="1 OPTIONS")
    yield "ACK in CSeq", request(cseq="1 ACK")
    yield "two spaces", request(start=f"INVITE  {uri}  SIP/2.0")
    yield "tabs", request(start=f"INVITE\t{uri}\tSIP/2.0")
    yield "space before", request(start=f" INVITE {uri} SIP/2.0")
    yield "no URI", request(start="INVITE SIP/2.0")
    for other in (
        *("sip:", "sip:@", "sip:@@", "sip:a@b@c", "sips:x", "tel:", "tel:+1;x", "http://x/"),
        "urn:a:b",
        *("sip:[::1", "sip:[:::::]", "sip:x@[fe80::1%25eth0]", "sip:a@b:c", "<sip:a@b>", "*", ":"),
        *("sip:%", "sip:%00%0d%0aX:y@h", "sip:\udcff\udcfe@h", "sip:a b@h", "sip:a@h?x\x7f"),
        "sip:%zz@h",
        *(f"sip:{'a' * 50_000}@h", f"sip:a@{'h' * 50_000}", f"sip:a@h{';p=1' * 10_000}", "SIP:A@H"),
    ):
        yield f"URI {other[:20]!r}", request(uri=other)


def _header_lines() -> Iterator[Named]:
    good = request()
    for name in ("Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Contact"):
        yield f"no {name}", without(name)
        yield f"{name} twice", twice(name)
        yield f"{name} is empty", twice(name, "")
        yield f"{name} is a comma", twice(name, ",")
        yield f"{name} is a quote", twice(name, '"')
        yield f"another {name}", twice(name, "z9hG4bK <sip:x@y>;tag=1")
        yield f"{name} in a bad spelling", good.replace(name.encode(), name.encode() + b" \t", 1)
        yield f"{name} without a colon", good.replace(name.encode() + b":", name.encode(), 1)
        yield (
            f"{name} in bytes",
            good.replace(name.encode() + b": ", name.encode() + b": \xff\xfe\x80"),
        )
    yield "two Content-Lengths", twice("Content-Length", "3")
    yield "one Content-Length twice", twice("Content-Length")
    yield "no Content-Length", without("Content-Length")
    yield "no Content-Type", without("Content-Type")
    yield "1,000 headers", request(headers=[*CONTACT, *(f"X-{n}: {n}" for n in range(1000))])
    yield "127 headers", request(headers=[*CONTACT, *(f"X-{n}: {n}" for n in range(118))])
    yield "1,000 Vias", request(headers=[*CONTACT, *["Via: SIP/2.0/UDP h"] * 1000])
    yield "a long header", request(headers=[*CONTACT, "X: " + "x" * 60_000])
    yield "a long name", request(headers=[*CONTACT, "X" * 60_000 + ": x"])
    yield "no name", request(headers=[*CONTACT, ": x"])
    yield "only a colon", request(headers=[*CONTACT, ":"])
    yield "a name of bytes", request(headers=[*CONTACT, "\udcff\udcfe: x"])
    yield "a name with a space", request(headers=[*CONTACT, "X Y: x"])
    yield "10,000 commas", request(headers=["Contact: " + "," * 10_000, "Require: " + "," * 10_000])
    yield "10,000 quotes", request(from_='"' * 10_001 + " <sip:a@b>;tag=m")
    yield "10,000 backslashes", request(from_='"' + "\\" * 10_001 + '" <sip:a@b>;tag=m')
    yield "10,000 brackets", request(from_="<" * 10_000 + "sip:a@b" + ">" * 10_000 + ";tag=m")
    yield "10,000 semicolons", request(from_="<sip:a@b>" + ";" * 10_000 + "tag=m")


def _addresses() -> Iterator[Named]:
    for tag in (
        '"m"',
        '"m',
        "m;tag=n",
        "",
        "\x01",
        "\udcff",
        "m" * 20_000,
        "=m",
        "<m>",
        "m m",
        "m,m",
    ):
        yield f"tag {tag[:9]!r}", request(from_=f"<sip:a@b>;tag={tag}")
        yield f"tag {tag[:9]!r} in To", request(to=f"<sip:7000@192.0.2.1>;tag={tag}")
        yield f"tag {tag[:9]!r} of BYE", request("BYE", to=f"<sip:7000@h>;tag={tag}", body=b"")
    for address in (
        *("*", "sip:a@b", "sip:a@b;tag=x;tag", '"a" sip:a@b', '"a', '"a"', "<sip:a@b", "sip:a@b>"),
        "<>",
        *("< sip:a@b >;tag=m", "<sip:a@b> tag=m", '"\\"<sip:a@b>', '<sip:a@b>;x="', "<tel:+1>"),
        "<x:>",
        *("a <sip:a@b>, b <sip:c@d>", "\u202e\u2066 <sip:a@b>;tag=m", "<sip:%0d%0aX%3a1@b>;tag=m"),
    ):
        yield f"From {address!r}", request(from_=address)
        yield f"To {address!r}", request(to=address)
        yield f"Contact {address!r}", request(headers=[f"Contact: {address}"])
        yield f"Record-Route {address!r}", request(headers=[*CONTACT, f"Record-Route: {address}"])
    yield "100 Record-Routes", request(headers=[*CONTACT, *["Record-Route: <sip:a;lr>"] * 100])
    yield (
        "a long Record-Route",
        request(headers=[*CONTACT, "Record-Route: <sip:a>" + ",<sip:b>" * 5000]),
    )
    yield "no Contact at all", request(headers=[])


def _ways() -> Iterator[Named]:
    for via in (
        *("", "SIP/2.0/UDP", "SIP/2.0/UDP h", "SIP/2.0/UDP h;branch", "SIP/2.0/UDP h;branch=", "h"),
        *("SIP/2.0/UDP h;branch=z9hG4bK", "SIP/3.0/UDP h;branch=z9hG4bK1"),
        "SIP / 2.0 / UDP h:5060",
        *("SIP/2.0/UDP [::1]:5060;branch=z9hG4bK1", "SIP/2.0/UDP [::1;branch=z9hG4bK1"),
        *("SIP/2.0/X-\x0b h;branch=z9hG4bK1", 'SIP/2.0/UDP h;branch="z9hG4bK,1"'),
        "SIP/2.0/UDP h,,,",
        *("SIP/2.0/UDP h;received=1.2.3.4;rport=9;branch=z9hG4bK1", "SIP/2.0/UDP h;rport;rport"),
        "SIP/2.0/UDP h;maddr=224.0.0.1;ttl=255;branch=z9hG4bK1",
        "SIP/2.0/TLS-SCTP h;branch=z9hG4bK1",
        *(f"SIP/2.0/UDP h;branch=z9hG4bK{'x' * 50_000}", f"SIP/2.0/UDP h{',SIP/2.0/UDP h' * 4000}"),
        *(f"SIP/2.0/UDP {'h' * 300};branch=z9hG4bK1", "SIP/2.0/UDP \udcff;branch=z9hG4bK1"),
    ):
        yield f"Via {via[:40]!r}", request(via=via)


def _contents() -> Iterator[Named]:
    for kind in (
        "text/plain",
        "application/SDP;x=1",
        "multipart/mixed;boundary=x",
        "",
        "\udcff",
        "sdp",
    ):
        data = request().replace(b"application/sdp", kind.encode("utf-8", "surrogateescape"))
        yield f"Content-Type {kind!r}", data
    for name in ("Content-Encoding: gzip", "Require: 100rel, x-y", "Require: \udcff", "Require: ,"):
        yield name, request(headers=[*CONTACT, name])
    yield "Require without end", request(headers=[*CONTACT, "Require: " + "x," * 20_000])
    yield "a body of bytes", request(body=bytes(range(256)))
    yield "a body of 60 kB", request(body=b"v=0\r\n" * 12_000)
    yield "an offer of NUL", request(body=OFFER.replace(b"s=-", b"s=\0"))


def _strays() -> Iterator[Named]:
    for method in ("ACK", "CANCEL", "BYE", "INVITE", "OPTIONS", "PRACK", "UPDATE", "INFO", "REFER"):
        yield f"{method} for nothing", request(method, body=b"")
        yield f"{method} in no dialog", request(method, to="<sip:7000@h>;tag=gone", body=b"")
        yield f"{method} of an old peer", request(method, via="SIP/2.0/UDP h", body=b"")


def _responses() -> Iterator[Named]:
    for status in (
        *("100 Trying", "180", "200 OK", "302 Moved", "401 X", "487 X", "503 X", "699 X", "700 X"),
        *("99 X", "1000 X", "-1 X", "２００ OK", "200OK", "200 \udcff", "", "2e2 X"),
        "200 " + "x" * 50_000,
    ):
        for method in ("INVITE", "BYE", "OPTIONS"):
            start = f"SIP/2.0 {status}"
            yield f"{start[:20]!r} to {method}", request(method, start=start, body=b"")


_PIECES: tuple[bytes, ...] = (
    *(b"", b"\r\n", b"\r\n\r\n", b"\0", b"\xff", b" ", b"\t", b",", b";", b'"', b"<", b">", b":"),
    b"@",
    *(b"=", b"\r\n ", b"99999999999", b"-1", b"\xc2\x85", b"\xe2\x80\xa8", b"\x0b", b"%00", b"\\"),
    *(b"SIP/2.0", b";tag=x", b"z9hG4bK", b"Via: ", b"[::1]", b"\r\nTo: <sip:a@b>;tag=t\r\n"),
    b"a" * 500,
)


def mutated(data: bytes, dice: random.Random) -> bytes:
    """A message with one to four changes: bytes, pieces, lines or its end."""
    for _ in range(dice.choice((1, 1, 1, 2, 3, 4))):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(7):
            case 0:  # another byte
                data = data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
            case 1:  # something less
                data = data[:at] + data[at + dice.choice((1, 1, 2, 5, 30)) :]
            case 2:  # something more
                data = data[:at] + dice.choice(_PIECES) + data[at:]
            case 3:  # something else
                data = data[:at] + dice.choice(_PIECES) + data[at + dice.randrange(8) :]
            case 4:  # twice
                data = data[:at] + data[max(0, at - dice.randrange(60)) :]
            case 5:  # two lines change places
                lines = data.split(b"\r\n")
                one, other = dice.randrange(len(lines)), dice.randrange(len(lines))
                lines[one], lines[other] = lines[other], lines[one]
                data = b"\r\n".join(lines)
            case _:  # the end is missing
                data = data[:at] if dice.random() < 0.3 else data
    return data


def mutations(good: Iterable[bytes], count: int, seed: int) -> list[Named]:
    """So many changed messages, the same for the same seed."""
    dice, models = random.Random(seed), list(good)
    return [(f"mutation {n} of {seed}", mutated(dice.choice(models), dice)) for n in range(count)]
