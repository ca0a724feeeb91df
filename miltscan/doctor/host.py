"""The host below the sandwich: its name, its security modules, room on its disks. The rules stand beside the looks."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from miltscan.config.units import show_size
from miltscan.core.finding import Finding, error, ok, warning

_MEBIBYTE = 2**20
_FEW_FILES = 1000  # inodes: a queued message takes two to four
_SELINUX = Path("/sys/fs/selinux/enforce")


def name_findings() -> Iterator[Finding]:
    """Asked as sendmail asks (gethostbyname, before it reads any configuration)."""
    own = socket.gethostname()
    names = [own]
    with suppress(OSError):
        canonical, aliases, _ = socket.gethostbyname_ex(own)
        names += [canonical, *aliases]
    yield name_finding(names)


def name_finding(names: Sequence[str]) -> Finding:
    """Of all names of this host one needs a dot; the first one is its own."""
    if dotted := next((name for name in names if "." in name), ""):
        return ok("host name", dotted)
    text = f"{names[0]} has no dot: each start of a sendmail sleeps 60 seconds"
    return error("host name", text, f'write "127.0.1.1 {names[0]}.example.org {names[0]}" in /etc/hosts')


def user_finding(uid: int) -> Finding:
    """Without root much cannot be seen."""
    if uid == 0:
        return ok("doctor", "runs as root")
    return warning("doctor", f"runs as user {uid}: other users' processes and files are not seen", "run as root")


def apparmor_finding(program: str, label: str) -> Finding:
    """The profile of a running program (attr/current of proc(5)); what clamd may read is proved beside this."""
    profile = label.removesuffix(" (enforce)")
    if label in {"", "unconfined"} or profile == label:
        return ok(f"AppArmor {program}", label or "not confined")
    return ok(f"AppArmor {program}", f"confined by profile {profile}; see what it refuses: dmesg | grep DENIED")


def selinux_findings(ports: Sequence[int], silent: Sequence[int]) -> Iterator[Finding]:
    """Whether SELinux enforces; `silent` are those of the sandwich's `ports` at which nobody listens."""
    with suppress(OSError):
        yield selinux_finding(_SELINUX.read_text().strip() == "1", ports, silent)
        return
    yield ok("SELinux", "not there")


def selinux_finding(enforcing: bool, ports: Sequence[int], silent: Sequence[int]) -> Finding:  # noqa: FBT001 - the fact itself
    """An enforcing SELinux is a suspect wherever something is silent."""
    if not enforcing:
        return ok("SELinux", "does not enforce")
    if not silent:
        return ok("SELinux", f"enforces, and ports {', '.join(map(str, ports))} are served all the same")
    remedy = f"semanage port -a -t smtp_port_t -p tcp {silent[0]}; ausearch -m avc -ts recent"
    return warning("SELinux", f"enforces, and nobody listens on port {silent[0]}", remedy)


def room_findings(subject: str, folder: Path, largest: int) -> Iterator[Finding]:
    """Room on the disk of a queue; a folder that is not there has a finding of its own."""
    with suppress(OSError):
        room = os.statvfs(folder)
        yield room_finding(subject, room.f_bavail * room.f_frsize, room.f_favail if room.f_files else None, largest)


def room_finding(subject: str, free: int, files: int | None, largest: int) -> Finding:
    """`free` bytes and `files` inodes (None: without limit) for messages of up to `largest` bytes."""
    text, remedy = f"{free // _MEBIBYTE}MiB free", "free some: sendmail answers 452 while its queue is full"
    if free < largest:
        return error(subject, f"{text}, less than one message of limits.message_size = {show_size(largest)}", remedy)
    if files is not None and files < _FEW_FILES:
        return error(subject, f"only {files} inodes free", remedy)
    if free < 10 * largest:
        return warning(subject, f"{text}, less than ten messages of the largest size ({show_size(largest)})", remedy)
    return ok(subject, text)
