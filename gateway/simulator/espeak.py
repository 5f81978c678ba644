"""A voice with words: espeak-ng, in a child process (shell; needs the extra `gateway[speech]`).

espeak-ng is GPL-3, so its library is never loaded into the gateway: this file is also the
program of the child (`python -m gateway.simulator.espeak`), which reads one JSON line a text
and answers with the rate, the size and the samples.

A sentence takes 4 ms, and as long to resample, so `say` simply waits for the child, at most
`TIMEOUT`; each text is spoken once and then kept. Start the child before the first call (`start`
blocks some 200 ms). When anything is wrong with it, tones take over for good, and one log line
says why.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import select
import struct
import subprocess
import sys
import time
from collections import OrderedDict
from typing import IO, Any

import structlog

from .speech import Speech, Tones, resample

TIMEOUT = 2.0  # s for a text; the first one includes the child's start
MOST_KEPT = 500  # texts
LONGEST = 5000  # characters of a text
_HEADER = struct.Struct("<II")  # rate in Hz, bytes that follow

log = structlog.get_logger(__name__)


def installed() -> bool:
    return importlib.util.find_spec("espeakng_loader") is not None


class Espeak:
    """Speech by espeak-ng; `close` ends its process."""

    def __init__(self, fallback: Speech | None = None) -> None:
        self._fallback = fallback or Tones()
        self._child: subprocess.Popen[bytes] | None = None
        self._failed = False
        self._kept: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()

    def start(self) -> None:
        """Start the process and wait until it speaks."""
        self.say("a", 8000, "en")

    def say(self, text: str, rate: int, language: str) -> bytes:
        key = (text, language, rate)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if self._failed:
            return self._fallback.say(text, rate, language)
        try:
            source, pcm = self._ask(text[:LONGEST], language)
        except OSError as error:
            log.warning("speech_in_tones", reason=str(error) or type(error).__name__)
            self._failed = True
            self.close()
            return self._fallback.say(text, rate, language)
        self._kept[key] = resample(pcm, source, rate)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe:
                pipe.close()

    def _ask(self, text: str, language: str) -> tuple[int, bytes]:
        """The child's samples and their rate; OSError when it does not answer."""
        child = self._child or self._spawn()
        assert child.stdin
        assert child.stdout
        deadline = time.monotonic() + TIMEOUT
        child.stdin.write(json.dumps({"text": text, "language": language}).encode() + b"\n")
        rate, size = _HEADER.unpack(_read(child.stdout, _HEADER.size, deadline))
        return rate, _read(child.stdout, size, deadline)

    def _spawn(self) -> subprocess.Popen[bytes]:
        if not installed():
            raise OSError("espeakng-loader is not installed: pip install 'gateway[speech]'")
        self._child = subprocess.Popen(
            [sys.executable, "-m", "gateway.simulator.espeak"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,  # what is asked fits into a pipe whole
        )
        return self._child


def _read(pipe: IO[bytes], size: int, deadline: float) -> bytes:
    """So many bytes of the pipe."""
    data = b""
    while len(data) < size:
        ready, _, _ = select.select([pipe], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            raise TimeoutError("espeak-ng did not answer in time")
        piece = os.read(pipe.fileno(), size - len(data))
        if not piece:
            raise OSError("the espeak-ng process ended")
        data += piece
    return data


# The child: nothing below runs in the gateway.

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: all samples went to the callback when Synth returns
_UTF8 = 1  # espeakCHARS_UTF8
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class _Library:
    """The C library, speak_lib.h."""

    def __init__(self) -> None:
        loader = importlib.import_module("espeakng_loader")
        library: Any = ctypes.CDLL(loader.get_library_path())
        data = loader.get_data_path().encode()
        self.rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0)
        if self.rate <= 0:
            raise OSError("espeak_Initialize failed")
        self._library = library
        self._pieces: list[bytes] = []
        self._callback = _CALLBACK(self._hear)
        library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, language: str) -> bytes:
        self._pieces.clear()
        if self._library.espeak_SetVoiceByName(language.encode()):
            self._library.espeak_SetVoiceByName(b"en")
        data = text.replace("\0", " ").encode("utf-8", "replace") + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 0, 0, _UTF8, None, None)
        return b"".join(self._pieces)

    def _hear(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._pieces.append(ctypes.string_at(samples, count * 2))
        return 0


def main() -> None:
    library = _Library()
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        pcm = library.say(asked["text"], asked["language"])
        sys.stdout.buffer.write(_HEADER.pack(library.rate, len(pcm)) + pcm)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
