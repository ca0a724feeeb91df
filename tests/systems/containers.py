"""Images that buildah made, and services of a compose file as containers of crun: no engine, no registry.

A container has what an engine gives it: user, command and environment of its image, capabilities, the default seccomp
filter, a read-only root if the service says so, its volumes, and the network namespace of a host of `harness.network`.
Not tried by that: the engine's own network, its names (they are in /etc/hosts), restarts and limits of resources.
"""

import json
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.harness.network import Host
from tests.harness.processes import PATIENCE, wait_until
from tests.systems.tree import BOUND

COMMAND_TIMEOUT = 900  # seconds
DRAIN = 60.0  # seconds; a container without open transactions ends at once
FILTER = Path("/usr/share/containers/seccomp.json")  # of golang-github-containers-common
USUAL = (
    *(
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
    ),
    *("SYS_CHROOT",),
)
"""The capabilities that engines give to a container by default."""
# crun accepts a cgroup2 mount of its own, where the host has the older form
OWN_CGROUPS = "umount --recursive --lazy /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup"


def run(command: Sequence[str | Path]) -> str:
    """What a program prints; AssertionError with its messages if it fails."""
    result = subprocess.run(
        [*BOUND, *command],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT,
    )
    assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout[-3000:]}{result.stderr[-3000:]}"
    return result.stdout


@dataclass(frozen=True, slots=True)
class Image:
    """An image as a folder, and its settings: User, Entrypoint, Cmd, Env, Healthcheck, Volumes."""

    root: Path
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of images; `deploy/container/build` fills it."""

    folder: Path

    def buildah(self, *arguments: str | Path) -> str:
        """What a command of buildah prints, about the images of this folder."""
        places: list[str | Path] = [
            "--root",
            self.folder / "root",
            "--runroot",
            self.folder / "run",
        ]
        return run(["buildah", *places, *arguments]).strip()

    def image(self, name: str) -> Image:
        """An image, unpacked anew."""
        container = self.buildah("from", "--pull-never", name)
        root = Path(self.buildah("mount", container))
        inspected = json.loads(self.buildah("inspect", "--type", "image", name))
        return Image(root, inspected["Docker"]["config"])


@dataclass
class Container:
    """A service of compose.yaml, as `service` describes it, on a host of the test's network.

    `volumes` maps the name of a volume, or the source of a mount, to a folder or file of the test.
    """

    name: str
    folder: Path
    image: Image
    service: Mapping[str, Any]
    host: Host
    volumes: Mapping[str, Path]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self.folder.mkdir()
        (self.folder / "config.json").write_text(json.dumps(self._specification()))
        self.start()
        return self

    def start(self) -> None:
        """Starts it, for the first time or again."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*BOUND, *self._crun("run", "--bundle", str(self.folder), self.name)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGKILL)
            self._process.wait()

    @property
    def log(self) -> str:
        """Everything that the container has printed."""
        return (self.folder / "log").read_text(errors="replace")

    def wait_healthy(self) -> None:
        """Waits until the health check succeeds: that of the service, else that of the image."""
        wait_until(self.healthy, PATIENCE, f"the health of {self.name}: {self.log[-3000:]}")

    def healthy(self) -> bool:
        """Whether its health check succeeds now; AssertionError if the container has ended."""
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} has ended: {self.log[-3000:]}"
        return self.exec(*self._health()).returncode == 0

    def _health(self) -> list[str]:
        check = self.service.get("healthcheck", {}).get("test") or self.image.settings["Healthcheck"]["Test"]
        return list(check[1:]) if check[0] == "CMD" else ["sh", "-c", check[1]]

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        """The result of a command in the running container, as its user."""
        full = self._crun("exec", "--user", self.image.settings.get("User") or "0:0", self.name, *command)
        return subprocess.run(
            full, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
        )

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to its first process, as an engine does."""
        run(self._crun("kill", self.name, str(number.value)))

    def stop(self) -> int:
        """TERM; the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """The exit status of its first process, once that has ended."""
        assert self._process is not None
        return self._process.wait(DRAIN)

    def _crun(self, *arguments: str) -> list[str]:
        # all calls see the state of this test only
        crun = ["crun", "--cgroup-manager=disabled", "--root", str(self.folder.parent / "crun"), *arguments]
        return ["unshare", "--mount", "sh", "-ec", f"{OWN_CGROUPS}; exec {shlex.join(crun)}"]

    def _specification(self) -> dict[str, Any]:
        settings, service = self.image.settings, self.service
        user, _, group = (settings.get("User") or "0:0").partition(":")
        capabilities = [] if service.get("cap_drop") == ["ALL"] else [f"CAP_{name}" for name in USUAL]
        held = capabilities if user == "0" else []
        command = service.get("command") or settings.get("Cmd") or []
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": int(user), "gid": int(group)},
                "args": [*(settings.get("Entrypoint") or []), *command],
                "env": settings["Env"],
                "cwd": "/",
                "capabilities": {"bounding": capabilities, "effective": held, "permitted": held},
                "noNewPrivileges": "no-new-privileges:true" in service.get("security_opt", []),
            },
            "root": {"path": str(self.image.root), "readonly": service.get("read_only", False)},
            "hostname": service.get("hostname", self.name),
            "mounts": [*_KERNEL, *self._mounts()],
            "linux": {
                "namespaces": [
                    *({"type": kind} for kind in ("pid", "ipc", "uts", "mount")),
                    {"type": "network", "path": f"/run/netns/{self.host.namespace}"},
                ],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
                "seccomp": _seccomp(capabilities),
            },
        }

    def _mounts(self) -> Iterator[dict[str, Any]]:
        for line in self.service.get("tmpfs", []):
            target, _, options = line.partition(":")
            yield _mount("tmpfs", "tmpfs", target, "nosuid", "nodev", *options.split(","))
        for line in self.service.get("volumes", []):
            source, target, *mode = line.split(":")
            yield _mount("bind", str(self.volumes[source]), target, "rbind", *(mode or ["rw"]))
        for name in ("hosts", "resolv.conf"):
            yield _mount("bind", str(self.volumes[name]), f"/etc/{name}", "rbind", "ro")


