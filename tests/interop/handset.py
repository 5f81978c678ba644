"""One face for three phones, for what all of them do: register, call, hold, transfer, hang up.

A handset is one phone that makes one call over one transport, mostly as a user with a password.
Whether something was done is seen in what the phone says of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from . import baresip, linphone
from .programs import HOST, need
from .softphone import Softphone, softphone
from .sound import HUM

KINDS = ("baresip", "softphone", "linphone")


@dataclass(frozen=True, slots=True)
class Line:
    """How a phone reaches the gateway, and as whom; without a password it is nobody there."""

    port: int
    transport: str
    user: str = "phone"
    password: str = ""
    realm: str = "gateway"
    registers: bool = False
    authority: Path | None = None  # whom it trusts over TLS

    @property
    def uri(self) -> str:
        return f"sip:{self.user}@{HOST}:{self.port};transport={self.transport}"


class Handset(Protocol):
    """A phone in use."""

    def dial(self, user: str) -> None:
        """Call, and be answered."""

    def dial_in_vain(self, user: str) -> None:
        """Call, and be refused for want of the right password."""

    def answer(self) -> None:
        """Take the call that rings, or is about to."""

    def hold(self) -> None: ...

    def resume(self) -> None: ...

    def press(self, key: str) -> None: ...

    def transfer(self, uri: str) -> None:
        """Ask the gateway to call somebody else, and be rid of the call."""

    def hang_up(self) -> None: ...


@contextmanager
def handset(kind: str, folder: Path, voice: Path, line: Line) -> Iterator[Handset]:
    """Run a phone; where its line `registers` it has done so. It says what is in the file `voice`,
    or hums."""
    match kind:
        case "baresip":
            need("baresip")
            with _baresip(folder, voice, line) as phone:
                yield phone
        case "linphone":
            need("linphonec")
            with _linphone(folder, voice, line) as phone:
                yield phone
        case _:
            with _softphone(folder, line) as phone:
                yield phone


@dataclass(slots=True)
class _Baresip:
    phone: baresip.Baresip
    line: Line
    agreed: int = 1  # how many answers to our offers there are

    def dial(self, user: str) -> None:
        self.phone.do("dial", f"sip:{user}@{HOST}:{self.line.port}")
        self.phone.wait_for("CALL_ESTABLISHED")

    def dial_in_vain(self, user: str) -> None:
        self.phone.do("dial", f"sip:{user}@{HOST}:{self.line.port}")
        self.phone.wait_for("CALL_CLOSED")
        assert "401" in self.phone.events[-1]["param"]

    def answer(self) -> None:
        self.phone.wait_for("CALL_INCOMING")
        self.phone.do("accept")
        self.phone.wait_for("CALL_ESTABLISHED")

    def hold(self) -> None:
        self._change("hold")

    def resume(self) -> None:
        self._change("resume")

    def _change(self, command: str) -> None:
        self.agreed += 1
        self.phone.do(command)
        self.phone.wait_for("CALL_REMOTE_SDP", times=self.agreed)

    def press(self, key: str) -> None:
        self.phone.do("sndcode", key)

    def transfer(self, uri: str) -> None:
        self.phone.do("transfer", uri)
        self.phone.wait_for("CALL_CLOSED")

    def hang_up(self) -> None:
        self.phone.do("hangup")


@contextmanager
def _baresip(folder: Path, voice: Path, line: Line) -> Iterator[Handset]:
    interval = 60 if line.registers else 0
    account = f"<{line.uri}>;regint={interval}"
    account += f";auth_pass={line.password}" if line.password else ""
    with baresip.phone(folder, voice, "PCMU", account=account, authority=line.authority) as phone:
        if line.registers:
            phone.wait_until_printed("[1 binding]")
        yield _Baresip(phone, line)


@dataclass(slots=True)
class _Softphone:
    phone: Softphone
    line: Line
    agreed: int = 1

    def dial(self, user: str) -> None:
        self._dial(user)
        self.phone.wait_for("established", 0)

    def dial_in_vain(self, user: str) -> None:
        self._dial(user)
        _, _, why = self.phone.wait_for("ended", 0)
        assert "401" in why, why

    def answer(self) -> None:
        """It does so by itself."""
        self.phone.wait_for("established", 0)

    def _dial(self, user: str) -> None:
        transport = self.line.transport
        self.phone.do("dial", f"sip:{user}@{HOST}:{self.line.port};transport={transport}")

    def hold(self) -> None:
        self._change("hold")

    def resume(self) -> None:
        self._change("resume")

    def _change(self, command: str) -> None:
        self.agreed += 1
        self.phone.do(command, 0)
        self.phone.wait_for("call_remote_sdp", 0, times=self.agreed)

    def press(self, key: str) -> None:
        self.phone.do("press", 0, key)

    def transfer(self, uri: str) -> None:
        self.phone.do("transfer", 0, uri)
        self.phone.wait_for("transferred", 0)
        self.phone.wait_for("closed", 0)

    def hang_up(self) -> None:
        self.phone.do("hangup", 0)
        self.phone.wait_for("closed", 0)


@contextmanager
def _softphone(folder: Path, line: Line) -> Iterator[Handset]:
    with softphone(
        folder,
        user=line.user,
        domain=f"{HOST}:{line.port}",
        password=line.password,
        transport=line.transport,
        level=HUM,
        registers=line.registers,
        authority=line.authority,
    ) as phone:
        yield _Softphone(phone, line)


@dataclass(frozen=True, slots=True)
class _Linphone:
    phone: linphone.Linphone
    line: Line

    def dial(self, user: str) -> None:
        self._dial(user)
        self.phone.wait_for("connected")

    def dial_in_vain(self, user: str) -> None:
        """It asks its user for another password then; the first letter after that is lost."""
        self._dial(user)
        self.phone.wait_for(f"Password for {self.line.user}")
        self.phone.do("anything")
        self.phone.do("")

    def answer(self) -> None:
        self.phone.wait_for("incoming call")
        self.phone.do("answer")
        self.phone.wait_for("connected")

    def _dial(self, user: str) -> None:
        transport = self.line.transport
        self.phone.do(f"call sip:{user}@{HOST}:{self.line.port};transport={transport}")

    def hold(self) -> None:
        self.phone.do("pause")
        self.phone.wait_for("now paused")

    def resume(self) -> None:
        self.phone.do("resume")
        self.phone.wait_for("Resuming call")

    def press(self, key: str) -> None:
        self.phone.do(key)

    def transfer(self, uri: str) -> None:
        self.phone.do(f"transfer 1 {uri}")
        self.phone.wait_for("ended")

    def hang_up(self) -> None:
        self.phone.do("terminate")


@contextmanager
def _linphone(folder: Path, voice: Path, line: Line) -> Iterator[Handset]:
    account = None
    if line.password:
        proxy = f"sip:{HOST}:{line.port};transport={line.transport}"
        account = linphone.Account(proxy, line.user, line.password, line.realm, line.registers)
    with linphone.phone(folder, voice, account=account, authority=line.authority) as phone:
        if line.registers:
            phone.wait_until_registered()
        yield _Linphone(phone, line)
