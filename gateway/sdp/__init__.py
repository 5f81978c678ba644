"""What was agreed: session descriptions and the offer/answer over them.

description.py   RFC 8866: bytes <-> SessionDescription, tolerant in, exact out
rtcp.py          RFC 5761, 3605: where RTCP goes
negotiation.py   RFC 3264: one call's offers and answers, and the Media they agree on
"""
