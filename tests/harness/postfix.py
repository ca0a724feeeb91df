"""Debian's Postfix in a private folder, with private ports, which asks a milter and relays everything to a mailbox.

It runs with the master.cf and the milter settings that a host has: Debian's own, and deploy/postfix/main.cf.
"""

import grp
import os
import pwd
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness import ports
from tests.harness.processes import Program, Programs
from tests.harness.programs import CHECKOUT, MissingProgramError

_ROOTS = (Path("/"), CHECKOUT / ".venv" / "postfix")
"""Where Postfix is: that of the host, else the one that deploy/debian/install has unpacked."""
_FOLDERS = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"),
    *("maildrop", "miltscan", "private", "public", "saved", "trace"),
)
# On a host without Postfix, users of Debian's base system take the place of postfix and postdrop.
_OWNERS, _GROUPS = ("postfix", "uucp"), ("postdrop", "operator")
_DEPLOY = CHECKOUT / "deploy" / "postfix"


@dataclass
class Postfix:
    """A running Postfix; `socket` is where it looks for the milter, `release_port` has none.

    `start` it, and `wait_ready` before use.
    """

    programs: Programs
    mailbox_port: int
    port: int = field(default_factory=lambda: ports.choose().number)
    release_port: int = field(default_factory=lambda: ports.choose().number)
    program: Program | None = None

    @property
    def folder(self) -> Path:
        """Its folder of queues, in which it works."""
        return self.programs.folder / "postfix"

    @property
    def socket(self) -> Path:
        """The milter socket of deploy/postfix/main.cf."""
        return self.folder / "miltscan" / "miltscan.sock"

    @property
    def owner(self) -> str:
        """The user of its processes, whose group has the same name."""
        return next(name for name in _OWNERS if name in {one.pw_name for one in pwd.getpwall()})

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self.programs.folder / "postfix.maillog").read_text()

    def start(self) -> None:
        """Makes folders and configuration, and starts it; returns before it listens."""
        root = _root()
        configuration = self.programs.folder / "postfix.etc"
        configuration.mkdir()
        self._make_folders()
        (configuration / "main.cf").write_text(self._settings(root) + (_DEPLOY / "main.cf").read_text())
        (configuration / "master.cf").write_text(self._services(root))
        (configuration / "dynamicmaps.cf").touch()
        master = root / "usr/lib/postfix/sbin/master"
        self.program = self.programs.start("postfix", [master, "-c", configuration, "-d"], _environment(root))

    def wait_ready(self) -> None:
        """Returns when it accepts connections."""
        assert self.program is not None, "Postfix was not started"
        self.program.wait_ready(lambda: ports.is_open(self.port))

    def _make_folders(self) -> None:
        for name in _FOLDERS:
            (self.folder / name).mkdir(parents=True)
        for path in self.folder.iterdir():
            shutil.chown(path, self.owner)
            path.chmod(0o700)
        shutil.chown(self.folder / "public", self.owner, _group())
        (self.folder / "public").chmod(0o2710)
        shutil.chown(self.folder / "maildrop", self.owner, _group())
        (self.folder / "maildrop").chmod(0o1730)
        shutil.chown(self.folder / "miltscan", "root", self.owner)
        (self.folder / "miltscan").chmod(0o750)  # as deploy/postfix/tmpfiles.d has it
        (self.folder / "pid").mkdir()
        (self.folder / "data").mkdir()
        shutil.chown(self.folder / "data", self.owner)

    def _settings(self, root: Path) -> str:
        libraries = root / "usr/lib/postfix"
        return f"""\
compatibility_level = 3.6
queue_directory = {self.folder}
data_directory = {self.folder}/data
daemon_directory = {libraries}/sbin
shlib_directory = {libraries}
command_directory = {root}/usr/sbin
mail_owner = {self.owner}
setgid_group = {_group()}
import_environment = MAIL_CONFIG MAIL_LOGTAG POSTLOG_SERVICE POSTLOG_HOSTNAME LD_LIBRARY_PATH LANG=C
maillog_file = {self.programs.folder}/postfix.maillog
maillog_file_prefixes = {self.programs.folder}
myhostname = mx.example.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
relay_domains = example.test
relay_transport = smtp:[127.0.0.1]:{self.mailbox_port}
alias_maps =
local_recipient_maps =
smtpd_peername_lookup = no
"""

    def _services(self, root: Path) -> str:
        """Debian's services, outside of a chroot, which a host has and a private folder lacks."""
        release = (_DEPLOY / "master.cf").read_text().replace(":19000 ", f":{self.release_port} ")
        text = (root / "usr/share/postfix/master.cf.dist").read_text() + release
        text = re.sub(r"^(\S+ +\S+ +\S+ +\S+ +)y ", r"\1n ", text, flags=re.MULTILINE)
        return re.sub(r"^smtp +inet", f"127.0.0.1:{self.port} inet", text, flags=re.MULTILINE)


def _root() -> Path:
    for root in _ROOTS:
        if (root / "usr/lib/postfix/sbin/master").exists():
            return root
    raise MissingProgramError("no Postfix: deploy/debian/install deploy/debian/packages-postfix.txt .venv/postfix")


def _group() -> str:
    return next(name for name in _GROUPS if name in {one.gr_name for one in grp.getgrall()})


def _environment(root: Path) -> dict[str, str]:
    """The private libraries, for a private Postfix; its processes inherit the variable by import_environment."""
    if root == Path("/"):
        return {}
    libraries = [root / "usr/lib/postfix", *(root / "usr/lib").glob("*-linux-gnu*")]
    return {"LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))}
