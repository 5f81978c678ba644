"""Sound as frames: what lies between the samples of a packet and the samples of the model.

frame.py      what a run of samples is, and how long a frame is
g711.py       G.711: bytes of a packet <-> samples (ITU-T G.711)
resample.py   8, 16, 24, 44.1 and 48 kHz into each other, as a stream
conceal.py    something to hear where a packet was lost
tone.py       ring-back and digits that we make
playout.py    the model's speech waiting to be sent, and how much of it was heard

The way in: codec, conceal, resample; the way out: playout, resample, codec. All of it is pure.
"""
