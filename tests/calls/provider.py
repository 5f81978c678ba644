"""A provider's registrar in memory, by hand: of what it tests it has nothing but the parser."""

from __future__ import annotations

import asyncio
import re
from hashlib import md5

from gateway.sip.message import Request, Response, parse
from tests.clock import Address, Network

PROVIDER = ("10.0.9.1", 5060)


class Provider:
    """It asks for the password of `user` by digest (MD5), and binds for `expires` s.

    `status`: what it answers instead, 0: nothing at all. `heard` are the REGISTERs as they came.
    """

    def __init__(
        self,
        network: Network,
        *,
        address: Address = PROVIDER,
        user: str = "7495",
        password: str | None = "secret",
        realm: str = "provider",
        expires: int = 120,
    ) -> None:
        self.heard: list[tuple[float, Request]] = []
        self.bound: str | None = None  # the Contact
        self.status = 200
        self.reason = "OK"
        self._network = network
        self._address = network.open(address, self._receive)
        self._user, self._password, self._realm = user, password, realm
        self._expires = expires
        self._nonces = 0

    @property
    def asked(self) -> list[tuple[float, str]]:
        """When it was asked with a password, and for how long."""
        return [
            (at, request.headers.get("Expires") or "")
            for at, request in self.heard
            if self._password is None or request.headers.get("Authorization")
        ]

    def close(self) -> None:
        self._network.close(self._address)

    def _receive(self, data: bytes, source: Address) -> None:
        request = parse(data)
        if not isinstance(request, Request) or request.method != "REGISTER":
            return
        self.heard.append((asyncio.get_running_loop().time(), request))
        if self.status:
            self._network.send(self._answer(request).encode(), self._address, source)

    def _answer(self, request: Request) -> Response:
        if self.status != 200:
            return self._respond(request, self.status, self.reason)
        if self._password is not None and not self._knows(request):
            self._nonces += 1
            challenge = f'Digest realm="{self._realm}", nonce="n{self._nonces}", qop="auth"'
            return self._respond(request, 401, "Unauthorized", ("WWW-Authenticate", challenge))
        contact = (request.headers.get("Contact") or "").partition(";expires=")[0]
        if request.headers.get("Expires") == "0":
            self.bound = None
            return self._respond(request, 200, "OK")
        self.bound = contact
        return self._respond(request, 200, "OK", ("Contact", f"{contact};expires={self._expires}"))

    def _knows(self, request: Request) -> bool:
        """RFC 2617 §3.2.2."""
        given: dict[str, str] = dict(
            re.findall(r'(\w+)="?([^",]*)"?', request.headers.get("Authorization") or "")
        )
        if given.get("username") != self._user or given.get("nonce") != f"n{self._nonces}":
            return False
        a1 = md5(f"{self._user}:{self._realm}:{self._password}".encode()).hexdigest()
        a2 = md5(f"REGISTER:{request.uri}".encode()).hexdigest()
        middle = f"{given['nonce']}:{given['nc']}:{given['cnonce']}:{given['qop']}"
        return given["response"] == md5(f"{a1}:{middle}:{a2}".encode()).hexdigest()

    def _respond(
        self, request: Request, status: int, reason: str, *more: tuple[str, str]
    ) -> Response:
        asked = request.headers
        response = Response(status, reason)
        for name in ("Via", "From", "To", "Call-ID", "CSeq"):
            response.headers.add(name, asked.get(name) or "")
        for name, value in more:
            response.headers.add(name, value)
        return response
