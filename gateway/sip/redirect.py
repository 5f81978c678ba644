"""Redirection of an INVITE: the target set of RFC 3261 §8.1.3.4.

Pure. Contacts of a 3xx in the order of their q (§20.10); nobody is asked twice, and nobody beyond
the fifth. Left out on purpose: `expires` of a Contact, which caches would need; 305 and 380.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from .address import NameAddr, Uri
from .grammar import SipError, param
from .message import Response

REDIRECTIONS = frozenset({300, 301, 302})
MAX_TARGETS = 5  # beside the first

_Q = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


class Redirects:
    """Whom else to ask after `target`, who was asked first."""

    def __init__(self, target: str) -> None:
        self._seen = {_key(Uri.parse(target))}
        self._left: list[tuple[float, Uri]] = []

    def add(self, response: Response) -> None:
        """Take the Contacts of a redirection; those with a larger q first."""
        found = [contact for contact in _contacts(response) if contact.uri.host]
        for contact in sorted(found, key=_q, reverse=True):
            key = _key(contact.uri)
            if key not in self._seen and len(self._seen) <= MAX_TARGETS:
                self._seen.add(key)
                self._left.append((_q(contact), replace(contact.uri, headers="")))
        self._left.sort(key=lambda entry: entry[0], reverse=True)

    def next(self) -> Uri | None:
        """Whom to ask now; None: nobody is left."""
        return self._left.pop(0)[1] if self._left else None


def _contacts(response: Response) -> Iterator[NameAddr]:
    for element in response.headers.elements("Contact"):
        try:
            yield NameAddr.parse(element)
        except SipError:
            continue


def _q(contact: NameAddr) -> float:
    value = param(contact.params, "q") or "1"
    return float(value) if _Q.fullmatch(value) else 0.0


def _key(uri: Uri) -> tuple[str, str | None, str, int | None]:
    """As far as loops go, two are the same if these are."""
    return uri.scheme, uri.user, uri.host.lower(), uri.port
