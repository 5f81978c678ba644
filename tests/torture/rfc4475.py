"""The cases of RFC 4475, each as a message of our own with the same difficulty, and its verdict.

For a user agent that is no registrar: a REGISTER is read like any other message and refused 405.
Where the RFC leaves a choice, the comment says which and why.
"""

from __future__ import annotations

from .verdict import OFFER, SILENCE, TAKEN, Case, sip

LONG = "lang" * 40
NEVER = "9" * 24

# §3.1.1: valid, however strange

FOLDED = """
    INVITE sip:reception@desk.example.net;colour SIP/2.0
    TO :
     sip:reception@desk.example.net ;  tag   =  7781aa
    fRoM   : "Anna \\"B\\" \\\\"       <sip:anna@example.org>
      ;
      tag = aa-01
    mAX-forWARDS: 0069
    Call-ID: folded-everywhere@198.51.100.7
    Content-Length   : {length}
    cSeQ: 0011
      INVITE
    Via  : SIP  /   2.0
     /UDP
        198.51.100.7;branch=old-style
    s :
    X-Later:   one piece
     and the other
    X-Odd-Value: ;;,,;;,;
    Content-Type: application/sdp
    Route:
     <sip:edge.example.net;lr;known=unknown;bare>
    v:  SIP  / 2.0  / TCP     mid.example.net   ;
      branch  =   z9hG4bKmid  ,
     SIP  /    2.0   / UDP  203.0.113.5   ; branch=
     z9hG4bKfar
    m:"Quoted \\"\\"" <sip:anna@example.org> ; fresh =
          value ;
      second ; q = 0.25
    """

FOLDED_READ = {
    "method": "INVITE",
    "uri.params": (("colour", None),),
    "sender.display": 'Anna "B" \\',
    "sender.tag": "aa-01",
    "cseq": (11, "INVITE"),
    "via.host": "198.51.100.7",
    "vias": [
        "SIP/2.0/UDP 198.51.100.7;branch=old-style",
        "SIP/2.0/TCP mid.example.net;branch=z9hG4bKmid",
        "SIP/2.0/UDP 203.0.113.5;branch=z9hG4bKfar",
    ],
    "Max-Forwards": ["0069"],
    "Subject": [""],
    "X-Later": ["one piece and the other"],
    "X-Odd-Value": [";;,,;;,;"],
    "Route": ["<sip:edge.example.net;lr;known=unknown;bare>"],
    "contact.display": 'Quoted ""',
    "contact.params": (("fresh", "value"), ("second", None), ("q", "0.25")),
    "body": OFFER,
}

ODD = "!odd-Verb42_*+`.%but'~"
ODD_USER = "0_odd.user~(is-it!so)&isn't+it$/really?,/;;*"

