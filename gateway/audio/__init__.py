"""Sound as frames: what lies between the samples of a packet and the samples of the model.

frame.py      what a run of samples is, and how long a frame is
codec.py      what a call needs of a codec, and which there are
g711.py       G.711: bytes of a packet <-> samples
g722.py       G.722, by PyAV
opus.py       Opus: packets, what was lost, what the far end wants (RFC 6716, 7587)
libopus.py    the functions of libopus that opus.py calls, by ctypes
resample.py   8, 16, 24, 44.1 and 48 kHz into each other, as a stream
conceal.py    something to hear where a packet was lost
comfort_noise.py  what is heard while the far end sends no sound for its silence (RFC 3389)
tone.py       ring-back and digits that we make
detector.py   digits that are heard
echo.py       our own voice taken out of what the line returns
  echo_path.py       whether there is an echo, how late and how loud
  echo_reference.py  what was sent, and where in it the sound heard belongs
  echo_guard.py      what the canceller leaves, held down
playout.py    the model's speech waiting to be sent, and how much of it was heard

The way in: codec, conceal, resample; the way out: playout, resample, codec. All of it is pure.
"""
