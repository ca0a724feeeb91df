"""A Debian release in a folder, with what docs/install.md installs before it starts anything.

`base` takes some minutes and the network (debootstrap, apt, pip), and is kept; `fresh` copies it for one run and
installs this checkout. The archive is that of this host's apt, the index that of its pip.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.eicar import EICAR
from tests.harness.programs import CHECKOUT

HOST_NAME = "mx.example.test"
SOURCE = "/root/miltscan"  # "a clone of this repository" in docs/install.md
CERTIFICATES = "/root/certificates.crt"  # those of this host, which may reach the index through a proxy with its own
BOUND = ("setpriv", "--pdeathsig", "KILL")  # before a command that is to end with this process
FILES_OF_BASE = ("requirements-build.txt", "requirements.txt")  # of deploy/: another one makes another base
BUILD_TIMEOUT = 1800  # seconds, for a slow mirror
HOSTS = f"127.0.0.1 localhost\n127.0.1.1 {HOST_NAME} mx\n192.0.2.1 example.org\n"
"""A name with a dot, without which each start of sendmail takes a minute; and the client's domain."""
SWITCH = "/etc/mail/service.switch"
SITE = {
    # The machine has no network. Files are its only source of names.
    "/etc/hostname": f"{HOST_NAME}\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
    SWITCH: "hosts files\naliases files\n",
    # Test signatures in place of freshclam's, which clamd's units wait for.
    "/var/lib/clamav/test.ndb": f"Eicar-Test-Signature:0:*:{EICAR.hex()}\n",
    "/etc/systemd/system/clamav-daemon.service.d/test.conf": "[Unit]\nConditionPathExistsGlob=\n",
    "/etc/systemd/system/clamav-daemon.socket.d/test.conf": "[Unit]\nConditionPathExistsGlob=\n",
}


def blocks() -> Iterator[list[str]]:
    """The blocks of commands, or of miltscan.toml, of docs/install.md in their order."""
    page = (CHECKOUT / "docs" / "install.md").read_text()
    for block in re.findall(r"(?:^ {7}.*\n)+", page, re.MULTILINE):
        yield [line[7:] for line in block.splitlines()]


