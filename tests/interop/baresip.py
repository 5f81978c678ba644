"""baresip as a phone: no screen, no sound card; a WAV to say, a WAV of what it heard.

Driven over its control socket (ctrl_tcp: JSON in netstrings). Written for 1.0.0, Debian 12's.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.audio.frame import Samples

from .correlate import read
from .programs import HOST, Program, free_port, free_range, running, until

CONFIG = """\
poll_method epoll
sip_listen {host}:{sip}
net_interface {host}
rtp_ports {rtp}-{rtp_last}
audio_source aufile,{voice}
audio_player aubridge,ear
audio_alert aubridge,bell
audio_buffer 20-160
jitter_buffer_delay 5-10
call_local_timeout 60
module_path {modules}
module g711.so
module g722.so
module opus.so
module srtp.so
module dtls_srtp.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {host}:{control}
snd_path {folder}
{authority}
"""
MODULES = (Path("/usr/lib/baresip/modules"), Path("/usr/local/lib/baresip/modules"))
# Hz and tracks, of the sound.
CODECS = {"PCMU": (8000, 1), "PCMA": (8000, 1), "G722": (16000, 1), "opus": (48000, 2)}
START = 15.0  # s in which the control socket must be there
EVENT = 25.0  # s in which an event must come


class Baresip:
    """A running phone. `events` are all that it reported, oldest first; it listens for SIP over
    UDP and TCP at `port`."""

    def __init__(self, program: Program, folder: Path, control: socket.socket, port: int) -> None:
        self.port = port
        self.events: list[dict[str, Any]] = []
        self._program = program
        self._folder = folder
        self._control = control
        self._unread = b""

    def do(self, command: str, parameters: str = "") -> None:
        """Give a command, as `dial` or `hangup`."""
        text = json.dumps({"command": command, "params": parameters, "token": command}).encode()
        self._control.sendall(b"%d:%s," % (len(text), text))

    def wait_for(self, kind: str, times: int = 1) -> None:
        """Wait until so many events of that type have come."""

        def enough() -> bool:
            self._read()
            return [event["type"] for event in self.events].count(kind) >= times

        until(enough, f"{kind} of baresip; {self.events}; {self._program.printed}", EVENT)

    def wait_until_printed(self, text: str) -> None:
        """Wait for a word of its console: what came before its control socket is no event."""
        until(lambda: text in self._program.printed, f"{text!r} of baresip", EVENT)

    def heard(self) -> Samples:
        """What came out of its loudspeaker, once the call is over."""

        def written() -> list[Path]:
            return [path for path in self._folder.glob("dump-*-dec.wav") if path.stat().st_size]

        (path,) = until(written, "what baresip heard")
        tracks, _ = read(path)
        return tracks[0]

    def _read(self) -> None:
        """Take what the control socket has, without waiting."""
        try:
            while data := self._control.recv(65536):
                self._unread += data
        except BlockingIOError:
            pass
        while b":" in self._unread:
            size, _, rest = self._unread.partition(b":")
            if len(rest) <= int(size):
                return
            self._unread = rest[int(size) + 1 :]
            message = json.loads(rest[: int(size)])
            if message.get("event"):
                self.events.append(message)


@contextmanager
def phone(
    folder: Path,
    voice: Path,
    codec: str,
    *,
    account: str | None = None,
    authority: Path | None = None,
    encryption: str | None = None,
) -> Iterator[Baresip]:
    """A phone that says what is in the file `voice` in each call, and hangs up where it ends;
    `codec`, of CODECS, is the only one that it offers, and the file has its rate and tracks.

    `account`: its URI and parameters, where it is somebody; `authority`: the PEM file of whom it
    trusts over TLS; `encryption`: its `mediaenc`, as srtp-mand or dtls_srtp.
    """
    folder.mkdir()
    sip, control, rtp = free_port(), free_port(), free_range(20)
    modules = next((path for path in MODULES if path.exists()), MODULES[0])
    config = CONFIG.format(
        host=HOST,
        sip=sip,
        rtp=rtp,
        rtp_last=rtp + 19,
        voice=voice,
        modules=modules,
        control=control,
        folder=folder,
        authority=f"sip_cafile {authority}\nsip_verify_server yes" if authority else "",
    )
    account = account or f"<sip:baresip@{HOST}:{sip}>;regint=0"
    account += f";audio_codecs={codec}/{'/'.join(map(str, CODECS[codec]))}"
    account += f";mediaenc={encryption}\n" if encryption else "\n"
    (folder / "config").write_text(config, encoding="utf-8")
    (folder / "accounts").write_text(account, encoding="utf-8")
    (folder / "contacts").touch()
    with running(["baresip", "-4", "-f", str(folder), "-s"], folder, "baresip") as program:
        with _connected(program, control) as connection:
            yield Baresip(program, folder, connection, sip)
        program.stop()


@contextmanager
def _connected(program: Program, port: int) -> Iterator[socket.socket]:
    def connect() -> socket.socket | None:
        assert program.running, program.printed
        try:
            return socket.create_connection((HOST, port), timeout=1)
        except OSError:
            return None

    connection = until(connect, "baresip's control socket", START)
    assert connection
    with connection:
        connection.setblocking(False)
        yield connection