VALID = [
    Case("3.1.1.1", "wsinv", sip(FOLDED, OFFER), 481, {**FOLDED_READ, "to.tag": "7781aa"}),
    Case(
        "3.1.1.1",
        "wsinv of no dialog",
        sip(FOLDED.replace(" ;  tag   =  7781aa", "").replace("everywhere", "again"), OFFER),
        TAKEN,
        {**FOLDED_READ, "to.tag": None},
    ),
    Case(
        "3.1.1.2",
        "intmeth",
        sip(f"""
            {ODD} sip:{ODD_USER}:&so=1,odd!*pa$$~w_too.(isn't-it)@example.com SIP/2.0
            Via: SIP/2.0/UDP odd.example.org;branch=z9hG4bK-.!%42*_+`'~
            To: "BEL:\\\a NUL:\\\0 DEL:\\\x7f" <sip:{ODD_USER}@example.com>
            From: a1~` b2'+_ c3*%!.- <sip:plain@example.org>;odd'~+*_!.-%="тишина";tag=_t~1'+`*%!-.
            Call-ID: odd.word%ZK-!.*_+'@word`~)(><:\\/"][?}}{{
            CSeq: 20304050 {ODD}
            Max-Forwards: 255
            X-Odd-!.%*+_`'~: \ufeff大停電
            Content-Length: 0
            """),
        501,
        {
            "method": ODD,
            "uri.user": f"{ODD_USER}:&so=1,odd!*pa$$~w_too.(isn't-it)",
            "uri.host": "example.com",
            "to.display": "BEL:\a NUL:\0 DEL:\x7f",
            "to.uri.user": ODD_USER,
            "sender.display": "a1~` b2'+_ c3*%!.-",
            "sender.tag": "_t~1'+`*%!-.",
            "sender.params": (("odd'~+*_!.-%", '"тишина"'), ("tag", "_t~1'+`*%!-.")),
            "via.branch": "z9hG4bK-.!%42*_+`'~",
            "Call-ID": ["odd.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"],
            "cseq": (20304050, ODD),
            "X-Odd-!.%*+_`'~": ["\ufeff大停電"],
        },
        {"Call-ID": "odd.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"},
    ),
    Case(
        "3.1.1.3",
        "esc01",
        sip(
            """
            INVITE sip:sips%3Abob%40example.org@example.net SIP/2.0
            To: sip:%62o%62@example.org
            From: <sip:two%20words@example.net>;tag=517
            Max-Forwards: 88
            i: escaped.1
            CSeq: 77001 INVITE
            Via: SIP/2.0/UDP h1.example.net;branch=z9hG4bKescaped
            C: application/sdp
            Contact:
              <sip:ann%61@h1.example.net;%6C%72;k%65y=v%61l%25%34%31>
            Content-Length: {length}
            """,
            OFFER,
        ),
        TAKEN,
        {
            "uri.host": "example.net",
            "uri.name": "sips:bob@example.org",
            "to.uri.user": "%62o%62",
            "to.uri.name": "bob",
            "sender.uri.name": "two words",
            "contact.uri.params": (("%6c%72", None), ("k%65y", "v%61l%25%34%31")),
        },
    ),
    Case(
        "3.1.1.4",
        "escnull",
        sip("""
            REGISTER sip:example.com SIP/2.0
            To: sip:zero-%00-zero@example.com
            From: sip:zero-%00-zero@example.com;tag=4471
            Max-Forwards: 70
            Call-ID: zeros.1
            CSeq: 3001 REGISTER
            Via: SIP/2.0/UDP h1.example.com;branch=z9hG4bKzeros
            Contact: <sip:%00@h1.example.com>
            Contact: <sip:%00%00@h1.example.com>
            L:0
            """),
        405,
        {
            "to.uri.name": "zero-\0-zero",
            "contacts": ["<sip:%00@h1.example.com>", "<sip:%00%00@h1.example.com>"],
        },
    ),
    Case(  # not REGISTER, and "C%6Fntact" is no Contact
        "3.1.1.5",
        "esc02",
        sip("""
            RE%47IST%45R sip:registry.example.com SIP/2.0
            To: "%Q%41" <sip:thing@example.com>
            From: "%Q%41" <sip:thing@example.com>;tag=f0
            Call-ID: no-escapes.1
            Via: SIP/2.0/UDP h.example.com;branch=z9hG4bK10%not%20
            CSeq: 8020 RE%47IST%45R
            Max-Forwards: 70
            Contact: <sip:first@h.example.com>
            C%6Fntact: <sip:second@h.example.com>
            Contact: <sip:third@h.example.com>
            l: 0
            """),
        501,
        {
            "method": "RE%47IST%45R",
            "to.display": "%Q%41",
            "via.branch": "z9hG4bK10%not%20",
            "contacts": ["<sip:first@h.example.com>", "<sip:third@h.example.com>"],
        },
    ),
    Case(
        "3.1.1.6",
        "lwsdisp",
        sip("""
            OPTIONS sip:bob@example.com SIP/2.0
            To: sip:bob@example.com
            From: anna<sip:anna@example.com>;tag=61
            Max-Forwards: 70
            Call-ID: no-blank.1
            CSeq: 61 OPTIONS
            Via: SIP/2.0/UDP near.example.com;branch=z9hG4bKnoblank
            l: 0
            """),
        200,
        {"sender.display": "anna", "sender.uri.user": "anna", "sender.tag": "61"},
    ),
    Case(
        "3.1.1.7",
        "longreq",
        sip(
            f"""
            INVITE sip:bob@example.com SIP/2.0
            To: "A name of {LONG} length"<sip:bob@example.com:6001;a{LONG}={LONG};b{LONG}=c;{LONG}>
            F: sip:{LONG}@example.net;tag={"61" * 60};odd{LONG}={LONG};bare{LONG}
            Call-ID: {LONG}
            CSeq: 3882341 INVITE
            X-{LONG}-Name: {LONG}; {LONG} = {LONG}
            """
            + "\n            ".join(
                f"{name}: SIP/2.0/TCP hop{hop}.example.com"
                for hop, name in enumerate(["Via", "v", "V", "viA", "V ", "v  ", "Via  "] * 5)
            )
            + f"""
            Via: SIP/2.0/TCP first.example.com;received=203.0.113.5;branch={LONG}
            Max-Forwards: 70
            Contact: <sip:{LONG}@h5.example.net>
            Content-Type: application/sdp
            l: {{length}}
            """,
            OFFER,
        ),
        TAKEN,
        {
            "to.display": f"A name of {LONG} length",
            "to.uri.port": 6001,
            "sender.uri.user": LONG,
            "sender.tag": "61" * 60,
            "Call-ID": [LONG],
            "via.host": "hop0.example.com",
            "contact.uri.user": LONG,
        },
    ),
    Case(  # one datagram is one message; of a stream the second is one more (§18.3 of RFC 3261)
        "3.1.1.8",
        "dblreq",
        sip("""
            REGISTER sip:example.com SIP/2.0
            To: sip:a.user@example.com
            From: sip:a.user@example.com;tag=4325
            Max-Forwards: 8
            I: twice.1
            Contact: sip:a.user@h.example.com
            CSeq: 8 REGISTER
            Via: SIP/2.0/UDP 198.51.100.125;branch=z9hG4bKtwice1
            Content-Length: 0
            """)
        + b"\r\n"
        + sip(
            """
            INVITE sip:bob@example.com SIP/2.0
            t: sip:bob@example.com
            From: sip:anna@example.net;tag=1413
            Max-Forwards: 8
            Call-ID: twice.2
            CSeq: 8 INVITE
            Via: SIP/2.0/UDP 198.51.100.15;branch=z9hG4bKtwice2
            Contact: <sip:anna@example.net>
            Content-Type: application/sdp
            Content-Length: {length}
            """,
            OFFER,
        ),
        405,
        {"method": "REGISTER", "body": b"", "Call-ID": ["twice.1"]},
    ),
    Case(
        "3.1.1.9",
        "semiuri",
        sip("""
            OPTIONS sip:bob;par=b%40example.net@example.com SIP/2.0
            To: sip:b_user@example.com
            From: sip:anna@example.org;tag=3324
            Max-Forwards: 3
            Call-ID: semicolon.1
            CSeq: 8 OPTIONS
            Accept: application/sdp, application/pkcs7-mime,
                    multipart/mixed, multipart/signed,
                    message/sip, message/sipfrag
            Via: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKsemicolon
            l: 0
            """),
        200,
        {"uri.user": "bob;par=b%40example.net", "uri.host": "example.com", "uri.params": ()},
    ),
    Case(
        "3.1.1.10",
        "transports",
        sip("""
            OPTIONS sip:bob@example.com SIP/2.0
            To: sip:bob@example.com
            From: <sip:anna@example.com>;tag=323
            Max-Forwards: 70
            Call-ID:  ways.1
            Accept: application/sdp
            CSeq: 60 OPTIONS
            Via: SIP/2.0/UDP w1.example.com;branch=z9hG4bKway1
            Via: SIP/2.0/SCTP w2.example.com;branch=z9hG4bKway2
            Via: SIP/2.0/TLS w3.example.com;branch=z9hG4bKway3
            Via: SIP/2.0/PIGEON w4.example.com;branch=z9hG4bKway4
            Via: SIP/2.0/TCP w5.example.com;branch=z9hG4bKway5
            l: 0
            """),
        200,
        {
            "vias": [
                f"SIP/2.0/{transport} w{n}.example.com;branch=z9hG4bKway{n}"
                for n, transport in enumerate(["UDP", "SCTP", "TLS", "PIGEON", "TCP"], 1)
            ]
        },
    ),
    Case(
        "3.1.1.11",
        "mpart01",
        sip(
            """
            MESSAGE sip:bob@example.org SIP/2.0
            Via: SIP/2.0/UDP 198.51.100.2:5070;branch=z9hG4bK-parts;rport
            Max-Forwards: 70
            Route: <sip:198.51.100.2:5080>
            To: <sip:bob@example.org>
            From: <sip:anna@example.com>;tag=2fb0
            Call-ID: parts.1
            CSeq: 1 MESSAGE
            Content-Type: multipart/mixed;boundary=cut-here
            Content-Length: {length}
            """,
            b"--cut-here\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            b"Hello\r\n--cut-here\r\nContent-Type: application/octet-stream\r\n\r\n"
            + bytes(range(256))
            + b"\r\n--cut-here--\r\n",
        ),
        405,
        {"Content-Type": ["multipart/mixed;boundary=cut-here"]},
    ),
    Case(  # what else several parts are for: a call, with something beside its SDP
        "3.1.1.11",
        "mpart01 of an INVITE",
        sip(
            """
            INVITE sip:bob@example.org SIP/2.0
            Via: SIP/2.0/UDP 198.51.100.2:5070;branch=z9hG4bK-parts2;rport
            Max-Forwards: 70
            To: <sip:bob@example.org>
            From: <sip:anna@example.com>;tag=2fb1
            Contact: <sip:anna@198.51.100.2:5070>
            Call-ID: parts.2
            CSeq: 1 INVITE
            Content-Type: multipart/mixed;boundary="cut here"
            Content-Length: {length}
            """,
            b"--cut here\r\nContent-Type: application/ISUP;version=itu-t92+\r\n"
            b"Content-Disposition: signal;handling=optional\r\n\r\n"
            + bytes(range(256))
            + b"\r\n--cut here\r\nContent-Type: application/sdp\r\n\r\n"
            + OFFER
            + b"\r\n--cut here--\r\n",
        ),
        TAKEN,
    ),
    Case(
        "3.1.1.12",
        "unreason",
        sip(
            """
            SIP/2.0 200 = 3**2 * 11 почти сто - всё просто
            Via: SIP/2.0/UDP 198.51.100.98;branch=z9hG4bKreason
            Call-ID: reason.1
            CSeq: 35 INVITE
            From: sip:bob@example.com;tag=1114
            To: sip:bob@example.edu;tag=2229
            Content-Length: {length}
            Content-Type: application/sdp
            Contact: <sip:bob@h198.example.com>
            """,
            OFFER,
        ),
        SILENCE,
        {"status": 200, "reason": "= 3**2 * 11 почти сто - всё просто", "body": OFFER},
    ),
    Case(
        "3.1.1.13",
        "noreason",
        sip("""
            SIP/2.0 100\x20
            Via: SIP/2.0/UDP 198.51.100.105;branch=z9hG4bKnoreason
            Call-ID: reason.2
            CSeq: 35 INVITE
            From: <sip:bob@example.com>;tag=39a
            To: <sip:bob@example.edu>;tag=902
            Content-Length: 0
            Contact: <sip:bob@h105.example.com>
            """),
        SILENCE,
        {"status": 100, "reason": ""},
    ),
]

