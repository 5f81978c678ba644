"""Replaces: a call that takes the place of another (RFC 3891), as an attended transfer makes it.

Pure. The header names a dialog as the one who receives it sees it: its to-tag is the receiver's
own tag. Inside a Refer-To it stands escaped behind the URI (RFC 3261 §19.1.1), and there, and
nowhere else, headers come from a URI: whatever else one asks for is left.

Who may replace a call is its owner's to say. Left out on purpose: Join (RFC 3911).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from .address import NameAddr, Uri
from .dialog import Dialog
from .grammar import TOKEN, SipError
from .message import Request

_CALL_ID = re.compile(r"[!-+\--:<-~]+")  # §25.1 of RFC 3261, and a little more: no comma, no ";"
_BAD = "Bad Replaces"


@dataclass(frozen=True, slots=True)
class Replaces:
    call_id: str
    to_tag: str  # of the one who receives it
    from_tag: str  # of the other end
    early_only: bool = False  # not if the call is answered by now

    @classmethod
    def parse(cls, value: str) -> Replaces:
        """Raise SipError (400) unless `value` is one Replaces: with each tag once (§6.1)."""
        call_id, *pieces = (piece.strip(" \t") for piece in value.split(";"))
        params = [piece.partition("=") for piece in pieces]
        pairs = [(name.strip(" \t").lower(), value.strip(" \t")) for name, _, value in params]
        to_tag, from_tag = _only(pairs, "to-tag"), _only(pairs, "from-tag")
        if not _CALL_ID.fullmatch(call_id):
            raise SipError(_BAD, status=400)
        return cls(call_id, to_tag, from_tag, any(name == "early-only" for name, _ in pairs))

    @classmethod
    def of_peer(cls, dialog: Dialog) -> Replaces:
        """A dialog of ours, as its peer knows it: for the one whom we refer to that peer."""
        return cls(dialog.call_id, dialog.remote_tag or "0", _local_tag(dialog))

    def names(self, dialog: Dialog) -> bool:
        """Is it this dialog of ours (§3)? A tag of zero is also the missing tag of RFC 2543."""
        return (
            self.call_id == dialog.call_id
            and self.to_tag == _local_tag(dialog)
            and (
                self.from_tag == dialog.remote_tag
                or (self.from_tag, dialog.remote_tag) == ("0", "")
            )
        )

    def in_target(self, uri: Uri) -> Uri:
        """The Refer-To of an attended transfer (RFC 3891 §5). ValueError for a tel: URI."""
        if not uri.host:
            raise ValueError("only a SIP URI has headers")
        escaped = f"Replaces={quote(str(self), safe='', errors='surrogateescape')}"
        return replace(uri, headers=f"{uri.headers}&{escaped}" if uri.headers else escaped)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early}"


def _only(pairs: list[tuple[str, str]], name: str) -> str:
    tags = [value for key, value in pairs if key == name]
    if len(tags) != 1 or not TOKEN.fullmatch(tags[0]):
        raise SipError(_BAD, status=400)
    return tags[0]


def _local_tag(dialog: Dialog) -> str:
    return NameAddr.parse(dialog.local).tag or ""


def replaced_by(request: Request) -> Replaces | None:
    """What a request wants to take the place of. SipError (400) if it cannot say so (§3)."""
    values = request.headers.all("Replaces")
    if not values:
        return None
    if len(values) > 1 or request.method != "INVITE":
        raise SipError(_BAD, status=400)
    return Replaces.parse(values[0])


def refusal(wanted: Replaces, *, ended: bool, answered: bool, placed: bool) -> int | None:
    """The status for who wants to replace this call; None: it may, as far as RFC 3891 §3 goes.

    `placed`: it is we who called; an early call is replaced at its caller's only.
    """
    if ended:
        return 603
    if answered:
        return 486 if wanted.early_only else None
    return None if placed else 481


def split_target(target: str) -> tuple[str, Replaces | None]:
    """Take a Refer-To apart: the URI to call, and what the call is to take the place of.

    SipError for what is no URI or a bad Replaces. All other headers of the URI are dropped: who
    refers us does not write our requests.
    """
    uri = Uri.parse(target)
    fields = [field.partition("=") for field in uri.headers.split("&")]
    values = [unquote(value, errors="replace") for name, _, value in fields if _is_replaces(name)]
    if len(values) > 1:
        raise SipError(_BAD, status=400)
    return str(replace(uri, headers="")), Replaces.parse(values[0]) if values else None


def _is_replaces(name: str) -> bool:
    return unquote(name, errors="replace").lower() == "replaces"
