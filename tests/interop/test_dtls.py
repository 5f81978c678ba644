"""DTLS-SRTP with OpenSSL's own programs at the other end, over real sockets: RFC 5764."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.rtp.dtls import Dtls, Identity

from .programs import HOST, Program, free_port, need, running, until

KEYS = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}


def certificate(kind: str, folder: Path) -> bytes:
    """Make one, as x.crt and x.key; what is in it."""
    new = ["req", "-x509", "-newkey", *KEYS[kind], "-nodes", "-days", "30", "-subj", "/CN=x"]
    openssl(folder, *new, "-keyout", "x.key", "-out", "x.crt")
    return openssl(folder, "x509", "-in", "x.crt", "-outform", "DER")


def openssl(folder: Path, *arguments: str) -> bytes:
    done = subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    return done.stdout


@contextmanager
def udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind((HOST, 0))
        yield ours


def shake(dtls: Dtls, ours: socket.socket, peer: tuple[str, int] | None, within: float) -> None:
    """Carry datagrams until there are keys."""
    began = time.monotonic()
    outgoing = dtls.start(began)
    while not dtls.keys and time.monotonic() < began + within:
        for datagram in outgoing:
            assert peer is not None
            ours.sendto(datagram, peer)
        now = time.monotonic()
        ours.settimeout(0.1 if dtls.deadline is None else max(0.001, dtls.deadline - now))
        try:
            data, peer = ours.recvfrom(2048)
        except OSError:  # nothing came in time, or nobody is there yet
            outgoing = dtls.handle_timer(time.monotonic())
        else:
            outgoing = dtls.receive(data, time.monotonic())
    for datagram in outgoing:
        assert peer is not None
        ours.sendto(datagram, peer)


def exported(program: Program) -> bytes:
    """The key block that the program prints."""
    lines = [line.split() for line in program.printed.splitlines()]
    found = [line[2] for line in lines if line[:2] == ["Keying", "material:"]]
    return bytes.fromhex(found[0]) if found else b""


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("role", ["active", "passive"])
def test_both_ends_have_the_same_keys(role: str, kind: str, tmp_path: Path) -> None:
    """§4.2: keys and salts of the client and of the server, out of one block."""
    need("openssl")
    theirs = "sha-384", hashlib.sha384(certificate(kind, tmp_path)).digest()
    common = ["-dtls1_2", "-use_srtp", "SRTP_AES128_CM_SHA1_80", "-cert", "x.crt", "-key", "x.key"]
    common += ["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", "60"]
    dtls = Dtls(Identity(datetime.now(UTC)), "active" if role == "active" else "passive", [theirs])
    with udp() as ours:
        if role == "active":
            port = free_port()
            peer = HOST, port
            command = ["openssl", "s_server", "-4", "-port", str(port), "-Verify", "1", *common]
        else:
            peer = None
            command = [
                "openssl",
                "s_client",
                "-connect",
                f"{HOST}:{ours.getsockname()[1]}",
                *common,
            ]
        with running(command, tmp_path, "openssl") as program:
            if role == "active":
                until(lambda: "ACCEPT" in program.printed, "a server that listens")
            shake(dtls, ours, peer, 15.0)
            assert dtls.keys, dtls.failure
            block = until(lambda: exported(program), "the keys of the other end")
    client, server = dtls.keys if role == "active" else dtls.keys[::-1]
    assert client.suite == server.suite == "AES_CM_128_HMAC_SHA1_80"
    assert block == (
        client.material[:16] + server.material[:16] + client.material[16:] + server.material[16:]
    )