# §3.1.2: invalid

INVALID = [
    Case(
        "3.1.2.1",
        "badinv01",
        sip("""
            INVITE sip:bob@example.com SIP/2.0
            To: sip:b.user@example.com
            From: sip:anna@example.net;tag=1341
            Max-Forwards: 7
            Call-ID: separators.1
            CSeq: 8 INVITE
            Via: SIP/2.0/UDP 198.51.100.15;;,;,,
            Contact: "Joe" <sip:joe@example.org>;;;;
            Content-Length: 0
            """),
        400,
        None,
    ),
    Case(  # of a stream the rest may still come, so nobody says anything yet
        "3.1.2.2",
        "clerr",
        sip(
            """
            INVITE sip:bob@example.com SIP/2.0
            Max-Forwards: 80
            To: sip:b.user@example.com
            From: sip:anna@example.net;tag=9394
            Contact: <sip:anna@hungry.example.net>
            Call-ID: hungry.1
            CSeq: 8 INVITE
            Via: SIP/2.0/UDP h5.example.com;branch=z9hG4bK-hungry
            Content-Type: application/sdp
            Content-Length: 8765
            """,
            OFFER,
        ),
        400,
        None,
        over_tcp=SILENCE,
    ),
    Case(
        "3.1.2.3",
        "ncl",
        sip(
            """
            INVITE sip:bob@example.com SIP/2.0
            Max-Forwards: 254
            To: sip:b.user@example.com
            From: sip:anna@example.net;tag=3239
            Call-ID: negative.1
            CSeq: 0 INVITE
            Via: SIP/2.0/UDP 198.51.100.53;branch=z9hG4bKnegative
            Contact: <sip:anna@h53.example.net>
            Content-Type: application/sdp
            Content-Length: -999
            """,
            OFFER,
        ),
        400,
        None,
    ),
    Case(
        "3.1.2.4",
        "scalar02",
        sip(f"""
            REGISTER sip:example.com SIP/2.0
            Via: SIP/2.0/UDP h129.example.com;branch=z9hG4bKhuge
            To: <sip:bob@example.com>
            From: <sip:bob@example.com>;tag=2392
            CSeq: 36893488147419103233 REGISTER
            Call-ID: huge.1
            Max-Forwards: 301
            Expires: {NEVER}
            Contact: <sip:bob@h129.example.com>
              ;expires=280297596632816
            Content-Length: 0
            """),
        400,
        None,
    ),
    Case(
        "3.1.2.5",
        "scalarlg",
        sip(f"""
            SIP/2.0 503 Service Unavailable
            Via: SIP/2.0/UDP h129.example.com;branch=z9hG4bKhuge2;received=203.0.113.29
            To: <sip:bob@example.com>
            From: <sip:anna@example.net>;tag=2ea
            CSeq: 9292394834772304023313 OPTIONS
            Call-ID: huge.2
            Retry-After: {NEVER}
            Warning: 1812 overture "In Progress"
            Content-Length: 0
            """),
        SILENCE,
        None,
    ),
    Case(  # the RFC wishes a 400; but what an answer says back has to be readable, its To too
        "3.1.2.6",
        "quotbal",
        sip(
            """
            INVITE sip:bob@example.com SIP/2.0
            To: "Mr. B. User <sip:b.user@example.com>
            From: sip:anna@example.net;tag=9333
            Max-Forwards: 10
            Call-ID: quote.1
            Contact: <sip:anna@h59.example.net>
            CSeq: 8 INVITE
            Via: SIP/2.0/UDP 198.51.100.59:5050;branch=z9hG4bKquote
            Content-Type: application/sdp
            Content-Length: {length}
            """,
            OFFER,
        ),
        SILENCE,
        None,
    ),
    Case(
        "3.1.2.7",
        "ltgtruri",
        sip(
            """
            INVITE <sip:bob@example.com> SIP/2.0
            To: sip:bob@example.com
            From: sip:anna@example.net;tag=3929
            Max-Forwards: 23
            Call-ID: brackets.1
            CSeq: 1 INVITE
            Via: SIP/2.0/UDP 198.51.100.5
            Contact: <sip:anna@h5.example.net>
            Content-Type: application/sdp
            Content-Length: {length}
            """,
            OFFER,
        ),
        400,
        None,
    ),
    Case(
        "3.1.2.8",
        "lwsruri",
        sip(
            """
            INVITE sip:bob@example.com; lr SIP/2.0
            To: sip:bob@example.com;tag=3xf
            From: sip:anna@example.net;tag=2314
            Max-Forwards: 5
            Call-ID: blank.1
            CSeq: 2130706431 INVITE
            Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKblank
            Contact: <sip:anna@h1.example.net>
            Content-Type: application/sdp
            Content-Length: {length}
            """,
            OFFER,
        ),
        400,
        None,
    ),
    Case(  # a choice: whoever writes so is told
        "3.1.2.9",
        "lwsstart",
        sip(
            """
            INVITE  sip:bob@example.com  SIP/2.0
            Max-Forwards: 8
            To: sip:bob@example.com
            From: sip:anna@example.net;tag=8814
            Call-ID: blank.2
            CSeq: 1893884 INVITE
            Via: SIP/2.0/UDP h1.example.com;branch=z9hG4bKblank2
            Contact: <sip:anna@h1.example.net>
            Content-Type: application/sdp
            Content-Length: {length}
            """,
            OFFER,
        ),
        400,
        None,
    ),
    Case(  # a choice: nothing can be meant but what it says
        "3.1.2.10",
        "trws",
        sip("""
            OPTIONS sip:bob@example.com SIP/2.0\x20\x20
            Via: SIP/2.0/UDP h1.example.com;branch=z9hG4bKblank3
            To: <sip:bob@example.com>
            From: <sip:anna@example.com>;tag=3294
            Call-ID: blank.3
            Accept: application/sdp
            CSeq: 238923 OPTIONS
            Max-Forwards: 70
            Content-Length: 0
            """),
        200,
        {"uri.user": "bob"},
    ),
    Case(  # a choice: what is behind the question mark is nobody's header
        "3.1.2.11",
        "escruri",
        sip(
            """
            INVITE sip:bob@example.com?Route=%3Csip:example.com%3E SIP/2.0
            To: sip:bob@example.com
            From: sip:anna@example.net;tag=3415
            Max-Forwards: 7
            Contact: <sip:anna@h399.example.net>
            Call-ID: behind.1
            CSeq: 149209342 INVITE
            Via: SIP/2.0/UDP busy.example.com;branch=z9hG4bKbehind
            Content-Type: application/sdp
            Content-Length: {length}
            """,
            OFFER,
        ),
        TAKEN,
        {"uri.user": "bob", "uri.host": "example.com", "Route": []},
    ),
    Case(  # nobody here looks at a Date
        "3.1.2.12",
        "baddate",
        sip(
            """
            INVITE sip:bob@example.com SIP/2.0
            To: sip:bob@example.com
            From: sip:anna@example.net;tag=2234
            Max-Forwards: 70
            Call-ID: date.1
            CSeq: 1392934 INVITE
            Via: SIP/2.0/UDP h.example.com;branch=z9hG4bKdate
            Date: Sat, 02 Jan 2010 17:30:00 EST
            Contact: <sip:anna@h5.example.net>
            Content-Type: application/sdp
            Content-Length: {length}
            """,
            OFFER,
        ),
        TAKEN,
        {"Date": ["Sat, 02 Jan 2010 17:30:00 EST"]},
    ),
    Case(  # a choice: there is one way only to read it
        "3.1.2.13",
        "regbadct",
        sip("""
            REGISTER sip:example.com SIP/2.0
            To: sip:bob@example.com
            From: sip:bob@example.com;tag=9983
            Max-Forwards: 70
            Call-ID: behind.2
            CSeq: 1 REGISTER
            Via: SIP/2.0/UDP 198.51.100.133:5060;branch=z9hG4bKbehind2
            Contact: sip:bob@example.com?Route=%3Csip:sip.example.com%3E
            l: 0
            """),
        405,
        {"contact.uri.host": "example.com", "Route": []},
    ),
    Case(  # a choice: blanks within the brackets mean nothing
        "3.1.2.14",
        "badaspec",
        sip("""
            OPTIONS sip:bob@example.org SIP/2.0
            Via: SIP/2.0/UDP h4.example.com:5060;branch=z9hG4bKblank4
            Max-Forwards: 70
            From: "Smith, Anna" <sip:a.smith@example.com>;tag=4334
            To: "Jones, Bob" < sip:b.jones@example.org >
            Call-ID: blank.4
            Accept: application/sdp
            CSeq: 3923238 OPTIONS
            l: 0
            """),
        200,
        {"to.display": "Jones, Bob", "to.uri.user": "b.jones", "sender.display": "Smith, Anna"},
    ),
    Case(  # a choice: From and To are no lists, so the comma is in the name
        "3.1.2.15",
        "baddn",
        sip("""
            OPTIONS sip:bob@example.org SIP/2.0
            Via:     SIP/2.0/UDP c.example.com:5060;branch=z9hG4bKunquoted
            Max-Forwards:      70
            From:    Smith, Anna <sip:a.smith@example.com>;tag=43
            To:      Jones, Bob <sip:b.jones@example.org>
            Call-ID: unquoted.1
            Accept: application/sdp
            CSeq:    3923237 OPTIONS
            l: 0
            """),
        200,
        {"to.display": "Jones, Bob", "sender.display": "Smith, Anna", "sender.tag": "43"},
    ),
    Case(
        "3.1.2.16",
        "badvers",
        sip("""
            OPTIONS sip:bob@example.org SIP/7.0
            Via:     SIP/7.0/UDP c.example.com;branch=z9hG4bKseven
            Max-Forwards:     70
            From:    A. Smith <sip:a.smith@example.com>;tag=qwe
            To:      B. Jones <sip:b.jones@example.org>
            Call-ID: seven.1
            CSeq:    1 OPTIONS
            l: 0
            """),
        505,
        None,
    ),
    Case(
        "3.1.2.17",
        "mismatch01",
        sip("""
            OPTIONS sip:bob@example.com SIP/2.0
            To: sip:b.user@example.com
            From: sip:anna@example.net;tag=3452
            Max-Forwards: 6
            Call-ID: other.1
            CSeq: 8 INVITE
            Via: SIP/2.0/UDP h.example.com;branch=z9hG4bKother
            l: 0
            """),
        400,
        None,
    ),
    Case(  # 501 would do, too: but which of both methods is it that nobody knows?
        "3.1.2.18",
        "mismatch02",
        sip(
            """
            NOVELTY sip:bob@example.com SIP/2.0
            To: sip:b.user@example.com
            From: sip:anna@example.net;tag=3453
            Max-Forwards: 6
            Call-ID: other.2
            CSeq: 8 INVITE
            Contact: <sip:anna@h.example.net>
            Via: SIP/2.0/UDP h.example.net;branch=z9hG4bKother2
            Content-Type: application/sdp
            l: {length}
            """,
            OFFER,
        ),
        400,
        None,
    ),
    Case(
        "3.1.2.19",
        "bigcode",
        sip("""
            SIP/2.0 4294967496 more than anybody can count
            Via: SIP/2.0/UDP 198.51.100.105;branch=z9hG4bKbig
            Call-ID: big.1
            CSeq: 353494 INVITE
            From: <sip:bob@example.com>;tag=39a
            To: <sip:bob@example.edu>;tag=902
            Content-Length: 0
            Contact: <sip:bob@h105.example.com>
            """),
        SILENCE,
        None,
    ),
]

