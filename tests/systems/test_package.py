"""The Debian package on a booted machine: install, upgrade with mail flowing, remove; purge leaves nothing."""

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from tests.harness.client import new_message_id, text_message
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.programs import CHECKOUT
from tests.systems.installed import SITE
from tests.systems.machine import Machine
from tests.systems.test_installed import mail_flows
from tests.systems.tree import SITE as NAMES
from tests.systems.tree import SWITCH, packaged, remove

BUILD_TIMEOUT = 1800  # seconds, with debootstrap
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet install"
COMPLETE = """\
test "$(head -n 1 /usr/share/zsh/vendor-completions/_miltscan)" = '#compdef miltscan'
bash -ec '. /usr/share/bash-completion/completions/miltscan
    COMP_WORDS=(miltscan quarantine rel) COMP_CWORD=2
    _miltscan_completion miltscan
    echo "${COMPREPLY[@]}"'
"""
"""Prints what bash completes `miltscan quarantine rel` to."""
EXPECTED = re.compile(r"/var/cache/apt/|/root/|/var/log/|/var/lib/systemd/deb-systemd-|/sys/|/proc/|/run/systemd/")
"""Where something may be named miltscan after the package is purged: the packages themselves, logs, the kernel."""


def build(release: str) -> Path:
    """The package of this checkout, without the unit tests."""
    command: list[str | Path] = [CHECKOUT / "deploy/debian/build", release]
    environment = {**os.environ, "DEB_BUILD_OPTIONS": "nocheck"}
    built = subprocess.run(
        command, check=True, env=environment, stdout=subprocess.PIPE, text=True, timeout=BUILD_TIMEOUT
    )
    return Path(CHECKOUT, built.stdout.strip())


def newer(package: Path, folder: Path) -> Path:
    """The same package with a higher version."""
    contents = folder / "contents"
    subprocess.run(["dpkg-deb", "--raw-extract", package, contents], check=True)
    control = contents / "DEBIAN" / "control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+1", control.read_text(), flags=re.MULTILINE))
    made = folder / "newer.deb"
    subprocess.run(["dpkg-deb", "--build", "-Zgzip", contents, made], check=True, stdout=subprocess.DEVNULL)
    return made


def blocks(heading: str) -> Iterator[str]:
    """The commands of a section of docs/packages.md, in their order."""
    section = (CHECKOUT / "docs/packages.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    for line in re.findall(r"^ {4,7}(\S.*)$", section, re.MULTILINE):
        yield line.partition("    #")[0].strip()


@pytest.fixture(scope="module", params=("bookworm", "trixie"))
def bare(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted Debian with the package and a newer one in /root, and nothing of it installed."""
    if request.param not in (request.config.getoption("--release") or (request.param,)):
        pytest.skip("another release")
    cache: Path = request.config.getoption("--trees")
    cache.mkdir(parents=True, exist_ok=True)
    package = request.config.getoption("--package") or build(request.param)
    tree = packaged(cache, request.param, package)
    newer(package, tmp_path_factory.mktemp("newer")).rename(tree / "root" / "newer.deb")
    (tree / "root" / package.name).rename(tree / "root" / "miltscan_first.deb")
    with Machine(tree) as machine:
        yield machine
    remove(tree)


def install(machine: Machine) -> None:
    """Follows docs/packages.md from a bare Debian to the running sandwich."""
    for command in blocks("Install"):
        if command.startswith("apt-get"):
            machine.run(f"{INSTALL} /root/miltscan_first.deb")
            machine.file(SWITCH).write_text(NAMES[SWITCH])
        elif not command.startswith("until "):  # the test database replaces freshclam's
            machine.run(command)
        if command.startswith("cp ") and command.endswith("/etc/mail/site.m4"):
            with machine.file("/etc/mail/site.m4").open("a") as file:
                file.write(SITE)


def upgrade_with_mail(machine: Machine) -> list[int]:
    """The replies to a stream of clean mail during an upgrade."""
    ended = Event()

    def stream() -> list[int]:
        replies = []
        while not ended.is_set():
            replies.append(machine.send(text_message(new_message_id())).code)
        return replies

    with ThreadPoolExecutor(1) as client:
        replies = client.submit(stream)
        try:
            machine.run(f"{INSTALL} /root/newer.deb")
        finally:
            ended.set()
        return replies.result()


def left(machine: Machine) -> list[str]:
    """Every path that is named after the package, but the expected ones."""
    found = machine.run("find / -path /proc -prune -o -path /sys -prune -o -name '*miltscan*' -print").splitlines()
    return [path for path in found if not EXPECTED.match(path)]


def test_life_of_a_package(bare: Machine) -> None:
    """The commands of docs/packages.md succeed, no mail is refused during an upgrade, and purge leaves nothing."""
    install(bare)
    mail_flows(bare)
    bare.run("miltscan check; test -e /usr/share/man/man5/miltscan.toml.5.gz")
    assert bare.run(COMPLETE) == "release\n"
    before = bare.run("systemctl show -P MainPID miltscan")
    replies = upgrade_with_mail(bare)
    assert len(replies) > 5
    assert {*replies} == {250}
    assert bare.run("systemctl show -P MainPID miltscan") != before
    mail_flows(bare)
    wait_until(lambda: not bare.run("find /var/spool/mqueuedelivery -type f"), PATIENCE, "an empty delivery queue")
    bare.run("apt-get --yes remove miltscan")
    assert bare.run("systemctl list-units --plain --no-legend 'miltscan*'") == ""
    assert not bare.succeeds("ss -Hltn 'sport = :25 or sport = :19000' | grep .")
    bare.run("apt-get --yes purge miltscan")
    for command in blocks("Upgrade and remove"):
        bare.run(command)
    assert left(bare) == []
    bare.run("systemctl start sendmail")
