"""The model as events: the OpenAI Realtime API, as its client sees it.

items.py           what a conversation is made of: Item, Part; what we put into one
objects.py         responses and their usage, errors, quotas
client_events.py   the 11 events a client sends
server_events.py   the 46 events a server sends
events.py          the door: JSON text in and out, tolerant in, exact out
profile.py         what differs from one provider to the next
responses.py       one response at a time
session.py         one session: its settings, its rules, what it used
framing.py         frames cut out of a server's bytes
client.py ●        the WebSocket under it
"""
