"""Certificates: what is made of the files, and what is said of those that cannot be used."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from gateway.sip.tls import TlsSettings, reason_of

FILES = Path(__file__).parent / "certificates"
CA, PROXY = FILES / "ca.pem", FILES / "proxy.pem"
CERTIFICATE, KEY = FILES / "address.crt", FILES / "address.key"

LOCKED = """\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgwpiBukdXhUQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEMEz3H57KneG2mirB8FxRnQEgZD8
7RgMaj6IkaSx8KjbNH2euN0T0ZptDQsFjLyaAtt4wNeNAel/ZEiamO7Z0hiICNas
uHhQgGAOBF/JUCUBioGqZrYyFlCBcCTGB2mhGU8gW1Hea4m0iZogkrjW5CO2L9rk
fTkJanELRngbG2LeclW5nBYw9cYnYutGrJjAkoK0S+3goFqnX3opVk8b4cSNptI=
-----END ENCRYPTED PRIVATE KEY-----
"""  # the password is "secret"


def settings(**changes: object) -> TlsSettings:
    return TlsSettings(**{"certificate": CERTIFICATE, "private_key": KEY, **changes})  # type: ignore[arg-type]


def test_server() -> None:
    """A server asks nobody who they are, unless it is told to."""
    assert settings().server.verify_mode is ssl.CERT_NONE
    assert settings().server.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("ca", [CA, None])
def test_verify_peer(ca: Path | None) -> None:
    """Told to, it asks for a certificate by our authorities, or by those of the system."""
    assert settings(verify_peer=True, ca=ca).server.verify_mode is ssl.CERT_REQUIRED


def test_client() -> None:
    """A client always checks the certificate and its name; it needs none of its own."""
    context = TlsSettings().client
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_authorities() -> None:
    """The chosen file takes the place of the system's authorities (RFC 5922 §4)."""
    [authority] = settings(ca=CA).client.get_ca_certs()
    assert authority["subject"] == ((("commonName", "Test authority"),),)


def test_one_file() -> None:
    """Certificate and key may be in the same file."""
    assert settings(certificate=PROXY, private_key=PROXY).server
    assert settings(certificate=PROXY, private_key=None).server


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("key", ["certificate", "private_key", "ca"])
def test_a_file_that_is_not_there(side: str, key: str, tmp_path: Path) -> None:
    """The file is named."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.pem"):
        getattr(settings(**{"verify_peer": True, key: tmp_path / "nothing.pem"}), side)


@pytest.mark.parametrize(
    ("content", "key"),
    [("", "certificate"), ("x", "private_key"), ("", "ca")],
)
def test_a_file_that_is_none(content: str, key: str, tmp_path: Path) -> None:
    """What is no PEM is named with the reason."""
    path = tmp_path / "broken.pem"
    path.write_text(content)
    with pytest.raises(OSError, match=r"broken\.pem.*: cannot be used for TLS \(.+\)"):
        _ = settings(**{key: path}).client


def test_another_key() -> None:
    """A key that is not the certificate's."""
    with pytest.raises(OSError, match=r"address\.crt and .*proxy\.pem: .*KEY_VALUES_MISMATCH"):
        _ = settings(private_key=PROXY).server


def test_a_key_with_a_password(tmp_path: Path) -> None:
    """Nobody is there to be asked for it: an error, not a question at the terminal."""
    path = tmp_path / "locked.key"
    path.write_text(LOCKED)
    with pytest.raises(OSError, match=r"locked\.key: cannot be used for TLS"):
        _ = settings(private_key=path).server


def test_reasons() -> None:
    """Why there is no connection, in few words."""
    assert reason_of(TimeoutError()) == "no answer in time"
    assert reason_of(OSError(111, "Connection refused")) == "[Errno 111] Connection refused"
    assert reason_of(ConnectionResetError()) == "ConnectionResetError"
    assert reason_of(ValueError("a name")) == "ValueError: a name"
    assert reason_of(ssl.SSLError("what")) == "('what',)"
