"""What setup must know of the host, read once before the plan is made. It changes nothing."""

import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import miltscan
from miltscan.config.settings import Settings
from miltscan.core.address import UnixAddress
from miltscan.errors import SetupError
from miltscan.sandwich.queues import read_depth
from miltscan.setup.disk import Disk, Runner, digest
from miltscan.setup.record import Record
from miltscan.setup.site_m4 import changed_by_a_person, site_text

MAIL = "/etc/mail"
CLAMD_CONF = "/etc/clamav/clamd.conf"
ALIASES = f"{MAIL}/aliases"
SITE = f"{MAIL}/site.m4"
OWN_MC = f"{MAIL}/sendmail.mc"
READ_AT_START = (f"{MAIL}/local-host-names", f"{MAIL}/relay-domains")
"""Tables that both sendmails read only when they start."""
QUEUE, DELIVERY_QUEUE = "/var/spool/mqueue", "/var/spool/mqueuedelivery"
UNITS = "/etc/systemd/system"
SANDWICH = (
    "miltscan-delivery.service",
    "miltscan.service",
    "miltscan-incoming.service",
    "miltscan-queue@incoming.service",
    "miltscan-queue@delivery.service",
    "miltscan-queue@submit.service",
)
TARGET, SOCKET = "miltscan-sandwich.target", "miltscan.socket"
CLAMD, CLAMD_SOCKET, SENDMAIL = "clamav-daemon.service", "clamav-daemon.socket", "sendmail.service"
_ASKED = (*SANDWICH, TARGET, SOCKET, CLAMD, CLAMD_SOCKET, SENDMAIL)
_PROPERTIES = (
    "Id",
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "NeedDaemonReload",
    "ActiveEnterTimestampMonotonic",
    "FragmentPath",
)
TMPFILES = ("miltscan-clamav.conf", "miltscan-sendmail.conf")
_FOLDERS = ("/var/lib/clamav/tmp", DELIVERY_QUEUE)
_CF = "/usr/share/sendmail/cf"
_PROGRAMS = {
    "/usr/sbin/sendmail": "sendmail",
    f"{_CF}/m4/cf.m4": "sendmail",
    "/usr/bin/make": "make",
    "/usr/bin/m4": "m4",
}
"""What the build and the sandwich require, with its package."""
_PACKAGED = Path("/usr/share/miltscan")


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """A unit: its states in the words of systemctl show, since when it is active (epoch), and its file."""

    loaded: bool = False
    enabled: str = ""
    active: bool = False
    stale: bool = False
    since: float = 0.0
    file: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """The folders deploy/ and sendmail/ of the installation."""

    deploy: Path
    sendmail: Path


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The host. `distributed` are our files by the path at which they belong, `files` those that exist there."""

    settings: Settings
    clamd_example: str
    distributed: Mapping[str, bytes]
    built: Mapping[str, bytes]
    site: bytes
    own_mc: bool
    files: Mapping[str, bytes]
    changed: Mapping[str, float]
    units: Mapping[str, UnitFacts]
    ours: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    waiting: int = 0


def find_installation(named: Path | None) -> Installation:
    """Where the installation has its files: those of the package, of the checkout, or below a folder that is named."""
    checkout = Path(miltscan.__file__).parents[1]
    for folder in (named,) if named else (_PACKAGED, checkout, Path.cwd()):
        for deploy in (folder, folder / "deploy"):
            if (deploy / "clamav/clamd.conf").is_file() and (folder / "sendmail/Makefile").is_file():
                return Installation(deploy, folder / "sendmail")
    places = str(named) if named else f"{_PACKAGED}, {checkout}, this folder"
    raise SetupError(f"the files of deploy/ and sendmail/ are not in {places}: name the clone with --files FOLDER")


def read_facts(settings: Settings, sources: Installation, disk: Disk, run: Runner, record: Record) -> HostFacts:
    """All facts. Raises SetupError if the configuration of the sendmails cannot be built."""
    missing = tuple(sorted({package for path, package in _PROGRAMS.items() if not disk.exists(path)}))
    distributed = dict(_distributed(sources))
    own = _text(disk, OWN_MC)
    own_mc = bool(own) and changed_by_a_person(own, _text(disk, f"{_CF}/debian/sendmail.mc"))
    ours = frozenset(path for path, before in record.files.items() if _is_ours(disk, path, before.after))
    site = disk.read(SITE)
    if not own_mc and (site is None or SITE in ours):
        site = site_text((sources.sendmail / "site.example.m4").read_text(), _chosen(settings)).encode()
    variables = [f"MC={disk.place(OWN_MC)}", *_variables(settings, own)] if own_mc else []
    built = {} if missing else build_cf(run, sources.sendmail, site, variables)
    paths = {*distributed, *(f"{MAIL}/{name}" for name in built), CLAMD_CONF, ALIASES, f"{ALIASES}.db", SITE}
    paths |= {*READ_AT_START}
    looks = {path: look for path in sorted(paths) if (look := disk.look(path))}
    return HostFacts(
        settings=settings,
        clamd_example=(sources.deploy / "clamav/clamd.conf").read_text(),
        distributed=distributed,
        built={f"{MAIL}/{name}": content for name, content in built.items()},
        site=site or b"",
        own_mc=own_mc,
        files={path: look.content for path, look in looks.items()},
        changed={path: look.mtime_ns / 1e9 for path, look in looks.items()},
        units=read_units(run, _ASKED),
        ours=ours,
        missing=missing,
        folders=tuple(folder for folder in _FOLDERS if not disk.exists(folder)),
        waiting=waiting(disk, QUEUE),
    )


def waiting(disk: Disk, queue: str) -> int:
    """The number of messages in a queue; 0 if it does not exist."""
    with suppress(OSError):
        return read_depth(str(disk.place(queue))).entries
    return 0


def _distributed(sources: Installation) -> Iterable[tuple[str, bytes]]:
    """Our files for other programs, by the path at which they belong. The installation brings all others itself."""
    for file in sorted((sources.deploy / "systemd").glob("clamav-daemon.*/*")):
        yield f"{UNITS}/{file.parent.name}/{file.name}", file.read_bytes()
    for name in TMPFILES:
        yield f"/etc/tmpfiles.d/{name}", (sources.deploy / "tmpfiles.d" / name).read_bytes()


def _chosen(settings: Settings) -> dict[str, str]:
    """Settings of the sendmails that follow from those of miltscan; and the local listener that Debian's file has."""
    chosen = {"SITE_MESSAGE_SIZE": str(settings.limits.message_size), "SITE_SUBMISSION": "local"}
    if str(settings.milter.socket) != "unix:/run/miltscan/miltscan.sock":
        chosen["SITE_MILTER"] = str(settings.milter.socket)
    return chosen


