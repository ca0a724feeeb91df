"""The two real sendmails of a sandwich, built from sendmail/ of this repository into a private folder.

What the harness adds to the production configuration is the two site files below: no DNS, no accounts, no host files.
"""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import ports, preload, programs
from tests.harness.processes import PATIENCE, Program, Programs, wait_until

DOMAIN = "example.test"

_SITE = """\
dnl nothing is looked up outside this host, and nothing of the host's own sendmail is read or written
FEATURE(`nocanonify')dnl
define(`confSERVICE_SWITCH_FILE', `{folder}/service.switch')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confTO_IDENT', `0')dnl
define(`ALIAS_FILE', `null:none')dnl
define(`STATUS_FILE', `{folder}/statistics')dnl
define(`confDEAD_LETTER_DROP', `{folder}/dead.letter')dnl
dnl a busy test machine is no reason to refuse or to wait
define(`confQUEUE_LA', `1000')dnl
define(`confREFUSE_LA', `{refuse}')dnl
"""
_SITE_NOT_ROOT = """\
dnl only root and the trusted user may run a daemon
define(`confTRUSTED_USER', `{user}')dnl
define(`confRUN_AS_USER', `{user}:{group}')dnl
define(`confDEF_USER_ID', `{user}:{group}')dnl
"""
_SITE_INCOMING = """\
FEATURE(`accept_unresolvable_domains')dnl
"""
_SITE_DELIVERY = """\
dnl mail for other domains ends in the mailbox, too
define(`SMART_HOST', `relay:[127.0.0.1]')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {mailbox_port}')dnl
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the parts of a sandwich are; a milter socket of None builds an incoming sendmail without a milter.

    `site` are further settings of sendmail/settings.m4, for instance {"SITE_AUTH": "on"}.
    """

    incoming_port: int
    delivery_port: int
    mailbox_port: int
    milter_socket: Path | None = None
    site: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Sendmail:
    """One of the two daemons: `incoming` or `delivery`, which is also its tag in the log."""

    programs: Programs
    name: str
    port: int
    program: Program | None = None

    @property
    def configuration(self) -> Path:
        """Its .cf file."""
        return self.programs.folder / f"{self.name}.cf"

    @property
    def queue(self) -> Path:
        """Its queue directory."""
        return queue_folder(self.programs.folder, self.name)

    @property
    def pid_file(self) -> Path:
        """Its own pid file (first line the pid, second the command)."""
        return self.programs.folder / f"{self.name}.pid"

    def start(self, queue_interval: str = "") -> None:
        """Starts the daemon (again), with a queue run every `queue_interval` ("15s") if given; not ready on return."""
        runs = [f"-q{queue_interval}"] if queue_interval else []
        self.program = self.programs.start(self.name, self.command("-bD", *runs), self._environment)

    def start_queue_runner(self, queue_interval: str = "1h") -> None:
        """Instead of the daemon a process that only runs the queue (-d99.100: in the foreground); ready on return."""
        self.pid_file.unlink(missing_ok=True)
        self.program = self.programs.start(
            self.name, self.command(f"-q{queue_interval}", "-d99.100"), self._environment
        )
        self.running.wait_ready(self._has_written_its_pid)

    def start_runner_beside(self, interval: str) -> Program:
        """Next to the daemon, a process that runs its queue every `interval`: "5m", or "p1s" for one that stays."""
        pid_file = self.pid_file.with_name(f"{self.name}-queue.pid")
        command = self.command(f"-q{interval}", "-O", f"PidFile={pid_file}", "-d99.100")
        return self.programs.start(f"{self.name}-queue", command, self._environment)

    def wait_ready(self, timeout: float = PATIENCE) -> None:
        """Returns when it accepts connections; ProgramError after `timeout` seconds."""
        self.running.wait_ready(lambda: ports.is_open(self.port) and self._has_written_its_pid(), timeout)

    @property
    def running(self) -> Program:
        """The started daemon."""
        assert self.program is not None, f"{self.name} was not started"
        return self.program

    def _has_written_its_pid(self) -> bool:
        return self.pid_file.exists() and self.pid_file.read_text().startswith(f"{self.running.pid}\n")

    def stop(self) -> None:
        """Ends the daemon and every session and delivery it forked; queued messages stay queued."""
        self.running.terminate()

    def flush(self) -> None:
        """One queue run, over when this returns."""
        self.run("-q")

    def drain(self) -> None:
        """Queue runs until its queue is empty: a run skips a message that the delivery before it still has locked."""

        def drained() -> bool:
            self.flush()
            return not self.queued()

        wait_until(drained, PATIENCE, f"an empty {self.queue.name}")

    def run(self, *arguments: str) -> None:
        """Runs this sendmail with other arguments to its end: `-bi` builds the aliases. Raises CalledProcessError."""
        environment = {**os.environ, **self._environment}
        subprocess.run(self.command(*arguments), check=True, capture_output=True, env=environment, timeout=300)

    def make_map(self, name: str, text: str) -> None:
        """Builds `name`.db in the folder from lines of key and value, as makemap(8) takes them."""
        makemap = programs.find("makemap")
        environment = {**os.environ, **programs.environment(makemap)}
        path = self.programs.folder / name
        subprocess.run([makemap, "hash", path], input=text.encode(), check=True, capture_output=True, env=environment)

    def queued(self) -> list[str]:
        """The queue IDs of what is in its queue, or being received or delivered."""
        return sorted(path.name.removeprefix("qf") for path in self.queue.glob("qf*"))

    def command(self, *arguments: str) -> list[str]:
        """This sendmail with other arguments, for instance `-bp` or `-bt`."""
        sendmail = preload.program(self.programs.folder)
        return [str(sendmail), "-L", self.name, "-C", str(self.configuration), *arguments]

    @property
    def _environment(self) -> dict[str, str]:
        return preload.environment(self.programs.folder)


