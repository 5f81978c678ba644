"""Load for the media path, in C so that it costs little: callers, a model, and the floor.

common.h     time, statistics, G.711, WebSocket frames
callers.c    N telephones that send and receive RTP, and note when each packet came
model.c      a Realtime server over TLS that speaks without end
floor.c      a bridge that does the input and output of the gateway and no more

capacity.py, one folder up, builds and runs them.
"""