# §3.2 transactions, §3.3 the application, §3.4 peers of RFC 2543

BEYOND = [
    Case(  # a choice: matched as RFC 2543 did
        "3.2.1",
        "badbranch",
        sip("""
            OPTIONS sip:bob@example.com SIP/2.0
            To: sip:bob@example.com
            From: sip:anna@example.org;tag=3324
            Max-Forwards: 3
            Via: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bK
            Accept: application/sdp
            Call-ID: cookie.1
            CSeq: 8 OPTIONS
            l: 0
            """),
        200,
        {"via.branch": "z9hG4bK"},
    ),
    Case(  # without From, To and Call-ID nobody would know the answer
        "3.3.1",
        "insuf",
        sip(
            """
            INVITE sip:bob@example.com SIP/2.0
            CSeq: 193942 INVITE
            Via: SIP/2.0/UDP 198.51.100.95;branch=z9hG4bKfew
            Content-Type: application/sdp
            l: {length}
            """,
            OFFER,
        ),
        SILENCE,
        None,
    ),
    Case(
        "3.3.2",
        "unkscm",
        sip("""
            OPTIONS nobodyHasHeardOfIt:whatever-it-says SIP/2.0
            To: sip:bob@example.com
            From: sip:anna@example.net;tag=384
            Max-Forwards: 3
            Call-ID: scheme.1
            CSeq: 3923423 OPTIONS
            Via: SIP/2.0/UDP h9.example.com;branch=z9hG4bKscheme
            Content-Length: 0
            """),
        416,
        {"uri.scheme": "nobodyhasheardofit", "uri.user": "whatever-it-says"},
    ),
    Case(
        "3.3.3",
        "novelsc",
        sip("""
            OPTIONS gopher.plus://198.51.100.103:70 SIP/2.0
            To: sip:bob@example.com
            From: sip:anna@example.net;tag=384
            Max-Forwards: 3
            Call-ID: scheme.2
            CSeq: 3923424 OPTIONS
            Via: SIP/2.0/UDP h9.example.com;branch=z9hG4bKscheme2
            Content-Length: 0
            """),
        416,
        {"uri.scheme": "gopher.plus"},
    ),
    Case(
        "3.3.4",
        "unksm2",
        sip("""
            REGISTER sip:example.com SIP/2.0
            To: isbn:9780131103627
            From: <http://www.example.com>;tag=3234
            Call-ID: scheme.3
            CSeq: 234902 REGISTER
            Max-Forwards: 70
            Via: SIP/2.0/UDP 198.51.100.21:5060;branch=z9hG4bKscheme3
            Contact: <name:Anna_Smith>
            l: 0
            """),
        405,
        {
            "to.uri.scheme": "isbn",
            "sender.uri.scheme": "http",
            "sender.tag": "3234",
            "contact.uri.user": "Anna_Smith",
        },
    ),
    Case(  # Proxy-Require is for proxies
        "3.3.5",
        "bext01",
        sip("""
            OPTIONS sip:bob@example.com SIP/2.0
            To: sip:b_user@example.com
            From: sip:anna@example.net;tag=242
            Max-Forwards: 6
            Call-ID: require.1
            Require: nobodyHasThis, norThat
            Proxy-Require: noProxyHasThis, norThisOne
            CSeq: 8 OPTIONS
            Via: SIP/2.0/UDP fold.example.com;branch=z9hG4bKrequire
            Content-Length: 0
            """),
        420,
        {},
        {"Unsupported": "nobodyHasThis, norThat"},
    ),
    Case(
        "3.3.6",
        "invut",
        sip(
            """
            INVITE sip:bob@example.com SIP/2.0
            Contact: <sip:anna@h5.example.net>
            To: sip:b.user@example.com
            From: sip:anna@example.net;tag=8392
            Max-Forwards: 70
            Call-ID: type.1
            CSeq: 235448 INVITE
            Via: SIP/2.0/UDP some.example.com;branch=z9hG4bKtype
            Content-Type: application/x-sound
            Content-Length: {length}
            """,
            b"<sound><pcma port='444'/></sound>\r\n",
        ),
        415,
        {"Content-Type": ["application/x-sound"]},
        {"Accept": "application/sdp"},
    ),
    Case(
        "3.3.7",
        "regaut01",
        sip("""
            REGISTER sip:example.com SIP/2.0
            To: sip:b.user@example.com
            From: sip:b.user@example.com;tag=8732
            Max-Forwards: 8
            Call-ID: proof.1
            CSeq: 9338 REGISTER
            Via: SIP/2.0/UDP 198.51.100.253;branch=z9hG4bKproof
            Authorization: NobodyKnowsThisOne opaque=stuff
            Content-Length:0
            """),
        405,
        {"Authorization": ["NobodyKnowsThisOne opaque=stuff"]},
    ),
    Case(
        "3.3.8",
        "multi01",
        sip(
            """
            INVITE sip:bob@example.com SIP/2.0
            Contact: <sip:anna@h25.example.net>
            Via: SIP/2.0/UDP 198.51.100.25;branch=z9hG4bKmany
            Max-Forwards: 70
            CSeq: 5 INVITE
            Call-ID: many.1
            CSeq: 59 INVITE
            Call-ID: many.2
            From: sip:anna@example.com;tag=3413
            To: sip:bob@example.com
            To: sip:other@example.net
            From: sip:anna@example.net;tag=2923
            Content-Type: application/sdp
            l: {length}
            Contact: <sip:anna@h36.example.net>
            Max-Forwards: 5
            """,
            OFFER,
        ),
        400,
        None,
    ),
    Case(
        "3.3.9",
        "mcl01",
        sip(
            """
            OPTIONS sip:bob@example.com SIP/2.0
            Via: SIP/2.0/UDP h5.example.net;branch=z9hG4bKlengths
            To: sip:bob@example.com
            From: sip:anna@example.net;tag=3923
            Call-ID: lengths.1
            CSeq: 15932 OPTIONS
            Content-Length: 14
            Max-Forwards: 60
            Content-Length: 6
            Content-Type: text/plain
            """,
            b"Which of them shall it be?\r\n",
        ),
        400,
        None,
    ),
    Case(  # a Via below the top one that is not ours, so it is a proxy's to forward (§18.1.2)
        "3.3.10",
        "bcast",
        sip(
            """
            SIP/2.0 200 OK
            Via: SIP/2.0/UDP 198.51.100.98;branch=z9hG4bKall
            Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKall2
            Call-ID: all.1
            CSeq: 35 INVITE
            From: sip:bob@example.com;tag=1114
            To: sip:bob@example.edu;tag=2229
            Content-Length: {length}
            Content-Type: application/sdp
            Contact: <sip:bob@h28.example.com>
            """,
            OFFER,
        ),
        SILENCE,
        {"status": 200},
    ),
    Case(  # its last hop is its goal
        "3.3.11",
        "zeromf",
        sip("""
            OPTIONS sip:bob@example.com SIP/2.0
            To: sip:bob@example.com
            From: sip:anna@example.net;tag=3gh
            Call-ID: last.1
            CSeq: 39234320 OPTIONS
            Via: SIP/2.0/UDP h1.example.com;branch=z9hG4bKlast
            Max-Forwards: 0
            Content-Length: 0
            """),
        200,
    ),
    Case(
        "3.3.12",
        "cparam01",
        sip("""
            REGISTER sip:example.com SIP/2.0
            Via: SIP/2.0/UDP saturn.example.com:5060;branch=z9hG4bKparam1
            Max-Forwards: 70
            From: sip:bob@example.com;tag=DkfV
            To: sip:bob@example.com
            Call-ID: param.1
            CSeq: 2 REGISTER
            Contact: sip:+15005550006@gw1.example.net;odd
            l: 0
            """),
        405,
        {"contact.params": (("odd", None),), "contact.uri.params": ()},
    ),
    Case(
        "3.3.13",
        "cparam02",
        sip("""
            REGISTER sip:example.com SIP/2.0
            Via: SIP/2.0/UDP saturn.example.com:5060;branch=z9hG4bKparam2
            Max-Forwards: 70
            From: sip:bob@example.com;tag=8382
            To: sip:bob@example.com
            Call-ID: param.2
            CSeq: 3 REGISTER
            Contact: <sip:+15005550006@gw1.example.net;odd>
            l: 0
            """),
        405,
        {"contact.params": (), "contact.uri.params": (("odd", None),)},
    ),
    Case(
        "3.3.14",
        "regescrt",
        sip("""
            REGISTER sip:example.com SIP/2.0
            To: sip:bob@example.com
            From: sip:bob@example.com;tag=8
            Max-Forwards: 70
            Call-ID: behind.3
            CSeq: 14398235 REGISTER
            Via: SIP/2.0/UDP h5.example.com;branch=z9hG4bKbehind3
            M: <sip:bob@example.com?Route=%3Csip:sip.example.com%3E>
            L:0
            """),
        405,
        {"contact.uri.headers": "Route=%3Csip:sip.example.com%3E", "contact.params": ()},
    ),
    Case(
        "3.3.15",
        "sdp01",
        sip(
            """
            INVITE sip:bob@example.com SIP/2.0
            To: sip:b_user@example.com
            Contact: <sip:anna@h15.example.net>
            From: sip:anna@example.net;tag=234
            Max-Forwards: 5
            Call-ID: accept.1
            Accept: text/x-nobody-knows
            CSeq: 8 INVITE
            Via: SIP/2.0/UDP 198.51.100.15;branch=z9hG4bKaccept
            Content-Length: {length}
            Content-Type: application/sdp
            """,
            OFFER,
        ),
        406,
    ),
    Case(  # no branch, From tag, Content-Length, Max-Forwards or Contact; a strict router's route
        "3.4.1",
        "inv2543",
        sip(
            """
            INVITE sip:UserB@example.com SIP/2.0
            Via: SIP/2.0/UDP oldgw.example.com
            From: <sip:+15005550001@old.example.net;user=phone>
            Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>
            To: sip:+15005550002@ss1.example.net;user=phone
            Call-ID: old.1
            CSeq: 56 INVITE
            Content-Type: application/sdp
            """,
            OFFER,
        ),
        TAKEN,
        {
            "sender.tag": None,
            "sender.uri.params": (("user", "phone"),),
            "to.params": (("user", "phone"),),
            "via.branch": "",
            "body": OFFER,
        },
        over_tcp=400,
    ),
]

CASES = [*VALID, *INVALID, *BEYOND]
