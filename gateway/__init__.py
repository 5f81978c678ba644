"""A phone call talks to a speech-to-speech model.

    caller ─ SIP, RTP ─▶ sip/ rtp/ ─▶ call/ ─▶ realtime/ ─ WebSocket ─▶ model

Floors, top to bottom; a package imports only from floors below:

4  cli  demo  app  backends   the command line; a call without anything; the composition root
   remote              the running service, asked by the command line
   trunks              what passwords prove, and where we are registered
   ways                how each trunk is reached
   nat                 which address of ours each trunk sees
   descriptors         as many of them as the calls need
3  api  simulator      for programs and people; both other ends, for demo and tests
2  call                the only place where the protocols meet
1  sip  sdp  rtp  audio  realtime     strangers to each other
0  config  agents  log    what an operator writes; who may call and who answers; one line per event

Floor 0 in its files: config (every key), config_backends (the model's side of it), config_values
(the kinds of value), config_file (YAML with line numbers), config_check (mistakes in words),
config_notices (what has no effect yet); agents; log; text (what strangers wrote, made safe).
"""
