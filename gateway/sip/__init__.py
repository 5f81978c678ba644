"""Who calls whom: SIP over UDP as a user agent, server and client (RFC 3261). Lowest file first.

grammar.py      SipError; lists and parameters, the few rules of §25 that the others share
address.py      Uri, NameAddr, Via
message.py      Headers, Request, Response; bytes to message and back (§7)
identity.py     who is behind a request, as a trusted peer's headers say it (RFC 3325, 5806, 7044)
event.py        Flow, Transmit, and what is told to whoever owns the calls
transaction.py  the four machines of §17 and RFC 6026
schedule.py     which of many machines is due next
scope.py        how far an IP address is known
locate.py       where a URI is: from DNS records to targets (RFC 3263)
answers.py      what DNS said, and for how long it counts
route.py        where a message goes (§8.1.2, §12.2.1.1, §18.2.2)
layer.py        all transactions of one endpoint: matching (§17.1.3, §17.2.3), sending, timers
agent.py        what this user agent writes into its messages (§8.1.1, §8.2.6)
uac.py          a request of ours on its way: fail-over, challenges (§8.1, RFC 3263 §4.3)
uas.py          inspection of a request (§8.2)
multipart.py    the session description among several parts of a body (RFC 2046, RFC 5621)
digest.py       challenges, their answers, and whether these are right (RFC 7616, RFC 8760)
authentication.py  who is let in, by address or by digest, and what strangers are told (§22)
registration.py our binding with a registrar, as a client (§10.2)
registrar.py    where our users' phones are (§10.3)
dialog.py       tags, CSeq, route set, remote target (§12)
session_timer.py who refreshes a session, and when it ends (RFC 4028)
provisional.py  reliable provisional responses (RFC 3262)
refer.py        transfers by REFER, in both roles (RFC 3515, RFC 4488)
replaces.py     a call that takes the place of another (RFC 3891)
info.py         digits in INFO
session.py      what the parts of a call share
redirect.py     whom else to call (§8.1.3.4)
initiate.py     a call of ours begins: forks, redirection, CANCEL (§13.2, §9.1)
accept.py       an INVITE of the peer's is answered: 18x, 2xx until its ACK (§13.3)
modify.py       a session is modified by re-INVITE and UPDATE (§14, RFC 3311)
offer.py        which offer is in the way of which (RFC 3264 §4)
terminate.py    a call ends (§15)
invite.py       one call: these parts together, the INVITE usage of a dialog
calls.py        all calls: how one is found (§12.2.2), and which takes the place of which
outside.py      requests outside of a dialog, and what is refused before it reaches a call (§8.2)
endpoint.py     the whole of it: bytes in, outputs and a deadline out
stream.py       messages out of a byte stream, and how long a connection may live (§18.3, RFC 5626)
stun.py         a STUN request on the SIP port (RFC 5626 §4.4.2)
alias.py        a connection that came in, for requests the other way (RFC 5923)
tls.py ●        certificates, ours and those that we trust (RFC 5922)
datagram.py ●   a UDP socket, and where nobody listens (§18.4)
sockets.py ●    the network of streams: where connections are taken, where ours come from
connection.py ● TCP and TLS connections, those that come in and those that we dial
resolver.py ●   asks DNS, and remembers
transport.py ●  all listening addresses, the one timer, and what the endpoint wants done
"""