def _variables(settings: Settings, own: str) -> list[str]:
    """What the Makefile is given for a host's own sendmail.mc, in addition to that."""
    chosen = _chosen(settings)
    names = ["SITE_MILTER"] if "confMAX_MESSAGE_SIZE" in own else ["SITE_MILTER", "SITE_MESSAGE_SIZE"]
    return [f"{name}={chosen[name]}" for name in names if name in chosen]


def build_cf(run: Runner, folder: Path, site: bytes | None, variables: list[str]) -> dict[str, bytes]:
    """Each file that the Makefile in `folder` writes, by name; nothing on the host changes."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        argv = ["make", "--silent", "-C", str(folder), f"OUT={out}", *variables]
        if site is not None:
            (out / ".site.m4").write_bytes(site)
            argv.append(f"SITE={out / '.site.m4'}")
        status, output = run(argv)
        if status:
            last = output.splitlines()[0] if output else f"make ended with status {status}"
            raise SetupError(f"the configuration of the sendmails cannot be built: {last}. Correct {SITE} or {OWN_MC}")
        return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if not path.name.startswith(".")}


def _is_ours(disk: Disk, path: str, after: Iterable[str]) -> bool:
    content = disk.read(path)
    return content is not None and digest(content) in after


def _text(disk: Disk, path: str) -> str:
    return (disk.read(path) or b"").decode(errors="surrogateescape")


def read_units(run: Runner, names: Iterable[str]) -> dict[str, UnitFacts]:
    """The units by name."""
    wanted = [*names]
    status, output = run(["systemctl", "show", *(f"--property={one}" for one in _PROPERTIES), *wanted])
    if status:
        raise SetupError(f"systemctl show: {output or status}. setup requires a running systemd: docs/start-stop.md")
    booted = time.time() - time.monotonic()
    found = {}
    for block, name in zip(output.split("\n\n"), wanted, strict=False):
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        found[name] = UnitFacts(
            loaded=values.get("LoadState") in {"loaded", "masked"},
            enabled="masked" if values.get("LoadState") == "masked" else values.get("UnitFileState", ""),
            active=values.get("ActiveState") in {"active", "activating", "reloading"},
            stale=values.get("NeedDaemonReload") == "yes",
            since=booted + int(values.get("ActiveEnterTimestampMonotonic") or 0) / 1e6,
            file=values.get("FragmentPath", ""),
        )
    return found


def is_local(settings: Settings) -> bool:
    """Whether miltscan's socket is one that the incoming sendmail of this host uses."""
    socket = settings.milter.socket
    return isinstance(socket, UnixAddress) or socket.is_loopback


def is_root() -> bool:
    """Whether this process may change the host."""
    return os.geteuid() == 0
