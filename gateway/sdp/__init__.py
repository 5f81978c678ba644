"""What was agreed: session descriptions and the offer/answer over them.

description.py   RFC 8866: bytes <-> SessionDescription, tolerant in, exact out
negotiation.py   RFC 3264: one call's offers and answers, and the Media they agree on
"""
