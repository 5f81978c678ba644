"""For programs and people: HTTP beside the telephone.

calls.py     ● the calls: listed, made, ended
metrics.py   what a monitoring system reads
server.py    ● the HTTP server: health, the token, errors as JSON
"""
