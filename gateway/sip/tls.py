"""Certificates for SIP over TLS ●: ours, and those whom we trust (RFC 5922). Shell.

TLS is 1.2 or newer. A server that we dial has to show a certificate for the name of the URI, or for
its IP address, by an authority that we trust (RFC 5922 §7.2); we show ours if it asks. Left out on
purpose: certificates that name a SIP URI in place of a host (RFC 5922 §7.1), which nobody issues;
the ban on wildcards (§7.2), which providers do not keep.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class TlsSettings:
    """Our certificate and those whom we trust: PEM files, None for the system's authorities.

    `verify_peer`: who connects to us has to show a certificate, too. Making a context raises
    OSError, which names the file that cannot be used and says why.
    """

    certificate: Path | None = None
    private_key: Path | None = None
    ca: Path | None = None
    verify_peer: bool = False

    @cached_property
    def server(self) -> ssl.SSLContext:
        """For those who connect to us."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        if self.verify_peer:
            context.verify_mode = ssl.CERT_REQUIRED
            self._trust(context, ssl.Purpose.CLIENT_AUTH)
        return self._identify(context)

    @cached_property
    def client(self) -> ssl.SSLContext:
        """For those whom we dial; they are shown our certificate if they ask for one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and name
        self._trust(context, ssl.Purpose.SERVER_AUTH)
        return self._identify(context)

    def _trust(self, context: ssl.SSLContext, purpose: ssl.Purpose) -> None:
        if self.ca is None:
            context.load_default_certs(purpose)
            return
        with _naming(self.ca):
            context.load_verify_locations(self.ca)

    def _identify(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate:
            with _naming(self.certificate, self.private_key):
                # without a password one would be asked for at the terminal
                context.load_cert_chain(self.certificate, self.private_key, password="none")
        return context


@contextmanager
def _naming(*paths: Path | None) -> Iterator[None]:
    for path in paths:
        if path:
            path.read_bytes()  # this error names the file, those of ssl do not
    try:
        yield
    except ssl.SSLError as error:
        names = " and ".join(str(path) for path in paths if path)
        raise OSError(f"{names}: cannot be used for TLS ({reason_of(error)})") from None


def reason_of(error: BaseException) -> str:
    """Why there is no connection, for a log."""
    match error:
        case ssl.SSLCertVerificationError():
            return error.verify_message
        case ssl.SSLError(reason=str() as reason):
            return reason
        case TimeoutError() if not str(error):
            return "no answer in time"
        case OSError() if str(error):
            return str(error)
        case _:
            return f"{type(error).__name__}: {error}".removesuffix(": ")
