"""A private view of the file system for sendmail: its own /dev/log, and an /etc/hosts with a dotted name for this host.

A program started with `prefix(folder)` in front of its command sees, in a mount namespace of its own, FOLDER/log as
/dev/log and FOLDER/hosts as /etc/hosts. The host's files are not touched, and nothing has to be undone. Needs root or a
process that may unshare(2); `available()` says so.
"""

import functools
import os
import subprocess
from pathlib import Path

from tests.harness import hostname

# /dev is made anew rather than mounted upon: where nothing is called /dev/log a mount would have to create it for all.
_SCRIPT = """
set -e
folder=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$folder/dev"
for name in null zero full random urandom tty; do
    touch "$folder/dev/$name"
    mount --bind "/dev/$name" "$folder/dev/$name"
done
ln -s /proc/self/fd "$folder/dev/fd"
ln -s "$folder/log" "$folder/dev/log"
mount --rbind "$folder/dev" /dev
mount --bind "$folder/hosts" /etc/hosts
exec "$@"
"""


@functools.cache
def available() -> bool:
    """Whether this process may make mount namespaces."""
    command = ["unshare", "--mount", "mount", "--bind", "/etc/hosts", "/etc/hosts"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def log_socket(folder: Path) -> Path:
    """Where a syslog collector has to listen for what runs behind `prefix(folder)`."""
    return folder / "log" if available() else Path("/dev/log")


def prefix(folder: Path) -> list[str]:
    """What to put in front of a command; empty where namespaces are not allowed."""
    if not available():
        return []
    (folder / "dev").mkdir(exist_ok=True)
    (folder / "hosts").write_text(hostname.hosts_line() + Path("/etc/hosts").read_text())
    return ["unshare", "--mount", "sh", "-c", _SCRIPT, "sh", str(folder)]


def advice() -> str | None:
    """What to tell the user where namespaces are not allowed; None when all is well."""
    if available():
        return None
    user = "this process" if os.geteuid() == 0 else "only root"
    return f"{user} may not unshare(2): sendmail logs to the host's /dev/log" + (f"; {hostname.advice() or ''}")
