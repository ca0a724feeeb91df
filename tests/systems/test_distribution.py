"""The upgrade of a booted Debian 12 with the package to Debian 13, while mail arrives; then the package of Debian 13.

Mail is delivered by mail.local, which cannot start for half a second of the upgrade; procmail cannot for milliseconds,
too few for a test.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.processes import wait_until
from tests.systems.machine import PATIENCE, Machine
from tests.systems.test_installed import mail_flows
from tests.systems.test_package import INSTALL, blocks, ends_well, install, package_of
from tests.systems.traffic import traffic
from tests.systems.tree import archives, inside, packaged, remove

OPTIONS = (
    "-o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io"  # settings stay; a tree needs no fsync
)
APT = f"DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet {OPTIONS}"
PROCMAIL = "/etc/mail/smrsh/procmail"  # sensible-mda prefers it to mail.local
PYTHON = "readlink /proc/$(systemctl show -P MainPID miltscan)/exe"


@pytest.fixture
def debian_12(cache: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A booted Debian 12 on which the package runs; that of Debian 13 is in /root."""
    if "bookworm" not in (request.config.getoption("--release") or ("bookworm",)):
        pytest.skip("another release")
    package = package_of("bookworm", request)
    tree = packaged(cache, "bookworm", package)
    (tree / "root" / package.name).rename(tree / "root" / "miltscan_first.deb")
    shutil.copy2(package_of("trixie", request), tree / "root" / "next.deb")
    with Machine(tree) as machine:
        install(machine)
        yield machine
    remove(tree)


def fetched(machine: Machine, command: str) -> str:
    """An apt command for the machine, which has no network, after the packages that it installs were fetched."""
    inside(machine.tree, f"{command} --download-only")
    return command


def test_debian_12_to_13(debian_12: Machine) -> None:
    """By docs/packages.md Debian 12's package goes on through upgrade and reboot; that of 13 takes its place."""
    stop, upgrade, start, hand_over, reboot, install_next = blocks("Upgrade Debian 12 to 13")
    assert (upgrade, reboot) == ("apt-get dist-upgrade", "systemctl reboot")
    debian_12.run(f"rm {PROCMAIL}")
    mail_flows(debian_12)
    debian_12.file("/etc/apt/sources.list").write_text("\n".join(archives("trixie")) + "\n")
    inside(debian_12.tree, "apt-get --quiet -o APT::Update::Error-Mode=any update")
    upgrade = fetched(debian_12, upgrade.replace("apt-get", APT))
    with traffic(debian_12, pause=0.3) as seen:  # without it thousands of messages wait for the lock of one mailbox
        debian_12.run(stop)
        debian_12.run(upgrade)
        waiting = seen.missing(debian_12)
        debian_12.run(start)
    assert waiting
    debian_12.run(hand_over)
    ends_well(debian_12, seen)
    assert debian_12.run("cat /etc/debian_version").startswith("13.")
    debian_12.reboot()
    mail_flows(debian_12)
    assert "/python3.11" in debian_12.run(PYTHON)
    assert install_next == "apt-get install ./miltscan_*~deb13_all.deb"
    debian_12.run(fetched(debian_12, f"{INSTALL} /root/next.deb"))
    wait_until(lambda: "/python3.13" in debian_12.run(PYTHON), PATIENCE, "the service on the Python of Debian 13")
    mail_flows(debian_12)
    debian_12.run("miltscan check")
