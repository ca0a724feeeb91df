"""`miltscan setup` on a booted Debian: the commands of README.md from nothing to scanned mail, and back."""

import fcntl
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client import send, text_message
from tests.harness.processes import wait_until
from tests.harness.programs import CHECKOUT
from tests.systems.machine import PATIENCE, Machine
from tests.systems.test_installed import mail_flows
from tests.systems.test_package import (
    INSTALL,
    QUEUE,
    left,
    package_of,
    wait_until_delivered,
    wait_until_sendmail_is_back,
)
from tests.systems.traffic import Traffic, traffic
from tests.systems.tree import SITE, SWITCH, fresh, packaged, remove

LISTING = r"""
find /etc /var/spool -xdev -not -path '/var/spool/*/*' \
    -printf '%p %y %m %u %g %l ' \( -type f -not -name '*.log' -exec sha256sum {} \; -o -printf '\n' \) | sort
systemctl list-unit-files --no-legend 'miltscan*' 'clamav*' 'sendmail*' | sort
systemctl list-units --state=active --plain --no-legend 'miltscan*' 'clamav-daemon*' 'sendmail*' | awk '{print $1}'
"""
"""Each file of the host that setup may change, with kind, mode, owner and content; and the states of the units."""
LOCAL_NAME = "echo example.test >>/etc/mail/local-host-names"
UNREACHABLE = "someone@[192.0.2.77]"  # the machine has no network: mail to it is deferred


@pytest.fixture(scope="module")
def host(release: str, cache: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A booted Debian after the first command of README.md, and nothing of it set up."""
    tree = packaged(cache, release, package_of(release, request))
    with Machine(tree) as machine:
        machine.run(f"{INSTALL} /root/miltscan_*.deb")
        machine.file(SWITCH).write_text(SITE[SWITCH])
        machine.run(LOCAL_NAME)
        yield machine
    remove(tree)


@pytest.fixture(scope="module")
def from_clone(release: str, cache: Path) -> Iterator[Machine]:
    """A booted Debian after `make install` in a clone, and nothing of it set up."""
    with (cache / f"setup-{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one run of a release at a time
        tree = fresh(cache, release, "setup-")
        with Machine(tree) as machine:
            machine.run(LOCAL_NAME)
            # it serves mail: the package of Debian 13 does not enable it
            machine.run("systemctl enable sendmail; systemctl start sendmail")
            yield machine
        remove(tree)


def readme() -> list[str]:
    """The commands of README.md that put miltscan into production, and those that restore the host."""
    section = (CHECKOUT / "README.md").read_text().split("\n## Put it into production\n")[1].split("\n## ")[0]
    block = re.search(r"(?:^ {4}\S.*\n)+", section, re.MULTILINE)
    assert block
    return [line.partition("   #")[0].strip() for line in block[0].splitlines()]


def setup(machine: Machine, options: str = "--yes") -> str:
    """What `miltscan setup` prints; AssertionError if it fails."""
    return machine.run(f"miltscan setup {options}")


def test_from_nothing_to_scanned_mail_and_back(host: Machine) -> None:
    """README's commands lead to scanned mail without a finding; a second setup changes nothing; undo restores all."""
    install, edit, run = readme()
    assert (edit.split()[0], run) == ("editor", "miltscan setup")  # the file's defaults suffice
    assert install.startswith("apt install ./dist/miltscan_")
    before = host.run(LISTING)
    assert "Nothing to change" not in setup(host, "--dry-run")
    assert host.run(LISTING) == before
    with traffic(host) as seen:
        assert setup(host).endswith("everything is ok\n")
    taken_over(seen)
    mail_flows(host)
    assert "Nothing to change: the host is set up." in setup(host)
    deferred_mail_is_named(host)
    assert "The host is as it was before setup." in setup(host, "--undo --yes")
    assert host.run(LISTING) == before
    host.run("ss -Hltnp 'sport = :25' | grep sendmail")
    assert "nothing to undo" in setup(host, "--undo --yes")


def taken_over(seen: Traffic) -> None:
    """While setup ran, no mail was refused, and from the first infected message that was on, none was accepted."""
    assert {*seen.clean} <= {0, 250, 451}
    first = seen.infected.index(550)
    assert 250 not in seen.infected[first:]


def deferred_mail_is_named(machine: Machine) -> None:
    """An undo leaves deferred mail in its queue, with the configuration that delivers it, and says so."""
    with machine.inside():
        assert send(25, text_message("<deferred@example.org>"), recipients=[UNREACHABLE]).code == 250
    wait_until(lambda: machine.run(f"ls {QUEUE}").strip(), PATIENCE, "a message in the delivery queue")
    printed = machine.run("miltscan setup --undo --yes || echo status $?")
    assert printed.endswith("status 1\n")
    assert f"Messages that wait in {QUEUE}, and that no process delivers now: 1." in printed
    assert "sendmail -C /etc/mail/delivery.cf -q" in printed
    machine.run(f"test -e /etc/mail/delivery.cf; rm {QUEUE}/*")


def test_the_packages_of_clamav_keep_clamd_conf(host: Machine) -> None:
    """Neither a reinstallation nor dpkg-reconfigure changes the file; setup runs again after an undo."""
    setup(host)
    digest = host.run("sha256sum /etc/clamav/clamd.conf")
    host.run(f"{INSTALL} --reinstall clamav-daemon; dpkg-reconfigure --frontend noninteractive clamav-daemon")
    assert host.run("sha256sum /etc/clamav/clamd.conf") == digest
    mail_flows(host)


def test_a_killed_setup_is_undone(host: Machine) -> None:
    """A kill -9 in the middle of a setup leaves a host that undo restores; purge then leaves nothing."""
    setup(host, "--undo --yes")
    before = host.run(LISTING)
    marks = ("/etc/mail/incoming.cf", "/etc/systemd/system/sockets.target.wants/miltscan.socket")
    for mark in marks:
        host.run(f"miltscan setup --yes >/dev/null 2>&1 & while ! test -e {mark}; do sleep 0.05; done; kill -9 $!")
        setup(host, "--undo --yes")
        assert host.run(LISTING) == before, mark
    host.run("apt-get --yes purge miltscan")
    assert left(host) == []


def test_setup_after_make_install(from_clone: Machine) -> None:
    """In the clone, setup leads to scanned mail, undo restores all, and `make uninstall` then leaves nothing."""
    before = from_clone.run(LISTING)
    assert setup(from_clone).endswith("everything is ok\n")
    mail_flows(from_clone)
    assert "Nothing to change: the host is set up." in setup(from_clone)
    wait_until_delivered(from_clone)
    assert "The host is as it was before setup." in setup(from_clone, "--undo --yes")
    assert from_clone.run(LISTING) == before
    wait_until_sendmail_is_back(from_clone)
    from_clone.run("make uninstall; rm -rf /etc/miltscan /var/lib/miltscan /var/spool/miltscan /var/log/miltscan")
    assert left(from_clone) == []
