"""A Debian that systemd has booted in namespaces of its own: no virtual machine, no network but its loopback.

    with Machine(tree) as machine:
        machine.run("systemctl restart clamav-daemon")
        reply = machine.send(message)
        machine.reboot()

Needs root and cgroup2. All its processes and mounts end with the machine, or with this process if that is killed first.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psutil

from tests.harness import client
from tests.harness.client import Reply
from tests.harness.network import inside_network
from tests.harness.processes import wait_until
from tests.systems.tree import BOUND, HOST_NAME, SOURCE

PATIENCE = 240.0  # seconds for what takes a few on an idle host
BOOT_TIMEOUT = 600.0  # seconds; a boot takes ten on an idle host
COMMAND_TIMEOUT = (
    1800.0  # above TimeoutStopSec= of deploy/systemd/miltscan.service, and for the upgrade of a distribution
)
POWER_OFF = signal.SIGRTMIN + 4  # systemd(1)
SMTP_PORT = 25


class Machine:
    """One machine, which boots and ends with the context; `tree` is its root folder, which keeps what it wrote."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self._cgroup = _cgroup_mount() / f"miltscan-systems-{tree.name}"
        self._log = tree.with_suffix(".log")
        self.init = 0

    def __enter__(self) -> Self:
        try:
            self.boot()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def boot(self) -> None:
        """Starts it; returns when systemd has finished its start. Not every unit may have succeeded: `failed`."""
        self._cgroup.mkdir(exist_ok=True)
        join = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
        namespaces = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--fork", "--kill-child"]
        script = ["sh", str(Path(__file__).with_name("boot.sh")), str(self.tree), HOST_NAME]
        command = [*BOUND, "sh", "-c", join, str(self._cgroup), *namespaces, *script]
        with self._log.open("wb") as log:
            self._unshare = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.init = wait_until(self._systemd, PATIENCE, f"systemd in {self.tree} ({self._log})")
        wait_until(self._started, BOOT_TIMEOUT, "the end of the boot")

    def _systemd(self) -> int:
        assert self._unshare.poll() is None, self._log.read_text()
        children = psutil.Process(self._unshare.pid).children()
        return next((child.pid for child in children if child.name() == "systemd"), 0)

    def _started(self) -> bool:
        return self.succeeds("systemctl is-system-running --wait | grep -E 'running|degraded'")

    def reboot(self) -> None:
        """Shuts it down in order and boots it again."""
        self.power_off()
        self.boot()

    def power_off(self) -> None:
        """Shuts it down in order."""
        os.kill(self.init, POWER_OFF)
        self._unshare.wait(COMMAND_TIMEOUT)

    def end(self) -> None:
        """Ends whatever runs in it."""
        self._unshare.kill()  # its child, the machine's init, ends with it
        self._unshare.wait()
        wait_until(lambda: _removed(self._cgroup), PATIENCE, f"the end of all processes of {self._cgroup}")

    def run(self, command: str) -> str:
        """What a shell command prints, run in a clone of the repository; AssertionError if it fails."""
        result = self._shell(command)
        assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout

    def succeeds(self, command: str) -> bool:
        """Whether a shell command's exit status is 0."""
        return self._shell(command).returncode == 0

    def _shell(self, command: str) -> subprocess.CompletedProcess[str]:
        enter = [*BOUND, "nsenter", "-t", str(self.init), "-m", "-u", "-i", "-n", "-p", "-C"]
        environment = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        shell = ["sh", "-ec", f"cd {SOURCE}; {command}"]
        return subprocess.run(
            [*enter, *environment, *shell],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
        )

    def file(self, path: str) -> Path:
        """A file of its disk (not below /run, /tmp, /dev), for this process."""
        return self.tree / path.lstrip("/")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread opens in this context belong to the machine."""
        with inside_network(Path(f"/proc/{self.init}/ns/net")):
            yield

    def send(self, message: bytes) -> Reply:
        """The reply of its port 25 to a message from a client on it."""
        with self.inside():
            return client.send(SMTP_PORT, message)

    @property
    def mailbox(self) -> str:
        """The recipient's mailbox file."""
        path = self.file("/var/mail/recipient")
        return path.read_text(errors="replace") if path.exists() else ""


def _cgroup_mount() -> Path:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    found = [Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"]
    assert found, "this host has no cgroup2"
    return found[0]


def _removed(cgroup: Path) -> bool:
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with suppress(OSError):  # busy until its last process has ended
            Path(folder).rmdir()
    return not cgroup.exists()
