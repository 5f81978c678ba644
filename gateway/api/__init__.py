"""For programs and people: HTTP beside the telephone.

server.py    ● the HTTP server: health, the token, errors as JSON
"""
