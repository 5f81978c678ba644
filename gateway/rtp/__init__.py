"""Sound as packets: RFC 3550, and digits of RFC 4733.

packet.py     12 bytes of header and what follows, in and out; modular arithmetic
source.py     whose packets are the caller's, and where ours go
succession.py packets that simply follow: the short way past all three judges
reorder.py    packets in order, missing time named
reception.py  loss and jitter as RFC 3550 counts them
rtcp.py       reports and goodbyes, in and out
reports.py    one call's RTCP: when, what, and what theirs mean
demux.py      what came to a port, by its first bytes
dtls.py       the handshake that gives SRTP its keys: RFC 5764
srtp.py       packets that nobody else reads or forges: RFC 3711
quality.py    how the call sounds, as a number: the E-model
dtmf.py       telephone-events to digits, and back
port.py ●     UDP ports, their pool and its quarantine

The way of a packet: port ─ parse ─▶ SourceRule ─▶ Reception ─▶ Reorder or DigitReceiver.
"""
