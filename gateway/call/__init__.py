"""The two ends joined: the only place where the protocols meet.

switchboard.py ●  all calls: who answers, who is called, who is in a call
admission.py    whether one more call is taken
lateness.py     how late the ticks are, and when that is too much
call.py ●       the life of a call: one task group, from INVITE to record
order.py        a call that a program wants made: checked, and whom it means
carrier.py      a trunk that calls can be made through, and whom its URIs and numbers mean
ending.py       why a call is over, and how the caller is told
exchange.py     what all calls share, and what is known of whom a call is with
introduction.py  what an INVITE says of who calls, and how much of it is believed
prepare.py      what a call needs before it is answered, or made: a way, a port, a model
equipment.py ●  what a call holds while it lasts, and gives back
telephone.py    one SIP call as the call above it sees it: offers, answers, what was agreed
talk.py         an answered call: line, bridge and model joined
engine.py ●     the one 20 ms tick: send, receive, run every line, prepare
ticker.py ●     where the ticks come from
line.py         the caller's end, both ways: who may send, the keys, the counts
uplink.py       the caller's packets as sound for the model: order, codec, gaps, silence
together.py     the sound of many calls as one array
tones.py        keys that come as sound, heard and kept from the model
echo.py         our own voice, taken out of what the model hears
transcoder.py   from one codec into another, packet for packet
downlink.py     the model's speech as packets for the caller: ring-back, keys, packet times
shield.py       a media port and what protects it, and the turns of all DTLS handshakes
privacy.py      how what the media port sends and hears is protected
errands.py      what the model asked for and is not done yet
transfers.py    who a call is with changes: by the model's wish or the peer's
transfer.py     one attempt to connect the caller with somebody else, as decisions
handover.py     that attempt carried out: the target's telephone, and the joint of both
takeover.py     the peer asks for another party in its own place
onward.py       where a call may be transferred to, and how it gets there
relay.py        two parties of a call joined, packet for packet
digits.py       the keys that the model presses, a step each 20 ms
model.py ●      the model's end: a session on a connection
backlog.py      what waits while its socket takes nothing
bridge.py       the decisions: barge-in, truncate, greeting, keypad, tools, end
behaviour.py    how an agent answers the phone, as far as the bridge decides it
keypad.py       single digits become entries
tools.py        the functions that a model may call
appended.py     when each piece of the caller's sound was given to the model
turns.py        how long each answer took
transcript.py   who said what, of the assistant only what was heard
record.py       what is known of a call when it is over
journal.py ●    the file of records
alignment.py    a voice's pieces, each with its time, as one track
sound_file.py ● two tracks on the disk: WAV, or Opus in Ogg
recording.py ●  both voices of a call, from the tick to a file
recorder.py ●   the thread that writes all recordings
"""
