"""linphonec as a phone: a console, no sound card; a WAV to say, a WAV of what it heard.

Written for 5.1, Debian 12's. Each has a home of its own: two that share one find no network.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.audio.frame import Samples

from .programs import HOST, Program, free_port, free_range, running, until

START = 25.0  # s
WAV_HEADER = 44  # bytes

CONFIG = """\
[sip]
sip_port={sip}
sip_tcp_port={sip}
sip_tls_port=-1
default_proxy={default}
guess_hostname=0
contact="linphone" <sip:linphone@{host}:{sip}>
use_ipv6=0
media_encryption={encryption}
use_rfc2833={events}
use_info={info}
root_ca={authority}
verify_server_certs=1
verify_server_cn=0
inc_timeout=60
[net]
mtu=1300
[rtp]
audio_rtp_port={rtp}-{rtp_last}
[sound]
echocancellation=0
[video]
display=0
capture=0
"""
ACCOUNT = """\
[proxy_0]
reg_proxy=<{uri}>
reg_identity=sip:{user}@{host}
reg_expires=60
reg_sendregister={registers}
[auth_info_0]
username={user}
passwd={password}
realm={realm}
"""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of a proxy at a URI, where it registers or does not."""

    uri: str
    user: str
    password: str
    realm: str
    registers: bool


@dataclass(frozen=True, slots=True)
class Linphone:
    """A running phone; it listens for SIP over UDP and TCP at `port`."""

    program: Program
    port: int
    recording: Path

    def do(self, command: str) -> None:
        """Give a command of its console: `call`, `pause`, `resume`, `transfer`, a digit."""
        self.program.tell(command)

    def wait_for(self, text: str, within: float = START) -> None:
        """Wait until it has printed that."""
        printed = self.program.path
        until(
            lambda: text in self.program.printed or not self.program.running,
            f"{text!r} in {printed}",
            within,
        )
        assert text in self.program.printed, self.program.printed

    def wait_until_registered(self) -> None:
        """Ask it until it is."""

        def asked() -> bool:
            self.do("status register")
            return "registered, identity" in self.program.printed

        until(asked, f"registered; {self.program.printed}", START)

    def heard(self) -> tuple[Samples, int]:
        """What came out of its loudspeaker, once it has ended; and its rate, in Hz."""
        with wave.open(str(self.recording)) as file:
            frames = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            return frames[:: file.getnchannels()].astype(np.int16), file.getframerate()

    def heard_so_far(self) -> Samples:
        """The same while the call lasts, in a codec of 8 kHz: the header is written at its end."""
        data = self.recording.read_bytes()[WAV_HEADER:] if self.recording.exists() else b""
        return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)


@contextmanager
def phone(
    folder: Path,
    voice: Path,
    *,
    codec: str = "PCMU",
    encryption: str = "none",
    answers: bool = False,
    info: bool = False,
    authority: Path | None = None,
    account: Account | None = None,
) -> Iterator[Linphone]:
    """A phone that says what is in the file `voice` in each call, with one codec.

    `answers` takes calls at once; `info` sends digits by SIP INFO; `authority` is the PEM file of
    whom it trusts over TLS; `account`: where it is somebody; `encryption` is none, srtp (SDES) or
    dtls.
    """
    home = folder / "home"
    (home / ".local/share/linphone").mkdir(parents=True)
    sip, rtp = free_port(), free_range(20)
    config = CONFIG.format(
        host=HOST,
        sip=sip,
        rtp=rtp,
        rtp_last=rtp + 19,
        info=int(info),
        events=int(not info),
        authority=authority or "",
        default=0 if account else -1,
        encryption=encryption,
    )
    if account:
        config += ACCOUNT.format(
            uri=account.uri,
            host=HOST,
            user=account.user,
            password=account.password,
            realm=account.realm,
            registers=int(account.registers),
        )
    (folder / "linphonerc").write_text(config, encoding="utf-8")
    command = ["linphonec", "-c", str(folder / "linphonerc"), "-d", "3", "-l", str(folder / "log")]
    command += ["-a"] if answers else []
    with running(command, folder, "linphone", home) as program:
        made = Linphone(program, sip, folder / "heard.wav")
        made.wait_for("linphonec>")
        made.do("ipv6 disable")
        made.do("soundcard use files")
        made.do(f"play {voice}")
        made.do(f"record {made.recording}")
        for number in range(12):
            made.do(f"codec disable {number}")
        made.do("codec list")
        made.wait_for(codec)
        made.do(f"codec enable {_number(program.printed, codec)}")
        made.do("codec list")
        yield made
        made.do("quit")
        program.wait(START)


def _number(printed: str, codec: str) -> int:
    """The number of a codec in the list that it printed."""
    line = next(line for line in printed.splitlines() if f" {codec} " in line and "8000" in line)
    return int(line.split(":")[0].split()[-1])