def _mount(kind: str, source: str, target: str, *options: str) -> dict[str, Any]:
    return {"type": kind, "source": source, "destination": target, "options": list(options)}


_KERNEL = (
    _mount("proc", "proc", "/proc"),
    _mount("tmpfs", "tmpfs", "/dev", "nosuid", "strictatime", "mode=755"),
    _mount("devpts", "devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
    _mount("tmpfs", "shm", "/dev/shm", "nosuid", "noexec", "nodev", "mode=1777"),  # noqa: S108 - the container's own
    _mount("sysfs", "sysfs", "/sys", "nosuid", "noexec", "nodev", "ro"),
)


def _seccomp(capabilities: Sequence[str]) -> dict[str, Any]:
    """The default filter of Podman and Docker for these capabilities, in the form of the runtime."""
    profile = json.loads(FILTER.read_text())

    def applies(entry: Mapping[str, Any]) -> bool:
        included, excluded = entry.get("includes") or {}, entry.get("excludes") or {}
        fits = {"amd64", "x86"} & {*(included.get("arches") or ["amd64"])} and {*(included.get("caps") or [])} <= {
            *capabilities
        }
        return bool(fits) and not (
            {*(excluded.get("caps") or [])} & {*capabilities} or "amd64" in (excluded.get("arches") or [])
        )

    kept = ("names", "action", "args", "errnoRet")
    rules = [
        {key: entry[key] for key in kept if entry.get(key) is not None}
        for entry in profile["syscalls"]
        if applies(entry)
    ]
    architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": architectures,
        "syscalls": rules,
    }
