"""For programs and people: HTTP beside the telephone.

calls.py     ● the calls: listed, made, ended
server.py    ● the HTTP server: health, the token, errors as JSON
"""