def inside(tree: Path, command: str) -> None:
    """Runs a shell command in the tree, as root, with this host's network and pip's settings.

    AssertionError if it fails.
    """
    names = 'mount --bind /etc/nsswitch.conf "$2/etc/nsswitch.conf"'  # those of a machine are from files only
    enter = f'hostname "$1" && mount -t proc proc "$2/proc" && {names} && exec chroot "$2" sh -ec "cd $3; $4"'
    kept = re.compile(r"PIP_|https?_proxy$", re.IGNORECASE)
    settings = {name: value for name, value in os.environ.items() if kept.match(name)}
    ours = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "PIP_CERT": CERTIFICATES}
    environment = {**settings, **ours, "HOME": "/root", "SYSTEMD_OFFLINE": "1"}  # no systemd runs there yet
    run(["sh", "-ec", enter, "sh", HOST_NAME, str(tree), SOURCE, command], environment)


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Runs a command; its processes and mounts end with it, and with this process.

    AssertionError with what it printed if it fails.
    """
    result = subprocess.run(
        [*BOUND, "unshare", "--mount", "--uts", "--pid", "--mount-proc", "--fork", "--kill-child", *command],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT,
        env=environment,
    )
    assert result.returncode == 0, f"{command}: {result.stdout[-2000:]}{result.stderr[-2000:]}"


def remove(tree: Path) -> None:
    """Removes a tree and the log of its boots, if they are there."""
    run(["rm", "-rf", "--one-file-system", str(tree), str(tree.with_suffix(".log"))])


def base(cache: Path, release: str) -> Path:
    """The tree of a release with all packages and requirements, made unless it is there already."""
    commands = next(blocks())
    lists = [(CHECKOUT / "deploy" / name).read_text() for name in FILES_OF_BASE]
    key = hashlib.sha256("\n".join([*commands, *lists]).encode()).hexdigest()[:12]
    tree = cache / f"{release}-{key}"
    if tree.exists():
        return tree
    for old in cache.glob(f"{release}-*"):
        remove(old)
    new = _bare(cache, release)
    _copy_checkout(new)
    inside(new, "apt-get --quiet update; apt-get --yes --quiet upgrade; apt-get --yes --quiet install sendmail")
    for line in commands:
        inside(new, line.replace("apt-get install", "apt-get --yes --quiet install"))
    inside(new, "apt-get clean; rm -r /usr/sbin/policy-rc.d /usr/share/doc /usr/share/man /usr/share/locale")
    new.rename(tree)
    return tree


def _bare(cache: Path, release: str) -> Path:
    """A new tree with systemd and the site's files of names, in which apt works and starts nothing."""
    new = cache / f"{release}.new"
    remove(new)
    lines = archives(release)
    run(["debootstrap", "--include=systemd,systemd-sysv,dbus,iproute2", release, str(new), lines[0].split()[1]])
    (new / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
    (new / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")  # until it boots nothing can be started
    (new / "usr/sbin/policy-rc.d").chmod(0o755)
    _write(new, "/etc/resolv.conf", Path("/etc/resolv.conf").read_text())
    _write(new, CERTIFICATES, Path("/etc/ssl/certs/ca-certificates.crt").read_text())
    _write(new, "/etc/hosts", HOSTS)
    (new / SOURCE.lstrip("/")).mkdir(parents=True)
    return new


def packaged(cache: Path, release: str, package: Path) -> Path:
    """A tree for one run in which apt has what a package requires and recommends, but has installed nothing of it."""
    kept = cache / f"packaged-{release}"
    tree = cache / f"packaged-{release}.{os.getpid()}.run"
    with (cache / f"packaged-{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for old in cache.glob(f"packaged-{release}.*.run"):
            if not Path("/proc", old.suffixes[-2][1:]).exists():
                remove(old)
        if not kept.exists():
            new = _bare(cache, release)
            inside(new, "apt-get --quiet update; apt-get --yes --quiet upgrade; useradd --create-home recipient")
            new.rename(kept)
        copied = kept / "root" / package.name
        shutil.copy2(package, copied)
        inside(kept, f"apt-get --yes --quiet --download-only install /root/{package.name}")
        run(["cp", "--archive", "--reflink=auto", str(kept), str(tree)])
        copied.unlink()
    (tree / "usr/sbin/policy-rc.d").unlink()
    for name in SITE.keys() - {SWITCH}:  # in the folder of a package that is not there yet
        _write(tree, name, SITE[name])
    return tree


def archives(release: str) -> list[str]:
    """Lines of sources.list for a release, from those of this host's."""
    form = "$(REPO_URI) $(CODENAME) $(COMPONENT)"
    asked = ["apt-get", "indextargets", "--format", form, "Created-By: Packages", "Origin: Debian", "Component: main"]
    found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()
    assert found, "this host's apt has no Debian archive"
    host = min((line.split()[1] for line in found), key=len)
    lines = {f"deb {line}".replace(f" {host}", f" {release}") for line in found}
    return sorted(lines, key=lambda line: len(line.split()[2]))  # the release itself before its updates


def _write(tree: Path, name: str, text: str) -> None:
    path = tree / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _copy_checkout(tree: Path) -> None:
    files = ["git", "-C", str(CHECKOUT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(files, check=True, capture_output=True, text=True).stdout.split("\0")[:-1]:
        if (source := CHECKOUT / name).exists():
            target = tree / SOURCE.lstrip("/") / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def fresh(cache: Path, release: str, purpose: str = "") -> Path:
    """A copy of the base for one run, upgraded to this checkout; it replaces that of the run before."""
    tree = cache / f"{purpose}{release}.run"
    remove(tree)
    with (cache / f"{release}.base.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(["cp", "--archive", "--reflink=auto", str(base(cache, release)), str(tree)])
    remove(tree / SOURCE.lstrip("/"))
    _copy_checkout(tree)
    inside(tree, "useradd --create-home recipient")
    inside(tree, "make install")
    for name, text in SITE.items():
        _write(tree, name, text)
    return tree
