"""How many calls a core carries, what is wanted of them, and the SRTP of the callers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.rtp.srtp import Key, Srtp

from .capacity import HERE, LATE, PLAIN, Figures, Way, enough, most_of, reached, rival

GOOD = Figures(0.7, 0.5, (0.05, 0.9, 3.0), 1.0, 0.999, 0.3, disturbed=False)
LATER = Figures(0.7, 0.5, (0.05, LATE, 9.0), 1.0, 0.999, 0.3, disturbed=False)
UNHEARD = Figures(0.7, 0.5, (0.05, 0.9, 3.0), 0.99, 1.0, 0.3, disturbed=False)
LOST = Figures(0.7, 0.5, (0.05, 0.9, 3.0), 1.0, 0.99, 0.3, disturbed=False)


def test_a_window_is_good_in_time_and_without_loss() -> None:
    assert [it.good for it in (GOOD, LATER, UNHEARD, LOST)] == [True, False, False, False]


def test_one_bad_window_of_three_is_an_accident() -> None:
    assert enough([GOOD, LATER, GOOD])
    assert not enough([LOST, GOOD, LATER])


@pytest.mark.parametrize("start", [100, 500, 700, 800, 1200])
def test_the_most_is_the_same_from_wherever_it_is_sought(start: int) -> None:
    assert most_of(start, lambda calls: calls <= 750) == 700


def test_nothing_may_be_carried_at_all() -> None:
    tried: list[int] = []

    def carries(calls: int) -> bool:
        tried.append(calls)
        return False

    assert most_of(300, carries) == 0
    assert tried == [300, 200, 100]


def test_what_is_wanted() -> None:
    """Each way has its rival, and its limits."""
    wanted = {
        (way, it.name.split(",")[0]): it.wanted
        for way in (PLAIN, Way(srtp=True), Way(straight=True))
        for it in reached(500, [GOOD], [1.0], way)
    }
    assert wanted[PLAIN, "CPU against a C program"] == 1.6
    assert wanted[Way(srtp=True), "CPU against plain RTP"] is None
    assert wanted[Way(straight=True), "CPU against PCM 24 kHz"] == 0.7
    assert wanted[Way(srtp=True), "pacing p99"] == 1.0
    assert reached(600, [GOOD], [1.0], Way(srtp=True))[1].wanted == LATE
    assert rival(Way(straight=True, srtp=True))[1] == Way(srtp=True)


SEALED = """
#include "srtp.h"
int main(void) {
  uint8_t master[MASTER], packet[256] = {0x80}, opened[256];
  struct srtp ours, theirs;
  for (int i = 0; i < MASTER; i++) master[i] = (uint8_t)(i * 7 + 1);
  srtp_begin(&ours, master), srtp_begin(&theirs, master);
  for (int i = 1; i < 172; i++) packet[i] = (uint8_t)i;
  packet[1] = 0, packet[2] = 0, packet[3] = 5;
  int size = srtp_seal(&ours, packet, 172, 5);
  fwrite(packet, 1, (size_t)size, stdout);
  memcpy(opened, packet, 256);
  if (!srtp_open(&theirs, opened, size, 5) || opened[100] != 100) return 1;
  packet[100] ^= 1;
  return srtp_open(&theirs, packet, size, 5);
}
"""


def test_callers_seal_as_libsrtp_does(tmp_path: Path) -> None:
    """RFC 3711, AES_CM_128_HMAC_SHA1_80, and what was changed on the way does not open."""
    (tmp_path / "seal.c").write_text(SEALED)
    command = ["cc", "-O2", f"-I{HERE}", str(tmp_path / "seal.c"), "-o", str(tmp_path / "seal")]
    try:
        subprocess.run([*command, "-lssl", "-lcrypto", "-lm"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs cc and the headers of OpenSSL")
    done = subprocess.run([str(tmp_path / "seal")], check=True, capture_output=True)
    plain = bytes([0x80, 0, 0, 5, *range(4, 172)])
    key = Key("AES_CM_128_HMAC_SHA1_80", bytes((i * 7 + 1) & 255 for i in range(30)))
    assert done.stdout == Srtp(key, key).protect(plain)
