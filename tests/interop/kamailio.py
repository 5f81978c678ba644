"""kamailio as a provider has it: registrar, digest, and a proxy with Record-Route in between.

It knows one domain, `DOMAIN`. Any user registers there with `PASSWORD`; a call to a user goes to
all of her contacts at once; one to `auth-USER` is challenged by 407 first, one to `moved` gets 302.
A call that leaves by another transport than it came by has two Record-Routes (RFC 5658).
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .programs import HOST, Program, free_port, running, until

DOMAIN = "provider.test"
PASSWORD = "let me in"
MODULES = "/usr/lib/*/kamailio/modules"
START = 20.0  # s

CONFIG = """\
#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
enable_tls=yes
disable_core_dump=yes
auto_aliases=no
listen=udp:{host}:{udp}
listen=tcp:{host}:{udp}
listen=tls:{host}:{tls}
alias="{domain}"
mpath="{modules}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "sanity.so"
loadmodule "auth.so"
loadmodule "tls.so"
modparam("tls", "config", "{folder}/tls.cfg")
modparam("registrar", "min_expires", {min_expires})
modparam("registrar", "append_branches", 1)
modparam("rr", "enable_full_lr", 1)
modparam("auth", "qop", "auth")
modparam("tm", "fr_timer", 5000)

request_route {{
  if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
  if (!sanity_check("17895", "7")) {{ exit; }}
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (is_method("ACK") && !has_totag()) {{ if (t_check_trans()) t_relay(); exit; }}
  if (has_totag()) {{
    if (loose_route()) {{ t_relay(); exit; }}
    if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
    sl_send_reply("404", "No Such Dialog");
    exit;
  }}
  t_check_trans();
  remove_hf("Route");
  if (is_method("OPTIONS") && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
  if (is_method("REGISTER")) {{
    if (!pv_www_authenticate("{domain}", "{password}", "0")) {{
      www_challenge("{domain}", "1");
      exit;
    }}
    force_rport();
    if (!save("location")) sl_reply_error();
    exit;
  }}
  if (is_method("INVITE")) record_route();
  if ($rU =~ "^auth-") {{
    if (!pv_proxy_authenticate("{domain}", "{password}", "0")) {{
      proxy_challenge("{domain}", "1");
      exit;
    }}
    consume_credentials();
    strip(5);
  }}
  if ($rU == "moved") {{
    append_to_reply("Contact: <sip:elsewhere@{host}:9>\\r\\n");
    sl_send_reply("302", "Moved Temporarily");
    exit;
  }}
  if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
  if (!t_relay()) sl_reply_error();
}}
"""

TLS = """\
[server:default]
method = TLSv1.2+
verify_certificate = no
require_certificate = no
private_key = {key}
certificate = {certificate}
[client:default]
method = TLSv1.2+
verify_certificate = no
require_certificate = no
"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files; the certificate is its own authority."""

    certificate: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """A certificate for the loopback and for `DOMAIN`."""
    made = Certificate(folder / "tls.crt", folder / "tls.key")
    names = f"subjectAltName=IP:{HOST},DNS:localhost,DNS:{DOMAIN}"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    command += ["-subj", f"/CN={HOST}", "-addext", names]
    subprocess.run(command, check=True, capture_output=True)
    ssl.create_default_context(cafile=str(made.certificate))  # it can be read
    return made


@dataclass(frozen=True, slots=True)
class Kamailio:
    """A running proxy; UDP and TCP have one port, TLS the other."""

    program: Program
    port: int
    tls: int
    certificate: Certificate

    def uri(self, user: str, transport: str = "udp") -> str:
        """A user of its domain, by its address."""
        port = self.tls if transport == "tls" else self.port
        return f"sip:{user}@{HOST}:{port};transport={transport}"

    def registrar(self, transport: str = "udp") -> str:
        """Where its users register."""
        port = self.tls if transport == "tls" else self.port
        return f"sip:{HOST}:{port};transport={transport}"


@contextmanager
def proxy(folder: Path, *, min_expires: int = 20) -> Iterator[Kamailio]:
    """Run it; `min_expires` (s) is what a REGISTER must ask for at least, else 423."""
    folder.mkdir()
    certificate = make_certificate(folder)
    udp, tls = free_port(), free_port()
    modules = next(Path("/").glob(MODULES.lstrip("/")))
    config = CONFIG.format(
        host=HOST,
        udp=udp,
        tls=tls,
        domain=DOMAIN,
        password=PASSWORD,
        modules=modules,
        folder=folder,
        min_expires=min_expires,
    )
    (folder / "kamailio.cfg").write_text(config, encoding="utf-8")
    files = TLS.format(key=certificate.key, certificate=certificate.certificate)
    (folder / "tls.cfg").write_text(files, encoding="utf-8")
    command = ["kamailio", "-DD", "-f", str(folder / "kamailio.cfg"), "-m", "64", "-M", "8"]
    command += ["-Y", str(folder), "-P", str(folder / "kamailio.pid")]
    with running(command, folder, "kamailio") as program:
        until(lambda: _listens(tls) or not program.running, "kamailio", START)
        assert program.running, program.printed
        yield Kamailio(program, udp, tls, certificate)
        program.stop()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
