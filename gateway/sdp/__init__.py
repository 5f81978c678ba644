"""What was agreed: session descriptions and the offer/answer over them.

description.py   RFC 8866: bytes <-> SessionDescription, tolerant in, exact out
rtcp.py          RFC 5761, 3605: where RTCP goes
crypto.py        RFC 4568: keys in the signalling
fingerprint.py   RFC 8122, RFC 5763: whose certificate, and who begins
security.py      which of them an offer and answer key the media with
formats.py       payload types: codecs, telephone-event, comfort noise, and what is wished of them
negotiation.py   RFC 3264: one call's offers and answers, and the Media they agree on
"""