def queue_folder(folder: Path, name: str) -> Path:
    """The queue directory of sendmail `name` in a sandwich's folder."""
    return folder / {"incoming": "mqueue", "delivery": "mqueuedelivery"}[name]


def build(folder: Path, settings: Settings) -> None:
    """Builds both .cf files, makes both queue directories and a private sendmail. Raises CalledProcessError."""
    preload.prepare(folder)
    (folder / "service.switch").write_text("hosts files\naliases files\n")
    for name, site in (("incoming", _SITE_INCOMING), ("delivery", _SITE_DELIVERY)):
        queue_folder(folder, name).mkdir(mode=0o700, exist_ok=True)
        text = _SITE + ("" if os.geteuid() == 0 else _SITE_NOT_ROOT) + site
        facts = {
            "refuse": {"incoming": 1000, "delivery": 2000}[name],
            "folder": folder,
            "mailbox_port": settings.mailbox_port,
            "user": os.geteuid(),
            "group": os.getegid(),
        }
        (folder / f"{name}.site.m4").write_text(text.format(**facts))
    values = {
        "CF_DIR": programs.data("/usr/share/sendmail/cf"),
        "OUT": folder,
        "SITE_DOMAIN": DOMAIN,
        "SITE_USER_CHECK": "",  # recipients need no account
        "SITE_LISTEN": "127.0.0.1",
        "SITE_MESSAGE_SIZE": 0,  # no limit, so that miltscan's own is tested
        "SITE_TRUSTED_USER": "",  # all files are ours
        "SITE_PORT": settings.incoming_port,
        "SITE_DELIVERY_PORT": settings.delivery_port,
        "SITE_MAILBOX_PORT": settings.mailbox_port,
        "SITE_MILTER": f"unix:{settings.milter_socket}" if settings.milter_socket else "none",
        "SITE_MAIL_FOLDER": folder,  # no access_db, mailertable and so on of the host
        "SITE_DELIVERY_PROGRAM": preload.wrapper(folder),
        "SITE_DELIVERY_CF": folder / "delivery.cf",
    }
    for name in ("incoming", "delivery"):
        values[f"SITE_{name.upper()}"] = folder / f"{name}.site.m4"
        values[f"SITE_{name.upper()}_PID"] = folder / f"{name}.pid"
        values[f"SITE_{name.upper()}_QUEUE"] = queue_folder(folder, name)
    makefile = programs.CHECKOUT / "sendmail" / "Makefile"
    variables = [f"{name}={value}" for name, value in {**values, **settings.site}.items()]
    subprocess.run(["make", "--silent", "-f", makefile, *variables], check=True, capture_output=True)
