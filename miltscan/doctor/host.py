"""The host of the sendmails: its name, its security modules, and the room on its disks; facts and rules together."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from miltscan.config.units import show_size
from miltscan.core.faults import lacks_room
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.topics import NOT_ROOT

_LEAST_INODES = 1000  # a queued message takes two to four
_LARGE_MESSAGES = 10  # that should fit into a queue
_SELINUX = Path("/sys/fs/selinux/enforce")
_IPV6 = Path("/proc/net/if_inet6")
_IPV6_ONLY = Path("/proc/sys/net/ipv6/bindv6only")


def name_findings() -> Iterator[Finding]:
    """The name of this host, as sendmail looks it up (gethostbyname, before it reads any configuration)."""
    own = socket.gethostname()
    names = [own]
    with suppress(OSError):
        canonical, aliases, _ = socket.gethostbyname_ex(own)
        names += [canonical, *aliases]
    yield name_finding(names)


def service_port(name: str) -> int | None:
    """The TCP port of a name in services(5)."""
    try:
        return socket.getservbyname(name, "tcp")
    except (OSError, ValueError):
        return None


def name_finding(names: Sequence[str]) -> Finding:
    """One of the host's names must contain a dot; the first one is what the kernel calls it."""
    if dotted := next((name for name in names if "." in name), ""):
        return ok("host name", dotted)
    text = f"{names[0]} has no dot: each start of a sendmail sleeps 60 seconds"
    return error("host name", text, f'write "127.0.1.1 {names[0]}.example.org {names[0]}" in /etc/hosts')


def has_ipv6() -> bool:
    """Whether the kernel has IPv6, with an address or without."""
    return _IPV6.exists()


def ipv6_only() -> bool:
    """Whether a listener on :: accepts no IPv4."""
    with suppress(OSError):
        return _IPV6_ONLY.read_text().strip() == "1"
    return False


def user_finding(uid: int) -> Finding:
    """Only root sees the processes and files of all users."""
    if uid == 0:
        return ok("doctor", "runs as root")
    text = f"runs as user {uid}, which may not see the processes and files of others: what depends on them is unknown"
    return warning("doctor", text, "run it as root").named(NOT_ROOT)


def apparmor_finding(program: str, label: str) -> Finding:
    """The profile of a running program (attr/current of proc(5)); `clamd_access` tests what clamd can read."""
    profile = label.removesuffix(" (enforce)")
    if label in {"", "unconfined"} or profile == label:
        return ok(f"AppArmor {program}", label or "not confined")
    return ok(f"AppArmor {program}", f"confined by profile {profile}; dmesg | grep DENIED shows what it refuses")


def selinux_findings(ports: Sequence[int], silent: Sequence[int]) -> Iterator[Finding]:
    """Whether SELinux enforces; `silent` are those of the sendmails' `ports` on which no process listens."""
    try:
        enforcing = _SELINUX.read_text().strip() == "1"
    except OSError:
        yield ok("SELinux", "not present")
        return
    if not enforcing:
        yield ok("SELinux", "does not enforce")
    elif silent:
        remedy = f"run: semanage port -a -t smtp_port_t -p tcp {silent[0]}; ausearch -m avc -ts recent"
        yield warning("SELinux", f"enforces, and no process listens on port {silent[0]}", remedy)
    else:
        yield ok("SELinux", f"enforces, and a process listens on each of the ports {', '.join(map(str, ports))}")


def queue_room_findings(subject: str, folder: Path, largest: int) -> Iterator[Finding]:
    """The room for a queue; none for a missing folder, which has its own finding."""
    with suppress(OSError):
        room = os.statvfs(folder)
        free, inodes = room.f_bavail * room.f_frsize, room.f_favail if room.f_files else None
        remedy = "free some space: sendmail replies 452 while its queue is full"
        yield room_finding(subject, free, largest, messages=_LARGE_MESSAGES, remedy=remedy, inodes=inodes)


def room_finding(  # noqa: PLR0913 - six facts without a type of their own
    subject: str, free: int, largest: int, *, messages: int, remedy: str, inodes: int | None = None
) -> Finding:
    """Whether `free` bytes hold one message of `largest` bytes, and better so many `messages` of this size.

    `inodes` is the number of free ones, None if the file system has no limit.
    """
    text, size = f"{free // 2**20}MiB free", f"limits.message_size = {show_size(largest)}"
    if free < largest:
        return lacks_room(subject, free, show_size(largest), remedy)
    if inodes is not None and inodes < _LEAST_INODES:
        return error(subject, f"only {inodes} inodes free", remedy)
    if free < messages * largest:
        return warning(subject, f"{text}, less than {messages} messages of {size}", remedy)
    return ok(subject, text)
