"""The two ends joined: the only place where the protocols meet.

call.py ●       the life of a call: one task group, from INVITE to record
engine.py ●     the one 20 ms tick: send, receive, run every line, prepare
line.py         the caller's end as frames: the stages in their order
bridge.py       the decisions: barge-in, truncate, greeting, keypad, tools, end
keypad.py       single digits become entries
tools.py        the functions that a model may call
record.py       what is known of a call when it is over
recording.py ●  a two-track WAV of a call
"""
