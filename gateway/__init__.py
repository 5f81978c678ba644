"""A phone call talks to a speech-to-speech model.

    caller ─ SIP, RTP ─▶ sip/ rtp/ ─▶ call/ ─▶ realtime/ ─ WebSocket ─▶ model

Floors, top to bottom; a package imports only from floors below:

4  cli  app            the command line; the composition root
3  api  simulator      for programs and people; both other ends, for demo and tests
2  call                the only place where the protocols meet
1  sip  sdp  rtp  audio  realtime     strangers to each other
0  config  agents  log
"""
