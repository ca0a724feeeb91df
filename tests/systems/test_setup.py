"""`miltscan setup` on a booted Debian: the commands of README.md from nothing to scanned mail, and back."""

import re
from collections.abc import Iterator

import pytest

from tests.harness.client import send, text_message
from tests.harness.processes import wait_until
from tests.harness.programs import CHECKOUT
from tests.systems.machine import PATIENCE, Machine
from tests.systems.test_installed import mail_flows
from tests.systems.test_package import INSTALL, left, package_of
from tests.systems.traffic import Traffic, traffic
from tests.systems.tree import SITE, SWITCH, packaged, remove

LISTING = r"""
find /etc /var/spool -xdev -not -path '/var/spool/*/*' \
    -printf '%p %y %m %u %g %l ' \( -type f -not -name '*.log' -exec sha256sum {} \; -o -printf '\n' \) | sort
systemctl list-unit-files --no-legend 'miltscan*' 'clamav*' 'sendmail*' | sort
systemctl list-units --state=active --plain --no-legend 'miltscan*' 'clamav-daemon*' 'sendmail*' | awk '{print $1}'
"""
"""Each file of the host that setup may change, with kind, mode, owner and content; and the states of the units."""
UNREACHABLE = "someone@[192.0.2.77]"  # the machine has no network: mail to it is deferred
QUEUE = "/var/spool/mqueuedelivery"


@pytest.fixture(scope="module", params=("bookworm", "trixie"))
def bare(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A booted Debian with the package in /root, and nothing of it installed."""
    if request.param not in (request.config.getoption("--release") or (request.param,)):
        pytest.skip("another release")
    cache = request.config.getoption("--trees")
    cache.mkdir(parents=True, exist_ok=True)
    tree = packaged(cache, request.param, package_of(request.param, request))
    with Machine(tree) as machine:
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


def test_from_nothing_to_scanned_mail_and_back(bare: Machine) -> None:
    """README's commands lead to scanned mail without a finding; a second setup changes nothing; undo restores all."""
    install, edit, run = readme()
    assert (edit.split()[0], run) == ("editor", "miltscan setup")  # the file's defaults suffice
    assert install.startswith("apt install ./dist/miltscan_")
    bare.run(f"{INSTALL} /root/miltscan_*.deb")
    bare.file(SWITCH).write_text(SITE[SWITCH])
    bare.run("echo example.test >>/etc/mail/local-host-names")
    before = bare.run(LISTING)
    assert "Nothing to change" not in setup(bare, "--dry-run")
    assert bare.run(LISTING) == before
    with traffic(bare) as seen:
        assert setup(bare).endswith("everything is ok\n")
    taken_over(seen)
    mail_flows(bare)
    assert "Nothing to change: the host is set up." in setup(bare)
    deferred_mail_is_named(bare)
    assert "The host is as it was before setup." in setup(bare, "--undo --yes")
    assert bare.run(LISTING) == before
    bare.run("ss -Hltnp 'sport = :25' | grep sendmail")
    assert "nothing to undo" in setup(bare, "--undo --yes")


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


def test_the_packages_of_clamav_keep_clamd_conf(bare: Machine) -> None:
    """Neither a reinstallation nor dpkg-reconfigure changes the file; setup runs again after an undo."""
    setup(bare)
    digest = bare.run("sha256sum /etc/clamav/clamd.conf")
    bare.run(f"{INSTALL} --reinstall clamav-daemon; dpkg-reconfigure --frontend noninteractive clamav-daemon")
    assert bare.run("sha256sum /etc/clamav/clamd.conf") == digest
    mail_flows(bare)


def test_a_killed_setup_is_undone(bare: Machine) -> None:
    """A kill -9 in the middle of a setup leaves a host that undo restores; purge then leaves nothing."""
    setup(bare, "--undo --yes")
    before = bare.run(LISTING)
    marks = ("/etc/mail/incoming.cf", "/etc/systemd/system/sockets.target.wants/miltscan.socket")
    for mark in marks:
        bare.run(f"miltscan setup --yes >/dev/null 2>&1 & while ! test -e {mark}; do sleep 0.05; done; kill -9 $!")
        setup(bare, "--undo --yes")
        assert bare.run(LISTING) == before, mark
    bare.run("apt-get --yes purge miltscan")
    assert left(bare) == []
