"""A real rspamd and a real spamd on loopback, as an unprivileged user, with local rules and without network tests."""

import shutil
import socket
from pathlib import Path

from tests.harness import ports, programs
from tests.harness.processes import Programs, wait_until

Command = list[str | Path]
START = 120.0
"""Seconds that a start may take: spamd compiles its rules."""
_RSPAMD = """\
options {{
    pidfile = "{folder}/rspamd.pid";
    url_tld = "{folder}/domains";
    .include "$CONFDIR/options.inc"
    filters = "regexp";
    history_file = "";
    dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.05s; retransmits = 1; }}
}}
.include "$CONFDIR/common.conf"
{off}
milter_headers {{ use = ["authentication-results", "x-spamd-bar"]; skip_local = false; skip_authenticated = false; }}
multimap {{
    SAMPLE_SPAM {{ type = "content"; filter = "body"; regexp = true; map = "{folder}/bodies.map"; score = 8.0; }}
    SAMPLE_HELO {{ type = "helo"; map = "{folder}/helos.map"; score = 0.1; }}
    SAMPLE_USER {{ type = "user"; map = "{folder}/users.map"; score = 0.1; }}
}}
logging {{ type = "file"; filename = "{folder}/rspamd.log"; level = "info"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
"""
_NETWORK = (
    *("arc", "asn", "dkim", "dkim_signing", "dmarc", "emails", "fuzzy_check", "greylist", "hfilter", "mx_check"),
    *("phishing", "ratelimit", "rbl", "rspamd_update", "spf", "surbl", "url_redirector", "whitelist"),
)
SPAM_WORDS = "sample of unwanted mail"
"""What local rules of both programs take for spam."""
_LOCAL_RULES = f"body SAMPLE_SPAM /{SPAM_WORDS}/\nscore SAMPLE_SPAM 8.0\n"


class Rspamd:
    """A normal worker of rspamd; `address` is for the configuration."""

    def __init__(self, owner: Programs, helo: str = "client.example.org") -> None:
        self._owner = owner
        self.folder = owner.folder / "rspamd"
        self.folder.mkdir()
        self.port = ports.choose().number
        self.address = f"inet:{self.port}@127.0.0.1"
        off = "\n".join(f"{name} {{ enabled = false; }}" for name in _NETWORK)
        (self.folder / "rspamd.conf").write_text(_RSPAMD.format(folder=self.folder, off=off, port=self.port))
        # Debian's list of top-level domains takes 12 s to compile
        (self.folder / "domains").write_text("com\nnet\norg\n")
        (self.folder / "bodies.map").write_text(f"/{SPAM_WORDS}/\n")
        (self.folder / "helos.map").write_text(f"{helo}\n")
        (self.folder / "users.map").write_text("alice\n")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = programs.find("rspamd")
        places = {"DBDIR": self.folder, "RUNDIR": self.folder, "LOGDIR": self.folder}
        command: Command = [program, "-f", "-c", self.folder / "rspamd.conf"]
        command += [f"--var={name}={place}" for name, place in places.items()]
        command = programs.unprivileged(command, self.folder)
        self.program = self._owner.start("rspamd", command, programs.environment(program))
        wait_until(lambda: _answers(self.port, b"GET /ping HTTP/1.0\r\n\r\n", b"pong"), START, "rspamd")

    def stop(self) -> None:
        """End it."""
        self.program.terminate()


class Spamd:
    """A spamd with local tests only; `address` is for the configuration."""

    def __init__(self, owner: Programs) -> None:
        self._owner = owner
        self.folder = owner.folder / "spamd"
        self.folder.mkdir()
        self.port = ports.choose().number
        self.address = f"inet:{self.port}@127.0.0.1"
        rules = self.folder / "rules"
        shutil.copytree("/etc/spamassassin", rules)
        (rules / "zz_sample.cf").write_text(_LOCAL_RULES)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = programs.find("spamd")
        command: Command = [program, "--local", "--nouser-config", "--max-children=2"]
        command += ["--listen=127.0.0.1", f"--port={self.port}", "--allowed-ips=127.0.0.1", "--syslog=stderr"]
        command += [f"--siteconfigpath={self.folder / 'rules'}", f"--pidfile={self.folder / 'pid'}"]
        command = programs.unprivileged(command, self.folder)
        home = {"HOME": str(self.folder)}
        self.program = self._owner.start("spamd", command, {**programs.environment(program), **home})
        wait_until(lambda: _answers(self.port, b"PING SPAMC/1.5\r\n\r\n", b"PONG"), START, "spamd")

    def stop(self) -> None:
        """End it."""
        self.program.terminate()


def _answers(port: int, request: bytes, expected: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.sendall(request)
            return expected in b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError:
        return False
