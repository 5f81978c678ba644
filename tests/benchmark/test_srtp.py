"""The SRTP of the callers is that of everybody."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.rtp.srtp import Key, Srtp

from .capacity import HERE

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
